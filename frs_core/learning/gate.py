"""Compare a new version of a noise policy with the one in use, before it may take its place.

Problem: the chunks that a version drove itself say nothing about which version is better, because its noises are draws of its own; those
that a person steered after a call were chosen by its doubts, and speak against it. Idea: compare on the successes in which the learned
policy picked nothing. Both versions learned from most of them, so each version gets twins: policies trained with the same settings on the
same episodes without some of them. Every such episode is judged by the twins that never saw it.

    judged episodes  1 2 3 4 5 6 7 8 9 10    former: 1-10    new: 1-14
    fold 1 holds out 1 4 7 10: twins of      2 3 5 6 8 9 and 2 3 5 6 8 9 11-14; so do folds 2 and 3

Two errors are compared, the distance of a draw to the executed noise and the energy score of 16 draws, and the less favourable decides. The
versions themselves learn from all episodes; that the new weights know what they learned from is checked apart.
Runs in the trainer's process; three times two trainings of one pass.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.errors import ConfigError, TrainingError
from frs_core.learning.base import Learner, Trained
from frs_core.learning.dsbc import DsbcPolicy
from frs_core.learning.metadata import read_metadata
from frs_core.learning.network import Inputs
from frs_core.learning.progress import OnProgress, Progress
from frs_core.learning.request import Gate
from frs_core.learning.settings import DsbcSettings, LearnerSettings
from frs_core.learning.table import TrainingTable
from frs_core.learning.verdict import LEAST_EPISODES, Ruling, Verdict, rule
from frs_core.learning.versions import episodes_of
from frs_core.steering.methods import dct_basis

FOLDS, MEASURES = 3, 2
DRAWS = 16
"""Of a policy for each chunk; as many as the training's own figures use."""


def gated(
    learner: Learner[Any],
    table: TrainingTable,
    settings: LearnerSettings | None,
    trained: Trained,
    gate: Gate,
    *,
    on_progress: OnProgress,
) -> tuple[Trained, Verdict]:
    """Return the new version, which says in its metadata what came of the comparison, and the verdict on it.

    Args:
        learner: of noises.
        table: all chunks that the new version was trained on.
        settings: of the new version; the former one's twins are trained with them too.
        trained: the new version.
        gate: the former version, and the episodes to compare on.
        on_progress: called before each training.
    Raises:
        ConfigError: the former version is damaged.
        TrainingError: too few episodes to compare on, or to train a twin on.
    """
    if not isinstance(settings, DsbcSettings):
        raise ConfigError(
            f"Versions of '{learner.spec.id}' cannot be compared; those that learn from successes are of 'dsbc'."
        )
    learned = episodes_of(read_metadata(gate.former))
    judged = [name for name in gate.judged if name in table.names]
    if len(judged) < LEAST_EPISODES:
        raise TrainingError(
            f"A new version is compared on {counted(LEAST_EPISODES, 'episode')} or more that the learned policy had no part in, got {len(judged)}. Steer some "
            f"successes yourself."
        )
    former, new = _errors(learner, table, settings, trained, learned.intersection(table.names), judged, on_progress)
    # The less favourable of the two measures decides.
    verdict = max(
        (rule(former[i].tolist(), new[i].tolist()) for i in range(MEASURES)), key=lambda v: list(Ruling).index(v.ruling)
    )
    own = np.stack([errors_of(_policy(trained), only(table, [name])).mean(axis=1) for name in judged], axis=1)
    if verdict.is_used and not (own.mean(axis=1) <= new.mean(axis=1)).all():
        verdict = replace(verdict, ruling=Ruling.UNSOUND)
    metadata = replace(
        trained.metadata,
        data={**trained.metadata.data, "former": gate.former.name},
        metrics={**trained.metadata.metrics, "gate": {**verdict.to_json(), "judged": judged}},
    )
    return replace(trained, metadata=metadata), verdict


def _errors(
    learner: Learner[Any],
    table: TrainingTable,
    settings: DsbcSettings,
    trained: Trained,
    learned: Collection[str],
    judged: Sequence[str],
    on_progress: OnProgress,
) -> tuple[Float[Array, "2 E"], Float[Array, "2 E"]]:
    """Return the errors of the former and the new version's twins for each judged episode."""
    once = replace(settings, fit=replace(settings.fit, held_out=0.0, refit=False, steps=trained.steps))
    errors: dict[tuple[bool, str], Float[Array, " 2"]] = {}
    nan = float("nan")
    for fold in range(FOLDS):
        held_out = judged[fold::FOLDS]
        for is_new, names in ((False, learned), (True, table.names)):
            if on_progress(Progress(2 * fold + is_new, 2 * FOLDS, nan, nan, nan, "comparing")) is False:
                raise TrainingError(
                    "The comparison with the version in use was stopped, so the new one is not kept. Train it again."
                )
            if not set(names) - set(held_out):
                raise TrainingError(
                    f"The version in use learned from {counted(len(learned), 'episode')} of those that are kept, too few to hold some out for the comparison. "
                    f"Train one on three or more."
                )
            twin = learner.train(only(table, set(names) - set(held_out)), once)
            for name in held_out:
                errors[is_new, name] = errors_of(_policy(twin), only(table, [name])).mean(axis=1)
    former, new = (np.stack([errors[side, name] for name in judged], axis=1) for side in (False, True))
    return former, new


def errors_of(policy: DsbcPolicy, table: TrainingTable) -> Float[Array, "2 M"]:
    """Return two errors of a noise policy for each chunk, in the temporal components that the plan keeps.

    First the mean distance of a draw to the executed noise: one draw is what is executed. Then the energy score, which takes off half the
    mean distance between draws, so that a policy whose draws are all the same is not rewarded for it.
    Source: Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", section 4.2.
    """
    inputs = Inputs.of(table, policy.inputs, device=policy.device)
    basis = dct_basis(table.horizon).numpy()[: (table.plan.components if table.plan else None) or table.horizon]
    kept = [np.einsum("kh,mha->mka", basis, policy.draw(inputs, seed=i).numpy()) for i in range(DRAWS)]
    draws = np.stack(kept).reshape(DRAWS, table.rows, -1)
    executed = np.einsum("kh,mha->mka", basis, table.noise[..., : table.action_size]).reshape(table.rows, -1)
    away = np.linalg.norm(draws - executed, axis=2).mean(axis=0)
    apart = np.sum([np.linalg.norm(draws - one, axis=2).sum(axis=0) for one in draws], axis=0) / (DRAWS * (DRAWS - 1))
    return np.stack([away, away - 0.5 * apart])


def only(table: TrainingTable, names: Collection[str]) -> TrainingTable:
    """Return the chunks of some episodes.

    Raises:
        TrainingError: there are none.
    """
    return table.take(np.isin(table.episode, [i for i, name in enumerate(table.names) if name in names]))


def _policy(trained: Trained) -> DsbcPolicy:
    policy = trained.policy()
    if not isinstance(policy, DsbcPolicy):
        raise ConfigError(
            f"'{trained.metadata.kind}' cannot be compared; versions that learn from successes are of 'dsbc'."
        )
    return policy
