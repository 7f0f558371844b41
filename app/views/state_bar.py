"""The state bar: what the robot is doing, readable from two metres.

Word, shape and colour of the badge all show the same state. Beside it are one sentence and the figures of the control loop.
Shows a `Snapshot`; GUI thread.
"""

import dataclasses
import math
import time

from app import theme
from app.blinding import BLINDED
from app.boxes import Column, Row
from app.facts import Facts
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.gripper_state import GripperReadout
from app.views.widgets import label, plain_tip
from frs_core.choosers.registry import find_chooser
from frs_core.counts import counted
from frs_core.events import Driver, EndedEpisode, HoldReason, Outcome, Phase, Snapshot

LEAST_PX, MOST_PX = 180, 460
"""Widths that the sentence is given: at least, and before figures less important than it are left out, logical pixels."""
FLASH_MS = 500
"""How long the badge's ring shows that something sounded."""
LESS = (
    "This machine is busy: display pictures are smaller, small cameras may lack keys, and the 3D view is slower, until paints "
    "are in time again"
)
SOFTWARE_HOLD = "Hold is not an emergency stop"
CANNOT_STEER = "No direction has authority here. Demonstrate this one; steering cannot reach it"
DONE_UNRECORDED = "The task looks done. This episode is not recorded; end it or continue"
_SHAPES = {
    "HOLD": "square",
    "CHOOSE": "diamond",
    "MOVING": "triangle",
    "LEARNED DRIVES": "star",
    "BLINDED": "circle",
    "REPLAY": "circle",
    "FAULT": "cross",
}


def state_word(snapshot: Snapshot) -> str:
    """Return the word on the badge."""
    if snapshot.driver is Driver.LEARNED and snapshot.phase in (Phase.CHOOSE, Phase.MOVING) and not snapshot.call:
        return "LEARNED DRIVES"
    if snapshot.driver is BLINDED and snapshot.phase in (Phase.CHOOSE, Phase.MOVING):
        return "BLINDED"
    return snapshot.phase.value.upper()


def sentence_of(snapshot: Snapshot) -> str:
    """Return one sentence: what the operator should know or do now, and the pick that waits."""
    sentence = _sentence(snapshot)
    if snapshot.waiting is None or snapshot.phase not in (Phase.CHOOSE, Phase.MOVING):
        return sentence
    return f"{sentence.rstrip('.…')}. Next: {spoken(snapshot.waiting)}"


def _sentence(snapshot: Snapshot) -> str:
    match snapshot.phase:
        case Phase.HOLD:
            reason = snapshot.hold_reason.value if snapshot.hold_reason else "Holding"
            if snapshot.hold_reason is HoldReason.SUCCESS_SEEN and snapshot.episode.is_unrecorded:
                return DONE_UNRECORDED
            if snapshot.hold_reason is HoldReason.EPISODE_END and snapshot.ended and not snapshot.detail:
                return kept_of(snapshot.ended)
            return f"{reason}. {snapshot.detail}" if snapshot.detail else reason
        case Phase.FAULT:
            return snapshot.detail or "The connection to the robot or the policy was lost"
        case Phase.REPLAY:
            return "A recorded episode is being replayed"
        case Phase.MOVING:
            if snapshot.driver is BLINDED:
                return "A policy drives; which one is hidden"
            if not snapshot.picked:
                return "A chunk is being executed"
            if snapshot.picked_by is None:
                return "Nobody picked: the policy's own candidate"
            return f"{find_chooser(snapshot.picked_by.value).picked} {spoken(snapshot.picked)}"
        case Phase.CHOOSE:
            if snapshot.episode.success_seen and snapshot.episode.is_unrecorded:
                return DONE_UNRECORDED
            if snapshot.episode.success_seen:
                return "The task looks done. Press Success to keep the episode"
            if snapshot.driver is BLINDED:
                return "A policy drives; which one is hidden"
            if snapshot.fan is None or snapshot.is_fan_pending:
                return "The policy is computing the fan…"
            if snapshot.is_fan_stale:
                return "The fan is stale; a new one is coming"
            if snapshot.call:
                return f"Help wanted: {snapshot.call}. Pick a direction, or hand back"
            if snapshot.suggestion is not None:
                return f"Suggested {spoken(snapshot.suggestion[0])}: {snapshot.suggestion[1]}"
            if snapshot.driver is Driver.PERSON and snapshot.fan.is_out_of_reach:
                return CANNOT_STEER
            return "Pick a direction" if snapshot.driver is Driver.PERSON else "Waiting for the driver's pick"


