"""A noise policy is unsure where its episodes do not say what to do, and seldom on a success like those it learned from."""

import time
from pathlib import Path

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.learning.doubts import FILE, WORDS, RecordedDoubts, measure
from frs_core.learning.progress import ignore_progress
from frs_core.learning.registry import load_noise_policy
from frs_core.learning.request import TrainRequest
from frs_core.learning.run import run_request
from frs_core.learning.settings import BcSettings, DsbcSettings, FitSettings, NetworkSettings
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import Context
from frs_core.steering.candidates import Doubt
from tests.fakes.learning import synthetic_table
from tests.fakes.world import PointWorld

Parts = tuple[Array, Array, Array]
CHUNKS, F, P, H, A = 12, 40, 18, 8, 7
DIRECTION = np.random.default_rng(7).normal(size=(2, F))


def walk(seed: int, *, chunks: int = CHUNKS) -> Parts:
    """Return features, proprioception and noises of an attempt that moves evenly from start to end."""
    rng = np.random.default_rng(seed)
    way = np.linspace(0.0, 3.0, chunks)[:, None] * DIRECTION[0] + rng.normal(0.0, 0.4) * DIRECTION[1]
    features = way + rng.normal(0.0, 0.1, (chunks, F))
    proprio = np.linspace(0.0, 1.0, chunks)[:, None] + rng.normal(0.0, 0.03, (chunks, P))
    noise = np.linspace(-1.0, 1.0, chunks)[:, None, None] + rng.normal(0.0, 0.2, (chunks, H, A))
    return features.astype(np.float32), proprio.astype(np.float32), noise.astype(np.float32)


def recorded(episodes: int = 10) -> TrainingTable:
    parts = [walk(seed) for seed in range(episodes)]
    features, proprio, noise = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return TrainingTable(
        features=features,
        proprio=proprio,
        noise=noise,
        chunk=noise,
        episode=np.repeat(np.arange(episodes), CHUNKS),
        names=tuple(f"e{i}" for i in range(episodes)),
        fingerprint="toy-1",
    )


@pytest.fixture(scope="module")
def doubts() -> RecordedDoubts:
    made = measure(recorded())
    assert made is not None
    return made


def judged(doubts: RecordedDoubts, parts: Parts) -> list[Doubt]:
    doubts.begin()
    return [
        doubts.judge(step=8 * i, features=f, proprio=p, noise=n, spread=None)
        for i, (f, p, n) in enumerate(zip(*parts, strict=True))
    ]


def test_calls_on_new_successes_are_about_as_rare_as_stated(doubts: RecordedDoubts) -> None:
    calls = [d.is_unsure for seed in range(100, 150) for d in judged(doubts, walk(seed))]
    assert doubts.false_calls <= doubts.rate
    assert np.mean(calls) < 2.0 * doubts.rate
    loose = measure(recorded(), rate=0.4)
    assert loose is not None
    assert all(loose.limits[name] <= doubts.limits[name] for name in WORDS)
    assert 0.05 < loose.false_calls <= 0.4


def test_a_scene_that_was_never_recorded_is_called_unlike(doubts: RecordedDoubts) -> None:
    features, proprio, noise = walk(100)
    other = features + 4.0 * np.random.default_rng(1).normal(size=F).astype(np.float32)
    assert all(WORDS["state"] in d.reasons for d in judged(doubts, (other, proprio, noise)))


def test_a_noise_that_nobody_executed_there_is_unlike_what_worked(doubts: RecordedDoubts) -> None:
    features, proprio, noise = walk(100)
    assert all(WORDS["noise"] in d.reasons for d in judged(doubts, (features, proprio, noise + 3.0)))


def test_an_arm_that_stays_is_called_within_three_chunks(doubts: RecordedDoubts) -> None:
    features, proprio, noise = (part[[0, 1, 2, 3, 4, 4, 4, 4]] for part in walk(100))
    reasons = [d.reasons for d in judged(doubts, (features, proprio, noise))]
    assert WORDS["repeat"] in reasons[7]
    assert not any(WORDS["repeat"] in r for r in reasons[:5])


def test_an_attempt_that_goes_backwards_is_not_getting_closer(doubts: RecordedDoubts) -> None:
    features, proprio, noise = (part[[4, 5, 6, 5, 4, 3, 2]] for part in walk(100))
    assert WORDS["progress"] in judged(doubts, (features, proprio, noise))[6].reasons


