"""Robots and simulators by name. Importing this package imports none of them."""

import dataclasses
import os
from typing import Annotated

from typing_extensions import Doc

from frs_core.errors import ConfigError
from frs_core.runtime.registry import build, by_name, named, plugins, without_secrets
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
    try:
        given = {
            k: _kept(name, k, v)
            for k, v in without_secrets(options).items()
            if v is not None and k not in world.secrets
        }
    except ConfigError:
        world.close()
        raise
    world.spec = dataclasses.replace(world.spec, options=given)
    return world


def _kept(world: str, option: str, value: object) -> str | int | float | bool:
    """Return an option as it is recorded; a list of numbers or words as the text that the command line takes for it.

    Raises:
        ConfigError: it is anything else.
    """
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float | bool) for v in value):
        return ", ".join(map(str, value))
    raise ConfigError(
        f"Option '{option}' of world '{world}' is of type {type(value).__name__}, which a recording cannot keep. Give a number, "
        f"a text or a list of them; name it in the world's `secrets` if it must not be kept."
    )


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
