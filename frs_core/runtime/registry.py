"""Find a back end by name and import it only then, so that heavy packages load where they are used.

A name is a known one ("tabletop"), one that an installed package brings (its entry points), or an import path of your own
("mylab.worlds:OurRobot").
"""

import difflib
import functools
import importlib
import importlib.metadata
import inspect
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from typing_extensions import Doc

from frs_core.errors import ConfigError, FrsError, unknown_name, why_left_out
from frs_core.runtime.address import shown, without_secret
from frs_core.runtime.bounds import require_within
from frs_core.runtime.typed import Unfit, hints_of_call, loose, plain, typed

_log = logging.getLogger("registry")
_SECRETS = {"token", "password", "secret", "key"}
"""Words in the names of options that are not stored with what is recorded."""

Option = str | int | float | bool
"""Value of an option of a world or a policy."""


R = TypeVar("R")
"""A row: what is known about a back end without loading it; its `id` is its name."""


def by_name(kind: str, rows: Iterable[tuple[str, R]]) -> dict[str, R]:
    """Return rows by name, in their order; a registry is made by this.

    Args:
        kind: what a row stands for, singular ("world").
        rows: name and row of each.
    Raises:
        ConfigError: two rows have one name, or a name is empty.
    """
    found: dict[str, R] = {}
    for name, row in rows:
        require_words(kind, name, id=name)
        if name in found:
            raise ConfigError(f"Two rows of the registry are called {kind} '{name}'. Rename one of them.")
        found[name] = row
    return found


def by_id(kind: str, rows: Iterable[R]) -> dict[str, R]:
    """Return rows by their `id`; see `by_name`."""
    return by_name(kind, ((row.id, row) for row in rows))  # pyright: ignore[reportAttributeAccessIssue]


def require_words(kind: str, name: str, /, **words: str) -> None:
    """Do nothing, unless a text that a row must give is empty or blank.

    Args:
        kind: what the row stands for, singular ("learner").
        name: of the row.
        words: field -> text.
    Raises:
        ConfigError: the first such field.
    """
    for field, text in words.items():
        if not text.strip():
            raise ConfigError(f"The {field} of {kind} '{name}' is empty. Give its row one.")


def require_name(kind: str, name: str, known: Mapping[str, str], group: str) -> None:
    """Do nothing, unless a name stands for nothing; what it stands for is not imported.

    Args:
        kind: what the name stands for, singular ("world").
        name: a key of `known`, one that an installed package brings, or "module:attribute", which is not looked for.
        known: name -> "module:attribute", the product's own.
        group: of the entry points.
    Raises:
        ConfigError: unknown name.
    """
    if name not in known and ":" not in name and name not in (installed := plugins(group)):
        raise unknown_name(kind, name, {*known, *installed})


def resolve(kind: str, name: str, known: Mapping[str, str]) -> Any:
    """Return what a name stands for.

    Args:
        kind: what the name stands for, singular ("world").
        name: a key of `known`, or "module:attribute".
        known: name -> "module:attribute".
    Raises:
        ConfigError: unknown name, or it cannot be imported.
    """
    path = known.get(name, name)
    if ":" not in path:
        raise unknown_name(kind, name, known)
    module, attribute = path.split(":", 1)
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(
            f"The {kind} '{name}' is no \"module:name\" of Python. Write it like mylab.{kind.split()[-1]}s:OurOwn."
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        left_out = why_left_out(error.name) if isinstance(error, ModuleNotFoundError) else None
        if left_out is not None:
            raise ConfigError(f"The {kind} '{name}' cannot be loaded. {left_out}") from error
        raise ConfigError(
            f"The {kind} '{name}' cannot be loaded from {path}: {error}. Install what is missing, or correct the name."
        ) from error
    except FrsError as error:  # The module's row is refused.
        raise ConfigError(f"The {kind} '{name}' cannot be loaded from {path}: {error}") from error
    except Exception as error:  # A module of somebody else may raise anything when it is imported.
        raise ConfigError(
            f"The {kind} '{name}' cannot be loaded from {path}: {type(error).__name__}: {error}. Correct it, or uninstall "
            f"its package."
        ) from error


def build(kind: str, name: str, known: Mapping[str, str], options: Mapping[str, Any]) -> Any:
    """Return what a named factory makes of options.

    Raises:
        ConfigError: unknown name or option, or a required option is missing; the text lists the options.
    """
    factory, options = prepared(kind, name, known, options)
    return call(kind, name, factory, **options)


def prepared(
    kind: str, name: str, known: Mapping[str, str], options: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]]:
    """Return a named factory, which is not called, and options as its annotations want them. Raises as `build`."""
    factory = resolve(kind, name, known)
    if callable(factory):
        require_options(kind, name, factory, options)
        options = typed_options(kind, name, factory, options)
    return factory, options


