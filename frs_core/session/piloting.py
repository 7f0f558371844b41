"""Fans and picks of a session: ask for the wanted fan, offer the fresh one, execute what is picked.

Who picks is the `Helm`'s business, which fan counts the `FanDesk`'s; here both meet the phase.
"""

import dataclasses
import time

from frs_core import events as ev
from frs_core.choosers.base import Chooser, NoisePolicy
from frs_core.errors import ConfigError, FrsError
from frs_core.events import Driver, HoldReason, Phase
from frs_core.robot.first_chunk import why_not_first
from frs_core.session.checks import check_fit, chunk_seed
from frs_core.session.fans import Answered, Failed
from frs_core.session.helm import Turn
from frs_core.session.inference import FanRequest, Loaded, NoisePolicyLoaded
from frs_core.session.keeping import EpisodeKeeping
from frs_core.session.running import RunningChunk
from frs_core.session.table import Event
from frs_core.steering.candidates import Candidate, Fan


class Piloting(EpisodeKeeping):
    """The layer of fans, picks and knobs."""

    # --- picks -------------------------------------------------------------------------------------------------------

    def _on_pick(self, pick: ev.Pick, epoch: int) -> None:
        is_early = self.phase is Phase.MOVING or (self.phase is Phase.CHOOSE and not self._is_offering)
        if is_early and self._helm.takes_early_picks:
            self._helm.latch(pick, epoch)
        elif self.phase is Phase.CHOOSE and not is_early:
            self._execute(Turn(pick))
        else:
            said = {
                Phase.HOLD: "The robot holds. Resume first" if self.episode else "Start an episode first",
                Phase.FAULT: "Reconnect first",
                Phase.CHOOSE: "The fan is still being made",
            }
            self._refuse(said.get(self.phase, "The robot is still moving"))

    def _hold_direction(self, held: ev.HoldDirection, epoch: int) -> None:
        had_held, self._helm.held = self._helm.held, (held, epoch) if held.label is not None else None
        if self._helm.takes_early_picks and (had_held or self._helm.held) and not self._helm.is_asking:
            self._offered = 0

    def _on_turn(self, turn: Turn | Exception) -> None:
        if isinstance(turn, Exception):
            self.error = turn
            self.hold(HoldReason.EXCEPTION, f"The {self._helm.driver.value} driver failed: {turn}")
        elif self.phase is Phase.CHOOSE and self._is_offering:
            self._execute(turn)

    def _execute(self, turn: Turn) -> None:
        fan, pick, timing = self._desk.fan, turn.pick, self.link.timing
        assert fan is not None
        assert self._desk.spec is not None
        assert self._mandate is not None
        if pick.label not in fan:
            self._refuse(f"'{pick.label}' is not in the fan")
            if turn.was_waiting:
                # The override that came first is gone; the driver is asked after all.
                self._offered = 0
            return
        if sentence := self._why_unfit(fan, fan[pick.label]):
            self.hold(HoldReason.UNFIT_CHUNK, sentence)
            return
        now = time.monotonic_ns()
        is_correction = pick.by is Driver.PERSON and self._helm.driver is not Driver.PERSON
        self._latency = dataclasses.replace(
            self._latency,
            steer_ms=fan.steer_ms,
            pick_ms=(now - pick.pressed_ns) / 1e6 if pick.pressed_ns is not None else float("nan"),
            loop_hz=timing.hz,
            jitter_ms=timing.jitter_ms,
        )
        self.counters["picks"] += 1
        self.counters["corrections"] += is_correction
        self._chunk_ids += 1
        self._helm.drop_question()
        self._helm.latched = None
        if self._desk.is_pending:
            # The fan was being renewed; what was picked from stays on screen while the arm moves.
            self._desk.want()
        candidate = fan[pick.label]
        rows = candidate.chunk[: fan.execute_rows]
        self._running = RunningChunk(
            self._chunk_ids,
            fan,
            candidate,
            driver=pick.by,
            device=pick.device,
            reason=turn.reason,
            is_correction=is_correction,
            gripper=self._gripper,
            state=self._state,
            latency=self._latency,
            rows=len(rows),
            started_ns=now,
        )
        self._go(Event.PICKED)
        self.link.execute(self._chunk_ids, rows, self._desk.spec.action_space.kind, epoch=self._mandate)

    def _why_unfit(self, fan: Fan, candidate: Candidate) -> str | None:
        """Return why the first chunk of this policy must not move this robot; None where nothing speaks against it."""
        assert self._desk.spec is not None
        assert self.world_spec is not None
        if self._has_fitted or self.world_spec.is_simulated:
            return None
        spec, limits = self._desk.spec, self.world_spec.limits
        low, high = spec.range_at(fan.observation.q)
        sentence = why_not_first(
            candidate.chunk,
            space=spec.action_space,
            observation=fan.observation,
            jump_rad=limits.max_joint_step,
            jump_m=limits.max_translation,
            low=low,
            high=high,
        )
        self._has_fitted = sentence is None
        return sentence

    # --- fans --------------------------------------------------------------------------------------------------------

    def _on_answer(self, answer: Answered) -> None:
        match answer:
            case Loaded():
                self._plan, self._has_fitted = self._plan or answer.plan, False
                self._check_both()
            case Fan():
                # What was suggested about a fan that is renewed is about the old one.
                self._helm.drop_question()
                # A context that was kept cost nothing this time; the figure of its making stays on display.
                encode_ms = answer.encode_ms or self._latency.encode_ms
                self._latency = dataclasses.replace(
                    self._latency, encode_ms=encode_ms, steer_ms=answer.steer_ms, network_ms=answer.network_ms
                )
            case NoisePolicyLoaded():
                self._want_fan()
            case Failed("noise policy"):
                self._note(str(answer.error))
            case Failed():
                self.error = answer.error
                stop = self._fault if answer.what == "load" else self.hold
                stop(HoldReason.INFERENCE_FAILED, _with_mend(answer.error, is_loading=answer.what == "load"))

    def _check_both(self) -> None:
        """Check that policy and world fit once both are known, then start what waits."""
        if self.world_spec is None or self._desk.spec is None or self.observation is None:
            return
        try:
            check_fit(self._desk.spec, self.world_spec, self.observation)
        except ConfigError as error:
            self.error = error
            self._fault(HoldReason.EXCEPTION, str(error))
            return
        if self.reason is HoldReason.START:
            self.detail = ""
        self._want_fan()
        self._start_now()

    def _advance(self) -> bool:
        """Ask for the wanted fan, offer the fresh one; tell whether something was started."""
        is_preview = self.phase is Phase.HOLD and self.error is None and not self.options.is_headless
        is_wanted = (self.phase is Phase.CHOOSE or is_preview) and self._desk.needs_request and self._scene is None
        if is_wanted and self._desk.spec is not None and self._look is not None and self._look.frames:
            self._desk.request(
                FanRequest(
                    self._desk.wanted,
                    self._look,
                    self.plan.with_seed(chunk_seed(self.plan.seed, self.episode)),
                    self._gripper,
                    self._helm.commands(self._look, self._gripper),
                    self.world_spec.limits if self.world_spec else None,
                )
            )
            return True
        fan = self._desk.fan
        if self.phase is Phase.CHOOSE and fan and self._is_offering and self._offered != fan.request_id:
            self._offered = fan.request_id
            if turn := self._helm.decide(fan, epoch=self.link.epoch):
                self._execute(turn)
            return True
        return False

    # --- knobs -------------------------------------------------------------------------------------------------------

    def _set_knob(self, command: ev.SetPlan | ev.SetGripper | ev.SetInstruction) -> None:
        # A key that waits was pressed for what was asked before.
        self._helm.latched = None
        match command:
            case ev.SetPlan():
                self._plan = command.plan
            case ev.SetGripper():
                self._gripper = command.gripper
            case ev.SetInstruction():
                self._instruction = command.instruction
                if self.episode is not None:
                    self.episode.instruction = command.instruction
                self.observation = self._worded(self.observation) if self.observation else None
                self._look = self._worded(self._look) if self._look else None
        self._want_fan()

    def _set_helm(self, command: ev.SetDriver | ev.SetPacing) -> None:
        self._helm.latched = None
        if isinstance(command, ev.SetPacing):
            self._helm.pacing = command.pacing
        elif command.driver is not Driver.PERSON and command.driver not in self._helm.choosers:
            self._refuse(f"No {command.driver.value} driver is set up in this session")
            return
        else:
            self._helm.driver = command.driver
        self._want_fan()

    def install(self, driver: Driver, chooser: Chooser) -> None:
        """Let a chooser drive."""
        self._helm.choosers[driver] = chooser
        self._set_helm(ev.SetDriver(driver))

    def set_noise_policy(self, noise_policy: NoisePolicy | str | None) -> None:
        """Put a noise policy (or the path of one) into the coming fans; None removes it."""
        self._desk.set_noise_policy(noise_policy)


def _with_mend(error: Exception, *, is_loading: bool) -> str:
    """Return an error in words; those of libraries name no way out, so one is added."""
    if isinstance(error, FrsError):
        return str(error)
    fix = "Check the policy's options and reconnect" if is_loading else "Resume to ask again, or see the log"
    return f"The policy raised {type(error).__name__}: {str(error).rstrip('.') or 'no words'}. {fix}."
