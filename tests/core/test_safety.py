"""Limits: what is warned of on a preview, and what is never sent."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frs_core.robot import kinematics, limiting
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.robot.watchdog import CameraLiveness, Watchdog
from tests.fakes.world import PointWorld

WORLD = PointWorld()
LIMITS = WORLD.spec.limits
finite = st.floats(-5, 5)


def limit_action(
    action: np.ndarray, kind: ActionKind, *, observation: Observation, limits: Limits
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return what may be sent of one action by itself, and the limits that changed it."""
    allowed = limiting.limit_action(action, kind, observation=observation, limits=limits)
    return allowed.action, allowed.reasons


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=7, max_size=7))
def test_no_tool_action_leaves_the_workspace_or_exceeds_the_step(numbers: list[float]) -> None:
    observation = WORLD.observe()
    sent, _ = limit_action(np.array(numbers), ActionKind.EE_DELTA, observation=observation, limits=LIMITS)
    target = observation.p_tcp + sent[:3]
    assert np.all(target >= LIMITS.workspace_low - 1e-9)
    assert np.all(target <= LIMITS.workspace_high + 1e-9)
    assert np.linalg.norm(sent[:3]) <= LIMITS.max_translation + 1e-6
    assert np.linalg.norm(sent[3:6]) <= LIMITS.max_rotation + 1e-6
    assert 0 <= sent[-1] <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(finite, min_size=8, max_size=8), st.sampled_from([ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION])
)
def test_no_joint_action_passes_a_joint_limit_or_jumps(numbers: list[float], kind: ActionKind) -> None:
    observation = WORLD.observe()
    sent, _ = limit_action(np.array(numbers), kind, observation=observation, limits=LIMITS)
    step = sent[:7] * JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else sent[:7] - observation.q
    assert np.abs(step).max() <= JOINT_STEP + 1e-6
    q = observation.q + step
    assert np.all(q >= kinematics.Q_LOW + LIMITS.joint_margin - 1e-9)
    assert np.all(q <= kinematics.Q_HIGH - LIMITS.joint_margin + 1e-9)


@pytest.mark.parametrize("kind", [ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION])
def test_joints_slide_along_the_workspaces_wall_as_tool_deltas_do(kind: ActionKind) -> None:
    observation = WORLD.observe()
    floor = dataclasses.replace(LIMITS, workspace_low=np.append(LIMITS.workspace_low[:2], observation.p_tcp[2] - 0.002))
    T_flange_tcp = np.linalg.inv(kinematics.flange_pose(observation.q)) @ observation.T_base_tcp
    dq = kinematics.joint_step(observation.q, np.array([0.0, 0.015, -0.015, 0, 0, 0]))
    asked = dq / JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else observation.q + dq
    sent, reasons = limit_action(np.append(asked, 0.0), kind, observation=observation, limits=floor)
    step = sent[:7] * JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else sent[:7] - observation.q
    moved = (kinematics.flange_pose(observation.q + step) @ T_flange_tcp)[:3, 3] - observation.p_tcp
    assert reasons == ("the workspace",)
    assert moved[1] == pytest.approx(0.015, abs=0.003)
    assert moved[2] >= -0.002 - 1e-4
    assert np.abs(step).max() <= np.abs(dq).max() + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=7, max_size=7))
def test_no_joint_action_takes_the_tool_out_of_the_workspace(numbers: list[float]) -> None:
    observation = WORLD.observe()
    p = observation.p_tcp
    tight = dataclasses.replace(LIMITS, workspace_low=p - 0.01, workspace_high=p + 0.01)
    sent, _ = limit_action(np.append(numbers, 0.0), ActionKind.JOINT_VELOCITY, observation=observation, limits=tight)
    T_flange_tcp = np.linalg.inv(kinematics.flange_pose(observation.q)) @ observation.T_base_tcp
    after = (kinematics.flange_pose(observation.q + sent[:7] * JOINT_STEP) @ T_flange_tcp)[:3, 3]
    assert (after >= p - 0.0102).all()
    assert (after <= p + 0.0102).all()


