"""Build the fan: what the policy would do for every command and without one.

One batch of references goes through the policy's reversal and denoising; kinematics draws each result's path, safety
checks it, and a verdict says in numbers how far the chunk is from the request and from what the policy would have done.

Example: six directions, less and more, staying with the gripper opened or closed, and the unsteered candidate are 15 rows of
one batch: 10 velocity calls back, 10 forth. The unsteered one is a row without a command: all of its noise is the
seeded noise, which also fills what a command leaves to the policy. With depth < K (or a baseline method) it is denoised on its own.

Runs on the inference worker's thread.
"""

import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.candidates.verdicts import noise_percentiles, verdicts
from frs_core.choosers.base import NoisePolicy, ValuingPolicy
from frs_core.errors import FingerprintMismatch, PolicyError, ShapeMismatch
from frs_core.policies.base import Context, FlowPolicy
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.robot.safety import check_chunks, preview
from frs_core.steering.candidates import LEARNED, UNSTEERED, Candidate, CandidateKind, Doubt, Fan
from frs_core.steering.directions import Command, Gripper, fan_commands, reference_chunks
from frs_core.steering.methods import Method, Reference, SteeredRows, SteeringPlan, nearest_noise
from frs_core.tensors import torch


def build_fan(
    policy: FlowPolicy,
    context: Context,
    observation: Observation,
    *,
    plan: SteeringPlan,
    gripper: Gripper = Gripper.POLICY,
    commands: tuple[Command, ...] | None = None,
    noise_policy: NoisePolicy | None = None,
    limits: Limits | None = None,
    request_id: int = 0,
    encode_ms: float = 0.0,
) -> Fan:
    """Return the fan of one encoded observation.

    Args:
        policy: the generalist.
        context: its encoding of `observation`.
        observation: what it saw.
        plan: steering settings; `plan.seed` seeds the noise that commands leave to the policy.
        gripper: what the directed candidates say about the gripper.
        commands: the directed candidates; None = those of `fan_commands`, () = none.
        noise_policy: adds the learned candidate.
        limits: what the world enforces; None = not known: paths are drawn as asked, without checks.
        request_id: handed through.
        encode_ms: handed through.
    Raises:
        PolicyError: inference failed, or the policy cannot steer.
        FingerprintMismatch: the noise policy was trained for another generalist.
    """
    started = time.perf_counter()
    spec = policy.spec
    if commands is None:
        commands = fan_commands(gripper=gripper)
    if isinstance(noise_policy, ValuingPolicy):
        commands = commands or noise_policy.commands(observation)
    if not spec.can_steer:
        commands = ()
    references, batch = asked_rows(policy, commands, observation=observation, plan=plan)
    values = None
    if noise_policy is None:
        rows = _all_rows(policy, context, batch, plan, None)
    elif isinstance(noise_policy, ValuingPolicy):
        rows, values = _judged_rows(policy, context, observation, batch, plan, noise_policy)
    else:
        rows = _all_rows(policy, context, batch, plan, _learned_noise(policy, context, observation, noise_policy))
    chunks = policy.rows_to_robot(rows.chunk, observation)
    noises, recovered = rows.noise, rows.recovered
    space, n = spec.action_space, len(commands)
    # The requests too: what the arm would do of a request is what a candidate is measured by.
    drawn = preview(np.concatenate([chunks, references]), space, observation=observation, limits=limits)
    paths, reference_paths = drawn.paths[: len(chunks)], drawn.paths[len(chunks) :]
    judged = verdicts(
        paths,
        reference_paths,
        noise_percentiles(
            noises, _commanded_rows(batch, len(chunks), n, spec.width), is_start=_is_noise(plan, n)[: len(chunks)]
        ),
        check_chunks(
            chunks, paths, space, observation=observation, limits=limits, rows=spec.execute_rows, cuts=drawn.cuts
        ),
        rows=spec.execute_rows,
    )
    labels = [UNSTEERED, *(c.label for c in commands), LEARNED]
    kinds = [CandidateKind.UNSTEERED, *[CandidateKind.STEERED] * n, CandidateKind.LEARNED]
    candidates = tuple(
        Candidate(
            label=labels[i],
            kind=kinds[i],
            command=commands[i - 1] if 1 <= i <= n else None,
            noise=noises[i],
            chunk=chunks[i],
            path=paths[i],
            reference=references[i - 1] if 1 <= i <= n else None,
            reference_path=reference_paths[i - 1] if 1 <= i <= n else None,
            verdict=judged[i],
            recovered=recovered[i] if 1 <= i <= n else None,
            value=float("nan") if values is None else float(values[i]),
        )
        for i in range(len(chunks))
    )
    doubt = None if noise_policy is None else _doubt(context, observation, noise_policy, noises[-1])
    return Fan(
        request_id=request_id,
        observation=observation,
        candidates=candidates,
        plan=plan,
        features=context.features,
        encode_ms=encode_ms,
        steer_ms=(time.perf_counter() - started) * 1e3,
        execute_rows=spec.execute_rows,
        made_ns=time.monotonic_ns(),
        network_ms=policy.network_ms,
        doubt=doubt,
        shadow="" if noise_policy is None else _shadow(policy, noises, labels, plan, n),
    )


