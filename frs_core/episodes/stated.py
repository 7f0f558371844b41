"""What a foreign document states, read as the type that is expected there; every refusal names the file and the place.

    info = read_stated(folder / "meta/info.json")
    hz = info["fps"].number(low=0.01, high=1000.0)

Problem: a value of another type fails somewhere later, in the words of Python, without the file or the field. Idea: a value travels with its
file and its place, and is asked for as what it should be. On `{"fps": "fast"}` the example raises `'…/meta/info.json', fps: got 'fast',
expected a number from 0.01 to 1000. Correct it there, or get the file anew from whoever made it.`

Pure functions; any thread.
"""

import errno
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frs_core.counts import counted
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.runtime.foreign import DOCUMENT, NamedTwice, parse_json, read_bytes, visible

_MISSING = object()
_LONGEST = 160
"""Characters of a path or a value that an error shows."""
KNOWN = {
    errno.ENOENT: ("is missing", "Copy or download it again, or correct its name."),
    errno.ENOTDIR: ("is missing, a part of its path is a file", "Correct its name."),
    errno.EACCES: ("may not be read", "Change its permissions."),
    errno.EPERM: ("may not be read", "Change its permissions."),
    errno.ENAMETOOLONG: ("has a name that is longer than a disk allows", "Correct it."),
    errno.ELOOP: ("is a link that leads back to itself", "Copy the file that it should lead to."),
}
"""Error number -> (what it means for a file, what to do)."""


class Stated:
    """A value of a document, with where it stands."""

    __slots__ = ("file", "place", "value")

    def __init__(self, value: Any, file: Path, place: str = "") -> None:
        """Keep a value.

        Args:
            value: as a JSON or table reader returned it.
            file: where it was read from.
            place: within the file, such as "line 3, tasks"; empty = the whole of it.
        """
        self.value: Any = value
        self.file, self.place = file, place

    def __getitem__(self, key: str) -> "Stated":
        """Return a member, which may be missing. Raises EpisodeCorrupt where this is no object."""
        if not isinstance(self.value, dict):
            raise self.error("an object (names with values)")
        return Stated(self.value.get(key, _MISSING), self.file, f"{self.place}{', ' * bool(self.place)}{visible(key)}")

    @property
    def is_given(self) -> bool:
        """Whether it is there and not null."""
        return self.value is not _MISSING and self.value is not None

    def members(self) -> "dict[str, Stated]":
        """Return all members by name. Raises EpisodeCorrupt where this is no object."""
        if not isinstance(self.value, dict):
            raise self.error("an object (names with values)")
        return {str(key): self[key] for key in self.value}

    def entries(self) -> "list[Stated]":
        """Return the entries of a list. Raises EpisodeCorrupt where it is none."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        return [Stated(v, self.file, f"{self.place}[{i}]") for i, v in enumerate(self.value)]

    def text(self) -> str:
        """Return a text. Raises EpisodeCorrupt where it is none, or cannot be written as UTF-8."""
        if not isinstance(self.value, str):
            raise self.error("a text")
        if not is_text(self.value):
            raise self.error("a text without halves of characters")
        return self.value

    def whole(self, *, low: int = 0, high: int = 1 << 53) -> int:
        """Return a whole number between two bounds, these included. Raises EpisodeCorrupt where it is none."""
        value = self.value
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not is_whole or isinstance(value, bool) or not low <= value <= high:
            top = f" to {high}" if high < 1 << 53 else " on"
            raise self.error(f"a whole number from {low}{top}")
        return int(value)

    def number(self, *, low: float, high: float = math.inf) -> float:
        """Return a number between two bounds, these included; never NaN or infinite. Raises EpisodeCorrupt where it is none."""
        value, largest = self.value, sys.float_info.max
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not max(low, -largest) <= value <= min(high, largest):
            bounds = f" from {low:g} {'on' if high == math.inf else f'to {high:g}'}" if low > -math.inf else ""
            raise self.error(f"a number{bounds}")
        return float(value)

    def error(self, expected: str) -> EpisodeCorrupt:
        """Return the error for a value that is not what it should be.

        Args:
            expected: what it should be, such as "a list".
        """
        where = f"'{self.file}'{', ' * bool(self.place)}{self.place}"
        if self.value is _MISSING:
            return EpisodeCorrupt(
                f"{where} is missing, expected {expected}. Add it there, or get the file anew from whoever made it."
            )
        return EpisodeCorrupt(
            f"{where}: got {shown(self.value)}, expected {expected}. Correct it there, or get the file anew from whoever made it."
        )


def is_text(value: str) -> bool:
    """Return whether a text can be written as UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in value)


