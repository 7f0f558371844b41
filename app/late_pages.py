"""Review, Train and Practise, each built when first needed, so that they do not delay the first image. GUI thread."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from app.facts import Facts
from app.qt import QtGui
from app.versions import Versions
from app.views.page import LayoutPage
from frs_core.events import SessionCommand

if TYPE_CHECKING:
    from app.views.practise.page import PractisePage
    from app.views.review.page import ReviewPage
    from app.views.train.page import TrainPage


class LatePages:
    """The layouts other than Drive, by name.

    Args:
        run: runs an action by id.
        facts: of this run.
        undo: where edits go.
        versions: of the learned policy in the fan.
        send: to the session.
        put_into_fan: sends what Train puts into the fan, if it may.
        say: shows a message: text, tone, and the text and function of its button.
        adopt: makes a page that was just built one of the window's.
    """

    def __init__(
        self,
        *,
        run: Callable[[str], object],
        facts: Facts,
        undo: QtGui.QUndoStack,
        versions: Versions,
        send: Callable[[SessionCommand], object],
        put_into_fan: Callable[[SessionCommand], None],
        say: Callable[..., Any],
        adopt: Callable[[LayoutPage], None],
    ) -> None:
        self._run, self._facts, self._undo, self._versions = run, facts, undo, versions
        self._send, self._put_into_fan, self._say, self._adopt = send, put_into_fan, say, adopt
        self.review_if_built: ReviewPage | None = None
        self.train_if_built: TrainPage | None = None
        self.practise_if_built: PractisePage | None = None

    def __iter__(self) -> Iterator[LayoutPage]:
        """Yield those that are built."""
        for page in (self.review_if_built, self.train_if_built, self.practise_if_built):
            if page is not None:
                yield page

    @property
    def review(self) -> "ReviewPage":
        """The Review layout."""
        if self.review_if_built is None:
            from app.views.review.page import ReviewPage

            self.review_if_built = ReviewPage(self._run, self._facts, self._undo, say=self._say)
            self._adopt(self.review_if_built)
        return self.review_if_built

    @property
    def train(self) -> "TrainPage":
        """The Train layout."""
        if self.train_if_built is None:
            from app.views.train.page import TrainPage

            send = self._put_into_fan
            self.train_if_built = TrainPage(self._run, self._facts, self._versions, send=send, say=self._say)
            self._adopt(self.train_if_built)
        return self.train_if_built

    @property
    def practise(self) -> "PractisePage":
        """The Practise layout."""
        if self.practise_if_built is None:
            from app.views.practise.page import PractisePage

            page = PractisePage(self._run, self._facts, self._undo, send=self._send, say=self._say)
            self.practise_if_built = page
            self._adopt(page)
        return self.practise_if_built