def references_for(
    policy: FlowPolicy,
    commands: tuple[Command, ...],
    *,
    observation: Observation,
    plan: SteeringPlan | None = None,
) -> tuple[Float[Array, "B H a"], Reference]:
    """Return `asked_rows` with the batch as tensors."""
    robot, asked = asked_rows(policy, commands, observation=observation, plan=plan)
    return robot, Reference(torch.from_numpy(asked.x), torch.from_numpy(asked.commanded))


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """`Reference` in NumPy's arrays."""

    x: Float[Array, "B H A"]
    commanded: Bool[Array, "B A"]


def asked_rows(
    policy: FlowPolicy,
    commands: tuple[Command, ...],
    *,
    observation: Observation,
    plan: SteeringPlan | None = None,
) -> tuple[Float[Array, "B H a"], Asked]:
    """Return the commands' references in robot units, and as a batch in the policy's own width.

    Columns past the robot's are padding: zero, and never commanded.

    Args:
        policy: whose space and sizes to use.
        commands: what is asked; may be empty.
        observation: the state they start from.
        plan: its strength and gripper_strength; None = 1 each.
    """
    spec, plan = policy.spec, plan or SteeringPlan()
    size = spec.flow.size
    x = np.zeros((len(commands), spec.horizon, spec.width), dtype=np.float32)
    commanded = np.zeros((len(commands), spec.width), dtype=bool)
    if commands:
        x[..., :size], commanded[:, :size] = reference_chunks(
            commands, spec.flow, horizon=spec.horizon, observation=observation, strength=plan.strength
        )
        gripper = commanded[:, size - 1]
        x[gripper, :, size - 1] *= plan.gripper_strength
    return policy.rows_to_robot(x, observation), Asked(x, commanded)


def _joined(first: SteeredRows, second: SteeredRows) -> SteeredRows:
    return SteeredRows(
        np.concatenate([first.noise, second.noise]),
        np.concatenate([first.chunk, second.chunk]),
        np.concatenate([first.recovered, second.recovered]),
    )


def _denoised(policy: FlowPolicy, context: Context, noise: Float[Array, "B H A"], steps: int) -> SteeredRows:
    return SteeredRows(noise, policy.denoise_rows(context, noise, steps=steps), noise)


def _all_rows(
    policy: FlowPolicy, context: Context, batch: Asked, plan: SteeringPlan, learned: Float[Array, "1 H A"] | None
) -> SteeredRows:
    """Return the unsteered row, the directed ones and the learned one, in as few batches as the plan allows."""
    own_steps = policy.spec.integration_steps
    if len(batch.x) == 0 and learned is not None and plan.steps == own_steps:
        return _denoised(policy, context, np.concatenate([policy.own_noise(plan.seed), learned]), own_steps)
    if len(batch.x) == 0:
        rows = _denoised(policy, context, policy.own_noise(plan.seed), plan.steps)
    elif _rides_along(plan):
        x = np.concatenate([np.zeros_like(batch.x[:1]), batch.x])
        commanded = np.concatenate([np.zeros_like(batch.commanded[:1]), batch.commanded])
        rows = policy.steer_rows(context, x, commanded, plan)
    else:
        own = _denoised(policy, context, policy.own_noise(plan.seed), plan.steps)
        rows = _joined(own, policy.steer_rows(context, batch.x, batch.commanded, plan))
    return rows if learned is None else _joined(rows, _denoised(policy, context, learned, own_steps))


def _rides_along(plan: SteeringPlan) -> bool:
    """Tell whether a row that commands nothing comes out as the unsteered candidate."""
    if plan.method is Method.FLOW_CONTROL:
        return True
    return plan.method is Method.FRS and plan.is_full_depth and plan.leave_uncommanded


