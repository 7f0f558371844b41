"""Let a vision-language model pick from the fan, through any endpoint with the common chat-completions interface.

Problem: a model cannot press keys, and free text cannot be executed. Idea: the model gets one image from an external camera, the
task, and the labels of the fan; it answers with one of these labels and a short reason. The image has a vertical line drawn from
the tool to the table as a depth cue. A label that is not in the fan is an error; "unsteered" lets the policy act.

Example: VlmChooser("http://127.0.0.1:8000/v1", model="some-vlm"), answer {"pick": "left/more", "reason": "cup is left"}.
Source of image and line: the paper's reasoner (one call per chunk, third-person view, may always defer).
Runs on the chooser worker's thread; a key pressed meanwhile takes precedence. Without a window (`unwatched`) its answers are kept.
"""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.choosers.address import EXAMPLE, ModelAddress
from frs_core.choosers.answers import PAUSE_S, TRIES, Answers
from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.chat import ChatEndpoint, image_part, outside_frame, text
from frs_core.choosers.completion import kind_of
from frs_core.choosers.registry import Setting
from frs_core.errors import ConfigError, PolicyError
from frs_core.events import Driver
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime.foreign import in_line, parse_json
from frs_core.steering.candidates import UNSTEERED, Candidate, Fan

T = TypeVar("T")

RESUME = "Resume to ask again, or drive yourself."
ASK_AGAIN = "Give the same command again to ask again, or choose another model."
"""What to do about an answer that picks nothing: in the window, and where nobody watches."""
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

    def __init__(
        self,
        endpoint: str,
        *,
        model: str = "",
        camera: str = "",
        timeout_s: float = 30.0,
        cache: Path | None = None,
        tries: int = 1,
        pause_s: float = PAUSE_S,
        fix: str = RESUME,
    ) -> None:
        """Store the address; nothing is sent before the first fan.

        Args:
            endpoint: base address, e.g. "http://127.0.0.1:8000/v1"; "/chat/completions" is added.
            model: name known to the endpoint; empty if it serves only one.
            camera: whose image is sent; empty = the first external camera, calibrated ones first.
            timeout_s: longest wait for an answer.
            cache: folder for answers; None = each fan is asked about anew.
            tries: how often it is asked about a fan where it fails in passing.
            pause_s: before the second try, seconds.
            fix: what to do about an answer that picks nothing, a sentence.
        Raises:
            ConfigError: the address is not valid.
        """
        at = ChatEndpoint(endpoint, model=model, timeout_s=timeout_s)
        self.answers = Answers(at, cache=cache, tries=tries, pause_s=pause_s)
        """Counts what they took since the episode began."""
        self._camera, self._fix = camera, fix

    def begin(self, observation: Observation) -> None:
        """Reset the counts."""
        self.answers.begin()

    def choose(self, fan: Fan) -> Choice:
        """Return the model's pick.

        Raises:
            PolicyTimeout: no answer in time.
            PolicyError: no connection, a refusal, or an answer that is not a label of the fan.
        """
        return self._ask(fan, lambda words: _choice(words, fan, fix=self._fix))

    def choose_if_it_can(self, fan: Fan) -> Choice | None:
        """Return the model's pick; None where it answered, but with something that is not a label of the fan.

        Raises:
            PolicyTimeout: no answer in time.
            PolicyError: no connection, or a refusal.
        """

        def read(words: str) -> Choice | None:
            try:
                return _choice(words, fan, fix=self._fix)
            except PolicyError:
                return None

        return self._ask(fan, read)

    def _ask(self, fan: Fan, read: Callable[[str], T]) -> T:
        image = with_plumb_line(outside_frame(fan.observation, self._camera), fan.observation)
        return self.answers.ask(_PROMPT, [text(_question(fan)), image_part(image)], read)


def unwatched(address: ModelAddress, *, cache: Path) -> VlmChooser:
    """Return a model that drives where nobody watches: it is asked again where it fails in passing, and its answers are kept.

    Args:
        address: where it answers.
        cache: folder for answers.
    Raises:
        ConfigError: no address, or one that is not valid.
    """
    if not address.vlm:
        raise ConfigError(f"A vision-language model needs an address. Give it, e.g. {EXAMPLE}.")
    return VlmChooser(address.vlm, model=address.vlm_model, cache=cache, tries=TRIES, fix=ASK_AGAIN)


def with_plumb_line(frame: CameraFrame, observation: Observation) -> UInt8[Array, "H W 3"]:
    """Return the image with a vertical line from the tool to the table (z = 0); unchanged without a calibration."""
    image = np.ascontiguousarray(frame.image).copy()
    if frame.calibration is None:
        return image
    p = observation.p_tcp
    uv, is_front = frame.calibration.project(np.stack([p, [p[0], p[1], 0.0]]))
    return _plumbed(image, uv) if is_front.all() else image


def _plumbed(image: UInt8[Array, "H W 3"], uv: Float[Array, "2 2"]) -> UInt8[Array, "H W 3"]:
    """Return the image with a line between two pixels and a dot at the second, drawn four times as large for smooth edges."""
    from PIL import Image, ImageDraw

    height, width = image.shape[:2]
    mask = Image.new("L", (4 * width, 4 * height))
    draw = ImageDraw.Draw(mask)
    (a, b), (c, d) = (4.0 * uv + 2.0).tolist()
    draw.line((a, b, c, d), fill=255, width=12)
    draw.ellipse((a - 6, b - 6, a + 6, b + 6), fill=255)
    draw.ellipse((c - 16, d - 16, c + 16, d + 16), fill=255)
    share = mask.resize((width, height), resample=Image.Resampling.BOX)
    return np.asarray(Image.composite(Image.new("RGB", share.size, _BLUE), Image.fromarray(image), share))


def _question(fan: Fan) -> str:
    lines = "\n".join(f"- {c.label}: {_words(c)}" for c in fan.candidates)
    return f"Task: {fan.observation.instruction}\nOffered motions:\n{lines}"


def _words(candidate: Candidate) -> str:
    moved = (candidate.path[-1] - candidate.path[0]) * 1000
    words = f"forward {moved[0]:+.0f}, left {moved[1]:+.0f}, up {moved[2]:+.0f} mm"
    if candidate.label == UNSTEERED:
        words += ", what the policy would do by itself"
    return words + (f"; warning: {candidate.verdict.warnings[0]}" if candidate.verdict.warnings else "")


def _choice(answered: str, fan: Fan, *, fix: str) -> Choice:
    start, end = answered.find("{"), answered.rfind("}")
    try:
        answer = parse_json(answered[start : end + 1])
        label, reason = answer["pick"], answer.get("reason")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PolicyError(
            f"The model answered '{in_line(answered[:80])}', expected JSON with 'pick' and 'reason'. {fix}"
        ) from error
    if isinstance(label, str):
        label = label.strip()
    if label not in fan:
        raise PolicyError(f"The model picked '{in_line(str(label)[:80])}', which is not in the fan. {fix}")
    if reason is not None and not isinstance(reason, str):
        raise PolicyError(f"The model gave {kind_of(reason)} as its reason, expected a text. {fix}")
    return Choice(label, (reason or "")[:120])
