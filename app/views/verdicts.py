"""The verdict list: the predicted effect of each candidate.

One row per candidate: sign and direction, key, millimetres of motion, how far the policy bent the request, authority as a bar,
how unusual its noise is beside those that worked as another, warnings in words. Hovering a row highlights its curve; a double click picks it. GUI thread.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from app import theme
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.fan_curves import FanStyle, colour_of, glyph_of
from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.worked import share_below, size_of
from frs_core.steering.candidates import Candidate, CandidateKind, Fan
from frs_core.steering.directions import Amount

NO_LESS = 0.9
"""Share of the larger step's motion from which the smaller one is shown as no less."""
BAR_PX = 8
"""Height of the bars."""
COLUMNS = ("candidate", "key", "value", "moves", "bent", "authority", "noise", "to mark", "⚠")
WIDTHS = (116, 54, 48, 62, 60, 64, 50, 64, 24)
"""Of the columns, pixels; names, keys and motions get more where they need it."""
_TIPS = (
    "What would be executed",
    "The key that picks it",
    "Value under the loaded policy: expected success in percent, discounted by the time it takes",
    "Net motion of the tool over the rows that would be executed",
    "How far the result is from your request",
    "0 = as the policy would have moved, 1 = exactly as requested",
    "How unusual its noise is: full = more unusual than every noise steered in recorded successes of this policy",
    "How far from the marked target the tool would be afterwards",
    "Warnings",
)


def name_of(candidate: Candidate) -> str:
    """Return a candidate's name in words."""
    if candidate.kind is CandidateKind.UNSTEERED:
        return "unsteered"
    if candidate.kind is CandidateKind.LEARNED:
        return "learned"
    command = candidate.command
    if command is None:
        return candidate.label
    words = [command.direction.value if command.direction else "stay"]
    if command.amount.value == "less":
        words.append("less")
    if command.gripper.value != "policy":
        words.append(command.gripper.value)
    return ", ".join(words)


def warnings_of(candidate: Candidate) -> tuple[str, ...]:
    """Return all warnings as text, the worst first."""
    verdict = candidate.verdict
    flags = (
        (verdict.leaves_workspace, "leaves the workspace"),
        (verdict.hits_table, "hits the table"),
        (verdict.hits_itself, "hits itself"),
        (verdict.near_joint_limit, "near a joint limit"),
    )
    said = tuple(text for is_set, text in flags if is_set and not any(text in w.lower() for w in verdict.warnings))
    return verdict.warnings + said


def is_no_less(candidate: Candidate, fan: Fan | None) -> bool:
    """Whether the smaller step of a direction goes about as far as the larger one."""
    command = candidate.command
    if fan is None or command is None or command.direction is None or command.amount is not Amount.LESS:
        return False
    twin = dataclasses.replace(command, amount=Amount.MORE).label
    return twin in fan and candidate.verdict.motion_mm > NO_LESS * fan[twin].verdict.motion_mm


