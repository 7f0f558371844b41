"""The session's logic, without threads: commands and facts go in, snapshots come out.

`handle` takes one command, `tick` collects what world, policy, choosers and writer have done since and asks for what is missing.
Nothing here waits. A live session calls both from its own thread; a headless one calls them in a plain loop, with a world and a policy
that answer at once. So evaluations and live sessions run the same code.

The engine only dispatches. The `parts` hold the state, `chunk_cycle` handles chunks and `episode_cycle` episodes. Both cycles return what
is to be done next, and the engine does it.

Example, one gated chunk: a pick is taken only while the fresh fan is offered (CHOOSE) -> its first rows go to the world
(MOVING) -> the last row is done: the chunk goes to the writer and a fan is asked for (CHOOSE) -> both are there: offered.
"""

from frs_core import events as ev
from frs_core.choosers.base import Chooser, NoisePolicy
from frs_core.errors import ConfigError, FrsError
from frs_core.events import Driver, HoldReason, Phase
from frs_core.robot.watchdog import Watchdog
from frs_core.session.acts import why_stale
from frs_core.session.checks import check_fit
from frs_core.session.chunk_cycle import ChunkCycle
from frs_core.session.episode_cycle import EpisodeCycle
from frs_core.session.failsafes import problem
from frs_core.session.fans import Answered, Failed
from frs_core.session.inference import Loaded, NoisePolicyLoaded
from frs_core.session.motion import Deferred
from frs_core.session.parts import Parts
from frs_core.session.snapshots import snapshot_of
from frs_core.worlds import link as wl


