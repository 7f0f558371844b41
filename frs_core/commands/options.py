"""The names of a command's options, as its function states them.

Problem: the parser takes the word behind an unknown option for one that a command knows by its place, and then misses another; what it says of
that names the wrong thing. Idea: names are looked up before anything is parsed.

Example: `require_known(["--presett", "x", "folder"], check)` raises ConfigError with "Did you mean '--preset'?".

Main thread.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

from frs_core.errors import unknown_name
from frs_core.runtime.bounds import hints_of
from frs_core.runtime.typed import bare

_PARSERS_OWN = ("--help", "--tyro-print-completion", "--tyro-write-completion")


def require_known(words: Sequence[str], function: Callable[..., object]) -> None:
    """Do nothing, unless one of a command's words is an option that it does not have.

    Args:
        words: after the command's name.
        function: that runs it; its annotations say what there is.
    Raises:
        ConfigError: an option is unknown, with those there are.
    """
    own = hints_of_command(function)
    hints = {f"--{name.replace('_', '-')}": hint for name, hint in flattened(own).items() if not is_positional(hint)}
    switches = {f"--no-{name.removeprefix('--')}" for name, hint in hints.items() if bare(hint) is bool}
    before = ""
    for word in words:
        if word == "--":
            return
        name = word.partition("=")[0].replace("_", "-")
        is_value = before in hints and bare(hints[before]) is not bool
        # What an option of a group is called, "--settings.steps", the parser judges itself.
        is_known = name in hints or name in switches or name in _PARSERS_OWN or name.partition(".")[0] in hints
        if word.startswith("--") and not is_value and not is_known:
            raise unknown_name("option", word.partition("=")[0], hints)
        before = name if "=" not in word else ""


def hints_of_command(function: Callable[..., object]) -> dict[str, Any]:
    """Return the annotations of a command's arguments, by name."""
    hints = get_type_hints(function, include_extras=True)
    return {option: hints[option] for option in inspect.signature(function).parameters}


def flattened(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with those of a group whose name is not written (`tyro.conf.arg(name="")`) in place of the group."""
    found: dict[str, Any] = {}
    for name, hint in hints.items():
        kind = bare(hint)
        is_nameless = any(getattr(extra, "name", None) == "" for extra in getattr(hint, "__metadata__", ()))
        if is_nameless and dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found |= hints_of(kind)
        else:
            found[name] = hint
    return found


def is_positional(hint: Any) -> bool:
    """Tell whether an argument is known by its place."""
    return any("positional" in repr(extra).lower() for extra in getattr(hint, "__metadata__", ()))
