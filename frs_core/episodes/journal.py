"""The journal of an unfinished episode: what is on disk the moment a chunk is done.

Problem: a crash in the middle of an episode must lose at most the chunk in motion, and a full disk nothing. Idea: one
append-only file, `magic, (length, CRC-32, msgpack)*`. Each record is written in one go and synced; a reader stops at the
first record that is cut off or does not match its CRC, so everything before it is whole.

The bytes must also be found again: the journal's folder is synced before the first record counts, and an append looks
whether the file is still where recovery will look for it.

Example: a journal of begin + 3 chunks cut off in the middle of the third reads as begin + 2 chunks, `is_torn` true.

Used by the writer's thread; reading on any thread.
"""

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frs_core.episodes import packing
from frs_core.episodes.layout import ensure_folder, fsync_path
from frs_core.errors import EpisodeCorrupt
from frs_core.runtime.foreign import open_plain, read_exactly

MAGIC = b"FRSJRNL1"
_HEAD = struct.Struct("<II")
CUT_OFF = "is cut off"
"""Part of the damage text when the file just ends too early, as after a crash."""
MAX_RECORD = 1 << 28
"""Bytes; a longer length field is damage, not data. A chunk with three 1280 x 720 cameras takes about 10 MB."""


def frame_record(record: dict[str, Any]) -> bytes:
    """Return a record as it stands in the file."""
    payload = packing.pack(record)
    if len(payload) > MAX_RECORD:
        raise ValueError(f"journal record of {len(payload)} bytes")
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


class JournalGone(OSError):
    """The journal is no longer where it was made: its folder was moved or deleted."""


class JournalFile:
    """An open journal; appends are all or nothing."""

    def __init__(self, root: Path, path: Path) -> None:
        """Create the file, so that it survives a power loss.

        Args:
            root: recording root.
            path: the file, which must not exist.
        Raises:
            OSError: the disk refused, or the file exists; nothing is left behind.
        """
        ensure_folder(root, path.parent)
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o644)
        self._end, self._has_rest = 0, False
        try:
            self._append(MAGIC)
            fsync_path(path.parent)
        except OSError:
            self.remove()
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

    def remove(self) -> None:
        """Close and delete the file. Never raises: a journal that stays is recognised by recovery as spent."""
        self.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            fsync_path(self.path.parent)

    def _append(self, data: bytes) -> None:
        view, at = memoryview(data), self._end
        try:
            if self._has_rest:
                os.ftruncate(self._fd, self._end)
            self._has_rest = True
            while view:
                n = os.pwrite(self._fd, view, at)
                view, at = view[n:], at + n
            os.fsync(self._fd)
            self._require_found()
        except OSError:
            # What cannot be cut off at once is cut off before the next record.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
                self._has_rest = False
            raise
        self._end, self._has_rest = at, False

    def _require_found(self) -> None:
        """Raise JournalGone unless the path still leads to the open file."""
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise JournalGone(errno.ENOENT, f"the journal '{self.path}' is gone") from error
        own = os.fstat(self._fd)
        if (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino):
            raise JournalGone(errno.ESTALE, f"the journal '{self.path}' was replaced by another file")


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
        EpisodeCorrupt: the file cannot be read or is not a journal.
    """
    items = list(scan_journal(path))
    damage = items.pop() if items and isinstance(items[-1], str) else ""
    return JournalContent(tuple(r for r in items if not isinstance(r, str)), bool(damage), str(damage))


def scan_journal(path: Path) -> Iterator[dict[str, Any] | str]:
    """Yield the whole records of a journal one by one; a text at the end says why nothing follows.

    Raises:
        EpisodeCorrupt: the file cannot be read or is not a journal.
    """
    try:
        yield from _scan(path)
    except OSError as error:
        raise EpisodeCorrupt(f"Journal '{path}' cannot be read: {error.strerror}. Check the disk.") from error


def _scan(path: Path) -> Iterator[dict[str, Any] | str]:
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            if MAGIC.startswith(magic):
                yield f"file of {size} bytes {CUT_OFF}"
                return
            raise EpisodeCorrupt(
                f"'{path}' is not a journal: it does not begin with {MAGIC.decode()}. Move it away or bin it with "
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
            payload = read_exactly(file, length)
            if len(payload) != length or zlib.crc32(payload) != crc:
                yield f"record at byte {at} does not match its checksum"
                return
            try:
                record = packing.unpack(payload)
            except ValueError as error:
                yield f"record at byte {at} is {error}"
                return
            if not isinstance(record, dict) or "kind" not in record:
                yield f"record at byte {at} is not an episode record"
                return
            yield record
