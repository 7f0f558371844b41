"""The session's states, as one table that can be read, drawn and tested.

Everything that is not in the table is refused, with a sentence. `REPLAY` belongs to views that play a recorded episode; a
session never enters it.
"""

import enum

from frs_core.events import Phase


class Event(enum.Enum):
    """What can change the phase."""

    SCENE_SET = "scene set"
    """An episode's first observation is there, or going back one chunk is done."""
    PICKED = "picked"
    CHUNK_DONE = "chunk done"
    HELD = "held"
    RESUMED = "resumed"
    ENDED = "ended"
    """The episode is labelled."""
    LOST = "lost"
    """World or policy is gone."""
    RECONNECTED = "reconnected"


TABLE: dict[tuple[Phase, Event], Phase] = {
    (Phase.HOLD, Event.SCENE_SET): Phase.CHOOSE,
    (Phase.HOLD, Event.RESUMED): Phase.CHOOSE,
    (Phase.HOLD, Event.HELD): Phase.HOLD,
    (Phase.HOLD, Event.CHUNK_DONE): Phase.HOLD,
    (Phase.HOLD, Event.ENDED): Phase.HOLD,
    (Phase.HOLD, Event.LOST): Phase.FAULT,
    (Phase.CHOOSE, Event.SCENE_SET): Phase.CHOOSE,
    (Phase.CHOOSE, Event.PICKED): Phase.MOVING,
    (Phase.CHOOSE, Event.HELD): Phase.HOLD,
    (Phase.CHOOSE, Event.ENDED): Phase.HOLD,
    (Phase.CHOOSE, Event.LOST): Phase.FAULT,
    (Phase.MOVING, Event.CHUNK_DONE): Phase.CHOOSE,
    (Phase.MOVING, Event.HELD): Phase.HOLD,
    (Phase.MOVING, Event.ENDED): Phase.HOLD,
    (Phase.MOVING, Event.LOST): Phase.FAULT,
    (Phase.FAULT, Event.HELD): Phase.FAULT,
    (Phase.FAULT, Event.CHUNK_DONE): Phase.FAULT,
    (Phase.FAULT, Event.ENDED): Phase.FAULT,
    (Phase.FAULT, Event.LOST): Phase.FAULT,
    (Phase.FAULT, Event.RECONNECTED): Phase.HOLD,
}


def next_phase(phase: Phase, event: Event) -> Phase | None:
    """Return the phase after an event, or None if the event is not possible."""
    return TABLE.get((phase, event))
