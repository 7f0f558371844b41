"""How far this product's pi0.5 is from the other implementations, on the tiny network in the tests' fixtures.

    python -m benchmarks.bench_parity

Prints a Markdown table: largest absolute differences in float32 of the prefix states, of the velocity (5 times, 4 rows) and of a
ten-step sample, against stored answers of LeRobot 0.6.1 and of openpi's two models (tests/fixtures/pi05/README.md). The values
compared are of size 1. openpi's JAX weights go through the product's own converter first (needs the extra `pi05`).
"""

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from frs_core.making.pi05.convert import convert
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.presets import find_preset
from frs_core.policies.pi05.sizes import size_of
from frs_core.policies.pi05.weights import FileSource, read_header
from frs_core.steering import flow
from tests.fakes.pi05 import FIXTURE, HORIZON, make_checkpoint

TIMES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Of the stored velocities, in the references' time (1 = noise)."""

CPU = torch.device("cpu")
Tensors = dict[str, torch.Tensor]


def main() -> None:
    """Compare and print."""
    torch.set_num_threads(1)
    inputs = load_file(FIXTURE / "inputs.safetensors")
    print("| against | prefix states | velocity | ten-step sample | largest value |")
    print("|---|---|---|---|---|")
    with torch.inference_mode(), tempfile.TemporaryDirectory() as scratch:
        own = load(FIXTURE / "weights.safetensors", prefix="model.")
        compare("LeRobot 0.6.1", own, inputs, load_file(FIXTURE / "lerobot_outputs.safetensors"))
        compare("openpi, PyTorch model", own, inputs, load_file(FIXTURE / "openpi_outputs.safetensors"))
        converted = load(converted_from_jax(Path(scratch)), prefix="")
        theirs = load_file(FIXTURE / "openpi_jax/outputs.safetensors")
        compare("openpi, JAX model, through `convert.py`", converted, inputs, theirs)


def load(path: Path, *, prefix: str, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> Pi05Model:
    """Return the network of a file."""
    size = size_of({name.removeprefix(prefix): shape for name, shape in read_header(path).items()})
    return Pi05Model(FileSource(path, device=device, dtype=dtype), size)


def converted_from_jax(scratch: Path) -> Path:
    """Return the file that the product makes of openpi's own format."""
    source = scratch / "pi05_droid.openpi"
    source.mkdir()
    (source / "params").symlink_to(FIXTURE / "openpi_jax/params", target_is_directory=True)
    (source / "assets").symlink_to(make_checkpoint(scratch / "other") / "assets", target_is_directory=True)
    return convert(source, scratch / "out", preset=find_preset("pi05_droid")) / "model.safetensors"


def compare(name: str, model: Pi05Model, inputs: Tensors, theirs: Tensors) -> None:
    """Print one row."""
    pairs = [(answer, theirs[key]) for key, answer in answers(model, inputs).items()]
    differences = " | ".join(f"{float((a - b).abs().max()):.1e}" for a, b in pairs)
    print(f"| {name} | {differences} | {max(float(b.abs().max()) for _, b in pairs):.1f} |")


def answers(model: Pi05Model, inputs: Tensors) -> Tensors:
    """Return the prefix states, the velocities at `TIMES` and a ten-step sample, as the references store them.

    Args:
        model: on any device.
        inputs: images, tokens and noise of the fixture, on the CPU.
    """
    given = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    pixels = given["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    hidden, cache = model.prefix(model.embed(pixels, given["tokens"]))
    layout, noise = Layout(cache, batch=len(given["noise"]), horizon=HORIZON), given["noise"]
    velocity = torch.stack([-model.velocity(layout, noise, 1.0 - t) for t in TIMES])
    sample = flow.denoise(lambda x, t: model.velocity(layout, x, t), noise, steps=10)
    return {"prefix_hidden": hidden, "velocity": velocity, "sample": sample}


if __name__ == "__main__":
    main()
