"""How many successes of the task are saved, large, with the key that saves one and starts the next. GUI thread."""

from collections.abc import Callable

from app.boxes import Column, Row
from app.qt import QtWidgets
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap

TARGET = 10
"""Successes that are usually enough for a first training."""


class ProgressStrip(QtWidgets.QFrame):
    """The strip above the 3D view.

    Args:
        run: runs an action by id.
    """

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        self.count, self.caption = label("", "big"), label("", "caption", wrap=True)
        self.next_button = ActionButton("episode.success_next", run, text="Success, next", role="good")
        self.train_button = ActionButton("layout.train", run, text="Train now", role="primary")
        self.stay_button = ActionButton("episode.stay", run, text="Stay")
        self._buttons = (self.next_button, self.train_button, self.stay_button)
        column = Column(spacing=0)
        column.addWidget(self.count)
        column.addWidget(self.caption)
        row = Row(self, margins=(8, 2, 4, 2))
        row.addLayout(column, 1)
        for button in self._buttons:
            row.addWidget(button)
        self.stay_button.hide()
        self._task = ""
        self.setAccessibleName("Saved successes of the task")
        self.show_progress("", 0)

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in self._buttons:
            button.use_map(inputs)

    def show_progress(self, task: str, saved: int) -> None:
        """Show how many successes of a task are saved; from `TARGET` on, training is offered."""
        text = f"{saved} of {TARGET} saved" if saved < TARGET else f"{saved} saved"
        if self.count.text() != text:
            self.count.setText(text)
        self._task = task
        if not self.stay_button.isVisibleTo(self):
            self.caption.setText(task)
        self.train_button.setVisible(saved >= TARGET)

    def show_open(self, is_open: bool) -> None:
        """Name what the button does: end the open episode and start another, or start one."""
        text = "✔ Success, next" if is_open else "● Start"
        if self.next_button.text() != text:
            self.next_button.setText(text)

    def show_countdown(self, seconds: int) -> None:
        """Show in how many seconds the episode is saved by itself; 0 = it is not."""
        self.stay_button.setVisible(seconds > 0)
        if seconds:
            self.caption.setText(f"Success seen: saved in {seconds} s, then the next scene")
        else:
            self.caption.setText(self._task)
