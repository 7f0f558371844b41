"""Checks of a DROID robot through its bridge: connection, controller, cameras, calibration. Nothing moves.

Example: a bridge whose right camera was never calibrated gives four OK lines and one WARNING "never calibrated".
"""

import time
from pathlib import Path

from frs_core.errors import FrsError
from frs_core.runtime.address import shown
from frs_core.runtime.finding import Finding, Level
from frs_core.worlds.droid.connection import BridgeRefusal
from frs_core.worlds.droid.world import DroidConfig, DroidWorld, calibration_notes, config_of

STALE_S = 1.0
"""Age from which an image is stale; ZED cameras deliver one every 17 ms."""


def check_droid(*, is_quick: bool = False, **options: object) -> list[Finding]:
    """Return the state of the robot behind a bridge; without options no bridge is expected, and nothing is checked.

    Args:
        is_quick: has no effect: the check takes no longer than the bridge's answers.
        options: of the world "droid", such as endpoint="tcp://127.0.0.1:4343".
    Raises:
        ConfigError: unknown option.
    """
    return check_bridge(config_of(**options)) if options else []


def check_bridge(config: DroidConfig) -> list[Finding]:
    """Return the state of the robot and the cameras behind a bridge.

    Args:
        config: connection settings.
    """
    try:
        world = DroidWorld(config)
    except BridgeRefusal as error:
        fix = "Read the rest of the message in the bridge's log; close other cockpits, or restart the robot computer's server"
        return [Finding(Level.FAILURE, "Robot", str(error).split(". ")[0], fix)]
    except FrsError as error:
        here = Path(__file__).resolve().with_name("bridge.py")
        fix = f"On the DROID laptop, in its own environment: python {here.name} --droid PATH_TO_DROID (file: {here})"
        return [Finding(Level.FAILURE, "Bridge", str(error).split(". ")[0], fix)]
    try:
        return [*_robot(world), *_cameras(world), *_calibration(world)]
    except FrsError as error:
        fix = "Check the bridge's log and Desk, then run frs doctor again"
        return [Finding(Level.FAILURE, "Robot", str(error).split(". ")[0], fix)]
    finally:
        world.close()


def _robot(world: DroidWorld) -> list[Finding]:
    started = time.perf_counter()
    seen = world.state()
    trip_ms = 1e3 * (time.perf_counter() - started)
    findings = [
        Finding(
            Level.OK,
            "Bridge",
            f"{world.facts['robot_type']} at {shown(world.config.endpoint)}, answers in {trip_ms:.0f} ms, Python {world.facts['python']}",
        )
    ]
    low, high = world.spec.limits.workspace_low, world.spec.limits.workspace_high
    if not ((seen.p_tcp >= low) & (seen.p_tcp <= high)).all():
        where = ", ".join(f"{x:.2f}" for x in seen.p_tcp)
        fix = "Move the arm into the box by hand (Desk), or set workspace_low and workspace_high"
        findings.append(
            Finding(Level.WARNING, "Robot", f"the fingertips at ({where}) m are outside the workspace", fix)
        )
    if int(seen.extra["refused_commands"]) > 0:
        fix = "Clear the protective stop in Desk, then reset"
        findings.append(Finding(Level.WARNING, "Robot", "the controller refused its last command", fix))
    if world.config.timeout_s * 1e3 < 5 * trip_ms:
        fix = "Connect by cable instead of Wi-Fi"
        findings.append(Finding(Level.WARNING, "Bridge", f"answers take {trip_ms:.0f} ms", fix))
    return findings


def _cameras(world: DroidWorld) -> list[Finding]:
    findings = [
        Finding(
            Level.WARNING,
            "Cameras",
            f"camera '{name}' was not found",
            "Check its cable and the serial numbers in droid/misc/parameters.py, or give the bridge --cameras",
        )
        for name in world.facts["missing_cameras"]
    ]
    seen = world.observe()
    for name in world.spec.cameras:
        frame = seen.frames.get(name)
        age = float("inf") if frame is None else (time.monotonic_ns() - frame.captured_ns) / 1e9
        dropped = int(seen.extra.get(f"dropped_{name}", 0))
        if age > STALE_S:
            fix = "Plug it into a USB 3 port of its own, close other programs that use it, restart the bridge"
            text = f"no image from camera '{name}'" + (f" for {age:.0f} s" if frame is not None else "")
            findings.append(Finding(Level.FAILURE, "Cameras", text, fix))
        else:
            text = f"camera '{name}' is {1e3 * age:.0f} ms old, {dropped} dropped so far"
            findings.append(Finding(Level.OK, "Cameras", text))
    return findings


def _calibration(world: DroidWorld) -> list[Finding]:
    notes = calibration_notes(world.calibration)
    findings = []
    for name in world.spec.cameras:
        if name in notes:
            text, _, fix = notes[name].partition(". ")
            findings.append(Finding(Level.WARNING, "Calibration", text, fix))
        else:
            made_at = world.calibration[name].get("made_at")
            age = "of unknown age" if made_at is None else f"{(time.time() - made_at) / 60:.0f} min old"
            findings.append(Finding(Level.OK, "Calibration", f"camera '{name}': {age}"))
    return findings
