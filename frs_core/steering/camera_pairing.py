"""Which of the world's cameras feeds which image input of a policy.

Problem: a network takes its images by slot. A wrist image in the exterior slot raises no error, but the policy then acts
plausibly and wrongly. Idea: slots are filled by *name*, never by position. A name counts where it is published (`DROID_NAMES`,
`LIBERO_NAMES`), has the word wrist in it, or is the camera's own name; all other slots must be given: `slot=camera`, or
`slot=none` for a slot that stays empty (masked, as the public clients do).

Example: slots base_0_rgb, left_wrist_0_rgb and cameras left, right, wrist -> base_0_rgb=left, left_wrist_0_rgb=wrist. A slot `top` is
refused without `top=left`. Pure functions; any thread.
"""

import enum
import re
from collections.abc import Collection, Mapping, Sequence

from frs_core.errors import ConfigError

Pairing = tuple[tuple[str, str], ...]
"""(image input, world camera or `NO_CAMERA`), in the policy's order."""

CamerasOption = str | Sequence[str] | Mapping[str, str]
"""What a person may say: "slot=camera,slot=none", the same as a map, or the world's camera names alone."""

NO_CAMERA = "none"
"""Stands for a slot that no camera fills."""

_HAND = frozenset(("wrist", "hand"))
_NEAR_HAND = frozenset(("gripper", "eef", "ee", "effector", "tool", "flange", "palm", "finger"))
"""Words that leave open whether a camera moves with the hand or looks at it."""
_DENIALS = frozenset(("not", "no", "non", "without", "off", "anti"))

_PREFIXES = ("observation.images.", "observation/", "observation.")


class View(enum.Enum):
    """What an image input looks at."""

    EXTERIOR = "exterior"
    SECOND_EXTERIOR = "second exterior"
    WRIST = "wrist"
    SECOND_WRIST = "second wrist"
    """Of a robot with two arms; no world here has it."""


_OPENPI_NAMES = {
    "base_0_rgb": View.EXTERIOR,
    "left_wrist_0_rgb": View.WRIST,
    "right_wrist_0_rgb": View.SECOND_WRIST,
}
DROID_NAMES: Mapping[str, View] = {
    **_OPENPI_NAMES,
    **dict.fromkeys(
        ("base", "exterior", "exterior_1", "exterior_1_left", "exterior_image_1", "exterior_image_1_left"),
        View.EXTERIOR,
    ),
    **dict.fromkeys(
        ("exterior_2", "exterior_2_left", "exterior_image_2", "exterior_image_2_left"), View.SECOND_EXTERIOR
    ),
}
"""Source: openpi policies/droid_policy.py, DROID's RLDS schema, LeRobot's port of it."""
LIBERO_NAMES: Mapping[str, View] = {
    **_OPENPI_NAMES,
    **dict.fromkeys(("base", "image", "agentview", "agentview_image"), View.EXTERIOR),
    **dict.fromkeys(("image2", "robot0_eye_in_hand_image"), View.WRIST),
}
"""Source: openpi policies/libero_policy.py, LeRobot envs/libero.py."""


