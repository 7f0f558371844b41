"""All parts, in the order of their weight, within one time limit; the summary is written after each. Standard library only."""

import argparse
import os
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.runner import ROOT, Outcome, Part, run_part
from benchmarks.gpu.summary import write_summary

PARTS = (
    Part("machine", "benchmarks.gpu.machine:run", 30),
    Part("parity", "benchmarks.gpu.parity:run", 75),
    Part("tests", "benchmarks.gpu.marked_tests:run", 60),
    Part("policy", "benchmarks.gpu.policy:run", 100),
    Part("profile", "benchmarks.gpu.profile:run", 40),
    Part("lerobot", "benchmarks.gpu.lerobot:run", 60),
    Part("memory", "benchmarks.gpu.memory:run", 40),
    Part("generalist", "benchmarks.gpu.generalist:run", 40),
    Part("rql", "benchmarks.gpu.rql:run", 25),
    Part("rendering", "benchmarks.gpu.rendering:run", 25),
)
"""Limits are for a card; together they exceed the total, which a machine where nothing hangs does not need."""

LEAST_S = 3.0
"""A part that would have less is not begun."""


def main(words: Sequence[str] | None = None, *, parts: Sequence[Part] = PARTS) -> int:
    """Run the parts; return 1 if one failed or was ended, else 0."""
    parser = argparse.ArgumentParser(
        prog="gpu-check", description="Check and measure this product on a machine with an NVIDIA card, offline."
    )
    parser.add_argument("out", type=Path, help="folder for logs, results and the summary")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes: a try of everything in a minute, on any machine"
    )
    parser.add_argument("--seconds", type=float, default=240.0, help="for all parts together (240)")
    parser.add_argument(
        "--patience", type=float, default=1.0, help="times the parts' own limits, on a slow machine (1)"
    )
    parser.add_argument(
        "--wheels", type=Path, help="folder of wheels that `scripts/gpu-pack` made; nothing is installed"
    )
    parser.add_argument("--parts", nargs="+", choices=[p.name for p in parts], help="these alone")
    asked = parser.parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a part that runs is ended too
    began, out = time.monotonic(), asked.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as scratch:
        environment = _environment(Path(scratch), asked.wheels)
        for part in parts:
            if asked.parts and part.name not in asked.parts:
                continue
            left = asked.seconds - (time.monotonic() - began)
            limit = min(part.limit_s * asked.patience, left)
            if limit < LEAST_S:
                outcomes.append(Outcome(part.name, "no time left", 0.0, f"The {asked.seconds:.0f} s were used up."))
            else:
                print(f"{part.name}: at most {limit:.0f} s", flush=True)
                outcome = run_part(
                    part, out, device=asked.device, is_small=asked.small, limit_s=limit, environment=environment
                )
                print(f"{part.name}: {outcome.status} after {outcome.seconds:.1f} s. {outcome.reason}", flush=True)
                outcomes.append(outcome)
            text = write_summary(out, outcomes, device=asked.device, is_small=asked.small)
    print(text)
    return int(any(o.status in ("failed", "timed out", "no time left") for o in outcomes))


def _environment(scratch: Path, wheels: Path | None) -> dict[str, str]:
    """Return the processes' environment: source and wheels on the path, compilers' caches shared, no network."""
    path = [str(ROOT)]
    if wheels is not None:
        path.append(str(_unpacked(wheels, scratch / "packages")))
    caches = {name: str(scratch / name.lower()) for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    before = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {**os.environ, **caches, **quiet, "PYTHONPATH": os.pathsep.join([*path, *before])}


def _unpacked(wheels: Path, into: Path) -> Path:
    """Unpack wheels side by side; those are found before what is installed."""
    files = sorted(wheels.glob("*.whl"))
    if not files:
        sys.exit(f"No wheels in '{wheels}'. Make them with `scripts/gpu-pack {wheels}`, or leave --wheels out.")
    for file in files:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                parts = member.filename.split("/")
                if parts[0].endswith(".data"):
                    if parts[1] not in ("purelib", "platlib"):
                        continue  # scripts, headers: of no use here
                    member.filename = "/".join(parts[2:])
                if member.filename:
                    archive.extract(member, into)
    return into
