"""Whether the world 'libero' can be used here: its environment, its simulator's version, and one image.

Example: a machine where it was never installed gives one NOTE with the command.
"""

import time

from frs_core.errors import FrsError
from frs_core.runtime.finding import Finding, Level
from frs_core.worlds.libero.install import COMMAND, find_python, installed
from frs_core.worlds.libero.world import LiberoWorld, version_warning

SUBJECT = "LIBERO"


def check_libero(*, python: str = "", is_quick: bool = False) -> list[Finding]:
    """Return whether LIBERO starts and draws.

    Args:
        python: an interpreter given by the user; empty = the usual one, whose absence is not a fault.
        is_quick: start nothing, where none was named.
    """
    if not python:
        try:
            found = find_python()
        except FrsError:
            if installed() is None:
                return [Finding(Level.NOTE, SUBJECT, "world 'libero' is not installed", COMMAND)]
            return [Finding(Level.WARNING, SUBJECT, "world 'libero' was installed by another release", COMMAND)]
        if is_quick:
            return [Finding(Level.OK, SUBJECT, f"world 'libero' runs under {found}")]
    try:
        return _tried(python)
    except FrsError as error:
        what, _, fix = str(error).partition(". ")
        return [Finding(Level.FAILURE, SUBJECT, what, fix or COMMAND)]


def _tried(python: str) -> list[Finding]:
    world = LiberoWorld(python=python)
    try:
        world.observe()
        world.reset(seed=0)
        began = time.perf_counter()
        world.observe()
        ms = 500 * (time.perf_counter() - began)
        versions = world.versions
    finally:
        world.close()
    text = f"{versions['libero']}, MuJoCo {versions['mujoco']}, one 256 x 256 image in {ms:.0f} ms"
    if warning := version_warning(versions["mujoco"]):
        what, _, fix = warning.partition(". ")
        return [Finding(Level.WARNING, SUBJECT, what, fix)]
    return [Finding(Level.OK, SUBJECT, text)]
