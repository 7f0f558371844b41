"""Pass observations from a world's process to the session through shared memory: no images in pipes, and nothing blocks.

A ring of slots, written by one process and read by another. Each slot carries a running number before and after its
content (a sequence lock): a reader that finds two different numbers was overtaken and skips the slot. State and calibration
are a small msgpack map, images raw bytes at fixed places. A block of 64-bit words beside the ring carries heartbeats and
the hold; single aligned words need no lock, so neither side blocks if the other dies.

Example: 16 slots at 15 Hz hold about a second; a reader that polls every 20 ms gets every step, one that paused for two
seconds still gets the newest.
"""

import enum
import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from frs_core.arrays import Array
from frs_core.errors import ConfigError, WorldError
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.worlds.displays import DisplaySlots, display_bytes

SLOTS = 16
BLOB_BYTES = 65536
"""Bytes for state, calibration and `Observation.extra` of one observation."""
_FOR_POLICY = "/policy"
"""Suffix of a camera's name for the image that policies get; no camera's own name has a slash."""
_HEAD = struct.Struct("<qq")
_KEEPS_FILES = Path("/dev/shm")
"""Folder of shared memory on Linux; other systems have none, and memory is not reserved there."""


class Word(enum.IntEnum):
    """The 64-bit words beside the ring."""

    HOLDS = 0
    """How often the session has stopped motion; written by the session alone."""
    TRIPS = 1
    """How often the world has stopped on its own; written by the world alone. HOLDS + TRIPS is the hold epoch."""
    SESSION_NS = 2
    """Last heartbeat of the session, time.monotonic_ns()."""
    WORLD_NS = 3
    """The same of the world."""
    LATEST = 4
    """Number of the newest slot; 0 = none."""
    RATE_MHZ = 5
    """Control rate in thousandths of a hertz."""
    JITTER_US = 6
    """95th percentile of how late ticks begin."""
    READ = 7
    """Number of the newest slot that the session has read; written by the session alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """One slot's content."""

    number: int
    observation: Observation
    note: Mapping[str, Any]
    """Added by the writer: which row of which chunk led to this observation."""


