"""The strip that offers to recover unfinished episodes at the start. GUI thread."""

from collections.abc import Callable
from pathlib import Path

from app.boxes import Row
from app.names import in_words
from app.qt import Qt, QtWidgets, Signal
from app.views.widgets import label, plain_tip
from app.workers import Job
from frs_core.counts import counted
from frs_core.episodes import EpisodeStore, Unfinished, bin_unfinished, recover, unfinished


class RecoveryStrip(QtWidgets.QFrame):
    """Asks for each unfinished episode whether to keep it or move it to the bin.

    Args:
        say: shows a toast (text, tone).
    """

    settled = Signal()
    """An episode was kept or binned."""

    def __init__(self, say: Callable[..., None]) -> None:
        super().__init__()
        self.setProperty("role", "toast")
        self.setProperty("tone", "warn")
        self._say = say
        self._root: Path | None = None
        self._waiting: list[Unfinished] = []
        self._job: Job | None = None
        self.text = label("", "sentence", wrap=True)
        self.keep = QtWidgets.QPushButton("Keep as failure")
        self.throw = QtWidgets.QPushButton("Move to the bin")
        self.later = QtWidgets.QPushButton("Later")
        row = Row(self, margins=(14, 6, 10, 6))
        row.addWidget(label("⟲", "big"))
        row.addWidget(self.text, 1)
        for button in (self.keep, self.throw, self.later):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button)
        self.keep.clicked.connect(lambda: self._settle(lambda store, u: recover(store, u.name), "kept as a failure"))
        self.throw.clicked.connect(
            lambda: self._settle(lambda store, u: bin_unfinished(store, u.name), "moved to the bin")
        )
        self.later.clicked.connect(self._next)
        self.hide()

    def look(self, root: Path) -> None:
        """Look for unfinished episodes in the background."""
        self._root = root
        self._run(lambda _report: unfinished(EpisodeStore(root)), self._on_found)

    def keep_first(self) -> None:
        """Keep the episode that is offered."""
        self._answer(self.keep)

    def bin_first(self) -> None:
        """Bin the episode that is offered."""
        self._answer(self.throw)

    def _answer(self, button: QtWidgets.QPushButton) -> None:
        if self._waiting:
            button.click()
        else:
            self._say("No unfinished episode was found", "info")

    def shut(self) -> None:
        """Wait for the running job without reporting its result."""
        if self._job is not None:
            self._job.close(5.0)

    def _on_found(self, found: list[Unfinished]) -> None:
        self._waiting = found
        self._show()

    def _show(self) -> None:
        self.setVisible(bool(self._waiting))
        if not self._waiting:
            return
        first, rest = self._waiting[0], len(self._waiting) - 1
        more = f" {rest} more to go." if rest else ""
        what = in_words(first.task or first.instruction or first.name)
        said = f" It was labelled {first.outcome.value}." if first.outcome else ""
        self.keep.setText(f"Keep as {first.outcome.value}" if first.outcome else "Keep as failure")
        self.text.setText(
            f"An unfinished episode was found: {what}, {counted(first.n_chunks, 'chunk')}, {counted(first.n_steps, 'step')}.{said}{more}"
        )
        self.setToolTip(plain_tip(first.problem or str(first.path)))

    def _settle(self, act: Callable[[EpisodeStore, Unfinished], object], what: str) -> None:
        if not self._waiting or self._root is None or (self._job is not None and self._job.is_running):
            return
        first, root = self._waiting[0], self._root

        def done(_result: object) -> None:
            self._say(f"The unfinished episode was {what}", "good")
            self._next()
            self.settled.emit()

        self._run(lambda _report: act(EpisodeStore(root), first), done)

    def _next(self) -> None:
        self._waiting = self._waiting[1:]
        self._show()

    def _run(self, work: Callable[[Callable[[object], None]], object], done: Callable[..., None]) -> None:
        self._job = Job(work, self)
        self._job.finished.connect(done)
        self._job.failed.connect(lambda error: self._say(str(error), "bad"))
        self._job.start()