def hint_of(snapshot: Snapshot) -> str:
    """Return the small line: the pick that waits, how to hand back, or what the noise policy would pick while a person drives."""
    if snapshot.waiting is not None:
        return "Backspace takes the next pick back"
    if snapshot.call:
        return "I hands back"
    fan, is_on_offer = snapshot.fan, snapshot.phase is Phase.CHOOSE and not snapshot.is_fan_stale
    if fan is None or not fan.shadow or not is_on_offer or snapshot.driver is not Driver.PERSON:
        return ""
    agreed, chunks = snapshot.shadow
    so_far = f"; agreed in {agreed} of {counted(chunks, 'chunk')}" if chunks else ""
    return f"★ would pick {spoken(fan.shadow)}{so_far}"


def kept_of(ended: EndedEpisode) -> str:
    """Return what is kept of an episode that has ended, one sentence."""
    status = ended.status
    chunks = counted(status.chunks, "chunk")
    if status.is_unrecorded:
        return f"Unrecorded episode ended after {chunks}"
    if ended.is_unfinished:
        return "The episode could not be written to disk; the part that was written can be recovered"
    if not ended.is_kept:
        return "Episode ended before its first chunk; nothing was saved"
    if ended.outcome is Outcome.DISCARDED:
        return f"Episode moved to the bin, {chunks}"
    return f"Episode saved as a {ended.outcome.value}, {chunks}"


def spoken(label: str | None) -> str:
    """Return a candidate's label as text, e.g. 'left, more, close'."""
    return ", ".join(label.split("/")) if label else ""


