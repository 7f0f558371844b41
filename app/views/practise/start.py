"""Whether and how a practice can start: recorded episodes that fit, the reason when it cannot, and the request. Pure functions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.facts import Facts
from app.names import practice_name
from app.views.practise.budget import PRESETS, Budget, attended
from frs_core.counts import counted
from frs_core.episodes import EpisodeInfo
from frs_core.events import Outcome
from frs_core.learning import Acts, LearnerSpec, TrainRequest
from frs_core.learning.practice_record import PracticeRecord
from frs_core.policies import NamedPolicy
from frs_core.runtime.registry import Option, loose_options


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be done, and the way out."""

    text: str
    """A sentence without full stop."""
    action: str = ""
    """Id of the action that helps; empty = none."""
    button: str = ""
    """Text of its button."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Recorded episodes of a task."""

    names: tuple[str, ...] = ()
    """Those that fit the generalist, oldest first."""
    successes: int = 0
    failures: int = 0
    foreign: int = 0
    """Recorded with another generalist, so not used."""

    @property
    def sentence(self) -> str:
        """What it starts from, without full stop."""
        used = f"{counted(self.successes, 'success', 'successes')} and {counted(self.failures, 'failure')}"
        left = f"; {counted(self.foreign, 'episode')} of another policy left out" if self.foreign else ""
        return f"Starts from {used}{left}"


def prior_of(infos: Iterable[EpisodeInfo], task: str | None, *, fingerprint: str) -> Prior:
    """Return the recorded episodes that a practice of a task starts from."""
    ours = sorted((i for i in infos if task_of(i) == task and not i.problem and not i.is_binned), key=lambda i: i.name)
    labelled = [i for i in ours if i.outcome in (Outcome.SUCCESS, Outcome.FAILURE)]
    fitting = [i for i in labelled if not fingerprint or i.fingerprint == fingerprint]
    successes = sum(i.outcome is Outcome.SUCCESS for i in fitting)
    return Prior(
        tuple(i.name for i in fitting), successes, len(fitting) - successes, foreign=len(labelled) - len(fitting)
    )


def task_of(info: EpisodeInfo) -> str | None:
    """Return what an episode was about: its task, or on a robot without named tasks what was said to the policy."""
    return info.task or info.instruction or None


def tasks_of(facts: Facts, infos: Sequence[EpisodeInfo]) -> list[str]:
    """Return the tasks that can be practised: the world's, or else those recorded with the policy.

    Those with most successes come first, of equal ones the world's example.
    """
    won = [task_of(i) for i in infos if i.outcome is Outcome.SUCCESS]
    recorded = [i for i in infos if not i.problem and not i.is_binned and i.world in ("", facts.world)]
    fitting = [task for i in recorded if i.fingerprint == facts.fingerprint and (task := task_of(i))]
    return sorted(
        facts.tasks or dict.fromkeys(fitting), key=lambda task: (-won.count(task), task != facts.example_task)
    )


def why_not(facts: Facts, rows: Sequence[LearnerSpec], *, is_attended: bool, has_tasks: bool) -> Problem | None:
    """Return why nothing can be practised in this window at all; None when something can.

    Args:
        facts: of this run.
        rows: learners that practise.
        is_attended: a person starts every attempt.
        has_tasks: there is one to choose.
    """
    if not rows:
        return Problem("No installed learner practises; install one that does")
    if is_attended and facts.policy_spec is None:
        return Problem("The policy has not been loaded yet")
    if not has_tasks and not facts.is_simulated:
        return Problem(
            "Nothing has been recorded with this policy on this robot, and its task is read from there; steer a few successes",
            "layout.drive",
            "Steer in Drive",
        )
    if not has_tasks:
        return Problem("The world has not started yet, or has no tasks to practise")
    if not is_attended and not facts.can_evaluate:
        return Problem(
            "This window cannot set up the policy in other processes, which practice in the background needs; choose In Drive, "
            "or use `frs practise` with --policy"
        )
    if facts.root is None:
        return Problem("Recording is off, and practice needs a recording folder; start the cockpit with one")
    return None


def why_not_attended(row: LearnerSpec) -> Problem | None:
    """Return why a learner's attempts cannot be driven in Drive; None when they can."""
    if row.acts is Acts.NOISE:
        return None
    return Problem(f"{row.title} produces actions, not noise, so it cannot join the fan; choose another learner")


