"""The session of a window: commands in by `send`, frozen snapshots out by `latest` or `subscribe`.

One control thread owns the engine; one worker thread has the policy, one the choosers, one the recorder; the world is in its own
process. The world starts and the policy loads in the background.

    session = LiveSession(WorldProcess(...), load_policy, recorder=JournalRecorder(store))
    session.send(ev.StartEpisode("can_on_plate", seed=3))
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from frs_core.choosers.base import Chooser, NoisePolicy
from frs_core.episodes.records import Recorder
from frs_core.errors import WorldError
from frs_core.events import Driver, Phase, SessionCommand, Snapshot
from frs_core.runtime.workers import ThreadWorker
from frs_core.session.engine import SessionEngine
from frs_core.session.inbox import Inbox
from frs_core.session.inference import FanMaker
from frs_core.session.options import SessionOptions
from frs_core.session.parts import Parts
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import PolicySpec
from frs_core.worlds.base import WorldSpec
from frs_core.worlds.link import WorldLink

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy

_BUSY_S, _IDLE_S = 0.005, 0.02
"""Longest pause between two polls of the world, moving and waiting, seconds: well under a control period."""


class LiveSession:
    """Drives one world with one policy, behind threads."""

    def __init__(
        self,
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
    ) -> None:
        """Start the threads.

        Args:
            world: usually a `WorldProcess`; closed with the session.
            policy: a policy, or what makes one, called on the worker's thread.
            recorder: keeps episodes; called on the writer's thread.
            choosers: who picks for SCRIPTED and VLM (and LEARNED, if not simply the learned candidate).
            advisor: votes while a person drives.
            noise_policy: adds the learned candidate; a path is loaded.
            plan: None = the policy's calibrated default.
            options: time-outs and settings.
            load_noise_policy: how `LoadNoisePolicy` reads a path; None = the product's own files.
        """
        self._inbox = Inbox(world)
        self._subscribers: list[Callable[[Snapshot], None]] = []
        self._is_stopping = threading.Event()
        self._maker = FanMaker(policy, load_noise_policy=load_noise_policy)
        self._workers = [
            ThreadWorker(f"frs-{name}", on_answer=self._inbox.wake) for name in ("inference", "chooser", "writer")
        ]
        parts = Parts(
            world,
            self._maker,
            inference=self._workers[0],
            chooser_worker=self._workers[1],
            recorder=recorder,
            writer=self._workers[2],
            choosers=choosers,
            advisor=advisor,
            plan=plan,
            options=options,
        )
        self._engine = engine = SessionEngine(parts)
        self._link = world
        self._latest = engine.snapshot()
        if noise_policy is not None:
            engine.set_noise_policy(noise_policy)
        self._thread = threading.Thread(target=self._run, name="frs-session", daemon=True)
        self._thread.start()

    def send(self, command: SessionCommand) -> bool:
        """Ask for something, from any thread; never waits.

        A hold takes effect on the world at once, before the session has even read it, and whatever was asked for before it and
        would lead to motion is refused, however late it is read. So is an act that is read later than a second
        (`SessionOptions.act_life_s`) after its press.

        Returns:
            False when the queue is full: the command is lost and the world is held; once the session answers again it
            holds too, and says so.
        """
        return self._inbox.put(command)

    def latest(self) -> Snapshot:
        """Return the newest snapshot, from any thread."""
        return self._latest

    @property
    def world_spec(self) -> WorldSpec | None:
        """Facts of the world, from any thread; None before it is up."""
        return self._engine.parts.world.spec

    @property
    def policy_spec(self) -> PolicySpec | None:
        """Facts of the policy, from any thread; None before it is loaded."""
        return self._engine.parts.fans.spec

    @property
    def boundary_state(self) -> bytes | None:
        """The simulator's exact state at the newest chunk boundary, from any thread; None on a real robot."""
        return self._engine.parts.world.boundary_state

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
                f"The session did not reach the requested phase within {timeout_s:g} s: it is in {last.phase.value}. "
                f"{last.detail or (last.hold_reason.value if last.hold_reason else '')}"
            ) from None
        finally:
            end()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop the threads and the world; an open episode stays on disk, to be recovered. Safe to call twice."""
        self._is_stopping.set()
        self._link.hold()
        self._inbox.wake()
        self._thread.join(timeout_s)
        self._maker.cancel()
        for worker in self._workers[::-1]:
            # The writer still has the last chunks, and then to leave the episode as it is.
            worker.close(timeout_s, finishes=worker is self._workers[-1])
        self._workers = []

    def __enter__(self) -> "LiveSession":
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        engine = self._engine
        try:
            engine.start()
        except Exception as error:
            engine.fail(error)
        while not self._is_stopping.is_set():
            pause = _BUSY_S if engine.phase is Phase.MOVING else _IDLE_S
            try:
                has_news = self._inbox.take(engine, pause)
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
        with contextlib.suppress(Exception):
            self._workers[0].submit(0, self._maker.close)

    def _publish(self) -> None:
        self._latest = self._engine.snapshot()
        for callback in tuple(self._subscribers):
            try:
                callback(self._latest)
            except Exception as error:
                # A failed subscriber must not count as a view that shows what happens.
                self._subscribers.remove(callback)
                self._engine.fail(error)
                self._latest = self._engine.snapshot()
