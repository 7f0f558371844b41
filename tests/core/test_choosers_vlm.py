"""The vision-language driver: what it is asked, what it may answer, and that every failure has a sentence."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from frs_core.choosers.base import Choice, HelpCall
from frs_core.choosers.vlm import VlmChooser, with_plumb_line
from frs_core.errors import ConfigError, ModelRefused, PolicyError, PolicyTimeout
from frs_core.events import Driver
from tests.fakes.snapshots import sample_fan
from tests.fakes.vlm import FakeVlm

GOOD = '{"pick": "left/more", "reason": "cup left"}'


def completion(content: object, *, finish: str = "stop", **message: object) -> bytes:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return json.dumps({"choices": [choice]}).encode()


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


@pytest.mark.parametrize("to", ["/login", "http://127.0.0.2:9/x", "file:///etc/passwd", "", None])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_refused_with_where_it_leads_and_nothing_is_sent_there(
    server: FakeVlm, monkeypatch: pytest.MonkeyPatch, status: int, to: str | None
) -> None:
    monkeypatch.setenv("FRS_VLM_KEY", "secret")
    server.status, server.location = status, to
    with pytest.raises(
        ModelRefused, match=rf"elsewhere \(HTTP status {status}\), to {to or 'no address'}; nothing was"
    ):
        VlmChooser(server.url).choose(sample_fan())
    assert len(server.requests) == 1
    assert server.asked_otherwise == []


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": GOOD}],
        [{"type": "thinking", "thinking": "{}"}, {"type": "text", "text": "Sure: "}, {"type": "text", "text": GOOD}],
        '<think>I could say {"pick": "right"} but no</think>\n' + GOOD,
        'I could say {"pick": "right"} but no</think>' + GOOD,
        '{"pick": " left/more ", "reason": "cup left"}',
    ],
)
def test_a_pick_counts_however_it_is_wrapped(server: FakeVlm, content: object) -> None:
    server.raw = completion(content)
    assert VlmChooser(server.url).choose(sample_fan()) == Choice("left/more", "cup left")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"error": {"message": "model not loaded", "type": "x"}}', "reports an error: 'model not loaded'"),
        (b'{"error": "try pulling it first"}', "reports an error: 'try pulling it first'"),
        (b'{"choices": []}', "but an empty list of choices"),
        (b'{"choices": [{"message": null}]}', "but an object without choices"),
        (b"[]", "but a list without"),
        (b"null", "but null without"),
        (b" ", "but an empty body"),
        (b"data: {}", "but a stream"),
        (gzip.compress(completion(GOOD)), "compressed by gzip"),
        (completion(GOOD).decode().encode("utf-16"), "text in UTF-16"),
        (b'{"choices": "\xe9\x1b"}', r"no JSON: .*\\xe9\\x1b"),
        (completion(None, finish="length"), "used up its tokens"),
        (completion('<think>{"pick": "left/more"}'), "used up its tokens"),
        (completion(None, refusal="I cannot\nhelp"), r"declined to answer: 'I cannot\\nhelp'"),
        (completion(None, finish="content_filter"), "held back by a filter"),
        (completion({"pick": "left/more"}), "gave an object as its content"),
        (completion(5), "gave a number as its content"),
        (completion(["x"]), "a list of other things"),
        (b" " * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_answer_is_told_in_plain_words(server: FakeVlm, raw: bytes, words: str) -> None:
    server.raw = raw
    with pytest.raises(PolicyError, match=words) as refused:
        VlmChooser(server.url).choose(sample_fan())
    assert str(refused.value).isprintable()
    assert "Error:" not in str(refused.value)


def test_an_answer_that_ends_early_is_not_read(server: FakeVlm) -> None:
    server.raw, server.missing_bytes = completion(GOOD), 50
    with pytest.raises(PolicyError, match="50 bytes are missing"):
        VlmChooser(server.url).choose(sample_fan())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"error": {"message": "Incorrect key: secret"}}', r"status 400 \(Bad Request\), 'Incorrect key: …'\."),
        (b'{"object": "error", "message": "no model `x`"}', "'no model `x`'"),
        (b'{"detail": [{"loc": ["body"], "msg": "Field required"}]}', "'Field required'"),
        (b"loading\nmodel", "'loading model'"),
        (b"<html>sign in</html>", r"\(Bad Request\)\. Check"),
        (b"[" * 100_000, r"'\[+…'"),
        (b'{"error": {"error": []}}', r"\(Bad Request\)\. Check"),
    ],
)
def test_a_refusal_is_quoted_without_the_key(
    server: FakeVlm, monkeypatch: pytest.MonkeyPatch, raw: bytes, words: str
) -> None:
    monkeypatch.setenv("FRS_VLM_KEY", "secret")
    server.status, server.raw = 400, raw
    with pytest.raises(ModelRefused, match=words) as refused:
        VlmChooser(server.url).choose(sample_fan())
    assert "secret" not in str(refused.value)


def test_a_model_that_refuses_a_parameter_is_asked_with_what_it_takes_and_from_then_on(server: FakeVlm) -> None:
    def takes(body: dict[str, Any]) -> str:
        if "max_tokens" in body:
            return "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        return "Unsupported value: 'temperature' does not support 0." if "temperature" in body else ""

    server.refuses = takes
    chooser = VlmChooser(server.url)
    for asked in (3, 4):
        assert chooser.choose(sample_fan()).label == "left/more"
        assert len(server.requests) == asked
    assert server.requests[-1][1]["max_completion_tokens"] == server.requests[0][1]["max_tokens"]

    server.refuses = lambda body: "'max_tokens' or 'max_completion_tokens' is too large"
    with pytest.raises(ModelRefused, match="is too large"):
        VlmChooser(server.url).choose(sample_fan())


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ('"go \\ud83d"', r"go \ud83d"),
        (r'"a\nb\u001b[31m"', r"a\nb\x1b[31m"),
        ("null", ""),
    ],
)
def test_a_reason_is_one_line_that_can_be_stored(server: FakeVlm, reason: str, kept: str) -> None:
    server.content = f'{{"pick": "left/more", "reason": {reason}}}'
    assert VlmChooser(server.url).choose(sample_fan()).reason == kept
    assert HelpCall(Choice("left/more"), "a\nb").reason == r"a\nb"


@pytest.mark.parametrize("reason", ["NaN", "5", "[]"])
def test_a_reason_that_is_no_text_is_refused(server: FakeVlm, reason: str) -> None:
    server.content = f'{{"pick": "left/more", "reason": {reason}}}'
    with pytest.raises(PolicyError, match="as its reason, expected a text"):
        VlmChooser(server.url).choose(sample_fan())
