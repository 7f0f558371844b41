"""The vision-language driver: what it is asked, what it may answer, and that every failure has a sentence."""

import base64
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from frs_core.choosers.vlm import VlmChooser, with_plumb_line
from frs_core.errors import ConfigError, PolicyError, PolicyTimeout
from frs_core.events import Driver
from tests.fakes.snapshots import sample_fan
from tests.fakes.vlm import FakeVlm


@pytest.fixture
def server() -> Iterator[FakeVlm]:
    with FakeVlm() as fake:
        yield fake


def test_it_picks_an_offered_label_with_a_reason(server: FakeVlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRS_VLM_KEY", "secret")
    server.content = 'Sure:\n```json\n{"pick": "left/more", "reason": "the cup is left"}\n```'
    chooser = VlmChooser(server.url, model="some-vlm")
    choice = chooser.choose(sample_fan())
    assert (choice.label, choice.reason, chooser.driver) == ("left/more", "the cup is left", Driver.VLM)
    headers, body = server.requests[0]
    assert headers["Authorization"] == "Bearer secret"
    assert body["model"] == "some-vlm"
    text, picture = body["messages"][1]["content"]
    assert "Task: reach left" in text["text"]
    assert all(f"- {c.label}:" in text["text"] for c in sample_fan().candidates)
    jpeg = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == sample_fan().observation.frames["left"].image.shape


def test_the_plumb_line_is_drawn_for_the_model_alone() -> None:
    observation = sample_fan().observation
    frame = observation.frames["left"]
    before = frame.image.copy()
    assert (with_plumb_line(frame, observation) != before).any()
    assert (frame.image == before).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"pick": "sideways", "reason": ""}', "picked 'sideways', which is not in the fan"),
        ("I would go left", "expected JSON"),
        ('["left/more"]', "expected JSON"),
        ('{"reason": "x"}', "expected JSON"),
    ],
)
def test_an_answer_that_picks_nothing_is_an_error_with_a_way_on(server: FakeVlm, content: str, words: str) -> None:
    server.content = content
    with pytest.raises(PolicyError, match=words):
        VlmChooser(server.url).choose(sample_fan())


@pytest.mark.parametrize(("status", "words"), [(401, "FRS_VLM_KEY"), (500, "status 500")])
def test_a_refusal_names_its_status_and_the_fix(server: FakeVlm, status: int, words: str) -> None:
    server.status = status
    with pytest.raises(PolicyError, match=words):
        VlmChooser(server.url).choose(sample_fan())


def test_something_else_at_the_address_is_told(server: FakeVlm) -> None:
    server.raw = b"<html>hello</html>"
    with pytest.raises(PolicyError, match="no chat completion"):
        VlmChooser(server.url).choose(sample_fan())


def test_a_silent_model_is_a_time_out(server: FakeVlm) -> None:
    server.is_silent = True
    with pytest.raises(PolicyTimeout, match=r"within 0\.2 s"):
        VlmChooser(server.url, timeout_s=0.2).choose(sample_fan())


def test_nobody_at_the_address_is_told() -> None:
    with FakeVlm() as gone:
        url = gone.url
    with pytest.raises(PolicyError, match="cannot be reached"):
        VlmChooser(url).choose(sample_fan())


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected http or https"):
        VlmChooser("localhost:8000")


def test_an_unknown_camera_is_refused_with_the_known_ones(server: FakeVlm) -> None:
    with pytest.raises(ConfigError, match="left, right, wrist"):
        VlmChooser(server.url, camera="top").choose(sample_fan())
