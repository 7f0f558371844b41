"""Plain values and arrays as msgpack, for the journal.

Problem: a chunk record is a tree of numbers, texts and arrays that must come back bit for bit, without pickle. Idea:
msgpack with one extension type for arrays (dtype, shape, bytes).

Example: `unpack(pack({"q": np.zeros(7)}))["q"]` is a float64 array of shape (7,).

Pure functions; any thread.
"""

from typing import Any

import msgpack
import numpy as np

_ARRAY = 1
_MAX_BYTES = 1 << 31


def pack(value: Any) -> bytes:
    """Return a tree of None, bool, int, float, str, bytes, list, dict and arrays as bytes.

    What no UTF-8 can hold, half of a surrogate pair, is spelled out ("\\ud83d"): a foreign text never keeps an episode from being written.

    Raises:
        TypeError: something else, or an array of objects.
    """
    return msgpack.packb(value, default=_pack_array, use_bin_type=True, unicode_errors="backslashreplace")


def unpack(data: bytes | memoryview) -> Any:
    """Return what `pack` was given; tuples come back as lists, arrays are read-only.

    Raises:
        ValueError: not the bytes of `pack`.
    """
    try:
        return msgpack.unpackb(
            data,
            ext_hook=_unpack_array,
            raw=False,
            strict_map_key=False,
            max_bin_len=_MAX_BYTES,
            max_ext_len=_MAX_BYTES,
        )
    except (msgpack.UnpackException, msgpack.ExtraData, TypeError, KeyError) as error:
        raise ValueError(f"not a msgpack record: {error}") from error


def _pack_array(value: Any) -> Any:
    if isinstance(value, np.generic) and not isinstance(value, np.void):
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufSU":
        raise TypeError(f"Cannot store {type(value).__name__} {getattr(value, 'dtype', '')} in an episode.")
    head = [value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes()]
    return msgpack.ExtType(_ARRAY, msgpack.packb(head, use_bin_type=True))


def _unpack_array(code: int, data: bytes) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension type {code}")
    dtype, shape, raw = msgpack.unpackb(data, raw=False, max_bin_len=_MAX_BYTES)
    kind = np.dtype(dtype)
    if kind.kind not in "biufSU":
        raise ValueError(f"array of kind '{kind.kind}'")
    return np.frombuffer(raw, dtype=kind).reshape(shape)
