"""What episodes are for: noises that regenerate their chunks, training tables, films, and the command line."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from frs_core.candidates.fan import build_fan
from frs_core.commands import episodes as commands
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.check import TOLERANCE, FeaturePolicy, check
from frs_core.episodes.dataset import load_chunks
from frs_core.episodes.export_mp4 import export_mp4, film_frame
from frs_core.episodes.formats import exporter
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, StepRecord
from frs_core.errors import ConfigError, EpisodeError, FingerprintMismatch, TrainingError
from frs_core.events import Driver, Latency, Outcome
from frs_core.learning.episode_table import training_table
from frs_core.learning.records import table_from_records
from frs_core.learning.settings import InputSettings
from frs_core.policies.base import Context
from frs_core.steering.candidates import UNSTEERED
from frs_core.steering.directions import Gripper
from frs_core.steering.methods import Method, SteeringPlan
from tests.fakes.episodes import record, record_versions
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld


class FeatureToyPolicy(ToyPolicy):
    """A toy whose context is its features."""

    def context_from_features(self, features):
        return Context(None, features, 0)


def drive(
    recorder: JournalRecorder,
    picks: list[str],
    *,
    policy: ToyPolicy,
    plan: SteeringPlan | None = None,
    seed: int = 0,
    outcome: Outcome = Outcome.SUCCESS,
) -> str:
    """Record an episode of real fans in the point world; returns its name."""
    world, plan = PointWorld(), plan or policy.default_plan
    now = world.reset(task="reach_left", seed=seed)
    spec = policy.spec
    meta = EpisodeMeta.of(
        spec,
        now,
        task="reach_left",
        seed=seed,
        world="point",
        is_simulated=True,
        control_hz=15.0,
        plan=plan,
        started_unix=time.time(),
    )
    name = recorder.begin(meta)
    for index, label in enumerate(picks):
        context = policy.encode(now)
        fan = build_fan(policy, context, now, plan=plan.with_seed(index))
        c, boundary, snapshot, steps = fan[label], now, world.snapshot(), []
        for row in range(spec.execute_rows):
            before = now if row == 0 else world.observe()
            done = world.step(c.chunk[row], spec.action_space.kind)
            steps.append(StepRecord(row, before, c.chunk[row], done.executed, done.clipped, done.reason))
        now = world.observe()
        recorder.chunk(
            ChunkRecord(
                index=index,
                parent=index - 1,
                observation=boundary,
                features=context.features,
                offered_labels=tuple(x.label for x in fan.candidates),
                offered_kinds=tuple(x.kind for x in fan.candidates),
                offered_chunks=np.stack([x.chunk for x in fan.candidates]),
                offered_noises=np.stack([x.noise for x in fan.candidates]),
                offered_paths=np.stack([x.path for x in fan.candidates]),
                offered_verdicts=tuple(x.verdict for x in fan.candidates),
                picked=label,
                driver=Driver.SCRIPTED,
                device="script",
                reason="test",
                is_correction=False,
                noise=c.noise,
                recovered=c.noise if c.recovered is None else c.recovered,
                chunk=c.chunk,
                unsteered_chunk=fan[UNSTEERED].chunk,
                plan=fan.plan,
                gripper=Gripper.POLICY,
                instruction=boundary.instruction,
                steps=tuple(steps),
                after=now,
                latency=Latency(fan.encode_ms, fan.steer_ms),
                snapshot=snapshot,
                started_ns=time.monotonic_ns(),
            )
        )
    recorder.end(outcome)
    return name


PICKS = ["left/more", UNSTEERED, "up/less", "left/more"]


@pytest.fixture
def store(tmp_path):
    return EpisodeStore(tmp_path)


@pytest.mark.parametrize(
    "plan",
    [
        SteeringPlan(components=1),
        SteeringPlan(depth=6),
        SteeringPlan(method=Method.SAMPLE_AND_RANK, samples=4),
        SteeringPlan(method=Method.FLOW_CONTROL),
    ],
    ids=["calibrated", "depth 6", "sample and rank", "flow control"],
)
def test_stored_noises_regenerate_stored_chunks_from_pictures_and_from_features(store, plan):
    policy = FeatureToyPolicy()
    name = drive(JournalRecorder(store), PICKS, policy=policy, plan=plan)
    episode = store.open(name)
    for from_features in (None, False):
        report = check(episode, policy, from_features=from_features)
        assert report.uses_features is (from_features is None)
        assert report.n_checked == 4
        assert report.worst < 1e-6
        assert report.is_good


@pytest.mark.parametrize("method", [Method.DIRECT, Method.PARTIAL_NOISING])
def test_chunks_without_a_noise_are_skipped_and_said_so(store, method):
    name = drive(JournalRecorder(store), PICKS, policy=ToyPolicy(), plan=SteeringPlan(method=method))
    report = check(store.open(name), ToyPolicy())
    assert not isinstance(ToyPolicy(), FeaturePolicy)
    assert [bool(c.skipped) for c in report.chunks] == [True, False, True, True]
    assert method.value in report.chunks[0].skipped


def test_a_policy_that_sees_the_boundary_picture_is_regenerated(store):
    """JPEG would not do: this policy's chunk depends on single pixels."""

    class PixelPolicy(ToyPolicy):
        def encode(self, observation):
            context = super().encode(observation)
            pixels = observation.frames["left"].image.astype(np.int64)
            return dataclasses.replace(context, payload=float((pixels * np.arange(1, 4)).sum() % 997) / 997)

        def velocity(self, context, x, t):
            return super().velocity(context, x, t) + context.payload

    policy = PixelPolicy()
    name = drive(JournalRecorder(store), PICKS, policy=policy)
    report = check(store.open(name), policy)
    assert report.n_checked == 4
    # Not 0: a row of the fan's batch of 13 rounds differently from a batch of one.
    assert report.worst < 1e-6
    assert (store.open(name).frame("left", 0) != store.open(name).boundary_image("left", 0)).any()


