"""Corrections of the generalist's chunk: how they are applied, read back from what was executed, and bounded."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from frs_core.errors import ConfigError
from frs_core.evaluation.arena import SetupArena
from frs_core.evaluation.cloned import ClonedPolicy
from frs_core.learning import InputSettings, NetworkSettings
from frs_core.learning.base import ChunkPolicy, Trained
from frs_core.learning.registry import find_learner
from frs_core.learning.residual import Residual, own_chunk
from frs_core.learning.settings import ResidualSettings
from frs_core.steering.methods import gaussian
from tests.fakes.evaluation import MAX_CHUNKS, TASK, make_setup
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

SETTINGS = ResidualSettings(
    inputs=InputSettings(noise=0.1),
    network=NetworkSettings(hidden=16, layers=1),
    updates_per_chunk=1,
    critic_first=5,
    batch_size=16,
    warm_up=1,
    bound=0.3,
)


def begun() -> Residual:
    learner = find_learner("residual").load()
    assert isinstance(learner, Residual)
    learner.begin(ToyPolicy(), SETTINGS)
    return learner


def corrections(trained: Trained, seed: int = 0) -> np.ndarray:
    """Return what an actor adds to the generalist's chunk in the point world's first place, normalised."""
    policy, actor = ToyPolicy(), trained.policy()
    assert isinstance(actor, ChunkPolicy)
    actor.begin(seed)
    seen = PointWorld().reset(task=TASK, seed=0)
    both = ClonedPolicy(policy, actor)
    context = both.encode(seen)
    own = own_chunk(context.features[None], policy.spec.horizon, policy.spec.flow.size)[0].numpy()
    return policy.spec.flow.normalise(actor.chunk(context, seen)) - own


def test_until_it_has_learned_it_is_the_generalist() -> None:
    trained, policy = begun().actor(explores=False), ToyPolicy()
    np.testing.assert_allclose(corrections(trained), 0.0, atol=1e-6)
    actor, seen = trained.policy(), PointWorld().reset(task=TASK, seed=0)
    assert isinstance(actor, ChunkPolicy)
    both = ClonedPolicy(policy, actor)
    shape = (1, policy.spec.horizon, policy.spec.width)
    answer = both.denoise(both.encode(seen), gaussian(shape, seed=9))
    own = policy.to_robot(policy.denoise(policy.encode(seen), gaussian(shape, seed=seen.step)))
    np.testing.assert_allclose(both.to_robot(answer), own, atol=1e-5)


def test_it_practises_and_reads_its_corrections_back_from_what_was_executed() -> None:
    here = make_setup()
    arena = SetupArena(here, task=TASK, max_chunks=MAX_CHUNKS, inputs=SETTINGS.inputs)
    learner = begun()
    try:
        learner.learn(arena.run(learner.actor(explores=True).policy(), seed=700))
        assert learner.sac is not None
        with torch.no_grad():
            learner.sac.actor.net.head.bias[:7] = 0.5
        table = arena.run(learner.actor(explores=False).policy(), seed=701)
    finally:
        arena.close()
    done = learner.actions(table)
    assert done.shape == (table.rows, 7)
    free = done[:, :3]
    assert (free - 0.3 * np.tanh(0.5)).abs().max() < 0.05, "clipped numbers aside, all rows were moved alike"
    assert (done.abs() <= 0.3 + 1e-4).all()
    tried = np.stack([corrections(learner.actor(explores=True), seed=i) for i in range(8)])
    assert np.abs(tried).max() <= 0.3 + 1e-4
    assert tried.std(axis=0).min() > 0.01


def test_a_turned_generalist_is_refused() -> None:
    policy = ToyPolicy()
    policy.spec = replace(policy.spec, flow_space=policy.spec.action_space)
    learner = find_learner("residual").load()
    assert isinstance(learner, Residual)
    with pytest.raises(ConfigError, match="Leave --practice"):
        learner.begin(policy, SETTINGS)