class ObservationRing:
    """One side's view of the shared memory."""

    def __init__(
        self, memory: SharedMemory, cameras: Mapping[str, tuple[int, int]], *, display_side: int, is_owner: bool
    ) -> None:
        """Use `create` or `attach`."""
        self._memory, self._cameras, self._is_owner = memory, dict(cameras), is_owner
        assert memory.buf is not None
        self._buffer = memory.buf
        self._slot_bytes = _slot_bytes(cameras)
        self._is_closed = False
        words = len(Word)
        self.words: NDArray[np.int64] = np.ndarray((words,), dtype=np.int64, buffer=self._buffer)
        self._start = words * 8
        self._displays = DisplaySlots(self._buffer, self._start + SLOTS * self._slot_bytes, side=display_side)

    @classmethod
    def create(cls, cameras: Mapping[str, tuple[int, int]], *, display_side: int = 0) -> "ObservationRing":
        """Return a fresh ring.

        Args:
            cameras: (height, width) of each image, as `camera_sizes` gives them.
            display_side: largest side of a display picture, pixels; 0 = no room for them.
        Raises:
            WorldError: shared memory has no room for it.
        """
        size = len(Word) * 8 + SLOTS * _slot_bytes(cameras) + display_bytes(display_side)
        memory = _new_memory(size)
        try:
            _reserve(memory, size)
        except BaseException:
            memory.close()
            memory.unlink()
            raise
        return cls(memory, cameras, display_side=display_side, is_owner=True)

    @classmethod
    def attach(cls, name: str, cameras: Mapping[str, tuple[int, int]], *, display_side: int = 0) -> "ObservationRing":
        """Return the other side's view of a ring, created with the same sizes."""
        return cls(SharedMemory(name=name), cameras, display_side=display_side, is_owner=False)

    @property
    def name(self) -> str:
        """What `attach` needs."""
        return self._memory.name

    @property
    def is_full(self) -> bool:
        """Whether the next slot would overwrite one that has not been read."""
        return int(self.words[Word.LATEST]) - int(self.words[Word.READ]) >= SLOTS - 3

    @property
    def epoch(self) -> int:
        """The hold epoch. Each word has one writer and only grows, so no hold can be lost between the two sides."""
        return int(self.words[Word.HOLDS]) + int(self.words[Word.TRIPS])

    def publish(self, observation: Observation, note: Mapping[str, Any]) -> int:
        """Write the next slot and return its number.

        Raises:
            WorldError: the observation does not fit the ring.
        """
        if late := set(_images_of(observation)) - set(self._cameras):
            raise WorldError(
                f"Camera '{min(late)}' came after the world had started with {', '.join(sorted(self._cameras)) or 'none'}. "
                f"Reconnect to take it in."
            )
        blob = _pack(observation, note, self._displays)
        if len(blob) > BLOB_BYTES:
            raise WorldError(
                f"An observation's state takes {len(blob)} bytes, the ring has {BLOB_BYTES}. Put less into `extra`."
            )
        number = int(self.words[Word.LATEST]) + 1
        at = self._at(number)
        buffer = self._buffer
        _HEAD.pack_into(buffer, at, -number, len(blob))
        buffer[at + 16 : at + 16 + len(blob)] = blob
        place = at + 16 + BLOB_BYTES
        images = _images_of(observation)
        for name, (height, width) in self._cameras.items():
            image = images.get(name)
            size = height * width * 3
            if image is not None:
                if image.shape != (height, width, 3):
                    raise WorldError(
                        f"Camera '{name}' gave an image of {image.shape}, it began with {(height, width, 3)}. "
                        f"Restart the world."
                    )
                target = np.ndarray((height, width, 3), dtype=np.uint8, buffer=buffer, offset=place)
                target[...] = image
            place += size
        _HEAD.pack_into(buffer, at, number, len(blob))
        self.words[Word.LATEST] = number
        return number

    def read(self, number: int) -> Published | None:
        """Return a copy of a slot, or None if it was overwritten meanwhile."""
        at, buffer = self._at(number), self._buffer
        before, size = _HEAD.unpack_from(buffer, at)
        if before != number:
            return None
        blob = bytes(buffer[at + 16 : at + 16 + size])
        images, place = {}, at + 16 + BLOB_BYTES
        for name, (height, width) in self._cameras.items():
            view = np.ndarray((height, width, 3), dtype=np.uint8, buffer=buffer, offset=place)
            images[name] = view.copy()
            place += height * width * 3
        if _HEAD.unpack_from(buffer, at)[0] != number:
            return None
        observation, note = _unpack(blob, images, self._displays)
        return Published(number, observation, note)

    def since(self, number: int) -> list[Published]:
        """Return the slots after a number, oldest first, as far as they still exist."""
        latest = int(self.words[Word.LATEST])
        first = max(number + 1, latest - SLOTS + 2)
        return [p for p in map(self.read, range(first, latest + 1)) if p is not None]

    def close(self) -> None:
        """Detach from the memory, and free it if it was created here; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        # The mapping cannot be closed while an array still references it.
        self.words = np.zeros(len(Word), dtype=np.int64)
        self._displays.close()
        self._memory.close()
        if self._is_owner:
            self._memory.unlink()

    def _at(self, number: int) -> int:
        return self._start + (number % SLOTS) * self._slot_bytes


def _new_memory(size: int) -> SharedMemory:
    try:
        return SharedMemory(create=True, size=size)
    except OSError as error:
        raise _no_room(size, error) from error


def _reserve(memory: SharedMemory, size: int) -> None:
    """Allocate the memory now: a page that cannot be allocated later kills the process that writes to it, without an error."""
    if not _KEEPS_FILES.is_dir():
        return
    file = os.open(_KEEPS_FILES / memory.name, os.O_RDWR)
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        raise _no_room(size, error) from error
    finally:
        os.close(file)


def _no_room(size: int, error: OSError) -> WorldError:
    free = shutil.disk_usage(_KEEPS_FILES).free if _KEEPS_FILES.is_dir() else None
    has = "" if free is None else f" has {free / 1e6:.1f} MB free"
    return WorldError(
        f"Shared memory{has} and needs {size / 1e6:.1f} MB for the cameras' images ({error.strerror}). Close what fills "
        f"{_KEEPS_FILES}, enlarge it (mount -o remount,size=1G {_KEEPS_FILES}; docker run --shm-size=1g), or use smaller "
        f"images, then reconnect."
    )


def camera_sizes(observation: Observation) -> dict[str, tuple[int, int]]:
    """Return (height, width) of each camera's images; images made for policies only have names of their own."""
    return {n: (image.shape[0], image.shape[1]) for n, image in _images_of(observation).items()}


