"""A model is scored on recorded fans: with whom it agrees, where its picks lead, and on after every failure."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.choosers.address import ModelAddress
from frs_core.commands import eval as eval_commands
from frs_core.commands import vlm as vlm_commands
from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, EpisodeError, PolicyError
from frs_core.evaluation.picks import question_of, spread_evenly, whole_fans
from frs_core.evaluation.wilson import wilson
from frs_core.steering.directions import Direction
from tests.fakes.evaluation import TASK
from tests.fakes.painted import seeing
from tests.fakes.vlm import FakeVlm

WORLD, POLICY = "tests.fakes.painted:PaintedWorld", "tests.fakes.policy:ToyPolicy"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of two steered successes."""
    data = tmp_path_factory.mktemp("recorded")
    eval_commands.collect(
        TASK,
        episodes=2,
        data=data,
        world=WORLD,
        policy=POLICY,
        scripted_operator="tests.fakes.operator:PointOperator",
        max_chunks=6,
    )
    return data


@pytest.fixture
def server(recorded: Path) -> Iterator[FakeVlm]:
    for kept in (recorded / "judgements").glob("*.json"):
        kept.unlink()
    with FakeVlm() as fake:
        fake.answer = seeing(tuple(Direction))
        yield fake


def judge(server: FakeVlm, data: Path, out: Path, **options: object) -> dict[str, object]:
    """Return the figures."""
    vlm_commands.judge(model=ModelAddress(server.url), data=data, out=out / "score.json", **options)  # type: ignore[arg-type]
    return json.loads((out / "score.json").read_text())


def chunks_of(data: Path) -> int:
    store = EpisodeStore(data)
    return sum(len(whole_fans(store.open(info.name))) for info in store.list())


def test_one_that_sees_agrees_and_leads_to_the_goal(
    server: FakeVlm, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n = chunks_of(recorded)
    score = judge(server, recorded, tmp_path)
    low, high = wilson(n, n)
    agreed = {"hits": n, "n": n, "low": low, "high": high}
    assert score["agreed"] == {**agreed, "chance": pytest.approx(2 / 15)}
    assert score["agreed_by_direction"] == {"left": agreed}
    towards, operator = score["towards_goal"], score["operator_towards_goal"]
    assert isinstance(towards, dict)
    assert isinstance(operator, dict)
    assert towards["hits"] == towards["n"] == operator["hits"] == n - 2, "but for the last chunk of each episode"
    assert towards["chance"] < 0.9
    said = capsys.readouterr().out
    assert f"100 % ({100 * low:.0f}–100, n = {n})" in said
    assert "min left" in said
    assert "where the tool was 3 chunks later" in said


def test_one_that_always_goes_back_agrees_nowhere(server: FakeVlm, recorded: Path, tmp_path: Path) -> None:
    server.answer, server.content = None, '{"pick": "right/more", "reason": "who knows"}'
    score = judge(server, recorded, tmp_path)
    assert score["agreed"]["hits"] == score["towards_goal"]["hits"] == 0  # type: ignore[index]
    assert score["unreadable"] == 0


def test_answers_that_name_nothing_count_as_wrong_and_are_kept(
    server: FakeVlm, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer, server.content = None, "to the left"
    n = chunks_of(recorded)
    score = judge(server, recorded, tmp_path)
    assert (score["unreadable"], score["agreed"]["hits"], len(server.requests)) == (n, 0, n)  # type: ignore[index]
    assert f"{n} answers named no candidate and count as wrong" in capsys.readouterr().out
    judge(server, recorded, tmp_path)
    assert len(server.requests) == n


def test_a_failure_ends_it_with_a_sentence_and_the_same_command_goes_on(
    server: FakeVlm, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frs_core.choosers.answers.time.sleep", lambda s: None)
    see = seeing(tuple(Direction))

    def then_full(pictures: list[Array]) -> str:
        server.status = 429
        return see(pictures)

    server.answer = then_full
    with pytest.raises(PolicyError, match=r"status 429.*quota.*asked 3 times"):
        judge(server, recorded, tmp_path)
    server.status, server.answer = 200, see
    before = len(server.requests)
    score = judge(server, recorded, tmp_path)
    assert len(server.requests) - before == chunks_of(recorded) - 1
    assert score["asked"]["cached"] == 1  # type: ignore[index]
    again = judge(server, recorded, tmp_path)
    assert again["agreed"] == score["agreed"]
    assert len(server.requests) - before == chunks_of(recorded) - 1


def test_it_is_asked_with_the_usual_fan_and_measured_against_where_the_tool_was(recorded: Path) -> None:
    store = EpisodeStore(recorded)
    episode = store.open(store.list()[0].name)
    first, *_, last = whole_fans(episode)
    question = question_of(episode, first, ahead=1)
    assert len(question.fan.candidates) == 15
    assert question.fan.observation.frames["left"].calibration is not None
    assert question.goal is not None
    np.testing.assert_array_equal(question.goal, episode.observation(first + 1, has_images=False).p_tcp)
    end = question_of(episode, first, ahead=40).goal
    assert end is not None
    np.testing.assert_array_equal(end, episode.after(last, has_images=False).p_tcp)
    assert question_of(episode, last, ahead=1).goal is None, "it was cut short by the success"


def test_chunks_are_spread_evenly() -> None:
    places = [("e", i) for i in range(10)]
    assert spread_evenly(places, 0) == places
    assert spread_evenly(places, 4) == [("e", 0), ("e", 3), ("e", 6), ("e", 9)]


def test_bad_input_has_one_sentence(server: FakeVlm, recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--vlm http"):
        vlm_commands.judge(data=recorded)
    with pytest.raises(EpisodeError, match="no successes of task 'reach_upp'"):
        judge(server, recorded, tmp_path, task="reach_upp")
    with pytest.raises(EpisodeError, match="no successes in"):
        judge(server, tmp_path, tmp_path)
    assert server.requests == []