class VerdictModel(QtCore.QAbstractTableModel):
    """The current fan as a table."""

    def __init__(self, cap_of: Callable[[Candidate], str]) -> None:
        super().__init__()
        self._cap_of = cap_of
        self.rows: list[Candidate] = []
        self.style = FanStyle()
        self._fan: Fan | None = None
        self.target: tuple[float, float, float] | None = None
        self.worked: Float[Array, " n"] = np.zeros(0)
        """Sizes of the noises that worked, ascending."""

    def show_fan(self, fan: Fan | None, style: FanStyle) -> None:
        """Show a fan, the current step size first."""
        self._fan = fan
        rows = list(fan.candidates) if fan else []
        rows.sort(key=self._order)
        full = [c for c in rows if c.command is None or c.command.amount is style.amount]
        others = [c for c in rows if c not in full] if style.show_other else []
        rows = full + others
        if [c.label for c in rows] != [c.label for c in self.rows]:
            self.beginResetModel()
            self.rows, self.style = rows, style
            self.endResetModel()
            return
        self.rows, self.style = rows, style
        if rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))

    @staticmethod
    def _order(candidate: Candidate) -> int:
        return {CandidateKind.UNSTEERED: 0, CandidateKind.LEARNED: 1, CandidateKind.STEERED: 2}[candidate.kind]

    def rowCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:  # noqa: B008
        """Number of candidates shown."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:  # noqa: B008
        """Number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Column titles and their explanations."""
        if orientation is not Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return _TIPS[section] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QtCore.QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, ink, authority (UserRole) and tooltip of a cell."""
        if not index.isValid():
            return None
        candidate, column = self.rows[index.row()], COLUMNS[index.column()]
        is_full = candidate.command is None or candidate.command.amount is self.style.amount
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(candidate, column, is_full=is_full)
        if role == Qt.ItemDataRole.UserRole and column == "authority":
            return candidate.verdict.authority
        if role == Qt.ItemDataRole.UserRole and column == "noise":
            return share_below(candidate.noise, self.worked)
        if role == Qt.ItemDataRole.ForegroundRole:
            if column == "⚠":
                return theme.colour(theme.current().warn)
            return theme.colour(theme.current().text if is_full else theme.current().dim)
        if role == Qt.ItemDataRole.DecorationRole and column == "candidate":
            return _sign(candidate)
        if role == Qt.ItemDataRole.FontRole and candidate.label in (self.style.highlight, self.style.picked):
            font = QtGui.QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.BackgroundRole and candidate.label in (self.style.highlight, self.style.picked):
            return theme.colour(theme.current().raised)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._sentence(candidate)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in ("value", "moves", "bent", "noise", "to mark"):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _text(self, candidate: Candidate, column: str, *, is_full: bool) -> str:
        verdict = candidate.verdict
        match column:
            case "candidate":
                return name_of(candidate) + (" = more" if is_no_less(candidate, self._fan) else "")
            case "key":
                cap = self._cap_of(candidate)
                return cap if is_full or not cap else f"⇧{cap}"
            case "value":
                return f"{100 * candidate.value:.0f} %" if math.isfinite(candidate.value) else ""
            case "moves":
                return f"{verdict.motion_mm:.0f} mm"
            case "bent":
                return f"{verdict.bent_mm:.0f} mm" if candidate.command is not None else ""
            case "noise":
                return "" if len(self.worked) or not math.isfinite(size := size_of(candidate.noise)) else f"{size:.1f}"
            case "to mark":
                return f"{left:.0f} mm" if math.isfinite(left := self.left_mm(candidate)) else ""
            case "⚠":
                words = " · ".join(warnings_of(candidate))
                return f"⚠ {words}" if words else ""
            case _:
                return ""

    def left_mm(self, candidate: Candidate) -> float:
        """Return how far from the target the tool would be after the executed rows, mm; NaN without a target."""
        if self.target is None or self._fan is None:
            return math.nan
        end = candidate.path[min(self._fan.execute_rows, len(candidate.path) - 1)]
        return float(np.linalg.norm(end - np.array(self.target)) * 1000)

    def _sentence(self, candidate: Candidate) -> str:
        verdict = candidate.verdict
        parts = [f"{name_of(candidate).capitalize()} moves {verdict.motion_mm:.0f} mm"]
        if candidate.command is not None:
            parts.append(f"bent {verdict.bent_mm:.0f} mm from your request")
            parts.append(f"authority {verdict.authority:.2f}")
        if math.isfinite(candidate.value):
            parts.append(f"value {100 * candidate.value:.0f} %")
        if math.isfinite(left := self.left_mm(candidate)):
            parts.append(f"then {left:.0f} mm from the mark")
        if is_no_less(candidate, self._fan):
            parts.append("no less than the larger step")
        if math.isfinite(size := size_of(candidate.noise)):
            parts.append(f"noise RMS {size:.2f} (typical: 1)")
        if math.isfinite(share := share_below(candidate.noise, self.worked)):
            parts.append(
                f"more unusual than {100 * share:.0f} % of {counted(len(self.worked), 'steered chunk')} that succeeded"
            )
        return ", ".join([*parts, *warnings_of(candidate)])


class BarDelegate(QtWidgets.QStyledItemDelegate):
    """Draws a share as a bar from 0 to 1, beside what text there is.

    Args:
        is_quiet: in the colour of dim text instead of the accent.
    """

    def __init__(self, parent: QtCore.QObject, *, is_quiet: bool = False) -> None:
        super().__init__(parent)
        self._is_quiet = is_quiet

    def paint(
        self, painter: QtGui.QPainter | None, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex
    ) -> None:
        """Draw background and bar."""
        super().paint(painter, option, index)
        value = index.data(Qt.ItemDataRole.UserRole)
        if value is None or painter is None or not math.isfinite(value):
            return
        aside = (option.rect.height() - BAR_PX * theme.scale()) / 2
        box = QtCore.QRectF(option.rect).adjusted(theme.px(6), aside, -theme.px(6), -aside)
        tokens = theme.current()
        painter.fillRect(box, theme.colour(tokens.line))
        share = min(1.0, max(0.0, value))
        painter.fillRect(
            QtCore.QRectF(box.left(), box.top(), box.width() * share, box.height()),
            theme.colour(tokens.dim if self._is_quiet else tokens.accent),
        )


class WarningDelegate(QtWidgets.QStyledItemDelegate):
    """Shows only the sign if the text does not fit; the tooltip has the text."""

    def initStyleOption(self, option: QtWidgets.QStyleOptionViewItem | None, index: QtCore.QModelIndex) -> None:
        """Shorten the text to what fits."""
        super().initStyleOption(option, index)
        if (
            option is not None
            and option.text
            and option.fontMetrics.horizontalAdvance(option.text) + theme.px(8) > option.rect.width()
        ):
            option.text = "⚠"


