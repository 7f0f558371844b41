"""The list of episodes: thumbnail, task, outcome, length, steered share, who drove. Filter by words, sort by a choice."""

import datetime
from collections.abc import Sequence
from typing import Any

from app import theme
from app.names import in_words, policy_name
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.review.library import THUMB
from app.views.widgets import plain_tip
from frs_core.counts import counted
from frs_core.episodes import EpisodeInfo
from frs_core.events import Outcome
from frs_core.runtime.foreign import in_line

INFO = Qt.ItemDataRole.UserRole
SORTS = ("newest", "oldest", "task", "outcome", "longest", "shortest", "most steered")


def outcome_sign(info: EpisodeInfo) -> tuple[str, str, str]:
    """Return sign, word and tone of an outcome."""
    if info.problem:
        return "⚠", info.ailment, "warn"
    if info.outcome is Outcome.SUCCESS:
        return "✔", "success", "good"
    if info.outcome is Outcome.DISCARDED:
        return "⊘", "discarded", "warn"
    return "✘", "failure", "bad"


def problem_of(info: EpisodeInfo) -> str:
    """Return why an episode is damaged or unreadable, without advice for the command line."""
    return info.problem.replace(" with `frs episodes bin`", "")


def summary(info: EpisodeInfo) -> tuple[str, ...]:
    """Return length, steered share, drivers, and what the world says against the label."""
    seen = {True: "success was seen", False: "success was not seen", None: ""}[info.success_seen]
    facts = (
        f"{info.duration_s:.1f} s",
        f"{counted(sum(info.trimmed), 'chunk')} cut" if any(info.trimmed) else "",
        f"{info.steered_share:.0%} steered",
        ", ".join(info.drivers) or "nobody",
        seen if info.is_contradicted else "",
    )
    return tuple(fact for fact in facts if fact)


def set_on_lines(metrics: QtGui.QFontMetrics, width: int, facts: Sequence[str], *, lines: int) -> list[str]:
    """Return facts on lines, none parted: one that has no room on its line begins the next. The last line is shortened.

    Args:
        metrics: of the font.
        width: of a line, pixels.
        facts: the most important first.
        lines: how many there are at most.
    """
    rest, said = list(facts), list[str]()
    while rest and len(said) < lines:
        line = rest.pop(0)
        while rest and (metrics.horizontalAdvance(f"{line} · {rest[0]}") <= width or len(said) == lines - 1):
            line = f"{line} · {rest.pop(0)}"
        has_room = metrics.horizontalAdvance(line) <= width
        said.append(line if has_room else metrics.elidedText(line, Qt.TextElideMode.ElideRight, width))
    return said


def versions(info: EpisodeInfo) -> str:
    """Return which noise policies were in the fan, in the order in which they took each other's place; empty where none was."""
    return " → ".join(f"★ {policy_name(path)}" for path in info.noise_policies)


def said_beside(metrics: QtGui.QFontMetrics, width: int, title: str, *, sign: str, word: str) -> tuple[str, int]:
    """Return what is said of an outcome beside a title, and the room that it takes: the sign alone where both have no room.

    Args:
        metrics: of the font.
        width: of both, pixels.
        title: says which task it is.
        sign: of the outcome.
        word: for the outcome.
    """
    whole = f"{sign} {word}"
    has_room = metrics.horizontalAdvance(title) + metrics.horizontalAdvance(whole) + 8 <= width
    said = whole if has_room else sign
    return said, metrics.horizontalAdvance(said) + 8