def test_another_policy_is_refused_and_a_changed_one_is_found_out(store):
    class Drifted(ToyPolicy):
        def velocity(self, context, x, t):
            return super().velocity(context, x, t) * 1.05

    name = drive(JournalRecorder(store), PICKS, policy=ToyPolicy())
    with pytest.raises(FingerprintMismatch, match="toy-2"):
        check(store.open(name), ToyPolicy(fingerprint="toy-2"))
    report = check(store.open(name), Drifted())
    assert report.worst > TOLERANCE
    assert not report.is_good


def test_snapshots_replay_the_recorded_motion(store):
    name = drive(JournalRecorder(store), PICKS, policy=ToyPolicy())
    episode, world = store.open(name), PointWorld()
    for index in range(4):
        world.restore(episode.snapshot(index))
        for step in episode.steps_of(index):
            np.testing.assert_array_equal(world.observe().q, episode.arrays["steps/q"][step])
            world.step(episode.arrays["steps/action_asked"][step], episode.meta.action_space.kind)
        np.testing.assert_array_equal(world.observe().T_base_tcp, episode.chunk(index).after.T_base_tcp)


def test_the_table_holds_the_successes_main_lines_only(store):
    policy, recorder = ToyPolicy(), JournalRecorder(store)
    names = [
        drive(recorder, PICKS, policy=policy, seed=1),
        drive(recorder, PICKS[:2], policy=policy, outcome=Outcome.FAILURE),
        drive(recorder, PICKS[:3], policy=policy, seed=2),
    ]
    episodes = [store.open(n) for n in names]
    table = load_chunks(episodes)
    assert table.rows == 7
    assert [e.name for e in table.episodes] == [names[0], names[2]]
    assert list(table.episode) == [0] * 4 + [1] * 3
    assert table.picked == (*PICKS, *PICKS[:3])
    assert table.features.shape == (7, 8)
    assert table.is_noise.all()
    np.testing.assert_array_equal(table.executed_rows, [4] * 7)
    np.testing.assert_array_equal(table.observation(5).proprio, table.proprio[5])
    np.testing.assert_array_equal(table.images("wrist")[4], episodes[2].boundary_image("wrist", 0))
    assert load_chunks(episodes, outcomes=tuple(Outcome)).rows == 9
    with pytest.raises(TrainingError, match="1 episode given, 0 with outcome success"):
        load_chunks([episodes[1]])


