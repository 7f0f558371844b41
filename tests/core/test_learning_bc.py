"""Behaviour cloning learns chunks, with the same machinery and the same refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frs_core.errors import ConfigError, FingerprintMismatch
from frs_core.learning import BcSettings, DsbcSettings, FitSettings, InputSettings, Loss, NetworkSettings
from frs_core.learning.registry import load_chunk_policy, load_noise_policy
from frs_core.policies.base import Context
from tests.fakes.learning import synthetic_table, train_bc, train_dsbc
from tests.fakes.world import PointWorld

SETTINGS = BcSettings(
    network=NetworkSettings(hidden=64, layers=2),
    fit=FitSettings(least_steps=0, steps=300, batch_size=32, learning_rate=2e-3, evaluate_every=20),
    inputs=InputSettings(proprio=False),
)
KINDS = ("bc-gaussian", "bc-flow")


def test_chunks_of_unseen_episodes_are_predicted_better_than_by_the_mean() -> None:
    scores = train_bc(synthetic_table(), SETTINGS, kind="bc-gaussian").scores
    assert scores.is_held_out
    assert scores.error_after < 0.8 * scores.error_constant


@pytest.mark.parametrize("kind", KINDS)
def test_the_direction_of_a_chunk_follows_the_features(kind: str) -> None:
    table = synthetic_table()
    policy = train_bc(table, SETTINGS, kind=kind).policy()
    observation = PointWorld().reset(task="reach_left", seed=0)
    hits = []
    for features, label in zip(table.features, table.picked, strict=True):
        seen = Context(payload=None, features=features, captured_ns=0)
        mean = policy.chunk(seen, observation).mean(axis=0)
        hits.append((mean[1] > mean[2]) == (label == "left/more"))
    assert np.mean(hits) > 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", [Loss.MSE, Loss.NLL])
def test_a_saved_policy_gives_the_same_chunk(kind: str, loss: Loss, tmp_path: Path) -> None:
    table = synthetic_table()
    trained = train_bc(table, replace(SETTINGS, loss=loss, fit=replace(SETTINGS.fit, steps=20)), kind=kind)
    policy = load_chunk_policy(trained.save(tmp_path / "bc"), "toy-1")
    observation = PointWorld().reset(task="reach_left", seed=0)
    seen = Context(payload=None, features=table.features[3], captured_ns=0)
    chunk = policy.chunk(seen, observation)
    np.testing.assert_array_equal(chunk, trained.policy().chunk(seen, observation))
    assert chunk.shape == (8, 7)


def test_a_number_that_never_changes_in_the_data_stays_put() -> None:
    table = synthetic_table()
    chunk = table.chunk.copy()
    chunk[..., 6] = 0.37
    policy = train_bc(replace(table, chunk=chunk), SETTINGS, kind="bc-gaussian").policy()
    seen = Context(payload=None, features=table.features[3], captured_ns=0)
    given = policy.chunk(seen, PointWorld().reset(task="reach_left", seed=0))
    np.testing.assert_allclose(given[:, 6], 0.37, atol=1e-3)


def test_demonstrations_without_noises_are_enough() -> None:
    table = synthetic_table()
    train_bc(replace(table, noise=np.full_like(table.noise, np.nan)), SETTINGS, kind="bc-gaussian")


def test_kinds_do_not_pass_for_one_another(tmp_path: Path) -> None:
    table, fit = synthetic_table(), replace(SETTINGS.fit, steps=5)
    bc = train_bc(table, replace(SETTINGS, fit=fit), kind="bc-gaussian").save(tmp_path / "bc")
    dsbc = train_dsbc(table, DsbcSettings(network=SETTINGS.network, fit=fit)).save(tmp_path / "dsbc")
    with pytest.raises(ConfigError, match="a noise policy is needed"):
        load_noise_policy(bc, "toy-1")
    with pytest.raises(ConfigError, match="behaviour cloning is needed"):
        load_chunk_policy(dsbc, "toy-1")
    with pytest.raises(FingerprintMismatch):
        load_chunk_policy(bc, "toy-2")
    with pytest.raises(ConfigError, match="got BcSettings, expected DsbcSettings"):
        train_bc(table, SETTINGS, kind="dsbc")


@pytest.mark.parametrize(("kind", "loss"), [("bc-gaussian", Loss.MSE), ("bc-flow", Loss.FLOW)])
def test_cloning_and_the_noise_policy_have_the_same_size(kind: str, loss: Loss) -> None:
    table, fit = synthetic_table(), replace(SETTINGS.fit, steps=5)
    bc = train_bc(table, replace(SETTINGS, fit=fit), kind=kind).network
    settings = DsbcSettings(network=SETTINGS.network, fit=fit, inputs=SETTINGS.inputs, loss=loss)
    dsbc = train_dsbc(table, settings).network
    assert sum(p.numel() for p in bc.parameters()) == sum(p.numel() for p in dsbc.parameters())


def test_a_flow_is_a_kind_of_its_own() -> None:
    with pytest.raises(ConfigError, match="frs train bc-flow"):
        BcSettings(loss=Loss.FLOW)
