"""Robots and simulators by name. Importing this package imports none of them."""

import dataclasses

from frs_core.registry import build
from frs_core.worlds.base import StepResult, World, WorldSpec

KNOWN = {
    "tabletop": "frs_core.worlds.tabletop:TabletopWorld",
    "droid": "frs_core.worlds.droid:open_droid",
}
"""Name -> where it lives."""
_SECRETS = {"token"}
"""Options that are not kept with what is recorded."""


def make_world(name: str, **options: object) -> World:
    """Return a world.

    Args:
        name: one of `KNOWN`, or "module:Class" of your own.
        options: what that world takes.
    Raises:
        ConfigError: unknown name or option.
    """
    world: World = build("world", name, KNOWN, options)
    given = {k: v for k, v in options.items() if k not in _SECRETS and isinstance(v, str | int | float | bool)}
    world.spec = dataclasses.replace(world.spec, options=given)
    return world


__all__ = ["KNOWN", "StepResult", "World", "WorldSpec", "make_world"]
