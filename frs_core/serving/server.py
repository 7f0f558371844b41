"""A policy behind a port: what each message means to a `FlowPolicy`.

| op | in | out |
|---|---|---|
| (none) | openpi's DROID keys, optionally `noise` [H, A] | actions [H, a] in robot units |
| encode | observation | context (handle), features [F] |
| steer | context or observation, reference [B, H, A], commanded [B, A], plan (JSON) | noise, chunk, recovered [B, H, A], context |
| denoise | context or observation, noise [B, H, A], steps or nil | chunk [B, H, A], context |
| velocity | context or observation, x [B, H, A], t | v [B, H, A], context |
| release | context | released |

A context handle belongs to its connection; the oldest of `MAX_CONTEXTS` is dropped, and `ContextGone` says so. A request
that carries `observation` instead encodes first, so a whole fan from a fresh image is one message.

Example: a fan of twelve directions is one `encode` (300 kB of images) and one `steer` (12 x 15 x 32 floats, 23 kB).

`handle` runs on the server's worker thread; the policy is never touched by another.
"""

import json
import logging
import math
import secrets
from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError, ContextGone, MalformedMessage, SteeringUnavailable
from frs_core.policies.base import Context, FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.runtime.foreign import parse_json
from frs_core.serving.websocket_server import Contexts, ServerSettings, WebsocketServer
from frs_core.steering.camera_pairing import is_exterior, is_wrist
from frs_core.steering.methods import Method, Reference, Solver, SteeringPlan, gaussian
from frs_core.wire.metadata import OPERATIONS, build_metadata
from frs_core.wire.observations import (
    DROID_KEYS,
    OBSERVATION_KEYS,
    blank_droid_message,
    mapping,
    read_droid,
    unpack_observation,
)

logger = logging.getLogger("frs.serving")

MAX_CONTEXTS = 4
"""Per connection. A pi0.5 context is about 10 MB of keys and values."""
MAX_CANDIDATES = 64
"""Rows of one request; a fan has 13 or 14."""
MAX_WORK = 20_000
"""Velocity rows of one request; a fan of 13 with K = 10 takes 260. Keeps a request from taking minutes."""
MAX_UNREAD = 200
"""Names of unread entries that are kept, so that no client fills the log."""
_ENVELOPE = ("op", "id", "noise")
"""Beside the observation in openpi's request."""


