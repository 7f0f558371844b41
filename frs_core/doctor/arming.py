"""What must be in order before a real robot moves: the doctor's checks for a robot that is connected already.

Problem: a world's own check (`World.doctor`) opens a connection of its own, and a robot serves one. Idea: what the running session knows
is judged instead: its world, its newest observation and its policy. Nothing is asked of the robot, and nothing moves.

Example: a right camera that has sent nothing for 3 s gives a FAILURE, so that no episode may start.
"""

import math
import time

from frs_core.doctor.machine import check_disk
from frs_core.robot.observation import Observation
from frs_core.robot.watchdog import MAX_AGE_S
from frs_core.runtime.finding import Finding, Level
from frs_core.worlds.base import WorldSpec
from frs_core.worlds.droid.calibration import OLD_S

__all__ = ["check_arm", "check_disk"]


def check_arm(
    world: WorldSpec | None,
    seen: Observation | None,
    *,
    has_policy: bool,
    now_ns: int | None = None,
    now_unix: float | None = None,
) -> list[Finding]:
    """Return one finding for each thing that a connected robot and its policy show of themselves. Takes microseconds.

    Args:
        world: of the session; None = it has not started.
        seen: the newest observation.
        has_policy: whether the policy is loaded.
        now_ns: `time.monotonic_ns()`.
        now_unix: Unix time, seconds.
    """
    now_ns = time.monotonic_ns() if now_ns is None else now_ns
    now_unix = time.time() if now_unix is None else now_unix
    if world is None or seen is None:
        return [
            Finding(
                Level.FAILURE, "Robot", "it has not started", "Wait; if it never does, read the banner and reconnect"
            )
        ]
    policy = (
        Finding(Level.OK, "Policy", "loaded")
        if has_policy
        else Finding(Level.FAILURE, "Policy", "it is still loading", "Wait for the first fan")
    )
    return [
        Finding(Level.OK, "Robot", f"{world.name} is connected"),
        *_place(world, seen),
        *_limits(world),
        *(finding for name in world.cameras for finding in _camera(name, seen, now_ns, now_unix)),
        policy,
    ]


def _place(world: WorldSpec, seen: Observation) -> list[Finding]:
    low, high = world.limits.workspace_low, world.limits.workspace_high
    if ((seen.p_tcp >= low) & (seen.p_tcp <= high)).all():
        return []
    where = ", ".join(f"{1000 * x:.0f}" for x in seen.p_tcp)
    fix = "Move the arm into the box by hand, or set workspace_low and workspace_high"
    return [Finding(Level.WARNING, "Robot", f"the fingertips at ({where}) mm are outside the workspace", fix)]


def _limits(world: WorldSpec) -> list[Finding]:
    limits = world.limits
    low, high = (
        " ".join(f"{1000 * x:.0f}" for x in corner) for corner in (limits.workspace_low, limits.workspace_high)
    )
    speed = ", joint speed limited" if limits.joint_speed is not None else ""
    findings = [Finding(Level.OK, "Limits", f"workspace from {low} to {high} mm{speed}")]
    if limits.table_height is None:
        fix = "Set table_height, so that candidates that would hit it are marked"
        findings.append(Finding(Level.WARNING, "Limits", "the height of the table is not known", fix))
    return findings


def _camera(name: str, seen: Observation, now_ns: int, now_unix: float) -> list[Finding]:
    frame = seen.frames.get(name)
    age_s = math.inf if frame is None else (now_ns - frame.captured_ns) / 1e9
    if frame is None or age_s > MAX_AGE_S:
        text = f"no image from camera '{name}'" + (f" for {math.ceil(age_s)} s" if frame is not None else "")
        return [Finding(Level.FAILURE, "Cameras", text, "Check its cable and power; close other programs that use it")]
    findings = [Finding(Level.OK, "Cameras", f"camera '{name}' delivers")]
    if frame.calibration is None:
        fix = "Calibrate it; no fan is drawn on it"
        return [*findings, Finding(Level.WARNING, "Calibration", f"camera '{name}' was never calibrated", fix)]
    made_at = frame.calibration.made_at
    if made_at is None:
        return [*findings, Finding(Level.NOTE, "Calibration", f"camera '{name}': of unknown age")]
    hours = (now_unix - made_at) / 3600
    if hours * 3600 > OLD_S:
        fix = "Calibrate again if it was moved; compare the drawn skeleton with the fingertips"
        return [*findings, Finding(Level.WARNING, "Calibration", f"camera '{name}': {hours:.0f} h old", fix)]
    return [*findings, Finding(Level.OK, "Calibration", f"camera '{name}': {60 * hours:.0f} min old")]
