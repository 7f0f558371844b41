"""A session, the link to its world and the world's own loop in one thread, each moved by hand: the real code of all three.

Only the operating system is left out. `HandProcess` stands where the world's process is, with the real `Host` inside, the real
pipe and the real shared memory; `Clock` stands where `time` is. Every request that crosses a layer is noted together with the
hold epoch of that moment, so that a test can say which layer let something through.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from frs_core import events as ev
from frs_core.errors import CameraStale, WorldError
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.session import SessionOptions
from frs_core.session import inbox as inbox_module
from frs_core.session.engine import SessionEngine
from frs_core.session.inbox import Inbox
from frs_core.session.inference import FanMaker
from frs_core.session.parts import Parts
from frs_core.worlds import host as host_module
from frs_core.worlds import process as process_module
from frs_core.worlds.base import StepResult
from frs_core.worlds.host import Host, HostSettings
from frs_core.worlds.process import WorldProcess
from tests.fakes.session import FailingPolicy, FullDisk, HandWorker
from tests.fakes.world import PointWorld


class Clock:
    """Seconds that pass when moved on; stands for the module `time` in inbox, link and host."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One request on its way from layer to layer."""

    layer: str
    """'link', 'guard' or 'world': who was asked."""
    kind: str
    """'execute', 'step', 'reset' or 'restore'."""
    epoch: int
    """Of the act behind it; for the world, that of the moment it was let in."""
    present: int
    """Hold epoch at that moment."""
    detail: object = None


class WatchedWorld(PointWorld):
    """A point world that notes its motions, may be called a robot, and whose cameras can be stale."""

    def __init__(self, note: Callable[[str, object], None], *, is_simulated: bool, seen: Callable[[], None]) -> None:
        self._note: Callable[[str, object], None] = lambda kind, detail: None
        self._seen = seen
        self.is_stale = False
        super().__init__()
        self._note = note
        self.spec = _as(self.spec, is_simulated)
        self._view = super().observe().frames

    def observe(self) -> Observation:
        if self.is_stale:
            raise CameraStale("Camera 'left' gave no fresh frame for 2.0 s. Check its cable and power.")
        self._seen()
        return super().observe()

    def _frame(self, name: str, now: int) -> Any:
        # Images are not what is tested: one that only differs from the last is enough, and carries the time of this look.
        if hasattr(self, "_view"):
            image = self._view[name].image.copy()
            image[0, 0] = self._step % 256
            return type(self._view[name])(image, now, None)
        return super()._frame(name, now)

    def step(self, action: np.ndarray, kind: ActionKind) -> StepResult:
        self._note("step", None)
        return super().step(action, kind)

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        self._note("reset", (task, seed))
        return super().reset(task=task, seed=seed)

    def restore(self, state: bytes) -> Observation:
        self._note("restore", None)
        return super().restore(state)


class HandProcess:
    """Where the world's process would be: alive until killed, moved by `work`."""

    pid, exitcode = 0, None

    def __init__(self, make: Callable[[], WatchedWorld], pipe: Connection, watch: Callable[[Host], None]) -> None:
        self._make, self._pipe, self._watch = make, pipe, watch
        self._is_alive = True
        self._is_greeted = False
        self.world: WatchedWorld | None = None
        self.host: Host | None = None

    def work(self) -> None:
        """Do the next thing the process would do: make the world, shake hands, or one control period."""
        if not self._is_alive:
            return
        try:
            if self.host is None:
                self.world = self._make()
                self.host = Host(self.world, self._pipe, HostSettings())
            elif not self._is_greeted:
                if self._pipe.poll():
                    self.host.shake_hands()
                    self._watch(self.host)
                    self._is_greeted = True
            elif not self.host.tick():
                self.kill()
        except (EOFError, OSError, WorldError):
            self.kill()

    @property
    def is_ready(self) -> bool:
        return self._is_alive and self._is_greeted

    def is_alive(self) -> bool:
        return self._is_alive

    def join(self, timeout: float | None = None) -> None:
        """Nothing to wait for."""

    def terminate(self) -> None:
        self.kill()

    def kill(self) -> None:
        if self._is_alive:
            self._is_alive = False
            self.exitcode = -9
            if self.host is not None and self._is_greeted:
                self.host._ring.close()
            self._pipe.close()

    def close(self) -> None:
        self.kill()


