"""What is there: the card and its driver, interpreter, PyTorch, compilers, and which packages the other parts will miss.

Standard library only, so that it answers on a machine where nothing is installed.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from benchmarks.gpu.packages import NEEDED
from benchmarks.gpu.task import Task

CARD = (
    "name",
    "driver_version",
    "memory.total",
    "clocks.max.sm",
    "clocks.max.memory",
    "power.limit",
    "temperature.gpu",
)


def run(task: Task) -> None:
    """Note everything; nothing missing fails this part."""
    cards = _cards()
    task.note("cards", cards)
    task.note("python", platform.python_version())
    task.note("system", platform.platform())
    task.note("processor", {"name": _processor(), "cores": os.cpu_count()})
    task.note("compiler", {name: shutil.which(name) for name in ("gcc", "nvcc")})
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    task.note("python_headers", str(header) if header.is_file() else None)  # what torch.compile needs besides gcc
    missing: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for purpose, packages in NEEDED.items():
        for name, package in packages.items():
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                if importlib.util.find_spec(package.module) is None:
                    missing.setdefault(purpose, []).append(name)
    task.note("versions", versions)
    task.note("missing", missing)
    torch = _torch()
    task.note("torch", torch)
    lacks = "; ".join(f"{purpose}: {', '.join(names)}" for purpose, names in missing.items()) or "nothing"
    card = f"{cards[0]['name']}, driver {cards[0]['driver_version']}" if cards else "no NVIDIA card (nvidia-smi)"
    built = f"torch {torch['version']}, CUDA {torch['cuda']}" if torch else "no PyTorch"
    task.say(f"{card}; Python {platform.python_version()}, {built}; missing: {lacks}")


def _cards() -> list[dict[str, str]]:
    try:
        query = ["nvidia-smi", f"--query-gpu={','.join(CARD)}", "--format=csv,noheader"]
        told = subprocess.run(query, capture_output=True, text=True, timeout=15, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        print(f"nvidia-smi: {error}")
        return []
    rows = [[word.strip() for word in line.split(",")] for line in told.splitlines() if line.strip()]
    return [dict(zip(CARD, row, strict=True)) for row in rows if len(row) == len(CARD)]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _torch() -> dict[str, Any] | None:
    try:
        import torch
    except ImportError as error:
        print(f"torch: {error}")
        return None
    told: dict[str, Any] = {"version": torch.__version__, "cuda": torch.version.cuda, "devices": []}
    if torch.cuda.is_available():
        told["cudnn"] = torch.backends.cudnn.version()
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            told["devices"].append(
                {
                    "name": about.name,
                    "capability": f"{about.major}.{about.minor}",
                    "multiprocessors": about.multi_processor_count,
                    "memory_gb": about.total_memory / 1e9,
                }
            )
    return told
