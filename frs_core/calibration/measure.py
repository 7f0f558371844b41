"""Measure a steering plan open loop: do the steered chunks follow the commands, and do they stay in the policy's prior?

This needs observations only, no robot and no success labels. For each observation the prior is represented by unsteered
samples: a steered chunk is *in the prior* if its nearest sample is no farther than samples usually are from each other.
Following is measured by the tool's motion over the executed rows.

Example: 200 observations x 6 directions = 1,200 steered chunks per plan; a plan with K = 10 costs 20 velocity calls of batch 12
per observation.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.candidates.fan import references_for
from frs_core.candidates.verdicts import noise_percentiles
from frs_core.policies.base import Context, FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from frs_core.steering.methods import SteeringPlan, gaussian


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """One observation with unsteered samples of the policy."""

    observation: Observation
    context: Context
    chunks: Float[Array, "N H A"]
    """The samples, normalised."""
    typical: float
    """95th percentile of the distance from a sample to its nearest other, RMS per number."""


@dataclass(frozen=True, slots=True)
class PlanScore:
    """Measurements of one plan, averaged over observations and directions."""

    plan: SteeringPlan
    along_mm: float
    """Displacement along the command relative to the unsteered chunk, median."""
    positive: float
    """Share of cases with displacement along the command > 0."""
    cosine: float
    """Median cosine between (steered - unsteered) and the command."""
    separation_mm: float
    """Median distance between the ends of opposite commands on their axis."""
    reached: float
    """Mean share of the requested displacement that was reached, each clipped to 0..1."""
    in_prior: float
    """Share of steered chunks in the prior."""
    distance: float
    """Median distance to the nearest sample, relative to `Prior.typical`."""
    energy: float
    """Mean energy distance between the steered chunks and the samples of an observation, RMS units."""
    percentile: float
    """Median noise percentile."""
    obeyed: float
    """Share of executed rows in which the gripper follows "stay, open" and "stay, close"."""
    evaluations: int
    """Velocity calls per fan."""
    ms: float
    """Milliseconds per fan of twelve, on this machine."""
    cases: int

    @property
    def balance(self) -> float:
        """Harmonic mean of following and staying in the prior; what `frs policy calibrate` maximises."""
        follow, stay = self.reached * max(0.0, self.cosine) * self.obeyed, self.in_prior
        return 0.0 if follow + stay == 0 else 2 * follow * stay / (follow + stay)


def sample_prior(
    policy: FlowPolicy, observation: Observation, context: Context, *, samples: int = 64, seed: int = 0
) -> Prior:
    """Return unsteered samples of the policy for one observation."""
    spec = policy.spec
    noise = gaussian((samples, spec.horizon, spec.width), seed=seed)
    chunks = policy.denoise(context, noise).float().cpu().numpy()[..., : spec.flow.size]
    flat = chunks.reshape(samples, -1)
    distance = _rms(flat, flat)
    np.fill_diagonal(distance, np.inf)
    return Prior(observation, context, chunks, float(np.percentile(distance.min(axis=1), 95)))


def score_plan(policy: FlowPolicy, priors: Sequence[Prior], plan: SteeringPlan, *, seeds: int = 1) -> PlanScore:
    """Return the plan's score over all observations and the six directions, with amount "more".

    Args:
        policy: the generalist.
        priors: observations with their samples.
        plan: the plan to measure.
        seeds: number of plan seeds per observation.
    """
    directions = tuple(Direction)
    commands = tuple(Command(d, Amount.MORE) for d in directions)
    axes = np.stack([d.axis for d in directions])
    spec, rows = policy.spec, policy.spec.execute_rows
    along, cosine, reached, distance, energy, percentile, separation = [], [], [], [], [], [], []
    obeyed = []
    spent, fans = 0.0, 0
    for i, prior in enumerate(priors):
        for seed in range(seeds):
            seeded = plan.with_seed(plan.seed + 1000 * i + seed)
            robot, batch = references_for(policy, commands, observation=prior.observation, plan=plan)
            started = time.perf_counter()
            steered = policy.steer(prior.context, batch, seeded)
            spent, fans = spent + time.perf_counter() - started, fans + 1
            own = policy.denoise(prior.context, gaussian((1, spec.horizon, spec.width), seed=seeded.seed))
            chunks = policy.to_robot(torch.cat([own, steered.chunk]), prior.observation)
            ends = spec.action_space.path(chunks, prior.observation)[:, rows]
            start = prior.observation.p_tcp
            asked = spec.action_space.path(robot, prior.observation)[:, rows] - start
            moved = ends[1:] - ends[0]
            ahead = np.einsum("dc,dc->d", moved, axes)
            along.append(ahead * 1000)
            cosine.append(ahead / np.maximum(np.linalg.norm(moved, axis=1), 1e-9))
            want = np.linalg.norm(asked, axis=1)
            reached.append(np.clip(np.einsum("dc,dc->d", ends[1:] - start, axes) / np.maximum(want, 1e-9), 0, 1))
            opposite = [directions.index(d.opposite) for d in directions]
            separation.append(np.einsum("dc,dc->d", ends[1:] - ends[1:][opposite], axes) * 1000)
            obeyed.append(_obeyed(policy, prior, seeded))
            flat = steered.chunk.float().cpu().numpy()[..., : spec.flow.size].reshape(len(commands), -1)
            mine = prior.chunks.reshape(len(prior.chunks), -1)
            nearest = _rms(flat, mine)
            distance.append(nearest.min(axis=1) / max(prior.typical, 1e-6))
            energy.append(2 * nearest.mean() - _rms(flat, flat).mean() - _rms(mine, mine).mean())
            noise = steered.noise.float().cpu().numpy()
            percentile.append(
                noise_percentiles(noise, batch.commanded.numpy(), is_start=np.ones(len(commands), dtype=bool))
            )
    ratio = np.concatenate(distance)
    return PlanScore(
        plan=plan,
        along_mm=float(np.median(np.concatenate(along))),
        positive=float(np.mean(np.concatenate(along) > 0)),
        cosine=float(np.median(np.concatenate(cosine))),
        separation_mm=float(np.median(np.concatenate(separation))),
        reached=float(np.mean(np.concatenate(reached))),
        in_prior=float(np.mean(ratio <= 1.0)),
        distance=float(np.median(ratio)),
        energy=float(np.mean(energy)),
        percentile=float(np.median(np.concatenate(percentile))),
        obeyed=float(np.mean(obeyed)),
        evaluations=2 * plan.steps if plan.depth is None else plan.steps + 2 * plan.depth,
        ms=spent / max(fans, 1) * 1e3,
        cases=len(ratio),
    )


def _obeyed(policy: FlowPolicy, prior: Prior, plan: SteeringPlan) -> float:
    """Return the share of executed rows whose gripper follows the commands "open" and "close"."""
    orders = (Command(None, gripper=Gripper.OPEN), Command(None, gripper=Gripper.CLOSE))
    _, batch = references_for(policy, orders, observation=prior.observation, plan=plan)
    steered = policy.steer(prior.context, batch, plan)
    gripper = policy.to_robot(steered.chunk, prior.observation)[:, : policy.spec.execute_rows, -1]
    return float(np.mean([gripper[0] < 0.5, gripper[1] > 0.5]))


def _rms(a: Float[Array, "n d"], b: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Return the pairwise root-mean-square distances."""
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared, 0.0) / a.shape[1])
