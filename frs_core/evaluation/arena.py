"""Where an online learner practises: a bench of its own, headless, under the same limits and through the same session as any rollout.

Example: `frs train KIND --task mug_on_plate --practice.episodes 200` for a learner that needs an environment.
Runs in the trainer's process.
"""

from dataclasses import replace

from frs_core.choosers.base import Chooser
from frs_core.choosers.learned import LearnedChooser
from frs_core.choosers.scripted import PolicyChooser
from frs_core.episodes.records import MemoryRecorder
from frs_core.errors import ConfigError
from frs_core.evaluation.cloned import ClonedPolicy
from frs_core.evaluation.setup import Bench, SetupSpec, open_bench
from frs_core.events import Outcome
from frs_core.learning.base import Arena, ChunkPolicy, Learned
from frs_core.learning.records import table_from_records
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.settings import InputSettings
from frs_core.learning.table import End, Offer, TrainingTable
from frs_core.policies.base import FlowPolicy
from frs_core.runtime.registry import plain_options
from frs_core.session import InlineSession


class BenchArena(Arena):
    """One world and one generalist in this process.

    Args:
        bench: owned from here on.
        task: of the world.
        max_chunks: an episode is given up after so many.
        inputs: which cameras the learner looks at.
    """

    def __init__(self, bench: Bench, *, task: str, max_chunks: int, inputs: InputSettings) -> None:
        self.policy: FlowPolicy = bench.policy
        self._bench, self._task, self._max_chunks, self._inputs = bench, task, max_chunks, inputs

    def run(self, actor: Learned, *, seed: int) -> TrainingTable:
        """Return one episode as chunks with rewards, next states and its end."""
        recorder = MemoryRecorder()
        actor.begin(seed)
        chooser: Chooser = PolicyChooser() if isinstance(actor, ChunkPolicy) else LearnedChooser()
        with InlineSession(
            self._bench.world,
            ClonedPolicy(self.policy, actor) if isinstance(actor, ChunkPolicy) else self.policy,
            noise_policy=None if isinstance(actor, ChunkPolicy) else actor,
            recorder=recorder,
            step_images=False,
            snapshots=False,
            full_fan=False,
        ) as session:
            session.run_episode(chooser, task=self._task, seed=seed, max_chunks=self._max_chunks)
        episode = recorder.episodes[-1]
        table = replace(table_from_records([episode], inputs=self._inputs), names=(f"practice-{seed}",))
        success, last = episode.outcome is Outcome.SUCCESS, episode.last
        end = End(success)
        if last is not None:
            offer = Offer(last.labels, last.noises)
            end = End(success, last.features, episode.main_line[-1].after.proprio, offer)
        return table.with_outcomes([success], ends=[end])

    def close(self) -> None:
        """Free world and generalist."""
        self._bench.close()


def setup_of(request: TrainRequest) -> SetupSpec:
    """Return the names of world and generalist that a request practises on.

    Raises:
        ConfigError: no task was named.
    """
    practice = request.practice or Practice()
    if request.task is None:
        raise ConfigError(f"Learner '{request.kind}' practises a task, and none was named. Give --task NAME.")
    return SetupSpec(
        world=practice.world,
        world_options=plain_options(practice.world_options),
        policy=request.policy,
        action_space=practice.action_space,
    )


def open_arena(request: TrainRequest) -> BenchArena:
    """Return the arena that a request asks for.

    Raises:
        ConfigError: no task was named, or world and policy cannot be loaded or do not fit.
    """
    practice, setup = request.practice or Practice(), setup_of(request)
    assert request.task is not None
    return BenchArena(open_bench(setup), task=request.task, max_chunks=practice.max_chunks, inputs=request.inputs)
