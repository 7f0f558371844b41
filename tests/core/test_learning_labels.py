"""Noises of demonstrated chunks regenerate them, and those that cannot are dropped and counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from frs_core.errors import ShapeMismatch, TrainingError
from frs_core.learning.labels import label_chunks, label_table, recover_noise
from frs_core.learning.settings import LabelSettings
from frs_core.steering import flow
from frs_core.steering.methods import gaussian
from tests.fakes.learning import synthetic_table
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld


@pytest.fixture
def policy() -> ToyPolicy:
    return ToyPolicy(width=9)


def encoded(policy: ToyPolicy):
    return policy.encode(PointWorld().reset(task="reach_left", seed=0))


def generated(policy: ToyPolicy, count: int) -> np.ndarray:
    """Return chunks of the policy itself, robot units, not clipped."""
    noise = gaussian((count, 8, 9), seed=3)
    x = policy.denoise(encoded(policy), noise)
    return policy.spec.action_space.unnormalise(x[..., :7].numpy())


def test_chunks_the_policy_can_grow_regenerate_within_the_threshold(policy: ToyPolicy) -> None:
    chunks = generated(policy, 6)
    context = encoded(policy)
    labels = label_chunks(policy, [context] * 6, chunks)
    assert labels.is_kept.sum() >= 5
    for noise, chunk, is_kept in zip(labels.noise, chunks, labels.is_kept, strict=True):
        if is_kept:
            again = policy.spec.action_space.unnormalise(
                policy.denoise(context, torch.from_numpy(noise)[None])[0, :, :7].numpy()
            )
            scale = policy.spec.action_space.scale
            assert np.mean(((again - chunk) / scale) ** 2) <= 1e-3


def test_recovered_noise_beats_explicit_euler(policy: ToyPolicy) -> None:
    context, chunks = encoded(policy), generated(policy, 4)
    errors, euler = [], []
    for chunk in chunks:
        errors.append(recover_noise(policy, context, chunk)[1])
        x = torch.zeros(1, 8, 9)
        x[0, :, :7] = torch.from_numpy(policy.spec.action_space.normalise(chunk))
        noise = flow.reverse(lambda x, t: policy.velocity(context, x, t), x, steps=10)
        euler.append(float((policy.denoise(context, noise) - x)[..., :7].square().mean()))
    assert np.median(errors) < 0.1 * np.median(euler)


def test_padding_columns_hold_seeded_gaussian_noise(policy: ToyPolicy) -> None:
    noise, _ = recover_noise(policy, encoded(policy), generated(policy, 1)[0], LabelSettings(seed=5))
    np.testing.assert_array_equal(noise[:, 7:], gaussian((1, 8, 9), seed=5)[0, :, 7:].numpy())


def test_chunks_outside_the_policys_skills_are_dropped_and_counted(policy: ToyPolicy) -> None:
    table = synthetic_table(episodes=3, chunks=2, width=9)
    good = generated(policy, 6)
    wild = np.random.default_rng(0).uniform(-1, 1, good.shape).astype(np.float32) * 50
    chunk = np.where(np.arange(6)[:, None, None] < 4, good, wild)
    table = replace(table, chunk=chunk, noise=np.full_like(table.noise, np.nan))
    context = encoded(policy)
    labelled, labels = label_table(table, policy, lambda row: context)
    assert labelled.rows == int(labels.is_kept.sum()) <= 4
    assert np.isfinite(labelled.noise).all()
    metadata = labelled.provenance["labels"]
    assert isinstance(metadata, dict)
    assert (metadata["chunks"], metadata["kept"]) == (6, labelled.rows)


def test_no_usable_demonstration_is_an_error_with_the_fix(policy: ToyPolicy) -> None:
    table = synthetic_table(episodes=1, chunks=2, width=9)
    wild = np.random.default_rng(0).uniform(-1, 1, table.chunk.shape).astype(np.float32) * 50
    context = encoded(policy)
    with pytest.raises(TrainingError, match="None of 2 demonstrated chunks"):
        label_table(replace(table, chunk=wild), policy, lambda row: context)


def test_a_chunk_of_another_horizon_is_refused(policy: ToyPolicy) -> None:
    with pytest.raises(ShapeMismatch, match=r"shape \(5, 7\), policy 'toy' needs \(8, 7\)"):
        recover_noise(policy, encoded(policy), np.zeros((5, 7), np.float32))


def test_stopping_early_keeps_what_is_labelled(policy: ToyPolicy) -> None:
    chunks = generated(policy, 5)
    labels = label_chunks(policy, [encoded(policy)] * 5, chunks, on_progress=lambda p: p.step < 2)
    assert np.isfinite(labels.noise[:2]).all()
    assert not labels.is_kept[2:].any()
