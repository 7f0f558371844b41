"""LeRobot datasets in: what our export wrote comes back, v3.0's packing is followed, unstated meanings are refused."""

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import av
import cv2
import h5py
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from frs_core.cli import main
from frs_core.episodes import Episode, EpisodeStore, JournalRecorder
from frs_core.episodes.export_droid import export_droid
from frs_core.episodes.export_lerobot import export_lerobot
from frs_core.episodes.import_lerobot import import_lerobot
from frs_core.episodes.journal import JournalFile
from frs_core.episodes.layout import journal_dir
from frs_core.episodes.lerobot_versions import VERSIONS, joined_stats, number_stats
from frs_core.episodes.records import ChunkRecord
from frs_core.episodes.video import read_video, write_video
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import flange_pose
from frs_core.runtime import image_files
from tests.fakes.episodes import random_chunks, random_meta


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore(tmp_path / "data")


def small_steps(*args: Any, **options: Any) -> Iterator[ChunkRecord]:
    """Yield random chunks whose actions are within an arm's steps."""
    for chunk in random_chunks(*args, **options):
        steps = [dataclasses.replace(s, action_sent=0.1 * s.action_sent) for s in chunk.steps]
        yield dataclasses.replace(chunk, steps=tuple(steps))


def make_dataset(tmp_path: Path, *, version: str = "v2.1", hz: float = 12.5) -> Path:
    """Record two episodes and export them."""
    own = EpisodeStore(tmp_path / "own")
    for seed in (1, 2):
        recorder = JournalRecorder(own)
        name = recorder.begin(
            random_meta(seed, cameras=("left", "wrist"), instruction=f"task {seed} ☕️", control_hz=hz)
        )
        for chunk in small_steps(seed, count=2, cameras=("left", "wrist"), instruction=f"task {seed} ☕️"):
            recorder.chunk(chunk)
        recorder.end(Outcome.SUCCESS)
        export_lerobot(own.open(name), tmp_path / "dataset", version=VERSIONS[version])
    return tmp_path / "dataset"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_dataset(tmp_path)


