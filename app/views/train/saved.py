"""The list of saved policies: training data, whether each fits the current generalist, and which one is in use. GUI thread."""

import datetime
from collections.abc import Callable
from pathlib import Path

from app.boxes import Column, Row
from app.facts import Facts
from app.names import in_words, policy_name
from app.qt import Qt, QtCore, QtWidgets, Signal
from app.views.widgets import ActionButton, label, plain_tip, size_columns
from app.workers import Rereader
from frs_core.counts import counted
from frs_core.devices.intent import InputMap
from frs_core.learning import PolicyMetadata, list_saved

PATH = Qt.ItemDataRole.UserRole
KIND = Qt.ItemDataRole.UserRole + 1


class _Wrapped(QtWidgets.QStyledItemDelegate):
    """Gives a cell the height of its text wrapped to the column, and rows a distance."""

    def __init__(self, view: QtWidgets.QTreeView) -> None:
        super().__init__(view)
        self._view = view

    def sizeHint(self, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> QtCore.QSize:
        """Return the size of the wrapped text."""
        room, text = self._view.columnWidth(index.column()) - 8, str(index.data() or "")
        box = option.fontMetrics.boundingRect(QtCore.QRect(0, 0, room, 1000), Qt.TextFlag.TextWordWrap, text)
        return QtCore.QSize(box.width(), box.height() + 10)


class SavedList(QtWidgets.QTreeWidget):
    """One row per saved policy, newest first: its name over what it was trained on, both whole."""

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(["", "name, and what it was trained on", "made"])
        self.setRootIsDecorated(False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Saved policies")
        header = self.header()
        assert header is not None
        header.setMinimumSectionSize(24)
        header.setStretchLastSection(False)
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        size_columns(self, (26, 230, 62))
        header.setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeMode.Stretch)
        self.setItemDelegate(_Wrapped(self))
        # Names wrap to the new width.
        header.sectionResized.connect(lambda *_: self.scheduleDelayedItemsLayout())

    def show_saved(
        self, saved: tuple[tuple[Path, PolicyMetadata], ...], *, fingerprint: str, in_use: str | None
    ) -> None:
        """Show saved policies; the one in use has a star, those of another generalist cannot be selected."""
        chosen = self.chosen()
        self.clear()
        for path, metadata in saved:
            fits = not fingerprint or metadata.policy_fingerprint == fingerprint
            is_used = in_use is not None and Path(in_use).resolve() == path.resolve()
            made = (
                datetime.datetime.fromtimestamp(metadata.made_at).strftime("%d %b\n%H:%M") if metadata.made_at else ""
            )
            item = QtWidgets.QTreeWidgetItem(
                ["★" if is_used else ("" if fits else "⊘"), f"{metadata.name}\n{trained_on(metadata)}", made]
            )
            item.setData(0, PATH, str(path))
            item.setData(0, KIND, metadata.kind)
            if not fits:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
                for column in range(3):
                    item.setToolTip(
                        column,
                        f"Trained for policy {metadata.policy_fingerprint[:12]}, the current one is {fingerprint[:12]}",
                    )
            else:
                for column in range(3):
                    tip = f"{metadata.kind}\n{trained_on(metadata)}\npolicy {metadata.policy_fingerprint[:12]}\n{path}"
                    item.setToolTip(column, plain_tip(tip))
            self.addTopLevelItem(item)
            if chosen == path:
                self.setCurrentItem(item)

    def chosen(self) -> Path | None:
        """The selected policy's folder."""
        item = self.currentItem()
        return Path(item.data(0, PATH)) if item is not None else None

    def chosen_kind(self) -> str:
        """The selected policy's learner; empty without one."""
        item = self.currentItem()
        return item.data(0, KIND) if item is not None else ""

    def choose(self, path: Path) -> None:
        """Select a policy."""
        for i in range(self.topLevelItemCount()):
            item = self.topLevelItem(i)
            if item is not None and Path(item.data(0, PATH)).resolve() == path.resolve():
                self.setCurrentItem(item)


def trained_on(metadata: PolicyMetadata) -> str:
    """Return the training data of a policy as text."""
    data = metadata.data
    episodes = data.get("episodes", ())
    count = len(episodes) if isinstance(episodes, (list, tuple)) else episodes
    words = ", ".join(map(in_words, metadata.tasks))
    known = [counted(n, noun) for n, noun in ((count, "episode"), (data.get("chunks"), "chunk")) if isinstance(n, int)]
    return ", ".join(known) + (f": {words}" if words else "")


class SavedPane(QtWidgets.QWidget):
    """The right pane of Train: saved policies, and which one is in the fan.

    Args:
        run: runs an action by id.
        facts: of this run.
        say: shows a toast (text, tone).
    """

    changed = Signal()
    """Another row was selected, or the list was reloaded."""

    def __init__(self, run: Callable[[str], object], facts: Facts, *, say: Callable[..., None]) -> None:
        super().__init__()
        self._facts, self._say = facts, say
        self.in_use: str | None = None
        self._reader = Rereader(self)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(lambda text: self._say(text, "bad"))
        self._to_choose: Path | None = None
        self.list = SavedList()
        self.list.itemSelectionChanged.connect(self.changed)
        self.use_button = ActionButton("train.use", run, role="primary")
        self.unload_button = ActionButton("train.unload", run, text="Remove from the fan")
        self.in_use_text = label("No learned candidate in the fan", "caption", wrap=True)
        row = Row()
        row.addWidget(self.use_button)
        row.addWidget(self.unload_button)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addWidget(self.list, 1)
        column.addLayout(row)
        column.addWidget(self.in_use_text)

    @property
    def root(self) -> Path | None:
        """Folder of saved noise policies."""
        return self._facts.root / "learned" if self._facts.root is not None else None

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.use_button.use_map(inputs)
        self.unload_button.use_map(inputs)

    def show_in_use(self, path: str | None) -> None:
        """Show which noise policy is in the fan."""
        if path == self.in_use:
            return
        self.in_use = path
        name = policy_name(path) if path else ""
        self.in_use_text.setText(f"★ {name} is in the fan" if name else "No learned candidate in the fan")
        self.read()

    def read(self, *, choose: Path | None = None) -> None:
        """Reload the list; a request during a reload is served afterwards."""
        root = self.root
        self._to_choose = choose or self._to_choose
        if root is not None:
            self._reader.read(lambda: list_saved(root))

    def _on_read(self, saved: tuple[tuple[Path, PolicyMetadata], ...]) -> None:
        self.list.show_saved(saved, fingerprint=self._facts.fingerprint, in_use=self.in_use)
        if self._to_choose is not None:
            self.list.choose(self._to_choose)
            self._to_choose = None
        self.changed.emit()
