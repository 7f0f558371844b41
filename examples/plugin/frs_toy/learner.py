"""A minimal learner: it answers the mean of the noises that led to success."""

from dataclasses import dataclass
from pathlib import Path

import torch

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.learning import Acts, LearnerSettings, LearnerSpec, Need, OnProgress, PolicyMetadata, Scores, artifact
from frs_core.learning.base import Learner, Trained
from frs_core.learning.progress import ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.table import TrainingTable
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context


@dataclass(frozen=True, slots=True)
class MeanSettings(LearnerSettings):
    scale: float = 1.0
    """Factor on the mean noise."""


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


ROW = LearnerSpec(
    id="mean-noise",
    title="Mean noise",
    summary="Answer the mean of the noises that led to success",
    learner="frs_toy.learner:MeanNoise",
    settings=MeanSettings,
    acts=Acts.NOISE,
    needs=frozenset({Need.NOISES}),
)
