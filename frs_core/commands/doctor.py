"""`frs doctor`: check this machine and, if requested, a robot; every problem is shown with a fix."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from frs_core import paths
from frs_core.commands.printing import console, mark
from frs_core.counts import counted
from frs_core.doctor import (
    Finding,
    Level,
    check_cameras,
    check_devices,
    check_disk,
    check_display,
    check_gpu,
    check_packages,
    check_plugins,
    check_python,
    check_weights,
    check_worlds,
)
from frs_core.runtime.registry import plain_options
from frs_core.worlds import WorldOptions

_MARKS = {
    Level.OK: ("✓", "green"),
    Level.NOTE: ("·", "dim"),
    Level.WARNING: ("!", "yellow"),
    Level.FAILURE: ("✗", "red"),
}


def doctor(
    *,
    data: Path | None = None,
    checkpoint: Path | None = None,
    world: str = "",
    world_options: WorldOptions = None,
    quick: bool = False,
    json_lines: bool = False,
) -> int:
    """Check this machine: Python, packages, plug-ins, GPU, weights, disk, rendering, input devices, cameras, worlds.

    Nothing is installed and nothing moves. The exit code is 1 if something required does not work.

    Args:
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        checkpoint: A pi0.5 checkpoint to check as well.
        world: A world to check with --world-options, such as droid; the other worlds are checked without options.
        world_options: Options of that world: NAME VALUE ….
        quick: Skip the test images, which take seconds.
        json_lines: Print one JSON object per finding instead of text.
    """
    findings = [
        *check_python(),
        *check_packages(),
        *check_plugins(),
        *check_gpu(),
        *check_weights(checkpoint),
    ]
    findings += check_disk(data or paths.data())
    findings += [] if quick else check_display()
    findings += [*check_devices(), *check_cameras(), *check_worlds(world, plain_options(world_options), is_quick=quick)]
    page = console()
    for finding in findings:
        _print(page, finding, json_lines)
    failures = sum(f.level is Level.FAILURE for f in findings)
    warnings = sum(f.level is Level.WARNING for f in findings)
    if not json_lines:
        page.print(mark(f"{counted(failures, 'failure')}, {counted(warnings, 'warning')}", "bold"))
    return 1 if failures else 0


def _print(page: Console, finding: Finding, json_lines: bool) -> None:
    if json_lines:
        page.print_json(json.dumps({**asdict(finding), "level": finding.level.value}), indent=None)
        return
    page.print(mark(*_MARKS[finding.level]), f"{finding.subject:<12} {finding.text}", soft_wrap=True)
    if finding.fix:
        page.print(mark(f"               → {finding.fix}", "dim"), soft_wrap=True)
