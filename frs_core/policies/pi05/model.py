"""The pi0.5 network as steering needs it: encode once, then velocities of many candidates in the product's time.

openpi runs time from 1 (noise) to 0 (action) and predicts noise minus action; here t = 0 is noise and dx/dt points to the
action. `velocity` is the one place where the sign and the time are flipped.

Example: `cache, features = model.encode(images, tokens)`, then `model.velocity(layout, x, 0.0)` points from noise to action.
Runs on the inference worker.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from frs_core.policies.pi05.expert import Expert
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.prefix import Prefix, PrefixCache
from frs_core.policies.pi05.sizes import ModelSize
from frs_core.policies.pi05.vision import Vision
from frs_core.policies.pi05.weights import WeightSource


class Pi05Model:
    """Vision, prefix and expert on one device."""

    def __init__(self, source: WeightSource, size: ModelSize) -> None:
        """Read all weights.

        Args:
            source: where tensors come from.
            size: sizes of the network.
        """
        self.size, self.device, self.dtype = size, source.device, source.dtype
        self.vision = Vision(source, size)
        self.prefix = Prefix(source, size)
        self.expert = Expert(source, size)

    def embed(self, images: Float[Tensor, "N 3 S S"], tokens: Int[Tensor, " T"]) -> Float[Tensor, "P D"]:
        """Return image tokens followed by prompt embeddings."""
        patches = self.vision(images).flatten(0, 1)
        return torch.cat([patches, self.prefix.embed(tokens).to(patches.dtype)])

    def encode(
        self, images: Float[Tensor, "N 3 S S"], tokens: Int[Tensor, " T"]
    ) -> tuple[PrefixCache, Float[Tensor, " F"]]:
        """Return the prefix's keys and values, and features for a noise policy.

        Args:
            images: RGB in -1..1, of the cameras that are present.
            tokens: the prompt, without padding.
        Returns:
            The cache, and the mean and the last state of the prefix, joined, float32 [2 D].
        """
        hidden, cache = self.prefix(self.embed(images, tokens))
        hidden = hidden.float()
        return cache, torch.cat([hidden.mean(0), hidden[-1]])

    def velocity(self, layout: Layout, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return dx/dt at flow time t (0 = noise, 1 = action), float32."""
        return -self.expert(x, 1.0 - t, layout)
