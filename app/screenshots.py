"""Save a screenshot of each layout of a running cockpit, then close it. GUI thread."""

from pathlib import Path

from app.qt import QtCore
from app.views.layout_tabs import LAYOUTS
from app.window import CockpitWindow
from app.workers import later
from frs_core.events import Phase

WAIT_MS = 1200
"""Time for a layout to read its lists and paint."""
PATIENCE_MS = 60_000


class Photographer(QtCore.QObject):
    """Waits for the first fan, then grabs every layout.

    Args:
        window: shown.
        folder: made if missing; gets drive.png, review.png, train.png, practise.png.
    """

    def __init__(self, window: CockpitWindow, folder: Path) -> None:
        super().__init__(window)
        self._window, self._folder = window, folder
        self._names = list(LAYOUTS)
        self._waited = 0
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(200)

    def _look(self) -> None:
        snapshot = self._window.snapshot
        self._waited += 200
        if (
            snapshot is not None
            and snapshot.observation is not None
            and snapshot.phase is Phase.HOLD
            and self._waited > 800
        ):
            self._window.cards.close()
            self._window.drive.episode.unrecorded.setChecked(True)
            self._window.run("episode.start")
        is_ready = snapshot is not None and snapshot.phase is Phase.CHOOSE and snapshot.fan is not None
        if is_ready or self._waited > PATIENCE_MS:
            self._timer.stop()
            later(self, WAIT_MS, self._next)

    def _next(self) -> None:
        if not self._names:
            self._window.close()
            return
        name = self._names.pop(0)
        self._window.show_layout(name)
        later(self, WAIT_MS, lambda: self._grab(name))

    def _grab(self, name: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._window.toasts.clear()
        self._window.grab().save(str(self._folder / f"{name}.png"))
        self._next()
