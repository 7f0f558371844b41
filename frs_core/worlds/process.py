"""Run a world in its own process, with an interpreter and a GL context of its own, and images in shared memory.

The session sends requests and polls; nothing here waits for the other side. `hold` writes one word that the world reads every tick;
requests go only to a world that is ready. A world that died or fell silent becomes `Lost`, and `restart` starts a new one.

    link = WorldProcess("tabletop", {"task": "mug_on_plate"})
    session = LiveSession(link, lambda: load_policy("tabletop"))
"""

import contextlib
import multiprocessing as mp
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import msgpack
import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import WorldError
from frs_core.events import HoldReason
from frs_core.robot.actions import ActionKind
from frs_core.worlds.base import StepResult, WorldSpec
from frs_core.worlds.host import HostSettings, serve, unpack_spec
from frs_core.worlds.link import (
    ChunkEnded,
    LoopTiming,
    Lost,
    Observed,
    Ready,
    Refused,
    SceneSet,
    Stepped,
    Tripped,
    WorldFact,
    WorldLink,
)
from frs_core.worlds.mail import Mail
from frs_core.worlds.ring import ObservationRing, Published, Word

_AGAIN = "Reconnect to start it again."


SILENCE_S = 2.0
"""Longest silence of a running world. Guess; 30 of its ticks."""
BUSY_S = 10.0
"""How much longer a simulation may be silent while it computes: on a loaded machine an image takes seconds, and nothing real moves
meanwhile. Guess."""
BUSY_SHARE = 0.02
"""Share of a processor from which a process computes; one that hangs uses less, and so would one on a machine with load 50."""


