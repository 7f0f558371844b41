"""One endpoint with the common chat-completions interface: send text and images, get text.

An API key is read from the environment variable FRS_VLM_KEY and sent only to that endpoint. Every wait has a time limit.

Example: `endpoint.answer(endpoint.body("Answer yes or no.", [text("Is the cup upright?"), image_part(image)])).text` is "yes".
Any thread; a call blocks.
"""

import base64
import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.choosers.address import require_model_address
from frs_core.choosers.completion import KEY, Answer, answer_of, stated
from frs_core.errors import ConfigError, ModelRefused, PolicyError, PolicyTimeout
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime import image_files
from frs_core.runtime.address import shown
from frs_core.runtime.foreign import MALFORMED, in_line
from frs_core.steering.camera_pairing import is_wrist

if TYPE_CHECKING:
    from urllib.error import HTTPError

LARGEST_ANSWER = 1_000_000
"""Bytes read from an answer; a pick takes a few hundred."""
MOST_TOKENS = 2000
"""Longest answer; a pick takes 30, and what a model thinks before it counts, too. Guess."""
PASSING = (408, 409, 425, 429)
"""Refusals below 500 that may pass. Source: RFC 9110, RFC 6585, RFC 8470."""


_INSTEAD = {"max_tokens": "max_completion_tokens", "temperature": ""}
"""What newer models take in the place of a field; empty = nothing. Source: OpenAI's API reference, reasoning models."""

logger = logging.getLogger("frs.choosers")


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
        self._not_taken = frozenset[str]()
        """Fields that the model has refused."""

    @property
    def name(self) -> str:
        """Which model it is, for tables and recordings."""
        base = shown(self.url.removesuffix("/chat/completions"))
        return f"{self.model} at {base}" if self.model else base

    def body(self, instruction: str, content: Sequence[Mapping[str, Any]], *, max_tokens: int = MOST_TOKENS) -> bytes:
        """Return what is asked; the same question is the same bytes.

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

        A model that states that it does not take `max_tokens` or `temperature` is asked once more with `max_completion_tokens`, or without a
        temperature, and from then on.

        Raises:
            PolicyTimeout: no answer in time.
            ModelRefused: the endpoint will refuse this request again.
            PolicyError: no connection, another refusal, or something else than a chat completion.
        """
        began = time.monotonic()
        while True:
            raw, refused = self._sent(_without(body, self._not_taken))
            if refused is None:
                return answer_of(raw, at=shown(self.url), seconds=time.monotonic() - began)
            said = stated(raw)
            odd = {name for name in _INSTEAD if refused.code in (400, 422) and name in said} - self._not_taken
            if not odd:
                raise self._refusal(refused, said)
            self._not_taken |= odd
            logger.warning("The model at %s does not take %s: %s", shown(self.url), " and ".join(sorted(odd)), said)

    def _sent(self, body: bytes) -> "tuple[bytes, HTTPError | None]":
        """Return what the endpoint says, and the error that it is said with."""
        # The HTTP client is loaded with the first question, not with every start of the window.
        import http.client
        import urllib.error
        import urllib.request

        from frs_core.wire.proxy import opener_for, reason_of, through

        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, body, headers)
        try:
            opener = opener_for(self.url)
        except ConfigError as error:
            raise ModelRefused(str(error)) from error
        try:
            with opener.open(request, timeout=self.timeout_s) as answer:
                raw = answer.read(LARGEST_ANSWER + 1)
                missing = answer.length
        except urllib.error.HTTPError as error:
            # A refusal counts without its words, too.
            with error, contextlib.suppress(OSError, http.client.HTTPException):
                return error.read(LARGEST_ANSWER), error
            return b"", error
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
                f"The model at {shown(self.url)} gave no chat completion: {type(error).__name__}: {shown(error)}. Check the address."
            ) from error
        if len(raw) > LARGEST_ANSWER:
            raise PolicyError(
                f"The model at {shown(self.url)} gave more than {LARGEST_ANSWER:,} bytes, a pick takes a few hundred. Check the address."
            )
        if missing:
            raise PolicyError(
                f"The connection to the model at {shown(self.url)} ended before its answer did: {missing} bytes are missing. Ask again."
            )
        return raw, None

    def _refusal(self, error: "HTTPError", said: str) -> PolicyError:
        """Return a refusal with the endpoint's own words; behind a proxy that reads along, either may have refused."""
        from frs_core.wire.proxy import redirection, through

        at = f"The model at {shown(self.url)}"
        if elsewhere := redirection(error.code, error.headers.get("Location")):
            return ModelRefused(
                f"{at} {elsewhere}; nothing was sent there. Give the address that answers itself, with /v1 at its end, as --vlm."
            )
        quoted = f", '{said}'" if said else ""
        words = f"status {error.code} ({in_line(shown(error.reason))}){quoted}"
        proxy = through(self.url) if self.url.startswith("http://") else ""
        if proxy and error.code == 407:
            return ModelRefused(
                f"{at} was not asked: its proxy wants a user and password; the request went{proxy}. Give both in http_proxy."
            )
        kind = PolicyError if error.code in PASSING or error.code >= 500 else ModelRefused
        by = f", or the proxy before it, refused the request{proxy}" if proxy else " refused the request"
        return kind(f"{at}{by}: {words}. {_fix(error.code)}")

    def _late(self) -> PolicyTimeout:
        return PolicyTimeout(
            f"The model at {shown(self.url)} gave no answer within {self.timeout_s:g} s. Ask again, or choose a faster model."
        )


def _without(body: bytes, names: Set[str]) -> bytes:
    """Return a body with what a model takes instead of the fields that it does not."""
    if not names:
        return body
    fields = {(_INSTEAD[k] if k in names else k): v for k, v in json.loads(body).items()}
    fields.pop("", None)
    return json.dumps(fields).encode()


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