def pack(root: Path) -> None:
    """Turn a dataset of two episodes into v3.0: one table, one film per camera, places in meta/episodes."""
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    cameras = [k for k, f in info["features"].items() if f["dtype"] == "video"]
    tables = sorted((root / "data").rglob("*.parquet"))
    joined = pyarrow.concat_tables([parquet.read_table(t) for t in tables])
    rows = []
    for line in (root / "meta/episodes.jsonl").read_text().splitlines():
        entry = json.loads(line) | {"data/chunk_index": 0, "data/file_index": 0}
        for camera in cameras:
            entry |= {f"videos/{camera}/chunk_index": 0, f"videos/{camera}/file_index": 0}
            entry[f"videos/{camera}/from_timestamp"] = 8 / 12.5 * entry["episode_index"]
        rows.append(entry)
    for camera in cameras:
        films = sorted((root / "videos").rglob(f"{camera}/*.mp4"))
        pictures = [image for film in films for image in read_video(film)]
        write_video(root / f"videos/{camera}/chunk-000/file-000.mp4", pictures, hz=12.5)
    (root / "data/chunk-000/file-000.parquet").parent.mkdir(exist_ok=True)
    parquet.write_table(joined, root / "data/chunk-000/file-000.parquet")
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    info |= {
        "codebase_version": "v3.0",
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    path.write_text(json.dumps(info))


@pytest.mark.parametrize("version", ["v2.1", "v3.0", "v3.0, several episodes per file"])
def test_what_was_exported_comes_back(store, tmp_path, version) -> None:
    dataset = make_dataset(tmp_path, version="v3.0" if version == "v3.0" else "v2.1")
    if version.endswith("file"):
        pack(dataset)
    names = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    own = EpisodeStore(tmp_path / "own")
    for info, name in zip(own.list(), names, strict=True):
        first, again = own.open(info.name), store.open(name)
        assert (again.meta.instruction, again.meta.control_hz) == (first.meta.instruction, 12.5)
        assert (again.cameras, again.meta.action_space.kind) == (("left", "wrist"), ActionKind.EE_DELTA)
        np.testing.assert_allclose(again.arrays["steps/q"], first.arrays["steps/q"], atol=1e-6)
        np.testing.assert_allclose(again.arrays["steps/action_sent"], first.arrays["steps/action_sent"], atol=1e-6)
        shown = again.frame("wrist", 5)[::6, ::6][:30, :30].astype(float).mean()
        assert abs(shown - first.frame("wrist", 5).astype(float).mean()) < 12


def test_a_dataset_whose_path_is_no_utf_8_is_said_to_be_that(store, dataset, tmp_path) -> None:
    odd = dataset.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(EpisodeError, match=r"has a path that is no UTF-8 text, .* rename it"):
        import_lerobot(odd, store, outcome=Outcome.SUCCESS)
    assert not store.list()


def packed_as_lerobot_does(root: Path) -> None:
    """Join a v3.0 dataset's files into one table, one film per camera and one list of episodes."""
    rows = [parquet.read_table(p).to_pylist()[0] for p in sorted((root / "meta/episodes").rglob("*.parquet"))]
    tables = [parquet.read_table(p) for p in sorted((root / "data").rglob("*.parquet"))]
    cameras = sorted(p.name for p in (root / "videos").iterdir())
    films = {c: [i for p in sorted((root / "videos" / c).rglob("*.mp4")) for i in read_video(p)] for c in cameras}
    for path in [*root.rglob("file-*.parquet"), *root.rglob("*.mp4")]:
        path.unlink()
    for at, row in enumerate(rows):
        row |= {k: 0 for k in row if k.endswith("/file_index")}
        row |= {f"videos/{c}/from_timestamp": 8 / 12.5 * at for c in cameras}
        row |= {f"videos/{c}/to_timestamp": 8 / 12.5 * (at + 1) for c in cameras}
    parquet.write_table(pyarrow.concat_tables(tables), root / "data/chunk-000/file-000.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    for camera, images in films.items():
        write_video(root / f"videos/{camera}/chunk-000/file-000.mp4", images, hz=12.5)


def test_a_dataset_with_several_episodes_per_file_is_read_and_not_added_to(store, tmp_path) -> None:
    root = make_dataset(tmp_path, version="v3.0")
    packed_as_lerobot_does(root)
    assert len(import_lerobot(root, store, outcome=Outcome.SUCCESS)) == 2
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    own = EpisodeStore(tmp_path / "own")
    recorder = JournalRecorder(own)
    name = recorder.begin(random_meta(3, cameras=("left", "wrist"), control_hz=12.5))
    for chunk in small_steps(3, count=2, cameras=("left", "wrist")):
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)
    with pytest.raises(EpisodeError, match=r"keeps several episodes in a file.*another folder.*lerobot-edit-dataset"):
        export_lerobot(own.open(name), root, version=VERSIONS["v3.0"])
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_an_outcome_is_asked_for_because_the_format_has_none(dataset, store) -> None:
    with pytest.raises(EpisodeError, match="--outcome"):
        import_lerobot(dataset, store)


def numbers(store: EpisodeStore) -> list[int]:
    """Return which episodes of a dataset a store has."""
    return [int(store.open(info.name).meta.world_options["episode"]) for info in store.list()]


def command(capsys: pytest.CaptureFixture[str], dataset: Path, store: EpisodeStore, *words: str) -> tuple[int, str]:
    """Run the import as a command and return its status and what it said."""
    with pytest.raises(SystemExit) as exit_:
        main(["episodes", "import", str(dataset), "--format", "lerobot", "--data", str(store.root), *words])
    assert isinstance(exit_.value.code, int)
    said = capsys.readouterr()
    return exit_.value.code, " ".join((said.out + said.err).split())


def test_an_episode_that_cannot_be_imported_is_said_and_the_rest_continues(dataset, store, capsys) -> None:
    changed(dataset, "actions", lambda a: a * np.nan)
    code, said = command(capsys, dataset, store, "--outcome", "success")
    assert (code, numbers(store)) == (1, [1])
    assert re.search(
        r"Made episode .* episode 1.*✗ episode 0 .*'actions' is not a number in row 0.*Not imported: 1", said
    )
    for path in dataset.rglob("*.parquet"):
        path.unlink()
    code, said = command(capsys, dataset, store, "--outcome", "success")
    assert (code, said.count("✗ episode ")) == (1, 2)


def test_a_full_disk_ends_an_import_and_no_folder_is_left_where_there_was_none(
    dataset, store, capsys, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(JournalFile, "append", full)
        code, said = command(capsys, dataset, store, "--outcome", "success")
    assert (code, store.root.exists()) == (2, False)
    assert said.count("No space") == 1
    assert said.endswith("Free space on the disk and try again; nothing of this episode is kept.") or "begun" in said
    assert command(capsys, dataset, store, "--outcome", "success")[0] == 0


def test_a_missing_film_is_said_and_the_episode_comes_whole_once_it_is_there(dataset, store, capsys) -> None:
    film = sorted(dataset.rglob("wrist_image_left/*.mp4"))[1]
    away = film.rename(dataset / "away.mp4")
    code, said = command(capsys, dataset, store, "--outcome", "success")
    first, second = (info.name for info in store.list())
    assert (code, store.open(first).cameras, store.open(second).cameras) == (0, ("left", "wrist"), ("left",))
    assert f"no film of wrist: '{film.relative_to(dataset)}' is missing; put what is missing there, bin" in said
    assert "Left out 2 recordings" in command(capsys, dataset, store, "--outcome", "success")[1]
    away.rename(film)
    store.bin(second)
    assert "Left out 1 recording" in command(capsys, dataset, store, "--outcome", "success")[1]
    assert store.open(store.find("last")).cameras == ("left", "wrist")
    film.unlink()
    assert "Left out 2 recordings" in command(capsys, dataset, store, "--outcome", "success")[1]
    for path in dataset.rglob("*.mp4"):
        path.unlink()
    assert "no frames" in command(capsys, dataset, store, "--outcome", "success", "--again")[1]


def test_discarded_episodes_are_said_to_lie_in_the_bin_and_how_they_come_back(dataset, store, capsys) -> None:
    code, said = command(capsys, dataset, store, "--outcome", "discarded")
    binned = [info.name for info in store.list(binned=True)]
    assert (code, len(binned), store.list()) == (0, 2, [])
    assert f"Made episode {binned[0]} in the bin" in said
    assert "`frs episodes restore NAME` brings one back" in said
    code, said = command(capsys, dataset, store, "--outcome", "success")
    assert (code, store.list()) == (0, [])
    assert "`frs episodes restore` brings it back from the bin, then `frs episodes relabel` changes it." in said
    store.restore(binned[0])
    store.relabel(binned[0], Outcome.SUCCESS)


def test_an_outcome_that_is_given_counts_where_a_column_holds_no_truth_values(dataset, store) -> None:
    add_column(dataset, "next.success", 0.5, "float32")
    with pytest.raises(EpisodeCorrupt, match="expected true or false in every row"):
        import_lerobot(dataset, store)
    name = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]
    assert "next.success is not true or false in every row: not used; success as asked for" in store.info(name).note


def tables(dataset: Path) -> list[Path]:
    return sorted((dataset / "data").rglob("*.parquet"))


def replaced(dataset: Path, columns: dict[str, Callable[[int], Any]], features: dict[str, Any]) -> None:
    """Give every table other columns of so many rows, and state them."""
    for path in tables(dataset):
        table = parquet.read_table(path).to_pydict()
        table |= {name: make(len(table["index"])) for name, make in columns.items()}
        parquet.write_table(pyarrow.table(table), path)
    restate(dataset, lambda stated: stated.update(features))


JOINTS = {"dtype": "float32", "shape": [7], "names": {"axes": [f"joint_{i}" for i in range(7)]}}
GRIPPER = {"dtype": "float32", "shape": [1], "names": {"axes": ["gripper"]}}


def as_port_of_droid(dataset: Path, *kinds: str) -> None:
    """Give a dataset the columns of LeRobot's port of DROID: the actions' meaning is in the names of columns."""
    level = {"joint_velocity": 0.25, "joint_position": -0.5}
    columns = {f"action.{kind}": lambda n, kind=kind: [[level[kind]] * 7] * n for kind in kinds}
    columns |= {"action.gripper_position": lambda n: [0.5] * n, "actions": lambda n: [[0.0] * 8] * n}
    names = {"axes": [*JOINTS["names"]["axes"], "gripper"]}
    features = {f"action.{kind}": JOINTS for kind in kinds} | {"action.gripper_position": GRIPPER}
    replaced(dataset, columns, features | {"actions": {"dtype": "float32", "shape": [8], "names": names}})


def test_the_columns_of_the_port_of_droid_state_what_actions_mean(dataset, store) -> None:
    as_port_of_droid(dataset, "joint_velocity", "joint_position")
    velocity = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0])
    assert velocity.meta.action_space.kind is ActionKind.JOINT_VELOCITY
    np.testing.assert_array_equal(velocity.arrays["steps/action_sent"], [[0.25] * 7 + [0.5]] * 8)
    assert "actions are action.joint_velocity; --actions joint_position takes the other column" in velocity.info.note
    assert "not read: action.joint_position, actions" in velocity.info.note
    position = import_lerobot(dataset, store, outcome=Outcome.SUCCESS, actions=ActionKind.JOINT_POSITION)[0]
    assert store.open(position).meta.action_space.kind is ActionKind.JOINT_POSITION
    np.testing.assert_array_equal(store.open(position).arrays["steps/action_sent"], [[-0.5] * 7 + [0.5]] * 8)
    assert "--actions" not in store.info(position).note


