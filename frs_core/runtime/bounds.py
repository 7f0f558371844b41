"""The bounds of a number that a person chooses, stated once: in its annotation.

The command line, a `--config` file and the dataclasses of settings obey the same ones: options of a command are looked at before it runs
(`frs_core.commands.arguments`), a dataclass calls `require_bounds(self)` in `__post_init__`.

Example: with `seeds: Count = 50`, `frs eval --seeds -3` ends with "--seeds is -3, expected 1 to 1000000."

The upper bounds are guesses: far above anything useful, and low enough that a slip of the finger does not fill the memory.
Any thread.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

from frs_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Bounds:
    """Smallest and largest value; NaN and infinity are in none."""

    least: float
    most: float
    is_open: bool = False
    """The smallest value itself is not allowed."""

    def __str__(self) -> str:
        """Return them as a text says them."""
        return f"{'above ' if self.is_open else ''}{self.least:.10g} to {self.most:.10g}"

    def holds(self, value: float) -> bool:
        """Return whether a value is within."""
        return (self.least < value if self.is_open else self.least <= value) and value <= self.most


Count = Annotated[int, Bounds(1, 1_000_000)]
"""Episodes, chunks, scenes, repeats."""
CountOrNone = Annotated[int, Bounds(0, 1_000_000)]
"""A count whose 0 means all, or none."""
Steps = Annotated[int, Bounds(1, 1_000_000_000)]
"""Gradient steps and what is counted in them."""
StepsOrNone = Annotated[int, Bounds(0, 1_000_000_000)]
"""As `Steps`; 0 = none."""
Size = Annotated[int, Bounds(1, 65_536)]
"""Units, layers, rows of a batch, columns of an array."""
Seed = Annotated[int, Bounds(0, 2**31 - 1)]
"""Of a random generator, or the number of a scene. Source: NumPy's legacy seeds and MuJoCo's scenes take 31 bits."""
Workers = Annotated[int, Bounds(1, 1024)]
"""Processes or threads."""
Share = Annotated[float, Bounds(0.0, 1.0)]
"""A fraction."""
Weight = Annotated[float, Bounds(0.0, 1e9)]
"""A factor, a number of standard deviations, a duration; 0 switches it off."""
Positive = Annotated[float, Bounds(0.0, 1e9, is_open=True)]
"""A factor or rate that 0 makes meaningless."""
Port = Annotated[int, Bounds(0, 65_535)]
"""Of TCP; 0 = any free one. Source: RFC 9293."""


def require_within(what: str, value: object, hint: Any) -> None:
    """Do nothing, unless a number, or one of several, is outside the bounds of its annotation.

    Args:
        what: the number's name, for the text ("--seeds").
        value: a number, a tuple of numbers, or None; where the annotation has no bounds, anything.
        hint: its annotation, with extras.
    Raises:
        ConfigError: it is outside, or no number.
    """
    bounds = next(_bounds_in(hint), None)
    if bounds is None or value is None:
        return
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, (int, float)):
            raise ConfigError(
                f"{what} is {_shown(repr(number))}, expected a number, {bounds}. Leave it out for the default."
            )
        if not bounds.holds(number):
            raise ConfigError(f"{what} is {_shown(number)}, expected {bounds}. Leave it out for the default.")


def require_bounds(settings: Any, prefix: str = "") -> None:
    """Do nothing, unless a field of a dataclass is outside the bounds of its annotation.

    Args:
        settings: the dataclass.
        prefix: before the field's name, for the text ("fit.").
    Raises:
        ConfigError: the first such field.
    """
    hints = hints_of(type(settings))
    for item in fields(settings):
        require_within(f"{prefix}{item.name}", getattr(settings, item.name), hints[item.name])


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return a dataclass' annotations, with extras."""
    return get_type_hints(kind, include_extras=True)


def _shown(number: Any) -> str:
    text = f"{number:g}" if isinstance(number, float) else str(number)
    return text if len(text) <= 20 else f"{text[:8]}… ({len(text)} digits)"


def _bounds_in(hint: Any) -> Iterator[Bounds]:
    """Yield the bounds anywhere in an annotation, such as in `tuple[Count, ...] | None`."""
    if isinstance(hint, Bounds):
        yield hint
    for part in (*getattr(hint, "__metadata__", ()), *get_args(hint)):
        yield from _bounds_in(part)
