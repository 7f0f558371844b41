"""A policy on another machine, or in another environment.

Problem: pi0.5 needs a GPU that the robot's laptop lacks, or openpi's own JAX environment. Idea: the policy is a `FlowPolicy`
whose `encode`, `steer`, `denoise` and `velocity` are one message each; twenty velocity calls never become twenty round
trips. A context keeps its observation, which is sent again to a server that was restarted or has dropped the context.

A stock openpi server neither accepts noise nor reverses the flow: `StockPolicy` draws unsteered candidates from it, and
`spec.cannot_steer_reason` says why there is no fan.

Example: `load("ws://gpu-box:8000", token=...)` -> spec.name "pi05_droid", horizon 15, width 32; a fan of 13 candidates is
one message of about 25 kB out and 75 kB back.

Runs on the inference worker's thread; `cancel` may be called from any.
"""

import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.errors import (
    ConfigError,
    ContextGone,
    FingerprintMismatch,
    PolicyError,
    ServingError,
    SteeringUnavailable,
    unknown_name,
)
from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.policies.joints import in_action_space
from frs_core.policies.pi05.plausible import FARTHEST_CENTRE, FARTHEST_SPEED
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.runtime.address import shown
from frs_core.runtime.bounds import Bounds, Positive
from frs_core.steering.methods import Reference, Steered, SteeredRows, SteeringPlan, gaussian_array
from frs_core.tensors import Tensor, torch
from frs_core.wire.client import ClientSettings, WireClient
from frs_core.wire.metadata import (
    DROID_OBSERVATION,
    ServerFacts,
    droid_pairing,
    droid_space,
    read_metadata,
    stock_action_space,
    unread_by_stock,
    with_cameras,
)
from frs_core.wire.observations import DROID_IMAGE, JOINT_KEY, blank_droid_message, droid_message, pack_observation

logger = logging.getLogger("frs.serving")

DEFAULT_URL = "ws://127.0.0.1:8000"
STOCK_REASON = (
    "This is a stock openpi server: it samples, but neither accepts noise nor reverses the flow, so directions are not "
    "available. Start `frs serve`, or openpi_server.py inside your openpi checkout, to steer."
)
_GRIPPER_BEYOND = 0.5
"""How far a sample may lie outside 0..1. Guess: a policy overshoots by a few percent; -1 is another convention."""
_STOCK_ROWS = 8
"""Rows of a chunk that openpi's DROID client executes. Source: examples/droid/main.py, open_loop_horizon."""


