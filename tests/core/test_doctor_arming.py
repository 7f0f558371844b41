"""What keeps a connected robot from starting, and what is only to be looked at."""

import dataclasses

from frs_core.doctor.arming import check_arm
from frs_core.robot.observation import Observation
from frs_core.runtime.finding import Level
from frs_core.worlds.base import WorldSpec
from tests.fakes.world import PointWorld

NOW_NS, NOW = 100 * 10**9, 1_800_000_000.0


def seen(age_s: float = 0.1, made_at: float | None = NOW - 600) -> tuple[WorldSpec, Observation]:
    world = PointWorld()
    observation = world.reset(task="reach_left", seed=0)
    frames = {}
    for name, frame in observation.frames.items():
        calibration = frame.calibration
        if calibration is not None:
            calibration = dataclasses.replace(calibration, made_at=made_at)
        frames[name] = dataclasses.replace(frame, captured_ns=NOW_NS - int(age_s * 1e9), calibration=calibration)
    return world.spec, dataclasses.replace(observation, frames=frames)


def levels(findings: list, subject: str) -> set[Level]:
    return {f.level for f in findings if f.subject == subject}


def judged(world: WorldSpec | None, observation: Observation | None, *, has_policy: bool = True) -> list:
    return check_arm(world, observation, has_policy=has_policy, now_ns=NOW_NS, now_unix=NOW)


def test_a_robot_in_order_has_no_failure() -> None:
    found = judged(*seen())
    assert not [f for f in found if f.level is Level.FAILURE]
    assert {"Robot", "Limits", "Cameras", "Policy"} <= {f.subject for f in found}


def test_no_world_no_observation_no_policy_or_an_old_image_is_a_failure() -> None:
    world, observation = seen()
    assert levels(judged(None, None), "Robot") == {Level.FAILURE}
    assert levels(judged(world, None), "Robot") == {Level.FAILURE}
    assert levels(judged(world, observation, has_policy=False), "Policy") == {Level.FAILURE}
    assert Level.FAILURE in levels(judged(*seen(age_s=0.6)), "Cameras")
    missing = dataclasses.replace(observation, frames={})
    assert levels(judged(world, missing), "Cameras") == {Level.FAILURE}


def test_an_old_or_missing_calibration_an_unknown_table_and_a_place_outside_are_warnings() -> None:
    assert Level.WARNING in levels(judged(*seen(made_at=NOW - 7200)), "Calibration")
    assert Level.NOTE in levels(judged(*seen(made_at=None)), "Calibration")
    world, observation = seen()
    bare = {n: dataclasses.replace(f, calibration=None) for n, f in observation.frames.items()}
    assert levels(judged(world, dataclasses.replace(observation, frames=bare)), "Calibration") == {Level.WARNING}
    limits = dataclasses.replace(world.limits, table_height=None)
    assert Level.WARNING in levels(judged(dataclasses.replace(world, limits=limits), observation), "Limits")
    moved = dataclasses.replace(world.limits, workspace_low=world.limits.workspace_high - 1e-3)
    assert Level.WARNING in levels(judged(dataclasses.replace(world, limits=moved), observation), "Robot")


def test_every_finding_that_is_not_in_order_says_what_to_do() -> None:
    for found in (judged(*seen(age_s=5.0, made_at=0.0)), judged(None, None), judged(*seen(), has_policy=False)):
        assert all(f.fix for f in found if f.level in (Level.WARNING, Level.FAILURE))
