"""The keyboard map (F1) made from the action table, and the card of the first start. GUI thread."""

from app import theme
from app.actions import ACTIONS, DEVICES, MENUS, columns_of, key_cap
from app.boxes import Column
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.overlay import Card
from app.views.widgets import label
from frs_core.devices.intent import ANY_SCOPE, InputMap

_ROWS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("Esc", 1.4), ("", 0.6), ("F1", 1), ("F5", 1), ("F9", 1), ("F11", 1)),
    (*((k, 1.0) for k in "1234567890-="), ("Backspace", 2.0), ("", 0.3), ("Home", 1.2), ("PgUp", 1.2)),
    (("Tab", 1.5), *((k, 1.0) for k in "QWERTYUIOP[]"), ("", 1.8 - 1.3), ("", 0.3), ("Del", 1.2), ("PgDown", 1.2)),
    (("", 1.8), *((k, 1.0) for k in "ASDFGHJKL"), ("", 0.6), ("Return", 2.6)),
    (("Shift", 2.3), *((k, 1.0) for k in "ZXCVBNM,."), ("", 1.6), ("", 0.7), ("Up", 1.2)),
    (("Ctrl", 1.5), ("", 2.0), ("Space", 6.0), ("", 3.6), ("Left", 1.2), ("Down", 1.2), ("Right", 1.2)),
)

_CELL_MARGINS = 8
"""Width of a cell that the style leaves empty beside its text, at most, px."""


class KeyboardMap(QtWidgets.QWidget):
    """A keyboard that names the bound keys and highlights the pressed ones."""

    UNIT = 56

    def __init__(self, scope: str = "drive") -> None:
        super().__init__()
        self._scope = scope
        self._named: dict[str, str] = {}
        self._held: set[str] = set()
        theme.on_scale(self, lambda keys: keys.setMinimumSize(theme.px(860), theme.px(6 * 54)))
        self.setAccessibleName("Keyboard map")

    def use_map(self, inputs: InputMap, scope: str) -> None:
        """Show the bindings of a layout."""
        self._scope = scope
        self._named = {}
        for row in ACTIONS.values():
            if row.scope not in (scope, ANY_SCOPE):
                continue
            for control in inputs.controls(row.id):
                if control.startswith("key:") and "+" not in control[4:-1]:
                    self._named.setdefault(control[4:], _short(row.text))
        self.update()

    def set_held(self, keys: tuple[str, ...]) -> None:
        """Highlight the pressed keys."""
        self._held = {k.removeprefix("key:") for k in keys}
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw the keys."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        tokens = theme.current()
        total = max(sum(w for _, w in row) for row in _ROWS)
        unit = min(self.width() / total, self.height() / len(_ROWS) * 1.15)
        height = self.height() / len(_ROWS)
        for y, row in enumerate(_ROWS):
            x = 0.0
            for key, width in row:
                if key:
                    box = QtCore.QRectF(x + 2, y * height + 2, width * unit - 4, height - 4)
                    self._paint_key(painter, box, key, tokens)
                x += width * unit

    def _paint_key(self, painter: QtGui.QPainter, box: QtCore.QRectF, key: str, tokens: theme.Theme) -> None:
        name, is_held = self._named.get(key, ""), key in self._held
        painter.setPen(QtGui.QPen(theme.colour(tokens.accent if name else tokens.line), 2 if name else 1))
        painter.setBrush(theme.colour(tokens.accent if is_held else (tokens.raised if name else tokens.window)))
        painter.drawRoundedRect(box, 5, 5)
        font = painter.font()
        font.setPixelSize(theme.px(14))
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(theme.colour(theme.ink_on(tokens.accent) if is_held else (tokens.text if name else tokens.dim)))
        painter.drawText(
            box.adjusted(theme.px(6), 2, -3, -2), Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, key_cap(key)
        )
        if name:
            font.setPixelSize(theme.px(9))
            font.setBold(False)
            painter.setFont(font)
            painter.drawText(
                box.adjusted(theme.px(3), theme.px(18), 0, -2),
                Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap,
                name,
            )


def _short(text: str) -> str:
    return {
        "Hold": "HOLD",
        "Other step size while held": "other step",
        "Back one chunk": "back one chunk",
        "Gated or continuous": "pacing",
        "Robot or camera frame": "frame",
        "Step size less or more": "step size",
        "Less reversal depth": "depth −",
        "More reversal depth": "depth +",
        "Show the other step size": "other shown",
        "Show the request": "request shown",
        "Enlarge camera": "enlarge",
        "Next camera": "next camera",
        "Camera in its own window": "own window",
    }.get(text, text.rstrip("…").lower())


class _WrappedText(QtWidgets.QStyledItemDelegate):
    """Makes rows as high as their text, wrapped at the width of its column."""

    def __init__(self, table: QtWidgets.QTreeWidget) -> None:
        super().__init__(table)
        self._table = table

    def sizeHint(self, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> QtCore.QSize:
        """Return the size of the wrapped text."""
        room = QtCore.QRect(0, 0, self._table.columnWidth(index.column()) - _CELL_MARGINS, 1000)
        text = index.data() or ""
        height = option.fontMetrics.boundingRect(room, Qt.TextFlag.TextWordWrap, text).height()
        return QtCore.QSize(room.width(), max(height, super().sizeHint(option, index).height()))


class HelpSheet(Card):
    """The keyboard map and every action with its keys and buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.keyboard = KeyboardMap()
        self.table = QtWidgets.QTreeWidget()
        self.table.setHeaderLabels(["Action", "Keys", *(d.title for d in DEVICES), "What it does"])
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setRootIsDecorated(False)
        self.table.setWordWrap(True)
        self.table.setItemDelegateForColumn(self.table.columnCount() - 1, _WrappedText(self.table))
        header = self.table.header()
        assert header is not None
        header.sectionResized.connect(self.table.scheduleDelayedItemsLayout)
        self.table.setAccessibleName("All actions and their keys")
        column = Column(self)
        column.addWidget(label("Keys", "title"))
        column.addWidget(self.keyboard)
        column.addWidget(self.table, 1)
        column.addWidget(label("Esc or F1 closes this. Change keys in Help, Keys and devices", "caption"))
        theme.on_scale(self, lambda sheet: sheet.setMinimumSize(theme.px(900), theme.px(560)))

    def use_map(self, inputs: InputMap, scope: str) -> None:
        """Fill keyboard map and table."""
        self.keyboard.use_map(inputs, scope)
        self.table.clear()
        for menu in MENUS:
            rows = [r for r in ACTIONS.values() if r.menu == menu and r.scope in (scope, ANY_SCOPE)]
            if not rows:
                continue
            section = QtWidgets.QTreeWidgetItem([menu])
            font = section.font(0)
            font.setBold(True)
            section.setFont(0, font)
            self.table.addTopLevelItem(section)
            for row in rows:
                controls = inputs.controls(row.id)
                section.addChild(QtWidgets.QTreeWidgetItem([row.text, *columns_of(controls, "  "), row.tooltip]))
        self.table.expandAll()
        for column in range(self.table.columnCount() - 1):
            self.table.resizeColumnToContents(column)

    def sizeHint(self) -> QtCore.QSize:
        """Return a size at which most texts take one line, where the window has the room."""
        return QtCore.QSize(theme.px(1220), theme.px(740))
