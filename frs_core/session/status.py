"""A session's status: phase, reason of the hold, last error and notice, running totals.

Only the table (`table`) changes the phase. While the session holds, the first reason stays on display unless a fault comes.

Used on the session's thread.
"""

from frs_core.errors import ConfigError
from frs_core.events import HoldReason, Phase
from frs_core.session.table import Event, next_phase

RESTING = (HoldReason.START, HoldReason.EPISODE_END, None)
"""Reasons of a wait that is not a hold."""
_WEAK = (
    HoldReason.OPERATOR,
    HoldReason.FOCUS_LOST,
    HoldReason.PAGE_LEFT,
    HoldReason.GUI_SILENT,
    HoldReason.LABEL_ASKED,
    HoldReason.PRACTICE_ENDED,
    HoldReason.COMPARISON_ENDED,
    HoldReason.CLOSING,
)
"""Reasons that do not take the place of another one on display."""


class Status:
    """The phase and the words around it."""

    def __init__(self) -> None:
        """Wait for world and policy."""
        self.phase = Phase.HOLD
        self.reason: HoldReason | None = HoldReason.START
        self.detail = "Waiting for world and policy"
        self.error: Exception | None = None
        self.notice: tuple[int, str] | None = None
        """Running number and sentence of the last thing worth a toast."""
        self.counters = dict.fromkeys(
            ("picks", "corrections", "calls", "refused", "holds", "episodes", "chunks", "steps"), 0
        )

    def go(self, event: Event) -> None:
        """Change the phase by the table.

        Raises:
            ConfigError: the event is not possible in this phase; a bug.
        """
        phase = next_phase(self.phase, event)
        if phase is None:
            raise ConfigError(
                f"The session got '{event.value}' while in {self.phase.value}, which its table does not define. "
                f"Report this as a bug."
            )
        self.phase = phase
        if phase in (Phase.CHOOSE, Phase.MOVING):
            self.reason, self.detail = None, ""

    def hold(self, reason: HoldReason, detail: str, *, is_idle: bool) -> None:
        """Show a hold.

        Args:
            reason: shown to the operator.
            detail: the sentence behind it.
            is_idle: no episode, no scene and no start was under way.
        """
        # While nothing is under way, only a hold that a person requests is shown.
        is_told = self.reason not in RESTING or (is_idle and reason is not HoldReason.OPERATOR)
        if self.phase is Phase.FAULT or (self.phase is Phase.HOLD and reason in _WEAK and is_told):
            return
        self.counters["holds"] += 1
        self.go(Event.HELD)
        self.reason, self.detail = reason, detail

    def rest(self, reason: HoldReason, detail: str) -> None:
        """Show a wait that is not a hold; a fault stays on display."""
        if self.phase is not Phase.FAULT:
            self.go(Event.HELD)
            self.reason, self.detail = reason, detail

    def fault(self, reason: HoldReason, detail: str) -> None:
        """Show that world or policy is gone."""
        self.go(Event.LOST)
        self.reason, self.detail = reason, detail

    def reconnect(self) -> None:
        """Show that world and policy are started again."""
        self.error = None
        self.go(Event.RECONNECTED)
        self.reason, self.detail = HoldReason.START, "Reconnecting"

    def end(self) -> None:
        """Show that an episode is labelled and kept."""
        self.go(Event.ENDED)
        if self.phase is Phase.HOLD:
            self.reason, self.detail = HoldReason.EPISODE_END, ""

    def note(self, sentence: str) -> None:
        """Show a notice without a hold."""
        self.notice = ((self.notice[0] if self.notice else 0) + 1, sentence)

    def refuse(self, sentence: str) -> None:
        """Say why something that was asked for is not done."""
        self.counters["refused"] += 1
        self.note(sentence)
