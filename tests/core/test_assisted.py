"""The experiment with calls for help: rounds, versions, resuming, and what its table says."""

import json
from pathlib import Path

import pytest

from frs_core.errors import ConfigError
from frs_core.evaluation.assisted import (
    ALONE,
    ASSISTED,
    RESULTS,
    STEERED,
    Assisted,
    AssistedSettings,
    Attempt,
    figures,
    table,
)
from frs_core.learning.metadata import read_metadata
from frs_core.learning.settings import DsbcSettings, FitSettings, NetworkSettings
from tests.fakes.evaluation import make_setup

SETTINGS = AssistedSettings(steered=3, episodes=2, max_chunks=6)
QUICK = DsbcSettings(network=NetworkSettings(hidden=16, layers=1), fit=FitSettings(least_steps=0, steps=10))


def opened(folder: Path, settings: AssistedSettings = SETTINGS) -> Assisted:
    return Assisted(
        make_setup(), task="reach_left", folder=folder, settings=settings, conditions={}, learner_settings=QUICK
    )


def test_each_round_drives_the_same_scenes_with_and_without_help_by_a_version_of_all_before(tmp_path: Path) -> None:
    experiment = opened(tmp_path)
    experiment.run(2)
    rounds = [[a for a in experiment.attempts if a.round == r] for r in range(3)]
    assert {a.kind for a in rounds[0]} == {STEERED}
    assert sum(a.success for a in rounds[0]) == 3
    for r in (1, 2):
        scenes = [100_000 + 2 * (r - 1), 100_001 + 2 * (r - 1)]
        assert [(a.kind, a.seed) for a in rounds[r]] == [(k, s) for s in scenes for k in (ASSISTED, ALONE)]
        assert not any(a.calls or a.helped or a.name for a in rounds[r] if a.kind == ALONE)
        learned = read_metadata(tmp_path / "versions" / f"{r:02d}").data["episodes"]
        assert list(learned) == [a.name for before in rounds[:r] for a in before if a.success and a.name]


def test_a_run_that_ended_anywhere_continues_and_drives_nothing_twice(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    driven: list[Attempt] = []

    def kill(attempt: Attempt) -> None:
        driven.append(attempt)
        if len(driven) % 2 == 0:
            raise Killed

    for _ in range(20):
        try:
            opened(tmp_path).run(1, kill)
            break
        except Killed:
            with (tmp_path / RESULTS).open("a") as file:
                file.write('{"kind": "assis')
    assert len({(a.kind, a.seed) for a in driven}) == len(driven)
    assert opened(tmp_path).attempts == driven
    opened(tmp_path).run(1, kill)


def test_results_of_other_settings_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(ConfigError, match="another 'settings'"):
        opened(tmp_path, AssistedSettings(steered=3, episodes=2, max_chunks=7))
    (tmp_path / RESULTS).write_text('{"format": "frs-assisted"}\n{"kind": 3}\n')
    with pytest.raises(ConfigError, match="damaged"):
        opened(tmp_path)
    with pytest.raises(ConfigError, match="expected 1 to"):
        AssistedSettings(episodes=0)


def test_the_table_counts_rounds_of_each_task_and_of_all() -> None:
    attempts = [
        Attempt(STEERED, 0, 1, True, 9),
        Attempt(ASSISTED, 1, 5, True, 10, helped=2, calls=1),
        Attempt(ASSISTED, 1, 6, True, 10, helped=3, calls=2),
        Attempt(ALONE, 1, 5, False, 40),
        Attempt(ALONE, 1, 6, True, 8),
    ]
    (one,) = figures(attempts)
    assert (one.assisted, one.alone, one.calls, one.helped, one.chunks) == ((2, 2), (1, 2), 3, 5, 20)
    lines = table({"a": attempts, "b": attempts}).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["a", "b", "all"]
    assert "1.5 | 25% (5 of 20)" in lines[2]
    assert "25% (10 of 40)" in lines[4]


def test_a_line_of_results_is_json(tmp_path: Path) -> None:
    experiment = opened(tmp_path)
    experiment.run(1)
    rows = [json.loads(line) for line in (tmp_path / RESULTS).read_text().splitlines()[1:]]
    assert [row["seed"] for row in rows] == [a.seed for a in experiment.attempts]
    assert all(row["helped"] <= row["chunks"] for row in rows)
