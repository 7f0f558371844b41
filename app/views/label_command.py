"""A label that was given to an attempt, on the undo stack: undo gives the other one. GUI thread."""

from app.qt import QtGui
from frs_core.events import Outcome


class LabelCommand(QtGui.QUndoCommand):
    """How an attempt is said to have ended; pushed after it has been said.

    Args:
        first: success or failure, as it was said.
    """

    def __init__(self, first: Outcome) -> None:
        super().__init__("Label of an attempt")
        self._first = first
        self._is_pushed = False

    def redo(self) -> None:
        """Give the first label again; nothing when it is pushed."""
        if self._is_pushed:
            self._give(self._first)
        self._is_pushed = True

    def undo(self) -> None:
        """Give the other label."""
        self._give(Outcome.FAILURE if self._first is Outcome.SUCCESS else Outcome.SUCCESS)

    def _give(self, outcome: Outcome) -> None:
        """Give a label; subclasses say where it is kept."""
        raise NotImplementedError
