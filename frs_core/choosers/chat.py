"""One endpoint with the common chat-completions interface: send text and images, get text.

An API key is read from the environment variable FRS_VLM_KEY and sent only to that endpoint. Every wait has a time limit.

Example: `endpoint.answer(endpoint.body("Answer yes or no.", [text("Is the cup upright?"), image_part(image)])).text` is "yes".
Any thread; a call blocks.
"""

import base64
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.choosers.address import require_model_address
from frs_core.errors import ConfigError, ModelRefused, PolicyError, PolicyTimeout
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime import image_files
from frs_core.runtime.address import shown
from frs_core.runtime.foreign import MALFORMED, parse_json
from frs_core.steering.camera_pairing import is_wrist

KEY = "FRS_VLM_KEY"
LARGEST_ANSWER = 1_000_000
"""Bytes read from an answer; a pick takes a few hundred."""
MOST_TOKENS = 2000
"""Longest answer; a pick takes 30, and what a model thinks before it counts, too. Guess."""
PASSING = (408, 409, 425, 429)
"""Refusals below 500 that may pass. Source: RFC 9110, RFC 6585, RFC 8470."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and what it took."""

    text: str
    """Empty where it said nothing."""
    seconds: float
    """From the request to the whole answer."""
    tokens_in: int | None = None
    """As the endpoint counts them, images included; None where it does not say."""
    tokens_out: int | None = None


class ChatEndpoint:
    """Where a model answers."""

    def __init__(self, endpoint: str, *, model: str = "", timeout_s: float = 30.0) -> None:
        """Keep the settings; no request is sent.

        Args:
            endpoint: base address, e.g. "http://127.0.0.1:8000/v1"; "/chat/completions" is added.
            model: name of the model at the endpoint; empty where it serves only one.
            timeout_s: longest wait for an answer, seconds.
        Raises:
            ConfigError: the address is not valid.
        """
        require_model_address(endpoint)
        self.url = endpoint.rstrip("/") + "/chat/completions"
        self.model, self.timeout_s = model, timeout_s

    @property
    def name(self) -> str:
        """Which model it is, for tables and recordings."""
        base = shown(self.url.removesuffix("/chat/completions"))
        return f"{self.model} at {base}" if self.model else base

    def body(self, instruction: str, content: Sequence[Mapping[str, Any]], *, max_tokens: int = MOST_TOKENS) -> bytes:
        """Return what is sent; the same question is the same bytes.

        Args:
            instruction: the system's message.
            content: parts of the user's message, of `text` and `image_part`.
            max_tokens: longest answer.
        """
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": list(content)}]
        body: dict[str, Any] = {"messages": messages, "temperature": 0.0, "max_tokens": max_tokens}
        if self.model:
            body["model"] = self.model
        return json.dumps(body).encode()

    def answer(self, body: bytes) -> Answer:
        """Return the model's answer to a body.

        Raises:
            PolicyTimeout: no answer in time.
            ModelRefused: the endpoint will refuse this request again.
            PolicyError: no connection, another refusal, or something else than a chat completion.
        """
        # The HTTP client is loaded with the first question, not with every start of the window.
        import http.client
        import urllib.error
        import urllib.request

        from frs_core.wire.proxy import opener_for, reason_of, through

        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, body, headers)
        began = time.monotonic()
        try:
            opener = opener_for(self.url)
        except ConfigError as error:
            raise ModelRefused(str(error)) from error
        try:
            with opener.open(request, timeout=self.timeout_s) as answer:
                raw = answer.read(LARGEST_ANSWER)
            return _answer(raw, seconds=time.monotonic() - began)
        except urllib.error.HTTPError as error:
            error.close()
            kind = PolicyError if error.code in PASSING or error.code >= 500 else ModelRefused
            raise kind(
                f"The model at {shown(self.url)} refused the request: status {error.code} ({error.reason}). {_fix(error.code)}"
            ) from error
        except TimeoutError as error:
            raise self._late() from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise self._late() from error
            raise PolicyError(
                f"The model at {shown(self.url)} cannot be reached{through(self.url)}: {reason_of(error)}. Start it, or correct --vlm."
            ) from error
        except (OSError, http.client.HTTPException, *MALFORMED) as error:
            raise PolicyError(
                f"The model at {shown(self.url)} gave no chat completion: {type(error).__name__}: {error}. Check the address."
            ) from error

    def _late(self) -> PolicyTimeout:
        return PolicyTimeout(
            f"The model at {shown(self.url)} gave no answer within {self.timeout_s:g} s. Ask again, or choose a faster model."
        )


def _answer(raw: bytes, *, seconds: float) -> Answer:
    """Return a chat completion. Raises MALFORMED for anything else."""
    document = parse_json(raw)
    said = document["choices"][0]["message"]["content"]
    usage = document.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    counts = [n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else None for n in tokens]
    return Answer("" if said is None else str(said), seconds, *counts)


def _fix(status: int) -> str:
    if status in (401, 403):
        return f"Set {KEY}."
    if status == 429:
        return "It has too much to do, or the key's quota is used up; ask again later."
    return "Look at its log, and ask again." if status >= 500 else "Check address and model name."


def text(words: str) -> dict[str, Any]:
    """Return words as a part of a message."""
    return {"type": "text", "text": words}


def image_part(image: UInt8[Array, "H W 3"]) -> dict[str, Any]:
    """Return an image as a part of a message."""
    data = base64.b64encode(jpeg(image)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def jpeg(image: UInt8[Array, "H W 3"]) -> bytes:
    """Return an image as it is sent."""
    return image_files.jpeg(image, quality=90)


def outside_frame(observation: Observation, camera: str = "") -> CameraFrame:
    """Return the image that a model is shown: a named camera's, or the first external camera's, a calibrated one if there is one.

    Raises:
        ConfigError: there is no camera of that name.
        PolicyError: there is no external camera.
    """
    if camera:
        if camera not in observation.frames:
            raise ConfigError(
                f"There is no camera '{camera}' for the model. The cameras are {', '.join(observation.frames)}."
            )
        return observation.frames[camera]
    outside = [f for name, f in observation.frames.items() if not is_wrist(name)]
    if not outside:
        raise PolicyError("The model needs an external camera, and there is only a wrist camera. Add a camera.")
    return next((f for f in outside if f.calibration is not None), outside[0])
