"""What the next version of a noise policy learns from, where it lies, and which one was before."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeInfo
from frs_core.errors import WeightsMissing
from frs_core.events import Outcome
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings, next_version, version_before, version_number
from frs_core.learning.metadata import METADATA_FILE
from tests.fakes.learning import synthetic_table, train_dsbc

QUICK = DsbcSettings(network=NetworkSettings(hidden=8, layers=1), fit=FitSettings(least_steps=0, steps=2))


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Version 1, trained on episode-0 to episode-5."""
    return train_dsbc(synthetic_table(), QUICK).save(tmp_path / "learned" / "toy-6")


def info(name: str, *, by: str = "person", **changes: object) -> EpisodeInfo:
    row = EpisodeInfo(
        name, Path(name), Outcome.SUCCESS, task="toy", fingerprint="toy-1", n_chunks=9, n_steered=9, drivers={by: 9}
    )
    return replace(row, **changes)  # pyright: ignore[reportArgumentType]


def recorded() -> list[EpisodeInfo]:
    return [info(f"episode-{i}") for i in range(6)]


def test_the_next_version_learns_from_all_kept_successes_of_its_task_and_is_compared_where_it_had_no_part(
    first: Path, tmp_path: Path
) -> None:
    others = [
        info("new", by="learned"),
        info("failed", outcome=Outcome.FAILURE),
        info("other-task", task="pour"),
        info("other-policy", fingerprint="x"),
        info("damaged", problem="torn"),
        info("undone", n_undone=9),
        info("own"),
    ]
    request = next_version(first, [*recorded(), *others], root=tmp_path).request
    assert request is not None
    assert request.episodes == (*(f"episode-{i}" for i in range(6)), "new", "own")
    assert request.gate is not None
    assert request.gate.former == first
    assert request.gate.judged == (*(f"episode-{i}" for i in range(6)), "own")
    assert (request.out.name, request.settings, request.fingerprint) == ("toy-6.v2", QUICK, "toy-1")
    assert request.is_background


def test_without_a_new_success_there_is_nothing_to_do(first: Path, tmp_path: Path) -> None:
    found = next_version(first, recorded(), root=tmp_path)
    assert (found.request, found.why_not) == (None, "")


def test_too_few_successes_to_compare_on_are_said(first: Path, tmp_path: Path) -> None:
    rows = [*recorded()[:2], *(info(f"new-{i}", by="learned") for i in range(4))]
    found = next_version(first, rows, root=tmp_path)
    assert found.request is None
    assert "there are 2" in found.why_not


def test_policies_of_other_learners_do_not_learn_on(first: Path, tmp_path: Path) -> None:
    path = first / METADATA_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "pick-q"}))
    assert "Only DSBC" in next_version(first, [*recorded(), info("new")], root=tmp_path).why_not
    with pytest.raises(WeightsMissing):
        next_version(tmp_path / "gone", recorded(), root=tmp_path)


def test_a_world_without_tasks_goes_by_its_instructions(first: Path, tmp_path: Path) -> None:
    rows = [replace(i, task=None, instruction="lift it") for i in [*recorded(), info("new")]]
    rows.append(info("else", task=None, instruction="put it down"))
    request = next_version(first, rows, root=tmp_path).request
    assert request is not None
    assert request.episodes[-1] == "new"


def test_numbers_are_never_used_twice(first: Path, tmp_path: Path) -> None:
    (first.parent / "toy-6.v2").mkdir()
    (first.parent / "toy-6.v3").mkdir()
    rows = [*recorded(), info("new")]
    request = next_version(first, rows, root=tmp_path).request
    assert request is not None
    assert request.out.name == "toy-6.v4"
    assert [version_number(name) for name in ("toy-6", "toy-6.v2", "toy.v13", "v2")] == [1, 2, 13, 1]


def test_going_back_leads_to_the_version_whose_place_it_took(first: Path) -> None:
    def version(name: str, former: object) -> Path:
        trained = train_dsbc(synthetic_table(), QUICK)
        return replace(
            trained, metadata=replace(trained.metadata, data={**trained.metadata.data, "former": former})
        ).save(first.parent / name)

    second, fourth = version("toy-6.v2", "toy-6"), version("toy-6.v4", "toy-6.v2")
    assert version_before(fourth) == second
    assert version_before(second) == first
    assert version_before(first) is None
    assert version_before(version("toy-6.v5", "toy-6.v3")) is None
    assert version_before(version("toy-6.v6", "../learned/toy-6")) is None
    assert version_before(version("toy-6.v7", 3)) is None
