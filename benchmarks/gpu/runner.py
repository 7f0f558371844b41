"""Run parts one after the other, each in a process of its own under its own time limit.

Problem: one part that crashes the driver or waits for ever must not take the others with it.
Idea: a process per part, ended with all that it started when its time is up; what it had measured by then is in its file.

Example: `run_part(Part("parity", "benchmarks.gpu.parity:run", 60), ...)` -> `Outcome("parity", "ok", 21.4, "", …)`.
Standard library only.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Part:
    """One question to the machine."""

    name: str
    target: str
    """module:function, called with a `Task`."""
    limit_s: float
    """Ended after this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended."""

    name: str
    status: str
    """ok, failed, timed out, cannot run, or no time left."""
    seconds: float
    reason: str
    headline: str = ""
    results: Mapping[str, Any] = field(default_factory=dict)
    """What it had noted by then."""


def run_part(
    part: Part, out: Path, *, device: str, is_small: bool, limit_s: float, environment: Mapping[str, str]
) -> Outcome:
    """Return how a part ended; its output goes to OUT/NAME.log, its results to OUT/NAME.json.

    Args:
        part: what to run.
        out: folder of the results.
        device: "cuda" or "cpu".
        is_small: a tiny size.
        limit_s: seconds until it is ended.
        environment: of the process.
    """
    file = out / f"{part.name}.json"
    file.unlink(missing_ok=True)
    words = [sys.executable, "-m", "benchmarks.gpu.child", part.target, str(file), "--device", device]
    words += ["--limit", str(limit_s), *(["--small"] if is_small else [])]
    began, is_over_time = time.monotonic(), False
    with (out / f"{part.name}.log").open("w") as log:
        process = subprocess.Popen(
            words, cwd=ROOT, env=dict(environment), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            is_over_time = True
        finally:
            _end(process)
    return _outcome(part.name, process.returncode, file, time.monotonic() - began, limit_s if is_over_time else None)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and all that it started; one that hangs in a driver is left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)


def _outcome(name: str, code: int | None, file: Path, seconds: float, limit_s: float | None) -> Outcome:
    try:
        told: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        told = {}
    headline, results = told.get("headline", ""), told.get("results", {})
    if limit_s is not None:
        return Outcome(name, "timed out", seconds, f"Ended after its {limit_s:.0f} s.", headline, results)
    if "status" not in told:
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"
        return Outcome(name, "failed", seconds, f"The process ended with {how}; see {name}.log.", headline, results)
    return Outcome(name, told["status"], seconds, told["reason"], headline, results)