class PolicyService:
    """Answers messages with one policy."""

    def __init__(self, policy: FlowPolicy) -> None:
        """Serve a loaded policy.

        Args:
            policy: used by the thread that calls `handle`, and by no other.
        """
        self.policy = policy
        self.metadata = build_metadata(policy.spec, policy.default_plan)
        self._draws = secrets.randbits(32)
        self._unread: set[str] = set()
        """Entries of observations that were said to be left out."""
        self._operations = {
            "encode": self._encode,
            "steer": self._steer,
            "denoise": self._denoise,
            "velocity": self._velocity,
            "release": self._release,
        }

    def handle(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        """Return the reply to one message.

        Args:
            message: decoded, not trusted.
            contexts: the connection's encoded observations.
        Raises:
            MalformedMessage: the message is invalid.
            ContextGone: its handle is unknown here.
            FrsError: what the policy raises.
        """
        op = message.get("op")
        if op is None:
            return self._infer(message)
        if op not in self._operations:
            raise MalformedMessage(f"Operation {op!r} is unknown. Known: {', '.join(OPERATIONS)}, cancel.")
        with torch.inference_mode():
            return self._operations[op](message, contexts)

    def warm_up(self) -> None:
        """Run every operation once on a blank observation, so that no client waits for a compilation."""
        spec, contexts = self.policy.spec, Contexts()
        observation = read_droid(blank_droid_message(), cameras=spec.cameras)
        handle = self._remember(self.policy.encode(observation), contexts)
        zeros = np.zeros((13, spec.horizon, spec.width), dtype=np.float32)
        plan = json.dumps(self.policy.default_plan.to_json())
        self._denoise({"context": handle, "noise": zeros[:1]}, contexts)
        if spec.can_steer:
            commanded = np.zeros((13, spec.width), dtype=bool)
            self._steer({"context": handle, "reference": zeros, "commanded": commanded, "plan": plan}, contexts)

    def _infer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer openpi's own request: one unsteered chunk in robot units."""
        spec = self.policy.spec
        observation = self._read_droid(message)
        context = self.policy.encode(observation)
        if message.get("noise") is not None:
            noise = self._noise(message["noise"])
        else:
            self._draws = (self._draws + 1) % 2**32
            noise = gaussian((1, spec.horizon, spec.width), seed=self._draws)
        return {"actions": self.policy.to_robot(self.policy.denoise(context, noise), observation)[0]}

    def _noise(self, value: Any) -> Float[Tensor, "1 H A"]:
        """Return the one noise of an openpi request, which openpi's clients send with and without a batch axis."""
        spec = self.policy.spec
        shape = (spec.horizon, spec.width)
        if not isinstance(value, np.ndarray) or value.shape not in (shape, (1, *shape)):
            got = f"of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
            raise MalformedMessage(f"`noise` is {got}, expected floats {list(shape)}.")
        return self._chunks(value.reshape(1, *shape), "noise")

    def _encode(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        context = self.policy.encode(self._observation(message))
        handle = self._remember(context, contexts)
        return {"context": handle, "features": np.asarray(context.features, dtype=np.float32)}

    def _steer(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        if not self.policy.spec.can_steer:
            raise SteeringUnavailable(self.policy.spec.cannot_steer_reason or "This policy can only sample.")
        reference = self._chunks(message.get("reference"), "reference")
        commanded = message.get("commanded")
        shape = (reference.shape[0], reference.shape[2])
        if not isinstance(commanded, np.ndarray) or commanded.dtype != np.bool_ or commanded.shape != shape:
            raise MalformedMessage(f"`commanded` must be booleans of shape {shape}. One row per reference.")
        plan = _read_plan(message.get("plan"))
        _check_work(plan, candidates=reference.shape[0])
        handle, context = self._context(message, contexts)
        steered = self.policy.steer(context, Reference(reference, torch.from_numpy(commanded.copy())), plan)
        return {
            "context": handle,
            "noise": _array(steered.noise),
            "chunk": _array(steered.chunk),
            "recovered": _array(steered.recovered),
        }

    def _denoise(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        noise, steps = self._chunks(message.get("noise"), "noise"), message.get("steps")
        if steps is not None and (type(steps) is not int or not 1 <= steps * noise.shape[0] <= MAX_WORK):
            raise MalformedMessage(f"`steps` is {str(steps)[:40]!r}, expected 1..{MAX_WORK // noise.shape[0]} or nil.")
        handle, context = self._context(message, contexts)
        return {"context": handle, "chunk": _array(self.policy.denoise(context, noise, steps=steps))}

    def _velocity(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        x, t = self._chunks(message.get("x"), "x"), message.get("t")
        if isinstance(t, bool) or not isinstance(t, (int, float)) or not 0.0 <= t <= 1.0:
            raise MalformedMessage(f"`t` is {str(t)[:40]!r}, expected 0 (noise) to 1 (action).")
        handle, context = self._context(message, contexts)
        return {"context": handle, "v": _array(self.policy.velocity(context, x, float(t)))}

    def _release(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        return {"released": contexts.pop(str(message.get("context")), None) is not None}

    def _context(self, message: dict[str, Any], contexts: Contexts) -> tuple[str, Context]:
        """Return the context that a message names, encoding its observation if it has one."""
        if message.get("observation") is not None:
            context = self.policy.encode(self._observation(message))
            return self._remember(context, contexts), context
        handle = message.get("context")
        if not isinstance(handle, str) or handle not in contexts:
            raise ContextGone(
                f"Context {str(handle)[:40]!r} is not here (any more); a connection keeps {MAX_CONTEXTS}. "
                f"Send the observation again."
            )
        contexts.move_to_end(handle)
        return handle, contexts[handle]

    def _remember(self, context: Context, contexts: Contexts) -> str:
        handle = secrets.token_hex(8)
        contexts[handle] = context
        while len(contexts) > MAX_CONTEXTS:
            contexts.popitem(last=False)
        return handle

    def _observation(self, message: dict[str, Any]) -> Observation:
        data = mapping(message.get("observation"), "observation")
        if "frames" not in data:
            return self._read_droid(data)
        self._tell_unread(data, OBSERVATION_KEYS)
        return unpack_observation(data)

    def _tell_unread(self, data: dict[Any, Any], known: Collection[str]) -> None:
        """Log which entries of an observation no policy here reads, each once: a client that sends them may count on them."""
        found = [name for key in data if (name := str(key)[:80]) not in known and name not in self._unread]
        if found and len(self._unread) < MAX_UNREAD:
            self._unread.update(found)
            named = ", ".join(found[:8]) + (" …" if len(found) > 8 else "")
            logger.warning("Left out of a client's observation, because nothing reads it: %s (%d)", named, len(found))

    def _read_droid(self, data: dict[str, Any]) -> Observation:
        self._tell_unread(data, (*DROID_KEYS, *_ENVELOPE))
        cameras = self.policy.spec.cameras
        if unclear := [camera for camera in cameras if not is_wrist(camera) and not is_exterior(camera)]:
            raise ConfigError(
                f"openpi's message has an exterior and a wrist image, and the name of camera {', '.join(unclear)} of policy "
                f"'{self.policy.spec.name}' does not tell which it is. Name the cameras where the policy is served (frs serve --cameras "
                f"INPUT=left,INPUT=wrist), or send the images by name."
            )
        exterior = [
            camera for _, camera in self.policy.spec.camera_pairing if camera in cameras and not is_wrist(camera)
        ]
        if len(exterior) > 1:
            raise ConfigError(
                f"openpi's message has one exterior image, policy '{self.policy.spec.name}' looks at {', '.join(exterior)}. Leave "
                f"all but one empty where the policy is served (frs serve --cameras INPUT=none), or send the images by name."
            )
        return read_droid(data, cameras=cameras)

    def _chunks(self, value: Any, what: str) -> Float[Tensor, "B H A"]:
        """Return finite float32 chunks of the policy's shape, copied out of the message."""
        spec = self.policy.spec
        expected = f"floats [1..{MAX_CANDIDATES}, {spec.horizon}, {spec.width}]"
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise MalformedMessage(f"`{what}` is a {type(value).__name__}, expected {expected}.")
        if value.shape[1:] != (spec.horizon, spec.width) or not 1 <= value.shape[0] <= MAX_CANDIDATES:
            raise MalformedMessage(f"`{what}` has shape {value.shape}, expected {expected}.")
        with np.errstate(over="ignore"):
            array = value.astype(np.float32)
        if not np.isfinite(array).all():
            raise MalformedMessage(f"`{what}` holds numbers that are not finite.")
        return torch.from_numpy(array)


def build_server(policy: FlowPolicy, settings: ServerSettings) -> WebsocketServer:
    """Return a server for a loaded policy, ready to `run`."""
    service = PolicyService(policy)
    return WebsocketServer(service.handle, service.metadata, settings)


def _read_plan(text: Any) -> SteeringPlan:
    """Return the plan of a JSON text; defaults replace what it leaves out."""
    if not isinstance(text, str) or len(text) > 10_000:
        raise MalformedMessage(f"`plan` is a {type(text).__name__}, expected JSON text of a steering plan.")
    try:
        return SteeringPlan.from_json(mapping(parse_json(text, constant=_refuse_constant), "plan"))
    except MalformedMessage:
        raise
    except (ConfigError, TypeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"`plan` is not a steering plan: {error}") from error


def _check_work(plan: SteeringPlan, *, candidates: int) -> None:
    """Raise if a plan's settings are of the wrong type or ask for too much."""
    whole = {"steps": plan.steps, "iterations": plan.iterations, "samples": plan.samples, "seed": plan.seed}
    optional = {"depth": plan.depth, "components": plan.components, "control_rows": plan.control_rows}
    real = {"fill_scale": plan.fill_scale, "clamp": plan.clamp, "damping": plan.damping, "t_max": plan.t_max}
    for name, value in (whole | {k: v for k, v in optional.items() if v is not None}).items():
        if type(value) is not int or not 0 <= value < 2**63:
            raise MalformedMessage(f"Plan setting `{name}` is {value!r}, expected an integer >= 0.")
    for name, value in real.items():
        if value is not None and (isinstance(value, bool) or not math.isfinite(value)):
            raise MalformedMessage(f"Plan setting `{name}` is {value!r}, expected a finite number.")
    rows = max(candidates, plan.samples) if plan.method is Method.SAMPLE_AND_RANK else candidates
    passes = plan.iterations + 1 if plan.solver is Solver.FIXED_POINT else 3
    if plan.steps * passes * rows > MAX_WORK:
        raise MalformedMessage(
            f"The plan asks for {plan.steps * passes * rows} velocity rows, this server computes {MAX_WORK} at most. "
            f"Lower steps, iterations or samples."
        )


def _refuse_constant(name: str) -> float:
    raise MalformedMessage(f"`plan` holds {name}, expected finite numbers.")


def _array(x: Tensor) -> Float[Array, "..."]:
    return x.detach().to(device="cpu", dtype=torch.float32).numpy()


__all__ = ["MAX_CANDIDATES", "MAX_CONTEXTS", "MAX_WORK", "PolicyService", "build_server"]
