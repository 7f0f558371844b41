"""The strip above Drive while a practice or a comparison wants its attempts started there. GUI thread."""

from collections.abc import Callable, Sequence

from app.boxes import Row
from app.qt import QtWidgets
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap

PRACTICE = (("practise.stop", "Stop practising"),)
COMPARISON = (("compare.exclude", "Exclude…"), ("compare.results", "Results"), ("compare.stop", "Stop comparing"))
"""Actions and texts of the buttons."""


class AttemptStrip(QtWidgets.QFrame):
    """One sentence about the present attempt, how the others went, and the way out; hidden while no attempts are wanted.

    Args:
        run: runs an action by id.
        actions: id and text of each button.
    """

    def __init__(self, run: Callable[[str], object], actions: Sequence[tuple[str, str]] = PRACTICE) -> None:
        super().__init__()
        self.setProperty("role", "toast")
        self.text, self.tried = label("", "sentence", wrap=True), label("", "caption")
        self.tried.setToolTip("Success of its attempts so far, with the 95 % Wilson interval")
        self.buttons = {action: ActionButton(action, run, text=text) for action, text in actions}
        row = Row(self, margins=(14, 4, 10, 4))
        row.addWidget(self.text, 1)
        row.addWidget(self.tried)
        for button in self.buttons.values():
            row.addWidget(button)
        self.hide()

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in self.buttons.values():
            button.use_map(inputs)

    def show_attempt(self, sentence: str, tried: str) -> None:
        """Show what is to be known or done; an empty sentence hides the strip."""
        if self.text.text() != sentence:
            self.text.setText(sentence)
        self.tried.setText(tried)
        self.setVisible(bool(sentence))
