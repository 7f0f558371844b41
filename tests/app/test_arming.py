"""A real robot moves only after its checklist: every required check in order, and the person's own confirmation."""

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from app import arming
from app.qt import Qt, QtWidgets
from app.views.arming import CHECKING, Checklist
from frs_core.events import Snapshot, StartEpisode
from frs_core.runtime.finding import Finding, Level
from tests.fakes.keys import type_key as key
from tests.fakes.snapshots import resting
from tests.waiting import LONG_MS


def fresh(age_s: float = -3600.0) -> Snapshot:
    """Return a resting session whose images are this old; by default they stay fresh however slow the test is."""
    now = resting()
    seen = now.observation
    assert seen is not None
    at = time.monotonic_ns() - int(age_s * 1e9)
    frames = {name: dataclasses.replace(frame, captured_ns=at) for name, frame in seen.frames.items()}
    return dataclasses.replace(now, observation=dataclasses.replace(seen, frames=frames))


@pytest.fixture
def robot(make_window: Any, port: Any, tmp_path: Path) -> Any:
    """A cockpit on a real robot that waits for its first episode."""
    port.world_spec = dataclasses.replace(port.world_spec, is_simulated=False)
    window = make_window(root=tmp_path)
    window.take(fresh())
    assert not window.facts.is_simulated
    return window


def opened(window: Any, qtbot: Any) -> Checklist:
    window.run("episode.start")
    found = window.arming._list
    assert isinstance(found, Checklist)
    qtbot.waitUntil(lambda: found.verdict.text() != CHECKING, timeout=LONG_MS)
    window.take(fresh())
    return found


def test_a_real_robot_starts_only_after_checks_and_confirmation(robot: Any, port: Any, qtbot: Any) -> None:
    found = opened(robot, qtbot)
    assert "does not cut motor power" in " ".join(w.text() for w in found.findChildren(QtWidgets.QLabel))
    assert not found.start.isEnabled()
    found.accept()
    found.start.click()
    assert port.of(StartEpisode) == []
    found.confirm.setChecked(True)
    assert found.start.isEnabled()
    found.start.click()
    assert len(port.of(StartEpisode)) == 1


def test_no_line_of_the_checklist_is_drawn_over_another(robot: Any, port: Any, qtbot: Any) -> None:
    found = opened(robot, qtbot)
    found.show_findings([Finding(Level.OK, "Policy", "loaded")])
    QtWidgets.QApplication.processEvents()
    many = [Finding(Level.OK, "Cameras", f"camera {i} delivers") for i in range(11)]
    found.show_findings([Finding(Level.WARNING, "Limits", "not known", "State it"), *many])
    QtWidgets.QApplication.processEvents()
    words = [w for w in found._rows.findChildren(QtWidgets.QLabel) if w.wordWrap()]
    assert len(words) == 12
    for above, below in itertools.pairwise(words):
        assert above.geometry().bottom() < below.geometry().top()
    assert found._rows.geometry().bottom() < found.verdict.geometry().top()


def test_the_checklist_is_confirmed_by_keyboard_alone(robot: Any, port: Any, qtbot: Any) -> None:
    found = opened(robot, qtbot)
    key(found, Qt.Key.Key_Return)
    assert port.of(StartEpisode) == []
    assert robot.arming._list is None
    found = opened(robot, qtbot)
    found.confirm.setFocus()
    qtbot.keyClick(found.confirm, Qt.Key.Key_Space)
    qtbot.keyClick(found, Qt.Key.Key_Return)
    assert len(port.of(StartEpisode)) == 1


def test_a_check_that_fails_while_the_checklist_is_open_disables_start(robot: Any, port: Any, qtbot: Any) -> None:
    found = opened(robot, qtbot)
    found.confirm.setChecked(True)
    assert found.start.isEnabled()
    robot.take(fresh(age_s=3.0))
    assert not found.start.isEnabled()
    assert "must be put right" in found.verdict.text()
    assert any(line.startswith("failure Cameras: no image from camera") for line in found.lines)
    found.accept()
    assert port.of(StartEpisode) == []
    robot.take(fresh())
    assert found.start.isEnabled()
    found.reject()
    assert port.of(StartEpisode) == []


def test_a_robot_whose_recordings_have_no_space_does_not_start(
    robot: Any, port: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Finding(Level.FAILURE, "Disk", "0.1 GB free", "Free space")
    monkeypatch.setattr(arming, "slow_findings", lambda _root: [bad])
    found = opened(robot, qtbot)
    found.confirm.setChecked(True)
    assert not found.start.isEnabled()
    assert found.lines[0] == "failure Disk: 0.1 GB free"
    found.reject()


def test_checks_that_cannot_be_made_start_nothing(
    robot: Any, port: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_root: Any) -> list[Any]:
        raise RuntimeError("no such disk")

    monkeypatch.setattr(arming, "slow_findings", fail)
    found = opened(robot, qtbot)
    found.confirm.setChecked(True)
    assert "The checks failed" in found.verdict.text()
    assert not found.start.isEnabled()
    found.reject()


def test_asked_twice_there_is_one_checklist_and_closing_starts_nothing(robot: Any, port: Any, qtbot: Any) -> None:
    opened(robot, qtbot)
    robot.run("episode.start")
    assert len(robot.findChildren(Checklist)) == 1
    robot.close()
    assert port.of(StartEpisode) == []


def test_a_simulator_starts_without_a_checklist(window: Any, port: Any) -> None:
    window.take(resting())
    window.run("episode.start")
    assert window.findChild(Checklist) is None
    assert len(port.of(StartEpisode)) == 1
