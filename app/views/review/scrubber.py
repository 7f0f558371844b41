"""The scrubber: position in the episode, the pick of each chunk, and whether its noise regenerates it. GUI thread."""

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.review.record import ChunkMark, Record
from app.views.state_bar import spoken
from frs_core.episodes import command_of
from frs_core.events import NOBODY, Driver
from frs_core.steering.candidates import CandidateKind


class Scrubber(QtWidgets.QWidget):
    """A time line with chunk marks; click or drag to move."""

    position_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._record: Record | None = None
        self._position = 0
        self._checks: dict[int, bool] = {}
        theme.on_scale(self, lambda line: line.setFixedHeight(theme.px(58)))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Time line of the episode")

    def show_record(self, record: Record | None) -> None:
        """Show another episode."""
        self._record, self._position, self._checks = record, 0, {}
        self.update()

    def show_position(self, position: int) -> None:
        """Move the cursor."""
        self._position = position
        self.update()

    def show_checks(self, checks: dict[int, bool]) -> None:
        """Show for each chunk whether the stored noise regenerates it."""
        self._checks = dict(checks)
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw bar, chunks, glyphs, dots and cursor."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        tokens = theme.current()
        painter.fillRect(self.rect(), theme.colour(tokens.panel))
        record = self._record
        if record is None or record.length == 0:
            painter.setPen(theme.colour(tokens.dim))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Choose an episode")
            return
        font = painter.font()
        font.setPixelSize(theme.px(13))
        font.setBold(True)
        painter.setFont(font)
        for mark in record.marks:
            self._paint_mark(painter, mark, tokens)
        x = self._x(self._position + 0.5)
        painter.setPen(QtGui.QPen(theme.colour(tokens.text), theme.px(2)))
        painter.drawLine(QtCore.QPointF(x, 2), QtCore.QPointF(x, self.height() - 2))
        painter.setBrush(theme.colour(tokens.text))
        wide, high = theme.px(5), theme.px(7)
        painter.drawPolygon(
            QtGui.QPolygonF([QtCore.QPointF(x - wide, 0), QtCore.QPointF(x + wide, 0), QtCore.QPointF(x, high)])
        )

    def _paint_mark(self, painter: QtGui.QPainter, mark: ChunkMark, tokens: theme.Theme) -> None:
        left, right = self._x(mark.start), self._x(mark.stop)
        box = QtCore.QRectF(left + 1, theme.px(8), max(2.0, right - left - 2), theme.px(34))
        colour = _mark_colour(mark)
        edge, wide = (tokens.bad, 2) if mark.is_correction else (tokens.line, 1)
        painter.setPen(QtGui.QPen(theme.colour(edge), theme.px(wide)))
        painter.setBrush(theme.colour(theme.HALO))
        painter.drawRoundedRect(box, theme.px(3), theme.px(3))
        if box.width() > theme.px(9):
            painter.setPen(theme.colour(colour))
            text = mark.glyph + ("⎇" if mark.branches and box.width() > theme.px(26) else "")
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        else:
            painter.fillRect(box.adjusted(0, theme.px(8), 0, -theme.px(8)), theme.colour(colour))
        is_good = self._checks.get(mark.index)
        centre = QtCore.QPointF(box.center().x(), theme.px(50))
        if is_good is None:
            painter.setPen(QtGui.QPen(theme.colour(tokens.dim), theme.px(1)))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, 2.5 * theme.scale(), 2.5 * theme.scale())
        elif is_good:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.colour(tokens.good))
            painter.drawEllipse(centre, 3.5 * theme.scale(), 3.5 * theme.scale())
        else:
            painter.setPen(QtGui.QPen(theme.colour(tokens.bad), theme.px(2)))
            for corner in (QtCore.QPointF(theme.px(3), theme.px(3)), QtCore.QPointF(theme.px(3), -theme.px(3))):
                painter.drawLine(centre - corner, centre + corner)

    def mousePressEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Move to the pointer."""
        assert event is not None
        self._go(event.position().x())

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Move while dragging, or else describe the chunk under the pointer."""
        assert event is not None
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(event.position().x())
        elif self._record is not None and self._record.length:
            mark = self._record.mark_at(self._at(event.position().x()))
            self.setToolTip(mark_sentence(mark, self._checks.get(mark.index)))

    def _go(self, x: float) -> None:
        if self._record is not None and self._record.length:
            self.position_chosen.emit(self._at(x))

    def _at(self, x: float) -> int:
        assert self._record is not None
        return max(
            0,
            min(
                self._record.length - 1,
                int((x - theme.px(6)) / max(1.0, self.width() - theme.px(12)) * self._record.length),
            ),
        )

    def _x(self, position: float) -> float:
        assert self._record is not None
        return theme.px(6) + position / max(1, self._record.length) * (self.width() - theme.px(12))


_WHO = {
    Driver.LEARNED.value: "the noise policy",
    Driver.SCRIPTED.value: "the script",
    Driver.VLM.value: "the vision-language model",
}


def mark_sentence(mark: ChunkMark, is_good: bool | None) -> str:
    """Return a description of a chunk."""
    version = f" ★ {mark.version}" if mark.version else ""
    parts = [f"Chunk {mark.index}: {spoken(mark.label)}{version}"]
    if mark.device == NOBODY:
        parts.append("the policy's own")
    elif mark.driver == Driver.PERSON.value:
        parts.append(f"by a person ({mark.device})")
    elif mark.driver != mark.label:
        parts.append(f"by {_WHO.get(mark.driver, mark.driver)}")
    if mark.is_correction:
        parts.append("a correction")
    if mark.branches:
        parts.append(f"tried first and taken back: {', '.join(mark.branches)}")
    if is_good is not None:
        parts.append("noise regenerates the chunk" if is_good else "noise does NOT regenerate the chunk")
    return ", ".join(parts)


def _mark_colour(mark: ChunkMark) -> str:
    if mark.kind is CandidateKind.UNSTEERED:
        return theme.UNSTEERED_CORE
    if mark.kind is CandidateKind.LEARNED:
        return theme.LEARNED_CORE
    command = command_of(mark.label)
    return theme.DIRECTION_CORE[command.direction] if command and command.direction else theme.CORE_GREY
