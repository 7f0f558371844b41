"""A small conditional flow on the learners' network: from noise to a label, given an observation.

Problem: a regression predicts the mean of the actions in a state; where half of the demonstrations lower the arm and half open the
gripper, the mean does neither, and the arm stops. Idea: learn the whole distribution by flow matching and draw from it. The network tells
the path's end, and the velocity follows: asked for the velocity itself, so small a network spends itself on passing the noise
through.

Example: labels of 112 numbers; the network sees 112 + 16 numbers (state and time) beside the observation. Any device.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.learning.fit import Data
from frs_core.learning.network import Inputs, SmallNet
from frs_core.steering.methods import gaussian

TIME_FREQUENCIES = 8
"""Pairs of sine and cosine that encode the flow time."""


def extra_size(numbers: int) -> int:
    """Return how many numbers the network sees beside the observation for labels of `numbers`."""
    return numbers + 2 * TIME_FREQUENCIES


def flow_matching(network: SmallNet, batch: Data) -> Tensor:
    """Return the loss of a batch: predict the label from x_t = (1 - t) noise + t label."""
    noise = torch.randn_like(batch.target)
    t = torch.rand(batch.count, 1, device=batch.target.device)
    x = (1.0 - t) * noise + t * batch.target
    return (network(batch.inputs, torch.cat([x, time_code(t)], dim=1)) - batch.target).square().mean()


def draw(network: SmallNet, inputs: Inputs, numbers: int, *, steps: int, seed: int) -> Float[Tensor, "B n"]:
    """Return one label per row by Euler steps from seeded noise; the last step ends where the network says.

    Args:
        network: trained by `flow_matching`.
        inputs: observations.
        numbers: size of a label.
        steps: Euler steps; 1 is a regression from one noise.
        seed: of the noise.
    """
    rows = inputs.features.shape[0]
    x = gaussian((rows, numbers), seed=seed, device=inputs.features.device)
    for k in range(steps):
        t = torch.full((rows, 1), k / steps, device=x.device)
        x = x + (network(inputs, torch.cat([x, time_code(t)], dim=1)) - x) / (steps - k)
    return x


def time_code(t: Float[Tensor, "B 1"]) -> Float[Tensor, "B n"]:
    """Return sines and cosines of the flow time, 2 * TIME_FREQUENCIES numbers."""
    frequencies = math.pi * torch.arange(1, TIME_FREQUENCIES + 1, device=t.device)
    return torch.cat([(t * frequencies).sin(), (t * frequencies).cos()], dim=1)
