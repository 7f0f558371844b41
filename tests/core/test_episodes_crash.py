"""kill -9 while recording: committed episodes stay intact, the unfinished one is recovered up to its last whole chunk."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder, bin_unfinished, recover, unfinished
from frs_core.episodes.journal import read_journal
from frs_core.episodes.layout import journal_path
from frs_core.errors import EpisodeCorrupt, StoreLocked
from frs_core.events import Outcome
from tests.fakes.episodes import random_chunks, random_meta, record
from tests.waiting import LONG_S

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
    import itertools, os, sys
    from pathlib import Path
    from frs_core.episodes import EpisodeStore, JournalRecorder
    from frs_core.events import Outcome
    from tests.fakes.episodes import random_chunks, random_meta

    def record_for_ever(root, report):
        def say(*words):
            os.write(report, (" ".join(map(str, words)) + "\\n").encode())

        recorder = JournalRecorder(EpisodeStore(Path(root)))
        for number in itertools.count():
            name = recorder.begin(random_meta(number, size=24))
            say("begin", name)
            for chunk in chunks:
                recorder.chunk(chunk)
                say("chunk", chunk.index)
            say("ending")
            recorder.end(Outcome.SUCCESS)
            say("committed", name)

    chunks = list(random_chunks(7, count=5, size=24))
    for line in sys.stdin:
        report = os.open(line.rstrip("\\n"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        pid = os.fork()
        if pid == 0:
            record_for_ever(sys.argv[1], report)
        os.close(report)
        print("pid", pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)
"""


@contextlib.contextmanager
def writers(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a process that forks a recording process per line of input; forking saves the imports."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY) as process:
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(LONG_S)


def reported(report: Path) -> list[list[str]]:
    """Give the whole lines that the recording process wrote; a line cut by its end does not count."""
    text = report.read_text() if report.exists() else ""
    return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]


def heard(process: subprocess.Popen[str]) -> list[str]:
    """Give the next line that the forking process says; the recording one never writes there, so no line is torn."""
    line = process.stdout.readline()
    assert line, "the process that forks the writers has ended"
    return line.split()


def kill_one(process: subprocess.Popen[str], report: Path, lines: int, delay_s: float) -> list[list[str]]:
    """Record until killed `delay_s` after the writer's `lines`-th report; return everything it reported."""
    process.stdin.write(f"{report}\n")
    process.stdin.flush()
    word, pid = heard(process)
    assert word == "pid"
    deadline = time.monotonic() + LONG_S
    while len(reported(report)) < lines:
        assert time.monotonic() < deadline, f"{reported(report)} for {LONG_S:.0f} s, {lines} reports awaited"
        time.sleep(0.002)
    time.sleep(delay_s)
    os.kill(int(pid), signal.SIGKILL)
    assert heard(process) == ["gone"]
    return reported(report)


def check_after_kill(root: Path, said: list[list[str]], known: set[str]) -> set[str]:
    """Assert that nothing is lost, recover, and return the names that are there."""
    store = EpisodeStore(root)
    committed = {words[1] for words in said if words[0] == "committed"}
    present = {i.name: i for i in store.list()}
    assert committed | known <= set(present)
    for info in present.values():
        assert info.problem == ""
        if info.name not in known:
            episode = store.open(info.name)
            episode.verify()
            assert episode.n_chunks == 5
            episode.chunk(4)
    last = max((i for i, words in enumerate(said) if words[0] == "begin"), default=None)
    if last is None:
        assert unfinished(store) == []
        return set(present)
    name = said[last][1]
    finished = sum(words[0] == "chunk" for words in said[last:])
    left = [u for u in unfinished(store) if u.name == name]
    if name in present:
        assert left == []
    elif finished == 0 and not left:
        pass
    else:
        # One more may have reached the disk before the writer could say so.
        assert finished <= left[0].n_chunks <= finished + 1
        recover(store, name)
        episode = store.open(name)
        episode.verify()
        assert episode.n_chunks == left[0].n_chunks
        assert episode.info.was_recovered
        assert episode.outcome in (Outcome.FAILURE, Outcome.SUCCESS)
        assert episode.outcome is Outcome.FAILURE or episode.n_chunks == 5
        episode.chunk(episode.n_chunks - 1)
    assert unfinished(store) == []
    assert list((root / "episodes").glob(".tmp_*")) == []
    return {i.name for i in store.list()}