class StateBadge(QtWidgets.QWidget):
    """The badge: a word with its shape."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.word = "HOLD"
        self.is_flashing = False
        self._flash = QtCore.QTimer(self)
        self._flash.setSingleShot(True)
        self._flash.timeout.connect(self._end_flash)
        theme.on_scale(self, lambda badge: badge.setFixedSize(theme.px(222), theme.px(58)))
        self.setAccessibleName("State")

    def show_word(self, word: str) -> None:
        """Show another word."""
        if word != self.word:
            self.word = word
            self.setAccessibleDescription(word)
            self.update()

    def flash(self) -> None:
        """Draw a ring for a moment, whenever something sounds."""
        self.is_flashing = True
        self._flash.start(FLASH_MS)
        self.update()

    def _end_flash(self) -> None:
        self.is_flashing = False
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw background, shape, word and ring."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        ground = theme.current().state[self.word.lower()]
        ink = theme.colour(theme.ink_on(ground))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.colour(ground))
        painter.drawRoundedRect(self.rect(), 8, 8)
        painter.setBrush(ink)
        painter.drawPath(_shape(_SHAPES[self.word], QtCore.QPointF(theme.px(30), self.height() / 2), theme.px(14)))
        font = painter.font()
        font.setBold(True)
        room = self.rect().adjusted(theme.px(56), 0, -theme.px(8), 0)
        for size in range(theme.px(32), theme.px(12) - 1, -2):
            font.setPixelSize(size)
            if QtGui.QFontMetrics(font).horizontalAdvance(self.word) <= room.width():
                break
        painter.setFont(font)
        painter.setPen(ink)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, self.word)
        if self.is_flashing:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QtGui.QPen(ink, theme.px(4)))
            painter.drawRoundedRect(
                self.rect().adjusted(aside := theme.px(4), aside, -aside, -aside), theme.px(6), theme.px(6)
            )


_SIZES = ((15, 19, 2), (12, 15, 3))
"""How a sentence is set: pixels of the font, pixels of a line, most lines. The first that fits is used."""


class Sentence(QtWidgets.QWidget):
    """One sentence over a small hint: smaller where it is long, shortened in its middle only if that is not enough; the tooltip has
    the full text."""

    def __init__(self) -> None:
        super().__init__()
        self._text = self._hint = ""
        self.wanted = LEAST_PX
        """Width at which the whole sentence can be read, at most `MOST_PX`."""
        theme.on_scale(self, Sentence._use_scale)
        self.setAccessibleName("Current state")

    @property
    def text(self) -> str:
        """The whole sentence."""
        return self._text

    @property
    def hint(self) -> str:
        """The small line below."""
        return self._hint

    def show_text(self, text: str, hint: str) -> None:
        """Show another sentence."""
        if (text, hint) != (self._text, self._hint):
            self._text, self._hint = text, hint
            self._look_wide()
            self.setToolTip(plain_tip(f"{text}\n{hint}".strip()))
            self.setAccessibleDescription(f"{text}. {hint}")
            self.update()

    def _use_scale(self) -> None:
        self.setMinimumWidth(theme.px(LEAST_PX))
        self.setFixedHeight(theme.px(60))
        self._look_wide()

    def _look_wide(self) -> None:
        least, most = theme.px(LEAST_PX), theme.px(MOST_PX)
        self.wanted = next((w for w in range(least, most, 20) if self._lines(w)[2]), most)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw the sentence, and the hint."""
        painter = QtGui.QPainter(self)
        (pixels, high, _most), lines, _is_whole = self._lines(self.width())
        font, below = self._sized(pixels), theme.px(14)
        small = self._sized(theme.px(11))
        height = high * len(lines) + (below if self._hint else 0)
        y = (self.height() - height) // 2
        painter.setFont(font)
        painter.setPen(theme.colour(theme.current().text))
        for line in lines:
            painter.drawText(QtCore.QRect(0, y, self.width(), high), Qt.AlignmentFlag.AlignVCenter, line)
            y += high
        if self._hint:
            painter.setFont(small)
            painter.setPen(theme.colour(theme.current().dim))
            hint = QtGui.QFontMetrics(small).elidedText(self._hint, Qt.TextElideMode.ElideRight, self.width())
            painter.drawText(QtCore.QRect(0, y, self.width(), below), Qt.AlignmentFlag.AlignVCenter, hint)

    def _sized(self, pixels: int) -> QtGui.QFont:
        font = QtGui.QFont(self.font())
        font.setPixelSize(pixels)
        return font

    def _lines(self, width: int) -> tuple[tuple[int, int, int], list[str], bool]:
        """Return the size that is used at a width, the lines, and whether they are the whole sentence."""
        size, lines = _SIZES[0], [""]
        for size in [(theme.px(pixels), theme.px(high), most) for pixels, high, most in _SIZES]:
            lines = wrap(self._text, QtGui.QFontMetrics(self._sized(size[0])), width, size[2])
            if " ".join(lines) == " ".join(self._text.split()):
                return size, lines, True
        return size, lines, False


def wrap(text: str, metrics: QtGui.QFontMetrics, width: int, most: int) -> list[str]:
    """Wrap a text into at most `most` lines of a width; a longer text lacks the middle of the last one, because its end tells it apart."""
    words, lines = text.split(), []
    while words and len(lines) < most - 1:
        count = 1
        while count < len(words) and metrics.horizontalAdvance(" ".join(words[: count + 1])) <= width:
            count += 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
    if words:
        lines.append(metrics.elidedText(" ".join(words), Qt.TextElideMode.ElideMiddle, width))
    return lines


