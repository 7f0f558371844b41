"""Joysticks that SDL has no gamepad mapping for: which of them are pads, in which order, and when their axes count.

Problem: a joystick without a mapping states neither which axis is which nor where its axes rest; pedals and throttles rest where a stick
would be pushed. Idea: only the shape of Linux' xpad driver is taken for a pad, in xpad's order, and an axis counts once it has reported
that it is where a stick's or a trigger's rest is.

Example: axis 2 reads 0 until its trigger is touched; -0.98, its first report, makes it count, and 1 then presses "left_trigger". One that
reports 1 first is a pedal's. The device's own thread.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

RAW_BUTTONS: Mapping[int, str] = MappingProxyType(
    {
        0: "a",
        1: "b",
        2: "x",
        3: "y",
        4: "left_shoulder",
        5: "right_shoulder",
        6: "back",
        7: "start",
        8: "guide",
        9: "left_stick",
        10: "right_stick",
    }
)
"""Joystick button -> control, for pads that SDL has no mapping for. Source: the order of Linux' xpad driver."""
RAW_AXES: Mapping[int, int] = MappingProxyType({0: 0, 1: 1, 2: 4, 3: 2, 4: 3, 5: 5})
"""Joystick axis -> SDL controller axis, for the same. Source: xpad, left stick, left trigger, right stick, right trigger."""
_RAW_SHAPE = (6, 10, 1)
"""Axes (exactly), buttons and hats (at least) of such a pad."""
_OTHER_KINDS = frozenset(("arcade", "dance", "drum", "drums", "flight", "guitar", "handbrake", "hotas", "pedal", "pedals",
                          "racing", "rudder", "shifter", "throttle", "wheel", "yoke"))  # fmt: skip
"""Words in the names of joysticks that are not gamepads."""
_VIRTUAL, _PAD_TYPES = 0x76, (0, 1)
"""Byte 14 of SDL's GUID of a virtual joystick, and byte 15 of those that may be pads. Source: SDL_joystick.c, SDL_CreateJoystickGUID."""
_CENTRE, _END = 0.25, 0.75
"""A stick at rest is nearer to 0 than the one; a trigger at rest is past the other, below 0."""
_STILL_POLLS, _LONG_STILL_POLLS, _JITTER = 3, 200, 0.05
"""An axis is at rest when it stays within the last for as many polls; one that may be a pedal's needs the second. Guess; polls come about 100 times a second."""
_TRIGGERS = frozenset({2, 5})
"""Axes, in xpad's order, that are triggers."""
_PARTNERS: Mapping[int, tuple[int, ...]] = MappingProxyType({0: (1,), 1: (0,), 3: (4,), 4: (3,)})
"""Axis, in xpad's order -> the other one of its stick."""


class RestingAxes:
    """Which axes of a joystick were seen at rest, and count.

    SDL gives 0 for an axis that has not reported anything, so exactly 0 shows nothing. The first other value decides. At rest, the axis counts
    at once, and with it the other axis of a stick that has reported nothing. At an end that is not its rest it may be a pedal's: a trigger then never counts,
    and a stick only after it stayed near the middle for as long as no pedal does. From anywhere else it counts once it is still at rest.
    """

    def __init__(self) -> None:
        self._anchors: dict[int, tuple[float, int]] = {}
        """Axis -> where it stays, and for how many polls; axes that have reported something."""
        self._far: set[int] = set()
        """Axes that reported an end first which is not their rest."""
        self.resting: set[int] = set()
        """Axes that count, in the joystick's order."""

    @property
    def pedals(self) -> set[int]:
        """Triggers, in xpad's order, that rest where they would be pulled, and never count."""
        return self._far & _TRIGGERS

    def look(self, places: Sequence[float]) -> None:
        """Notice which axes are at rest; called once per poll with where each axis is, -1..1."""
        for axis, place in enumerate(places):
            self._report(axis, place)
        for axis, (place, polls) in self._anchors.items():
            self._anchors[axis] = place, polls + 1
            needed = _LONG_STILL_POLLS if axis in self._far else _STILL_POLLS
            if polls + 1 >= needed and axis not in self.pedals and _is_rest(axis, place):
                self._rest(axis)

    def counts(self, axis: int, value: float) -> bool:
        """Take a report of an axis, -1..1, and return whether it counts."""
        if axis not in RAW_AXES:
            return False
        self._report(axis, value)
        return axis in self.resting

    def _report(self, axis: int, value: float) -> None:
        is_first = axis not in self._anchors
        if is_first and not value:
            return
        if is_first or abs(value - self._anchors[axis][0]) > _JITTER:
            self._anchors[axis] = value, 0
        if is_first and _is_rest(axis, value):
            self._rest(axis)
        elif is_first and axis not in self.resting and (value if axis in _TRIGGERS else abs(value)) >= 1.0 - _JITTER:
            self._far.add(axis)

    def _rest(self, axis: int) -> None:
        """Let an axis count, and its stick's other one."""
        self.resting.add(axis)
        self.resting.update(other for other in _PARTNERS.get(axis, ()) if other not in self._anchors)


def _is_rest(axis: int, value: float) -> bool:
    """Whether a joystick's axis is where a stick's or a trigger's rest is."""
    return value < -_END if axis in _TRIGGERS else is_centred(value)


def is_centred(value: float) -> bool:
    """Whether an axis, -1..1, is where a stick's rest is; a trigger's in SDL's mappings too, which go from 0 to 1."""
    return abs(value) < _CENTRE


def is_pad(joystick: Any) -> bool:
    """Whether a joystick without a mapping has the shape of xpad's pads, and neither name nor type of something else."""
    words = "".join(c if c.isalnum() else " " for c in joystick.get_name().lower()).split()
    guid = bytes.fromhex(joystick.get_guid())
    is_other_type = len(guid) == 16 and guid[14] == _VIRTUAL and guid[15] not in _PAD_TYPES
    axes, buttons, hats = _RAW_SHAPE
    has_shape = (
        joystick.get_numaxes() == axes and joystick.get_numbuttons() >= buttons and joystick.get_numhats() >= hats
    )
    return has_shape and not is_other_type and not _OTHER_KINDS.intersection(words)
