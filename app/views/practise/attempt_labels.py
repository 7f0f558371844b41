"""The labels of a practice's attempts on the undo stack: undo turns one round for as long as nothing was learned from it.

The recording is relabelled like any other; the practice reads the labels of a round again before it learns from them. A label that was
learned from is still corrected in the recording, and it is said that the practice knows the former one. GUI thread.

Example: an attempt was called a success by mistake -> Ctrl+Z -> its recording is a failure, and the round is learned from with it as one.
"""

from collections.abc import Callable
from pathlib import Path

from app.qt import QtGui
from app.views.label_command import LabelCommand
from app.views.review.library import Library
from frs_core.evaluation.practice_job import PracticeNews
from frs_core.events import Outcome

TOO_LATE = "The practice has learned from the former label; to reverse that, go back to a version before it in Practise"


class AttemptLabel(LabelCommand):
    """How an attempt is said to have ended; pushed after it has been said.

    Args:
        library: relabels the recording.
        name: of the recording.
        outcome: success or failure.
        folder: of the practice.
        index: of the attempt among all of the practice, from 0.
        say: shows a toast (text, tone).
    """

    def __init__(
        self, library: Library, name: str, outcome: Outcome, *, folder: Path, index: int, say: Callable[..., None]
    ) -> None:
        super().__init__(outcome)
        self._library, self._name, self._say = library, name, say
        self.outcome = outcome
        self.folder, self.index = folder, index
        self.is_learned = False
        """The practice has learned from it, or is about to."""
        self.is_counted = True
        """The practice took the attempt."""

    def hear(self, news: PracticeNews) -> bool:
        """Take a word of its practice; return whether another label than the present one was learned from."""
        if self.is_learned or news.learned <= self.index:
            if news.wanted is not None and news.wanted.problem and len(news.attempts) <= self.index:
                self.is_counted = False
            return False
        self.is_learned = True
        known = news.attempts[self.index] if self.index < len(news.attempts) else None
        return known is not None and known is not (self.outcome is Outcome.SUCCESS)

    def _give(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._library.edit(lambda store: store.relabel(self._name, outcome))
        if not self.is_counted:
            self._say(f"The recording is a {outcome.value} now; the attempt does not count", "info")
        elif self.is_learned:
            self._say(f"The recording is a {outcome.value} now. {TOO_LATE}", "warn")
        else:
            self._say(f"Attempt {self.index + 1} counts as a {outcome.value} now", "info")


class AttemptLabels:
    """The labels of attempts that their practice has not learned from.

    Args:
        undo: where each label goes.
        library: relabels recordings.
        say: shows a toast (text, tone).
    """

    def __init__(self, undo: QtGui.QUndoStack, library: Library, *, say: Callable[..., None]) -> None:
        self._undo, self._library, self._say = undo, library, say
        self._labels: list[AttemptLabel] = []

    def add(self, folder: Path, name: str, outcome: Outcome, index: int) -> None:
        """Let Undo correct the label of the attempt that has just ended; arguments as of `AttemptLabel`."""
        label = AttemptLabel(self._library, name, outcome, folder=folder, index=index, say=self._say)
        self._labels.append(label)
        self._undo.push(label)

    def hear(self, folder: Path, news: PracticeNews) -> None:
        """Tell the labels of a practice whether they were learned from."""
        if any([label.hear(news) for label in self._labels if label.folder == folder]):
            self._say(TOO_LATE, "warn")
        self._labels = [label for label in self._labels if not label.is_learned]
