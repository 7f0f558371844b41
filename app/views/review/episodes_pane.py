"""The left pane of Review: the list of episodes with filter, edits and export. GUI thread."""

from collections.abc import Callable
from pathlib import Path

from app.actions import cap_of
from app.boxes import Column, Grid, Row
from app.facts import Facts
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.review import library as edits
from app.views.review.episode_list import INFO, SORTS, EpisodeDelegate, EpisodeFilter, EpisodeModel
from app.views.review.library import Library
from app.views.widgets import ActionButton, label, leave_room_for_placeholder
from app.workers import Job
from frs_core.counts import counted
from frs_core.devices.intent import InputMap
from frs_core.episodes import EpisodeInfo
from frs_core.episodes.formats import EXPORTERS, exporter
from frs_core.events import Outcome


class EpisodesPane(QtWidgets.QWidget):
    """The list of recorded episodes with its actions.

    Args:
        run: runs an action by id.
        facts: of this run.
        undo: where edits go.
        say: shows a toast (text, tone, action).
    """

    chosen = Signal(object)
    """EpisodeInfo of the current row, also after every reload."""
    emptied = Signal()
    """The list is empty."""

    def __init__(
        self, run: Callable[[str], object], facts: Facts, undo: QtGui.QUndoStack, *, say: Callable[..., None]
    ) -> None:
        super().__init__()
        self._facts, self._undo, self._say = facts, undo, say
        self.is_binned = False
        """Whether the bin is shown."""
        self._job: Job | None = None
        self.library = Library(facts.root, self)
        self.model, self.filter = EpisodeModel(), EpisodeFilter()
        self.filter.setSourceModel(self.model)
        self._build(run)
        self.handlers: dict[str, Callable[[], object]] = {
            "review.next_episode": lambda: self._move_row(1),
            "review.previous_episode": lambda: self._move_row(-1),
            "review.success": lambda: self.relabel(Outcome.SUCCESS),
            "review.failure": lambda: self.relabel(Outcome.FAILURE),
            "review.note": self._edit_note,
            "review.bin": self.bin_selected,
            "review.restore": self.restore_selected,
            "review.show_bin": self.toggle_bin,
            "review.filter": self.words.setFocus,
            "review.export": self._export_menu,
            "review.refresh": self.refresh,
        }
        self.library.listed.connect(self._on_listed)
        self.library.thumbnail_made.connect(self.model.add_thumbnail)
        self.library.failed.connect(lambda text: say(text, "bad"))
        self.library.edited.connect(self.refresh)

    def _build(self, run: Callable[[str], object]) -> None:
        self.list = QtWidgets.QListView()
        self.list.setModel(self.filter)
        self.list.setItemDelegate(EpisodeDelegate(self.list))
        self.list.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setVerticalScrollMode(QtWidgets.QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setAccessibleName("Recorded episodes")
        selection = self.list.selectionModel()
        assert selection is not None
        selection.currentChanged.connect(self._on_current)
        self.words = QtWidgets.QLineEdit()
        self.words.setPlaceholderText("filter by words")
        leave_room_for_placeholder(self.words)
        self.words.setClearButtonEnabled(True)
        self.words.textChanged.connect(self._on_words)
        self.order = QtWidgets.QComboBox()
        self.order.addItems(SORTS)
        self.order.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.order.currentTextChanged.connect(self.filter.show_order)
        self.count = label("", "caption")
        self.edit_buttons = [
            ActionButton("review.success", run, text="Success", role="good"),
            ActionButton("review.failure", run, text="Failure", role="bad"),
            ActionButton("review.note", run, text="Note"),
            ActionButton("review.bin", run, text="To bin"),
            ActionButton("review.restore", run, text="Restore"),
            ActionButton("review.export", run, text="Export"),
        ]
        self.note = QtWidgets.QLineEdit()
        self.note.setPlaceholderText("note")
        self.note.returnPressed.connect(self._on_note)
        self.bin_toggle = ActionButton("review.show_bin", run, text="Show bin", checkable=True)
        top = Row()
        top.addWidget(self.words, 1)
        top.addWidget(self.order)
        edit = Grid(spacing=(4, 4))
        for i, button in enumerate(self.edit_buttons):
            edit.addWidget(button, i // 3, i % 3)
        column = Column(self, margins=(0, 0, 0, 4))
        column.addLayout(top)
        column.addWidget(self.list, 1)
        below = Row()
        below.addWidget(self.count, 1)
        below.addWidget(self.bin_toggle)
        column.addLayout(below)
        column.addLayout(edit)
        column.addWidget(self.note)

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in (*self.edit_buttons, self.bin_toggle):
            button.use_map(inputs)
        self.words.setToolTip(f"Shows episodes that contain all words  ({cap_of('review.filter', inputs)})")

    # --- rows -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Reload the episodes from disk."""
        self.library.refresh(binned=self.is_binned)

    def current(self) -> EpisodeInfo | None:
        """Return the current row."""
        index = self.list.currentIndex()
        return index.data(INFO) if index.isValid() else None

    def selected(self) -> list[EpisodeInfo]:
        """Return the selected rows."""
        selection = self.list.selectionModel()
        return [i.data(INFO) for i in selection.selectedIndexes()] if selection else []

    def select(self, name: str | None) -> None:
        """Make an episode current; the first one if the name does not exist."""
        for row in range(self.filter.rowCount()):
            if self.filter.index(row, 0).data(INFO).name == name:
                self._make_current(row)
                return
        if self.filter.rowCount():
            self._make_current(0)
        else:
            self.emptied.emit()

    def toggle_bin(self) -> None:
        """Switch between the bin and the recorded episodes."""
        self.is_binned = not self.is_binned
        self.bin_toggle.setChecked(self.is_binned)
        self.refresh()

    def _on_listed(self, rows: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
        infos, binned = rows
        if binned != self.is_binned:
            return
        former = self.current()
        self.model.show_infos(infos)
        successes = sum(i.outcome is Outcome.SUCCESS for i in infos)
        count = f"{len(infos)} in the bin" if binned else counted(len(infos), "episode")
        self.count.setText(f"{count}, {counted(successes, 'success', 'successes')}")
        for button in self.edit_buttons:
            is_restore = button.action == "review.restore"
            button.setEnabled(is_restore == binned or button.action == "review.export")
        if self.isVisible():
            self.library.make_thumbnails(list(infos))
        self.select(former.name if former else None)
        now = self.current()
        if former is not None and now is not None and now.name == former.name and now != former:
            # The row stayed current, so no selection signal says that the episode has changed.
            self.chosen.emit(now)

    def _on_words(self, text: str) -> None:
        """Show only what has these words; the current episode stays current, or else the first one becomes it."""
        former = self.current()
        self.filter.show_words(text)
        self.select(former.name if former is not None else None)

    def _move_row(self, by: int) -> None:
        row = self.list.currentIndex().row() + by
        if 0 <= row < self.filter.rowCount():
            self._make_current(row)

    def _make_current(self, row: int) -> None:
        """Make a row current and the only selected one, whatever keys are held: the view's own way would ask for Ctrl and Shift."""
        selection = self.list.selectionModel()
        assert selection is not None
        selection.setCurrentIndex(self.filter.index(row, 0), QtCore.QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _on_current(self, index: QtCore.QModelIndex, _former: QtCore.QModelIndex) -> None:
        info: EpisodeInfo | None = index.data(INFO) if index.isValid() else None
        if info is None:
            return
        if not self.note.hasFocus():
            self.note.setText(info.note)
        self.chosen.emit(info)

    # --- edits ----------------------------------------------------------------------------------------

    def relabel(self, outcome: Outcome) -> None:
        """Change the label of the selected episodes."""
        infos = [i for i in self.selected() if not i.problem]
        if infos and not self.is_binned:
            self._push(edits.relabel(self.library, infos, outcome))

    def trim(self, info: EpisodeInfo, first: int, last: int) -> None:
        """Leave out chunks at the ends of an episode's whole main line."""
        if not self.is_binned and (first, last) != info.trimmed:
            self._push(edits.trim(self.library, info, first, last))

    def bin_selected(self) -> None:
        """Move the selected episodes to the bin."""
        infos = self.selected()
        if infos and not self.is_binned:
            self._push(edits.move_to_bin(self.library, infos))

    def restore_selected(self) -> None:
        """Restore the selected episodes from the bin."""
        infos = self.selected()
        if infos and self.is_binned:
            self._push(edits.restore(self.library, infos))
        elif infos:
            self._say("Open the bin to restore episodes", "info")

    def bin_last(self) -> None:
        """Move the newest episode to the bin, from any layout."""

        def push(rows: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
            self.library.listed.disconnect(push)
            infos, binned = rows
            if binned or not infos:
                self._say("There are no recorded episodes", "warn")
            else:
                self._push(edits.move_to_bin(self.library, [max(infos, key=lambda i: i.name)]))

        if self._facts.root is None:
            self._say("This run does not record episodes", "warn")
            return
        self.library.listed.connect(push)
        self.library.refresh()

    def _push(self, command: edits.Edit) -> None:
        self._undo.push(command)
        self._say(command.text(), "info", ("Undo", self._undo.undo))

    def _edit_note(self) -> None:
        self.note.setFocus()
        self.note.selectAll()

    def _on_note(self) -> None:
        info = self.current()
        self.note.clearFocus()
        if info is not None and not self.is_binned and self.note.text() != info.note:
            self._push(edits.renote(self.library, info, self.note.text()))

    # --- export ---------------------------------------------------------------------------------------

    def _export_menu(self) -> None:
        infos = [i for i in self.selected() if not i.problem]
        if not infos:
            self._say("Select episodes to export", "warn")
            return
        menu = QtWidgets.QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name in EXPORTERS:
            action = menu.addAction(f"{counted(len(infos), 'episode')} as {name}")
            assert action is not None
            action.triggered.connect(lambda _c=False, n=name: self.export(infos, n))
        button = self.edit_buttons[-1]
        menu.popup(button.mapToGlobal(QtCore.QPoint(0, button.height())))

    def export(self, infos: list[EpisodeInfo], form: str) -> None:
        """Write episodes in another format below `exports/` of the recording root."""
        assert self._facts.root is not None
        if self._job is not None and self._job.is_running:
            self._say("An export is already running", "warn")
            return
        folder = self._facts.root / "exports"

        def work(progress: Callable[[object], None]) -> Path:
            from frs_core.episodes import Episode

            folder.mkdir(parents=True, exist_ok=True)
            write = exporter(form)
            target = folder
            for info in infos:
                target = write(Episode(info.path), folder / f"{info.name}.{form}")
            return target

        self._job = Job(work, self)
        self._job.finished.connect(lambda path: self._say(f"Exported {len(infos)} to {path.parent}", "good"))
        self._job.failed.connect(lambda error: self._say(f"Export failed: {error}", "bad"))
        self._job.start()
