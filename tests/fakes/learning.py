"""Chunk tables and training sources that need no recording: steered successes on the point world."""

import numpy as np

from frs_core.learning.imitation import TrainedImitation
from frs_core.learning.progress import OnProgress, ignore_progress
from frs_core.learning.registry import KNOWN, find_learner
from frs_core.learning.request import TrainRequest
from frs_core.learning.settings import ImitationSettings, LearnerSettings
from frs_core.learning.table import Offer, TrainingTable
from frs_core.steering.directions import Direction

IMITATORS = [row.id for row in KNOWN.values() if issubclass(row.settings, ImitationSettings)]
"""Learners that imitate a label per chunk."""
LABELS = ("unsteered", *(f"{d.value}/more" for d in Direction))


def synthetic_table(*, episodes: int = 6, chunks: int = 10, width: int = 7, seed: int = 0) -> TrainingTable:
    """Return chunks whose direction hangs on the sign of a hidden number that the features show in many ways.

    Args:
        episodes: how many.
        chunks: rows of each.
        width: A; columns past 7 hold plain noise.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    rows, horizon = episodes * chunks, 8
    hidden = rng.normal(size=(rows, 2))
    features = np.tanh(hidden @ rng.normal(size=(2, 24))).astype(np.float32)
    noises = rng.normal(size=(rows, len(LABELS), horizon, width)).astype(np.float32)
    for index, direction in enumerate(Direction, start=1):
        noises[:, index, :, :3] = 1.5 * direction.axis
    picked = np.where(hidden[:, 0] > 0, LABELS.index("left/more"), LABELS.index("up/more"))
    noise = noises[np.arange(rows), picked]
    return TrainingTable(
        features=features,
        proprio=np.tile(hidden, 9).astype(np.float32),
        noise=noise,
        chunk=(noise[..., :7] * 0.01).astype(np.float32),
        episode=np.repeat(np.arange(episodes), chunks),
        names=tuple(f"episode-{i}" for i in range(episodes)),
        fingerprint="toy-1",
        picked=tuple(LABELS[i] for i in picked),
        offers=tuple(Offer(LABELS, n) for n in noises),
        provenance={"tasks": ["toy"], "seeds": list(range(episodes))},
    )


def train_dsbc(
    table: TrainingTable,
    settings: LearnerSettings | None = None,
    *,
    name: str = "dsbc",
    kind: str = "dsbc",
    on_progress: OnProgress = ignore_progress,
) -> TrainedImitation:
    """Return what a learner of labels makes of a table, in this process."""
    trained = find_learner(kind).load().train(table, settings, name=name, on_progress=on_progress)
    assert isinstance(trained, TrainedImitation)
    return trained


def train_bc(table: TrainingTable, settings: LearnerSettings | None = None, *, kind: str) -> TrainedImitation:
    """Return a cloner of a table, trained in this process."""
    return train_dsbc(table, settings, kind=kind)


def load_synthetic(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return a small table; a training source by name."""
    return synthetic_table()


def load_large(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return a table that keeps a trainer busy for a while."""
    return synthetic_table(episodes=20, chunks=40)


def load_broken(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return a table with a NaN among its noises."""
    table = synthetic_table()
    table.noise[17, 0, 0] = np.nan
    return table


def die(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """End the process without a word."""
    import os

    os._exit(3)
