"""The journal of an unfinished episode: what is on disk the moment a chunk is done.

Problem: a crash in the middle of an episode must lose at most the chunk in motion, and a full disk nothing. Idea: one
append-only file, `magic, (length, CRC-32, msgpack)*`. Each record is written in one go and synced; a reader stops at the
first record that is cut off or does not match its CRC, so everything before it is whole.

Example: a journal of begin + 3 chunks cut off in the middle of the third reads as begin + 2 chunks, `is_torn` true.

Used by the writer's thread; reading on any thread.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frs_core.episodes import packing
from frs_core.errors import EpisodeCorrupt

MAGIC = b"FRSJRNL1"
_HEAD = struct.Struct("<II")
CUT_OFF = "is cut off"
"""Part of the damage text when the file just ends too early, as after a crash."""
MAX_RECORD = 1 << 30
"""Bytes; a longer length field is damage, not data."""


def frame_record(record: dict[str, Any]) -> bytes:
    """Return a record as it stands in the file."""
    payload = packing.pack(record)
    if len(payload) > MAX_RECORD:
        raise ValueError(f"journal record of {len(payload)} bytes")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


class JournalFile:
    """An open journal; appends are all or nothing."""

    def __init__(self, path: Path) -> None:
        """Create the file. Raises OSError (also when it exists already)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._end = 0
        try:
            self._append(MAGIC)
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, framed: bytes) -> None:
        """Write and sync one framed record.

        Raises:
            OSError: the disk refused; the file still ends with the record before, and the same call may be repeated.
        """
        self._append(framed)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        view, at = memoryview(data), self._end
        try:
            while view:
                n = os.pwrite(self._fd, view, at)
                view, at = view[n:], at + n
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._end = at


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What a journal holds up to its first damage."""

    records: tuple[dict[str, Any], ...]
    is_torn: bool
    """Whether something unreadable follows."""
    damage: str
    """What was wrong there; empty when whole."""


def read_journal(path: Path) -> JournalContent:
    """Return the whole records of a journal.

    Raises:
        EpisodeCorrupt: the file cannot be read or is no journal.
    """
    records: list[dict[str, Any]] = []
    damage = ""
    try:
        for item in _scan(path):
            if isinstance(item, str):
                damage = item
                break
            records.append(item)
    except OSError as error:
        raise EpisodeCorrupt(f"Journal '{path}' cannot be read: {error.strerror}. Check the disk.") from error
    return JournalContent(tuple(records), bool(damage), damage)


def _scan(path: Path) -> Iterator[dict[str, Any] | str]:
    """Yield records; a text says why the scan ends early."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                yield f"file of {size} bytes {CUT_OFF}"
                return
            raise EpisodeCorrupt(
                f"'{path}' is no journal: it does not begin with {MAGIC.decode()}. Move it away or bin it with "
                f"`frs episodes recover --bin`."
            )
        while head := file.read(_HEAD.size):
            at = file.tell()
            if len(head) < _HEAD.size:
                yield f"record head at byte {at} {CUT_OFF}"
                return
            length, crc = _HEAD.unpack(head)
            if length > MAX_RECORD or at + length > size:
                yield f"record of {length} bytes at byte {at} {CUT_OFF}"
                return
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != crc:
                yield f"record at byte {at} does not match its checksum"
                return
            try:
                record = packing.unpack(payload)
            except ValueError as error:
                yield f"record at byte {at} is {error}"
                return
            if not isinstance(record, dict) or "kind" not in record:
                yield f"record at byte {at} is no episode record"
                return
            yield record
