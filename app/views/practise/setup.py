"""What to practise: task, learner, what it starts from, how long; start, stop, and what is in the way. GUI thread."""

from collections.abc import Callable, Mapping, Sequence

from app.boxes import Column, Row
from app.qt import Qt, QtWidgets, Signal
from app.views.practise.budget import PRESETS, Budget
from app.views.practise.start import Problem
from app.views.task_box import TaskBox
from app.views.toasts import split_sentence
from app.views.widgets import ActionButton, Segments, captioned, label, plain_tip, set_tone
from frs_core.devices.intent import InputMap
from frs_core.learning import LearnerSpec


class ProblemStrip(QtWidgets.QFrame):
    """One sentence about what is in the way, and the button that helps.

    Args:
        run: runs an action by id.
    """

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self._run = run
        self.text = label("", wrap=True)
        set_tone(self.text, "warn")
        self.button = QtWidgets.QPushButton()
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.clicked.connect(self._on_clicked)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addWidget(self.text)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        self.problem: Problem | None = None
        self.hide()

    def show_problem(self, problem: Problem | None) -> None:
        """Show what is in the way; None = nothing."""
        self.problem = problem
        self.setVisible(problem is not None)
        if problem is None:
            return
        head, rest = split_sentence(problem.text)
        self.text.setText(f"⚠ {head}")
        self.text.setToolTip(plain_tip(rest))
        self.text.setAccessibleDescription(rest)
        self.button.setText(problem.button)
        self.button.setVisible(bool(problem.action))

    def _on_clicked(self) -> None:
        if self.problem is not None and self.problem.action:
            self._run(self.problem.action)


class SetupPane(QtWidgets.QWidget):
    """The upper left of Practise.

    Args:
        run: runs an action by id.
    """

    changed = Signal()
    """Another task, learner or budget was chosen."""

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.task, self.learner = TaskBox(), QtWidgets.QComboBox()
        self._has_task = False
        self.task.activated.connect(self._on_task)
        for box, name in ((self.task, "Task to practise"), (self.learner, "Learner that practises")):
            box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            box.setAccessibleName(name)
            box.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.currentIndexChanged.connect(lambda _index: self.changed.emit())
        options = [(budget.value, preset.text, preset.tooltip) for budget, preset in PRESETS.items()]
        self.budget_choice = Segments(options, name="How long")
        self._budget = Budget.ATTEMPTS
        self.budget_choice.show_value(self._budget.value)
        self.budget_choice.chosen.connect(self._on_budget)
        self.where_choice = Segments(
            [
                ("background", "In the background", "Automatically, in separate worlds, several attempts at a time"),
                (
                    "drive",
                    "In Drive",
                    "You watch every attempt, can steer any chunk of it, and label the outcomes that the world does not report",
                ),
            ],
            name="Where it practises",
        )
        self._is_attended = False
        self.where_choice.show_value("background")
        self.where_choice.chosen.connect(self._on_where)
        self.prior, self.note = label("", wrap=True), label("", "caption", wrap=True)
        self.start_button = ActionButton("practise.start", run, role="primary")
        self.stop_button = ActionButton("practise.stop", run, text="Stop and keep best")
        self.problem = ProblemStrip(run)
        row = Row()
        row.addLayout(captioned("task", self.task), 3)
        row.addLayout(captioned("learner", self.learner), 2)
        buttons = Row()
        buttons.addWidget(self.start_button)
        buttons.addWidget(self.stop_button)
        buttons.addStretch(1)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addLayout(row)
        self.where = QtWidgets.QWidget()
        captioned("where", self.where_choice, box=self.where)
        column.addWidget(self.where, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.prior)
        how_long = Row()
        how_long.addLayout(captioned("how long", self.budget_choice))
        how_long.addStretch(1)
        column.addLayout(how_long)
        column.addWidget(self.note)
        column.addLayout(buttons)
        column.addWidget(self.problem)

    @property
    def chosen_task(self) -> str:
        """The chosen task; empty without any."""
        return self.task.currentData() or ""

    @property
    def chosen_learner(self) -> str:
        """Id of the chosen learner; empty without any."""
        return self.learner.currentData() or ""

    @property
    def budget(self) -> Budget:
        """The chosen preset."""
        return self._budget

    @property
    def is_attended(self) -> bool:
        """Whether a person is to start every attempt of a new practice."""
        return self._is_attended

    def only_attended(self) -> None:
        """Offer no practice in the background: the world is a real robot. The paper's rounds become the preset."""
        if not self.where.isHidden():
            self.where.hide()
            self._is_attended, self._budget = True, Budget.ROUNDS
            self.where_choice.show_value("drive")
            self.budget_choice.show_value(self._budget.value)

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.start_button.use_map(inputs)
        self.stop_button.use_map(inputs)

    def show_tasks(self, tasks: Mapping[str, str], *, are_sentences: bool) -> None:
        """Offer tasks with their titles; one that a person chose stays chosen, otherwise the first is."""
        if _fill(self.task, [(title, task, "") for task, title in tasks.items()], keeps=self._has_task):
            self.task.use_titles(tuple(tasks.values()) if are_sentences else ())

    def show_learners(self, rows: Sequence[LearnerSpec]) -> None:
        """Offer learners; the chosen one stays chosen."""
        _fill(self.learner, [(row.title, row.id, row.summary) for row in rows], keeps=True)

    def choose(self, task: str, learner: str) -> None:
        """Select task and learner, as far as they are on offer, without emitting `changed`."""
        self._has_task = True
        for box, value in ((self.task, task), (self.learner, learner)):
            index = box.findData(value)
            if index >= 0 and index != box.currentIndex():
                box.blockSignals(True)
                box.setCurrentIndex(index)
                box.blockSignals(False)

    def set_choosable(self, is_new: bool) -> None:
        """Let task and learner be chosen, or not where a practice that exists is shown."""
        self.task.setEnabled(is_new)
        self.where_choice.setEnabled(is_new)
        self.learner.setEnabled(is_new)

    def _on_task(self, _index: int) -> None:
        self._has_task = True

    def _on_where(self, value: str) -> None:
        self._is_attended = value == "drive"
        self.changed.emit()

    def _on_budget(self, value: str) -> None:
        self._budget = Budget(value)
        self.changed.emit()


def _fill(box: QtWidgets.QComboBox, rows: Sequence[tuple[str, str, str]], *, keeps: bool) -> bool:
    """Offer rows of (text, value, tip) and return True, unless they are on offer already."""
    if [box.itemData(i) for i in range(box.count())] == [value for _, value, _ in rows]:
        return False
    chosen = box.currentData()
    box.blockSignals(True)
    box.clear()
    for index, (text, value, tip) in enumerate(rows):
        box.addItem(text, value)
        box.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
    box.setCurrentIndex(max(0, box.findData(chosen) if keeps else 0) if rows else -1)
    box.blockSignals(False)
    return True
