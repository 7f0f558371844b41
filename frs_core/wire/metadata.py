"""A server's metadata: what it sends on connect, and how a client reads it.

A stock openpi server sends a free-form map (often empty). Ours adds one key, `frs`:
{"protocol": 1, "observation": "frs/1" or "openpi/droid", "ops": [...], "spec": {...}, "plan": "{...json...}"}.
The client trusts none of it: sizes, names and numbers are checked before a `PolicySpec` is made of them.

Example: metadata({}) -> no `frs` -> `read_metadata` returns None: a server that only samples.
Any thread.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from frs_core.errors import ConfigError, FrsError, ServingError
from frs_core.robot.actions import ActionKind, ActionSpace, joint_space
from frs_core.runtime.foreign import parse_json, visible
from frs_core.steering.camera_pairing import bare
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import PolicySpec
from frs_core.wire.observations import DROID_IMAGE, EXTERIOR_KEY, WRIST_KEY, mapping, numbers

PROTOCOL = 1
OPERATIONS = ("encode", "steer", "denoise", "velocity", "release")
MAX_IMAGES = 16
"""Image inputs of a network; more is a mistake."""
OWN_OBSERVATION = "frs/1"
"""The observation form of `observations.pack_observation`."""
DROID_OBSERVATION = "openpi/droid"
"""The five keys of openpi's DROID client."""


@dataclass(frozen=True, slots=True, eq=False)
class ServerFacts:
    """What a steering server serves."""

    spec: PolicySpec
    plan: SteeringPlan
    observation: str
    """OWN_OBSERVATION or DROID_OBSERVATION."""
    operations: tuple[str, ...]
    acts_in: str = ""
    """The action space the robot is to be driven in; empty = the spec's own."""


def build_metadata(spec: PolicySpec, plan: SteeringPlan) -> dict[str, Any]:
    """Return what our server sends on connect.

    Steering happens in the flow's space, so that is the one described. `acts_in` names the action space to which tool deltas are converted;
    the client turns the chunks (`policies.joints`), because it knows where the arm is when they come.
    """
    space = spec.flow
    return {
        "frs": {
            "protocol": PROTOCOL,
            "observation": OWN_OBSERVATION,
            "ops": list(OPERATIONS),
            "acts_in": "" if spec.flow_space is None else spec.action_space.kind.value,
            "plan": json.dumps(plan.to_json()),
            "spec": {
                "name": spec.name,
                "horizon": spec.horizon,
                "width": spec.width,
                "cameras": list(spec.cameras),
                "image_size": list(spec.image_size),
                "integration_steps": spec.integration_steps,
                "execute_rows": spec.execute_rows,
                "feature_size": spec.feature_size,
                "fingerprint": spec.fingerprint,
                "can_steer": spec.can_steer,
                "cannot_steer_reason": spec.cannot_steer_reason,
                "camera_pairing": [list(pair) for pair in spec.camera_pairing],
                **({} if spec.action_low is None else {"action_low": spec.action_low, "action_high": spec.action_high}),
                "is_range_from_joints": spec.is_range_from_joints,
                "action_space": {
                    "kind": space.kind.value,
                    "offset": space.offset,
                    "scale": space.scale,
                    "low": space.low,
                    "high": space.high,
                    "control_hz": float(space.control_hz),
                    "reach": float(space.reach),
                },
            },
        }
    }


