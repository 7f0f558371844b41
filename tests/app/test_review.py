"""The Review layout on real episode files: list, edit with undo, scrub, play, damaged ones, unfinished ones."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import theme
from app.qt import QtCore, QtGui
from app.status import status_of
from app.views.review.episode_list import EpisodeModel, outcome_sign, said_beside, set_on_lines
from app.views.review.insight import sentence_of
from app.views.review.library import Library
from app.views.review.record import ChunkMark, Record
from app.views.review.scrubber import mark_sentence
from app.views.summary import SummaryDialog
from frs_core.episodes import EpisodeStore, JournalRecorder, command_of, unfinished
from frs_core.episodes.summary import HEADERS, summarise
from frs_core.evaluation.insight import ChunkInsight
from frs_core.events import NOBODY, Outcome
from frs_core.steering.candidates import CandidateKind
from tests.fakes.episodes import CAMERAS, random_chunks, random_meta, record_versions
from tests.waiting import LONG_MS

WAIT = LONG_MS


def record_some(root: Path, *, count: int = 3, chunks: int = 3, rows: int = 4, size: int = 32) -> list[str]:
    """Record random episodes and return their names, oldest first."""
    store = EpisodeStore(root)
    recorder = JournalRecorder(store)
    names = []
    for seed in range(count):
        names.append(recorder.begin(random_meta(seed, size=size)))
        for chunk in random_chunks(seed, count=chunks, rows=rows, size=size):
            recorder.chunk(chunk)
        recorder.end(Outcome.SUCCESS if seed % 2 == 0 else Outcome.FAILURE, note=f"note {seed}")
    return names


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Names of three recorded episodes."""
    return record_some(tmp_path / "data")


@pytest.fixture
def window(make_window: Any, tmp_path: Path, names: list[str], qtbot: Any) -> Any:
    """A cockpit that shows the Review layout with the newest episode open."""
    result = make_window(root=tmp_path / "data")
    result.show_layout("review")
    qtbot.waitUntil(lambda: result.review.record is not None, timeout=WAIT)
    qtbot.waitUntil(lambda: result.review.moment is not None, timeout=WAIT)
    return result


def outcome(window: Any, name: str) -> Outcome | None:
    """Return the label on disk."""
    return EpisodeStore(window.facts.root).info(name).outcome


def test_the_scrubber_says_who_picked_a_chunk_and_that_nobody_did() -> None:
    picked = ChunkMark(0, 0, 4, "left/more", CandidateKind.STEERED, "person", "gamepad", "", False, 1.0, 1.0, ())
    assert mark_sentence(picked, None) == "Chunk 0: left, more, by a person (gamepad)"
    alone = dataclasses.replace(picked, label="unsteered", device=NOBODY)
    assert mark_sentence(alone, None) == "Chunk 0: unsteered, the policy's own"
    learned = dataclasses.replace(picked, label="learned", driver="learned", device="LearnedChooser", version="cup")
    assert mark_sentence(learned, None) == "Chunk 0: learned ★ cup"
    script = dataclasses.replace(picked, driver="scripted", device="ScriptedOperator")
    assert mark_sentence(script, None) == "Chunk 0: left, more, by the script"


