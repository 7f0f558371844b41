"""Run the checks of `frs_core.evaluation.insight` for the Review layout, in one process for the life of the window. GUI thread."""

from dataclasses import dataclass
from pathlib import Path

from app.qt import QtCore, Signal
from frs_core.evaluation.insight import ChunkInsight, InsightProcess, Report
from frs_core.policies import NamedPolicy

POLL_MS = 150


@dataclass(frozen=True, slots=True)
class Insight:
    """The result of checking one chunk, as text."""

    is_good: bool | None
    sentence: str


def sentence_of(chunk: ChunkInsight) -> Insight:
    """Return the result of a chunk as text."""
    parts = []
    if chunk.is_good is None:
        parts.append(f"○ not checked: {chunk.skipped}" if chunk.skipped else "○ not checked")
    elif chunk.is_good:
        parts.append(f"● the stored noise regenerates the stored chunk (largest difference {chunk.error:.1e})")
    else:
        parts.append(f"✘ the stored noise does NOT regenerate the stored chunk (difference {chunk.error:.2g})")
    if chunk.would_pick:
        parts.append(f"★ the current noise policy would pick {chunk.would_pick.replace('/', ', ')}")
    return Insight(chunk.is_good, "\n".join(parts))


class InsightClient(QtCore.QObject):
    """Requests the check of the open episode and emits the result.

    Args:
        policy: the generalist; None = no checks.
    """

    answered = Signal(object)
    """(path, dict of chunk index -> Insight)."""
    failed = Signal(str)

    def __init__(self, policy: NamedPolicy | None, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._policy = policy
        self._process: InsightProcess | None = None
        self._path: Path | None = None
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._poll)

    def ask(self, path: Path, *, noise_policy: str | None) -> None:
        """Request the check of an episode; only the latest request is answered."""
        if self._policy is None:
            return
        if self._process is not None and not self._process.is_alive and not self._process.is_waiting:
            self._process.close()
            self._process = None
        if self._process is None:
            self._process = InsightProcess(self._policy)
        self._path = path
        if self._process.ask(path, noise_policy=noise_policy):
            self._timer.start(POLL_MS)

    def close(self) -> None:
        """End the process."""
        self._timer.stop()
        if self._process is not None:
            self._process.close()
            self._process = None

    def _poll(self) -> None:
        if self._process is None:
            return
        for report in self._process.poll():
            self._take(report)
        if not self._process.is_waiting:
            self._timer.stop()

    def _take(self, report: Report) -> None:
        if report.path != self._path:
            return
        if report.chunks:
            self.answered.emit((report.path, {i: sentence_of(c) for i, c in report.chunks.items()}))
        if report.problem:
            self.failed.emit(report.problem)