class EpisodeModel(QtCore.QAbstractListModel):
    """Rows of the list."""

    def __init__(self) -> None:
        super().__init__()
        self.infos: list[EpisodeInfo] = []
        self._thumbs: dict[str, QtGui.QPixmap] = {}

    def show_infos(self, infos: tuple[EpisodeInfo, ...]) -> None:
        """Replace the rows; unchanged rows stay selected."""
        if [i.name for i in infos] == [i.name for i in self.infos]:
            self.infos = list(infos)
            if infos:
                self.dataChanged.emit(self.index(0), self.index(len(infos) - 1))
            return
        self.beginResetModel()
        self.infos = list(infos)
        self.endResetModel()

    def add_thumbnail(self, name: str, image: QtGui.QImage) -> None:
        """Show an image in a row."""
        pixmap = QtGui.QPixmap.fromImage(image)
        pixmap.setDevicePixelRatio(2.0)
        self._thumbs[name] = pixmap
        for row, info in enumerate(self.infos):
            if info.name == name:
                self.dataChanged.emit(self.index(row), self.index(row))

    def rowCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:  # noqa: B008
        """Number of episodes."""
        return 0 if parent.isValid() else len(self.infos)

    def data(self, index: QtCore.QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Texts for screen readers and filters; the delegate draws from INFO."""
        if not index.isValid() or not 0 <= index.row() < len(self.infos):
            return None
        info = self.infos[index.row()]
        if role == INFO:
            return info
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{info.task or info.instruction} {outcome_sign(info)[1]} {' · '.join(summary(info))} {versions(info)} {info.note} {info.name}"
        if role == Qt.ItemDataRole.DecorationRole:
            return self._thumbs.get(info.name)
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(
                problem_of(info)
                or f"{info.instruction}\n{info.name}\npolicy {info.policy}, scene {info.seed}\n{versions(info)}\n{info.note}"
            )
        return None


class EpisodeFilter(QtCore.QSortFilterProxyModel):
    """Filters by words (all must match) and sorts by one of SORTS."""

    def __init__(self) -> None:
        super().__init__()
        self._words: list[str] = []
        self._order = SORTS[0]
        self.setDynamicSortFilter(True)
        self.sort(0)

    def show_words(self, text: str) -> None:
        """Show only rows with these words."""
        self._words = text.lower().split()
        self.invalidate()

    def show_order(self, order: str) -> None:
        """Sort by one of SORTS."""
        self._order = order
        self.invalidate()
        self.sort(0)

    def filterAcceptsRow(self, source_row: int, source_parent: QtCore.QModelIndex) -> bool:
        """Whether a row has every word."""
        model = self.sourceModel()
        assert isinstance(model, EpisodeModel)
        text = str(model.data(model.index(source_row), Qt.ItemDataRole.DisplayRole)).lower()
        return all(word in text for word in self._words)

    def lessThan(self, left: QtCore.QModelIndex, right: QtCore.QModelIndex) -> bool:
        """Order of two rows."""
        a, b = left.data(INFO), right.data(INFO)
        key = {
            "newest": lambda i: (i.started_at, i.name),
            "oldest": lambda i: (i.started_at, i.name),
            "task": lambda i: (i.task or "", i.name),
            "outcome": lambda i: (outcome_sign(i)[1], i.name),
            "longest": lambda i: (i.duration_s, i.name),
            "shortest": lambda i: (i.duration_s, i.name),
            "most steered": lambda i: (i.steered_share, i.name),
        }[self._order]
        if self._order in ("newest", "longest", "most steered"):
            return key(b) < key(a)
        return key(a) < key(b)


class EpisodeDelegate(QtWidgets.QStyledItemDelegate):
    """Draws the text of an episode beside its image.

    Args:
        view: whose rows it draws.
    """

    def __init__(self, view: QtWidgets.QListView) -> None:
        super().__init__(view)
        theme.on_scale(view, QtWidgets.QListView.scheduleDelayedItemsLayout)

    def sizeHint(self, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> QtCore.QSize:
        """Height of the thumbnail."""
        return QtCore.QSize(theme.px(200), theme.px(THUMB[1] + 10))

    def paint(
        self, painter: QtGui.QPainter | None, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex
    ) -> None:
        """Draw background, image, outcome and text."""
        assert painter is not None
        info: EpisodeInfo = index.data(INFO)
        tokens = theme.current()
        is_selected = bool(option.state & QtWidgets.QStyle.StateFlag.State_Selected)
        rect = option.rect
        painter.save()
        if is_selected:
            painter.fillRect(rect, theme.colour(tokens.accent, 70))
            painter.fillRect(rect.left(), rect.top(), theme.px(4), rect.height(), theme.colour(tokens.accent))
        thumb = index.data(Qt.ItemDataRole.DecorationRole)
        box = QtCore.QRect(rect.left() + theme.px(8), rect.top() + theme.px(5), theme.px(THUMB[0]), theme.px(THUMB[1]))
        if thumb is not None:
            painter.drawPixmap(box, thumb)
        else:
            painter.fillRect(box, theme.colour(tokens.raised))
        x = box.right() + theme.px(10)
        width = rect.right() - x - theme.px(6)
        sign, word, tone = outcome_sign(info)
        colour = {"good": tokens.good, "bad": tokens.bad, "warn": tokens.warn}[tone]
        font = QtGui.QFont(option.font)
        font.setPixelSize(theme.px(13))
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(theme.colour(colour))
        title = in_words(info.task or info.instruction or info.name)
        metrics = QtGui.QFontMetrics(font)
        said, used = said_beside(metrics, width, title, sign=sign, word=word)
        painter.drawText(
            QtCore.QRect(x, rect.top() + theme.px(4), width, theme.px(18)), Qt.AlignmentFlag.AlignRight, said
        )
        painter.setPen(theme.colour(tokens.text))
        painter.drawText(
            QtCore.QRect(x, rect.top() + theme.px(4), width - used, theme.px(18)),
            Qt.AlignmentFlag.AlignLeft,
            metrics.elidedText(title, Qt.TextElideMode.ElideRight, width - used),
        )
        font.setBold(False)
        font.setPixelSize(theme.px(11))
        painter.setFont(font)
        painter.setPen(theme.colour(tokens.dim))
        metrics = QtGui.QFontMetrics(font)
        when = datetime.datetime.fromtimestamp(info.started_at).strftime("%d %b %H:%M:%S") if info.started_at else ""
        facts = (
            *(summary(info) if not info.problem else (problem_of(info),)),
            when,
            versions(info),
            in_line(info.note),
        )
        for i, line in enumerate(set_on_lines(metrics, width, [fact for fact in facts if fact], lines=2)):
            painter.drawText(
                QtCore.QRect(x, rect.top() + theme.px(24 + i * 17), width, theme.px(16)),
                Qt.AlignmentFlag.AlignLeft,
                line,
            )
        painter.restore()
