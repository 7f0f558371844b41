"""Read files that somebody else may have written: recordings, policies, data sets, settings.

Problem: a folder from elsewhere may hold a named pipe that never ends, a link to a device, a JSON nested a million deep, a
compressed file that unpacks to the whole memory. Idea: nothing opens such a file but this module. It reads plain files only,
up to a size the caller names, JSON up to a depth, zstd up to the size the reader expects; a test keeps others from opening
files themselves.

Example: `read_json(folder / "policy.json", limit=1 << 20)` on a pipe raises `OSError: is a named pipe, expected a plain file`
at once; the caller reports the item and continues with the next.

Refusals are `OSError` (the file) or `ValueError` (its content), as reading raises anyway. Pure functions; any thread.
"""

import errno
import hashlib
import json
import os
import re
import stat
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MALFORMED = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What using a field of a foreign document may raise."""

SMALL = 1 << 20
"""Bytes; a settings file, a token, a lock. Guess: 100 times the largest we write."""
DOCUMENT = 16 << 20
"""Bytes; metadata and indexes. Parsed they take about 20 times this at worst."""
TENSORS = 1 << 30
"""Bytes; the weights of a small policy are about 5 MB."""
HEADER = 100_000_000
"""Bytes of a safetensors file's header. Source: safetensors' own bound."""
DEPTH = 64
"""Levels of lists and objects in a document; ours have 6."""

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}
_POINTER = b"version https://git-lfs"
_POINTER_SIZE = 1024
"""Bytes; most that a pointer has. Source: git-lfs docs/spec.md."""
_LONG_NUMBER = f"a whole number has more than {sys.get_int_max_str_digits()} digits"
_FLAGS = os.O_RDONLY | sum(getattr(os, n, 0) for n in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
# Control characters but tab and newline, marks that turn the reading direction, halves of surrogate pairs.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def open_plain(path: Path, *, may_link: bool = False) -> FileIO:
    """Return a plain file, opened for reading without a buffer.

    Args:
        path: the file.
        may_link: whether the path itself may be a link (to a plain file); for files that a person names.
    Raises:
        OSError: it cannot be opened, or is not a plain file; `strerror` says which.
    """
    _require_plain(path, os.stat(path) if may_link else os.lstat(path))
    fd = os.open(path, _FLAGS | (0 if may_link else getattr(os, "O_NOFOLLOW", 0)))
    try:
        _require_plain(path, os.fstat(fd))
        return FileIO(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def open_lock(path: Path) -> FileIO:
    """Return a plain file, made when missing, for reading and writing at its end.

    Raises:
        OSError: it cannot be made, or it is not a plain file.
    """
    flags = _FLAGS | os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    fd = os.open(path, flags, 0o644)
    try:
        _require_plain(path, os.fstat(fd))
        return FileIO(fd, "r+b")
    except BaseException:
        os.close(fd)
        raise


def is_text_path(path: Path) -> bool:
    """Return whether a path is UTF-8 text, as some libraries want it; the system itself takes any bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def plain_file(path: Path, *, limit: int | None = None, may_link: bool = True, as_text: bool = False) -> Path:
    """Return the path of a plain file, for a library that opens it itself.

    Args:
        path: the file.
        limit: most bytes it may have; None = any.
        may_link: as in `open_plain`.
        as_text: the library takes paths of UTF-8 text alone.
    Raises:
        OSError: missing, no plain file, too large, a Git LFS pointer, or a path that the library does not take.
    """
    info = os.stat(path) if may_link else os.lstat(path)
    _require_plain(path, info)
    if limit is not None and info.st_size > limit:
        raise _too_large(path, info.st_size, limit)
    if info.st_size <= _POINTER_SIZE and is_lfs_pointer(path):
        raise _pointer(path)
    if as_text and not is_text_path(path):
        raise OSError(
            errno.EILSEQ,
            "has a path that is no UTF-8 text, which the library that reads it wants; rename it",
            str(path),
        )
    return path


def found_at(path: Path) -> str:
    """Return what is at a path, as the end of a sentence that begins with it: "is a folder", "does not exist".

    Example: `f"'{path}' {found_at(path)}, expected a folder."`
    """
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return f"is a link to '{os.readlink(path)}', which does not exist" if os.path.islink(path) else "does not exist"
    except NotADirectoryError:
        above = next((p for p in path.parents if os.path.exists(p)), path)
        return f"does not exist: '{above}' is {_KINDS.get(stat.S_IFMT(os.stat(above).st_mode), 'a file')}"
    except ValueError:
        return "holds a character that no path has"
    except OSError as error:
        known = {
            errno.ELOOP: "is a link that leads back to itself",
            errno.ENAMETOOLONG: "has a name that is too long for a disk",
        }
        return known.get(error.errno or 0, f"cannot be looked at ({error.strerror})")
    return f"is {_KINDS.get(kind, 'a file')}"


