"""Earlier practices, read off the GUI thread; selecting one shows it and lets it continue. GUI thread."""

from pathlib import Path

from app.names import in_words
from app.qt import Qt, QtWidgets, Signal
from app.views.widgets import plain_tip, size_columns
from app.workers import Rereader
from frs_core.errors import ConfigError
from frs_core.evaluation.wilson import format_rate
from frs_core.learning import find_learner
from frs_core.learning.practice_record import PracticeRecord, list_practices

FOLDER = Qt.ItemDataRole.UserRole


class PracticesList(QtWidgets.QTreeWidget):
    """One row per practice, the last changed first.

    Args:
        root: recording folder; None = nothing is kept.
    """

    chosen_changed = Signal()
    listed = Signal()
    failed = Signal(str)

    def __init__(self, root: Path | None) -> None:
        super().__init__()
        self._root = None if root is None else root / "practice"
        self._records: dict[str, PracticeRecord] = {}
        self._reader = Rereader(self)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(self.failed)
        self._to_choose: Path | None = None
        self.setHeaderLabels(["", "task", "learner", "attempts", "best"])
        self.setRootIsDecorated(False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Earlier practices")
        header = self.header()
        assert header is not None
        header.setMinimumSectionSize(22)
        header.setStretchLastSection(False)
        size_columns(self, (24, 96, 72, 70, 50))
        header.setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self.itemSelectionChanged.connect(self.chosen_changed)

    @property
    def chosen(self) -> PracticeRecord | None:
        """The selected practice."""
        items = self.selectedItems()
        return self._records.get(items[0].data(0, FOLDER)) if items else None

    @property
    def records(self) -> tuple[PracticeRecord, ...]:
        """All practices, the last changed first."""
        return tuple(self._records.values())

    def choose(self, folder: Path | None) -> None:
        """Select a practice; None = none of them."""
        self.clearSelection()
        self.setCurrentItem(None)  # pyright: ignore[reportArgumentType]  Qt takes a null pointer
        for index in range(self.topLevelItemCount()):
            item = self.topLevelItem(index)
            if item is not None and folder is not None and Path(item.data(0, FOLDER)) == folder:
                self.setCurrentItem(item)

    def read(self, *, choose: Path | None = None) -> None:
        """Reload the list, then select a practice if one is given; a request during a reload is served afterwards."""
        root = self._root
        self._to_choose = choose or self._to_choose
        if root is not None:
            self._reader.read(lambda: list_practices(root))

    def _on_read(self, records: tuple[PracticeRecord, ...]) -> None:
        former = self.chosen
        wanted = self._to_choose or (former.folder if former is not None else None)
        self._to_choose = None
        self._records = {str(record.folder): record for record in records}
        self.blockSignals(True)
        self.clear()
        for record in records:
            self.addTopLevelItem(_item(record))
        self.choose(wanted)
        self.blockSignals(False)
        self.listed.emit()
        self.chosen_changed.emit()


def learner_title(kind: str) -> str:
    """Return the title of a learner; its id where it is not installed."""
    try:
        return find_learner(kind).title
    except ConfigError:
        return kind


def _item(record: PracticeRecord) -> QtWidgets.QTreeWidgetItem:
    best = record.best
    rate = "–" if best is None or not best.scenes else f"{100.0 * best.successes / best.scenes:.0f} %"
    sign = "⚠" if record.problem else ("" if record.is_finished else "◐")
    state = record.problem or ("finished" if record.is_finished else "not finished")
    item = QtWidgets.QTreeWidgetItem(
        [sign, in_words(record.task), learner_title(record.learner), str(len(record.attempts)), rate]
    )
    item.setData(0, FOLDER, str(record.folder))
    success = "" if best is None or not best.scenes else f"\nbest version {format_rate(best.successes, best.scenes)}"
    for column in range(5):
        item.setToolTip(
            column, plain_tip(f"{record.folder.parent.name}/{record.folder.name}: {state}{success}\n{record.folder}")
        )
    return item
