"""Does the card compute what the CPU computes? The tiny pi0.5 of the tests' fixtures, and two full-width layers.

Tiny: float32 and bfloat16 on the device, step by step and recorded, against float32 on the CPU and against LeRobot's stored answers.
Wide: layers of the released widths pick other kernels than tiny ones, so bfloat16 is compared there with float32 of the same numbers
on the device. On a CPU "recorded" is the loop in fixed memory that a card would record.

Bounds are relative, |a - b| / |b|. float32: as in the tests, by number of roundings. bfloat16: five roundings of 2**-8; on a CPU the prefix
is 9e-3 from float32 and a fan, whose steps are mostly its start, 3e-3.
"""

from collections.abc import Callable

import torch
from safetensors.torch import load_file

from benchmarks.bench_parity import FIXTURE, HORIZON, Tensors, answers, load
from benchmarks.gpu.fans import make_fan
from benchmarks.gpu.sizes import BATCH, CAMERAS, WORDS, size_for
from benchmarks.gpu.task import Task
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.weights import RandomSource, WeightSource

BOUNDS = {
    "float32": {"prefix_hidden": 1e-4, "velocity": 1e-4, "sample": 1e-3, "fan": 1e-3},
    "bfloat16": dict.fromkeys(("prefix_hidden", "velocity", "sample", "fan"), 2e-2),
}
"""Largest relative difference by type and what is compared."""


def run(task: Task) -> None:
    """Compare, and fail where a bound is passed."""
    device = task.torch_device()
    inputs = load_file(FIXTURE / "inputs.safetensors")
    stored = load_file(FIXTURE / "lerobot_outputs.safetensors")
    weights = FIXTURE / "weights.safetensors"
    rows: list[dict[str, object]] = []

    def compare(what: str, kind: str, way: str, got: Tensors, expected: Tensors) -> None:
        for name, a in got.items():
            b = expected[name].to(a.device, torch.float32)
            difference = (a.float() - b).norm() / b.norm()
            row = {
                "what": what,
                "dtype": kind,
                "way": way,
                "quantity": name,
                "relative": float(difference),
                "largest": float((a.float() - b).abs().max()),
                "bound": BOUNDS[kind][name],
            }
            row["is_within"] = bool(row["relative"] <= row["bound"])
            rows.append(row)
            print(row, flush=True)
            task.add("rows", row)

    with torch.inference_mode():
        reference = load(weights, prefix="model.")
        expected = answers(reference, inputs) | {"fan": _fan(reference, inputs, is_recorded=False)}
        for dtype in (torch.float32, torch.bfloat16):
            model, kind = load(weights, prefix="model.", device=device, dtype=dtype), str(dtype).removeprefix("torch.")
            got = answers(model, inputs)
            compare("tiny, against the CPU", kind, "eager", got, expected)
            compare("tiny, against LeRobot's answers", kind, "eager", got, stored)
            for way in ("eager", "recorded"):
                fan = _fan(model, inputs, is_recorded=way == "recorded")
                compare("tiny, against the CPU", kind, way, {"fan": fan}, expected)
        _compare_wide(task, compare)
    beyond = [row for row in rows if not row["is_within"]]
    worst = {kind: max(r["relative"] for r in rows if r["dtype"] == kind) for kind in BOUNDS}  # type: ignore[type-var]
    task.say(
        f"{len(rows) - len(beyond)} of {len(rows)} within bounds; largest "
        + ", ".join(f"{k} {v:.1e}" for k, v in worst.items())
    )
    if beyond:
        first = beyond[0]
        raise AssertionError(
            f"{len(beyond)} of {len(rows)} comparisons are beyond their bound, the first: {first['what']}, {first['dtype']}, {first['way']}, "
            f"{first['quantity']}: {first['relative']:.2g}, at most {first['bound']:.2g}"
        )


def _fan(model: Pi05Model, inputs: Tensors, *, is_recorded: bool) -> torch.Tensor:
    """Return noises, chunks and recovered noises of a fan over the fixture's observation, joined."""
    pixels = inputs["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    cache, _ = model.encode(pixels.to(model.device), inputs["tokens"].to(model.device))
    fan = make_fan(model, cache, batch=BATCH, horizon=HORIZON, is_recorded=is_recorded)
    fan()  # the second call replays
    return torch.cat(fan())


def _compare_wide(task: Task, compare: Callable[[str, str, str, Tensors, Tensors], None]) -> None:
    """Compare bfloat16 with float32 of the same numbers at the released widths, two layers deep."""
    device, size = task.torch_device(), size_for(is_small=task.is_small, depth=2)
    single = Pi05Model(RandomSource(size, device=device, dtype=torch.float32), size)
    half = Pi05Model(Rounded(RandomSource(size, device=device, dtype=torch.float32), torch.bfloat16), size)
    drawn, side = torch.Generator().manual_seed(0), size.vision.image
    pixels = (torch.rand(CAMERAS, 3, side, side, generator=drawn) * 2.0 - 1.0).to(device)
    prompt = torch.randint(0, size.vocabulary, (WORDS,), generator=drawn).to(device)
    x = torch.randn(BATCH, HORIZON, size.width, generator=drawn).to(device)

    def of(model: Pi05Model, *, is_recorded: bool) -> Tensors:
        hidden, cache = model.prefix(model.embed(pixels, prompt))
        layout = Layout(cache, batch=BATCH, horizon=HORIZON)
        fan = make_fan(model, cache, batch=BATCH, horizon=HORIZON, is_recorded=is_recorded)
        fan()
        return {"prefix_hidden": hidden, "velocity": model.velocity(layout, x, 0.5), "fan": torch.cat(fan())}

    expected = of(single, is_recorded=False)
    what = "two layers of the released widths, against float32 on the device"
    compare(what, "float32", "recorded", of(single, is_recorded=True), expected)
    for way in ("eager", "recorded"):
        compare(what, "bfloat16", way, of(half, is_recorded=way == "recorded"), expected)


class Rounded(WeightSource):
    """The numbers of another source in another type."""

    def __init__(self, source: WeightSource, dtype: torch.dtype) -> None:
        super().__init__(device=source.device, dtype=dtype)
        self._source = source

    def _read(self, name: str) -> torch.Tensor:
        return self._source.get(name)
