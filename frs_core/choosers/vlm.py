"""Let a vision-language model pick from the fan, through any endpoint with the common chat-completions interface.

Problem: a model cannot press keys, and free text cannot be executed. Idea: the model gets one image from an external camera, the
task, and the labels of the fan; it answers with one of these labels and a short reason. The image has a vertical line drawn from
the tool to the table as a depth cue. A label that is not in the fan is an error; "unsteered" lets the policy act.

Example: VlmChooser("http://127.0.0.1:8000/v1", model="some-vlm"), answer {"pick": "left/more", "reason": "cup is left"}.
An API key is read from the environment variable FRS_VLM_KEY and sent only to that endpoint.
Source of image and line: the paper's reasoner (one call per chunk, third-person view, may always defer).
Runs on the chooser worker's thread; a key pressed meanwhile takes precedence.
"""

import base64
import json
import os
import urllib.error
import urllib.request
from typing import Any, ClassVar
from urllib.parse import urlsplit

import cv2
import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.registry import Setting
from frs_core.errors import ConfigError, PolicyError, PolicyTimeout
from frs_core.events import Driver
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.steering.camera_pairing import is_wrist
from frs_core.steering.candidates import UNSTEERED, Candidate, Fan

KEY = "FRS_VLM_KEY"
LARGEST_ANSWER = 1_000_000
"""Bytes read from an answer; a pick takes a few hundred."""
_BLUE = (40, 90, 255)
_PROMPT = """You steer a robot arm towards a task, one short motion at a time. The picture shows the scene from outside; the blue \
line falls from the gripper straight down to the table. The base frame: forward is away from the robot's base, left is the \
robot's left. Track the gripper, not the arm. Clear obstacles before you descend. Choose "unsteered" for grasping, placing, \
pulling or turning: the policy does these better. Answer with JSON alone: {"pick": one of the labels, "reason": at most six \
words}."""


def from_setting(setting: Setting) -> Chooser | None:
    """Return the model at the given address; None without an address.

    Raises:
        ConfigError: the address is not valid.
    """
    address = setting.options.get("vlm")
    return VlmChooser(address, model=setting.options.get("vlm_model", "")) if address else None


class VlmChooser(Chooser):
    """Asks an endpoint once for each fan."""

    driver: ClassVar[Driver] = Driver.VLM

    def __init__(self, endpoint: str, *, model: str = "", camera: str = "", timeout_s: float = 30.0) -> None:
        """Store the address; nothing is sent before the first fan.

        Args:
            endpoint: base address, e.g. "http://127.0.0.1:8000/v1"; "/chat/completions" is added.
            model: name known to the endpoint; empty if it serves only one.
            camera: whose image is sent; empty = the first external camera, calibrated ones first.
            timeout_s: longest wait for an answer.
        Raises:
            ConfigError: the address is not valid.
        """
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"The model's address is '{endpoint}', expected one like http://127.0.0.1:8000/v1. Correct --vlm."
            )
        self._url = endpoint.rstrip("/") + "/chat/completions"
        self._model, self._camera, self._timeout_s = model, camera, timeout_s

    def choose(self, fan: Fan) -> Choice:
        """Return the model's pick.

        Raises:
            PolicyTimeout: no answer in time.
            PolicyError: no connection, or an answer that is not a label of the fan.
        """
        frame = self._frame(fan.observation)
        content = [
            {"type": "text", "text": _question(fan)},
            {"type": "image_url", "image_url": {"url": _data_url(with_plumb_line(frame, fan.observation))}},
        ]
        messages = [{"role": "system", "content": _PROMPT}, {"role": "user", "content": content}]
        body: dict[str, Any] = {"messages": messages, "temperature": 0.0, "max_tokens": 200}
        if self._model:
            body["model"] = self._model
        return _choice(self._ask(body), fan)

    def _frame(self, observation: Observation) -> CameraFrame:
        if self._camera:
            if self._camera not in observation.frames:
                raise ConfigError(
                    f"There is no camera '{self._camera}' for the model. The cameras are {', '.join(observation.frames)}."
                )
            return observation.frames[self._camera]
        outside = [f for name, f in observation.frames.items() if not is_wrist(name)]
        if not outside:
            raise PolicyError("The model needs an external camera, and there is only a wrist camera. Add a camera.")
        return next((f for f in outside if f.calibration is not None), outside[0])

    def _ask(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                raw = answer.read(LARGEST_ANSWER)
            return str(json.loads(raw)["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            fix = f"Set {KEY}." if error.code in (401, 403) else "Check address and model name."
            raise PolicyError(
                f"The model at {self._url} refused the request: status {error.code} ({error.reason}). {fix}"
            ) from error
        except TimeoutError as error:
            raise PolicyTimeout(f"The model at {self._url} gave no answer within {self._timeout_s:g} s.") from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise PolicyTimeout(f"The model at {self._url} gave no answer within {self._timeout_s:g} s.") from error
            raise PolicyError(
                f"The model at {self._url} cannot be reached: {error.reason}. Start it, or correct --vlm."
            ) from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise PolicyError(
                f"The model at {self._url} gave no chat completion: {type(error).__name__}: {error}. Check the address."
            ) from error


def with_plumb_line(frame: CameraFrame, observation: Observation) -> UInt8[Array, "H W 3"]:
    """Return the image with a vertical line from the tool to the table (z = 0); unchanged without a calibration."""
    image = np.ascontiguousarray(frame.image).copy()
    if frame.calibration is None:
        return image
    p = observation.p_tcp
    uv, is_front = frame.calibration.project(np.stack([p, [p[0], p[1], 0.0]]))
    if is_front.all():
        (a, b), (c, d) = np.round(uv).astype(int).tolist()
        cv2.line(image, (a, b), (c, d), _BLUE, 2, cv2.LINE_AA)
        cv2.circle(image, (c, d), 4, _BLUE, -1, cv2.LINE_AA)
    return image


def _question(fan: Fan) -> str:
    lines = "\n".join(f"- {c.label}: {_words(c)}" for c in fan.candidates)
    return f"Task: {fan.observation.instruction}\nOffered motions:\n{lines}"


def _words(candidate: Candidate) -> str:
    moved = (candidate.path[-1] - candidate.path[0]) * 1000
    text = f"forward {moved[0]:+.0f}, left {moved[1]:+.0f}, up {moved[2]:+.0f} mm"
    if candidate.label == UNSTEERED:
        text += ", what the policy would do by itself"
    return text + (f"; warning: {candidate.verdict.warnings[0]}" if candidate.verdict.warnings else "")


def _data_url(image: UInt8[Array, "H W 3"]) -> str:
    is_done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert is_done
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def _choice(text: str, fan: Fan) -> Choice:
    start, end = text.find("{"), text.rfind("}")
    try:
        answer = json.loads(text[start : end + 1])
        label, reason = answer["pick"], str(answer.get("reason", ""))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PolicyError(
            f"The model answered '{text[:80]}', expected JSON with 'pick' and 'reason'. Resume to ask again, or drive yourself."
        ) from error
    if label not in fan:
        raise PolicyError(
            f"The model picked '{label}', which is not in the fan. Resume to ask again, or drive yourself."
        )
    return Choice(label, reason[:120])
