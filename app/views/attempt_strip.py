"""The strip above Drive while a practice wants its attempts started there. GUI thread."""

from collections.abc import Callable

from app.qt import QtWidgets
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap


class AttemptStrip(QtWidgets.QFrame):
    """One sentence about the present attempt, how the others went, and the way out; hidden while there is no practice.

    Args:
        run: runs an action by id.
    """

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "toast")
        self.text, self.tried = label("", "sentence", wrap=True), label("", "caption")
        self.tried.setToolTip("Success of its attempts so far, with the 95 % Wilson interval")
        self.stop = ActionButton("practise.stop", run, text="Stop practising")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(14, 4, 10, 4)
        row.addWidget(self.text, 1)
        row.addWidget(self.tried)
        row.addWidget(self.stop)
        self.hide()

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.stop.use_map(inputs)

    def show_attempt(self, sentence: str, tried: str) -> None:
        """Show what is to be known or done; an empty sentence hides the strip."""
        if self.text.text() != sentence:
            self.text.setText(sentence)
        self.tried.setText(tried)
        self.setVisible(bool(sentence))
