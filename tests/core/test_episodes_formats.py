"""DROID raw and LeRobot v2.1: what is written is read back, what is read is what was recorded."""

import json
import os
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as parquet
import pytest

from frs_core.episodes import Episode, EpisodeStore, JournalRecorder
from frs_core.episodes.droid_rows import droid_actions, flange_numbers
from frs_core.episodes.export_droid import export_droid
from frs_core.episodes.export_lerobot import SOURCES, export_lerobot
from frs_core.episodes.import_droid import import_droid
from frs_core.episodes.video import read_video, write_video
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind
from tests.fakes.droid_trajectory import SERIALS, picture, write_trajectory
from tests.fakes.episodes import record
from tests.waiting import LONG_S

DROID_PYTHON, DROID_CHECKOUT = os.environ.get("FRS_DROID_PYTHON", ""), os.environ.get("FRS_DROID_CHECKOUT", "")
LEROBOT_PYTHON = os.environ.get("FRS_LEROBOT_PYTHON", "")


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore(tmp_path / "data")


@pytest.fixture(scope="module")
def trajectory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trajectory(tmp_path_factory.mktemp("droid") / "Thu_Apr_20_14:13:20_2023")


@pytest.fixture(scope="module")
def imported(trajectory: Path, tmp_path_factory: pytest.TempPathFactory) -> Episode:
    store = EpisodeStore(tmp_path_factory.mktemp("data"))
    return store.open(import_droid(trajectory, store))


def test_a_trajectory_becomes_an_episode_with_all_its_moving_steps(trajectory, imported) -> None:
    episode = imported
    assert (episode.n_steps, episode.n_chunks) == (27, 4)
    assert episode.outcome is Outcome.SUCCESS
    assert episode.meta.instruction == "put the cup away"
    assert episode.meta.operator == "Ada"
    assert episode.meta.started_unix == pytest.approx(1_682_000_000.134)
    keep = [i for i in range(30) if i not in (0, 1, 10)]
    with h5py.File(trajectory / "trajectory.h5") as file:
        np.testing.assert_allclose(episode.arrays["steps/q"], file["observation/robot_state/joint_positions"][:][keep])
        np.testing.assert_allclose(
            episode.arrays["steps/action_sent"][:, :7], file["action/joint_velocity"][:][keep], atol=1e-6
        )
    assert episode.arrays["steps/action_sent"][:, 7].max() == 1.0
    np.testing.assert_array_equal(np.diff(episode.arrays["steps/captured_ns"])[:3], [67_000_000] * 3)


@pytest.mark.parametrize("is_stereo", [False, True])
def test_each_step_has_its_own_left_eye_picture_of_the_right_camera(store, tmp_path, is_stereo) -> None:
    folder = write_trajectory(tmp_path / "t", steps=12, skipped=(3,), is_stereo=is_stereo)
    episode = store.open(import_droid(folder, store, rows=5))
    assert episode.cameras == ("left", "right", "wrist")
    for camera in episode.cameras:
        for step, frame in ((0, 0), (2, 2), (3, 4), (10, 11)):
            error = np.abs(episode.frame(camera, step).astype(float) - picture(camera, frame))
            assert error.mean() < 8.0, (camera, step)


def test_calibration_comes_along_at_the_size_of_the_pictures(store, trajectory) -> None:
    episode = store.open(import_droid(trajectory, store, width=160))
    left = episode.calibration("left", 0)
    assert left is not None
    assert (left.width, left.height) == (160, 90)
    np.testing.assert_allclose(left.K[0], [130.0, 0.0, 79.5])
    assert left.T_base_camera[1, 3] == pytest.approx(0.6)
    wrist = episode.calibration("wrist", 5)
    assert wrist is not None
    np.testing.assert_allclose(wrist.T_base_camera, kinematics.flange_pose(episode.arrays["steps/q"][5]), atol=1e-6)


def test_a_demonstration_is_no_noise_label_but_a_whole_record(imported) -> None:
    chunk = imported.chunk(3)
    assert chunk.picked == "demonstration"
    assert np.isnan(chunk.noise).all()
    assert len(chunk.steps) == 3
    np.testing.assert_array_equal(chunk.chunk[3:], np.repeat(chunk.chunk[2:3], 5, axis=0))
    assert chunk.after.captured_ns >= chunk.steps[-1].observation.captured_ns


