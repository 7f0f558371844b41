"""Make the metadata of a newly trained policy: its training data and how well it did."""

import platform
import resource
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.progress import Scores
from frs_core.learning.settings import LearnerSettings, to_json
from frs_core.learning.table import TrainingTable


def make_metadata(
    kind: str,
    name: str,
    table: TrainingTable,
    settings: LearnerSettings,
    scores: Scores,
    metrics: Mapping[str, Any],
) -> PolicyMetadata:
    """Return the metadata of a policy trained on `table`.

    Args:
        kind: id of the learner.
        name: shown to people.
        table: all chunks that were used, held-out ones included.
        settings: of the training.
        scores: held-out figures.
        metrics: how training went; `seconds` and `steps` at least.
    """
    used = [table.names[int(i)] for i in dict.fromkeys(table.episode.tolist())]
    data: dict[str, Any] = {
        **table.provenance,
        "episodes": used,
        "chunks": table.rows,
        "deferred_share": _number(table.deferred_share),
        "plan": table.plan.to_json() if table.plan else None,
    }
    figures: dict[str, Any] = {
        **{k: _number(v) for k, v in metrics.items()},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "machine": platform.machine(),
        "card": {k: _number(v) for k, v in asdict(scores).items()},
    }
    return PolicyMetadata(
        kind=kind,
        name=name,
        policy_fingerprint=table.fingerprint,
        horizon=table.horizon,
        width=table.width,
        action_size=table.action_size,
        feature_size=table.features.shape[1],
        proprio_size=table.proprio.shape[1],
        settings=to_json(settings),
        data=data,
        metrics=figures,
    )


def _number(value: float | int | bool) -> float | int | bool | None:
    """Return the value, with NaN as None so that the JSON stays standard."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
