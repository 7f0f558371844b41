"""A camera's calibration is a pinhole and a rigid motion, or it is refused."""

import numpy as np
import pytest

from frs_core.errors import ConfigError
from frs_core.robot.observation import Calibration

K = np.array([[55.0, 0.0, 31.5], [0.0, 55.0, 31.5], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("K", "T", "words"),
    [
        (K, np.diag([1.0, -1.0, 1.0, 1.0]), "mirrors space, expected a rotation"),
        (K, np.diag([1000.0, 1000.0, 1000.0, 1.0]), "stretches or shears space"),
        (K, np.zeros((4, 4)), "stretches or shears space"),
        (np.zeros((3, 3)), np.eye(4), "focal lengths 0 and 0"),
        (np.diag([-55.0, 55.0, 1.0]), np.eye(4), "focal lengths -55 and 55"),
    ],
)
def test_a_calibration_that_is_no_camera_is_refused(K, T, words) -> None:
    with pytest.raises(ConfigError, match=words):
        Calibration(K, T, 64, 64)


def test_a_matrix_of_three_written_digits_is_a_rotation() -> None:
    T = np.eye(4)
    T[:2, :2] = [[0.707, -0.707], [0.707, 0.707]]
    Calibration(K, T, 64, 64)
