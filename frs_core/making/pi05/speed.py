"""Measure how fast pi0.5 is on this machine, beside how fast it could be.

Problem: a time in milliseconds says little without the hardware's limit and another implementation's time in the same run. Idea:
run the real code with full-size random weights (no download; speed does not depend on values), count each part's operations and
memory traffic from the shapes, and show the larger of operations / peak and traffic / bandwidth beside each time. Peak and
bandwidth are measured in the same run by one large multiplication and one large copy.

Calculated example (H100, 989 TFLOP/s, 3.35 TB/s): one step of 8 x 15 rows reads 0.62 GB and needs 0.09 TFLOP: 0.19 ms.
Runs in the terminal.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from frs_core.policies.linear import linear
from frs_core.policies.pi05.cuda_graph import LoopCache
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.prefix import PrefixCache
from frs_core.policies.pi05.sizes import FULL, GemmaSize, ModelSize
from frs_core.policies.pi05.weights import RandomSource
from frs_core.steering import flow
from frs_core.steering.methods import Reference, SteeringPlan, seeded_noise, steer

STEPS = 10
WORDS = 8192
"""Vocabulary of the benchmark; a look-up costs the same in a larger one, which would only fill memory."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Measured limits of a device."""

    name: str
    tflops: float
    """Multiply-adds counted as two, in the benchmark's type, measured."""
    gb_per_s: float
    """Bytes read plus written, measured."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One measured part."""

    what: str
    batch: int
    horizon: int
    mode: str
    """eager, graph, or the peer's name."""
    ms: float
    """Median."""
    repeats: int
    limit_ms: float
    """The machine's lower bound for the same arithmetic."""


def sizes(*, depth: int | None = None) -> ModelSize:
    """Return the full sizes, or those with fewer layers everywhere, for a first measurement on a small machine."""
    if depth is None:
        return replace(FULL, vocabulary=WORDS)
    return replace(
        FULL,
        vision=replace(FULL.vision, depth=depth),
        text=replace(FULL.text, depth=depth),
        expert=replace(FULL.expert, depth=depth),
        vocabulary=WORDS,
    )


Clock = Callable[[], float]
"""Seconds from any start: `time.perf_counter`, or `time.process_time` on a processor that others use too."""


def measure_machine(device: torch.device, dtype: torch.dtype, *, clock: Clock = time.perf_counter) -> Machine:
    """Return peak and bandwidth, each the best of five; the peak by the product's own multiplication."""
    is_gpu = device.type == "cuda"
    n, words = (8192, 1 << 28) if is_gpu else (1024, 1 << 25)
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(words, device=device)
    into = torch.empty_like(source)
    with torch.inference_mode():
        matmul_s = min(measured_ms(lambda: linear(a, b), device, 5, clock=clock)) / 1e3
    copy_s = min(measured_ms(lambda: into.copy_(source), device, 5, clock=clock)) / 1e3
    name = torch.cuda.get_device_name(device) if is_gpu else f"CPU, {torch.get_num_threads()} threads"
    return Machine(name, 2 * n**3 / matmul_s / 1e12, 2 * 4 * words / copy_s / 1e9)


def measure(
    *,
    device: torch.device,
    dtype: torch.dtype,
    machine: Machine,
    size: ModelSize,
    batches: tuple[int, ...],
    horizons: tuple[int, ...],
    cameras: int,
    words: int,
    repeats: int,
    told: Callable[[Timing], None] = lambda _: None,
    clock: Clock = time.perf_counter,
) -> list[Timing]:
    """Return the times of encode, one step and a whole fan (reverse 10, forward 10).

    Args:
        device: where.
        dtype: type of the weights.
        machine: from `measure_machine`.
        size: of the network.
        batches: candidates.
        horizons: rows of a chunk.
        cameras: images.
        words: prompt tokens.
        repeats: measurements per part; the median is reported.
        told: called with each result at once.
        clock: returns seconds from any start.
    """
    results: list[Timing] = []

    def note(what: str, batch: int, horizon: int, mode: str, run: Callable[[], object], limit: float) -> None:
        ms = statistics.median(measured_ms(run, device, repeats, clock=clock))
        timing = Timing(what, batch, horizon, mode, ms, repeats, limit)
        results.append(timing)
        told(timing)

    with torch.inference_mode():
        model = Pi05Model(RandomSource(size, device=device, dtype=dtype), size)
        side = size.vision.image
        pictures = torch.rand(cameras, 3, side, side, device=device) * 2.0 - 1.0
        prompt = torch.randint(0, size.vocabulary, (words,), device=device)
        cache, _ = model.encode(pictures, prompt)
        length = cache.length
        weight_bytes = torch.empty(0, dtype=dtype).element_size()

        def limit(flops: float, weights: float) -> float:
            return 1e3 * max(flops / machine.tflops / 1e12, weights * weight_bytes / machine.gb_per_s / 1e9)

        encode_limit = limit(*encode_work(size, cameras=cameras, length=length))
        note("encode", 1, 0, "eager", lambda: model.encode(pictures, prompt), encode_limit)
        for horizon in horizons:
            for batch in batches:
                step = limit(*step_work(size, batch=batch, horizon=horizon, length=length))
                for mode in ("eager", "graph") if device.type == "cuda" else ("eager",):
                    one, fan = _loops(model, cache, batch=batch, horizon=horizon, is_recorded=mode == "graph")
                    note("one step", batch, horizon, mode, one, step)
                    note("fan", batch, horizon, mode, fan, 2 * STEPS * step)
    return results


