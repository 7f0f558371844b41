"""The session that others use: live behind threads, or headless in a plain loop. Both run the same `SessionEngine`.

Live, for a view: commands in by `send`, frozen snapshots out by `latest` or `subscribe`. One control thread owns the engine;
one worker thread has the policy, one the choosers, one the recorder; the world is in its own process.

Headless, for evaluation and scripts, nothing waits and nothing sleeps:

    session = Session.inline(world, policy, recorder=MemoryRecorder())
    result = session.run_episode(PolicyChooser(), task="reach_left", seed=3, max_chunks=20)
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frs_core import events as ev
from frs_core.choosers.base import Chooser, NoisePolicy
from frs_core.errors import ConfigError, WorldError
from frs_core.events import Driver, HoldReason, Outcome, Phase, SessionCommand, Snapshot
from frs_core.plan import SteeringPlan
from frs_core.policy_spec import PolicySpec
from frs_core.recording import Recorder
from frs_core.session.engine import SessionEngine
from frs_core.session.inference import FanMaker
from frs_core.session.options import SessionOptions
from frs_core.session.running import RunningEpisode
from frs_core.workers import InlineWorker, ThreadWorker
from frs_core.worlds.base import World, WorldSpec
from frs_core.worlds.link import InlineLink, WorldLink

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy

QUEUE_SIZE = 256
"""Commands that may wait; a view sends a few per second and a heartbeat."""
_BUSY_S, _IDLE_S = 0.005, 0.02
"""Longest pause between two looks at the world, moving and waiting, seconds: well under a control period."""


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """How a headless episode went."""

    success: bool
    chunks: int
    """Executed chunks."""
    steps: int
    """Executed control steps."""
    task: str | None
    seed: int
    seconds: float
    """Wall time."""
    picks: tuple[str, ...]
    """Label of every executed chunk."""
    name: str = ""
    """The recorder's name for it; empty when not recorded."""


