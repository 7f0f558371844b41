"""The benchmark of Reversal Q-Learning without OGBench: windows, resuming, the folder's rules, and the other interpreter's part."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frs_core.commands.bench_rql import rql
from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation.rql_bench import bench, play, preset, report
from frs_core.evaluation.rql_bench.official import hash_of as official_hash
from frs_core.evaluation.rql_bench.peer import Official
from frs_core.evaluation.rql_bench.spec import BenchSpec
from frs_core.evaluation.rql_bench.tasks import Rows, Sampler, evaluate, hash_of, single_task_of
from frs_core.evaluation.rql_bench.training import CURVE, STATE, Point, read_curve, train

TASK = "cube-single-play-singletask-v0"


def small() -> BenchSpec:
    """Return a benchmark of seconds."""
    spec = preset(TASK)
    config = replace(spec.config, hidden=(16, 16), heads=2)
    return replace(spec, config=config, rows=2, batch=8, steps=6, evaluate_every=2, eval_episodes=3, episodes=10)


def some_rows(*, episodes: int = 4, length: int = 9) -> Rows:
    """Return rows whose first number tells which row it is."""
    rng, count = np.random.default_rng(0), episodes * length
    observations = rng.normal(size=(count, 3)).astype(np.float32)
    observations[:, 0] = np.arange(count)
    return Rows(
        observations=observations,
        actions=rng.uniform(-1, 1, (count, 2)).astype(np.float32),
        rewards=-np.ones(count, np.float32),
        masks=(rng.random(count) < 0.9).astype(np.float32),
        terminals=(np.arange(count) % length == length - 1).astype(np.float32),
    )


class Reach:
    """Three steps; a success where the last action pointed right."""

    def __init__(self) -> None:
        self.steps = 0

    def reset(self, *, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        self.steps = 0
        return np.random.default_rng(seed).normal(size=3), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.full(3, action[0]), -1.0, False, self.steps == 3, {"success": bool(action[0] > 0.0)}

    def close(self) -> None:
        pass


def test_windows_stay_in_their_episode_and_repeat_its_last_row() -> None:
    rows = some_rows()
    drawn = Sampler(rows, 5, device=torch.device("cpu")).draw(np.random.default_rng(0), 500)
    first, after = drawn.observation[:, 0].long(), drawn.following[:, 0].long()
    last = first // 9 * 9 + 8
    assert bool((first < last).all())
    torch.testing.assert_close(after, torch.minimum(first + 5, last))
    torch.testing.assert_close(drawn.ends.sum(dim=1), (first + 5 - last).clamp(min=0).to(torch.float32))
    row = torch.minimum(first + 4, last)
    torch.testing.assert_close(drawn.goes_on, torch.from_numpy(rows.masks)[row])


def test_success_is_that_of_the_last_step_and_chunks_are_carried_out() -> None:
    asked: list[int] = []

    def act(seen: np.ndarray, seed: int) -> np.ndarray:
        asked.append(seed)
        return np.array([[-1.0, 0.0], [1.0 if len(asked) % 2 else -1.0, 0.0]])

    # Two chunks of two rows an episode of three steps: the last action is always the second chunk's first.
    assert evaluate(Reach(), act, episodes=4, seed=0) == 0
    assert len(asked) == len(set(asked)) == 8


def test_evaluation_leaves_numpys_own_numbers_alone() -> None:
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    evaluate(Reach(), lambda seen, seed: np.ones((2, 2)), episodes=2, seed=0)
    assert np.random.rand() == expected


def test_a_training_that_was_killed_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    spec, rows = small(), some_rows()
    whole = train(spec, rows, Reach(), seed=1, folder=tmp_path / "whole", on_point=lambda point: None)

    def stop(point: Point) -> None:
        if point.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, rows, Reach(), seed=1, folder=tmp_path / "cut", on_point=stop)
    # What a crash between curve and state leaves: a point that the state has not seen.
    with (tmp_path / "cut" / CURVE).open("a") as file:
        file.write('{"step": 6, "succ')
    steps: list[int] = []
    train(spec, rows, Reach(), seed=1, folder=tmp_path / "cut", on_point=lambda point: steps.append(point.step))
    assert steps == [6]
    again = read_curve(tmp_path / "cut")
    assert [replace(p, seconds=0.0) for p in again] == [replace(p, seconds=0.0) for p in whole]
    assert len(list((tmp_path / "cut").glob("*.safetensors"))) == 1
    assert (tmp_path / "cut" / STATE).is_file()


@pytest.fixture
def without_ogbench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the package: nothing to install, a small world, rows from a file."""

    def collect(task: str, folder: Path, **options: Any) -> tuple[Path, ...]:
        return ()

    monkeypatch.setattr(play, "require_ogbench", lambda: None)
    monkeypatch.setattr(play, "make_environment", lambda name, **options: Reach())
    monkeypatch.setattr(play, "collect", collect)
    monkeypatch.setattr(bench, "label", lambda task, files, *, is_sparse: some_rows())


