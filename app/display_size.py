"""How large everything is shown: S, M or L, as far as the window has room.

Problem: on a wall or at two metres text of 13 pixels cannot be read, but a large text cuts a small window's panes off. Idea: each size
is a scale of the theme that is bounded by the window: at the least size at which S fits, all are S. The scale follows the window in
steps, once its size has settled. GUI thread.

Example: L is 2.5; on 1920 x 1080 pixels it is 1.5, on 3840 x 2160 the whole 2.5, on 1024 x 700 it is S.
"""

import math
from collections.abc import Callable

from app import theme
from app.qt import QtCore, QtWidgets
from app.settings import SettingsFile

SCALES = {"s": 1.0, "m": 1.4, "l": 2.5}
TITLE_BAR = 48
"""Height that title bars have at most, logical pixels; a window's own is known only after it was shown."""
LEAST_SCREEN = (1024, 700)
"""Width and height of a screen for which everything is made at scale 1, logical pixels."""
LEAST = (LEAST_SCREEN[0], LEAST_SCREEN[1] - TITLE_BAR)
"""Width and height of a window in which everything fits at scale 1: such a screen without the title bar."""
STEP = 0.05
SETTLE_MS = 200
"""Delay after the last change of the window's size."""


def fitting_scale(size: str, width: int, height: int) -> float:
    """Return the scale of a size in a window.

    Args:
        size: "s", "m" or "l".
        width: of the window, logical pixels.
        height: the same.
    """
    room = min(width / LEAST_SCREEN[0], height / LEAST_SCREEN[1])
    return max(1.0, math.floor(min(SCALES[size], room) / STEP + 1e-9) * STEP)


def is_tight(size: QtCore.QSize, screen: QtCore.QSize) -> bool:
    """Tell whether a window with its title bar would not fit into what a screen has free, so that it had better fill it.

    Where even the least size does not fit, filling the screen would not help.
    """
    has_least = screen.width() >= LEAST_SCREEN[0] and screen.height() >= LEAST_SCREEN[1]
    return has_least and (screen.width() < size.width() or screen.height() < size.height() + TITLE_BAR)


class DisplaySize(QtCore.QObject):
    """Applies the size that the operator has chosen.

    Args:
        window: its size bounds the scale.
        settings: keep the choice.
        use: applies the theme at a scale.
        say: shows a message.
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        settings: SettingsFile,
        *,
        use: Callable[[float], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(window)
        self._window, self._settings, self._use, self._say = window, settings, use, say
        self._settled = QtCore.QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.timeout.connect(self._apply)
        window.installEventFilter(self)

    def step(self, by: int) -> None:
        """Choose the next larger or smaller size, if there is one."""
        sizes = list(SCALES)
        at = min(max(sizes.index(self._settings.values.display_size) + by, 0), len(sizes) - 1)
        self._settings.values.display_size = sizes[at]
        self._apply()
        wanted, scale = SCALES[sizes[at]], theme.scale()
        limit = f", {scale:.2g} times as large: the window has no room for more" if scale < wanted else ""
        self._say(f"Display size {sizes[at].upper()}{limit}")

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Follow the window's size."""
        if watched is self._window and event is not None and event.type() == QtCore.QEvent.Type.Resize:
            self._settled.start(SETTLE_MS)
        return False

    def shut(self) -> None:
        """Follow the window no longer."""
        self._settled.stop()

    def _apply(self) -> None:
        scale = fitting_scale(self._settings.values.display_size, self._window.width(), self._window.height())
        if scale != theme.scale():
            self._use(scale)
