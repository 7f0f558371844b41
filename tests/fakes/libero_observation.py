"""An observation of LIBERO's two cameras without LIBERO."""

import numpy as np

from frs_core.robot.observation import Calibration, CameraFrame, Observation


def libero_observation(*, turn: float = 0.0) -> Observation:
    """Return one whose two cameras look down at the table; `turn` moves the fixed one about the vertical."""
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)
    K = np.array([[200.0, 0, 127.5], [0, 200.0, 127.5], [0, 0, 1]])
    down = np.diag([1.0, -1.0, -1.0, 1.0])
    down[:3, 3] = [0.5, 0.0, 1.0]
    spin = np.eye(4)
    spin[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    tool = np.diag([1.0, -1.0, -1.0, 1.0])
    tool[:3, 3] = [0.45, 0.1, 0.3]
    poses = {"agentview": spin @ down, "wrist": tool}
    frames = {c: CameraFrame(image, 0, Calibration(K, T, 256, 256)) for c, T in poses.items()}
    return Observation(
        frames=frames, q=np.zeros(7), dq=np.zeros(7), gripper=0.0, T_base_tcp=tool, instruction="", captured_ns=0
    )
