"""A full disk and a slow one: nothing recorded is lost, and the session is notified."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.journal import JournalFile
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.runtime.workers import ThreadWorker
from frs_core.session.writing import WriteQueue
from tests.fakes.episodes import random_chunks, random_meta, record
from tests.waiting import LONG_S

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
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=LONG_S)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[-1] == "done"
    assert len(lines) == 4
    assert all(
        "File too large. Record on a disk that takes larger files, or raise `ulimit -f`, and try again" in line
        for line in lines[:3]
    )


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


def test_a_session_that_hits_a_full_disk_holds_and_later_loses_nothing(store, monkeypatch):
    """The session's own write queue, on its worker thread, over the journal."""
    disk, recorder, worker = FullDisk(monkeypatch), JournalRecorder(store), ThreadWorker("writer")
    queue, names, refused = WriteQueue(recorder, worker, timeout_s=LONG_S), [], []

    def settle():
        for _ in range(2000):
            for job, answer in queue.poll():
                names.extend([answer.value] if job.name == "begin" else [])
                refused.extend([str(answer.error)] if answer.error else [])
            if queue.is_idle or queue.is_stuck:
                return
            time.sleep(0.005)
        raise AssertionError("the queue does not settle")

    chunks = list(random_chunks(count=5))
    try:
        queue.add("begin", lambda r: r.begin(random_meta()))
        queue.add("chunk", lambda r: r.chunk(chunks[0]))
        settle()
        disk.is_full = True
        for chunk in chunks[1:4]:
            queue.add("chunk", lambda r, c=chunk: r.chunk(c))
        settle()
        assert queue.is_stuck
        assert len(refused) == 1
        assert "No space left on device. Free space on the disk" in refused[0]
        disk.is_full = False
        queue.add("chunk", lambda r: r.chunk(chunks[4]))
        queue.add("end", lambda r: r.end(Outcome.SUCCESS))
        queue.retry()
        settle()
        assert queue.is_idle
    finally:
        worker.close()
    episode = store.open(names[0])
    assert [episode.chunk(i).started_ns for i in range(5)] == [c.started_ns for c in chunks]


def test_calls_out_of_order_are_refused(store):
    recorder = JournalRecorder(store)
    with pytest.raises(EpisodeError, match="Call begin first"):
        recorder.end(Outcome.SUCCESS)
    recorder.begin(random_meta())
    with pytest.raises(EpisodeError, match="still open"):
        recorder.begin(random_meta())
    with pytest.raises(EpisodeError, match="cannot be taken back"):
        recorder.undo(0)
    recorder.abort()


def test_facts_that_are_no_numbers_are_refused_before_anything_is_written(store, tmp_path):
    with pytest.raises(EpisodeError, match="cannot be stored"):
        JournalRecorder(store).begin(random_meta(control_hz=float("nan")))
    assert not (tmp_path / "episodes").exists()
