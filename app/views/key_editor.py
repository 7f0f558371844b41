"""The editor of the input map of all devices. It checks for conflicts and saves every change. GUI thread."""

from collections.abc import Callable

from app.actions import ACTIONS, DEVICES, MENUS, columns_of
from app.boxes import Column, Row
from app.inputs import Inputs
from app.keymap import control_of
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.widgets import label, set_tone, size_columns
from frs_core.devices.base import ControlChange, Stage
from frs_core.errors import ConfigError

ACTION = Qt.ItemDataRole.UserRole
_MODIFIERS = (Qt.Key.Key_Shift, Qt.Key.Key_Control, Qt.Key.Key_Alt, Qt.Key.Key_Meta)


class KeyEditor(QtWidgets.QWidget):
    """A table of actions; "Add" waits for the next key or button.

    Args:
        inputs: devices and map.
        save: called after each change.
    """

    def __init__(self, inputs: Inputs, *, save: Callable[[], None]) -> None:
        super().__init__()
        self._inputs, self._save = inputs, save
        self.table = QtWidgets.QTreeWidget()
        self.table.setHeaderLabels(["Action", "Keys", *(d.title for d in DEVICES)])
        self.table.setRootIsDecorated(False)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setAccessibleName("Actions and their keys")
        size_columns(self.table, (220, 190, 230, *(130 for _ in DEVICES[1:])))
        self.add = QtWidgets.QPushButton("Add key or button…")
        self.remove = QtWidgets.QPushButton("Remove all")
        self.reset_one = QtWidgets.QPushButton("Default")
        self.reset_all = QtWidgets.QPushButton("All defaults")
        self.message = label("Choose an action, then add a key, a gamepad button or a SpaceMouse direction", wrap=True)
        row = Row()
        for button in (self.add, self.remove, self.reset_one, self.reset_all):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button)
        row.addStretch(1)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addWidget(self.table, 1)
        column.addLayout(row)
        column.addWidget(self.message)
        self.add.clicked.connect(self.listen)
        self.remove.clicked.connect(lambda: self._bind(()))
        self.reset_one.clicked.connect(self._reset_one)
        self.reset_all.clicked.connect(lambda: self._change(lambda: self._inputs.reset()))
        inputs.control_changed.connect(self._on_control)
        inputs.map_changed.connect(self.refresh)
        app = QtWidgets.QApplication.instance()
        assert app is not None
        self._app = app

    def refresh(self) -> None:
        """Show the current map."""
        chosen = self.chosen()
        self.table.clear()
        for menu in MENUS:
            section = QtWidgets.QTreeWidgetItem([menu])
            font = section.font(0)
            font.setBold(True)
            section.setFont(0, font)
            section.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.table.addTopLevelItem(section)
            for row in ACTIONS.values():
                if row.menu == menu:
                    section.addChild(self._item(row.id))
        self.table.expandAll()
        if chosen:
            self.choose(chosen)

    def chosen(self) -> str | None:
        """Id of the selected action."""
        item = self.table.currentItem()
        return item.data(0, ACTION) if item is not None else None

    def choose(self, action: str) -> None:
        """Select an action."""
        for i in range(self.table.topLevelItemCount()):
            section = self.table.topLevelItem(i)
            for j in range(section.childCount() if section else 0):
                child = section.child(j) if section else None
                if child is not None and child.data(0, ACTION) == action:
                    self.table.setCurrentItem(child)

    def listen(self) -> None:
        """Take the next key or button for the selected action."""
        action = self.chosen()
        if action is None:
            self._tell("Choose an action first", "warn")
            return
        self._inputs.keyboard.is_capturing = True
        self._app.installEventFilter(self)
        self._tell(f"Press the key or button for '{ACTIONS[action].text}'…", "")

    def stop(self) -> None:
        """Stop listening."""
        self._inputs.keyboard.is_capturing = False
        self._app.removeEventFilter(self)

    def add_control(self, control: str) -> None:
        """Bind one more control to the selected action, or show why that fails."""
        action = self.chosen()
        if action is not None:
            self._bind((*self._inputs.map.controls(action), control))

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Take the next key."""
        if isinstance(event, QtGui.QKeyEvent) and event.type() == QtCore.QEvent.Type.KeyPress:
            if event.key() in _MODIFIERS:
                return True
            self.stop()
            self.add_control(control_of(event))
            return True
        return isinstance(event, QtGui.QKeyEvent)

    def _on_control(self, change: ControlChange) -> None:
        if self._inputs.keyboard.is_capturing and change.device != "keyboard" and change.stage is Stage.PRESSED:
            self.stop()
            self.add_control(change.control)

    def _bind(self, controls: tuple[str, ...]) -> None:
        action = self.chosen()
        if action is None:
            self._tell("Choose an action first", "warn")
            return
        if action == "drive.hold" and not any(c.startswith("key:") for c in controls):
            self._tell("Hold needs at least one key", "bad")
            return
        self._change(lambda: self._inputs.rebind(action, controls))

    def _reset_one(self) -> None:
        action = self.chosen()
        if action is not None:
            self._change(lambda: self._inputs.reset(action))

    def _change(self, change: Callable[[], None]) -> None:
        try:
            change()
        except ConfigError as error:
            text = str(error)
            for row in ACTIONS.values():
                text = text.replace(f"'{row.id}'", f"'{row.text}'")
            self._tell(text, "bad")
            return
        clashes = self._inputs.map.clashes()
        self._tell(str(clashes[0]) if clashes else "Saved", "bad" if clashes else "good")
        self._save()

    def _item(self, action: str) -> QtWidgets.QTreeWidgetItem:
        controls = self._inputs.map.controls(action)
        item = QtWidgets.QTreeWidgetItem(
            [
                ACTIONS[action].text,
                *columns_of(controls, "   "),
            ]
        )
        item.setData(0, ACTION, action)
        item.setToolTip(0, ACTIONS[action].tooltip)
        return item

    def _tell(self, text: str, tone: str) -> None:
        self.message.setText(text)
        set_tone(self.message, tone)
