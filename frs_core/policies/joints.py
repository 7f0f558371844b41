"""Convert a generalist's tool deltas to joints, for worlds and recordings in DROID's action spaces.

Problem: the shipped generalist's chunks are tool deltas, while a DROID arm is driven, and its data recorded, in joint velocities or
positions. Idea: the flow is unchanged. References, noises and normalised chunks are the wrapped policy's own (so fans, Flow
Reversal Steering, stored noises and noise policies keep their meaning, and the fingerprint is the same); only the last step
differs: a denoised chunk is converted to joints by inverse kinematics along its whole path, starting from the present joints.
Previews, verdicts, execution and recordings then use these joints.

Example: 16 deltas of 12 mm to the left become 16 joint velocities of at most 1 (0.2 rad per step); their path is within 1 mm of
the deltas' path. 13 chunks of 16 rows take 4 ms.

    policy = in_action_space(load_policy("tabletop"), ActionKind.JOINT_VELOCITY)

Runs on the inference worker's thread.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, PolicyError
from frs_core.policies.base import Context, FlowPolicy
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace, joint_space
from frs_core.robot.observation import Observation
from frs_core.robot.rotations import rotations_in_turn
from frs_core.robot.tracking import follow_poses
from frs_core.steering.methods import Reference, Steered, SteeredRows, SteeringPlan
from frs_core.tensors import Tensor

POSTURE = np.array([0.0, -0.35, 0.0, -2.45, 0.0, 2.10, np.pi / 4])
"""Joints towards which the redundant elbow is pulled, rad. Source: the embedded world's start pose; Franka's own is 0.45 rad away at
most."""

LEAN = 0.1
"""Fraction of the distance to it covered per pass; two passes pull as hard as the embedded world's own inverse kinematics (0.19 per
row)."""


def in_action_space(policy: FlowPolicy, kind: ActionKind | str | None) -> FlowPolicy:
    """Return a policy that acts in an action space: the given one if it already does, else a wrapper.

    Args:
        policy: owned by the returned policy.
        kind: the space or its value, such as "joint_velocity"; None or "" = leave the policy as it is.
    Raises:
        ConfigError: unknown space, or the policy acts in joints and another space is requested.
    """
    if not kind:
        return policy
    try:
        kind = ActionKind(kind)
    except ValueError:
        raise ConfigError(
            f"Action space '{kind}' is unknown. Known: {', '.join(k.value for k in ActionKind)}."
        ) from None
    own = policy.spec.action_space.kind
    if kind is own:
        return policy
    if own is not ActionKind.EE_DELTA:
        raise ConfigError(
            f"Policy '{policy.spec.name}' acts in {own.value} and cannot be turned into {kind.value}: only end-effector deltas "
            f"can be turned into joints. Leave the action space out, or choose another policy."
        )
    return JointPolicy(policy, kind)


class JointPolicy(FlowPolicy):
    """An end-effector policy whose chunks are joint velocities or positions."""

    def __init__(self, policy: FlowPolicy, kind: ActionKind, *, posture: Float[Array, " 7"] | None = None) -> None:
        """Wrap a policy.

        Args:
            policy: in EE_DELTA; owned.
            kind: JOINT_VELOCITY or JOINT_POSITION.
            posture: joints towards which the redundant elbow is pulled, rad; None = `POSTURE`.
        """
        self._policy, self._posture = policy, POSTURE if posture is None else posture
        space = joint_space(kind, control_hz=policy.spec.action_space.control_hz)
        # The statistics are about tool deltas and say nothing about joints.
        self.spec = replace(
            policy.spec, action_space=space, flow_space=policy.spec.flow, action_low=None, action_high=None
        )
        self.default_plan, self.options = policy.default_plan, policy.options
        if hasattr(policy, "context_from_features"):
            # Only set if the wrapped policy has it: `episodes.check` tests for its presence.
            self.context_from_features = policy.context_from_features  # pyright: ignore[reportAttributeAccessIssue]

    def encode(self, observation: Observation) -> Context:
        """Return the wrapped policy's encoding."""
        return self._policy.encode(observation)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return the wrapped policy's velocity."""
        return self._policy.velocity(context, x, t)

    def denoise(
        self, context: Context, noise: Float[Tensor, "B H A"], *, steps: int | None = None
    ) -> Float[Tensor, "B H A"]:
        """Return the wrapped policy's chunks, normalised tool deltas."""
        return self._policy.denoise(context, noise, steps=steps)

    def steer(self, context: Context, reference: Reference, plan: SteeringPlan) -> Steered:
        """Return the wrapped policy's steered chunks, normalised tool deltas."""
        return self._policy.steer(context, reference, plan)

    def denoise_rows(
        self, context: Context, noise: Float[Array, "B H A"], *, steps: int | None = None
    ) -> Float[Array, "B H A"]:
        """Return the wrapped policy's chunks, normalised tool deltas."""
        return self._policy.denoise_rows(context, noise, steps=steps)

    def steer_rows(
        self, context: Context, x: Float[Array, "B H A"], commanded: Bool[Array, "B A"], plan: SteeringPlan
    ) -> SteeredRows:
        """Return the wrapped policy's steered chunks, normalised tool deltas."""
        return self._policy.steer_rows(context, x, commanded, plan)

    def own_noise(self, seed: int) -> Float[Array, "1 H A"]:
        """Return the wrapped policy's noise."""
        return self._policy.own_noise(seed)

    def to_robot(self, x: Float[Tensor, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return chunks in joints, starting from the observation's joints.

        Raises:
            PolicyError: no observation was given.
        """
        return self.rows_to_robot(x.detach().float().cpu().numpy(), observation)

    def rows_to_robot(self, x: Float[Array, "B H A"], observation: Observation | None = None) -> Float[Array, "B H a"]:
        """Return `to_robot` of an array."""
        if observation is None:
            raise PolicyError(
                f"Policy '{self.spec.name}' turns tool deltas into joints and must know where the arm is. Pass the observation."
            )
        space = self.spec.action_space
        chunk = self._policy.rows_to_robot(x, observation)
        return space.clip(joint_chunk(chunk, self.spec.flow, space, observation=observation, posture=self._posture))

    @property
    def network_ms(self) -> float:
        """Network time of the wrapped policy's last call, ms; NaN for a local policy."""
        return self._policy.network_ms

    def cancel(self) -> None:
        """Abort the wrapped policy's waiting call."""
        self._policy.cancel()

    def close(self) -> None:
        """Free the wrapped policy."""
        self._policy.close()


def joint_chunk(
    chunk: Float[Array, "B H 7"],
    space: ActionSpace,
    joints: ActionSpace,
    *,
    observation: Observation,
    posture: Float[Array, " 7"],
) -> Float[Array, "B H 8"]:
    """Return tool deltas as joint velocities (fractions) or positions (rad), the gripper unchanged.

    The deltas accumulate on a commanded pose, as in the worlds; motion that a joint limit or the limit of 0.2 rad per step cuts off
    is made up in later rows as far as possible. Positions continue from the last commanded joints if the world reports them, so that
    contact pressure persists from one chunk to the next; velocities are relative to the measured joints and start there.

    Args:
        chunk: robot units of `space`.
        space: EE_DELTA.
        joints: the result's space, JOINT_VELOCITY or JOINT_POSITION.
        observation: the state the chunks start from.
        posture: joints towards which the redundant elbow is pulled, rad.
    """
    T_flange_tcp = kinematics.tool_on_flange(observation.q, observation.T_base_tcp)
    q = observation.q_command if joints.kind is ActionKind.JOINT_POSITION else observation.q
    T_start = kinematics.flange_pose(q) @ T_flange_tcp
    p = T_start[:3, 3] + np.cumsum(chunk[..., :3].astype(np.float64), axis=1)
    path = follow_poses(
        p,
        rotations_in_turn(T_start[:3, :3], chunk[..., 3:6]),
        q=q,
        T_flange_tcp=T_flange_tcp,
        longest_shift=np.full((1, 1), 2.0 * float(np.linalg.norm(space.high[:3]))),
        longest_turn=min(1.0, 2.0 * float(np.linalg.norm(space.high[3:6]))),
        passes=2,
        posture=posture,
        lean=LEAN,
    )
    if joints.kind is ActionKind.JOINT_VELOCITY:
        start = np.broadcast_to(q, (len(path), 1, 7))
        path = np.diff(np.concatenate([start, path], axis=1), axis=1) / JOINT_STEP
    return np.concatenate([path, chunk[..., 6:]], axis=-1).astype(np.float32)
