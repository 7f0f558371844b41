"""Standard behaviour cloning, the honest rival: the same inputs, size and training loop as DSBC, but it learns *actions*.

Two kinds. `bc-gaussian` regresses the executed chunk (the mean of a Gaussian). `bc-flow` learns a small conditional flow
from noise to chunk, so that it can hold several ways of doing a thing. Both act alone, without the generalist's head: in a
strange state nothing pulls them back. Targets are standardised per number of the action, so a gripper (0..1) does not
drown a translation (metres).

Example: features -> 3x512 -> [16, 7] = 112 numbers; the flow's network sees 112 + 16 more (state and time).
Runs in the trainer's process.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.learning import artifact
from frs_core.learning.agreement import scores_of_chunks
from frs_core.learning.base import ChunkPolicy
from frs_core.learning.imitation import Head, Imitation, Labels
from frs_core.learning.live import live_inputs
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import SmallNet
from frs_core.learning.progress import Scores
from frs_core.learning.settings import BcSettings, Loss
from frs_core.learning.table import TrainingTable
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context

MEAN_KEY, STD_KEY = "action.mean", "action.std"


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Standardisation of actions, per number."""

    mean: Float[Tensor, " a"]
    std: Float[Tensor, " a"]

    @classmethod
    def of(cls, chunk: Float[Array, "M H a"]) -> "Scale":
        """Measure it; a number that never changes keeps a tiny deviation, so that its prediction stays put."""
        flat = torch.from_numpy(chunk.reshape(-1, chunk.shape[-1]).astype(np.float32))
        return cls(flat.mean(dim=0), flat.std(dim=0, unbiased=False).clamp(min=1e-4))

    def standardise(self, chunk: Float[Array, "M H a"]) -> Float[Tensor, "M n"]:
        """Return flat standardised chunks."""
        return rearrange((torch.from_numpy(chunk.astype(np.float32)) - self.mean) / self.std, "m h a -> m (h a)")

    def restore(self, flat: Float[Tensor, "M n"]) -> Float[Array, "M H a"]:
        """Return chunks in robot units."""
        x = rearrange(flat.cpu(), "m (h a) -> m h a", a=len(self.mean))
        return (x * self.std + self.mean).numpy()


class GaussianCloning(Imitation[BcSettings]):
    """Learns the executed chunks by regression."""

    def labels(self, table: TrainingTable, settings: BcSettings) -> Labels:
        """Return the chunks, standardised."""
        return ChunkLabels(self._head(settings, table.chunk[0].size), Scale.of(table.chunk))

    def head(self, metadata: PolicyMetadata, settings: BcSettings) -> Head:
        """Return the head that a saved policy was trained with."""
        return self._head(settings, metadata.horizon * metadata.action_size)

    def acting(self, network: SmallNet, metadata: PolicyMetadata, extra: Mapping[str, Tensor]) -> "BcPolicy":
        """Return a trained network at work."""
        settings = self.settings_of(metadata)
        return BcPolicy(
            network, self.head(metadata, settings), Scale(extra[MEAN_KEY], extra[STD_KEY]), metadata, settings
        )

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> "BcPolicy":
        """Return a saved behaviour-cloning policy, ready to act."""
        weights = artifact.read_weights(folder, metadata, fingerprint)
        settings = self.settings_of(metadata)
        if not {MEAN_KEY, STD_KEY} <= set(weights):
            raise ConfigError(f"'{folder}' lacks the scale of its actions. Train the policy again.")
        scale = {key: weights.pop(key) for key in (MEAN_KEY, STD_KEY)}
        return self.acting(self.load_network(folder, metadata, settings, weights), metadata, scale)

    def _head(self, settings: BcSettings, numbers: int) -> Head:
        return Head(numbers, settings.loss, settings.flow_steps)


class FlowCloning(GaussianCloning):
    """Learns the executed chunks by a small flow."""

    def _head(self, settings: BcSettings, numbers: int) -> Head:
        return dataclasses.replace(super()._head(settings, numbers), loss=Loss.FLOW)


class ChunkLabels(Labels):
    """Executed chunks, standardised."""

    def __init__(self, head: Head, scale: Scale) -> None:
        self.head, self._scale = head, scale
        self.extra = {MEAN_KEY: scale.mean, STD_KEY: scale.std}

    def target(self, part: TrainingTable) -> Float[Tensor, "M n"]:
        """Return the flat labels of some rows."""
        return self._scale.standardise(part.chunk)

    def scores(
        self,
        judged: TrainingTable,
        predicted: Float[Tensor, "M n"],
        *,
        learned_from: TrainingTable,
        is_held_out: bool,
    ) -> Scores:
        """Return how near predictions are to the executed chunks."""
        target = self.target(judged).to(predicted)
        errors = (predicted - target).square().mean(dim=1).cpu().numpy()
        constant = (target - self.target(learned_from).to(predicted).mean(dim=0)).square().mean()
        return scores_of_chunks(judged, errors, constant=float(constant), is_held_out=is_held_out)


class BcPolicy(ChunkPolicy):
    """A trained behaviour-cloning policy at work."""

    def __init__(
        self, network: SmallNet, head: Head, scale: Scale, metadata: PolicyMetadata, settings: BcSettings
    ) -> None:
        self.name = metadata.name
        self.policy_fingerprint = metadata.policy_fingerprint
        self.metadata = metadata
        self._settings, self._head, self._scale = settings, head, scale
        self._network = network.eval()
        self._device = next(network.parameters()).device

    @torch.inference_mode()
    def chunk(self, context: Context, observation: Observation) -> Float[Array, "H a"]:
        """Return actions in robot units, not clipped.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        inputs = live_inputs(context, observation, self._settings.inputs, self.metadata, device=self._device)
        flat = self._head.answer(self._network, inputs, seed=observation.step)
        return self._scale.restore(flat)[0]