def test_a_person_may_state_what_actions_mean_and_not_what_their_names_deny(dataset, store, capsys) -> None:
    stated = ["dx", "dy", "dz", "rx", "ry", "rz", "gripper_position"]
    with pytest.raises(EpisodeError, match=r"stated to be ee_delta, and --actions says joint_velocity. Leave it out"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS, actions=ActionKind.JOINT_VELOCITY)
    restate(dataset, lambda features: features["actions"].update(names=["actions"]))
    assert "or state it with --actions joint_velocity or" in command(capsys, dataset, store, "--outcome", "success")[1]
    with pytest.raises(EpisodeCorrupt, match=r"shape.*expected \[8\]"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS, actions=ActionKind.JOINT_VELOCITY)
    code, said = command(capsys, dataset, store, "--outcome", "success", "--actions", "ee_delta")
    assert (code, len(store.list())) == (0, 2)
    assert "actions was taken for ee_delta, as asked for" in said
    restate(dataset, lambda features: features["actions"].update(names=stated))
    assert "Left out 2 recordings" in command(capsys, dataset, store, "--outcome", "success")[1]


def in_tables(dataset: Path, *, change: Callable[[bytes], Any] = lambda data: data) -> None:
    """Move a dataset's films into its tables, as LeRobot does without videos."""
    for number, path in enumerate(tables(dataset)):
        table = parquet.read_table(path)
        for column in ("exterior_image_1_left", "wrist_image_left"):
            (film,) = (dataset / "videos").rglob(f"{column}/episode_{number:06d}.mp4")
            files = [change(image_files.png(image)) for image in read_video(film)]
            cells = [{"bytes": f, "path": f"frame_{i:06d}.png"} for i, f in enumerate(files)]
            table = table.append_column(column, pyarrow.array(cells))
            film.unlink()
        parquet.write_table(table, path)
    for column in ("exterior_image_1_left", "wrist_image_left"):
        restate(dataset, lambda features, column=column: features[column].update(dtype="image"))


def test_pictures_in_the_table_are_read(dataset, store, tmp_path) -> None:
    (film,) = dataset.rglob("wrist_image_left/episode_000000.mp4")
    expected = list(read_video(film))
    in_tables(dataset)
    episode = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0])
    assert episode.cameras == ("left", "wrist")
    for step, image in enumerate(expected):
        assert np.abs(episode.frame("wrist", step).astype(int) - image).mean() < 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: None, r"row 0: expected a picture, got only the path 'frame_000000.png'"),
        (lambda data: data[: len(data) // 2], "row 0: no PNG or JPEG that can be read"),
        (lambda data: data[:24] + b"\x10\x00" + data[26:], "one number of 16 bits per pixel, as depth is kept"),
    ],
)
def test_what_is_no_picture_in_a_table_is_named_with_its_row(dataset, store, change, words) -> None:
    in_tables(dataset, change=change)
    with pytest.raises(EpisodeCorrupt, match=words):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert (store.list(), list(journal_dir(store.root).glob("*"))) == ([], [])


