"""Robots and simulators by name. Importing this package imports none of them."""

from frs_core.registry import build
from frs_core.worlds.base import StepResult, World, WorldSpec

KNOWN = {
    "tabletop": "frs_core.worlds.tabletop:TabletopWorld",
    "libero": "frs_core.worlds.libero:LiberoWorld",
    "droid": "frs_core.worlds.droid:open_droid",
}
"""Name -> where it lives."""


def make_world(name: str, **options: object) -> World:
    """Return a world.

    Args:
        name: one of `KNOWN`, or "module:Class" of your own.
        options: what that world takes.
    Raises:
        ConfigError: unknown name or option.
    """
    return build("world", name, KNOWN, options)


__all__ = ["KNOWN", "StepResult", "World", "WorldSpec", "make_world"]
