"""Training tables straight from recorded episodes in memory: for tests, sweeps, and everything that does not need a store."""

from collections.abc import Sequence

import numpy as np

from frs_core.episodes.records import ChunkRecord, RecordedEpisode
from frs_core.errors import FingerprintMismatch, TrainingError
from frs_core.learning.live import small_images
from frs_core.learning.settings import InputSettings
from frs_core.learning.table import Offer, TrainingTable


def table_from_records(
    episodes: Sequence[RecordedEpisode], *, inputs: InputSettings | None = None, fingerprint: str | None = None
) -> TrainingTable:
    """Return the chunks of recorded episodes, branches not taken left out.

    Args:
        episodes: in the order they are to be taken.
        inputs: which cameras to shrink for the image encoder; None = no images.
        fingerprint: of the policy to train for; None = the episodes' own.
    Raises:
        TrainingError: no chunks.
        FingerprintMismatch: episodes of another policy, or of several.
    """
    rows = [(index, chunk) for index, episode in enumerate(episodes) for chunk in episode.main_line]
    if not rows:
        raise TrainingError("There are no chunks to train on. Record and label at least one successful episode.")
    expected = fingerprint or episodes[0].meta.policy_fingerprint
    for episode in episodes:
        if episode.meta.policy_fingerprint != expected:
            raise FingerprintMismatch(
                f"Episode '{episode.name}' was recorded with policy {episode.meta.policy_fingerprint[:12]}, expected "
                f"{expected[:12]}. Train on episodes of one policy."
            )
    chunks = [chunk for _, chunk in rows]
    cameras = inputs.cameras if inputs else ()
    plans = {str(chunk.plan.with_seed(0).to_json()) for chunk in chunks}
    return TrainingTable(
        features=np.stack([c.features for c in chunks]).astype(np.float32),
        proprio=np.stack([c.observation.proprio for c in chunks]),
        noise=np.stack([c.noise for c in chunks]).astype(np.float32),
        chunk=np.stack([c.chunk for c in chunks]).astype(np.float32),
        episode=np.array([index for index, _ in rows]),
        names=tuple(episode.name for episode in episodes),
        fingerprint=expected,
        images=np.stack([small_images(c.observation, inputs) for c in chunks]) if inputs and cameras else None,
        picked=tuple(c.picked for c in chunks),
        offers=tuple(_offer(c) for c in chunks),
        driver=tuple(c.picked_by for c in chunks),
        plan=chunks[0].plan.with_seed(0) if len(plans) == 1 else None,
        provenance={
            "tasks": sorted({str(e.meta.task) for e in episodes}),
            "seeds": [e.meta.seed for e in episodes],
            "policy": episodes[0].meta.policy,
            "drivers": sorted({c.picked_by for c in chunks}),
        },
    )


def _offer(chunk: ChunkRecord) -> Offer:
    return Offer(chunk.offered_labels, chunk.offered_noises)
