"""Nothing lost: every call that promises a chunk or an episode keeps it through refused calls, power cuts and other programs."""

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder, bin_unfinished, recover, unfinished
from frs_core.episodes import label as labels
from frs_core.episodes.journal import MAGIC, frame_record
from frs_core.episodes.layout import TMP_PREFIX, journal_path
from frs_core.episodes.lock import editing
from frs_core.errors import EpisodeCorrupt, EpisodeError, EpisodeUnconfirmed, StoreLocked
from frs_core.events import Outcome
from tests.fakes.episodes import random_chunks, random_meta, record
from tests.waiting import LONG_S

CHUNKS = 2


@pytest.fixture
def store(tmp_path):
    return EpisodeStore(tmp_path / "data")


def make(store: EpisodeStore, seed: int = 0, outcome: Outcome = Outcome.SUCCESS) -> str:
    recorder = JournalRecorder(store)
    name = record(recorder, seed, count=CHUNKS, size=8)
    recorder.end(outcome)
    return name


# --- the order of calls, as a power cut sees it -----------------------------------------------------------------------


class Disk:
    """What a power cut could take: written files and changed folders that were not synced since."""

    def __init__(self, root: Path) -> None:
        self.root, self.is_on = str(root), False
        self.files: set[str] = set()
        self.folders: dict[str, set[str]] = {}
        self.early: list[str] = []
        """Groups and labels that were renamed into place before their bytes were safe."""

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.is_on or event not in ("open", "os.mkdir", "os.rename", "os.remove"):
            return
        path = os.path.abspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else ""
        if not path.startswith(self.root) or path.endswith(".lock"):
            return
        if event == "open":
            if arguments[2] & (os.O_WRONLY | os.O_RDWR):
                self.files.add(path)
                self._changed(path)
        elif event == "os.rename":
            self._renamed(path, os.path.abspath(arguments[1]))
        else:
            self.files.discard(path)
            self._changed(path)

    def wrote(self, fd: int) -> None:
        self.files.add(os.readlink(f"/proc/self/fd/{fd}"))

    def synced(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        self.files.discard(path)
        self.folders.pop(path, None)

    def at_risk(self) -> list[str]:
        return sorted(self.files) + sorted(f"{e} in {f}" for f, entries in self.folders.items() for e in entries)

    def _changed(self, path: str) -> None:
        folder, name = os.path.split(path)
        # What an old name leaves behind is cleared by the next writer, and a spent journal is recognised.
        self.folders.setdefault(folder, set()).add(name)

    def _renamed(self, source: str, target: str) -> None:
        below = lambda p: p == source or p.startswith(source + os.sep)  # noqa: E731
        self.early += [p for p in (*self.files, *self.folders) if below(p)]
        self._changed(source)
        self._changed(target)


DISK: list[Disk] = []
sys.addaudithook(lambda event, arguments: DISK[0](event, arguments) if DISK else None)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to tell which file a descriptor is")
    watched = Disk(tmp_path)
    fsync, pwrite = os.fsync, os.pwrite
    monkeypatch.setattr(os, "fsync", lambda fd: (watched.synced(fd), fsync(fd))[1])
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: (watched.wrote(fd), pwrite(fd, data, at))[1])
    DISK.append(watched)
    watched.is_on = True
    yield watched
    watched.is_on = False
    DISK.clear()


def test_whatever_returned_survives_a_power_cut(store, disk):
    recorder = JournalRecorder(store)

    def require_safe(what: str) -> None:
        assert (what, disk.at_risk(), disk.early) == (what, [], [])

    name = recorder.begin(random_meta(size=8))
    require_safe("begin")
    for chunk in random_chunks(count=CHUNKS, size=8):
        recorder.chunk(chunk)
        require_safe("chunk")
    recorder.undo(1)
    require_safe("undo")
    recorder.end(Outcome.SUCCESS)
    require_safe("end")
    for what, act in (
        ("relabel", lambda: store.relabel(name, Outcome.FAILURE)),
        ("note", lambda: store.note(name, "a note")),
        ("bin", lambda: store.bin(name)),
        ("restore", lambda: store.restore(name)),
    ):
        act()
        require_safe(what)
    for what, act in (("recover", recover), ("bin_unfinished", bin_unfinished)):
        other = record(recorder, 1, count=1, size=8)
        recorder.abort()
        act(store, other)
        require_safe(what)
    make(store, 2, Outcome.DISCARDED)
    require_safe("end of a discarded one")


