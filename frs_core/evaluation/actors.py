"""An arena of several processes, here or on a Ray cluster: each actor has its own world, generalist and thread, and drives whole episodes.

All episodes of a round are driven by one saved policy, and all chance in one follows from its scene's number, so that what is learned
does not depend on how many actors there are. An actor that dies is replaced, and its episode driven once more.

Example: 2 actors share the 10 episodes of a round; the learner waits for the last. Runs in the trainer's process;
`practising.Practising` in an actor's.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from frs_core.episodes.lock import StoreLock, describe_owner
from frs_core.errors import ConfigError, StoreLocked, TrainingError
from frs_core.evaluation.arena import judge_options, setup_of
from frs_core.evaluation.monitor import Driven, Monitor
from frs_core.evaluation.pool import Pool, ProcessPool
from frs_core.evaluation.results import Cell
from frs_core.evaluation.worker import Work, WorkerJob
from frs_core.learning.base import Arena, Learned, Trained
from frs_core.learning.practice_folder import removed
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import FlowPolicy


class ActorPool(Arena):
    """Several setups.

    Args:
        request: task, generalist and practice; its task is known.
        actors: processes.
        folder: where the policy of the present round is kept for them; made. A lock beside it keeps other programs out.
        monitor: notified of every episode.
        make_pool: makes the actors, from what each of them loads; None = processes on this machine.
    Raises:
        ConfigError: another program practises there, or world and policy cannot be loaded or do not fit.
        EpisodeError: the folder cannot be written.
    """

    def __init__(
        self,
        request: TrainRequest,
        *,
        actors: int,
        folder: Path,
        monitor: Monitor | None = None,
        make_pool: Callable[[WorkerJob], Pool] | None = None,
    ) -> None:
        practice = request.practice or Practice()
        assert request.task is not None
        setup = setup_of(request)
        self._task, self._folder, self._rounds = request.task, folder, 0
        self._monitor = monitor or Monitor()
        job = WorkerJob(
            setup=setup.to_json(),
            tasks=(request.task,),
            rollout={"max_chunks": practice.max_chunks},
            work=Work.PRACTISE,
            judge=judge_options(request),
        )
        self._lock = hold_practice(folder)
        # What a killed practice left there is of no use any more.
        shutil.rmtree(folder, ignore_errors=True)
        try:
            self._pool = make_pool(job) if make_pool is not None else ProcessPool(job, workers=actors)
        except BaseException:
            self._lock.release()
            raise
        try:
            self._pool.ready()
            self.policy: FlowPolicy = setup.policy.load()
        except BaseException:
            self._pool.close()
            self._lock.release()
            raise

    def run(self, actor: Learned, *, seed: int) -> TrainingTable:
        """Refuse: actors are handed over as folders."""
        raise TrainingError("Actors in other processes drive saved policies. Use `drive`.")

    def drive(self, actor: Trained, seeds: Sequence[int]) -> Iterator[tuple[int, TrainingTable]]:
        """Yield (seed, episode) as they end."""
        self._rounds += 1
        self._monitor.set_out(seeds)
        # A name of its own: an actor keeps what it loaded under the former one.
        folder = actor.save(self._folder / f"actor-{self._rounds}")
        for result in self._pool.run([Cell(str(folder), self._task, seed) for seed in seeds]):
            if not isinstance(result, Driven) or result.table is None:
                if not folder.exists():
                    raise removed(self._folder.parent)
                raise TrainingError(
                    f"An episode of practice on scene {result.seed} could not be driven: {result.error.rstrip('.')}. What was practised is "
                    f"kept; continue where it stopped, with fewer actors where memory is short."
                )
            yield result.seed, result.table
            self._monitor.drove(result)
        shutil.rmtree(folder, ignore_errors=True)
        self._monitor.came_back()

    def close(self) -> None:
        """End all actors."""
        self._pool.close()
        self.policy.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()


def hold_practice(folder: Path) -> StoreLock:
    """Return the lock of a practice, beside the folder of its actors. Raises ConfigError where another program holds it."""
    path = folder.with_name(f".{folder.name}.lock")
    try:
        return StoreLock(path)
    except StoreLocked as error:
        raise ConfigError(
            f"'{folder.parent}' is being practised in by {describe_owner(path)}. Wait for it, or choose another folder with "
            f"--folder."
        ) from error
