"""Wheels of what a machine with an NVIDIA card lacks, for its interpreter; see `scripts/gpu-pack`."""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.packages import CARRIED, NEEDED, Package
from benchmarks.gpu.runner import ROOT

PLATFORMS = tuple(f"manylinux_2_{n}_x86_64" for n in (39, 35, 34, 31, 28, 27, 24, 17)) + (
    "manylinux2014_x86_64",
    "manylinux1_x86_64",
)
LIMIT_MIB = 64
"""Of all wheels together: a few small packages, not an installation."""


def main(words: Sequence[str] | None = None) -> int:
    """Download the wheels; return 1 where one cannot be had or they are too many."""
    everything = {name: package for packages in NEEDED.values() for name, package in packages.items()}
    parser = argparse.ArgumentParser(prog="gpu-pack", description="Download wheels for a machine without a network.")
    parser.add_argument("out", type=Path, help="folder for the wheels, such as build/gpu-wheels")
    parser.add_argument("--python", default="3.12", help="version of the machine's interpreter (3.12)")
    parser.add_argument(
        "--packages",
        nargs="+",
        choices=sorted(everything),
        default=CARRIED,
        metavar="NAME",
        help="these instead of the usual",
    )
    parser.add_argument(
        "--without", nargs="+", choices=sorted(everything), default=(), metavar="NAME", help="leave these out"
    )
    asked = parser.parse_args(words)
    asked.out.mkdir(parents=True, exist_ok=True)
    for old in asked.out.glob("*.whl"):
        old.unlink()
    lock = (ROOT / "requirements.lock").read_text()
    wanted = [requirement(name, everything[name], lock) for name in asked.packages if name not in asked.without]
    if code := subprocess.run(download(wanted, asked.out, asked.python), check=False).returncode:
        print(
            f"pip ended with exit status {code}. It needs a network, and wheels for Python {asked.python}.",
            file=sys.stderr,
        )
        return 1
    files = sorted(asked.out.glob("*.whl"))
    for file in files:
        print(f"{file.stat().st_size / 2**20:7.2f} MiB  {file.name}")
    mib = sum(file.stat().st_size for file in files) / 2**20
    print(f"{mib:7.2f} MiB  in {len(files)} wheels; run `scripts/gpu-check FOLDER --wheels {asked.out}` there")
    if mib > LIMIT_MIB:
        print(f"That is more than {LIMIT_MIB} MiB. Leave some out: --without NAME.", file=sys.stderr)
        return 1
    return 0


def requirement(name: str, package: Package, lock: str) -> str:
    """Return the requirement of one package: its own pin, else the one of the lock that holds for every Python, else none."""
    if package.pin:
        return f"{name}{package.pin}"
    pinned = re.search(rf"^{re.escape(name)}==(\S+)\s*$", lock, re.MULTILINE)
    return f"{name}=={pinned[1]}" if pinned else name


def download(wanted: Sequence[str], out: Path, python: str) -> list[str]:
    """Return pip's command: wheels alone, of these packages alone."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [
        *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"),
        *("--python-version", python, "--implementation", "cp", *platforms, "-d", str(out), *wanted),
    ]
