"""A blinded comparison of policies on disk: what is compared, in which order, and what came of each attempt.

Problem: whoever labels attempts must not know which policy drove, or the labels follow their hopes; and a robot's day is interrupted.
Idea: the order is drawn once, in random blocks that contain each policy once, from a seed that is stored; the policies are named by
their folders and the digests of their weights. What happens is appended to a log, one line an event, and the state is read from it. Who
is next is for the program alone: whoever shows something to a person asks `Blind.letters`, and that only when all attempts are done or the
comparison has been unblinded. An attempt that was excluded, with a reason, is repeated at the end of its block.

    <folder>/plan.json        format, policies, order, seed, conditions; written once
    <folder>/attempts.jsonl   began, ended, labelled, excluded, unblinded; appended and synced, an incomplete last line is dropped

Example: two policies and ten attempts of each are ten blocks; in block 3 both drive scene `first_scene + 3`. Any thread, one at a time.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from frs_core.counts import counted
from frs_core.episodes.lock import StoreLock, describe_owner
from frs_core.errors import ConfigError, EpisodeError, FrsError, StoreLocked
from frs_core.evaluation.blind_log import FOLDER, LOG, append_event, cut_log, read_log
from frs_core.evaluation.blind_plan import PLAN, Arm, BlindPlan, learned_arm, read_plan, write_plan
from frs_core.evaluation.results import Result
from frs_core.evaluation.sequential import Difference, compare_blocks
from frs_core.events import Outcome
from frs_core.runtime.foreign import MALFORMED


@dataclass(frozen=True, slots=True)
class BlindAttempt:
    """One attempt that has ended."""

    number: int
    """From 0, in the order in which they were driven."""
    slot: int
    episode: str
    """Name of its recording; empty where none was kept."""
    outcome: Outcome
    note: str = ""
    excluded: str = ""
    """Why it does not count; empty where it does."""
    chunks: int = 0
    steps: int = 0
    began_at: float = 0.0
    """Unix time."""
    ended_at: float = 0.0

    @property
    def counts(self) -> bool:
        """Whether it fills its slot."""
        return not self.excluded

    @property
    def is_success(self) -> bool:
        """Whether it was labelled a success."""
        return self.outcome is Outcome.SUCCESS


@dataclass(slots=True)
class BlindState:
    """What the log says."""

    attempts: list[BlindAttempt] = field(default_factory=list)
    began: tuple[int, str, float] | None = None
    """Slot, recording and time of the attempt that was begun last and has not ended."""
    episodes: set[str] = field(default_factory=set)
    """Recordings of all attempts, of those that were interrupted too."""
    is_unblinded: bool = False


class Blind:
    """A comparison that is being made, or was.

    Args:
        folder: of the comparison.
        plan: of a new one; None = read it.
        is_read_only: only look; otherwise a lock keeps other programs from continuing it meanwhile.
    Raises:
        ConfigError: missing, damaged, in use by another program, or the folder of a new one exists.
    """

    def __init__(self, folder: Path, plan: BlindPlan | None = None, *, is_read_only: bool = False) -> None:
        self.folder = folder
        self._lock: StoreLock | None = None
        if plan is not None:
            if (folder / PLAN).exists():
                raise ConfigError(f"There is a comparison in '{folder}' already. Choose another folder.")
            write_plan(folder, plan)
        self.plan = read_plan(folder)
        if not is_read_only:
            self._lock = _hold(folder)
        try:
            events, size = read_log(folder)
            self.state = BlindState()
            for number, event in enumerate(events, start=1):
                self._follow(event, number)
            if not is_read_only:
                cut_log(folder, size)
        except BaseException:
            self.close()
            raise

    # --- what is next -------------------------------------------------------------------------------------

    @property
    def counted(self) -> list[BlindAttempt]:
        """The attempts that count, in the order in which they were driven."""
        return [a for a in self.state.attempts if a.counts]

    @property
    def is_complete(self) -> bool:
        """Whether every slot has an attempt that counts."""
        return len({a.slot for a in self.counted}) == self.plan.slots

    @property
    def next_slot(self) -> int | None:
        """The slot to be driven next, in its block those that had none first; None = all are done."""
        filled, tried = {a.slot for a in self.counted}, {a.slot for a in self.state.attempts}
        width = len(self.plan.arms)
        for start in range(0, self.plan.slots, width):
            open_slots = [s for s in range(start, start + width) if s not in filled]
            if open_slots:
                return next((s for s in open_slots if s not in tried), open_slots[0])
        return None

    def arm_of(self, slot: int) -> Arm:
        """Return who drives in a slot; never shown to a person before `unblind`."""
        return self.plan.arms[self.plan.order[slot]]

    def check_conditions(self, *, world: str, fingerprint: str) -> None:
        """Raise ConfigError where it was begun in another world or with another generalist."""
        for what, was, now in (("world", self.plan.world, world), ("policy", self.plan.fingerprint, fingerprint)):
            if was != now:
                raise ConfigError(
                    f"The comparison in '{self.folder}' was begun with {what} '{was[:12]}', this one is '{now[:12]}'. Start the cockpit with the "
                    f"former, or begin a new comparison."
                )

    def check_arms(self) -> None:
        """Raise ConfigError where a policy is not what the comparison began with. Reads every policy's metadata."""
        for arm in self.plan.arms:
            if not arm.path:
                continue
            try:
                now = learned_arm(Path(arm.path)).digest
            except FrsError as error:
                raise ConfigError(
                    f"A policy of the comparison in '{self.folder}' cannot be read: {error} Bring it back, or begin a new comparison."
                ) from error
            if now != arm.digest:
                # Neither its name nor its path: the comparison is still blinded.
                raise ConfigError(
                    f"A policy of the comparison in '{self.folder}' was trained again since: got weights {now[:12]}, expected "
                    f"{arm.digest[:12]}. Bring the former back, or begin a new comparison."
                )

    # --- what happens -------------------------------------------------------------------------------------

    def began(self, episode: str) -> None:
        """An attempt at the next slot has begun, recorded under a name."""
        self._add({"event": "began", "slot": self.next_slot, "episode": episode})

    def ended(
        self, outcome: Outcome, *, episode: str, chunks: int = 0, steps: int = 0, note: str = "", excluded: str = ""
    ) -> BlindAttempt:
        """Keep what came of the attempt that was begun last; one that was discarded does not count."""
        began = self.state.began
        slot, at = (began[0], began[2]) if began is not None else (self.next_slot, time.time())
        self._add(
            {
                "event": "ended",
                "slot": slot,
                "episode": episode,
                "outcome": outcome.value,
                "note": note,
                "excluded": excluded or ("discarded" if outcome is Outcome.DISCARDED else ""),
                "chunks": chunks,
                "steps": steps,
                "began_at": at,
            }
        )
        return self.state.attempts[-1]

    def relabel(self, number: int, outcome: Outcome) -> None:
        """Give an attempt another label."""
        self._require(number)
        self._add({"event": "labelled", "attempt": number, "outcome": outcome.value})

    def exclude(self, number: int, reason: str) -> None:
        """Say why an attempt does not count; an empty reason has it count again."""
        self._require(number)
        self._add({"event": "excluded", "attempt": number, "reason": reason.strip()})

    def unblind(self) -> None:
        """End the comparison: who drove may be shown from here on, and no attempt is added."""
        if not self.state.is_unblinded:
            self._add({"event": "unblinded"})

    def __enter__(self) -> "Blind":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let other programs continue it; safe to call twice."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- what may be shown --------------------------------------------------------------------------------

    @property
    def letters(self) -> Mapping[int, str] | None:
        """The letter of each arm, once all attempts are done or it is unblinded; None before."""
        if not (self.is_complete or self.state.is_unblinded):
            return None
        return dict(enumerate(self.plan.letters))

    def blocks(self, first: int, second: int) -> list[tuple[bool, bool]]:
        """Return success of two arms in the blocks where both have an attempt that counts, in the order of completion."""
        by_slot = {a.slot: a for a in self.counted}
        pairs: dict[int, dict[int, BlindAttempt]] = {}
        for slot, attempt in by_slot.items():
            arm = self.plan.order[slot]
            if arm in (first, second):
                pairs.setdefault(slot // len(self.plan.arms), {})[arm] = attempt
        whole = [p for p in pairs.values() if len(p) == 2]
        whole.sort(key=lambda p: max(a.number for a in p.values()))
        return [(p[first].is_success, p[second].is_success) for p in whole]

    def differences(self) -> dict[tuple[int, int], Difference]:
        """Return every two arms with their difference, first minus second; the error level holds for all of them together."""
        count = len(self.plan.arms)
        pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
        level = self.plan.alpha / len(pairs)
        return {(i, j): compare_blocks(self.blocks(i, j), alpha=level) for i, j in pairs}

    @property
    def sentence(self) -> str:
        """How large the largest difference is so far, without saying which policy is better."""
        found = self.differences().values()
        whole = min(d.blocks for d in found)
        if not whole:
            return ""
        low = max(max(d.low, -d.high, 0.0) for d in found)
        high = max(max(d.high, -d.low) for d in found)
        decided = any(d.is_decided for d in found)
        words = "a difference is shown" if decided else "no difference seen yet"
        level = 100 * (1 - self.plan.alpha)
        return f"{words}: {100 * low:.0f} to {100 * high:.0f} points ({level:g} % at every look, {counted(whole, 'block')})"

    def results(self) -> list[Result]:
        """Return the attempts that count as the results of an evaluation, methods named by letters."""
        return [
            Result(
                self.plan.letters[self.plan.order[a.slot]],
                self.plan.task,
                self.plan.scene(a.slot),
                a.is_success,
                steps=a.steps,
                chunks=a.chunks,
                seconds=max(0.0, a.ended_at - a.began_at),
                trained=self.arm_of(a.slot).digest[:12],
            )
            for a in self.counted
        ]

    # --- the log ------------------------------------------------------------------------------------------

    def _add(self, event: dict[str, Any]) -> None:
        if self._lock is None:
            raise ConfigError(f"The comparison in '{self.folder}' was opened to be read, or is closed. Open it again.")
        if self.state.is_unblinded:
            raise ConfigError(f"The comparison in '{self.folder}' is unblinded and takes no more. Begin a new one.")
        event = {**event, "at": time.time()}
        append_event(self.folder, event)
        self._follow(event, 0)

    def _follow(self, event: Mapping[str, Any], line: int) -> None:
        """Bring the state up to an event. Raises ConfigError for one that makes no sense."""
        state = self.state
        try:
            match event["event"]:
                case "began":
                    state.began = (int(event["slot"]), str(event["episode"]), float(event["at"]))
                    state.episodes.add(str(event["episode"]))
                case "ended":
                    state.attempts.append(self._attempt(event))
                    state.began = None
                    state.episodes.add(str(event["episode"]))
                case "labelled":
                    self._change(int(event["attempt"]), outcome=Outcome(event["outcome"]))
                case "excluded":
                    self._change(int(event["attempt"]), excluded=str(event["reason"]))
                case "unblinded":
                    state.is_unblinded = True
                case other:
                    raise ValueError(f"unknown event {other!r}")
        except MALFORMED as error:
            raise ConfigError(
                f"'{self.folder / LOG}' is damaged in line {line}: {error}. Remove that line and continue."
            ) from error

    def _attempt(self, event: Mapping[str, Any]) -> BlindAttempt:
        slot = int(event["slot"])
        if not 0 <= slot < self.plan.slots:
            raise ValueError(f"slot {slot} of {self.plan.slots}")
        return BlindAttempt(
            len(self.state.attempts),
            slot,
            str(event["episode"]),
            Outcome(event["outcome"]),
            str(event["note"]),
            str(event["excluded"]),
            int(event["chunks"]),
            int(event["steps"]),
            float(event["began_at"]),
            float(event["at"]),
        )

    def _require(self, number: int) -> None:
        if not 0 <= number < len(self.state.attempts):
            raise ConfigError(
                f"The comparison has no attempt {number + 1}: it has {counted(len(self.state.attempts), 'attempt')}. Choose one of them."
            )

    def _change(self, number: int, **changes: Any) -> None:
        self._require(number)
        self.state.attempts[number] = replace(self.state.attempts[number], **changes)


# --- folders ----------------------------------------------------------------------------------------------


def new_folder(root: Path, task: str) -> Path:
    """Return an unused folder for a comparison below a recording root: the task, numbered from the second on."""
    base = re.sub(r"\W+", "_", task).strip("_")[:60] or "task"
    names = (base if number == 1 else f"{base}-{number}" for number in range(1, 10_000))
    return next(root / FOLDER / name for name in names if not (root / FOLDER / name).exists())


def list_blind(root: Path) -> list[tuple[Path, Blind | ConfigError]]:
    """Return the comparisons below a recording root, the last changed first, opened to be read; or why one cannot be."""
    found: list[tuple[float, Path, Blind | ConfigError]] = []
    for plan in (root / FOLDER).glob(f"*/{PLAN}") if (root / FOLDER).is_dir() else []:
        folder, log = plan.parent, plan.parent / LOG
        try:
            opened: Blind | ConfigError = Blind(folder, is_read_only=True)
        except ConfigError as error:
            opened = error
        found.append((log.stat().st_mtime if log.exists() else plan.stat().st_mtime, folder, opened))
    return [(folder, opened) for _, folder, opened in sorted(found, key=lambda row: (-row[0], row[1]))]


def _hold(folder: Path) -> StoreLock:
    path = folder / ".lock"
    try:
        return StoreLock(path)
    except StoreLocked as error:
        raise ConfigError(
            f"The comparison in '{folder}' is being made by {describe_owner(path)}. Close that one."
        ) from error
    except EpisodeError as error:
        raise ConfigError(f"The comparison in '{folder}' cannot be continued: {error}") from error
