"""Rotations in their four forms, and the damped inverse that uses them."""

import numpy as np
import pytest

from frs_core.robot import kinematics
from frs_core.robot.rotations import (
    euler_angles,
    euler_matrix,
    quaternion_matrix,
    rotation_matrix,
    rotation_vector,
    rotations_in_turn,
    small_turn,
)
from frs_core.steering.plan import Method, Solver, SteeringPlan

VECTORS = np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize("size", [0.0, 1e-13, 1e-8, 1e-3, 1.0, 3.0])
def test_vector_and_matrix_are_inverse(size: float) -> None:
    for direction in VECTORS:
        vector = size * direction / np.linalg.norm(direction)
        np.testing.assert_allclose(rotation_vector(rotation_matrix(vector)), vector, atol=1e-12)


def test_angles_and_matrix_are_inverse_one_by_one_and_in_a_batch() -> None:
    angles = np.clip(VECTORS, -1.5, 1.5)
    matrices = np.stack([euler_matrix(a) for a in angles])
    np.testing.assert_allclose(euler_angles(matrices), angles, atol=1e-12)
    np.testing.assert_allclose(euler_angles(matrices[0]), angles[0], atol=1e-12)


def test_turns_one_after_the_other_are_products_in_the_base_frame() -> None:
    start, turns = rotation_matrix(VECTORS[0]), VECTORS[1:7].reshape(2, 3, 3)
    turned = rotations_in_turn(start, turns)
    for b in range(2):
        expected = start
        for i in range(3):
            expected = rotation_matrix(turns[b, i]) @ expected
            np.testing.assert_allclose(turned[b, i], expected, atol=1e-12)


def test_a_small_turn_has_the_sine_of_its_angle() -> None:
    start = np.stack([rotation_matrix(v) for v in VECTORS])
    end = rotation_matrix(np.array([0.0, 0.0, 0.2])) @ start
    np.testing.assert_allclose(small_turn(start, end), np.tile([0.0, 0.0, np.sin(0.2)], (50, 1)), atol=1e-12)


def test_a_damped_step_makes_the_motion_and_batches_do_the_same() -> None:
    q = 0.5 * (kinematics.Q_LOW + kinematics.Q_HIGH) + 0.1 * np.random.default_rng(1).normal(size=(4, 7))
    J, _ = kinematics.tool_jacobian(q, np.eye(4))
    twist = np.tile([0.001, -0.002, 0.001, 0.0, 0.01, 0.0], (4, 1))
    steps = kinematics.damped_step(J, twist, damping=1e-4)
    np.testing.assert_allclose((J @ steps[..., None])[..., 0], twist, atol=1e-6)
    for i in range(4):
        np.testing.assert_allclose(kinematics.damped_step(J[i], twist[i], damping=1e-4), steps[i], atol=1e-12)


@pytest.mark.parametrize(
    ("plan", "is_full"),
    [
        (SteeringPlan(), True),
        (SteeringPlan(steps=10, depth=10), True),
        (SteeringPlan(steps=10, depth=6), False),
        (SteeringPlan(steps=10, depth=6, solver=Solver.FIXED_POINT), True),
    ],
)
def test_only_a_reversal_to_the_end_finds_a_noise(plan: SteeringPlan, is_full: bool) -> None:
    assert plan.is_full_depth is is_full
    assert plan.starts_at_noise is (is_full and plan.method is Method.FRS)
    assert SteeringPlan(method=Method.FLOW_CONTROL, depth=plan.depth).starts_at_noise
    assert not SteeringPlan(method=Method.DIRECT).starts_at_noise


def test_a_quaternion_of_any_length_is_the_matrix_of_its_rotation_vector() -> None:
    for vector in VECTORS:
        half = np.linalg.norm(vector) / 2
        quaternion = np.append(np.sin(half) * vector / np.linalg.norm(vector), np.cos(half))
        np.testing.assert_allclose(quaternion_matrix(3.0 * quaternion), rotation_matrix(vector), atol=1e-12)
