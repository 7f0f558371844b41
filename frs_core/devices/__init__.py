"""Input devices: hardware -> controls -> intents. The keyboard is read by Qt and handled in `app`."""

from collections.abc import Iterable, Mapping

from frs_core.devices.base import ControlChange, DeviceEvent, DeviceNotice, DominantAxis, InputDevice, Stage
from frs_core.devices.intent import ANY_SCOPE, Clash, InputMap, Intent, seen_direction
from frs_core.errors import ConfigError
from frs_core.runtime.registry import by_name, plugins, require_words, resolve, warn_once

GROUP = "frs_core.devices"
KNOWN: Mapping[str, str] = by_name(
    "device",
    (
        ("gamepad", "frs_core.devices.gamepad:Gamepad"),
        ("spacemouse", "frs_core.devices.spacemouse:SpaceMouse"),
    ),
)
"""Kind -> import path of its class, in menu order; installed packages add theirs (entry points `frs_core.devices`)."""


def device_classes() -> tuple[type[InputDevice], ...]:
    """Return the class of every kind, built-in ones first; a plug-in that is not a valid device is skipped and logged."""
    classes: dict[str, type[InputDevice]] = {}
    for kind, path in {**KNOWN, **{k: p for k, p in plugins(GROUP).items() if k not in KNOWN}}.items():
        try:
            classes[kind] = load_device(kind, path, others=classes.values())
        except ConfigError as error:
            warn_once(str(error))
    return tuple(classes.values())


def load_device(kind: str, path: str, *, others: Iterable[type[InputDevice]]) -> type[InputDevice]:
    """Return the class of a kind of device.

    Args:
        kind: its name.
        path: "module:Class".
        others: classes whose prefixes are taken.
    Raises:
        ConfigError: it cannot be imported, is not a device of that kind, a text of it is empty, or its prefix is taken.
    """
    found = resolve("device", kind, {kind: path})
    if not (isinstance(found, type) and issubclass(found, InputDevice)):
        raise ConfigError(f"Device '{kind}' is {found!r}, expected an InputDevice class. Correct {path}.")
    require_words("device", kind, title=found.title, prefix=found.prefix)
    if found.prefix in ("key", *(other.prefix for other in others)):
        raise ConfigError(f"Device '{kind}' uses the prefix '{found.prefix}', which is already taken. Choose another.")
    if found.kind != kind:
        raise ConfigError(f"Device '{kind}' is of kind '{found.kind}' in {path}. Give both the same name.")
    return found


__all__ = [
    "ANY_SCOPE",
    "KNOWN",
    "Clash",
    "ControlChange",
    "DeviceEvent",
    "DeviceNotice",
    "DominantAxis",
    "InputDevice",
    "InputMap",
    "Intent",
    "Stage",
    "device_classes",
    "load_device",
    "seen_direction",
]
