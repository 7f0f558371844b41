"""`frs doctor`: every line that is not well carries a fix, and the exit code says whether something needed fails."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from frs_core.commands import doctor as command
from frs_core.doctor import (
    Finding,
    Level,
    check_cameras,
    check_devices,
    check_disk,
    check_weights,
    check_worlds,
    machine,
)
from frs_core.errors import ConfigError
from frs_core.worlds.droid import DroidConfig
from frs_core.worlds.droid.check import check_bridge
from tests.fakes.droid_env import SERIALS
from tests.fakes.running_bridge import bridge_thread
from tests.waiting import LONG_S


def levels(findings: list[Finding], subject: str) -> list[Level]:
    """Return how bad the lines about a subject are."""
    return [f.level for f in findings if f.subject == subject]


def plug(sys_root: Path, dev_root: Path, *, readable: bool) -> None:
    """Pretend that a SpaceMouse, a gamepad, a camera and a keyboard are plugged in."""
    for number, hid in ((3, "0003:0000256F:0000C635"), (4, "0003:0000046D:0000C31C")):
        folder = sys_root / f"class/hidraw/hidraw{number}/device"
        folder.mkdir(parents=True)
        (folder / "uevent").write_text(f"DRIVER=hid\nHID_ID={hid}\nHID_NAME=Device {number}\n")
    (sys_root / "class/input/js0/device/event7").mkdir(parents=True)
    (sys_root / "class/input/js0/device/name").write_text("Pad\n")
    for number in (0, 1):
        (sys_root / f"class/video4linux/video{number}").mkdir(parents=True)
        (sys_root / f"class/video4linux/video{number}/name").write_text("Webcam\n")
    (dev_root / "input").mkdir(parents=True)
    for node in ("hidraw3", "hidraw4", "input/event7", "video0"):
        if readable:
            (dev_root / node).touch()


def test_readable_devices_are_found_by_their_numbers(tmp_path) -> None:
    plug(tmp_path / "sys", tmp_path / "dev", readable=True)
    findings = check_devices(sys_root=tmp_path / "sys", dev_root=tmp_path / "dev")
    assert [f.text for f in findings if f.level is Level.OK] == [
        f"Device 3 at {tmp_path}/dev/hidraw3",
        f"Pad at {tmp_path}/dev/input/event7",
    ]
    cameras = check_cameras(sys_root=tmp_path / "sys", dev_root=tmp_path / "dev")
    assert [f.level for f in cameras] == [Level.OK]


def test_a_device_that_may_not_be_read_gets_the_udev_rule(tmp_path) -> None:
    plug(tmp_path / "sys", tmp_path / "dev", readable=False)
    findings = check_devices(sys_root=tmp_path / "sys", dev_root=tmp_path / "dev")
    for subject in ("SpaceMouse", "Gamepad"):
        line = next(f for f in findings if f.subject == subject and f.level is Level.WARNING)
        assert "60-frs.rules" in line.fix
        rules = Path(line.fix.split()[2])
        assert "uaccess" in rules.read_text()
    assert levels(check_cameras(sys_root=tmp_path / "sys", dev_root=tmp_path / "dev"), "Camera") == [Level.WARNING]


def test_nothing_plugged_in_is_only_a_note(tmp_path) -> None:
    findings = check_devices(sys_root=tmp_path, dev_root=tmp_path) + check_cameras(sys_root=tmp_path, dev_root=tmp_path)
    assert {f.level for f in findings} == {Level.NOTE}
    assert all(f.fix for f in findings)


@pytest.mark.parametrize(("free", "level"), [(50e9, Level.OK), (5e9, Level.WARNING), (0.1e9, Level.FAILURE)])
def test_disk_space_is_judged_where_episodes_would_go(tmp_path, monkeypatch, free, level) -> None:
    usage = machine.shutil.disk_usage(tmp_path)._replace(free=int(free))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage)
    findings = check_disk(tmp_path / "not" / "there")
    assert levels(findings, "Disk") == [level]
    assert all(f.fix for f in findings if f.level is not Level.OK)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert levels(check_disk(tmp_path), "Disk") == [Level.FAILURE]
    finally:
        tmp_path.chmod(0o700)


def test_an_incomplete_checkpoint_is_a_failure_with_the_next_command(tmp_path) -> None:
    lines = [f for f in check_weights(tmp_path) if str(tmp_path) in f.text]
    assert {f.level for f in lines} == {Level.FAILURE}
    assert all("frs policy" in f.fix for f in lines)


def test_a_bridge_is_judged_without_moving_the_arm() -> None:
    with bridge_thread() as (bridge, env):
        findings = check_bridge(DroidConfig(endpoint=bridge.address, timeout_s=LONG_S))
        assert levels(findings, "Bridge")[0] is Level.OK
        assert levels(findings, "Cameras") == [Level.OK] * 3
        by_camera = {f.text.split("'")[1]: f for f in findings if f.subject == "Calibration"}
        assert by_camera["wrist"].level is Level.OK
        assert "2 h old" in by_camera["left"].text
        assert "never calibrated" in by_camera["right"].text
        assert all(f.fix for f in findings if f.level is not Level.OK)
        assert env.robot.commands == []


def test_a_bridge_is_checked_by_the_row_of_its_world_and_only_where_it_is_named() -> None:
    with bridge_thread() as (bridge, _):
        options = {"endpoint": bridge.address, "timeout_s": LONG_S}
        findings = check_worlds("droid", options, is_quick=True)
    assert levels(findings, "Bridge")[0] is Level.OK
    assert not levels(check_worlds(is_quick=True), "Bridge")
    with pytest.raises(ConfigError, match="'endpont'"):
        check_worlds("droid", {"endpont": "x"}, is_quick=True)
    with pytest.raises(ConfigError, match="'tabletop' has no check of its own"):
        check_worlds("tabletop")


def test_a_frozen_camera_and_an_arm_outside_its_box_are_named() -> None:
    with bridge_thread() as (bridge, env):
        env.camera_reader.camera_dict[SERIALS["right"]].hang.set()
        time.sleep(1.1)
        config = DroidConfig(endpoint=bridge.address, timeout_s=LONG_S, workspace_low=(0.7, -0.4, 0.0))
        findings = check_bridge(config)
        assert sorted(f.level.value for f in findings if f.subject == "Cameras") == ["failure", "ok", "ok"]
        assert "outside the workspace" in next(f.text for f in findings if f.subject == "Robot")


def test_a_broken_robot_computer_and_an_absent_bridge_are_failures() -> None:
    with bridge_thread() as (bridge, env):
        env.robot.broken = "reflex"
        findings = check_bridge(DroidConfig(endpoint=bridge.address, timeout_s=LONG_S))
        assert levels(findings, "Robot") == [Level.FAILURE]
    findings = check_bridge(DroidConfig(endpoint="tcp://127.0.0.1:9", connect_timeout_s=0.2))
    assert [f.level for f in findings] == [Level.FAILURE]
    assert "bridge.py" in findings[0].fix


def test_the_exit_code_is_1_only_for_failures(monkeypatch, capsys, tmp_path) -> None:
    def say(*findings: Finding) -> Callable[..., list[Finding]]:
        return lambda *_, **__: list(findings)

    for name in ("python", "packages", "gpu", "weights", "disk", "display", "devices", "cameras", "worlds"):
        monkeypatch.setattr(command, f"check_{name}", say(Finding(Level.OK, name, "fine")))
    assert command.doctor(data=tmp_path) == 0
    monkeypatch.setattr(command, "check_gpu", say(Finding(Level.WARNING, "GPU", "slow", "buy one")))
    assert command.doctor(data=tmp_path) == 0
    assert "→ buy one" in capsys.readouterr().out
    monkeypatch.setattr(command, "check_disk", say(Finding(Level.FAILURE, "Disk", "full", "free space")))
    assert command.doctor(data=tmp_path, json_lines=True) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"level": "failure", "subject": "Disk", "text": "full", "fix": "free space"} in lines


@pytest.mark.slow
def test_the_test_image_of_the_embedded_world_names_what_drew_it() -> None:
    found = machine._test_image()
    assert found.level in (Level.OK, Level.NOTE)
    assert "image of the embedded world in" in found.text
    assert found.text.endswith(")")


def test_software_drawing_is_told_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = "one 224 x 224 image of the embedded world in 9 ms by {} (egl)"
    for renderer, level in (("llvmpipe (LLVM 20)", Level.NOTE), ("NVIDIA H100/PCIe/SSE2", Level.OK)):
        done = subprocess.CompletedProcess([], 0, drawn.format(renderer) + "\n", "")
        monkeypatch.setattr(machine.subprocess, "run", lambda *a, done=done, **k: done)
        found = machine._test_image()
        assert found.level is level
        assert bool(found.fix) is (level is Level.NOTE)