def test_a_chunk_and_its_row_name_the_version_of_the_learned_policy(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    record_versions(JournalRecorder(store), ["/learned/cup", "/learned/cup-2", "/learned/cup-2"], learned={0, 1})
    (info,) = store.list()
    marks = Record(info).marks
    assert [mark.version for mark in marks] == ["cup", "cup-2", ""]
    assert " ★ cup-2" in mark_sentence(marks[1], None)
    assert "★" not in mark_sentence(marks[2], None)
    rows = EpisodeModel()
    rows.show_infos((info,))
    for role in (QtCore.Qt.ItemDataRole.DisplayRole, QtCore.Qt.ItemDataRole.ToolTipRole):
        assert "★ cup → ★ cup-2" in rows.data(rows.index(0), role)


def test_in_a_narrow_list_the_outcome_is_its_sign_before_the_task_is_cut(qapp: Any) -> None:
    metrics = QtGui.QFontMetrics(qapp.font())
    task = metrics.horizontalAdvance("can on plate")
    for width, expected in ((4 * task, "✔ success"), (task + metrics.horizontalAdvance("✔") + 8, "✔")):
        said, used = said_beside(metrics, width, "can on plate", sign="✔", word="success")
        assert said == expected
        assert task <= width - used


def test_who_drove_stays_whole_where_a_row_is_narrow(qapp: Any) -> None:
    metrics = QtGui.QFontMetrics(QtGui.QFont())
    facts = ["7.6 s", "87% steered", "scripted", "29 Nov 17:38:45"]
    whole = " · ".join(facts)
    assert set_on_lines(metrics, metrics.horizontalAdvance(whole), facts, lines=2) == [whole]
    narrow = metrics.horizontalAdvance("7.6 s · 87% steered")
    first, second = set_on_lines(metrics, narrow, facts, lines=2)
    assert first == "7.6 s · 87% steered"
    assert second.startswith("scripted · ")
    assert metrics.horizontalAdvance(second) <= narrow


def test_the_newest_episode_is_shown_first(window: Any, names: list[str]) -> None:
    page = window.review
    assert page.episodes.filter.rowCount() == 3
    assert page.episodes.current().name == names[-1]
    assert page.record.length == 12
    assert set(page.cameras.views) == set(CAMERAS)
    assert len(page.offers.rows_model.rows) > 0


def test_relabelling_is_written_and_undone(window: Any, names: list[str], qtbot: Any) -> None:
    assert outcome(window, names[-1]) is Outcome.SUCCESS
    window.run("review.failure")
    qtbot.waitUntil(lambda: outcome(window, names[-1]) is Outcome.FAILURE, timeout=WAIT)
    window.run("edit.undo")
    qtbot.waitUntil(lambda: outcome(window, names[-1]) is Outcome.SUCCESS, timeout=WAIT)
    window.run("edit.redo")
    qtbot.waitUntil(lambda: outcome(window, names[-1]) is Outcome.FAILURE, timeout=WAIT)


def test_a_binned_episode_comes_back_by_undo_and_by_restore(window: Any, names: list[str], qtbot: Any) -> None:
    page = window.review
    window.run("review.bin")
    qtbot.waitUntil(lambda: page.episodes.filter.rowCount() == 2, timeout=WAIT)
    window.run("edit.undo")
    qtbot.waitUntil(lambda: page.episodes.filter.rowCount() == 3, timeout=WAIT)
    window.run("review.bin")
    qtbot.waitUntil(lambda: page.episodes.filter.rowCount() == 2, timeout=WAIT)
    window.run("review.show_bin")
    qtbot.waitUntil(lambda: page.episodes.filter.rowCount() == 1, timeout=WAIT)
    page.episodes.select(page.episodes.filter.index(0, 0).data(QtCore.Qt.ItemDataRole.UserRole).name)
    window.run("review.restore")
    qtbot.waitUntil(lambda: page.episodes.filter.rowCount() == 0, timeout=WAIT)
    window.run("review.show_bin")
    qtbot.waitUntil(lambda: page.episodes.filter.rowCount() == 3, timeout=WAIT)


def test_a_row_is_selected_whatever_modifier_keys_are_held(window: Any, names: list[str], qtbot: Any) -> None:
    qtbot.keyClick(window, QtCore.Qt.Key.Key_F12, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert QtGui.QGuiApplication.keyboardModifiers() == QtCore.Qt.KeyboardModifier.ControlModifier
    for name in (names[0], names[-1], names[-1]):
        window.review.episodes.select(name)
        assert [info.name for info in window.review.episodes.selected()] == [name]
    qtbot.keyClick(window, QtCore.Qt.Key.Key_F12)


def test_the_last_episode_can_be_binned_from_drive(window: Any, names: list[str], qtbot: Any) -> None:
    window.show_layout("drive")
    window.run("episode.undo_last")
    store = EpisodeStore(window.facts.root)
    qtbot.waitUntil(lambda: names[-1] in [i.name for i in store.list(binned=True)], timeout=WAIT)


def test_a_note_is_written(window: Any, names: list[str], qtbot: Any) -> None:
    page = window.review
    window.run("review.note")
    page.episodes.note.setText("grasped the rim")
    page.episodes._on_note()
    store = EpisodeStore(window.facts.root)
    qtbot.waitUntil(lambda: store.info(names[-1]).note == "grasped the rim", timeout=WAIT)


def test_filter_and_order_change_the_rows(window: Any, names: list[str]) -> None:
    page = window.review
    page.episodes.words.setText("failure note")
    assert page.episodes.filter.rowCount() == 1
    page.episodes.words.setText("")
    page.episodes.order.setCurrentText("oldest")
    shown = [page.episodes.filter.index(i, 0).data(QtCore.Qt.ItemDataRole.UserRole).name for i in range(3)]
    assert shown == names


def test_stepping_by_frame_and_by_chunk(window: Any, qtbot: Any) -> None:
    page = window.review
    window.run("review.frame_forward")
    assert page.transport.position == 1
    window.run("review.chunk_forward")
    assert page.transport.position == 4
    window.run("review.last")
    assert page.transport.position == 11
    window.run("review.chunk_back")
    assert page.transport.position == 8
    window.run("review.first")
    qtbot.waitUntil(lambda: page.moment.position == 0, timeout=WAIT)
    assert page.cameras.views["left"].model.frame is page.moment.frames["left"]


def test_all_cameras_plots_and_scrubber_follow_the_same_position(window: Any, qtbot: Any) -> None:
    page = window.review
    page.transport.seek(7)
    qtbot.waitUntil(lambda: page.moment.position == 7, timeout=WAIT)
    assert all(c.value() == pytest.approx(7 / page.record.control_hz) for c in page.plots._cursors)
    assert page.scrubber._position == 7
    assert page.offers.rows_model.style.picked == page.record.mark_at(7).label


def test_playing_reaches_the_end_and_stops(window: Any, qtbot: Any) -> None:
    page = window.review
    page.transport.set_speed(8.0)
    window.run("review.play")
    assert window.state.badge.word == "CHOOSE" if window.snapshot.episode.number else "REPLAY"
    qtbot.waitUntil(lambda: page.transport.position == 11 and not page.is_playing, timeout=WAIT)


def test_leaving_the_layout_stops_playing(window: Any) -> None:
    page = window.review
    page.transport.set_speed(0.25)
    window.run("review.play")
    window.show_layout("drive")
    assert not page.is_playing


def test_a_damaged_episode_is_listed_with_its_reason(window: Any, names: list[str], qtbot: Any) -> None:
    store = EpisodeStore(window.facts.root)
    (store.path(names[0]) / "zarr.json").write_text("{")
    window.run("review.refresh")
    page = window.review
    qtbot.waitUntil(lambda: any(i.problem for i in page.episodes.model.infos), timeout=WAIT)
    broken = next(i for i in page.episodes.model.infos if i.problem)
    assert outcome_sign(broken)[1] == "damaged"
    page.episodes.select(broken.name)
    qtbot.waitUntil(lambda: names[0] in page.trouble_text.text(), timeout=WAIT)


def test_a_truncated_episode_is_marked_by_itself_and_shows_no_other_ones_images(
    window: Any, names: list[str], qtbot: Any
) -> None:
    page = window.review
    qtbot.waitUntil(lambda: page.moment is not None, timeout=WAIT)
    assert page.cameras.isVisible()
    folder = EpisodeStore(window.facts.root).path(names[0]) / "images" / CAMERAS[0] / "data"
    file = next(p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "zarr.json")
    file.write_bytes(file.read_bytes()[:-7])
    # The background may have found it whole before; an episode is inspected once, and again where its root has changed.
    os.utime(EpisodeStore(window.facts.root).path(names[0]) / "zarr.json")
    window.run("review.refresh")
    qtbot.waitUntil(lambda: any(i.problem for i in page.episodes.model.infos), timeout=WAIT)
    page.episodes.select(names[0])
    qtbot.waitUntil(lambda: names[0] in page.trouble_text.text(), timeout=WAIT)
    assert not page.cameras.isVisible()
    assert "frs episodes" not in page.trouble_text.text()
    page._bin_button.click()
    qtbot.waitUntil(lambda: len(page.episodes.model.infos) == 2, timeout=WAIT)
    qtbot.waitUntil(page.cameras.isVisible, timeout=WAIT)


def test_whatever_an_inspection_raises_the_library_goes_on(
    window: Any, names: list[str], monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(5, "Input/output error")

    library = window.review.episodes.library
    monkeypatch.setattr("app.views.review.library.needs_inspection", lambda *_, **__: True)
    monkeypatch.setattr("app.views.review.library.inspected", refuse)
    with qtbot.waitSignal(library.failed, timeout=WAIT):
        library.refresh()
    with qtbot.waitSignal(library.listed, timeout=WAIT):
        library.refresh()


def do_in_library(library: Library, work: Callable[[], None]) -> None:
    """Run something in the library's thread, and wait until it is done."""
    done = threading.Event()

    def both(_: EpisodeStore) -> None:
        work()
        done.set()

    library._put(both)
    assert done.wait(20.0)


def test_an_episode_that_somebody_moved_is_not_called_damaged(
    window: Any, names: list[str], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, store = window.review.episodes.library, EpisodeStore(window.facts.root)
    info = store.info(names[0])
    store.bin(names[0])
    # In the library's own thread, which alone may touch what is left to inspect.
    do_in_library(library, library._uninspected.clear)
    qtbot.wait(50)

    def inspect() -> None:
        library._shown = ([info], False)
        library._uninspected.append((info, True))
        library._inspect_next()

    with qtbot.assertNotEmitted(library.listed, wait=50):
        do_in_library(library, inspect)


def test_the_ends_of_an_episode_are_left_out_and_brought_back(window: Any, names: list[str], qtbot: Any) -> None:
    page, store = window.review, EpisodeStore(window.facts.root)
    page.transport.seek(5)
    qtbot.waitUntil(lambda: page.moment.position == 5, timeout=WAIT)
    window.run("review.trim_start")
    qtbot.waitUntil(lambda: page.record is not None and page.record.length == 8, timeout=WAIT)
    assert [m.index for m in page.record.marks] == [1, 2]
    qtbot.waitUntil(lambda: page.moment is not None and page.moment.record is page.record, timeout=WAIT)
    page.transport.seek(0)
    window.run("review.trim_end")
    qtbot.waitUntil(lambda: page.record is not None and page.record.length == 4, timeout=WAIT)
    assert store.info(names[-1]).trimmed == (1, 1)
    window.run("edit.undo")
    qtbot.waitUntil(lambda: page.record is not None and page.record.length == 8, timeout=WAIT)
    window.run("review.untrim")
    qtbot.waitUntil(lambda: page.record is not None and page.record.length == 12, timeout=WAIT)
    assert store.info(names[-1]).trimmed == (0, 0)


def test_the_session_summary_says_what_frs_episodes_stats_says(window: Any, qtbot: Any) -> None:
    dialog = SummaryDialog(window, window.facts.root, time.time() + 60)
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.all.rowCount() == 1, timeout=WAIT)
    assert dialog.session.rowCount() == 0
    [row] = summarise(EpisodeStore(window.facts.root).list())
    assert tuple(dialog.all.item(0, i).text() for i in range(len(HEADERS))) == row.cells


def test_an_unfinished_episode_is_offered_at_start_and_kept(make_window: Any, tmp_path: Path, qtbot: Any) -> None:
    root = tmp_path / "crashed"
    recorder = JournalRecorder(EpisodeStore(root))
    name = recorder.begin(random_meta(0))
    for chunk in random_chunks(0, count=2):
        recorder.chunk(chunk)
    recorder.abort()
    window = make_window(root=root)
    qtbot.waitUntil(window.recovery.isVisible, timeout=WAIT)
    assert "2 chunks" in window.recovery.text.text()
    window.recovery.keep.click()
    qtbot.waitUntil(lambda: not window.recovery.isVisible(), timeout=WAIT)
    assert EpisodeStore(root).info(name).outcome is Outcome.FAILURE
    assert unfinished(EpisodeStore(root)) == []


def test_the_episode_model_obeys_qt(tmp_path: Path, names: list[str], qtmodeltester: Any, qapp: Any) -> None:
    model = EpisodeModel()
    qtmodeltester.check(model)
    model.show_infos(tuple(EpisodeStore(tmp_path / "data").list()))


def test_a_record_knows_its_chunks_and_branches(tmp_path: Path, names: list[str]) -> None:
    record = Record(EpisodeStore(tmp_path / "data").list()[0])
    assert [m.start for m in record.marks] == [0, 4, 8]
    assert record.marks[-1].stop == record.length
    assert record.mark_at(5) is record.marks[1]
    fan = record.fan(record.marks[1].index)
    assert record.marks[1].label in fan


@pytest.mark.parametrize("label", ["unsteered", "learned", "demonstration", ""])
def test_labels_that_are_no_commands_are_none(label: str) -> None:
    assert command_of(label) is None


def test_a_long_episode_opens_and_scrubs_fast(tmp_path: Path, qapp: Any) -> None:
    record_some(tmp_path / "long", count=1, chunks=38, rows=8, size=224)
    info = EpisodeStore(tmp_path / "long").list()[0]
    began = time.process_time()
    record = Record(info)
    record.frames(0)
    opened = time.process_time() - began
    assert record.length == 304
    began = time.process_time()
    for position in range(100, 130):
        record.frames(position)
    per_frame = (time.process_time() - began) / 30
    # Processor time, so that a busy machine does not decide.
    assert opened < 0.5
    assert per_frame < 0.033


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (ChunkInsight(1e-6, True), "regenerates"),
        (ChunkInsight(0.3, False), "does NOT"),
        (ChunkInsight(float("nan"), None, skipped="another policy"), "not checked: another policy"),
        (ChunkInsight(1e-6, True, would_pick="left/less"), "would pick left, less"),
    ],
)
def test_findings_are_told_in_words(chunk: ChunkInsight, words: str) -> None:
    assert words in sentence_of(chunk).sentence


def test_the_status_file_says_what_review_shows(window: Any, names: list[str], qtbot: Any) -> None:
    qtbot.waitUntil(lambda: status_of(window)["reviewing"]["is_open"], timeout=LONG_MS)
    said = status_of(window)["reviewing"]
    assert (said["current"], said["listed"], said["position"]) == (max(names), 3, 0)
    assert said["outcome"] in ("success", "failure")
    window.run("review.failure")
    qtbot.waitUntil(lambda: status_of(window)["reviewing"]["outcome"] == "failure", timeout=LONG_MS)
    window.run("review.show_bin")
    qtbot.waitUntil(lambda: status_of(window)["reviewing"]["listed"] == 0, timeout=LONG_MS)
    assert status_of(window)["reviewing"]["is_bin"]


def test_a_filter_leaves_a_current_row_and_shows_its_episode(window: Any, names: list[str], qtbot: Any) -> None:
    pane = window.review.episodes
    qtbot.waitUntil(lambda: window.review.is_shown, timeout=LONG_MS)
    assert pane.current().name == names[2]
    pane.words.setText("failure")
    assert pane.filter.rowCount() == 1
    assert pane.current().name == names[1]
    qtbot.waitUntil(lambda: window.review.is_shown and window.review.record.info.name == names[1], timeout=LONG_MS)
    pane.words.setText("no such words")
    assert pane.current() is None
    assert window.review.record is None


def test_ends_are_not_set_by_what_is_shown_of_an_older_state(window: Any, qtbot: Any) -> None:
    """Two presses in a row: the second would undo the first, by the marks of the episode as it was."""
    page = window.review
    qtbot.waitUntil(lambda: page.is_shown, timeout=LONG_MS)
    before = page.record.info
    page.episodes.trim(before, 1, 0)
    qtbot.waitUntil(lambda: page.episodes.current().trimmed == (1, 0), timeout=LONG_MS)
    page.record.info = before
    window.run("review.trim_end")
    assert "The episode is being read; try again in a moment" in window.toasts.texts
    window.run("review.untrim")
    qtbot.waitUntil(lambda: page.episodes.current().trimmed == (0, 0), timeout=LONG_MS)


def test_labels_of_a_low_plot_do_not_run_into_each_other(window: Any) -> None:
    axis = window.review.plots._plots[0].getAxis("left")
    for size in (40.0, 200.0):
        labels = max(len(values) for _, values in axis.tickValues(0.0, 0.65, size))
        assert labels <= max(2, size / theme.px(26))
