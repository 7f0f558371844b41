"""Episodes for viewers: one time line, opened by the formats' own readers where those are installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.formats import exporter
from frs_core.episodes.reader import Episode
from frs_core.episodes.timeline import moments
from frs_core.errors import ConfigError, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.rotations import quaternion_matrix, quaternion_of, rotation_matrix
from tests.fakes.episodes import random_chunks, random_meta


@pytest.fixture
def episode(tmp_path: Path) -> Episode:
    return recorded(tmp_path)


def recorded(tmp_path: Path, *, undone: int = 0, cameras: tuple[str, ...] = ("left", "wrist")) -> Episode:
    """Record three chunks, of which the last ones are undone."""
    store = EpisodeStore(tmp_path / "data")
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta(1, cameras=cameras))
    for chunk in random_chunks(1, count=3, cameras=cameras):
        recorder.chunk(chunk)
    for index in range(undone):
        recorder.undo(2 - index)
    recorder.end(Outcome.SUCCESS)
    return store.open(name)


def test_moments_follow_the_main_line_and_a_chunk_begins_with_its_pick(episode: Episode) -> None:
    found = list(moments(episode))
    assert [m.step for m in found] == list(range(episode.n_steps))
    assert found[0].time_s == 0.0
    assert all(np.diff([m.time_s for m in found]) > 0)
    assert [m.step for m in found if m.pick is not None] == [episode.steps_of(i).start for i in range(3)]
    pick = found[0].pick
    assert pick is not None
    assert pick.label == pick.fan.labels[pick.fan.picked]
    assert found[0].images["left"][:2] == b"\xff\xd8"
    np.testing.assert_array_equal(found[3].action_sent, episode.arrays["steps/action_sent"][3])


def test_a_quaternion_is_the_rotation_it_was_made_of() -> None:
    rng = np.random.default_rng(0)
    half_turns = [np.pi * np.eye(3)[i] for i in range(3)]
    for v in (*rng.normal(size=(20, 3)), *half_turns, np.zeros(3), np.array([1e-9, 0.0, 0.0])):
        R = rotation_matrix(v)
        q = quaternion_of(R)
        assert np.linalg.norm(q) == pytest.approx(1.0)
        np.testing.assert_allclose(quaternion_matrix(q), R, atol=1e-9)


@pytest.mark.parametrize("format", ["rerun", "mcap"])
def test_a_missing_library_is_named_with_its_extra(
    episode: Episode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    for name in ("rerun", "mcap", "mcap.writer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"pip install frs-cockpit\[{format}\]"):
        exporter(format)(episode, tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_mcaps_own_reader_finds_everything_on_one_time_line(episode: Episode, tmp_path: Path) -> None:
    reader = pytest.importorskip("mcap.reader", reason="mcap is not installed")
    path = exporter("mcap")(episode, tmp_path / "film")
    assert path.name == "film.mcap"
    topics: dict[str, list[tuple[int, dict[str, object]]]] = {}
    schemas = {}
    with path.open("rb") as stream:
        opened = reader.make_reader(stream, validate_crcs=True)
        [about] = list(opened.iter_metadata())
        for schema, channel, message in opened.iter_messages():
            schemas[channel.topic] = schema.name
            topics.setdefault(channel.topic, []).append((message.log_time, json.loads(message.data)))
    assert about.metadata["instruction"] == episode.meta.instruction
    assert schemas["/cameras/left/image"] == "foxglove.CompressedImage"
    assert schemas["/fan"] == "foxglove.SceneUpdate"
    assert len(topics["/numbers"]) == len(topics["/cameras/wrist/image"]) == episode.n_steps
    assert len(topics["/fan"]) == len(topics["/pick"]) == len(topics["/log"]) == episode.n_chunks
    assert topics["/numbers"][0][0] == round(episode.meta.started_unix * 1e9)
    np.testing.assert_allclose(topics["/numbers"][5][1]["joint_position"], episode.arrays["steps/q"][5])
    lines = topics["/fan"][1][1]["entities"][0]["lines"]
    assert len(lines) == len(episode.offers(1).labels)


def test_reruns_own_program_reads_the_recording(episode: Episode, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    path = exporter("rerun")(episode, tmp_path / "film.rrd")
    for words in (["verify"], ["print", "-v"]):
        done = subprocess.run(
            [sys.executable, "-m", "rerun", "rrd", *words, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    for entity in (
        "/world/cameras/left",
        "/world/fan/",
        "/numbers/noise_percentile",
        "/numbers/joint_position",
        "/picks",
    ):
        assert entity in done.stdout
    assert [p.name for p in tmp_path.glob("*.rrd")] == ["film.rrd"]


@pytest.mark.parametrize(("format", "module"), [("rerun", "rerun"), ("mcap", "mcap")])
def test_episodes_without_images_and_without_steps(tmp_path: Path, format: str, module: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")
    assert exporter(format)(recorded(tmp_path / "a", cameras=()), tmp_path / "a" / "out").stat().st_size > 0
    with pytest.raises(EpisodeError, match="nothing to export"):
        exporter(format)(recorded(tmp_path / "b", undone=3), tmp_path / "b" / "out")
    assert [p for p in (tmp_path / "b").iterdir() if p.is_file()] == []
