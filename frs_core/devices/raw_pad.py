"""Joysticks that SDL has no gamepad mapping for: which of them are pads, in which order, and when their axes count.

Problem: a joystick without a mapping states neither which axis is which nor where its axes rest; pedals and throttles rest where a stick
would be pushed. Idea: only the shape of Linux' xpad driver is taken for a pad, in xpad's order, and an axis counts once it was seen at rest
where a stick's or a trigger's rest is.

Example: axis 2 reads 0 until its trigger is touched; -1 for three polls makes it count, and 1 then presses "left_trigger". The device's
own thread.
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
_STILL_POLLS, _JITTER = 3, 0.05
"""An axis is at rest when it stays within the one for as many polls. Guess; polls come about 100 times a second."""
_TRIGGERS = frozenset({2, 5})
"""Axes, in xpad's order, that are triggers."""


class RestingAxes:
    """Which axes of a joystick were seen at rest, and count.

    Args:
        places: where each axis is when the joystick is plugged in, -1..1.
    """

    def __init__(self, places: Sequence[float]) -> None:
        self._anchors = {axis: (place, 0) for axis, place in enumerate(places)}
        """Axis -> where it stays, and for how many polls."""
        self._reported: set[int] = set()
        self.resting: set[int] = set()
        """Axes that count, in the joystick's order."""

    def look(self) -> None:
        """Notice which axes are at rest; called once per poll."""
        for axis, (place, polls) in self._anchors.items():
            self._anchors[axis] = place, polls + 1
            if polls + 1 >= _STILL_POLLS and _is_rest(axis, place):
                self.resting.add(axis)

    def counts(self, axis: int, value: float) -> bool:
        """Take a report of an axis, -1..1, and return whether it counts."""
        if axis not in RAW_AXES:
            return False
        if abs(value - self._anchors.get(axis, (value, 0))[0]) > _JITTER:
            self._anchors[axis] = value, 0
        if axis not in self._reported and value <= -1.0 + _JITTER and axis not in _TRIGGERS:
            # It stood at 0 because nothing had been reported: a pedal, or a throttle, whose rest is here.
            self.resting.discard(axis)
        if value:  # SDL itself sends a 0 before the first report.
            self._reported.add(axis)
        return axis in self.resting


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
