"""The menus, filled from the rows of the action table. GUI thread."""

from collections.abc import Callable

from app.actions import ACTIONS, MENUS, key_cap, tooltip_of
from app.qt import QtGui, QtWidgets
from frs_core.devices.intent import InputMap


class Menus:
    """One menu for each name of `MENUS`; an action that is held down is in none.

    Args:
        bar: of the window.
        run: runs an action by id.
    """

    def __init__(self, bar: QtWidgets.QMenuBar, run: Callable[[str], object]) -> None:
        self.actions: dict[str, QtGui.QAction] = {}
        """Action id -> its entry."""
        for name in MENUS:
            menu = bar.addMenu(name)
            assert menu is not None
            menu.setToolTipsVisible(True)
            for row in ACTIONS.values():
                if row.menu == name and not row.is_held:
                    action = QtGui.QAction(row.text, bar)
                    action.triggered.connect(lambda _checked=False, i=row.id: run(i))
                    menu.addAction(action)
                    self.actions[row.id] = action

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys."""
        for action, item in self.actions.items():
            keys = [key_cap(c[4:]) for c in inputs.controls(action) if c.startswith("key:")]
            item.setText(ACTIONS[action].text + (f"\t{keys[0]}" if keys else ""))
            item.setToolTip(tooltip_of(action, inputs))
            item.setStatusTip(ACTIONS[action].tooltip)
