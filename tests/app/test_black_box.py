"""What happened is in the log, the log is bounded, and one zip holds it all, without images unless they are asked for."""

import dataclasses
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app import black_box
from app.black_box import BlackBox, changes, save_diagnostics
from frs_core.errors import ConfigError
from frs_core.events import Driver, EpisodeStatus, HoldReason, Pacing, Phase
from tests.fakes.snapshots import resting, snapshot


def test_changes_of_phase_episode_pick_and_counters_become_lines() -> None:
    rest, offered = resting(), snapshot()
    moving = dataclasses.replace(offered, phase=Phase.MOVING, picked="left/more", picked_by=Driver.PERSON)
    held = dataclasses.replace(
        moving,
        phase=Phase.HOLD,
        hold_reason=HoldReason.CAMERA_STALE,
        detail="Camera 'left' repeats one frame.",
        picked=None,
        pacing=Pacing.CONTINUOUS,
        counters={**moving.counters, "refused": 2},
        notice=(1, "The robot holds. Resume first"),
        episode=dataclasses.replace(moving.episode, chunks=4),
    )
    over = dataclasses.replace(held, episode=EpisodeStatus())
    assert changes(None, rest)[0].startswith("hold: Ready.")
    begun = changes(rest, offered)
    assert any(f"episode {offered.episode.number} begins" in line for line in begun)
    assert any(line.startswith("pick left/more, by person, gated") for line in changes(offered, moving))
    alone = dataclasses.replace(moving, picked="unsteered", picked_by=None)
    assert any(line.startswith("pick unsteered, the policy's own, gated") for line in changes(offered, alone))
    lines = changes(moving, held)
    assert any("A camera stopped delivering fresh frames (Camera 'left' repeats one frame.)" in line for line in lines)
    assert "pacing: gated -> continuous" in lines
    assert "refused: 2 more" in lines
    assert "notice: The robot holds. Resume first" in lines
    assert any("has ended: 4 chunks" in line for line in changes(held, over))
    assert changes(held, held) == []


def test_the_log_rotates_and_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(black_box, "LOG_BYTES", 2000)
    box = BlackBox(tmp_path)
    assert box.start() is None
    try:
        for number in range(500):
            black_box.said(f"message {number}", "info")
    finally:
        box.close()
        box.close()
    logs = list(tmp_path.glob("cockpit.log*"))
    assert len(logs) == black_box.LOG_FILES
    assert all(file.stat().st_size <= 2000 for file in logs)
    assert "message 499" in (tmp_path / "cockpit.log").read_text()
    assert not [h for h in logging.getLogger().handlers if isinstance(h, logging.handlers.QueueHandler)]


def test_a_folder_that_cannot_be_used_costs_the_log_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    box = BlackBox(tmp_path / "file")
    problem = box.start()
    assert problem is not None
    assert "Set FRS_LOG_DIR" in problem
    box.on_snapshot(resting())
    box.close()


def test_diagnostics_hold_log_settings_and_versions_and_pictures_only_when_asked(tmp_path: Path) -> None:
    folder, settings = tmp_path / "log", tmp_path / "settings.json"
    folder.mkdir()
    (folder / "cockpit.log").write_text("a line\n")
    settings.write_text("{}")
    plain = save_diagnostics(tmp_path / "plain.zip", folder=folder, settings=settings)
    with zipfile.ZipFile(plain) as zipped:
        assert sorted(zipped.namelist()) == ["cockpit.log", "doctor.json", "machine.json", "settings.json"]
        assert json.loads(zipped.read("machine.json"))["packages"]["numpy"]
        assert {"level", "subject", "text"} <= set(json.loads(zipped.read("doctor.json"))[0])
    seen = snapshot().observation
    assert seen is not None
    pictured = save_diagnostics(tmp_path / "pictured.zip", folder=folder, frames=seen.frames)
    with zipfile.ZipFile(pictured) as zipped:
        assert {f"{name}.png" for name in seen.frames} <= set(zipped.namelist())
    with pytest.raises(ConfigError, match="already exists"):
        save_diagnostics(plain, folder=folder)
    with pytest.raises(ConfigError, match="cannot be written"):
        save_diagnostics(tmp_path / "no" / "such" / "folder.zip", folder=folder)


def test_the_window_remembers_what_it_said_and_saves_diagnostics(
    window: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    window.say("a gamepad was unplugged", "bad")
    window.report("the disk is full")
    assert [line.split("  ")[1] for line in window.notices.lines[:2]] == ["the disk is full", "a gamepad was unplugged"]
    from app.qt import QtWidgets

    window.run("help.notices")
    dialog = next(d for d in window.findChildren(QtWidgets.QDialog) if d.windowTitle() == "Notices")
    assert "the disk is full" in dialog.findChild(QtWidgets.QPlainTextEdit).toPlainText()
    dialog.reject()
    window.run("help.diagnostics")
    box = next(b for b in window.findChildren(QtWidgets.QMessageBox) if b.windowTitle() == "Save diagnostics")
    box.accept()
    qtbot.waitUntil(lambda: any("Diagnostics are in" in line for line in window.notices.lines), timeout=60_000)
    assert len(list(tmp_path.glob("frs-diagnostics-*.zip"))) == 1
