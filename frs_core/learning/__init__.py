"""Small policies from few episodes. This facade is free of torch; trainers run in their own process (`TrainJob`)."""

from frs_core.learning.base import Acts, LearnerSpec, Need
from frs_core.learning.metadata import PolicyMetadata, list_saved, read_metadata
from frs_core.learning.process import JobState, TrainJob
from frs_core.learning.progress import OnProgress, Progress, Scores, TrainResult
from frs_core.learning.registry import find_learner, learners
from frs_core.learning.request import TWO_ROUNDS, Gate, Practice, TrainRequest
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
from frs_core.learning.verdict import Verdict
from frs_core.learning.versions import Next, next_version, version_before, version_number

__all__ = [
    "TWO_ROUNDS",
    "Acts",
    "BcSettings",
    "DsbcSettings",
    "FitSettings",
    "Gate",
    "InputSettings",
    "JobState",
    "LabelSettings",
    "LearnerSettings",
    "LearnerSpec",
    "Loss",
    "Need",
    "NetworkSettings",
    "Next",
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
    "Verdict",
    "find_learner",
    "learners",
    "list_saved",
    "next_version",
    "read_metadata",
    "version_before",
    "version_number",
]
