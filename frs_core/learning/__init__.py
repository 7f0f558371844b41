"""Small policies from few episodes. This facade is free of torch; trainers run in their own process (`TrainJob`)."""

from frs_core.learning.process import JobState, TrainJob
from frs_core.learning.progress import Card, OnProgress, Progress, TrainResult
from frs_core.learning.request import TrainRequest
from frs_core.learning.settings import (
    BcSettings,
    DsbcSettings,
    FitSettings,
    InputSettings,
    LabelSettings,
    Loss,
    NetworkSettings,
    NoiseOutput,
    TrainKind,
)
from frs_core.learning.story import Story, list_saved, read_story

__all__ = [
    "BcSettings",
    "Card",
    "DsbcSettings",
    "FitSettings",
    "InputSettings",
    "JobState",
    "LabelSettings",
    "Loss",
    "NetworkSettings",
    "NoiseOutput",
    "OnProgress",
    "Progress",
    "Story",
    "TrainJob",
    "TrainKind",
    "TrainRequest",
    "TrainResult",
    "list_saved",
    "read_story",
]
