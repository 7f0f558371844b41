"""The versions that a practice kept, and which one is in the fan. GUI thread."""

from collections.abc import Callable, Sequence
from pathlib import Path

from app.boxes import Column, Row
from app.names import policy_name
from app.qt import Qt, QtWidgets, Signal
from app.views.widgets import ActionButton, label, plain_tip, size_columns
from frs_core.counts import counted
from frs_core.devices.intent import InputMap
from frs_core.evaluation.wilson import format_rate
from frs_core.learning.practice_folder import version_folder
from frs_core.learning.practice_log import Point, best_of

PATH = Qt.ItemDataRole.UserRole
CHECKED = (
    "Every version was evaluated on the same held-out scenes; the best of several overestimates its success. "
    "Any of them can be used; practice continues from the last, or from the one you go back to."
)
DRIVEN = (
    "Success rate of the attempts that a version drove, with exploration and with your corrections. "
    "Any of them can be used; practice continues from the last, or from the one you go back to."
)


class VersionsPane(QtWidgets.QWidget):
    """The right pane of Practise.

    Args:
        run: runs an action by id.
        say: shows a toast (text, tone).
    """

    changed = Signal()
    """Another version was selected, or the list changed."""

    def __init__(self, run: Callable[[str], object], *, say: Callable[..., None]) -> None:
        super().__init__()
        self._say = say
        self.in_use: str | None = None
        self._shown: tuple[Path | None, tuple[Point, ...]] = (None, ())
        self.list = QtWidgets.QTreeWidget()
        self.list.setHeaderLabels(["", "after", "success", "chunks"])
        self.list.setRootIsDecorated(False)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setAccessibleName("Versions of the practice")
        header = self.list.header()
        assert header is not None
        header.setMinimumSectionSize(24)
        header.setStretchLastSection(False)
        size_columns(self.list, (22, 118, 150, 58))
        # An interval that is cut off says nothing; a name is also told by its place.
        header.setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
        self.list.itemSelectionChanged.connect(self.changed)
        self.use_button = ActionButton("practise.use", run, role="primary")
        self.back_button = ActionButton("practise.back", run)
        self.unload_button = ActionButton("practise.unload", run, text="Remove from the fan")
        self.hint = label("", "caption", wrap=True)
        self.in_use_text = label("No learned candidate in the fan", "caption", wrap=True)
        row = Row()
        row.addWidget(self.use_button)
        row.addWidget(self.back_button)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addWidget(self.list, 1)
        column.addWidget(self.hint)
        column.addLayout(row)
        column.addWidget(self.unload_button)
        column.addWidget(self.in_use_text)

    @property
    def chosen(self) -> Path | None:
        """Folder of the selected version."""
        item = self.list.currentItem()
        return Path(item.data(0, PATH)) if item is not None else None

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.use_button.use_map(inputs)
        self.back_button.use_map(inputs)
        self.unload_button.use_map(inputs)

    def show_versions(self, folder: Path | None, curve: Sequence[Point]) -> None:
        """Show the versions of a practice, the last first; the best is selected unless another was.

        Args:
            folder: of the practice; None = no practice.
            curve: its versions.
        """
        if (folder, tuple(curve)) == self._shown:
            return
        former, best = (self.chosen if folder == self._shown[0] else None), best_of(curve)
        # The selection follows the best until a person selects another.
        if former is not None and self._shown[0] is not None and former == _best_folder(*self._shown):
            former = None
        self._shown = (folder, tuple(curve))
        self.hint.setText(CHECKED if not curve or curve[0].scenes else DRIVEN)
        self.list.blockSignals(True)
        self.list.clear()
        for index in reversed(range(len(curve) if folder is not None else 0)):
            assert folder is not None
            point = curve[index]
            path = version_folder(folder, point.episodes)
            words = counted(point.episodes, "attempt") if point.episodes else "initial version"
            is_best = point is best and point.scenes > 0
            rate, tip = _success(curve, index)
            chunks = f"{point.chunks:.0f}" if point.scenes else ""
            item = QtWidgets.QTreeWidgetItem(["", f"▲ {words}" if is_best else words, rate, chunks])
            item.setData(0, PATH, str(path))
            for column in range(4):
                item.setToolTip(column, plain_tip(f"{tip}{'; the best version' if is_best else ''}\n{path}"))
            self.list.addTopLevelItem(item)
            if path == former or (former is None and point is best):
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        self._show_stars()
        self.changed.emit()

    @property
    def chosen_point(self) -> Point | None:
        """What is known of the selected version."""
        folder, curve = self._shown
        return next(
            (p for p in curve if folder is not None and version_folder(folder, p.episodes) == self.chosen), None
        )

    def show_in_use(self, path: str | None) -> None:
        """Show which noise policy is in the fan."""
        if path == self.in_use:
            return
        self.in_use = path
        self.in_use_text.setText(f"★ {policy_name(path)} is in the fan" if path else "No learned candidate in the fan")
        if path:
            self._say(f"★ {policy_name(path)} is in the fan", "good")
        self._show_stars()
        self.changed.emit()

    def _show_stars(self) -> None:
        for index in range(self.list.topLevelItemCount()):
            item = self.list.topLevelItem(index)
            if item is not None:
                is_used = self.in_use is not None and Path(self.in_use).resolve() == Path(item.data(0, PATH)).resolve()
                item.setText(0, "★" if is_used else "")


def _success(curve: Sequence[Point], index: int) -> tuple[str, str]:
    """Return the success rate of a version and its source: evaluation scenes, or the attempts that it drove."""
    point = curve[index]
    if point.scenes:
        known = f"{point.successes} of {counted(point.scenes, 'success', 'successes')}, {point.chunks:.1f} chunks an episode"
        return format_rate(point.successes, point.scenes), f"{known}, after {point.minutes:.1f} min"
    later = curve[index + 1] if index + 1 < len(curve) else None
    if later is None:
        return "–", "It has not driven a whole round of attempts yet"
    return format_rate(
        later.own_successes, later.own_episodes
    ), f"{later.own_successes} of the {counted(later.own_episodes, 'attempt')} that it drove, exploring"


def _best_folder(folder: Path | None, curve: Sequence[Point]) -> Path | None:
    best = best_of(curve)
    return version_folder(folder, best.episodes) if folder is not None and best is not None else None
