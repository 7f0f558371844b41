"""The small network all learners share: inputs standardised, an optional image encoder, an MLP trunk, a linear head.

Sizes: 1000 features + 18 proprio -> 512 -> 512 -> 512 -> H*a = 112 is 1.1 million weights. Standardisation lives in
buffers, so a saved network needs no other file to be run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from frs_core.arrays import Array
from frs_core.errors import TrainingError
from frs_core.learning.settings import InputSettings, NetworkSettings
from frs_core.learning.table import TrainingTable

GROUP_NORM = 8.0
"""Typical length of each group of inputs (features, proprioception) after balancing, so that hundreds of features do not drown
eighteen numbers of proprioception. Chosen on held-out episodes of a development task."""
CLIP = 5.0
"""Standardised inputs are clipped to +-5 so that a state far from the episodes cannot blow the output up. Guess."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A batch of what the network sees; a part that is off has width 0."""

    features: Float[Tensor, "B F"]
    proprio: Float[Tensor, "B P"]
    images: UInt8[Tensor, "B V S S 3"] | None = None

    @classmethod
    def of(cls, table: TrainingTable, settings: InputSettings, *, device: torch.device | str = "cpu") -> "Inputs":
        """Return the table's inputs on a device, with the parts that are off left out.

        Raises:
            TrainingError: an input that is on is missing from the table.
        """
        if settings.features and table.features.shape[1] == 0:
            raise TrainingError(
                "The episodes hold no policy features, but the learner is set to use them. Record with a policy that has "
                "some, or turn inputs.features off."
            )
        if settings.cameras and table.images is None:
            raise TrainingError(
                f"The learner is set to see cameras {list(settings.cameras)}, but the table was loaded without images. "
                "Load it with the same input settings."
            )
        rows = table.rows
        features = table.features if settings.features else np.zeros((rows, 0), np.float32)
        proprio = table.proprio if settings.proprio else np.zeros((rows, 0), np.float32)
        images = torch.from_numpy(np.ascontiguousarray(table.images)).to(device) if settings.cameras else None
        return cls(_tensor(features, device), _tensor(proprio, device), images)

    @classmethod
    def join(cls, parts: "Sequence[Inputs]") -> "Inputs":
        """Return the rows of several, without images."""
        return cls(torch.cat([p.features for p in parts]), torch.cat([p.proprio for p in parts]))

    def rows(self, index: Tensor) -> "Inputs":
        """Return some rows."""
        images = None if self.images is None else self.images[index]
        return replace(self, features=self.features[index], proprio=self.proprio[index], images=images)


def _tensor(values: Array, device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


class Standardise(nn.Module):
    """Subtract the mean, divide by the deviation, clip. Nearly constant columns are not blown up."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    @torch.no_grad()
    def measure(self, values: Float[Tensor, "M n"]) -> None:
        """Take mean and deviation from data; a deviation under a tenth of the typical one is raised to it."""
        if values.shape[1] == 0:
            return
        std = values.std(dim=0, unbiased=False)
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(std.clamp(min=max(0.1 * float(std.median()), 1e-4)))

    def forward(self, values: Float[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """Return standardised values, with the length of a typical row brought to GROUP_NORM."""
        return ((values - self.mean) / self.std).clamp(-CLIP, CLIP) * (GROUP_NORM / max(1, values.shape[1]) ** 0.5)


class ImageEncoder(nn.Module):
    """Four 3x3 convolutions of 32 channels and a 50-number bottleneck, per camera.

    Source: the encoder of dsrl_pi0 (paper.md §4), with stride 2 in three layers instead of one: 84 -> 42 -> 21 -> 11 -> 11.
    """

    def __init__(self, size: int, *, bottleneck: int = 50) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = size
        for index, stride in enumerate((2, 2, 2, 1)):
            layers += [nn.Conv2d(3 if index == 0 else 32, 32, 3, stride=stride, padding=1), nn.ReLU()]
            side = (side + stride - 1) // stride
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(32 * side * side, bottleneck), nn.LayerNorm(bottleneck), nn.Tanh())

    def forward(self, images: UInt8[Tensor, "B S S 3"]) -> Float[Tensor, "B n"]:
        """Return the bottleneck of each image."""
        x = rearrange(images, "b h w c -> b c h w").float() / 127.5 - 1.0
        if self.training:
            x = _shifted(x)
        return self.head(self.convolutions(x).flatten(1))


def _shifted(x: Float[Tensor, "B 3 S S"], *, most: int = 4) -> Float[Tensor, "B 3 S S"]:
    """Return images moved by up to `most` pixels, one random shift per batch (DSRL's random crop)."""
    padded = nn.functional.pad(x, (most, most, most, most), mode="replicate")
    dy, dx = torch.randint(0, 2 * most + 1, (2,)).tolist()
    return padded[:, :, dy : dy + x.shape[2], dx : dx + x.shape[3]]


class SmallNet(nn.Module):
    """Observation -> vector, with room for extra inputs (the flow baseline's state and time)."""

    def __init__(
        self,
        inputs: InputSettings,
        network: NetworkSettings,
        *,
        feature_size: int,
        proprio_size: int,
        output_size: int,
        extra_size: int = 0,
    ) -> None:
        super().__init__()
        features = feature_size if inputs.features else 0
        proprio = proprio_size if inputs.proprio else 0
        self._noise = inputs.noise
        self.features = Standardise(features)
        self.proprio = Standardise(proprio)
        self.encoders = nn.ModuleList(ImageEncoder(inputs.image_size) for _ in inputs.cameras)
        width = features + proprio + 50 * len(inputs.cameras) + extra_size
        layers: list[nn.Module] = []
        for _ in range(network.layers):
            layers += [nn.Linear(width, network.hidden), nn.LayerNorm(network.hidden), nn.GELU()]
            width = network.hidden
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(width, output_size)

    def measure(self, inputs: Inputs) -> None:
        """Take the standardisation from training data."""
        self.features.measure(inputs.features)
        self.proprio.measure(inputs.proprio)

    def forward(self, inputs: Inputs, extra: Float[Tensor, "B e"] | None = None) -> Float[Tensor, "B o"]:
        """Return the head's output."""
        parts = [self._blurred(part) for part in (self.features(inputs.features), self.proprio(inputs.proprio))]
        if inputs.images is not None:
            parts += [encoder(inputs.images[:, v]) for v, encoder in enumerate(self.encoders)]
        if extra is not None:
            parts.append(extra)
        return self.head(self.trunk(torch.cat(parts, dim=1)))

    def _blurred(self, part: Float[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """Return inputs with noise while training: a hundred rows must stand for all the states between them."""
        return part + self._noise * torch.randn_like(part) if self.training and self._noise else part
