"""`frs worlds`: install the dependencies of a world, and measure its demonstrator.

Each function is one command; its arguments are the options, its docstring the help.
"""

from pathlib import Path
from typing import Annotated

import tyro

from frs_core import paths
from frs_core.commands.printing import console, mark
from frs_core.errors import ConfigError
from frs_core.runtime.bounds import Count, Seed
from frs_core.runtime.registry import plain_options, plugins, resolve
from frs_core.worlds import GROUP, KNOWN, make_unwatched_world

Name = Annotated[str, tyro.conf.Positional]


def install(name: Name, *, into: Path | None = None) -> int:
    """Install the dependencies of a world that cannot share the product's own environment.

    Of the product's own worlds, only libero has any: LIBERO's packages (about 340 MB to download, 2.1 GB on disk) are installed into
    a Python environment of their own, each verified by its checksum. If interrupted, run the command again to continue.

    Args:
        name: Name of the world.
        into: Folder to install into, instead of the default one.
    """
    installer = getattr(resolve("world", name, {**plugins(GROUP), **KNOWN}), "installer", "")
    if not installer:
        raise ConfigError(f"World '{name}' has nothing to install. Start it with `frs --world {name}`.")
    page = console()
    done = resolve("installer", installer, {})(lambda line: page.print(line, soft_wrap=True), folder=into)
    page.print(mark("✓", "green"), done, soft_wrap=True)
    page.print(mark(f"frs --world {name}", "dim"), soft_wrap=True)
    return 0


def survey(
    name: Name,
    *,
    tasks: tuple[str, ...] = (),
    seeds: Count = 5,
    first_seed: Seed = 50,
    out: Path | None = None,
    demonstrator: str = "",
    world_options: dict[str, str] | None = None,
) -> int:
    """Measure how often a world's demonstrator succeeds; run it again to resume.

    Nothing is recorded and no policy is needed. In libero, `--world-options images false` renders nothing, which is ten times faster.

    Args:
        name: Name of the world.
        tasks: Tasks to measure; default all.
        seeds: Scenes per task.
        first_seed: Number of the first scene; the default leaves out LIBERO's stored states, which are for final tests.
        out: File of attempts; default <data>/surveys/<world>.jsonl.
        demonstrator: Your own demonstrator, module:function; default the world's.
        world_options: Options of the world as key-value pairs.
    """
    from frs_core.evaluation.survey import successes
    from frs_core.evaluation.survey import survey as run

    page = console()
    world = make_unwatched_world(name, **plain_options(world_options))
    try:
        attempts = run(
            world,
            tasks or world.spec.tasks,
            range(first_seed, first_seed + seeds),
            out or paths.data() / "surveys" / f"{name}.jsonl",
            demonstrator=demonstrator,
            on_attempt=lambda a: page.print(
                f"{a.task}, scene {a.seed}: {'success' if a.success else f'failure ({a.doing})'}, {a.steps} steps"
            ),
        )
    finally:
        world.close()
    rows = successes(attempts)
    for task, (good, all_) in rows.items():
        page.print(f"{task:20} {good} of {all_}")
    most = sum(good >= 0.8 * all_ for good, all_ in rows.values())
    page.print(f"{most} of {len(rows)} tasks succeed in at least 4 of 5 scenes")
    return 0
