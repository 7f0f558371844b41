"""A run of attempts: one press of Start, and the next attempt follows by itself until something pauses it.

Problem: in simulation a person need not start each of a hundred attempts, and yet whatever holds must hold the attempts to come as well.
Idea: every hold and fault pauses the run, wherever it comes from, and only an act of a person ends the pause: Resume of the open attempt,
or Start. Where a run is possible at all is decided by its owner from what the world says. GUI thread.
"""

from app.views.episode_bar import is_episode_open
from frs_core.events import HoldReason, Phase, Snapshot

RESTING = (HoldReason.START, HoldReason.EPISODE_END)


class AttemptRun:
    """Whether attempts follow each other by themselves; none does before `begin`."""

    def __init__(self) -> None:
        self.is_on = False
        """A person has begun it, and nothing has ended it."""
        self.paused = ""
        """Why it is paused, in a few words; empty while it is not."""

    def begin(self) -> None:
        """Continue from here, on a person's press."""
        self.is_on, self.paused = True, ""

    def end(self) -> None:
        """Let no attempt follow."""
        self.is_on, self.paused = False, ""

    def pause(self, why: str) -> None:
        """Let no attempt follow until a person says so."""
        if self.is_on:
            self.paused = why

    def take(self, former: Snapshot | None, snapshot: Snapshot) -> None:
        """Follow the session: a hold or a fault pauses, and so does a start that was refused; an attempt that moves again continues."""
        if not self.is_on or former is None:
            return
        is_active = is_episode_open(snapshot) and snapshot.phase in (Phase.CHOOSE, Phase.MOVING)
        was_active = is_episode_open(former) and former.phase in (Phase.CHOOSE, Phase.MOVING)
        if snapshot.phase is Phase.FAULT or _count(snapshot, "holds") > _count(former, "holds"):
            self.pause(snapshot.hold_reason.value if snapshot.hold_reason is not None else "held")
        elif is_active and not was_active:
            self.paused = ""

    def may_start(self, snapshot: Snapshot | None) -> bool:
        """Whether the next attempt may start by itself now: it is on, not paused, and the session rests between two episodes."""
        return (
            self.is_on
            and not self.paused
            and snapshot is not None
            and snapshot.phase is Phase.HOLD
            and snapshot.hold_reason in RESTING
            and not snapshot.detail
            and not is_episode_open(snapshot)
        )


def was_refused(former: Snapshot | None, snapshot: Snapshot) -> bool:
    """Whether the session has refused something since."""
    return former is not None and _count(snapshot, "refused") > _count(former, "refused")


def _count(snapshot: Snapshot, name: str) -> int:
    return snapshot.counters.get(name, 0)
