"""Drive, Review, Train, Practise: the layouts as buttons. GUI thread."""

from collections.abc import Callable

from app.actions import tooltip_of
from app.boxes import Column, Row
from app.qt import QtCore, QtWidgets
from frs_core.devices.intent import InputMap

LAYOUTS = ("drive", "review", "train", "practise")


class LayoutTabs(QtWidgets.QFrame):
    """Drive, Review, Train, Practise at the right end of the state bar."""

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        column = Column(self, margins=(0, 4, 8, 4), spacing=2)
        self._buttons: dict[str, QtWidgets.QToolButton] = {}
        row = Row(spacing=2)
        for i, name in enumerate(LAYOUTS, 1):
            button = QtWidgets.QToolButton()
            button.setText(f"{i} {name.capitalize()}")
            button.setCheckable(True)
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(f"Layout {name}")
            button.clicked.connect(lambda _checked=False, n=name: run(f"layout.{n}"))
            row.addWidget(button)
            self._buttons[name] = button
        column.addStretch(1)
        column.addLayout(row)
        column.addStretch(1)

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for name, button in self._buttons.items():
            button.setToolTip(tooltip_of(f"layout.{name}", inputs))

    def show_layout(self, name: str) -> None:
        """Mark the current layout."""
        for other, button in self._buttons.items():
            button.setChecked(other == name)
