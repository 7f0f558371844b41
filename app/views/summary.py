"""The summary of this session and of all recordings, in the words of `frs episodes stats`. GUI thread, except for reading."""

from collections.abc import Sequence
from pathlib import Path

from app.boxes import Column
from app.qt import QtCore, QtWidgets
from app.views.widgets import label, size_dialog
from app.workers import Job
from frs_core.episodes import EpisodeStore
from frs_core.episodes.summary import (
    HEADERS,
    VERSION_HEADERS,
    TaskSummary,
    VersionSummary,
    summarise,
    summarise_versions,
)


def read_summaries(root: Path, since: float) -> tuple[list[TaskSummary], list[TaskSummary], list[VersionSummary]]:
    """Return the rows of this session, of all recordings, and of the noise policies that drove.

    Args:
        root: of the recordings.
        since: start of the session, Unix time.
    Raises:
        EpisodeError: the folder cannot be read.
    """
    infos = EpisodeStore(root).list()
    return summarise(infos, since=since), summarise(infos), summarise_versions(infos)


class SummaryDialog(QtWidgets.QDialog):
    """Three tables, filled once they are read.

    Args:
        parent: the window.
        root: of the recordings.
        since: start of the session, Unix time.
    """

    def __init__(self, parent: QtWidgets.QWidget, root: Path, since: float) -> None:
        super().__init__(parent)
        self.setWindowTitle("Session summary")
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
        self.session, self.all = _table("This session", HEADERS), _table("All recordings", HEADERS)
        self.versions = _table("Help by noise policy", VERSION_HEADERS)
        column = Column(self)
        for table in (self.session, self.all, self.versions):
            column.addWidget(label(table.accessibleName(), "title"))
            column.addWidget(table, 1)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
        size_dialog(self, 960, 560)
        self._job = Job(lambda _tell: read_summaries(root, since), self)
        self._job.finished.connect(self._on_read)
        self._job.failed.connect(lambda error: column.insertWidget(0, label(str(error), wrap=True)))
        self._job.start()

    def _on_read(self, rows: tuple[list[TaskSummary], list[TaskSummary], list[VersionSummary]]) -> None:
        for table, found in zip((self.session, self.all, self.versions), rows, strict=True):
            _fill(table, [row.cells for row in found])


def _table(name: str, headers: Sequence[str]) -> QtWidgets.QTableWidget:
    table = QtWidgets.QTableWidget(0, len(headers))
    table.setHorizontalHeaderLabels(headers)
    table.setAccessibleName(name)
    table.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
    rows = table.verticalHeader()
    if rows is not None:
        rows.hide()
    return table


def _fill(table: QtWidgets.QTableWidget, rows: Sequence[Sequence[str]]) -> None:
    table.setRowCount(len(rows))
    for i, row in enumerate(rows):
        for j, text in enumerate(row):
            table.setItem(i, j, QtWidgets.QTableWidgetItem(text))
    table.resizeColumnsToContents()
