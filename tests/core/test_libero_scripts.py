"""LIBERO's scripts without LIBERO: what they read of a scene, where they grasp, what they say, and a demonstration in the stand-in."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.cli import main
from frs_core.commands.eval import collect
from frs_core.episodes import EpisodeStore
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.rollout import MethodRunner, RolloutSettings
from frs_core.evaluation.setup import SetupSpec, open_setup
from frs_core.evaluation.survey import read_attempts, successes, survey
from frs_core.policies import NamedPolicy
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from frs_core.worlds.guard import GuardedWorld
from frs_core.worlds.libero.arm import downward
from frs_core.worlds.libero.demonstrator import LiberoDemonstrator, demonstrator
from frs_core.worlds.libero.fixtures import handle_of
from frs_core.worlds.libero.geometry import Goal, Scene, scene_facts
from frs_core.worlds.libero.grasps import OUTSIDE, grasps, lowest_height, surface_points
from frs_core.worlds.libero.operator import LiberoOperator
from frs_core.worlds.libero.order import in_order, next_goal
from frs_core.worlds.libero.places import target, turn_to_fit
from frs_core.worlds.libero.world import LiberoWorld
from tests.fakes import libero_worker as fake
from tests.fakes.pi05 import HORIZON, make_checkpoint

EE = ActionKind.EE_DELTA
OPTIONS = {"python": sys.executable, "script": fake.__file__}


@pytest.fixture(scope="module")
def shared() -> Iterator[LiberoWorld]:
    made = LiberoWorld(**OPTIONS, images=False)
    yield made
    made.close()


@pytest.fixture
def libero(shared: LiberoWorld) -> LiberoWorld:
    shared.reset(task="libero_object/0", seed=50)
    return shared


# --- a scene made by hand: a bowl of four walls, a plate, a cabinet with a drawer that opens towards +y, a knob ----------


def scene_of(
    *goals: list[str],
    met: tuple[bool, ...] = (),
    held: tuple[str, ...] = (),
    bowl: tuple[float, float, float] = (0.4, 0.0, 0.0),
    drawer: float = 0.0,
) -> Scene:
    eye = np.eye(3).ravel()
    around = [([s * 0.05, 0, 0.025], [0.003, 0.05, 0.025]) for s in (-1, 1)]
    around += [([0, s * 0.05, 0.025], [0.05, 0.003, 0.025]) for s in (-1, 1)]
    boxes = [[0, 0, *c, *eye, *h] for c, h in [*around, ([0, 0, 0.003], [0.05, 0.05, 0.003])]]
    boxes.append([1, 1, 0, 0, 0.005, *eye, 0.07, 0.07, 0.005])
    boxes.append([2, 2, 0, -0.1, 0.1, *eye, 0.1, 0.1, 0.1])
    boxes += [[3, 2, 0, 0.01, 0.15, *eye, 0.09, 0.005, 0.03], [3, 2, 0, 0.035, 0.15, *eye, 0.04, 0.008, 0.008]]
    boxes.append([4, 3, 0, 0, 0.02, *eye, 0.035, 0.012, 0.02])
    header: dict[str, Any] = {
        "goals": list(goals),
        "things": [
            ["bowl_1", "bowl", False],
            ["plate_1", "plate", False],
            ["cabinet_1", "c", True],
            ["stove_1", "s", True],
        ],
        "roots": [0, 1, 2, 4],
        "joints": [["cabinet_1_top_level", "cabinet_1"], ["stove_1_button", "stove_1"]],
        "sites": [["cabinet_1_top_region", "cabinet_1", ["cabinet_1_top_level"]], ["table_spot", "", []]],
    }
    arrays = {
        "boxes": np.array(boxes, dtype=np.float64),
        # The drawer's axis points into the cabinet: it opens towards negative positions.
        "joints": np.array([[3, 0, -1, 0, 0, 0, 0, -0.16, 0.01], [4, 0, 0, 1, 0, 0, 0, -0.005, 2.1]]),
        "sites": np.array([[0.08, 0.05, 0.03], [0.05, 0.05, 0.007]]),
    }
    places = np.array([bowl, (0.4, 0.2, 0.0), (0.5, -0.2, 0.0), (0.5, -0.2 - drawer, 0.0), (0.2, -0.2, 0.0)])
    spots = np.array([(0.5, -0.25 - drawer, 0.15), (0.3, 0.1, 0.0)])
    poses = {
        "met": list(met or [False] * len(goals)),
        "held": list(held),
        "bodies": np.concatenate([places, np.tile(eye, (5, 1))], axis=1),
        "sites": np.concatenate([spots, np.tile(eye, (2, 1))], axis=1),
        "joints": np.array([drawer, 0.0]),
    }
    return Scene(scene_facts(header, arrays), poses, np.eye(4))


class Stage:
    """A scene and a hand, for scripts that read a world."""

    def __init__(self, scene: Scene, tool: tuple[float, float, float], *, gripper: float = 0.0) -> None:
        self._scene, self.tool, self._gripper = scene, np.array(tool), gripper

    def geometry(self) -> Scene:
        return self._scene

    def state(self) -> Observation:
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = downward(), self.tool
        return Observation(
            frames={},
            q=np.zeros(7),
            dq=np.zeros(7),
            gripper=self._gripper,
            T_base_tcp=T,
            instruction="",
            captured_ns=0,
            step=0,
            gripper_command=self._gripper,
            success=False,
        )


ON_PLATE = ["on", "bowl_1", "plate_1"]
IN_DRAWER = ["in", "bowl_1", "cabinet_1_top_region"]


# --- geometry and order ---------------------------------------------------------------------------------------------------


def test_the_worlds_geometry_is_in_the_base_frame_and_follows_what_moves(libero: LiberoWorld) -> None:
    scene = libero.geometry()
    assert scene.goals == (Goal("in", "can_1", "basket_1_inside"),)
    low, high = scene.bounds("can_1")
    np.testing.assert_allclose(high - low, 2 * fake.CAN, atol=1e-9)
    assert scene.table_height == pytest.approx(fake.TABLE - fake.BASE[2])
    assert libero.geometry() is scene
    libero.step(np.zeros(7), EE)
    assert libero.geometry() is not scene
    np.testing.assert_allclose(scene.regions["basket_1_inside"].centre, scene.pose("basket_1")[:3, 3])


def test_another_scene_has_other_geometry(libero: LiberoWorld) -> None:
    before = libero.geometry().pose("can_1")
    saved = libero.snapshot()
    libero.reset(seed=51)
    assert not np.allclose(libero.geometry().pose("can_1"), before)
    libero.restore(saved)
    np.testing.assert_array_equal(libero.geometry().pose("can_1"), before)


def test_a_drawers_joint_is_its_regions_and_opens_away_from_the_cabinet() -> None:
    scene = scene_of(ON_PLATE, drawer=-0.1)
    joint = scene.joint_of("cabinet_1_top_region")
    assert joint is not None
    assert joint.far == -0.16
    np.testing.assert_array_equal(joint.opening, [0.0, 1.0, 0.0])
    assert scene.joint_of("stove_1") == scene.joints["stove_1_button"]
    assert scene.joint_of("table_spot") is None
    np.testing.assert_allclose(handle_of(scene, joint), [0.5, -0.065, 0.15])


def test_a_drawer_is_opened_before_it_is_filled_and_closed_after() -> None:
    shut = ["close", "cabinet_1_top_region"]
    scene = scene_of(shut, IN_DRAWER)
    order = in_order(scene)
    assert [goal.relation for goal in order] == ["open", "in", "close"]
    assert next_goal(scene, order) == Goal("open", "cabinet_1_top_region")
    opened = scene_of(shut, IN_DRAWER, drawer=-0.15)
    assert next_goal(opened, order) == Goal.of(IN_DRAWER)
    filled = scene_of(shut, IN_DRAWER, drawer=-0.15, met=(False, True))
    assert next_goal(filled, order) == Goal.of(shut)
    assert next_goal(scene_of(shut, IN_DRAWER, met=(True, True)), order) is None


def test_what_others_are_put_on_is_placed_first() -> None:
    scene = scene_of(["on", "bowl_1", "plate_1"], ["on", "plate_1", "table_spot"])
    assert [goal.thing for goal in in_order(scene)] == ["plate_1", "bowl_1"]


def test_a_bowl_where_the_drawer_will_be_is_put_aside_first() -> None:
    scene = scene_of(IN_DRAWER, bowl=(0.5, -0.05, 0.0))
    script = LiberoDemonstrator(Stage(scene, (0.45, 0.0, 0.26)))
    assert script.act() is not None
    assert script.doing == "put bowl_1 aside"
    beside = LiberoDemonstrator(Stage(scene_of(IN_DRAWER, bowl=(0.3, 0.2, 0.0)), (0.45, 0.0, 0.26)))
    assert beside.act() is not None
    assert beside.doing == "open cabinet_1_top_region"


# --- grasps and places ----------------------------------------------------------------------------------------------------


def of(scene: Scene, name: str) -> tuple[Array, Array]:
    return surface_points(*scene.boxes(of=(name,))), surface_points(*scene.boxes(but=(name,)))


def test_a_bowl_is_taken_by_its_rim_and_a_box_across() -> None:
    scene = scene_of(ON_PLATE)
    best = grasps(*of(scene, "bowl_1"), floor=0.0)[0]
    assert np.abs(best.point[:2] - [0.4, 0.0]).max() == pytest.approx(0.05, abs=0.012)
    assert best.width < 0.02
    can = surface_points(np.eye(4)[None], np.array([[0.03, 0.03, 0.05]]))
    across = grasps(can, np.empty((0, 3)), floor=-0.05)[0]
    np.testing.assert_allclose(across.point[:2], 0.0, atol=0.008)
    assert across.yaw == 0.0


def test_a_neighbour_turns_the_hand_and_a_thing_too_wide_has_no_grasp() -> None:
    can = surface_points(np.eye(4)[None], np.array([[0.03, 0.03, 0.05]]))
    beside = np.eye(4)
    beside[1, 3] = 0.06
    wall = surface_points(beside[None], np.array([[0.1, 0.01, 0.1]]))
    for grasp in grasps(can, wall, floor=-0.05):
        assert abs(grasp.yaw) > 0.5
    wide = surface_points(np.eye(4)[None], np.array([[0.05, 0.05, 0.05]]))
    assert grasps(wide, np.empty((0, 3)), floor=-0.05) == []


def test_a_thing_is_lowered_until_its_underside_meets_what_is_below() -> None:
    scene = scene_of(ON_PLATE)
    ring = surface_points(np.eye(4)[None], np.array([[0.02, 0.02, 0.01]]))
    _, others = of(scene, "bowl_1")
    assert lowest_height(ring, others, np.array([0.4, 0.2]), floor=0.0) == pytest.approx(0.02, abs=1e-6)
    assert lowest_height(ring, others, np.array([0.8, 0.8]), floor=-0.1) == pytest.approx(-0.09, abs=1e-6)


def test_a_place_is_where_libero_judges_origins() -> None:
    np.testing.assert_allclose(target(scene_of(ON_PLATE), Goal.of(ON_PLATE)), [0.4, 0.2])
    opened = scene_of(IN_DRAWER, drawer=-0.15)
    np.testing.assert_allclose(target(opened, Goal.of(IN_DRAWER)), [0.5, -0.1], atol=1e-9)
    assert turn_to_fit(opened, Goal.of(ON_PLATE)) == 0.0


# --- the operator ---------------------------------------------------------------------------------------------------------


def said(scene: Scene, tool: tuple[float, float, float], *, gripper: float = 0.0) -> Command | None:
    return LiberoOperator(Stage(scene, tool, gripper=gripper)).say()[0]


def rim(scene: Scene) -> Array:
    """Where the bowl is best taken, and on the other side as well."""
    return grasps(*of(scene, "bowl_1"), floor=0.0, yaws=(0.0,))[0].point


def test_it_goes_to_the_thing_the_larger_distance_first_and_more_from_afar() -> None:
    scene = scene_of(ON_PLATE)
    spot = rim(scene)
    assert said(scene, (spot[0], 0.25, 0.3)) == Command(Direction.RIGHT, Amount.MORE)
    assert said(scene, (spot[0] - 0.08, spot[1], 0.3)) == Command(Direction.FORWARD, Amount.LESS)
    # Low and far: up first, so that nothing is pushed over.
    low = said(scene, (spot[0] - 0.2, spot[1], 0.01))
    assert low is not None
    assert low.direction is Direction.UP
    assert said(scene, (spot[0], spot[1], spot[2] + 0.3)) == Command(Direction.DOWN, Amount.MORE)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_of_the_places_that_are_as_good_it_goes_to_the_nearest(side: float) -> None:
    scene = scene_of(ON_PLATE)
    x, y, z = rim(scene)
    assert said(scene, (x, side * abs(y), z + 0.3)) == Command(Direction.DOWN, Amount.MORE)
    outwards = Direction.LEFT if side > 0 else Direction.RIGHT
    assert said(scene, (x, 0.012 * side, z + 0.3)) == Command(outwards, Amount.LESS)


def test_over_the_thing_the_policy_has_two_turns_then_the_operator_takes_it() -> None:
    scene = scene_of(ON_PLATE)
    x, y, z = rim(scene)
    above = LiberoOperator(Stage(scene, (x, y, z + 0.06)))
    lower = Command(Direction.DOWN, Amount.LESS)
    assert [above.say()[0] for _ in range(4)] == [None, lower, None, lower]
    assert above.say()[0] is not None
    there = LiberoOperator(Stage(scene, (x, y, z)))
    close = Command(None, gripper=Gripper.CLOSE)
    assert [there.say()[0] for _ in range(4)] == [None, close, None, close]


def test_it_lifts_closed_fingers_before_it_judges_a_grasp_as_missed() -> None:
    scene = scene_of(ON_PLATE)
    closed = LiberoOperator(Stage(scene, tuple(rim(scene)), gripper=1.0))
    lift, let_go = Command(Direction.UP, Amount.LESS, Gripper.CLOSE), Command(None, gripper=Gripper.OPEN)
    assert [closed.say()[0] for _ in range(3)] == [lift, let_go, lift]


def test_it_says_more_where_less_had_no_effect() -> None:
    scene = scene_of(ON_PLATE)
    x, y, z = rim(scene)
    stage = Stage(scene, (x - 0.08, y, z + 0.3))
    operator = LiberoOperator(stage)
    less, more = Command(Direction.FORWARD, Amount.LESS), Command(Direction.FORWARD, Amount.MORE)
    assert [operator.say()[0] for _ in range(2)] == [less, more]
    operator.begin(stage.state())
    assert operator.say()[0] == less
    stage.tool = np.array([x - 0.06, y, z + 0.3])
    assert operator.say()[0] == less


def test_a_held_thing_is_carried_with_closed_fingers_and_let_go_over_its_place() -> None:
    held = {"held": ("bowl_1",)}
    low = scene_of(ON_PLATE, **held)
    assert said(low, (0.4, 0.05, 0.04), gripper=1.0) == Command(Direction.UP, Amount.LESS, Gripper.CLOSE)
    high = scene_of(ON_PLATE, **held, bowl=(0.4, 0.0, 0.12))
    assert said(high, (0.4, 0.05, 0.16), gripper=1.0) == Command(Direction.LEFT, Amount.MORE, Gripper.CLOSE)
    there = scene_of(ON_PLATE, **held, bowl=(0.4, 0.2, 0.12))
    assert said(there, (0.4, 0.25, 0.16), gripper=1.0) == Command(Direction.DOWN, Amount.LESS, Gripper.CLOSE)
    close = scene_of(ON_PLATE, **held, bowl=(0.4, 0.2, 0.02))
    assert said(close, (0.4, 0.25, 0.06), gripper=1.0) == Command(None, gripper=Gripper.OPEN)


def test_another_thing_in_the_hand_is_let_go_and_a_met_task_is_left() -> None:
    wrong = scene_of(ON_PLATE, held=("plate_1",))
    assert said(wrong, (0.4, 0.2, 0.03), gripper=1.0) == Command(None, gripper=Gripper.OPEN)
    assert said(scene_of(ON_PLATE, met=(True,)), (0.4, 0.2, 0.03)) == Command(Direction.UP, Amount.LESS, Gripper.OPEN)


def test_a_drawer_is_pulled_when_gripped_and_pushed_from_the_front() -> None:
    opening = scene_of(["open", "cabinet_1_top_region"])
    handle_y = -0.2 + 0.035
    assert said(opening, (0.5, handle_y + OUTSIDE + 0.02, 0.16)) is None
    gripped = scene_of(["open", "cabinet_1_top_region"], held=("cabinet_1",))
    assert said(gripped, (0.5, handle_y, 0.15), gripper=1.0) == Command(Direction.LEFT, Amount.MORE, Gripper.CLOSE)
    closing = scene_of(["close", "cabinet_1_top_region"], drawer=-0.15)
    front = (0.5, handle_y + 0.15 + 0.07, 0.15)
    assert said(closing, front) == Command(Direction.RIGHT, Amount.MORE, Gripper.CLOSE)


def test_over_a_knob_the_policy_acts() -> None:
    scene = scene_of(["turnon", "stove_1"])
    assert said(scene, (0.2, -0.2, 0.1)) is None
    assert said(scene, (0.2, 0.1, 0.2)) == Command(Direction.RIGHT, Amount.MORE)


# --- in the stand-in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [50, 51, 52])
def test_the_demonstrator_puts_the_can_into_the_basket(libero: LiberoWorld, seed: int) -> None:
    guard = GuardedWorld(libero)
    guard.reset(task="libero_object/0", seed=seed)
    script = demonstrator(libero, "libero_object/0", seed)
    for _ in range(script.longest):
        action = script.act()
        if action is None or guard.state().success:
            break
        assert not guard.step(action, EE).clipped
    assert libero.geometry().met == (True,)
    assert guard.state().success


def test_a_survey_goes_on_where_it_stopped_and_counts_by_task(libero: LiberoWorld, tmp_path: Path) -> None:
    out, told = tmp_path / "survey.jsonl", []
    survey(libero, ["libero_object/0"], range(50, 52), out, on_attempt=told.append)
    again = survey(libero, ["libero_object/0", "libero_goal/1"], range(50, 53), out, on_attempt=told.append)
    assert [(a.task, a.seed) for a in told] == [
        ("libero_object/0", 50),
        ("libero_object/0", 51),
        ("libero_object/0", 52),
        *(("libero_goal/1", seed) for seed in (50, 51, 52)),
    ]
    assert read_attempts(out) == told
    assert successes(again) == {"libero_object/0": (3, 3), "libero_goal/1": (3, 3)}


def test_the_command_surveys_a_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "survey.jsonl"
    words = ["worlds", "survey", "libero", "--tasks", "libero_object/3", "--seeds", "1", "--out", str(out)]
    options = [word for pair in OPTIONS.items() for word in pair]
    words += ["--world-options", *options, "images", "false"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "1 of 1 tasks succeed" in capsys.readouterr().out
    out.write_text("no survey\n")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code != 0
    assert "is not a survey" in capsys.readouterr().err


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Any]:
    folder = make_checkpoint(tmp_path, name="pi05_libero", family="lerobot", sizes=(8, 7))
    options = {"path": str(folder), "preset": "pi05_libero", "device": "cpu", "horizon": HORIZON}
    made = open_setup(SetupSpec("libero", OPTIONS, NamedPolicy("pi05", options)))
    yield made
    made.close()


def test_the_operator_drives_it_headless_by_direct_execution(setup: Any) -> None:
    runner = MethodRunner(find_method("direct"), setup, settings=RolloutSettings(max_chunks=4))
    result = runner.run(task="libero_object/0", seed=50)
    assert any(pick.startswith(("left", "right", "forward", "back")) for pick in result.picks)


def test_the_command_collects_demonstrations_with_a_policy_that_sets_the_chunks(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, name="pi05_libero", family="lerobot", sizes=(8, 7))
    policy = {"path": str(folder), "preset": "pi05_libero", "device": "cpu", "horizon": str(HORIZON)}
    code = collect(
        "libero_object/0",
        episodes=1,
        demonstrations=True,
        first_seed=50,
        data=tmp_path / "data",
        world="libero",
        world_options=OPTIONS,
        policy="pi05",
        policy_options=policy,
    )
    assert code == 0
    (stored,) = EpisodeStore(tmp_path / "data").list()
    assert stored.seed == 50
