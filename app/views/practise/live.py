"""What a practice is doing: stage, time left, figures, what the cameras saw last, the curve. GUI thread."""

import math
from collections.abc import Sequence

from app import theme
from app.boxes import Column, Row
from app.qt import QtCore, QtGui, QtWidgets
from app.views.practise.budget import ENDLESS
from app.views.practise.curve import PracticeCurve
from app.views.widgets import label
from frs_core.counts import counted
from frs_core.evaluation.practice_job import Attempt, PracticeNews, Stage
from frs_core.evaluation.wilson import format_rate
from frs_core.learning import Practice
from frs_core.learning.practice_log import Point, best_of
from frs_core.learning.practice_record import PracticeRecord

RECENT = 20
"""Attempts in the running success rate."""
IMAGE_HEIGHT = 116


def stage_in_words(news: PracticeNews) -> str:
    """Return what a practice is doing, as a sentence without full stop."""
    match news.stage:
        case Stage.LOADING:
            return "Getting ready: loading world and policy, training the initial version"
        case Stage.WAITING:
            return f"Practising in Drive: {news.done} of {counted(news.total, 'attempt')} of this round done"
        case Stage.TRYING:
            return f"Practising: {news.done} of {counted(news.total, 'attempt')} of this round done"
        case Stage.LEARNING:
            return "Learning from its attempts; nothing moves"
        case Stage.CHECKING:
            return f"Evaluating without exploration: {news.done} of {counted(news.total, 'scene')} done, {counted(news.successes, 'success', 'successes')}"


def left_in_words(seconds: float) -> str:
    """Return a duration for people; empty when unknown."""
    if not math.isfinite(seconds):
        return ""
    return f"about {math.ceil(seconds / 60.0)} min left" if seconds > 90.0 else f"about {max(1.0, seconds):.0f} s left"


class Figure(QtWidgets.QWidget):
    """A value under its caption."""

    def __init__(self, caption: str, tip: str) -> None:
        super().__init__()
        self._value = label("–", "value")
        self._value.setAccessibleName(caption)
        self.setToolTip(tip)
        column = Column(self, margins=(0, 0, 0, 0), spacing=1)
        column.addWidget(label(caption, "caption"))
        column.addWidget(self._value)

    def show_text(self, text: str) -> None:
        """Show a value."""
        self._value.setText(text)

    @property
    def text(self) -> str:
        """The value shown."""
        return self._value.text()


