"""Which episodes to learn from: a list with ticks, successes of this policy ticked beforehand. GUI thread."""

from typing import Any

from app.qt import Qt, QtCore, Signal
from app.views.review.episode_list import EpisodeModel
from frs_core.episodes import EpisodeInfo
from frs_core.events import Outcome


class TickModel(EpisodeModel):
    """Episodes with ticks; only whole ones of the present policy can be ticked.

    Args:
        fingerprint: of the present policy; empty = any.
    """

    ticks_changed = Signal()

    def __init__(self, fingerprint: str = "") -> None:
        super().__init__()
        self.fingerprint = fingerprint
        self.task: str | None = None
        self._all: tuple[EpisodeInfo, ...] = ()
        self._ticked: dict[str, bool] = {}

    def show_infos(self, infos: tuple[EpisodeInfo, ...]) -> None:
        """Show the episodes of the chosen task, newest first; successes not seen yet are ticked."""
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
        """Whether an episode is whole and was made with the present policy."""
        return not info.problem and (not self.fingerprint or info.fingerprint == self.fingerprint)

    @property
    def tasks(self) -> list[str]:
        """Tasks that occur, most frequent first."""
        names = [i.task for i in self._all if i.task]
        return sorted(set(names), key=lambda t: (-names.count(t), t))

    @property
    def ticked(self) -> list[EpisodeInfo]:
        """What training would use."""
        return [i for i in self.infos if self._ticked.get(i.name) and self.can_teach(i)]

    def tick_successes(self) -> None:
        """Tick the successes shown and no others."""
        for info in self.infos:
            self._ticked[info.name] = info.outcome is Outcome.SUCCESS and self.can_teach(info)
        self._tell()

    def flags(self, index: QtCore.QModelIndex) -> Qt.ItemFlag:
        """Rows can be ticked when they can teach."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsSelectable
        if self.can_teach(self.infos[index.row()]):
            flags |= Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: QtCore.QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Ticks, and why a row has none."""
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
            return "Recorded with another policy; its noises mean nothing to this one"
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
