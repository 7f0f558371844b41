"""Nothing silently wrong: files in another's place, and files no recorder writes, are named item by item; the rest goes on."""

import dataclasses
import errno
import json
import math
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backports import zstd

from frs_core.cli import main
from frs_core.commands import episodes as commands
from frs_core.episodes import EpisodeStore, JournalRecorder, integrity
from frs_core.episodes.dataset import load_chunks
from frs_core.episodes.integrity import TABLE_CHECKSUM, group_metadata, read_file_table, read_group_metadata
from frs_core.episodes.layout import ROOT_METADATA
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.policies.base import FlowPolicy
from tests.fakes.episodes import random_chunks, random_meta


@pytest.fixture
def store(tmp_path):
    return EpisodeStore(tmp_path)


def make(store: EpisodeStore, seed: int = 0, **facts: object) -> str:
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta(seed, size=16, **facts))
    for chunk in random_chunks(seed, count=2, size=16):
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)
    return name


def forge(folder: Path, path: str, data: bytes) -> None:
    """Replace a file of an episode and make every table and checksum agree with it."""
    (folder / path).write_bytes(data)
    table, _ = read_file_table(folder)
    files = {**table, path: (len(data), zlib.crc32(data))}
    (folder / "integrity" / ROOT_METADATA).write_bytes(group_metadata({"files": files}))
    _, checksum = read_file_table(folder)
    change(folder, **{TABLE_CHECKSUM: checksum})


def change(folder: Path, **attributes: object) -> None:
    """Change facts of an episode, checksum included."""
    facts = {**read_group_metadata(folder), **attributes}
    (folder / ROOT_METADATA).write_bytes(group_metadata({k: v for k, v in facts.items() if v is not ...}))


# --- whole files in another's place -----------------------------------------------------------------------------------

READS = {
    "chunk": lambda episode: episode.chunk(1),
    "table": lambda episode: load_chunks([episode]),
    "array": lambda episode: episode.arrays["chunks/noise"],
    "record": lambda episode: episode.record(),
    "verify": lambda episode: episode.verify(),
}


@pytest.mark.parametrize("how", READS)
def test_two_exchanged_files_of_one_size_are_noticed_by_every_reader(store, how):
    folder = store.path(make(store))
    a, b = (folder / f"chunks/{name}/c/0/0/0" for name in ("noise", "recovered"))
    first, second = a.read_bytes(), b.read_bytes()
    assert len(first) == len(second)
    a.write_bytes(second)
    b.write_bytes(first)
    episode = store.open(folder.name.removesuffix(".zarr"))
    with pytest.raises(EpisodeCorrupt, match=r"file 'chunks/(noise|recovered)/c/0/0/0' has .* with CRC"):
        READS[how](episode)


def test_pictures_of_another_episode_are_noticed(store):
    ours, theirs = store.path(make(store, 1)), store.path(make(store, 2))
    paths = [p.relative_to(ours) for p in sorted((ours / "images/left/data/c").iterdir())]
    size = (ours / paths[0]).stat().st_size
    data = (theirs / paths[0]).read_bytes()
    (ours / paths[0]).write_bytes(data[:size].ljust(size, b"\0"))
    with pytest.raises(EpisodeCorrupt, match="file 'images/left/data/c/0' has"):
        EpisodeStore(store.root).open(ours.name.removesuffix(".zarr")).frame("left", 0)


def test_a_file_that_changes_after_it_was_read_is_compared_again(store):
    episode = store.open(make(store))
    image = episode.frame("left", 0)
    assert np.array_equal(episode.frame("left", 0), image)
    path = episode.path / "images/left/data/c/0"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    with pytest.raises(EpisodeCorrupt, match="images/left/data/c/0"):
        episode.frame("left", 0)


def test_facts_of_another_episode_are_noticed(store):
    ours, theirs = store.path(make(store, 1)), store.path(make(store, 2))
    shutil.copy(theirs / ROOT_METADATA, ours / ROOT_METADATA)
    with pytest.raises(EpisodeCorrupt, match=r"'zarr.json' is of another episode than the files beside it"):
        store.open(ours.name.removesuffix(".zarr"))


def test_an_episode_from_before_facts_were_tied_opens_and_check_says_so(store, capsys):
    name = make(store)
    change(store.path(name), **{TABLE_CHECKSUM: ...})
    episode = store.open(name)
    episode.verify()
    assert not episode.is_tied
    commands.check(data=store.root)
    assert "would not be noticed" in capsys.readouterr().out
    store.relabel(name, Outcome.FAILURE)
    assert store.open(name).outcome is Outcome.FAILURE


# --- files no recorder writes -----------------------------------------------------------------------------------------


