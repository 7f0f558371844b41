"""The state of a practice, read from its folder without loading the learner, and the request that continues it.

Problem: a window lists practices, shows their attempts and versions, and continues one exactly where it was, on a thread that
must not load the tensor library. Idea: `learning.practice_log` writes everything there is to know as JSON, on its own or inside its
files; only that is read here.

Example: `list_practices(data / "practice")` has a record of 37 attempts; `request_of(record, …)` practises from the 38th on.
Any thread.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from frs_core.counts import count_of, counted
from frs_core.errors import ConfigError, TrainingError
from frs_core.learning.practice_folder import CONDITIONS, EPISODES, JSON, STATE, state_file, version_folder
from frs_core.learning.practice_log import Point, best_of
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.settings import LearnerSettings, from_json
from frs_core.policies import NamedPolicy
from frs_core.runtime.foreign import MALFORMED, parse_json, read_json, read_one_tensor

BUDGET = "budget.json"


@dataclass(frozen=True, slots=True)
class PracticeRecord:
    """One practice on disk."""

    folder: Path
    learner: str = ""
    task: str = ""
    policy: NamedPolicy = field(default_factory=NamedPolicy)
    """The generalist, without secrets."""
    has_policy_options: bool = True
    """Whether the options of the generalist were kept; practices of earlier versions have none."""
    fingerprint: str = ""
    """Of the generalist, as the recorded episodes say; empty where it started from none."""
    prior: tuple[str, ...] = ()
    """Recorded episodes it started from."""
    practice: Practice = field(default_factory=Practice)
    """With the budget it was last given; where that is not known, with what it has used."""
    settings: LearnerSettings | None = None
    attempts: tuple[bool, ...] = ()
    """Whether each episode of its own was a success."""
    curve: tuple[Point, ...] = ()
    """Versions that were evaluated."""
    learned: int = 0
    """Attempts that were learned from; those after them are of a round in progress."""
    seconds: float = 0.0
    """Of all runs together."""
    changed_at: float = 0.0
    """Unix time, seconds."""
    problem: str = ""
    """Why it cannot be read or continued; empty when it can."""

    @property
    def best(self) -> Point | None:
        """The version that did best."""
        return best_of(self.curve)

    @property
    def is_finished(self) -> bool:
        """The budget is used up and the last version was evaluated."""
        practice = self.practice
        is_over = len(self.attempts) >= practice.episodes or 0.0 < practice.minutes * 60.0 <= self.seconds
        return is_over and (not practice.judge_every or self.is_judged)

    @property
    def is_judged(self) -> bool:
        """All attempts went into a version that was evaluated."""
        return bool(self.curve) and self.curve[-1].episodes >= len(self.attempts)


def list_practices(root: Path) -> tuple[PracticeRecord, ...]:
    """Return the practices in `<root>/<task>/<practice>`, the last changed first; unreadable ones say why."""
    found = [read_practice(path.parent) for path in root.glob(f"*/*/{CONDITIONS}")] if root.is_dir() else []
    return tuple(sorted(found, key=lambda record: -record.changed_at))


def read_practice(folder: Path) -> PracticeRecord:
    """Return what is known of a practice; one that is damaged has a `problem`."""
    try:
        return _read(folder)
    except (OSError, ConfigError, *MALFORMED) as error:
        return PracticeRecord(folder, task=folder.parent.name, problem=f"'{folder}' is damaged ({error})")


def request_of(
    record: PracticeRecord, *, root: Path, out: Path, name: str = "", policy: NamedPolicy | None = None
) -> TrainRequest:
    """Return the request that continues a practice.

    Args:
        record: readable; its budget is the request's.
        root: root of the episode store.
        out: folder for the best version.
        name: shown to people.
        policy: of this run; where it is the practice's, it brings the secrets that are not stored.
    """
    return TrainRequest(
        kind=record.learner,
        root=root,
        episodes=record.prior,
        out=out,
        fingerprint="",
        name=name,
        task=record.task,
        policy=policy if policy is not None and policy.stored == record.policy else record.policy,
        settings=record.settings,
        practice=record.practice,
    )


def write_budget(folder: Path, practice: Practice) -> None:
    """Store the budget with which a practice was continued. Raises TrainingError where the disk refused."""
    from frs_core.learning.table_file import write_file

    budget = {"episodes": practice.episodes, "minutes": practice.minutes}
    write_file(folder / BUDGET, (json.dumps(budget) + "\n").encode())


def can_branch(record: PracticeRecord, point: Point) -> bool:
    """Return whether practice can continue from a version; those of older practices can only be used."""
    return not record.problem and state_file(record.folder, point.episodes).exists()


def branch(record: PracticeRecord, point: Point, folder: Path) -> Path:
    """Make a practice that continues from an earlier version of another one, which stays as it is; return its folder.

    It appears once it is whole: the file of its conditions is written last.

    Args:
        record: readable.
        point: one of its versions.
        folder: unused; made.
    Raises:
        ConfigError: the learner at that version was not kept.
        TrainingError: the disk refused.
    """
    if not can_branch(record, point):
        raise ConfigError(
            f"'{record.folder}' does not hold the learner as it was after {counted(point.episodes, 'attempt')}. Its version can be used, "
            f"but practice continues from the last only."
        )
    first, old = record.practice.first_seed, record.folder
    kept = [known.episodes for known in record.curve if known.episodes <= point.episodes]
    files = [
        *(f"{EPISODES}/{seed}.table" for seed in range(first, first + point.episodes)),
        *(str(state_file(old, episodes).relative_to(old)) for episodes in kept if state_file(old, episodes).exists()),
        BUDGET,
    ]
    try:
        for episodes in kept:
            shutil.copytree(version_folder(old, episodes), version_folder(folder, episodes))
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old / name, folder / name)
        shutil.copyfile(state_file(old, point.episodes), folder / STATE)
        shutil.copyfile(old / CONDITIONS, folder / f".{CONDITIONS}.partial")
        (folder / f".{CONDITIONS}.partial").replace(folder / CONDITIONS)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise TrainingError(
            f"'{folder}' could not be written: {reason_of(error)}. Free some space and go back once more; '{old}' is as "
            f"it was."
        ) from error
    return folder


def reason_of(error: OSError) -> str:
    """Return why files could not be written; of a whole folder, why the first one could not."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1])
    return error.strerror or str(error)