class WorldProcess(WorldLink):
    """Link to a world that `make_world` builds in a spawned process."""

    def __init__(
        self,
        name: str,
        options: Mapping[str, object] | None = None,
        *,
        settings: HostSettings | None = None,
        start_timeout_s: float = 120.0,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Describe the world; `start` starts it.

        Args:
            name: as `make_world` takes it.
            options: the same; plain values.
            settings: of the control loop.
            start_timeout_s: longest start, seconds.
            silence_s: longest silence of the running world before it is lost, seconds.
        """
        self._name, self._options = name, dict(options or {})
        self._settings = settings or HostSettings()
        self._start_timeout_s, self._silence_s = start_timeout_s, silence_s
        self._process: Any = None
        self._mail: Mail | None = None
        self._ring: ObservationRing | None = None
        self._spec: WorldSpec | None = None
        self._read = 0
        self._started_at = 0.0
        self._is_ready = self._is_setting = False
        self._sizes: dict[str, tuple[int, int]] = {}
        """At which cameras are shown."""
        self._refused: list[WorldFact] = []
        """Answers to requests that came while no world was ready."""
        self._use: tuple[float, float, float] | None = None
        """For a simulation that is silent: its last sign of life, a later time, and the processor time used until then, seconds."""
        self._holds = 0
        """Number of holds of this link, over all its worlds; the ring has a copy for the world to read."""
        self._hold_lock = threading.Lock()

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Spawn the process."""
        self._process, pipe = self._spawn()
        self._mail = Mail(pipe)
        self._started_at = time.monotonic()
        self._is_ready = self._is_setting = False
        self._read = 0
        self._refused.clear()

    def _spawn(self) -> tuple[Any, Connection]:
        """Start a world's process; return it and the pipe to it."""
        context = mp.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(self._name, self._options, theirs, self._settings), name=f"frs-world-{self._name}"
        )
        process.daemon = True
        process.start()
        theirs.close()
        return process, ours

    def restart(self) -> None:
        """Stop whatever is left and spawn again, in a new hold epoch."""
        self._tear_down(grace_s=0.0)
        self.hold()
        self.start()

    def close(self) -> None:
        """Ask the world to end, then terminate it."""
        if self._mail is not None:
            self._tell("close")
        self._tear_down(grace_s=2.0)

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def _tear_down(self, *, grace_s: float) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.join(grace_s)
            for stop in (process.terminate, process.kill):
                if process.is_alive():
                    stop()
                    process.join(1.0)
            if not process.is_alive():
                process.close()
            # Otherwise the kernel is still ending it (a busy machine, a driver); it is a daemon and nothing waits for it.
        self._close_mail()
        with self._hold_lock:
            self._holds = self._present_epoch()
            if self._ring is not None:
                self._ring.close()
            self._ring = None
        self._is_ready = False

    # --- requests ---------------------------------------------------------------------------------------------------

    def reset(self, ticket: int, *, task: str | None, seed: int, epoch: int) -> None:
        """Request the start of a task."""
        self._ask_scene("reset", ticket, task=task, seed=seed, epoch=epoch)

    def restore(self, ticket: int, state: bytes, *, epoch: int) -> None:
        """Request the state of a snapshot."""
        self._ask_scene("restore", ticket, state=state, epoch=epoch)

    def _ask_scene(self, kind: str, ticket: int, **fields: object) -> None:
        if not self._is_ready:
            self._refused.append(Refused(ticket, f"The world '{self._name}' is not there yet."))
            return
        self._is_setting = True
        self._tell(kind, ticket=ticket, **fields)

    def execute(self, chunk_id: int, rows: Float[Array, "E a"], kind: ActionKind, *, epoch: int) -> None:
        """Send the rows, stamped with the hold epoch of the act that picked them."""
        if not self._is_ready:
            self._refused.append(ChunkEnded(chunk_id, False, None))
            return
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        self._tell(
            "execute", chunk=chunk_id, rows=rows.tobytes(), shape=list(rows.shape), action=kind.value, epoch=epoch
        )

    def show(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Send the sizes now, and to each world that is started after this one."""
        self._sizes = dict(sizes)
        if self._is_ready:
            self._tell("show", sizes=self._sizes)

    @property
    def epoch(self) -> int:
        """The hold epoch; callable from any thread."""
        with self._hold_lock:
            return self._present_epoch()

    def hold(self) -> int:
        """Write the hold word; callable from any thread."""
        with self._hold_lock:
            self._holds += 1
            if self._ring is not None:
                self._ring.words[Word.HOLDS] = self._holds
            return self._present_epoch()

    def _present_epoch(self) -> int:
        return self._holds + (int(self._ring.words[Word.TRIPS]) if self._ring is not None else 0)

    @property
    def timing(self) -> LoopTiming:
        """Rate and jitter that the control loop reports."""
        if self._ring is None or not self._is_ready:
            return LoopTiming()
        words = self._ring.words
        return LoopTiming(float(words[Word.RATE_MHZ]) / 1e3, float(words[Word.JITTER_US]) / 1e3)

    # --- facts ------------------------------------------------------------------------------------------------------

    def poll(self) -> list[WorldFact]:
        """Return what happened since the last call."""
        refused, self._refused = self._refused, []
        if self._process is None:
            return refused
        if self._ring is not None:
            self._ring.words[Word.SESSION_NS] = time.monotonic_ns()
        messages = self._receive()
        # Messages are sent after the observations they refer to, and were read first: none of those is missing here.
        facts: list[tuple[int, int, WorldFact]] = []
        for message in messages:
            fact = self._fact_of(message)
            if fact is not None:
                facts.append((message.get("number") or self._newest(), 1, fact))
        if self._ring is not None and self._is_ready:
            for published in self._ring.since(self._read):
                self._took(published.number)
                if fact := _fact_of_slot(published):
                    facts.append((published.number, 0, fact))
        facts.sort(key=lambda f: f[:2])
        found = refused + [fact for _, _, fact in facts]
        if not any(isinstance(f, Lost) for f in found) and (lost := self._why_lost()):
            found.append(Lost(lost))
        if any(isinstance(f, Lost) for f in found):
            self._tear_down(grace_s=0.0)
        return found

    def _took(self, number: int) -> None:
        """Let the world reuse the slots up to a number."""
        assert self._ring is not None
        self._read = max(self._read, number)
        self._ring.words[Word.READ] = self._read

    def _receive(self) -> list[dict[str, Any]]:
        if self._mail is None:
            return []
        try:
            messages = self._mail.take()
        except (EOFError, OSError):
            # The other end is closed; `_why_lost` finds out why.
            self._close_mail()
            return []
        with contextlib.suppress(OSError):
            self._mail.flush()
        return [msgpack.unpackb(message) for message in messages]

    def _close_mail(self) -> None:
        if self._mail is not None:
            self._mail.close()
        self._mail = None

    def _fact_of(self, message: dict[str, Any]) -> WorldFact | None:
        read: dict[str, Callable[[dict[str, Any]], WorldFact | None]] = {
            "hello": self._on_hello,
            "ready": self._on_ready,
            "scene": self._on_scene,
            "refused": self._on_refused,
            "ended": lambda m: ChunkEnded(m["chunk"], m["complete"], m["state"], m["rows"]),
            "tripped": lambda m: Tripped(HoldReason[m["reason"]], m["text"]),
            "failed": lambda m: Lost(m["text"]),
        }
        return read[message["kind"]](message)

    def _on_hello(self, message: dict[str, Any]) -> WorldFact | None:
        self._spec = unpack_spec(message["spec"])
        with self._hold_lock:
            try:
                self._ring, side = _make_ring(
                    {n: (s[0], s[1]) for n, s in message["cameras"].items()}, message["display_side"]
                )
            except WorldError as error:
                # No room in shared memory; a new start may find some.
                return Lost(str(error))
            self._ring.words[Word.SESSION_NS] = time.monotonic_ns()
            self._ring.words[Word.HOLDS] = self._holds
        self._tell("ring", name=self._ring.name, display_side=side)
        return None

    def _on_ready(self, message: dict[str, Any]) -> WorldFact | None:
        assert self._ring is not None
        assert self._spec is not None
        self._is_ready = True
        if self._sizes:
            self.show(self._sizes)
        self._took(message["number"])
        first = self._ring.read(message["number"]) or self._ring.read(self._newest())
        return Ready(self._spec, first.observation) if first is not None else None

    def _on_scene(self, message: dict[str, Any]) -> WorldFact:
        assert self._ring is not None
        self._is_setting = False
        published = self._ring.read(message["number"])
        if published is None:
            return Lost("The scene's first observation was overwritten before it was read. Reconnect.")
        return SceneSet(message["ticket"], published.observation, message["state"])

    def _on_refused(self, message: dict[str, Any]) -> WorldFact:
        self._is_setting = False
        return Refused(message["ticket"], message["text"], message["stale"])

    def _why_lost(self) -> str | None:
        process = self._process
        if not process.is_alive():
            code = process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
            return f"The world '{self._name}' {how}. {_AGAIN}"
        now = time.monotonic()
        if self._mail is not None and self._mail.kept_s > self._silence_s:
            return f"The world '{self._name}' did not read what it was asked for {self._mail.kept_s:.1f} s and was stopped. {_AGAIN}"
        if not self._is_ready:
            if now - self._started_at > self._start_timeout_s:
                return f"The world '{self._name}' did not start within {self._start_timeout_s:g} s. Check its options."
            return None
        assert self._ring is not None
        heard = int(self._ring.words[Word.WORLD_NS]) / 1e9
        if self._is_setting or not heard or now - heard <= self._silence_s / 2 or self._is_busy(heard, now):
            return None
        if now - heard > self._silence_s:
            return f"The world '{self._name}' was silent for {now - heard:.1f} s and was stopped. {_AGAIN}"
        return None

    def _is_busy(self, heard: float, now: float) -> bool:
        """Whether a simulation computes while it is silent, or may do so: that is known half the silence after the first look."""
        if self._spec is None or not self._spec.is_simulated or now - heard > self._silence_s + BUSY_S:
            return False
        if self._use is None or self._use[0] != heard:
            self._use = (heard, now, self._used_s())
        _, since, used_s = self._use
        return now - since < self._silence_s / 2 or self._used_s() - used_s > BUSY_SHARE * (now - since)

    def _used_s(self) -> float:
        """Return the processor time that the process has used, seconds."""
        import psutil

        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            return times.user + times.system
        return 0.0

    def _newest(self) -> int:
        return int(self._ring.words[Word.LATEST]) if self._ring is not None else 0

    def _tell(self, kind: str, **fields: object) -> None:
        if self._mail is not None:
            # A process that has ended may have sent the reason; that is read first.
            with contextlib.suppress(OSError):
                self._mail.put(bytes(msgpack.packb({"kind": kind, **fields}) or b""))


def _make_ring(cameras: Mapping[str, tuple[int, int]], display_side: int) -> tuple[ObservationRing, int]:
    """Return a ring and the largest display picture it takes, pixels: none where shared memory has room for the images alone."""
    try:
        return ObservationRing.create(cameras, display_side=display_side), display_side
    except WorldError:
        if not display_side:
            raise
        return ObservationRing.create(cameras), 0


def _fact_of_slot(published: Published) -> WorldFact | None:
    note = published.note
    if "scene" in note:
        return None
    if "chunk" not in note:
        return Observed(published.observation)
    result = StepResult(np.frombuffer(note["executed"]), note["clipped"], note["reason"])
    asked = np.frombuffer(note["asked"])
    return Stepped(note["chunk"], note["row"], asked, result, published.observation, note["overrun_ms"])
