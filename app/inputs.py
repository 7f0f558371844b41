"""Every device of the operator behind one signal.

The keyboard is Qt's; gamepads and SpaceMice are polled by a timer. A control becomes an intent by the one input map, in the
scope of the layout that is shown. An unplugged device releases what it held and is reported. Devices are heard while another
window has the focus, but then they can only hold. GUI thread.
"""

import dataclasses
import time
from collections.abc import Sequence

from app.actions import ACTIONS, default_map
from app.keymap import Keyboard
from app.qt import QtCore, QtWidgets, Signal
from frs_core.devices.base import ControlChange, DeviceNotice, InputDevice, Stage
from frs_core.devices.intent import InputMap, Intent

POLL_MS = 8
IDLE_POLL_MS = 400
"""How often to look for a device when none is connected."""
HOLD = "drive.hold"


class Inputs(QtCore.QObject):
    """Keyboard and devices of one window.

    Args:
        window: whose keys are meant.
        overrides: the operator's own bindings.
        devices: polled devices.
    """

    intended = Signal(object)
    """An Intent."""
    control_changed = Signal(object)
    """Every ControlChange, bound or not, for the editor and the live image."""
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
        """While a card or the palette is open only Hold and Escape reach the cockpit."""
        self.is_moving = False
        """While the robot moves, or may move without another act, Hold keys win even over text fields and cards."""
        self.devices: list[InputDevice] = list(devices)
        self.keyboard = Keyboard(window, wants=self._wants, always=self._always)
        self.keyboard.control_changed.connect(self._on_change)
        self.keyboard.all_released.connect(self.released_all)
        self._window = window
        self._down: dict[str, str] = {}
        self._looked_ns = time.monotonic_ns()
        """When the devices were last asked."""
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.poll)

    def start(self) -> None:
        """Begin to poll."""
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
        """Hand on what the devices did since the last call; it may be as old as that."""
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
        """Bind an action to other controls; ConfigError when one is taken."""
        self.map.rebind(action, controls)
        self.map_changed.emit()

    def reset(self, action: str | None = None) -> None:
        """Return one action, or all, to the defaults."""
        self.map.reset(action)
        self.map_changed.emit()

    def _wants(self, control: str) -> bool:
        action = self.map.action(control, scope=self.scope)
        if action is None:
            return False
        return not self.is_overlay_open or action in (HOLD, "help.keys", "help.palette", "app.quit")

    def _always(self, control: str) -> bool:
        if control not in self.map.controls(HOLD):
            return False
        types_text = control == "key:Space" or len(control) == len("key:x")
        return self.is_moving or not types_text

    def _is_heard(self) -> bool:
        """Whether devices may do more than hold: whoever holds one looks at this window, and at no card or question."""
        return self._window.isActiveWindow() and not self.is_overlay_open

    def _on_change(self, change: ControlChange) -> None:
        # The editor stops listening when it takes a control, which must not be acted on as well.
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
