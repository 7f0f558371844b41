"""One camera with the fan in a window of its own, for a second screen. GUI thread."""

from app import theme
from app.boxes import Column
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.cameras import CameraView


class CameraWindow(QtWidgets.QWidget):
    """A window that shows one view; it closes with its parent.

    Args:
        parent: the cockpit's window.
        view: the camera.
    """

    resized = Signal()
    activation_changed = Signal()
    closed = Signal()

    def __init__(self, parent: QtWidgets.QWidget, view: CameraView) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.view = view
        self.setWindowTitle(f"{view.model.name} – FRS cockpit")
        theme.on_scale(self, lambda window: window.setMinimumSize(theme.px(240), theme.px(200)))
        self.resize(720, 720)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addWidget(view)

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Report another size."""
        super().resizeEvent(event)
        self.resized.emit()

    def changeEvent(self, event: QtCore.QEvent | None) -> None:
        """Report that the focus came or went."""
        super().changeEvent(event)
        if event is not None and event.type() == QtCore.QEvent.Type.ActivationChange:
            self.activation_changed.emit()

    def closeEvent(self, event: QtGui.QCloseEvent | None) -> None:
        """Report that it was closed."""
        super().closeEvent(event)
        self.closed.emit()
