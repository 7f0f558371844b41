"""One endpoint with the common chat-completions interface: send text and images, get text.

An API key is read from the environment variable FRS_VLM_KEY and sent only to that endpoint. Every wait has a time limit.

Example: ChatEndpoint("http://127.0.0.1:8000/v1").ask("Answer yes or no.", [text("Is the cup upright?"), image_part(image)]) is "yes".
Any thread; a call blocks.
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.errors import ConfigError, PolicyError, PolicyTimeout
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.steering.camera_pairing import is_wrist

KEY = "FRS_VLM_KEY"
LARGEST_ANSWER = 1_000_000
"""Bytes read from an answer; a pick takes a few hundred."""


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
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"The model's address is '{endpoint}', expected one like http://127.0.0.1:8000/v1. Correct --vlm."
            )
        self.url = endpoint.rstrip("/") + "/chat/completions"
        self.model, self._timeout_s = model, timeout_s

    def ask(self, instruction: str, content: Sequence[Mapping[str, Any]], *, max_tokens: int = 200) -> str:
        """Return the model's answer.

        Args:
            instruction: the system's message.
            content: parts of the user's message, of `text` and `image_part`.
            max_tokens: longest answer.
        Raises:
            PolicyTimeout: no answer in time.
            PolicyError: no connection, a refusal, or something else than a chat completion.
        """
        # The HTTP client is loaded with the first question, not with every start of the window.
        import urllib.error
        import urllib.request

        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": list(content)}]
        body: dict[str, Any] = {"messages": messages, "temperature": 0.0, "max_tokens": max_tokens}
        if self.model:
            body["model"] = self.model
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                raw = answer.read(LARGEST_ANSWER)
            return str(json.loads(raw)["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            fix = f"Set {KEY}." if error.code in (401, 403) else "Check address and model name."
            raise PolicyError(
                f"The model at {self.url} refused the request: status {error.code} ({error.reason}). {fix}"
            ) from error
        except TimeoutError as error:
            raise PolicyTimeout(f"The model at {self.url} gave no answer within {self._timeout_s:g} s.") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise PolicyTimeout(f"The model at {self.url} gave no answer within {self._timeout_s:g} s.") from error
            raise PolicyError(
                f"The model at {self.url} cannot be reached: {error.reason}. Start it, or correct --vlm."
            ) from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise PolicyError(
                f"The model at {self.url} gave no chat completion: {type(error).__name__}: {error}. Check the address."
            ) from error


def text(words: str) -> dict[str, Any]:
    """Return words as a part of a message."""
    return {"type": "text", "text": words}


def image_part(image: UInt8[Array, "H W 3"]) -> dict[str, Any]:
    """Return an image as a part of a message."""
    data = base64.b64encode(jpeg(image)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def jpeg(image: UInt8[Array, "H W 3"]) -> bytes:
    """Return an image as it is sent."""
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    is_done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert is_done
    return data.tobytes()


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
