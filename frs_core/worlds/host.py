"""The control loop inside a world's process: it steps, observes, publishes, and holds when in doubt.

It starts no motion by itself: rows come from the session and carry the hold epoch of the act that picked them, the epoch is read
every tick, and if the session falls silent the remaining rows are dropped. This module imports neither torch nor Qt, so that the
process starts fast and stays small.

Messages are msgpack maps on a pipe. From the session: `reset`, `restore`, `execute`, `show`, `ring`, `close`. To it: `hello`, `ready`,
`scene`, `refused`, `ended`, `tripped`, `failed`. Observations go through the ring.
"""

import signal
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import Any

import msgpack
import numpy as np

from frs_core.arrays import Array
from frs_core.errors import CameraStale, ConfigError, FrsError, StaleAct, WorldError
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.robot.watchdog import CameraLiveness
from frs_core.runtime.faults import keep_faults
from frs_core.runtime.rate import RateLoop
from frs_core.worlds import make_world
from frs_core.worlds.base import World, WorldSpec
from frs_core.worlds.guard import GuardedWorld
from frs_core.worlds.ring import ObservationRing, Word, camera_sizes


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Settings of the control loop; picklable, because they go to a spawned process."""

    session_silence_s: float = 0.5
    """Longest silence of the session while rows are left to execute."""
    idle_hz: float = 4.0
    """Observations per second of an idle simulation, in which nothing moves. A real robot observes at the control rate."""
    keeps_states: bool = True
    """Send the simulator's state at every chunk boundary."""


def serve(name: str, options: Mapping[str, object], pipe: Connection, settings: HostSettings) -> None:
    """Run a world until the session closes it or dies. Entry point of the process.

    Args:
        name: as `make_world` takes it.
        options: the same.
        pipe: to the session.
        settings: of the control loop.
    """
    # Ctrl+C and a closed terminal signal the whole process group; the session closes this process itself, after a hold.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    keep_faults()
    world: World | None = None
    try:
        world = make_world(name, **options)
        host = Host(world, pipe, settings)
        host.shake_hands()
        host.run()
    except (EOFError, BrokenPipeError, ConnectionResetError, _Ended):
        # The session's process has ended, or this one is being terminated: nobody is left to notify.
        if world is not None:
            world.hold()
    except Exception as error:
        _tell(pipe, "failed", text=_words(error))
    finally:
        if world is not None:
            world.close()


class _Ended(BaseException):
    """SIGTERM was received."""


def _end(number: int, frame: object) -> None:
    raise _Ended


