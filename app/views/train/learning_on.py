"""Whether the learned policy learns on from successes, what became of the last one, and the way back. GUI thread."""

from collections.abc import Callable

from app.actions import ACTIONS, tooltip_of
from app.boxes import Column, Row
from app.qt import Qt, QtWidgets
from app.versions import Versions
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap


class LearningOn(QtWidgets.QWidget):
    """The lower part of Train's right pane.

    Args:
        run: runs an action by id.
        versions: what it shows.
    """

    def __init__(self, run: Callable[[str], object], versions: Versions) -> None:
        super().__init__()
        self._versions = versions
        self.switch = QtWidgets.QCheckBox(ACTIONS["learned.learn_on"].text)
        self.switch.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.back_button = ActionButton("learned.back", run, text="Version before")
        self.text = label("", "caption", wrap=True)
        self.text.setAccessibleName("What became of the last success")
        row = Row()
        row.addWidget(self.switch, 1)
        row.addWidget(self.back_button)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addLayout(row)
        column.addWidget(self.text)
        # Not `toggled`, which `show_now` would emit too.
        self.switch.clicked.connect(lambda _on: run("learned.learn_on"))
        versions.changed.connect(self.show_now)
        self.show_now()

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.switch.setToolTip(tooltip_of("learned.learn_on", inputs))
        self.back_button.use_map(inputs)

    def show_now(self) -> None:
        """Show the switch and the sentence as they are."""
        self.switch.setChecked(self._versions.is_on)
        self.text.setText(self._versions.sentence)
        self.text.setVisible(bool(self._versions.sentence))
