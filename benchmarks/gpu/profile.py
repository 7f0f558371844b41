"""Where a recorded fan's time goes: its kernels by name, and what is left between them; encoding likewise."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.gpu.fans import make_fan
from benchmarks.gpu.sizes import BATCH, CAMERAS, HORIZON, WORDS, size_for
from benchmarks.gpu.task import Task

ROWS = 30


def run(task: Task) -> None:
    """Profile the recorded fan of eight and one encoding."""
    import torch

    from frs_core.policies.pi05.model import Pi05Model
    from frs_core.policies.pi05.weights import RandomSource

    device, size = task.torch_device(), size_for(is_small=task.is_small)
    runs = 1 if task.is_small else 5
    with torch.inference_mode():
        model = Pi05Model(RandomSource(size, device=device, dtype=task.dtype()), size)
        side = size.vision.image
        pictures = torch.rand(CAMERAS, 3, side, side, device=device) * 2.0 - 1.0
        prompt = torch.randint(0, size.vocabulary, (WORDS,), device=device)
        cache, _ = model.encode(pictures, prompt)
        fan = make_fan(model, cache, batch=BATCH, horizon=HORIZON, is_recorded=True)
        profiles = {
            "fan": _profile("fan", fan, device, runs),
            "encode": _profile("encode", lambda: model.encode(pictures, prompt), device, runs),
        }
    for name, told in profiles.items():
        task.note(name, told)
    fan_told = profiles["fan"]
    top = ", ".join(f"{row['name'][:40]} {row['share']:.0%}" for row in fan_told["kernels"][:3])
    task.say(
        f"fan {fan_told['wall_ms']:.2f} ms, of which {fan_told['busy_ms']:.2f} ms in {fan_told['launches']:.0f} kernels; {top}"
    )


def _profile(name: str, run_once: Callable[[], object], device: Any, runs: int) -> dict[str, Any]:
    """Return wall time, time in kernels, and the kernels with the most time; milliseconds of one of `runs` runs."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from frs_core.making.pi05.speed import measured_ms

    is_gpu = device.type == "cuda"
    run_once()
    wall = statistics.median(measured_ms(run_once, device, runs))
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]) as profiler:
        for _ in range(runs):
            run_once()
        if is_gpu:
            torch.cuda.synchronize(device)
    totals: dict[str, tuple[float, int]] = {}
    for event in profiler.events():
        is_kernel = str(event.device_type).endswith("CUDA") if is_gpu else True
        if not is_kernel:
            continue
        us = float(event.time_range.elapsed_us() if is_gpu else event.self_cpu_time_total)
        before = totals.get(event.name, (0.0, 0))
        totals[event.name] = (before[0] + us, before[1] + 1)
    busy = sum(us for us, _ in totals.values()) / runs / 1e3
    kernels = [
        {"name": kernel, "ms": us / runs / 1e3, "calls": calls / runs, "share": us / runs / 1e3 / max(busy, 1e-9)}
        for kernel, (us, calls) in sorted(totals.items(), key=lambda item: -item[1][0])
    ]
    print(f"{name}: {wall:.3f} ms, {busy:.3f} ms in {'kernels' if is_gpu else 'operators'}; n = {runs}")
    print(f"{'ms':>9} {'share':>6} {'calls':>7}  name")
    for row in kernels[:ROWS]:
        print(f"{row['ms']:9.4f} {row['share']:6.1%} {row['calls']:7.0f}  {row['name'][:150]}")
    print(flush=True)
    return {
        "wall_ms": wall,
        "busy_ms": busy,
        "launches": sum(row["calls"] for row in kernels),
        "runs": runs,
        "kernels": kernels[:ROWS],
    }
