"""LIBERO itself: what policies get is the public client's to the last bit, the fan lands on the right pixel, snapshots are exact.

Needs the environment of `frs worlds install libero` (or FRS_LIBERO_PYTHON) and minutes; FRS_LIBERO_ALL=1 adds all 130 tasks.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.rollout import MethodRunner, RolloutSettings
from frs_core.evaluation.setup import SetupSpec, open_setup
from frs_core.evaluation.survey import survey
from frs_core.policies import NamedPolicy
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Calibration
from frs_core.testing import WorldContract
from frs_core.worlds.base import World
from frs_core.worlds.guard import GuardedWorld
from frs_core.worlds.libero.connection import LAUNCH, WORKER
from frs_core.worlds.libero.install import find_python
from frs_core.worlds.libero.tasks import tasks
from frs_core.worlds.libero.world import LiberoWorld, robot_units
from tests.fakes import libero_points, libero_public
from tests.fakes.pi05 import HORIZON, make_checkpoint

try:
    PYTHON = find_python()
except ConfigError:
    PYTHON = ""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not PYTHON, reason="LIBERO is not installed: frs worlds install libero"),
]
EE = ActionKind.EE_DELTA
EPISODES = ("libero_spatial/0/0", "libero_90/13/49", "libero_goal/7/60")
"""Two stored states and a drawn one."""


@pytest.fixture(scope="module")
def libero() -> Iterator[LiberoWorld]:
    world = LiberoWorld()
    yield world
    world.close()


def run_there(script: str, *words: str) -> None:
    """Run a script under LIBERO's interpreter, without this package."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"MUJOCO_GL": "egl"}
    done = subprocess.run(
        [PYTHON, "-E", "-c", LAUNCH, script, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Array]:
    file = tmp_path_factory.mktemp("libero") / "public.npz"
    run_there(libero_public.__file__, str(file), *EPISODES)
    return dict(np.load(file))


class TestLibero(WorldContract):
    def make(self) -> World:
        return LiberoWorld()


@pytest.mark.parametrize("name", EPISODES)
@pytest.mark.parametrize("looks", [1, 10])
def test_a_policy_gets_what_the_public_client_sends_to_the_last_bit(
    libero: LiberoWorld, public: Mapping[str, Array], name: str, looks: int
) -> None:
    task, _, seed = name.rpartition("/")
    guard = GuardedWorld(libero)
    guard.reset(task=task, seed=int(seed))
    for i, action in enumerate(libero_public.actions(int(seed))):
        done = guard.step(robot_units(action), EE)
        assert not done.clipped
        if (i + 1) % looks:
            continue
        seen = guard.observe()
        if (i + 1) % libero_public.EVERY == 0:
            key = f"{name}/{i + 1}"
            for camera, frame in seen.frames.items():
                np.testing.assert_array_equal(frame.for_policy, public[f"{key}/{camera}"])
            np.testing.assert_array_equal(seen.extra["libero_state"], public[f"{key}/state"])
            assert seen.instruction == str(public[f"{key}/words"])
            assert seen.success == bool(public[f"{key}/done"])


def test_known_places_are_drawn_where_the_calibration_says(libero: LiberoWorld, tmp_path: Path) -> None:
    file = tmp_path / "points.npz"
    run_there(libero_points.__file__, str(WORKER), str(file))
    found = dict(np.load(file))
    libero.reset(task="libero_90/13", seed=0)
    for camera in libero_points.PLACES:
        raw = np.zeros((libero_points.SIZE, libero_points.SIZE, 3), dtype=np.uint8)
        pose = {key: found[f"{camera}/{key}"].tolist() for key in ("pos", "mat", "fovy")}
        calibration: Calibration = libero._calibration(raw, pose)
        uv, is_front = calibration.project(found[f"{camera}/places"] - found["base"])
        assert is_front.all()
        error = np.linalg.norm(uv - found[f"{camera}/pixels"][:, :2], axis=1)
        assert error.max() < 1.5, f"{camera}: {error.round(2)} px"


def test_a_snapshot_brings_back_state_pictures_and_what_follows(libero: LiberoWorld) -> None:
    rows = [robot_units(a) for a in libero_public.actions(3)]
    libero.reset(task="libero_goal/7", seed=2)
    for row in rows[:12]:
        libero.step(row, EE)
    state, seen = libero.snapshot(), libero.observe()

    def after() -> tuple[bytes, list[Array]]:
        for row in rows[12:]:
            libero.step(row, EE)
        return libero.snapshot(), [f.for_policy for f in libero.observe().frames.values()]

    wanted, pictures = after()
    for elsewhere in (None, "libero_90/46"):
        if elsewhere:
            libero.reset(task=elsewhere, seed=51)
        back = libero.restore(state)
        for camera, frame in seen.frames.items():
            np.testing.assert_array_equal(back.frames[camera].for_policy, frame.for_policy)
        got, drawn = after()
        assert got == wanted
        for a, b in zip(drawn, pictures, strict=True):
            np.testing.assert_array_equal(a, b)


def test_stored_states_after_one_another_are_those_of_a_fresh_world(libero: LiberoWorld) -> None:
    def course(world: LiberoWorld, seed: int) -> tuple[bytes, bytes, list[bytes]]:
        world.reset(task="libero_goal/7", seed=seed)
        start = world.snapshot()
        for action in libero_public.actions(seed):
            world.step(robot_units(action), EE)
        return start, world.snapshot(), [f.for_policy.tobytes() for f in world.observe().frames.values()]

    for before in (4, 60, 8):
        course(libero, before)
    fresh = LiberoWorld()
    try:
        assert course(libero, 9) == course(fresh, 9)
    finally:
        fresh.close()


def test_a_pi05_of_random_weights_drives_it(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, name="pi05_libero", family="lerobot", sizes=(8, 7))
    options = {"path": str(folder), "preset": "pi05_libero", "device": "cpu", "horizon": HORIZON}
    bench = open_setup(SetupSpec("libero", {}, NamedPolicy("pi05", options)))
    try:
        runner = MethodRunner(find_method("base"), bench, settings=RolloutSettings(max_chunks=2))
        result = runner.run(task="libero_10/2", seed=100_000)
    finally:
        bench.close()
    assert result.chunks == 2


@pytest.mark.skipif(os.environ.get("FRS_LIBERO_ALL") != "1", reason="all 130 tasks: FRS_LIBERO_ALL=1, half an hour")
def test_all_130_tasks_start_draw_step_and_go_back_exactly(libero: LiberoWorld) -> None:
    failed: dict[str, str] = {}
    for name, task in tasks().items():
        seen = libero.reset(task=name, seed=0)
        rows = [robot_units(a) for a in libero_public.actions(0)]
        for row in rows[:10]:
            libero.step(row, EE)
        state = libero.snapshot()
        ends: list[tuple[bytes, list[Array]]] = []
        for _ in range(2):
            for row in rows[10:20]:
                libero.step(row, EE)
            ends.append((libero.snapshot(), [f.for_policy for f in libero.observe().frames.values()]))
            libero.restore(state)
        is_drawn = min(float(f.image.std()) for f in seen.frames.values()) > 5.0
        is_exact = ends[0][0] == ends[1][0] and all(map(np.array_equal, ends[0][1], ends[1][1]))
        if seen.instruction != task.words or not is_drawn or not is_exact:
            failed[name] = f"words {seen.instruction == task.words}, drawn {is_drawn}, exact {is_exact}"
    assert failed == {}


@pytest.mark.parametrize("task", ["libero_object/0", "libero_90/7", "libero_goal/7"])
def test_the_demonstrator_places_pulls_and_turns(libero: LiberoWorld, task: str, tmp_path: Path) -> None:
    attempts = survey(libero, [task], range(50, 53), tmp_path / "survey.jsonl")
    assert sum(a.success for a in attempts) >= 2, attempts


@pytest.mark.parametrize("task", ["libero_90/13", "libero_90/23", "libero_90/39"])
def test_the_geometry_is_the_simulators(libero: LiberoWorld, task: str) -> None:
    seen = libero.reset(task=task, seed=50)
    scene = libero.geometry()
    assert len(scene.goals) == len(scene.met) >= 1
    assert not all(scene.met)
    for name in scene.movable:
        low, high = scene.bounds(name)
        # Everything lies before the arm, and is of the size of a household thing.
        assert (high - low).max() < 0.5
        assert -0.3 < low[2] < high[2] < 0.6
        assert np.linalg.norm((low + high)[:2] / 2 - seen.p_tcp[:2]) < 0.8
    for goal in scene.goals:
        assert goal.place in {"", *scene.kinds, *scene.regions}
        assert goal.thing in {*scene.kinds, *scene.regions}


def test_the_operator_steers_a_pi05_of_random_weights_by_direct_execution(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, name="pi05_libero", family="lerobot", sizes=(8, 7))
    options = {"path": str(folder), "preset": "pi05_libero", "device": "cpu", "horizon": HORIZON}
    bench = open_setup(SetupSpec("libero", {}, NamedPolicy("pi05", options)))
    try:
        runner = MethodRunner(find_method("direct"), bench, settings=RolloutSettings(max_chunks=6))
        result = runner.run(task="libero_object/0", seed=50)
    finally:
        bench.close()
    assert len({pick.split("/")[0] for pick in result.picks} & {"left", "right", "forward", "back", "down"}) >= 1