def load(
    url: str | None = None,
    *,
    path: str | None = None,
    token: str | None = None,
    exterior: str | None = None,
    wrist: str | None = None,
    action_space: ActionKind | str | None = None,
    connect_timeout_s: Positive = 5.0,
    answer_timeout_s: Positive = 10.0,
    warm_up_timeout_s: Positive = 600.0,
    message_bytes: Annotated[int, Bounds(1024, 2**31 - 1)] = 32 * 2**20,
    tls_ca: Path | None = None,
    proxy: str | None = None,
) -> FlowPolicy:
    """Return the policy behind a server's address: a `RemotePolicy`, acting in joints where the server says so.

    Args:
        url: ws://host:port, or wss:// with TLS; None = a server on this machine.
        path: the same; every policy takes its weights or address as `path`.
        token: the server's token; None reads FRS_TOKEN.
        exterior: camera sent as openpi's exterior one, None = left; for servers with openpi's observation format only.
        wrist: camera sent as openpi's wrist one, None = wrist; likewise.
        action_space: how to read a stock server's actions, None = as its metadata states, else joint_velocity; a steering server states its own.
            Rejected if the server's metadata or first answer contradicts it.
        connect_timeout_s: for each attempt to connect, seconds.
        answer_timeout_s: for each answer, seconds.
        warm_up_timeout_s: for a stock server's first answer, which may wait for compilation, seconds.
        message_bytes: largest message sent or accepted.
        tls_ca: PEM file to trust instead of the system's authorities.
        proxy: http://, https:// or socks5h:// address to connect through; None = the environment's, for public addresses only.
    Raises:
        ServingError: no server, wrong token, or not a policy server.
        ConfigError: an option does not apply to this server, its actions are not in `action_space`, or it states that it needs what openpi's
            DROID client does not send.
    """
    url = next(address for address in (url, path, DEFAULT_URL) if address is not None)
    try:
        kind = None if action_space is None else ActionKind(action_space)
    except ValueError:
        raise unknown_name("action space", str(action_space), [known.value for known in ActionKind]) from None
    token = token or os.environ.get("FRS_TOKEN") or None
    client = WireClient(ClientSettings(url, token, connect_timeout_s, message_bytes, proxy, tls_ca))
    try:
        metadata = client.connect()
        facts = read_metadata(metadata, url=shown(url))
        if facts is None:
            kind = stock_action_space(metadata, url=shown(url), given=kind)
            if unread := unread_by_stock(metadata):
                logger.warning("The policy server at %s states more than is read: %s.", shown(url), ", ".join(unread))
            probe = client.ask(blank_droid_message(), timeout_s=warm_up_timeout_s, has_ids=False)
            spec = _stock_spec(metadata, probe, space=kind, cameras=(exterior or "left", wrist or "wrist"))
            return StockPolicy(client, spec, answer_timeout_s=answer_timeout_s)
        if facts.observation != DROID_OBSERVATION and (exterior or wrist):
            raise ConfigError(
                f"The policy server at {shown(url)} is sent cameras by its own names, {', '.join(facts.spec.cameras)}; exterior= and wrist= "
                f"would have no effect. Leave them out and pair the cameras where the policy is served: frs serve --cameras."
            )
        policy = RemotePolicy(
            client, facts, answer_timeout_s=answer_timeout_s, exterior=exterior or "left", wrist=wrist or "wrist"
        )
        return in_action_space(policy, facts.acts_in)
    except BaseException:
        client.close()
        raise


@dataclass(slots=True, eq=False)
class _RemoteContext:
    """The handle of an encoded observation, and the observation itself in case the server has dropped it."""

    observation: dict[str, Any]
    handle: str = ""
    generation: int = -1
    """Connection the handle belongs to."""


