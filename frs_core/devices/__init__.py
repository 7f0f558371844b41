"""Input devices: hardware -> controls -> intents. The keyboard is the window system's and lives in `app`."""

from frs_core.devices.base import ControlChange, DeviceEvent, DeviceNotice, DominantAxis, InputDevice, Stage
from frs_core.devices.intent import ANY_SCOPE, Clash, InputMap, Intent, seen_direction
from frs_core.errors import unknown_name

KNOWN = ("gamepad", "spacemouse")


def open_device(kind: str) -> InputDevice:
    """Return a device back end by name; hardware may come and go later.

    Raises:
        ConfigError: unknown kind.
        DeviceError: its library is missing.
    """
    if kind == "gamepad":
        from frs_core.devices.gamepad import Gamepad

        return Gamepad()
    if kind == "spacemouse":
        from frs_core.devices.spacemouse import SpaceMouse

        return SpaceMouse()
    raise unknown_name("device", kind, KNOWN)


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
    "open_device",
    "seen_direction",
]
