"""What to compare: task, policies, attempts of each; and earlier comparisons, to continue or to look at. GUI thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.boxes import Column, Row
from app.names import in_words
from app.qt import Qt, QtWidgets, Signal
from app.views.widgets import captioned, label, plain_tip, set_tone, size_dialog
from frs_core.counts import counted
from frs_core.evaluation.blind import Blind
from frs_core.evaluation.blind_plan import LETTERS, Arm

ATTEMPTS, MOST_ATTEMPTS = 10, 200
HEAD = (
    "The policies drive in random order, each once in every block. Who drives is hidden, here and in every list, until you unblind the comparison; "
    "you start, label and note the attempts in Drive as usual."
)


@dataclass(frozen=True, slots=True)
class Offered:
    """What can be compared or continued."""

    arms: tuple[Arm, ...]
    tasks: tuple[str, ...]
    """Empty = the task is an instruction."""
    earlier: tuple[tuple[Path, Blind], ...]
    instructions: tuple[str, ...] = ()
    """Recorded ones, the last first; offered where there are no tasks."""


class CompareDialog(QtWidgets.QDialog):
    """Sets up a comparison.

    Args:
        parent: the window.
        task: chosen at first.
    """

    begin_asked = Signal(str, object, int)
    """Task, arms and attempts of each."""
    continue_asked = Signal(object)
    """Folder."""
    results_asked = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget, *, task: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Blinded comparison")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(True)
        self._arms: tuple[Arm, ...] = ()
        self.task = QtWidgets.QComboBox()
        self.task.setAccessibleName("Task to compare on")
        self.task.addItem(in_words(task), task)
        self.policies = QtWidgets.QListWidget()
        self.policies.setAccessibleName("Policies to compare")
        self.policies.setAlternatingRowColors(True)
        self.attempts = QtWidgets.QSpinBox()
        self.attempts.setRange(1, MOST_ATTEMPTS)
        self.attempts.setValue(ATTEMPTS)
        self.attempts.setAccessibleName("Attempts of each policy")
        self.verdict = label("Looking for saved policies…", wrap=True)
        self.earlier = QtWidgets.QListWidget()
        self.earlier.setAccessibleName("Earlier comparisons")
        self.start = QtWidgets.QPushButton("Begin in Drive")
        self.start.setProperty("role", "primary")
        self.resume = QtWidgets.QPushButton("Continue")
        self.results = QtWidgets.QPushButton("Results")
        self.cancel = QtWidgets.QPushButton("Cancel")
        self._lay_out()
        self.policies.itemChanged.connect(lambda _item: self._show())
        self.attempts.valueChanged.connect(lambda _n: self._show())
        self.earlier.itemSelectionChanged.connect(self._show)
        self.start.clicked.connect(self._on_begin)
        self.resume.clicked.connect(lambda: self._emit_folder(self.continue_asked))
        self.results.clicked.connect(lambda: self._emit_folder(self.results_asked))
        self.cancel.clicked.connect(self.reject)
        self.policies.setFocus()
        size_dialog(self, 640, 560)
        self._show()

    def _lay_out(self) -> None:
        column = Column(self)
        column.addWidget(label(HEAD, wrap=True))
        row = Row()
        row.addLayout(captioned("task", self.task), 1)
        row.addLayout(captioned("attempts of each", self.attempts))
        column.addLayout(row)
        column.addLayout(captioned("policies (Space ticks one)", self.policies), 3)
        column.addWidget(self.verdict)
        column.addLayout(captioned("earlier comparisons", self.earlier), 2)
        buttons = Row()
        for button in (self.resume, self.results):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.start)
        column.addLayout(buttons)
        for button in (self.resume, self.results, self.cancel):
            button.setAutoDefault(False)

    def show_offered(self, offered: Offered) -> None:
        """Show what can be compared."""
        chosen = self.task.currentData()
        self._arms = offered.arms
        self.task.clear()
        self.task.setEditable(not offered.tasks)
        for task in offered.tasks or dict.fromkeys((*((chosen,) if chosen else ()), *offered.instructions)):
            self.task.addItem(in_words(task) if offered.tasks else task, task)
        self.task.setCurrentIndex(max(0, self.task.findData(chosen)))
        self.policies.clear()
        for arm in offered.arms:
            item = QtWidgets.QListWidgetItem(arm.title if not arm.path else f"★ {arm.title}  ({arm.method})")
            item.setToolTip(plain_tip(arm.path) or "The generalist, which nobody steers")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked)
            self.policies.addItem(item)
        self.policies.setCurrentRow(0)
        self.earlier.clear()
        for folder, blind in offered.earlier:
            item = QtWidgets.QListWidgetItem(_words(folder, blind))
            item.setData(Qt.ItemDataRole.UserRole, (folder, not (blind.is_complete or blind.state.is_unblinded)))
            self.earlier.addItem(item)
        self._show()

    def show_problem(self, text: str) -> None:
        """Say what is in the way."""
        self.verdict.setText(text)
        set_tone(self.verdict, "bad")

    @property
    def chosen(self) -> list[Arm]:
        """The ticked policies."""
        rows = ((self.policies.item(i), arm) for i, arm in enumerate(self._arms))
        return [arm for item, arm in rows if item is not None and item.checkState() is Qt.CheckState.Checked]

    @property
    def chosen_task(self) -> str:
        """The task, or the instruction."""
        return self.task.currentText().strip() if self.task.isEditable() else str(self.task.currentData() or "")

    def _show(self) -> None:
        count = len(self.chosen)
        self.start.setEnabled(2 <= count <= len(LETTERS) and bool(self.chosen_task))
        self.start.setDefault(self.start.isEnabled())
        if self._arms:
            total = counted(count * self.attempts.value(), "attempt")
            words = f"{counted(count, 'policy', 'policies')} ticked, {total} in all"
            if len(self._arms) < 2:
                words = "There is no saved noise policy of this generalist to compare it with; train one first"
            elif count < 2:
                words = f"{words}; tick two or more"
            self.verdict.setText(words)
            set_tone(self.verdict, "" if count >= 2 else "warn")
        folder, is_open = self._selected() or (None, False)
        self.resume.setEnabled(folder is not None and is_open)
        self.results.setEnabled(folder is not None)

    def _selected(self) -> tuple[Path, bool] | None:
        items = self.earlier.selectedItems()
        return items[0].data(Qt.ItemDataRole.UserRole) if items else None

    def _on_begin(self) -> None:
        if self.start.isEnabled():
            self.begin_asked.emit(self.chosen_task, self.chosen, self.attempts.value())

    def _emit_folder(self, signal: object) -> None:
        if (selected := self._selected()) is not None:
            signal.emit(selected[0])  # pyright: ignore[reportAttributeAccessIssue]


def _words(folder: Path, blind: Blind) -> str:
    state = "unblinded" if blind.state.is_unblinded else "complete" if blind.is_complete else "not finished"
    return f"{folder.name}: {len(blind.counted)} of {counted(blind.plan.slots, 'attempt')}, {state}"


def sound(found: Sequence[tuple[Path, object]]) -> tuple[tuple[Path, Blind], ...]:
    """Return the comparisons that can be read."""
    return tuple((folder, blind) for folder, blind in found if isinstance(blind, Blind))