def kill_many(root: Path, times: int, seed: int) -> None:
    """Kill at random moments: somewhere in the first two episodes, so that each phase of a recording has its share."""
    rng, known = random.Random(seed), set()
    with writers(root) as process:
        for number in range(times):
            # One episode is eight reports, and its commit takes about as long as all the rest.
            report = root.with_name(f"report-{number}")
            said = kill_one(process, report, rng.randrange(17), rng.uniform(0.0, 0.2))
            known = check_after_kill(root, said, known)
    assert known


def test_kill_nine_at_random_moments_loses_at_most_the_chunk_in_motion(tmp_path):
    kill_many(tmp_path, 6, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_kill_nine_at_fifty_random_moments_loses_at_most_the_chunk_in_motion(tmp_path):
    kill_many(tmp_path, 50, seed=2)


def test_an_aborted_episode_is_recovered_as_a_failure(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=3)
    with pytest.raises(StoreLocked):
        unfinished(EpisodeStore(tmp_path))
    recorder.abort()
    recorder.abort()
    found = unfinished(store)
    assert [(u.name, u.n_chunks, u.n_steps, u.task) for u in found] == [(name, 3, 12, "stack_bowls")]
    recover(store, name)
    info = store.list()[0]
    assert (info.outcome, info.note, info.was_recovered) == (Outcome.FAILURE, "Recovered", True)
    assert unfinished(store) == []


def test_a_journal_cut_anywhere_gives_every_whole_chunk(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=3, size=8)
    recorder.abort()
    path = journal_path(tmp_path, name)
    whole = path.read_bytes()
    rng = random.Random(0)
    last = 3
    for size in sorted(rng.sample(range(len(whole)), 60), reverse=True):
        path.write_bytes(whole[:size])
        content = read_journal(path)
        count = sum(r["kind"] == "chunk" for r in content.records)
        assert count <= last
        last = count
    assert last == 0


def test_a_flipped_bit_in_a_journal_ends_it_there_and_keeps_the_file(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=3, size=8)
    recorder.abort()
    path = journal_path(tmp_path, name)
    data = bytearray(path.read_bytes())
    data[-50] ^= 4
    path.write_bytes(data)
    found = unfinished(store)[0]
    assert found.n_chunks == 2
    assert "checksum" in found.problem
    recover(store, name, outcome=Outcome.SUCCESS, note="looked good")
    assert store.open(name).n_chunks == 2
    assert store.list()[0].note == "looked good"
    assert (tmp_path / "trash" / path.name).exists()


def test_what_is_no_journal_is_named_and_can_be_binned(tmp_path):
    store = EpisodeStore(tmp_path)
    name = store.new_name()
    path = journal_path(tmp_path, name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else entirely")
    assert "not a journal" in unfinished(store)[0].problem
    with pytest.raises(EpisodeCorrupt, match="not a journal"):
        recover(store, name)
    bin_unfinished(store, name)
    assert unfinished(store) == []
    assert (tmp_path / "trash" / path.name).read_bytes() == b"something else entirely"


def test_an_unfinished_episode_can_be_binned_and_brought_back(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=2)
    recorder.abort()
    bin_unfinished(store, name)
    assert store.list() == []
    assert unfinished(store) == []
    store.restore(name)
    assert store.open(name).n_chunks == 2


def test_a_label_given_before_the_crash_is_kept(tmp_path, monkeypatch):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=2)

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("frs_core.episodes.writer.commit", die)
    with pytest.raises(KeyboardInterrupt):
        recorder.end(Outcome.SUCCESS, "neat")
    recorder.abort()
    assert unfinished(store)[0].outcome is Outcome.SUCCESS
    recover(store, name)
    info = store.list()[0]
    assert (info.outcome, info.note) == (Outcome.SUCCESS, "neat")


def test_a_crash_between_commit_and_clearing_the_journal_is_recognised(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    recorder.chunk(next(random_chunks()))
    path = journal_path(tmp_path, name)
    journal = path.read_bytes()
    recorder.end(Outcome.SUCCESS)
    path.write_bytes(journal)
    assert unfinished(store) == []
    assert not path.exists()
    assert len(store.list()) == 1