class Session:
    """Drives one world with one policy."""

    def __init__(self, engine: SessionEngine, *, is_live: bool) -> None:
        """Use `live` or `inline` instead."""
        self._engine = engine
        self._is_live = is_live
        self._commands: queue.Queue[tuple[SessionCommand, int] | None] = queue.Queue(QUEUE_SIZE)
        """What is asked, and the hold epoch it was asked for in."""
        self._latest = engine.snapshot()
        self._subscribers: list[Callable[[Snapshot], None]] = []
        self._is_stopping = threading.Event()
        self._has_dropped = threading.Event()
        """A command found the queue full; the robot must not go on as if it had not been given."""
        self._thread: threading.Thread | None = None
        self._link: WorldLink = engine.link
        self._workers: list[ThreadWorker] = []
        self._maker: FanMaker | None = None

    # --- live -------------------------------------------------------------------------------------------------------

    @classmethod
    def live(
        cls,
        world: WorldLink,
        policy: "FlowPolicy | Callable[[], FlowPolicy]",
        *,
        recorder: Recorder | None = None,
        choosers: Mapping[Driver, Chooser] | None = None,
        advisor: Chooser | None = None,
        noise_policy: NoisePolicy | str | None = None,
        plan: SteeringPlan | None = None,
        options: SessionOptions | None = None,
        load_noise_policy: "Callable[[str, FlowPolicy], NoisePolicy] | None" = None,
    ) -> "Session":
        """Return a session with its threads running; the world starts and the policy loads in the background.

        Args:
            world: usually a `WorldProcess`; closed with the session.
            policy: a policy, or what makes one, called on the worker's thread.
            recorder: keeps episodes; called on the writer's thread.
            choosers: who picks for SCRIPTED and VLM (and LEARNED, if not simply the learned candidate).
            advisor: votes while a person drives.
            noise_policy: adds the learned candidate; a path is loaded.
            plan: None = the policy's calibrated default.
            options: patience and habits.
            load_noise_policy: how `LoadNoisePolicy` reads a path; None = the product's own files.
        """
        box: list[Session] = []

        def wake() -> None:
            if box:
                box[0]._wake()

        maker = FanMaker(policy, load_noise_policy=load_noise_policy)
        workers = [ThreadWorker(f"frs-{name}", on_answer=wake) for name in ("inference", "chooser", "writer")]
        engine = SessionEngine(
            world,
            maker,
            inference=workers[0],
            chooser_worker=workers[1],
            recorder=recorder,
            writer=workers[2],
            choosers=choosers,
            advisor=advisor,
            plan=plan,
            options=options,
        )
        session = cls(engine, is_live=True)
        session._workers, session._maker = workers, maker
        box.append(session)
        if noise_policy is not None:
            engine.set_noise_policy(noise_policy)
        session._thread = threading.Thread(target=session._run, name="frs-session", daemon=True)
        session._thread.start()
        return session

    def send(self, command: SessionCommand) -> bool:
        """Ask for something, from any thread; never waits.

        A hold takes effect on the world at once, before the session has even read it, and whatever was asked for before it and
        would lead to motion is refused, however late it is read.

        Returns:
            False when the queue is full: the command is lost and the world is held; once the session answers again it
            holds too, and says so.
        """
        epoch = self._link.hold() if isinstance(command, ev.RequestHold) else self._link.epoch
        try:
            self._commands.put_nowait((command, epoch))
        except queue.Full:
            self._link.hold()
            self._has_dropped.set()
            return False
        return True

    def latest(self) -> Snapshot:
        """Return the newest snapshot, from any thread."""
        return self._latest

    @property
    def world_spec(self) -> WorldSpec | None:
        """Facts of the world, from any thread; None before it is up."""
        return self._engine.world_spec

    @property
    def policy_spec(self) -> PolicySpec | None:
        """Facts of the policy, from any thread; None before it is loaded."""
        return self._engine.policy_spec

    @property
    def boundary_state(self) -> bytes | None:
        """The simulator's exact state at the newest chunk boundary, from any thread; None on a real robot."""
        return self._engine.boundary_state

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with every snapshot, on the session's thread; return what ends it.

        The callback must return at once (post to your own thread).
        """
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    def wait_for(self, condition: Callable[[Snapshot], bool], *, timeout_s: float) -> Snapshot:
        """Return the first snapshot that meets a condition; for scripts and tests.

        Raises:
            WorldError: none did in time.
        """
        found: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
        end = self.subscribe(lambda s: found.put(s) if condition(s) else None)
        try:
            if condition(self._latest):
                return self._latest
            return found.get(timeout=timeout_s)
        except queue.Empty:
            last = self._latest
            raise WorldError(
                f"The session did not get there within {timeout_s:g} s: it is in {last.phase.value}. "
                f"{last.detail or (last.hold_reason.value if last.hold_reason else '')}"
            ) from None
        finally:
            end()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop the threads and the world; an open episode stays on disk, to be recovered. Safe to call twice."""
        self._is_stopping.set()
        self._link.hold()
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None
        elif not self._is_live:
            self._engine.close()
        if self._workers and self._maker is not None:
            self._maker.cancel()
        for worker in self._workers[::-1]:
            # The writer still has the last chunks, and then to leave the episode as it is.
            worker.close(timeout_s, finishes=worker is self._workers[-1])
        self._workers = []

    def __enter__(self) -> "Session":
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _wake(self) -> None:
        with contextlib.suppress(queue.Full):
            self._commands.put_nowait(None)

    def _run(self) -> None:
        engine = self._engine
        try:
            engine.start()
        except Exception as error:
            engine.fail(error)
        while not self._is_stopping.is_set():
            pause = _BUSY_S if engine.phase is Phase.MOVING else _IDLE_S
            try:
                has_news = self._take_commands(pause)
                if engine.tick() or has_news:
                    self._publish()
            except Exception as error:
                engine.fail(error)
                with contextlib.suppress(Exception):
                    self._publish()
        try:
            engine.close()
        except Exception as error:
            engine.fail(error)
        if self._workers and self._maker is not None:
            with contextlib.suppress(Exception):
                self._workers[0].submit(0, self._maker.close)

    def _take_commands(self, pause_s: float) -> bool:
        has_news = False
        try:
            item = self._commands.get(timeout=pause_s)
            while True:
                if item is not None:
                    self._engine.handle(*item)
                    has_news |= not isinstance(item[0], ev.Heartbeat)
                item = self._commands.get_nowait()
        except queue.Empty:
            pass
        if self._has_dropped.is_set():
            self._has_dropped.clear()
            has_news = True
            if self._engine.phase is not Phase.FAULT:
                self._engine.hold(HoldReason.EXCEPTION, "The session was stuck, and requests to it were lost.")
        return has_news

    def _publish(self) -> None:
        self._latest = self._engine.snapshot()
        for callback in tuple(self._subscribers):
            try:
                callback(self._latest)
            except Exception as error:
                # Whoever does not see any more what happens must not be taken for a view that does.
                self._subscribers.remove(callback)
                self._engine.fail(error)
                self._latest = self._engine.snapshot()

    # --- headless ---------------------------------------------------------------------------------------------------

    @classmethod
    def inline(
        cls,
        world: World,
        policy: "FlowPolicy",
        *,
        plan: SteeringPlan | None = None,
        noise_policy: NoisePolicy | None = None,
        recorder: Recorder | None = None,
        step_images: bool | None = None,
        snapshots: bool | None = None,
        full_fan: bool | None = None,
        operator: str = "",
    ) -> "Session":
        """Return a session without threads or clocks, for `run_episode`.

        Args:
            world: in this process; its owner closes it.
            policy: the generalist; its owner closes it.
            plan: None = the policy's calibrated default.
            noise_policy: adds the learned candidate.
            recorder: keeps episodes.
            step_images: look with all cameras after every step; None = only when recording.
            snapshots: keep simulator states at chunk boundaries; None = only when recording.
            full_fan: compute all directed candidates, not only what the chooser asks for; None = only when
                recording, so that what was offered can be reviewed.
            operator: stored with episodes.
        """
        is_recording = recorder is not None
        is_full = is_recording if full_fan is None else full_fan
        link = InlineLink(
            world,
            step_images=is_recording if step_images is None else step_images,
            snapshots=is_recording if snapshots is None else snapshots,
        )
        options = SessionOptions(
            operator=operator, driver=Driver.SCRIPTED, is_headless=True, has_full_fan=is_full, ends_on_success=True
        )
        engine = SessionEngine(
            link,
            FanMaker(policy),
            inference=InlineWorker(),
            chooser_worker=InlineWorker(),
            recorder=recorder,
            writer=InlineWorker(),
            plan=plan,
            options=options,
            # Nothing is ever late in here, however slow it is.
            clock=lambda: 0.0,
        )
        session = cls(engine, is_live=False)
        engine.start()
        if noise_policy is not None:
            engine.set_noise_policy(noise_policy)
        session._settle()
        return session

    def run_episode(
        self,
        chooser: Chooser,
        *,
        task: str | None,
        seed: int = 0,
        max_chunks: int,
        instruction: str | None = None,
        plan: SteeringPlan | None = None,
        keep_failures: bool = True,
    ) -> EpisodeResult:
        """Run one episode to success or to `max_chunks`, and return how it went.

        Args:
            chooser: picks; None from it lets the policy act.
            task: a task of the world.
            seed: which scene, and the policy's noises.
            max_chunks: give up after as many.
            instruction: overrides the task's own words.
            plan: other steering settings from here on.
            keep_failures: record failed episodes as failures; False discards them.
        Raises:
            FrsError: whatever held the session: unknown task, failed inference, full disk.
        """
        if self._is_live:
            raise ConfigError("run_episode needs Session.inline; a live session is driven by `send`.")
        engine, started = self._engine, time.perf_counter()
        engine.install(chooser.driver, chooser)
        if plan is not None:
            engine.handle(ev.SetPlan(plan))
        engine.chunk_limit = (max_chunks, Outcome.FAILURE if keep_failures else Outcome.DISCARDED)
        engine.handle(ev.StartEpisode(task, seed, instruction))
        try:
            ended = self._run_to_end()
        except BaseException:
            engine.abandon()
            raise
        return EpisodeResult(
            success=ended.outcome is Outcome.SUCCESS,
            chunks=len(ended.line),
            steps=ended.steps,
            task=task,
            seed=seed,
            seconds=time.perf_counter() - started,
            picks=tuple(boundary.label for boundary in ended.line),
            name=ended.name,
        )

    def _run_to_end(self) -> RunningEpisode:
        engine = self._engine
        while not engine.ended:
            is_busy = engine.tick()
            if engine.error is not None:
                raise engine.error
            if not is_busy and not engine.ended:
                said = engine.detail or (engine.notice[1] if engine.notice else "nothing is left to do")
                raise ConfigError(f"The episode cannot go on: {said}")
        return engine.ended.pop()

    def _settle(self) -> None:
        """Let world and policy come up."""
        while self._engine.tick():
            pass
        if self._engine.error is not None:
            raise self._engine.error
