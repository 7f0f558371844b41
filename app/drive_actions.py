"""Handlers of the Drive layout's actions: each sends a session command or changes a setting.

`handlers` maps action ids to functions. The window adds its own, and a test checks that every row of the action table has a
handler. GUI thread.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from app.countdown import Countdown, is_running
from app.facts import Facts
from app.next_episode import COUNT_S, NextEpisode
from app.pilot import STAY, Pilot
from app.scenes import Scenes
from app.settings import SettingsFile
from app.views.drive import DrivePage
from app.views.episode_bar import is_episode_open
from app.views.outcome_question import disagreement
from frs_core.choosers.registry import choosers, find_chooser
from frs_core.events import (
    BackOneChunk,
    Driver,
    DropPick,
    EndEpisode,
    HandBack,
    HoldReason,
    Outcome,
    Pacing,
    Phase,
    Reconnect,
    RequestHold,
    Resume,
    SessionCommand,
    SetDriver,
    SetGripper,
    SetHelp,
    SetInstruction,
    SetLookAhead,
    SetPacing,
    SetPlan,
    SetTarget,
    Snapshot,
    StartEpisode,
)
from frs_core.robot.observation import CameraFrame
from frs_core.steering.directions import Amount, Gripper
from frs_core.steering.plan import SteeringPlan

if TYPE_CHECKING:
    from app.views.practise.attempts import Attempts

_OWN_HOLDS = (HoldReason.OPERATOR, HoldReason.LABEL_ASKED, HoldReason.SUCCESS_SEEN)
"""What holds because a label is in question; every other reason is shown in their place."""
UNMARK_PX = 6.0
"""How near to the mark a click removes it, image pixels."""


class DriveActions:
    """Turns actions of the Drive layout into commands.

    Args:
        send: where commands go.
        pilot: converts presses to commands.
        page: the Drive layout.
        settings: choices to remember.
        facts: of this run.
        say: shows a toast (text, tone).
        ask: shows the checklist (text, function to call once it is confirmed) before a real robot moves by itself.
        why_not_start: returns why no episode may start now, without full stop; empty where one may.
    """

    def __init__(
        self,
        send: Callable[[SessionCommand], None],
        *,
        pilot: Pilot,
        page: DrivePage,
        settings: SettingsFile,
        facts: Facts,
        say: Callable[[str, str], None],
        ask: Callable[[str, Callable[[], None]], None],
        why_not_start: Callable[[], str],
    ) -> None:
        self._send, self._pilot, self._page = send, pilot, page
        self._settings, self._facts, self._say, self._ask = settings, facts, say, ask
        self._why_not_start = why_not_start
        self._default_plan: SteeringPlan | None = None
        self.scenes = Scenes()
        self.next = NextEpisode(
            page,
            strip=page.progress,
            settings=settings.values,
            start=self.start,
            succeed=lambda: self._label(Outcome.SUCCESS),
            may_count=self._may_count_down,
        )
        self.countdown = Countdown(page, strip=page.countdown)
        self.sources: list[Attempts] = []
        """Those of a practice and of a comparison, once they are built."""
        self._note = ""
        self.handlers: dict[str, Callable[[], None]] = {
            **{a: self._picks(a) for a in ("pick.unsteered", "pick.learned", "pick.suggestion", *STAY)},
            **{f"steer.{d}": self._picks(f"steer.{d}") for d in ("forward", "back", "left", "right", "up", "down")},
            "steer.other_step": lambda: None,
            "gripper.toggle": pilot.toggle_gripper,
            "gripper.policy": lambda: send(SetGripper(Gripper.POLICY)),
            "gripper.open": lambda: send(SetGripper(Gripper.OPEN)),
            "gripper.close": lambda: send(SetGripper(Gripper.CLOSE)),
            "chunk.back": self.back,
            "drive.hold": self.hold,
            "drive.resume": self.resume,
            "drive.pacing": self.toggle_pacing,
            "drive.look_ahead": self.toggle_look_ahead,
            "drive.hand_back": lambda: send(HandBack()),
            "drive.help": self.toggle_help,
            "drive.frame": lambda: self.choose_frame("base" if settings.values.frame == "camera" else "camera"),
            **{f"driver.{row.id}": self._drives(row.driver) for row in choosers().values()},
            "drive.unmark": self.unmark,
            "knob.step": self.toggle_step,
            "knob.depth_less": lambda: pilot.change_depth(-1),
            "knob.depth_more": lambda: pilot.change_depth(1),
            "knob.seed": pilot.reroll,
            "knob.plan_default": self.restore_plan,
            "world.reconnect": lambda: send(Reconnect()),
            "episode.task": page.episode.choose_task,
            "episode.scene": page.episode.type_scene,
            "episode.start": self.start,
            "episode.success_next": lambda: self.next.go(pilot.snapshot),
            "episode.auto_next": self.toggle_auto_next,
            "episode.stay": self.stop_countdown,
            "episode.success": lambda: self.end(Outcome.SUCCESS),
            "episode.failure": lambda: self.end(Outcome.FAILURE),
            "episode.discard": lambda: self.end(Outcome.DISCARDED),
            "episode.note": lambda: page.episode.note.setFocus(),
            "episode.practice": lambda: page.episode.unrecorded.toggle(),
            "camera.next": page.cameras.next_camera,
            "camera.enlarge": page.cameras.toggle_alone,
            "view.other_step": lambda: self._toggle("show_other_step"),
            "view.reference": lambda: self._toggle("show_reference"),
        }
        page.steering.pacing_chosen.connect(self.choose_pacing)
        page.steering.driver_chosen.connect(self.choose_driver)
        page.steering.gripper_chosen.connect(lambda g: send(SetGripper(g)))
        page.steering.amount_chosen.connect(self.choose_amount)
        page.steering.frame_chosen.connect(self.choose_frame)
        page.steering.depth_chosen.connect(pilot.set_depth)
        page.place_chosen.connect(self.mark)
        page.episode.instruction_edited.connect(lambda text: send(SetInstruction(text)))
        page.episode.unrecorded_chosen.connect(self._on_unrecorded)
        page.episode.task_chosen.connect(lambda _text: self._remember_task())

    @property
    def attempts(self) -> "Attempts | None":
        """The attempts that are wanted here now: a start is one of them; None = an episode is a person's own."""
        return next((source for source in self.sources if source.is_on), None)

    def hold(self) -> None:
        """Stop motion."""
        self.stay()
        self._pause_attempts(HoldReason.OPERATOR)
        self._send(RequestHold(HoldReason.OPERATOR))

    def stay(self) -> None:
        """Stop every countdown."""
        self.next.stay()
        self.countdown.stop()

    def stop_countdown(self) -> None:
        """Stop every countdown, or say that there is none."""
        if not self.next.seconds_left and not self.countdown.seconds_left:
            self._say("No countdown is running", "info")
        self.stay()

    def unmark(self) -> None:
        """Remove the mark, or say that there is none."""
        snapshot = self._pilot.snapshot
        if snapshot is None or snapshot.target is None:
            self._say("No target is marked", "info")
        self._send(SetTarget(None))

    def hold_because(self, reason: HoldReason, detail: str = "") -> None:
        """Stop motion and whatever waits to be executed; the session reports it if there is anything to stop."""
        self.stay()
        self._pause_attempts(reason)
        self._send(RequestHold(reason, detail))

    def _pause_attempts(self, reason: HoldReason) -> None:
        # Between two attempts there is nothing to hold, and the session says nothing of it.
        if self.attempts is not None:
            self.attempts.pause(reason.value)

    def start(self) -> None:
        """Start an episode with the chosen task and scene."""
        snapshot = self._pilot.snapshot
        if snapshot is None:
            return
        if is_episode_open(snapshot):
            self._say("An episode is open; label or discard it first", "warn")
            return
        if snapshot.phase is not Phase.HOLD:
            self._say("Not connected; reconnect first", "warn")
            return
        if not self._facts.is_world_known:
            self._say("The robot or simulator is still starting; start the episode once it is there", "warn")
            return
        if reason := self._why_not_start():
            self._say(reason, "warn")
            return
        start = self._start
        if (attempts := self.attempts) is not None:
            if attempts.load_again():
                self._say("The policy is being loaded again", "info")
                return
            if reason := attempts.why_not_start:
                self._say(reason, "warn")
                return
            start = self._start_attempt
        if not self._facts.is_simulated:
            self._ask("The robot will now move to its start pose", lambda: self._start_now(start))
        else:
            start()

    def _start_now(self, start: Callable[[], None]) -> None:
        # The question may have stood open for a while.
        if reason := self._why_not_start():
            self._say(reason, "warn")
        else:
            start()

    def _start_attempt(self) -> None:
        # The question may have stood open for a while.
        attempts = self.attempts
        reason = attempts.start() if attempts is not None else "No more attempts are wanted; start again"
        if reason:
            self._say(reason, "warn")

    def _start(self) -> None:
        bar = self._page.episode
        task, scene = bar.chosen_task, bar.next_scene
        self._send(StartEpisode(task=task, seed=scene, unrecorded=bar.unrecorded.isChecked()))
        self.scenes.started(task, scene)
        bar.next_scene = self.scenes.of(task)

    def go_on_from(self, recorded: Mapping[str, int]) -> None:
        """Continue scene numbers after the recorded ones.

        Args:
            recorded: task -> next free scene number.
        """
        self.scenes.learn(recorded)
        bar = self._page.episode
        bar.next_scene = max(bar.next_scene, self.scenes.of(bar.chosen_task))

    def end(self, outcome: Outcome) -> None:
        """Label the open episode."""
        self.next.stay()
        self._label(outcome)

    def _label(self, outcome: Outcome) -> None:
        """Send a label, or ask first where the world says otherwise."""
        snapshot = self._pilot.snapshot
        if snapshot is None or not is_episode_open(snapshot):
            self._say("No episode is open", "warn")
            return
        question = self._page.question
        if question.asked is None and (against := disagreement(snapshot, outcome)):
            question.ask(snapshot, outcome, against)
            if snapshot.may_move:
                self._send(RequestHold(HoldReason.LABEL_ASKED))
            return
        self._end(outcome)

    def follow(self, snapshot: Snapshot) -> None:
        """Follow the session: end an episode whose label the world came to agree with while it was in question."""
        question = self._page.question
        was_asked = question.asked is not None
        outcome = question.show_snapshot(snapshot)
        if outcome is not None:
            if snapshot.phase is Phase.HOLD and snapshot.hold_reason not in _OWN_HOLDS:
                self.next.stay()
            self._end(outcome)
        elif was_asked and question.asked is None:
            self.next.stay()
        self.next.follow(snapshot)
        self.countdown.follow(snapshot)

    def resume(self) -> None:
        """Resume: end a hold, or leave a question about the label unanswered."""
        self.next.stay()
        was_asked = self._page.question.asked is not None
        self._page.question.close_question()
        snapshot = self._pilot.snapshot
        if not was_asked or snapshot is None or snapshot.phase is not Phase.CHOOSE:
            self._send(Resume())

    def _end(self, outcome: Outcome) -> None:
        self._page.question.close_question()
        self._note = self._page.episode.take_note()
        self._send(EndEpisode(outcome, note=self._note))

    def take_note(self) -> str:
        """Return the note to the attempt that has just ended: what was sent with its label, or else what stands in the field."""
        note, self._note = self._note or self._page.episode.take_note(), ""
        return note

    def back(self) -> None:
        """Cancel the waiting pick, or else return to the previous chunk boundary; the episode continues."""
        self.next.stay()
        self._page.question.close_question()
        snapshot = self._pilot.snapshot
        if snapshot is not None and snapshot.waiting is not None:
            self._send(DropPick())
        elif not self._facts.is_simulated:
            self._say("Going back one chunk works only in simulation", "warn")
        elif snapshot is not None and not snapshot.episode.can_go_back:
            self._say("There is no chunk to go back from", "warn")
        else:
            self._send(BackOneChunk())

    def choose_pacing(self, pacing: Pacing) -> None:
        """Use and remember a pacing; on a robot that runs, continuous pacing after a countdown."""

        def use() -> None:
            self._settings.values.pacing = pacing.value
            self._send(SetPacing(pacing))

        self._switch("Continuous pacing" if pacing is Pacing.CONTINUOUS else "", use)

    def _switch(self, what: str, use: Callable[[], None]) -> None:
        """Switch at once, or after a countdown where a real robot would go on by itself.

        Args:
            what: what the countdown says; empty = the arm waits for a person afterwards.
            use: sends the command.
        """
        self.countdown.stop()
        snapshot = self._pilot.snapshot
        if not what or self._facts.is_simulated or snapshot is None or not is_running(snapshot):
            use()
            return
        self.countdown.begin(what, use, snapshot)
        self._page.steering.show_snapshot(snapshot, self._settings.values)

    def toggle_pacing(self) -> None:
        """Switch between gated and continuous."""
        if self._pilot.snapshot is not None:
            is_gated = self._pilot.snapshot.pacing is Pacing.GATED
            self.choose_pacing(Pacing.CONTINUOUS if is_gated else Pacing.GATED)

    def mark(self, frame: CameraFrame, pixel: tuple[float, float]) -> None:
        """Mark the place on the table that a pixel shows; a click on the mark removes it."""
        snapshot = self._pilot.snapshot
        if snapshot is None or not is_episode_open(snapshot):
            return
        if frame.calibration is None:
            self._say("This camera is not calibrated, so nothing can be marked in it", "warn")
            return
        if snapshot.target is not None:
            uv, _ = frame.calibration.project(np.array(snapshot.target))
            if float(np.abs(uv - pixel).max()) < UNMARK_PX:
                self._send(SetTarget(None))
                return
        point = frame.calibration.on_plane(pixel, self._facts.floor)
        if point is None:
            self._say("That point is not on the table", "warn")
            return
        self._send(SetTarget(point))

    def use_look_ahead(self) -> None:
        """Begin with the operator's choice in simulation, and without looking ahead on a real robot; wait for the world to say which."""
        if self._facts.is_world_known:
            self._send(SetLookAhead(self._facts.is_simulated and self._settings.values.look_ahead))

    def toggle_look_ahead(self) -> None:
        """Let a press while the robot moves be the next pick, or not; remembered for simulation only."""
        if (snapshot := self._pilot.snapshot) is None:
            return
        is_on = not snapshot.looks_ahead
        if self._facts.is_simulated:
            self._settings.values.look_ahead = is_on
        self._send(SetLookAhead(is_on))
        how = "is the next pick; Backspace takes it back" if is_on else "is refused"
        self._say(f"A press while the robot moves {how}", "info")

    def use_help(self) -> None:
        """Begin with the operator's choice of whether the learned policy asks for help."""
        self._send(SetHelp(self._settings.values.asks_for_help))

    def toggle_help(self) -> None:
        """Let the learned policy ask for help where it is unsure, or not."""
        if (snapshot := self._pilot.snapshot) is None:
            return
        is_on = self._settings.values.asks_for_help = not snapshot.asks_for_help
        self._send(SetHelp(is_on))
        self._say(
            "The learned policy " + ("asks for help where it is unsure" if is_on else "no longer asks for help"), "info"
        )

    def choose_driver(self, driver: Driver) -> None:
        """Choose who picks."""
        snapshot = self._pilot.snapshot
        if driver not in self._facts.drivers or (
            driver is Driver.LEARNED and snapshot is not None and snapshot.noise_policy is None
        ):
            self._say(find_chooser(driver.value).why_not, "warn")
        else:
            title = find_chooser(driver.value).title.strip("★ ")
            self._switch("" if driver is Driver.PERSON else f"{title} drives", lambda: self._send(SetDriver(driver)))
            return
        if snapshot is not None:
            self._page.steering.show_snapshot(snapshot, self._settings.values)

    def choose_amount(self, amount: str) -> None:
        """Use and remember a step size."""
        self._settings.values.amount = Amount(amount).value
        self._pilot.choices_changed.emit()

    def toggle_step(self) -> None:
        """Switch the step size."""
        self.choose_amount("less" if self._settings.values.amount == "more" else "more")

    def choose_frame(self, frame: str) -> None:
        """Set whether left is the robot's or the camera's."""
        self._settings.values.frame = frame
        self._pilot.choices_changed.emit()
        meaning = "the robot's left" if frame == "base" else "left in the large image"
        self._say(f"Left now means {meaning}", "info")

    def restore_plan(self) -> None:
        """Restore the plan that the session started with, keeping the seed."""
        if self._default_plan is not None and self._pilot.snapshot is not None:
            self._send(SetPlan(dataclasses.replace(self._default_plan, seed=self._pilot.snapshot.plan.seed)))

    def remember_plan(self, plan: SteeringPlan) -> None:
        """Store the first plan received: the policy's calibrated one."""
        if self._default_plan is None:
            self._default_plan = plan

    def _picks(self, action: str) -> Callable[[], None]:
        """Return a handler that picks like a key press; in continuous pacing for one press only."""

        def pick() -> None:
            self._pilot.press(action, device="menu", at_ns=time.monotonic_ns())
            self._pilot.release(action)

        return pick

    def _drives(self, driver: Driver) -> Callable[[], None]:
        return lambda: self.choose_driver(driver)

    def _toggle(self, name: str) -> None:
        setattr(self._settings.values, name, not getattr(self._settings.values, name))
        self._pilot.choices_changed.emit()

    def toggle_auto_next(self) -> None:
        """Save detected successes automatically, or no longer."""
        if not self._facts.is_simulated:
            self._say(
                "Available only in simulation, where success is detected and the scene resets automatically", "warn"
            )
            return
        values = self._settings.values
        values.auto_next = not values.auto_next
        how = (
            f"saved after {COUNT_S} s, and the next scene starts"
            if values.auto_next
            else "no longer saved automatically"
        )
        self._say(f"A success that the simulator detects is {how}", "info")

    def _may_count_down(self) -> bool:
        snapshot = self._pilot.snapshot
        is_attempt = self.attempts is not None
        return self._facts.is_simulated and not is_attempt and snapshot is not None and snapshot.episode.is_recording

    def _on_unrecorded(self, is_on: bool) -> None:
        self._settings.values.unrecorded = is_on

    def _remember_task(self) -> None:
        bar = self._page.episode
        self._settings.values.last_task = bar.chosen_task or ""
        bar.next_scene = self.scenes.of(bar.chosen_task)
