"""Observations as messages: our own full form, and the five keys of openpi's DROID policies.

Problem: our server wants everything a policy may look at; a stock openpi server wants exactly what its DROID client
sends. Idea: two pairs of functions.

| ours, under `observation` | meaning |
|---|---|
| frames | name -> {image uint8 [H, W, 3], captured_ns, calibration or nil} |
| q, dq, gripper, gripper_command, T_base_tcp, instruction, captured_ns, step | as in `Observation` |

| openpi DROID | meaning |
|---|---|
| observation/exterior_image_1_left, observation/wrist_image_left | uint8 [224, 224, 3] RGB, letterboxed |
| observation/joint_position | float64 [7], rad |
| observation/gripper_position | float64 [1], 0 open .. 1 closed |
| prompt | str |

Time stamps are the client's own monotonic clock and are only handed back. `success` and `extra` never leave the client:
no policy may see them. Example: a 1280 x 720 frame becomes 224 x 126 pixels with 49 black rows above and below.
Any thread.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from frs_core.arrays import Array
from frs_core.errors import ConfigError, MalformedMessage
from frs_core.robot import kinematics
from frs_core.robot.observation import FULL_TURN, WIDEST_GRIPPER, Calibration, CameraFrame, Observation
from frs_core.steering.camera_pairing import is_wrist

DROID_IMAGE = (224, 224)
"""(height, width) of a DROID client's images. Source: openpi examples/droid/main.py."""
EXTERIOR_KEY = "observation/exterior_image_1_left"
WRIST_KEY = "observation/wrist_image_left"
JOINT_KEY = "observation/joint_position"
GRIPPER_KEY = "observation/gripper_position"
PROMPT_KEY = "prompt"
DROID_KEYS = (EXTERIOR_KEY, WRIST_KEY, JOINT_KEY, GRIPPER_KEY, PROMPT_KEY)
OBSERVATION_KEYS = tuple(
    ["frames", "q", "dq", "gripper", "gripper_command", "T_base_tcp", "instruction", "captured_ns", "step"]
)
"""Of our own form."""
_ROUNDING = 1e-3
"""By how much a resized float image may leave its range."""
MAX_SIDE = 4096
"""Pixels; a larger image is a mistake or an attack."""
MAX_PROMPT = 4096
"""Characters."""


def pack_observation(observation: Observation, *, cameras: tuple[str, ...]) -> dict[str, Any]:
    """Return our message form of an observation, with the frames of `cameras` only.

    Raises:
        ConfigError: a camera is missing.
    """
    frames: dict[str, Any] = {}
    for name in cameras:
        frame = _frame_of(observation, name)
        # A calibration is of what people see.
        calibration = frame.calibration if frame.policy_image is None else None
        frames[name] = {
            "image": frame.for_policy,
            "captured_ns": frame.captured_ns,
            "calibration": calibration
            and {
                "K": calibration.K,
                "T_base_camera": calibration.T_base_camera,
                "width": calibration.width,
                "height": calibration.height,
                "made_at": calibration.made_at,
            },
        }
    return {
        "frames": frames,
        "q": observation.q,
        "dq": observation.dq,
        "gripper": float(observation.gripper),
        "gripper_command": float(observation.gripper_command),
        "T_base_tcp": observation.T_base_tcp,
        "instruction": observation.instruction,
        "captured_ns": int(observation.captured_ns),
        "step": int(observation.step),
    }


def unpack_observation(message: Any) -> Observation:
    """Return the observation of our message form.

    Raises:
        MalformedMessage: a field is missing, or has another shape, type or range.
    """
    data = mapping(message, "observation")
    return Observation(
        frames={str(name): _read_frame(entry) for name, entry in mapping(data.get("frames"), "frames").items()},
        q=_joints(data, "q"),
        dq=numbers(data, "dq", (7,)),
        gripper=_share(_number(data, "gripper"), "gripper"),
        gripper_command=_number(data, "gripper_command"),
        T_base_tcp=numbers(data, "T_base_tcp", (4, 4)),
        instruction=_text(data, "instruction"),
        captured_ns=_integer(data, "captured_ns"),
        step=_integer(data, "step"),
    )


def droid_message(observation: Observation, *, exterior: str, wrist: str) -> dict[str, Any]:
    """Return what openpi's DROID client would send for an observation.

    Args:
        observation: the robot's state and images.
        exterior: the camera to send as the exterior left one.
        wrist: the wrist camera.
    Raises:
        ConfigError: a camera is missing.
    """
    return {
        EXTERIOR_KEY: letterbox(_frame_of(observation, exterior).for_policy, size=DROID_IMAGE),
        WRIST_KEY: letterbox(_frame_of(observation, wrist).for_policy, size=DROID_IMAGE),
        JOINT_KEY: np.asarray(observation.q, dtype=np.float64),
        GRIPPER_KEY: np.array([observation.gripper], dtype=np.float64),
        PROMPT_KEY: observation.instruction,
    }


