"""Whether what installed packages bring can be loaded: worlds, policies, learners, choosers and devices.

Every row is loaded as the cockpit would load it, without making a world or a policy.

Example: with `examples/plugin` installed, one OK line reads "chooser 'homing' from frs_toy.chooser:ROW".
"""

from collections.abc import Callable

from frs_core import devices, policies, worlds
from frs_core.choosers import registry as choosers
from frs_core.errors import ConfigError
from frs_core.learning import registry as learners
from frs_core.runtime.finding import Finding, Level
from frs_core.runtime.registry import plugins, resolve

SUBJECT = "Plug-ins"


def check_plugins() -> list[Finding]:
    """Return one finding for every entry point of an installed package; one note without any."""
    findings = [
        _finding(kind, name, path, is_taken=name in known, load=load)
        for kind, group, known, load in (
            ("world", worlds.GROUP, worlds.KNOWN, _callable("world")),
            ("policy", policies.GROUP, policies.KNOWN, _callable("policy")),
            ("learner", learners.GROUP, learners.KNOWN, lambda name, _: learners.find_learner(name).load()),
            ("chooser", choosers.GROUP, choosers.KNOWN, _chooser),
            ("device", devices.GROUP, devices.KNOWN, _device),
        )
        for name, path in plugins(group).items()
    ]
    return findings or [
        Finding(Level.NOTE, SUBJECT, "none is installed", "Not needed; docs/extending.md shows how to write one")
    ]


def _finding(kind: str, name: str, path: str, *, is_taken: bool, load: Callable[[str, str], object]) -> Finding:
    if is_taken:
        text = f"{kind} '{name}' from {path} is not used: the product has a {kind} of that name"
        return Finding(Level.FAILURE, SUBJECT, text, "Give it another name in its package's entry points")
    try:
        load(name, path)
    except ConfigError as error:
        what, _, fix = str(error).rpartition(". ")
        return Finding(Level.FAILURE, SUBJECT, what, fix)
    return Finding(Level.OK, SUBJECT, f"{kind} '{name}' from {path}")


def _callable(kind: str) -> Callable[[str, str], object]:
    def load(name: str, path: str) -> object:
        found = resolve(kind, name, {name: path})
        if not callable(found):
            raise ConfigError(f"The {kind} '{name}' is {found!r}, expected a class or function. Correct {path}.")
        return found

    return load


def _chooser(name: str, _path: str) -> object:
    row = choosers.find_chooser(name)
    return resolve("chooser", row.make, {}) if row.make else row


def _device(name: str, path: str) -> object:
    return devices.load_device(name, path, others=[c for c in devices.device_classes() if c.kind != name])
