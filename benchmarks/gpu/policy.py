"""`frs bench policy` on a card: encode, one step and whole fans, eager and recorded, beside the card's measured limits.

The horizons are measured one after the other, the product's own first. A recording that fails ends its horizon alone, and is told.
"""

import time
from dataclasses import asdict

from benchmarks.gpu.sizes import BATCH, CAMERAS, HORIZON, WORDS, size_for
from benchmarks.gpu.task import Task
from frs_core.commands.bench import report
from frs_core.making.pi05 import speed

BATCHES, HORIZONS = (8, 1, 13), (15, 10, 50)
FEW, SHORT = (8, 1), (15, 2)
"""The same for a try."""


def run(task: Task) -> None:
    """Measure; see the module."""
    device, dtype = task.torch_device(), task.dtype()
    size, repeats = size_for(is_small=task.is_small), 1 if task.is_small else 10
    machine = speed.measure_machine(device, dtype)
    print(f"{machine.name}: {machine.tflops:.2f} TFLOP/s, {machine.gb_per_s:.0f} GB/s", flush=True)
    setting = {
        "machine": asdict(machine),
        "dtype": str(dtype),
        "clock": "wall",
        "layers": size.text.depth,
        "cameras": CAMERAS,
        "words": WORDS,
    }
    timings: list[speed.Timing] = []
    task.note("report", report(setting, []))

    def told(timing: speed.Timing) -> None:
        if timing.what == "encode" and any(t.what == "encode" for t in timings):
            return  # measured with the first horizon
        timings.append(timing)
        print(f"{timing.what} {timing.batch} x {timing.horizon} {timing.mode}: {timing.ms:.3f} ms", flush=True)
        task.note("report", report(setting, [asdict(t) for t in timings]))

    failures: list[str] = []
    batches, horizons = (FEW, SHORT) if task.is_small else (BATCHES, HORIZONS)
    for horizon in horizons:
        began = time.perf_counter()
        try:
            speed.measure(
                device=device,
                dtype=dtype,
                machine=machine,
                size=size,
                batches=batches,
                horizons=(horizon,),
                cameras=CAMERAS,
                words=WORDS,
                repeats=repeats,
                told=told,
            )
        except RuntimeError as error:
            failures.append(f"{horizon} rows: {error}")
            print(failures[-1], flush=True)
        task.add("seconds", {"horizon": horizon, "s": time.perf_counter() - began})
        task.say(_headline(timings))
    if failures:
        task.note("failures", failures)
        raise RuntimeError("; ".join(failures))


def _headline(timings: list[speed.Timing]) -> str:
    """Return encode and the fan of eight, the fastest way of each."""
    encode = [t for t in timings if t.what == "encode"]
    fans = [t for t in timings if (t.what, t.batch, t.horizon) == ("fan", BATCH, HORIZON)]
    if not encode or not fans:
        return ""
    fan = min(fans, key=lambda t: t.ms)
    return (
        f"encode {encode[0].ms:.2f} ms (limit {encode[0].limit_ms:.2f}), fan {BATCH} x {HORIZON} {fan.mode} {fan.ms:.2f} ms "
        f"(limit {fan.limit_ms:.2f}), n = {fan.repeats}"
    )