def read_metadata(message: Any, *, url: str) -> ServerFacts | None:
    """Return what a server says it serves; None for a stock openpi server.

    Raises:
        ServingError: the server has another protocol version, or its metadata is inconsistent.
    """
    try:
        facts = mapping(message, "metadata").get("frs")
        if facts is None:
            return None
        facts = mapping(facts, "frs")
        if facts.get("protocol") != PROTOCOL:
            raise ServingError(
                f"The policy server at {url} speaks protocol {facts.get('protocol')!r}, this client {PROTOCOL}. "
                f"Install the same version on both machines."
            )
        observation = facts.get("observation")
        if observation not in (OWN_OBSERVATION, DROID_OBSERVATION):
            raise ConfigError(f"observation form {observation!r} is unknown")
        return ServerFacts(
            spec=_read_spec(mapping(facts.get("spec"), "spec")),
            plan=SteeringPlan.from_json(parse_json(str(facts.get("plan")))),
            observation=observation,
            operations=tuple(str(op) for op in facts.get("ops", ())),
            acts_in=ActionKind(facts["acts_in"]).value if facts.get("acts_in") else "",
        )
    except ServingError as error:
        if type(error) is ServingError:
            raise
        raise _nonsense(url, error) from error
    except (FrsError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _nonsense(url, error) from error


_ACTION_KEY = "action_space"
_MET_NEEDS = {
    "needs_wrist_camera": (True, False),
    "needs_stereo_camera": (False,),
    "needs_session_id": (False,),
    "n_external_cameras": (0, 1),
    "image_resolution": (None, list(DROID_IMAGE)),
}
"""Key of a stock server's metadata -> the values that openpi's DROID message meets. Source: roboarena, policy_server.py, PolicyServerConfig."""


def stock_action_space(metadata: Any, *, url: str, given: ActionKind | None) -> ActionKind:
    """Return how to read a stock server's actions: as its metadata states, else as given, else as joint speeds, openpi's DROID default.

    Args:
        metadata: as `read_metadata` took it for a stock server's.
        url: as it may be shown.
        given: what the user said, None = nothing.
    Raises:
        ConfigError: the metadata contradicts what was given or itself, states a space that is not understood, or needs what
            openpi's DROID client does not send.
    """
    kinds = {kind.value: kind for kind in ActionKind}
    stated = {
        _brief(key): value
        for key, value in metadata.items()
        if key == _ACTION_KEY or (isinstance(value, str) and value in kinds)
    }
    unmet = {
        key: metadata[key] for key, met in _MET_NEEDS.items() if key in metadata and _plain(metadata[key]) not in met
    }
    for key, value in stated.items():
        kind = kinds.get(value) if isinstance(value, str) else None
        if kind is None or kind is ActionKind.EE_DELTA:
            raise ConfigError(
                f"The policy server at {url} states {key}={_brief(value)}; openpi's DROID policies are read as joint_velocity or joint_position. "
                f"Serve a checkpoint that acts in one of them."
            )
        if given not in (None, kind):
            raise ConfigError(
                f"The policy server at {url} states {key}={value}, but action_space={given.value} was given. Leave action_space out, "
                f"or serve the other checkpoint."
            )
        given = kind
    if unmet:
        raise ConfigError(
            f"The policy server at {url} states {_pairs(unmet)}. It is asked as by openpi's DROID client, with one exterior and one wrist image of "
            f"{DROID_IMAGE[0]} x {DROID_IMAGE[1]} and no session id. Serve the checkpoint with openpi's serve_policy.py or openpi_server.py."
        )
    return given or ActionKind.JOINT_VELOCITY


def unread_by_stock(metadata: Any) -> list[str]:
    """Return what a stock server states and nobody reads, as "key=value", shortened."""
    known = {_ACTION_KEY, *_MET_NEEDS}
    return [f"{_brief(key)}={_brief(value)}" for key, value in metadata.items() if key not in known][:20]


def _pairs(entries: dict[str, Any]) -> str:
    return ", ".join(f"{key}={_brief(value)}" for key, value in entries.items())


def _plain(value: Any) -> Any:
    """Return an array or a tuple as a list."""
    return value.tolist() if isinstance(value, np.ndarray) else list(value) if isinstance(value, tuple) else value


def _brief(value: Any) -> str:
    text = visible(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def droid_space(kind: ActionKind) -> ActionSpace:
    """Return a DROID action space as a stock server gives it: robot units, the gripper centred.

    Source: openpi examples/droid (velocities in [-1, 1], gripper 0 open .. 1 closed, 15 Hz).
    """
    if kind is ActionKind.EE_DELTA:
        raise ConfigError("DROID's openpi policies act in joint space. Use joint_velocity or joint_position.")
    return joint_space(kind)


def with_cameras(spec: PolicySpec, exterior: str, wrist: str) -> PolicySpec:
    """Return the spec looking at the two named cameras."""
    return replace(spec, cameras=(exterior, wrist), camera_pairing=droid_pairing(exterior, wrist))


def droid_pairing(exterior: str, wrist: str) -> tuple[tuple[str, str], ...]:
    """Return which camera is sent under which of the keys of openpi's DROID client."""
    return (bare(EXTERIOR_KEY), exterior), (bare(WRIST_KEY), wrist)


def _nonsense(url: str, error: Exception) -> ServingError:
    return ServingError(
        f"The policy server at {url} describes itself wrongly: {str(error).rstrip('.')}. Update the server."
    )


def _read_spec(data: dict[Any, Any]) -> PolicySpec:
    space = mapping(data.get("action_space"), "action_space")
    kind = ActionKind(space.get("kind"))
    vectors = {
        name: numbers(space, name, (kind.size,)).astype(np.float32) for name in ("offset", "scale", "low", "high")
    }
    if not (vectors["scale"] > 0).all():
        raise ConfigError("action scale must be > 0")
    # Servers of older releases do not state it.
    reach = float(numbers(space, "reach", ())) if "reach" in space else 1.0
    if not 0.0 < reach <= 1.0:
        raise ConfigError("reach must be in (0, 1]")
    horizon, width = _count(data, "horizon", 1), _count(data, "width", 1)
    if width < kind.size:
        raise ConfigError(f"width {width} is less than the {kind.size} numbers of {kind.value}")
    height, breadth = (int(n) for n in numbers(data, "image_size", (2,)))
    low = high = None
    if data.get("action_low") is not None:
        low, high = (numbers(data, name, (kind.size,)).astype(np.float32) for name in ("action_low", "action_high"))
        if not (low <= high).all():
            raise ConfigError("action_low is above action_high")
    return PolicySpec(
        name=str(data.get("name"))[:200],
        horizon=horizon,
        width=width,
        action_space=ActionSpace(kind=kind, control_hz=float(numbers(space, "control_hz", ())), reach=reach, **vectors),
        cameras=tuple(str(name)[:100] for name in data.get("cameras", ())),
        image_size=(height, breadth),
        integration_steps=_count(data, "integration_steps", 1),
        execute_rows=min(_count(data, "execute_rows", 1), horizon),
        feature_size=_count(data, "feature_size", 0),
        fingerprint=str(data.get("fingerprint"))[:200],
        can_steer=data.get("can_steer") is True,
        cannot_steer_reason=str(data.get("cannot_steer_reason", ""))[:1000],
        camera_pairing=_pairing(data.get("camera_pairing") or ()),
        action_low=low,
        action_high=high,
        is_range_from_joints=data.get("is_range_from_joints") is True,
    )


def _pairing(value: Any) -> tuple[tuple[str, str], ...]:
    is_list = isinstance(value, (list, tuple)) and len(value) <= MAX_IMAGES
    if not is_list or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
        raise ConfigError(f"camera_pairing is {str(value)[:40]!r}, expected at most {MAX_IMAGES} pairs of names")
    return tuple((str(name)[:100], str(camera)[:100]) for name, camera in value)


def _count(data: dict[Any, Any], key: str, least: int) -> int:
    value = data.get(key)
    if type(value) is not int or not least <= value <= 100_000:
        raise ConfigError(f"{key} is {str(value)[:40]!r}, expected {least}..100000")
    return value
