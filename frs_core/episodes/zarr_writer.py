"""Write Zarr v3 groups and arrays, complete and at once.

Problem: an episode has some 110 small arrays; creating them through the Zarr library costs 3 to 5 ms of Python each, which a
window in the same process feels. Idea: whole arrays that never change need one JSON file and their chunk files; those are
written here. `arrays` reads them back; tests read them with the Zarr library as well.

Example: `group.array("q", q)` writes `q/zarr.json` and `q/c/0/0` (little endian, zstd level 3, CRC-32C).

Any thread. Source: Zarr v3 core specification.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frs_core.arrays import Array
from frs_core.episodes.integrity import group_metadata
from frs_core.episodes.layout import ROOT_METADATA, check_part

FLAT_CHUNK = 1 << 20
"""Largest chunk of a flat byte array. Source: reference measurement, 1 MiB gave 0.8 ms per random frame."""
_ZSTD_LEVEL = 3
_ZSTD = {"name": "zstd", "configuration": {"level": _ZSTD_LEVEL, "checksum": False}}
_CRC = {"name": "crc32c"}


class GroupWriter:
    """Writes one group; the folder must not exist."""

    def __init__(self, folder: Path, **attributes: Any) -> None:
        """Make the group. Raises OSError."""
        folder.mkdir()
        (folder / ROOT_METADATA).write_bytes(group_metadata(attributes))
        self._folder = folder

    def sub(self, name: str, **attributes: Any) -> "GroupWriter":
        """Return a new sub-group. Raises OSError, and ValueError for a name that is not a folder's."""
        return GroupWriter(self._folder / check_part(name), **attributes)

    def array(self, name: str, data: Array) -> None:
        """Write a table as one compressed chunk. Raises OSError."""
        self._write(name, data, tuple(max(1, n) for n in data.shape), is_packed=True)

    def bytes(self, name: str, parts: Sequence[bytes], *, is_packed: bool = False) -> None:
        """Write byte strings end to end as `<name>`, and where each begins as `<name>_offsets`. Raises OSError."""
        flat = np.frombuffer(b"".join(parts), dtype=np.uint8)
        # Equal chunks: Zarr pads the last one to full length.
        pieces = max(1, -(-len(flat) // FLAT_CHUNK))
        self._write(name, flat, (max(1, -(-len(flat) // pieces)),), is_packed=is_packed)
        self.array(f"{name}_offsets", offsets([len(p) for p in parts]))

    def _write(self, name: str, data: Array, chunk_shape: tuple[int, ...], *, is_packed: bool) -> None:
        data = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("<"))
        folder = self._folder / name
        folder.mkdir()
        metadata = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(data.shape),
            "data_type": data.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk_shape)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": data.dtype.type(0).item(),
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *([_ZSTD] if is_packed else []), _CRC],
            "attributes": {},
        }
        (folder / ROOT_METADATA).write_text(json.dumps(metadata))
        if data.size == 0:
            return
        chunks = folder.joinpath("c", *["0"] * (data.ndim - 1))
        chunks.mkdir(parents=True)
        # Tables are one chunk; flat arrays are cut along their only axis.
        for i, start in enumerate(range(0, data.shape[0], chunk_shape[0])):
            piece = data[start : start + chunk_shape[0]]
            raw = piece.tobytes().ljust(chunk_shape[0] * data[:1].nbytes, b"\0")
            (chunks / str(i)).write_bytes(_encoded(raw, is_packed=is_packed))


def offsets(lengths: Sequence[int]) -> Array:
    """Return where each of consecutive pieces begins, and where the last one ends: int64 `[n+1]`."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _encoded(raw: bytes, *, is_packed: bool) -> bytes:
    import google_crc32c
    from backports import zstd

    body = zstd.compress(raw, _ZSTD_LEVEL) if is_packed else raw
    return body + struct.pack("<I", google_crc32c.value(body))