def test_pipes_and_devices_in_an_episode_are_named_and_the_others_are_listed(store, capsys):
    good, bad = make(store, 1), {kind: make(store, 2) for kind in ("pipe", "device", "lock")}
    for kind, name in bad.items():
        path = store.path(name) / ROOT_METADATA
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    rows = {i.name: i for i in store.list()}
    assert rows[good].problem == ""
    assert "a named pipe" in rows[bad["pipe"]].problem
    assert "is a link" in rows[bad["device"]].problem
    assert commands.list_episodes(data=store.root) == 1
    assert "4 episodes, 1 success, 3 damaged" in capsys.readouterr().out
    for path, kind in (("chunks/noise/c/0/0/0", os.mkfifo), ("integrity/zarr.json", os.mkfifo)):
        folder = store.path(make(store, 3))
        (folder / path).unlink()
        kind(folder / path)
        with pytest.raises(EpisodeCorrupt, match=path):
            store.open(folder.name.removesuffix(".zarr")).verify()


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("instruction", ["a", "list"]),
        ("task", {"a": "map"}),
        ("note", 3),
        ("started_at", 1e300),
        ("duration_s", "long"),
        ("n_chunks", 10**15),
        ("n_steps", -1),
        ("drivers", {"person": "many"}),
        ("policy", None),
        ("cameras", 7),
        ("outcome", "splendid"),
    ],
)
def test_absurd_facts_are_named_and_the_others_are_listed(store, capsys, fact, value):
    good, bad = make(store, 1), make(store, 2)
    change(store.path(bad), **{fact: value})
    commands.list_episodes(data=store.root)
    assert good in capsys.readouterr().out
    with pytest.raises(EpisodeCorrupt, match=f"'{bad}.zarr' is damaged: file 'zarr.json'"):
        store.open(bad)
    commands.check(data=store.root)
    assert bad in capsys.readouterr().out


def test_deep_json_is_named(store):
    good, bad = make(store, 1), make(store, 2)
    (store.path(bad) / ROOT_METADATA).write_bytes(b'{"attributes": ' + b"[" * 10**6 + b"]" * 10**6 + b"}")
    problems = {i.name: i.problem for i in store.list()}
    assert problems[good] == ""
    assert "nested more than 64 deep" in problems[bad]


def test_a_compressed_bomb_and_an_absurd_shape_are_refused_before_memory_is_taken(store):
    name = make(store)
    folder = store.path(name)
    bomb = zstd.compress(bytes(1 << 26), 1) + bytes(4)
    forge(folder, "chunks/noise/c/0/0/0", bomb)
    with pytest.raises(EpisodeCorrupt, match="zstd frame of 67108864 bytes, expected"):
        _ = store.open(name).arrays["chunks/noise"]
    document = json.loads((folder / "chunks/features/zarr.json").read_bytes())
    for shape in ([1 << 40, 12], [1 << 20, 1 << 20]):
        document["shape"] = shape
        document["chunk_grid"]["configuration"]["chunk_shape"] = [1, shape[1]]
        forge(folder, "chunks/features/zarr.json", json.dumps(document).encode())
        with pytest.raises(EpisodeCorrupt, match="at most"):
            _ = store.open(name).arrays["chunks/features"]


def test_a_camera_whose_name_leads_elsewhere_is_refused_at_the_beginning(store):
    with pytest.raises(EpisodeError, match="cannot be a folder's"):
        JournalRecorder(store).begin(random_meta(cameras=("../../left",)))


# --- what commands print ----------------------------------------------------------------------------------------------


def test_names_that_look_like_markup_or_steer_a_terminal_are_printed_as_they_are(store, capsys):
    make(store, task="put [/red] here", operator="[link=x]")
    change(store.list()[0].path, instruction="[bold]now[/nothing] \x1b[2J \ud800")
    name = make(store, 2)
    store.note(name, "[/] :smile: \x1b]0;title\x07")
    assert commands.list_episodes(data=store.root) == 0
    out = capsys.readouterr().out
    assert "put [/red] here" in out
    assert r"[/] :smile: \x1b]0;title\x07" in out
    commands.show((name,), data=store.root)
    commands.show((store.list()[0].name,), data=store.root)
    assert r"“[bold]now[/nothing] \x1b[2J \ud800”" in capsys.readouterr().out


def test_one_episode_that_fails_does_not_stop_the_command(store, capsys):
    first, second = make(store, 1), make(store, 2)
    (store.path(first) / ROOT_METADATA).write_text("{}")
    assert commands.relabel((first, second), outcome=Outcome.FAILURE, data=store.root) == 1
    out = capsys.readouterr().out
    assert f"✗ {first}" in out
    assert store.info(second).outcome is Outcome.FAILURE


