"""Gamepads through pygame's SDL, hot-plugged, all of them behind one `InputDevice`.

Problem: gamepads number their buttons differently, pedals and throttles rest where a stick would be pushed, and all can be unplugged in
the middle of a chunk. Idea: SDL's own mapping ("controller") names the buttons of the pads it knows. A joystick without one is a pad only
when it has the shape of Linux' xpad driver and no name of another device. Axes count once they were seen at rest where a stick's or a
trigger's rest is, those of a mapped pad too: a stick that drifts would pick. Each stick is reduced to one dominant direction. Unplugging releases every control and sends a `DeviceNotice`.

Example: pushing the left stick of pad "Xbox" to the left yields HINTED then PRESSED of "pad:left_stick_left".
pygame must be polled on the thread that initialised it: call everything from one thread (the GUI's). About 1 us per poll.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from frs_core.devices.base import ControlChange, DeviceEvent, DeviceNotice, DominantAxis, InputDevice, Stage
from frs_core.devices.raw_pad import RAW_AXES, RAW_BUTTONS, RestingAxes, is_centred, is_pad
from frs_core.errors import DeviceError

_ENVIRONMENT = {
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS": "1",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    # Otherwise SIGTERM no longer ends the process: SDL turns it into an event.
    "SDL_NO_SIGNAL_HANDLERS": "1",
}

BUTTONS: Mapping[int, str] = MappingProxyType(
    {
        0: "a",
        1: "b",
        2: "x",
        3: "y",
        4: "back",
        5: "guide",
        6: "start",
        7: "left_stick",
        8: "right_stick",
        9: "left_shoulder",
        10: "right_shoulder",
        11: "dpad_up",
        12: "dpad_down",
        13: "dpad_left",
        14: "dpad_right",
    }
)
"""SDL controller button -> control. Source: SDL_GameControllerButton."""
_STICKS = {"left_stick": (0, 1), "right_stick": (2, 3)}
_TRIGGERS = {4: "left_trigger", 5: "right_trigger"}
_TRIGGER_ENTER, _TRIGGER_LEAVE = 0.5, 0.35
_SPACEMOUSE_VENDORS = {0x256F}
"""3D mice appear as joysticks too; `spacemouse` handles them."""

CONTROLS = (
    *(f"pad:{name}" for name in BUTTONS.values()),
    *(f"pad:{stick}_{side}" for stick in _STICKS for side in ("left", "right", "up", "down")),
    *(f"pad:{name}" for name in _TRIGGERS.values()),
)


class Gamepad(InputDevice):
    """Every connected gamepad."""

    kind = "gamepad"
    title = "Gamepad"
    prefix = "pad"
    controls = CONTROLS
    bindings = MappingProxyType(
        {
            "steer.forward": (
                "pad:dpad_up",
                "pad:left_stick_up",
            ),
            "steer.back": (
                "pad:dpad_down",
                "pad:left_stick_down",
            ),
            "steer.left": (
                "pad:dpad_left",
                "pad:left_stick_left",
            ),
            "steer.right": (
                "pad:dpad_right",
                "pad:left_stick_right",
            ),
            "steer.up": ("pad:right_stick_up",),
            "steer.down": ("pad:right_stick_down",),
            "steer.other_step": ("pad:left_trigger",),
            "pick.unsteered": ("pad:x",),
            "pick.learned": ("pad:y",),
            "gripper.toggle": (
                "pad:left_shoulder",
                "pad:right_shoulder",
            ),
            "pick.stay_close": ("pad:right_trigger",),
            "pick.stay_open": ("pad:right_stick",),
            "chunk.back": ("pad:back",),
            "drive.hold": ("pad:start",),
            "episode.success": ("pad:a",),
            "episode.failure": ("pad:b",),
        }
    )

    def __init__(self) -> None:
        """Start SDL's joystick subsystem.

        Raises:
            DeviceError: pygame is missing, or SDL does not start.
        """
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            with warnings.catch_warnings():
                # pygame 2.6 reads its own data by way of pkg_resources, which warns whoever imports it, and so the operator's terminal.
                warnings.filterwarnings("ignore", "pkg_resources is deprecated")
                import pygame
            from pygame._sdl2 import controller
        except ImportError as error:
            raise DeviceError(
                f"Gamepads need pygame, which cannot be imported: {error}. Install it with `pip install pygame`."
            ) from error
        self._pygame: Any = pygame
        self._controller: Any = controller
        try:
            pygame.display.init()
            pygame.joystick.init()
            controller.init()
        except pygame.error as error:
            raise DeviceError(f"Gamepads cannot be read: {error}. Check the permissions of /dev/input.") from error
        self._pads: dict[int, _Pad] = {}
        self._others: dict[int, str] = {}
        """Joysticks that are not used, by instance."""
        self._is_open = True

    def poll(self) -> list[DeviceEvent]:
        """Return the new events; see InputDevice."""
        if not self._is_open:
            return []
        pygame, found = self._pygame, []
        for event in pygame.event.get():
            if event.type == pygame.JOYDEVICEADDED:
                found += self._add(event.device_index)
            elif event.type == pygame.JOYDEVICEREMOVED:
                found += self._remove(event.instance_id)
            else:
                found += self._input(event)
        for pad in self._pads.values():
            pad.look()
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the connected pads."""
        return tuple(pad.name for pad in self._pads.values())

    @property
    def status(self) -> str:
        """Which pads are connected."""
        unused = "; ".join(
            f"'{name}' is not used: SDL has no gamepad mapping for it (give one in SDL_GAMECONTROLLERCONFIG)"
            for name in self._others.values()
        )
        used = (
            f"Connected: {', '.join(self.names)}"
            if self._pads
            else ""
            if unused
            else "No gamepad; plug one in at any time"
        )
        drifting = "; ".join(
            f"the {stick.replace('_', ' ')} of '{pad.name}' is not used until it was seen at rest ({'let go of it' if pad.is_mapped else 'move it a little, then let go'}; one that drifts needs calibration)"
            for pad in self._pads.values()
            for stick in pad.restless
        )
        pulled = "; ".join(
            f"the {trigger.replace('_', ' ')} of '{pad.name}' is not used: it was pulled when it first reported (plug the pad in again without touching it; a pedal stays unused)"
            for pad in self._pads.values()
            for trigger in pad.pulled
        )
        return "; ".join(text for text in (used, drifting, pulled, unused) if text)

    @property
    def levels(self) -> Mapping[str, float]:
        """Current value of each control that is not at rest."""
        merged: dict[str, float] = {}
        for pad in self._pads.values():
            merged.update(pad.levels)
        return merged

    def close(self) -> None:
        """Stop SDL."""
        if self._is_open:
            self._is_open = False
            for pad in self._pads.values():
                pad.close()
            self._pads.clear()
            with contextlib.suppress(self._pygame.error):
                self._controller.quit()
                self._pygame.joystick.quit()
                self._pygame.display.quit()

    def _add(self, device_index: int) -> list[DeviceEvent]:
        try:
            joystick = self._pygame.joystick.Joystick(device_index)
        except self._pygame.error:
            # It was unplugged before it could be opened; a removal event follows.
            return []
        if _is_spacemouse(joystick) or joystick.get_instance_id() in self._pads:
            return []
        controller = self._controller.Controller(device_index) if self._controller.is_controller(device_index) else None
        if controller is None and not is_pad(joystick):
            self._others[joystick.get_instance_id()] = joystick.get_name()
            return []
        pad = _Pad(joystick, controller)
        self._pads[joystick.get_instance_id()] = pad
        return [DeviceNotice(self.kind, pad.name, True)]

    def _remove(self, instance: int) -> list[DeviceEvent]:
        self._others.pop(instance, None)
        pad = self._pads.pop(instance, None)
        if pad is None:
            return []
        released = pad.release_all()
        pad.close()
        return [*released, DeviceNotice(self.kind, pad.name, False)]

    def _input(self, event: Any) -> list[DeviceEvent]:
        pad = self._pads.get(getattr(event, "instance_id", -1))
        if pad is None:
            return []
        pygame = self._pygame
        if pad.is_mapped:
            if event.type in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
                return pad.button(BUTTONS.get(event.button), event.type == pygame.CONTROLLERBUTTONDOWN)
            if event.type == pygame.CONTROLLERAXISMOTION:
                return pad.mapped_axis(event.axis, event.value / 32767.0)
            return []
        if event.type in (pygame.JOYBUTTONDOWN, pygame.JOYBUTTONUP):
            return pad.button(RAW_BUTTONS.get(event.button), event.type == pygame.JOYBUTTONDOWN)
        if event.type == pygame.JOYAXISMOTION:
            return pad.raw_axis(event.axis, event.value)
        if event.type == pygame.JOYHATMOTION:
            return pad.hat(event.value)
        return []


