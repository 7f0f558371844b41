"""What every world keeps to."""

import inspect
import math
import time

import numpy as np
import pytest

from frs_core.errors import ConfigError
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.robot.watchdog import CameraLiveness
from frs_core.runtime.registry import resolve
from frs_core.worlds.base import World
from frs_core.worlds.host import pack_spec, unpack_spec

_SLACK = 2e-3
"""rad and metres by which a measured motion may exceed a limit: joints follow walls in small arcs, and states are rounded."""
_SHADE = 2
"""Grey levels by which two renderings of the same scene may differ: shading is rounded."""


class WorldContract:
    """Inherit it and say how your world is made; simulations are made afresh for each test."""

    def make(self) -> World:
        """Return a world, ready."""
        raise NotImplementedError

    def test_the_facts_are_complete_and_cross_processes(self) -> None:
        world = self.make()
        try:
            spec = world.spec
            assert spec.name
            assert spec.control_hz > 0
            assert (spec.limits.workspace_low < spec.limits.workspace_high).all()
            assert (spec.limits.joint_low < spec.limits.joint_high).all()
            assert not spec.example_task or spec.example_task in spec.tasks
            assert len(spec.titles) in (0, len(spec.tasks))
            again = unpack_spec(pack_spec(spec))
            assert pack_spec(again) == pack_spec(spec)
        finally:
            world.close()

    def test_what_it_names_can_be_imported_and_called(self) -> None:
        world = self.make()
        try:
            spec = world.spec
            for kind, path, arguments, options in (
                ("installer", world.installer, (print,), {"folder": None}),
                ("doctor", world.doctor, (), {"is_quick": True}),
                ("operator", spec.operator, (world,), {}),
                ("remote operator", spec.remote_operator, (lambda: None,), {}),
                ("demonstrator", spec.demonstrator, (world, "task", 0), {}),
            ):
                if path:
                    inspect.signature(resolve(kind, path, {})).bind(*arguments, **options)
        finally:
            world.close()

    def test_an_observation_has_every_camera_and_a_whole_state(self) -> None:
        world = self.make()
        try:
            seen = world.reset(task=world.spec.tasks[0] if world.spec.tasks else None, seed=3)
            assert set(seen.frames) == set(world.spec.cameras)
            assert seen.q.shape == (7,)
            assert seen.T_base_tcp.shape == (4, 4)
            assert np.isfinite(seen.proprio).all()
            assert world.state().captured_ns >= seen.captured_ns
        finally:
            world.close()

    def test_an_unknown_task_is_refused_by_name(self) -> None:
        world = self.make()
        try:
            if world.spec.tasks:
                with pytest.raises(ConfigError, match="no-such-task"):
                    world.reset(task="no-such-task")
        finally:
            world.close()

    def test_every_kind_of_action_it_names_is_executed_and_told(self) -> None:
        world = self.make()
        try:
            now = world.reset(seed=1)
            for kind in world.spec.action_kinds:
                action = np.zeros(kind.size, dtype=np.float32)
                if kind.value == "joint_position":
                    action[:7] = now.q
                done = world.step(action, kind)
                assert np.isfinite(done.executed).all()
                assert bool(done.reason) == done.clipped
            world.hold()
        finally:
            world.close()

    def test_a_simulation_starts_the_same_again_and_goes_back_exactly(self) -> None:
        world = self.make()
        try:
            if not world.spec.is_simulated:
                with pytest.raises(ConfigError):
                    world.snapshot()
                return
            first, again = (world.reset(seed=5) for _ in range(2))
            assert_same(first, again)
            state = world.snapshot()
            kind = world.spec.action_kinds[0]
            world.step(np.full(kind.size, 0.01, dtype=np.float32), kind)
            back = world.restore(state)
            assert_same(back, again)
            np.testing.assert_allclose(back.T_base_tcp, again.T_base_tcp, rtol=0.0, atol=1e-12)
        finally:
            world.close()

    def test_every_camera_shows_that_the_tool_moves(self) -> None:
        """A frame that stays the same while the tool moves in its view is taken for a dead camera, and the robot holds."""
        world = self.make()
        try:
            if not world.spec.is_simulated or ActionKind.EE_DELTA not in world.spec.action_kinds:
                return
            world.reset(seed=2)
            cameras, kind = CameraLiveness(max_age_s=np.inf), ActionKind.EE_DELTA
            for axis in range(3):
                for _ in range(12):
                    action = np.zeros(kind.size, dtype=np.float32)
                    action[axis] = 0.01
                    world.step(action, kind)
                    assert cameras.check(world.observe()) is None
        finally:
            world.close()

    def test_a_world_that_limits_itself_moves_no_further_than_its_limits_allow(self) -> None:
        """The guard passes actions on as asked to such a world, and the fan is drawn under `spec.limits`."""
        world = self.make()
        try:
            if not world.limits_itself:
                return
            for kind in world.spec.action_kinds:
                for sign in (1.0, -1.0):
                    world.reset(seed=4)
                    for count in (1, 4):
                        _step_far(world, kind, sign, count=count)
        finally:
            world.close()

    def test_closing_twice_is_safe(self) -> None:
        world = self.make()
        world.close()
        world.close()


