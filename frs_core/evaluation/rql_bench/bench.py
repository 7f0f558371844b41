"""The whole benchmark in one folder: data, rows, the time of an update, a training per seed and code, table and plot.

    out/
      bench.json                what was asked for; another request needs another folder
      play/…-00000.npz          play data, ten episodes a file
      rows.npz                  the same with rewards, for both codes
      time.json                 processor time per update, rounds of both codes in turn
      ours/seed-0/              curve.jsonl and the state to resume from
      official/seed-0/          curve.jsonl, job.json, log.txt
      result.json, curves.png

Everything that is there is kept, so the same command resumes after a crash, and more seeds can be added. Runs in the process of
`frs bench rql`.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.evaluation.plots import save_figure
from frs_core.evaluation.rql_bench import play, report
from frs_core.evaluation.rql_bench.peer import Official
from frs_core.evaluation.rql_bench.spec import BenchSpec
from frs_core.evaluation.rql_bench.tasks import Rows, Sampler, label, single_task_of
from frs_core.evaluation.rql_bench.training import Point, new_agent, read_curve, train, updates
from frs_core.learning.fit import best_device, torch_threads
from frs_core.runtime.foreign import read_json

OURS, OFFICIAL = "ours", "official"
Curves = dict[str, dict[int, list[Point]]]
"""Code -> seed -> evaluations."""


def run(
    spec: BenchSpec,
    out: Path,
    *,
    seeds: tuple[int, ...],
    official: Official | None,
    say: Callable[[str], None],
    time_updates: int = 50,
) -> Curves:
    """Return the curves of both codes, after making what is missing.

    Args:
        spec: what is asked for.
        out: folder of the benchmark.
        seeds: one training each.
        official: the authors' code; None = ours alone.
        say: called with a line for people as it goes.
        time_updates: updates per round when an update is timed.
    Raises:
        ConfigError: the folder holds another benchmark, no such task, or OGBench is not installed.
        TrainingError: a training failed.
    """
    play.require_ogbench()
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, spec)
    rows = _rows(spec, out, say)
    with torch_threads(1):
        if official is not None and not (out / "time.json").is_file():
            _time(spec, rows, out, official, time_updates, say)
        for seed in seeds:
            folder = out / OURS / f"seed-{seed}"
            if _steps(read_curve(folder)) < spec.steps:
                env = play.make_environment(single_task_of(spec.task))
                try:
                    train(spec, rows, env, seed=seed, folder=folder, on_point=_teller(say, OURS, seed))
                finally:
                    env.close()
            if official is not None:
                theirs = out / OFFICIAL / f"seed-{seed}"
                teller = _teller(say, OFFICIAL, seed)
                official.train(spec, out / "rows.npz", seed=seed, folder=theirs, on_point=teller)
    curves = read_curves(out)
    (out / "result.json").write_text(json.dumps(report.as_json(spec, curves, read_times(out)), indent=2) + "\n")
    save_figure(report.figure(spec, curves), out / "curves.png")
    return curves


def read_curves(out: Path) -> Curves:
    """Return all curves in a folder."""
    curves: Curves = {}
    for code in (OURS, OFFICIAL):
        for folder in sorted((out / code).glob("seed-*"), key=lambda path: int(path.name.removeprefix("seed-"))):
            if points := read_curve(folder):
                curves.setdefault(code, {})[int(folder.name.removeprefix("seed-"))] = points
    return curves


def read_times(out: Path) -> dict[str, list[float]]:
    """Return seconds per update and round of each code; empty where they were not timed."""
    path = out / "time.json"
    return read_json(path) if path.is_file() else {}


def _claim(out: Path, spec: BenchSpec) -> None:
    """Write what the folder is of. Raises ConfigError where it is of something else."""
    path, asked = out / "bench.json", spec.to_json()
    if not path.is_file():
        path.write_text(json.dumps(asked, indent=2) + "\n")
        return
    there = read_json(path)
    differing = sorted(key for key in asked if asked[key] != there.get(key))
    if differing:
        key = differing[0]
        raise ConfigError(
            f"'{out}' holds another benchmark: {key} is {there.get(key)} there, and {asked[key]} was asked for. Choose another --out, or ask "
            f"for the same."
        )


def _rows(spec: BenchSpec, out: Path, say: Callable[[str], None]) -> Rows:
    path = out / "rows.npz"
    if not path.is_file():

        def on_episode(there: int, wanted: int) -> None:
            say(f"{there} of {counted(wanted, 'episode')} of play data")

        files = play.collect(
            spec.task, out / "play", episodes=spec.episodes, seed=spec.data_seed, on_episode=on_episode
        )
        label(spec.task, files, is_sparse=spec.is_sparse).save(path)
    rows = Rows.load(path)
    goals = int((rows.masks == 0.0).sum())
    say(f"{len(rows.rewards)} rows, {goals} at the goal")
    if goals == 0:
        say("None of the play data reaches the goal, so there is nothing to learn. Make more: --episodes")
    return rows


def _time(spec: BenchSpec, rows: Rows, out: Path, official: Official, count: int, say: Callable[[str], None]) -> None:
    """Time an update of both codes, one thread each, in rounds that alternate."""
    device, rng = best_device(), np.random.default_rng(0)
    agent, optimiser = new_agent(spec, rows, device)
    sampler = Sampler(rows, spec.rows, device=device)
    updates(spec, agent, optimiser, sampler, rng, 3)

    def measure() -> float:
        began = time.process_time()
        updates(spec, agent, optimiser, sampler, rng, count)
        return (time.process_time() - began) / count

    own: list[float] = []
    theirs = official.times(
        spec, out / "rows.npz", folder=out / OFFICIAL / "time", updates=count, own=own, measure=measure
    )
    (out / "time.json").write_text(json.dumps({OURS: own, OFFICIAL: theirs}) + "\n")
    say(report.time_line({OURS: own, OFFICIAL: theirs}))


def _steps(points: list[Point]) -> int:
    return points[-1].step if points else 0


def _teller(say: Callable[[str], None], code: str, seed: int) -> Callable[[Point], None]:
    def tell(point: Point) -> None:
        say(
            f"{code}, seed {seed}: {point.step} updates, {point.successes} of {point.episodes} succeed, value {point.value:.1f}, "
            f"{1000.0 * point.seconds:.0f} ms of processor"
        )

    return tell