def test_the_training_table_equals_the_one_made_in_memory(store):
    policy, recorder = ToyPolicy(), JournalRecorder(store)
    names = [drive(recorder, PICKS, policy=policy, seed=s) for s in (1, 2)]
    episodes = [store.open(n) for n in names]
    inputs = InputSettings(cameras=("left", "wrist"))
    got = training_table(load_chunks(episodes), inputs=inputs)
    want = table_from_records([e.record(has_images=True) for e in episodes], inputs=inputs)
    for field in ("features", "proprio", "noise", "chunk", "episode", "images"):
        np.testing.assert_array_equal(getattr(got, field), getattr(want, field))
    assert (got.names, got.picked, got.plan, got.fingerprint) == (want.names, want.picked, want.plan, want.fingerprint)
    assert {k: got.provenance[k] for k in want.provenance} == dict(want.provenance)
    with pytest.raises(FingerprintMismatch):
        training_table(load_chunks(episodes), fingerprint="other")


def test_noises_that_are_not_at_time_zero_are_no_labels(store):
    name = drive(JournalRecorder(store), PICKS, policy=ToyPolicy(), plan=SteeringPlan(depth=5))
    table = load_chunks([store.open(name)])
    assert list(table.is_noise) == [False, True, False, False]
    assert np.isnan(training_table(table).noise[0]).all()


def test_a_film_has_one_frame_per_step_and_shows_the_pick(store, tmp_path):
    import av

    name = drive(JournalRecorder(store), PICKS, policy=ToyPolicy())
    episode = store.open(name)
    path = export_mp4(episode, tmp_path / "out" / "film.mp4")
    named = exporter("mp4")(episode, tmp_path / "named.mp4")
    # H.264 encoders do not promise the same bytes twice; a frame is told from the others in any of them.
    frames = np.array([film_frame(episode, step, cameras=episode.cameras) for step in range(16)], dtype=int)
    for film_path in (path, named):
        with av.open(str(film_path)) as film:
            stream = film.streams.video[0]
            assert (stream.width, stream.height) == (192, 88)
            assert float(stream.average_rate) == 15.0
            shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
        assert [int(np.abs(frames - image).sum(axis=(1, 2, 3)).argmin()) for image in shown] == list(range(16))
    plain = film_frame(episode, 0, cameras=("left",), is_annotated=False)
    drawn = film_frame(episode, 0, cameras=("left",))
    np.testing.assert_array_equal(plain, episode.frame("left", 0))
    assert (drawn[:64] != plain).any(axis=-1).sum() > 10
    with pytest.raises(ConfigError, match="Unknown camera"):
        export_mp4(episode, tmp_path / "x.mp4", cameras=("back",))
    with pytest.raises(ConfigError, match="Unknown export format 'mp5'"):
        exporter("mp5")


def test_an_episode_is_shown_with_the_options_of_its_world(store, tmp_path, capsys):
    recorder = JournalRecorder(store)
    record(recorder)
    recorder.end(Outcome.SUCCESS)
    assert commands.show(("last",), data=tmp_path) == 0
    assert "world random · cameras near · friction 0.7 · objects 3" in " ".join(capsys.readouterr().out.split())


def test_show_names_the_version_that_drove_each_chunk(store, tmp_path, capsys) -> None:
    old, new, kept = "/data/learned/cup-1", "/data/learned/cup-2", "/p/stack_cups/dsrl/versions/0050"
    record_versions(JournalRecorder(store), [old, old, new, kept], learned={0, 2, 3})
    assert commands.show(("last",), data=tmp_path) == 0
    out = capsys.readouterr().out
    assert (
        "learned candidate of cup-1 (chunks 0 to 1), cup-2 (chunk 2), stack-cups-dsrl after 50 attempts (chunk 3)"
        in out
    )
    rows = {line.split()[0]: line for line in out.splitlines() if line[:5].strip().isdigit()}
    assert ["★" in rows[i] for i in "0123"] == [True, False, True, True]
    assert "★ cup-2" in rows["2"]
    record_versions(JournalRecorder(store), ["", ""], learned=set())
    assert commands.show(("last",), data=tmp_path) == 0
    assert "learned candidate" not in capsys.readouterr().out