def _step_far(world: World, kind: ActionKind, sign: float, *, count: int) -> None:
    """Ask an arm at rest for far more than its limits allow, and check how far it went.

    Args:
        world: at rest.
        kind: of the actions.
        sign: 1 or -1, the direction of all their numbers.
        count: actions, one after the other.
    """
    limits, before = world.spec.limits, _at_rest(world)
    action = np.full(kind.size, 10.0 * sign)
    action[-1] = 0.0
    began = time.monotonic()
    for _ in range(count):
        done = world.step(action, kind)
        assert done.clipped
        assert done.reason
        if kind is ActionKind.EE_DELTA:
            assert np.linalg.norm(done.executed[:3]) <= limits.max_translation + _SLACK
    # A command of velocities holds until the next one, so that an arm in real time goes further where this process is late.
    steps = max(count, math.ceil((time.monotonic() - began) * world.spec.control_hz))
    after = _at_rest(world)
    fastest = np.full(7, limits.max_joint_step) if limits.joint_speed is None else limits.joint_speed
    jump = np.inf if limits.joint_jump is None else limits.joint_jump
    farthest = sum(np.minimum(fastest, (i + 1) * jump) for i in range(steps))
    if kind is not ActionKind.EE_DELTA or limits.depends_on_motion:
        assert (np.abs(after.q - before.q) <= farthest + _SLACK).all(), f"{after.q - before.q} rad, allowed {farthest}"
    if kind is ActionKind.EE_DELTA:
        assert np.linalg.norm(after.p_tcp - before.p_tcp) <= steps * limits.max_translation + _SLACK
    assert ((after.q >= limits.joint_low - _SLACK) & (after.q <= limits.joint_high + _SLACK)).all()
    is_inside = (after.p_tcp >= limits.workspace_low - _SLACK) & (after.p_tcp <= limits.workspace_high + _SLACK)
    assert is_inside.all(), f"the tool is at {after.p_tcp} m"


def _at_rest(world: World) -> Observation:
    """Hold, and return the state once the arm has come to rest: what is asked next is not the continuation of a motion."""
    world.hold()
    now = world.state()
    for _ in range(500):
        time.sleep(0.02)
        before, now = now, world.state()
        if np.abs(now.q - before.q).max() < 1e-4:
            return now
    raise AssertionError("The arm does not come to rest.")


def assert_same(first: Observation, again: Observation) -> None:
    """Fail unless two observations agree in all but when they were made: joints, gripper, steps, success, images."""
    np.testing.assert_array_equal(first.q, again.q)
    for name in ("gripper", "gripper_command", "step", "success", "instruction"):
        assert getattr(first, name) == getattr(again, name), name
    assert set(first.frames) == set(again.frames)
    for name, frame in first.frames.items():
        apart = np.abs(frame.image.astype(np.int16) - again.frames[name].image)
        assert apart.max(initial=0) <= _SHADE, f"camera {name}: {apart.max()} grey levels apart"
