"""`frs worlds install`: make what a world needs beside the product's own environment.

Each function is one command; its arguments are the options, its docstring the help.
"""

from pathlib import Path
from typing import Annotated

import tyro

from frs_core.commands.printing import console, mark
from frs_core.errors import ConfigError
from frs_core.runtime.registry import plugins, resolve
from frs_core.worlds import GROUP, KNOWN

Name = Annotated[str, tyro.conf.Positional]


def install(name: Name, *, into: Path | None = None) -> int:
    """Install what a world needs and the product's own environment cannot hold.

    Of the product's own worlds, libero has something to install: LIBERO's packages (about 340 MB over the network, 2.1 GB on disk)
    go into a Python environment of their own, each checked against a checksum. Given again, the command goes on where it stopped.

    Args:
        name: Which world.
        into: Another folder than the usual one.
    """
    installer = getattr(resolve("world", name, {**plugins(GROUP), **KNOWN}), "installer", "")
    if not installer:
        raise ConfigError(f"World '{name}' has nothing to install. Start it with `frs --world {name}`.")
    page = console()
    done = resolve("installer", installer, {})(lambda line: page.print(line, soft_wrap=True), folder=into)
    page.print(mark("✓", "green"), done, soft_wrap=True)
    page.print(mark(f"frs --world {name}", "dim"), soft_wrap=True)
    return 0