# --- a check of many --------------------------------------------------------------------------------------------------


def test_a_check_tells_of_each_episode_what_could_not_be_checked_and_goes_on(store, capsys, monkeypatch):
    loaded: list[str] = []

    def load(name: str, **options: object) -> FlowPolicy:
        from tests.fakes.policy import ToyPolicy

        loaded.append(name)
        return ToyPolicy(fingerprint="toy-2")

    monkeypatch.setattr("frs_core.policies.load_policy", load)
    recorder = JournalRecorder(store)
    demonstration = recorder.begin(random_meta(1, size=16, policy="demonstration", policy_fingerprint="demonstration"))
    for chunk in random_chunks(1, count=2, size=16):
        nothing = np.full_like(chunk.noise, math.nan)
        recorder.chunk(dataclasses.replace(chunk, noise=nothing, recovered=nothing))
    recorder.end(Outcome.SUCCESS)
    other = make(store, 2)
    code = make(store, 3, policy="os:abort")
    damaged = make(store, 4)
    (store.path(damaged) / "steps/q/c/0/0").unlink()
    assert commands.check(data=store.root) == 1
    out = capsys.readouterr().out
    lines = {
        name: next(line for line in out.splitlines() if name in line) for name in (demonstration, other, code, damaged)
    }
    assert "no chunk has a stored noise" in lines[demonstration]
    assert lines[other].startswith("?")
    assert "recorded with policy 'toy'" in lines[other]
    assert "Unknown policy 'os:abort'" in lines[code]
    assert "steps/q/c/0/0" in lines[damaged]
    assert "1 of 4 episodes good, 2 not checked, nothing regenerated" in out
    assert loaded == ["toy"]
    assert commands.check((demonstration,), data=store.root) == 0


def test_the_shipped_example_still_opens_and_checks():
    example = EpisodeStore(Path(__file__).parents[2] / "data" / "example")
    for info in example.list():
        episode = example.open(info.name)
        episode.verify()
        episode.chunk(episode.n_chunks - 1)


def test_a_trajectory_that_claims_absurd_sizes_is_refused_before_memory_is_taken(store, tmp_path):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("av")
    from frs_core.episodes.import_droid import import_droid
    from tests.fakes.droid_trajectory import write_trajectory

    folder = write_trajectory(tmp_path / "trajectory", steps=16)
    with h5py.File(folder / "trajectory.h5", "r+") as file:
        del file["action/joint_velocity"]
        file["action"].create_dataset("joint_velocity", shape=(10**9, 7), dtype="f8", chunks=(1024, 7))
    with pytest.raises(EpisodeCorrupt, match="bytes, at most"):
        import_droid(folder, store)
    assert store.list() == []


# --- what the system refuses, and what is shown ------------------------------------------------------------------------


def test_an_episode_that_may_not_be_read_is_not_called_damaged_and_is_read_once_it_may(store, capsys, monkeypatch):
    name = make(store)
    read, may = integrity.read_bytes, [False]

    def guarded(path: Path, **options: Any) -> bytes:
        if not may[0] and name in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path, **options)

    monkeypatch.setattr(integrity, "read_bytes", guarded)
    assert commands.list_episodes(data=store.root) == 1
    out = capsys.readouterr().out
    assert "! unreadable" in out
    assert "0 damaged, 1 unreadable" in out
    assert (
        f"Episode '{name}.zarr' could not be read: the system refuses file 'zarr.json' (Permission denied). Change its permissions"
        in out
    )
    (info,) = store.list()
    assert info.ailment == "unreadable"
    may[0] = True
    (info,) = store.list()
    assert (info.ailment, info.outcome) == ("", Outcome.SUCCESS)


def test_a_line_break_in_a_text_of_an_episode_is_spelled_out_in_lists(store, capsys):
    make(store, task="a\nb", instruction="put\nit", policy="c\n\x1b[2Jd")
    assert commands.list_episodes(data=store.root) == 0
    assert r"a\nb" in capsys.readouterr().out
    assert commands.show(("last",), data=store.root) == 0
    shown = capsys.readouterr().out
    assert r"task a\nb · “put\nit”" in shown
    assert r"policy c\n\x1b[2Jd" in shown
    with pytest.raises(SystemExit):
        main(["episodes", "import", "no\nthing", "--format", "droid"])
    assert r"'no\nthing" in capsys.readouterr().err


def test_half_a_surrogate_pair_in_any_text_is_spelled_out_when_it_is_stored(store):
    name = make(store, instruction="put \ud83d down")
    assert store.open(name).meta.instruction == r"put \ud83d down"
