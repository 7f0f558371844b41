"""The before-and-after scores: how near a learner is to the operator, without moving a robot.

Two figures. The *noise error* compares predicted with executed noise. The *agreement* asks which of the candidates that
were on offer lies nearest to the predicted noise, and how often that is the one the operator picked. Nearness is measured
in the temporal components that the steering plan kept (1 = the chunk mean): the others carry no command, and an unsteered
Gaussian chunk would seem far from everything because of them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.learning.progress import Scores
from frs_core.learning.table import Offer, TrainingTable
from frs_core.steering.methods import nearest_noise


def scores_of_noises(
    table: TrainingTable,
    predicted: Float[Array, "M H c"],
    *,
    columns: Sequence[int],
    learned_from: TrainingTable,
    is_held_out: bool,
) -> Scores:
    """Return the scores of a noise policy.

    Args:
        table: chunks the figures are of.
        predicted: the learner's noises for them.
        columns: numbers of the action that are predicted.
        learned_from: chunks whose mean label is the constant answer to beat.
        is_held_out: whether the learner never saw `table`.
    """
    executed = table.noise[:, :, list(columns)]
    constant = learned_from.noise[:, :, list(columns)].mean(axis=0)
    after, chance = agreement(table, predicted, columns=columns)
    return Scores(
        error_before=float(1.0 + np.mean(executed**2)),
        error_constant=float(np.mean((executed - constant) ** 2)),
        error_after=float(np.mean((executed - predicted) ** 2)),
        agreement_before=table.deferred_share,
        agreement_after=after,
        chance=chance,
        chunks=table.rows,
        is_held_out=is_held_out,
    )


def scores_of_chunks(
    table: TrainingTable,
    errors: Float[Array, " M"],
    *,
    constant: float,
    is_held_out: bool,
) -> Scores:
    """Return the scores of behaviour cloning, which has no noise and hence no candidate to agree with.

    Args:
        table: chunks the figures are of.
        errors: mean squared standardised action error per chunk.
        constant: the same for answering the mean chunk.
        is_held_out: whether the learner never saw `table`.
    """
    nan = float("nan")
    return Scores(
        error_before=nan,
        error_constant=constant,
        error_after=float(errors.mean()),
        agreement_before=table.deferred_share,
        agreement_after=nan,
        chance=nan,
        chunks=table.rows,
        is_held_out=is_held_out,
    )


def agreement(table: TrainingTable, predicted: Float[Array, "M H c"], *, columns: Sequence[int]) -> tuple[float, float]:
    """Return (share of chunks where the nearest offer is the pick, share a blind guess would reach).

    Chunks whose pick was not among the offers with a noise do not count; NaN when none counts.
    """
    components = table.plan.components if table.plan else None
    hits: list[bool] = []
    chances: list[float] = []
    for offer, pick, noise in zip(table.offers, table.picked, predicted, strict=bool(table.offers and table.picked)):
        if offer is None:
            continue
        known = np.flatnonzero(np.isfinite(offer.noises).reshape(len(offer.labels), -1).all(axis=1))
        labels = [offer.labels[i] for i in known]
        if pick not in labels:
            continue
        known_offer = Offer(tuple(labels), offer.noises[known][:, :, list(columns)])
        hits.append(nearest(known_offer, noise, components=components) == pick)
        chances.append(1.0 / len(labels))
    if not hits:
        return float("nan"), float("nan")
    return float(np.mean(hits)), float(np.mean(chances))


def nearest(offer: Offer, noise: Float[Array, "H c"], *, components: int | None) -> str:
    """Return the label of the offered candidate whose noise is nearest in the kept temporal components."""
    return offer.labels[nearest_noise(offer.noises, noise, components=components)]
