"""The benchmark's arithmetic and its run on a tiny network."""

import pytest
import torch

from frs_core.making.pi05 import speed
from frs_core.policies.pi05.sizes import FULL, GemmaSize, ModelSize, VisionSize

TINY = ModelSize(
    vision=VisionSize(width=64, depth=1, mlp=96, image=28, patch=14),
    text=GemmaSize(width=64, depth=1, mlp=96, heads=8, head_dim=16),
    expert=GemmaSize(width=64, depth=1, mlp=96, heads=8, head_dim=16),
    vocabulary=64,
    width=32,
)


def test_counted_work_agrees_with_the_published_breakdown() -> None:
    # 0.44 + 2.31 TFLOP for two cameras and 572 tokens; 0.085 TFLOP and 0.62 GB in bfloat16 for a step of 8 x 15 rows.
    flops, weights = speed.encode_work(FULL, cameras=2, length=572)
    assert flops == pytest.approx(2.75e12, rel=0.03)
    assert 2 * weights == pytest.approx(0.83e9 + 3.96e9, rel=0.03)
    flops, numbers = speed.step_work(FULL, batch=8, horizon=15, length=572)
    assert flops == pytest.approx(0.085e12, rel=0.05)
    assert 2 * numbers == pytest.approx(0.62e9 + 0.011e9, rel=0.03)


def test_every_part_is_measured_and_told() -> None:
    told: list[speed.Timing] = []
    device, dtype = torch.device("cpu"), torch.float32
    timings = speed.measure(
        device=device,
        dtype=dtype,
        machine=speed.Machine("test", tflops=0.01, gb_per_s=1.0),
        size=TINY,
        batches=(1, 3),
        horizons=(4,),
        cameras=1,
        words=5,
        repeats=2,
        told=told.append,
    )
    assert timings == told
    assert [(t.what, t.batch) for t in timings] == [
        ("encode", 1),
        ("one step", 1),
        ("fan", 1),
        ("one step", 3),
        ("fan", 3),
    ]
    assert all(t.ms > 0 and t.limit_ms > 0 and t.repeats == 2 for t in timings)


def test_the_clock_that_is_asked_for_is_the_one_that_is_read() -> None:
    ticks = iter(range(100))
    measured = speed.measured_ms(lambda: None, torch.device("cpu"), 3, clock=lambda: float(next(ticks)))
    assert measured == [1e3, 1e3, 1e3]
