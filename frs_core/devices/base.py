"""The interface that every input device implements.

Problem: a d-pad, a stick and a 3D mouse can all mean "left", and a stick that is half way means "perhaps left". Idea: a device
reports named *controls* ("pad:left_stick_left") that are released, hinted (half pressed) or pressed; `intent.InputMap` maps
controls to actions. Analogue axes are reduced to one dominant control with a dead zone and hysteresis, so that a small
movement does not pick anything.

Example: a stick at x = -0.3 hints "left"; at -0.5 it presses "left"; back at -0.4 it is still pressed; at -0.25 it hints again.
`poll` is called from one thread (a timer in the GUI thread); a device whose reads block runs its own reading thread.
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
    """Partly pressed: highlights a candidate, picks nothing."""
    PRESSED = "pressed"


@dataclass(frozen=True, slots=True)
class ControlChange:
    """A control changed its stage."""

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
    """A device was plugged in or unplugged."""

    device: str
    name: str
    is_connected: bool


DeviceEvent = ControlChange | DeviceNotice


class InputDevice(abc.ABC):
    """A kind of hardware that can be plugged and unplugged at any time."""

    kind: str
    """Short name, used in recordings and in the registry."""
    title: str
    """Shown in the devices panel, the help sheet and the key editor."""
    prefix: str
    """Prefix of its control names (before the colon); unique to this device."""
    controls: tuple[str, ...]
    """Every control it can report, as "prefix:name"."""
    bindings: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Action id -> its default controls."""

    @abc.abstractmethod
    def poll(self) -> list[DeviceEvent]:
        """Return the events since the last call, oldest first. Never blocks; an unplugged device does not raise."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the connected devices of this kind."""

    @property
    @abc.abstractmethod
    def status(self) -> str:
        """One sentence for the devices panel: what is connected, or how to connect it."""

    @property
    @abc.abstractmethod
    def levels(self) -> Mapping[str, float]:
        """Current value of each control, 0..1, for the live display."""

    @abc.abstractmethod
    def close(self) -> None:
        """Free the hardware; safe to call twice."""


class DominantAxis:
    """Reduces signed axes to at most one active control.

    Args:
        pairs: for each axis, the controls of its negative and its positive side.
        hint: a side is hinted from this magnitude.
        enter: it is pressed from this magnitude.
        leave: it stops being pressed below this magnitude.
        dominance: the strongest axis must exceed the second by this factor.

    The thresholds are guesses and have not been tried on hardware.
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
        """Return the stage changes that new axis values (-1..1) cause, releases first."""
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
        """Release the active control, e.g. when the device is unplugged, and return the changes."""
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
