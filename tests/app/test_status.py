"""The status file: what is on screen, readable by those who cannot see it."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.names import in_words
from app.qt import QtWidgets
from app.status import StatusFile, status_of
from frs_core.events import HoldReason, Phase
from tests.fakes.snapshots import snapshot
from tests.waiting import LONG_MS


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_each_change_on_screen_is_one_line(window: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "now.jsonl"
    status = StatusFile(window, path)
    status.look()
    status.look()
    window.take(snapshot(phase=Phase.MOVING, picked="left/more"))
    status.look()
    status.close()
    phases = [line["phase"] for line in _lines(path)]
    assert phases[-2:] == ["choose", "moving"]
    assert len([p for p in phases if p == "choose"]) == 1
    assert _lines(path)[-1]["picked"] == "left/more"


def test_an_offer_is_named_only_while_a_key_would_pick_from_it(window: Any) -> None:
    window.take(snapshot(phase=Phase.CHOOSE))
    offer = status_of(window)
    assert offer["offer"] > 0
    assert "unsteered" in offer["offered"]
    window.take(snapshot(phase=Phase.CHOOSE, is_fan_stale=True))
    assert status_of(window)["offer"] == 0


@pytest.mark.parametrize("asks", [True, False])
def test_whether_the_learned_policy_may_call_is_told(window: Any, asks: bool) -> None:
    window.take(snapshot(asks_for_help=asks))
    assert status_of(window)["asks_for_help"] is asks


@pytest.mark.parametrize(("task", "words"), [("can_on_plate", "can on plate"), ("libero_90/13", "libero_90/13")])
def test_a_task_without_a_title_is_shown_in_words_or_as_its_suite_writes_it(task: str, words: str) -> None:
    assert in_words(task) == words


def test_the_banner_and_its_mend_are_told(window: Any) -> None:
    window.take(
        snapshot(phase=Phase.HOLD, hold_reason=HoldReason.CAMERA_STALE, detail="Camera 'left' is old. Check its cable.")
    )
    reported = status_of(window)
    assert reported["hold"] == "camera_stale"
    assert reported["banner"]
    assert "Check its cable" in reported["banner"] + reported["details"]


def test_a_status_file_that_cannot_be_written_is_a_toast(window: Any, qtbot: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status = StatusFile(window, tmp_path / "file" / "now.jsonl")
    qtbot.waitUntil(lambda: any("status file" in t for t in window.toasts.texts), timeout=LONG_MS)
    status.close()


def test_a_window_that_fills_the_screen_says_so(window: Any, qtbot: Any) -> None:
    assert not status_of(window)["is_full_screen"]
    window.run("view.fullscreen")
    qtbot.waitUntil(lambda: status_of(window)["is_full_screen"], timeout=LONG_MS)
    window.run("view.fullscreen")
    qtbot.waitUntil(lambda: not status_of(window)["is_full_screen"], timeout=LONG_MS)


def test_scene_and_task_are_chosen_without_a_mouse(window: Any, qtbot: Any) -> None:
    from app.qt import Qt
    from tests.fakes.snapshots import resting

    window.take(resting())
    window.run("episode.scene")
    qtbot.keyClicks(window.drive.episode.seed, "123")
    qtbot.keyClick(window.drive.episode.seed, Qt.Key.Key_Return)
    assert status_of(window)["next"]["scene"] == 123
    assert not window.drive.episode.seed.hasFocus()


def test_the_views_and_a_dialog_are_told(window: Any) -> None:
    assert status_of(window)["view"]["is_alone"] is False
    window.run("camera.enlarge")
    window.run("view.reference")
    window.run("help.about")
    said = status_of(window)
    assert said["view"]["is_alone"] is True
    assert said["view"]["request"] is False
    assert said["dialog"] == "About"
    for box in window.findChildren(QtWidgets.QMessageBox):
        box.reject()


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("drive.unmark", "No target is marked"),
        ("episode.stay", "No countdown is running"),
        ("view.reset_layout", "The panes have their first sizes again"),
    ],
)
def test_a_press_that_finds_nothing_to_do_or_changes_little_says_so(window: Any, action: str, sentence: str) -> None:
    window.run(action)
    assert sentence in window.toasts.texts
