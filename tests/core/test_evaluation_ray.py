"""Ray gives the same numbers as processes: on Ray itself where the extra is installed, and on a stand-in with its face everywhere."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frs_core.commands import practise as practise_commands
from frs_core.errors import ConfigError
from frs_core.evaluation.ray_pool import RayPool
from frs_core.evaluation.results import Cell
from frs_core.evaluation.runner import EvalSpec, run_evaluation
from frs_core.learning.table_file import read_table
from tests.core.test_practice import PRACTICE, SMALL, practised, record_successes, request
from tests.fakes import ray as stand_in
from tests.fakes.evaluation import TASK, job


def same_practice_on_ray(folder: Path) -> None:
    """Practise on Ray and in this process, and compare every episode."""
    data = record_successes(folder / "data")
    asked = request(data, folder / "out", practice=replace(PRACTICE, episodes=2))
    status = practise_commands.command("pick-q")(
        task=TASK,
        data=data,
        folder=folder / "practice",
        out=folder / "out",
        actors=2,
        ray=True,
        policy=asked.policy.name,
        practice=asked.practice,
        settings=SMALL,
    )
    assert status == 0
    alone = practised(asked, folder / "alone")
    assert [point.episodes for point in alone.curve] == [0, 2]
    for seed in (700, 701):
        one, two = (read_table(folder / name / "episodes" / f"{seed}.table") for name in ("practice", "alone"))
        np.testing.assert_array_equal(one.noise, two.noise)
        np.testing.assert_array_equal(one.features, two.features)
    assert not list((folder / "practice" / "actors").glob("*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_practice_on_ray_is_the_same_practice(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    same_practice_on_ray(tmp_path)


def test_practice_on_a_stand_in_for_ray_is_the_same_practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    same_practice_on_ray(tmp_path)
    assert not stand_in.is_initialized()


def test_a_worker_that_dies_on_ray_is_replaced_and_its_episode_run_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    pool = RayPool(job(), workers=1)
    assert pool.ready().policy_fingerprint
    monkeypatch.setattr(stand_in, "die", 1)
    (result,) = pool.run([Cell("base", TASK, 0)])
    assert not result.error
    monkeypatch.setattr(stand_in, "die", 2)
    (result,) = pool.run([Cell("base", TASK, 0)])
    assert result.error.startswith("The Ray worker failed: the worker died")
    pool.close()


def test_without_ray_practice_tells_what_to_install_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install frs-cockpit\[ray\]"):
        practise_commands.command("pick-q")(task=TASK, data=tmp_path, folder=tmp_path / "practice", ray=True)
    assert not (tmp_path / "practice").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_gives_the_same_numbers_as_processes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    spec = EvalSpec(("base", "frs"), (TASK, "reach_up"), (0, 1), job())
    on_ray = run_evaluation(spec, tmp_path / "ray.jsonl", pool=RayPool(spec.job, workers=2))
    here = run_evaluation(spec, tmp_path / "here.jsonl", workers=1)

    def outcomes(results: list) -> list:
        return [(r.cell, r.success, r.steps, r.chunks, r.steered_chunks, r.error) for r in results]

    assert outcomes(on_ray) == outcomes(here)


def test_without_ray_the_error_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install frs-cockpit\[ray\]"):
        RayPool(job(), workers=1)