class JoinedLink(WorldProcess):
    """The real link, to a `HandProcess`; notes what it is asked for."""

    def __init__(self, note: Callable[..., None], *, is_simulated: bool, seen: Callable[[], None]) -> None:
        super().__init__("point")
        self._note_crossing = note
        self._is_simulated = is_simulated
        self._seen_by_world = seen
        self.spawned = self.trips = 0
        self.is_believed_ready = False
        """Whether the session, as far as it has been told, has a world to ask."""

    def _spawn(self) -> tuple[Any, Connection]:
        ours, theirs = Pipe()
        self.spawned, self.spawned_ns = self.spawned + 1, time.monotonic_ns()

        def make() -> WatchedWorld:
            def note(kind: str, detail: object) -> None:
                self._note_crossing("world", kind, self._let_in, self.epoch, detail)

            return WatchedWorld(note, is_simulated=self._is_simulated, seen=self._seen_by_world)

        return HandProcess(make, theirs, self._watch), ours

    _let_in = -1

    def _watch(self, host: Host) -> None:
        """Note what reaches the guard, and under which epoch the guard lets it in."""
        guard = host._guard
        trip = host._trip

        def counted(*args: Any, **kwargs: Any) -> None:
            self.trips += host._is_open
            trip(*args, **kwargs)

        host._trip = counted  # type: ignore[method-assign]
        for kind in ("step", "reset", "restore"):
            setattr(guard, kind, self._watched(kind, getattr(guard, kind)))

    def _watched(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: object, epoch: int, **kwargs: object) -> Any:
            self._let_in = epoch
            # What the test itself sends past the host is marked; the host must never do so.
            if not self.is_attacking:
                self._note_crossing("guard", kind, epoch, self.epoch)
            return call(*args, epoch=epoch, **kwargs)

        return asked

    is_attacking = False

    def execute(self, chunk_id: int, rows: np.ndarray, kind: ActionKind, *, epoch: int) -> None:
        if not self.is_attacking:
            self._note_crossing("link", "execute", epoch, self.epoch, self.is_believed_ready)
        super().execute(chunk_id, rows, kind, epoch=epoch)

    def _ask_scene(self, kind: str, ticket: int, **fields: Any) -> None:
        if not self.is_attacking:
            self._note_crossing("link", kind, fields["epoch"], self.epoch, self.is_believed_ready)
        super()._ask_scene(kind, ticket, **fields)


class JoinedSession:
    """Session, link and host, moved by hand; time passes when told."""

    def __init__(self, *, is_simulated: bool = True, pacing: ev.Pacing = ev.Pacing.GATED, driver: ev.Driver) -> None:
        self.clock = Clock()
        self._times = (inbox_module.time, host_module.time, process_module.time)
        inbox_module.time = host_module.time = process_module.time = self.clock  # type: ignore[assignment]
        self.crossings: list[Crossing] = []
        self.looks_ns: list[int] = []
        self.link = JoinedLink(
            lambda *c: self.crossings.append(Crossing(*c)),
            is_simulated=is_simulated,
            seen=lambda: self.looks_ns.append(time.monotonic_ns()),
        )
        self.policy, self.recorder = FailingPolicy(), FullDisk()
        self.workers = {name: HandWorker() for name in ("inference", "chooser", "writer")}
        from frs_core.choosers.scripted import SequenceChooser

        script = SequenceChooser(["left/more", "up/more", "right/more"] * 400)
        self.parts = parts = Parts(
            self.link,
            FanMaker(self.policy),
            inference=self.workers["inference"],
            chooser_worker=self.workers["chooser"],
            recorder=self.recorder,
            writer=self.workers["writer"],
            choosers={ev.Driver.SCRIPTED: script},
            options=SessionOptions(pacing=pacing, driver=driver),
            clock=self.clock.monotonic,
        )
        self.engine = SessionEngine(parts)
        self._session_holds = 0
        self.session_at = self.clock.now
        """When the session last showed that it is alive."""
        for name in ("hold", "fault"):
            setattr(parts, name, self._counted(getattr(parts, name)))
        self._watch_belief(parts.world, "connect", True)
        self._watch_belief(parts, "fault", False)
        self.inbox = Inbox(self.link)
        self.engine.start()
        self.inbox.take(self.engine, 0.0)

    def _watch_belief(self, owner: object, name: str, is_ready: bool) -> None:
        call = getattr(owner, name)

        def watched(*args: object, **kwargs: object) -> None:
            self.link.is_believed_ready = is_ready
            call(*args, **kwargs)

        setattr(owner, name, watched)

    def _counted(self, call: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: object, is_engaged: bool = False, **kwargs: object) -> None:
            self._session_holds += not is_engaged
            call(*args, **kwargs, **({"is_engaged": True} if is_engaged else {}))

        return counted

    @property
    def own_holds(self) -> int:
        """How often the session has held or failed by itself, and the world stopped a chunk by itself."""
        return self._session_holds + self.link.trips

    @property
    def process(self) -> HandProcess | None:
        return self.link._process

    def send(self, command: ev.SessionCommand) -> None:
        """As a view does: stamped and queued, a hold written at once."""
        self.inbox.put(command)

    def work_session(self) -> None:
        """One turn of the session's thread."""
        try:
            self.inbox.take(self.engine, 0.0)
            self.session_at = self.clock.now
            self.engine.tick()
        except Exception as error:
            self.engine.fail(error)

    def work_world(self) -> None:
        """One turn of the world's process."""
        if self.process is not None:
            self.process.work()

    def work_all(self, turns: int = 1) -> None:
        """Everybody does a little, time passes a control period each."""
        for _ in range(turns):
            for worker in self.workers.values():
                worker.work()
            self.work_session()
            self.work_world()
            self.clock.now += 1 / 15

    def close(self) -> None:
        """Free pipe and shared memory, give the modules their time back."""
        try:
            self.engine.close()
            if self.process is not None:
                self.process.kill()
        finally:
            inbox_module.time, host_module.time, process_module.time = self._times


def _as(spec: Any, is_simulated: bool) -> Any:
    import dataclasses

    return dataclasses.replace(spec, is_simulated=is_simulated)
