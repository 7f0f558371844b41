"""The question before an episode is labelled otherwise than the world says: keep it as a success, as a failure, or continue.

The strip takes no keys of its own: the label's key pressed again keeps it, the other label's key keeps that, C continues, and so does a
pick. GUI thread.
"""

from collections.abc import Callable

from app.boxes import Row
from app.qt import QtWidgets
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap
from frs_core.events import Outcome, Phase, Snapshot


def disagreement(snapshot: Snapshot, outcome: Outcome) -> str:
    """Return what the world says against a label, one sentence; empty where it does not know or nothing is recorded."""
    seen = snapshot.observation.success if snapshot.observation is not None else None
    if seen is None or not snapshot.episode.is_recording or not snapshot.episode.chunks:
        return ""
    if outcome is Outcome.SUCCESS and not snapshot.episode.success_seen:
        return "The simulator does not report success"
    if outcome is Outcome.FAILURE and snapshot.episode.success_seen:
        return "The simulator reports success"
    return ""


class OutcomeQuestion(QtWidgets.QFrame):
    """The strip above Drive; hidden while nothing is asked.

    Args:
        run: runs an action by id.
    """

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "toast")
        self.setProperty("tone", "warn")
        self._outcome: Outcome | None = None
        self._episode = 0
        self._has_rested = False
        self.text = label("", "sentence", wrap=True)
        self._buttons = (
            ActionButton("episode.success", run, text="Keep as success", role="good"),
            ActionButton("episode.failure", run, text="Keep as failure", role="bad"),
            ActionButton("drive.resume", run, text="Continue"),
        )
        row = Row(self, margins=(14, 4, 10, 4))
        row.addWidget(label("?", "big"))
        row.addWidget(self.text, 1)
        for button in self._buttons:
            row.addWidget(button)
        self.setAccessibleName("Question about the label")
        self.hide()

    @property
    def asked(self) -> Outcome | None:
        """The label that is in question."""
        return self._outcome

    @property
    def sentence(self) -> str:
        """What is asked; empty while nothing is."""
        return self.text.text() if self._outcome is not None else ""

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in self._buttons:
            button.use_map(inputs)

    def ask(self, snapshot: Snapshot, outcome: Outcome, against: str) -> None:
        """Ask about a label."""
        self._outcome, self._episode = outcome, snapshot.episode.number
        self._has_rested = snapshot.phase is not Phase.MOVING
        self.text.setText(f"{against}. Keep the episode as a {outcome.value} anyway?")
        self.show()

    def close_question(self) -> None:
        """Ask nothing any more."""
        self._outcome = None
        self.hide()

    def show_snapshot(self, snapshot: Snapshot) -> Outcome | None:
        """Follow the session; return a success that was in question once the world has seen it.

        A world that says nothing any more, or a chunk taken back, answers nothing.
        """
        outcome = self._outcome
        if outcome is None:
            return None
        is_moving = snapshot.phase is Phase.MOVING
        self._has_rested |= not is_moving
        if snapshot.episode.number != self._episode or (is_moving and self._has_rested):
            # It was ended in another way, or somebody continued it.
            self.close_question()
        elif outcome is Outcome.SUCCESS and not is_moving and snapshot.episode.success_seen:
            self.close_question()
            return outcome
        return None
