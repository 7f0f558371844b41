"""A camera in a window of its own: opened by key or menu, remembered, and steered from as from the cockpit's window.

Problem: a second screen should show a camera large, but a window that takes the focus would hold the robot and swallow its keys. Idea: its
keys go to the same keyboard, and the robot holds when neither window has the focus. What is clicked in it counts as in the large image. GUI
thread.
"""

from collections.abc import Callable

from app.geometry import GeometryFile
from app.inputs import Inputs
from app.qt import QtCore, QtGui, QtWidgets
from app.settings import SettingsFile
from app.views.camera_window import CameraWindow
from app.views.cameras import CameraView
from app.views.drive import DrivePage
from frs_core.steering.candidates import Candidate

PLACE = "camera_window"
"""Name of its geometry."""


class SecondScreen(QtCore.QObject):
    """Opens and closes the window.

    Args:
        window: the cockpit's.
        drive: whose cameras are shown.
        inputs: take its keys.
        settings: keep which camera it shows.
        places: keep where it is.
        cap_of: the key that picks a candidate.
        on_focus: called when the focus came or went.
        on_size: called when its image has another size, or is gone.
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        drive: DrivePage,
        inputs: Inputs,
        *,
        settings: SettingsFile,
        places: GeometryFile,
        cap_of: Callable[[Candidate], str],
        on_focus: Callable[[], None],
        on_size: Callable[[], None],
    ) -> None:
        super().__init__(window)
        self._window, self._drive, self._inputs = window, drive, inputs
        self._settings, self._places, self._cap_of = settings, places, cap_of
        self._on_focus, self._on_size = on_focus, on_size
        self._shown: CameraWindow | None = None

    @property
    def camera(self) -> str:
        """The camera it shows; empty while it is closed."""
        return self._shown.view.model.name if self._shown is not None else ""

    def toggle(self) -> None:
        """Show the large camera in a window of its own, or close that window."""
        if self._shown is not None:
            self._shown.close()
        elif self._drive.cameras.primary:
            self._open(self._drive.cameras.primary)

    def next_camera(self) -> None:
        """Show the next camera in it."""
        names = list(self._drive.cameras.views)
        if self._shown is not None and self.camera in names:
            name = names[(names.index(self.camera) + 1) % len(names)]
            self.shut()
            self._open(name)

    def restore(self) -> None:
        """Open it if it was open at the end of the last run, and its camera is there."""
        if self._shown is None and self._settings.values.second_camera in self._drive.cameras.views:
            self._open(self._settings.values.second_camera)

    def shut(self) -> None:
        """Close it and remember that it was open."""
        name = self.camera
        if self._shown is not None:
            self._shown.close()
            self._settings.values.second_camera = name

    def _open(self, name: str) -> None:
        cameras = self._drive.cameras
        view = CameraView(name, self._cap_of)
        view.curve_clicked.connect(lambda _name, label, fan, at_ns: self._drive.curve_chosen.emit(label, fan, at_ns))
        view.place_clicked.connect(lambda _name, frame, pixel: self._drive.place_chosen.emit(frame, pixel))
        view.candidate_hovered.connect(self._drive.candidate_hovered)
        view.show_model(cameras.views[name].model)
        shown = self._shown = CameraWindow(self._window, view)
        self._inputs.keyboard.add(shown)
        cameras.guests.append(view)
        self._settings.values.second_camera = name
        shown.resized.connect(self._on_size)
        shown.activation_changed.connect(self._on_focus)
        shown.closed.connect(self._on_closed)
        if not self._places.restore(PLACE, shown):
            self._move_to_other_screen(shown)
        shown.show()

    def _move_to_other_screen(self, shown: CameraWindow) -> None:
        other = next((s for s in QtGui.QGuiApplication.screens() if s is not self._window.screen()), None)
        if other is not None:
            shown.setGeometry(other.availableGeometry())

    def _on_closed(self) -> None:
        shown, self._shown = self._shown, None
        if shown is None:
            return
        self._places.keep(PLACE, shown)
        self._settings.values.second_camera = ""
        self._inputs.keyboard.drop(shown)
        self._drive.cameras.guests.remove(shown.view)
        shown.deleteLater()
        self._on_size()
