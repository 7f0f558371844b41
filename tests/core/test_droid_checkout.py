"""The unmodified RobotEnv of a DROID checkout, driven by the bridge, against a robot computer that moves MuJoCo's Franka.

Opt-in: FRS_DROID_CHECKOUT names the checkout, FRS_DROID_PYTHON the interpreter of its environment (with gym, zerorpc, scipy,
matplotlib, opencv-contrib-python 4.6); this environment needs zerorpc too. Nothing of DROID is kept here.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from frs_core.errors import WorldError
from frs_core.robot.actions import ActionKind
from frs_core.steering.directions import Amount, Command, Direction, Gripper, reference_chunk
from frs_core.worlds.droid import DroidConfig, DroidWorld
from tests.core.test_droid_world import VELOCITY
from tests.fakes.franka import HOME
from tests.fakes.nuc import SERIALS
from tests.fakes.running_bridge import ROOT, bridge_process, end

CHECKOUT = os.environ.get("FRS_DROID_CHECKOUT", "")
PYTHON = os.environ.get("FRS_DROID_PYTHON", sys.executable)

pytestmark = [
    pytest.mark.skipif(not CHECKOUT, reason="FRS_DROID_CHECKOUT names no DROID checkout"),
    pytest.mark.timeout(600),
]


def start_nuc(folder: Path, ip: str) -> "subprocess.Popen[str]":
    """Start the robot computer and wait until it serves; DROID fixes the port, so the address tells them apart."""
    command = [sys.executable, "-m", "tests.fakes.nuc", "--address", f"tcp://{ip}:4242"]
    command += ["--drive", "mujoco", "--pictures", str(folder)]
    nuc = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert nuc.stdout is not None
    line = nuc.stdout.readline()
    assert json.loads(line)["ready"]
    return nuc


def start_bridge(folder: Path, ip: str) -> "tuple[subprocess.Popen[str], str]":
    """Start the bridge over the checkout; return it and its address."""
    cameras = ",".join(f"{name}={serial}" for name, serial in SERIALS.items())
    arguments = ["--droid", CHECKOUT, "--nuc-ip", ip, "--bind", "tcp://127.0.0.1:*", "--cameras", cameras]
    arguments += ["--robot-timeout", "15", "--calibration", str(folder / "calibration_info.json")]
    variables = {"PYTHONPATH": str(ROOT / "tests/fakes/zed_sdk"), "FRS_FAKE_ZED": str(folder)}
    return bridge_process(*arguments, python=PYTHON, variables=variables)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DroidWorld, Path]]:
    folder = tmp_path_factory.mktemp("zed")
    with ExitStack() as stack:
        stack.callback(end, start_nuc(folder, "127.0.0.77"))
        bridge, address = start_bridge(folder, "127.0.0.77")
        stack.callback(end, bridge)
        world = DroidWorld(
            DroidConfig(
                endpoint=address,
                width=224,
                height=224,
                tool_offset=0.1034,
                timeout_s=40.0,
                stale_s=60.0,
                instruction="mug",
            )
        )
        stack.callback(world.close)
        yield world, folder


def test_connecting_shows_the_scene_and_moves_nothing(lab) -> None:
    world, _ = lab
    first = world.observe()
    time.sleep(0.3)
    second = world.observe()
    np.testing.assert_allclose(first.q, second.q, atol=1e-4)
    assert np.abs(first.q - HOME).max() > 0.1
    for frame in first.frames.values():
        assert frame.image.std() > 10
        assert frame.calibration is not None


def test_reset_reaches_droids_start_pose(lab) -> None:
    world, _ = lab
    np.testing.assert_allclose(world.reset().q, HOME, atol=0.01)


@pytest.mark.parametrize("direction", list(Direction))
def test_previews_and_executed_paths_agree_within_5_mm(lab, direction) -> None:
    world, _ = lab
    start = world.reset()
    reference, _ = reference_chunk(Command(direction, Amount.LESS), VELOCITY, horizon=7, observation=start)
    chunk = VELOCITY.clip(VELOCITY.unnormalise(reference))
    preview = VELOCITY.path(chunk[None], start)[0]
    executed = [start.p_tcp]
    for row in chunk:
        result = world.step(row, ActionKind.JOINT_VELOCITY)
        assert not result.clipped, result.reason
        executed.append(world.state().p_tcp)
    error = np.linalg.norm(np.array(executed) - preview, axis=1)
    assert error.max() < 0.005, error
    assert (executed[-1] - executed[0]) @ direction.axis > 0.06


def test_the_gripper_closes_and_a_joint_position_is_reached(lab) -> None:
    world, _ = lab
    start = world.reset()
    reference, _ = reference_chunk(Command(None, gripper=Gripper.CLOSE), VELOCITY, horizon=6, observation=start)
    for row in reference:
        world.step(row, ActionKind.JOINT_VELOCITY)
    target = start.q + np.array([0.05, 0, 0, 0, 0, 0, 0.05])
    for _ in range(3):
        world.step(np.append(target, 1.0), ActionKind.JOINT_POSITION)
    seen = world.observe()
    assert seen.gripper > 0.8
    np.testing.assert_allclose(seen.q, target, atol=0.01)


def test_a_dropped_frame_is_counted_and_the_others_go_on(lab) -> None:
    world, folder = lab
    (folder / f"{SERIALS['right']}.drop").touch()
    try:
        deadline = time.monotonic() + 10.0
        while int(world.observe().extra["dropped_right"]) < 3:
            assert time.monotonic() < deadline
        assert (time.monotonic_ns() - world.observe().frames["left"].captured_ns) / 1e9 < 1.0
    finally:
        (folder / f"{SERIALS['right']}.drop").unlink()


def test_losing_the_robot_computer_in_mid_chunk_is_an_error_and_its_return_is_enough(tmp_path) -> None:
    nuc = start_nuc(tmp_path, "127.0.0.78")
    bridge, address = start_bridge(tmp_path, "127.0.0.78")
    try:
        world = DroidWorld(DroidConfig(endpoint=address, connect_timeout_s=30.0, timeout_s=40.0, stale_s=60.0))
        world.reset()
        still = np.zeros(8)
        world.step(still, ActionKind.JOINT_VELOCITY)
        end(nuc)
        with pytest.raises(WorldError, match="robot computer"):
            world.step(still, ActionKind.JOINT_VELOCITY)
        nuc = start_nuc(tmp_path, "127.0.0.78")
        world.close()
        world = DroidWorld(world.config)
        seen = world.reset()
        np.testing.assert_allclose(seen.q, HOME, atol=0.01)
        world.step(still, ActionKind.JOINT_VELOCITY)
        world.close()
    finally:
        end(bridge)
        end(nuc)
