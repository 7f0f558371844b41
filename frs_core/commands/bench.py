"""`frs bench policy`: time a policy's parts, against the card's limits and against LeRobot.

Example: `frs bench policy --out docs/benchmarks/policy.json` on a GPU; `--depth 2 --batches 1 8 --horizons 15` for a first
reading on a laptop.
"""

import importlib.metadata
import importlib.util
import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from frs_core.commands.printing import console, mark
from frs_core.errors import ConfigError
from frs_core.runtime.bounds import Count, Size


def policy(
    *,
    device: str | None = None,
    dtype: Literal["auto", "bfloat16", "float32"] = "auto",
    batches: tuple[Size, ...] = (1, 8, 13),
    horizons: tuple[Size, ...] = (10, 15, 50),
    cameras: Size = 2,
    words: Size = 60,
    depth: Size | None = None,
    repeats: Count = 20,
    peer: Literal["auto", "off"] = "auto",
    clock: Literal["wall", "processor"] = "wall",
    out: Path | None = None,
) -> int:
    """Time pi0.5 with full-size random weights: encode, one step, a whole fan; no download needed.

    The limit beside each time is the larger of arithmetic over measured peak and bytes over measured bandwidth. Where
    LeRobot is installed, its sample and a fan through its functions are timed in the same run.

    Args:
        device: cuda, cuda:1 or cpu; default a GPU if there is one.
        dtype: Type of the weights; auto = bfloat16 on a GPU, float32 on the CPU (11 GB at full depth).
        batches: Candidates per fan.
        horizons: Rows per chunk.
        cameras: Images.
        words: Prompt tokens.
        depth: Layers of every network instead of 18 and 27; only the ratio to the peer is then meaningful.
        repeats: Measurements per number; the median is shown.
        peer: Also time LeRobot where it is installed.
        clock: processor counts this process's processor time, on one thread: fair ratios on a CPU that others use too.
        out: JSON file for the results.
    """
    import torch

    from frs_core.making.pi05 import speed
    from frs_core.policies.torch_device import torch_device

    page = console()
    where = torch_device(device)
    kinds = {"auto": torch.bfloat16 if where.type == "cuda" else torch.float32}
    kind = kinds.get(dtype) or getattr(torch, dtype)
    if where.type != "cuda":
        page.print(mark("No GPU here: these are CPU times, and CUDA graphs are not measured.", "yellow"))
    if clock == "processor":
        if where.type == "cuda":
            raise ConfigError("Processor time says nothing about a GPU. Leave --clock out.")
        torch.set_num_threads(1)
    ticks = time.process_time if clock == "processor" else time.perf_counter
    size = speed.sizes(depth=depth)
    machine = speed.measure_machine(where, kind, clock=ticks)
    page.print(
        f"{machine.name}, {str(kind).removeprefix('torch.')}, measured {machine.tflops:.2f} TFLOP/s and "
        f"{machine.gb_per_s:.0f} GB/s; {size.text.depth} layers, {cameras} cameras, {words} words, torch {torch.__version__}"
    )
    common: dict[str, Any] = {
        "batches": batches,
        "horizons": horizons,
        "cameras": cameras,
        "words": words,
        "repeats": repeats,
        "clock": ticks,
    }
    with page.status("measuring") as status:

        def show(timing: speed.Timing) -> None:
            status.update(f"{timing.what} {timing.batch} x {timing.horizon} {timing.mode}: {timing.ms:.2f} ms")

        own = speed.measure(device=where, dtype=kind, machine=machine, size=size, told=show, **common)
        theirs: list[speed.Timing] = []
        if peer == "auto" and importlib.util.find_spec("lerobot"):
            from frs_core.making.pi05.peer import measure_lerobot

            theirs = measure_lerobot(device=where, dtype=kind, size=size, told=show, **common)
    _print(page, own, theirs)
    if not theirs:
        page.print(mark("LeRobot was not timed: it is not installed here, or --peer off.", "dim"))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        setting = {
            "machine": asdict(machine),
            "dtype": str(kind),
            "clock": clock,
            "layers": size.text.depth,
            "cameras": cameras,
            "words": words,
        }
        data = report(setting, [asdict(t) for t in [*own, *theirs]])
        out.write_text(json.dumps(data, indent=2) + "\n")
        page.print(f"Written to {out}")
    return 0


def report(setting: dict[str, Any], timings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `--out` writes: versions, the setting and the timings."""
    import torch

    has_peer = any(t["mode"] == "lerobot" for t in timings)
    return {
        "machine": setting["machine"],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lerobot": importlib.metadata.version("lerobot") if has_peer else None,
        **{key: setting[key] for key in ("dtype", "clock", "layers", "cameras", "words")},
        "timings": timings,
    }


def _print(page: Console, own: list[Any], theirs: list[Any]) -> None:
    encode = next(t for t in own if t.what == "encode")
    page.print(f"encode {encode.ms:.2f} ms (limit {encode.limit_ms:.2f}, n = {encode.repeats})")
    peer = {(t.what.split()[0], t.batch, t.horizon): t.ms for t in theirs}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in (
        "rows",
        "batch",
        "way",
        "one step ms",
        "limit",
        "fan ms",
        "limit",
        "encode + fan",
        "LeRobot fan",
        "LeRobot 1 sample",
    ):
        table.add_column(header, justify="right")
    steps = {(t.horizon, t.batch, t.mode): t for t in own if t.what == "one step"}
    for fan in (t for t in own if t.what == "fan"):
        step = steps[fan.horizon, fan.batch, fan.mode]
        cells = [f"{fan.horizon}", f"{fan.batch}", fan.mode, _ms(step.ms), _ms(step.limit_ms)]
        cells += [_ms(fan.ms), _ms(fan.limit_ms), _ms(encode.ms + fan.ms)]
        for key in (("fan", fan.batch, fan.horizon), ("sample", 1, fan.horizon)):
            cells.append(_ms(peer[key]) if key in peer else "–")
        table.add_row(*cells)
    page.print(table)


def _ms(value: float) -> str:
    """Return milliseconds short enough for ten columns of a terminal."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"
