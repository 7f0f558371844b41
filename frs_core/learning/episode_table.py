"""Training tables from recorded episodes, whoever learns from them and wherever they are kept."""

from collections.abc import Sequence

import numpy as np

from frs_core.episodes import Episode
from frs_core.episodes.dataset import ChunkTable, load_chunks, policy_mismatch
from frs_core.events import Outcome
from frs_core.learning.live import small_images
from frs_core.learning.settings import InputSettings
from frs_core.learning.table import End, Offer, TrainingTable


def table_of(
    episodes: Sequence[Episode],
    *,
    outcomes: tuple[Outcome, ...],
    has_ends: bool,
    inputs: InputSettings,
    fingerprint: str | None,
) -> TrainingTable:
    """Return episodes as chunks.

    Args:
        episodes: in the order they are to be taken.
        outcomes: of the episodes that are learned from.
        has_ends: with how each episode ended, and what was seen there.
        inputs: which cameras to shrink.
        fingerprint: of the policy to train for; None = the first episode's.
    Raises:
        TrainingError: nothing to learn from.
        FingerprintMismatch: episodes of another policy, or of several.
    """
    chunks = load_chunks(episodes, outcomes=outcomes, fingerprint=fingerprint)
    table = training_table(chunks, inputs=inputs)
    if not has_ends:
        return table
    return table.with_outcomes(
        [episode.outcome is Outcome.SUCCESS for episode in chunks.episodes], ends=[end_of(e) for e in chunks.episodes]
    )


def end_of(episode: Episode) -> End:
    """Return how an episode ended, and what was seen there where that was recorded.

    Raises:
        EpisodeCorrupt: damaged.
    """
    last, is_success = episode.last(), episode.outcome is Outcome.SUCCESS
    if last is None or not episode.main_line:
        return End(is_success)
    after = episode.after(episode.main_line[-1], has_images=False)
    features = last.features.astype(np.float32)
    return End(is_success, features, after.proprio, Offer(last.labels, last.noises))


def training_table(
    chunks: ChunkTable, *, inputs: InputSettings | None = None, fingerprint: str | None = None
) -> TrainingTable:
    """Return chunks as the trainers take them; noise is NaN where it is not at flow time 0.

    Args:
        chunks: of one policy.
        inputs: which cameras to shrink for an image encoder; None = no images.
        fingerprint: the policy to train for; None = the episodes' own.
    Raises:
        FingerprintMismatch: the episodes are of another policy.
        EpisodeCorrupt: an image is damaged.
    """
    episodes = chunks.episodes
    own = episodes[0].meta.policy_fingerprint
    if fingerprint is not None and own != fingerprint:
        raise policy_mismatch(episodes[0], fingerprint)
    offers = [episodes[e].offers(int(i)) for e, i in zip(chunks.episode, chunks.index, strict=True)]
    seedless = {plan.with_seed(0) for plan in chunks.plans}
    images = None
    if inputs is not None and inputs.cameras:
        seen = (chunks.partial_observation(row, inputs.cameras) for row in range(chunks.rows))
        images = np.stack([small_images(observation, inputs) for observation in seen])
    return TrainingTable(
        features=chunks.features,
        proprio=chunks.proprio,
        noise=np.where(chunks.is_noise[:, None, None], chunks.noise, np.float32("nan")),
        chunk=chunks.chunk,
        episode=chunks.episode,
        names=tuple(e.name for e in episodes),
        fingerprint=own,
        images=images,
        picked=chunks.picked,
        offers=tuple(Offer(o.labels, o.noises) for o in offers),
        driver=chunks.driver,
        plan=seedless.pop() if len(seedless) == 1 else None,
        provenance={
            "tasks": sorted({str(e.meta.task) for e in episodes}),
            "seeds": [e.meta.seed for e in episodes],
            "policy": episodes[0].meta.policy,
            "drivers": sorted(set(chunks.driver)),
            "store": str(episodes[0].path.parent.parent),
        },
    )
