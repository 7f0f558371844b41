"""The drawn fan lies where the renderer puts the same points: within 1.5 pixels, on every camera."""

import numpy as np
import pytest

from app.views.fan_curves import FanStyle, project_fan
from frs_core.candidates.fan import build_fan
from tests.fakes.policy import ToyPolicy
from tests.fakes.snapshots import PLAN

pytestmark = pytest.mark.gl


def test_projected_path_ends_land_on_the_rendered_pixels() -> None:
    mujoco = pytest.importorskip("mujoco")
    from frs_core.worlds.tabletop import TabletopWorld

    world, policy = TabletopWorld(), ToyPolicy()
    try:
        observation = world.reset(task="mug_on_plate", seed=3)
        fan = build_fan(policy, policy.encode(observation), observation, plan=PLAN)
        renderer, data = world._cameras._renderer, world.sim.data
        checked = 0
        for camera, frame in observation.frames.items():
            assert frame.calibration is not None
            renderer.update_scene(data, camera)
            plain = renderer.render().astype(int)
            height, width = plain.shape[:2]
            for curve in project_fan(fan, frame.calibration, style=FanStyle(), cap_of=lambda c: ""):
                point, uv = curve.candidate.path[curve.executed - 1], curve.uv[curve.executed - 1]
                if not (8 < uv[0] < width - 8 and 8 < uv[1] < height - 8):
                    continue
                renderer.update_scene(data, camera)
                scene = renderer.scene
                mujoco.mjv_initGeom(
                    scene.geoms[scene.ngeom],
                    mujoco.mjtGeom.mjGEOM_SPHERE,
                    np.full(3, 0.006),
                    np.asarray(point, dtype=float),
                    np.eye(3).ravel(),
                    np.array([1.0, 0.0, 1.0, 1.0], dtype=np.float32),
                )
                scene.geoms[scene.ngeom].emission = 1.0
                scene.ngeom += 1
                marked = renderer.render().astype(int)
                change = np.abs(marked - plain).sum(axis=2).astype(float)
                # Its shadow changes pixels too, and weakly; what is magenta is the marker itself.
                is_marker = (
                    (marked[..., 0] - marked[..., 1] > 100) & (marked[..., 2] - marked[..., 1] > 100) & (change > 60)
                )
                if is_marker.sum() < 5:
                    continue
                v, u = np.nonzero(is_marker)
                assert np.hypot(u.mean() - uv[0], v.mean() - uv[1]) < 1.5, (camera, curve.candidate.label)
                checked += 1
        assert checked >= 12
    finally:
        world.close()
