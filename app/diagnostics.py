"""Save diagnostics on request: the question, and the writing in the background. GUI thread, except for the writing."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from app.black_box import save_diagnostics
from app.qt import QtWidgets
from app.redaction import Redaction
from app.views.notices import ask_diagnostics
from app.workers import Job
from frs_core.events import Snapshot


class Diagnostics:
    """What the action *Save diagnostics* does.

    Args:
        window: parent of the dialog and the job.
        settings: the operator's settings file.
        seen: returns the newest snapshot.
        say: shows a toast (text, tone).
        report: shows an error in the banner.
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        *,
        settings: Path,
        seen: Callable[[], Snapshot | None],
        say: Callable[[str, str], None],
        report: Callable[[str], None],
    ) -> None:
        self._window, self._settings, self._seen = window, settings, seen
        self._say, self._report = say, report
        self._job: Job | None = None
        self.redact: Redaction | None = None
        """Masks the secrets of this run; None = those of the environment."""

    def ask(self) -> None:
        """Ask before saving."""
        ask_diagnostics(self._window, self.save)

    def save(self, target: Path, with_images: bool) -> None:
        """Write the zip in the background and say where it is.

        Args:
            target: the zip.
            with_images: include the last camera images.
        """
        snapshot, redact = self._seen(), self.redact
        seen = snapshot.observation if snapshot is not None else None
        frames = dict(seen.frames) if seen is not None and with_images else None
        job = Job(
            lambda _tell: save_diagnostics(target, settings=self._settings, frames=frames, redact=redact),
            parent=self._window,
        )
        job.finished.connect(lambda path: self._say(f"Diagnostics are in {path}", "good"))
        job.failed.connect(lambda error: self._report(str(error)))
        self._job = job.start()

    def shut(self) -> None:
        """Wait for the writing without reporting it."""
        with contextlib.suppress(RuntimeError):  # The job has deleted itself.
            if self._job is not None:
                self._job.close(5.0)