def _read(folder: Path) -> PracticeRecord:
    path = folder / CONDITIONS
    found = read_json(path)
    practice, settings, prior = found["practice"], found["settings"], found["prior"]
    budget = _optional_json(folder / BUDGET)
    facts = _state_facts(folder / STATE)
    practice = from_json(Practice, practice)
    attempts, state = _attempts(folder, practice), folder / STATE
    episodes, minutes = int(budget.get("episodes", max(1, len(attempts)))), float(budget.get("minutes", 0.0))
    own, problem = None, ""
    try:
        own = None if settings is None else from_json(find_learner(found["learner"]).settings, settings)
    except ConfigError as error:
        # Its versions can still be looked at and used. Views show one sentence, so the way out of the error stays behind.
        reason = str(error).partition(". ")[0].removesuffix(".")
        problem = f"It cannot continue, because its learner or its settings are of another version ({reason})"
    return PracticeRecord(
        folder=folder,
        problem=problem,
        learner=str(found["learner"]),
        task=str(found["task"]),
        policy=NamedPolicy(str(found["policy"]), found.get("policy_options", {}), practice.action_space),
        has_policy_options="policy_options" in found,
        fingerprint="" if prior is None else str(prior[1]),
        prior=() if prior is None else tuple(str(name) for name in prior[0]),
        practice=replace(practice, episodes=episodes, minutes=minutes),
        settings=own,
        attempts=attempts,
        curve=tuple(Point(**point) for point in facts.get("curve", ())),
        learned=sum(int(count) for count in facts.get("rounds", ())),
        seconds=float(facts.get("seconds", 0.0)),
        changed_at=(state if state.exists() else path).stat().st_mtime,
    )


def _attempts(folder: Path, practice: Practice) -> tuple[bool, ...]:
    """Return how each episode ended, those of a round in progress included, in the order of their scenes."""
    names = (path.stem for path in (folder / EPISODES).glob("*.table"))
    found = (count_of(name) for name in names)
    seeds = sorted(seed for seed in found if seed is not None and seed >= practice.first_seed)
    facts = (parse_json(read_one_tensor(folder / EPISODES / f"{seed}.table", JSON)) for seed in seeds)
    return tuple(bool(fact["succeeded"][0]) for fact in facts)


def _state_facts(path: Path) -> Mapping[str, Any]:
    return parse_json(read_one_tensor(path, JSON)) if path.exists() else {}


def _optional_json(path: Path) -> Mapping[str, Any]:
    return read_json(path) if path.exists() else {}


def with_budget(record: PracticeRecord, *, episodes: int, minutes: float) -> PracticeRecord:
    """Return a practice that is to continue for other totals.

    Args:
        record: the practice.
        episodes: of its own, in all.
        minutes: in all; 0 = no limit.
    """
    return replace(record, practice=replace(record.practice, episodes=episodes, minutes=minutes))
