"""Small policies from few episodes. This facade is free of torch; trainers run in their own process (`TrainJob`)."""

from frs_core.learning.base import Acts, LearnerSpec, Need
from frs_core.learning.metadata import PolicyMetadata, list_saved, read_metadata
from frs_core.learning.process import JobState, TrainJob
from frs_core.learning.progress import OnProgress, Progress, Scores, TrainResult
from frs_core.learning.registry import find_learner, learners
from frs_core.learning.request import TWO_ROUNDS, Practice, TrainRequest
from frs_core.learning.settings import (
    BcSettings,
    DsbcSettings,
    FitSettings,
    InputSettings,
    LabelSettings,
    LearnerSettings,
    Loss,
    NetworkSettings,
    NoiseOutput,
    OfflineDsbcSettings,
    RqlSettings,
)

__all__ = [
    "TWO_ROUNDS",
    "Acts",
    "BcSettings",
    "DsbcSettings",
    "FitSettings",
    "InputSettings",
    "JobState",
    "LabelSettings",
    "LearnerSettings",
    "LearnerSpec",
    "Loss",
    "Need",
    "NetworkSettings",
    "NoiseOutput",
    "OfflineDsbcSettings",
    "OnProgress",
    "PolicyMetadata",
    "Practice",
    "Progress",
    "RqlSettings",
    "Scores",
    "TrainJob",
    "TrainRequest",
    "TrainResult",
    "find_learner",
    "learners",
    "list_saved",
    "read_metadata",
]
