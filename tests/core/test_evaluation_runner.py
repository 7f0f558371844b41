"""The evaluation gives the same numbers however it is cut up, and survives what breaks."""

import dataclasses
import json
from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from frs_core.errors import ConfigError, FingerprintMismatch, FrsError, WeightsMissing
from frs_core.evaluation.pool import NEAR, ProcessPool, take_near
from frs_core.evaluation.results import Cell, Result, ResultFile, latest, read_results
from frs_core.evaluation.runner import EvalSpec, run_evaluation
from frs_core.evaluation.worker import Runner, WorkerJob
from tests.fakes.evaluation import TASK, HerePool, job

SPEC = EvalSpec(("base", "frs"), (TASK, "reach_up"), (0, 1), job())


def outcomes(results: Iterable[Result]) -> list[tuple[object, ...]]:
    """Return what must not depend on how an evaluation was run: all but the wall time."""
    return [(r.cell, r.success, r.steps, r.chunks, r.steered_chunks, r.error) for r in results]


def test_results_come_in_the_order_of_the_spec_and_lie_in_the_file(tmp_path: Path) -> None:
    results = run_evaluation(SPEC, tmp_path / "r.jsonl", pool=HerePool(SPEC.job))
    assert [r.cell for r in results] == SPEC.cells()
    assert latest(read_results(tmp_path / "r.jsonl")[1]) == results
    assert all(r.success == (r.method == "frs") for r in results)


def test_processes_give_the_same_numbers_as_one(tmp_path: Path) -> None:
    one = run_evaluation(SPEC, tmp_path / "one.jsonl", pool=HerePool(SPEC.job))
    two = run_evaluation(SPEC, tmp_path / "two.jsonl", workers=2)
    assert outcomes(one) == outcomes(two)


def test_a_worker_stays_with_its_task_as_long_as_the_queues_front_has_it() -> None:
    spec = EvalSpec(("base", "frs"), ("one", "two", "three"), tuple(range(60)), job())
    waiting, last, order = deque(spec.cells()), None, []
    while waiting:
        last = take_near(waiting, last)
        order.append(last)
    assert sorted(order, key=spec.cells().index) == spec.cells()
    changes = sum(a.task != b.task for a, b in pairwise(order))
    assert changes < len(order) / 10
    where = {cell: i for i, cell in enumerate(spec.cells())}
    assert all(where[cell] - i < NEAR for i, cell in enumerate(order))


def test_another_draw_of_a_task_is_not_near() -> None:
    other = Cell("dsbc", "one", 0, episode_set=2)
    assert take_near(deque([Cell("dsbc", "two", 0), other]), Cell("dsbc", "one", 5, episode_set=1)).task == "two"


def test_a_run_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first = HerePool(SPEC.job)
    run_evaluation(SPEC, path, pool=first, on_progress=lambda p: p.done < 3)
    with path.open("a") as file:
        file.write('{"method": "frs", "task": "rea')
    second = HerePool(SPEC.job)
    results = run_evaluation(SPEC, path, pool=second)
    assert len(first.ran) == 3
    assert sorted(first.ran + second.ran) == sorted(SPEC.cells())
    assert outcomes(results) == outcomes(run_evaluation(SPEC, tmp_path / "whole.jsonl", pool=HerePool(SPEC.job)))


def test_more_seeds_and_methods_reuse_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    run_evaluation(SPEC, path, pool=HerePool(SPEC.job))
    wider = dataclasses.replace(SPEC, methods=("base", "frs", "direct"), seeds=(0, 1, 2))
    pool = HerePool(SPEC.job)
    run_evaluation(wider, path, pool=pool)
    assert len(pool.ran) == len(wider.cells()) - len(SPEC.cells())


def test_other_conditions_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    run_evaluation(SPEC, path, pool=HerePool(SPEC.job))
    longer = dataclasses.replace(SPEC.job, rollout={"max_chunks": 9})
    with pytest.raises(ConfigError, match=r"rollout was \{'max_chunks': 6\}, now \{'max_chunks': 9\}"):
        run_evaluation(dataclasses.replace(SPEC, job=longer), path, pool=HerePool(longer))


