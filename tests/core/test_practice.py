"""Practice: rounds that any number of actors drive, a log that survives a kill at any moment, the best version kept."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.commands import practise as practise_commands
from frs_core.commands import train as train_commands
from frs_core.commands.stats import stats
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.lock import StoreLock
from frs_core.errors import ConfigError, FingerprintMismatch, TrainingError
from frs_core.evaluation.arena import open_arena
from frs_core.evaluation.collect import collect_steered
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.monitor import Driven, Monitor
from frs_core.evaluation.practice import run_practice
from frs_core.evaluation.rollout import MethodRunner, RolloutSettings
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings, Practice, Progress, TrainRequest
from frs_core.learning.base import OnlineLearner
from frs_core.learning.online import Practised, practise
from frs_core.learning.pick_q_policy import PickQPolicy
from frs_core.learning.practice_folder import STATE
from frs_core.learning.practice_log import Point, PracticeLog
from frs_core.learning.progress import ignore_progress
from frs_core.learning.registry import find_learner, load_noise_policy
from frs_core.learning.settings import DsrlFrsSettings, LearnerSettings, PickQSettings, ResidualSettings
from frs_core.learning.store import load_table
from frs_core.learning.table import End, TrainingTable
from frs_core.learning.table_file import read_table, write_table
from frs_core.policies import NamedPolicy
from frs_core.steering.policy_spec import Context
from frs_core.testing.learner import synthetic_table
from tests.fakes.evaluation import MAX_CHUNKS, TASK, make_setup
from tests.fakes.world import PointWorld

SMALL = PickQSettings(
    draws=2,
    hidden=16,
    heads=2,
    first_steps=20,
    steps=2,
    refit_every=3,
    imitation=DsbcSettings(
        network=NetworkSettings(hidden=16, layers=1), fit=FitSettings(steps=20, least_steps=0, batch_size=16)
    ),
)
SAC: dict[str, Any] = {
    "network": NetworkSettings(hidden=16, layers=1),
    "updates_per_chunk": 1,
    "critic_first": 5,
    "batch_size": 16,
    "warm_up": 1,
}
PRACTICE = Practice(
    world="tests.fakes.world:PointWorld",
    episodes=4,
    round_episodes=2,
    judge_every=2,
    judged_scenes=2,
    max_chunks=3,
    first_seed=700,
)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steered successes to start from."""
    return record_successes(tmp_path_factory.mktemp("data"))


def record_successes(root: Path) -> Path:
    """Record two steered successes and return their root."""
    here, settings = make_setup(), RolloutSettings(max_chunks=MAX_CHUNKS)
    collect_steered(here, EpisodeStore(root), task=TASK, count=2, first_seed=10, settings=settings)
    here.close()
    return root


def request(
    data: Path, out: Path, *, practice: Practice = PRACTICE, settings: LearnerSettings = SMALL, kind: str = "pick-q"
) -> TrainRequest:
    return TrainRequest(
        kind=kind,
        root=data,
        episodes=(),
        out=out,
        fingerprint="",
        task=TASK,
        policy=NamedPolicy("tests.fakes.policy:ToyPolicy"),
        settings=settings,
        practice=practice,
    )


def practised(asked: TrainRequest, folder: Path | None, *, killed_at: int = 0) -> Practised:
    """Practise in this process; `killed_at` ends it as a kill would, after a number of episodes of this run."""
    learner, seen = find_learner(asked.kind).load(), 0
    prior = load_table(asked, ignore_progress) if learner.spec.starts_from_recordings else None
    assert isinstance(learner, OnlineLearner)

    def reported(progress: Progress) -> None:
        nonlocal seen
        seen += 1
        if seen == killed_at:
            raise Killed

    arena = open_arena(asked)
    try:
        log = PracticeLog(folder, asked, prior)
        return practise(learner, arena, asked, prior=prior, log=log, on_progress=reported)
    finally:
        arena.close()