def test_a_boundary_that_is_judged_again_or_gone_back_to_is_no_repeat(doubts: RecordedDoubts) -> None:
    features, proprio, noise = walk(100)
    doubts.begin()

    def judge(i: int) -> Doubt:
        return doubts.judge(step=8 * i, features=features[i], proprio=proprio[i], noise=noise[i], spread=None)

    for i in (0, 1, 2, 3, 4, 4, 4, 4, 4):
        assert WORDS["repeat"] not in judge(i).reasons
    for i in (5, 6, 7, 2, 3, 4):
        assert WORDS["repeat"] not in judge(i).reasons


def test_the_spread_of_draws_is_judged_by_that_on_held_out_episodes() -> None:
    made = measure(recorded(), spread=np.linspace(0.5, 0.9, 30))
    assert made is not None
    features, proprio, noise = walk(100)
    for spread, is_wide in ((0.7, False), (0.95, False), (1.05, True), (float("nan"), False)):
        made.begin()
        doubt = made.judge(step=0, features=features[0], proprio=proprio[0], noise=noise[0], spread=spread)
        assert (WORDS["spread"] in doubt.reasons) is is_wide


def test_failures_are_no_measure_and_two_episodes_are_too_few(doubts: RecordedDoubts) -> None:
    table = recorded()
    with_failures = measure(table.with_outcomes([i < 8 for i in range(10)]))
    assert with_failures is not None
    assert set(with_failures.recorded.episode.tolist()) == set(range(8))
    assert measure(table.with_outcomes([i < 2 for i in range(10)])) is None
    assert measure(table.with_outcomes([False] * 10)) is None


def test_noises_that_are_not_known_are_not_judged() -> None:
    table = recorded()
    table.noise[:] = np.nan
    made = measure(table)
    assert made is not None
    assert not any(WORDS["noise"] in d.reasons for d in judged(made, walk(100)))


def test_a_long_attempt_is_judged_in_well_under_ten_milliseconds_a_chunk(doubts: RecordedDoubts) -> None:
    features, proprio, noise = walk(100, chunks=40)
    seconds: list[float] = []
    doubts.begin()
    for i in range(40):
        began = time.process_time()
        doubts.judge(step=8 * i, features=features[i], proprio=proprio[i], noise=noise[i], spread=None)
        seconds.append(time.process_time() - began)
    assert np.median(seconds) < 0.005


def test_what_is_saved_judges_the_same(doubts: RecordedDoubts, tmp_path: Path) -> None:
    doubts.save(tmp_path / FILE)
    loaded = RecordedDoubts.load(tmp_path / FILE, feature_size=F, proprio_size=P)
    assert (loaded.limits, loaded.rate, loaded.false_calls) == (doubts.limits, doubts.rate, doubts.false_calls)
    parts = walk(100, chunks=30)
    assert judged(loaded, parts) == judged(doubts, parts)
    with pytest.raises(ConfigError, match="Train the policy again"):
        RecordedDoubts.load(tmp_path / FILE, feature_size=F + 1, proprio_size=P)
    (tmp_path / FILE).write_bytes(b"x" * 100)
    with pytest.raises(ConfigError, match="damaged"):
        RecordedDoubts.load(tmp_path / FILE, feature_size=F, proprio_size=P)


def table_source(request: TrainRequest, on_progress: object) -> TrainingTable:
    return synthetic_table()


def test_training_saves_the_doubts_beside_the_noise_policy_and_loading_reads_them(tmp_path: Path) -> None:
    request = TrainRequest(
        kind="dsbc",
        root=tmp_path,
        episodes=(),
        out=tmp_path / "policy",
        fingerprint="toy-1",
        source=f"{__name__}:table_source",
        settings=DsbcSettings(network=NetworkSettings(hidden=32, layers=1), fit=FitSettings(least_steps=0, steps=10)),
    )
    run_request(request, ignore_progress)
    policy = load_noise_policy(tmp_path / "policy", "toy-1")
    assert isinstance(policy.doubts, RecordedDoubts)
    assert np.isfinite(policy.doubts.limits["spread"])
    observation = PointWorld().reset(task="reach_left", seed=0)
    spread = policy.spread(Context(payload=None, features=synthetic_table().features[0], captured_ns=0), observation)
    assert spread is not None
    assert spread > 0.0
    (tmp_path / "policy" / FILE).unlink()
    assert load_noise_policy(tmp_path / "policy", "toy-1").doubts is None


def test_a_policy_of_actions_has_no_doubts(tmp_path: Path) -> None:
    request = TrainRequest(
        kind="bc-gaussian",
        root=tmp_path,
        episodes=(),
        out=tmp_path / "policy",
        fingerprint="toy-1",
        source=f"{__name__}:table_source",
        settings=BcSettings(network=NetworkSettings(hidden=32, layers=1), fit=FitSettings(least_steps=0, steps=10)),
    )
    run_request(request, ignore_progress)
    assert not (tmp_path / "policy" / FILE).exists()
