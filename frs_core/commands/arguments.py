"""Look at the arguments of a command before it runs.

Problem: an argument may be bytes that are no text, a path that no disk takes, a number that nothing can be done with; each would fail
somewhere deep. Idea: every command's function is called through `checked`, which judges by the argument's value and, for numbers, by
the bounds in its annotation (`frs_core.runtime.bounds`). A path may hold any bytes, a text must be UTF-8: it may be stored. A word without
a character is no path, though `Path("")` is the current folder; the parser keeps the two apart by `parser_rules`, which also read numbers and tables of
options as strictly as the rest of the product does.

Main thread.
"""

import functools
import inspect
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

from frs_core.errors import ConfigError
from frs_core.runtime.bounds import require_within
from frs_core.runtime.foreign import found_at, in_line, visible
from frs_core.runtime.registry import is_secret
from frs_core.runtime.typed import number_of

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

LONGEST_NAME = 255
"""Bytes of one folder's or file's name. Source: NAME_MAX of ext4, XFS, Btrfs, ZFS, APFS and NTFS (there characters)."""


class EmptyPath(type(Path())):
    """What the command line has where a path is asked for and a word without a character is given."""


def parser_rules() -> "ConstructorRegistry":
    """Return how the parser reads words: an empty one is no path but an `EmptyPath`, a number is written as `number_of` has it, and a name is once
    in a table of options."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    rules = ConstructorRegistry()

    @rules.primitive_rule
    def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        kind = info.type
        if kind is not int and kind is not float:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=kind.__name__.upper(),
            instance_from_str=lambda words: number_of(words[0], kind),
            is_instance=lambda value: isinstance(value, int if kind is int else (int, float)),
            str_from_instance=lambda value: [str(value)],
        )

    @rules.primitive_rule
    def table(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[dict[str, str]] | None:
        if info.type != dict[str, str]:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="[STR STR [STR STR ...]]",
            instance_from_str=_table,
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [word for pair in value.items() for word in pair],
        )

    @rules.primitive_rule
    def path(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=lambda words: Path(words[0]) if words[0] else EmptyPath(),
            is_instance=lambda value: isinstance(value, Path),
            str_from_instance=lambda value: [str(value)],
        )

    return rules


def _table(words: list[str]) -> dict[str, str]:
    """Return options that are written as NAME VALUE NAME VALUE. Raises ConfigError."""
    names, values = words[::2], words[1::2]
    if len(names) != len(values):
        raise ConfigError(f"Option '{in_line(names[-1])}' has no value. Write NAME VALUE NAME VALUE.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        given = " and ".join(
            f"'{in_line(value)}'" for name, value in zip(names, values, strict=True) if name == twice[0]
        )
        told = "" if is_secret(twice[0]) else f", as {given}"
        raise ConfigError(f"Option '{in_line(twice[0])}' is given twice{told}. Give it once.")
    return dict(zip(names, values, strict=True))


def checked(function: Callable[..., object]) -> Callable[..., object]:
    """Return a command's function, which refuses arguments that cannot be used. It raises ConfigError, with the option's name."""
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> object:
        for name, value in signature.bind(*args, **options).arguments.items():
            option = _written(name, hints[name])
            for part in _parts(value):
                _require_usable(option, part)
            require_within(option, value, hints[name])
        return function(*args, **options)

    return call


def _written(name: str, hint: Any) -> str:
    """Return how an argument is written: "--data", or "SOURCE" for one that is known by its place."""
    parser = sys.modules.get("tyro")
    is_placed = parser is not None and parser.conf.Positional in getattr(hint, "__metadata__", ())
    return name.upper() if is_placed else f"--{name.replace('_', '-')}"


def _parts(value: object) -> Iterator[object]:
    """Yield a value's texts and paths."""
    if isinstance(value, Mapping):
        for pair in value.items():
            yield from pair
    elif isinstance(value, list | tuple):
        yield from value
    else:
        yield value


def _require_usable(option: str, value: object) -> None:
    """Do nothing, unless a text is none or a path cannot be one. Raises ConfigError."""
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            _refuse_no_text(option, value)
        if "\0" in value:
            raise ConfigError(f"{option} has '{visible(value)}', which holds a zero byte. Leave it out.")
    if not isinstance(value, Path):
        return
    if isinstance(value, EmptyPath):
        raise ConfigError(
            f"{option} has an empty path. Write '.' for the current folder; a variable that is not set leaves an empty word."
        )
    if "\0" in str(value):
        raise ConfigError(f"{option} has '{visible(value)}', which holds a zero byte; no path does. Correct it.")
    longest = max((len(os.fsencode(part)) for part in value.parts), default=0)
    if longest > LONGEST_NAME:
        raise ConfigError(
            f"{option} has a name of {longest} bytes, '{visible(str(value))[:40]}…', and disks take {LONGEST_NAME}. Shorten it."
        )
    if found_at(value).startswith("has a name that is too long"):
        raise ConfigError(
            f"{option} has a path of {len(os.fsencode(value))} bytes, '{visible(str(value))[:40]}…', which the system does not take. "
            f"Shorten it."
        )


def _refuse_no_text(option: str, value: str) -> NoReturn:
    """Raise ConfigError for a word that this process could not read as text."""
    try:
        meant = os.fsencode(value).decode()
    except UnicodeError:
        raise ConfigError(
            f"{option} has '{visible(value)}', which is no UTF-8 text and could not be stored. Write it in UTF-8 (`locale` tells what the "
            f"terminal sends)."
        ) from None
    raise ConfigError(
        f"{option} has '{meant}' in UTF-8, and the locale here says {sys.getfilesystemencoding().upper()}, which has no such letters. Set "
        f"LC_ALL=C.UTF-8, or PYTHONUTF8=1."
    )