def blank_droid_message(prompt: str = "do nothing") -> dict[str, Any]:
    """Return a DROID message of black images and an arm at rest, to learn the shape of a server's answer."""
    black = np.zeros((*DROID_IMAGE, 3), dtype=np.uint8)
    rest = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, 0.0])
    return {EXTERIOR_KEY: black, WRIST_KEY: black, JOINT_KEY: rest, GRIPPER_KEY: np.zeros(1), PROMPT_KEY: prompt}


def read_droid(message: Mapping[Any, Any], *, cameras: tuple[str, ...]) -> Observation:
    """Return the observation of a stock DROID message, for a policy that looks at `cameras`.

    The wrist image goes to the camera with the word "wrist" or "hand" in its name, the exterior one to all others. Speeds are
    taken as zero, and the tool as the Franka hand's.

    Raises:
        MalformedMessage: a key is missing or holds something else.
    """
    missing = [k for k in DROID_KEYS if k not in message]
    if missing:
        raise MalformedMessage(
            f"Observation lacks {missing}. A message without `op` is read as openpi's DROID observation, with the keys "
            f"{EXTERIOR_KEY}, {WRIST_KEY}, {JOINT_KEY}, {GRIPPER_KEY} and {PROMPT_KEY}."
        )
    now = time.monotonic_ns()
    exterior = CameraFrame(_read_image(message[EXTERIOR_KEY], EXTERIOR_KEY), now)
    wrist = CameraFrame(_read_image(message[WRIST_KEY], WRIST_KEY), now)
    q = _joints(message, JOINT_KEY)
    measured = numbers(message, GRIPPER_KEY, None)
    if measured.size != 1:
        raise MalformedMessage(f"`{GRIPPER_KEY}` has {measured.size} numbers, expected one, 0 (open) to 1 (closed).")
    gripper = _share(measured.item(), GRIPPER_KEY)
    T_flange_tcp = np.eye(4)
    T_flange_tcp[2, 3] = kinematics.HAND_TCP_OFFSET
    return Observation(
        frames={c: wrist if is_wrist(c) else exterior for c in cameras},
        q=q,
        dq=np.zeros(7),
        gripper=gripper,
        gripper_command=float(gripper > 0.5),
        T_base_tcp=kinematics.flange_pose(q) @ T_flange_tcp,
        instruction=_text(message, PROMPT_KEY),
        captured_ns=now,
    )


def letterbox(image: UInt8[Array, "H W 3"], *, size: tuple[int, int]) -> UInt8[Array, "h w 3"]:
    """Return the image scaled to fit inside `size` with its proportions kept, black around it.

    Bilinear with the triangle as wide as one output pixel (Pillow's), as pi0.5 saw its training images; a resize without that
    smoothing gives visibly other images.

    Args:
        image: RGB.
        size: (height, width), pixels.
    Source: openpi resize_with_pad.
    """
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    ratio = max(width / size[1], height / size[0])
    rows, columns = max(1, int(height / ratio)), max(1, int(width / ratio))
    canvas = np.zeros((*size, 3), dtype=np.uint8)
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    scaled = Image.fromarray(np.ascontiguousarray(image)).resize((columns, rows), resample=Image.Resampling.BILINEAR)
    canvas[top : top + rows, left : left + columns] = np.asarray(scaled)
    return canvas


def mapping(value: Any, what: str) -> dict[Any, Any]:
    """Return `value`, which must be a map.

    Raises:
        MalformedMessage: it is something else.
    """
    if not isinstance(value, dict):
        raise MalformedMessage(f"`{what}` is a {type(value).__name__}, expected a map.")
    return value


def numbers(data: Mapping[Any, Any], key: str, shape: tuple[int, ...] | None) -> Float[Array, "..."]:
    """Return an array of finite numbers as float64.

    Args:
        data: the map it is in.
        key: its name there.
        shape: what it must have; None = any with 1..64 numbers.
    Raises:
        MalformedMessage: missing, of another shape, or not finite.
    """
    value = data.get(key)
    try:
        given = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"`{key}` is a {type(value).__name__}, expected an array of numbers.") from error
    if given.dtype.kind not in "iuf":
        kind = f"an array of {given.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise MalformedMessage(f"`{key}` is {kind}, expected an array of numbers.")
    array = given.astype(np.float64)
    if (shape is not None and array.shape != shape) or (shape is None and not 1 <= array.size <= 64):
        raise MalformedMessage(f"`{key}` has shape {array.shape}, expected {shape or '1 to 64 numbers'}.")
    if not np.isfinite(array).all():
        raise MalformedMessage(f"`{key}` holds numbers that are not finite. Check the robot's state.")
    return array


