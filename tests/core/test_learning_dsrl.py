"""Noise-space practice: how it starts, what it tries, what it refuses, and that it drives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frs_core.errors import ConfigError, FingerprintMismatch, TrainingError
from frs_core.learning import FitSettings, InputSettings, NetworkSettings, Practice, TrainRequest, registry
from frs_core.learning.base import OnlineLearner, Trained
from frs_core.learning.dsrl import Dsrl, DsrlFrs
from frs_core.learning.run import run_request
from frs_core.learning.settings import DsrlFrsSettings, DsrlSettings
from frs_core.learning.table import TrainingTable
from frs_core.policies import NamedPolicy
from frs_core.steering.methods import gaussian
from frs_core.steering.policy_spec import Context
from frs_core.testing.learner import synthetic_table
from tests.fakes.evaluation import MAX_CHUNKS, TASK
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

SMALL = {
    "components": 1,
    "inputs": InputSettings(noise=0.1),
    "network": NetworkSettings(hidden=32, layers=1),
    "updates_per_chunk": 1,
    "critic_first": 5,
    "batch_size": 16,
    "warm_up": 1,
}
FRS = DsrlFrsSettings(**SMALL, fit=FitSettings(steps=150, least_steps=0, batch_size=16, weight_decay=0.0))


def episodes(won: list[bool] | None = None) -> TrainingTable:
    return synthetic_table(episodes=4).with_outcomes(won or [True, False, True, True])


def begun(kind: str, settings: DsrlSettings, prior: TrainingTable | None = None) -> OnlineLearner:
    learner = registry.find_learner(kind).load()
    assert isinstance(learner, OnlineLearner)
    learner.begin(ToyPolicy(), settings, prior=prior)
    return learner


def noise(trained: Trained, *, row: int = 0, scene: int = 0, step: int = 0) -> np.ndarray:
    """Return what an actor asks for in a row of the table."""
    seen = replace(PointWorld().reset(task="reach_left", seed=0), step=step)
    policy = trained.policy()
    policy.begin(scene)
    return policy.noise(Context(None, episodes().features[row], captured_ns=0), seen)  # type: ignore[union-attr]


def test_without_episodes_it_begins_as_the_generalist_itself() -> None:
    learner = begun("dsrl", DsrlSettings(**SMALL))
    np.testing.assert_array_equal(noise(learner.actor(explores=False), step=7), gaussian((1, 8, 7), seed=7)[0].numpy())
    for _ in range(2):
        tried = np.stack([noise(learner.actor(explores=True), scene=i) for i in range(20)])
        assert (tried.mean(), tried.std()) == pytest.approx((0.0, 1.0), abs=0.1), "a first round moves it little"
        learner.learn(episodes())


def test_from_steered_episodes_it_begins_with_the_noises_of_successes() -> None:
    table = episodes([True, True, True, False])
    won = np.flatnonzero(table.episode < 3)
    learner = begun("dsrl-frs", replace(FRS, inputs=InputSettings(proprio=False, noise=0.0)), table)
    asked = np.stack([noise(learner.actor(explores=False), row=int(i)).mean(axis=0) for i in won])
    steered = table.noise[won].mean(axis=1)
    assert np.square(asked - steered)[:, 1:3].mean() < 0.35 * steered[:, 1:3].var()
    assert isinstance(learner, DsrlFrs)
    assert learner.sac is not None
    limit = learner.sac.actor.limit
    assert (limit[1:3] > 1.5 * 8**0.5).all(), "what was steered lies inside the bounds"
    assert (limit >= 3.0).all()


def test_what_is_tried_follows_from_round_scene_and_step_alone() -> None:
    learner = begun("dsrl-frs", FRS, episodes())
    one, again = noise(learner.actor(explores=True), scene=4), noise(learner.actor(explores=True), scene=4)
    np.testing.assert_array_equal(one, again)
    others = [noise(learner.actor(explores=True), scene=5), noise(learner.actor(explores=True), scene=4, step=8)]
    learner.learn(episodes())
    others.append(noise(learner.actor(explores=True), scene=4))
    assert all(np.abs(one - other).max() > 0.1 for other in others)
    best = learner.actor(explores=False)
    np.testing.assert_array_equal(noise(best, scene=4), noise(best, scene=5))


def test_the_pull_of_steered_noises_fades_with_practice() -> None:
    learner = begun("dsrl-frs", replace(FRS, clone=1.0, clone_end=0.2, clone_episodes=8), episodes())
    assert isinstance(learner, DsrlFrs)
    weights = [learner.cloning(4).weight]
    for _ in range(3):
        learner.learn(episodes())
        weights.append(learner.cloning(4).weight)
    assert weights == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_only_successes_are_cloned_and_failures_are_learned_from() -> None:
    table = episodes([False, True, False, False])
    learner = begun("dsrl-frs", FRS, table)
    assert isinstance(learner, DsrlFrs)
    drawn = learner.cloning(50).inputs.features
    own = torch.from_numpy(table.features[table.episode == 1])
    assert all((own == row).all(dim=1).any() for row in drawn)
    assert learner.replay.count == table.rows - 3, "three failures lack the state after their last chunk"


def test_learning_waits_for_the_warm_up() -> None:
    learner = begun("dsrl", replace(DsrlSettings(**SMALL), warm_up=6))
    assert np.isnan(learner.learn(episodes()))
    assert learner.actor(explores=False).steps == 0
    assert np.isfinite(learner.learn(episodes()))
    assert isinstance(learner, Dsrl)
    rows = episodes().rows
    assert learner.actor(explores=False).steps == 5 + rows


@pytest.mark.parametrize("kind", ["dsrl", "dsrl-frs"])
@pytest.mark.parametrize("explores", [False, True])
def test_an_actor_that_has_not_practised_is_the_same_from_disk(kind: str, explores: bool, tmp_path: Path) -> None:
    start = begun(kind, FRS if kind == "dsrl-frs" else DsrlSettings(**SMALL), episodes()).actor(explores=explores)
    loaded = registry.load_noise_policy(start.save(tmp_path / "start"), "toy-1")
    np.testing.assert_array_equal(noise(replace(start, acting=lambda: loaded), scene=3), noise(start, scene=3))


def test_a_saved_actor_without_its_bounds_is_refused(tmp_path: Path) -> None:
    start = begun("dsrl-frs", FRS, episodes()).actor(explores=False)
    weights = {k: v for k, v in start.weights.items() if k != "limit"}
    with pytest.raises(ConfigError, match="lacks the bounds"):
        registry.load_noise_policy(replace(start, weights=weights).save(tmp_path / "start"), "toy-1")


@pytest.mark.parametrize(
    ("prior", "error", "words"),
    [
        (None, TrainingError, "starts from steered episodes and got none"),
        (episodes([False] * 4), TrainingError, "None of the 4 episodes to start from succeeded"),
        (replace(episodes(), fingerprint="another"), FingerprintMismatch, "another"),
        (synthetic_table(), TrainingError, "no outcomes"),
    ],
)
def test_a_start_that_is_none_is_refused_with_the_way_out(
    prior: TrainingTable | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        begun("dsrl-frs", FRS, prior)


def test_it_practises_in_a_world_without_recordings_and_what_it_leaves_drives(tmp_path: Path) -> None:
    request = TrainRequest(
        kind="dsrl",
        root=tmp_path / "data",
        episodes=(),
        out=tmp_path / "dsrl",
        fingerprint="",
        task=TASK,
        policy=NamedPolicy("tests.fakes.policy:ToyPolicy"),
        settings=DsrlSettings(**SMALL),
        practice=Practice(
            world="tests.fakes.world:PointWorld",
            episodes=4,
            round_episodes=2,
            max_chunks=MAX_CHUNKS,
            first_seed=700,
            judge_every=0,
        ),
        arena="frs_core.evaluation.arena:open_arena",
    )
    result = run_request(request)
    assert (result.episodes, result.steps > 0) == (4, True)
    assert registry.load_noise_policy(result.path, ToyPolicy().spec.fingerprint).name == "dsrl"
