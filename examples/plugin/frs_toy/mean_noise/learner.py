"""It answers the mean of the noises that led to success."""

from pathlib import Path

import torch

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.learning import artifact
from frs_core.learning.base import Learner, Trained
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.progress import OnProgress, Scores, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.table import TrainingTable
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context
from frs_toy.mean_noise import MeanSettings


class OneNoise(NoisePolicy):
    def __init__(self, noise: Array, metadata: PolicyMetadata) -> None:
        self._noise, self.name, self.policy_fingerprint = noise, metadata.name, metadata.policy_fingerprint

    def noise(self, context: Context, observation: Observation) -> Array:
        return self._noise


class MeanNoise(Learner[MeanSettings]):
    def train(
        self,
        table: TrainingTable,
        settings: MeanSettings | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> Trained:
        table.require_finite(needs_noise=True)
        settings, scores, name = self.checked(settings), Scores.blank(table.rows), name or self.spec.id
        noise = settings.scale * table.noise.mean(axis=0)
        metadata = make_metadata(self.spec.id, name, table, settings, scores, {"seconds": 0.0, "steps": 1})
        return Trained({"noise": torch.from_numpy(noise)}, metadata, scores, lambda: OneNoise(noise, metadata), steps=1)

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> OneNoise:
        return OneNoise(artifact.read_weights(folder, metadata, fingerprint)["noise"].numpy(), metadata)
