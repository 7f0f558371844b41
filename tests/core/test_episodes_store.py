"""The store: list, find, relabel, bin, restore, and one writer at a time."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap

import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.index import read_attributes, read_info
from frs_core.episodes.integrity import group_metadata
from frs_core.episodes.layout import ROOT_METADATA, is_name, new_name
from frs_core.episodes.soundness import inspected
from frs_core.errors import EpisodeCorrupt, EpisodeError, StoreLocked
from frs_core.events import NOBODY, Driver, Outcome
from tests.fakes.episodes import random_chunks, random_meta, record
from tests.waiting import LONG_S


@pytest.fixture
def store(tmp_path):
    return EpisodeStore(tmp_path)


def make(store, seed=0, outcome=Outcome.SUCCESS):
    recorder = JournalRecorder(store)
    name = record(recorder, seed, count=1, size=16)
    recorder.end(outcome)
    return name


def test_names_are_unique_and_sort_by_time():
    names = [new_name(now=1_790_000_000 + i / 1000) for i in range(2000)]
    assert names == sorted(names)
    assert len(set(names)) == 2000
    assert all(is_name(n) for n in names)
    assert not is_name("20261104T101530Z_01")


def test_listing_shows_each_episode_and_follows_changes(store):
    first, second = make(store, 1), make(store, 2, Outcome.FAILURE)
    assert [(i.name, i.outcome, i.seed) for i in store.list()] == [
        (first, Outcome.SUCCESS, 1),
        (second, Outcome.FAILURE, 2),
    ]
    store.relabel(second, Outcome.SUCCESS)
    store.note(second, "was fine after all")
    info = store.list()[1]
    assert (info.outcome, info.note) == (Outcome.SUCCESS, "was fine after all")
    assert store.open(second).info == info


def test_binned_episodes_leave_the_list_and_can_be_restored(store):
    name = make(store)
    store.bin(name)
    assert store.list() == []
    assert store.list(binned=True)[0].is_binned
    with pytest.raises(EpisodeError, match="No episode"):
        store.bin(name)
    store.restore(name)
    store.open(name).verify()
    with pytest.raises(EpisodeError, match="in the bin"):
        store.restore(name)


def test_relabel_is_one_rename_so_a_crash_leaves_the_former_label(store, monkeypatch):
    name = make(store)
    before = (store.path(name) / ROOT_METADATA).read_bytes()

    def die(src, dst):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(EpisodeError, match="could not be changed: No space left"):
        store.relabel(name, Outcome.FAILURE)
    assert (store.path(name) / ROOT_METADATA).read_bytes() == before
    assert sorted(p.name for p in store.path(name).parent.iterdir() if p.name.startswith(".tmp")) == []
    store.open(name).verify()


def test_names_may_be_shortened_to_any_part_that_fits_only_one(store):
    first, second = make(store, 1), make(store, 2)
    assert store.find(first[-6:].lower()) == first
    assert store.find("last") == second
    with pytest.raises(EpisodeError, match="2 episodes match"):
        store.find(first[:4])
    with pytest.raises(EpisodeError, match="no episode matches"):
        store.find("XYZ")


def test_an_episodes_folder_is_its_name_as_well(store, tmp_path, monkeypatch):
    first, _ = make(store, 1), make(store, 2)
    folder = store.path(first)
    monkeypatch.chdir(folder.parent)
    for text in (f"{first}.zarr", f"{first.lower()}.zarr/", str(folder), f"{folder}/", f"./{first}.zarr"):
        assert store.find(text) == first
    with pytest.raises(EpisodeError, match="does not lie in"):
        store.find(f"{tmp_path}/elsewhere/{first}.zarr")
    for text in ("", ".zarr/..", ".", "/"):
        with pytest.raises(EpisodeError, match=r"is no part of an episode's name|does not lie in"):
            store.find(text)


def test_a_missing_folder_is_an_empty_store(tmp_path):
    assert EpisodeStore(tmp_path / "nothing").list() == []
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_episode_is_listed_with_its_problem(store):
    name = make(store)
    path = store.path(name) / ROOT_METADATA
    document = json.loads(path.read_bytes())
    document["attributes"]["outcome"] = "failure"
    path.write_text(json.dumps(document))
    info = store.list()[0]
    assert info.outcome is None
    assert name in info.problem
    assert "zarr.json" in info.problem


@pytest.mark.parametrize("kind", ["a file", "a link to nowhere"])
def test_what_is_no_folder_is_a_damaged_episode_that_can_be_binned_and_restored(store, kind):
    good = make(store, 1)
    name = store.new_name()
    path = store.path(good).with_name(f"{name}.zarr")
    path.touch() if kind == "a file" else path.symlink_to("nowhere")
    assert [bool(row.problem) for row in store.list()] == [False, True]
    for use in (store.open, store.info, lambda n: store.relabel(n, Outcome.FAILURE)):
        with pytest.raises(EpisodeCorrupt, match=r"no folder.*frs episodes bin"):
            use(name)
    store.bin(store.find("last"))
    assert [row.name for row in store.list()] == [good]
    store.restore(store.find("last", binned=True))
    assert [row.name for row in store.list()] == [good, name]


def test_copies_that_other_programs_make_are_not_found_in_place_of_an_episode(store):
    name = make(store, 1)
    for copy in (f"{name} (conflicted copy).zarr", f"{name} copy.zarr", "9 notes.zarr"):
        store.path(name).with_name(copy).mkdir()
    assert store.find("last") == store.find(name) == name


def test_a_link_to_an_episode_that_is_listed_is_not_a_second_one(store, tmp_path):
    name, elsewhere = make(store, 1), EpisodeStore(tmp_path / "elsewhere")
    other = make(elsewhere, 2)
    folder = store.path(name).parent
    twin = store.new_name()
    (folder / f"{twin}.zarr").symlink_to(f"{name}.zarr")
    assert [row.name for row in store.list()] == [name]
    assert store.find("last") == name
    with pytest.raises(EpisodeError, match="no episode matches"):
        store.find(twin)
    for link in (links := (store.new_name(), new_name(after=store.new_name()))):
        (folder / f"{link}.zarr").symlink_to(elsewhere.path(other))
    assert [row.name for row in store.list()] == [name, links[0]]
    assert store.open(store.find("last")).n_chunks == elsewhere.open(other).n_chunks


def test_an_episode_that_is_a_link_is_changed_only_where_it_lies_and_the_link_can_be_binned(store, tmp_path):
    elsewhere = EpisodeStore(tmp_path / "elsewhere")
    other = make(elsewhere, 2)
    link = store.new_name()
    store.acquire()  # Makes the folders.
    store.release()
    (tmp_path / "episodes" / f"{link}.zarr").symlink_to(elsewhere.path(other))
    before = (elsewhere.path(other) / ROOT_METADATA).read_bytes()
    for change in (
        lambda: store.relabel(link, Outcome.FAILURE),
        lambda: store.note(link, "mine"),
        lambda: store.trim(link, 0, 0),
    ):
        with pytest.raises(EpisodeError, match=f"is a link to '{elsewhere.path(other)}' and is changed there only"):
            change()
    store.bin(link)
    assert not store.list()
    assert [row.name for row in store.list(binned=True)] == [link]
    store.restore(link)
    assert (elsewhere.path(other) / ROOT_METADATA).read_bytes() == before
    assert [row.name for row in elsewhere.list()] == [other]


@pytest.mark.parametrize("linked", ["root", "episodes"])
def test_a_recording_folder_that_is_a_link_is_used_as_any_other(tmp_path, linked):
    real = tmp_path / "real"
    name = make(EpisodeStore(real), 1)
    root = tmp_path / "root"
    if linked == "root":
        root.symlink_to(real)
    else:
        root.mkdir()
        (root / "episodes").symlink_to(real / "episodes")
    store = EpisodeStore(root)
    assert store.find("last") == name
    store.note(name, "mine")
    assert [row.note for row in EpisodeStore(real).list()] == ["mine"]


def test_a_second_writer_is_refused_and_told_who_writes(store, tmp_path):
    recorder = JournalRecorder(store)
    recorder.begin(random_meta())
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} "):
        JournalRecorder(EpisodeStore(tmp_path)).begin(random_meta())
    script = f"""
        from pathlib import Path
        from frs_core.episodes import EpisodeStore
        from frs_core.errors import StoreLocked
        try:
            EpisodeStore(Path({str(tmp_path)!r})).acquire()
        except StoreLocked as error:
            print("refused", error)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=LONG_S
    )
    assert result.stdout.startswith("refused")
    recorder.abort()
    with EpisodeStore(tmp_path).writing():
        pass