def why_not_continued(
    record: PracticeRecord, facts: Facts, row: LearnerSpec | None, *, is_attended: bool
) -> Problem | None:
    """Return why a practice cannot continue in this window; None when it can.

    Args:
        record: of the practice.
        facts: of this run.
        row: of its learner; None = not installed.
        is_attended: a person starts every attempt.
    """
    if record.problem:
        return Problem(f"{record.problem}; begin a new one", "practise.new", "New practice")
    if row is None:
        return Problem(f"Learner '{record.learner}' is not installed; install it, or begin a new practice")
    if record.fingerprint and facts.fingerprint and record.fingerprint != facts.fingerprint:
        return Problem(
            "It was practised with another policy, so it cannot continue with this one", "practise.new", "New practice"
        )
    if record.practice.world != facts.world:
        return Problem(
            f"It was practised in world '{record.practice.world}', this one is '{facts.world}'",
            "practise.new",
            "New practice",
        )
    changes = {
        "world": (loose_options(record.practice.world_options), facts.world_options),
        "policy": (record.policy.options, policy_of(facts).stored.options),
    }
    if facts.workspace is None:  # The world has not started; its options are not known.
        del changes["world"]
    if not record.has_policy_options:
        del changes["policy"]
    for what, (was, now) in changes.items():
        if dict(was) != dict(now):
            return Problem(
                f"It was practised with {_options(was)} of the {what}, this window has {_options(now)}",
                "practise.new",
                "New practice",
            )
    return why_not_attended(row) if is_attended else None


def _options(options: Mapping[str, Option]) -> str:
    given = ", ".join(f"{name} {value}" for name, value in sorted(options.items()))
    return f"option {given}" if len(options) == 1 else f"options {given}" if options else "no options"


def why_not_from(row: LearnerSpec, prior: Prior) -> Problem | None:
    """Return why a learner cannot start from some episodes; None when it can."""
    if not row.starts_from_recordings or prior.successes:
        return None
    if prior.foreign:
        return Problem(
            f"What was recorded of this task ({counted(prior.foreign, 'episode')}) is of another policy, so its noises do not fit this one; "
            f"steer about {row.episodes} with this policy",
            "layout.drive",
            "Steer in Drive",
        )
    if prior.failures:
        return Problem(
            f"None of {counted(prior.failures, 'recorded episode')} of this task is a success, and at "
            f"least one is needed; steer some, about {row.episodes} are usual, or correct a label in Review",
            "layout.drive",
            "Steer in Drive",
        )
    return Problem(
        f"No episode of this task has been recorded; steer at least one success, about {row.episodes} are usual",
        "layout.drive",
        "Steer in Drive",
    )


def caution(row: LearnerSpec, prior: Prior) -> str:
    """Return a warning about few episodes; empty when there are enough or none are needed."""
    if not row.starts_from_recordings or not 0 < prior.successes < row.episodes:
        return ""
    return f"{row.episodes} successes are usual; with fewer it learns more slowly"


def new_request(
    facts: Facts, row: LearnerSpec, task: str, prior: Prior, *, budget: Budget, folder: Path, is_attended: bool = False
) -> TrainRequest:
    """Return the request of a new practice.

    Args:
        facts: of this run; they have a recording folder.
        row: who learns.
        task: of the world.
        prior: recorded episodes of the task.
        budget: how long.
        folder: of the practice.
        is_attended: a person starts every attempt in Drive.
    """
    assert facts.root is not None
    preset, policy = PRESETS[budget].practice, policy_of(facts)
    practice = replace(
        attended(preset) if is_attended else preset,
        world=facts.world,
        world_options={k: str(v) for k, v in facts.world_options.items()},
        action_space=policy.action_space,
    )
    return TrainRequest(
        kind=row.id,
        root=facts.root,
        episodes=prior.names if row.starts_from_recordings else (),
        out=policy_folder(facts.root, folder),
        fingerprint=facts.fingerprint,
        name=practice_name(folder),
        task=task,
        policy=policy,
        settings=row.settings(),
        practice=practice,
    )


def policy_of(facts: Facts) -> NamedPolicy:
    """Return the generalist of this run; where other processes cannot load it, its name alone."""
    return facts.generalist or NamedPolicy(facts.policy)


def new_folder(root: Path, task: str, kind: str) -> Path:
    """Return an unused folder for a practice: `<root>/practice/<task>/<learner>`, numbered from the second on.

    A task in words, as on a robot, becomes the name of a folder.
    """
    base = root / "practice" / (re.sub(r"\W+", "_", task).strip("_")[:60] or "task")
    names = (kind if number == 1 else f"{kind}-{number}" for number in range(1, 10_000))
    return next(base / name for name in names if not (base / name).exists())


def policy_folder(root: Path, folder: Path) -> Path:
    """Return where the best version of a practice is kept, so that Train lists it."""
    return root / "learned" / practice_name(folder)
