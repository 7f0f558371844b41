"""Trimmed ends and the summary of what was recorded."""

import dataclasses

import pytest

from frs_core.commands.stats import stats
from frs_core.episodes import Episode, EpisodeStore, JournalRecorder
from frs_core.episodes.summary import HEADERS, summarise
from frs_core.episodes.worked import worked_noises
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from tests.fakes.episodes import random_chunks, random_meta, record


def test_trimmed_ends_are_left_out_everywhere_and_come_back(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=5, size=16)
    recorder.undo(4)
    recorder.end(Outcome.SUCCESS)
    files = sorted(p for p in store.path(name).rglob("*") if p.is_file() and p.name != "zarr.json")
    former = [p.read_bytes() for p in files]
    store.trim(name, 1, 1)
    episode, info = store.open(name), store.info(name)
    assert episode.main_line == (1, 2)
    assert [int(s) for s in episode.main_steps] == list(range(4, 12))
    assert (info.trimmed, info.n_chunks - info.n_undone, info.duration_s) == ((1, 1), 2, 8 / 15)
    assert info.drivers == {who: [episode.picked_by(i) for i in (1, 2)].count(who) for who in info.drivers}
    episode.verify()
    assert [p.read_bytes() for p in files] == former
    store.trim(name, 0, 0)
    assert store.open(name).main_line == (0, 1, 2, 3)
    assert store.info(name).duration_s == 16 / 15
    for first, last in ((2, 2), (-1, 0), (0, 4)):
        with pytest.raises(EpisodeError, match="its main line has 4"):
            store.trim(name, first, last)


def _seeing(observation, *, is_done):
    return dataclasses.replace(observation, success=is_done)


def test_what_the_world_saw_is_judged_by_the_chunks_that_are_left(tmp_path):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta(size=16))
    for chunk in random_chunks(count=4, size=16):
        steps = [dataclasses.replace(s, observation=_seeing(s.observation, is_done=False)) for s in chunk.steps]
        after = _seeing(chunk.after, is_done=chunk.index == 3)
        recorder.chunk(dataclasses.replace(chunk, steps=tuple(steps), after=after))
    recorder.end(Outcome.SUCCESS)
    assert store.info(name).success_seen is True
    store.trim(name, 0, 1)
    assert (store.info(name).success_seen, store.info(name).is_contradicted) == (False, True)
    store.trim(name, 0, 0)
    assert (store.info(name).success_seen, store.info(name).is_contradicted) == (True, False)


def test_the_summary_counts_by_task_and_policy(tmp_path, capsys):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    for seed, outcome in enumerate((Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, Outcome.DISCARDED)):
        recorder.begin(random_meta(seed, started_unix=1000.0 + 40 * seed))
        for chunk in random_chunks(seed, count=3):
            recorder.chunk(dataclasses.replace(chunk, is_correction=chunk.index == 1))
        recorder.undo(2)
        recorder.end(outcome)
    [row] = summarise(store.list())
    assert (row.task, row.successes, row.failures, row.chunks) == ("stack_bowls", 2, 1, 6)
    assert (row.corrections, row.undone, row.between_s, row.seconds) == (3, 3, 40.0, 8 / 15)
    assert [r.successes for r in summarise(store.list(), since=1030.0)] == [1]
    assert stats(data=tmp_path) == 0
    told = capsys.readouterr().out
    assert all(cell in told for cell in (*row.cells, *HEADERS))


def test_an_episode_that_holds_what_no_recording_holds_does_not_hide_the_others(tmp_path, monkeypatch):
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = record(recorder, count=5, size=16)
    recorder.end(Outcome.SUCCESS)
    info = dataclasses.replace(store.info(name), success_seen=None)

    def garbled(*_):
        raise ValueError("'teleported' is not a valid CandidateKind")

    monkeypatch.setattr(Episode, "offers", garbled)
    assert worked_noises([info], info.fingerprint).size == 0