def joints_moved(observation: Observation, q: np.ndarray) -> Observation:
    T_flange_tcp = np.linalg.inv(kinematics.flange_pose(observation.q)) @ observation.T_base_tcp
    return dataclasses.replace(observation, q=q, T_base_tcp=kinematics.flange_pose(q) @ T_flange_tcp)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=7, max_size=7).filter(lambda v: max(map(abs, v)) > 0.1),
    st.lists(st.floats(0.001, 0.06), min_size=6, max_size=6),
    st.floats(0.02, 0.4),
    st.sampled_from([ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION]),
)
def test_pushing_on_against_a_corner_neither_leaves_the_box_nor_sticks_nor_bounces(
    direction: list[float], room: list[float], speed: float, kind: ActionKind
) -> None:
    observation = WORLD.observe()
    p = observation.p_tcp
    box = dataclasses.replace(LIMITS, workspace_low=p - room[:3], workspace_high=p + room[3:])
    dq = JOINT_STEP * speed * np.array(direction) / max(map(abs, direction))
    for _ in range(8):
        asked = joints_moved(observation, observation.q + dq).p_tcp
        action = dq / JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else observation.q + dq
        sent, reasons = limit_action(np.append(action, 0.0), kind, observation=observation, limits=box)
        step = sent[:7] * JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else sent[:7] - observation.q
        after = joints_moved(observation, observation.q + step)
        assert np.abs(step).max() <= np.abs(dq).max() + 1e-9
        assert (after.p_tcp >= box.workspace_low - 1.01e-4).all()
        assert (after.p_tcp <= box.workspace_high + 1.01e-4).all()
        if reasons == ("the workspace",):
            wish = np.clip(asked, box.workspace_low, box.workspace_high) - observation.p_tcp
            moved = after.p_tcp - observation.p_tcp
            assert moved @ wish >= -3e-4 * np.linalg.norm(wish)
            if np.linalg.norm(wish) > 0.005:
                assert moved @ wish > 0.02 * (wish @ wish)
        observation = after


def test_an_action_inside_the_limits_is_sent_unchanged() -> None:
    action = np.array([0.01, -0.01, 0.005, 0.02, 0, 0, 0.5])
    sent, reasons = limit_action(action, ActionKind.EE_DELTA, observation=WORLD.observe(), limits=LIMITS)
    np.testing.assert_array_equal(sent, action)
    assert reasons == ()


def test_an_arm_outside_the_workspace_may_come_back() -> None:
    observation = WORLD.observe()
    p = observation.p_tcp
    limits = Limits(p + 0.02, p + 0.2, kinematics.Q_LOW, kinematics.Q_HIGH)
    sent, reasons = limit_action(
        np.array([0.01, 0.01, 0.01, 0, 0, 0, 0]), ActionKind.EE_DELTA, observation=observation, limits=limits
    )
    assert reasons == ()
    sent, reasons = limit_action(
        np.array([-0.01, 0, 0, 0, 0, 0, 0]), ActionKind.EE_DELTA, observation=observation, limits=limits
    )
    assert reasons == ("the workspace",)
    assert sent[0] == pytest.approx(0.0)


def test_a_watchdog_names_the_source_that_is_silent_and_only_once_armed() -> None:
    now = [0.0]
    watchdog = Watchdog({"window": 1.0, "world": 0.2}, clock=lambda: now[0])
    now[0] = 10.0
    assert watchdog.overdue() is None
    watchdog.feed("window")
    watchdog.feed("world")
    now[0] = 10.15
    assert watchdog.overdue() is None
    now[0] = 10.3
    source, silence_s = watchdog.overdue() or ("", 0.0)
    assert source == "world"
    assert silence_s == pytest.approx(0.3)
    watchdog.disarm("world")
    assert watchdog.overdue() is None


def _moved(observation: Observation, metres: float) -> Observation:
    T = observation.T_base_tcp.copy()
    T[0, 3] += metres
    return dataclasses.replace(observation, T_base_tcp=T)


def test_a_picture_that_stays_the_same_while_the_arm_moves_is_stale() -> None:
    liveness = CameraLiveness(clock_ns=lambda: 0)
    still = CameraFrame(np.zeros((4, 4, 3), np.uint8), 0)
    observation = dataclasses.replace(WORLD.observe(), frames={"left": still})
    assert [liveness.check(_moved(observation, 0.0)) for _ in range(20)] == [None] * 20
    said = [liveness.check(_moved(observation, 0.012 * i)) for i in range(1, 6)]
    assert said[:4] == [None] * 4
    assert "Camera 'left' shows the same frame" in (said[-1] or "")


def test_an_unchanged_picture_is_alive_when_the_tool_moves_out_of_view() -> None:
    liveness = CameraLiveness(clock_ns=lambda: 0)
    turned_away = np.diag([1.0, -1.0, -1.0, 1.0])
    turned_away[:3, 3] = [0.5, 0.0, -1.0]
    calibration = Calibration(np.array([[55.0, 0, 32], [0, 55.0, 32], [0, 0, 1]]), turned_away, 64, 64)
    frame = CameraFrame(np.zeros((64, 64, 3), np.uint8), 0, calibration)
    observation = dataclasses.replace(WORLD.observe(), frames={"left": frame})
    assert [liveness.check(_moved(observation, 0.02 * i)) for i in range(8)] == [None] * 8


def test_a_camera_whose_time_stops_is_stale() -> None:
    now = [0]
    liveness = CameraLiveness(clock_ns=lambda: now[0])
    frame = CameraFrame(np.zeros((4, 4, 3), np.uint8), 0)
    observation = dataclasses.replace(WORLD.observe(), frames={"wrist": frame})
    assert liveness.check(observation) is None
    now[0] = 700_000_000
    assert "gave no fresh frame for 0.7 s" in (liveness.check(observation) or "")
