"""The store: list, find, relabel, bin, restore, and one writer at a time."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.layout import ROOT_METADATA, is_name, new_name
from frs_core.errors import EpisodeError, StoreLocked
from frs_core.events import Outcome
from tests.fakes.episodes import random_meta, record
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
