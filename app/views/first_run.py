"""The introduction on the first start: four sentences and the most important keys. GUI thread."""

from collections.abc import Callable

from app import theme
from app.actions import cap_of
from app.boxes import Column
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.overlay import Card
from app.views.widgets import label
from frs_core.devices.intent import InputMap
from frs_core.steering.directions import Direction

SENTENCES = (
    "The curves on the images are what the policy can do next, one per direction. Nothing moves until you pick one.",
    "An arrow key picks the curve with that arrow. Enter lets the policy act without steering.",
    "Label each episode. With ten successes you can train a noise policy in the Train layout; it joins the fan as ★.",
    "Space or Esc is Hold: a software hold that keeps the arm where it is. It is not an emergency stop.",
)


class ArrowDiagram(QtWidgets.QWidget):
    """The six direction keys, Enter and Space, drawn in the colours of the overlay."""

    def __init__(self) -> None:
        super().__init__()
        theme.on_scale(self, lambda diagram: diagram.setFixedSize(theme.px(520), theme.px(150)))
        self._caps: dict[str, str] = {}

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        wanted = [*(f"steer.{d.value}" for d in Direction), "pick.unsteered", "pick.learned", "drive.hold"]
        self._caps = {a: cap_of(a, inputs) for a in wanted}
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw the caps."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.scale(theme.scale(), theme.scale())
        place = {
            Direction.FORWARD: (1, 0),
            Direction.LEFT: (0, 1),
            Direction.BACK: (1, 1),
            Direction.RIGHT: (2, 1),
            Direction.UP: (3.4, 0),
            Direction.DOWN: (3.4, 1),
        }
        for direction, (x, y) in place.items():
            self._cap(
                painter,
                QtCore.QRectF(x * 62, y * 54, 58, 50),
                self._caps.get(f"steer.{direction.value}", ""),
                direction.value,
                theme.DIRECTION_CORE[direction],
            )
        for i, (action, name, colour) in enumerate(
            (("pick.unsteered", "unsteered", theme.UNSTEERED_CORE), ("pick.learned", "learned ★", theme.LEARNED_CORE))
        ):
            self._cap(painter, QtCore.QRectF(300 + i * 84, 0, 80, 50), self._caps.get(action, ""), name, colour)
        self._cap(
            painter, QtCore.QRectF(300, 54, 164, 50), self._caps.get("drive.hold", ""), "HOLD", theme.DARK.state["hold"]
        )

    def _cap(self, painter: QtGui.QPainter, box: QtCore.QRectF, cap: str, name: str, colour: str) -> None:
        painter.setPen(QtGui.QPen(theme.colour(colour), 2))
        painter.setBrush(theme.colour(theme.HALO))
        painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 6, 6)
        painter.setPen(theme.colour(colour))
        font = painter.font()
        font.setPixelSize(16)
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(box.adjusted(0, 4, 0, -18), Qt.AlignmentFlag.AlignCenter, cap)
        font.setPixelSize(11)
        font.setBold(False)
        painter.setFont(font)
        painter.drawText(box.adjusted(0, 26, 0, -2), Qt.AlignmentFlag.AlignCenter, name)


class FirstRunCard(Card):
    """Four sentences, the keys, one button."""

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self.diagram = ArrowDiagram()
        column = Column(self, margins=(28, 22, 28, 20), spacing=12)
        column.addWidget(label("Steer a generalist robot policy", "big"))
        for i, sentence in enumerate(SENTENCES, 1):
            line = label(f"{i}   {sentence}", "sentence", wrap=True)
            column.addWidget(line)
        column.addWidget(self.diagram, 0, Qt.AlignmentFlag.AlignHCenter)
        self.button = QtWidgets.QPushButton("Begin")
        self.button.setProperty("role", "primary")
        self.button.clicked.connect(lambda _checked=False: close())
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignRight)
        theme.on_scale(self, FirstRunCard._use_scale)
        self.setFocusProxy(self.button)

    def keyPressEvent(self, event: QtGui.QKeyEvent | None) -> None:
        """Begin on Enter; Space and Escape are keys of the window."""
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.button.click()
        else:
            super().keyPressEvent(event)

    def _use_scale(self) -> None:
        self.setFixedWidth(theme.px(640))
        self.setMinimumHeight(theme.px(470))

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.diagram.use_map(inputs)
