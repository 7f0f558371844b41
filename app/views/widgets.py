"""Small widgets that several views share: action buttons, segmented choices, captioned groups."""

import html
from collections.abc import Callable, Sequence

from app import theme
from app.actions import ACTIONS, tooltip_of
from app.boxes import AROUND, Column, Row, grow
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from frs_core.devices.intent import InputMap


class ActionButton(QtWidgets.QPushButton):
    """A button for one row of the action table.

    Args:
        action: id.
        run: called with the id when pressed.
        text: replaces the table's text.
        role: "primary", "good", "bad" or "hold".
    """

    def __init__(
        self,
        action: str,
        run: Callable[[str], object],
        *,
        text: str | None = None,
        role: str = "",
        checkable: bool = False,
    ) -> None:
        row = ACTIONS[action]
        label = text if text is not None else row.text
        super().__init__(f"{row.glyph} {label}".strip() if row.glyph else label)
        self.action = action
        self.setCheckable(checkable)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(row.text)
        if role:
            self.setProperty("role", role)
        self.clicked.connect(lambda _checked=False: run(action))

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in the tooltip."""
        self.setToolTip(tooltip_of(self.action, inputs))


class Segments(QtWidgets.QWidget):
    """A row of buttons of which exactly one is checked, or, where there is no room for the row, one button with a menu.

    Args:
        options: (value, text, tooltip) in order.
        name: for screen readers.
    """

    chosen = Signal(str)

    def __init__(self, options: Sequence[tuple[str, str, str]], *, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        row = Row(self, margins=(0, 0, 0, 0), spacing=2)
        self._buttons: dict[str, QtWidgets.QToolButton] = {}
        self._entries: dict[str, QtGui.QAction] = {}
        self._tips = {value: tip for value, _, tip in options}
        self._menu = QtWidgets.QMenu(self)
        self._menu.setToolTipsVisible(True)
        self.menu_button = QtWidgets.QToolButton()
        self.menu_button.setPopupMode(QtWidgets.QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setMenu(self._menu)
        self.menu_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.menu_button.setAccessibleName(name)
        self.menu_button.hide()
        for value, text, tip in options:
            button = QtWidgets.QToolButton()
            button.setText(text)
            button.setToolTip(tip)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(f"{name}: {text}")
            theme.on_scale(button, lambda b: b.setMinimumWidth(_bold_width(b, b.text()) + theme.px(22)))
            button.clicked.connect(lambda _checked=False, v=value: self._on_clicked(v))
            row.addWidget(button)
            self._buttons[value] = button
            entry = QtGui.QAction(text, self._menu)
            entry.setToolTip(tip)
            entry.setCheckable(True)
            entry.triggered.connect(lambda _checked=False, v=value: self._on_clicked(v))
            self._menu.addAction(entry)
            self._entries[value] = entry
        texts = [text for _, text, _ in options]
        theme.on_scale(
            self.menu_button, lambda b: b.setFixedWidth(max(_bold_width(b, text) for text in texts) + theme.px(36))
        )
        row.addWidget(self.menu_button)

    @property
    def is_menu(self) -> bool:
        """Whether the options are behind one button."""
        return not self.menu_button.isHidden()

    def set_menu(self, is_menu: bool) -> None:
        """Show one button with a menu, or all options in a row."""
        for button in self._buttons.values():
            button.setHidden(is_menu)
        self.menu_button.setHidden(not is_menu)
        self.updateGeometry()

    def show_value(self, value: str) -> None:
        """Check one option without emitting `chosen`."""
        for name, button in self._buttons.items():
            button.setChecked(name == value)
            self._entries[name].setChecked(name == value)
        if value in self._buttons:
            self.menu_button.setText(self._buttons[value].text())
            self.menu_button.setToolTip(self._tips[value])

    def set_available(self, value: str, is_available: bool, *, why_not: str = "") -> None:
        """Enable one option, or disable it with the reason as its tooltip."""
        button, entry = self._buttons[value], self._entries[value]
        button.setEnabled(is_available)
        entry.setEnabled(is_available)
        tip = self._tips[value] if is_available or not why_not else why_not
        if button.toolTip() != tip:
            button.setToolTip(tip)
            button.setAccessibleDescription(tip)
            entry.setToolTip(tip)

    def button(self, value: str) -> QtWidgets.QToolButton:
        """Return the button of one option."""
        return self._buttons[value]

    def _on_clicked(self, value: str) -> None:
        self.show_value(value)
        self.chosen.emit(value)


def _width(widget: QtWidgets.QWidget, text: str, *, is_bold: bool) -> int:
    """Return the width of a text in the font that the stylesheet gives most widgets, pixels."""
    font = QtGui.QFont(widget.font())
    font.setPixelSize(theme.px(13))
    font.setBold(is_bold)
    return QtGui.QFontMetrics(font).horizontalAdvance(text)


def _bold_width(widget: QtWidgets.QWidget, text: str) -> int:
    """Return the width of a text in the bold font of checked buttons, pixels."""
    return _width(widget, text, is_bold=True)


def leave_room_for_placeholder(line: QtWidgets.QLineEdit) -> None:
    """Keep a field so wide that its placeholder can be read."""
    theme.on_scale(
        line, lambda field: field.setMinimumWidth(_width(field, field.placeholderText(), is_bold=False) + theme.px(20))
    )


def size_columns(view: QtWidgets.QTreeView | QtWidgets.QTableView, widths: Sequence[int]) -> None:
    """Give a list's columns their widths, at the present scale of the theme and at any later one.

    Args:
        view: the list.
        widths: at scale 1, logical pixels.
    """

    def use(view: QtWidgets.QTreeView | QtWidgets.QTableView) -> None:
        for column, width in enumerate(widths):
            view.setColumnWidth(column, theme.px(width))

    theme.on_scale(view, use)


def captioned(caption: str, widget: QtWidgets.QWidget, *, box: QtWidgets.QWidget | None = None) -> Column:
    """Return a widget under its small caption.

    Args:
        caption: lower case.
        widget: below it.
        box: gets both as its layout.
    """
    column = Column(box, margins=(0, 0, 0, 0), spacing=1)
    above = label(caption, "caption")
    above.setBuddy(widget)
    column.addWidget(above)
    column.addWidget(widget)
    return column


def label(text: str, role: str = "", *, wrap: bool = False) -> QtWidgets.QLabel:
    """Return a label with a role of the stylesheet; shows text as it is, where Qt would take a task such as "onto the <table>" for HTML."""
    result = QtWidgets.QLabel(text)
    result.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        result.setProperty("role", role)
    result.setWordWrap(wrap)
    return result


def plain_tip(text: str) -> str:
    """Return a tooltip that shows a foreign text, such as a path or an error, as it is."""
    return f"<p>{html.escape(text).replace(chr(10), '<br>')}</p>" if "<" in text else text


def panel(layout: QtWidgets.QLayout, *, role: str = "panel") -> QtWidgets.QFrame:
    """Return a framed panel around a layout."""
    frame = QtWidgets.QFrame()
    frame.setProperty("role", role)
    frame.setLayout(layout)
    grow(layout, margins=AROUND)
    return frame


FRAME_PX = QtCore.QSize(16, 48)
"""Room for what window managers draw around a dialog. Guess: openbox needs 2 x 24."""


def size_dialog(dialog: QtWidgets.QDialog, width: float, height: float) -> None:
    """Size a dialog for the present display size, at most as its screen has room.

    Args:
        dialog: with a parent, on whose screen it opens.
        width: pixels at display size S.
        height: the same.
    """
    parent = dialog.parentWidget()
    screen = (parent or dialog).screen()
    size = QtCore.QSize(theme.px(width), theme.px(height))
    if screen is not None:
        size = size.boundedTo(screen.availableSize() - FRAME_PX)
    dialog.resize(size)


def sign_of(tone: str) -> str:
    """Return the sign that stands for a tone, beside its colour."""
    return {"bad": "✘", "good": "✔", "warn": "⚠"}.get(tone, "ℹ")


def set_tone(widget: QtWidgets.QWidget, tone: str) -> None:
    """Give a label or frame the tone "good", "warn", "bad" or none."""
    if widget.property("tone") == tone:
        return
    widget.setProperty("tone", tone)
    style = widget.style()
    if style is not None:
        style.unpolish(widget)
        style.polish(widget)
