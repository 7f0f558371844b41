"""Arrays of one episode, read on demand and verified.

Problem: reading must be lazy (an episode opens in milliseconds), every damage must be named, and a whole file in the wrong
place (two exchanged, an older copy put back) is damage too. Idea: opening checks sizes and metadata of all files; the first
read of a file compares its bytes with the episode's table before anything is decoded, and only a file that changed since is
compared again. What decodes is what `zarr_writer` writes, no more: the memory a file may take is known beforehand.

Example: `arrays["steps/q"]` is a read-only `[N, 7]` array; `arrays.slice("images/left/data", 0, 15000)` reads one image.

Any one thread per object.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frs_core.arrays import Array
from frs_core.episodes.integrity import (
    corrupt,
    read_file_table,
    require_written,
    unreadable,
    verify_content,
    verify_metadata,
)
from frs_core.episodes.layout import ROOT_METADATA
from frs_core.errors import EpisodeCorrupt
from frs_core.runtime.foreign import MALFORMED, open_plain, parse_json, read_exactly, said, unpack_zstd

LARGEST_ARRAY = 512 << 20
"""Bytes of one array read whole, or of one chunk; an hour of offers takes 200 MB."""
_INTEGERS = (f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_TYPES = frozenset({"bool", *_INTEGERS, "float16", "float32", "float64"})


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one array lies in its files: pieces along the first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int
    """Of one piece; the last one is padded."""
    is_packed: bool

    @property
    def piece_bytes(self) -> int:
        """Decoded bytes of one piece."""
        return self.rows * math.prod(max(1, n) for n in self.shape[1:]) * self.dtype.itemsize


class EpisodeArrays:
    """Reads the arrays below an episode's folder."""

    def __init__(self, folder: Path) -> None:
        """Check the folder's files.

        Raises:
            EpisodeCorrupt: a file is missing, has another length, or its metadata changed.
        """
        self._folder = folder
        self._table, self.table_checksum = read_file_table(folder)
        verify_metadata(folder, self._table)
        self._layouts: dict[str, _Layout] = {}
        self._loaded: dict[str, Array] = {}
        self._compared: dict[str, tuple[int, ...]] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self._table.values())

    def has(self, name: str) -> bool:
        """Tell whether there is such an array; what came into the layout later is not in older episodes."""
        return f"{name}/{ROOT_METADATA}" in self._table

    def shape(self, name: str) -> tuple[int, ...]:
        """Return an array's shape without reading it. Raises EpisodeCorrupt."""
        return self._layout(name).shape

    def __getitem__(self, name: str) -> Array:
        """Return a whole array, kept for the next time; read-only.

        Raises:
            EpisodeCorrupt: a file of it is damaged.
        """
        if name not in self._loaded:
            layout = self._layout(name)
            size = math.prod(layout.shape) * layout.dtype.itemsize
            if size > LARGEST_ARRAY:
                raise corrupt(self._folder, f"'{name}' has {size} bytes, at most {LARGEST_ARRAY} are read at once")
            pieces = [self._piece(name, layout, i) for i in range(_pieces(layout))]
            flat = np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), dtype=layout.dtype)
            data = flat[: math.prod(layout.shape)].reshape(layout.shape)
            data.setflags(write=False)
            self._loaded[name] = data
        return self._loaded[name]

    def slice(self, name: str, start: int, stop: int) -> Array:
        """Return part of a flat array.

        Raises:
            EpisodeCorrupt: a touched file is damaged.
        """
        layout = self._layout(name)
        if not 0 <= start <= stop <= layout.shape[0]:
            raise corrupt(self._folder, f"'{name}' has {layout.shape[0]} elements, {start}..{stop} are pointed at")
        parts = []
        for i in range(start // layout.rows, -(-stop // layout.rows)):
            first, last = max(start - i * layout.rows, 0), min(stop - i * layout.rows, layout.rows)
            parts.append(self._piece(name, layout, i, first * layout.dtype.itemsize, last * layout.dtype.itemsize))
        return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype=layout.dtype)

    def bytes_at(self, name: str, index: int) -> bytes:
        """Return one byte string of a flat array with `<name>_offsets`. Raises EpisodeCorrupt."""
        offsets = self[f"{name}_offsets"]
        return self.slice(name, int(offsets[index]), int(offsets[index + 1])).tobytes()

    def texts(self) -> list[str]:
        """Return the episode's table of texts. Raises EpisodeCorrupt."""
        path = f"texts/{ROOT_METADATA}"
        try:
            return [str(t) for t in parse_json(self._bytes(path))["attributes"]["texts"]]
        except EpisodeCorrupt:
            raise
        except MALFORMED as error:
            raise corrupt(self._folder, f"file '{path}' has no texts ({said(error)})") from error

    def attributes(self, group: str) -> dict[str, Any]:
        """Return the attributes of a group. Raises EpisodeCorrupt."""
        path = f"{group}/{ROOT_METADATA}"
        try:
            return dict(parse_json(self._bytes(path)).get("attributes", {}))
        except EpisodeCorrupt:
            raise
        except MALFORMED as error:
            raise corrupt(self._folder, f"file '{path}' has no attributes ({said(error)})") from error

    def verify(self) -> None:
        """Read every byte. Raises EpisodeCorrupt at the first damaged file."""
        verify_content(self._folder, self._table, self._table)

    def _layout(self, name: str) -> _Layout:
        if name not in self._layouts:
            path = f"{name}/{ROOT_METADATA}"
            if path not in self._table:
                raise corrupt(self._folder, f"there is no array '{name}'")
            try:
                self._layouts[name] = _parse_layout(parse_json(self._bytes(path)))
            except EpisodeCorrupt:
                raise
            except MALFORMED as error:
                raise corrupt(self._folder, f"file '{path}' is not an array ({said(error)})") from error
        return self._layouts[name]

    def _piece(self, name: str, layout: _Layout, index: int, start: int = 0, stop: int | None = None) -> bytes:
        """Return decoded bytes start..stop of one piece."""
        path, size = "/".join([name, "c", str(index), *["0"] * (len(layout.shape) - 1)]), layout.piece_bytes
        stop = size if stop is None else stop
        if path not in self._table:
            raise corrupt(self._folder, f"there is no file '{path}'")
        if not layout.is_packed:
            if self._table[path][0] != size + 4:
                raise corrupt(self._folder, f"file '{path}' has {self._table[path][0]} bytes, its array {size + 4}")
            return self._bytes(path, start, stop)
        try:
            # The last four bytes are Zarr's CRC-32C; the table's CRC-32 has vouched for them, too.
            return unpack_zstd(self._bytes(path)[:-4], size=size)[start:stop]
        except ValueError as error:
            if isinstance(error, EpisodeCorrupt):
                raise
            raise corrupt(self._folder, f"file '{path}' cannot be unpacked ({error})") from error

    def _bytes(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes start..stop of a file that is known to be what was written."""
        size = self._table[path][0]
        stop = size if stop is None else stop
        try:
            with open_plain(self._folder / path) as file:
                info = os.fstat(file.fileno())
                stamp = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
                if self._compared.get(path) == stamp:
                    file.seek(start)
                    return read_exactly(file, stop - start)
                data = read_exactly(file, size + 1)
        except OSError as error:
            raise unreadable(self._folder, path, error) from error
        require_written(self._folder, self._table, path, data)
        self._compared[path] = stamp
        return data[start:stop]


def _pieces(layout: _Layout) -> int:
    return 0 if 0 in layout.shape else -(-layout.shape[0] // layout.rows)


def _parse_layout(document: Any) -> _Layout:
    """Return the layout of an array's `zarr.json`. Raises MALFORMED for what `zarr_writer` does not write."""
    shape = tuple(int(n) for n in document["shape"])
    chunk = tuple(int(n) for n in document["chunk_grid"]["configuration"]["chunk_shape"])
    names = [c["name"] for c in document["codecs"]]
    kind = document["data_type"]
    if document["node_type"] != "array" or kind not in _TYPES:
        raise ValueError(f"{document['node_type']} of {kind!r}")
    if names not in (["bytes", "crc32c"], ["bytes", "zstd", "crc32c"]):
        raise ValueError(f"codecs {names}")
    if not shape or min(shape) < 0 or chunk[0] < 1 or chunk[1:] != tuple(max(1, n) for n in shape[1:]):
        raise ValueError(f"shape {shape} in chunks of {chunk}")
    layout = _Layout(shape, np.dtype(kind).newbyteorder("<"), chunk[0], "zstd" in names)
    if layout.piece_bytes > LARGEST_ARRAY:
        raise ValueError(f"chunks of {layout.piece_bytes} bytes, at most {LARGEST_ARRAY} are read")
    return layout