def test_results_of_another_policy_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    ResultFile(path, SPEC.conditions(), "another").close()
    with pytest.raises(FingerprintMismatch, match="holds results of policy another"):
        run_evaluation(SPEC, path, pool=HerePool(SPEC.job))


def test_an_episode_that_failed_to_run_is_not_a_failure_and_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    file = ResultFile(path, SPEC.conditions(), "toy-1")
    file.add(Result("frs", TASK, 0, False, error="the disk was full"))
    file.close()
    results = run_evaluation(SPEC, path, pool=HerePool(SPEC.job))
    assert next(r for r in results if r.cell == Cell("frs", TASK, 0)).success


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    run_evaluation(SPEC, path, pool=HerePool(SPEC.job))
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"success"', '"sucess"')
    path.write_text("".join(lines))
    with pytest.raises(ConfigError, match="damaged in line 3"):
        read_results(path)


@pytest.mark.parametrize("content", ["not json\n", "{}\n", json.dumps({"format": "frs-eval", "version": 99}) + "\n"])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match="not an evaluation file"):
        ResultFile(path, {}, "toy-1")
    assert path.read_text() == content


def test_unknown_methods_and_untrained_ones_are_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'frs-plain'"):
        run_evaluation(dataclasses.replace(SPEC, methods=("frs-plan",)), tmp_path / "r.jsonl")
    learned = dataclasses.replace(SPEC, methods=("dsbc@3",), job=job(str(tmp_path)))
    with pytest.raises(WeightsMissing, match="'dsbc@3' has no trained policy for task 'reach_left'"):
        run_evaluation(learned, tmp_path / "r.jsonl")
    assert not (tmp_path / "r.jsonl").exists()


def test_an_unknown_task_becomes_an_error_of_its_episode() -> None:
    runner = Runner(SPEC.job)
    result = runner.run(Cell("base", "reach_lft", 0))
    assert "reach_lft" in result.error
    assert runner.run(Cell("frs", TASK, 0)).success


def test_a_worker_that_dies_is_replaced_and_its_episode_reported() -> None:
    pool = ProcessPool(job(die_at_step=1), workers=1)
    try:
        results = list(pool.run([Cell("base", TASK, 0)]))
    finally:
        pool.close()
    assert [(r.success, r.error) for r in results] == [(False, "The evaluation worker died")]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("raises", "failed: ZeroDivisionError: no batteries"),
        ("exits", "could not load its world and policy: SystemExit: 3"),
        ("odd", "the scales: not connected"),
    ],
)
def test_a_loader_that_fails_in_its_own_way_is_told_in_a_sentence_at_once(
    how: str, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    setup = {**SPEC.job.setup, "policy": "tests.fakes.failing_loader:load_nothing", "policy_options": {"how": how}}
    pool = ProcessPool(dataclasses.replace(SPEC.job, setup=setup), workers=1)
    try:
        with pytest.raises(FrsError, match=told):
            pool.ready()
    finally:
        pool.close()
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_episode_that_hangs_is_ended_at_its_limit() -> None:
    pool = ProcessPool(job(hang_at_step=1), workers=1, cell_timeout_s=1.0)
    try:
        results = list(pool.run([Cell("base", TASK, 0)]))
    finally:
        pool.close()
    assert [r.error for r in results] == ["The episode took longer than 1 s"]


def test_a_world_without_the_operator_that_a_method_needs_stops_the_evaluation(tmp_path: Path) -> None:
    nobody = WorkerJob(setup={**SPEC.job.setup, "operator": ""})
    with pytest.raises(ConfigError, match="has no scripted operator"):
        Runner(EvalSpec(("base", "frs"), (TASK,), (0,), nobody).job)
    Runner(EvalSpec(("base",), (TASK,), (0,), nobody).job)


def test_a_world_that_cannot_be_made_stops_the_evaluation(tmp_path: Path) -> None:
    wrong = WorkerJob(setup={**SPEC.job.setup, "world": "tests.fakes.world:NoWorld"})
    with pytest.raises(ConfigError, match="NoWorld"):
        run_evaluation(dataclasses.replace(SPEC, job=wrong), tmp_path / "r.jsonl", workers=1)
