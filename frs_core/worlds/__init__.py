"""Robots and simulators by name. Importing this package imports none of them."""

import dataclasses

from frs_core.errors import ConfigError
from frs_core.runtime.registry import build, by_name, plugins
from frs_core.worlds.base import StepResult, World, WorldSpec

GROUP = "frs_core.worlds"
KNOWN = by_name(
    "world",
    (
        ("tabletop", "frs_core.worlds.tabletop:TabletopWorld"),
        ("droid", "frs_core.worlds.droid:open_droid"),
        ("libero", "frs_core.worlds.libero:LiberoWorld"),
    ),
)
"""Name -> where it lives; installed packages add theirs (entry points `GROUP`)."""
_SECRETS = {"token"}
"""Options that are not kept with what is recorded."""


def make_world(name: str, **options: object) -> World:
    """Return a world.

    Args:
        name: one of `KNOWN`, one that an installed package brings, or "module:Class" of your own.
        options: what that world takes.
    Raises:
        ConfigError: unknown name or option.
    """
    world: World = build("world", name, {**plugins(GROUP), **KNOWN}, options)
    given = {k: v for k, v in options.items() if k not in _SECRETS and isinstance(v, str | int | float | bool)}
    world.spec = dataclasses.replace(world.spec, options=given)
    return world


def make_unwatched_world(name: str, **options: object) -> World:
    """Return a world for what runs without a window; see `make_world`.

    Raises:
        ConfigError: a real robot, unknown name or option.
    """
    world = make_world(name, **options)
    if world.spec.is_simulated:
        return world
    world.close()
    raise ConfigError(
        f"World '{name}' is a real robot, and nobody would be at its Hold. Start the cockpit with it; there a person "
        f"starts every episode, and *Practise* practises."
    )


__all__ = ["KNOWN", "StepResult", "World", "WorldSpec", "make_unwatched_world", "make_world"]
