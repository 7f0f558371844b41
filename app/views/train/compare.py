"""Compare the policy with and without a trained policy on fresh simulated episodes, in worker processes.

Runs `frs_core.evaluation` from a job thread, which only waits for the workers. Both methods run on the same scenes.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from frs_core.counts import counted
from frs_core.errors import WorldError
from frs_core.policies import NamedPolicy

if TYPE_CHECKING:
    from frs_core.evaluation.runner import EvalProgress

BEFORE = "base"
FIRST_SEED = 900_000
"""First scene; higher than the scenes that operators record, so that all are new."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Successes so far."""

    before: tuple[int, int]
    """(successes, episodes) of the policy alone."""
    after: tuple[int, int]
    done: int
    total: int
    seconds_left: float


def compare(
    learned: Path,
    *,
    method: str,
    world: str,
    world_options: Mapping[str, str | int | float | bool],
    policy: NamedPolicy,
    task: str,
    episodes: int,
    report: Callable[[object], None],
    is_stopped: Callable[[], bool],
) -> Comparison:
    """Run fresh episodes with and without a trained policy and return the successes.

    Args:
        learned: folder of the saved policy.
        method: its learner, which is also a method of the evaluation.
        world: registry name of a simulated world.
        world_options: options of the world.
        policy: the generalist.
        task: task name.
        episodes: number per method.
        report: called with a `Comparison` after each episode.
        is_stopped: checked after each episode.
    Raises:
        FrsError: world or policy cannot be loaded, or no episode of a method could be run.
    """
    # Imports the tensor library, which must not happen on the GUI thread.
    from frs_core.evaluation.methods import find_method
    from frs_core.evaluation.runner import EvalSpec, run_evaluation
    from frs_core.evaluation.setup import SetupSpec
    from frs_core.evaluation.worker import WorkerJob

    latest = Comparison((0, 0), (0, 0), 0, 2 * episodes, float("nan"))
    problems: list[str] = []
    counts = {BEFORE: [0, 0], method: [0, 0]}

    def on_progress(progress: "EvalProgress") -> bool:
        nonlocal latest
        last = progress.last
        if last is not None and last.error:
            problems.append(last.error)
        elif last is not None:
            counts[last.method][0] += last.success
            counts[last.method][1] += 1
        latest = Comparison(
            (counts[BEFORE][0], counts[BEFORE][1]),
            (counts[method][0], counts[method][1]),
            progress.done,
            progress.total,
            progress.seconds_left,
        )
        report(latest)
        return not is_stopped()

    with tempfile.TemporaryDirectory(prefix="frs-compare-") as scratch:
        folder = Path(scratch) / "learned" / task
        folder.mkdir(parents=True)
        (folder / find_method(method).learned).symlink_to(learned.resolve(), target_is_directory=True)
        spec = EvalSpec(
            methods=(BEFORE, method),
            tasks=(task,),
            seeds=tuple(range(FIRST_SEED, FIRST_SEED + episodes)),
            job=WorkerJob(
                setup=SetupSpec(world, world_options, policy).to_json(),
                learned=str(Path(scratch) / "learned"),
            ),
        )
        run_evaluation(spec, Path(scratch) / "results.jsonl", workers=1, on_progress=on_progress)
    if problems and not (counts[BEFORE][1] and counts[method][1]):
        raise WorldError(f"No comparison: {counted(len(problems), 'episode')} could not be run. {problems[0]}")
    return latest
