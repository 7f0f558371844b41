"""Says what has changed: the window's title, the banner for what keeps the robot from moving, and messages for the rest. GUI thread."""

from collections.abc import Callable
from typing import Any

from app.black_box import said
from app.facts import Facts
from app.qt import QtWidgets
from app.views.notices import Notices
from app.views.state_bar import kept_of, state_word
from app.views.toasts import Banner
from frs_core.events import EpisodeStatus, HoldReason, Outcome, Phase, Snapshot

_TROUBLE = (
    HoldReason.CAMERA_STALE,
    HoldReason.INFERENCE_LATE,
    HoldReason.INFERENCE_FAILED,
    HoldReason.DRIVER_FAILED,
    HoldReason.MISFIT,
    HoldReason.UNFIT_CHUNK,
    HoldReason.ACTION_REFUSED,
    HoldReason.WORLD_LOST,
    HoldReason.DISK,
    HoldReason.EXCEPTION,
    HoldReason.DEVICE_LOST,
    HoldReason.GUI_SILENT,
    HoldReason.SESSION_SILENT,
)
"""Reasons shown in the banner, with what failed, where, and the fix."""
_DONE = "The task looks done"


class Announcements:
    """Compares each snapshot with the one before.

    Args:
        window: whose title it sets.
        facts: of this run.
        banner: for what needs a fix.
        notices: the list of what was said.
        run: runs an action by id.
        say: shows a message: text, tone, and the text and function of its button.
        withdraw: removes a message that is no longer true.
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        facts: Facts,
        *,
        banner: Banner,
        notices: Notices,
        run: Callable[[str], None],
        say: Callable[..., Any],
        withdraw: Callable[[str], None],
    ) -> None:
        self._window, self._facts, self._banner, self._notices = window, facts, banner, notices
        self._run, self._say, self._withdraw = run, say, withdraw

    def follow(self, former: Snapshot | None, snapshot: Snapshot) -> None:
        """Say what has changed since the former snapshot."""
        if snapshot.notice is not None and (former is None or snapshot.notice != former.notice):
            self._say(snapshot.notice[1], "warn")
        if former is None or _cause(former) != _cause(snapshot):
            self._on_phase(snapshot)
        was, now = former.episode if former else EpisodeStatus(), snapshot.episode
        if was.success_seen and (now.number != was.number or not now.success_seen):
            # Its button would label the next episode.
            self._withdraw(_DONE)
        if now.success_seen and (now.number != was.number or not was.success_seen):
            keep = ("✔ Success", lambda: self._run("episode.success"))
            self._say(_DONE, "good", None if now.is_unrecorded else keep)
        if snapshot.ended is not None and (former is None or former.ended != snapshot.ended):
            is_success = snapshot.ended.outcome is Outcome.SUCCESS and snapshot.ended.is_kept
            self._say(kept_of(snapshot.ended), "good" if is_success else "info")

    def _on_phase(self, snapshot: Snapshot) -> None:
        self._window.setWindowTitle(
            f"{state_word(snapshot).capitalize()} – {self._facts.policy} on {self._facts.world} – FRS cockpit"
        )
        if snapshot.phase is Phase.FAULT:
            text = snapshot.detail or "The connection to the robot or the policy was lost."
            self._remember(text)
            self._banner.show_error(text, fix=("Reconnect", lambda: self._run("world.reconnect")))
        elif snapshot.hold_reason in _TROUBLE and snapshot.phase is Phase.HOLD:
            text = f"{snapshot.hold_reason.value}. {snapshot.detail}"
            self._remember(text)
            self._banner.show_error(text, fix=("Resume", lambda: self._run("drive.resume")))
        elif snapshot.phase is Phase.HOLD and snapshot.hold_reason not in (
            None,
            HoldReason.START,
            HoldReason.EPISODE_END,
        ):
            self._notices.add(f"Hold: {snapshot.hold_reason.value}", "info")
        elif self._banner.isVisible() and snapshot.phase in (Phase.CHOOSE, Phase.MOVING):
            self._banner.hide()

    def _remember(self, text: str) -> None:
        self._notices.add(text, "bad")
        said(text, "bad")


def _cause(snapshot: Snapshot) -> tuple[object, ...]:
    return snapshot.phase, snapshot.hold_reason, snapshot.detail