_IMPORTANCE = ("camera", "gripper", "loop", "chunk", "episode", "network", "steer", "encode")
"""Figures in the order in which they get the room that there is."""


class StateBar(QtWidgets.QFrame):
    """Badge, sentence and figures."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "bar")
        self.badge = StateBadge()
        self.sentence = Sentence()
        self._numbers: dict[str, QtWidgets.QLabel] = {}
        self._captions: dict[str, QtWidgets.QLabel] = {}
        self._boxes: dict[str, QtWidgets.QWidget] = {}
        self._has_network = False
        self._readout, self.gripper = GripperReadout(), ""
        row = Row(self, margins=(8, 6, 10, 6), spacing=6)
        row.addWidget(self.badge)
        row.addWidget(self.sentence, 1)
        for name, caption, tip in (
            ("loop", "loop", "Control rate of the session, actions per second"),
            ("camera", "camera", "Age of the oldest frame shown"),
            ("gripper", "gripper", "State of the gripper, from its measured width and its command"),
            ("encode", "encode", "Time to encode the images"),
            ("steer", "steer", "Time to compute all candidates"),
            ("network", "network", "Network time to a policy on another machine"),
            ("chunk", "chunk left", "Remaining time of the running chunk"),
            ("episode", "episode", "Number of this episode in this run"),
        ):
            self._boxes[name] = self._number(name, caption, tip)
            row.addWidget(self._boxes[name])
        self.recording = label("● REC", "recording")
        self.recording.setAccessibleName("Recording")
        theme.on_scale(self.recording, lambda mark: mark.setFixedWidth(theme.px(62)))
        self.recording.setAlignment(Qt.AlignmentFlag.AlignCenter)
        row.addWidget(self.recording)

    def use_facts(self, facts: Facts) -> None:
        """Tell the gripper's opening in millimetres where the world says how wide it is."""
        self._readout.width_mm = facts.gripper_mm

    def show_snapshot(self, snapshot: Snapshot, *, now_ns: int | None = None, is_replaying: bool = False) -> None:
        """Show another snapshot; while Review plays an episode and the robot rests, the badge says REPLAY."""
        if is_replaying and snapshot.phase is Phase.HOLD:
            snapshot = dataclasses.replace(snapshot, phase=Phase.REPLAY)
        self.badge.show_word(state_word(snapshot))
        is_resting = snapshot.hold_reason in (HoldReason.START, HoldReason.EPISODE_END)
        hint = SOFTWARE_HOLD if snapshot.phase is Phase.HOLD and not is_resting else hint_of(snapshot)
        self.sentence.show_text(sentence_of(snapshot), hint)
        latency, episode = snapshot.latency, snapshot.episode
        self._set("loop", latency.loop_hz, "{:.1f} Hz")
        age = camera_age_ms(snapshot, now_ns or time.monotonic_ns())
        if age < 1000:
            self._set("camera", age, "{:.0f} ms")
        else:
            self._set("camera", age / 1000, "{:.1f} s")
        self._has_network = math.isfinite(latency.network_ms)
        self.gripper = self._readout.words(snapshot.observation)
        if self._numbers["gripper"].text() != (text := self.gripper or "–"):
            self._numbers["gripper"].setText(text)
        self._fit()
        self._set("encode", latency.encode_ms, "{:.0f} ms")
        self._set("steer", latency.steer_ms, "{:.0f} ms")
        self._set("network", latency.network_ms, "{:.0f} ms")
        rate = latency.loop_hz if latency.loop_hz > 1 else 15.0
        left = (snapshot.chunk_rows - snapshot.chunk_row) / rate if snapshot.phase is Phase.MOVING else math.nan
        self._set("chunk", left, "{:.1f} s")
        self._set("episode", float(episode.number) if episode.number else math.nan, "{:.0f}")
        text = "● REC" if episode.is_recording else ("unrecorded" if episode.is_unrecorded else "○ idle")
        if self.recording.text() != text:
            self.recording.setText(text)
            self.recording.setProperty("role", "recording" if episode.is_recording else "caption")
            _restyle(self.recording)

    def show_load(self, level: int) -> None:
        """Say below the rate whether less is drawn so that the window does not stutter; 0 = everything is drawn."""
        self._captions["loop"].setText("loop, drawing less" if level else "loop")
        self._captions["loop"].setToolTip(LESS if level else "")
        self._fit()

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Show what there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Show the most important figures that leave the sentence its room."""
        row = self.layout()
        assert row is not None
        margins = row.contentsMargins()
        fixed = self.badge.minimumWidth() + self.sentence.wanted + self.recording.minimumWidth()
        room = self.width() - margins.left() - margins.right() - fixed - 2 * row.spacing()
        for name in _IMPORTANCE:
            box = self._boxes[name]
            wide = box.minimumSizeHint().width() + row.spacing()
            is_shown = wide <= room and (name != "network" or self._has_network)
            box.setVisible(is_shown)
            room -= wide if is_shown else 0

    def _number(self, name: str, caption: str, tip: str) -> QtWidgets.QWidget:
        value = label("–", "value")
        value.setToolTip(tip)
        value.setAccessibleName(caption)
        least = {"loop": 72, "camera": 72, "gripper": 132}.get(name, 60)
        theme.on_scale(value, lambda number: number.setMinimumWidth(theme.px(least)))
        under = self._captions[name] = label(caption, "caption")
        under.setToolTip(tip)
        box = QtWidgets.QWidget()
        # A figure is kept apart from the one to its right.
        column = Column(box, margins=(0, 0, 8, 0), spacing=0)
        column.addStretch(1)
        column.addWidget(value)
        column.addWidget(under)
        column.addStretch(1)
        self._numbers[name] = value
        return box

    def _set(self, name: str, value: float, form: str) -> None:
        text = form.format(value) if math.isfinite(value) else "–"
        if self._numbers[name].text() != text:
            self._numbers[name].setText(text)


def camera_age_ms(snapshot: Snapshot, now_ns: int) -> float:
    """Return the age of the oldest image, ms; NaN without images."""
    frames = snapshot.observation.frames.values() if snapshot.observation else ()
    return max((max(0, now_ns - f.captured_ns) / 1e6 for f in frames), default=math.nan)


def _restyle(widget: QtWidgets.QWidget) -> None:
    style = widget.style()
    if style is not None:
        style.unpolish(widget)
        style.polish(widget)


def _shape(name: str, centre: QtCore.QPointF, r: float) -> QtGui.QPainterPath:
    path = QtGui.QPainterPath()
    if name == "circle":
        path.addEllipse(centre, r, r)
    elif name == "square":
        path.addRect(QtCore.QRectF(centre.x() - r * 0.85, centre.y() - r * 0.85, 1.7 * r, 1.7 * r))
    else:
        angles, radii = {
            "diamond": ([-90, 0, 90, 180], [r * 1.1] * 4),
            "triangle": ([0, 120, 240], [r * 1.15] * 3),
            "star": ([-90 + 36 * i for i in range(10)], [r * 1.15, r * 0.5] * 5),
            "cross": (
                [45 - 18, 45 + 18, 90, 135 - 18, 135 + 18, 180, 225 - 18, 225 + 18, 270, 315 - 18, 315 + 18, 360],
                [r * 1.25, r * 1.25, r * 0.4] * 4,
            ),
        }[name]
        points = [
            QtCore.QPointF(
                centre.x() + radius * math.cos(math.radians(a)), centre.y() + radius * math.sin(math.radians(a))
            )
            for a, radius in zip(angles, radii, strict=True)
        ]
        path.addPolygon(QtGui.QPolygonF(points))
        path.closeSubpath()
    return path
