"""Time the shipped generalist's fan against one unsteered sample, in one run.

    python -m benchmarks.bench_fan [--threads 2] [--repeats 50]

Floor: the fan's arithmetic is 20 head calls of 13 rows; the table tells the share of each part. Absolute times are the
machine's; the ratio to one unsteered sample is the figure to compare.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from frs_core.candidates.fan import build_fan
from frs_core.policies.tabletop import load
from frs_core.steering.directions import Amount, Command, Direction
from frs_core.steering.methods import gaussian
from frs_core.worlds.tabletop import TabletopWorld


def milliseconds(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median and the 95th percentile of `repeats` runs after three warm-ups."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1e3)
    return float(np.median(times)), float(np.percentile(times, 95))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    policy = load(threads=options.threads)
    world = TabletopWorld()
    observation = world.observe()
    context = policy.encode(observation)
    spec = policy.spec
    commands = tuple(Command(d, a) for a in Amount for d in Direction)
    x = gaussian((13, spec.horizon, spec.width), seed=0)

    def fan() -> object:
        return build_fan(policy, context, observation, plan=policy.default_plan, commands=commands)

    def fresh() -> object:
        new = policy.encode(observation)
        return build_fan(policy, new, observation, plan=policy.default_plan, commands=commands)

    def step() -> object:
        with torch.inference_mode():
            return policy.velocity(context, x, 0.5)

    def sample() -> object:
        return policy.denoise(policy.encode(observation), gaussian((1, spec.horizon, spec.width), seed=0))

    rows = {
        "encode one observation": lambda: policy.encode(observation),
        "one velocity call, 13 rows": step,
        "one unsteered sample, fresh observation": sample,
        "fan on key press (12 directed + unsteered)": fan,
        "fan from a fresh observation": fresh,
    }
    print(f"{options.threads} threads, {options.repeats} repeats, K = {spec.integration_steps}")
    print(f"{'':44s}{'p50 ms':>9s}{'p95 ms':>9s}")
    results = {name: milliseconds(run, options.repeats) for name, run in rows.items()}
    for name, (median, high) in results.items():
        print(f"{name:44s}{median:9.1f}{high:9.1f}")
    ratio = results["fan from a fresh observation"][0] / results["one unsteered sample, fresh observation"][0]
    print(f"fan / one unsteered sample: {ratio:.1f}")
    world.close()


if __name__ == "__main__":
    main()
