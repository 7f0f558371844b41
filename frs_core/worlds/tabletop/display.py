"""Pictures of the tabletop at the size they are shown, antialiased, apart from the images that policies get.

Problem: software rendering of three large antialiased pictures takes longer than a control period. Idea: while things move, only the
largest camera is rendered, as large as the time left of the period allows, which is measured; once they stand still, every camera is
rendered once at full size, as many per call as fit, and kept. A renderer of its own leaves the policy's images as they are, to the last bit.

Example: 480 x 480 pixels take 24 ms of processor time on one x86 core of 2.3 GHz in Mesa's llvmpipe, 960 x 960 take 60, the policy's
224 x 224 without antialiasing 5. One thread, the world's.
"""

import math
import time
from collections.abc import Callable, Mapping

import mujoco
import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.worlds.tabletop.scene import CAMERA_SIZE

SIDE = 960
"""Largest side, pixels; a larger view is shown enlarged."""
SAMPLES = 4
"""Samples per pixel; llvmpipe has no more."""
STILL_S = 0.1
"""Longest rendering in one call while nothing moves, of one picture or several; 1.5 control periods."""
WORTH = 1.2
"""A picture with fewer than this many pixels per side of the policy's image is not worth its time."""
AGAIN = 12
"""Calls after which a picture that was smaller than its view, or was left out, is tried again: the machine may be less busy."""
_PIXEL_S = 6e-8
"""First guess of the time per pixel: 20 ms of two cores for 580 x 580."""


class Display:
    """Renders display pictures of one simulation. Owned by the thread that made it.

    Args:
        model: shared with the world.
        data: the same.
        still_here: called before and after what takes long.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, *, still_here: Callable[[], None]) -> None:
        self._data, self._still_here = data, still_here
        still_here()
        self._renderer = _Renderer(model)
        still_here()
        self._sizes: dict[str, int] = {}
        """Side by camera, the largest first."""
        self._seen: tuple[float, bytes] | None = None
        """Time and positions that `_kept` shows."""
        self._kept: dict[str, UInt8[Array, "s s 3"]] = {}
        self._pixel_s = _PIXEL_S
        """Measured time per pixel, seconds."""
        self._waited = 0
        """Calls since something was rendered."""

    def use_sizes(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Render these cameras at these sizes from the next call on.

        Args:
            sizes: (height, width) by camera, pixels; images are square, and at most `SIDE`.
        """
        sides = {name: min(*size, SIDE) for name, size in sizes.items()}
        wanted = {name: side for name, side in sides.items() if side > CAMERA_SIZE[0]}
        self._sizes = dict(sorted(wanted.items(), key=lambda item: -item[1]))
        self._kept.clear()

    def pictures(self, left_s: float) -> dict[str, UInt8[Array, "s s 3"]]:
        """Return pictures of the present state by camera; of some cameras, or none, if time is short.

        Args:
            left_s: time for it while things move, seconds.
        """
        self._waited += 1
        seen = (float(self._data.time), self._data.qpos.tobytes())
        is_moving = seen != self._seen
        if is_moving:
            self._seen = seen
            self._kept.clear()
        left_s = left_s if is_moving else STILL_S
        for name, wanted in list(self._sizes.items())[: 1 if is_moving else None]:
            kept = len(self._kept.get(name, ()))
            side = min(wanted, math.floor(math.sqrt(max(left_s, 0.0) / self._pixel_s)))
            is_trial = side < min(wanted, WORTH * CAMERA_SIZE[0])
            is_better = (side == wanted or side > 1.25 * kept) and not is_trial
            if kept == wanted or not (is_better or self._waited >= AGAIN):
                continue
            picture, taken_s = self._timed(name, max(side, min(wanted, math.ceil(WORTH * CAMERA_SIZE[0]))))
            left_s -= taken_s
            # While things move, one sharp picture among many that are not would be a flicker.
            if not (is_moving and is_trial and left_s < 0):
                self._kept[name] = picture
            if left_s < 0:
                break
        return dict(self._kept)

    def _timed(self, name: str, side: int) -> tuple[UInt8[Array, "s s 3"], float]:
        """Return a picture and the seconds it took, which count for the next one."""
        began = time.monotonic()
        picture = self._renderer.render(self._data, name, side)
        taken_s = time.monotonic() - began
        self._still_here()
        self._waited = 0
        # One slow picture is not yet a slow machine: half of it counts.
        self._pixel_s = (self._pixel_s + taken_s / side**2) / 2
        return picture, taken_s

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()


class _Renderer:
    """An antialiased frame buffer in which pictures of any size up to `SIDE` are rendered: MuJoCo's own `Renderer` has one size."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._gl = mujoco.GLContext(SIDE, SIDE)
        self._gl.make_current()
        visual = model.vis
        former = (visual.quality.offsamples, visual.global_.offwidth, visual.global_.offheight)
        visual.quality.offsamples, visual.global_.offwidth, visual.global_.offheight = SAMPLES, SIDE, SIDE
        try:
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
        finally:
            # The model is shared with the policy's renderer, which may be made after this one.
            visual.quality.offsamples, visual.global_.offwidth, visual.global_.offheight = former
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=10000)
        self._options = mujoco.MjvOption()

    def render(self, data: mujoco.MjData, camera: str, side: int) -> UInt8[Array, "s s 3"]:
        """Return an RGB picture of a fixed camera."""
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self._model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._options, None, view, everything, self._scene)
        area, picture = mujoco.MjrRect(0, 0, side, side), np.empty((side, side, 3), dtype=np.uint8)
        self._gl.make_current()
        mujoco.mjr_render(area, self._scene, self._context)
        mujoco.mjr_readPixels(picture, None, area, self._context)
        # OpenGL's first row is the lowest.
        return np.ascontiguousarray(picture[::-1])

    def close(self) -> None:
        """Free context and buffers, which belong to it."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()
