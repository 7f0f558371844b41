"""Combine all input devices of the operator in one signal.

Qt reads the keyboard; a timer polls gamepads and SpaceMice. The input map converts controls to intents, in the scope of the
current layout. An unplugged device releases its controls and is reported. While another window has the focus, devices can
only hold. GUI thread.
"""

import dataclasses
import re
import time
from collections.abc import Sequence

from app.actions import ACTIONS, ANY_SCOPE, default_map
from app.keymap import Keyboard
from app.qt import QtCore, QtWidgets, Signal
from frs_core.devices.base import ControlChange, DeviceNotice, InputDevice, Stage
from frs_core.devices.intent import InputMap, Intent

POLL_MS = 8
IDLE_POLL_MS = 400
"""How often to look for a device when none is connected."""
HOLD = "drive.hold"
_COMMAND = re.compile(r"key:(Ctrl\+|Alt\+|(Shift\+)?F\d)")
"""Keys that type nothing."""


class Inputs(QtCore.QObject):
    """Keyboard and devices of one window.

    Args:
        window: its key events are read.
        overrides: the operator's own bindings.
        devices: polled devices.
    """

    intended = Signal(object)
    """An Intent."""
    control_changed = Signal(object)
    """Every ControlChange, bound or not, for the key editor and the devices panel."""
    device_lost = Signal(str)
    device_found = Signal(str)
    released_all = Signal()
    map_changed = Signal()

    def __init__(
        self,
        window: QtWidgets.QWidget,
        *,
        overrides: dict[str, list[str]] | None = None,
        devices: Sequence[InputDevice] = (),
    ) -> None:
        super().__init__(window)
        self.map: InputMap = default_map(overrides)
        self.scope = "drive"
        self.is_overlay_open = False
        """While a card or the palette is open, only Hold, Escape and the commands of the whole window reach the cockpit."""
        self.is_moving = False
        """While the robot moves, or may move without another act, Hold keys work even in text fields and cards."""
        self.devices: list[InputDevice] = list(devices)
        self.keyboard = Keyboard(window, wants=self._wants, always=self._always, urgent=self._is_urgent)
        self.keyboard.control_changed.connect(self._on_change)
        self.keyboard.all_released.connect(self.released_all)
        self._window = window
        self._down: dict[str, str] = {}
        self._looked_ns = time.monotonic_ns()
        """When the devices were last polled."""
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.poll)

    def start(self) -> None:
        """Start polling."""
        if self.devices:
            self._looked_ns = time.monotonic_ns()
            self._timer.start(IDLE_POLL_MS)

    def stop(self) -> None:
        """Stop polling and free the devices."""
        self._timer.stop()
        self.keyboard.stop()
        for device in self.devices:
            device.close()
        self.devices = []

    def add(self, device: InputDevice) -> None:
        """Poll one more device."""
        self.devices.append(device)
        self._looked_ns = time.monotonic_ns()
        self._timer.start(POLL_MS)

    def poll(self) -> None:
        """Forward the events of the devices since the last call, dated no later than that call."""
        since_ns, self._looked_ns = self._looked_ns, time.monotonic_ns()
        for device in self.devices:
            for event in device.poll():
                if isinstance(event, DeviceNotice):
                    (self.device_found if event.is_connected else self.device_lost).emit(event.name)
                else:
                    self._on_change(dataclasses.replace(event, at_ns=min(event.at_ns, since_ns)))
        interval = POLL_MS if any(d.names for d in self.devices) else IDLE_POLL_MS
        if self._timer.isActive() and self._timer.interval() != interval:
            self._timer.setInterval(interval)

    def rebind(self, action: str, controls: Sequence[str]) -> None:
        """Bind an action to other controls; ConfigError if one is already bound."""
        self.map.rebind(action, controls)
        self.map_changed.emit()

    def reset(self, action: str | None = None) -> None:
        """Reset one action, or all, to the defaults."""
        self.map.reset(action)
        self.map_changed.emit()

    def _wants(self, control: str) -> bool:
        action = self.map.action(control, scope=self.scope)
        if action is None:
            return False
        if not self.is_overlay_open or action in (HOLD, "help.keys", "help.palette", "app.quit"):
            return True
        # As from the menus, which a card does not cover: the window's own commands, by keys that no card uses.
        return ACTIONS[action].scope == ANY_SCOPE and bool(_COMMAND.match(control))

    def _always(self, control: str) -> bool:
        if control not in self.map.controls(HOLD):
            return False
        types_text = control == "key:Space" or len(control) == len("key:x")
        return self.is_moving or not types_text

    def _is_urgent(self, control: str) -> bool:
        return self.is_moving and control in self.map.controls(HOLD)

    def _is_heard(self) -> bool:
        """Whether devices may do more than hold: the window has the focus and no card is open."""
        return self.keyboard.is_active and not self.is_overlay_open

    def _on_change(self, change: ControlChange) -> None:
        # The editor stops capturing when it takes a control, which must not be executed as well.
        was_capturing = self.keyboard.is_capturing
        self.control_changed.emit(change)
        if was_capturing:
            return
        if change.stage is Stage.RELEASED:
            action = self._down.pop(change.control, None)
        else:
            action = self.map.action(change.control, scope=self.scope)
            if change.device != "keyboard" and action != HOLD and not self._is_heard():
                action = None
            if action is not None:
                self._down[change.control] = action
        if action is not None and action in ACTIONS:
            self.intended.emit(Intent(action, change.stage, change.device, change.control, change.value, change.at_ns))
