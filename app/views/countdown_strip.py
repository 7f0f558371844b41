"""The strip that shows a countdown, large, with what stops it. GUI thread."""

from collections.abc import Callable

from app.boxes import Row
from app.qt import QtWidgets
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap


class CountdownStrip(QtWidgets.QFrame):
    """Hidden while nothing is counted.

    Args:
        run: runs an action by id.
    """

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "toast")
        self.setProperty("tone", "warn")
        self.seconds, self.text = label("", "big"), label("", "sentence", wrap=True)
        self._buttons = (
            ActionButton("episode.stay", run, text="Stop the countdown", role="primary"),
            ActionButton("drive.hold", run, text="HOLD", role="hold"),
        )
        row = Row(self, margins=(14, 4, 10, 4))
        row.addWidget(self.seconds)
        row.addWidget(self.text, 1)
        for button in self._buttons:
            row.addWidget(button)
        self.setAccessibleName("Countdown")
        self.hide()

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in self._buttons:
            button.use_map(inputs)

    def show_countdown(self, what: str, seconds: int) -> None:
        """Show what happens in how many seconds; 0 = nothing."""
        self.seconds.setText(str(seconds) if seconds else "")
        self.text.setText(f"{what} in {seconds} s: the arm then moves without another press" if seconds else "")
        self.setVisible(seconds > 0)