def is_lfs_pointer(path: Path) -> bool:
    """Return whether a file is what Git LFS leaves in place of one that was not downloaded. Raises OSError."""
    with open_plain(path, may_link=True) as file:
        return read_exactly(file, len(_POINTER)) == _POINTER


def read_bytes(path: Path, *, limit: int, may_link: bool = False) -> bytes:
    """Return a plain file's content.

    Args:
        path: the file.
        limit: most bytes it may have.
        may_link: as in `open_plain`.
    Raises:
        OSError: it cannot be read, is not a plain file, is too large, or is a Git LFS pointer.
    """
    with open_plain(path, may_link=may_link) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_large(path, size, limit)
        data = read_exactly(file, limit + 1 if size == 0 else size + 1)
    if len(data) > limit:
        raise _too_large(path, len(data), limit)
    if data.startswith(_POINTER):
        raise _pointer(path)
    return data


def read_exactly(file: FileIO, size: int) -> bytes:
    """Return the next `size` bytes, fewer only at the end of the file. Raises OSError."""
    parts: list[bytes] = []
    while size > 0 and (part := file.read(min(size, 1 << 26))):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_text(path: Path, *, limit: int = SMALL, may_link: bool = True) -> str:
    """Return a UTF-8 file, without the mark that some editors put first. Raises as `read_bytes`, and ValueError for other bytes."""
    return _decoded(read_bytes(path, limit=limit, may_link=may_link))


def read_json(path: Path, *, limit: int = DOCUMENT, may_link: bool = True) -> Any:
    """Return a JSON file's value. Raises as `read_bytes`, and ValueError when it is none or nested too deep."""
    return parse_json(read_bytes(path, limit=limit, may_link=may_link))


def read_toml(path: Path, *, limit: int = SMALL, may_link: bool = True) -> dict[str, Any]:
    """Return a TOML file's table. Raises as `read_json`."""
    try:
        return tomllib.loads(read_text(path, limit=limit, may_link=may_link))
    except RecursionError:
        raise ValueError(f"nested more than {DEPTH} deep") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise ValueError(_LONG_NUMBER if "digits" in str(error) else str(error)) from None


def read_tensors(path: Path, *, limit: int = TENSORS, may_link: bool = True) -> "dict[str, Tensor]":
    """Return a safetensors file's tensors. Raises as `read_bytes`, and ValueError when it is none."""
    return parse_tensors(read_bytes(path, limit=limit, may_link=may_link))


class NamedTwice(ValueError):
    """A JSON object has two values under one name, and which one counts is not stated."""