def test_films_are_matched_by_time_stamps_when_a_frame_was_dropped(store, tmp_path) -> None:
    folder = write_trajectory(tmp_path / "t", steps=10, skipped=())
    for serial in SERIALS.values():
        film = folder / "recordings" / "MP4" / f"{serial}.mp4"
        stamps = film.with_name(f"{serial}_timestamps.json")
        images = [i for n, i in enumerate(read_video(film)) if n != 4]
        write_video(film, images, hz=60)
        stamps.write_text(json.dumps([t for n, t in enumerate(json.loads(stamps.read_text())) if n != 4]))
    episode = store.open(import_droid(folder, store))
    for step, frame in ((3, 3), (4, 3), (5, 5), (9, 9)):
        assert np.abs(episode.frame("left", step).astype(float) - picture("left", frame)).mean() < 8.0, step


def test_damage_is_named_and_leaves_no_episode(store, tmp_path) -> None:
    with pytest.raises(EpisodeError, match=r"no trajectory\.h5"):
        import_droid(tmp_path, store)
    folder = write_trajectory(tmp_path / "t", steps=10)
    data = (folder / "trajectory.h5").read_bytes()
    (folder / "trajectory.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(EpisodeCorrupt, match=r"trajectory\.h5"):
        import_droid(folder, store)
    (folder / "trajectory.h5").write_bytes(data)
    (folder / "recordings" / "MP4" / f"{SERIALS['left']}.mp4").write_bytes(b"not a film")
    with pytest.raises(EpisodeError, match="is no film in MP4, Matroska or AVI"):
        import_droid(folder, store)
    assert store.list() == []


def test_out_and_in_again_keeps_states_actions_and_pictures(store, imported, tmp_path) -> None:
    first = imported
    folder = export_droid(first, tmp_path / "out")
    assert folder.parent.parent.name == "success"
    again = store.open(import_droid(folder, store))
    for name in ("steps/q", "steps/action_sent", "steps/gripper"):
        np.testing.assert_allclose(again.arrays[name], first.arrays[name], atol=1e-6, err_msg=name)
    assert again.meta.instruction == first.meta.instruction
    for camera in first.cameras:
        error = np.abs(again.frame(camera, 20).astype(float) - first.frame(camera, 20)).mean()
        assert error < 8.0, camera
        a, b = again.calibration(camera, 20), first.calibration(camera, 20)
        assert a is not None
        assert b is not None
        np.testing.assert_allclose(a.K, b.K)
        np.testing.assert_allclose(a.T_base_camera, b.T_base_camera, atol=1e-6)
    with pytest.raises(EpisodeError, match="already"):
        export_droid(first, tmp_path / "out")


def test_every_exported_leaf_has_one_row_per_step(imported, tmp_path) -> None:
    episode = imported
    folder = export_droid(episode, tmp_path)
    lengths = {}
    with h5py.File(folder / "trajectory.h5") as file:
        file.visititems(lambda name, x: lengths.update({name: len(x)}) if isinstance(x, h5py.Dataset) else None)
        assert file.attrs["success"]
    assert set(lengths.values()) == {27}
    assert {"action/joint_velocity", "action/cartesian_position", "action/gripper_velocity"} <= set(lengths)
    metadata = json.loads(next(folder.glob("metadata_*.json")).read_text())
    assert metadata["trajectory_length"] == 27
    assert (tmp_path / metadata["left_mp4_path"]).is_file()
    assert metadata["wrist_cam_serial"] == SERIALS["wrist"]


@pytest.mark.parametrize("kind", list(ActionKind))
def test_actions_say_the_same_in_all_spaces(kind) -> None:
    rng = np.random.default_rng(0)
    q = np.array([0.0, -0.63, 0.0, -2.51, 0.0, 1.88, 0.0]) + rng.uniform(-0.3, 0.3, (6, 7))
    T = kinematics.flange_pose(q).copy()
    T[:, :3, 3] += 0.15 * T[:, :3, 2]
    arm = {
        ActionKind.EE_DELTA: rng.uniform(-0.01, 0.01, (6, 6)),
        ActionKind.JOINT_VELOCITY: rng.uniform(-0.3, 0.3, (6, 7)),
        ActionKind.JOINT_POSITION: q + rng.uniform(-0.05, 0.05, (6, 7)),
    }[kind]
    got = droid_actions(np.column_stack([arm, np.ones(6)]), kind, q=q, gripper=np.full(6, 0.5), T_base_tcp=T)
    np.testing.assert_allclose(got.joint_position - q, JOINT_STEP * got.joint_velocity)
    np.testing.assert_allclose(got.cartesian_position, flange_numbers(got.joint_position), atol=1e-9)
    np.testing.assert_allclose(got.gripper_velocity, 2.0)
    if kind is ActionKind.EE_DELTA:
        moved = kinematics.flange_pose(got.joint_position)
        tool = moved[:, :3, 3] + 0.15 * moved[:, :3, 2]
        np.testing.assert_allclose(tool - T[:, :3, 3], arm[:, :3], atol=1e-3)
    flange = kinematics.flange_pose(q)[:, :3, 3] + 0.075 * got.cartesian_velocity[:, :3]
    np.testing.assert_allclose(flange, got.cartesian_position[:, :3], atol=1e-9)


def test_episodes_become_one_lerobot_dataset(imported, tmp_path) -> None:
    episode = imported
    root = export_lerobot(episode, tmp_path / "dataset")
    (root / SOURCES).unlink()  # as if another episode had been added: this one is not known by name any more
    export_lerobot(episode, root)
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"], info["total_videos"]) == (2, 54, 1, 6)
    assert info["splits"] == {"train": "0:2"}
    assert info["features"]["exterior_image_1_left"]["shape"] == [180, 320, 3]
    table = parquet.read_table(root / "data/chunk-000/episode_000001.parquet")
    assert table["index"].to_pylist() == list(range(27, 54))
    np.testing.assert_allclose(np.array(table["actions"].to_pylist()), episode.arrays["steps/action_sent"], atol=1e-6)
    film = root / "videos/chunk-000/exterior_image_1_left/episode_000001.mp4"
    images = list(read_video(film))
    assert len(images) == 27
    assert images[0].shape == (180, 320, 3)
    assert np.abs(images[0].astype(float) - picture("left", 2)).mean() < 8.0
    lines = (root / "meta/episodes_stats.jsonl").read_text().splitlines()
    stats = json.loads(lines[1])["stats"]
    assert np.shape(stats["wrist_image_left"]["mean"]) == (3, 1, 1)
    assert stats["joint_position"]["count"] == [27]


def test_a_dataset_whose_name_is_no_utf_8_is_refused_before_anything_is_written(imported, tmp_path) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9")
    with pytest.raises(EpisodeError, match="is no UTF-8 text"):
        export_lerobot(imported, root)
    assert not root.exists()


def test_a_dataset_of_another_shape_is_refused_and_stays_as_it_was(store, imported, tmp_path) -> None:
    root = export_lerobot(imported, tmp_path / "dataset")
    before = (root / "meta/info.json").read_text()
    recorder = JournalRecorder(store)
    name = record(recorder, 3, count=2)
    recorder.end(Outcome.SUCCESS)
    with pytest.raises(EpisodeError, match="another folder"):
        export_lerobot(store.open(name), root)
    assert (root / "meta/info.json").read_text() == before
    assert export_lerobot(store.open(name), tmp_path / "other").is_dir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(EpisodeError, match="not empty"):
        export_lerobot(store.open(name), tmp_path / "full")


@pytest.mark.skipif(not (DROID_PYTHON and DROID_CHECKOUT), reason="FRS_DROID_PYTHON and FRS_DROID_CHECKOUT are not set")
def test_droids_own_reader_reads_an_exported_trajectory(imported, tmp_path) -> None:
    episode = imported
    folder = export_droid(episode, tmp_path)
    script = f"""
import json, sys
sys.path.insert(0, {DROID_CHECKOUT!r})
from droid.trajectory_utils.trajectory_reader import TrajectoryReader
from droid.camera_utils.recording_readers.mp4_reader import MP4Reader
reader = TrajectoryReader({str(folder / "trajectory.h5")!r}, read_images=False)
steps = [reader.read_timestep() for _ in range(reader.length())]
film = MP4Reader({str(folder / "recordings/MP4" / SERIALS["left"])!r} + ".mp4", "x")
film.set_reading_parameters(concatenate_images=True)
images = 0
while film.read_camera() is not None:
    images += 1
print(json.dumps([len(steps), images, list(steps[5]["action"]["joint_velocity"]),
                  bool(steps[-1]["observation"]["controller_info"]["success"])]))
"""
    done = subprocess.run([DROID_PYTHON, "-c", script], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr
    length, images, velocity, is_success = json.loads(done.stdout.splitlines()[-1])
    assert (length, images, is_success) == (27, 27, True)
    np.testing.assert_allclose(velocity, episode.arrays["steps/action_sent"][5, :7], atol=1e-6)


@pytest.mark.skipif(not (DROID_PYTHON and DROID_CHECKOUT), reason="FRS_DROID_PYTHON and FRS_DROID_CHECKOUT are not set")
def test_what_droids_own_writer_wrote_is_imported(store, trajectory, tmp_path) -> None:
    folder = tmp_path / "written"
    (folder / "recordings").mkdir(parents=True)
    (folder / "recordings" / "MP4").symlink_to(trajectory / "recordings" / "MP4")
    script = f"""
import sys
sys.path.insert(0, {DROID_CHECKOUT!r})
from droid.trajectory_utils.trajectory_reader import TrajectoryReader
from droid.trajectory_utils.trajectory_writer import TrajectoryWriter
reader = TrajectoryReader({str(trajectory / "trajectory.h5")!r}, read_images=False)
writer = TrajectoryWriter({str(folder / "trajectory.h5")!r}, metadata={{"user": "Ada", "current_task": "again"}}, save_images=False)
for _ in range(reader.length()):
    writer.write_timestep(reader.read_timestep())
writer.close(metadata={{"success": False, "failure": True}})
"""
    done = subprocess.run([DROID_PYTHON, "-c", script], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr
    episode = store.open(import_droid(folder, store))
    assert (episode.n_steps, episode.outcome, episode.meta.instruction) == (27, Outcome.FAILURE, "again")


@pytest.mark.skipif(not LEROBOT_PYTHON, reason="FRS_LEROBOT_PYTHON names no interpreter with lerobot 0.3")
@pytest.mark.timeout(900)
def test_lerobots_own_reader_reads_an_exported_dataset(imported, tmp_path) -> None:
    episode = imported
    root = export_lerobot(episode, tmp_path / "dataset")
    (root / SOURCES).unlink()
    export_lerobot(episode, root)
    script = f"""
import json
from lerobot.datasets.lerobot_dataset import LeRobotDataset
data = LeRobotDataset("frs/test", root={str(root)!r}, video_backend="pyav", delta_timestamps={{"actions": [0, 1 / 15]}})
item = data[30]
print(json.dumps([data.num_episodes, len(data), data.fps, item["task"], list(item["exterior_image_1_left"].shape),
                  item["actions"].tolist(), item["joint_position"].tolist(), item["exterior_image_1_left"].mean((1, 2)).tolist(),
                  data.meta.stats["actions"]["mean"].tolist()]))
"""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [LEROBOT_PYTHON, "-c", script], capture_output=True, text=True, timeout=840, check=False, env=variables
    )
    assert done.returncode == 0, done.stderr[-3000:]
    episodes, frames, fps, task, shape, actions, q, colours, mean = json.loads(done.stdout.splitlines()[-1])
    assert (episodes, frames, fps, task, shape) == (2, 54, 15, "put the cup away", [3, 180, 320])
    np.testing.assert_allclose(actions, episode.arrays["steps/action_sent"][3:5], atol=1e-6)
    np.testing.assert_allclose(q, episode.arrays["steps/q"][3], atol=1e-6)
    np.testing.assert_allclose(colours, picture("left", 5).mean((0, 1)) / 255, atol=0.02)
    np.testing.assert_allclose(mean, episode.arrays["steps/action_sent"].mean(axis=0), atol=1e-5)
