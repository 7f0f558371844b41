"""The embedded world: deterministic, exactly restorable, limited, and its cameras tell the truth."""

import numpy as np
import pytest

from frs_core.errors import CameraStale, ConfigError, ShapeMismatch
from frs_core.robot import kinematics
from frs_core.robot.actions import ActionKind
from frs_core.worlds.guard import GuardedWorld
from frs_core.worlds.tabletop.layout import ANYWHERE, SHIFT, draw_layout, draw_scene
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.play import Player, draw_taste
from frs_core.worlds.tabletop.sim import WORKSPACE_HIGH, WORKSPACE_LOW, TabletopSim
from frs_core.worlds.tabletop.tasks import HELD_OUT, TASKS, TRAINED, find
from frs_core.worlds.tabletop.world import TabletopWorld

STILL = np.zeros(7)


@pytest.fixture(scope="module")
def world() -> TabletopWorld:
    return TabletopWorld()


def _random_actions(n: int, seed: int = 0) -> np.ndarray:
    actions = np.random.default_rng(seed).normal(0, 0.01, (n, 7))
    actions[:, 6] = (np.arange(n) // 10) % 2
    return actions


def test_there_are_enough_tasks_and_objects() -> None:
    assert len(MOVABLES) + len(RECEPTACLES) >= 8
    assert len(TRAINED) >= 12
    assert len(HELD_OUT) >= 6
    assert not set(TRAINED) & set(HELD_OUT)


def test_every_layout_keeps_things_apart_and_on_the_table() -> None:
    for name in TASKS:
        for seed in range(5):
            layout = draw_layout(find(name), np.random.default_rng(seed))
            radius = {
                **{m.name: m.radius for m in MOVABLES.values()},
                **{r.name: r.radius for r in RECEPTACLES.values()},
            }
            for i, a in enumerate(layout.placements):
                for b in layout.placements[i + 1 :]:
                    assert np.hypot(a.x - b.x, a.y - b.y) > radius[a.name] + radius[b.name]


def test_scenes_of_a_table_setting_differ_by_centimetres_and_settings_by_more() -> None:
    task = find("can_on_plate")
    scenes = [draw_scene(task, seed=seed, setting=0) for seed in range(6)]
    assert {tuple(p.name for p in s.placements) for s in scenes} == {tuple(p.name for p in scenes[0].placements)}
    at = np.array([[(p.x, p.y) for p in s.placements] for s in scenes])
    assert 0.01 < np.ptp(at, axis=0).max() <= 2 * SHIFT
    assert scenes[0] == draw_scene(task, seed=0, setting=0) != draw_scene(task, seed=0, setting=1)


def test_anywhere_draws_every_scene_afresh() -> None:
    task = find("can_on_plate")
    casts = {tuple(p.name for p in draw_scene(task, seed=seed, setting=ANYWHERE).placements) for seed in range(12)}
    assert len(casts) > 3


def test_same_seed_and_actions_give_the_same_state_bit_by_bit() -> None:
    states = []
    for _ in range(2):
        sim = TabletopSim()
        sim.reset("can_in_bowl", seed=5)
        for action in _random_actions(20):
            sim.step(action, ActionKind.EE_DELTA)
        states.append(sim.data.qpos.copy())

    assert np.array_equal(states[0], states[1])


def test_snapshot_restores_exactly_in_the_same_and_another_simulator() -> None:
    sim = TabletopSim()
    sim.reset("mug_on_plate", seed=3)
    actions = _random_actions(40)
    for action in actions[:15]:
        sim.step(action, ActionKind.EE_DELTA)
    snapshot = sim.snapshot()
    ends = []
    other = TabletopSim()
    for which in (sim, sim, other):
        which.restore(snapshot)
        for action in actions[15:]:
            which.step(action, ActionKind.EE_DELTA)
        ends.append((which.data.qpos.copy(), which.steps, which.gripper_command))

    assert all(np.array_equal(ends[0][0], e[0]) and ends[0][1:] == e[1:] for e in ends)


def test_a_foreign_snapshot_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigError, match="not a snapshot"):
        TabletopSim().restore(b"nonsense")


def test_the_commanded_tool_never_leaves_the_workspace() -> None:
    sim = TabletopSim()
    for seed in range(6):
        sim.reset("cup_on_plate", seed=seed)
        push = np.zeros(7)
        push[:3] = np.eye(3)[seed % 3] * (0.03 if seed < 3 else -0.03)
        clipped = [sim.step(push, ActionKind.EE_DELTA).clipped for _ in range(30)]

        assert np.all(sim.p_command >= WORKSPACE_LOW - 1e-9)
        assert np.all(sim.p_command <= WORKSPACE_HIGH + 1e-9)
        assert any(clipped)


@pytest.mark.parametrize("kind", [ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION])
def test_joint_actions_stay_in_the_workspace_and_in_joint_limits(kind: ActionKind) -> None:
    sim = TabletopSim()
    rng = np.random.default_rng(1)
    for seed in range(3):
        sim.reset("cup_on_plate", seed=seed)
        v = rng.uniform(-1, 1, 7)
        for _ in range(25):
            action = np.append(v if kind is ActionKind.JOINT_VELOCITY else sim.q + 0.3 * v, 0.0)
            sim.step(action, kind)
        p = sim.T_base_tcp[:3, 3]

        assert np.all(p > WORKSPACE_LOW - 0.03)
        assert np.all(p < WORKSPACE_HIGH + 0.03)