def _joints(data: Mapping[Any, Any], key: str) -> Float[Array, " 7"]:
    """Return joint positions, which must be possible ones in rad."""
    q = numbers(data, key, (7,))
    if (largest := float(np.abs(q).max())) > FULL_TURN:
        raise MalformedMessage(
            f"`{key}` reaches {largest:.4g}, expected radians, of which no joint of the arm has more than {FULL_TURN:.2f}. "
            f"Such numbers are usually degrees."
        )
    return q


def _share(gripper: float, key: str) -> float:
    """Return a gripper's position, which must be a share of its opening."""
    if abs(gripper) > WIDEST_GRIPPER:
        raise MalformedMessage(
            f"`{key}` is {gripper:.4g}, expected 0 (open) to 1 (closed). Such numbers are usually millimetres or percent."
        )
    return gripper


def _frame_of(observation: Observation, name: str) -> CameraFrame:
    if name not in observation.frames:
        raise ConfigError(
            f"The policy server needs camera '{name}', the world has {sorted(observation.frames)}. "
            f"Choose a world with the policy's cameras, or name the cameras to send."
        )
    return observation.frames[name]


def _read_frame(entry: Any) -> CameraFrame:
    data = mapping(entry, "frame")
    calibration, given = None, data.get("calibration")
    if given is not None:
        given = mapping(given, "calibration")
        made_at = given.get("made_at")
        calibration = Calibration(
            numbers(given, "K", (3, 3)),
            numbers(given, "T_base_camera", (4, 4)),
            _integer(given, "width"),
            _integer(given, "height"),
            None if made_at is None else _number(given, "made_at"),
        )
    return CameraFrame(_read_image(data.get("image"), "image"), _integer(data, "captured_ns"), calibration)


def _read_image(value: Any, key: str) -> UInt8[Array, "H W 3"]:
    """Return uint8 [H, W, 3]; floats in 0..1, integers in 0..255 and channels first are accepted, as openpi does."""
    if not isinstance(value, np.ndarray) or value.ndim != 3 or value.dtype.kind not in "iuf":
        got = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise MalformedMessage(f"`{key}` is {got}, expected an array uint8 [H, W, 3].")
    if value.shape[-1] != 3 and value.shape[0] == 3:
        value = value.transpose(1, 2, 0)
    if value.shape[-1] != 3 or not (1 <= value.shape[0] <= MAX_SIDE and 1 <= value.shape[1] <= MAX_SIDE):
        raise MalformedMessage(f"`{key}` has shape {value.shape}, expected [H, W, 3] with sides up to {MAX_SIDE}.")
    if value.dtype == np.uint8:
        return np.ascontiguousarray(value)
    low, high = value.min(), value.max()
    limit = 1.0 if value.dtype.kind == "f" else 255
    # Not clipped: 0..255 or -1..1 as floats would silently be another image. NaN fails both comparisons.
    if not (low >= -_ROUNDING and high <= limit + _ROUNDING):
        raise MalformedMessage(
            f"`{key}` holds {value.dtype} from {low:g} to {high:g}, expected 0 to {limit:g}. Send uint8 from 0 to 255."
        )
    if value.dtype.kind == "f":
        value = np.clip(value, 0.0, 1.0) * 255.0
    return np.ascontiguousarray(value, dtype=np.uint8)


def _number(data: Mapping[Any, Any], key: str) -> float:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise MalformedMessage(f"`{key}` is {str(value)[:40]!r}, expected a finite number.")
    return float(value)


def _integer(data: Mapping[Any, Any], key: str) -> int:
    value = data.get(key)
    if type(value) is not int or abs(value) >= 2**63:
        raise MalformedMessage(f"`{key}` is {str(value)[:40]!r}, expected an integer.")
    return value


def _text(data: Mapping[Any, Any], key: str) -> str:
    value = data.get(key)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "US":
        value = value.item()
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise MalformedMessage(f"`{key}` holds bytes that are no UTF-8. Send text, or bytes in UTF-8.") from error
    if not isinstance(value, str) or len(value) > MAX_PROMPT:
        raise MalformedMessage(f"`{key}` is a {type(value).__name__}, expected at most {MAX_PROMPT} characters.")
    return str(value)