@pytest.mark.parametrize("robot", ["kinova_gen3", "xarm7", "openarm_follower", "pandas"])
def test_another_arm_is_refused_unless_a_person_says_what_it_is(dataset, store, robot, capsys) -> None:
    path = dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"robot_type": robot}))
    code, said = command(capsys, dataset, store, "--outcome", "success")
    assert (code, store.list()) == (2, [])
    assert f"robot_type: got '{robot}', and poses are computed with the kinematics of a Franka arm alone" in said
    assert command(capsys, dataset, store, "--outcome", "success", "--arm", "franka", "--tool-offset", "0.1")[0] == 0
    episode = store.open(store.find("last"))
    assert episode.meta.robot == robot
    assert "tool" not in episode.info.note
    flange = flange_pose(episode.arrays["steps/q"][0])
    assert np.linalg.norm(episode.arrays["steps/T_base_tcp"][0][:3, 3] - flange[:3, 3]) == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize(
    "robot", ["Franka", "panda", "fr3", "franka_research_3", "FrankaEmika", "Panda-7", "droid", "unknown", "", None]
)
def test_a_franka_arm_is_known_by_its_names_and_one_without_a_name_is_said_to_be_taken_for_one(
    dataset, store, robot
) -> None:
    path = dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"robot_type": robot}))
    note = store.info(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]).note
    assert ("robot_type is not stated: taken for a Franka arm" in note) is (robot in ("unknown", "", None))
    assert "the tool is not stated: taken for a Robotiq 2F-85, 0.15 m beyond the flange" in note


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_each_row_keeps_its_own_task_and_gives_it_back(dataset, store, tmp_path, version) -> None:
    listed = [json.loads(line) for line in (dataset / "meta/tasks.jsonl").read_text().splitlines()]
    first, second = (entry["task"] for entry in listed)
    changed(dataset, "task_index", lambda t: np.array([1] * 3 + [0] * 5))
    path = dataset / "meta/episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["tasks"] = [first, second]
    path.write_text("\n".join(map(json.dumps, lines)))
    episode = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0])
    rows = [second] * 3 + [first] * 5
    assert [episode.text("steps/instruction", s) for s in range(8)] == rows
    assert [episode.text("chunks/instruction", c) for c in range(episode.n_chunks)] == [second, first]
    assert episode.meta.instruction == f"{second}; {first}"
    assert "its rows have 2 tasks, in the order of its instruction: each step keeps its own" in episode.info.note
    out = export_lerobot(episode, tmp_path / "out", version=VERSIONS[version])
    again = EpisodeStore(tmp_path / "again")
    back = again.open(import_lerobot(out, again, outcome=Outcome.SUCCESS)[0])
    assert [back.text("steps/instruction", s) for s in range(8)] == rows
    given = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS, instruction="lift")[0])
    assert {given.text("steps/instruction", s) for s in range(8)} == {"lift"}


def test_tasks_whose_rows_are_not_stated_are_said_to_be_joined(dataset, store) -> None:
    (dataset / "meta/tasks.jsonl").unlink()
    path = dataset / "meta/episodes.jsonl"
    lines = [json.loads(line) | {"tasks": ["one", "two"]} for line in path.read_text().splitlines()]
    path.write_text("\n".join(map(json.dumps, lines)))
    episode = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0])
    assert episode.meta.instruction == "one; two"
    assert "which of its 2 tasks a row has is not stated" in episode.info.note


def test_an_empty_task_is_taken_from_the_column_of_instructions(dataset, store) -> None:
    add_column(dataset, "language_instruction", "pour the nuts", "string")
    for name in ("episodes", "tasks"):
        path = dataset / f"meta/{name}.jsonl"
        entry = {"episodes": {"tasks": [""]}, "tasks": {"task": ""}}[name]
        path.write_text("\n".join(json.dumps(json.loads(line) | entry) for line in path.read_text().splitlines()))
    episode = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0])
    assert episode.meta.instruction == "pour the nuts"
    assert "a task is empty: language_instruction was taken in its place" in episode.info.note
    assert "not read" not in episode.info.note


def test_joint_speeds_are_read_where_they_are_measured_and_said_to_be_differences_where_not(dataset, store) -> None:
    said = "joint speeds are not stated: differences of the joint positions"
    assert said in store.info(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]).note
    name = "observation.state.joint_velocity"
    replaced(dataset, {name: lambda n: [[0.3] * 7] * n}, {name: JOINTS})
    episode = store.open(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0])
    assert said not in episode.info.note
    np.testing.assert_allclose(episode.arrays["steps/dq"], 0.3)
    replaced(dataset, {name: lambda n: [[30.0] * 7] * n}, {})
    with pytest.raises(
        EpisodeError, match=r"episode 0: the measured joint speeds reach 30, expected radians per second"
    ):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)


@pytest.mark.parametrize("names", [[f"fr3_joint{i}" for i in range(1, 8)], [f"r2_arm_{i}" for i in range(7)]])
def test_joints_are_counted_by_the_last_number_of_their_names(dataset, store, names) -> None:
    restate(dataset, lambda features: features["joint_position"].update(names=names))
    assert len(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)) == 2


def test_actions_may_be_counted_from_0(dataset, store) -> None:
    names = [*(f"joint_velocity_{i}" for i in range(7)), "gripper_position"]
    feature = {"dtype": "float32", "shape": [8], "names": {"motors": names}}
    replaced(dataset, {"actions": lambda n: [[0.1] * 8] * n}, {"actions": feature})
    name = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]
    assert store.open(name).meta.action_space.kind is ActionKind.JOINT_VELOCITY


def test_a_gripper_that_may_be_in_metres_is_said(dataset, store) -> None:
    assert "if these are metres" not in store.info(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]).note
    changed(dataset, "gripper_position", lambda g: np.linspace(0.0, 0.08, g.size).reshape(g.shape))
    note = store.info(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]).note
    assert "gripper_position: no number is above 0.08, read as shares from 0 (open) to 1 (closed)" in note
    assert "if these are metres, convert them to shares" in note