# --- refused calls ----------------------------------------------------------------------------------------------------


class Refusing:
    """Makes the n-th call of os.fsync, os.rename, os.replace, os.mkdir or os.ftruncate below a root fail once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.at = 0, 0
        self.lock = threading.Lock()
        for name in ("fsync", "rename", "replace", "mkdir", "ftruncate"):
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, real):
        def call(*arguments, **options):
            with self.lock:
                self.count += 1
                is_hit = self.count == self.at
            if is_hit:
                raise OSError(5, "Input/output error")
            return real(*arguments, **options)

        return call

    @contextlib.contextmanager
    def nth(self, n: int) -> Iterator[None]:
        self.count, self.at = 0, n
        yield
        self.at = 0


def attempts(act, times: int = 2) -> list[EpisodeError | None]:
    """Call something until it succeeds and return what it said each time."""
    said: list[EpisodeError | None] = []
    for _ in range(times):
        try:
            act()
        except EpisodeError as error:
            said.append(error)
        else:
            return [*said, None]
    return said


def test_an_end_refused_at_any_late_step_succeeds_when_repeated_and_another_episode_begins(store, monkeypatch):
    calls = Refusing(monkeypatch)
    recorder = JournalRecorder(store)
    record(recorder, count=1, size=8)
    with calls.nth(0):
        recorder.end(Outcome.SUCCESS)
        total = calls.count
    late = 0
    for n in (1, 2, 3, total // 2, *range(total - 8, total + 1)):
        name = record(recorder, count=1, size=8)
        with calls.nth(n):
            said = attempts(lambda: recorder.end(Outcome.SUCCESS, "fine"))
        assert said[-1] is None, (n, said)
        info = store.info(name)
        assert (info.outcome, info.note, info.problem) == (Outcome.SUCCESS, "fine", "")
        store.open(name).verify()
        late += isinstance(said[0], EpisodeUnconfirmed)
        assert [u.name for u in unfinished(store)] == []
    assert late == 1
    assert list(store.root.rglob(f"{TMP_PREFIX}*")) == []


def test_an_end_that_came_too_far_says_so_and_takes_another_label(store, monkeypatch):
    recorder = JournalRecorder(store)
    name = record(recorder, count=1, size=8)
    real = os.rename

    def rename(source, target):
        real(source, target)
        monkeypatch.setattr(os, "rename", real)
        monkeypatch.setattr(os, "fsync", _broken)

    sync = os.fsync
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(
        EpisodeUnconfirmed, match=r"is committed, but the disk did not confirm it \(Input/output error\)"
    ):
        recorder.end(Outcome.SUCCESS)
    with pytest.raises(EpisodeError, match="is committed already"):
        recorder.chunk(next(random_chunks(size=8)))
    monkeypatch.setattr(os, "fsync", sync)
    recorder.end(Outcome.DISCARDED, "no, not that one")
    assert store.list() == []
    assert [(i.name, i.outcome, i.note) for i in store.list(binned=True)] == [
        (name, Outcome.DISCARDED, "no, not that one")
    ]
    recorder.begin(random_meta(size=8))
    recorder.abort()


def _broken(fd):
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("what", ["relabel", "note", "bin", "restore"])
def test_an_edit_refused_anywhere_tells_the_truth_and_succeeds_when_repeated(store, monkeypatch, what):
    name = make(store)
    is_done = {
        "relabel": lambda: store.list()[0].outcome is Outcome.FAILURE,
        "note": lambda: store.list()[0].note == "a note",
        "bin": lambda: bool(store.list(binned=True)),
        "restore": lambda: bool(store.list()),
    }[what]
    act, undo = {
        "relabel": (lambda: store.relabel(name, Outcome.FAILURE), lambda: store.relabel(name, Outcome.SUCCESS)),
        "note": (lambda: store.note(name, "a note"), lambda: store.note(name, "")),
        "bin": (lambda: store.bin(name), lambda: store.restore(name)),
        "restore": (lambda: store.restore(name), lambda: store.bin(name)),
    }[what]
    if what == "restore":
        store.bin(name)
    calls = Refusing(monkeypatch)
    with calls.nth(0):
        act()
        total = calls.count
    for n in range(1, total + 1):
        undo()
        with calls.nth(n), contextlib.suppress(EpisodeUnconfirmed):
            try:
                act()
            except EpisodeUnconfirmed:
                assert is_done()
                raise
            except EpisodeError:
                assert not is_done()
        if what in ("relabel", "note") or not is_done():
            act()
        assert is_done()


def test_a_move_that_was_not_confirmed_can_be_repeated(store, monkeypatch):
    name, sync = make(store), os.fsync
    real = os.rename

    def rename(source, target):
        real(source, target)
        monkeypatch.setattr(os, "fsync", _broken)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(EpisodeUnconfirmed, match=r"is in '.*trash', but the disk did not confirm it"):
        store.bin(name)
    monkeypatch.setattr(os, "fsync", sync)
    store.bin(name)
    with pytest.raises(EpisodeError, match="No episode"):
        store.bin(name)


def test_a_recovery_refused_late_can_be_repeated_and_keeps_a_label_given_meanwhile(store, monkeypatch):
    recorder = JournalRecorder(store)
    name = record(recorder, count=1, size=8)
    recorder.abort()
    real, sync = os.rename, os.fsync

    def rename(source, target):
        real(source, target)
        monkeypatch.setattr(os, "rename", real)
        monkeypatch.setattr(os, "fsync", _broken)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(EpisodeUnconfirmed, match="is recovered, but the disk did not confirm it"):
        recover(store, name)
    monkeypatch.setattr(os, "fsync", sync)
    store.relabel(name, Outcome.SUCCESS)
    recover(store, name)
    assert store.list()[0].outcome is Outcome.SUCCESS
    assert unfinished(store) == []


def test_a_journal_whose_tail_could_not_be_cut_off_is_whole_after_the_retry(store, monkeypatch):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta(size=8))
    chunks = list(random_chunks(count=2, size=8))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _broken)
        patch.setattr(os, "ftruncate", lambda fd, size: _broken(fd))
        with pytest.raises(EpisodeError, match="Input/output error"):
            recorder.chunk(chunks[0])
    for chunk in chunks:
        recorder.chunk(chunk)
    recorder.abort()
    assert [(u.name, u.n_chunks, u.problem) for u in unfinished(store)] == [(name, 2, "")]


# --- a folder that goes away ------------------------------------------------------------------------------------------


def test_a_data_folder_removed_while_recording_is_an_error_that_says_so(store):
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta(size=8))
    chunks = list(random_chunks(count=3, size=8))
    recorder.chunk(chunks[0])
    away = store.root.with_name("away")
    store.root.rename(away)
    with pytest.raises(EpisodeError, match="is gone, so nothing of this episode would be found again"):
        recorder.chunk(chunks[1])
    away.rename(store.root)
    recorder.chunk(chunks[1])
    shutil.copy(journal_path(store.root, name), store.root / "copy")
    journal_path(store.root, name).unlink()
    (store.root / "copy").rename(journal_path(store.root, name))
    with pytest.raises(EpisodeError, match="was replaced by another file"):
        recorder.chunk(chunks[2])
    recorder.abort()
    assert [u.n_chunks for u in unfinished(store)] == [2]


# --- other programs ---------------------------------------------------------------------------------------------------


def test_an_edit_waits_for_another_ones_and_neither_is_lost(store, monkeypatch):
    name = make(store)
    real, others = labels.group_metadata, []

    def in_between(attributes):
        if not others:
            others.append(threading.Thread(target=lambda: EpisodeStore(store.root).relabel(name, Outcome.FAILURE)))
            others[0].start()
            others[0].join(0.3)
        return real(attributes)

    monkeypatch.setattr(labels, "group_metadata", in_between)
    store.note(name, "a note")
    others[0].join(LONG_S)
    assert (store.info(name).outcome, store.info(name).note) == (Outcome.FAILURE, "a note")


def test_an_edit_that_never_gets_its_turn_says_so(store):
    with (
        editing(store.root.parent),
        pytest.raises(StoreLocked, match="being edited by another program"),
        editing(store.root.parent, wait_s=0.0),
    ):
        pass


def test_a_writer_clears_what_died_and_leaves_what_another_program_is_writing(store):
    name = make(store)
    store.bin(name)
    half = [store.root / part / f"{TMP_PREFIX}{name}.zarr" for part in ("episodes", "trash")]
    label = store.root / "episodes" / f"{TMP_PREFIX}{name}.json"
    for folder in half:
        (folder / "steps").mkdir(parents=True)
    label.write_text("{}")
    with editing(store.root), store.writing():
        assert [p.exists() for p in (*half, label)] == [False, False, True]
    with store.writing():
        assert not label.exists()
    assert [i.name for i in store.list(binned=True)] == [name]


# --- bad journals -----------------------------------------------------------------------------------------------------


def test_one_bad_journal_does_not_hide_the_others(store):
    recorder = JournalRecorder(store)
    good = record(recorder, count=1, size=8)
    recorder.abort()
    bad = {}
    begin = {"kind": "begin", "name": "x", "meta": {"task": None, "cameras": {}}}
    for what, records in {
        "a chunk without steps": [begin, {"kind": "chunk", "index": 0}],
        "facts that are no map": [{"kind": "begin", "meta": 3}, {"kind": "chunk", "index": 0, "steps": []}],
        "a camera elsewhere": [
            {"kind": "begin", "meta": {"cameras": {"../../x": None}}},
            {"kind": "chunk", "steps": [1]},
        ],
    }.items():
        bad[what] = store.new_name()
        data = MAGIC + b"".join(frame_record(r) for r in records)
        journal_path(store.root, bad[what]).write_bytes(data)
    pipe = store.new_name()
    os.mkfifo(journal_path(store.root, pipe))
    found = {u.name: u for u in unfinished(store)}
    assert set(found) == {good, pipe, *bad.values()}
    assert "a named pipe" in found[pipe].problem
    assert "garbled" in found[bad["a chunk without steps"]].problem
    for name in bad.values():
        with pytest.raises(EpisodeCorrupt, match="cannot become an episode"):
            recover(store, name)
    recover(store, good)
    for name in (*bad.values(), pipe):
        bin_unfinished(store, name)
    assert unfinished(store) == []
    assert [i.name for i in store.list()] == [good]


def test_an_end_whose_journal_gives_back_less_than_was_recorded_is_refused(store):
    recorder = JournalRecorder(store)
    name = record(recorder, count=2, size=8)
    path = journal_path(store.root, name)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(EpisodeCorrupt, match="gives back 1 of 2 chunks"):
        recorder.end(Outcome.SUCCESS)
    assert store.list() == []


def test_facts_that_cannot_be_written_leave_the_store_free(store):
    with pytest.raises(EpisodeError, match="cannot be stored"):
        JournalRecorder(store).begin(random_meta(size=8, world_options={"friction": float("nan")}))
    with EpisodeStore(store.root).writing():
        pass
