"""DroidWorld against a running bridge: what the session sees, and what happens when something breaks."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import zmq

from frs_core.errors import CameraStale, ConfigError, ShapeMismatch, StaleAct, WorldError, WorldTimeout
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace
from frs_core.steering.directions import Amount, Command, Direction, reference_chunk
from frs_core.worlds import make_world
from frs_core.worlds.droid import DroidConfig, DroidWorld, calibration_notes
from frs_core.worlds.droid.bridge import Bridge
from frs_core.worlds.droid.calibration import pose_matrix, pose_numbers, scale_intrinsics
from frs_core.worlds.droid.world import BridgeRefusal
from frs_core.worlds.link import Lost, Ready, SceneSet, Stepped, WorldFact
from frs_core.worlds.process import WorldProcess
from tests.fakes.droid_env import LEFT_POSE, SERIALS, WRIST_POSE, FakeRobotEnv
from tests.fakes.running_bridge import bridge_process, bridge_thread, end
from tests.waiting import LONG_S

FAST = DroidConfig(
    width=160, height=90, timeout_s=10.0, connect_timeout_s=10.0, stale_s=60.0, instruction="stack the cups"
)
"""Small images; patient, because the machine may be busy. What is about time sets its own."""
VELOCITY = ActionSpace(
    ActionKind.JOINT_VELOCITY,
    np.zeros(8, np.float32),
    np.ones(8, np.float32),
    np.array([-1.0] * 7 + [0.0], np.float32),
    np.ones(8, np.float32),
)


@pytest.fixture
def droid() -> Iterator[tuple[DroidWorld, Bridge, FakeRobotEnv]]:
    with bridge_thread() as (bridge, env):
        world = DroidWorld(replace(FAST, endpoint=bridge.address))
        yield world, bridge, env
        world.close()


def test_it_sees_three_cameras_the_state_and_the_instruction(droid) -> None:
    world, _, env = droid
    seen = world.observe()
    assert world.spec.cameras == ("left", "right", "wrist")
    assert set(seen.frames) == set(world.spec.cameras)
    assert seen.frames["left"].image.shape == (90, 160, 3)
    assert seen.instruction == "stack the cups"
    np.testing.assert_allclose(seen.q, env.robot.drive.read()[0], atol=1e-6)
    assert 0 <= time.monotonic_ns() - seen.captured_ns < 1e9
    # The fake's images were taken 40 ms before they were read.
    assert 0.04 <= (time.monotonic_ns() - seen.frames["left"].captured_ns) / 1e9 < 30.0
    assert env.robot.commands == []


def test_the_tool_is_the_flange_moved_along_its_axis(droid) -> None:
    world, _, _ = droid
    seen = world.observe()
    flange = kinematics.flange_pose(seen.q)
    np.testing.assert_allclose(seen.T_base_tcp[:3, 3], flange[:3, 3] + 0.15 * flange[:3, 2], atol=1e-9)
    np.testing.assert_allclose(seen.extra["flange"], pose_numbers(flange), atol=1e-6)


def test_calibration_projects_into_the_resized_picture_and_the_wrist_moves_with_the_arm(droid) -> None:
    world, _, env = droid
    seen = world.observe()
    left, wrist = seen.frames["left"].calibration, seen.frames["wrist"].calibration
    assert left is not None
    assert wrist is not None
    assert seen.frames["right"].calibration is None
    np.testing.assert_allclose(left.T_base_camera, pose_matrix(LEFT_POSE))
    np.testing.assert_allclose(left.K[0], [65.0, 0.0, 0.5 * 160.0 - 0.5])
    np.testing.assert_allclose(wrist.T_base_camera, kinematics.flange_pose(seen.q) @ pose_matrix(WRIST_POSE))
    env.robot.drive.go(seen.q + 0.1, blocking=True)
    moved = world.observe().frames["wrist"].calibration
    assert moved is not None
    assert np.linalg.norm(moved.T_base_camera[:3, 3] - wrist.T_base_camera[:3, 3]) > 0.02
    notes = calibration_notes(world.calibration)
    assert "2 h old" in notes["left"]
    assert "never calibrated" in notes["right"]
    assert "wrist" not in notes


def test_scaling_intrinsics_keeps_the_ray_of_every_pixel_centre() -> None:
    K = np.array([[700.0, 0, 640.3], [0, 701.0, 355.1], [0, 0, 1]])
    small = scale_intrinsics(K, (1280, 720), (640, 360))
    # Image centre of a 2x2 block of native pixels is one small pixel's centre.
    ray = np.linalg.inv(K) @ np.array([100.5, 40.5, 1.0])
    np.testing.assert_allclose(small @ ray, [50.0, 20.0, 1.0], atol=1e-9)


def test_pose_numbers_and_matrix_are_inverse() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        pose = np.concatenate([rng.uniform(-1, 1, 3), rng.uniform(-1.4, 1.4, 3)])
        np.testing.assert_allclose(pose_numbers(pose_matrix(pose)), pose, atol=1e-9)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_previewed_chunk_is_executed_within_5_mm(droid, direction) -> None:
    world, _, _ = droid
    # A pause of a busy machine counts as standing still, and a step from there as a jump.
    world.spec = replace(world.spec, limits=replace(world.spec.limits, joint_jump=0.4))
    start = world.reset()
    reference, _ = reference_chunk(Command(direction, Amount.MORE), VELOCITY, horizon=8, observation=start)
    chunk = VELOCITY.clip(VELOCITY.unnormalise(reference))
    preview = VELOCITY.path(chunk[None], start)[0]
    executed = [start.p_tcp]
    for row in chunk:
        assert not world.step(row, ActionKind.JOINT_VELOCITY).clipped
        time.sleep(1 / 15)
        executed.append(world.state().p_tcp)
    error = np.linalg.norm(np.array(executed) - preview, axis=1)
    assert error.max() < 0.005
    moved = executed[-1] - executed[0]
    assert moved @ direction.axis > 0.9 * np.linalg.norm(moved)
    assert np.linalg.norm(moved) == pytest.approx(8 * 0.02, abs=0.02)


def test_a_hold_while_a_motion_is_prepared_keeps_it_from_leaving(droid) -> None:
    world, _, env = droid
    world.reset()
    world.observe()
    sent = len(env.robot.commands)
    world.may_move = lambda: False
    with pytest.raises(StaleAct, match="hold came first"):
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    with pytest.raises(StaleAct, match="hold came first"):
        world.reset()
    assert len(env.robot.commands) == sent


def test_a_hold_that_the_bridge_does_not_answer_is_a_lost_connection(droid) -> None:
    world, bridge, _ = droid
    world.reset()
    world.observe()
    bridge.session = "another one"
    world.hold()
    with pytest.raises(WorldError, match="is lost"):
        world.observe()


def test_a_hold_while_the_controller_is_launched_keeps_the_arm_from_its_start_pose(droid) -> None:
    world, _, env = droid
    world.reset()
    sent, ask = len(env.robot.commands), world._ask

    def held_meanwhile(op: str, **fields: object) -> dict:
        answer = ask(op, **fields)
        if op == "begin":
            world.may_move = lambda: False
        return answer

    world._ask = held_meanwhile
    with pytest.raises(StaleAct):
        world.reset()
    assert len(env.robot.commands) == sent


def test_after_a_hold_the_bridge_knows_of_a_new_epoch_even_when_the_arm_rests(droid) -> None:
    world, bridge, env = droid
    world.reset()
    world.observe()
    before, sent = bridge.epoch, len(env.robot.commands)
    time.sleep(1.1)
    world.hold()
    assert bridge.epoch == before + 1
    assert len(env.robot.commands) == sent
    world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    assert len(env.robot.commands) == sent + 1


def test_joint_positions_are_executed_and_the_gripper_is_binary(droid) -> None:
    world, _, env = droid
    world.reset()
    target = world.observe().q + 0.03
    result = world.step(np.append(target, 0.7), ActionKind.JOINT_POSITION)
    assert not result.clipped
    assert result.executed[7] == 1.0
    time.sleep(0.1)
    np.testing.assert_allclose(world.state().q, target, atol=1e-6)
    assert env.robot.commands[-1][0] == "joint_position"
    assert world.state().gripper_command == 1.0


def test_reset_goes_home_with_the_given_words_and_can_be_told_to_stay(droid) -> None:
    world, _, env = droid
    seen = world.reset(task="open the drawer")
    np.testing.assert_allclose(seen.q, env.reset_joints, atol=1e-6)
    assert (seen.instruction, seen.step) == ("open the drawer", 0)
    sent = len(env.robot.commands)
    world.config = replace(world.config, reset_moves=False)
    world.reset()
    assert len(env.robot.commands) == sent


def test_old_pictures_refuse_a_step_in_words(droid) -> None:
    world, _, env = droid
    with pytest.raises(CameraStale, match="frames"):
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    world.observe()
    assert world.step(np.zeros(8), ActionKind.JOINT_VELOCITY).reason == ""
    sent = len(env.robot.commands)
    world._known.pictures_at -= 100.0
    with pytest.raises(CameraStale, match="Check the cameras"):
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    assert len(env.robot.commands) == sent


def test_one_hanging_camera_is_enough_to_refuse(droid) -> None:
    world, _, env = droid
    world.config = replace(world.config, stale_s=0.3)
    world.observe()
    env.camera_reader.camera_dict[SERIALS["wrist"]].hang.set()
    time.sleep(0.4)
    world.observe()
    with pytest.raises(CameraStale):
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)


def test_speed_and_jumps_are_capped_and_named(droid) -> None:
    world, _, _ = droid
    world.reset()
    fast = np.array([1.0, 0.5, 0, 0, 0, 0, 0, 0])
    first = world.step(fast, ActionKind.JOINT_VELOCITY)
    assert "joint speed" in first.reason
    assert "jump" in first.reason
    assert np.abs(first.executed[:7]).max() * JOINT_STEP <= world.config.jump + 1e-9
    second = world.step(fast, ActionKind.JOINT_VELOCITY)
    assert second.executed[0] * JOINT_STEP * 15 <= kinematics.DQ_MAX[0] * 0.9 + 1e-9
    assert second.executed[0] > first.executed[0]
    # Whole vectors are scaled: the direction stays.
    assert second.executed[1] / second.executed[0] == pytest.approx(0.5)


def test_the_workspace_is_never_left() -> None:
    with bridge_thread() as (bridge, _):
        world = DroidWorld(replace(FAST, endpoint=bridge.address, workspace_low=(0.2, -0.45, 0.2)))
        start = world.reset()
        assert start.p_tcp[2] > 0.25
        chunk, _ = reference_chunk(Command(Direction.DOWN), VELOCITY, horizon=20, observation=start)
        reasons = [world.step(row, ActionKind.JOINT_VELOCITY).reason for row in chunk]
        time.sleep(0.1)
        assert world.observe().p_tcp[2] > 0.2 - 2e-3
        assert any("workspace" in reason for reason in reasons)
        up, _ = reference_chunk(Command(Direction.UP), VELOCITY, horizon=3, observation=world.state())
        assert "workspace" not in world.step(up[0], ActionKind.JOINT_VELOCITY).reason
        world.close()


def test_a_wrong_action_is_refused_by_name(droid) -> None:
    world, _, _ = droid
    world.observe()
    for kind in ActionKind:
        with pytest.raises(ShapeMismatch, match=kind.value):
            world.step(np.zeros(6), kind)
        with pytest.raises(WorldError, match="non-finite"):
            world.step(np.full(kind.size, np.nan), kind)


def test_end_effector_deltas_add_up_to_the_asked_way(droid) -> None:
    world, _, _ = droid
    start = world.reset()
    delta = np.array([0.0, 0.01, -0.005, 0.0, 0.0, 0.02, 0.0])
    for _ in range(8):
        result = world.step(delta, ActionKind.EE_DELTA)
        assert not result.clipped
        np.testing.assert_allclose(result.executed, delta)
        time.sleep(1 / 15)
    seen = world.state()
    np.testing.assert_allclose(seen.p_tcp - start.p_tcp, 8 * delta[:3], atol=5e-3)
    turned = seen.T_base_tcp[:3, :3] @ start.T_base_tcp[:3, :3].T
    assert np.arctan2(turned[1, 0], turned[0, 0]) == pytest.approx(0.16, abs=0.01)


def test_a_delta_beyond_the_limits_reports_what_was_sent(droid) -> None:
    world, _, _ = droid
    world.reset()
    result = world.step(np.array([0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]), ActionKind.EE_DELTA)
    assert result.clipped
    assert 0.0 < result.executed[1] < 0.15


def test_a_failing_robot_computer_is_a_world_error_with_its_words(droid) -> None:
    world, _, env = droid
    world.observe()
    env.robot.broken = "reflex: joint_motion_generator"
    with pytest.raises(BridgeRefusal, match="reflex"):
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
    env.robot.broken = ""
    assert world.observe().q.shape == (7,)


def test_nobody_there_is_a_timeout_with_the_address() -> None:
    with pytest.raises(WorldTimeout, match=r"127\.0\.0\.1:9"):
        DroidWorld(replace(FAST, endpoint="tcp://127.0.0.1:9", connect_timeout_s=0.3))


def test_a_bad_address_and_an_empty_workspace_are_named() -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        DroidWorld(replace(FAST, endpoint="robot:4343"))
    with pytest.raises(ConfigError, match="empty"):
        DroidWorld(replace(FAST, workspace_low=(0.5, 0.0, 0.0), workspace_high=(0.4, 0.1, 0.1)))


def test_killing_the_bridge_in_mid_chunk_raises_and_only_a_new_world_finds_the_new_bridge() -> None:
    process, address = bridge_process("--env", "tests.fakes.droid_env:make", "--bind", "tcp://127.0.0.1:*")
    try:
        world = DroidWorld(replace(FAST, endpoint=address))
        world.reset()
        action = np.array([0.1] + [0.0] * 7)
        for _ in range(3):
            world.step(action, ActionKind.JOINT_VELOCITY)
        process.kill()
        process.wait(LONG_S)
        world.config = replace(world.config, timeout_s=0.3)
        with pytest.raises(WorldTimeout, match="did not answer"):
            world.step(action, ActionKind.JOINT_VELOCITY)
        with pytest.raises(WorldError, match="is lost"):
            world.step(action, ActionKind.JOINT_VELOCITY)
        world.hold()
    finally:
        end(process)
    process, _ = bridge_process("--env", "tests.fakes.droid_env:make", "--bind", address)
    try:
        with pytest.raises(WorldError, match="is lost"):
            world.observe()
        world = DroidWorld(replace(FAST, endpoint=address))
        assert set(world.observe().frames) == {"left", "right", "wrist"}
        assert not world.step(action, ActionKind.JOINT_VELOCITY).clipped
        world.close()
    finally:
        end(process)


class _Cable:
    """A cable between world and bridge that can be pulled: forwards in the test's thread of its own."""

    def __init__(self, address: str) -> None:
        context = zmq.Context.instance()
        self._front = context.socket(zmq.ROUTER)
        self._front.bind("tcp://127.0.0.1:*")
        self.address = self._front.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        self._target = address
        self._backs: dict[bytes, zmq.Socket] = {}
        self.is_pulled = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        context = zmq.Context.instance()
        while not self._stop.is_set():
            if self._front.poll(5):
                name, data = self._front.recv_multipart()
                if name not in self._backs:
                    self._backs[name] = context.socket(zmq.DEALER)
                    self._backs[name].connect(self._target)
                if not self.is_pulled.is_set():
                    self._backs[name].send(data)
            for name, back in self._backs.items():
                while back.poll(0):
                    data = back.recv()
                    if not self.is_pulled.is_set():
                        self._front.send_multipart([name, data])
        for socket in (self._front, *self._backs.values()):
            socket.close(linger=0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(LONG_S)


def test_a_pulled_cable_ends_in_a_timeout_and_nothing_was_sent_when_it_is_pushed_back() -> None:
    with bridge_thread() as (bridge, env):
        cable = _Cable(bridge.address)
        world = DroidWorld(replace(FAST, endpoint=cable.address))
        world.reset()
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
        cable.is_pulled.set()
        world.config = replace(world.config, timeout_s=0.3)
        with pytest.raises(WorldTimeout):
            world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
        sent = len(env.robot.commands)
        world.hold()
        cable.is_pulled.clear()
        with pytest.raises(WorldError, match="is lost"):
            world.observe()
        world = DroidWorld(replace(FAST, endpoint=cable.address))
        assert set(world.observe().frames) == {"left", "right", "wrist"}
        assert len(env.robot.commands) == sent
        world.step(np.zeros(8), ActionKind.JOINT_VELOCITY)
        assert len(env.robot.commands) == sent + 1
        world.close()
        cable.close()


def test_hold_lets_the_last_row_finish_stops_a_moving_arm_and_leaves_a_resting_one_alone(droid) -> None:
    world, _, env = droid
    world.reset()
    sent = len(env.robot.commands)
    world.hold()
    assert len(env.robot.commands) == sent
    world.step(np.array([0.3] + [0.0] * 7), ActionKind.JOINT_VELOCITY)
    world._stepped_at = time.monotonic() + 1.0
    world.hold()
    assert len(env.robot.commands) == sent + 1
    world._stepped_at = time.monotonic() - 0.1
    world.hold()
    assert env.robot.commands[-1] == ("joint_velocity", [0.0] * 8)
    world._stepped_at -= 5.0
    world.hold()
    assert len(env.robot.commands) == sent + 2


def test_the_name_droid_opens_one_with_options_in_words() -> None:
    with bridge_thread() as (bridge, _):
        world = make_world("droid", endpoint=bridge.address, workspace_low="0.1, -0.2 0.05", instruction="tidy up")
        assert isinstance(world, DroidWorld)
        np.testing.assert_allclose(world.spec.limits.workspace_low, [0.1, -0.2, 0.05])
        assert world.observe().instruction == "tidy up"
        world.close()
    with pytest.raises(ConfigError, match="Did you mean 'endpoint'"):
        make_world("droid", endpiont="x")
    with pytest.raises(ConfigError, match="expected 3 values, separated by commas"):
        make_world("droid", workspace_low="low")


def _facts_until(link: WorldProcess, kind: type, *, seconds: float = LONG_S) -> list[WorldFact]:
    """Return the facts up to and including the first of a kind."""
    facts: list[WorldFact] = []
    deadline = time.monotonic() + seconds
    while not any(isinstance(f, kind) for f in facts):
        assert time.monotonic() < deadline, [type(f).__name__ for f in facts]
        facts += link.poll()
        time.sleep(0.005)
    return facts


@pytest.mark.timeout(400)
def test_killing_the_bridge_in_mid_chunk_loses_the_world_with_a_sentence_and_a_restart_brings_it_back() -> None:
    process, address = bridge_process("--env", "tests.fakes.droid_env:make", "--bind", "tcp://127.0.0.1:*")
    link = WorldProcess("droid", {"endpoint": address, "width": 160, "height": 90, "timeout_s": 5.0, "stale_s": 60.0})
    try:
        link.start()
        ready = next(f for f in _facts_until(link, Ready) if isinstance(f, Ready))
        assert not ready.spec.is_simulated
        link.reset(1, task="stack the cups", seed=0, epoch=link.epoch)
        _facts_until(link, SceneSet)
        rows = np.tile(np.array([0.05] + [0.0] * 7), (40, 1))
        link.execute(1, rows, ActionKind.JOINT_VELOCITY, epoch=link.epoch)
        assert not any(f.result.clipped for f in _facts_until(link, Stepped) if isinstance(f, Stepped))
        process.kill()
        process.wait(LONG_S)
        lost = next(f for f in _facts_until(link, Lost) if isinstance(f, Lost))
        assert "econnect" in lost.sentence
        process, _ = bridge_process("--env", "tests.fakes.droid_env:make", "--bind", address)
        link.restart()
        again = next(f for f in _facts_until(link, Ready) if isinstance(f, Ready))
        assert set(again.observation.frames) == {"left", "right", "wrist"}
    finally:
        link.close()
        end(process)


def test_a_late_answer_is_dropped(droid) -> None:
    world, _, _ = droid
    world.observe()
    world._connection._socket.send(b"\x83\xa2id\xcd\x27\x0f\xa2op\xa4ping\xa7session\xc0")
    world.observe()
    assert world._connection.late_answers == 1
