"""The labels of a comparison's attempts on the undo stack. GUI thread.

Example: an attempt was called a success by mistake -> Ctrl+Z -> it is a failure, in the comparison and in its recording.
"""

from collections.abc import Callable

from app.views.label_command import LabelCommand
from app.views.review.library import Library
from frs_core.errors import FrsError
from frs_core.evaluation.blind import Blind
from frs_core.events import Outcome


class BlindLabel(LabelCommand):
    """How an attempt is said to have ended; pushed after it has been said.

    Args:
        blind: the comparison.
        library: relabels the recording.
        number: of the attempt, from 0.
        changed: called after a change.
        say: shows a toast (text, tone).
    """

    def __init__(
        self, blind: Blind, library: Library, number: int, *, changed: Callable[[], None], say: Callable[..., None]
    ) -> None:
        super().__init__(blind.state.attempts[number].outcome)
        self._blind, self._library, self._number = blind, library, number
        self._changed, self._say = changed, say

    def _give(self, outcome: Outcome) -> None:
        try:
            self._blind.relabel(self._number, outcome)
        except FrsError as error:
            self._say(str(error), "warn")
            return
        name = self._blind.state.attempts[self._number].episode
        self._library.edit(lambda store: store.relabel(name, outcome))
        self._say(f"Attempt {self._number + 1} counts as a {outcome.value} now", "info")
        self._changed()