def numbers(done: Practised) -> Iterator[Array]:
    for name, weights in sorted(done.trained.weights.items()):
        yield np.append(weights.numpy().ravel(), len(name))
    for table in done.own:
        yield table.noise
    yield np.array([(p.episodes, p.successes, p.own_successes, p.chunks) for p in done.curve])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("pick-q", SMALL),
        ("dsrl-frs", DsrlFrsSettings(**SAC, fit=SMALL.imitation.fit)),
        ("residual", ResidualSettings(**SAC)),
    ],
)
def test_a_killed_practice_ends_with_the_same_numbers(
    tmp_path: Path, data: Path, kind: str, settings: LearnerSettings
) -> None:
    asked = request(data, tmp_path / "out", kind=kind, settings=settings)
    whole = list(numbers(practised(asked, None)))
    for episodes in (1, 1, 2):
        with pytest.raises(Killed):
            practised(asked, tmp_path / "log", killed_at=episodes)
    again = list(numbers(practised(asked, tmp_path / "log")))
    assert len(whole) == len(again)
    for one, two in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, two)


def test_actors_in_other_processes_drive_the_same_episodes_and_the_best_version_is_kept(
    tmp_path: Path, data: Path
) -> None:
    asked = request(data, tmp_path / "out", practice=replace(PRACTICE, episodes=2))
    points: list[Point] = []
    other = StoreLock(tmp_path / "log" / ".actors.lock")
    with pytest.raises(ConfigError, match="is being practised in by process"):
        run_practice(asked, tmp_path / "log")
    other.release()
    # As a kill would leave it.
    (tmp_path / "log" / "actors" / "actor-1").mkdir(parents=True)
    done = run_practice(asked, tmp_path / "log", actors=2, on_point=points.append)
    alone = practised(asked, None)
    assert points == list(done.curve)
    for mine, theirs in zip(points, alone.curve, strict=True):
        assert replace(mine, minutes=0.0) == replace(theirs, minutes=0.0)
    assert (tmp_path / "log" / "curve.png").is_file()
    assert not list((tmp_path / "log").glob("actors/*"))
    here = make_setup()
    policy = load_noise_policy(done.path, here.policy.spec.fingerprint)
    here.close()
    assert policy.name == "out"
    more = run_practice(replace(asked, practice=replace(PRACTICE, episodes=4)), tmp_path / "log", actors=1)
    assert [p.episodes for p in more.curve] == [0, 2, 4]


