"""Online learners act while they learn: through the product's own session, with rewards and next states, stopped on request."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frs_core.choosers.learned import LearnedChooser
from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, FingerprintMismatch
from frs_core.evaluation.collect import collect_steered
from frs_core.evaluation.rollout import RolloutSettings
from frs_core.learning import Practice, Progress, TrainRequest, registry
from frs_core.learning.episode_table import table_of
from frs_core.learning.packing import pack, unpack
from frs_core.learning.run import run_request
from frs_core.learning.table import End, join
from frs_core.policies import NamedPolicy
from frs_core.session import InlineSession
from frs_core.testing.learner import synthetic_table
from tests.fakes.evaluation import MAX_CHUNKS, TASK, make_setup
from tests.fakes.practising import ROW, SeekerSettings

PRACTICE = Practice(
    world="tests.fakes.world:PointWorld", episodes=3, round_episodes=1, max_chunks=MAX_CHUNKS, first_seed=700
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeker is an installed learner."""
    monkeypatch.setattr(registry, "plugins", lambda group: {"seeker": "tests.fakes.practising:ROW"})


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    """Two steered successes to start from."""
    here, store = make_setup(), EpisodeStore(tmp_path / "data")
    settings = RolloutSettings(max_chunks=MAX_CHUNKS)
    collect_steered(here, store, task=TASK, count=2, first_seed=10, settings=settings)
    here.close()
    return store


def request(tmp_path: Path, *, practice: Practice = PRACTICE) -> TrainRequest:
    return TrainRequest(
        kind="seeker",
        root=tmp_path / "data",
        episodes=(),
        out=tmp_path / "seeker",
        fingerprint="",
        task=TASK,
        policy=NamedPolicy("tests.fakes.policy:ToyPolicy"),
        settings=SeekerSettings(spread=0.3),
        practice=practice,
        arena="frs_core.evaluation.arena:open_arena",
    )


def test_it_starts_from_recordings_acts_learns_is_saved_and_then_drives(tmp_path: Path, store: EpisodeStore) -> None:
    seen: list[Progress] = []
    result = run_request(request(tmp_path), seen.append)
    own = [p for p in seen if p.stage == "practising"]
    assert [p.step for p in own] == [1, 2, 3]
    assert any(p.loss == 0.0 for p in own), "no episode of its own succeeded"
    assert result.episodes == 2 + 3
    here = make_setup()
    try:
        noise_policy = registry.load_noise_policy(result.path, here.policy.spec.fingerprint)
        with InlineSession(here.world, here.policy, noise_policy=noise_policy) as session:
            assert session.run_episode(LearnedChooser(), task=TASK, seed=500, max_chunks=MAX_CHUNKS).success
    finally:
        here.close()


def test_a_stop_keeps_what_was_learned_and_a_start_from_nothing_needs_no_recordings(tmp_path: Path) -> None:
    practice = replace(PRACTICE, prior=False)
    result = run_request(request(tmp_path, practice=practice), lambda p: not (p.stage == "practising" and p.step == 2))
    assert result.was_cancelled
    assert result.episodes == 2
    assert (result.path / "policy.json").is_file()


def test_rewards_and_next_states_come_from_recorded_episodes(tmp_path: Path, store: EpisodeStore) -> None:
    episodes = [store.open(info.name) for info in store.list()]
    table = table_of(episodes, outcomes=ROW.outcomes, has_ends=True, inputs=SeekerSettings().inputs, fingerprint=None)
    assert table.reward is not None
    assert table.following is not None
    last = np.flatnonzero(table.following < 0)
    assert table.reward.sum() == len(last) == 2
    assert (table.reward[last] == 1.0).all()
    whole = np.delete(np.arange(table.rows), last)
    np.testing.assert_array_equal(table.following[whole], whole + 1)
    part = table.take(table.episode == 1)
    assert part.following is not None
    np.testing.assert_array_equal(part.following, [*range(1, part.rows), -1])


def test_the_state_after_every_chunk_is_the_next_one_or_the_end_of_the_episode() -> None:
    table = replace(synthetic_table(episodes=2, chunks=3), driver=("person",) * 6)
    end = End(False, table.features[0] + 1.0, table.proprio[0] + 1.0)
    table = table.with_outcomes([True, False], ends=[End(True), end])
    np.testing.assert_array_equal(np.flatnonzero(table.terminal), [2])
    np.testing.assert_array_equal(np.flatnonzero(table.truncated), [5])
    after = table.after()
    np.testing.assert_array_equal(after.features[[0, 1, 3, 4]], table.features[[1, 2, 4, 5]])
    np.testing.assert_array_equal(after.proprio[5], end.proprio)
    assert np.isnan(after.features[2]).all(), "nobody recorded it"
    np.testing.assert_array_equal(table.take([3, 4, 5]).after().features[2], end.features)


def test_a_practice_without_an_arena_is_refused_with_what_to_give(tmp_path: Path, store: EpisodeStore) -> None:
    with pytest.raises(ConfigError, match=r"names no arena.*TrainRequest\(arena="):
        run_request(replace(request(tmp_path), arena=""))


def test_tables_are_joined_with_what_all_of_them_know() -> None:
    table = synthetic_table(episodes=2, chunks=3).with_outcomes([True, False])
    one, two = table.take(table.episode == 0), table.take(table.episode == 1)
    whole = join([one, two])
    assert whole.following is not None
    assert whole.reward is not None
    np.testing.assert_array_equal(whole.following, table.following)
    np.testing.assert_array_equal(whole.reward, table.reward)
    assert [whole.names[i] for i in whole.episode] == [table.names[i] for i in table.episode]
    assert join([one, replace(two, picked=())]).picked == ()
    with pytest.raises(FingerprintMismatch):
        join([one, replace(two, fingerprint="other")])


def test_a_learners_state_survives_the_disk() -> None:
    state = {"optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1}]}, "best": float("inf")}
    tensors, rest = pack(state)
    again = unpack(tensors, json.loads(json.dumps(rest)))
    assert again == state
    with pytest.raises(TypeError):
        pack({"what": object()})
    with pytest.raises(ConfigError):
        unpack({}, rest)
