"""Tell a damaged episode from a whole one, and name the damaged file.

Problem: a Zarr reader answers a lost chunk file with fill values, a flipped bit in metadata with anything at all, and a file
of another array or another day with its numbers. Idea: the episode carries a table of its files with sizes and CRC-32s
(attribute `files` of the group `integrity`); the root's `zarr.json` carries a checksum of itself and one of that table, so
that facts and data of two episodes cannot be mixed. Sizes and metadata are checked at opening, data when they are read first.

Example: one flipped bit in `steps/q/c/0/0` gives `EpisodeCorrupt: …: file 'steps/q/c/0/0' has CRC 1f2e…, expected …`.

Pure file reading; any thread.
"""

import errno
import json
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from frs_core.episodes.layout import INTEGRITY, ROOT_METADATA
from frs_core.errors import EpisodeCorrupt
from frs_core.runtime.foreign import DOCUMENT, MALFORMED, parse_json, read_bytes, said

FileTable = Mapping[str, tuple[int, int]]
"""Path inside the episode -> (bytes, CRC-32)."""

TABLE_CHECKSUM = "files_checksum"
"""Root attribute: checksum of the episode's table of files; episodes written before it was kept have none."""
NOT_READ = "could not be read"
"""In the problem of an episode that may be whole."""
_DENIED = {errno.EACCES, errno.EPERM}
_NOT_NOW = _DENIED | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.ETIMEDOUT, errno.ESTALE}
"""With these the system says nothing about the file itself."""
_LARGEST_FILE = 1 << 31
"""Bytes; flat arrays are cut at 1 MiB, the largest table is far below."""


def corrupt(folder: Path, what: str) -> EpisodeCorrupt:
    """Return the error for a damaged episode."""
    return EpisodeCorrupt(
        f"Episode '{folder.name}' is damaged: {what}. Restore it from a copy, or bin it with `frs episodes bin`."
    )


def unreadable(folder: Path, path: str, error: OSError) -> EpisodeCorrupt:
    """Return the error for a file of an episode that the system does not give: whether it is damaged is known only where it is gone.

    Args:
        folder: the episode.
        path: of the file inside it.
        error: what was raised.
    """
    if error.errno not in _NOT_NOW:
        return corrupt(folder, f"file '{path}' cannot be read ({error.strerror})")
    fix = "Change its permissions, or read it as its owner" if error.errno in _DENIED else "Try again"
    return EpisodeCorrupt(
        f"Episode '{folder.name}' {NOT_READ}: the system refuses file '{path}' ({error.strerror}). {fix}."
    )


def checksum(document: Mapping[str, Any]) -> int:
    """Return the CRC-32 of a metadata document without its own `checksum` attribute."""
    attributes = {k: v for k, v in document.get("attributes", {}).items() if k != "checksum"}
    canonical = json.dumps({**document, "attributes": attributes}, sort_keys=True, separators=(",", ":"))
    return zlib.crc32(canonical.encode())


def group_metadata(attributes: Mapping[str, Any]) -> bytes:
    """Return the `zarr.json` of a group that vouches for itself.

    Raises:
        ValueError: an attribute is no JSON (NaN and infinity included), or more than is read again.
    """
    document: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}
    document["attributes"]["checksum"] = checksum(document)
    data = json.dumps(document, allow_nan=False).encode()
    if len(data) > DOCUMENT:
        raise ValueError(f"{len(data)} bytes of attributes, at most {DOCUMENT} are read")
    return data


def read_group_metadata(folder: Path, path: str = ROOT_METADATA) -> dict[str, Any]:
    """Return the attributes of a self-checked group file.

    Args:
        folder: the episode.
        path: the file inside it.
    Raises:
        EpisodeCorrupt: missing, unreadable or altered.
    """
    try:
        data = read_bytes(folder / path, limit=DOCUMENT)
    except OSError as error:
        raise unreadable(folder, path, error) from error
    try:
        document = parse_json(data)
        attributes = document["attributes"]
        expected = attributes["checksum"]
        got = checksum(document)
    except MALFORMED as error:
        raise corrupt(folder, f"file '{path}' is not a group's metadata: {said(error)}") from error
    if got != expected:
        raise corrupt(folder, f"file '{path}' has checksum {got}, expected {expected}")
    return {k: v for k, v in attributes.items() if k != "checksum"}


def make_file_table(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and CRC-32 of every file below, the self-checked ones left out."""
    table = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            key = path.relative_to(folder).as_posix()
            if key not in (ROOT_METADATA, f"{INTEGRITY}/{ROOT_METADATA}"):
                data = read_bytes(path, limit=_LARGEST_FILE)
                table[key] = (len(data), zlib.crc32(data))
    return table


def read_file_table(folder: Path) -> tuple[FileTable, int]:
    """Return the episode's table of files, and its checksum.

    Raises:
        EpisodeCorrupt: missing or altered.
    """
    path = f"{INTEGRITY}/{ROOT_METADATA}"
    attributes = read_group_metadata(folder, path)
    try:
        table = {str(k): (int(size), int(crc)) for k, (size, crc) in attributes["files"].items()}
    except MALFORMED as error:
        raise corrupt(folder, f"file '{path}' has no table of files ({error})") from error
    for name, (size, _) in table.items():
        if not 0 <= size <= _LARGEST_FILE or name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise corrupt(folder, f"file '{path}' lists '{name}' with {size} bytes, which no episode has")
    return table, table_checksum(table)


def table_checksum(table: FileTable) -> int:
    """Return the CRC-32 of a table of files."""
    return checksum({"attributes": {k: list(v) for k, v in table.items()}})


def verify_sizes(folder: Path, table: FileTable, paths: Iterable[str]) -> None:
    """Raise EpisodeCorrupt unless each file is there, plain, at its full length."""
    for path in paths:
        try:
            info = os.lstat(folder / path)
        except OSError as error:
            raise unreadable(folder, path, error) from error
        if not stat.S_ISREG(info.st_mode):
            raise corrupt(folder, f"file '{path}' is not a plain file")
        if info.st_size != table[path][0]:
            raise corrupt(folder, f"file '{path}' has {info.st_size} bytes, expected {table[path][0]}")


def verify_content(folder: Path, table: FileTable, paths: Iterable[str]) -> None:
    """Raise EpisodeCorrupt unless each file holds the very bytes that were written."""
    for path in paths:
        try:
            data = read_bytes(folder / path, limit=table[path][0])
        except OSError as error:
            raise unreadable(folder, path, error) from error
        require_written(folder, table, path, data)


def require_written(folder: Path, table: FileTable, path: str, data: bytes) -> None:
    """Raise EpisodeCorrupt unless `data` are the bytes that were written to a file."""
    if (len(data), zlib.crc32(data)) != table[path]:
        raise corrupt(
            folder,
            f"file '{path}' has {len(data)} bytes with CRC {zlib.crc32(data):08x}, "
            f"expected {table[path][0]} with {table[path][1]:08x}",
        )


def verify_metadata(folder: Path, table: FileTable) -> None:
    """Raise EpisodeCorrupt unless all files have their length and all metadata their content: the check at opening."""
    verify_sizes(folder, table, table)
    verify_content(folder, table, [p for p in table if p.rsplit("/", 1)[-1] == ROOT_METADATA])