def _images_of(observation: Observation) -> dict[str, UInt8[Array, "H W 3"]]:
    images = {n: f.image for n, f in observation.frames.items()}
    apart = {f"{n}{_FOR_POLICY}": f.policy_image for n, f in observation.frames.items()}
    return images | {n: image for n, image in apart.items() if image is not None}


def _slot_bytes(cameras: Mapping[str, tuple[int, int]]) -> int:
    size = 16 + BLOB_BYTES + sum(h * w * 3 for h, w in cameras.values())
    return -(-size // 8) * 8


def _pack(observation: Observation, note: Mapping[str, Any], displays: DisplaySlots) -> bytes:
    o = observation
    frames = {
        name: [
            frame.captured_ns,
            None if (c := frame.calibration) is None else _calibration_fields(c),
            frame.policy_image is not None,
            frame.is_glance,
            None if frame.display is None else displays.write(name, frame.display),
        ]
        for name, frame in o.frames.items()
    }
    extra = {}
    for name, value in o.extra.items():
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise ConfigError(f"Observation.extra['{name}'] holds Python objects; give numbers.")
        extra[name] = [array.dtype.str, list(array.shape), array.tobytes()]
    fields: dict[str, Any] = {
        "q": _bytes(o.q),
        "dq": _bytes(o.dq),
        "gripper": float(o.gripper),
        "T": _bytes(o.T_base_tcp),
        "instruction": o.instruction,
        "captured_ns": int(o.captured_ns),
        "step": int(o.step),
        "gripper_command": float(o.gripper_command),
        "success": None if o.success is None else bool(o.success),
        "frames": frames,
        "extra": extra,
        "note": dict(note),
    }
    return bytes(msgpack.packb(fields) or b"")


def _unpack(blob: bytes, images: Mapping[str, Array], displays: DisplaySlots) -> tuple[Observation, Mapping[str, Any]]:
    f = msgpack.unpackb(blob)
    frames = {
        name: CameraFrame(
            images[name],
            captured_ns,
            None if fields is None else _calibration(fields),
            images[f"{name}{_FOR_POLICY}"] if is_apart else None,
            is_glance,
            None if place is None else displays.read(name, place),
        )
        for name, (captured_ns, fields, is_apart, is_glance, place) in f["frames"].items()
    }
    extra = {n: np.frombuffer(raw, dtype=np.dtype(d)).reshape(shape) for n, (d, shape, raw) in f["extra"].items()}
    observation = Observation(
        frames=frames,
        q=np.frombuffer(f["q"]),
        dq=np.frombuffer(f["dq"]),
        gripper=f["gripper"],
        T_base_tcp=np.frombuffer(f["T"]).reshape(4, 4),
        instruction=f["instruction"],
        captured_ns=f["captured_ns"],
        step=f["step"],
        gripper_command=f["gripper_command"],
        success=f["success"],
        extra=extra,
    )
    return observation, f["note"]


def _calibration_fields(c: Calibration) -> list[object]:
    return [_bytes(c.K), _bytes(c.T_base_camera), int(c.width), int(c.height), c.made_at]


def _calibration(fields: list[Any]) -> Calibration:
    K, T, width, height, made_at = fields
    return Calibration(np.frombuffer(K).reshape(3, 3), np.frombuffer(T).reshape(4, 4), width, height, made_at)


def _bytes(array: Array) -> bytes:
    return np.ascontiguousarray(array, dtype=np.float64).tobytes()
