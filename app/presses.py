"""From presses and clicks to actions and picks: of keys and devices, of curves and rows of candidates.

Whatever is pressed runs an action by its id, unless a card is open, a comparison hides it, or the pilot makes a pick of it. GUI thread.
"""

from collections.abc import Callable

from app.drive_actions import DriveActions
from app.facts import Facts
from app.inputs import Inputs
from app.pilot import Pilot
from app.qt import QtCore, Signal
from app.views.cards import Cards
from app.workers import SessionBridge
from frs_core.devices.base import Stage
from frs_core.devices.intent import Intent
from frs_core.events import HoldReason, Phase, Pick


class Presses(QtCore.QObject):
    """Hears inputs, pilot and Drive.

    Args:
        parent: the window.
        bridge: to the session.
        inputs: keys and devices.
        pilot: makes picks of presses.
        cards: Escape closes them.
        drive_actions: hold, and the views of Drive.
        facts: of this run.
        run: runs an action by id.
        say: shows a toast (text, tone).
    """

    refused = Signal(str)
    """Why a press does nothing."""

    def __init__(
        self,
        parent: QtCore.QObject,
        *,
        bridge: SessionBridge,
        inputs: Inputs,
        pilot: Pilot,
        cards: Cards,
        drive_actions: DriveActions,
        facts: Facts,
        run: Callable[[str], object],
        say: Callable[[str, str], object],
    ) -> None:
        super().__init__(parent)
        self._bridge, self._inputs, self._pilot, self._cards = bridge, inputs, pilot, cards
        self._drive_actions, self._facts, self._run, self._say = drive_actions, facts, run, say
        inputs.intended.connect(self._on_intent)
        inputs.released_all.connect(pilot.release_all)
        inputs.control_changed.connect(self._on_control)
        inputs.device_lost.connect(self._on_device_lost)
        inputs.device_found.connect(lambda name: say(f"{name} connected", "good"))
        pilot.press_refused.connect(self.refused)

    def _on_intent(self, intent: Intent) -> None:
        if self._closes_overlay(intent):
            return
        if why_not := self._facts.blinding.why_not(intent.action):
            if intent.stage is Stage.PRESSED:
                self.refused.emit(why_not)
            return
        if self._pilot.handle(intent):
            return
        if intent.stage is Stage.PRESSED:
            with self._bridge.presses.of(intent.at_ns):
                self._run(intent.action)

    def _closes_overlay(self, intent: Intent) -> bool:
        """Close a card on Escape; while the robot moves, hold as well."""
        if intent.action != "drive.hold" or not self._inputs.is_overlay_open:
            return False
        if intent.stage is Stage.PRESSED:
            if intent.control == "key:Esc" or (intent.control == "key:Space" and self._cards.is_open("first")):
                self._cards.close()
            if self._inputs.is_moving or intent.control != "key:Esc":
                self._run("drive.hold")
        return True

    def _on_control(self, change: object) -> None:
        self._cards.show_held(self._inputs.keyboard.held)

    def _on_device_lost(self, name: str) -> None:
        self._pilot.release_all()
        advice = (
            f"'{name}' was unplugged and its controls were released. Plug it in again or use the keyboard, then resume."
        )
        self._drive_actions.hold_because(HoldReason.DEVICE_LOST, advice)
        self._say(f"{name} was unplugged", "bad")

    def choose_candidate(self, label: str) -> None:
        """Pick a candidate that was clicked, or say why not."""
        snapshot = self._pilot.snapshot
        if snapshot is None or snapshot.fan is None or label not in snapshot.fan:
            return
        if snapshot.phase is Phase.CHOOSE and not snapshot.is_fan_stale:
            self._bridge.send(Pick(label, device="mouse"))
        else:
            self._say(self._pilot.why_not(snapshot), "warn")

    def choose_curve(self, label: str, fan: object, at_ns: int) -> None:
        """Pick a curve that was clicked at `at_ns`, monotonic ns, unless another fan is shown since."""
        snapshot = self._pilot.snapshot
        if snapshot is None or snapshot.fan is not fan:
            self._say("The fan has changed; click again", "warn")
            return
        with self._bridge.presses.of(at_ns):
            self.choose_candidate(label)