def pair_cameras(
    inputs: Sequence[str],
    *,
    cameras: CamerasOption | None,
    usual: Sequence[str],
    names: Mapping[str, View],
    masked: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Pairing:
    """Return which camera feeds which image input.

    Args:
        inputs: the policy's image inputs, in its own words and order.
        cameras: what a person said; None = nothing.
        usual: cameras that a world of this policy has.
        names: published names of inputs.
        masked: inputs that the published policy leaves empty.
        renamed: input -> the name its images had before the checkpoint's own pre-processor renamed them.
    Raises:
        ConfigError: an input whose camera nobody names, two inputs with one camera, or a pairing that does not fit.
    """
    given, world = _understood(cameras, usual)
    pairs = {_input_of(word, inputs): camera for word, camera in given.items()}
    if len(pairs) < len(given):
        raise ConfigError(f"Cameras name an image input twice: {_listed(list(given))}. Say one camera for each.")
    pairing = tuple(
        (name, pairs[name] if name in pairs else _camera_of(name, world, names, masked, (renamed or {}).get(name)))
        for name in inputs
    )
    unknown = [name for name, camera in pairing if not camera]
    used = [camera for _, camera in pairing if camera not in ("", NO_CAMERA)]
    twice = sorted({camera for camera in used if used.count(camera) > 1})
    if not (unknown or twice) and used:
        return pairing
    if unknown:
        reason = f"The names do not say which camera {_listed(unknown)} is"
    elif twice:
        slots = [name for name, camera in pairing if camera in twice]
        reason = f"Camera {_listed(twice)} would fill {_listed(slots)} at once"
    else:
        reason = "No camera would be looked at"
    example = ",".join(f"{bare(name)}={camera or 'CAMERA'}" for name, camera in pairing) or "INPUT=CAMERA"
    raise ConfigError(
        f"{reason}: the policy's image inputs are {_listed(inputs)}, the world's cameras {_listed(world)}. "
        f"Say which is which with the option cameras, such as {example}; `{NO_CAMERA}` leaves an input empty."
    )


def cameras_of(pairing: Pairing) -> tuple[str, ...]:
    """Return the world's cameras of a pairing, in the policy's order, empty inputs left out."""
    return tuple(camera for _, camera in pairing if camera != NO_CAMERA)


def pairing_text(pairing: Pairing) -> str:
    """Return a pairing for people, in the form the option takes: "base_0_rgb=left, left_wrist_0_rgb=wrist"."""
    return ", ".join(f"{name}={camera}" for name, camera in pairing)


def is_wrist(camera: str) -> bool:
    """Return whether a camera's name says, in a whole word, that it moves with the hand: `wrist-cam`, `handEye`; not `wristband`."""
    words = words_of(camera)
    return bool(words & _HAND) and not words & _DENIALS


def is_exterior(camera: str) -> bool:
    """Return whether no part of a camera's name refers to the hand (`wristband`, `not_wrist`, `gripper_cam`)."""
    return not words_of(camera) & (_HAND | _NEAR_HAND) and not any(word in camera.lower() for word in _HAND)


def words_of(name: str) -> frozenset[str]:
    """Return the whole words of a name, in lower case: it is split at anything but letters and digits, and where the case changes."""
    parts = re.split(r"[\W_]+", name)
    return frozenset(w.lower() for part in parts for w in re.findall(r"[A-Z]+(?![^A-Z])|[A-Z]?[^A-Z]+|[A-Z]", part))


def bare(name: str) -> str:
    """Return an image input without what every input begins with."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _understood(cameras: CamerasOption | None, usual: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the pairs a person gave, and the cameras to choose from."""
    if cameras is None:
        return {}, tuple(usual)
    if isinstance(cameras, Mapping):
        pairs = [(str(k), str(v)) for k, v in cameras.items()]
    else:
        words = cameras.split(",") if isinstance(cameras, str) else [str(c) for c in cameras]
        words = [w.strip() for w in words if w.strip()]
        if words and not any("=" in w for w in words):
            return {}, tuple(dict.fromkeys(words))
        pairs = [(left, right) for left, _, right in (w.partition("=") for w in words)]
    pairs = [(left.strip(), right.strip()) for left, right in pairs]
    if not pairs or not all(left and right for left, right in pairs) or len(dict(pairs)) < len(pairs):
        raise ConfigError(
            f"Cameras are {cameras!r}, expected one input=camera for each image input, such as "
            f"base_0_rgb=left,left_wrist_0_rgb=wrist, or the names of the world's cameras."
        )
    named = [camera for _, camera in pairs if camera != NO_CAMERA]
    return dict(pairs), tuple(dict.fromkeys([*usual, *named]))


def _input_of(word: str, inputs: Sequence[str]) -> str:
    found = [name for name in inputs if word == name] or [name for name in inputs if bare(word) == bare(name)]
    if len(found) != 1:
        raise ConfigError(
            f"The policy has no image input '{word}', its image inputs are {_listed(inputs)}. Name one of those."
        )
    return found[0]


def _camera_of(
    name: str, world: Sequence[str], names: Mapping[str, View], masked: Collection[str], before: str | None
) -> str:
    """Return the camera of an input by its names; empty where they do not tell, or do not agree."""
    if bare(name) in masked and before is None:
        return NO_CAMERA
    found = {_by_name(bare(word), world, names) for word in (name, before) if word is not None} - {None}
    return found.pop() or "" if len(found) == 1 else ""


def _by_name(word: str, world: Sequence[str], names: Mapping[str, View]) -> str | None:
    """Return the camera that a name refers to; empty if this world has none or several, None if the name refers to none."""
    if word in world:
        return word
    view = names.get(word) or _view_of_wrist(word)
    exterior = [camera for camera in world if is_exterior(camera)]
    if view is View.WRIST:
        wrists = [camera for camera in world if is_wrist(camera)]
        return wrists[0] if len(wrists) == 1 else ""
    if view is View.EXTERIOR:
        return exterior[0] if len(exterior) == 1 else "left" if "left" in exterior else ""
    if view is View.SECOND_EXTERIOR:
        return "right" if "right" in exterior else ""
    return None if view is None else ""


def _view_of_wrist(word: str) -> View | None:
    words = words_of(word)
    if "wrist" not in words or words & _DENIALS:
        return None
    # "left" is the left lens of a stereo camera (wrist_image_left) or the left arm's wrist; both are the one there is.
    return View.SECOND_WRIST if "right" in words else View.WRIST


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
