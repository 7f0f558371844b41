"""The session's mind, without threads: commands and facts go in, snapshots come out.

`handle` takes one command, `tick` collects what world, policy, choosers and writer have done since, applies the table and
asks for what is missing. Nothing waits in here. A live session calls both from its own thread; a headless one in a plain
loop, with a world and a policy that answer at once. That is why what is evaluated is what is driven.

Example, one gated chunk: a pick is taken only while the fresh fan is offered (CHOOSE) -> its first rows go to the world
(MOVING) -> the last row is done: the chunk goes to the writer and a fan is asked for (CHOOSE) -> both are there: offered.
"""

import dataclasses

import numpy as np

from frs_core import events as ev
from frs_core.events import HoldReason, Phase
from frs_core.robot.observation import Observation
from frs_core.session.piloting import Piloting
from frs_core.session.table import Event
from frs_core.worlds import link as wl


class SessionEngine(Piloting):
    """Commands and facts in, snapshots out; used from one thread."""

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring up the world and load the policy."""
        self.link.start()
        self._desk.load()

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

    def close(self) -> None:
        """Stop the world; an open episode stays on disk unfinished, with the rows that were executed, to be recovered."""
        self.link.hold()
        for fact in self.link.poll():
            if isinstance(fact, wl.Stepped):
                self._on_step(fact)
        self._after_chunk = None
        if self._running is not None:
            self._finish_chunk(None)
        self.abandon()
        self.link.close()

    # --- commands ----------------------------------------------------------------------------------------------------

    def handle(self, command: ev.SessionCommand, epoch: int | None = None, *, pressed_ns: int | None = None) -> None:
        """Do what is asked, or refuse it with a notice: an act that is old, or that a hold came after, is not carried out.

        Args:
            command: what is asked.
            epoch: hold epoch it was asked for in; None = the present one.
            pressed_ns: when; None = just now, or it was taken in time and waited in here.
        """
        is_sent, epoch = epoch is not None, self.link.epoch if epoch is None else epoch
        if sentence := self._why_stale(command, epoch, pressed_ns):
            self._refuse(sentence)
            return
        match command:
            case ev.Heartbeat():
                self._watchdog.feed("window")
            case ev.RequestHold():
                self.hold(command.reason, command.detail, is_engaged=is_sent)
            case ev.StartEpisode():
                self._start_episode(command, epoch)
            case ev.Pick():
                self._on_pick(command, epoch)
            case ev.HoldDirection():
                self._hold_direction(command, epoch)
            case ev.Resume():
                self._resume(epoch)
            case ev.EndEpisode():
                self._end_episode(command)
            case ev.UndoChunk():
                self._undo(epoch)
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

    def _why_stale(self, command: ev.SessionCommand, epoch: int, pressed_ns: int | None) -> str | None:
        act = _act_of(command)
        if act is None:
            return None
        # Who drives, and how, may outlive a hold: without a mandate of the present epoch nothing follows from it.
        if epoch != self.link.epoch and not isinstance(command, ev.SetDriver | ev.SetPacing):
            return f"{act} came before the hold and is not done. Press it again"
        age_s = 0.0 if pressed_ns is None else self._clock() - pressed_ns / 1e9
        if age_s > self.options.act_life_s:
            return f"{act} was read {age_s:.1f} s after it was pressed and is not done. Press it again"
        return None

    def _resume(self, epoch: int) -> None:
        if self._is_ending:
            self._refuse("The episode is being ended")
        elif self._running is not None and self.phase is Phase.HOLD:
            self._after_chunk = (ev.Resume(), epoch)
        elif refusal := self._why_not_resume():
            self._refuse(refusal)
        else:
            if self._line is not None:
                self._line.retry()
            self.error, self._mandate = None, epoch
            self._go(Event.RESUMED)
            if self.observation is not None and self.observation.frames:
                self._look = self.observation
            self._want_fan()

    def _why_not_resume(self) -> str | None:
        if self.phase is Phase.FAULT:
            return "Reconnect first"
        if self.phase is not Phase.HOLD:
            return "Nothing to resume: the session does not hold"
        if self.world_spec is None or self._desk.spec is None:
            return f"The {'world' if self.world_spec is None else 'policy'} is still starting"
        if self.episode is None or self._closing is not None:
            return "Start an episode first"
        if self.episode.is_cut_short:
            return "The world was lost in mid-chunk. Go back one chunk, or end the episode"
        return "The scene is still being set" if self._scene is not None else None

    def _reconnect(self) -> None:
        if self.phase is not Phase.FAULT:
            self._refuse("Nothing to reconnect: world and policy are there")
            return
        self.world_spec = self.error = self.observation = None
        self._go(Event.RECONNECTED)
        self.reason, self.detail = HoldReason.START, "Reconnecting"
        self.link.restart()
        if self._desk.spec is None:
            self._desk.load()

    # --- what the world says -----------------------------------------------------------------------------------------

    def _on_fact(self, fact: wl.WorldFact) -> None:
        match fact:
            case wl.Stepped():
                self._on_step(fact)
            case wl.ChunkEnded():
                if self._running is not None and fact.chunk_id == self._running.chunk_id:
                    self._on_chunk_ended(fact)
            case wl.Observed():
                if self._running is None:
                    self._see(fact.observation)
            case wl.SceneSet():
                self._on_scene(fact)
            case wl.Refused():
                self._on_scene_refused(fact)
            case wl.Ready():
                self._on_ready(fact)
            case wl.Tripped():
                self.hold(fact.reason, fact.sentence)
            case wl.Lost():
                self._fault(HoldReason.WORLD_LOST, fact.sentence)

    def _on_chunk_ended(self, fact: wl.ChunkEnded) -> None:
        assert self._running is not None
        seen = len(self._running.steps)
        if fact.rows is not None and fact.rows != seen:
            self.hold(
                HoldReason.EXCEPTION, f"{fact.rows} rows were executed and {seen} reported. The recording lacks some."
            )
        self._finish_chunk(fact.state)

    def _see(self, observation: Observation) -> None:
        """Take the newest observation; on a real robot a waiting fan is remade now and then."""
        self.observation = observation = self._worded(observation)
        is_real = self.world_spec is not None and not self.world_spec.is_simulated
        fan = self._desk.fan
        if is_real and self.phase is Phase.CHOOSE and self._is_offering and fan and not self._helm.is_asking:
            age_s = (observation.captured_ns - fan.observation.captured_ns) / 1e9
            if age_s > self.options.refresh_s and not self._desk.is_pending:
                self._look = observation
                self._desk.renew()

    def _on_ready(self, fact: wl.Ready) -> None:
        self.world_spec, self._has_fitted = fact.spec, False
        self.observation = self._look = self._worded(fact.observation)
        if self.episode is not None and self._state is not None and not self.episode.is_cut_short:
            # The world was lost between two chunks.
            self._restore_scene()
        elif self.episode is not None and fact.spec.is_simulated:
            # Nobody knows the state it was left in, so nothing may go on from here.
            self.episode.is_cut_short = True
        self._check_both()

    # --- time --------------------------------------------------------------------------------------------------------

    def _check_times(self) -> None:
        if self.phase in (Phase.CHOOSE, Phase.MOVING) and (late := self._watchdog.overdue()):
            self._watchdog.disarm("window")
            self.hold(HoldReason.GUI_SILENT, f"No sign of life from the window for {late[1]:.1f} s.")
        if error := self._desk.overdue():
            self.error = error
            stop = self._fault if self._desk.spec is None else self.hold
            stop(HoldReason.INFERENCE_LATE, str(error))
        limit_s = self.options.scene_timeout_s
        if self._scene is not None and self._clock() - self._scene.asked_at > limit_s:
            self._fault(HoldReason.WORLD_LOST, f"The scene was not set within {limit_s:g} s. Reconnect.")
        if sentence := self._helm.overdue():
            self._note(sentence)
        if self._line is not None and (sentence := self._line.overdue()):
            self.hold(HoldReason.DISK, sentence)

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
            is_fan_pending=desk.is_pending and not desk.is_fresh,
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


def _act_of(command: ev.SessionCommand) -> str | None:
    """Return what a command is called if it leads to motion; else None."""
    match command:
        case ev.StartEpisode():
            return "The start"
        case ev.Pick():
            return "The pick"
        case ev.HoldDirection() if command.label is not None:
            return "The held direction"
        case ev.Resume():
            return "Resume"
        case ev.UndoChunk():
            return "Back"
        case ev.SetDriver() if command.driver is not ev.Driver.PERSON:
            return "The change of driver"
        case ev.SetPacing() if command.pacing is ev.Pacing.CONTINUOUS:
            return "The change of pacing"
        case _:
            return None
