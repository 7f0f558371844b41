"""The list of tasks, whose closed box shows a title that is a sentence on two lines.

Problem: titles of a benchmark are sentences that begin alike ("pick up the black bowl between …", "pick up the black bowl next to …"), and
a box that cuts them after the first words shows the same for all. Idea: two lines of small text, and where these have no room either, the
words that a whole group shares are left out first.

Example: "spatial/1  pick up the black bowl next to the ramekin and place it on the plate" -> "spatial/1 … next to the ramekin …". GUI thread.
"""

from collections.abc import Sequence

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets

LINES = 2
PAUSE_MS = 1000
"""Without a key for as long, the next key begins another search."""


class TaskList(QtWidgets.QListView):
    """The open list: typing finds the first item that begins with it, else one that has it anywhere, in title or name."""

    def __init__(self) -> None:
        super().__init__()
        self._typed, self._clock = "", QtCore.QElapsedTimer()

    def keyboardSearch(self, search: str | None) -> None:
        """Go to what was typed."""
        super().keyboardSearch(search)
        is_new = not self._clock.isValid() or self._clock.elapsed() > PAUSE_MS
        self._typed = ("" if is_new else self._typed) + (search or "").casefold()
        self._clock.start()
        model = self.model()
        # A key again and again goes from one item to the next, as in every list.
        if model is None or len(set(self._typed)) < 2:
            return
        items = [model.index(row, 0) for row in range(model.rowCount())]
        titles = [str(item.data()).casefold() for item in items]
        names = [str(item.data(Qt.ItemDataRole.UserRole)).casefold() for item in items]
        begins = [i for i, title in enumerate(titles) if title.startswith(self._typed)]
        anywhere = [
            i for i, words in enumerate(zip(titles, names, strict=True)) if any(self._typed in w for w in words)
        ]
        found = begins or anywhere
        if found and self.currentIndex().row() not in found:
            self.setCurrentIndex(items[found[0]])


class TaskBox(QtWidgets.QComboBox):
    """A list of tasks; `use_titles` once its items are there."""

    def __init__(self) -> None:
        super().__init__()
        self.setView(TaskList())
        self._titles: tuple[str, ...] = ()
        self._short: tuple[str, ...] = ()

    def use_titles(self, titles: Sequence[str]) -> None:
        """Take the items for titles that may be sentences, one per item, which begins with it; none = the items are short."""
        self._titles, self._short = tuple(titles), shortened(titles)
        if not titles:
            return
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(18)
        if (items := self.view()) is not None:
            items.setMinimumWidth(items.sizeHintForColumn(0) + theme.px(24))

    @property
    def lines(self) -> tuple[list[str], bool]:
        """The lines that the closed box shows, and whether they are the title without a cut."""
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        return self._lines(self._field(option).width())

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw the box with the title on as many lines as it needs."""
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self._field(option)
        if not self._short or self.fontMetrics().horizontalAdvance(self.currentText()) <= field.width():
            super().paintEvent(event)
            return
        option.currentText = ""
        painter = QtWidgets.QStylePainter(self)
        painter.drawComplexControl(QtWidgets.QStyle.ComplexControl.CC_ComboBox, option)
        painter.setFont(self._font())
        role = QtGui.QPalette.ColorRole.ButtonText if self.isEnabled() else QtGui.QPalette.ColorRole.PlaceholderText
        painter.setPen(self.palette().color(role))
        lines, _ = self._lines(field.width())
        painter.drawText(field, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, "\n".join(lines))

    def _font(self) -> QtGui.QFont:
        font = QtGui.QFont(self.font())
        font.setPixelSize(theme.px(11))
        return font

    def _field(self, option: QtWidgets.QStyleOptionComboBox) -> QtCore.QRect:
        style = self.style()
        assert style is not None
        part = QtWidgets.QStyle.SubControl.SC_ComboBoxEditField
        return style.subControlRect(QtWidgets.QStyle.ComplexControl.CC_ComboBox, option, part, self)

    def _lines(self, width: int) -> tuple[list[str], bool]:
        metrics = QtGui.QFontMetrics(self._font())
        whole = _wrapped(self.currentText(), metrics, width)
        if len(whole) <= LINES:
            return whole, True
        at = self.currentIndex()
        if 0 <= at < len(self._short):
            mark = self.currentText().removeprefix(self._titles[at])
            whole = _wrapped(self._short[at] + mark, metrics, width)
        rest = metrics.elidedText(" ".join(whole[LINES - 1 :]), Qt.TextElideMode.ElideRight, width)
        return [*whole[: LINES - 1], rest], False


def shortened(titles: Sequence[str]) -> tuple[str, ...]:
    """Return the titles without the words that all of a group begin or end with; a group is what stands before "/"."""
    groups: dict[str, list[list[str]]] = {}
    for title in titles:
        first, *words = title.split()
        groups.setdefault(first.partition("/")[0] if "/" in first else "", []).append(words)
    short = []
    for title in titles:
        first, *words = title.split()
        group = groups[first.partition("/")[0] if "/" in first else ""]
        head = _shared(group) if len(group) > 1 else 0
        tail = _shared([other[head:][::-1] for other in group]) if len(group) > 1 else 0
        kept = words[head : len(words) - tail]
        short.append(" ".join([first, *["…"] * (head > 0), *kept, *["…"] * (tail > 0)] if kept else [first, *words]))
    return tuple(short)


def _shared(group: Sequence[Sequence[str]]) -> int:
    """Return with how many words all begin alike."""
    return next((i for i, at in enumerate(zip(*group, strict=False)) if len(set(at)) > 1), min(map(len, group)))


def _wrapped(text: str, metrics: QtGui.QFontMetrics, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and metrics.horizontalAdvance(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