def shown(value: object) -> str:
    """Return a value for an error, in JSON's words and short."""
    if isinstance(value, dict):
        return f"an object of {counted(len(value), 'member')}"
    if isinstance(value, list):
        return f"a list of {counted(len(value), 'entry', 'entries')}"
    if isinstance(value, str):
        return f"'{visible(value[:40])}{'…' * (len(value) > 40)}'"
    if isinstance(value, int | float | bool | None):
        text = json.dumps(value)
        return text if len(text) <= 40 else f"a number of {len(text)} digits"
    return f"a value of type {type(value).__name__}"


def read_stated(path: Path) -> Stated:
    """Return a JSON document.

    Raises:
        EpisodeCorrupt: it cannot be read, or is no JSON.
    """
    try:
        data = read_bytes(path, limit=DOCUMENT, may_link=True)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return _parsed(data, path)


def read_stated_lines(path: Path) -> Iterator[Stated]:
    """Yield the documents of a file with one per line; empty lines are passed over. Raises as `read_stated`."""
    try:
        data = read_bytes(path, limit=DOCUMENT, may_link=True)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            yield _parsed(line, path, f"line {number}")


def unreadable(path: Path, error: Exception) -> EpisodeError:
    """Return the error for a file or folder that the system, or a library that opened it, refuses.

    Args:
        path: what was to be read.
        error: what was raised.
    """
    name = str(path)
    name = name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 :]}"
    number, said = getattr(error, "errno", None), getattr(error, "strerror", None)
    if number in KNOWN:
        why, fix = KNOWN[number]
        return EpisodeError(f"'{name}' {why}. {fix}")
    if isinstance(error, OSError) and said:
        # What `foreign` says of a pipe, a folder, a pointer; otherwise the system's own word.
        ours = said.startswith(("is ", "has "))
        return EpisodeError(f"'{name}' {said if ours else f'cannot be read: {said}'}. Put a whole copy of it there.")
    return EpisodeCorrupt(f"'{name}' cannot be read: {error}. Put a whole copy of it there.")


def kind_of(path: Path) -> str:
    """Return "file", "folder", "other" or, where there is nothing, "". Raises EpisodeError where the system refuses to say."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return {0o100000: "file", 0o040000: "folder"}.get(mode & 0o170000, "other")


def _parsed(data: bytes, path: Path, place: str = "") -> Stated:
    where = f"'{path}'{', ' * bool(place)}{place}"
    if not data.strip():
        raise EpisodeCorrupt(f"{where} is empty, expected JSON. Put a whole copy of the file there.")
    try:
        return Stated(parse_json(data), path, place)
    except json.JSONDecodeError as error:
        at = f"column {error.colno}" if place else f"line {error.lineno}, column {error.colno}"
        raise EpisodeCorrupt(
            f"{where} is no JSON from {at} on. Correct it there, or put a whole copy of the file there."
        ) from error
    except NamedTwice as error:
        raise EpisodeCorrupt(f"{where}: {error}.") from error
    except ValueError as error:
        raise EpisodeCorrupt(
            f"{where} is no JSON that can be read: {error}. Put a whole copy of the file there."
        ) from error