PEER = """
import json, sys
job = json.load(open(sys.argv[2]))
assert job["environment"] == "cube-single-singletask-v0"
if job["wanted"] == "time":
    for line in sys.stdin:
        print(0.01, flush=True)
else:
    lines = []
    for step in (2, 4, 6):
        point = {"step": step, "successes": 1, "episodes": 3, "critic_loss": 1.0, "cloning_loss": 1.0, "value": -1.0, "seconds": 0.1}
        lines.append(json.dumps(point))
        print(lines[-1], flush=True)
    open(job["curve"], "w").write("\\n".join(lines) + "\\n")
"""


def stand_in(folder: Path, script: str) -> Official:
    """Return an interpreter that runs a script of ours whatever it is given, and a checkout that looks like one."""
    (folder / "agents").mkdir(parents=True)
    (folder / "agents" / "rql.py").touch()
    (folder / "peer.py").write_text(script)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {folder / "peer.py"} "$@"\n')
    python.chmod(0o755)
    return Official(folder, python)


@pytest.mark.usefixtures("without_ogbench")
def test_the_benchmark_leaves_curves_of_both_codes_and_runs_nothing_twice(tmp_path: Path) -> None:
    official, out, said = stand_in(tmp_path / "theirs", PEER), tmp_path / "out", []
    curves = bench.run(small(), out, seeds=(0, 1), official=official, say=said.append, time_updates=2)
    assert {code: sorted(seeds) for code, seeds in curves.items()} == {"ours": [0, 1], "official": [0, 1]}
    result = json.loads((out / "result.json").read_text())
    assert result["codes"]["official"]["success"][-1]["successes"] == 2
    assert len(result["seconds_per_update"]["ours"]) == len(result["seconds_per_update"]["official"]) == 3
    assert (out / "curves.png").stat().st_size > 1000
    said.clear()
    bench.run(small(), out, seeds=(0, 1), official=official, say=said.append)
    assert [line for line in said if "updates" in line] == []


@pytest.mark.usefixtures("without_ogbench")
def test_a_folder_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    bench.run(small(), tmp_path, seeds=(), official=None, say=print)
    with pytest.raises(ConfigError, match="another benchmark: batch is 8 there, and 16 was asked for"):
        bench.run(replace(small(), batch=16), tmp_path, seeds=(), official=None, say=print)


@pytest.mark.usefixtures("without_ogbench")
def test_what_goes_wrong_in_the_other_interpreter_is_told(tmp_path: Path) -> None:
    official = stand_in(tmp_path / "theirs", "raise SystemExit('no module named jax')")
    with pytest.raises(TrainingError, match="no module named jax"):
        bench.run(small(), tmp_path / "out", seeds=(0,), official=official, say=print, time_updates=1)


def test_both_codes_are_judged_on_the_same_scenes() -> None:
    assert official_hash(3, 1, 4) == hash_of(3, 1, 4)


def test_names_of_tasks() -> None:
    assert play.environment_of("puzzle-3x3-play-singletask-task2-v0") == "puzzle-3x3-v0"
    assert single_task_of("puzzle-3x3-play-singletask-task2-v0") == "puzzle-3x3-singletask-task2-v0"
    for task in ("antmaze-large-navigate-singletask-v0", "cube-single-play-v0"):
        with pytest.raises(ConfigError, match="no play data"):
            preset(task)


def test_the_authors_settings() -> None:
    puzzle, triple, scene = (preset(f"{name}-play-singletask-v0") for name in ("puzzle-4x4", "cube-triple", "scene"))
    assert (puzzle.config.alpha, puzzle.config.expectile, puzzle.is_sparse) == (1.0, 0.9, True)
    assert (triple.config.alpha, triple.config.expectile, triple.is_sparse) == (1.0, 0.9, False)
    assert (scene.config.alpha, scene.config.expectile, scene.is_sparse) == (3.0, 0.7, True)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="go together"):
        rql(out=tmp_path, official=tmp_path)
    with pytest.raises(ConfigError, match="multiple of evaluate-every"):
        rql(out=tmp_path, steps=10, evaluate_every=3)
    with pytest.raises(ConfigError, match="--episodes is 2, needs a multiple of 10"):
        rql(out=tmp_path, episodes=2)
    with pytest.raises(ConfigError, match="not a checkout"):
        rql(out=tmp_path, official=tmp_path, official_python=Path(sys.executable))
    monkeypatch.setitem(sys.modules, "ogbench", None)
    with pytest.raises(ConfigError, match=r"pip install 'frs-cockpit\[rql\]'"):
        rql(out=tmp_path)
    assert not any(tmp_path.iterdir())


def test_rates_are_pooled_over_seeds() -> None:
    point = Point(10, 1, 4, 0.0, 0.0, 0.0, 0.0)
    assert report.pooled({0: [point], 1: [replace(point, successes=3)]}) == {10: (4, 8)}
