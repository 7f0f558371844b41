"""What happened is in the log, the log is bounded, and one zip holds it all, without images unless they are asked for."""

import dataclasses
import json
import logging
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app import black_box
from app.black_box import BlackBox, changes, save_diagnostics
from app.redaction import Redaction
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
    assert [line.split("  ")[1:] for line in window.notices.lines[:2]] == [
        ["✘", "the disk is full"],
        ["✘", "a gamepad was unplugged"],
    ]
    from app.qt import QtWidgets

    window.run("help.notices")
    dialog = next(d for d in window.findChildren(QtWidgets.QDialog) if d.windowTitle() == "Notices")
    history = dialog.findChild(QtWidgets.QPlainTextEdit)
    assert "the disk is full" in history.toPlainText()
    window.say("the disk has room again", "good")
    assert history.toPlainText().splitlines()[0].endswith("✔  the disk has room again")
    dialog.reject()
    window.run("help.diagnostics")
    box = next(b for b in window.findChildren(QtWidgets.QMessageBox) if b.windowTitle() == "Save diagnostics")
    box.accept()
    qtbot.waitUntil(lambda: any("Diagnostics are in" in line for line in window.notices.lines), timeout=60_000)
    assert len(list(tmp_path.glob("frs-diagnostics-*.zip"))) == 1


def test_the_history_names_every_hold_and_its_reason(window: Any) -> None:
    window.take(snapshot())
    window.take(snapshot(phase=Phase.HOLD, hold_reason=HoldReason.FOCUS_LOST))
    assert window.notices.lines[0].endswith("Hold: The window lost focus")


def test_no_secret_reaches_the_log_or_the_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRS_VLM_KEY", "sk-from-environment")
    monkeypatch.setattr(
        sys,
        "argv",
        ["frs", "--vlm", "http://anna:pw1234@host/v1?key=abcd&sig=5f6e7d", "--world-options", "token", "tok-given"],
    )
    box = BlackBox(tmp_path, redact=Redaction({"token": "tok-given", "port": 4343}))
    box.start()
    try:
        try:
            raise ConfigError("401 for sk-from-environment with tok-given at port 4343")
        except ConfigError:
            logging.getLogger("app").exception("refused")
        box.redact.hide("only-the-world-knows")
        black_box.said("Authorization: Bearer abcdefgh12345 only-the-world-knows", "bad")
    finally:
        box.close()
    (tmp_path / "cockpit.log.1").write_text("an older run said sk-from-environment\n")
    settings = tmp_path / "settings.json"
    settings.write_text('{"input_map": {"drive.hold": ["key:Space"]}, "api_key": "kept-by-mistake"}')
    zipped = save_diagnostics(tmp_path / "out.zip", folder=tmp_path, settings=settings, redact=box.redact)
    with zipfile.ZipFile(zipped) as out:
        texts = {name: out.read(name).decode() for name in out.namelist()}
    log = (tmp_path / "cockpit.log").read_text()
    secrets = ("sk-from-environment", "tok-given", "pw1234", "abcd", "5f6e7d", "abcdefgh12345", "only-the-world-knows")
    for secret in (*secrets, "kept-by-mistake"):
        assert secret not in log
        assert not [name for name, text in texts.items() if secret in text]
    assert "port 4343" in log
    assert "ConfigError: 401 for ••• with •••" in log
    assert "--world-options …" in log
    assert "key:Space" in texts["settings.json"]


@pytest.mark.parametrize("reason", [HoldReason.GUI_SILENT, HoldReason.SESSION_SILENT])
def test_the_stacks_of_a_process_that_does_not_respond_are_kept_and_bounded(tmp_path: Path, reason: HoldReason) -> None:
    box = BlackBox(tmp_path)
    box.start()
    try:
        silent = dataclasses.replace(snapshot(), phase=Phase.HOLD, hold_reason=reason)
        for _ in range(black_box.MOST_DUMPS + 5):
            box.on_snapshot(snapshot())
            box.on_snapshot(silent)
            box.on_snapshot(silent)
    finally:
        box.close()
    faults = (tmp_path / "faults.log").read_text()
    assert faults.count(reason.value) == black_box.MOST_DUMPS
    assert "test_the_stacks_of_a_process" in faults


def test_a_crash_of_a_process_that_the_cockpit_started_leaves_its_stacks(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    box.start()
    try:
        script = "import ctypes; from frs_core.runtime.faults import keep_faults; keep_faults(); ctypes.string_at(0)"
        assert subprocess.run([sys.executable, "-c", script], check=False, timeout=120).returncode < 0
    finally:
        box.close()
    assert "Segmentation fault" in (tmp_path / "faults.log").read_text()


def test_what_python_warns_of_is_in_the_log(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    box.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("a library is old", UserWarning, stacklevel=1)
    finally:
        box.close()
    log = (tmp_path / "cockpit.log").read_text()
    assert "py.warnings WARNING" in log
    assert "a library is old" in log