def test_the_commands_say_what_they_did(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_commands.command("pick-q")(task=TASK, data=data, out=tmp_path / "trained", settings=SMALL) == 0
    reported = capsys.readouterr().out
    assert "nan" not in reported
    assert "from 2 episodes" in reported
    practice = replace(PRACTICE, episodes=1, judge_every=1, judged_scenes=1)
    options = {"policy": "tests.fakes.policy:ToyPolicy", "practice": practice, "settings": SMALL, "actors": 1}
    places = {"folder": tmp_path / "log", "out": tmp_path / "practised"}
    assert practise_commands.command("pick-q")(task=TASK, data=data, **options, **places) == 0
    reported = capsys.readouterr().out
    assert "after     1 episode" in reported
    assert "practised 1 episode" in reported
    asked = practise_commands.with_preset(replace(PRACTICE, judge_every=50), practise_commands.PRESETS["two-rounds"])
    assert asked == replace(PRACTICE, judge_every=10)
    two = practise_commands.with_preset(Practice(world="droid"), practise_commands.PRESETS["two-rounds"])
    assert two == Practice(world="droid", episodes=20, round_episodes=10, judge_every=10)
    with pytest.raises(ConfigError, match=r"does not practise. Use `frs train dsbc`"):
        practise_commands.command("dsbc")


def test_of_versions_that_did_equally_well_the_latest_is_the_best(tmp_path: Path, data: Path) -> None:
    log = PracticeLog(None, request(data, tmp_path / "out"), None)
    looks = ((0, 14), (50, 19), (100, 17), (150, 19))
    log.curve = tuple(Point(episodes, wins, 20, 15.0 + episodes, 0, 0, 0.0) for episodes, wins in looks)
    assert log.best is not None
    assert log.best.episodes == 150


def test_another_practice_in_the_same_folder_is_refused(tmp_path: Path, data: Path) -> None:
    asked = request(data, tmp_path / "out")
    prior = load_table(asked, ignore_progress)
    PracticeLog(tmp_path / "log", asked, prior)
    other = replace(asked, settings=replace(SMALL, discount=0.9))
    with pytest.raises(ConfigError, match=r"discount was 0\.97, asked for 0\.9"):
        PracticeLog(tmp_path / "log", other, prior)
    (tmp_path / "log" / STATE).write_bytes(b"torn")
    with pytest.raises(ConfigError, match="damaged"):
        PracticeLog(tmp_path / "log", asked, prior)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(data, tmp_path / "out", practice=replace(PRACTICE, judge_every=0, episodes=2))

    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("frs_core.runtime.files.os.fsync", refuse)
        with pytest.raises(TrainingError, match="No space left"):
            practised(asked, tmp_path / "log")
    assert len(practised(asked, tmp_path / "log").own) == 1


def test_a_folder_that_is_removed_meanwhile_is_told_and_not_made_again(tmp_path: Path, data: Path) -> None:
    asked = request(data, tmp_path / "out", practice=replace(PRACTICE, judge_every=0))
    folder, moved = tmp_path / "log", tmp_path / "elsewhere"
    with pytest.raises(ConfigError, match=r"was removed while it was in use\. Bring it back and continue"):
        run_practice(asked, folder, actors=1, monitor=_Mover(folder, moved))
    assert not (folder / "episodes").exists()
    shutil.rmtree(folder, ignore_errors=True)
    moved.rename(folder)
    assert run_practice(asked, folder, actors=1).episodes == 4


class _Mover(Monitor):
    """Takes the folder away after the first episode."""

    def __init__(self, folder: Path, moved: Path) -> None:
        self._folder, self._moved = folder, moved

    def drove(self, episode: Driven) -> None:
        """Take it away, once."""
        if not self._moved.exists():
            self._folder.rename(self._moved)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")]
)
def test_too_little_memory_is_told_in_a_sentence(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr("frs_core.evaluation.practice.practise", refuse)
    monkeypatch.setattr("frs_core.evaluation.practice.ActorPool", lambda *_arguments, **_named: Onlooking())
    with pytest.raises(TrainingError, match="not enough memory to continue"):
        run_practice(request(data, tmp_path / "out"), tmp_path / "log")


class Onlooking:
    """Stands for an arena that nobody drives in."""

    def close(self) -> None:
        """Nothing to free."""


def test_a_policy_that_the_disk_has_no_room_for_is_told_in_a_sentence(tmp_path: Path) -> None:
    code = (
        "import resource, torch; from pathlib import Path; from frs_core.learning import artifact; "
        "from frs_core.learning.metadata import PolicyMetadata; from frs_core.errors import TrainingError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "metadata = PolicyMetadata(kind='x', name='x', policy_fingerprint='f', horizon=1, width=1, action_size=1, feature_size=0, "
        "proprio_size=0, settings={}, data={}, metrics={})\n"
        f"try: artifact.save(Path({str(tmp_path / 'policy')!r}), {{'w': torch.zeros(100_000)}}, metadata)\n"
        "except TrainingError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert "could not be written" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert not list(tmp_path.iterdir())


def test_episodes_it_cannot_start_from_are_refused_in_a_sentence(tmp_path: Path, data: Path) -> None:
    asked = request(data, tmp_path / "out")
    learner, prior = find_learner("pick-q").load(), load_table(asked, ignore_progress)
    assert isinstance(learner, OnlineLearner)
    with pytest.raises(TrainingError, match="None of 2 episodes is a success"):
        learner.begin(None, SMALL, prior=prior.with_outcomes([False, False]))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TrainingError, match="no outcomes"):
        learner.begin(None, SMALL, prior=replace(prior, reward=None))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TrainingError, match="non-finite features"):
        learner.begin(None, SMALL, prior=replace(prior, features=prior.features * np.nan))  # pyright: ignore[reportArgumentType]
    arena, stranger = open_arena(asked), replace(prior, fingerprint="another")
    log = PracticeLog(None, asked, stranger)
    with pytest.raises(FingerprintMismatch):
        practise(learner, arena, asked, prior=stranger, log=log)
    arena.close()


def test_recorded_failures_end_with_what_was_seen_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, store = make_setup(), EpisodeStore(tmp_path)
    runner = MethodRunner(
        find_method("base"), here, settings=RolloutSettings(max_chunks=1), recorder=JournalRecorder(store)
    )
    runner.run(task=TASK, seed=1)
    here.close()
    asked = request(tmp_path, tmp_path / "out")
    table = load_table(asked, ignore_progress)
    (end,) = table.ends
    assert not end.succeeded
    assert end.features is not None
    assert end.offer is not None
    assert end.offer.labels == table.offers[0].labels  # pyright: ignore[reportOptionalMemberAccess]
    assert np.isfinite(table.after().features).all()
    capsys.readouterr()
    assert stats(data=tmp_path, replay=True) == 0
    reported = capsys.readouterr().out
    assert "1 of 1" in reported
    assert "record at least one" in reported


def test_a_noise_is_not_worth_more_for_being_used_near_the_end() -> None:
    """All episodes succeed, whatever is done; noises go up early and down late, where values are high."""
    phase = np.tile(np.arange(8) / 7.0, 6).astype(np.float32)
    table = synthetic_table(episodes=6, chunks=8)
    noise = np.where(phase < 0.5, 1.0, -1.0)[:, None, None] * np.ones((1, 8, 7))
    seen = phase[:, None] + 0.3 * np.random.default_rng(0).normal(size=(48, 12))
    table = replace(
        table,
        noise=noise.astype(np.float32),
        features=seen.astype(np.float32),
        proprio=np.tile(PointWorld().reset().proprio, (48, 1)),
    )
    table = table.with_outcomes([True] * 6)
    early, seen_early = PointWorld().reset(), Context(payload=None, features=table.features[1], captured_ns=0)

    def preference(shrinkage: float) -> float:
        settings = replace(SMALL, shrinkage=shrinkage, discount=0.8, first_steps=300)
        policy = find_learner("pick-q").load().train(table, settings).policy()
        assert isinstance(policy, PickQPolicy)
        up, down = policy.judge(seen_early, early, np.stack([noise[0], noise[7]]).astype(np.float32)).values
        return float(down - up)

    assert preference(0.0) > 0.05
    assert preference(1.0) < 0.5 * preference(0.0)


def test_a_table_survives_the_disk(tmp_path: Path, data: Path) -> None:
    prior = load_table(request(data, tmp_path), ignore_progress)
    end = End(False, prior.features[0], prior.proprio[0], prior.offers[0])
    for table in (
        prior.with_outcomes([True, False], ends=[End(True), end]),
        synthetic_table().with_outcomes([True] * 4),
    ):
        write_table(tmp_path / "a.table", table)
        again = read_table(tmp_path / "a.table")
        assert_same(table, again)


def assert_same(one: TrainingTable, two: TrainingTable) -> None:
    for name in ("features", "proprio", "noise", "chunk", "episode", "reward", "following"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.names, one.picked, one.driver, one.plan) == (two.names, two.picked, two.driver, two.plan)
    assert len(one.offers) == len(two.offers)
    for offer, other in zip(
        (*one.offers, *(e.offer for e in one.ends)), (*two.offers, *(e.offer for e in two.ends)), strict=True
    ):
        assert (offer is None) == (other is None)
        if offer is not None and other is not None:
            assert offer.labels == other.labels
            np.testing.assert_array_equal(offer.noises, other.noises)
