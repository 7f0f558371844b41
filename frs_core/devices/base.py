"""What the product needs from an input device, whatever it is plugged into.

Problem: a d-pad, a stick and a 3D mouse all mean "left", and a stick on its way means "perhaps left". Idea: a device reports
named *controls* ("pad:left_stick_left") that are released, hinted (half-pressed) or pressed; `intent.InputMap` turns
controls into actions. Analogue axes become one dominant control with dead zone and hysteresis, so that a wobble is not a pick.

Example: a stick at x = -0.3 hints "left"; at -0.5 it presses "left"; back at -0.4 it still presses; at -0.25 it hints again.
`poll` is called from one thread (the GUI's, by a timer); devices that block own a thread of their own behind it.
"""

import abc
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


class Stage(enum.Enum):
    """How far a control is pressed."""

    RELEASED = "released"
    HINTED = "hinted"
    """On its way: highlights a candidate, picks nothing."""
    PRESSED = "pressed"


@dataclass(frozen=True, slots=True)
class ControlChange:
    """A control went to another stage."""

    device: str
    """Kind of the device: "gamepad", "spacemouse"."""
    control: str
    """Name within the input map, e.g. "pad:a"."""
    stage: Stage
    value: float
    """0..1."""
    at_ns: int
    """time.monotonic_ns()."""


@dataclass(frozen=True, slots=True)
class DeviceNotice:
    """A device came or went."""

    device: str
    name: str
    is_connected: bool


DeviceEvent = ControlChange | DeviceNotice


class InputDevice(abc.ABC):
    """A kind of hardware that can be plugged and unplugged at any time."""

    kind: str
    """Short name used in records, and in the registry."""
    title: str
    """For panel, help sheet and key editor."""
    prefix: str
    """Of its controls, before the colon; no other device has it."""
    controls: tuple[str, ...]
    """Every control it can report, "prefix:name", for the editor and the live picture."""
    bindings: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Action id -> controls that do it by default."""

    @abc.abstractmethod
    def poll(self) -> list[DeviceEvent]:
        """Return what happened since the last call, oldest first; never blocks, never raises for an unplugged device."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the connected devices of this kind."""

    @property
    @abc.abstractmethod
    def status(self) -> str:
        """One sentence for the devices panel: what is connected, or how to get it connected."""

    @property
    @abc.abstractmethod
    def levels(self) -> Mapping[str, float]:
        """Present value 0..1 of each control, for the live picture."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free the hardware; safe to call twice."""


class DominantAxis:
    """Turns signed axes into at most one control at a time.

    Args:
        pairs: per axis, the control of its negative and of its positive side.
        hint: magnitude from which a side is hinted.
        enter: magnitude from which it is pressed.
        leave: magnitude under which a pressed side is no longer pressed.
        dominance: factor by which the strongest axis must beat the second.

    Thresholds are guesses (reference: device notes §4.1) and want a trial on hardware.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        hint: float = 0.20,
        enter: float = 0.45,
        leave: float = 0.30,
        dominance: float = 1.3,
    ) -> None:
        self.pairs = tuple(pairs)
        self.hint, self.enter, self.leave, self.dominance = hint, enter, leave, dominance
        self.control: str | None = None
        self.stage = Stage.RELEASED

    def update(self, values: Sequence[float]) -> list[tuple[str, Stage, float]]:
        """Return the stage changes caused by new axis values (-1..1), releases first."""
        control, stage, value = self._read(values)
        if (control, stage) == (self.control, self.stage):
            return []
        changes: list[tuple[str, Stage, float]] = []
        if self.control is not None and self.control != control:
            changes.append((self.control, Stage.RELEASED, 0.0))
        if control is not None:
            changes.append((control, stage, value))
        self.control, self.stage = control, stage
        return changes

    def release(self) -> list[tuple[str, Stage, float]]:
        """Return the changes of letting go, e.g. when the device is unplugged."""
        return self.update([0.0] * len(self.pairs))

    def _read(self, values: Sequence[float]) -> tuple[str | None, Stage, float]:
        magnitudes = [abs(v) for v in values]
        if self.stage is Stage.PRESSED:
            index, side = self._index_of(self.control)
            held = values[index] * side
            others = max((m for i, m in enumerate(magnitudes) if i != index), default=0.0)
            if held >= self.leave and others < held * self.dominance:
                return self.control, Stage.PRESSED, min(1.0, held)
        order = sorted(range(len(values)), key=lambda i: magnitudes[i], reverse=True)
        best = order[0]
        second = magnitudes[order[1]] if len(order) > 1 else 0.0
        if magnitudes[best] < self.hint:
            return None, Stage.RELEASED, 0.0
        name = self.pairs[best][1 if values[best] > 0 else 0]
        is_clear = magnitudes[best] >= second * self.dominance
        stage = Stage.PRESSED if magnitudes[best] >= self.enter and is_clear else Stage.HINTED
        return name, stage, min(1.0, magnitudes[best])

    def _index_of(self, control: str | None) -> tuple[int, int]:
        for i, (negative, positive) in enumerate(self.pairs):
            if control == negative:
                return i, -1
            if control == positive:
                return i, 1
        raise LookupError(control)