class VerdictList(QtWidgets.QTableView):
    """The table of verdicts."""

    candidate_hovered = Signal(object)
    candidate_chosen = Signal(str)

    def __init__(self, cap_of: Callable[[Candidate], str], parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows_model = VerdictModel(cap_of)
        self.setModel(self.rows_model)
        self.setItemDelegateForColumn(COLUMNS.index("authority"), BarDelegate(self))
        self.setItemDelegateForColumn(COLUMNS.index("noise"), BarDelegate(self, is_quiet=True))
        self.setItemDelegateForColumn(COLUMNS.index("⚠"), WarningDelegate(self))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.setShowGrid(False)
        self.setMouseTracking(True)
        self.setAccessibleName("Verdicts on the candidates")
        vertical, horizontal = self.verticalHeader(), self.horizontalHeader()
        assert vertical is not None
        assert horizontal is not None
        vertical.hide()
        theme.on_scale(self, VerdictList._use_scale)
        for name in ("value", "to mark"):
            self.setColumnHidden(COLUMNS.index(name), True)
        horizontal.setStretchLastSection(True)
        horizontal.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.doubleClicked.connect(self._on_double_clicked)

    def _use_scale(self) -> None:
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert columns is not None
        columns.setMinimumSectionSize(theme.px(24))
        rows.setMinimumSectionSize(theme.px(18))
        rows.setDefaultSectionSize(theme.px(19))
        for column, width in enumerate(WIDTHS):
            self.setColumnWidth(column, theme.px(width))

    def use_target(self, target: tuple[float, float, float] | None) -> None:
        """Show each candidate's remaining distance to a point of the base frame, metres; None = hide it."""
        if target != self.rows_model.target:
            self.rows_model.target = target
            self.setColumnHidden(COLUMNS.index("to mark"), target is None)
            self._fit_columns()
            self.viewport().update()  # pyright: ignore[reportOptionalMemberAccess]

    def use_record(self, worked: Float[Array, " n"]) -> None:
        """Rate noises by those that succeeded (sizes, ascending); none = show their sizes."""
        self.rows_model.worked = worked
        self.viewport().update()  # pyright: ignore[reportOptionalMemberAccess]

    def show_fan(self, fan: Fan | None, style: FanStyle) -> None:
        """Show a fan; the column of values is shown if the fan has any."""
        self.rows_model.show_fan(fan, style)
        has_values = fan is not None and any(math.isfinite(c.value) for c in fan.candidates)
        self.setColumnHidden(COLUMNS.index("value"), not has_values)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Give names, keys and motions the room that they need; *bent*, then *noise*, make room where there is none for all."""
        widths = {i: theme.px(width) for i, width in enumerate(WIDTHS)}
        for name in ("candidate", "key", "moves", "bent"):
            column = COLUMNS.index(name)
            widths[column] = max(widths[column], self.sizeHintForColumn(column))
            self.setColumnWidth(column, widths[column])
        viewport = self.viewport()
        assert viewport is not None
        givers = [COLUMNS.index("bent"), COLUMNS.index("noise")]
        shown = [i for i in range(len(COLUMNS)) if i in givers or not self.isColumnHidden(i)]
        missing = sum(widths[i] for i in shown) - viewport.width()
        for column in givers:
            self.setColumnHidden(column, missing > 0)
            missing -= widths[column] if missing > 0 else 0

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Show the columns that fit."""
        super().resizeEvent(event)
        self._fit_columns()

    def mouseMoveEvent(self, event: QtGui.QMouseEvent | None) -> None:
        """Highlight the row under the pointer."""
        assert event is not None
        index = self.indexAt(event.position().toPoint())
        self.candidate_hovered.emit(self.rows_model.rows[index.row()].label if index.isValid() else None)

    def leaveEvent(self, event: QtCore.QEvent | None) -> None:
        """Remove the highlight."""
        self.candidate_hovered.emit(None)

    def _on_double_clicked(self, index: QtCore.QModelIndex) -> None:
        self.candidate_chosen.emit(self.rows_model.rows[index.row()].label)


_SIGNS: dict[tuple[str, str, float], QtGui.QPixmap] = {}


def _sign(candidate: Candidate) -> QtGui.QPixmap:
    """Return the candidate's glyph in its overlay colour on the overlay's halo."""
    key = (glyph_of(candidate), colour_of(candidate), theme.scale())
    if key not in _SIGNS:
        pixmap = QtGui.QPixmap(2 * theme.px(18), 2 * theme.px(18))
        pixmap.setDevicePixelRatio(2.0)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QtGui.QPainter(pixmap)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.scale(theme.scale(), theme.scale())
        painter.setBrush(theme.colour(theme.HALO))
        painter.setPen(theme.colour(key[1]))
        painter.drawRoundedRect(QtCore.QRectF(0.5, 0.5, 17, 17), 3, 3)
        font = painter.font()
        font.setPixelSize(13)
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(QtCore.QRectF(0, 0, 18, 18), Qt.AlignmentFlag.AlignCenter, key[0])
        painter.end()
        _SIGNS[key] = pixmap
    return _SIGNS[key]
