"""What is recorded comes back: arrays bit for bit, boundary images exactly, the rest through JPEG."""

import dataclasses
import enum
import json
from collections.abc import Mapping

import numpy as np
import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.dataset import load_chunks
from frs_core.episodes.encoding import meta_from_json, meta_to_json, verdict_of
from frs_core.episodes.images import encode_jpeg, encode_png
from frs_core.episodes.records import LastState
from frs_core.errors import ConfigError, EpisodeError
from frs_core.events import NOBODY, Driver, Outcome
from frs_core.learning.episode_table import training_table
from frs_core.learning.records import table_from_records
from frs_core.robot.observation import CameraFrame
from frs_core.runtime.image_files import decode
from tests.fakes.episodes import CAMERAS, random_chunks, random_meta, record, textured


def assert_same(got: object, want: object, where: str = "", *, jpeg_error: float | None = None) -> None:
    """Compare trees of dataclasses, arrays and plain values; images within `jpeg_error` grey levels on average."""
    if isinstance(want, CameraFrame) and jpeg_error is not None:
        assert np.abs(got.image.astype(float) - want.image).mean() < jpeg_error, where
        assert got.captured_ns == want.captured_ns
        assert_same(got.calibration, want.calibration, f"{where}.calibration")
    elif dataclasses.is_dataclass(want):
        assert type(got) is type(want), where
        for f in dataclasses.fields(want):
            a, b = getattr(got, f.name), getattr(want, f.name)
            assert_same(a, b, f"{where}.{f.name}", jpeg_error=jpeg_error)
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype, where
        np.testing.assert_array_equal(got, want, err_msg=where)
    elif isinstance(want, enum.Enum) or want is None or isinstance(want, str | bytes | bool | int):
        assert got == want, where
    elif isinstance(want, Mapping):
        assert set(got) == set(want), where
        for key in want:
            assert_same(got[key], want[key], f"{where}[{key}]", jpeg_error=jpeg_error)
    elif isinstance(want, tuple | list):
        assert len(got) == len(want), where
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            assert_same(a, b, f"{where}[{i}]", jpeg_error=jpeg_error)
    else:
        assert got == want or (np.isnan(got) and np.isnan(want)), where


@pytest.fixture
def store(tmp_path):
    return EpisodeStore(tmp_path)


def test_every_field_of_every_chunk_comes_back_exactly(store):
    recorder = JournalRecorder(store)
    name = record(recorder, 3, count=4)
    recorder.end(Outcome.SUCCESS, "well done")
    episode = store.open(name)
    for got, want in zip((episode.chunk(i) for i in range(4)), random_chunks(3, count=4), strict=True):
        # Two grey levels: JPEG q95 4:4:4 measured at 1.5 on noisy images.
        assert_same(got.steps, want.steps, "steps", jpeg_error=2.0)
        assert_same(got.after, want.after, "after", jpeg_error=2.0)
        bare = {"steps": (), "after": want.after}
        assert_same(dataclasses.replace(got, **bare), dataclasses.replace(want, **bare), f"chunk {want.index}")
    assert_same(episode.meta, random_meta(3), "meta")
    assert episode.outcome is Outcome.SUCCESS
    assert episode.info.note == "well done"


def test_what_candidates_were_worth_is_kept_where_somebody_said_so(store):
    recorder, silent, valued = JournalRecorder(store), *random_chunks(8, count=2)
    values = np.arange(len(valued.offered_labels)) / 100.0
    name = recorder.begin(random_meta(8))
    recorder.chunk(silent)
    recorder.chunk(dataclasses.replace(valued, offered_values=values))
    recorder.end(Outcome.SUCCESS)
    episode = store.open(name)
    assert episode.chunk(0).offered_values is None
    np.testing.assert_array_equal(episode.chunk(1).offered_values, values)


def test_pictures_taken_only_at_boundaries_serve_the_steps_between(store):
    recorder = JournalRecorder(store)
    name = record(recorder, 4, count=2, has_step_images=False)
    recorder.end(Outcome.FAILURE)
    episode = store.open(name)
    want = list(random_chunks(4, count=2, has_step_images=False))
    assert episode.chunk(1).steps[2].observation.frames == {}
    error = np.abs(episode.frame("left", 6).astype(float) - want[1].observation.frames["left"].image).mean()
    assert error < 2.0
    # Boundary, end of the first chunk = boundary of the second, end: three images per camera.
    assert episode.arrays["images/left/captured_ns"].shape == (3,)


def test_undone_chunks_stay_in_the_episode_as_branches(store):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    chunks = list(random_chunks(count=4))
    for chunk in chunks[:3]:
        recorder.chunk(chunk)
    recorder.undo(2)
    recorder.chunk(dataclasses.replace(chunks[3], parent=1))
    recorder.end(Outcome.SUCCESS)
    episode = store.open(name)
    assert episode.main_line == (0, 1, 3)
    assert episode.chunk(3).parent == 1
    assert list(episode.main_steps) == [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15]
    assert episode.record().undone == {2}
    info = store.list()[0]
    assert (info.n_chunks, info.n_undone, info.drivers) == (4, 1, {"person": 1, "learned": 2})


def test_who_picked_a_chunk_is_told_apart_from_who_drove(store):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    chunks = [dataclasses.replace(c, driver=Driver.PERSON) for c in random_chunks(count=2)]
    recorder.chunk(chunks[0])
    recorder.chunk(dataclasses.replace(chunks[1], device=NOBODY))
    recorder.end(Outcome.SUCCESS)
    episode = store.open(name)
    assert [episode.picked_by(i) for i in range(2)] == ["person", "policy"]
    tables = training_table(load_chunks([episode])), table_from_records([episode.record()])
    assert [list(table.is_steered) for table in tables] == [[True, False]] * 2