def test_episodes_whose_beginning_nobody_knows_are_exported_as_that_side_by_side(dataset, store, tmp_path) -> None:
    folders = {
        export_droid(store.open(n), tmp_path / "droid") for n in import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    }
    assert len(folders) == 2
    assert not [folder for folder in folders if "1970" in str(folder)]
    folder = min(folders)
    assert folder.parent == tmp_path / "droid/success/unknown"
    record = json.loads(next(folder.glob("metadata_*.json")).read_text())
    assert (record["date"], record["timestamp"], "1970" in json.dumps(record)) == ("unknown", "unknown", False)
    with h5py.File(folder / "trajectory.h5") as file:
        assert file.attrs["time"] == "unknown"


def restate(dataset: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the features that info.json states."""
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    change(info["features"])
    path.write_text(json.dumps(info))


def add_column(dataset: Path, name: str, value: object, dtype: str) -> None:
    """Add a column of one value to every table, and state it."""
    for path in (dataset / "data").rglob("*.parquet"):
        table = parquet.read_table(path)
        parquet.write_table(table.append_column(name, pyarrow.array([value] * len(table))), path)
    restate(dataset, lambda features: features.update({name: {"dtype": dtype, "shape": [1], "names": None}}))


@pytest.mark.parametrize("column", ["next.success", "is_episode_successful"])
@pytest.mark.parametrize("is_success", [True, False])
def test_an_outcome_that_rows_state_is_taken_and_another_is_said(dataset, store, column, is_success) -> None:
    add_column(dataset, column, is_success, "bool")
    import_lerobot(dataset, store)
    assert {i.outcome for i in store.list()} == {Outcome.SUCCESS if is_success else Outcome.FAILURE}
    asked = Outcome.FAILURE if is_success else Outcome.SUCCESS
    for name in import_lerobot(dataset, store, outcome=asked):
        info = store.open(name).info
        assert info.outcome is asked
        assert f"{column} says otherwise; {asked.value} as asked for" in info.note


def test_columns_that_contradict_each_other_state_no_outcome(dataset, store) -> None:
    add_column(dataset, "next.success", True, "bool")
    add_column(dataset, "is_episode_successful", False, "bool")
    with pytest.raises(EpisodeError, match=r"next.success, is_episode_successful contradict each other.*--outcome"):
        import_lerobot(dataset, store)


def test_columns_that_nobody_reads_are_named(dataset, store) -> None:
    add_column(dataset, "observation.torque", 1.0, "float32")
    name = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)[0]
    assert "not read: observation.torque" in store.open(name).info.note


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("joint_position", {"names": [f"joint_{i}" for i in range(7, 0, -1)]}, "expected seven joints in their order"),
        ("joint_position", {"names": ["shoulder_pan.pos", "elbow.pos"]}, "expected seven joints in their order"),
        ("joint_position", {"shape": [6]}, r"joint_position, shape.*expected \[7\]"),
        ("gripper_position", {"names": ["gripper_open_fraction"]}, "0 where it is open, 1 where it is closed"),
        ("gripper_position", {"shape": [2]}, r"expected \[1\]"),
        ("actions", {"dtype": "string"}, "expected float32 or another type of real numbers"),
        ("actions", {"shape": [8]}, r"expected \[7\]"),
    ],
)
def test_columns_that_are_stated_as_something_else_are_refused(dataset, store, column, change, words) -> None:
    restate(dataset, lambda features: features[column].update(change))
    with pytest.raises(EpisodeError, match=words):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert store.list() == []


def test_actions_whose_meaning_is_not_stated_are_refused(dataset, store) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["actions"]["names"] = ["a", "b"]
    path.write_text(json.dumps(info))
    with pytest.raises(
        EpisodeError, match=r"does not state what its actions mean: features, actions, names are \[a, b\]"
    ):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert store.list() == []


def test_a_short_film_is_named_and_leaves_nothing_of_its_episode(dataset, store) -> None:
    film = sorted(dataset.rglob("wrist_image_left/*.mp4"))[0]
    write_video(film, list(read_video(film))[:3], hz=12.5)
    with pytest.raises(EpisodeCorrupt, match="has 3 frames of episode 0, expected 8"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert (numbers(store), list(journal_dir(store.root).glob("*"))) == ([1], [])


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{other}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:{other}\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    ],
)
def test_a_list_of_other_files_is_no_film(dataset, store, text) -> None:
    films = sorted((dataset / "videos").rglob("wrist_image_left/*.mp4"))
    films[0].write_text(text.format(other=films[1]))
    with pytest.raises(EpisodeError, match=r"is no film in MP4, Matroska or AVI: it begins with '.*convert it to MP4"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert numbers(store) == [1]


def test_a_film_is_read_as_the_container_that_it_is(tmp_path) -> None:
    pictures = [np.full((32, 48, 3), 60 * i, np.uint8) for i in range(3)]
    folder = tmp_path / "concat:a|b"
    folder.mkdir()
    for name in ("film.mp4", "%03d.mp4", "a:b.mp4"):
        write_video(folder / name, pictures, hz=10)
        assert [round(i.mean() / 60) for i in read_video(folder / name)] == [0, 1, 2]
    for name, kind in (("film.mkv", "matroska"), ("film.avi", "avi")):
        with av.open(str(folder / name), "w", format=kind) as target:
            stream = target.add_stream("mpeg4", rate=10, width=48, height=32)
            for picture in [*pictures, None]:
                target.mux(stream.encode(picture if picture is None else av.VideoFrame.from_ndarray(picture)))
        assert len(list(read_video(folder / name))) == 3
    cv2.imwrite(str(folder / "one.png"), pictures[0])
    with pytest.raises(EpisodeError, match=r"begins with '.*PNG.*single images are not read"):
        next(read_video(folder / "one.png"))


def test_what_came_beside_a_broken_episode_is_counted_and_pictures_left_out_are_said(dataset, store) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.top"] = {"dtype": "image", "shape": [8, 8, 3], "names": None}
    path.write_text(json.dumps(info))
    sorted(dataset.rglob("wrist_image_left/*.mp4"))[1].write_bytes(b"")
    with pytest.raises(EpisodeError, match=r"is empty.*Imported and kept: 1 episode\."):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    (kept,) = store.list()
    assert "no pictures of top: the table has no column 'observation.images.top'" in kept.note


def test_a_path_out_of_the_dataset_is_refused(dataset, store) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["data_path"] = "../{episode_chunk}{episode_index}.parquet"
    path.write_text(json.dumps(info))
    with pytest.raises(EpisodeCorrupt, match="outside the dataset"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)


@pytest.mark.parametrize(
    "data_path", ["/{episode_chunk}/{episode_index}.parquet", "data/../../{episode_index}.parquet"]
)
def test_a_path_that_begins_elsewhere_or_climbs_is_refused(dataset, store, data_path) -> None:
    path = dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_path": data_path}))
    with pytest.raises(EpisodeCorrupt, match="outside the dataset"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_a_folder_of_links_as_hugging_face_downloads_it_is_a_dataset(store, tmp_path, version) -> None:
    dataset = make_dataset(tmp_path, version=version)
    blobs, snapshot = tmp_path / "hub/blobs", tmp_path / "hub/snapshots/1f"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in dataset.rglob("*") if p.is_file())):
        link = snapshot / path.relative_to(dataset)
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(blobs / str(number))
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    assert len(import_lerobot(snapshot, store, outcome=Outcome.SUCCESS)) == 2


def test_version_3_has_the_tables_and_names_that_lerobots_policies_read(tmp_path: Path) -> None:
    root = make_dataset(tmp_path, version="v3.0")
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_tasks"]) == ("v3.0", 2, 2)
    images = {k for k, f in info["features"].items() if f["dtype"] == "video"}
    assert images == {"observation.images.exterior_1_left", "observation.images.wrist_left"}
    tasks = parquet.read_table(root / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    row = parquet.read_table(root / "meta/episodes/chunk-000/file-001.parquet").to_pylist()[0]
    assert (row["dataset_from_index"], row["dataset_to_index"]) == (row["length"], 2 * row["length"])
    assert row["videos/observation.images.wrist_left/to_timestamp"] == pytest.approx(row["length"] / 12.5)
    tables = [parquet.read_table(root / f"data/chunk-000/file-{i:03d}.parquet") for i in (0, 1)]
    state = np.concatenate([np.array(t["observation.state"].to_pylist()) for t in tables])
    joints = np.concatenate([np.array(t["observation.state.joint_position"].to_pylist()) for t in tables])
    np.testing.assert_array_equal(state[:, :7], joints)
    stats = json.loads((root / "meta/stats.json").read_text())
    np.testing.assert_allclose(stats["observation.state"]["q99"], np.quantile(state, 0.99, axis=0), rtol=1e-6)
    assert np.shape(stats["observation.images.wrist_left"]["mean"]) == (3, 1, 1)


def record(own: EpisodeStore, seed: int, robot: str) -> Episode:
    recorder = JournalRecorder(own)
    name = recorder.begin(random_meta(seed, cameras=("left", "wrist"), control_hz=12.5, robot=robot))
    for chunk in small_steps(seed, count=2, cameras=("left", "wrist"), instruction=f"task {seed} ☕️"):
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)
    return own.open(name)


def test_a_dataset_states_the_robot_of_its_episodes_and_guesses_none(tmp_path: Path, store: EpisodeStore) -> None:
    own = EpisodeStore(tmp_path / "own")
    stated, other, silent = (record(own, i, robot) for i, robot in enumerate(("fr3", "panda", "")))
    root = export_lerobot(stated, tmp_path / "stated")
    assert json.loads((root / "meta/info.json").read_text())["robot_type"] == "fr3"
    export_lerobot(silent, root)
    with pytest.raises(EpisodeError, match=r"is of robot 'fr3'.*of 'panda'.*another folder"):
        export_lerobot(other, root)
    bare = export_lerobot(silent, tmp_path / "bare")
    assert json.loads((bare / "meta/info.json").read_text())["robot_type"] is None
    assert export_lerobot(other, bare) == bare
    for folder, robot in ((root, "fr3"), (bare, "")):
        names = import_lerobot(folder, store, outcome=Outcome.SUCCESS)
        assert {store.open(name).meta.robot for name in names} == {robot}


def test_datasets_of_two_versions_are_not_mixed(tmp_path: Path) -> None:
    root = make_dataset(tmp_path)
    own = EpisodeStore(tmp_path / "own")
    with pytest.raises(EpisodeError, match=r"of version v2.1, this writes v3.0.*lerobot-v3 for v3.0"):
        export_lerobot(own.open(own.list()[0].name), root, version=VERSIONS["v3.0"])


def test_an_export_that_cannot_be_finished_leaves_the_dataset_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_dataset(tmp_path, version="v3.0")
    before = sorted(p for p in root.rglob("*.parquet"))
    own = EpisodeStore(tmp_path / "own")
    recorder = JournalRecorder(own)
    name = recorder.begin(random_meta(3, cameras=("left", "wrist"), control_hz=12.5))
    for chunk in small_steps(3, count=2, cameras=("left", "wrist")):
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("frs_core.episodes.export_lerobot._counted", full)
    with pytest.raises(EpisodeError, match="No space left"):
        export_lerobot(own.open(name), root, version=VERSIONS["v3.0"])
    assert sorted(p for p in root.rglob("*.parquet") if not p.name.startswith(".")) == before
    monkeypatch.undo()
    export_lerobot(own.open(name), root, version=VERSIONS["v3.0"])
    assert json.loads((root / "meta/info.json").read_text())["total_episodes"] == 3
    images = "observation.images.wrist_left"
    rows = [parquet.read_table(p).to_pylist()[0] for p in sorted((root / "meta/episodes").rglob("*.parquet"))]
    stats = json.loads((root / "meta/stats.json").read_text())[images]
    assert stats["count"] == [sum(row[f"stats/{images}/count"][0] for row in rows)], "nothing is counted twice"
    np.testing.assert_allclose(np.mean([row[f"stats/{images}/mean"] for row in rows], axis=0), stats["mean"])


def test_statistics_of_parts_join_to_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(i, 1 + i, size=(20 * (i + 1), 3)) for i in range(3)]
    joined, whole = joined_stats([number_stats(p) for p in parts]), number_stats(np.concatenate(parts))
    for name in ("mean", "std", "min", "max", "count"):
        np.testing.assert_allclose(joined[name], whole[name])
    assert np.all(np.array(joined["q01"]) <= np.array(whole["q01"]))
    assert np.all(np.array(joined["q99"]) >= np.array(whole["q99"]))


LEROBOT_PYTHON = os.environ.get("FRS_LEROBOT_V3_PYTHON", "")


@pytest.mark.skipif(not LEROBOT_PYTHON, reason="FRS_LEROBOT_V3_PYTHON names no interpreter with lerobot 0.4 or later")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("hz", [12.5, 15.0])
def test_lerobots_own_reader_opens_version_3(tmp_path: Path, hz: float) -> None:
    root = make_dataset(tmp_path, version="v3.0", hz=hz)
    script = f"""
import json
from lerobot.datasets.lerobot_dataset import LeRobotDataset
data = LeRobotDataset("frs/test", root={str(root)!r}, video_backend="pyav", delta_timestamps={{"action": [0, 1 / {hz}]}})
first, last = data[0], data[len(data) - 1]
for item in (first, last):
    print(json.dumps([data.num_episodes, len(data), data.fps, item["task"], item["action"][0].tolist(), item["observation.state"].tolist(),
                      item["observation.images.wrist_left"].mean((1, 2)).tolist(), data.meta.stats["action"]["mean"].tolist()]))
"""
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [LEROBOT_PYTHON, "-c", script], capture_output=True, text=True, timeout=840, check=False, env=variables
    )
    assert done.returncode == 0, done.stderr[-3000:]
    own = EpisodeStore(tmp_path / "own")
    episodes = [own.open(info.name) for info in own.list()]
    frames, actions = sum(e.n_steps for e in episodes), [e.arrays["steps/action_sent"] for e in episodes]
    for line, episode, step in zip(done.stdout.splitlines()[-2:], episodes, (0, episodes[1].n_steps - 1), strict=True):
        count, length, fps, task, action, state, colours, mean = json.loads(line)
        assert (count, length, fps, task) == (2, frames, hz, episode.meta.instruction)
        np.testing.assert_allclose(action, episode.arrays["steps/action_sent"][step], rtol=1e-6)
        np.testing.assert_allclose(state[:7], episode.arrays["steps/q"][step], rtol=1e-6)
        np.testing.assert_allclose(colours, episode.frame("wrist", step).mean((0, 1)) / 255, atol=0.03)
        np.testing.assert_allclose(mean, np.concatenate(actions).mean(axis=0), rtol=1e-5, atol=1e-6)


def changed(dataset: Path, column: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Rewrite a column of the first episode's table."""
    path = sorted((dataset / "data").rglob("*.parquet"))[0]
    table = parquet.read_table(path)
    index, field = table.schema.get_field_index(column), table.schema.field(column)
    values = change(np.array(table[column].to_pylist()))
    parquet.write_table(table.set_column(index, field, pyarrow.array(values.tolist(), type=field.type)), path)


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("joint_position", np.rad2deg, "episode 0: the measured joint positions reach .*usually degrees"),
        ("gripper_position", lambda g: 85.0 + 0 * g, "episode 0: the measured gripper reaches 85.*millimetres"),
        (
            "actions",
            lambda a: a * 0 + [3, 0, 0, 0, 0, 0, 1],
            "translations of the actions reach 3, expected metres per step.*millimetres",
        ),
        (
            "actions",
            lambda a: a * 0 + [0, 0, 0, 0, 0, 2, 1],
            "rotations of the actions reach 2, expected radians per step.*degrees",
        ),
        ("frame_index", lambda i: i + 5, "'frame_index' of episode 0 begins at 5, expected 0"),
        ("timestamp", lambda t: t + 3, "'timestamp' is 3 s in row 0, expected 0 s at the 12.5 Hz"),
        (
            "task_index",
            lambda t: t + 7,
            "'task_index' of episode 0 is 7 .which the list of tasks lacks., and .*--instruction",
        ),
        ("frame_index", lambda i: i[::-1], "'frame_index' of episode 0 does not count up after row 0"),
    ],
)
def test_numbers_in_other_units_or_another_order_are_refused(dataset, store, column, change, words) -> None:
    changed(dataset, column, change)
    with pytest.raises(EpisodeError, match=words):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert numbers(store) == [1]


