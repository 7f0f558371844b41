"""Pass display pictures from a world's process to the session, beside the ring of observations.

Problem: a picture of the size at which it is shown has megabytes, and the ring keeps sixteen observations so that none is missing in a
recording; display pictures are not recorded. Idea: a few slots of their own, in the same shared memory, used in turn. An observation names
the slot of each of its pictures, with the slot's running number as in the ring; a reader that comes too late gets none, and shows the image
instead. A picture that did not change keeps its slot.

Example: 6 slots of 960 x 960 pixels take 16.6 MB; three cameras that stand still need three of them.
"""

import struct

import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array

SLOTS = 6
_HEAD = struct.Struct("<qq")
"""The slot's number before and after its pixels are written, a sequence lock."""


def display_bytes(side: int) -> int:
    """Return what the slots take for pictures up to a side in pixels; 0 for none."""
    return SLOTS * _slot_bytes(side)


def _slot_bytes(side: int) -> int:
    return -(-(_HEAD.size + side * side * 3) // 8) * 8 if side else 0


class DisplaySlots:
    """One side's view of the slots."""

    def __init__(self, buffer: memoryview, start: int, *, side: int) -> None:
        """Use a part of shared memory.

        Args:
            buffer: the memory.
            start: where the slots begin, bytes.
            side: largest side of a picture, pixels; 0 = there are no slots.
        """
        self._buffer, self._start, self._side = buffer, start, side
        self._number = 0
        """Of the newest picture; counted by the writer."""
        self._known: dict[str, tuple[list[int], UInt8[Array, "H W 3"]]] = {}
        """By camera, the newest picture written or read, with its place."""

    def write(self, camera: str, picture: UInt8[Array, "H W 3"]) -> list[int] | None:
        """Return a picture's place: number, height, width; None where it has no room."""
        height, width = picture.shape[:2]
        if max(height, width) > self._side:
            return None
        place, former = self._known.get(camera, ([0, 0, 0], None))
        if former is picture and place[0] > self._number - SLOTS:
            return place
        self._number += 1
        at = self._at(self._number)
        _HEAD.pack_into(self._buffer, at, -self._number, 0)
        target = np.ndarray((height, width, 3), dtype=np.uint8, buffer=self._buffer, offset=at + _HEAD.size)
        target[...] = picture
        _HEAD.pack_into(self._buffer, at, self._number, 0)
        self._known[camera] = ([self._number, height, width], picture)
        return self._known[camera][0]

    def read(self, camera: str, place: list[int]) -> UInt8[Array, "H W 3"] | None:
        """Return a copy of a picture, the same array for the same place; None if it was overwritten meanwhile."""
        known = self._known.get(camera)
        if known is not None and known[0] == place:
            return known[1]
        number, height, width = place
        at = self._at(number)
        if not self._side or _HEAD.unpack_from(self._buffer, at)[0] != number:
            return None
        view = np.ndarray((height, width, 3), dtype=np.uint8, buffer=self._buffer, offset=at + _HEAD.size)
        picture = view.copy()
        if _HEAD.unpack_from(self._buffer, at)[0] != number:
            return None
        self._known[camera] = (place, picture)
        return picture

    def close(self) -> None:
        """Let go of the memory, which cannot be detached before."""
        self._buffer = memoryview(b"")
        self._known.clear()

    def _at(self, number: int) -> int:
        return self._start + (number % SLOTS) * _slot_bytes(self._side)
