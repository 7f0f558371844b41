"""A stand-in for DROID's RobotEnv and its ZED cameras, for tests of the bridge's protocol.

`make()` is what `bridge.py --env tests.fakes.droid_env:make` calls. Images are 320x180 BGRA whose first pixel counts.
"""

import json
import shutil
import tempfile
import threading
import time
import weakref
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tests.fakes.franka import HOME, FakeFranka

SERIALS = {"left": "11111111", "right": "22222222", "wrist": "33333333"}
SIZE = (320, 180)
K = [[130.0, 0.0, 159.5], [0.0, 130.0, 89.5], [0.0, 0.0, 1.0]]
LEFT_POSE = [0.1, 0.6, 0.5, -2.0, 0.0, -2.6]
WRIST_POSE = [-0.07, 0.03, 0.03, -0.32, 0.01, -1.56]


class FakeZed:
    """One camera with DROID's reader interface: drops frames or hangs on request."""

    def __init__(self, serial: str, *, hz: float = 30.0) -> None:
        """Make a camera of a serial number."""
        self.serial, self._period = serial, 1.0 / hz
        self.is_dropping = False
        self.hang = threading.Event()
        self._closed = threading.Event()
        self._count = 0

    def read_camera(self) -> tuple[dict[str, object], dict[str, int]] | None:
        """Return one stereo pair and its times, or None as DROID's reader does for a dropped frame."""
        self._closed.wait(self._period)
        while self.hang.is_set() and not self._closed.is_set():
            self._closed.wait(0.01)
        if self.is_dropping:
            return None
        self._count += 1
        image = np.full((SIZE[1], SIZE[0], 4), 255, dtype=np.uint8)
        image[..., 0] = np.arange(SIZE[0], dtype=np.uint8)
        image[..., 1] = 60
        image[..., 2] = 200
        image[:16, :16, :3] = self._count % 256
        now = int(time.time() * 1000)
        stamps = {f"{self.serial}_frame_received": now, f"{self.serial}_estimated_capture": now - 40}
        return {"image": {f"{self.serial}_left": image, f"{self.serial}_right": image[:, ::-1]}}, stamps

    def get_intrinsics(self) -> dict[str, dict[str, Float[np.ndarray, "3 3"]]]:
        """Return DROID's intrinsics of both eyes."""
        return {f"{self.serial}_{eye}": {"cameraMatrix": np.array(K)} for eye in ("left", "right")}


class CameraReader:
    """DROID's collection of cameras."""

    def __init__(self) -> None:
        """Open all three."""
        self.camera_dict = {serial: FakeZed(serial) for serial in SERIALS.values()}

    def disable_cameras(self) -> None:
        """Close them."""
        for camera in self.camera_dict.values():
            camera._closed.set()


class FakeRobotEnv:
    """RobotEnv's methods over a kinematic arm in the same process."""

    control_hz = 15
    reset_joints = HOME

    def __init__(self) -> None:
        """Connect without moving."""
        self.robot = FakeFranka()
        self.robot.is_launched = True
        self.camera_reader = CameraReader()
        self.threads: set[int] = set()

    def get_state(self) -> tuple[dict[str, object], dict[str, int]]:
        """Return the state, noting which thread asked."""
        self.threads.add(threading.get_ident())
        return self.robot.get_robot_state()

    def update_robot(
        self,
        action: Float[np.ndarray, " 8"],
        action_space: str = "cartesian_velocity",
        gripper_action_space: str | None = None,
        blocking: bool = False,
    ) -> dict[str, object]:
        """Execute one action."""
        self.threads.add(threading.get_ident())
        return self.robot.update_command(action.tolist(), action_space, gripper_action_space, blocking)

    def reset(self, randomize: bool = False) -> None:
        """Open the gripper and go home."""
        self.robot.update_gripper(0.0, velocity=False, blocking=True)
        self.robot.update_joints(self.reset_joints.tolist(), False, True, None)


def write_calibration(folder: Path) -> Path:
    """Write DROID's calibration file: left and wrist are calibrated, right is not."""
    made = {
        f"{SERIALS['left']}_left": {"pose": LEFT_POSE, "timestamp": time.time() - 7200.0},
        f"{SERIALS['wrist']}_left": {"pose": WRIST_POSE, "timestamp": time.time() - 60.0},
    }
    path = folder / "calibration_info.json"
    path.write_text(json.dumps(made))
    return path


def make() -> tuple[FakeRobotEnv, dict[str, object]]:
    """Return the environment and the facts a lab's parameters would give."""
    folder = Path(tempfile.mkdtemp(prefix="frs-fake-droid-"))
    facts: dict[str, object] = {
        "robot_type": "panda",
        "roles": dict(SERIALS),
        "hand": SERIALS["wrist"],
        "calibration_path": str(write_calibration(folder)),
    }
    env = FakeRobotEnv()
    weakref.finalize(env, shutil.rmtree, folder, ignore_errors=True)
    return env, facts
