"""A policy of chunks learned from successes and failures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frs_core.errors import ConfigError, TrainingError
from frs_core.learning.network import Inputs
from frs_core.learning.registry import find_learner, load_chunk_policy
from frs_core.learning.rql_learner import Replay, ReversalNet
from frs_core.learning.settings import InputSettings, NetworkSettings, RqlSettings
from frs_core.learning.table import End, TrainingTable
from frs_core.steering.policy_spec import Context
from tests.fakes.world import PointWorld

SMALL = RqlSettings(
    inputs=InputSettings(noise=0.0),
    network=NetworkSettings(hidden=32, layers=2),
    heads=2,
    steps=200,
    batch_size=64,
)


def tried(*, episodes: int = 60, seed: int = 0) -> TrainingTable:
    """Return episodes with a choice: one in three went up and succeeded; the others went down, stood there and were given up."""
    rng = np.random.default_rng(seed)
    up = np.arange(episodes) % 3 == 0
    counts = np.where(up, 2, 4)
    episode = np.repeat(np.arange(episodes), counts)
    place = np.concatenate([np.arange(n) for n in counts])
    rows, chooses = len(episode), place == 1
    chunk = rng.normal(0.0, 0.002, (rows, 2, 3)).astype(np.float32)
    chunk[chooses, :, 2] += np.where(up[episode[chooses]], 0.02, -0.02)[:, None].astype(np.float32)
    table = TrainingTable(
        features=_seen(np.minimum(place, 2)) + rng.normal(0.0, 0.05, (rows, 6)).astype(np.float32),
        proprio=np.tile(PointWorld().reset(task="reach_left", seed=0).proprio, (rows, 1)),
        noise=np.zeros((rows, 2, 3), np.float32),
        chunk=chunk,
        episode=episode,
        names=tuple(f"episode-{i}" for i in range(episodes)),
        fingerprint="toy-1",
    )
    down = End(False, _seen(np.array([2]))[0], table.proprio[0])
    return table.with_outcomes(up.tolist(), ends=[End(True) if s else down for s in up])


def _seen(place: np.ndarray) -> np.ndarray:
    """Return features that tell start, choice and failure apart."""
    return np.repeat(np.eye(3, dtype=np.float32)[place], 2, axis=1)


def test_what_succeeded_is_done_though_most_did_otherwise(tmp_path: Path) -> None:
    table = tried()
    trained = find_learner("rql").load().train(table, SMALL)
    policy = load_chunk_policy(trained.save(tmp_path / "saved"), "toy-1")
    observation = PointWorld().reset(task="reach_left", seed=0)
    rises = []
    for step in range(30):
        seen = Context(payload=None, features=_seen(np.array([1]))[0], captured_ns=0)
        rises.append(policy.chunk(seen, replace(observation, step=step))[:, 2].mean() > 0.0)
    assert np.mean(rises) > 0.8
    assert trained.metadata.metrics["value_of_successes"] > trained.metadata.metrics["value_of_failures"]


def test_actions_stay_within_what_was_recorded() -> None:
    table = tried()
    settings = replace(SMALL, steps=20, learning_rate=0.1)
    trained = find_learner("rql").load().train(table, settings)
    seen = Context(payload=None, features=np.full(6, 50.0, np.float32), captured_ns=0)
    chunk = trained.policy().chunk(seen, PointWorld().reset(task="reach_left", seed=0))  # type: ignore[union-attr]
    flat = table.chunk.reshape(-1, 3)
    assert (chunk >= flat.min(axis=0)).all()
    assert (chunk <= flat.max(axis=0)).all()


def learned_from(table: TrainingTable, *, failures_end: bool) -> tuple[int, int]:
    """Return how many chunks are learned from, and after how many of them nothing comes."""
    network = ReversalNet(SMALL, feature_size=6, proprio_size=18, horizon=2, action_size=3)
    network.measure(Inputs.of(table, SMALL.inputs), table)
    replay = Replay(table, network, replace(SMALL, failures_end=failures_end), torch.device("cpu"))
    drawn = replay.draw(4000)
    assert bool(torch.isfinite(drawn.following).all())
    ended = drawn.actions[drawn.goes_on == 0.0]
    return len(torch.unique(drawn.actions[:, 0], dim=0)), len(torch.unique(ended[:, 0], dim=0))


def test_a_failure_ends_worth_nothing_or_goes_on_where_the_state_after_it_is_known() -> None:
    # Two successes of two chunks, four failures of four.
    known = tried(episodes=6)
    unknown = known.with_outcomes([end.succeeded for end in known.ends])
    assert learned_from(known, failures_end=True) == learned_from(unknown, failures_end=True) == (20, 6)
    assert learned_from(known, failures_end=False) == (20, 2)
    assert learned_from(unknown, failures_end=False) == (16, 2)


def test_without_a_success_there_is_nothing_to_learn() -> None:
    with pytest.raises(TrainingError, match="None of the 60 episodes succeeded"):
        find_learner("rql").load().train(tried().with_outcomes([False] * 60), SMALL)


def test_cameras_are_refused() -> None:
    with pytest.raises(ConfigError, match="no image encoder"):
        RqlSettings(inputs=InputSettings(cameras=("left",)))
