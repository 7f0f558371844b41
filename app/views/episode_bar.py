"""The episode bar: task, seed, instruction, start, labels, recording, and the Hold button.

Pressing a button runs an action of the table. GUI thread.
"""

from collections.abc import Callable, Collection, Sequence

from app import theme
from app.boxes import Row
from app.names import in_words
from app.qt import Qt, QtWidgets, Signal
from app.views.task_box import TaskBox
from app.views.widgets import ActionButton, captioned
from frs_core.devices.intent import InputMap
from frs_core.events import Phase, Snapshot

WORDS = {"task": 2, "scene": 0, "instruction": 4, "note": 2}
"""Shares of the room that is left, where tasks are called by a few words."""
SENTENCES = {"task": 7, "scene": 0, "instruction": 2, "note": 1}
"""The same where their titles are sentences."""


class EpisodeBar(QtWidgets.QFrame):
    """The controls of an episode.

    Args:
        run: runs an action by id.
    """

    instruction_edited = Signal(str)
    unrecorded_chosen = Signal(bool)
    task_chosen = Signal(str)

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        self.task = TaskBox()
        self.task.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        theme.on_scale(self.task, lambda box: box.setMinimumWidth(theme.px(105)))
        self.task.setToolTip("Task of the next episode")
        self.seed = QtWidgets.QSpinBox()
        self.seed.setRange(0, 999_999)
        theme.on_scale(self.seed, lambda box: box.setFixedWidth(theme.px(74)))
        line = self.seed.lineEdit()
        if line is not None:
            line.returnPressed.connect(self.seed.clearFocus)
        self.seed.setToolTip("Scene number of the next episode, counted up automatically; during an episode, its scene")
        self.seed.valueChanged.connect(self._on_scene)
        self._next_scene, self._is_open = 0, False
        self.is_attempt = False
        """A practice says what the next episode is: its task and scene, and that it is recorded."""
        self.instruction = QtWidgets.QLineEdit()
        self.instruction.setPlaceholderText("instruction to the policy")
        self.instruction.setToolTip("Instruction for the policy; press Enter to apply it")
        theme.on_scale(self.instruction, lambda line: line.setMinimumWidth(theme.px(76)))
        self.note = QtWidgets.QLineEdit()
        self.note.setPlaceholderText("note")
        self.note.setToolTip("Saved with the episode when it is labelled")
        theme.on_scale(self.note, lambda line: line.setMinimumWidth(theme.px(48)))
        self.unrecorded = QtWidgets.QCheckBox("Unrecorded")
        self.unrecorded.setToolTip("Record no episodes from the next one on")
        self.unrecorded.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.start = ActionButton("episode.start", run, text="Start", role="primary")
        self.resume = ActionButton("drive.resume", run, text="Resume", role="primary")
        self.success = ActionButton("episode.success", run, role="good")
        self.failure = ActionButton("episode.failure", run, role="bad")
        self.discard = ActionButton("episode.discard", run)
        self.back = ActionButton("chunk.back", run, text="Back")
        self.hold = ActionButton("drive.hold", run, text="HOLD", role="hold")
        theme.on_scale(self.hold, lambda button: button.setMinimumWidth(theme.px(92)))
        self._buttons = (self.start, self.resume, self.success, self.failure, self.discard, self.back, self.hold)
        row = self._row = Row(self, margins=(8, 2, 8, 6), spacing=8)
        self._boxes: dict[str, QtWidgets.QWidget] = {}
        for caption, widget in (
            ("task", self.task),
            ("scene", self.seed),
            ("instruction", self.instruction),
            ("note", self.note),
        ):
            box = self._boxes[caption] = QtWidgets.QWidget()
            captioned(caption, widget, box=box)
            row.addWidget(box, WORDS[caption])
        row.addWidget(self.unrecorded, 0, Qt.AlignmentFlag.AlignBottom)
        for button in self._buttons:
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignBottom)
        self.instruction.returnPressed.connect(self._on_instruction)
        self.note.returnPressed.connect(self.note.clearFocus)
        self.unrecorded.toggled.connect(self.unrecorded_chosen)
        self.task.currentTextChanged.connect(self.task_chosen)

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in self._buttons:
            button.use_map(inputs)

    def set_tasks(
        self, tasks: Sequence[str], *, titles: Sequence[str] = (), new: Collection[str] = (), chosen: str = ""
    ) -> None:
        """Set the tasks to choose from, shown by their titles where they have some; those that are new to the policy say so."""
        self.task.blockSignals(True)
        self.task.clear()
        words = titles or [in_words(t) for t in tasks]
        self.task.addItems([f"{w}  · new" if t in new else w for t, w in zip(tasks, words, strict=True)])
        self.task.use_titles(words)
        # A title is what the policy is told: it gets the room of the instruction.
        for caption, stretch in (SENTENCES if titles else WORDS).items():
            self._row.setStretchFactor(self._boxes[caption], stretch)
        for i, task in enumerate(tasks):
            self.task.setItemData(i, task)
            if new:
                text = (
                    "New: the policy was not trained on this task"
                    if task in new
                    else "The policy was trained on this task"
                )
                self.task.setItemData(i, text, Qt.ItemDataRole.ToolTipRole)
            if task == chosen:
                self.task.setCurrentIndex(i)
        self.task.setEnabled(len(tasks) > 1)
        self.task.blockSignals(False)

    @property
    def chosen_task(self) -> str | None:
        """The task of the next episode, as the world names it."""
        return self.task.currentData()

    @property
    def next_scene(self) -> int:
        """The scene of the next episode."""
        return self._next_scene

    @next_scene.setter
    def next_scene(self, scene: int) -> None:
        self._next_scene = scene
        if not self._is_open:
            self.seed.setValue(scene)

    def choose_task(self) -> None:
        """Open the list of tasks; typing finds one, Enter selects it."""
        if self.task.isEnabled():
            self.task.setFocus()
            self.task.showPopup()

    def type_scene(self) -> None:
        """Let the operator type a scene number; after Enter, keys steer again."""
        if self.seed.isEnabled():
            self.seed.setFocus()
            self.seed.selectAll()

    def show_snapshot(self, snapshot: Snapshot, *, is_simulated: bool) -> None:
        """Enable the actions that are possible now."""
        episode = snapshot.episode
        is_open = is_episode_open(snapshot)
        self.start.setEnabled(not is_open and snapshot.phase is Phase.HOLD)
        self.resume.setVisible(snapshot.phase is Phase.HOLD and is_open)
        self.start.setVisible(not self.resume.isVisibleTo(self))
        for button in (self.success, self.failure, self.discard):
            button.setEnabled(is_open)
        self._stress_success(is_open and episode.success_seen)
        self.back.setEnabled(episode.can_go_back)
        self.back.setVisible(is_simulated)
        self._boxes["scene"].setVisible(is_simulated and not self.is_attempt)
        self._boxes["task"].setVisible((is_simulated or self.task.count() > 0) and not self.is_attempt)
        self.unrecorded.setVisible(not self.is_attempt)
        self.hold.setEnabled(snapshot.phase is not Phase.HOLD)
        self.seed.setEnabled(not is_open)
        self._show_scene(episode.seed, is_open=is_open)
        if not self.instruction.hasFocus():
            self.instruction.setText(episode.instruction)
            self.instruction.setCursorPosition(0)

    def _show_scene(self, running: int, *, is_open: bool) -> None:
        """Show the scene of the running episode, or else the next scene."""
        was_open, self._is_open = self._is_open, is_open
        if is_open:
            self.seed.setValue(running)
        elif was_open:
            self.seed.setValue(self._next_scene)

    def _on_scene(self, scene: int) -> None:
        if not self._is_open:
            self._next_scene = scene

    def _stress_success(self, is_seen: bool) -> None:
        role = "primary" if is_seen else "good"
        if self.success.property("role") != role:
            self.success.setProperty("role", role)
            self.success.setText("✔ Success ?" if is_seen else "✔ Success")
            style = self.success.style()
            if style is not None:
                style.polish(self.success)

    def take_note(self) -> str:
        """Return the note and clear the field."""
        text = self.note.text().strip()
        self.note.clear()
        return text

    def _on_instruction(self) -> None:
        self.instruction.clearFocus()
        self.instruction_edited.emit(self.instruction.text().strip())


def is_episode_open(snapshot: Snapshot) -> bool:
    """Whether an episode is open: between its start and its label."""
    return snapshot.episode.number > 0
