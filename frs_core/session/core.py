"""What every part of the session's engine stands on: its memory, its phase, and the two ways to stop.

The engine is built in layers, each in its own file and each knowing only those below: `core` (memory, phase, hold), `keeping`
(episodes: start, record, undo, end), `piloting` (fans, picks, knobs), `engine` (commands in, facts in, snapshots out). All
of it runs on the session's thread and never waits.
"""

import abc
import dataclasses
import time
from collections.abc import Callable, Mapping

from frs_core import events as ev
from frs_core.choosers.base import Chooser
from frs_core.episodes.records import Recorder
from frs_core.errors import ConfigError
from frs_core.events import Driver, HoldReason, Outcome, Phase
from frs_core.robot.observation import Observation
from frs_core.robot.watchdog import Watchdog
from frs_core.runtime.workers import WorkQueue
from frs_core.session.fans import FanDesk
from frs_core.session.helm import Helm
from frs_core.session.inference import FanMaker
from frs_core.session.options import SessionOptions
from frs_core.session.running import RunningChunk, RunningEpisode
from frs_core.session.table import Event, next_phase
from frs_core.session.writing import RecordLine
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import PolicySpec
from frs_core.worlds import link as wl
from frs_core.worlds.base import WorldSpec

RESTING = (HoldReason.START, HoldReason.EPISODE_END, None)
"""Reasons of a wait that nobody and nothing asked for."""
_WEAK = (HoldReason.OPERATOR, HoldReason.FOCUS_LOST, HoldReason.PAGE_LEFT, HoldReason.GUI_SILENT)
"""Reasons that do not take the place of another one on display."""


@dataclasses.dataclass(frozen=True, slots=True)
class SceneChange:
    """A reset or restore that the world was asked for."""

    ticket: int
    asked_at: float
    cause: ev.SessionCommand
    epoch: int
    """Of the act behind it."""


class SessionCore(abc.ABC):
    """Memory, phase, hold and fault."""

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
        self._has_fitted = False
        """A chunk of this policy has been found to fit this robot since both are there."""
        self._running: RunningChunk | None = None
        self._chunk_ids = self._tickets = 0
        self._scene: SceneChange | None = None
        """A reset or restore under way."""
        self._mandate: int | None = None
        """Hold epoch of the act that lets the present driver go on; None = nobody may."""
        self._after_chunk: tuple[ev.SessionCommand, int] | None = None
        """What is done once the moving chunk has ended, and the hold epoch it was asked for in."""
        self._start_waiting: tuple[ev.StartEpisode, int, float] | None = None
        """A start that waits for world, policy or disk, the hold epoch it was asked for in, and since when."""
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

    @property
    def plan(self) -> SteeringPlan:
        """The operator's settings; until a policy is loaded, the paper's."""
        return self._plan or SteeringPlan()

    @property
    def _late_answers(self) -> int:
        return self._desk.late_answers + self._helm.late_answers

    @property
    def _is_offering(self) -> bool:
        """The present fan is the wanted one and everything before it is journalled: it may be picked from."""
        is_written = self._line is None or self._line.is_idle
        is_free = self._scene is None and self._running is None
        return self._desk.is_fresh and is_written and is_free and self._mandate == self.link.epoch

    # --- phase -------------------------------------------------------------------------------------------------------

    def hold(self, reason: HoldReason, detail: str = "", *, is_engaged: bool = False) -> None:
        """Stop motion and keep the arm where it is; nothing moves until a later act of a person.

        While already holding, the first reason stays unless a fault comes.

        Args:
            reason: shown to the operator.
            detail: the sentence behind it.
            is_engaged: the world was held when this was sent; it is only taken note of.
        """
        if not is_engaged:
            self.link.hold()
        is_idle = self.episode is None and self._scene is None and self._start_waiting is None
        self._call_off()
        is_weak = reason in _WEAK
        # A robot that rests with nothing under way has nothing to hold; it says so only to a person who asks.
        is_told = self.reason not in RESTING or (is_idle and reason is not HoldReason.OPERATOR)
        if self.phase is Phase.FAULT or (self.phase is Phase.HOLD and is_weak and is_told):
            return
        self.counters["holds"] += 1
        self._go(Event.HELD)
        self.reason, self.detail = reason, detail

    def _rest(self, reason: HoldReason, detail: str = "") -> None:
        """Wait without motion: a scene is being set, or an episode has ended. No hold: what was pressed since still counts."""
        self._mandate = None
        self._helm.let_go()
        if self.phase is not Phase.FAULT:
            self._go(Event.HELD)
            self.reason, self.detail = reason, detail

    def _fault(self, reason: HoldReason, detail: str) -> None:
        self.link.hold()
        self._call_off()
        self._go(Event.LOST)
        self.reason, self.detail, self._scene = reason, detail, None
        if self._running is not None:
            if self.episode is not None and self._running.steps:
                self.episode.is_cut_short = True
            self._finish_chunk(None)
        self._forget_sight()

    def _call_off(self) -> None:
        """Withdraw every mandate and whatever waits to become a motion."""
        self._mandate = None
        self._helm.drop_question()
        if self._start_waiting is not None:
            self._start_waiting = None
            self._note("The start that was waiting is called off. Start again")

    def _forget_sight(self) -> None:
        """Offer nothing more of what was seen so far."""
        self._look = None
        self._desk.forget()
        self._want_fan()

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

    def fail(self, error: Exception) -> None:
        """Hold because of an error nobody expected here."""
        self.error = error
        self.hold(HoldReason.EXCEPTION, f"{type(error).__name__}: {error}")

    # --- shared by the layers above ----------------------------------------------------------------------------------

    @abc.abstractmethod
    def handle(self, command: ev.SessionCommand, epoch: int | None = None, *, pressed_ns: int | None = None) -> None:
        """Do what is asked, or refuse it with a notice.

        Args:
            command: what is asked.
            epoch: hold epoch it was asked for in; None = the present one.
            pressed_ns: when; None = just now, or it was taken in time and waited in here.
        """

    @property
    @abc.abstractmethod
    def _is_ending(self) -> bool:
        """The episode ends once the moving chunk has."""

    @abc.abstractmethod
    def _finish_chunk(self, state: bytes | None) -> None:
        """Record the chunk that has ended, wholly or in part, and go on."""

    def _want_fan(self) -> None:
        self._desk.want()
        self._helm.drop_question()

    def _worded(self, observation: Observation) -> Observation:
        """Return the observation with the operator's instruction, if there is one."""
        if self._instruction is None or observation.instruction == self._instruction:
            return observation
        return dataclasses.replace(observation, instruction=self._instruction)

    def _write(self, name: str, call: Callable[[Recorder], str | None]) -> None:
        if self._line is not None and self.episode is not None and self.episode.is_recording:
            self._line.add(name, call)

    def _set_scene(self, cause: ev.SessionCommand, epoch: int) -> int:
        """Note that the world is asked for a scene; return the ticket."""
        self._tickets += 1
        self._scene = SceneChange(self._tickets, self._clock(), cause, epoch)
        return self._tickets

    def _stop_to(self, command: ev.SessionCommand, epoch: int) -> None:
        """End the moving chunk, then do what is asked; a hold that comes meanwhile makes it stale."""
        self.link.hold()
        self._after_chunk = (command, epoch + 1)
        if self._mandate == epoch:
            self._mandate = epoch + 1

    def _refuse(self, sentence: str) -> None:
        self.counters["refused"] += 1
        self._note(sentence)

    def _note(self, sentence: str) -> None:
        self.notice = ((self.notice[0] if self.notice else 0) + 1, sentence)