def test_what_was_seen_after_the_last_chunk_is_kept_and_older_episodes_lack_it(store):
    recorder, seen = (
        JournalRecorder(store),
        LastState(np.ones(5, np.float32), ("unsteered", "up/more"), np.ones((2, 3, 4))),
    )
    names = [record(recorder, 5, count=2)]
    recorder.last(seen)
    recorder.end(Outcome.FAILURE)
    names.append(record(recorder, 6, count=2))
    recorder.end(Outcome.FAILURE)
    names.append(record(recorder, 7, count=2))
    recorder.last(seen)
    recorder.undo(1)
    recorder.end(Outcome.FAILURE)
    kept, none, undone = (store.open(name) for name in names)
    assert_same(kept.last(), seen)
    assert none.last() is None
    assert undone.last() is None, "it is the state after a branch that was not taken"
    kept.verify()


def test_discarded_episodes_go_to_the_bin_and_empty_ones_leave_nothing(store, tmp_path):
    recorder = JournalRecorder(store)
    name = record(recorder, count=1)
    recorder.end(Outcome.DISCARDED)
    recorder.begin(random_meta())
    recorder.end(Outcome.SUCCESS)
    assert store.list() == []
    assert [i.name for i in store.list(binned=True)] == [name]
    assert list((tmp_path / "episodes" / ".journal").iterdir()) == []


def test_png_is_exact_and_jpeg_is_close():
    image = textured(np.random.default_rng(0), 96)
    np.testing.assert_array_equal(decode(encode_png(image)), image)
    assert np.abs(decode(encode_jpeg(image)).astype(int) - image).max() <= 24


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "change",
    [
        {"noise": np.zeros((3, 3))},
        {"features": np.zeros((2, 2))},
        {"picked": "nowhere"},
        {"index": 5},
        {"parent": 7},
        {"steps": ()},
        {"offered_paths": np.zeros((1, 2, 3))},
    ],
)
def test_a_record_that_does_not_fit_is_refused_and_the_episode_goes_on(store, change):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    chunk = next(random_chunks())
    with pytest.raises(EpisodeError, match="hunk"):
        recorder.chunk(dataclasses.replace(chunk, **change))
    recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)
    assert store.open(name).n_chunks == 1


def test_asking_for_what_is_not_there_names_what_is(store):
    recorder = JournalRecorder(store)
    name = record(recorder, count=1)
    recorder.end(Outcome.SUCCESS)
    episode = store.open(name)
    with pytest.raises(ConfigError, match="Did you mean 'left'"):
        episode.frame("leff", 0)
    with pytest.raises(EpisodeError, match=r"steps 0\.\.3, asked for 4"):
        episode.frame("left", 4)
    with pytest.raises(EpisodeError, match=r"chunks 0\.\.0, asked for -1"):
        episode.chunk(-1)
    with pytest.raises(EpisodeError, match="No episode"):
        store.open("20200101T000000Z_" + "0" * 26)
    with pytest.raises(EpisodeError, match="not an episode name"):
        store.open("../../etc")


def test_plain_zarr_reads_an_episode(store):
    import zarr

    recorder = JournalRecorder(store)
    name = record(recorder, 5, count=2)
    recorder.end(Outcome.SUCCESS)
    group = zarr.open_group(store.path(name), mode="r")
    want = list(random_chunks(5, count=2))
    np.testing.assert_array_equal(group["chunks/noise"][1], want[1].noise)
    offsets = group["images/wrist/data_offsets"][:]
    assert decode(group["images/wrist/data"][offsets[3] : offsets[4]].tobytes()).shape == (32, 32, 3)
    assert group.attrs["outcome"] == "success"
    assert tuple(group.attrs["cameras"]) == CAMERAS
    assert group["texts"].attrs["texts"][int(group["chunks/driver"][0])] == Driver.PERSON.value


def test_which_camera_filled_which_input_is_kept_and_older_episodes_lack_it() -> None:
    pairing = (("base_0_rgb", "left"), ("right_wrist_0_rgb", "none"))
    data = json.loads(json.dumps(meta_to_json(random_meta(camera_pairing=pairing))))
    assert meta_from_json(data).camera_pairing == pairing
    del data["policy"]["camera_pairing"]
    assert meta_from_json(data).camera_pairing == ()


def test_the_robot_is_kept_and_older_episodes_state_none() -> None:
    data = json.loads(json.dumps(meta_to_json(random_meta(robot="fr3"))))
    assert meta_from_json(data).robot == "fr3"
    del data["world"]["robot"]
    assert meta_from_json(data).robot == ""


def test_a_marked_target_is_kept_with_its_chunk(store):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    for i, chunk in enumerate(random_chunks(count=2)):
        recorder.chunk(dataclasses.replace(chunk, target=(0.4, -0.1, 0.02) if i else None))
    recorder.end(Outcome.SUCCESS)
    episode = store.open(name)
    assert [episode.target(i) for i in range(2)] == [None, (0.4, -0.1, 0.02)]
    assert episode.chunk(1, has_images=False).target == (0.4, -0.1, 0.02)


def test_verdicts_of_episodes_from_before_contact_with_itself_was_judged_are_read() -> None:
    earlier = verdict_of([1.0, 2.0, 0.5, 50.0], [False, False, True], ("Hits the table in row 1",))
    now = verdict_of([1.0, 2.0, 0.5, 50.0], [False, False, False, True], ("The arm hits itself in row 1",))

    assert earlier.hits_table
    assert not earlier.hits_itself
    assert now.hits_itself
