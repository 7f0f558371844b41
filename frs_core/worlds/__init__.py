"""Robots and simulators by name. Importing this package imports none of them."""

import dataclasses
from typing import Annotated

from typing_extensions import Doc

from frs_core.errors import ConfigError
from frs_core.runtime.registry import build, by_name, named, plugins, require_kind, storable
from frs_core.worlds.base import StepResult, World, WorldSpec

GROUP = "frs_core.worlds"
KNOWN = by_name(
    "world",
    (
        ("tabletop", "frs_core.worlds.tabletop:TabletopWorld"),
        ("droid", "frs_core.worlds.droid:DroidWorld"),
        ("libero", "frs_core.worlds.libero:LiberoWorld"),
    ),
)
"""Name -> where it lives; installed packages add theirs (entry points `GROUP`)."""
DEFAULT = "tabletop"
"""The world where none is named."""
WorldName = Annotated[str, named("Robot or simulator", KNOWN, "Class")]
"""An option of a command: which world."""
WorldOptions = Annotated[dict[str, str] | None, Doc("Options of the world: NAME VALUE ….")]
"""An option of a command: what the world is made with."""


def make_world(name: str, **options: object) -> World:
    """Return a world.

    Args:
        name: one of `KNOWN`, one that an installed package brings, or "module:Class" of your own.
        options: what that world takes.
    Raises:
        ConfigError: unknown name or option, or an option that a recording cannot keep.
    """
    world: World = build("world", name, {**plugins(GROUP), **KNOWN}, options)
    require_kind("world", name, world, World)
    try:
        given = storable("world", name, options, secrets=world.secrets)
    except ConfigError:
        world.close()
        raise
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


__all__ = [
    "DEFAULT",
    "KNOWN",
    "StepResult",
    "World",
    "WorldName",
    "WorldOptions",
    "WorldSpec",
    "make_unwatched_world",
    "make_world",
]
