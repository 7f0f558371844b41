"""A vision-language model steers without a window: by what it sees, for what it costs, and on after every failure."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.choosers.answers import Spent
from frs_core.choosers.vlm import VlmChooser
from frs_core.commands import eval as eval_commands
from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, ModelRefused, PolicyError, PolicyTimeout
from frs_core.evaluation import runner
from frs_core.evaluation.asked import asked
from frs_core.evaluation.results import read_results
from frs_core.events import Driver, Outcome
from tests.fakes.evaluation import TASK, HerePool
from tests.fakes.painted import seeing
from tests.fakes.snapshots import sample_fan
from tests.fakes.vlm import FakeVlm

WORLD, POLICY = "tests.fakes.painted:PaintedWorld", "tests.fakes.policy:ToyPolicy"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeVlm]:
    monkeypatch.setenv("FRS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(runner, "ProcessPool", lambda job, *, workers, cell_timeout_s: HerePool(job))
    with FakeVlm() as fake:
        fake.answer = seeing()
        fake.usage = {"prompt_tokens": 300, "completion_tokens": 20}
        yield fake


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between tries, not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr("frs_core.choosers.answers.time.sleep", pauses.append)
    return pauses


def evaluate(server: FakeVlm, out: Path, *methods: str, noise: float = 0.0, tasks: tuple[str, ...] = (TASK,)) -> int:
    return eval_commands.evaluate(
        methods=methods,
        tasks=tasks,
        seeds=1,
        first_seed=3,
        out=out,
        world=WORLD,
        policy=POLICY,
        max_chunks=6,
        operator_noise=noise,
        model=eval_commands.ModelAddress(server.url, "some-vlm") if "frs-vlm" in methods else eval_commands.NO_MODEL,
        workers=1,
    )


def test_it_steers_to_what_it_sees_and_a_second_run_repeats_it_without_asking(
    server: FakeVlm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = (TASK, "reach_right")
    assert evaluate(server, tmp_path / "one", "base", "frs-vlm", tasks=tasks) == 0
    first = read_results(tmp_path / "one" / "results.jsonl")[1]
    assert {(r.method, r.success) for r in first} == {("base", False), ("frs-vlm", True)}
    spent = [r.spent for r in first if r.spent is not None]
    assert [s.answers for s in spent] == [r.chunks for r in first if r.method == "frs-vlm"]
    assert sum(s.calls for s in spent) == len(server.requests)
    assert evaluate(server, tmp_path / "two", "base", "frs-vlm", tasks=tasks) == 0
    second = read_results(tmp_path / "two" / "results.jsonl")[1]
    assert [(r.cell, r.success, r.steps, r.steered_chunks) for r in second] == [
        (r.cell, r.success, r.steps, r.steered_chunks) for r in first
    ]
    again = [r.spent for r in second if r.spent is not None]
    assert [(s.calls, s.cached, s.seconds) for s in again] == [(0, s.answers, s.seconds) for s in spent]
    assert len(server.requests) == sum(s.calls for s in spent), "nothing was asked twice"
    said = (tmp_path / "two" / "table.md").read_text()
    assert f"some-vlm at {server.url}, " in said
    assert "300 + 20 tokens per pick" in said
    [row] = [r for r in json.loads((tmp_path / "two" / "table.json").read_text())["rates"] if "asked" in r][-1:]
    assert row["asked"]["cached"] == row["asked"]["picks"] == sum(s.answers for s in spent)


def test_a_failure_in_mid_episode_loses_nothing_and_the_same_command_goes_on(
    server: FakeVlm, tmp_path: Path, paused: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    see, seen = seeing(), 0

    def fails_after_two(pictures: list[Array]) -> str:
        nonlocal seen
        seen += 1
        if seen == 2:
            server.status = 500
        return see(pictures)

    server.answer = fails_after_two
    assert evaluate(server, tmp_path, "frs-vlm") == 1
    [failed] = read_results(tmp_path / "results.jsonl")[1]
    assert "status 500" in failed.error
    assert "asked 3 times" in failed.error
    assert paused == [2.0, 4.0]
    asked_before = len(server.requests)
    server.status, server.answer = 200, see
    assert evaluate(server, tmp_path, "frs-vlm") == 0
    result = read_results(tmp_path / "results.jsonl")[1][-1]
    assert result.success
    assert result.spent is not None
    assert result.spent.cached == asked_before - 3, "what was answered before the failure"
    assert len(server.requests) == asked_before + result.spent.calls


def test_results_of_another_model_or_share_of_mistakes_do_not_mix(server: FakeVlm, tmp_path: Path) -> None:
    evaluate(server, tmp_path, "frs-vlm")
    with FakeVlm() as other, pytest.raises(ConfigError, match="holds results of 'frs-vlm' with some-vlm at"):
        evaluate(other, tmp_path, "frs-vlm")
    with pytest.raises(ConfigError, match="other conditions: rollout"):
        evaluate(server, tmp_path, "frs-vlm", noise=0.5)


def test_a_model_whose_every_pick_is_turned_wrong_fails(server: FakeVlm, tmp_path: Path) -> None:
    evaluate(server, tmp_path, "frs-vlm", noise=1.0)
    [result] = read_results(tmp_path / "results.jsonl")[1]
    assert not result.success
    assert result.operator_noise == 1.0
    assert result.spent is not None
    assert result.spent.answers == result.chunks == result.steered_chunks
    assert "100 % of the operator's chunks were to get a wrong direction" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("frs-vlm",)}, "'frs-vlm' needs a model. Give its address, e.g. --vlm http"),
        ({"methods": ("frs",), "model": eval_commands.ModelAddress("http://a/v1")}, "Add it, or leave --vlm out"),
        ({"methods": ("base", "frs"), "operator_noise": 0.1}, "nobody steers in method 'base'"),
        ({"methods": ("frs",), "operator_noise": 1.5}, r"operator_noise is 1.5, expected 0 to 1"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        eval_commands.evaluate(tasks=(TASK,), out=tmp_path, **options)  # type: ignore[arg-type]


def test_its_episodes_are_collected_and_the_same_command_goes_on(
    server: FakeVlm, tmp_path: Path, paused: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def collect() -> int:
        return eval_commands.collect(
            TASK,
            episodes=2,
            operator="vlm",
            model=eval_commands.ModelAddress(server.url, "some-vlm"),
            data=tmp_path / "data",
            world=WORLD,
            policy=POLICY,
            max_chunks=6,
        )

    see = seeing()

    def first_episode_only(pictures: list[Array]) -> str:
        if len(EpisodeStore(tmp_path / "data").list()) == 1:
            server.status = 500
        return see(pictures)

    server.answer = first_episode_only
    with pytest.raises(PolicyError, match="status 500"):
        collect()
    [kept] = EpisodeStore(tmp_path / "data").list()
    server.status, server.answer = 200, see
    assert collect() == 0
    infos = EpisodeStore(tmp_path / "data").list()
    assert [(i.seed, i.outcome) for i in infos] == [(20_000, Outcome.SUCCESS), (20_001, Outcome.SUCCESS)]
    assert infos[0].name == kept.name
    assert {i.operator for i in infos} == {f"some-vlm at {server.url}"}
    assert all(set(i.drivers) == {Driver.VLM.value} for i in infos)


def test_a_demonstration_is_not_steered_by_a_model(tmp_path: Path) -> None:
    model = eval_commands.ModelAddress("http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError, match="Leave one of them out"):
        eval_commands.collect(TASK, demonstrations=True, operator="vlm", model=model, data=tmp_path)
    with pytest.raises(ConfigError, match="Add --operator vlm"):
        eval_commands.collect(TASK, model=model, data=tmp_path)


# --- failures of one question -------------------------------------------------------------------------------------------


def chooser(server: FakeVlm, cache: Path, *, timeout_s: float = 30.0) -> VlmChooser:
    return VlmChooser(server.url, timeout_s=timeout_s, cache=cache, tries=3, fix="Give the same command again.")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"pick": "sideways", "reason": ""}', "picked 'sideways', which is not in the fan"),
        ("left, I would say", "expected JSON"),
        ("", "The model answered ''"),
        (None, "The model answered ''"),
    ],
)
def test_an_answer_that_picks_nothing_is_asked_for_three_times_and_not_kept(
    server: FakeVlm, tmp_path: Path, paused: list[float], content: str | None, words: str
) -> None:
    server.answer, server.raw = None, json.dumps({"choices": [{"message": {"content": content}}]}).encode()
    with pytest.raises(PolicyError, match=words) as failed:
        chooser(server, tmp_path).choose(sample_fan())
    assert "Give the same command again. It was asked 3 times." in str(failed.value)
    assert len(server.requests) == 3
    assert not list(tmp_path.glob("*.json"))
    server.answer, server.raw = None, None
    assert chooser(server, tmp_path).choose(sample_fan()).label == "left/more"


@pytest.mark.parametrize("mishap", [429, 500, 503, None])
def test_what_passes_is_asked_again(server: FakeVlm, tmp_path: Path, paused: list[float], mishap: int | None) -> None:
    server.answer, server.mishaps = None, [mishap, mishap]
    asker = chooser(server, tmp_path)
    assert asker.choose(sample_fan()).label == "left/more"
    assert asker.answers.spent.calls == len(server.requests) == 3
    server.mishaps = [mishap] * 3
    (tmp_path / "another").mkdir()
    with pytest.raises(PolicyError, match=r"The model at .* It was asked 3 times\.") as failed:
        chooser(server, tmp_path / "another").choose(sample_fan())
    assert "\n" not in str(failed.value)


def test_a_refusal_that_stays_is_not_asked_again(server: FakeVlm, tmp_path: Path, paused: list[float]) -> None:
    for status, words in ((401, "Set FRS_VLM_KEY"), (404, "Check address and model name")):
        server.status = status
        with pytest.raises(ModelRefused, match=words):
            chooser(server, tmp_path).choose(sample_fan())
    assert len(server.requests) == 2
    assert paused == []


def test_a_late_model_is_asked_three_times(server: FakeVlm, tmp_path: Path, paused: list[float]) -> None:
    server.is_silent = True
    with pytest.raises(PolicyTimeout, match=r"within 0\.1 s.*choose a faster model\. It was asked 3 times"):
        chooser(server, tmp_path, timeout_s=0.1).choose(sample_fan())
    server.is_silent, server.answer = False, None
    assert chooser(server, tmp_path).choose(sample_fan()).label == "left/more"


def test_a_folder_that_cannot_keep_answers_is_named(server: FakeVlm, tmp_path: Path) -> None:
    server.answer = None
    (tmp_path / "file").write_text("")
    with pytest.raises(PolicyError, match="could not be kept in"):
        chooser(server, tmp_path / "file" / "answers").choose(sample_fan())


def test_quantiles_and_tokens_are_per_pick() -> None:
    spent = [Spent("m", 3, 2, 1, (1.0, 2.0, 3.0), 2, 200, 10), Spent("m", 1, 3, 0, (9.0,))]
    took = asked(spent)
    assert took is not None
    assert (took.picks, took.calls, took.cached) == (4, 5, 1)
    assert (took.median_s, took.p95_s) == (2.5, pytest.approx(np.percentile([1, 2, 3, 9], 95)))
    assert (took.tokens_in, took.tokens_out) == (100, 5), "of the picks whose tokens were stated"
    assert asked([Spent("m")]) is None
