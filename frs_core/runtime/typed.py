"""Read the value of an option along the annotation of what takes it.

Problem: options come from the command line as words, from a file as TOML values and from Python as anything; a value of another type would
fail somewhere deep, or be taken for something else. Idea: one function judges a value by the annotation. What was written as a word is
converted only to the type that is asked for; nothing else is converted.

Example: `typed("0.5", float)` is 0.5, `typed(7, str | None)` is "7", `typed("abc", int | None)` raises `Unfit` with "a whole number".

Pure; any thread.
"""

import collections.abc
import enum
import inspect
import math
import re
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_WHOLE = re.compile("-?[0-9]+")
_REAL = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?(?:nan|inf|infinity)", re.IGNORECASE)
UNIONS = (Union, types.UnionType)


class Unfit(ValueError):
    """A value is none that an annotation allows; the text says what was expected: "a whole number"."""


def hints_of_call(function: Any) -> dict[str, Any]:
    """Return the annotations of what a function or class is called with, extras included; empty where they cannot be read."""
    try:
        return get_type_hints(function.__init__ if inspect.isclass(function) else function, include_extras=True)
    except Exception:  # An annotation of somebody else may name anything.
        return {}


def bare(hint: Any) -> Any:
    """Return an annotation without extras and without "or None"."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in UNIONS:
        parts = [part for part in get_args(hint) if part is not type(None)]
        return bare(parts[0]) if len(parts) == 1 else hint
    return hint


def typed(value: Any, hint: Any) -> Any:
    """Return a value as an annotation wants it.

    Args:
        value: a word of the command line or what `plain` made of it, or a Python value.
        hint: the annotation; one that is not understood, such as `object` or a type variable, takes everything as it is.
    Raises:
        Unfit: it is none of that type; the text says what was expected.
    """
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    origin = get_origin(hint)
    if origin in UNIONS:
        return _one_of(value, get_args(hint))
    if origin is Literal:
        if value in (allowed := get_args(hint)):
            return value
        raise Unfit(f"one of {', '.join(map(str, allowed))}")
    if origin in (tuple, list, collections.abc.Sequence):
        return _several(value, origin, get_args(hint))
    if origin is not None and inspect.isclass(origin) and issubclass(origin, Mapping):
        return _as_is(value, origin, "a table of names and values")
    if hint is None or hint is type(None):
        return _as_is(value, type(None), "nothing")
    if not inspect.isclass(hint) or origin is not None or hint in (object, Any):
        return value
    return _of_class(value, hint)


def _of_class(value: Any, kind: type) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool:
        return _switch(value)
    if kind is int:
        return _number(value, int, "a whole number") if isinstance(value, str) else _as_is(value, int, "a whole number")
    if kind is float:
        number = (
            _number(value, float, "a number") if isinstance(value, str) else _as_is(value, (int, float), "a number")
        )
        if not math.isfinite(number):
            raise Unfit("a finite number")
        return number
    if kind is str:
        return (
            str(value).lower() if isinstance(value, bool) else str(value) if is_number else _as_is(value, str, "a text")
        )
    if issubclass(kind, Path):
        return kind(_path(value))
    if issubclass(kind, enum.Enum) and not isinstance(value, kind):
        if value in (allowed := [member.value for member in kind]):
            return kind(value)
        raise Unfit(f"one of {', '.join(map(str, allowed))}")
    return _as_is(value, kind, f"a {kind.__name__}")


def _one_of(value: Any, kinds: Iterable[Any]) -> Any:
    """Return a value as the first type that takes it without a change, else as the first that it can be converted to."""
    kinds = tuple(kinds)
    if value == "" and Path in kinds:  # A text as well, but an empty one is no path.
        kinds = tuple(kind for kind in kinds if kind is not str)
    found, expected = list[Any](), list[str]()
    for kind in kinds:
        try:
            found.append(typed(value, kind))
        except Unfit as error:
            expected += [str(error)] if str(error) not in ("nothing", *expected) else []
    if not found:
        raise Unfit(" or ".join(expected))
    return next((taken for taken in found if taken is value), found[0])


def _several(value: Any, origin: Any, kinds: tuple[Any, ...]) -> Any:
    """Return a list; as a word its parts are separated by commas or spaces, as a recording keeps them."""
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    parts = [parts] if isinstance(parts, int | float) else parts
    is_fixed = origin is tuple and bool(kinds) and kinds[-1] is not Ellipsis
    wanted = f"{len(kinds)} values" if is_fixed else "a list"
    if not isinstance(parts, list | tuple) or (is_fixed and len(parts) != len(kinds)):
        raise Unfit(f"{wanted}, separated by commas")
    hints = kinds if is_fixed else (kinds[:1] or (object,)) * len(parts)
    try:
        return tuple(typed(part, hint) for part, hint in zip(parts, hints, strict=True))
    except Unfit as error:
        raise Unfit(f"{wanted}, separated by commas, each {error}") from error


def _switch(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return _as_is(value, bool, "true or false")


def number_of(text: str, kind: type[int] | type[float]) -> Any:
    """Return the number that a word is: ASCII digits, a minus, and for `float` also a point, an exponent, "nan" and "inf".

    Python itself would take "1_5", "+15", " 15" and the digits of other scripts as well, which a person may have meant otherwise.

    Raises:
        ValueError: it is none.
    """
    if not (_WHOLE if kind is int else _REAL).fullmatch(text):
        raise ValueError(f"'{text}' is no number")
    return kind(text)


def _number(text: str, kind: type[int] | type[float], expected: str) -> Any:
    try:
        return number_of(text, kind)
    except ValueError:
        raise Unfit(expected) from None


def _path(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | Path) or not str(value):
        raise Unfit("a path")
    return value


def _as_is(value: Any, kinds: Any, expected: str) -> Any:
    try:
        is_fit = isinstance(value, kinds)
    except TypeError:  # A protocol that cannot be asked.
        return value
    if not is_fit or (isinstance(value, bool) and kinds in (int, (int, float))):
        raise Unfit(expected)
    return value


def plain(text: str) -> str | int | float | bool:
    """Return a word as true or false or a number, where that is written exactly so; "007" and "1e3" stay words until a number is asked for."""
    for value in (*((text == "true",) if text in ("true", "false") else ()), *_numbers(text)):
        if str(value).lower() == text:
            return value
    return text


def loose(value: Any) -> Any:
    """Return what nobody has said the type of: a word as the number or the switch that it can be read as."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    return next(iter(_numbers(value)), value)


def _numbers(text: str) -> Iterable[int | float]:
    for kind in (int, float):
        try:
            yield number_of(text, kind)
        except ValueError:
            continue