def test_the_lock_of_a_killed_writer_is_taken_over(store, tmp_path):
    script = f"""
        import os, signal
        from pathlib import Path
        from frs_core.episodes import EpisodeStore
        EpisodeStore(Path({str(tmp_path)!r})).acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    assert process.wait(LONG_S) == -9
    lock_file = tmp_path / "episodes" / ".lock"
    assert json.loads(lock_file.read_text())["pid"] == process.pid
    with store.writing():
        assert store._lock.took_over_pid == process.pid
        assert json.loads(lock_file.read_text())["pid"] == os.getpid()
    assert lock_file.read_text() == ""


def test_the_lock_nests_and_half_written_groups_are_cleared(store, tmp_path):
    stale = tmp_path / "episodes" / ".tmp_x.zarr"
    stale.mkdir(parents=True)
    (stale / "zarr.json").write_text("{}")
    with store.writing(), store.writing():
        assert not stale.exists()
        with pytest.raises(StoreLocked):
            EpisodeStore(tmp_path).acquire()
    EpisodeStore(tmp_path).acquire()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EpisodeError, match="cannot be made"):
        JournalRecorder(EpisodeStore(blocked)).begin(random_meta())


def truncate(folder, name):
    """Cut the first data file of an array in half."""
    path = next(p for p in sorted((folder / name).rglob("*")) if p.is_file() and p.name != "zarr.json")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize("array", ["chunks/noise", "images/left/data"])
def test_a_truncated_file_is_found_by_its_size_and_then_told_in_every_list(store, array):
    name = make(store)
    cut = truncate(store.path(name), array)
    assert not store.list()[0].problem
    found = store.list(inspect=True)[0]
    assert cut.relative_to(store.path(name)).as_posix() in found.problem
    assert (found.outcome, found.task) == (None, "stack_bowls")
    assert EpisodeStore(store.root).list()[0].problem == found.problem


def test_a_changed_byte_is_found_when_all_bytes_are_compared_and_a_mended_file_is_good_again(store):
    name = make(store)
    path = next(p for p in sorted((store.path(name) / "steps/q").rglob("*")) if p.is_file() and p.name != "zarr.json")
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert not store.list(inspect=True)[0].problem
    assert "steps/q" in inspected(store.list()[0], whole=True).problem
    assert "steps/q" in store.list()[0].problem
    path.write_bytes(whole)
    assert not inspected(read_info(store.path(name)), whole=True).problem
    assert not store.list()[0].problem


def test_nobodys_chunks_are_counted_as_the_policys_own_in_old_episodes_too(store):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    for i, chunk in enumerate(random_chunks(count=3)):
        recorder.chunk(dataclasses.replace(chunk, driver=Driver.PERSON, device=NOBODY if i else "keyboard"))
    recorder.end(Outcome.SUCCESS)
    assert store.list()[0].drivers == {"person": 1, "policy": 2}
    path = store.path(name) / "zarr.json"
    attributes = read_attributes(store.path(name))
    del attributes["picked_by"]
    path.write_bytes(group_metadata(attributes))
    assert not store.list()[0].says_who_picked
    assert store.list(inspect=True)[0].drivers == {"person": 1, "policy": 2}


def test_what_the_world_saw_is_kept_beside_the_label(store):
    for seen, outcome in (
        (True, Outcome.FAILURE),
        (False, Outcome.SUCCESS),
        (True, Outcome.SUCCESS),
        (None, Outcome.SUCCESS),
    ):
        recorder = JournalRecorder(store)
        recorder.begin(random_meta())
        for chunk in random_chunks(count=2):
            steps = tuple(
                dataclasses.replace(s, observation=dataclasses.replace(s.observation, success=None))
                for s in chunk.steps
            )
            recorder.chunk(
                dataclasses.replace(chunk, steps=steps, after=dataclasses.replace(chunk.after, success=seen))
            )
        recorder.end(outcome)
    assert [(i.success_seen, i.is_contradicted) for i in store.list()] == [
        (True, True),
        (False, True),
        (True, False),
        (None, False),
    ]