class SessionEngine:
    """Commands and facts in, snapshots out; used from one thread."""

    def __init__(self, parts: Parts) -> None:
        """Start nothing before `start`.

        Args:
            parts: whatever the session is made of.
        """
        self.parts = parts
        self.chunks, self.episodes = ChunkCycle(parts), EpisodeCycle(parts)
        self._watchdog = Watchdog({"window": parts.options.heartbeat_timeout_s}, clock=parts.clock)

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring up the world and load the policy."""
        self.parts.link.start()
        self.parts.fans.load()

    def tick(self) -> bool:
        """Collect what has happened, act on it, and tell whether anything did."""
        p = self.parts
        was = (p.status.phase, p.late_answers)
        facts, answers, turns, written = p.link.poll(), p.fans.poll(), p.arbiter.poll(), p.keeper.poll()
        for fact in facts:
            self._on_fact(fact)
        for answer in answers:
            self._on_answer(answer)
        for turn in turns:
            self.chunks.take_turn(turn)
        for job, result in written:
            self._do(self.episodes.written(job, result))
        self._check_times()
        self._do(self.chunks.given_up())
        if p.fans.later is not None and p.keeper.episode is None:
            self._load_noise_policy(p.fans.later)
        is_busy = self.chunks.advance()
        return bool(facts or answers or turns or written or is_busy or was != (p.status.phase, p.late_answers))

    def snapshot(self) -> ev.Snapshot:
        """Return everything a view needs, frozen."""
        return snapshot_of(self.parts)

    def abandon(self) -> None:
        """Leave the open episode unfinished, to be recovered, and be ready for another one."""
        self.episodes.abandon()

    def close(self) -> None:
        """Stop the world; an open episode stays on disk unfinished, with the rows that were executed, to be recovered."""
        p = self.parts
        p.link.hold()
        for fact in p.link.poll():
            if isinstance(fact, wl.Stepped):
                self.chunks.step(fact)
        p.motion.then = None
        if p.motion.chunk is not None:
            self._do(self.chunks.finish(None))
        self.abandon()
        p.link.close()

    # --- stops -------------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """What the robot is doing."""
        return self.parts.status.phase

    def hold(self, reason: HoldReason, detail: str = "") -> None:
        """Stop motion and keep the arm where it is; nothing moves until a later act of a person."""
        self.parts.hold(reason, detail)

    def fail(self, error: Exception) -> None:
        """Hold because of an error nobody expected here."""
        self.parts.status.error = error
        self.hold(HoldReason.EXCEPTION, f"{type(error).__name__}: {error}")

    def _fault(self, reason: HoldReason, detail: str) -> None:
        """Stop because world or policy is gone, and keep the rows that were executed."""
        self.parts.fault(reason, detail)
        if self.parts.motion.chunk is not None:
            self._do(self.chunks.finish(None))
        self.parts.forget_sight()

    # --- commands ----------------------------------------------------------------------------------------------------

    def handle(self, command: ev.SessionCommand, epoch: int | None = None, *, pressed_ns: int | None = None) -> None:
        """Do what is asked, or refuse it with a notice: an act that is old, or that a hold came after, is not carried out.

        Args:
            command: what is asked.
            epoch: hold epoch it was asked for in; None = the present one.
            pressed_ns: when; None = just now, or it was taken in time and waited in here.
        """
        p, present = self.parts, self.parts.link.epoch
        is_sent, epoch = epoch is not None, present if epoch is None else epoch
        life_s = p.options.act_life_s
        if sentence := why_stale(command, epoch, pressed_ns, present=present, now_s=p.clock(), life_s=life_s):
            p.status.refuse(sentence)
            return
        match command:
            case ev.Heartbeat():
                self._watchdog.feed("window")
            case ev.RequestHold():
                p.hold(command.reason, command.detail, is_engaged=is_sent)
            case ev.StartEpisode():
                self.episodes.start(command, epoch)
            case ev.Pick():
                self.chunks.pick(command, epoch)
            case ev.HoldDirection():
                p.arbiter.hold(command, epoch)
            case ev.Resume():
                self.episodes.resume(epoch)
            case ev.EndEpisode():
                self._do(self.episodes.end(command, epoch))
            case ev.BackOneChunk():
                self.episodes.go_back(epoch)
            case ev.HandBack():
                if refusal := p.arbiter.hand_back():
                    p.status.refuse(refusal)
            case ev.SetHelp():
                p.arbiter.asks_for_help = command.is_on
            case ev.SetDriver() | ev.SetPacing():
                self._set_driving(command)
            case ev.SetLookAhead():
                p.arbiter.looks_ahead = command.is_on
                if not command.is_on and not p.arbiter.takes_early_picks:
                    p.arbiter.latched = None
            case ev.SetTarget():
                p.motion.target = command.point
            case ev.ShowCameras():
                p.link.show(command.sizes)
            case ev.DropPick():
                p.arbiter.latched = None
            case ev.SetPlan() | ev.SetGripper() | ev.SetInstruction():
                self._set_steering(command)
            case ev.SetFailsafe():
                self._set_failsafe(command)
            case ev.LoadNoisePolicy():
                self._load_noise_policy(command)
            case ev.Reconnect():
                self._reconnect()
            case _:
                p.status.refuse(f"Unknown request {type(command).__name__}")

    def install(self, driver: Driver, chooser: Chooser) -> None:
        """Let a chooser drive."""
        self.parts.arbiter.choosers[driver] = chooser
        self._set_driving(ev.SetDriver(driver))

    def set_noise_policy(self, noise_policy: NoisePolicy | str | None) -> None:
        """Put a noise policy (or the path of one) into the coming fans; None removes it."""
        self.parts.fans.set_noise_policy(noise_policy)
        self.parts.want_fan()

    def _load_noise_policy(self, command: ev.LoadNoisePolicy) -> None:
        p = self.parts
        if command.waits and p.keeper.episode is not None:
            p.fans.later = command
            return
        # A key that waits was pressed for the fan that there was.
        p.arbiter.latched = None
        self.set_noise_policy(command.path)

    def _do(self, then: Deferred | None) -> None:
        """Do what comes next."""
        if then is not None:
            self.handle(then.command, then.epoch)

    def _set_driving(self, command: ev.SetDriver | ev.SetPacing) -> None:
        if refusal := self.parts.arbiter.change(command):
            self.parts.status.refuse(refusal)
        else:
            self.parts.want_fan()

    def _set_steering(self, command: ev.SetPlan | ev.SetGripper | ev.SetInstruction) -> None:
        p = self.parts
        # A key that waits was pressed for what was asked before.
        p.arbiter.latched = None
        match command:
            case ev.SetPlan():
                p.fans.plan = command.plan
            case ev.SetGripper():
                p.fans.gripper = command.gripper
            case ev.SetInstruction():
                p.world.instruct(command.instruction)
                if p.keeper.episode is not None:
                    p.keeper.episode.instruction = command.instruction
        p.want_fan()

    def _set_failsafe(self, command: ev.SetFailsafe) -> None:
        p = self.parts
        refusal = problem(command.option, command.value)
        if not refusal and p.status.phase is not Phase.HOLD:
            refusal = "Limits are set while the robot holds"
        if refusal:
            p.status.refuse(refusal)
        else:
            p.set_limit(command.option, command.value)

    def _reconnect(self) -> None:
        p = self.parts
        if p.status.phase is not Phase.FAULT:
            p.status.refuse("World and policy are already connected")
            return
        p.world.disconnect()
        p.status.reconnect()
        p.link.restart()
        if p.fans.spec is None:
            p.fans.load()

    # --- what world and policy say -----------------------------------------------------------------------------------

    def _on_fact(self, fact: wl.WorldFact) -> None:
        match fact:
            case wl.Stepped():
                self.chunks.step(fact)
            case wl.ChunkEnded():
                self._do(self.chunks.end(fact))
            case wl.Observed():
                if self.parts.motion.chunk is None:
                    self.chunks.look(fact.observation)
            case wl.SceneSet():
                self.episodes.scene_set(fact)
            case wl.Refused():
                self.episodes.scene_refused(fact)
            case wl.Ready():
                self._on_ready(fact)
            case wl.Tripped():
                self.parts.hold(fact.reason, fact.sentence)
            case wl.Lost():
                self._fault(HoldReason.WORLD_LOST, fact.sentence)

    def _on_ready(self, fact: wl.Ready) -> None:
        self.parts.world.connect(fact)
        if self.parts.world.is_real:
            # Whoever asked for it may have taken the robot for a simulator.
            self.parts.arbiter.looks_ahead = False
        self.parts.motion.doubt()
        self.episodes.bring_back()
        self._check_both()

    def _on_answer(self, answer: Answered) -> None:
        p = self.parts
        match answer:
            case Loaded():
                p.motion.doubt()
                self._check_both()
            case NoisePolicyLoaded():
                p.arbiter.shadow = (0, 0)
            case Failed("noise policy"):
                p.status.note(str(answer.error))
            case Failed():
                p.status.error = answer.error
                stop = self._fault if answer.what == "load" else p.hold
                stop(HoldReason.INFERENCE_FAILED, _with_fix(answer.error, is_loading=answer.what == "load"))
            case _:
                # What was suggested about a fan that is renewed is about the old one.
                p.arbiter.drop_question()

    def _check_both(self) -> None:
        """Check that policy and world fit once both are known, then start what waits."""
        p = self.parts
        if p.world.spec is None or p.fans.spec is None or p.world.observation is None:
            return
        try:
            check_fit(p.fans.spec, p.world.spec, p.world.observation)
        except ConfigError as error:
            p.status.error = error
            self._fault(HoldReason.MISFIT, str(error))
            return
        if p.status.reason is HoldReason.START:
            p.status.detail = ""
        p.want_fan()
        self._do(self.episodes.start_waiting())

    def _check_times(self) -> None:
        p = self.parts
        if p.status.phase in (Phase.CHOOSE, Phase.MOVING) and (late := self._watchdog.overdue()):
            self._watchdog.disarm("window")
            p.hold(HoldReason.GUI_SILENT, f"No heartbeat from the window for {late[1]:.1f} s.")
        if error := p.fans.overdue(is_awaited=p.status.phase is not Phase.HOLD):
            p.status.error = error
            stop = self._fault if p.fans.spec is None else p.hold
            stop(HoldReason.INFERENCE_LATE, str(error))
        if sentence := p.world.overdue():
            self._fault(HoldReason.WORLD_LOST, sentence)
        if sentence := p.arbiter.overdue():
            p.status.note(sentence)
        if sentence := p.keeper.overdue():
            p.hold(HoldReason.DISK, sentence)


def _with_fix(error: Exception, *, is_loading: bool) -> str:
    """Return an error in words; those of libraries name no way out, so one is added."""
    if isinstance(error, FrsError):
        return str(error)
    fix = "Check the policy's options and reconnect" if is_loading else "Resume to ask again, or see the log"
    return f"The policy raised {type(error).__name__}: {str(error).rstrip('.') or 'no words'}. {fix}."
