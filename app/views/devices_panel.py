"""The card with the state of the input devices and the key editor.

Controls light up fully when pressed and half when hinted. GUI thread.
"""

from collections.abc import Callable

from app import theme
from app.actions import ACTIONS, DEVICES, key_cap
from app.boxes import Column
from app.inputs import Inputs
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.key_editor import KeyEditor
from app.views.overlay import Card
from app.views.widgets import label

CAPS_IN_ROW = 10
"""Controls of a device per row of the panel."""
ROW_PX = 23


class ControlLights(QtWidgets.QWidget):
    """A row of caps, one per control, filled by how far it is pressed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._controls: list[tuple[str, str]] = []
        self._levels: dict[str, float] = {}
        theme.on_scale(self, lambda lights: lights.setMinimumHeight(theme.px(64)))
        self.setAccessibleName(name)

    def show_levels(self, controls: list[tuple[str, str]], levels: dict[str, float]) -> None:
        """Show (control, text) pairs with their levels 0..1."""
        if controls != self._controls or levels != self._levels:
            self._controls, self._levels = controls, dict(levels)
            self.update()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw the caps in as many rows as they need."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        tokens = theme.current()
        font = painter.font()
        font.setPixelSize(theme.px(11))
        painter.setFont(font)
        metrics = QtGui.QFontMetricsF(font)
        x, y = 0.0, 0.0
        for control, text in self._controls:
            width = metrics.horizontalAdvance(text) + theme.px(12)
            if x + width > self.width():
                x, y = 0.0, y + theme.px(ROW_PX)
            level = min(1.0, self._levels.get(control, 0.0))
            box = QtCore.QRectF(x + 0.5, y + 0.5, width, theme.px(20))
            painter.setPen(theme.colour(tokens.accent if level > 0.2 else tokens.line))
            painter.setBrush(theme.colour(tokens.window))
            painter.drawRoundedRect(box, theme.px(4), theme.px(4))
            if level > 0.02:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(theme.colour(tokens.accent, 255 if level > 0.45 else 120))
                filled = QtCore.QRectF(box.left(), box.top(), box.width() * level, box.height())
                painter.drawRoundedRect(filled, theme.px(4), theme.px(4))
            painter.setPen(theme.colour(theme.ink_on(tokens.accent) if level > 0.9 else tokens.text))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
            x += width + theme.px(4)


class DevicesPanel(Card):
    """State of keyboard, gamepads and SpaceMice, and below it the key editor.

    Args:
        inputs: devices and map.
        save: called after each change of the map.
    """

    def __init__(self, inputs: Inputs, *, save: Callable[[], None]) -> None:
        super().__init__()
        self._inputs = inputs
        self.editor = KeyEditor(inputs, save=save)
        self._lights: dict[str, ControlLights] = {}
        self._status: dict[str, QtWidgets.QLabel] = {}
        column = Column(self)
        column.addWidget(label("Keys and devices", "title"))
        for kind in ("keyboard", *(device.kind for device in DEVICES)):
            self._status[kind] = label("", wrap=True)
            self._lights[kind] = ControlLights(kind)
            count = next((len(d.controls) for d in DEVICES if d.kind == kind), CAPS_IN_ROW + 1)
            rows = -(-count // CAPS_IN_ROW)
            theme.on_scale(self._lights[kind], lambda lights, n=rows: lights.setMinimumHeight(theme.px(ROW_PX * n - 1)))
            column.addWidget(self._status[kind])
            column.addWidget(self._lights[kind])
        column.addWidget(self.editor, 1)
        column.addWidget(label("Esc closes this. While an action waits for a key, Esc is assigned to it", "caption"))
        theme.on_scale(self, lambda panel: panel.setMinimumSize(theme.px(900), theme.px(640)))
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._show)

    def refresh(self) -> None:
        """Show the current map and devices."""
        self.editor.refresh()
        self._show()

    def showEvent(self, event: QtGui.QShowEvent | None) -> None:
        """Start updating."""
        self._timer.start(50)

    def hideEvent(self, event: QtGui.QHideEvent | None) -> None:
        """Stop updating."""
        self._timer.stop()
        self.editor.stop()

    def _show(self) -> None:
        held = self._inputs.keyboard.held
        keys = [
            (c, key_cap(c[4:]))
            for row in ACTIONS.values()
            if row.scope == "drive"
            for c in self._inputs.map.controls(row.id)
            if c.startswith("key:") and "+" not in c
        ]
        self._status["keyboard"].setText("Keyboard")
        self._lights["keyboard"].show_levels(keys, dict.fromkeys(held, 1.0))
        by_kind = {device.kind: device for device in self._inputs.devices}
        for kind, title in ((cls.kind, cls.title) for cls in DEVICES):
            device = by_kind.get(kind)
            self._status[kind].setText(f"{title}: {device.status if device else 'not in use'}")
            controls = [(c, c.partition(":")[2].replace("_", " ")) for c in device.controls] if device else []
            self._lights[kind].show_levels(controls, dict(device.levels) if device else {})
