"""Training tables from the episode store: the trainer process's usual source of chunks."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from frs_core.episodes import EpisodeStore
from frs_core.episodes.dataset import ChunkTable, load_chunks, policy_mismatch
from frs_core.errors import FingerprintMismatch, TrainingError
from frs_core.events import Outcome
from frs_core.learning.live import small_images
from frs_core.learning.progress import OnProgress
from frs_core.learning.request import TrainRequest
from frs_core.learning.settings import InputSettings, TrainKind
from frs_core.learning.table import Offer, TrainingTable

if TYPE_CHECKING:
    from frs_core.policies.base import Context


def load_table(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return the chunks a request asks for; for offline DSBC with recovered noises.

    Args:
        request: store, episodes or task, policy.
        on_progress: told while noises are recovered.
    Raises:
        TrainingError: nothing to learn from.
        FingerprintMismatch: episodes of another policy (offline DSBC encodes them afresh instead).
        EpisodeError: an episode is missing or damaged.
    """
    store = EpisodeStore(request.root)
    names = [store.find(text) for text in request.episodes] or successes(store, request.task)
    if not names:
        about = f" of task '{request.task}'" if request.task else ""
        raise TrainingError(
            f"There are no successful episodes{about} in '{store.root}'. Record some, or name episodes with --episodes."
        )
    if request.count > len(names):
        raise TrainingError(
            f"Asked to learn from {request.count} episodes, '{store.root}' has {len(names)} that fit. Record more, or lower "
            f"--count."
        )
    episodes = [store.open(name) for name in names[: request.count or None]]
    if request.kind is TrainKind.OFFLINE_DSBC:
        return _labelled(load_chunks(episodes), request, on_progress)
    return training_table(load_chunks(episodes, fingerprint=request.fingerprint or None), inputs=request.inputs)


def successes(store: EpisodeStore, task: str | None) -> list[str]:
    """Return the names of readable successful episodes, oldest first."""
    return [i.name for i in store.list() if i.outcome is Outcome.SUCCESS and task in (None, i.task)]


def training_table(
    chunks: ChunkTable, *, inputs: InputSettings | None = None, fingerprint: str | None = None
) -> TrainingTable:
    """Return chunks as the trainers take them; noise is NaN where it is not at flow time 0.

    Args:
        chunks: of one policy.
        inputs: which cameras to shrink for an image encoder; None = no pictures.
        fingerprint: the policy to train for; None = the episodes' own.
    Raises:
        FingerprintMismatch: the episodes are of another policy.
        EpisodeCorrupt: a picture is damaged.
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
        plan=seedless.pop() if len(seedless) == 1 else None,
        provenance={
            "tasks": sorted({str(e.meta.task) for e in episodes}),
            "seeds": [e.meta.seed for e in episodes],
            "policy": episodes[0].meta.policy,
            "drivers": sorted(set(chunks.driver)),
            "store": str(episodes[0].path.parent.parent),
        },
    )


def _labelled(chunks: ChunkTable, request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return demonstrations with features of the request's policy and noises recovered through it."""
    from frs_core.learning.labels import label_table
    from frs_core.policies import load_policy

    policy = load_policy(request.policy)
    try:
        if request.fingerprint and policy.spec.fingerprint != request.fingerprint:
            raise FingerprintMismatch(
                f"Policy '{request.policy}' has fingerprint {policy.spec.fingerprint[:12]}, the request is for "
                f"{request.fingerprint[:12]}. Load the policy the noise policy is meant for."
            )
        table = training_table(chunks, inputs=request.inputs)
        features = np.zeros((chunks.rows, policy.spec.feature_size), dtype=np.float32)

        def context_of(row: int) -> "Context":
            context = policy.encode(chunks.observation(row))
            features[row] = context.features
            return context

        blank = np.full((table.rows, policy.spec.horizon, policy.spec.width), np.nan, dtype=np.float32)
        # Offers and plans of the recording say nothing about recovered noises.
        table = replace(
            table, features=features, noise=blank, fingerprint=policy.spec.fingerprint, picked=(), offers=(), plan=None
        )
        labelled, labels = label_table(table, policy, context_of, request.labels, on_progress=on_progress)
        return replace(labelled, features=features[labels.is_kept])
    finally:
        policy.close()
