"""`frs bench rql`: Reversal Q-Learning on OGBench, with the authors' code beside it.

Example: `frs bench rql --task cube-single-play-singletask-v0 --episodes 100 --hidden 128 128 128 --heads 2 --batch 128 --steps 100000
--evaluate-every 20000 --seeds 0 1 2 --out runs/rql`; full size is the default and needs a GPU.
"""

from dataclasses import replace
from pathlib import Path

from rich.table import Table

from frs_core.commands.printing import console
from frs_core.errors import ConfigError
from frs_core.runtime.bounds import Count, Seed, Share, Size, Steps, Weight


def rql(
    *,
    out: Path,
    task: str = "puzzle-3x3-play-singletask-v0",
    seeds: tuple[Seed, ...] = (0,),
    episodes: Count = 1000,
    data_seed: Seed = 0,
    steps: Steps = 1_000_000,
    evaluate_every: Steps = 100_000,
    eval_episodes: Count = 50,
    hidden: tuple[Size, ...] = (512, 512, 512, 512),
    heads: Size = 10,
    batch: Size = 256,
    alpha: Weight | None = None,
    expectile: Share | None = None,
    official: Path | None = None,
    official_python: Path | None = None,
) -> int:
    """Train Reversal Q-Learning on OGBench play data generated here, and evaluate it by the authors' protocol.

    The defaults are full size. If interrupted, run the command again to continue. Needs the extra 'rql'.

    Args:
        out: Folder for data, curves, result.json and curves.png.
        task: OGBench name of a cube, scene or puzzle task, with play and singletask in it.
        seeds: Training seeds; more can be added later.
        episodes: Episodes of play data, 1001 steps each.
        data_seed: Seed of the play data.
        steps: Updates of a training.
        evaluate_every: Updates between evaluations.
        eval_episodes: Episodes per evaluation.
        hidden: Units of actor and value, layer by layer.
        heads: Value networks in the ensemble.
        batch: Windows per update.
        alpha: Weight of behaviour cloning; default the authors' for the task.
        expectile: Expectile of the value; default the authors' for the task.
        official: Checkout of github.com/aoberai/rql, to run on the same data and scenes for comparison.
        official_python: Python interpreter with the requirements of that checkout.
    """
    from frs_core.evaluation.rql_bench import preset, report, run
    from frs_core.evaluation.rql_bench.bench import read_times
    from frs_core.evaluation.rql_bench.peer import Official
    from frs_core.evaluation.rql_bench.play import check_count

    if (official is None) != (official_python is None):
        raise ConfigError(
            "--official and --official-python go together: the authors' code, and an interpreter with jax."
        )
    if not seeds or min(steps, evaluate_every, eval_episodes, batch) < 1 or steps % evaluate_every:
        raise ConfigError(
            f"steps {steps} must be a multiple of evaluate-every {evaluate_every}, and seeds, eval-episodes and batch at least 1."
        )
    check_count(episodes)
    spec = preset(task)
    config = replace(spec.config, hidden=hidden, heads=heads)
    if alpha is not None:
        config = replace(config, alpha=alpha)
    if expectile is not None:
        config = replace(config, expectile=expectile)
    spec = replace(
        spec,
        config=config,
        batch=batch,
        steps=steps,
        evaluate_every=evaluate_every,
        eval_episodes=eval_episodes,
        episodes=episodes,
        data_seed=data_seed,
    )
    peer = Official(official, official_python) if official is not None and official_python is not None else None
    page = console()
    curves = run(spec, out, seeds=seeds, official=peer, say=page.print)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("code", "seeds", "updates", "success at the end"):
        table.add_column(header)
    for code, trained in curves.items():
        done = max(points[-1].step for points in trained.values())
        table.add_row(report.TITLES[code], str(len(trained)), str(done), report.last(trained))
    page.print(table)
    if times := read_times(out):
        page.print(report.time_line(times))
    page.print(f"Curves and figures in '{out}'", soft_wrap=True)
    return 0