def test_a_task_that_the_rows_and_the_list_state_differently_is_refused_unless_it_is_given(dataset, store) -> None:
    tasks = dataset / "meta/tasks.jsonl"
    before = tasks.read_text()
    tasks.write_text(json.dumps({"task_index": 0, "task": "wipe\nit"}) + "\n")
    with pytest.raises(
        EpisodeCorrupt, match=r"'task_index' of episode 0 is 0 \('wipe.nit'\), and the list of episodes names '"
    ):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    given = import_lerobot(dataset, store, outcome=Outcome.SUCCESS, instruction="lift")
    assert store.open(given[0]).meta.instruction == "lift"
    tasks.write_text(before + "{")
    names = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert "meta/tasks.jsonl was left out (line " in store.open(names[0]).info.note


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("from_timestamp", 0.0, r"episode 0 has it from 0 s to 0.64 s, and episode 1 from 0 s on"),
        ("to_timestamp", 9.0, r"to_timestamp: got 9.0, expected 1.28, where 8 rows from 0.64 s on end at 12.5 Hz"),
    ],
)
def test_seconds_of_a_film_that_are_not_an_episodes_own_are_refused(store, tmp_path, field, value, words) -> None:
    dataset = make_dataset(tmp_path)
    pack(dataset)
    path = dataset / "meta/episodes/chunk-000/file-000.parquet"
    rows = parquet.read_table(path).to_pylist()
    rows[1][f"videos/wrist_image_left/{field}"] = value
    if field == "to_timestamp":
        rows[0][f"videos/wrist_image_left/{field}"] = 8 / 12.5
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    with pytest.raises(EpisodeCorrupt, match=words):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert store.list() == []


