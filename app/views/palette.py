"""The command palette: type a few letters, press Enter. Made from the action table. GUI thread."""

from collections.abc import Callable

from app import theme
from app.actions import ACTIONS, key_cap
from app.boxes import Column
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.overlay import Card
from frs_core.devices.intent import ANY_SCOPE, InputMap


def score(needle: str, text: str) -> float | None:
    """Return how well letters match a text in order (smaller is better), or None when they do not."""
    low, wanted = text.lower(), needle.lower().strip()
    if not wanted:
        return 0.0
    if wanted in low:
        at = low.index(wanted)
        return at * 0.1 + (0.0 if at == 0 or not low[at - 1].isalnum() else 1.0)
    position, spread, first = -1, 0.0, 0
    for i, letter in enumerate(c for c in wanted if not c.isspace()):
        found = low.find(letter, position + 1)
        if found < 0:
            return None
        first = found if i == 0 else first
        spread += found - position - 1 if i else 0
        position = found
    return 10.0 + spread + first * 0.1


class Palette(Card):
    """A search field and the matching actions.

    Args:
        run: runs an action by id.
    """

    def __init__(self, run: Callable[[str], object], close: Callable[[], None]) -> None:
        super().__init__()
        self._run, self._close = run, close
        self._inputs: InputMap | None = None
        self._scope = ANY_SCOPE
        self.line = QtWidgets.QLineEdit()
        self.line.setPlaceholderText("Type the name of an action…")
        self.line.setAccessibleName("Find an action")
        self.list = QtWidgets.QListWidget()
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setAccessibleName("Matching actions")
        column = Column(self)
        column.addWidget(self.line)
        column.addWidget(self.list)
        theme.on_scale(self, lambda palette: palette.setMinimumSize(theme.px(560), theme.px(380)))
        self.setFocusProxy(self.line)
        self.line.textChanged.connect(self._fill)
        self.line.installEventFilter(self)
        self.list.itemClicked.connect(lambda _item: self._choose())

    def prepare(self, inputs: InputMap, scope: str) -> None:
        """List the actions of a layout."""
        self._inputs, self._scope = inputs, scope
        self.line.clear()
        self._fill("")

    def found(self) -> list[str]:
        """Ids of the matching actions, best first."""
        return [self.list.item(i).data(Qt.ItemDataRole.UserRole) for i in range(self.list.count())]  # type: ignore[union-attr]

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Up, Down and Enter work while typing."""
        if isinstance(event, QtGui.QKeyEvent) and event.type() == QtCore.QEvent.Type.KeyPress:
            step = (
                {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0) if event.key() < 0x01100000 else 0
            )
            if step:
                count = max(1, self.list.count())
                self.list.setCurrentRow((self.list.currentRow() + step) % count)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._choose()
                return True
        return False

    def _fill(self, text: str) -> None:
        ranked = []
        for row in ACTIONS.values():
            if row.is_held or row.id == "help.palette" or row.scope not in (ANY_SCOPE, self._scope):
                continue
            value = score(text, f"{row.text} {row.menu}")
            if value is not None:
                ranked.append((value, row))
        ranked.sort(key=lambda pair: pair[0])
        self.list.clear()
        for _, row in ranked:
            keys = (
                [key_cap(c[4:]) for c in self._inputs.controls(row.id) if c.startswith("key:")] if self._inputs else []
            )
            item = QtWidgets.QListWidgetItem(f"{row.menu}: {row.text}" + (f"      {'  '.join(keys)}" if keys else ""))
            item.setData(Qt.ItemDataRole.UserRole, row.id)
            item.setToolTip(row.tooltip)
            self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _choose(self) -> None:
        item = self.list.currentItem()
        self._close()
        if item is not None:
            self._run(item.data(Qt.ItemDataRole.UserRole))
