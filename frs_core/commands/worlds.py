"""`frs worlds install`: make what a world needs beside the product's own environment.

Each function is one command; its arguments are the options, its docstring the help.
"""

from pathlib import Path
from typing import Annotated

import tyro

from frs_core.commands.printing import console, mark
from frs_core.errors import unknown_name

Name = Annotated[str, tyro.conf.Positional]
INSTALLABLE = ("libero",)


def install(name: Name, *, into: Path | None = None) -> int:
    """Install what a world needs and the product's own environment cannot hold: libero.

    LIBERO's own packages (about 340 MB over the network, 2.1 GB on disk) go into a Python environment of their own, each checked
    against a checksum. Given again, the command goes on where it stopped.

    Args:
        name: Which world.
        into: Another folder; name its Python with --world-options python INTO/bin/python.
    """
    if name not in INSTALLABLE:
        raise unknown_name("world to install", name, INSTALLABLE)
    from frs_core.worlds.libero.install import home
    from frs_core.worlds.libero.install import install as install_libero

    page = console()
    versions = install_libero(lambda line: page.print(line, soft_wrap=True), folder=into)
    words = f"{versions['libero']}, MuJoCo {versions['mujoco']}, in {into or home()}"
    page.print(mark("✓", "green"), words, soft_wrap=True)
    page.print(mark("frs --world libero --world-options task libero_90/13", "dim"), soft_wrap=True)
    return 0