def call(kind: str, name: str, function: Any, *args: Any, **options: Any) -> Any:
    """Return what the function that a name stands for returns.

    Args:
        kind: what the name stands for, singular ("export format").
        name: of the function, or its "module:function".
        function: as `resolve` gave it.
        args: what it is called with.
        options: further arguments, by name.
    Raises:
        ConfigError: it is no function, takes other arguments, or, where it is somebody's own ("module:function"), raised something.
    """
    if not callable(function):
        raise ConfigError(
            f"The {kind} '{name}' is a {type(function).__name__}, expected a function or class. Correct the name."
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # Written in C, without a signature.
        signature = None
    if signature is not None:
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            given = ", ".join([*(type(a).__name__ for a in args), *options])
            raise ConfigError(
                f"The {kind} '{name}' takes {signature}, and is called with ({given}): {error}. Correct the name, or the function."
            ) from error
    try:
        return function(*args, **options)
    except FrsError:
        raise
    except Exception as error:
        if ":" not in name:  # The product's own: a fault of it.
            raise
        raise ConfigError(f"The {kind} '{name}' failed: {type(error).__name__}: {error}. Correct it.") from error


def require_kind(kind: str, name: str, value: object, *expected: type) -> None:
    """Do nothing, unless what somebody's own function returned is something else.

    Args:
        kind: what the name stands for, singular.
        name: of the function.
        value: what it returned.
        expected: classes of which it must be one.
    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, expected):
        wanted = " or ".join(k.__name__ for k in expected)
        raise ConfigError(
            f"The {kind} '{name}' returned a {type(value).__name__}, expected a {wanted}. Correct the name."
        )


def require_options(
    kind: str, name: str, factory: Any, options: Mapping[str, Any], *, what: str = "", own: Collection[str] = ()
) -> None:
    """Do nothing, unless a factory lacks one of the options, or needs another one.

    Args:
        kind: what the options belong to, singular ("world"); they are given with --KIND-options.
        name: of it.
        factory: what is called with them.
        options: as given.
        what: what has the options, for the text; empty = kind and name.
        own: arguments that the caller fills in.
    Raises:
        ConfigError: unknown option, or a required one is missing; the text lists the options.
    """
    what = what or f"{kind} '{name}'"
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # Written in C, without a signature; it checks its arguments itself.
        return
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes = {p.name: p.default is p.empty for p in by_name if p.name not in own}
    listed = ", ".join(f"{option} (required)" if needed else option for option, needed in takes.items())
    known = f"Its options: {listed or 'none'}"
    unknown = [option for option in options if option not in takes]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        near = difflib.get_close_matches(unknown[0], takes, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"The {what} has no option '{unknown[0]}'. {known}.{hint}")
    if missing := [option for option, needed in takes.items() if needed and option not in options]:
        raise ConfigError(
            f"The {what} needs option '{missing[0]}', which was not given. {known}. Give it with "
            f"--{kind}-options {missing[0]} VALUE."
        )


def typed_options(
    kind: str, name: str, factory: Any, options: Mapping[str, Any], *, hints: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return options as a factory's annotations want them; where it has none, a word as the number or switch that it can be read as.

    Args:
        kind: what the options belong to, singular ("world"); they are given with --KIND-options.
        name: of it.
        factory: what is called with them.
        options: as given, words in `plain_options`' form.
        hints: option -> annotation; None = the factory's.
    Raises:
        ConfigError: a value of another type, or outside the bounds of its annotation (`runtime.bounds`).
    """
    hints, found = hints_of_call(factory) if hints is None else hints, dict[str, Any]()
    for option, value in options.items():
        try:
            found[option] = typed(value, hints[option]) if option in hints else loose(value)
        except Unfit as error:
            got = "a secret" if is_secret(option) else f"'{shown(value)}'"
            raise ConfigError(
                f"Option '{option}' of {kind} '{name}' is {got}, expected {error}. Correct it in --{kind}-options {option}."
            ) from error
        require_within(f"Option '{option}' of {kind} '{name}'", found[option], hints.get(option))
    return found


def plugins(group: str) -> Mapping[str, str]:
    """Return what installed packages bring: name -> "module:attribute". Of two with one name the first is taken; the other is logged.

    Args:
        group: of entry points, "frs_core.worlds".
    """
    found: dict[str, str] = {}
    for point in _entry_points().select(group=group):
        if found.setdefault(point.name, point.value) != point.value:
            warn_once(
                f"Two installed packages bring '{point.name}' of {group}: {point.value} is left out, {found[point.name]} is used. "
                f"Uninstall one, or rename it."
            )
    return found


@functools.cache
def _entry_points() -> Any:
    """Return the entry points of all groups, to `select` from: their lookup reads a file of every installed package.

    Their class is `SelectableGroups` up to Python 3.11 and `EntryPoints` from 3.12 on.
    """
    return importlib.metadata.entry_points()


def all_rows(kind: str, row_type: type[R], known: Mapping[str, R], installed: Mapping[str, str]) -> dict[str, R]:
    """Return all rows by id, the product's own first; an installed one that cannot be imported is left out and logged.

    Args:
        kind: what a row stands for, singular ("learner").
        row_type: class of the rows.
        known: the product's own.
        installed: name -> "module:attribute", as `plugins` gives them.
    """
    rows = dict(known)
    for name, path in installed.items():
        if name in known:
            warn_once(
                f"The {kind} '{name}' of an installed package ({path}) is left out: the product has one. Rename it."
            )
            continue
        try:
            rows[name] = _installed(kind, row_type, name, path)
        except ConfigError as error:
            warn_once(str(error))
    return rows


@functools.cache
def warn_once(text: str) -> None:
    """Log a warning, the first time in this process: rows are read again for every menu."""
    _log.warning("%s", text)


def find_row(kind: str, row_type: type[R], name: str, known: Mapping[str, R], installed: Mapping[str, str]) -> R:
    """Return a row by id; arguments as of `all_rows`.

    Raises:
        ConfigError: unknown name, or an installed row that cannot be imported.
    """
    if name in known:
        return known[name]
    if name not in installed:
        raise unknown_name(kind, name, {*known, *installed})
    return _installed(kind, row_type, name, installed[name])


def _installed(kind: str, row_type: type[R], name: str, path: str) -> R:
    row = resolve(kind, name, {name: path})
    if not isinstance(row, row_type) or getattr(row, "id", None) != name:
        raise ConfigError(
            f"The {kind} '{name}' of an installed package is {row!r}, expected a {row_type.__name__} with that id. "
            f"Correct {path}."
        )
    return row


def named(what: str, rows: Iterable[str], own: str) -> Doc:
    """Return the help of an option that takes a name from a registry, so that it lists every row.

    Args:
        what: what the name stands for ("Robot or simulator").
        rows: names of the product's own.
        own: what an import path ends with ("Class").
    """
    return Doc(f'{what}: {", ".join(rows)}, one of an installed package, or "module:{own}" of your own.')


def plain_options(options: Mapping[str, str] | None) -> dict[str, Option]:
    """Return options given on the command line, each value as bool, int or float where it is written exactly so, else as text. What takes
    them says which it wants (`typed_options`)."""
    return {key: plain(text) for key, text in (options or {}).items()}


def loose_options(options: Mapping[str, str] | None) -> dict[str, Option]:
    """Return options given on the command line to what has no annotations: each value as bool, int, float or text, as it can be read."""
    return {key: loose(text) for key, text in (options or {}).items()}


def with_flags(options: Mapping[str, str] | None, flags: Mapping[str, Option | None]) -> dict[str, Option]:
    """Return options given on the command line together with those that have a flag of their own.

    Args:
        options: as given.
        flags: option -> value; None = not given.
    Raises:
        ConfigError: one is given both ways.
    """
    found = plain_options(options)
    for name, value in flags.items():
        if value is not None and name in found:
            flag = name.replace("_", "-")
            raise ConfigError(f"Option '{name}' is given twice, by --{flag} and in the options. Leave one of them out.")
        if value is not None:
            found[name] = value
    return found


def is_secret(name: str) -> bool:
    """Whether the name of an option or a variable says that its value is a token, password, secret or key."""
    return not _SECRETS.isdisjoint(name.lower().split("_"))


def without_secrets(options: Mapping[str, R]) -> dict[str, R]:
    """Return options as they may be stored: without tokens, passwords, secrets and keys, judged by their names, and addresses as they may
    be shown (`runtime.address`)."""
    return {name: without_secret(value) for name, value in options.items() if not is_secret(name)}  # pyright: ignore[reportReturnType]  a text stays one


def storable(
    kind: str, name: str, options: Mapping[str, object], *, secrets: Collection[str] = ()
) -> dict[str, Option]:
    """Return options as a recording keeps them: without secrets and None, paths as texts, lists as the command line takes them.

    Args:
        kind: what the options belong to, singular ("world").
        name: of it.
        options: as given.
        secrets: further options that are left out.
    Raises:
        ConfigError: a value that a recording cannot keep.
    """
    given = {k: v for k, v in without_secrets(options).items() if v is not None and k not in secrets}
    return {option: _kept(kind, name, option, value) for option, value in given.items()}


def _kept(kind: str, name: str, option: str, value: object) -> Option:
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float | bool) for v in value):
        return ", ".join(map(str, value))
    raise ConfigError(
        f"Option '{option}' of {kind} '{name}' is of type {type(value).__name__}, which a recording cannot keep. Give a number, a "
        f"text or a list of them."
    )
