"""LeRobot's pi0.5 beside the product's: one sample and one fan through its own functions, the same sizes, the same run."""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from unittest import mock

from benchmarks.gpu.sizes import BATCH, CAMERAS, HORIZON, WORDS
from benchmarks.gpu.task import CannotRun, Task
from frs_core.making.pi05 import peer, speed


def run(task: Task) -> None:
    """Measure; LeRobot's weights are random, made where it is measured.

    Raises:
        CannotRun: LeRobot is not here.
    """
    import torch

    if importlib.util.find_spec("lerobot") is None:
        raise CannotRun("LeRobot is not installed, and no wheel of it was given.")
    device, dtype = task.torch_device(), task.dtype()
    task.note("lerobot", importlib.metadata.version("lerobot"))
    task.note("transformers", importlib.metadata.version("transformers"))

    def told(timing: speed.Timing) -> None:
        print(f"{timing.what} {timing.batch} x {timing.horizon}: {timing.ms:.2f} ms", flush=True)
        task.add("timings", asdict(timing))

    with mock.patch.object(peer, "_build", _made_on(device, peer._build)):
        timings = peer.measure_lerobot(
            device=device,
            dtype=dtype,
            size=speed.sizes(depth=1 if task.is_small else None),
            batches=(2 if task.is_small else BATCH,),
            horizons=(HORIZON,),
            cameras=CAMERAS,
            words=WORDS,
            repeats=1 if task.is_small else 7,
            told=told,
        )
    if device.type == "cuda":
        task.note("peak_gb", torch.cuda.max_memory_allocated(device) / 1e9)
    task.say(
        ", ".join(f"{t.what} {t.batch} x {t.horizon} {t.ms:.1f} ms" for t in timings) + f", n = {timings[0].repeats}"
    )


def _made_on(device: Any, build: Callable[..., Any]) -> Callable[..., Any]:
    """Return `build`, making weights on the device: random numbers for three billion of them take a CPU half a minute."""

    def made(*arguments: Any, **options: Any) -> Any:
        with device:
            return build(*arguments, **options)

    return made
