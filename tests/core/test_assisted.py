"""The experiment with calls for help: rounds, versions, resuming, and what its table says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from frs_core.learning import Gate, run
from frs_core.learning.metadata import read_metadata
from frs_core.learning.settings import DsbcSettings, FitSettings, NetworkSettings
from frs_core.learning.verdict import Verdict
from tests.fakes.evaluation import make_setup
from tests.fakes.versions import BETTER, WORSE

SETTINGS = AssistedSettings(steered=3, episodes=2, max_chunks=6)
QUICK = DsbcSettings(network=NetworkSettings(hidden=16, layers=1), fit=FitSettings(least_steps=0, steps=10))


def opened(folder: Path, settings: AssistedSettings = SETTINGS) -> Assisted:
    return Assisted(
        make_setup(), task="reach_left", folder=folder, settings=settings, conditions={}, learner_settings=QUICK
    )


@pytest.fixture
def rulings(monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    """What the gate says of the next versions, first to last; the last one is said again."""
    verdicts = [BETTER]

    def gated(learner: Any, table: Any, settings: Any, trained: Any, gate: Gate, **_: Any) -> tuple[Any, Verdict]:
        data = {**trained.metadata.data, "former": gate.former.name}
        verdict = verdicts.pop(0) if len(verdicts) > 1 else verdicts[0]
        return replace(trained, metadata=replace(trained.metadata, data=data)), verdict

    monkeypatch.setattr(run, "gated", gated)
    return verdicts


def learned_from(folder: Path, version: str) -> list[str]:
    return list(read_metadata(folder / "versions" / version).data["episodes"])


def of_round(experiment: Assisted, number: int) -> list[Attempt]:
    return [a for a in experiment.attempts if a.round == number]


def test_each_round_drives_the_same_scenes_with_and_without_help_by_a_version_of_all_before(
    tmp_path: Path, rulings: list[Verdict]
) -> None:
    experiment = opened(tmp_path)
    experiment.run(2)
    rounds = [of_round(experiment, r) for r in range(3)]
    assert {a.kind for a in rounds[0]} == {STEERED}
    assert sum(a.success for a in rounds[0]) == 3
    before = [a.name for a in rounds[0] if a.success]
    assert learned_from(tmp_path, "dsbc") == before
    for r in (1, 2):
        scenes = [100_000 + 2 * (r - 1), 100_001 + 2 * (r - 1)]
        assert [(a.kind, a.seed) for a in rounds[r]] == [(k, s) for s in scenes for k in (ASSISTED, ALONE)]
        assert not any(a.calls or a.helped or a.name for a in rounds[r] if a.kind == ALONE)
    gained = [a.name for a in rounds[1] if a.success and a.name]
    assert gained
    assert {a.version for a in rounds[2]} == {"dsbc.v2"}
    assert learned_from(tmp_path, "dsbc.v2") == before + gained


def test_a_version_that_the_gate_refuses_leaves_the_one_of_the_round_before(
    tmp_path: Path, rulings: list[Verdict]
) -> None:
    rulings[:] = [WORSE, BETTER]
    experiment = opened(tmp_path)
    experiment.run(3)
    assert [{a.version for a in of_round(experiment, r)} for r in (1, 2, 3)] == [{"dsbc"}, {"dsbc"}, {"dsbc.v2"}]
    assert len(learned_from(tmp_path, "dsbc.v2")) > len(learned_from(tmp_path, "dsbc"))
    again = opened(tmp_path)
    again.run(3)
    assert again.attempts == experiment.attempts


def test_a_version_from_before_a_stop_is_not_learned_again(tmp_path: Path, rulings: list[Verdict]) -> None:
    experiment = opened(tmp_path)
    experiment.run(1)
    made = experiment.version(2)
    assert opened(tmp_path).version(2) == made
    assert sorted(p.name for p in made.parent.iterdir()) == ["dsbc", "dsbc.v2"]


def test_without_the_gate_each_version_is_used(tmp_path: Path) -> None:
    experiment = opened(tmp_path, replace(SETTINGS, gate=False))
    experiment.run(2)
    assert {a.version for a in of_round(experiment, 2)} == {"dsbc.v2"}
    with pytest.raises(ConfigError, match="no-gate"):
        AssistedSettings(learner="offline-dsbc")


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
