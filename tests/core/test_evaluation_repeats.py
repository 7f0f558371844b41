"""Learned methods are judged over sets, training seeds and scenes; nothing that is done is done twice."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, FingerprintMismatch, TrainingError
from frs_core.evaluation import repeats
from frs_core.evaluation.draws import ATTEMPTS, LARGEST_SET, SCENES, SEEDS, Draw, draws, first_attempt
from frs_core.evaluation.methods import with_episodes
from frs_core.evaluation.pool import ProcessPool
from frs_core.evaluation.prepare import Recording, set_store, successes_by_scene, train_request
from frs_core.evaluation.repeats import RepeatSpec, Stage, run_repeats
from frs_core.evaluation.results import Cell, Result, ResultFile, read_results
from frs_core.evaluation.worker import Runner, Work, WorkerJob
from frs_core.learning.registry import KNOWN
from frs_core.learning.settings import DsbcSettings, FitSettings, NetworkSettings, to_json
from tests.fakes.evaluation import MAX_CHUNKS, TASK, HerePool, setup_spec
from tests.fakes.learning import IMITATORS

SMALL = NetworkSettings(hidden=16, layers=1)
FIT = FitSettings(steps=20, least_steps=0, batch_size=16)
LEARNERS = {
    kind: to_json(replace(KNOWN[kind].settings(), network=SMALL, fit=FIT))  # type: ignore[call-arg]
    for kind in IMITATORS
}


class Hands:
    """Stands in for the pools of workers: works in this process, counts, and can be cut short."""

    def __init__(self) -> None:
        self.did: list[tuple[Work, Cell]] = []
        self.left = 10**6

    def __call__(self, job: WorkerJob, *, workers: int, cell_timeout_s: float = 0.0) -> HerePool:
        return HerePool(job, before=lambda cell: self._count(job.work, cell))

    def _count(self, work: Work, cell: Cell) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.did.append((work, cell))

    def of(self, work: Work) -> list[Cell]:
        return [cell for kind, cell in self.did if kind is work]


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(repeats, "ProcessPool", hands)
    return hands


def spec(out: Path, **changes: object) -> RepeatSpec:
    values = {
        "methods": ("base", "dsbc@2", "bc-gaussian@2"),
        "tasks": (TASK,),
        "draws": draws(2, 2),
        "scenes": 2,
        "out": out,
        "setup": setup_spec().to_json(),
        "max_chunks": MAX_CHUNKS,
        "learners": LEARNERS,
    }
    return RepeatSpec(**{**values, **changes})  # type: ignore[arg-type]


def run(spec: RepeatSpec, hands: Hands, reported: list[Stage] | None = None) -> list[Result]:
    judging = hands(spec.job, workers=1)
    return run_repeats(spec, workers=1, pool=judging, on_stage=(reported if reported is not None else []).append)


def test_no_two_uses_of_a_scene_meet() -> None:
    last_attempt = ATTEMPTS * (SCENES // ATTEMPTS) - 1
    spans = []
    for demonstrations in (False, True):
        firsts = [first_attempt(k, demonstrations=demonstrations) for k in range(1, LARGEST_SET + 1)]
        spans += [(first, first + last_attempt) for first in firsts]
    tested = [Draw(k, s).scenes(SCENES) for k in range(1, LARGEST_SET + 1) for s in range(SEEDS)]
    spans += [(scenes[0], scenes[-1]) for scenes in tested]
    spans.sort()
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    assert spans[0][0] >= 20_000_000
    assert spans[-1][1] < 100_000_000


def test_every_set_has_its_own_episodes_and_every_draw_its_own_weights_and_scenes(tmp_path: Path, hands: Hands) -> None:
    results = run(spec(tmp_path), hands)
    for k in (1, 2):
        scenes = list(successes_by_scene(set_store(str(tmp_path / "sets"), k, TASK, demonstrations=False)))
        assert len(scenes) == 2
        assert all(first_attempt(k, demonstrations=False) <= s < 20_001_000 + 1_000 * k for s in scenes)
    weights = {(r.episode_set, r.train_seed): r.trained for r in results if r.method == "dsbc@2"}
    assert len(set(weights.values())) == 4
    by_method = {m: [(r.cell.draw, r.seed) for r in results if r.method == m] for m in spec(tmp_path).methods}
    assert by_method["dsbc@2"] == by_method["bc-gaussian@2"] == by_method["base"]
    assert len({seed for _, seed in by_method["base"]}) == 8


def test_a_second_run_does_nothing_and_gives_the_same(tmp_path: Path, hands: Hands) -> None:
    first = run(spec(tmp_path), hands)
    hands.did.clear()
    assert run(spec(tmp_path), hands) == first
    assert hands.did == []


@pytest.mark.parametrize("after", [1, 3, 5, 9, 15])
def test_a_run_killed_anywhere_goes_on_and_does_nothing_twice(tmp_path: Path, hands: Hands, after: int) -> None:
    whole = spec(tmp_path, methods=("dsbc@2", "bc-gaussian@2"), draws=draws(2, 1))
    hands.left = after
    with pytest.raises(KeyboardInterrupt):
        run(whole, hands)
    assert len(hands.did) == after
    hands.left = 10**6
    results = run(whole, hands)
    assert len(hands.did) == len(set(hands.did))
    assert len(hands.of(Work.TRAIN)) == 4
    assert [r.cell for r in results] == whole.cells()


def test_a_success_on_disk_that_was_not_noted_is_not_driven_again(tmp_path: Path, hands: Hands) -> None:
    whole = spec(tmp_path, methods=("dsbc@2",), draws=draws(1, 1), scenes=1)
    run(whole, hands)
    (tmp_path / "attempts.jsonl").unlink()
    hands.did.clear()
    run(whole, hands)
    assert hands.of(Work.RECORD) == []
    attempt = first_attempt(1, demonstrations=False)
    before = EpisodeStore(set_store(whole.recording.sets, 1, TASK, demonstrations=False)).list()
    result = Recording(whole.recording).run(Cell("frs", TASK, attempt, 1))
    assert result.success == (attempt in {i.seed for i in before})
    store = EpisodeStore(set_store(whole.recording.sets, 1, TASK, demonstrations=False))
    assert len(store.list()) == 2


def test_more_sets_seeds_and_scenes_reuse_what_is_there(tmp_path: Path, hands: Hands) -> None:
    run(spec(tmp_path, draws=draws(1, 1), scenes=1), hands)
    hands.did.clear()
    run(spec(tmp_path), hands)
    assert {c.episode_set for c in hands.of(Work.RECORD)} == {2}
    assert len(hands.of(Work.TRAIN)) == 2 * 4 - 2
    assert len(hands.of(Work.JUDGE)) == 3 * (8 - 1)


def test_more_episodes_per_set_go_on_from_those_that_are_there(tmp_path: Path, hands: Hands) -> None:
    run(spec(tmp_path, methods=("dsbc@1",), draws=draws(1, 1), scenes=1), hands)
    first = successes_by_scene(set_store(str(tmp_path / "sets"), 1, TASK, demonstrations=False))
    run(spec(tmp_path, methods=("dsbc@1", "dsbc@3"), draws=draws(1, 1), scenes=1), hands)
    both = successes_by_scene(set_store(str(tmp_path / "sets"), 1, TASK, demonstrations=False))
    assert list(both.items())[: len(first)] == list(first.items())
    assert len(both) == 3
    assert len([c for c in hands.of(Work.TRAIN) if c.method == "dsbc@1"]) == 1


def test_other_settings_of_the_learner_train_and_judge_again(tmp_path: Path, hands: Hands) -> None:
    one = spec(tmp_path, methods=("base", "dsbc@2"), draws=draws(1, 1), scenes=1)
    run(one, hands)
    hands.did.clear()
    other = to_json(DsbcSettings(network=SMALL, fit=replace(FIT, steps=21)))
    run(replace(one, learners={"dsbc": other}), hands)
    assert [c.method for c in hands.of(Work.TRAIN)] == ["dsbc@2"]
    assert [c.method for c in hands.of(Work.JUDGE)] == ["dsbc@2"]


def test_the_training_seed_is_the_draws(tmp_path: Path, hands: Hands) -> None:
    whole = spec(tmp_path, methods=("dsbc@2",), draws=draws(1, 1), scenes=1)
    run(whole, hands)
    request = train_request(whole.training, Cell("dsbc@2", TASK, 0, 1, 7), "toy-1")
    assert isinstance(request.settings, DsbcSettings)
    assert (request.settings.fit.seed, len(request.episodes)) == (7, 2)


def test_offline_dsbc_has_demonstrations_of_its_own(tmp_path: Path, hands: Hands) -> None:
    results = run(spec(tmp_path, methods=("offline-dsbc@1",), draws=draws(1, 1), scenes=1), hands)
    assert [c.method for c in hands.of(Work.RECORD)] == ["demonstration"]
    assert results[0].trained
    assert not results[0].error


def test_a_set_that_cannot_be_filled_is_named(tmp_path: Path, hands: Hands) -> None:
    with pytest.raises(TrainingError, match="Only 0 of 2 successes in set 1 of task 'reach_left' after 10 attempts"):
        run(spec(tmp_path, max_chunks=1), hands)


def test_sets_of_other_conditions_are_refused_even_when_full(tmp_path: Path, hands: Hands) -> None:
    hands.left = 8
    with pytest.raises(KeyboardInterrupt):
        run(spec(tmp_path), hands)
    hands.left = 10**6
    with pytest.raises(ConfigError, match="rollout was"):
        run(spec(tmp_path, max_chunks=MAX_CHUNKS + 1), hands)


def test_sets_of_another_generalist_are_refused(tmp_path: Path, hands: Hands) -> None:
    whole = spec(tmp_path)
    conditions = {"setup": whole.setup, "rollout": whole.recording.rollout}
    ResultFile(tmp_path / "attempts.jsonl", conditions, "another").close()
    with pytest.raises(FingerprintMismatch, match="holds results of policy another"):
        run(whole, hands)


def test_stages_are_told_to_their_ends(tmp_path: Path, hands: Hands) -> None:
    reported: list[Stage] = []
    run(spec(tmp_path, draws=draws(1, 1), scenes=1), hands, reported)
    last = {stage.name: (stage.done, stage.total) for stage in reported}
    assert last == {"episodes recorded": (2, 2), "trainings": (2, 2), "episodes tested": (3, 3)}


def test_processes_collect_train_and_judge_as_one_does(tmp_path: Path, hands: Hands, monkeypatch) -> None:
    small = {"methods": ("dsbc@2",), "draws": draws(1, 1), "scenes": 1}
    here = run(spec(tmp_path / "here", **small), hands)
    monkeypatch.setattr(repeats, "ProcessPool", ProcessPool)
    there = run_repeats(spec(tmp_path / "there", **small), workers=1)
    assert [(r.cell, r.success, r.steps, r.trained) for r in here] == [
        (r.cell, r.success, r.steps, r.trained) for r in there
    ]


def test_a_forecast_on_the_card_lies_in_the_results(tmp_path: Path, hands: Hands) -> None:
    whole = spec(tmp_path, methods=("base", "dsbc@2"), draws=draws(1, 1), scenes=1)
    run(whole, hands)
    metadata = tmp_path / "learned" / "set-001" / "seed-0" / TASK / "dsbc@2" / "policy.json"
    data = json.loads(metadata.read_text())
    data["metrics"]["card"]["forecast"] = 0.75
    metadata.write_text(json.dumps(data))
    (tmp_path / "results.jsonl").unlink()
    run(whole, hands)
    kept = {r.method: r.forecast for r in read_results(tmp_path / "results.jsonl")[1]}
    assert kept == {"base": None, "dsbc@2": 0.75}
    data["metrics"]["card"]["forecast"] = 7
    metadata.write_text(json.dumps(data))
    result = Runner(whole.job).run(Cell("dsbc@2", TASK, 1, 1, 0))
    assert "forecasts a success rate of 7, expected 0..1" in result.error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("base", "frs")}, "None of the methods base, frs learns"),
        ({"scenes": 0}, "0 scenes per draw"),
        ({"methods": ("dsbc@500",)}, "500 steered episodes per set"),
        ({"methods": ("dsbc@x",)}, "does not name a number of episodes"),
        ({"methods": ("dsbc@²",)}, "does not name a number of episodes"),
    ],
)
def test_what_cannot_be_repeated_is_refused_at_once(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spec(tmp_path, **changes)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (10, 0, 1), (10, 11, 1), (1, 1, 0), (2, 1, LARGEST_SET)])
def test_numbers_without_scenes_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError):
        draws(numbers[0], numbers[1], first_set=numbers[2])


def test_numbers_of_episodes_make_a_row_each() -> None:
    methods = ("base", "dsbc", "offline-dsbc", "bc-flow@1")
    assert with_episodes(methods, ()) == methods
    assert with_episodes(methods, (10, 3)) == ("base", "dsbc", "dsbc@3", "offline-dsbc", "bc-flow@1")
    with pytest.raises(ConfigError, match="needs numbers >= 1"):
        with_episodes(methods, (0,))
