"""Measure the success rate of a world's demonstrator per task, without a policy and without recording.

Problem: before demonstrations are collected one wants to know for which tasks the script works, over many tasks and scenes, on a machine
that may be switched off in between. Idea: each attempt is one line of a file, written when it ends; attempts that are in the file are not
run again.

    world = make_unwatched_world("libero", images=False)
    survey(world, ["libero_object/0"], range(50, 55), Path("survey.jsonl"))

The world is driven under its limits, as everywhere. The command's thread.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from frs_core.errors import ConfigError
from frs_core.evaluation.demonstrate import Demonstrator, standing
from frs_core.evaluation.setup import named
from frs_core.robot.actions import ActionKind
from frs_core.runtime.foreign import read_text
from frs_core.worlds.base import World
from frs_core.worlds.guard import GuardedWorld

STEPS = 400
"""Longest attempt, control steps, of demonstrators that name none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one scene."""

    task: str
    seed: int
    success: bool
    steps: int
    doing: str
    """What the demonstrator was doing at the end, if it says."""


def survey(
    world: World,
    tasks: Sequence[str],
    seeds: Iterable[int],
    out: Path,
    *,
    demonstrator: str = "",
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Run what is missing in a file of attempts, and return all of those that were asked for.

    Args:
        world: a simulation, not owned.
        tasks: names of its tasks.
        seeds: scenes of each task.
        out: file of one JSON object per line; created, or continued.
        demonstrator: `module:function`; empty = the world's own.
        on_attempt: called after each new attempt.
    Raises:
        ConfigError: an unknown task, a world without a demonstrator, or a file that cannot be read.
    """
    for task in tasks:
        world.require_task(task)
    make = named("demonstrator", demonstrator or world.spec.demonstrator, world.spec.name)
    done = {(attempt.task, attempt.seed): attempt for attempt in read_attempts(out)}
    wanted = [(task, seed) for task in tasks for seed in seeds]
    guard = GuardedWorld(world)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        for task, seed in wanted:
            if (task, seed) in done:
                continue
            guard.reset(task=task, seed=seed)
            attempt = _attempt(guard, make(world, task, seed), task, seed)
            done[task, seed] = attempt
            file.write(json.dumps(asdict(attempt)) + "\n")
            file.flush()
            on_attempt(attempt)
    return [done[key] for key in wanted]


def read_attempts(out: Path) -> list[Attempt]:
    """Return the attempts in a file; none if there is no file.

    Raises:
        ConfigError: it is not such a file.
    """
    if not out.exists():
        return []
    try:
        return [Attempt(**json.loads(line)) for line in read_text(out).splitlines()]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"'{out}' is not a survey: {error}. Name another file with --out.") from error


def successes(attempts: Iterable[Attempt]) -> dict[str, tuple[int, int]]:
    """Return successes and attempts of each task, in order of first appearance."""
    found: dict[str, tuple[int, int]] = {}
    for attempt in attempts:
        good, all_ = found.get(attempt.task, (0, 0))
        found[attempt.task] = (good + attempt.success, all_ + 1)
    return found


def _attempt(guard: GuardedWorld, demonstrator: Demonstrator, task: str, seed: int) -> Attempt:
    most = int(getattr(demonstrator, "longest", STEPS))
    seen, steps, waited = guard.state(), 0, 0
    # A demonstrator that is done stands still for a moment, until the world is convinced.
    while steps < most and not seen.success and waited < 10:
        action = demonstrator.act()
        if action is None:
            action, waited = standing(seen), waited + 1
        guard.step(action, ActionKind.EE_DELTA)
        seen, steps = guard.state(), steps + 1
    return Attempt(task, seed, bool(seen.success), steps, str(getattr(demonstrator, "doing", "")))
