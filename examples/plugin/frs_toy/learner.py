"""The least a learner can do: answer the mean of the noises that led to success."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.learning import artifact
from frs_core.learning.base import Acts, Learner, LearnerSpec, Need, Trained
from frs_core.learning.metadata import PolicyMetadata, check_fingerprint
from frs_core.learning.progress import OnProgress, Progress, Scores, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.settings import LearnerSettings, to_json
from frs_core.learning.table import TrainingTable

NAN = float("nan")


class MeanNoisePolicy(NoisePolicy):
    """One noise, whatever is seen."""

    def __init__(self, noise: Array, metadata: PolicyMetadata) -> None:
        self._noise, self.name, self.policy_fingerprint = noise, metadata.name, metadata.policy_fingerprint

    def noise(self, context: Any, observation: Any) -> Array:
        return self._noise


class MeanNoise(Learner):
    """Learns in one step."""

    def train(
        self, table: TrainingTable, settings: Any = None, *, name: str = "", on_progress: OnProgress = ignore_progress
    ) -> Trained:
        table.require_finite(needs_noise=True)
        noise = table.noise.mean(axis=0)
        error = float(np.mean((table.noise - noise) ** 2))
        stop = on_progress(Progress(1, 1, error, NAN, 0.0)) is False
        scores = Scores(float(1 + np.mean(table.noise**2)), error, error, NAN, NAN, NAN, table.rows, False)
        plain = to_json(self.spec.checked(settings))
        metadata = make_metadata(self.spec.id, name or self.spec.id, table, plain, scores, {"seconds": 0.0, "steps": 1})
        weights = {"noise": torch.from_numpy(noise)}
        return Trained(weights, metadata, scores, lambda: MeanNoisePolicy(noise, metadata), steps=1, was_cancelled=stop)

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> MeanNoisePolicy:
        check_fingerprint(metadata, fingerprint, folder=folder)
        return MeanNoisePolicy(artifact.read_weights(folder, metadata)["noise"].numpy(), metadata)


ROW = LearnerSpec(
    id="mean-noise",
    title="Mean noise",
    summary="Answer the mean of the noises that led to success",
    learner="frs_toy.learner:MeanNoise",
    settings=LearnerSettings,
    acts=Acts.NOISE,
    needs=frozenset({Need.NOISES}),
)
