"""LeRobot datasets in: what our export wrote comes back, v3.0's packing is followed, unstated meanings are refused."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.export_lerobot import export_lerobot
from frs_core.episodes.import_lerobot import import_lerobot
from frs_core.episodes.layout import journal_dir
from frs_core.episodes.video import read_video, write_video
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from tests.fakes.episodes import random_chunks, random_meta


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore(tmp_path / "data")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    own = EpisodeStore(tmp_path / "own")
    for seed in (1, 2):
        recorder = JournalRecorder(own)
        name = recorder.begin(
            random_meta(seed, cameras=("left", "wrist"), instruction=f"task {seed} ☕️", control_hz=12.5)
        )
        for chunk in random_chunks(seed, count=2, cameras=("left", "wrist")):
            recorder.chunk(chunk)
        recorder.end(Outcome.SUCCESS)
        export_lerobot(own.open(name), tmp_path / "dataset")
    return tmp_path / "dataset"


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


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_what_was_exported_comes_back(dataset, store, tmp_path, version) -> None:
    if version == "v3.0":
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


def test_an_outcome_is_asked_for_because_the_format_has_none(dataset, store) -> None:
    with pytest.raises(EpisodeError, match="--outcome"):
        import_lerobot(dataset, store)


def test_actions_whose_meaning_is_not_stated_are_refused(dataset, store) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["actions"]["names"] = ["a", "b"]
    path.write_text(json.dumps(info))
    with pytest.raises(EpisodeError, match=r"does not state what its actions mean: their names are \['a', 'b'\]"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert store.list() == []


def test_a_short_film_is_named_and_leaves_nothing_of_its_episode(dataset, store) -> None:
    film = sorted(dataset.rglob("wrist_image_left/*.mp4"))[0]
    write_video(film, list(read_video(film))[:3], hz=12.5)
    with pytest.raises(EpisodeCorrupt, match="has 3 pictures of episode 0, expected 8"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    assert (store.list(), list(journal_dir(store.root).glob("*"))) == ([], [])


def test_what_came_before_a_broken_episode_stays_and_is_counted_and_pictures_left_out_are_said(dataset, store) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"]["observation.images.top"] = {"dtype": "image", "shape": [8, 8, 3], "names": None}
    path.write_text(json.dumps(info))
    sorted(dataset.rglob("wrist_image_left/*.mp4"))[1].write_bytes(b"")
    with pytest.raises(EpisodeError, match="The 1 episodes before it were imported and stay"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
    (kept,) = store.list()
    assert "pictures kept in the table were left out: observation.images.top" in kept.note


def test_a_path_out_of_the_dataset_is_refused(dataset, store) -> None:
    path = dataset / "meta/info.json"
    info = json.loads(path.read_text())
    info["data_path"] = "../{episode_chunk}{episode_index}.parquet"
    path.write_text(json.dumps(info))
    with pytest.raises(EpisodeCorrupt, match="outside the dataset"):
        import_lerobot(dataset, store, outcome=Outcome.SUCCESS)
