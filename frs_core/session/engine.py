"""The session's mind, without threads: commands and facts go in, snapshots come out.

`handle` takes one command, `tick` collects what world, policy, choosers and writer have done since, applies the table and
asks for what is missing. Nothing waits in here. A live session calls both from its own thread; a headless one in a plain
loop, with a world and a policy that answer at once. That is why what is evaluated is what is driven.

Example, one gated chunk: a pick is taken only while the fresh fan is offered (CHOOSE) -> its first rows go to the world
(MOVING) -> the last row is done: the chunk goes to the writer and a fan is asked for (CHOOSE) -> both are there: offered.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping

import numpy as np

from frs_core import events as ev
from frs_core.choosers.base import Chooser, NoisePolicy
from frs_core.errors import ConfigError
from frs_core.events import Driver, HoldReason, Outcome, Phase
from frs_core.observation import Observation
from frs_core.policies.base import PolicySpec
from frs_core.recording import Recorder
from frs_core.safety import Limits
from frs_core.session.checks import check_fit, chunk_seed, meta_of
from frs_core.session.fans import Answered, Failed, FanDesk
from frs_core.session.helm import Helm, Turn
from frs_core.session.inference import FanMaker, FanRequest, Loaded, NoisePolicyLoaded
from frs_core.session.options import SessionOptions
from frs_core.session.running import RunningChunk, RunningEpisode
from frs_core.session.table import Event, next_phase
from frs_core.session.writing import RecordLine, WriteJob
from frs_core.steering import SteeringPlan
from frs_core.watchdog import Watchdog
from frs_core.workers import Answer, WorkQueue
from frs_core.worlds import link as wl
from frs_core.worlds.base import WorldSpec


class SessionEngine:
    """Phases, fans, picks, episodes; used from one thread."""

    def __init__(
        self,
        world: wl.WorldLink,
        maker: FanMaker,
        *,
        inference: WorkQueue,
        chooser_worker: WorkQueue,
        recorder: Recorder | None,
        writer: WorkQueue,
        choosers: Mapping[Driver, Chooser] | None = None,
        advisor: Chooser | None = None,
        plan: SteeringPlan | None = None,
        options: SessionOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wire the parts; nothing starts before `start`.

        Args:
            world: link to the world.
            maker: makes fans; its methods run as jobs of `inference`.
            inference: worker of the policy.
            chooser_worker: worker of the choosers, which may be slow.
            recorder: keeps episodes; None records nothing.
            writer: worker of the recorder.
            choosers: who picks for a driver; LEARNED has one already.
            advisor: votes while a person drives.
            plan: steering settings; None = the policy's calibrated default.
            options: patience and habits.
            clock: seconds, monotonic.
        """
        self.options = o = options or SessionOptions()
        self.link, self._clock = world, clock
        self._desk = FanDesk(
            maker, inference, timeout_s=o.inference_timeout_s, first_timeout_s=o.first_timeout_s, clock=clock
        )
        self._helm = Helm(
            chooser_worker,
            choosers=choosers or {},
            advisor=advisor,
            driver=o.driver,
            pacing=o.pacing,
            timeout_s=o.chooser_timeout_s,
            is_headless=o.is_headless,
            has_full_fan=o.has_full_fan,
            clock=clock,
        )
        self._line = RecordLine(recorder, writer, timeout_s=o.write_timeout_s, clock=clock) if recorder else None
        self._watchdog = Watchdog({"window": o.heartbeat_timeout_s}, clock=clock)

        self.phase = Phase.HOLD
        self.reason: HoldReason | None = HoldReason.START
        self.detail = "Waiting for world and policy"
        self.error: Exception | None = None
        self.notice: tuple[int, str] | None = None
        self.counters = dict.fromkeys(("picks", "corrections", "refused", "holds", "episodes", "chunks", "steps"), 0)
        self._plan, self._gripper, self._latency = plan, o.gripper, ev.Latency()

        self.world_spec: WorldSpec | None = None
        self.observation: Observation | None = None
        self._look: Observation | None = None
        """What the wanted fan is made from: the newest chunk boundary."""
        self._state: bytes | None = None
        """Simulator state at that boundary."""
        self._instruction: str | None = None

        self.episode: RunningEpisode | None = None
        self.ended: list[RunningEpisode] = []
        """Labelled episodes that nobody has taken note of yet; only filled headless."""
        self.chunk_limit: tuple[int, Outcome] | None = None
        """Headless: after so many chunks the episode ends with that outcome."""
        self._running: RunningChunk | None = None
        self._chunk_ids = self._tickets = 0
        self._scene: tuple[int, float, ev.SessionCommand] | None = None
        """Ticket, time and cause of a reset or restore under way."""
        self._after_chunk: ev.SessionCommand | None = None
        self._start_waiting: ev.StartEpisode | None = None
        self._closing: ev.EndEpisode | None = None
        self._offered = 0

    @property
    def boundary_state(self) -> bytes | None:
        """The simulator's state at the newest chunk boundary."""
        return self._state

    @property
    def policy_spec(self) -> PolicySpec | None:
        """Facts of the policy; None before it is loaded."""
        return self._desk.spec

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring up the world and load the policy."""
        self.link.start()
        self._desk.load()

    def handle(self, command: ev.SessionCommand) -> None:
        """Do what is asked, or refuse it with a notice."""
        match command:
            case ev.Heartbeat():
                self._watchdog.feed("window")
            case ev.RequestHold():
                self.hold(command.reason, command.detail)
            case ev.StartEpisode():
                self._start_episode(command)
            case ev.Pick():
                self._on_pick(command)
            case ev.HoldDirection():
                self._helm.held = command if command.label is not None else None
                self._offered = 0 if self._helm.held and self._helm.takes_early_picks else self._offered
            case ev.Resume():
                self._resume()
            case ev.EndEpisode():
                self._end_episode(command)
            case ev.UndoChunk():
                self._undo()
            case ev.SetDriver() | ev.SetPacing():
                self._set_helm(command)
            case ev.SetPlan() | ev.SetGripper() | ev.SetInstruction():
                self._set_knob(command)
            case ev.LoadNoisePolicy():
                self.set_noise_policy(command.path)
            case ev.Reconnect():
                self._reconnect()
            case _:
                self._refuse(f"Unknown request {type(command).__name__}")

    def tick(self) -> bool:
        """Collect what has happened, act on it, and tell whether anything did."""
        was = (self.phase, self._late_answers)
        facts, answers, turns = self.link.poll(), self._desk.poll(), self._helm.poll()
        written = self._line.poll() if self._line else []
        for fact in facts:
            self._on_fact(fact)
        for answer in answers:
            self._on_answer(answer)
        for turn in turns:
            self._on_turn(turn)
        for job, result in written:
            self._on_written(job, result)
        self._check_times()
        is_busy = self._advance()
        return bool(facts or answers or turns or written or is_busy or was != (self.phase, self._late_answers))

    def install(self, driver: Driver, chooser: Chooser) -> None:
        """Let a chooser drive."""
        self._helm.choosers[driver] = chooser
        self._set_helm(ev.SetDriver(driver))

    def set_noise_policy(self, noise_policy: NoisePolicy | str | None) -> None:
        """Put a noise policy (or the path of one) into the coming fans; None removes it."""
        self._desk.set_noise_policy(noise_policy)

    def fail(self, error: Exception) -> None:
        """Hold because of an error nobody expected here."""
        self.error = error
        self.hold(HoldReason.EXCEPTION, f"{type(error).__name__}: {error}")

    def abandon(self) -> None:
        """Leave the open episode unfinished, to be recovered, and be ready for another one."""
        self.link.hold()
        self._helm.let_go()
        if self._line is not None and self.episode is not None and self.episode.is_recording:
            self._line.abandon()
        self.episode = self._running = self._scene = self._closing = self._after_chunk = self._start_waiting = None

    def close(self) -> None:
        """Stop the world; an open episode stays on disk unfinished, to be recovered."""
        self.abandon()
        self.link.close()

    # --- phases -----------------------------------------------------------------------------------------------------

    def hold(self, reason: HoldReason, detail: str = "") -> None:
        """Stop motion and keep the arm where it is. While already holding, the first reason stays unless a fault comes."""
        self.link.hold()
        self._helm.let_go()
        is_weak = reason in (HoldReason.OPERATOR, HoldReason.FOCUS_LOST, HoldReason.GUI_SILENT)
        if self.phase is Phase.FAULT or (self.phase is Phase.HOLD and is_weak):
            return
        self.counters["holds"] += 1
        self._go(Event.HELD)
        self.reason, self.detail = reason, detail

    def _fault(self, reason: HoldReason, detail: str) -> None:
        self.link.hold()
        self._helm.let_go()
        self._go(Event.LOST)
        self.reason, self.detail, self._scene = reason, detail, None
        if self._running is not None:
            if self.episode is not None and self._running.steps:
                self.episode.is_cut_short = True
            self._finish_chunk(None)

    def _go(self, event: Event) -> None:
        phase = next_phase(self.phase, event)
        if phase is None:
            raise ConfigError(
                f"The session got '{event.value}' while in {self.phase.value}, which its table does not know. "
                f"Report this as a bug."
            )
        self.phase = phase
        if phase in (Phase.CHOOSE, Phase.MOVING):
            self.reason, self.detail = None, ""

    def _resume(self) -> None:
        if self._running is not None and self.phase is Phase.HOLD:
            self._after_chunk = ev.Resume()
        elif refusal := self._why_not_resume():
            self._refuse(refusal)
        else:
            if self._line is not None:
                self._line.retry()
            self.error = None
            self.link.release()
            self._go(Event.RESUMED)
            if self.observation is not None and self.observation.frames:
                self._look = self.observation
            self._want_fan()

    def _why_not_resume(self) -> str | None:
        if self.phase is Phase.FAULT:
            return "Reconnect first"
        if self.phase is not Phase.HOLD:
            return "Nothing to resume: the session does not hold"
        if self.episode is None or self._closing is not None:
            return "Start an episode first"
        if self.episode.is_cut_short:
            return "The world was lost in mid-chunk. Go back one chunk, or end the episode"
        return "The scene is still being set" if self._scene is not None else None

    def _reconnect(self) -> None:
        if self.phase is not Phase.FAULT:
            self._refuse("Nothing to reconnect: world and policy are there")
            return
        self.world_spec = self.error = None
        self._go(Event.RECONNECTED)
        self.reason, self.detail = HoldReason.START, "Reconnecting"
        self.link.restart()
        if self._desk.spec is None:
            self._desk.load()

    # --- episodes ---------------------------------------------------------------------------------------------------

    def _start_episode(self, order: ev.StartEpisode) -> None:
        episode = self.episode
        if self.phase is Phase.FAULT:
            self._refuse("Reconnect first")
        elif self._closing is not None or self.world_spec is None or self._desk.spec is None:
            self._start_waiting = order
        elif self._running is not None or (episode is not None and episode.line and episode.is_recording):
            self._refuse("Label or discard the running episode first")
        else:
            if episode is not None:
                self._write("end", lambda r: r.end(Outcome.DISCARDED))
            self.episode = self.error = None
            self.hold(HoldReason.START, "Setting the scene")
            self._set_scene(order)
            self.link.reset(self._tickets, task=order.task, seed=order.seed)

    def _begin(self, order: ev.StartEpisode, observation: Observation) -> None:
        """Open the episode whose first observation has just arrived."""
        assert self.world_spec is not None
        assert self._desk.spec is not None
        self.counters["episodes"] += 1
        self.episode = RunningEpisode(
            order,
            self.counters["episodes"],
            observation.instruction,
            is_recording=self._line is not None and not order.practice,
            trail=[observation.p_tcp.copy()],
        )
        meta = meta_of(
            self.world_spec,
            self._desk.spec,
            observation,
            order=order,
            plan=self.plan,
            operator=self.options.operator,
            noise_policy=self._desk.noise_policy,
        )
        self._write("begin", lambda r: r.begin(meta))
        self._helm.begin(observation)

    def _end_episode(self, command: ev.EndEpisode) -> None:
        if self.episode is None:
            self._refuse("No episode is running")
        elif self._running is not None:
            self._after_chunk = command
            self.link.hold()
        else:
            self._scene, self._closing = None, command
            self.hold(HoldReason.EPISODE_END, "Keeping the episode" if self.episode.is_recording else "")
            if self._line is None or not self.episode.is_recording:
                self._closed()
            else:
                self._line.drop("end")
                self._line.retry()
                self._write("end", lambda r: r.end(command.outcome, command.note))

    def _closed(self) -> None:
        """Forget the episode that is labelled and kept."""
        assert self._closing is not None
        assert self.episode is not None
        self.episode.outcome = self._closing.outcome
        if self.options.is_headless:
            self.ended.append(self.episode)
        self.episode = self._closing = self._instruction = None
        self._go(Event.ENDED)
        if self.phase is Phase.HOLD:
            self.reason, self.detail = HoldReason.EPISODE_END, ""
        self._start_now()

    def _start_now(self) -> None:
        order, self._start_waiting = self._start_waiting, None
        if order is not None:
            self._start_episode(order)

    def _undo(self) -> None:
        episode = self.episode
        if self._running is not None:
            self._after_chunk = ev.UndoChunk()
            self.link.hold()
        elif episode is None or self._closing is not None or self.phase is Phase.FAULT:
            self._refuse("No episode is running" if episode is None else "Reconnect first")
        elif not episode.line:
            self._refuse("This is the start of the episode")
        elif (state := episode.line[-1].state) is None:
            self._refuse("Only a simulation can go back")
        elif self._scene is not None:
            self._refuse("The scene is still being set")
        else:
            self._desk.forget()
            self._helm.let_go()
            self._set_scene(ev.UndoChunk())
            self.link.restore(self._tickets, state)

    def _set_scene(self, cause: ev.SessionCommand) -> None:
        self._tickets += 1
        self._scene = (self._tickets, self._clock(), cause)

    # --- picks ------------------------------------------------------------------------------------------------------

    def _on_pick(self, pick: ev.Pick) -> None:
        is_early = self.phase is Phase.MOVING or (self.phase is Phase.CHOOSE and not self._is_offering)
        if is_early and self._helm.takes_early_picks:
            self._helm.latched = pick
        elif self.phase is Phase.CHOOSE and not is_early:
            self._execute(Turn(pick))
        else:
            said = {
                Phase.HOLD: "The robot holds. Resume first" if self.episode else "Start an episode first",
                Phase.FAULT: "Reconnect first",
                Phase.CHOOSE: "The fan is still being made",
            }
            self._refuse(said.get(self.phase, "The robot is still moving"))

    def _on_turn(self, turn: Turn | Exception) -> None:
        if isinstance(turn, Exception):
            self.error = turn
            self.hold(HoldReason.EXCEPTION, f"The {self._helm.driver.value} driver failed: {turn}")
        elif self.phase is Phase.CHOOSE and self._is_offering:
            self._execute(turn)

    @property
    def _is_offering(self) -> bool:
        """The present fan is the wanted one and everything before it is journalled: it may be picked from."""
        is_written = self._line is None or self._line.is_idle
        return self._desk.is_fresh and is_written and self._scene is None and self._running is None

    def _execute(self, turn: Turn) -> None:
        fan, pick, timing = self._desk.fan, turn.pick, self.link.timing
        assert fan is not None
        assert self._desk.spec is not None
        if pick.label not in fan:
            self._refuse(f"'{pick.label}' is not in the fan")
            return
        now = time.monotonic_ns()
        is_correction = pick.by is Driver.PERSON and self._helm.driver is not Driver.PERSON
        self._latency = dataclasses.replace(
            self._latency,
            steer_ms=fan.steer_ms,
            pick_ms=(now - pick.pressed_ns) / 1e6 if pick.pressed_ns else float("nan"),
            loop_hz=timing.hz,
            jitter_ms=timing.jitter_ms,
        )
        self.counters["picks"] += 1
        self.counters["corrections"] += is_correction
        self._chunk_ids += 1
        self._helm.drop_question()
        self._helm.latched = None
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
        self.link.execute(self._chunk_ids, rows, self._desk.spec.action_space.kind)

    # --- what the world says ----------------------------------------------------------------------------------------

    def _on_fact(self, fact: wl.WorldFact) -> None:
        match fact:
            case wl.Stepped():
                self._on_step(fact)
            case wl.ChunkEnded():
                if self._running is not None and fact.chunk_id == self._running.chunk_id:
                    self._finish_chunk(fact.state)
            case wl.Observed():
                if self._running is None:
                    self._see(fact.observation)
            case wl.SceneSet():
                self._on_scene(fact)
            case wl.Refused() if self._scene is not None and fact.ticket == self._scene[0]:
                self._scene = None
                self.hold(HoldReason.START, fact.sentence)
                self._note(fact.sentence)
            case wl.Ready():
                self._on_ready(fact)
            case wl.Tripped():
                self.hold(fact.reason, fact.sentence)
            case wl.Lost():
                self._fault(HoldReason.WORLD_LOST, fact.sentence)

    def _see(self, observation: Observation) -> None:
        """Take the newest observation; on a real robot a waiting fan is remade now and then."""
        self.observation = observation = self._worded(observation)
        is_real = self.world_spec is not None and not self.world_spec.is_simulated
        fan = self._desk.fan
        if is_real and self.phase is Phase.CHOOSE and self._is_offering and fan and not self._helm.is_asking:
            age_s = (observation.captured_ns - fan.observation.captured_ns) / 1e9
            if age_s > self.options.refresh_s:
                self._look = observation
                self._want_fan()

    def _on_step(self, fact: wl.Stepped) -> None:
        running, episode = self._running, self.episode
        self.observation = observation = self._worded(fact.observation)
        if running is None or episode is None or fact.chunk_id != running.chunk_id:
            return
        running.add(fact, observation)
        episode.trail.append(observation.p_tcp.copy())
        episode.steps += 1
        self.counters["steps"] += 1
        episode.success_seen |= bool(observation.success)
        if observation.success and self.options.ends_on_success and self._after_chunk is None:
            self._after_chunk = ev.EndEpisode(Outcome.SUCCESS)
            self.link.hold()

    def _finish_chunk(self, state: bytes | None) -> None:
        """Record the chunk that has ended, wholly or in part, and go on."""
        running, episode = self._running, self.episode
        assert running is not None
        self._running, self._state = None, state
        if episode is not None and running.steps:
            parent = episode.parent
            index = episode.push(running.candidate.label, running.state, steps=len(running.steps))
            self.counters["chunks"] += 1
            if episode.is_recording:
                record = running.record(index=index, parent=parent)
                self._write("chunk", lambda r: r.chunk(record))
        self._go(Event.CHUNK_DONE)
        self._look = self.observation
        self._want_fan()
        then, self._after_chunk = self._after_chunk, None
        if then is None and episode is not None and self.chunk_limit and len(episode.line) >= self.chunk_limit[0]:
            then = ev.EndEpisode(self.chunk_limit[1])
        if then is not None:
            self.handle(then)

    def _on_scene(self, fact: wl.SceneSet) -> None:
        if self._scene is None or fact.ticket != self._scene[0]:
            return
        cause, self._scene, self._state = self._scene[2], None, fact.state
        if isinstance(cause, ev.StartEpisode):
            self._instruction = cause.instruction
        self.observation = self._look = self._worded(fact.observation)
        if isinstance(cause, ev.StartEpisode):
            self._begin(cause, self.observation)
            self.link.release()
            self._go(Event.SCENE_SET)
        elif isinstance(cause, ev.UndoChunk) and self.episode is not None:
            undone = self.episode.pop()
            self._write("undo", lambda r: r.undo(undone.index))
            if self.phase is Phase.CHOOSE:
                self.link.release()
        self._want_fan()

    def _on_ready(self, fact: wl.Ready) -> None:
        self.world_spec = fact.spec
        self.observation = self._look = self._worded(fact.observation)
        if self.episode is not None and self._state is not None and not self.episode.is_cut_short:
            # The world was lost between two chunks: bring the scene back to where it was, and wait for Resume.
            self._set_scene(ev.Resume())
            self.link.restore(self._tickets, self._state)
        self._check_both()

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

    # --- what policy and writer say ---------------------------------------------------------------------------------

    def _on_answer(self, answer: Answered) -> None:
        match answer:
            case Loaded():
                self._plan = self._plan or answer.plan
                self._check_both()
            case ev.Fan():
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
                stop(HoldReason.INFERENCE_FAILED, str(answer.error) or type(answer.error).__name__)

    def _write(self, name: str, call: Callable[[Recorder], str | None]) -> None:
        if self._line is not None and self.episode is not None and self.episode.is_recording:
            self._line.add(name, call)

    def _on_written(self, job: WriteJob, answer: Answer) -> None:
        if answer.error is not None:
            self.error = answer.error
            if self._closing is not None and self._line is not None:
                # The operator says again how it ends once there is room; until then the episode is open.
                self._line.drop("end")
                self._closing = None
            self.hold(HoldReason.DISK, str(answer.error) or type(answer.error).__name__)
        elif job.name == "begin" and isinstance(answer.value, str) and self.episode is not None:
            self.episode.name = answer.value
        elif job.name == "end" and self._closing is not None:
            self._closed()

    # --- time -------------------------------------------------------------------------------------------------------

    def _check_times(self) -> None:
        if self.phase in (Phase.CHOOSE, Phase.MOVING) and (late := self._watchdog.overdue()):
            self._watchdog.disarm("window")
            self.hold(HoldReason.GUI_SILENT, f"No sign of life from the window for {late[1]:.1f} s.")
        if error := self._desk.overdue():
            self.error = error
            stop = self._fault if self._desk.spec is None else self.hold
            stop(HoldReason.INFERENCE_LATE, str(error))
        limit_s = self.options.scene_timeout_s
        if self._scene is not None and self._clock() - self._scene[1] > limit_s:
            self._fault(HoldReason.WORLD_LOST, f"The scene was not set within {limit_s:g} s. Reconnect.")
        if sentence := self._helm.overdue():
            self._note(sentence)
        if self._line is not None and (sentence := self._line.overdue()):
            self.hold(HoldReason.DISK, sentence)

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
                    Limits.of(self.world_spec) if self.world_spec else None,
                )
            )
            return True
        fan = self._desk.fan
        if self.phase is Phase.CHOOSE and fan and self._is_offering and self._offered != fan.request_id:
            self._offered = fan.request_id
            if turn := self._helm.decide(fan):
                self._execute(turn)
            return True
        return False

    # --- small things -----------------------------------------------------------------------------------------------

    @property
    def plan(self) -> SteeringPlan:
        """The operator's settings; until a policy is loaded, the paper's."""
        return self._plan or SteeringPlan()

    @property
    def _late_answers(self) -> int:
        return self._desk.late_answers + self._helm.late_answers

    def _want_fan(self) -> None:
        self._desk.want()
        self._helm.drop_question()

    def _worded(self, observation: Observation) -> Observation:
        """Return the observation with the operator's instruction, if there is one."""
        if self._instruction is None or observation.instruction == self._instruction:
            return observation
        return dataclasses.replace(observation, instruction=self._instruction)

    def _set_knob(self, command: ev.SetPlan | ev.SetGripper | ev.SetInstruction) -> None:
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
        if isinstance(command, ev.SetPacing):
            self._helm.pacing = command.pacing
        elif command.driver is not Driver.PERSON and command.driver not in self._helm.choosers:
            self._refuse(f"No {command.driver.value} driver is set up in this session")
            return
        else:
            self._helm.driver = command.driver
        self._want_fan()

    def _refuse(self, sentence: str) -> None:
        self.counters["refused"] += 1
        self._note(sentence)

    def _note(self, sentence: str) -> None:
        self.notice = ((self.notice[0] if self.notice else 0) + 1, sentence)

    def snapshot(self) -> ev.Snapshot:
        """Return everything a view needs, frozen."""
        episode, running, timing, desk, helm = self.episode, self._running, self.link.timing, self._desk, self._helm
        return ev.Snapshot(
            phase=self.phase,
            hold_reason=self.reason,
            detail=self.detail,
            driver=helm.driver,
            pacing=helm.pacing,
            observation=self.observation,
            fan=desk.fan,
            is_fan_stale=desk.fan is not None and not self._is_offering,
            is_fan_pending=desk.is_pending,
            picked=running.candidate.label if running else None,
            chunk_row=len(running.steps) if running else 0,
            chunk_rows=running.rows if running else 0,
            plan=self.plan,
            gripper=self._gripper,
            episode=episode.status() if episode else ev.EpisodeStatus(),
            latency=dataclasses.replace(self._latency, loop_hz=timing.hz, jitter_ms=timing.jitter_ms),
            trail=np.array(episode.trail) if episode else np.zeros((0, 3)),
            noise_policy=desk.noise_policy,
            suggestion=helm.suggestion,
            counters={**self.counters, "late_answers": self._late_answers},
            notice=self.notice,
        )
