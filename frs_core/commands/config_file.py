"""Options of a command from a TOML file, as the words that the command line would have.

Problem: a file's value has a type of its own, and an option that is misspelled there looks like one that was never written. Idea: a table
is read along the annotations of the command's function: an unknown name, a value of another type and a table in the wrong place are
refused with file, table and name; everything else becomes words in front of the command line's, which therefore win.

Example: `[eval]` with `workers = 2` becomes `--workers 2`; with `workers = "2"` it is refused.

Main thread.
"""

import dataclasses
import difflib
import enum
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from frs_core.commands.options import flattened, hints_of_command, is_positional
from frs_core.errors import ConfigError
from frs_core.runtime.bounds import hints_of
from frs_core.runtime.foreign import found_at, read_toml
from frs_core.runtime.typed import bare

_OPTION = "--config"


def with_config(
    name: str, words: list[str], function: Callable[..., object], commands: Callable[[], Iterable[str]]
) -> list[str]:
    """Return a command's words with those of a `--config` file in front.

    Args:
        name: of the command ("train dsbc").
        words: after the command's name.
        function: that runs it; its annotations say what there is.
        commands: gives the names of all commands; asked only where there is a file.
    Raises:
        ConfigError: the file cannot be read, or holds what is not understood.
    """
    file, rest = _taken(words)
    return rest if file is None else [*_words(file, name, function, set(commands())), *rest]


def _taken(words: list[str]) -> tuple[Path | None, list[str]]:
    """Return the file that the words name, and the other words."""
    files, rest, left = list[str](), list[str](), iter(words)
    for word in left:
        if word == _OPTION:
            files.append(next(left, ""))
        elif word.startswith(f"{_OPTION}="):
            files.append(word.removeprefix(f"{_OPTION}="))
        else:
            rest.append(word)
    if not files:
        return None, rest
    if files[0].startswith("-") or not files[0]:
        raise ConfigError(f"--config needs a TOML file, got {files[0] or 'nothing'}. Write: --config lab.toml")
    if len(files) > 1:
        raise ConfigError(f"--config is given {len(files)} times, and one file is read. Put all settings into one.")
    return Path(files[0]), rest


def _words(file: Path, name: str, function: Callable[..., object], commands: set[str]) -> list[str]:
    try:
        table: Any = read_toml(file)
    except OSError as error:
        why = found_at(file) if not file.is_file() else error.strerror
        raise ConfigError(f"The configuration '{file}' cannot be read: it {why}. Check the path.") from error
    except ValueError as error:
        raise ConfigError(f"'{file}' is not valid TOML: {error}. Correct it there.") from error
    if unknown := table.keys() - {command.split()[0] for command in commands}:
        raise ConfigError(
            f"'{file}' has settings of '{min(unknown)}', and no command is called so. Correct the name in brackets."
        )
    path = name.split()
    for depth, word in enumerate(path):
        above = " ".join(path[:depth])
        if above and above not in commands:
            inner = {c.split()[depth] for c in commands if c.startswith(f"{above} ")}
            if unknown := table.keys() - inner:
                raise ConfigError(
                    f"'{file}' has '{min(unknown)}' in [{above}], which is no command of that group: {', '.join(sorted(inner))}. "
                    f"Write options under [{name.replace(' ', '.')}]."
                )
        table = table.get(word, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"'{file}' has {word} = {table!r}, expected a table. Write [{'.'.join(path)}] above its options."
            )
    inner = {c.removeprefix(f"{name} ").split()[0] for c in commands if c.startswith(f"{name} ")}
    own = {key: value for key, value in table.items() if not (key in inner and isinstance(value, dict))}
    return _from_table(own, hints_of_command(function), f"'{file}', [{'.'.join(path)}]", "")


def _from_table(table: Mapping[str, Any], hints: Mapping[str, Any], where: str, prefix: str) -> list[str]:
    """Return the words of a table, along the annotations of what it may hold. Raises ConfigError."""
    hints = flattened(hints)
    words: list[str] = []
    for key, value in table.items():
        option = key.replace("-", "_")
        if option not in hints:
            near = difflib.get_close_matches(option, hints, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"{where} has no option '{key}'. Known: {', '.join(sorted(hints))}.{hint}")
        if is_positional(hints[option]):
            raise ConfigError(f"{where} has '{key}', which is given on the command line only. Leave it out there.")
        words += _from_value(value, hints[option], where, prefix, option)
    return words


def _from_value(value: Any, hint: Any, where: str, prefix: str, option: str) -> list[str]:
    kind = bare(hint)
    flag = f"--{prefix}{option.replace('_', '-')}"
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise _unfit(where, option, value, "a table")
        return _from_table(value, hints_of(kind), f"{where}, {option}", f"{flag.removeprefix('--')}.")
    if get_origin(kind) in (dict, Mapping) or kind is dict:
        if not isinstance(value, dict):
            raise _unfit(where, option, value, "a table of names and values")
        pairs = [part for name, own in value.items() for part in (name, _scalar(own, None, where, f"{option}.{name}"))]
        return [flag, *pairs]
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _unfit(where, option, value, "a list in brackets")
        return [flag, *(_scalar(part, get_args(kind)[0], where, option) for part in value)]
    if kind is bool:
        if not isinstance(value, bool):
            raise _unfit(where, option, value, "true or false")
        return [flag if value else f"--{prefix}no-{option.replace('_', '-')}"]
    text = _scalar(value, kind, where, option)
    # As one word: what begins with a dash would be taken for the next option.
    return [f"{flag}={text}"] if text.startswith("-") or not text else [flag, text]


def _scalar(value: Any, kind: Any, where: str, option: str) -> str:
    """Return one value as a word; `kind` None takes any. Raises ConfigError for a list, a table, or another type."""
    kind = bare(kind)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        is_fit, expected = is_number and isinstance(value, int), "a whole number"
    elif kind is float:
        is_fit, expected = is_number, "a number"
    elif kind is None:
        is_fit, expected = is_number or isinstance(value, str | bool), "a number, a text, true or false"
    elif get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, enum.Enum)):
        is_fit, expected = isinstance(value, str), "a text in quotes"
    else:
        is_fit = isinstance(value, str) and (kind is not Path or bool(value))
        expected = "a path in quotes" if kind is Path else "a text in quotes"
    if not is_fit:
        raise _unfit(where, option, value, expected)
    return str(value)


def _unfit(where: str, option: str, value: Any, expected: str) -> ConfigError:
    got = "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)[:60]
    return ConfigError(f"{where} has {option} = {got}, expected {expected}. Correct it there.")