def test_films_of_depth_are_no_pictures(dataset, store, tmp_path) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["wrist_image_left"]["info"] = {"video.is_depth_map": True}
    path.write_text(json.dumps(info))
    names = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert store.open(names[0]).cameras == ("left",)
    assert "films of depth, which are no pictures, were left out: wrist_image_left" in store.open(names[0]).info.note
    info["features"]["wrist_image_left"]["info"] = {"video.is_depth_map": "yes"}
    path.write_text(json.dumps(info))
    with pytest.raises(EpisodeCorrupt, match=r"video.is_depth_map: got 'yes', expected true or false"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    film = tmp_path / "depth.mkv"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("ffv1", rate=10, width=32, height=32)
        stream.pix_fmt = "gray16le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32), 900, np.uint16), format="gray16le")))
        container.mux(stream.encode())
    with pytest.raises(EpisodeError, match=r"one number of 16 bits per pixel \('gray16le'\), as depth is kept"):
        next(read_video(film))


@pytest.mark.parametrize("fps", [0, -15, float("nan"), "fast", None, 1e-300, 1e300, True, [15], 10**400])
def test_a_rate_that_is_none_is_named(dataset, store, fps) -> None:
    path = dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fps": fps}))
    with pytest.raises(EpisodeCorrupt, match=r"info.json', fps: got .*, expected a number from 0.01 to 1e\+09"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)


def test_an_import_that_broke_off_continues_after_what_it_made(dataset, store, capsys) -> None:
    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["episodes", "import", str(dataset), "--format", "lerobot", "--data", str(store.root), *words])
        assert isinstance(exit_.value.code, int)
        said = capsys.readouterr()
        return exit_.value.code, said.out + said.err

    film = sorted(dataset.rglob("wrist_image_left/*.mp4"))[1]
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    words = ["--outcome", "success"]
    code, said = run(*words)
    assert code != 0
    assert "Not imported: 1 recording. The same import, without --again, takes those alone." in " ".join(said.split())
    film.write_bytes(whole)
    (first,) = (info.name for info in store.list())
    assert run(*words) == (0, ANY)
    assert len(store.list()) == 2
    code, said = run(*words)
    assert f"Left out 2 recordings imported before, as {first} to " in " ".join(said.split())
    assert len(store.list()) == 2
    assert run(*words, "--again") == (0, ANY)
    assert len(store.list()) == 4


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (pyarrow.float16(), ""),
        (pyarrow.float64(), ""),
        (pyarrow.bool_(), "holds values of type list<.*bool.*, expected real numbers"),
        (pyarrow.string(), "holds values of type list<.*string.*, expected real numbers"),
    ],
)
def test_a_column_is_read_in_any_width_of_real_numbers_and_in_no_other_type(dataset, store, kind, words) -> None:
    for path in sorted((dataset / "data").rglob("*.parquet")):
        table = parquet.read_table(path)
        convert = str if kind == pyarrow.string() else kind.to_pandas_dtype()
        rows = [list(map(convert, row)) for row in table["joint_position"].to_pylist()]
        column = pyarrow.array(rows, type=pyarrow.list_(kind))
        parquet.write_table(
            table.set_column(table.schema.get_field_index("joint_position"), "joint_position", column), path
        )
    if not words:
        assert len(import_lerobot(dataset, store, outcome=Outcome.SUCCESS)) == 2
        return
    with pytest.raises(EpisodeCorrupt, match=rf"episode_000000.parquet', 'joint_position' {words}"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)


def test_a_task_that_is_written_without_a_list_is_one_task(dataset, store) -> None:
    path = dataset / "meta/episodes.jsonl"
    path.write_text(
        "\n".join(json.dumps(json.loads(r) | {"tasks": "pick it up"}) for r in path.read_text().split("\n") if r)
    )
    (dataset / "meta/tasks.jsonl").write_text(
        "\n".join(json.dumps({"task_index": i, "task": "pick it up"}) for i in range(2))
    )
    first, *_ = import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert store.open(first).meta.instruction == "pick it up"
