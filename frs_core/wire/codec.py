"""Bytes on the wire: msgpack with numpy arrays, as openpi's policy server and client speak it.

Problem: a robot's laptop and a GPU machine exchange images and chunks; whoever can reach the port can send anything.
Idea: msgpack, with an array as the map {b"__ndarray__": True, b"data": raw bytes, b"dtype": "<f4", b"shape": [15, 8]} and
a numpy scalar as {b"__npgeneric__": True, b"data": 0.5, b"dtype": "<f8"}. Only plain numbers, booleans and strings are
read; nothing on this wire can name a class or run code. Containers are counted while they are read, so that a small
message cannot unfold into a large one.

Example: pack({"prompt": "fold", "q": np.zeros(7, np.float32)}) takes 90 bytes; unpack gives back equal values, arrays as
read-only views of the message.

Any thread. The part between the marks is kept word for word in `openpi_server.py`, which must stand alone.
"""

import re
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from frs_core.errors import MalformedMessage

__all__ = ["MAX_ITEMS", "pack", "unpack"]

# <codec>
MAX_ITEMS = 20_000
"""Entries of all lists and maps of one message together. A fan request has about 60; arrays count as one map."""
MAX_LIST = 1024
"""Entries of one list or map; bounds what a header alone can make the reader allocate."""
_DTYPES = re.compile(r"[<>|=]?([biu][1248]|f[248]|[US][0-9]{1,5})")
"""Booleans, integers, floats, fixed strings: no objects, records, dates or complex numbers."""


def pack(message: Any) -> bytes:
    """Return a message as bytes.

    Args:
        message: dicts, lists, strings, bytes, numbers, numpy arrays and scalars.
    Raises:
        MalformedMessage: something has no place on this wire, such as an array of objects.
    """
    try:
        return msgpack.Packer(default=_pack_numpy).pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(
            f"Message cannot be packed: {error}. Send numbers, strings, arrays, lists and maps."
        ) from error


def unpack(data: bytes) -> Any:
    """Return the message of some bytes; arrays are read-only views of them.

    Args:
        data: one websocket frame; its size is limited by the socket.
    Raises:
        MalformedMessage: the bytes are not a message, or contain something that is not allowed.
    """
    budget = _Budget()
    try:
        return msgpack.unpackb(
            data,
            object_pairs_hook=budget.read_map,
            list_hook=budget.read_list,
            ext_hook=_refuse_extension,
            max_array_len=MAX_LIST,
            max_map_len=MAX_LIST,
        )
    except MalformedMessage:
        raise
    # Everything msgpack, numpy and the UTF-8 decoder raise on bad bytes; RecursionError is its pure Python reader's.
    except (
        ValueError,
        TypeError,
        OverflowError,
        KeyError,
        RecursionError,
        msgpack.exceptions.UnpackException,
    ) as error:
        raise MalformedMessage(
            f"Message of {len(data)} bytes cannot be read: {_why_unreadable(error)}. Expected openpi's msgpack format."
        ) from error


def _why_unreadable(error: Exception) -> str:
    """Return what is wrong with some bytes; msgpack's own words speak of its functions and of its stack."""
    text = str(error)[:200]
    if isinstance(error, msgpack.exceptions.ExtraData):
        return "further bytes follow its end"
    if isinstance(error, (msgpack.exceptions.StackError, RecursionError)):
        return "its lists and maps are nested too deeply"
    if isinstance(error, msgpack.exceptions.FormatError):
        return "it holds a byte that begins no value"
    if isinstance(error, UnicodeDecodeError):
        return "a text in it is no UTF-8"
    if isinstance(error, KeyError):
        return f"an array or a number in it lacks '{error.args[0].decode()}'"
    if "incomplete" in text:
        return "it ends in the middle"
    if "exceeds max_" in text:
        return f"it has a list or map of {text.split()[0]} entries, expected at most {MAX_LIST}"
    if "map key" in text:
        return "a key of a map in it is no text"
    return f"a number or array in it is none ({text})"


class _Budget:
    """Counts list and map entries while one message is read."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_ITEMS

    def read_list(self, items: list[Any]) -> list[Any]:
        self._spend(len(items))
        return items

    def read_map(self, pairs: list[tuple[Any, Any]]) -> Any:
        self._spend(len(pairs))
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise MalformedMessage("Message has a map with one name twice. Send each name once.")
        if b"__ndarray__" in entries:
            return _read_array(entries)
        if b"__npgeneric__" in entries:
            return _read_scalar(entries)
        return entries

    def _spend(self, count: int) -> None:
        self.left -= count + 1
        if self.left < 0:
            raise MalformedMessage(f"Message has more than {MAX_ITEMS} entries. Send numbers as arrays, not as lists.")


def _pack_numpy(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        _check_dtype(value.dtype.str)
        if isinstance(value, np.ndarray):
            return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__} has no place on the wire")


def _check_dtype(name: Any) -> "np.dtype[Any]":
    if not isinstance(name, str) or not _DTYPES.fullmatch(name):
        raise MalformedMessage(f"Array type {str(name)[:40]!r} is refused; expected numbers, booleans or strings.")
    return np.dtype(name)


def _read_array(entries: dict[Any, Any]) -> NDArray[Any]:
    dtype, shape, data = _check_dtype(entries[b"dtype"]), entries[b"shape"], entries[b"data"]
    if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > 8:
        raise MalformedMessage("Array needs bytes as data and a list of at most 8 sizes as shape.")
    count = 1
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**31:
            raise MalformedMessage(f"Array size {str(size)[:40]} is refused; expected 0..2^31.")
        count *= size
    if count * dtype.itemsize != len(data):
        raise MalformedMessage(
            f"Array of shape {shape} and type {dtype.str} needs {count * dtype.itemsize} bytes, got {len(data)}."
        )
    if dtype.kind == "b" and data.strip(b"\0\1"):
        raise MalformedMessage("Array of booleans holds bytes other than 0 and 1.")
    return np.ndarray(shape, dtype, buffer=data)


def _read_scalar(entries: dict[Any, Any]) -> Any:
    dtype, value = _check_dtype(entries[b"dtype"]), entries[b"data"]
    if not isinstance(value, (bool, int, float, str, bytes)):
        raise MalformedMessage(f"Scalar of type {dtype.str} needs a number or a string, got {type(value).__name__}.")
    return dtype.type(value)


def _refuse_extension(code: int, data: bytes) -> Any:
    raise MalformedMessage(f"Extension type {code} with {len(data)} bytes is refused.")


# </codec>