def _judged_rows(
    policy: FlowPolicy,
    context: Context,
    observation: Observation,
    batch: Asked,
    plan: SteeringPlan,
    noise_policy: ValuingPolicy,
) -> tuple[SteeredRows, Float[Array, " B"]]:
    """Return the unsteered row, the directed ones and the best of these and the policy's own draws, with their values."""
    _check_trained_for(policy, noise_policy)
    own_steps = policy.spec.integration_steps
    draws = np.asarray(noise_policy.draws(context, observation), dtype=np.float32)
    _check_noises(policy, draws, noise_policy.name)
    rows = _all_rows(policy, context, batch, plan, None)
    offered = rows.noise.copy()
    # A noise that is denoised from later than t = 0, or in other steps, is not the one that its value would be of.
    offered[~_is_noise(plan, len(batch.x))[: len(offered)]] = np.nan
    if plan.steps != own_steps:
        offered[:] = np.nan
    judged = noise_policy.judge(context, observation, np.concatenate([offered, draws]))
    if judged.best < len(offered):
        best = SteeredRows(*(t[judged.best : judged.best + 1] for t in (rows.noise, rows.chunk, rows.noise)))
    else:
        best = _denoised(policy, context, draws[judged.best - len(offered)][None], own_steps)
    return _joined(rows, best), np.append(judged.values[: len(offered)], judged.values[judged.best])


def _learned_noise(
    policy: FlowPolicy, context: Context, observation: Observation, noise_policy: NoisePolicy
) -> Float[Array, "1 H A"]:
    """Return what the noise policy chooses, checked."""
    _check_trained_for(policy, noise_policy)
    noise = np.asarray(noise_policy.noise(context, observation), dtype=np.float32)[None]
    _check_noises(policy, noise, noise_policy.name)
    return noise


def _doubt(
    context: Context, observation: Observation, noise_policy: NoisePolicy, noise: Float[Array, "H A"]
) -> Doubt | None:
    """Return how sure the noise policy is of its choice, where that is known of it."""
    if noise_policy.doubts is None:
        return None
    return noise_policy.doubts.judge(
        step=observation.step,
        features=context.features,
        proprio=observation.proprio,
        noise=noise,
        spread=noise_policy.spread(context, observation),
    )


def _shadow(policy: FlowPolicy, noises: Float[Array, "B H A"], labels: list[str], plan: SteeringPlan, n: int) -> str:
    """Return the label of the candidate whose noise is nearest to the last one, the learned; empty where no other has a noise."""
    others = noises[:-1, :, : policy.spec.flow.size]
    known = np.flatnonzero(_is_noise(plan, n)[:-1] & np.isfinite(others).all(axis=(1, 2)))
    if len(known) == 0:
        return ""
    learned = noises[-1, :, : policy.spec.flow.size]
    return labels[known[nearest_noise(others[known], learned, components=plan.components)]]


def _check_trained_for(policy: FlowPolicy, noise_policy: NoisePolicy) -> None:
    if noise_policy.policy_fingerprint != policy.spec.fingerprint:
        raise FingerprintMismatch(
            f"Noise policy '{noise_policy.name}' was trained for policy {noise_policy.policy_fingerprint[:12]}, "
            f"'{policy.spec.name}' is {policy.spec.fingerprint[:12]}. Train it again with this policy, or load the other one."
        )


def _check_noises(policy: FlowPolicy, noises: Float[Array, "..."], name: str) -> None:
    expected = (policy.spec.horizon, policy.spec.width)
    if noises.shape[1:] != expected:
        raise ShapeMismatch(
            f"Noise policy '{name}' gave shape {noises.shape[1:]}, policy '{policy.spec.name}' needs {expected}. "
            f"Train it again with this policy."
        )
    if not np.isfinite(noises).all():
        raise PolicyError(f"Noise policy '{name}' gave non-finite numbers. Train it again.")


def _is_noise(plan: SteeringPlan, n: int) -> Bool[Array, " {n+2}"]:
    """Return which of (unsteered, n directed, learned) start at t = 0."""
    return np.array([True, *[plan.starts_at_noise] * n, True])


def _commanded_rows(batch: Asked, count: int, n: int, width: int) -> Bool[Array, "B A"]:
    """Return the columns whose noise counts: the commanded ones, all of them where nothing was asked."""
    rows = np.ones((count, width), dtype=bool)
    rows[1 : n + 1] = batch.commanded
    return rows
