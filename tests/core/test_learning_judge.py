"""A model that judges progress from images: it sees them, its answers are kept, and every failure has a sentence."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.choosers.chat import ChatEndpoint
from frs_core.errors import ConfigError, PolicyError, PolicyTimeout, TrainingError
from frs_core.evaluation import actors
from frs_core.evaluation.arena import open_arena
from frs_core.evaluation.practice import run_practice
from frs_core.learning import NetworkSettings, Practice, TrainRequest
from frs_core.learning.base import OnlineLearner
from frs_core.learning.judge import MOST_IMAGES, Judge
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Reward
from frs_core.learning.settings import DsrlSettings
from frs_core.learning.table import End
from frs_core.policies import NamedPolicy
from frs_core.testing.learner import synthetic_table
from tests.fakes.evaluation import TASK, HerePool
from tests.fakes.vlm import FakeVlm


@pytest.fixture
def server() -> Iterator[FakeVlm]:
    with FakeVlm() as fake:
        fake.answer = by_brightness
        yield fake


def by_brightness(images: list[Array]) -> str:
    """Progress is how bright an image is."""
    return f'So:\n```json\n{{"progress": {[round(float(i.mean()) / 255, 3) for i in images]}}}\n```'


def grey(*levels: float) -> list[Array]:
    return [np.full((24, 32, 3), round(255 * level), np.uint8) for level in levels]


def judge(server: FakeVlm, cache: Path, *, timeout_s: float = 30.0) -> Judge:
    return Judge(ChatEndpoint(server.url, model="some-vlm", timeout_s=timeout_s), cache=cache)


def test_it_reads_the_pictures_that_are_sent_in_their_order(server: FakeVlm, tmp_path: Path) -> None:
    progress = judge(server, tmp_path).progress(grey(0.1, 0.6, 0.3), "Put the can on the plate")
    assert progress == pytest.approx([0.1, 0.6, 0.3], abs=0.01)
    _, body = server.requests[0]
    said = body["messages"][1]["content"][0]["text"]
    assert "Put the can on the plate" in said
    assert "3 pictures" in said
    assert body["model"] == "some-vlm"


def test_of_a_long_episode_some_pictures_are_sent_and_the_others_lie_in_between(
    server: FakeVlm, tmp_path: Path
) -> None:
    levels = np.linspace(0.0, 0.9, 29)
    progress = judge(server, tmp_path).progress(grey(*levels), "t")
    assert progress == pytest.approx(levels, abs=0.01)
    sent = [part for part in server.requests[0][1]["messages"][1]["content"] if part["type"] == "image_url"]
    assert len(sent) == MOST_IMAGES


def test_the_same_pictures_are_asked_about_once(server: FakeVlm, tmp_path: Path) -> None:
    first = judge(server, tmp_path).progress(grey(0.2, 0.4), "t")
    server.status = 500
    np.testing.assert_array_equal(judge(server, tmp_path).progress(grey(0.2, 0.4), "t"), first)
    assert len(server.requests) == 1
    server.status = 200
    judge(server, tmp_path).progress(grey(0.2, 0.5), "t")
    judge(server, tmp_path).progress(grey(0.2, 0.4), "another task")
    assert len(server.requests) == 3


def test_a_damaged_answer_on_disk_is_asked_for_again(server: FakeVlm, tmp_path: Path) -> None:
    first = judge(server, tmp_path).progress(grey(0.2), "t")
    (kept,) = tmp_path.glob("*.json")
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "text": '{"progress": [7.0]}'}))
    np.testing.assert_array_equal(judge(server, tmp_path).progress(grey(0.2), "t"), first)
    assert len(server.requests) == 2
    assert json.loads(kept.read_text())["text"] == by_brightness(grey(0.2))


@pytest.mark.parametrize(
    "content",
    [
        "I think it went well",
        '{"progress": [0.1]}',
        '{"progress": [0.1, 1.2]}',
        '{"progress": [0.1, NaN]}',
        '{"progress": [0.1, "done"]}',
        '{"progress": [0.1, true]}',
        '{"progress": 0.4}',
        '{"score": [0.1, 0.2]}',
        "[0.1, 0.2]",
    ],
)
def test_an_answer_that_is_no_progress_is_an_error_and_not_kept(server: FakeVlm, tmp_path: Path, content: str) -> None:
    server.answer, server.content = None, content
    with pytest.raises(PolicyError, match=r"2 numbers in 0\.\.1"):
        judge(server, tmp_path).progress(grey(0.1, 0.2), "t")
    assert not list(tmp_path.iterdir())


def test_a_refusal_and_a_silence_are_told(server: FakeVlm, tmp_path: Path) -> None:
    server.status = 403
    with pytest.raises(PolicyError, match="FRS_VLM_KEY"):
        judge(server, tmp_path).progress(grey(0.1), "t")
    server.is_silent = True
    with pytest.raises(PolicyTimeout, match=r"within 0\.2 s"):
        judge(server, tmp_path, timeout_s=0.2).progress(grey(0.1), "t")


def test_a_success_pays_one_in_all_and_a_failure_what_it_gained() -> None:
    table = synthetic_table(episodes=1, chunks=4)
    progress = np.array([0.1, 0.3, 0.2, 0.6, 0.95])
    won = table.with_outcomes([True], ends=[End(True)]).with_progress(progress)
    assert won.reward == pytest.approx([0.2, 0.0, 0.3, 0.5])
    assert won.terminal.tolist() == [False, False, False, True]
    lost = table.with_outcomes([False], ends=[End(False)]).with_progress(np.array([0.1, 0.3, 0.2, 1.0, 0.8]))
    assert lost.reward == pytest.approx([0.2, 0.0, 0.6, 0.0])
    assert not lost.terminal.any()
    assert lost.truncated.tolist() == [False, False, False, True]
    at_once = table.with_outcomes([True], ends=[End(True)]).with_progress(np.ones(5))
    assert at_once.terminal.tolist() == [False, False, False, True]


def request(server: FakeVlm, root: Path) -> TrainRequest:
    return TrainRequest(
        kind="dsrl",
        root=root,
        episodes=(),
        out=root / "out",
        fingerprint="",
        task=TASK,
        policy=NamedPolicy("tests.fakes.policy:ToyPolicy"),
        settings=DsrlSettings(network=NetworkSettings(hidden=16, layers=1), warm_up=1, critic_first=2, batch_size=8),
        practice=Practice(
            world="tests.fakes.world:PointWorld",
            episodes=1,
            max_chunks=2,
            first_seed=700,
            judge_every=0,
            reward=Reward.VLM,
            vlm=server.url,
        ),
    )


def test_episodes_of_practice_are_rewarded_by_what_the_model_saw(server: FakeVlm, tmp_path: Path) -> None:
    seen: list[list[Array]] = []

    def rising(images: list[Array]) -> str:
        seen.append(images)
        return json.dumps({"progress": [0.1, 0.5, 0.95]})

    server.answer = rising
    asked = request(server, tmp_path)
    arena, learner = open_arena(asked), find_learner("dsrl").load()
    assert isinstance(learner, OnlineLearner)
    try:
        learner.begin(arena.policy, asked.settings)
        table = arena.run(learner.actor(explores=True).policy(), seed=700)
    finally:
        arena.close()
    assert table.reward == pytest.approx([0.4, 0.6])
    assert table.terminal.tolist() == [False, True]
    assert len(seen[0]) == 3, "before the first chunk and after each of two"
    assert any((a != b).any() for a, b in zip(seen[0], seen[0][1:], strict=False)), "the robot moved in the images"
    assert learner.learn(table) >= 0.0


def test_a_model_that_fails_stops_the_practice_with_its_sentence(
    server: FakeVlm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "ProcessPool", lambda job, *, workers: HerePool(job))
    server.status = 500
    with pytest.raises(TrainingError, match="status 500"):
        run_practice(request(server, tmp_path), tmp_path / "practice", actors=1)
    server.status, server.answer, server.content = 200, None, '{"progress": [0.0, 0.2, 0.3]}'
    done = run_practice(request(server, tmp_path), tmp_path / "practice", actors=1)
    assert done.episodes == 1, "the same call continues"


def test_a_reward_by_a_model_needs_its_address() -> None:
    with pytest.raises(ConfigError, match="--vlm http"):
        Practice(reward=Reward.VLM)
    with pytest.raises(ConfigError, match="expected http or https"):
        ChatEndpoint("somewhere")
    assert replace(Practice(), vlm="http://127.0.0.1:1/v1").reward is Reward.LABEL