def _loops(
    model: Pi05Model, cache: PrefixCache, *, batch: int, horizon: int, is_recorded: bool
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return one velocity and a whole fan, as the policy runs them.

    Raises:
        RuntimeError: a recording was requested and failed.
    """
    loops = LoopCache(device=model.device, is_enabled=is_recorded, hold=model.expert.tabulated)
    x = torch.randn(batch, horizon, model.size.width, device=model.device)
    commanded = torch.ones(batch, model.size.width, dtype=torch.bool, device=model.device)
    plan = SteeringPlan(steps=STEPS)
    values = {"x": x, "commanded": commanded, "fresh": seeded_noise(plan, x)}
    layout = Layout(cache, batch=batch, horizon=horizon)

    def field(where: Layout) -> flow.Velocity:
        return lambda x, t: model.velocity(where, x, t)

    def fan(where: Layout, given: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        steered = steer(field(where), Reference(given["x"], given["commanded"]), plan, fresh=given["fresh"])
        return steered.noise, steered.chunk, steered.recovered

    if not is_recorded:
        return lambda: model.velocity(layout, x, 0.5), lambda: fan(layout, values)

    def recorded(key: str, function: Callable[..., tuple[torch.Tensor, ...]], given: dict[str, torch.Tensor]) -> object:
        results = loops.run(key, function, cache=cache, values=given)
        if not loops.is_enabled:
            raise RuntimeError(f"CUDA graphs: {loops.reason}")
        return results

    return (
        lambda: recorded("step", lambda where, given: (field(where)(given["x"], 0.5),), {"x": x}),
        lambda: recorded("fan", fan, values),
    )


def encode_work(size: ModelSize, *, cameras: int, length: int) -> tuple[float, float]:
    """Return the operations of one encoding, and how many weights it reads."""
    v = size.vision
    vision_weights = v.depth * (4 * v.width**2 + 2 * v.width * v.mlp) + v.width * size.text.width
    vision = cameras * (2 * v.tokens * vision_weights + 4 * v.depth * v.tokens**2 * v.width)
    text_weights = size.text.depth * _layer_weights(size.text)
    attention = 4 * size.text.depth * length**2 * size.text.heads * size.text.head_dim
    return vision + 2 * length * text_weights + attention, vision_weights + text_weights


def step_work(size: ModelSize, *, batch: int, horizon: int, length: int) -> tuple[float, float]:
    """Return the operations of one velocity call, and how many weights and cached numbers it reads."""
    e, rows = size.expert, batch * horizon
    weights = e.depth * _layer_weights(e)
    attention = 4 * e.depth * rows * (length + horizon) * e.heads * e.head_dim
    return 2 * rows * weights + attention, weights + 2 * e.depth * length * e.head_dim


def _layer_weights(size: GemmaSize) -> int:
    return size.width * (2 * size.heads + 2) * size.head_dim + 3 * size.width * size.mlp


def measured_ms(
    run: Callable[[], object], device: torch.device, repeats: int, *, clock: Clock = time.perf_counter
) -> list[float]:
    """Return milliseconds of each repeat, after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = clock()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((clock() - start) * 1e3)
    return times
