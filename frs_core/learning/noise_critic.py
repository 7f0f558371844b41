"""The critic of pick-q: the value of a noise in a state. An ensemble of small networks Q(state, noise) -> 0..1.

The state is the generalist's features, projected to their main components, and proprioception; of a noise it sees the lowest temporal
components. Values are the sigmoid of what comes out, so none can run away. Everything that a saved critic needs lies in its buffers.

Example: 5 heads of 2 x 128 over 96 + 18 numbers of state and 21 of noise.
Runs in the trainer's process and on the inference worker's thread.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from frs_core.learning.network import CLIP, GROUP_NORM, Standardise
from frs_core.learning.settings import PickQSettings
from frs_core.steering.methods import dct_basis


class Critic(nn.Module):
    """Q(state, noise) as an ensemble; everything that a saved one needs is in its buffers."""

    projection: Tensor
    noise_scale: Tensor

    def __init__(
        self, settings: PickQSettings, *, feature_size: int, proprio_size: int, horizon: int, action_size: int
    ) -> None:
        super().__init__()
        features = feature_size if settings.inputs.features else 0
        self.features = Standardise(features)
        self.proprio = Standardise(proprio_size if settings.inputs.proprio else 0)
        self._components = min(settings.components, horizon)
        kept, noise = min(settings.state_size, features), self._components * action_size
        self.register_buffer("projection", torch.zeros(features, kept))
        self.register_buffer("noise_scale", torch.ones(noise))
        state = kept + self.proprio.mean.shape[0]
        self.from_state = _Heads(settings.heads, state, settings.hidden)
        self.from_noise = _Heads(settings.heads, noise, settings.hidden)
        self.middle = _Heads(settings.heads, settings.hidden, settings.hidden)
        self.last = _Heads(settings.heads, settings.hidden, 1)

    @torch.no_grad()
    def measure(
        self, features: Float[Tensor, "M F"], proprio: Float[Tensor, "M P"], noises: Float[Tensor, "O m"]
    ) -> None:
        """Take standardisation, main components of the features and scale of noises from data.

        Args:
            features: of all places.
            proprio: of all places.
            noises: on offer there, reduced.
        """
        self.features.measure(features[:, : self.features.mean.shape[0]])
        self.proprio.measure(proprio[:, : self.proprio.mean.shape[0]])
        if self.projection.numel():
            spread = self.features(features)
            _, _, axes = torch.linalg.svd(spread - spread.mean(dim=0), full_matrices=False)
            kept = min(len(axes), self.projection.shape[1])
            self.projection.zero_()
            self.projection[:, :kept] = axes[:kept].T
        self.noise_scale.copy_(noises.std(dim=0).clamp(min=0.1))

    @torch.no_grad()
    def state(self, features: Float[Tensor, "B F"], proprio: Float[Tensor, "B P"]) -> Float[Tensor, "B n"]:
        """Return what the heads see of a place."""
        seen = self.features(features[:, : self.features.mean.shape[0]]) @ self.projection
        return torch.cat([seen, self.proprio(proprio[:, : self.proprio.mean.shape[0]])], dim=1)

    def reduced(self, noises: Float[Tensor, "*b H a"]) -> Float[Tensor, "*b n"]:
        """Return the temporal components that the heads see."""
        basis = dct_basis(noises.shape[-2], device=noises.device, dtype=noises.dtype)[: self._components]
        return rearrange(basis @ noises, "... k a -> ... (k a)")

    def forward(self, state: Float[Tensor, "#E B n"], noise: Float[Tensor, "#E B C m"]) -> Float[Tensor, "E B C"]:
        """Return the logit of every head for every noise; values are its sigmoid."""
        scaled = (noise / self.noise_scale).clamp(-CLIP, CLIP) * (GROUP_NORM / noise.shape[-1] ** 0.5)
        x = self.from_state(state)[:, :, None] + self.from_noise(rearrange(scaled, "e b c m -> e (b c) m")).unflatten(
            1, scaled.shape[1:3]
        )
        size = x.shape[-1]
        x = rearrange(functional.gelu(functional.layer_norm(x, (size,))), "e b c h -> e (b c) h")
        x = functional.gelu(functional.layer_norm(self.middle(x), (size,)))
        return self.last(x)[..., 0].unflatten(1, scaled.shape[1:3])

    @torch.no_grad()
    def values(self, state: Float[Tensor, "B n"], noise: Float[Tensor, "B C m"]) -> Float[Tensor, "E B C"]:
        """Return every head's values."""
        parts = [self(state[None, i], noise[None, i]) for i in torch.arange(len(state)).split(512)]
        return torch.cat(parts, dim=1).sigmoid()


class _Heads(nn.Module):
    """One linear layer per head."""

    def __init__(self, heads: int, size: int, outputs: int) -> None:
        super().__init__()
        bound = (3.0 / max(1, size)) ** 0.5
        self.weight = nn.Parameter((2.0 * torch.rand(heads, size, outputs) - 1.0) * bound)
        self.bias = nn.Parameter(torch.zeros(heads, 1, outputs))

    def forward(self, x: Float[Tensor, "#E B n"]) -> Float[Tensor, "E B o"]:
        """Return each head's output; one input may serve all."""
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)
