"""Denoise a candidate's noise once more and compare."""

import numpy as np
import torch

from frs_core.policies.base import Context, FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Candidate, CandidateKind
from frs_core.steering.plan import SteeringPlan


def difference(
    policy: FlowPolicy,
    context: Context,
    candidate: Candidate,
    plan: SteeringPlan,
    *,
    observation: Observation | None = None,
) -> float:
    """Return the largest difference between a candidate's chunk and what its noise denoises to, robot units.

    Args:
        policy: the generalist that made it.
        context: the encoding of the fan's observation.
        candidate: with a noise.
        plan: the fan's plan.
        observation: the fan's; needed where the policy has a flow space of its own.
    """
    steps = policy.spec.integration_steps if candidate.kind is CandidateKind.LEARNED else plan.steps
    again = policy.denoise(context, torch.from_numpy(candidate.noise)[None], steps=steps)
    chunk = policy.to_robot(again, observation)[0]
    return float(np.abs(chunk - candidate.chunk).max())
