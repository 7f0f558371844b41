"""A full disk and a slow one: nothing recorded is lost, and the session is told."""

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder, ThreadedRecorder, unfinished
from frs_core.episodes.journal import JournalFile
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.recording import MemoryRecorder
from tests.fakes.episodes import random_chunks, random_meta, record

REPOSITORY = Path(__file__).parents[2]


class FullDisk:
    """Makes journal writes fail while `is_full`."""

    def __init__(self, monkeypatch):
        self.is_full = False
        real = JournalFile.append

        def append(journal, framed):
            if self.is_full:
                raise OSError(28, "No space left on device")
            real(journal, framed)

        monkeypatch.setattr(JournalFile, "append", append)


@pytest.fixture
def store(tmp_path):
    return EpisodeStore(tmp_path)


def test_a_real_size_limit_refuses_a_chunk_and_keeps_the_ones_before(tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        from frs_core.episodes import EpisodeStore, JournalRecorder
        from frs_core.errors import EpisodeError
        from frs_core.events import Outcome
        from tests.fakes.episodes import random_chunks, random_meta
        from frs_core.episodes.layout import journal_path

        store = EpisodeStore(Path(sys.argv[1]))
        recorder = JournalRecorder(store)
        name = recorder.begin(random_meta())
        chunks = list(random_chunks(count=4))
        recorder.chunk(chunks[0])
        size = journal_path(store.root, name).stat().st_size
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, hard))
        for _ in range(2):
            try:
                recorder.chunk(chunks[1])
            except EpisodeError as error:
                print(error)
        assert journal_path(store.root, name).stat().st_size == size
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        try:
            recorder.end(Outcome.SUCCESS)
        except EpisodeError as error:
            print(error)
        assert store.list() == []
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for chunk in chunks[1:]:
            recorder.chunk(chunk)
        recorder.end(Outcome.SUCCESS)
        episode = store.open(name)
        episode.verify()
        assert episode.n_chunks == 4
        assert (episode.chunk(2).noise == chunks[2].noise).all()
        print("done")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=100)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[-1] == "done"
    assert len(lines) == 4
    assert all("File too large. Free space on the disk and try again" in line for line in lines[:3])


def test_a_commit_that_the_disk_refuses_can_be_repeated(store, monkeypatch):
    recorder = JournalRecorder(store)
    name = record(recorder, count=2)
    with monkeypatch.context() as patch:
        patch.setattr("frs_core.episodes.assembly.fsync_tree", _raise_full)
        with pytest.raises(EpisodeError, match="could not be committed: No space left"):
            recorder.end(Outcome.SUCCESS)
        assert store.list() == []
        assert recorder.name == name
    recorder.end(Outcome.FAILURE, "second try")
    assert (store.list()[0].outcome, store.list()[0].note) == (Outcome.FAILURE, "second try")


def _raise_full(path):
    raise OSError(28, "No space left on device")


def test_the_threaded_recorder_keeps_what_a_full_disk_refused_and_writes_it_later(store, monkeypatch):
    disk, problems, told = FullDisk(monkeypatch), [], threading.Event()

    def on_problem(error):
        problems.append(error)
        told.set()

    recorder = ThreadedRecorder(JournalRecorder(store), on_problem=on_problem)
    try:
        name = recorder.begin(random_meta())
        chunks = list(random_chunks(count=5))
        recorder.chunk(chunks[0])
        recorder.retry()
        disk.is_full = True
        for chunk in chunks[1:4]:
            recorder.chunk(chunk)
        assert told.wait(10)
        with pytest.raises(EpisodeError, match="No space left"):
            recorder.end(Outcome.SUCCESS)
        assert recorder.problem is not None
        assert recorder.pending == 3
        disk.is_full = False
        recorder.retry()
        assert recorder.problem is None
        assert recorder.pending == 0
        recorder.chunk(chunks[4])
        recorder.end(Outcome.SUCCESS)
        assert len(problems) == 1
    finally:
        recorder.close()
    assert [store.open(name).chunk(i).started_ns for i in range(5)] == [c.started_ns for c in chunks]


def test_the_threaded_recorder_does_not_make_its_caller_wait(store):
    gate, entered = threading.Event(), threading.Event()

    class Slow(MemoryRecorder):
        def chunk(self, record):
            entered.set()
            assert gate.wait(20)
            super().chunk(record)

    slow = Slow()
    recorder = ThreadedRecorder(slow, capacity=2, timeout_s=0.2)
    chunks = list(random_chunks(count=4))
    recorder.begin(random_meta())
    recorder.chunk(chunks[0])
    assert entered.wait(10)
    recorder.chunk(chunks[1])
    recorder.chunk(chunks[2])
    with pytest.raises(EpisodeError, match="2 chunks waiting and takes no more"):
        recorder.chunk(chunks[3])
    gate.set()
    recorder.retry()
    recorder.chunk(chunks[3])
    recorder.undo(3)
    recorder.end(Outcome.SUCCESS)
    recorder.close()
    recorder.close()
    assert [c.index for c in slow.episodes[0].chunks] == [0, 1, 2, 3]
    assert slow.episodes[0].undone == {3}
    with pytest.raises(EpisodeError, match="closed"):
        recorder.chunk(chunks[0])


def test_closing_the_threaded_recorder_leaves_the_episode_to_recovery(store):
    recorder = ThreadedRecorder(JournalRecorder(store))
    name = record(recorder, count=3)
    recorder.close()
    assert [(u.name, u.n_chunks) for u in unfinished(store)] == [(name, 3)]
    assert "episode-writer" not in [t.name for t in threading.enumerate()]


def test_calls_out_of_order_are_refused(store):
    recorder = JournalRecorder(store)
    with pytest.raises(EpisodeError, match="Call begin first"):
        recorder.end(Outcome.SUCCESS)
    recorder.begin(random_meta())
    with pytest.raises(EpisodeError, match="still open"):
        recorder.begin(random_meta())
    with pytest.raises(EpisodeError, match="cannot be undone"):
        recorder.undo(0)
    recorder.abort()


def test_facts_that_are_no_numbers_are_refused_before_anything_is_written(store, tmp_path):
    with pytest.raises(EpisodeError, match="cannot be stored"):
        JournalRecorder(store).begin(random_meta(control_hz=float("nan")))
    assert not (tmp_path / "episodes").exists()
