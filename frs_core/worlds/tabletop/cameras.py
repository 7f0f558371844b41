"""The tabletop's three cameras: images by MuJoCo's renderer, exact calibrations.

MuJoCo's EGL back end, which the package chooses, sets PYOPENGL_PLATFORM: one more reason why a world lives in its own process.
"""

import os
import time

import mujoco
import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.errors import CameraStale, WorldError
from frs_core.robot.observation import Calibration, CameraFrame
from frs_core.worlds.tabletop.scene import CAMERA_SIZE, CAMERAS

_FLIP = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's camera looks along -z with y up; OpenCV's along +z with y down."""


class Cameras:
    """Renders all cameras of one simulation. Owned by the thread that made it."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, *, size: tuple[int, int] = CAMERA_SIZE) -> None:
        self._model, self._data, self._size = model, data, size
        try:
            self._renderer = mujoco.Renderer(model, *size)
        except Exception as error:  # the GL back ends raise many types
            raise WorldError(
                f"No off-screen rendering with MUJOCO_GL={os.environ['MUJOCO_GL']}: {error}. "
                f"Install libegl1 and libgl1-mesa-dri, or libosmesa6 and set MUJOCO_GL=osmesa."
            ) from error
        self._last: dict[str, tuple[bytes, Array]] = {}

    def render(self, camera: str) -> UInt8[Array, "H W 3"]:
        """Return a fresh RGB image.

        Raises:
            CameraStale: the image did not change although the arm moved.
        """
        self._renderer.update_scene(self._data, camera)
        image = self._renderer.render()
        self._check_alive(camera, image)
        return image

    def _check_alive(self, camera: str, image: Array) -> None:
        """Guard against a dead context that returns one image for ever: a tool that moves in view must change the image."""
        tool = self._data.site("tcp").xpos.copy()
        fingerprint = image.tobytes()
        last = self._last.get(camera)
        if last is not None and last[0] == fingerprint:
            uv, is_front = self.calibration(camera).project(np.stack([tool, last[1]]))
            is_seen = is_front.all() and np.all((uv > 0) & (uv < np.array(self._size)[::-1]))
            if is_seen and np.linalg.norm(tool - last[1]) > 0.05:
                raise CameraStale(
                    f"Camera '{camera}' repeats one frame while the arm moves in view. The GL context is lost; restart the world."
                )
            return
        self._last[camera] = (fingerprint, tool)

    def calibration(self, camera: str) -> Calibration:
        """Return the exact pinhole model; the wrist camera's pose follows the hand."""
        height, width = self._size
        camera_id = self._model.camera(camera).id
        focal = 0.5 * height / np.tan(0.5 * np.radians(self._model.cam_fovy[camera_id]))
        K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
        T = np.eye(4)
        T[:3, :3] = self._data.cam_xmat[camera_id].reshape(3, 3) @ _FLIP
        T[:3, 3] = self._data.cam_xpos[camera_id]
        return Calibration(K, T, width, height)

    def frames(self, names: tuple[str, ...] = CAMERAS) -> dict[str, CameraFrame]:
        """Return a frame of each camera."""
        return {n: CameraFrame(self.render(n), time.monotonic_ns(), self.calibration(n)) for n in names}

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()
