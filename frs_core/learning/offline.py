"""Offline DSBC: the same noise policy, from demonstrations whose noises are first recovered through the generalist.

The trainer's process loads the generalist, encodes every boundary afresh (so that features are this generalist's, whoever recorded)
and inverts every chunk (`labels`); what it cannot regenerate is dropped and counted.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from frs_core.episodes import Episode
from frs_core.episodes.dataset import load_chunks
from frs_core.errors import FingerprintMismatch
from frs_core.learning.dsbc import Dsbc
from frs_core.learning.episode_table import training_table
from frs_core.learning.labels import label_table
from frs_core.learning.progress import OnProgress
from frs_core.learning.request import TrainRequest
from frs_core.learning.settings import OfflineDsbcSettings
from frs_core.learning.table import TrainingTable
from frs_core.steering.policy_spec import Context


class OfflineDsbc(Dsbc):
    """Learns recovered noises."""

    def table(self, episodes: Sequence[Episode], request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
        """Return demonstrations with features of the request's policy and noises recovered through it."""
        settings = self.spec.checked(request.settings)
        assert isinstance(settings, OfflineDsbcSettings)
        chunks = load_chunks(episodes)
        policy = request.policy.load()
        try:
            if request.fingerprint and policy.spec.fingerprint != request.fingerprint:
                raise FingerprintMismatch(
                    f"Policy '{request.policy.name}' has fingerprint {policy.spec.fingerprint[:12]}, the request is for "
                    f"{request.fingerprint[:12]}. Load the policy the noise policy is meant for."
                )
            table = training_table(chunks, inputs=settings.inputs)
            features = np.zeros((chunks.rows, policy.spec.feature_size), dtype=np.float32)

            def context_of(row: int) -> Context:
                context = policy.encode(chunks.observation(row))
                features[row] = context.features
                return context

            blank = np.full((table.rows, policy.spec.horizon, policy.spec.width), np.nan, dtype=np.float32)
            # Offers and plans of the recording say nothing about recovered noises.
            table = replace(
                table,
                features=features,
                noise=blank,
                fingerprint=policy.spec.fingerprint,
                picked=(),
                offers=(),
                plan=None,
            )
            labelled, labels = label_table(table, policy, context_of, settings.labels, on_progress=on_progress)
            return replace(labelled, features=features[labels.is_kept])
        finally:
            policy.close()
