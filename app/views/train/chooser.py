"""The list of episodes to train on; successes of the current policy are ticked at first. GUI thread."""

from collections.abc import Callable
from typing import Any

from app import theme
from app.boxes import Column, Row
from app.facts import Facts
from app.names import in_words
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.review.episode_list import EpisodeDelegate, EpisodeModel
from app.views.review.library import Library
from app.views.widgets import ActionButton, label
from frs_core.counts import counted
from frs_core.devices.intent import InputMap
from frs_core.episodes import EpisodeInfo
from frs_core.events import Outcome

ALL_TASKS = "all tasks"


class TickModel(EpisodeModel):
    """Episodes with check boxes; only undamaged episodes of the current policy can be ticked.

    Args:
        fingerprint: of the current policy; empty = any.
    """

    ticks_changed = Signal()

    def __init__(self, fingerprint: str = "") -> None:
        super().__init__()
        self.fingerprint = fingerprint
        self.task: str | None = None
        self._all: tuple[EpisodeInfo, ...] = ()
        self._ticked: dict[str, bool] = {}

    def show_infos(self, infos: tuple[EpisodeInfo, ...]) -> None:
        """Show the episodes of the chosen task, newest first; new successes are ticked."""
        self._all = infos
        for info in infos:
            self._ticked.setdefault(info.name, info.outcome is Outcome.SUCCESS and self.can_teach(info))
        shown = [i for i in infos if self.task is None or i.task == self.task]
        super().show_infos(tuple(sorted(shown, key=lambda i: i.name, reverse=True)))
        self.ticks_changed.emit()

    def show_task(self, task: str | None) -> None:
        """Show only one task; None = all."""
        self.task = task
        self.show_infos(self._all)

    def can_teach(self, info: EpisodeInfo) -> bool:
        """Whether an episode is undamaged and was recorded with the current policy."""
        return not info.problem and (not self.fingerprint or info.fingerprint == self.fingerprint)

    @property
    def tasks(self) -> list[str]:
        """Tasks that occur, most frequent first."""
        names = [i.task for i in self._all if i.task]
        return sorted(set(names), key=lambda t: (-names.count(t), t))

    @property
    def ticked(self) -> list[EpisodeInfo]:
        """The episodes that training would use."""
        return [i for i in self.infos if self._ticked.get(i.name) and self.can_teach(i)]

    def tick_successes(self) -> None:
        """Tick only the successes shown."""
        for info in self.infos:
            self._ticked[info.name] = info.outcome is Outcome.SUCCESS and self.can_teach(info)
        self._tell()

    def flags(self, index: QtCore.QModelIndex) -> Qt.ItemFlag:
        """Return the flags of a row; only usable episodes can be ticked."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsSelectable
        if self.can_teach(self.infos[index.row()]):
            flags |= Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: QtCore.QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the check state, or why a row cannot be ticked."""
        if not index.isValid() or not 0 <= index.row() < len(self.infos):
            return None
        info = self.infos[index.row()]
        if role == Qt.ItemDataRole.CheckStateRole:
            return (
                Qt.CheckState.Checked
                if self._ticked.get(info.name) and self.can_teach(info)
                else Qt.CheckState.Unchecked
            )
        if role == Qt.ItemDataRole.ToolTipRole and not info.problem and not self.can_teach(info):
            return "Recorded with another policy, so its noises do not fit this one"
        return super().data(index, role)

    def setData(self, index: QtCore.QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Change a tick."""
        if role != Qt.ItemDataRole.CheckStateRole or not index.isValid():
            return False
        self._ticked[self.infos[index.row()].name] = Qt.CheckState(value) is Qt.CheckState.Checked
        self._tell()
        return True

    def toggle(self, index: QtCore.QModelIndex) -> None:
        """Change a tick by a click anywhere in the row."""
        if self.flags(index) & Qt.ItemFlag.ItemIsUserCheckable:
            name = self.infos[index.row()].name
            self._ticked[name] = not self._ticked.get(name)
            self._tell()

    def _tell(self) -> None:
        if self.infos:
            self.dataChanged.emit(self.index(0), self.index(len(self.infos) - 1))
        self.ticks_changed.emit()


class TickDelegate(EpisodeDelegate):
    """The row of an episode with a check box over its image."""

    def paint(
        self,
        painter: QtGui.QPainter | None,
        option: QtWidgets.QStyleOptionViewItem,
        index: QtCore.QModelIndex,
    ) -> None:
        """Draw the row, then the box."""
        super().paint(painter, option, index)
        state = index.data(Qt.ItemDataRole.CheckStateRole)
        box = QtWidgets.QStyleOptionButton()
        box.rect = QtCore.QRect(
            option.rect.left() + theme.px(10), option.rect.top() + theme.px(8), theme.px(20), theme.px(20)
        )
        box.state = QtWidgets.QStyle.StateFlag.State_Enabled
        is_on = state == Qt.CheckState.Checked
        box.state |= QtWidgets.QStyle.StateFlag.State_On if is_on else QtWidgets.QStyle.StateFlag.State_Off
        has_widget = option.widget is not None  # pyright: ignore[reportUnnecessaryComparison]  the stubs leave the None out
        style = option.widget.style() if has_widget else QtWidgets.QApplication.style()
        if style is not None:
            style.drawPrimitive(QtWidgets.QStyle.PrimitiveElement.PE_IndicatorCheckBox, box, painter, option.widget)


class EpisodeChooser(QtWidgets.QWidget):
    """The left pane of Train: episodes with ticks, by task.

    Args:
        run: runs an action by id.
        facts: of this run.
        say: shows a toast (text, tone).
    """

    changed = Signal()
    """The ticked episodes changed."""

    def __init__(self, run: Callable[[str], object], facts: Facts, *, say: Callable[..., None]) -> None:
        super().__init__()
        self.library = Library(facts.root, self)
        self.model = TickModel(facts.fingerprint)
        self.list = QtWidgets.QListView()
        self.list.setModel(self.model)
        self.list.setItemDelegate(TickDelegate(self.list))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setAccessibleName("Episodes to train on")
        self.list.clicked.connect(self.model.toggle)
        self._task = QtWidgets.QComboBox()
        self._task.addItem(ALL_TASKS)
        self._task.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._task.setAccessibleName("Task of the episodes")
        self._task.currentIndexChanged.connect(lambda _i: self.model.show_task(self.task))
        self._successes = ActionButton("train.successes", run, text="All successes")
        self.count = label("", "value", wrap=True)
        top = Row()
        top.addWidget(self._task, 1)
        top.addWidget(self._successes)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addLayout(top)
        column.addWidget(self.list, 1)
        column.addWidget(self.count)
        self.library.listed.connect(self._on_listed)
        self.library.thumbnail_made.connect(self.model.add_thumbnail)
        self.library.failed.connect(lambda text: say(text, "bad"))
        self.model.ticks_changed.connect(self._show_count)
        self._show_count()

    @property
    def task(self) -> str | None:
        """The chosen task; None = all."""
        return self._task.currentData()

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self._successes.use_map(inputs)

    def _on_listed(self, rows: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
        infos, _ = rows
        self.model.show_infos(infos)
        tasks = self.model.tasks
        if tasks != [self._task.itemData(i) for i in range(1, self._task.count())]:
            chosen = self.task
            self._task.blockSignals(True)
            self._task.clear()
            self._task.addItem(ALL_TASKS)
            for task in tasks:
                self._task.addItem(in_words(task), task)
            self._task.setCurrentIndex(max(0, self._task.findData(chosen) if chosen else 0))
            self._task.blockSignals(False)
        if self.isVisible():
            self.library.make_thumbnails(list(infos))

    def _show_count(self) -> None:
        ticked = self.model.ticked
        chunks = sum(i.n_chunks - i.n_undone for i in ticked)
        self.count.setText(f"{counted(len(ticked), 'episode')}, {counted(chunks, 'chunk')}")
        self.changed.emit()
