"""Exports that the disk refuses: one sentence, nothing left behind, what was there is as it was."""

import contextlib
import errno
import os
import resource
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from frs_core.cli import main
from frs_core.episodes import Episode, EpisodeStore, JournalRecorder
from frs_core.episodes.begun import file_named, refused
from frs_core.episodes.formats import exporter
from frs_core.episodes.lerobot_versions import number_stats
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from tests.fakes.episodes import random_chunks, random_meta

FORMATS = ["lerobot", "lerobot-v3", "droid", "mp4", "mcap", "rerun"]
FILES = {"mp4": "", "mcap": ".mcap", "rerun": ".rrd"}
"""Format of one file -> what its exporter adds to a name."""


def write(name: str, episode: Episode, path: Path) -> None:
    if name in ("mcap", "rerun"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    exporter(name)(episode, path)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> list[Episode]:
    store = EpisodeStore(tmp_path_factory.mktemp("data"))
    for seed in (1, 2):
        recorder = JournalRecorder(store)
        recorder.begin(random_meta(seed, cameras=("left",), started_unix=1e9 + seed))
        for chunk in random_chunks(seed, count=2, cameras=("left",)):
            recorder.chunk(chunk)
        recorder.end(Outcome.SUCCESS)
    return [store.open(info.name) for info in store.list()]


@contextlib.contextmanager
def no_file_above(size: int) -> Generator[None, None, None]:
    """Let writes beyond a size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 600, 2000])
@pytest.mark.parametrize("name", FORMATS)
def test_an_export_that_the_disk_refuses_leaves_nothing(episodes, tmp_path, name, size) -> None:
    with (
        no_file_above(size),
        pytest.raises(EpisodeError, match=r"could not be written: .*(Free space or choose another|ulimit -f)"),
    ):
        write(name, episodes[0], tmp_path / "a/b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lerobot", "lerobot-v3", "droid"])
def test_a_data_set_is_as_it_was_after_an_episode_that_the_disk_refused(episodes, tmp_path, name) -> None:
    exporter(name)(episodes[0], tmp_path / "set")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with no_file_above(1000), pytest.raises(EpisodeError, match="could not be written"):
        exporter(name)(episodes[1], tmp_path / "set")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    exporter(name)(episodes[1], tmp_path / "set")


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_in_the_way_of_an_export_is_said(episodes, tmp_path, name) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        EpisodeError, match=r"file/out.*' does not exist: '.*file' is a file, so nothing can be written"
    ):
        write(name, episodes[0], tmp_path / "file" / "out")
    if name in FILES:
        folder = tmp_path / f"folder{FILES[name]}"
        folder.mkdir()
        for target in (folder, Path(), Path("/")):
            with pytest.raises(EpisodeError, match="' is a folder, so nothing can be written there"):
                write(name, episodes[0], target)
    else:
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(EpisodeError, match="loop' is a link that leads back to itself, so nothing"):
            exporter(name)(episodes[0], tmp_path / "loop")
        with pytest.raises(EpisodeError, match=r"file' is a file, so nothing can be written there. Name another place"):
            exporter(name)(episodes[0], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(episodes, tmp_path, name) -> None:
    there = tmp_path / f"mine{FILES[name]}"
    there.write_text("mine")
    with pytest.raises(EpisodeError, match=r"mine.*' already exists. Choose another name, or pass --overwrite"):
        write(name, episodes[0], tmp_path / "mine")
    assert there.read_text() == "mine"
    exporter(name)(episodes[0], tmp_path / "mine", overwrite=True)
    assert there.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize("words", [["export", "last", "--format", "mp4"], ["export-mp4", "last"]])
def test_the_command_asks_before_it_replaces_a_file(episodes, tmp_path, words, capsys) -> None:
    there = tmp_path / "film.mp4"
    there.write_text("mine")
    asked = ["episodes", *words, "--out", str(there), "--data", str(episodes[0].path.parents[1])]
    for more, code, size in (([], (1, 2), 4), (["--overwrite"], (0,), 1000)):
        with pytest.raises(SystemExit) as stop:
            main([*asked, *more])
        assert stop.value.code in code
        assert there.stat().st_size >= size
        assert ("already exists" in " ".join("".join(capsys.readouterr()).split())) == (not more)
    with pytest.raises(SystemExit):
        main(
            [
                "episodes",
                "export",
                "last",
                "--format",
                "droid",
                "--out",
                str(tmp_path / "set"),
                *asked[-2:],
                "--overwrite",
            ]
        )
    assert "adds to a data set" in capsys.readouterr().err


def test_statistics_of_large_numbers_are_numbers() -> None:
    stats = number_stats(np.array([[3e38], [-3e38]], dtype=np.float32))
    assert all(np.isfinite(values).all() for values in stats.values())


@pytest.mark.parametrize("name", ["mp4", "mcap", "rerun"])
def test_an_export_replaces_no_device_pipe_or_folder(episodes, tmp_path, name) -> None:
    pipe, folder = tmp_path / f"pipe{FILES[name]}", tmp_path / f"folder{FILES[name]}"
    os.mkfifo(pipe)
    folder.mkdir()
    for place in (pipe, folder):
        with pytest.raises(EpisodeError, match="so nothing can be written there"):
            file_named(place, FILES[name], overwrite=True)
    null = os.stat(os.devnull)
    with pytest.raises(EpisodeError, match="is a device"):
        file_named(Path(os.devnull), overwrite=True)
    assert os.stat(os.devnull).st_ino == null.st_ino


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("place", ["{episode}", "{episode}/zarr.json", "{root}/episodes/.lock", "link/new"])
def test_an_export_into_recordings_is_refused_and_they_stay_as_they_are(episodes, tmp_path, name, place) -> None:
    if name in ("mcap", "rerun"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    folder = episodes[0].path
    (tmp_path / "link").symlink_to(folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    root = folder.parent.parent
    target = tmp_path / place.format(episode=folder, root=root)
    with pytest.raises(EpisodeError, match=r"lies among recordings|holds no LeRobot dataset"):
        exporter(name)(episodes[1], target, **({"overwrite": True} if name in FILES else {}))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_file_that_is_too_large_for_its_disk_is_not_said_to_need_space(tmp_path):
    said = str(refused(tmp_path / "a.mp4", OSError(errno.EFBIG, os.strerror(errno.EFBIG))))
    assert "a file is larger than its disk or this process allows" in said
    assert "ulimit -f" in said
    assert "Free space" not in said
