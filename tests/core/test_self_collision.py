"""Contact between links: the capsules hold the arm, agree with MuJoCo's distances between its meshes, and what warns is rare."""

from dataclasses import replace

import numpy as np
import pytest

from app.views.meshes import read_stl
from frs_core import paths
from frs_core.arrays import Array
from frs_core.robot import kinematics, self_collision
from frs_core.robot.actions import ActionKind, ActionSpace, ee_delta_space, joint_space
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.robot.safety import check_chunks, preview
from frs_core.worlds.tabletop.sim import TabletopSim
from frs_core.worlds.tabletop.world import TabletopWorld

HOME = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, 0.0])
"""DROID's."""
T_TOOL = np.eye(4)
T_TOOL[:3, :3] = [[np.sqrt(0.5), np.sqrt(0.5), 0], [-np.sqrt(0.5), np.sqrt(0.5), 0], [0, 0, 1]]
T_TOOL[2, 3] = kinematics.HAND_TCP_OFFSET
LINKS = {**self_collision.LOWER, **self_collision.UPPER}


@pytest.mark.parametrize("link", LINKS)
def test_capsules_hold_every_vertex_of_their_link(link: int) -> None:
    files = (paths.assets() / "panda").glob(f"link{link}_*.stl")
    vertices = np.unique(np.concatenate([read_stl(f).reshape(-1, 3) for f in files]), axis=0)
    distances = []
    for *ends, radius in LINKS[link]:
        start, end = np.array(ends)
        along = np.clip((vertices - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
        distances.append(np.linalg.norm(vertices - start - along[:, None] * (end - start), axis=1) - radius)

    assert np.min(distances, axis=0).max() < -0.001


def test_links_that_are_not_looked_at_cannot_touch_within_the_joints_limits() -> None:
    q = np.random.default_rng(0).uniform(kinematics.Q_LOW, kinematics.Q_HIGH, (2000, 7))
    ends = {
        link: self_collision._placed({link: segments}, kinematics.link_poses(q)) for link, segments in LINKS.items()
    }
    for lower in self_collision.LOWER:
        for other in self_collision.LOWER:
            if other > lower + 1:
                assert self_collision._between(ends[lower], ends[other]).min() > 0.14


def test_it_agrees_with_distances_between_the_meshes() -> None:
    import mujoco  # Once the worlds have said how it renders.

    sim = TabletopSim(setting=0)
    model, data = sim.model, sim.data
    geoms: dict[str, list[int]] = {}
    for i in range(model.ngeom):
        if model.geom_type[i] == mujoco.mjtGeom.mjGEOM_MESH:
            geoms.setdefault(model.body(model.geom_bodyid[i]).name, []).append(i)
    upper = [*geoms["link5"], *geoms["link6"], *geoms["link7"], *geoms["hand"]]
    lower = [*geoms["link0"], *geoms["link1"], *geoms["link2"]]
    joints = [model.joint(f"joint{i}").qposadr[0] for i in range(1, 8)]
    rng = np.random.default_rng(1)
    poses = rng.uniform(kinematics.Q_LOW, kinematics.Q_HIGH, (20_000, 7))
    ours = self_collision.clearance(poses, T_TOOL)
    near = np.flatnonzero((ours > -0.03) & (ours < 0.08))[:80]
    theirs = []
    for q in poses[near]:
        data.qpos[joints] = q
        mujoco.mj_kinematics(model, data)
        theirs.append(min(mujoco.mj_geomDistance(model, data, a, b, 0.4, None) for a in lower for b in upper))
    gap = np.array(theirs) - ours[near]

    assert len(near) == 80
    # Never farther than it is, but for the hull of the hand's bar and of bent links; nearer by what round ends add.
    assert np.median(gap) < 0.04
    assert gap.max() < 0.09
    assert (gap > -0.02).mean() > 0.9


def test_distance_of_segments_against_a_fine_grid() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(40, 3, 2, 3)), rng.normal(size=(40, 2, 2, 3))
    a[:5, 0, 1] = a[:5, 0, 0]  # Without length.
    b[5:10, 1, 1] = b[5:10, 1, 0] + (a[5:10, 1, 1] - a[5:10, 1, 0])  # Parallel.
    t = np.linspace(0, 1, 201)[:, None]
    on_a = a[..., None, 0, :] + t * (a[..., None, 1, :] - a[..., None, 0, :])
    on_b = b[..., None, 0, :] + t * (b[..., None, 1, :] - b[..., None, 0, :])
    for i in range(3):
        for j in range(2):
            grid = np.linalg.norm(on_a[:, i, :, None] - on_b[:, j, None], axis=-1).min(axis=(1, 2))
            np.testing.assert_allclose(self_collision._between(a, b)[:, i, j], grid, atol=0.02)


def _at(q: Array) -> Observation:
    T_base_tcp = kinematics.flange_pose(q) @ T_TOOL
    return replace(TabletopWorld().state(), q=q, T_base_tcp=T_base_tcp)


LIMITS = Limits(np.array([-1.0, -1, -1]), np.ones(3), kinematics.Q_LOW, kinematics.Q_HIGH, knows_links=True)


def _warnings(q: Array, chunk: Array, space: ActionSpace, limits: Limits = LIMITS) -> tuple[str, ...]:
    seen = _at(q)
    path = preview(chunk[None], space, observation=seen, limits=limits).paths
    return check_chunks(chunk[None], path, space, observation=seen, limits=limits, rows=8)[0].warnings


def test_a_hand_that_is_pulled_into_the_shoulder_is_warned_of_and_one_that_comes_out_is_not() -> None:
    space = ee_delta_space(translation=0.05, rotation=0.25, control_hz=15.0)
    back = np.zeros((16, 7))
    back[:8, 0] = -0.04

    assert any(w.startswith("The arm hits itself in row") for w in _warnings(HOME, back, space))
    assert not _warnings(HOME, -back, space)
    assert not any("itself" in w for w in _warnings(HOME, back, space, replace(LIMITS, knows_links=False)))


def test_an_elbow_or_wrist_that_meets_the_table_is_a_hit_though_the_tool_is_not() -> None:
    # Stretched out with the hand turned up: the wrist is lowest.
    q = np.array([0.0, 1.2, 0.0, -1.0, 0.0, 3.4, 0.0])
    seen, limits = _at(q), replace(LIMITS, table_height=self_collision.lowest(_at(q).q) - 0.03)
    assert seen.p_tcp[2] > limits.table_height + 0.1
    space = joint_space(ActionKind.JOINT_VELOCITY)
    down = np.zeros((16, 8))
    down[:, 1] = 0.1

    assert any(w.startswith("Hits the table") for w in _warnings(q, down, space, limits))


def test_nothing_is_warned_of_where_the_arm_works() -> None:
    world, rng = TabletopWorld(setting=-1), np.random.default_rng(3)
    space = ee_delta_space(translation=0.018, rotation=0.08, control_hz=15.0)
    said = []
    for seed in range(30):
        world.sim.reset("mug_on_plate", seed=seed)
        seen = world.state()
        chunk = np.zeros((1, 16, 7))
        chunk[0, :, :3] = rng.uniform(-0.018, 0.018, 3)
        limits = replace(LIMITS, table_height=None)
        path = preview(chunk, space, observation=seen, limits=limits).paths
        said += check_chunks(chunk, path, space, observation=seen, limits=limits, rows=8)[0].warnings
    assert not [w for w in said if "itself" in w]
    assert ActionKind.EE_DELTA is space.kind
