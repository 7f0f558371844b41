"""Cards inside the window (palette, help, first steps).

They are not separate windows, because the robot holds when the window loses the focus. GUI thread.
"""

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal


class Overlay(QtWidgets.QWidget):
    """A dimmed background with one card; a click beside the card closes it."""

    closed = Signal()

    def __init__(self, host: QtWidgets.QWidget, card: QtWidgets.QWidget, *, top: bool = False) -> None:
        super().__init__(host)
        self.card = card
        self._top = top
        card.setParent(self)
        host.installEventFilter(self)
        self.hide()

    def open(self) -> None:
        """Show the card above everything."""
        self._place()
        self.show()
        self.raise_()
        self.card.setFocus()

    def shut(self) -> None:
        """Hide the card and emit `closed`."""
        if self.isVisible():
            self.hide()
            self.closed.emit()

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Cover the host when it is resized."""
        if event is not None and event.type() == QtCore.QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Dim the background."""
        QtGui.QPainter(self).fillRect(self.rect(), theme.colour("#000000", 150))

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Close on a click beside the card."""
        assert event is not None
        if not self.card.geometry().contains(event.position().toPoint()):
            self.shut()

    def _place(self) -> None:
        host = self.parentWidget()
        assert host is not None
        self.setGeometry(host.rect())
        size = self.card.sizeHint().expandedTo(self.card.minimumSize())
        size = size.boundedTo(QtCore.QSize(self.width() - theme.px(32), self.height() - theme.px(32)))
        y = theme.px(70) if self._top else (self.height() - size.height()) // 2
        self.card.setGeometry(
            (self.width() - size.width()) // 2,
            max(theme.px(16), min(y, self.height() - size.height() - theme.px(16))),
            size.width(),
            size.height(),
        )


class Card(QtWidgets.QFrame):
    """A bordered card; Escape is handled by the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def focusNextPrevChild(self, next: bool) -> bool:
        """Keep Tab within the card, which covers everything else."""
        stops = [
            widget
            for widget in self.findChildren(QtWidgets.QWidget)
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible() and widget.isEnabled()
        ]
        focused = self.focusWidget()
        at = stops.index(focused) if focused in stops else -1 if next else 0
        if stops:
            stops[(at + (1 if next else -1)) % len(stops)].setFocus(Qt.FocusReason.TabFocusReason)
        return True
