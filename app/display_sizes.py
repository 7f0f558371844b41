"""Tells the session at what size each camera is shown, so that a simulator renders display pictures for that.

The sizes change while a pane is dragged or a window is resized; what is sent is what they have come to. Nothing is rendered for a
screen while Drive is not shown, other than for a camera in a window of its own. GUI thread.

Example: `left` fills 620 x 620 logical pixels at a scale of 1.5: (930, 930) is sent; under load, at a share of 0.5, (465, 465).
"""

from collections.abc import Callable

from app.qt import QtCore
from app.views.camera_grid import CameraGrid
from frs_core.events import SessionCommand, ShowCameras

SETTLE_MS = 150
"""Delay after the last change."""


class DisplaySizes(QtCore.QObject):
    """Follows the camera views of one window.

    Args:
        parent: owns it.
        send: to the session.
        grid: the cameras of Drive.
    """

    def __init__(self, parent: QtCore.QObject, *, send: Callable[[SessionCommand], object], grid: CameraGrid) -> None:
        super().__init__(parent)
        self._send, self._grid = send, grid
        self._is_shown, self._share = True, 1.0
        self._sent: dict[str, tuple[int, int]] = {}
        self._settled = QtCore.QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.timeout.connect(self._tell)
        grid.arranged.connect(self.look)

    def look(self) -> None:
        """Send the sizes once they have settled, if they differ from those sent before."""
        self._settled.start(SETTLE_MS)

    def use_share(self, share: float) -> None:
        """Ask for pictures of a share of the size shown, per side; 0 = for none."""
        if share != self._share:
            self._share = share
            self.look()

    def set_shown(self, is_shown: bool) -> None:
        """Say whether the cameras are on the screen."""
        if is_shown != self._is_shown:
            self._is_shown = is_shown
            self.look()

    def shut(self) -> None:
        """Send nothing any more."""
        self._settled.stop()

    def _tell(self) -> None:
        shown = dict(self._grid.sizes_shown) if self._is_shown else {}
        for view in self._grid.guests:
            shown[view.model.name] = max(shown.get(view.model.name, (0, 0)), view.size_shown)
        if self._share <= 0:
            shown = {}
        sizes = {name: (round(h * self._share), round(w * self._share)) for name, (h, w) in shown.items()}
        if sizes != self._sent:
            self._sent = sizes
            self._send(ShowCameras(sizes))