def test_bad_actions_are_refused_and_nothing_moves() -> None:
    sim = TabletopSim()
    before = sim.data.qpos.copy()
    with pytest.raises(ShapeMismatch, match=r"\(3,\)"):
        sim.step(np.zeros(3), ActionKind.EE_DELTA)
    with pytest.raises(ConfigError, match="non-finite"):
        sim.step(np.full(7, np.nan), ActionKind.EE_DELTA)

    assert np.array_equal(before, sim.data.qpos)


def test_an_executed_chunk_follows_its_path_within_a_few_millimetres() -> None:
    sim = TabletopSim()
    sim.reset("mug_on_plate", seed=1)
    start = sim.p_command
    action = np.array([0.0, -0.015, 0.004, 0, 0, 0, 0])
    for _ in range(8):
        sim.step(action, ActionKind.EE_DELTA)

    assert np.linalg.norm(sim.T_base_tcp[:3, 3] - (start + 8 * action[:3])) < 0.003


@pytest.mark.parametrize("task", ["mug_on_plate", "box_in_basket", "open_drawer", "close_drawer"])
def test_scripted_play_does_the_task_and_success_is_held_for_ten_steps(task: str) -> None:
    sim = TabletopSim()
    sim.reset(task, seed=42)
    player = Player(sim, find(task), draw_taste(np.random.default_rng(0)))
    while (action := player.act()) is not None and sim.steps < 200:
        sim.step(action, ActionKind.EE_DELTA)
    for _ in range(11):
        sim.step(STILL, ActionKind.EE_DELTA)

    assert sim.is_success


def test_nothing_succeeds_by_itself() -> None:
    sim = TabletopSim()
    for task in TASKS:
        sim.reset(task, seed=11)
        for _ in range(12):
            sim.step(STILL, ActionKind.EE_DELTA)

        assert not sim.is_success, task


def test_unknown_tasks_name_the_nearest(world: TabletopWorld) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mug_on_plate'"):
        world.reset(task="mug_on_plat")


def test_a_projected_point_lands_on_its_rendered_pixels(world: TabletopWorld) -> None:
    """Colour blobs: the mean of the red can's pixels is near where the calibration projects the can's middle."""
    world.reset(task="can_on_plate", seed=4)
    observation = world.observe()
    p = world.sim.object_pose("can")[0] + [0, 0, 0.045]
    for camera in ("left", "right"):
        frame = observation.frames[camera]
        image = frame.image.astype(int)
        is_red = (image[..., 0] > 90) & (image[..., 1] < 45) & (image[..., 2] < 45)
        assert is_red.sum() > 20
        rows, columns = np.nonzero(is_red)
        assert frame.calibration is not None
        uv, _ = frame.calibration.project(p)

        assert abs(uv[0] - columns.mean()) < 1.5
        assert rows.min() - 2 < uv[1] < rows.max() + 2


def test_a_camera_that_repeats_itself_while_the_arm_moves_is_found_out(world: TabletopWorld) -> None:
    world.reset(task="mug_on_plate", seed=0)
    world.observe()
    frozen = world._cameras._renderer.render().copy()

    class Frozen:
        def update_scene(self, *_: object) -> None:
            return

        def render(self) -> np.ndarray:
            return frozen

    def move_and_look() -> None:
        for _ in range(30):
            world.step(np.array([0.0, 0.02, 0, 0, 0, 0, 0]), ActionKind.EE_DELTA)
            world._cameras.render("left")

    renderer, world._cameras._renderer = world._cameras._renderer, Frozen()  # type: ignore[assignment]
    try:
        with pytest.raises(CameraStale, match="repeats one frame"):
            move_and_look()
    finally:
        world._cameras._renderer = renderer


@pytest.mark.parametrize("kind", list(ActionKind))
def test_hostile_commands_keep_to_the_box_and_the_joint_limits_by_braking_in_time(kind: ActionKind) -> None:
    world = TabletopWorld(cameras=())
    guard = GuardedWorld(world)
    sim, far, past = world.sim, 0.0, -1.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        guard.reset(task="mug_on_plate", seed=seed)
        for step in range(45):
            if step % 15 == 0:
                action = np.sign(rng.normal(size=kind.size)) * (3.0 if kind is ActionKind.JOINT_POSITION else 1e3)
            guard.step(action, kind)
            p = sim.T_base_tcp[:3, 3]
            far = max(far, float(np.maximum(WORKSPACE_LOW - p, p - WORKSPACE_HIGH).max()))
            past = max(past, float(np.maximum(kinematics.Q_LOW - sim.q, sim.q - kinematics.Q_HIGH).max()))
    assert far < 0.02
    assert past < 0.01


def test_a_policys_pace_is_never_braked() -> None:
    sim = TabletopSim(setting=0)
    sim.reset("mug_on_plate", seed=1)
    for step in range(40):
        push = 0.016 if (step // 10) % 2 == 0 else -0.016
        result = sim.step(np.array([0.0, push, 0.0, 0, 0, 0.05, 0.0]), ActionKind.EE_DELTA)
        assert not result.clipped, result.reason