class _Pad:
    """One pad: its buttons, sticks and triggers as controls."""

    def __init__(self, joystick: Any, controller: Any) -> None:
        self.name: str = joystick.get_name()
        self.is_mapped = controller is not None
        self.levels: dict[str, float] = {}
        self._joystick, self._controller = joystick, controller
        self._down: set[str] = set()
        self._values = dict.fromkeys(range(8), 0.0)
        self._rest = RestingAxes()
        self._mapped_resting: set[int] = set()
        """SDL controller axes that were seen at rest."""
        self._sticks = {
            name: DominantAxis([(f"pad:{name}_left", f"pad:{name}_right"), (f"pad:{name}_up", f"pad:{name}_down")])
            for name in _STICKS
        }
        self.look()

    @property
    def restless(self) -> tuple[str, ...]:
        """Sticks that were not seen at rest yet, and do not count."""
        resting = self._mapped_resting if self.is_mapped else {RAW_AXES[axis] for axis in self._rest.resting}
        return tuple(name for name, axes in _STICKS.items() if not resting.issuperset(axes))

    @property
    def pulled(self) -> tuple[str, ...]:
        """Triggers that were pulled at their first report, and never count."""
        return tuple(_TRIGGERS[RAW_AXES[axis]] for axis in sorted(self._rest.pedals))

    def close(self) -> None:
        """Close the SDL joystick."""
        with contextlib.suppress(Exception):
            self._joystick.quit()

    def button(self, name: str | None, is_down: bool) -> list[DeviceEvent]:
        """Return the change of a button."""
        if name is None:
            return []
        control = f"pad:{name}"
        if is_down == (control in self._down):
            return []
        return [self._change(control, Stage.PRESSED if is_down else Stage.RELEASED, float(is_down))]

    def hat(self, value: tuple[int, int]) -> list[DeviceEvent]:
        """Return the changes of a raw hat (right and up positive)."""
        wanted = {
            "dpad_left": value[0] < 0,
            "dpad_right": value[0] > 0,
            "dpad_up": value[1] > 0,
            "dpad_down": value[1] < 0,
        }
        return [change for name, is_down in wanted.items() for change in self.button(name, is_down)]

    def axis(self, axis: int, value: float) -> list[DeviceEvent]:
        """Return the changes of an axis, -1..1 (down and right positive); triggers 0..1."""
        if axis in _TRIGGERS:
            control = f"pad:{_TRIGGERS[axis]}"
            level = value if self.is_mapped else (value + 1) / 2
            is_down = level > (_TRIGGER_LEAVE if control in self._down else _TRIGGER_ENTER)
            self.levels[control] = max(0.0, level)
            return self.button(_TRIGGERS[axis], is_down)
        self._values[axis] = value
        found: list[DeviceEvent] = []
        for name, (x, y) in _STICKS.items():
            if axis in (x, y):
                changes = self._sticks[name].update([self._values[x], self._values[y]])
                found += [self._change(*change) for change in changes]
                self._show_stick(name, self._values[x], self._values[y])
        return found

    def look(self) -> None:
        """Notice which axes are at rest; called once per poll."""
        if not self.is_mapped:
            self._rest.look([self._joystick.get_axis(i) for i in range(self._joystick.get_numaxes())])
            return
        for axis in (*_TRIGGERS, *(a for pair in _STICKS.values() for a in pair)):
            if axis not in self._mapped_resting and is_centred(self._controller.get_axis(axis) / 32767.0):
                self._mapped_resting.add(axis)

    def mapped_axis(self, axis: int, value: float) -> list[DeviceEvent]:
        """Return the changes of an axis of SDL's mapping; nothing before it was seen at rest."""
        if is_centred(value):
            self._mapped_resting.add(axis)
        return self.axis(axis, value) if axis in self._mapped_resting else []

    def raw_axis(self, axis: int, value: float) -> list[DeviceEvent]:
        """Return the changes of a joystick's axis, -1..1, in xpad's order; nothing before it was seen at rest."""
        return self.axis(RAW_AXES[axis], value) if self._rest.counts(axis, value) else []

    def release_all(self) -> list[DeviceEvent]:
        """Return the releases of everything that is down."""
        found: list[DeviceEvent] = []
        for stick in self._sticks.values():
            found += [self._change(*change) for change in stick.release()]
        found += [self._change(control, Stage.RELEASED, 0.0) for control in sorted(self._down)]
        self.levels.clear()
        return found

    def _show_stick(self, name: str, x: float, y: float) -> None:
        for side, value in (("left", -x), ("right", x), ("up", -y), ("down", y)):
            self.levels[f"pad:{name}_{side}"] = max(0.0, min(1.0, value))

    def _change(self, control: str, stage: Stage, value: float) -> ControlChange:
        if stage is Stage.PRESSED:
            self._down.add(control)
        else:
            self._down.discard(control)
        self.levels[control] = value
        return ControlChange("gamepad", control, stage, value, time.monotonic_ns())


def _is_spacemouse(joystick: Any) -> bool:
    """Whether SDL's GUID names a 3D mouse's vendor (bytes 4 and 5, little endian)."""
    guid = joystick.get_guid()
    vendor = int(guid[10:12] + guid[8:10], 16) if len(guid) >= 12 else 0
    return vendor in _SPACEMOUSE_VENDORS or (vendor == 0x046D and "space" in joystick.get_name().lower())