class AttemptImages(QtWidgets.QWidget):
    """The last image of each camera, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self._images: list[tuple[str, QtGui.QImage]] = []
        theme.on_scale(self, lambda images: images.setFixedHeight(theme.px(IMAGE_HEIGHT)))

    def show_attempt(self, attempt: Attempt | None) -> None:
        """Show an attempt's last images, or none."""
        self._images = []
        for name, image in attempt.images.items() if attempt is not None else ():
            height, width = image.shape[:2]
            kind = QtGui.QImage.Format.Format_RGB888
            self._images.append((name, QtGui.QImage(image.tobytes(), width, height, 3 * width, kind).copy()))
        names = ", ".join(name for name, _ in self._images)
        self.setAccessibleName(f"Last images of {names}" if names else "No images yet")
        self.setVisible(bool(self._images))
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:
        """Draw the images side by side, as large as fits."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        gap = theme.px(theme.SPACE)
        shapes = [image.width() / image.height() for _, image in self._images]
        height = min(self.height(), (self.width() - gap * (len(shapes) - 1)) / max(1e-6, sum(shapes)))
        x = 0.0
        for (_, image), shape in zip(self._images, shapes, strict=True):
            painter.drawImage(QtCore.QRectF(x, 0.0, shape * height, height), image)
            x += shape * height + gap
        painter.end()


class LivePane(QtWidgets.QWidget):
    """The middle of Practise."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = label("", "sentence", wrap=True)
        self.progress = QtWidgets.QProgressBar()
        self.progress.setTextVisible(True)
        self.progress.setAccessibleName("Progress of the practice")
        self.attempts = Figure("attempts", "Attempts that it drove alone; it learns from failures too")
        self.recent = Figure(
            f"success in the last {RECENT}",
            "Success rate of its last attempts, with exploration, and the 95 % Wilson interval",
        )
        self.best = Figure(
            "best version", "Success rate on held-out scenes, without exploration, and the 95 % Wilson interval"
        )
        self.last = label("", "caption")
        self.images, self.curve = AttemptImages(), PracticeCurve()
        figures = Row(spacing=12)
        for figure in (self.attempts, self.recent, self.best):
            figures.addWidget(figure)
        figures.addStretch(1)
        column = Column(self, margins=(0, 0, 0, 0))
        column.addWidget(self.stage)
        column.addWidget(self.progress)
        column.addLayout(figures)
        column.addWidget(self.last)
        column.addWidget(self.images)
        column.addWidget(self.curve, 1)
        self.clear("")

    def clear(self, words: str) -> None:
        """Show no practice.

        Args:
            words: in the place of the stage.
        """
        self.stage.setText(words)
        self._show_bar(0, 1, "")
        self._show_figures((), (), None)
        self._show_attempt(None)

    def show_record(self, record: PracticeRecord, words: str) -> None:
        """Show a practice that is not running.

        Args:
            record: what it has come to.
            words: in the place of the stage.
        """
        practice = record.practice
        self.stage.setText(words)
        self._show_figures(record.attempts, record.curve, practice)
        if practice.episodes < ENDLESS:
            self._show_bar(len(record.attempts), practice.episodes, self.attempts.text)
        else:
            self._show_bar(round(record.seconds), round(practice.minutes * 60.0), f"{record.seconds / 60.0:.0f} min")

    def show_news(self, news: PracticeNews, practice: Practice, *, words: str = "") -> None:
        """Show a practice that runs.

        Args:
            news: where it stands.
            practice: its budget.
            words: in the place of the stage; empty = the stage.
        """
        self.stage.setText(words or stage_in_words(news))
        self._show_figures(news.attempts, news.curve, practice)
        left = left_in_words(news.seconds_left)
        if practice.episodes < ENDLESS:
            done = f"{len(news.attempts)} of {counted(practice.episodes, 'attempt')}"
            self._show_bar(len(news.attempts), practice.episodes, ", ".join(filter(None, (done, left))))
        else:
            whole = practice.minutes * 60.0
            gone = whole - news.seconds_left if math.isfinite(news.seconds_left) else 0.0
            self._show_bar(round(gone), round(whole), left)
        self._show_attempt(news.last)

    def forget_attempt(self) -> None:
        """Show no images of an attempt."""
        self._show_attempt(None)

    def use_theme(self) -> None:
        """Use the current colours."""
        self.curve.use_theme()

    def _show_bar(self, done: int, total: int, words: str) -> None:
        self.progress.setRange(0, max(1, total))
        self.progress.setValue(min(done, max(1, total)))
        self.progress.setFormat(words)

    def _show_figures(self, attempts: Sequence[bool], curve: Sequence[Point], practice: Practice | None) -> None:
        is_counted = practice is not None and len(attempts) <= practice.episodes < ENDLESS
        count = str(len(attempts)) if practice is None or not is_counted else f"{len(attempts)} of {practice.episodes}"
        self.attempts.show_text(count if practice is not None else "–")
        recent = attempts[-RECENT:]
        self.recent.show_text(format_rate(sum(recent), len(recent)))
        best = best_of(curve)
        self.best.show_text("–" if best is None else format_rate(best.successes, best.scenes))
        self.curve.show_curve(
            curve, attempts=practice.episodes if practice is not None and is_counted else len(attempts)
        )

    def _show_attempt(self, attempt: Attempt | None) -> None:
        self.last.setVisible(attempt is not None)
        if attempt is not None:
            what = "Evaluation" if attempt.is_check else "Attempt"
            sign = "✔ success" if attempt.succeeded else "✘ failure"
            self.last.setText(f"{what} on scene {attempt.scene}: {sign} after {counted(attempt.chunks, 'chunk')}")
        self.images.show_attempt(attempt)
