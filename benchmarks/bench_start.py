"""From `frs` to the window, the first image and the first fan on the screen; p50 and worst of several starts.

    scripts/with-display python benchmarks/bench_start.py --times 10
    python benchmarks/bench_start.py --times 5 --json start.json -- --world droid --policy remote ...

Starts the real program with a fresh configuration and an empty recording root, as a process of its own, reads the report that
it writes (FRS_REPORT_START), and ends it by SIGTERM, as a window manager would. Wall time depends on what else the machine
does: the processor time of the program and of its world process stands beside it. The first start, which fills the system's
file cache and compiles byte code, is shown but not counted.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET_S = 3.0
"""From the start of the process to the first fan, once installed, on two cores with software GL."""
STAGES = {"main": "program imported", "window": "window painted", "camera": "first camera image", "fan": "first fan"}


def start_once(options: list[str], *, timeout_s: float) -> dict[str, float]:
    """Start the program, wait for its report, end it, and return seconds since the start of the process."""
    with tempfile.TemporaryDirectory(prefix="frs-start-") as scratch:
        report = Path(scratch) / "start.json"
        environment = {**os.environ, "FRS_CONFIG_DIR": str(Path(scratch) / "config")}
        environment |= {"FRS_DATA_DIR": str(Path(scratch) / "data"), "FRS_REPORT_START": str(report)}
        command = [str(Path(sys.executable).with_name("frs")), *(["cockpit", *options] if options else [])]
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment)
        try:
            while not report.exists():
                if process.poll() is not None:
                    raise SystemExit(f"The program ended with code {process.returncode} before its first fan.")
                if time.monotonic() - began > timeout_s:
                    raise SystemExit(f"No fan within {timeout_s:g} s.")
                time.sleep(0.02)
            data = json.loads(report.read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return {k: v - began if k in STAGES else v for k, v in data.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="counted starts")
    parser.add_argument("--timeout-s", type=float, default=120.0)
    parser.add_argument("--json", type=Path, help="write every start's figures here")
    parser.add_argument("options", nargs="*", help="options of the cockpit, after --")
    given = parser.parse_args()
    runs: list[dict[str, float]] = []
    for i in range(given.times + 1):
        run = start_once(given.options, timeout_s=given.timeout_s)
        words = ", ".join(f"{k} {v:.2f}" for k, v in run.items())
        print(f"{'warm-up' if i == 0 else i}: {words}", flush=True)
        runs.append(run)
    counted = runs[1:]
    print(f"\n| from process start, s (n = {len(counted)}) | p50 | worst |\n|---|---|---|")
    for key, words in (
        *STAGES.items(),
        ("cpu_s", "processor time, program"),
        ("cpu_children_s", "processor time, world"),
    ):
        values = [r[key] for r in counted]
        print(f"| {words} | {statistics.median(values):.2f} | {max(values):.2f} |")
    p50 = statistics.median(r["fan"] for r in counted)
    print(f"\nfirst fan p50 {p50:.2f} s, target {TARGET_S:g} s: {'met' if p50 <= TARGET_S else 'MISSED'}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"load average {load:.1f} on {os.cpu_count()} cores")
    if given.json:
        given.json.write_text(json.dumps({"runs": runs}, indent=1))


if __name__ == "__main__":
    main()
