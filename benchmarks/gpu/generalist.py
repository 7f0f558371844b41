"""Training of the tabletop generalist: steps per second of its two stages on the device, beside the CPU.

The samples are random numbers of the right shapes: no demonstrations have to be made, and a step costs the same.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import torch
from safetensors.numpy import save_file

from benchmarks.gpu.task import Task
from frs_core.making.generalist import training
from frs_core.making.generalist.stages import OnLog
from frs_core.making.generalist.training import Samples, TrainSettings
from frs_core.making.tabletop.course import COURSE
from frs_core.policies.generalist.design import ACTION_SIZE, HORIZON, IMAGE_SIZE, PROPRIO_SIZE
from frs_core.policies.generalist.network import GeneralistNet, vision_size

COUNT = 384
"""Samples; 75 kB of images each."""


def run(task: Task) -> None:
    """Measure both stages on the device, then on the CPU where that is another one."""
    device, told = task.torch_device(), []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_samples(folder, 24 if task.is_small else COUNT)
        for where in dict.fromkeys((device.type, "cpu")):
            steps = {"see": 30, "act": 100} if where != "cpu" else {"see": 2, "act": 5}
            rates = _rates(task, folder, torch.device(where), steps)
            task.note(where, {"steps_per_s": rates, "steps": steps, "cpu_threads": torch.get_num_threads()})
            told.append(f"{where}: " + ", ".join(f"{stage} {rate:.2f} steps/s" for stage, rate in rates.items()))
            task.say("; ".join(told))


def _rates(task: Task, folder: Path, device: torch.device, steps: dict[str, int]) -> dict[str, float]:
    """Return steps per second of the stages "see" and "act", with their published batches."""
    samples = Samples(COURSE, folder, with_images=True)
    torch.manual_seed(0)
    net = GeneralistNet(COURSE.design).to(device)
    vision = torch.randn(len(samples), vision_size(COURSE.design)).half()

    def see(settings: TrainSettings, work: Path, on_log: OnLog) -> None:
        training.train_see(net, samples, settings, folder=work, on_log=on_log)

    def act(settings: TrainSettings, work: Path, on_log: OnLog) -> None:
        training.train_act(net, samples, vision, settings, folder=work, on_log=on_log)

    rates = {}
    for stage, train, full in (("see", see, training.SEE), ("act", act, training.ACT)):
        settings = replace(full, batch=4) if task.is_small else full
        rates[stage] = _rate(train, settings, steps[stage])
        print(f"{device} {stage}: {rates[stage]:.2f} steps/s, batch {settings.batch}, {steps[stage]} steps", flush=True)
    return rates


def _rate(train: Callable[[TrainSettings, Path, OnLog], None], settings: TrainSettings, steps: int) -> float:
    """Return steps per second, by the median time between the lines of progress of two steps; the first step is left out."""
    ends: list[float] = []
    with TemporaryDirectory() as work, mock.patch.object(training, "LOG_EVERY", 1):
        train(replace(settings, steps=steps + 2, warmup=1), Path(work), lambda _: ends.append(time.perf_counter()))
    return 1.0 / statistics.median(after - before for before, after in itertools.pairwise(ends))


def _write_samples(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    design = COURSE.design
    shape = (count, len(design.concepts), len(design.cameras))
    save_file(
        {
            "chunk": rng.normal(size=(count, HORIZON, ACTION_SIZE)).astype(np.float32) * 0.01,
            "proprio": rng.normal(size=(count, PROPRIO_SIZE)).astype(np.float32),
            "mounts": np.tile(np.eye(4, dtype=np.float32)[:3], (count, len(design.cameras), 1, 1)),
            "uv": rng.random((*shape, 2), dtype=np.float32),
            "visible": rng.integers(0, 2, shape, dtype=np.uint8),
            "episode": np.arange(count, dtype=np.int32) % 100,
            "task": np.arange(count, dtype=np.int16) % len(COURSE.tasks),
            **{f"image_{c}": rng.integers(0, 256, (count, *IMAGE_SIZE, 3), dtype=np.uint8) for c in design.cameras},
        },
        folder / "shard_0000.safetensors",
    )