def parse_json(data: bytes | str, *, constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text.

    Args:
        data: the text.
        constant: called with NaN, Infinity and -Infinity, which are no JSON; None = they are numbers, as Python writes them.
    Raises:
        ValueError: no JSON, no UTF-8, nested more than `DEPTH` deep, or an object with a name twice (`NamedTwice`).
    """
    text = data if isinstance(data, str) else _decoded(data)
    try:
        value: Any = json.loads(text, object_pairs_hook=_named_once, parse_constant=constant)
    except RecursionError:
        raise ValueError(f"nested more than {DEPTH} deep") from None
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ValueError(_LONG_NUMBER) from None
    level = [value]
    for _ in range(DEPTH):
        level = [
            c
            for v in level
            if isinstance(v, (dict, list))
            for c in (v.values() if isinstance(v, dict) else v)
            if isinstance(c, (dict, list))
        ]
        if not level:
            return value
    raise ValueError(f"nested more than {DEPTH} deep")


def parse_tensors(data: bytes) -> "dict[str, Tensor]":
    """Return the tensors of a safetensors file's bytes. Raises ValueError when they are none, or its header names one twice."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return load(data)
    except (SafetensorError, *MALFORMED) as error:
        raise ValueError(f"not a safetensors file ({error})") from error


def require_named_once(path: Path) -> Path:
    """Return the path of a safetensors file whose header names each tensor once, for a library that would take the last of two.

    Raises:
        OSError: it cannot be read, or is not a plain file.
        NamedTwice: a tensor is named twice; what is no safetensors file at all is left to the library.
    """
    with open_plain(path, may_link=True) as file:
        size = int.from_bytes(read_exactly(file, 8), "little")
        header = read_exactly(file, size) if size <= HEADER else b""
    try:
        parse_json(header)
    except NamedTwice:
        raise
    except ValueError:
        pass
    return path


def read_one_tensor(path: Path, name: str, *, limit: int = DOCUMENT) -> bytes:
    """Return the bytes of one tensor of a safetensors file without reading the others or loading the tensor library.

    Args:
        path: the file.
        name: of the tensor.
        limit: most bytes that the file's header and the tensor may each have.
    Raises:
        OSError: it cannot be read, is not a plain file, or is too large.
        ValueError: not a safetensors file, or it has no such tensor.
    """
    with open_plain(path) as file:
        size = int.from_bytes(read_exactly(file, 8), "little")
        if size > limit:
            raise _too_large(path, size, limit)
        try:
            start, end = parse_json(read_exactly(file, size))[name]["data_offsets"]
            is_sound = 0 <= start <= end
        except MALFORMED as error:
            raise ValueError(f"not a safetensors file with '{name}' ({error})") from error
        if not is_sound:
            raise ValueError(f"'{name}' begins at {start} and ends at {end}")
        if end - start > limit:
            raise _too_large(path, end - start, limit)
        file.seek(8 + size + start)
        data = read_exactly(file, end - start)
    if len(data) != end - start:
        raise ValueError(f"'{name}' ends after {len(data)} of {end - start} bytes")
    return data


def digest(path: Path, *, may_link: bool = True) -> str:
    """Return the SHA-256 of a plain file, hexadecimal, without holding it in memory. Raises OSError."""
    with open_plain(path, may_link=may_link) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack_zstd(data: bytes | memoryview, *, size: int) -> bytes:
    """Return the content of a zstd frame that must hold exactly `size` bytes; never more memory than that and zstd's window.

    Raises:
        ValueError: no frame, or another size.
    """
    from backports import zstd

    said = _zstd_size(bytes(data[:18]))
    if said != size:
        raise ValueError(f"zstd frame of {'unknown size' if said is None else f'{said} bytes'}, expected {size}")
    frame = zstd.ZstdDecompressor()
    try:
        # Room for one byte more lets the frame end; a header that lies is stopped there.
        out = frame.decompress(data, max_length=size + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(out) != size or not frame.eof or frame.unused_data:
        raise ValueError(f"zstd frame does not end after the {size} bytes that its header states")
    return out


def visible(text: object) -> str:
    """Return a foreign text that a terminal only shows: what would steer it, or could not be encoded, is spelled out."""
    return _UNSEEN.sub(lambda m: ascii(m[0])[1:-1], str(text))


def _decoded(data: bytes) -> str:
    """Return UTF-8 bytes as a text, without the mark that some editors put first. Raises ValueError for other bytes."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise ValueError(f"byte 0x{byte:02x} in line {line} is no UTF-8; save the file as UTF-8") from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise NamedTwice(f"'{visible(twice[:80])}' is there twice in one object; remove one of the two")
    return found


def said(error: Exception) -> str:
    """Return why a file was not read, in brackets or behind a colon: the system's or this module's words, without numbers and paths."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON from line {error.lineno}, column {error.colno} on"
    if not isinstance(error, (OSError, ValueError)):
        return "it lacks something, or holds another kind of value"
    return str(getattr(error, "strerror", None) or error)


def in_line(text: object) -> str:
    """Return a foreign text as a part of one line, such as a name in a sentence: as `visible`, line breaks and tabs spelled out, too."""
    return visible(text).replace("\n", r"\n").replace("\t", r"\t")


def _zstd_size(head: bytes) -> int | None:
    """Return the content size in a frame's header. Source: RFC 8878, section 3.1.1.1."""
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 5:
        return None
    flag, is_single, dictionary = head[4] >> 6, head[4] >> 5 & 1, (0, 1, 2, 4)[head[4] & 3]
    width = (1 if is_single else 0, 2, 4, 8)[flag]
    at = 5 + (not is_single) + dictionary
    if width == 0 or len(head) < at + width:
        return None
    return int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)


def _require_plain(path: Path, info: os.stat_result) -> None:
    kind = stat.S_IFMT(info.st_mode)
    if kind != stat.S_IFREG:
        number = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
        raise OSError(number, f"is {_KINDS.get(kind, 'no file')}, expected a plain file", str(path))


def _pointer(path: Path) -> OSError:
    said = "is a Git LFS pointer, the file itself was not downloaded; run `git lfs pull` in its repository"
    return OSError(errno.EINVAL, said, str(path))


def _too_large(path: Path, size: int, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"has {size} bytes, at most {limit} are read", str(path))
