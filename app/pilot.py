"""Convert actions to session commands.

Problem: an arrow key picks in gated pacing and sets the held direction in continuous pacing; its axis depends on the chosen
frame, and its step size on Shift. Idea: one object without widgets keeps these choices and the newest snapshot, and sends
`SessionCommand`s. It picks only candidates of the current fan.

Example: frame "base", step "more", fan on screen: press("steer.left") sends `Pick("left/more", by=PERSON)`.
Runs on the GUI thread.
"""

import dataclasses
from collections.abc import Callable

from app.actions import STEER
from app.qt import QtCore, Signal
from app.settings import Settings
from frs_core.devices.base import Stage
from frs_core.devices.intent import Intent, seen_direction
from frs_core.events import Driver, HoldDirection, Pacing, Phase, Pick, SessionCommand, SetGripper, SetPlan, Snapshot
from frs_core.steering.candidates import LEARNED, UNSTEERED, Candidate, Fan
from frs_core.steering.directions import Amount, Command, Direction, Gripper

STAY = {
    "pick.stay_close": Command(None, gripper=Gripper.CLOSE),
    "pick.stay_open": Command(None, gripper=Gripper.OPEN),
}
"""Actions that move only the gripper."""


class Pilot(QtCore.QObject):
    """Converts intents to commands.

    Args:
        send: where commands go.
        settings: the operator's choices; `amount`, `frame` and `pacing` are read on every press.
    """

    highlight_changed = Signal(object)
    """Label of the candidate to highlight, or None."""
    press_refused = Signal(str)
    """Why a press had no effect, one sentence."""
    choices_changed = Signal()
    """Step size, frame or Shift changed; caps and highlights must be redrawn."""

    def __init__(self, send: Callable[[SessionCommand], None], settings: Settings) -> None:
        super().__init__()
        self._send, self.settings = send, settings
        self.snapshot: Snapshot | None = None
        self.camera: str = ""
        """Name of the camera shown large."""
        self.is_other_step = False
        self._holding: str | None = None
        self._highlight: str | None = None

    # --- meaning of actions -----------------------------------------------------------------------

    @property
    def amount(self) -> Amount:
        """The step size that a press picks now."""
        chosen = Amount(self.settings.amount)
        if not self.is_other_step:
            return chosen
        return Amount.LESS if chosen is Amount.MORE else Amount.MORE

    def direction(self, action: str) -> Direction:
        """Return the base-frame direction of a steering action."""
        pose = None
        if self.settings.frame == "camera" and self.snapshot is not None and self.snapshot.observation is not None:
            frame = self.snapshot.observation.frames.get(self.camera)
            if frame is not None and frame.calibration is not None:
                pose = frame.calibration.T_base_camera
        return seen_direction(STEER[action], pose)

    def action_of(self, direction: Direction) -> str:
        """Return the steering action for a base-frame direction now."""
        return next(a for a in STEER if self.direction(a) is direction)

    def candidate(self, action: str) -> Candidate | None:
        """Return the candidate that an action would pick from the current fan, or None."""
        fan = self.snapshot.fan if self.snapshot else None
        if fan is None:
            return None
        if action == "pick.unsteered":
            return _offered(fan, UNSTEERED)
        if action == "pick.learned":
            return _offered(fan, LEARNED)
        if action == "pick.suggestion":
            label = self.snapshot.suggestion[0] if self.snapshot and self.snapshot.suggestion else None
            return _offered(fan, label)
        if action in STAY:
            return _offered(fan, STAY[action].label)
        if action not in STEER:
            return None
        direction, amount = self.direction(action), self.amount
        for candidate in fan.candidates:
            command = candidate.command
            if command is not None and command.direction is direction and command.amount is amount:
                return candidate
        return None

    @property
    def highlighted(self) -> str | None:
        """Label of the highlighted candidate."""
        return self._highlight

    # --- input --------------------------------------------------------------------------------------

    def take(self, snapshot: Snapshot) -> None:
        """Store the newest snapshot."""
        self.snapshot = snapshot

    def handle(self, intent: Intent) -> bool:
        """Handle a steering intent; return False if the action is not a steering action."""
        if intent.action == "steer.other_step":
            self.is_other_step = intent.stage is Stage.PRESSED
            self.choices_changed.emit()
            return True
        if not intent.action.startswith(("steer.", "pick.")):
            return False
        if intent.stage is Stage.PRESSED:
            self.press(intent.action, device=intent.device, at_ns=intent.at_ns)
        elif intent.stage is Stage.HINTED:
            if self._holding == intent.action:
                self.release(intent.action)
            candidate = self.candidate(intent.action)
            self.highlight(candidate.label if candidate else None)
        else:
            self.release(intent.action)
            self.highlight(None)
        return True

    def press(self, action: str, *, device: str, at_ns: int) -> None:
        """Pick the candidate of an action, or start holding its direction."""
        snapshot = self.snapshot
        if snapshot is None:
            self.press_refused.emit("Robot and policy are still starting")
            return
        if snapshot.phase not in (Phase.CHOOSE, Phase.MOVING):
            self.press_refused.emit(self.why_not(snapshot, action))
            return
        is_override = snapshot.driver is not Driver.PERSON
        is_early = is_override or snapshot.pacing is Pacing.CONTINUOUS or snapshot.looks_ahead
        label = self._label(action, is_early=is_early)
        if label is None:
            self.press_refused.emit(self.why_not(snapshot, action))
        elif is_override:
            # The pick applies to one chunk, the held direction for as long as the key is down.
            self._send(Pick(label, by=Driver.PERSON, device=device, pressed_ns=at_ns))
            self._hold(action, label, device, at_ns)
        elif snapshot.pacing is Pacing.CONTINUOUS:
            self._hold(action, label, device, at_ns)
        else:
            self._send(Pick(label, by=Driver.PERSON, device=device, pressed_ns=at_ns))

    def _label(self, action: str, *, is_early: bool) -> str | None:
        """Return the label that an action picks; before the fan is ready only if early picks are accepted."""
        assert self.snapshot is not None
        candidate = self.candidate(action)
        if candidate is not None and (is_early or self._is_on_offer(self.snapshot)):
            return candidate.label
        if not is_early:
            return None
        if action in STEER:
            return Command(self.direction(action), self.amount, self.snapshot.gripper).label
        if action in STAY:
            return STAY[action].label
        return UNSTEERED if action == "pick.unsteered" else None

    @staticmethod
    def _is_on_offer(snapshot: Snapshot) -> bool:
        return snapshot.phase is Phase.CHOOSE and not snapshot.is_fan_stale

    def _hold(self, action: str, label: str, device: str, at_ns: int) -> None:
        self._holding = action
        self.highlight(label)
        self._send(HoldDirection(label, device=device, pressed_ns=at_ns))

    def release(self, action: str) -> None:
        """Stop holding an action; releasing another one has no effect."""
        if self._holding == action:
            self._holding = None
            self.highlight(None)
            self._send(HoldDirection(None))

    def release_all(self) -> None:
        """Stop holding any direction, and release Shift."""
        self.is_other_step = False
        if self._holding is not None:
            self.release(self._holding)
        self.highlight(None)

    def highlight(self, label: str | None) -> None:
        """Highlight one candidate and dim the others."""
        if label != self._highlight:
            self._highlight = label
            self.highlight_changed.emit(label)

    # --- settings -----------------------------------------------------------------------------------

    def toggle_gripper(self) -> None:
        """Request the other gripper state; a second press leaves the gripper to the policy again."""
        if self.snapshot is None:
            return
        is_closed = bool(self.snapshot.observation and self.snapshot.observation.gripper_command > 0.5)
        other = Gripper.OPEN if is_closed else Gripper.CLOSE
        self._send(SetGripper(Gripper.POLICY if self.snapshot.gripper is other else other))

    def change_depth(self, by: int) -> None:
        """Reverse more or fewer steps."""
        if self.snapshot is None:
            return
        plan = self.snapshot.plan
        depth = max(1, min(plan.steps, (plan.depth or plan.steps) + by))
        self._send(SetPlan(dataclasses.replace(plan, depth=None if depth == plan.steps else depth)))

    def set_depth(self, depth: int) -> None:
        """Reverse exactly `depth` of K steps."""
        if self.snapshot is not None:
            plan = self.snapshot.plan
            self.change_depth(depth - (plan.depth or plan.steps))

    def reroll(self) -> None:
        """Draw new noise for what the command leaves open."""
        if self.snapshot is not None:
            self._send(SetPlan(self.snapshot.plan.with_seed(self.snapshot.plan.seed + 1)))

    @staticmethod
    def _is_waiting_for_end(snapshot: Snapshot) -> bool:
        return snapshot.driver is Driver.PERSON and snapshot.pacing is Pacing.GATED

    def why_not(self, snapshot: Snapshot, action: str = "") -> str:
        """Return why a press has no effect now, one sentence."""
        if snapshot.phase is Phase.HOLD:
            return "The robot holds; start an episode or resume first"
        if snapshot.phase is Phase.FAULT:
            return "The robot is not connected; reconnect first"
        if snapshot.phase is Phase.REPLAY:
            return "A replay is running; press Hold to end it"
        if snapshot.phase is Phase.MOVING and self._is_waiting_for_end(snapshot):
            return "The robot is still moving; pick when the chunk ends"
        if action == "pick.learned" and self.candidate(action) is None:
            return "No learned candidate; train a noise policy and use it first"
        if action == "pick.suggestion" and self.candidate(action) is None:
            return "There is no suggestion now"
        if snapshot.is_fan_stale:
            return "The fan is stale; a new one is coming"
        return "The fan is not ready yet"


def _offered(fan: Fan, label: str | None) -> Candidate | None:
    """Return a candidate by its label, or None if it is not in the fan."""
    return next((c for c in fan.candidates if c.label == label), None)
