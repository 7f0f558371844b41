"""Reversal Q-Learning at the authors' size: milliseconds per update on the device, beside the CPU. Random rows, no OGBench."""

import statistics
from dataclasses import replace

import numpy as np
import torch

from benchmarks.gpu.task import Task
from frs_core.evaluation.rql_bench.spec import preset
from frs_core.evaluation.rql_bench.tasks import Rows, Sampler
from frs_core.evaluation.rql_bench.training import new_agent, updates
from frs_core.making.pi05.speed import measured_ms

OBSERVATION, ACTION = 55, 5
"""Numbers of puzzle-3x3. Source: ogbench 1.2."""


def run(task: Task) -> None:
    """Measure; the median over repeats of the mean of a round of updates."""
    device, spec = task.torch_device(), preset("puzzle-3x3-play-singletask-v0")
    if task.is_small:
        spec = replace(spec, config=replace(spec.config, hidden=(16, 16), heads=2), batch=8)
    rows, told = _rows(), []
    for where in dict.fromkeys((device.type, "cpu")):
        here, count = torch.device(where), 20 if where != "cpu" else 1
        torch.manual_seed(0)
        agent, optimiser = new_agent(spec, rows, here)
        sampler, rng = Sampler(rows, spec.rows, device=here), np.random.default_rng(0)

        def round_of_updates(agent=agent, optimiser=optimiser, sampler=sampler, rng=rng, count=count) -> object:
            return updates(spec, agent, optimiser, sampler, rng, count)

        rounds = [ms / count for ms in measured_ms(round_of_updates, here, 5)]
        task.note(where, {"ms_per_update": statistics.median(rounds), "rounds": rounds, "updates_per_round": count})
        told.append(f"{where} {statistics.median(rounds):.2f} ms per update (n = {len(rounds)} x {count})")
        print(told[-1], flush=True)
        task.say(f"batch {spec.batch}, {spec.config.heads} x {list(spec.config.hidden)}: " + "; ".join(told))


def _rows(episodes: int = 20, length: int = 1000) -> Rows:
    rng, count = np.random.default_rng(0), episodes * length
    return Rows(
        observations=rng.normal(size=(count, OBSERVATION)).astype(np.float32),
        actions=rng.uniform(-1, 1, (count, ACTION)).astype(np.float32),
        rewards=-np.ones(count, np.float32),
        masks=(rng.random(count) < 0.9).astype(np.float32),
        terminals=(np.arange(count) % length == length - 1).astype(np.float32),
    )
