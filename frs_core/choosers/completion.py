"""What an endpoint with the common chat-completions interface says: the words of a completion, or why there are none.

Problem: endpoints differ in how they say it: as a text or as a list of parts, with or without what the model thought; and what is no
completion may be an error, a refusal, a thought that was cut, or a web page. Idea: one function reads them all, and what is not understood
is refused in plain words.

Example: `answer_of(b'{"choices": []}', at="http://127.0.0.1:8000/v1", seconds=0.1)` raises "… gave no chat completion, but an empty list of
choices". Pure; any thread.
"""

import os
from dataclasses import dataclass
from typing import Any, cast

from frs_core.errors import PolicyError
from frs_core.runtime.address import shown
from frs_core.runtime.foreign import in_line, parse_json

KEY = "FRS_VLM_KEY"
_QUOTED = 200
"""Characters of a foreign text in an error. Guess."""
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
_FORMS = {
    b"\x1f\x8b": "bytes compressed by gzip, which was not asked for",
    b"\xff\xfe": "text in UTF-16, expected UTF-8",
    b"\xfe\xff": "text in UTF-16, expected UTF-8",
    b"data:": "a stream, which was not asked for",
    b"<": "a web page",
}
"""First bytes -> what they are the beginning of."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what it took."""

    text: str
    """Without what it thought before; empty where it said nothing."""
    seconds: float
    """From the request to the whole answer."""
    tokens_in: int | None = None
    """As the endpoint counts them, images included; None where it does not say."""
    tokens_out: int | None = None


def answer_of(raw: bytes, *, at: str, seconds: float) -> Answer:
    """Return the answer in a chat completion.

    Args:
        raw: the body of the endpoint's answer.
        at: its address, as it may be shown.
        seconds: how long it took.
    Raises:
        PolicyError: something else than a completion, or one without an answer.
    """
    try:
        document: Any = parse_json(raw)
    except ValueError as error:
        raise PolicyError(f"The model at {at} gave no chat completion, but {_form(raw)}. Check the address.") from error
    choices = document.get("choices") if isinstance(document, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        if said := stated(raw):
            raise PolicyError(f"The model at {at} reports an error: '{said}'. Look at its log, and ask again.")
        found = "an empty list of choices" if choices == [] else f"{kind_of(document)} without choices[0].message"
        raise PolicyError(f"The model at {at} gave no chat completion, but {found}. Check address and model name.")
    choice, message = cast(dict[str, Any], choice), cast(dict[str, Any], message)
    words, is_cut = _words(message.get("content"), at=at)
    if not words.strip():
        _require_no_reason(choice.get("finish_reason"), message.get("refusal"), is_cut=is_cut, at=at)
    usage = document.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    counts = [n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else None for n in tokens]
    return Answer(words, seconds, *counts)


def stated(raw: bytes) -> str:
    """Return what an endpoint says of an error, as a part of one line without what is secret; empty where it says nothing in words.

    OpenAI and vLLM say it under `error`, older vLLM under `message`, FastAPI under `detail`, llama.cpp and proxies in plain text.
    """
    try:
        found: Any = parse_json(raw)
    except ValueError:
        text = raw.decode(errors="replace").strip()
        found = "" if text.startswith("<") or "\ufffd" in text or "\0" in text else text
    while found and isinstance(found, dict | list):
        inner: dict[Any, Any] = dict(enumerate(found)) if isinstance(found, list) else found
        found = next((inner[key] for key in ("error", "message", "detail", "msg", 0) if key in inner), "")
    if not isinstance(found, str):
        return ""
    if key := os.environ.get(KEY):
        found = found.replace(key, "…")
    said = in_line(shown(" ".join(found.split())))
    return said if len(said) <= _QUOTED else f"{said[:_QUOTED]}…"


def kind_of(value: object) -> str:
    """Return what a value of a foreign document is, in words: "a number"."""
    return _KINDS.get(type(value), type(value).__name__)


def _form(raw: bytes) -> str:
    """Return what bytes that are no JSON look like."""
    if not raw.strip():
        return "an empty body"
    known = next((form for head, form in _FORMS.items() if raw.lstrip().startswith(head)), "")
    return known or f"no JSON: '{in_line(shown(raw[:80].decode(errors='backslashreplace')))}'"


def _words(content: object, *, at: str) -> tuple[str, bool]:
    """Return the words of a message, a text or a list of parts, without what was thought; and whether the thought was cut."""
    if isinstance(content, list):
        parts = cast(list[Any], content)
        if not all(isinstance(part, dict) for part in parts):
            raise PolicyError(
                f"The model at {at} gave a list of other things than objects as its content. Choose another model."
            )
        said = [part.get("text") for part in parts if part.get("type") == "text"]
        content = "".join(text for text in said if isinstance(text, str))
    if content is not None and not isinstance(content, str):
        raise PolicyError(
            f"The model at {at} gave {kind_of(content)} as its content, expected a text. Choose another model."
        )
    # Some chat templates open the thought themselves, so only its end is there.
    words = (content or "").rpartition("</think>")[2].strip()
    return ("", True) if words.startswith("<think>") else (words, False)


def _require_no_reason(finish: object, refusal: object, *, is_cut: bool, at: str) -> None:
    """Do nothing, unless a completion states why it holds no words. Raises PolicyError."""
    if finish == "length" or is_cut:
        raise PolicyError(
            f"The model at {at} used up its tokens before it answered. Choose a model that thinks less, or switch its thinking off."
        )
    if isinstance(refusal, str) and refusal:
        raise PolicyError(
            f"The model at {at} declined to answer: '{in_line(shown(refusal))[:_QUOTED]}'. Choose another model."
        )
    if finish == "content_filter":
        raise PolicyError(f"The answer of the model at {at} was held back by a filter. Choose another model.")
