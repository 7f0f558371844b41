"""What worlds check themselves: every row whose `World.doctor` names a check, the product's own and those of installed packages.

Example: on a machine where LIBERO was never installed, the check of world 'libero' gives one NOTE with the command.
"""

from collections.abc import Mapping

from frs_core import worlds
from frs_core.errors import ConfigError, FrsError
from frs_core.runtime.finding import Finding, Level
from frs_core.runtime.registry import Option, plugins, require_options, resolve, typed_options

SUBJECT = "Worlds"


def check_worlds(
    name: str = "", options: Mapping[str, Option] | None = None, *, is_quick: bool = False
) -> list[Finding]:
    """Return what the checks of all worlds find; a world that has none, or that cannot be imported, adds nothing.

    Args:
        name: a world to check with options; also "module:Class" of your own. Empty = all without.
        options: of that world.
        is_quick: start nothing that takes seconds.
    Raises:
        ConfigError: `name` is unknown, cannot be imported, or has no check, or its check has no such option.
    """
    if options and not name:
        raise ConfigError(f"Options {sorted(options)} are given, but no world. Name it with --world.")
    known = {**plugins(worlds.GROUP), **worlds.KNOWN}
    if name:
        check = getattr(resolve("world", name, known), "doctor", "")
        if not check:
            raise ConfigError(f"World '{name}' has no check of its own. Leave out --world.")
        what = f"check of world '{name}'"
        function = resolve("check", check, {})
        require_options("world", name, function, options or {}, what=what, own=("is_quick",))
        options = typed_options("world", name, function, options or {})
    rows = (*known, name) if name and name not in known else tuple(known)
    return [
        finding
        for row in rows
        for finding in _check(row, known, (options or {}) if row == name else {}, is_quick=is_quick)
    ]


def _check(name: str, known: Mapping[str, str], options: Mapping[str, Option], *, is_quick: bool) -> list[Finding]:
    try:
        check = getattr(resolve("world", name, known), "doctor", "")
    except ConfigError:
        return []  # `check_packages` and `check_plugins` say so.
    if not check:
        return []
    try:
        found = resolve("check", check, {})(is_quick=is_quick, **options)
    except Exception as error:  # A check of somebody else may raise anything.
        if options and isinstance(error, ConfigError):
            raise  # What was given on the command line is wrong, and not what it checks.
        said = str(error) if isinstance(error, FrsError) else f"{type(error).__name__}: {error}"
        text = f"the check of world '{name}' failed: {said}"
        return [Finding(Level.FAILURE, SUBJECT, text, f"Correct {check}, or the options of the world")]
    if not isinstance(found, list) or not all(isinstance(f, Finding) for f in found):
        text = f"the check of world '{name}' returned {type(found).__name__}, expected a list of findings"
        return [Finding(Level.FAILURE, SUBJECT, text, f"Correct {check}")]
    return found
