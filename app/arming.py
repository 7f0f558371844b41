"""Arm a real robot: nothing moves before a person has seen the checklist and confirmed it. GUI thread, except for the slow checks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.black_box import said
from app.facts import Facts
from app.qt import QtCore, QtWidgets
from app.views.arming import Checklist
from app.workers import Job
from frs_core.events import Snapshot


class Arming(QtCore.QObject):
    """Shows the checklist before each start of a real robot.

    Args:
        window: parent of the checklist.
        facts: of this run.
        port: the session.
    """

    def __init__(self, window: QtWidgets.QWidget, *, facts: Facts, port: Any) -> None:
        super().__init__(window)
        self._window, self._facts, self._port = window, facts, port
        self._list: Checklist | None = None
        self._slow: Sequence[Any] | None = None
        self._snapshot: Snapshot | None = None
        self._job: Job | None = None

    @property
    def verdict(self) -> str:
        """What the open checklist says as a whole; empty while none is open."""
        return self._list.verdict.text() if self._list is not None else ""

    def ask(self, text: str, on_yes: Callable[[], None]) -> None:
        """Show the checklist; call `on_yes` when the person has confirmed it and all that is required is in order.

        Args:
            text: what will happen.
            on_yes: does it.
        """
        if self._list is not None:
            self._list.raise_()
            return
        checklist = self._list = Checklist(self._window, text)
        checklist.finished.connect(self._on_finished)
        checklist.accepted.connect(on_yes)
        self._slow = None
        root = self._facts.root
        self._job = Job(lambda _tell: slow_findings(root), self)
        self._job.finished.connect(self._on_slow)
        self._job.failed.connect(self._on_failed)
        self._job.start()
        checklist.open()

    def follow(self, snapshot: Snapshot) -> None:
        """Judge the newest snapshot while the checklist is open."""
        self._snapshot = snapshot
        self._show()

    def shut(self) -> None:
        """Close the checklist without a start, and wait for the checks."""
        if self._list is not None:
            self._list.reject()
        if self._job is not None:
            self._job.close(5.0)
            self._job = None

    def _show(self) -> None:
        if self._list is None or self._slow is None:
            return
        from frs_core.doctor.arming import check_arm

        seen = self._snapshot.observation if self._snapshot is not None else None
        world = getattr(self._port, "world_spec", None)
        live = check_arm(world, seen, has_policy=bool(self._facts.fingerprint))
        self._list.show_findings([*live, *self._slow])

    def _on_slow(self, found: object) -> None:
        self._job = None
        assert isinstance(found, list)
        self._slow = found
        self._show()

    def _on_failed(self, error: object) -> None:
        self._job = None
        if self._list is not None:
            self._list.show_problem(f"The checks failed: {error}")

    def _on_finished(self, result: int) -> None:
        if self._list is not None:
            answer = "confirmed" if result == QtWidgets.QDialog.DialogCode.Accepted else "left"
            said(f"checklist {answer}: {'; '.join(self._list.lines)}", "info")
        self._list = None


def slow_findings(root: Path | None) -> list[Any]:
    """Return what takes longer than a frame: the disk and the episodes on it; loads the doctor.

    Args:
        root: recording folder; None = nothing is recorded.
    """
    from frs_core.doctor.arming import check_disk

    return check_disk(root) if root is not None else []
