"""Limits of failsafes that the operator has set: sent to the session, remembered once the session uses them.

The session checks every value itself (`frs_core.session.failsafes`). GUI thread.
"""

from collections.abc import Callable

from app.qt import QtCore, QtWidgets, Signal
from app.settings import Settings
from app.views.failsafes import FailsafePage
from frs_core.events import SessionCommand, SetFailsafe, Snapshot
from frs_core.robot.limits import Limits
from frs_core.session.failsafes import SETTABLE


class FailsafeSettings(QtCore.QObject):
    """What *Causes of Hold* does.

    Args:
        window: parent of the page.
        send: where commands go.
        settings: the operator's choices.
        limits: returns those of the robot; None before it has started.
    """

    followed = Signal(object)
    """The newest snapshot, for the page that is open."""

    def __init__(
        self,
        window: QtWidgets.QWidget,
        *,
        send: Callable[[SessionCommand], None],
        settings: Settings,
        limits: Callable[[], Limits | None],
    ) -> None:
        super().__init__(window)
        self._window, self._send, self._settings, self._limits = window, send, settings, limits
        self._is_sent = False
        self._asked: dict[str, float] = {}

    def follow(self, snapshot: Snapshot) -> None:
        """Send what is remembered, once; remember what was asked for and is in use."""
        if not self._is_sent and snapshot.failsafes:
            self._is_sent = True
            for option, value in self._settings.failsafes.items():
                self._send(SetFailsafe(option, value))
        for option, value in tuple(self._asked.items()):
            if snapshot.failsafes.get(option) == value:
                del self._asked[option]
                self._settings.failsafes = {**self._settings.failsafes, option: value}
        self.followed.emit(snapshot)

    def set(self, option: str, value: float) -> None:
        """Ask the session to use a value."""
        self._asked[option] = value
        self._send(SetFailsafe(option, value))

    def reset(self) -> None:
        """Ask the session to use every default."""
        for option, row in SETTABLE.items():
            assert row.limit is not None
            self.set(option, row.limit)

    def show(self, snapshot: Snapshot | None) -> FailsafePage:
        """Show the page, and return it."""
        page = FailsafePage(self._window, self._limits())
        page.changed.connect(self.set)
        page.reset_asked.connect(self.reset)
        self.followed.connect(page.show_snapshot)
        if snapshot is not None:
            page.show_snapshot(snapshot)
        page.open()
        return page
