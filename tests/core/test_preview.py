"""What is drawn of a chunk is what a DROID arm makes of it: the limits of the preview are those of the motion."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jaxtyping import Float

from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind, ActionSpace, ee_delta_space, joint_space
from frs_core.robot.limits import Limits
from frs_core.robot.safety import check_chunks, preview
from frs_core.worlds.base import StepResult
from frs_core.worlds.droid import DroidConfig, DroidWorld
from frs_core.worlds.droid import world as droid_world
from frs_core.worlds.guard import GuardedWorld
from tests.fakes.franka import HOME, KinematicDrive
from tests.fakes.joined import Clock
from tests.fakes.running_bridge import bridge_thread

ROWS = 8
BOUND = 1e-6
"""Metres between the drawn and the driven path: both come of the same numbers, but for rounding."""
SPACES = {
    ActionKind.JOINT_VELOCITY: joint_space(ActionKind.JOINT_VELOCITY),
    ActionKind.JOINT_POSITION: joint_space(ActionKind.JOINT_POSITION),
    ActionKind.EE_DELTA: ee_delta_space(translation=0.03, rotation=0.15),
}


class StepClock(Clock):
    """The world's time where it passes only while it waits: a busy machine makes no pause in a chunk."""

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Arm:
    """A DROID world behind a bridge, with an arm that is at once where it is sent."""

    world: DroidWorld
    place: Callable[[Float[np.ndarray, " 7"]], None]

    def drive(
        self, chunk: Float[np.ndarray, "H a"], space: ActionSpace
    ) -> tuple[Float[np.ndarray, "points 3"], list[StepResult]]:
        """Execute the rows as the world's process does, and return where the tool was and what each row did."""
        guard = GuardedWorld(self.world)
        self.world.hold()
        path, done = [guard.observe().p_tcp], list[StepResult]()
        for row in space.clip(chunk):
            done.append(guard.step(row, space.kind))
            path.append(guard.state().p_tcp)
        return np.array(path), done


@pytest.fixture(scope="module")
def arm() -> Iterator[Arm]:
    with pytest.MonkeyPatch.context() as patch, bridge_thread() as (bridge, env):
        patch.setattr(droid_world, "time", StepClock())
        drive = env.robot.drive = KinematicDrive(speed=1e9)
        config = DroidConfig(endpoint=bridge.address, width=64, height=36, timeout_s=30.0, stale_s=3600.0, speed=0.3)
        world = DroidWorld(config)
        bridge.robot.period = 0.0
        yield Arm(world, lambda q: drive.go(q, blocking=True))
        world.close()


def random_chunk(rng: np.random.Generator, space: ActionSpace, size: float, q: np.ndarray) -> np.ndarray:
    """Return rows that go on in one direction with some noise, `size` times what the space allows per row."""
    numbers = rng.uniform(-1, 1, space.size) + 0.3 * rng.uniform(-1, 1, (ROWS, space.size))
    if space.kind is ActionKind.JOINT_VELOCITY:
        chunk = size * numbers
    elif space.kind is ActionKind.JOINT_POSITION:
        chunk = np.append(q, 0.0) + np.cumsum(size * JOINT_STEP * numbers, axis=0)
    else:
        chunk = size * numbers * space.scale
    chunk[:, -1] = 0.0
    return chunk.astype(np.float32)


def test_what_a_droid_world_enforces_is_what_it_states(arm: Arm) -> None:
    limits = arm.world.spec.limits
    assert limits.joint_speed is not None
    np.testing.assert_allclose(limits.joint_speed, kinematics.DQ_MAX * 0.3 / 15.0)
    assert limits.joint_jump == 0.1
    arm.world.hold()
    arm.world.observe()
    fast = np.array([1.0, 0.5, 0, 0, 0, 0, 0, 0])
    done = arm.world.step(fast, ActionKind.JOINT_VELOCITY)
    assert done.reason == "the joint speed"
    assert done.executed[0] * JOINT_STEP == pytest.approx(limits.joint_speed[0])
    arm.world.spec = replace(arm.world.spec, limits=replace(limits, joint_speed=None, joint_jump=None))
    assert not arm.world.step(fast, ActionKind.JOINT_VELOCITY).clipped
    arm.world.spec = replace(arm.world.spec, limits=limits)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(seed=0, kind=ActionKind.JOINT_VELOCITY, size=1.0, speed=0.9, jump=0.1, room=1.0)
@example(seed=0, kind=ActionKind.JOINT_VELOCITY, size=0.4, speed=0.3, jump=0.1, room=1.0)
@example(seed=3, kind=ActionKind.EE_DELTA, size=1.0, speed=0.3, jump=0.02, room=0.03)
@example(seed=4, kind=ActionKind.JOINT_POSITION, size=0.1, speed=0.9, jump=0.1, room=1.0)
@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(list(ActionKind)),
    size=st.floats(0.02, 1.0),
    speed=st.floats(0.05, 1.0),
    jump=st.floats(0.01, 0.2),
    room=st.sampled_from([0.03, 0.1, 1.0]),
)
def test_the_drawn_path_is_the_driven_one_and_a_warning_says_what_is_cut(
    arm: Arm, seed: int, kind: ActionKind, size: float, speed: float, jump: float, room: float
) -> None:
    rng, space = np.random.default_rng(seed), SPACES[kind]
    q = HOME + rng.uniform(-0.5, 0.5, 7)
    arm.place(q)
    seen = arm.world.observe()
    limits: Limits = replace(
        arm.world.spec.limits,
        workspace_low=seen.p_tcp - room,
        workspace_high=seen.p_tcp + room,
        joint_speed=kinematics.DQ_MAX * speed / 15.0,
        joint_jump=jump,
        knows_links=False,  # Only limits cut; what is hit is another matter.
    )
    arm.world.spec = replace(arm.world.spec, limits=limits)
    chunk = random_chunk(rng, space, size, q)
    drawn = preview(chunk[None], space, observation=seen, limits=limits)
    assert drawn.cuts is not None
    (check,) = check_chunks(
        chunk[None], drawn.paths, space, observation=seen, limits=limits, rows=ROWS, cuts=drawn.cuts
    )
    path, done = arm.drive(chunk, space)
    assert np.linalg.norm(path - drawn.paths[0], axis=1).max() < BOUND
    assert [result.reason for result in done] == [", ".join(reasons) for reasons in drawn.cuts[0]]
    assert bool(check.warnings) == any(result.clipped for result in done)
    if not check.warnings and kind is not ActionKind.EE_DELTA:
        np.testing.assert_allclose(drawn.paths, space.path(chunk[None], seen), atol=1e-6)