class RemotePolicy(FlowPolicy):
    """The client of a steering server."""

    def __init__(
        self,
        client: WireClient,
        facts: ServerFacts,
        *,
        answer_timeout_s: float = 10.0,
        exterior: str = "left",
        wrist: str = "wrist",
    ) -> None:
        """Use a connected client; `load` makes one from an address.

        Args:
            client: connected to the server.
            facts: the server's metadata.
            answer_timeout_s: for each answer, seconds.
            exterior: camera sent as openpi's exterior one, if the server expects openpi's observation format.
            wrist: likewise.
        """
        self._has_droid_form = facts.observation == DROID_OBSERVATION
        self.spec = with_cameras(facts.spec, exterior, wrist) if self._has_droid_form else facts.spec
        self.default_plan = facts.plan
        self._client, self._timeout_s = client, answer_timeout_s
        self.last_timing: dict[str, float] = {}
        """Of the last answer, milliseconds: round_trip_ms, infer_ms, queue_ms."""
        client.verify = self._verify

    @property
    def url(self) -> str:
        """The server's address, as it may be shown."""
        return shown(self._client.settings.url)

    @property
    def is_connected(self) -> bool:
        """Whether the last request left a usable connection; the next one reconnects."""
        return self._client.is_connected

    def encode(self, observation: Observation) -> Context:
        """Return a handle to the observation's encoding, which stays on the server; see `FlowPolicy.encode`."""
        remote = _RemoteContext(self._message_of(observation))
        reply = self._ask({"op": "encode", "observation": remote.observation})
        self._keep_handle(remote, reply)
        features = self._array(reply, "features", (self.spec.feature_size,))
        return Context(payload=remote, features=features, captured_ns=observation.captured_ns)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return the velocity of every row; for analysis only, one round trip per call."""
        self.check_shape(x, "State")
        reply = self._ask_about(context, {"op": "velocity", "x": _wire(x), "t": float(t)})
        return _like(x, self._array(reply, "v", tuple(x.shape)))

    def denoise(
        self, context: Context, noise: Float[Tensor, "B H A"], *, steps: int | None = None
    ) -> Float[Tensor, "B H A"]:
        """Return normalised chunks denoised from noises, in one message."""
        return _like(noise, self.denoise_rows(context, _wire(noise), steps=steps))

    def denoise_rows(
        self, context: Context, noise: Float[Array, "B H A"], *, steps: int | None = None
    ) -> Float[Array, "B H A"]:
        """Return normalised chunks denoised from noises, in one message."""
        self.check_shape(noise, "Noise")
        reply = self._ask_about(context, {"op": "denoise", "noise": noise, "steps": steps})
        return self._finite(self._array(reply, "chunk", noise.shape))

    def steer(self, context: Context, reference: Reference, plan: SteeringPlan) -> Steered:
        """Return noises and normalised chunks for a batch of references, in one message."""
        rows = self.steer_rows(context, _wire(reference.x), reference.commanded.cpu().numpy(), plan)
        return Steered(*(_like(reference.x, x) for x in (rows.noise, rows.chunk, rows.recovered)))

    def steer_rows(
        self, context: Context, x: Float[Array, "B H A"], commanded: Bool[Array, "B A"], plan: SteeringPlan
    ) -> SteeredRows:
        """Return noises and normalised chunks for a batch of references, in one message."""
        self.check_shape(x, "Reference")
        if not self.spec.can_steer:
            raise SteeringUnavailable(self.spec.cannot_steer_reason or "The policy server can only sample.")
        reply = self._ask_about(
            context,
            {"op": "steer", "reference": x, "commanded": commanded, "plan": json.dumps(plan.to_json())},
        )
        noise, chunk, recovered = (self._array(reply, key, x.shape) for key in ("noise", "chunk", "recovered"))
        return SteeredRows(noise, self._finite(chunk), recovered)

    def to_robot(self, x: Float[Tensor, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return chunks in robot units; see `FlowPolicy.to_robot`."""
        return self.rows_to_robot(_wire(x), observation)

    def rows_to_robot(self, x: Float[Array, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return chunks in robot units, clipped to the action limits, flow padding dropped."""
        space = self.spec.action_space
        return space.clip(space.unnormalise(x[..., : space.size]))

    def own_noise(self, seed: int) -> Float[Array, "1 H A"]:
        """Return N(0, 1) of one row, by NumPy."""
        return gaussian_array((1, self.spec.horizon, self.spec.width), seed=seed)

    def cancel(self) -> None:
        """Make the request that is waiting, if any, raise PolicyError within 0.1 s. Any thread."""
        self._client.cancel()

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _message_of(self, observation: Observation) -> dict[str, Any]:
        if self._has_droid_form:
            exterior, wrist = self.spec.cameras
            return droid_message(observation, exterior=exterior, wrist=wrist)
        return pack_observation(observation, cameras=self.spec.cameras)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        reply = self._client.ask(message, timeout_s=self._timeout_s)
        timing = reply.get("server_timing")
        known = timing.items() if isinstance(timing, dict) else ()
        self.last_timing = {str(k): float(v) for k, v in known if isinstance(v, (int, float))}
        self.last_timing["round_trip_ms"] = (time.monotonic() - started) * 1e3
        return reply

    def _ask_about(self, context: Context, message: dict[str, Any]) -> dict[str, Any]:
        """Send a request with a context's handle, or with its observation if the server does not know the handle."""
        remote = context.payload
        if not isinstance(remote, _RemoteContext):
            raise PolicyError("This context was encoded by another policy. Encode the observation again.")
        self._client.connect()
        if remote.generation == self._client.generation:
            try:
                return self._ask(message | {"context": remote.handle})
            except ContextGone:
                pass  # too old, or the connection was replaced while sending: the observation is sent again below
        reply = self._ask(message | {"observation": remote.observation})
        self._keep_handle(remote, reply)
        return reply

    def _keep_handle(self, remote: _RemoteContext, reply: dict[str, Any]) -> None:
        remote.handle, remote.generation = str(reply.get("context")), self._client.generation

    def _array(self, reply: dict[str, Any], key: str, shape: tuple[int, ...]) -> Float[Array, "..."]:
        value = reply.get(key)
        if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.shape != shape:
            got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise ServingError(f"The policy server's `{key}` is {got}, expected float32 {shape}. Update the server.")
        return value.copy()

    def _verify(self, metadata: Any) -> None:
        """Raise unless a reconnected server still serves this policy."""
        facts = read_metadata(metadata, url=self.url)
        found = facts.spec.fingerprint if facts else "a stock openpi server"
        if found != self.spec.fingerprint:
            raise FingerprintMismatch(
                f"The policy server at {self.url} now serves another policy: {found}, this session began with "
                f"{self.spec.fingerprint}. Load the policy again, or start the server with the old one."
            )


class StockPolicy(RemotePolicy):
    """The client of an unmodified openpi server: unsteered candidates only."""

    def __init__(self, client: WireClient, spec: PolicySpec, *, answer_timeout_s: float = 10.0) -> None:
        """Use a connected client; `load` makes one from an address.

        Args:
            client: connected to the server.
            spec: from the server's first answer.
            answer_timeout_s: for each sample, seconds.
        """
        facts = ServerFacts(spec, SteeringPlan(), DROID_OBSERVATION, ())
        exterior, wrist = spec.cameras
        super().__init__(client, facts, answer_timeout_s=answer_timeout_s, exterior=exterior, wrist=wrist)

    def encode(self, observation: Observation) -> Context:
        """Return a context that holds the observation, which is sent with every sample."""
        message = _RemoteContext(self._message_of(observation))
        return Context(message, np.zeros(0, dtype=np.float32), observation.captured_ns)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Raise `SteeringUnavailable`; see `spec.cannot_steer_reason`."""
        raise SteeringUnavailable(STOCK_REASON)

    def denoise_rows(
        self, context: Context, noise: Float[Array, "B H A"], *, steps: int | None = None
    ) -> Float[Array, "B H A"]:
        """Return one fresh sample per row; the server draws its own noise, and the given one only sets the number of rows."""
        self.check_shape(noise, "Noise")
        space, rows = self.spec.action_space, []
        for _ in range(noise.shape[0]):
            reply = self._client.ask(context.payload.observation, timeout_s=self._timeout_s, has_ids=False)
            actions = _stock_actions(reply, (self.spec.horizon, space.size))
            if not np.isfinite(actions).all():
                raise PolicyError(
                    f"The stock openpi server {_not_finite(actions)}. Check its checkpoint and the observation."
                )
            if why_not := _why_no_gripper(actions):
                raise PolicyError(why_not)
            rows.append(space.normalise(actions))
        return self._finite(np.stack(rows).astype(np.float32))

    def _verify(self, metadata: Any) -> None:
        """Raise if a steering server has replaced the stock one, or another that states something else."""
        if read_metadata(metadata, url=self.url) is not None:
            raise FingerprintMismatch(f"The server at {self.url} has become a steering server. Load the policy again.")
        stock_action_space(metadata, url=self.url, given=self.spec.action_space.kind)


def _stock_spec(metadata: Any, probe: dict[str, Any], *, space: ActionKind, cameras: tuple[str, str]) -> PolicySpec:
    """Return the spec of a stock server from its first answer, the only source of its horizon."""
    actions = _stock_actions(probe, None)
    if actions.shape[1] != space.size:
        raise ConfigError(
            f"The stock openpi server gives actions of {actions.shape[1]} numbers, {space.value} has {space.size}. "
            f"Only DROID checkpoints are understood; serve others with openpi_server.py."
        )
    why_not = _why_not_these_actions(actions, space)
    if why_not is not None:
        raise ConfigError(why_not)
    facts = hashlib.sha256(repr((sorted(map(str, metadata)), actions.shape, space.value)).encode()).hexdigest()
    return PolicySpec(
        name="openpi (stock server)",
        horizon=actions.shape[0],
        width=actions.shape[1],
        action_space=droid_space(space),
        cameras=cameras,
        camera_pairing=droid_pairing(*cameras),
        image_size=DROID_IMAGE,
        integration_steps=10,
        execute_rows=min(_STOCK_ROWS, actions.shape[0]),
        feature_size=0,
        fingerprint=f"stock:{facts[:16]}",
        can_steer=False,
        cannot_steer_reason=STOCK_REASON,
    )


def _why_not_these_actions(actions: Float[Array, "H 8"], space: ActionKind) -> str | None:
    """Return why the answer to a blank message cannot be in `space`; None if it can."""
    rest = blank_droid_message()[JOINT_KEY]
    if not np.isfinite(actions).all():
        return f"The stock openpi server {_not_finite(actions)}. Check its checkpoint and its statistics; nothing can be executed."
    if why_not := _why_no_gripper(actions):
        return why_not
    if space is ActionKind.JOINT_VELOCITY:
        largest = float(np.abs(actions[:, :7]).max())
        if not largest <= FARTHEST_SPEED:
            return (
                f"The stock openpi server's actions reach {largest:.2f}, joint speeds stay within 1: they are not joint speeds. "
                f"Pass action_space=joint_position if it serves a joint-position checkpoint."
            )
    if space is ActionKind.JOINT_POSITION:
        farthest = float(np.abs(actions[0, :7] - rest).max())
        if not farthest <= FARTHEST_CENTRE:
            return (
                f"The stock openpi server's first row is {farthest:.2f} rad from the joints it was asked at, at most "
                f"{FARTHEST_CENTRE:g} was expected: they are not joint positions. Pass action_space=joint_velocity if it serves joint speeds."
            )
    return None


def _why_no_gripper(actions: Float[Array, "H 8"]) -> str | None:
    """Return why the last number of a row cannot be a gripper's command; None if it can."""
    low, high = float(actions[:, 7].min()), float(actions[:, 7].max())
    if low >= -_GRIPPER_BEYOND and high <= 1.0 + _GRIPPER_BEYOND:
        return None
    return (
        f"The stock openpi server's gripper goes from {low:.4g} to {high:.4g}, expected 0 (open) to 1 (closed). Only DROID checkpoints are "
        f"understood; serve others with openpi_server.py."
    )


def _not_finite(actions: Float[Array, "H 8"]) -> str:
    """Return what a server gave in the place of numbers: "gave NaN in 120 of 120 numbers, first in row 0, number 0"."""
    wrong = ~np.isfinite(actions)
    row, column = (int(i) for i in np.argwhere(wrong)[0])
    kinds = " and ".join(
        name for name, found in (("NaN", np.isnan(actions).any()), ("infinity", np.isinf(actions).any())) if found
    )
    return f"gave {kinds} in {int(wrong.sum())} of {actions.size} numbers, first in row {row}, number {column}"


def _stock_actions(reply: dict[str, Any], shape: tuple[int, int] | None) -> Float[Array, "H a"]:
    """Return the actions of a stock reply.

    Raises:
        ServingError: there are none, or not of the expected shape.
    """
    actions = reply.get("actions")
    if (
        not isinstance(actions, np.ndarray)
        or actions.dtype.kind != "f"
        or actions.ndim != 2
        or not 1 <= actions.shape[0] <= 1000
        or (shape is not None and actions.shape != shape)
    ):
        got = f"{actions.dtype} {actions.shape}" if isinstance(actions, np.ndarray) else type(actions).__name__
        raise ServingError(
            f"The openpi server's `actions` are {got}, expected floats {shape or '(H, a)'}. Check its checkpoint."
        )
    return np.asarray(actions, dtype=np.float32)


def _wire(x: Tensor) -> Float[Array, "..."]:
    return x.detach().to(device="cpu", dtype=torch.float32).numpy()


def _like(x: Tensor, values: Float[Array, "..."]) -> Tensor:
    return torch.from_numpy(values).to(x.device)
