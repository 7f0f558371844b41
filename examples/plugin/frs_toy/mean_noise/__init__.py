"""A minimal learner: its settings and its row, which menus read without loading PyTorch."""

from dataclasses import dataclass

from frs_core.learning.base import Acts, LearnerSpec, Need
from frs_core.learning.settings import LearnerSettings


@dataclass(frozen=True, slots=True)
class MeanSettings(LearnerSettings):
    scale: float = 1.0
    """Factor on the mean noise."""


ROW = LearnerSpec(
    id="mean-noise",
    title="Mean noise",
    summary="Answer the mean of the noises that led to success",
    learner="frs_toy.mean_noise.learner:MeanNoise",
    settings=MeanSettings,
    acts=Acts.NOISE,
    needs=frozenset({Need.NOISES}),
)