class Host:
    """The control loop's state; `shake_hands` once, then `tick` at the control rate."""

    def __init__(self, world: World, pipe: Connection, settings: HostSettings) -> None:
        """Send the facts of the world; nothing moves.

        Args:
            world: not owned.
            pipe: to the session.
            settings: of the control loop.
        """
        self._pipe, self._settings = pipe, settings
        # What is published is shown to a person, whoever drives.
        world.is_watched = True
        self._guard = GuardedWorld(world, epoch=lambda: self._ring.epoch)
        self._spec = world.spec
        self._liveness = CameraLiveness()
        self._rows: deque[Array] = deque()
        self._kind, self._chunk, self._row, self._epoch = ActionKind.EE_DELTA, -1, 0, -1
        """The chunk under way, and the hold epoch of the act that picked it."""
        self._seen_epoch = -1
        """The newest hold epoch that the world has been held for."""
        self._is_open = False
        self._said: str | None = None
        self._look_at = 0.0
        self._first = self._guard.observe()
        cameras = {n: list(s) for n, s in camera_sizes(self._first).items()}
        _tell(pipe, "hello", spec=pack_spec(world.spec), cameras=cameras, display_side=world.display_side)

    def shake_hands(self) -> None:
        """Attach the session's ring and report `ready`.

        Raises:
            WorldError: the first message was another one.
        """
        message = msgpack.unpackb(self._pipe.recv_bytes())
        if message.get("kind") != "ring":
            raise WorldError(f"A world that starts needs its ring first, got '{message.get('kind')}'. Reconnect.")
        side = message["display_side"]
        self._ring = ObservationRing.attach(message["name"], camera_sizes(self._first), display_side=side)
        self._seen_epoch = self._ring.epoch
        self._guard.world.still_here = self._show_life
        _tell(self._pipe, "ready", number=self._ring.publish(self._first, {}))

    def run(self) -> None:
        """Loop until asked to close."""
        rate = RateLoop(self._spec.control_hz)
        try:
            while True:
                late_s = rate.wait()
                words = self._ring.words
                words[Word.RATE_MHZ] = int(np.nan_to_num(rate.hz) * 1000)
                words[Word.JITTER_US] = int(np.nan_to_num(rate.jitter_ms()) * 1000)
                del words
                if not self.tick(late_s):
                    return
        finally:
            self._guard.world.hold()
            self._ring.close()

    def tick(self, late_s: float = 0.0) -> bool:
        """Run one control period; return whether to continue.

        Args:
            late_s: how late the period began, seconds.
        """
        self._show_life()
        if not self._take_messages():
            return False
        self._watch_session()
        try:
            self._check_epoch()
            if self._rows:
                self._step(late_s)
            elif time.monotonic() >= self._look_at and not self._ring.is_full:
                self._publish(self._guard.observe(), {})
        except StaleAct:
            # The hold arrived after this tick had read the epoch.
            self._check_epoch()
        except CameraStale as error:
            self._trip("CAMERA_STALE", str(error))
        except WorldError:
            raise
        except FrsError as error:
            self._trip("ACTION_REFUSED", _words(error))
        except ValueError as error:
            self._trip("EXCEPTION", _words(error))
        return True

    # --- motion -----------------------------------------------------------------------------------------------------

    def _check_epoch(self) -> None:
        """Stop motion that belongs to an older hold epoch."""
        epoch = self._ring.epoch
        if epoch != self._seen_epoch:
            self._seen_epoch = epoch
            self._guard.world.hold()
        if self._is_open and epoch != self._epoch:
            self._stop()

    def _stop(self) -> None:
        self._rows.clear()
        if self._is_open:
            self._end(is_complete=False)

    def _step(self, late_s: float) -> None:
        asked = self._rows.popleft()
        result = self._guard.step(asked, self._kind, epoch=self._epoch)
        note = {
            "chunk": self._chunk,
            "row": self._row,
            "asked": asked.tobytes(),
            "executed": np.asarray(result.executed, dtype=np.float64).tobytes(),
            "clipped": bool(result.clipped),
            "reason": result.reason,
            "overrun_ms": late_s * 1e3,
        }
        self._row += 1
        is_last = not self._rows
        self._publish(self._guard.observe() if is_last else self._guard.glance(), note)
        if is_last and self._is_open:
            self._end(is_complete=True)

    def _end(self, *, is_complete: bool) -> None:
        self._is_open = False
        if is_complete and not self._spec.is_simulated:
            self._guard.world.hold()
        _tell(
            self._pipe,
            "ended",
            chunk=self._chunk,
            rows=self._row,
            complete=is_complete,
            state=self._state(),
            number=int(self._ring.words[Word.LATEST]),
        )

    def _publish(self, observation: Observation, note: Mapping[str, Any]) -> None:
        number = self._ring.publish(observation, note)
        hz = self._settings.idle_hz if self._spec.is_simulated else self._spec.control_hz
        self._look_at = time.monotonic() + 1.0 / hz - 0.001
        if sentence := self._liveness.check(observation):
            self._trip("CAMERA_STALE", sentence, number=number)
        else:
            self._said = None

    def _trip(self, reason: str, sentence: str, *, number: int = 0) -> None:
        """Begin a new hold epoch from this side and report it: once while nothing moves, and whenever it stops a chunk."""
        if self._said == reason and not self._is_open:
            return
        self._said = reason
        self._ring.words[Word.TRIPS] += 1
        self._check_epoch()
        _tell(self._pipe, "tripped", reason=reason, text=sentence, number=number)

    def _show_life(self) -> None:
        self._ring.words[Word.WORLD_NS] = time.monotonic_ns()

    def _watch_session(self) -> None:
        if self._rows and self._ring.is_full:
            # No step may be overwritten before it is read: it would be missing in the recording.
            self._trip("SESSION_SILENT", "The session did not keep up with the arm's steps.")
        silence_s = (time.monotonic_ns() - int(self._ring.words[Word.SESSION_NS])) / 1e9
        if self._rows and silence_s > self._settings.session_silence_s:
            self._trip("SESSION_SILENT", f"The session was silent for {silence_s:.1f} s while the arm moved.")

    # --- messages ---------------------------------------------------------------------------------------------------

    def _take_messages(self) -> bool:
        while self._pipe.poll():
            message: dict[str, Any] = msgpack.unpackb(self._pipe.recv_bytes())
            match message["kind"]:
                case "close":
                    return False
                case "execute":
                    self._execute(message)
                case "show":
                    self._guard.world.show({name: (h, w) for name, (h, w) in message["sizes"].items()})
                case "reset" | "restore":
                    self._set_scene(message)
                case unknown:
                    raise AssertionError(f"The session has no message {unknown!r}.")
        return True

    def _execute(self, message: dict[str, Any]) -> None:
        self._stop()
        self._kind, self._chunk, self._row = ActionKind(message["action"]), message["chunk"], 0
        self._epoch, self._is_open = message["epoch"], True
        self._rows = deque(np.frombuffer(message["rows"]).reshape(message["shape"]))

    def _set_scene(self, message: dict[str, Any]) -> None:
        self._stop()
        ticket, epoch = message["ticket"], message["epoch"]
        try:
            # An earlier hold is handled first: the world is held, and this request is refused.
            self._check_epoch()
            if message["kind"] == "reset":
                observation = self._guard.reset(task=message["task"], seed=message["seed"], epoch=epoch)
            else:
                observation = self._guard.restore(message["state"], epoch=epoch)
        except (ConfigError, StaleAct) as error:
            self._show_life()
            _tell(self._pipe, "refused", ticket=ticket, text=str(error), stale=isinstance(error, StaleAct))
            return
        self._liveness.reset()
        self._said = None
        # A reset may take seconds: silence is counted from its end.
        self._show_life()
        number = self._ring.publish(observation, {"scene": True})
        _tell(self._pipe, "scene", ticket=ticket, state=self._state(), number=number)

    def _state(self) -> bytes | None:
        return self._guard.world.snapshot() if self._settings.keeps_states and self._spec.is_simulated else None