def test_the_command_line_lists_shows_checks_and_mends(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("frs_core.policies.load_policy", lambda name, **options: FeatureToyPolicy())
    recorder = JournalRecorder(store)
    first = drive(recorder, PICKS, policy=ToyPolicy())
    second = drive(recorder, PICKS[:2], policy=ToyPolicy(), outcome=Outcome.FAILURE)

    def run(name: str, *args: object, **options: object) -> tuple[int, str]:
        status = commands.COMMANDS[name](*args, **options, data=tmp_path)
        return status, capsys.readouterr().out

    status, out = run("list")
    assert status == 0
    assert first in out
    assert "2 episodes, 1 success, 0 damaged" in out
    status, out = run("show", ("last",))
    assert second in out
    assert "left/more" in out
    status, out = run("check")
    assert status == 0
    assert "2 of 2 episodes good" in out
    run("relabel", (second[-5:],), outcome=Outcome.SUCCESS, note="[bracketed] note")
    assert "[bracketed] note" in run("list")[1]
    run("bin", (first,))
    assert first not in run("list")[1]
    assert first in run("list", binned=True)[1]
    run("restore", (first,))
    film = tmp_path / "f.mp4"
    assert "16 frames" in run("export-mp4", first, out=film)[1]
    assert film.stat().st_size > 1000
    with pytest.raises(EpisodeError, match="Nothing to change"):
        commands.relabel((first,), data=tmp_path)
    victim = next((store.path(first) / "chunks" / "noise" / "c").rglob("0"))
    while victim.is_dir():
        victim = next(victim.rglob("0"))
    data = bytearray(victim.read_bytes())
    data[9] ^= 1
    victim.write_bytes(data)
    status, out = run("check")
    assert status == 1
    assert "chunks/noise/c" in out
    assert "1 of 2 episodes good" in out


def test_the_command_line_recovers_and_bins_what_a_crash_left(store, tmp_path, capsys):
    from tests.fakes.episodes import record

    recorder = JournalRecorder(store)
    names = []
    for seed in range(2):
        names.append(record(recorder, seed, count=1, size=8))
        recorder.abort()
    assert commands.recover(data=tmp_path) == 0
    assert "2 unfinished episodes" in capsys.readouterr().out
    assert commands.recover((names[0],), data=tmp_path) == 0
    assert commands.recover(all=True, bin=True, data=tmp_path) == 0
    assert [i.name for i in store.list()] == [names[0]]
    assert [i.name for i in store.list(binned=True)] == [names[1]]
    commands.recover(data=tmp_path)
    assert "0 unfinished episodes" in capsys.readouterr().out
    with pytest.raises(EpisodeError, match="fits 0 unfinished"):
        commands.recover(("nothing",), data=tmp_path)


def test_own_formats_plug_in_by_import_path(store, tmp_path, capsys):
    name = drive(JournalRecorder(store), PICKS[:1], policy=ToyPolicy())
    commands.export((name,), format="tests.core.test_episodes_use:count_steps", out=tmp_path / "n.txt", data=tmp_path)
    assert (tmp_path / "n.txt").read_text() == "4"
    commands.import_(tmp_path, format="tests.core.test_episodes_use:make_one", data=tmp_path / "other")
    assert len(EpisodeStore(tmp_path / "other").list()) == 1


def count_steps(episode, path: Path) -> Path:
    """Write how many steps an episode has."""
    path.write_text(str(episode.n_steps))
    return path


def make_one(source: Path, store: EpisodeStore) -> str:
    """Make an episode out of nothing."""
    return drive(JournalRecorder(store), [UNSTEERED], policy=ToyPolicy())