_WORDS = ("example_task", "operator", "remote_operator", "demonstrator", "robot")


def pack_spec(spec: WorldSpec) -> dict[str, object]:
    """Return a world's facts as plain values."""
    return {
        "name": spec.name,
        "cameras": list(spec.cameras),
        "control_hz": float(spec.control_hz),
        "tasks": list(spec.tasks),
        "titles": list(spec.titles),
        "limits": {f.name: _plain(getattr(spec.limits, f.name)) for f in fields(Limits)},
        "options": dict(spec.options),
        "is_simulated": bool(spec.is_simulated),
        "gripper_mm": float(spec.gripper_mm),
        "action_kinds": [k.value for k in spec.action_kinds],
        **{name: getattr(spec, name) for name in _WORDS},
    }


def unpack_spec(packed: Mapping[str, Any]) -> WorldSpec:
    """Return the facts of `pack_spec`."""
    return WorldSpec(
        name=packed["name"],
        cameras=tuple(packed["cameras"]),
        control_hz=packed["control_hz"],
        tasks=tuple(packed["tasks"]),
        titles=tuple(packed["titles"]),
        limits=_unpack_limits(packed["limits"]),
        options=packed["options"],
        is_simulated=packed["is_simulated"],
        gripper_mm=packed["gripper_mm"],
        action_kinds=tuple(ActionKind(k) for k in packed["action_kinds"]),
        **{name: packed[name] for name in _WORDS},
    )


def _unpack_limits(packed: Mapping[str, Any]) -> Limits:
    numbers: dict[str, Any] = {n: np.array(v) if isinstance(v, list) else v for n, v in packed.items()}
    return Limits(**numbers)


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _tell(pipe: Connection, kind: str, **fields: object) -> None:
    pipe.send_bytes(bytes(msgpack.packb({"kind": kind, **fields}) or b""))


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, FrsError) else f"{type(error).__name__}: {error}"
