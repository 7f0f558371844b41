"""pi0.5 on a card: recorded loops, bfloat16 and fused pieces against the plain arithmetic in float32 on the CPU.

Each test runs on the CPU too, where loops run unrecorded and nothing is fused: what is compared is tried everywhere.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from frs_core.policies.pi05 import Pi05Policy, load
from frs_core.policies.pi05.fused import Fused
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.sizes import size_of
from frs_core.policies.pi05.weights import FileSource, read_header
from frs_core.steering.methods import Fill, Method, Reference, Solver, SteeringPlan, gaussian
from tests.fakes.pi05 import FIXTURE, HORIZON, make_checkpoint, make_observation
from tests.rounding import bound

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))
TYPES = ("float32", "bfloat16")
on_both = pytest.mark.parametrize("device", DEVICES)

SINGLE = bound(sums=160, layers=6)
"""float32: one evaluation of the tiny network, two layers of three products each."""
FAN = bound(sums=160, layers=6, evaluations=20)
HALF = 2e-2
"""bfloat16, relative to the norm: five roundings of 2**-8 to either side."""


PLANS = [
    SteeringPlan(seed=3, components=3),
    SteeringPlan(seed=3, components=4, fill=Fill.NOISE, clamp=0.7),
    SteeringPlan(seed=3, depth=6),
    SteeringPlan(seed=3, solver=Solver.FIXED_POINT, iterations=3, steps=4),
    SteeringPlan(seed=3, method=Method.PARTIAL_NOISING),
    SteeringPlan(seed=3, method=Method.FLOW_CONTROL),
]
IDS = ["components", "fill", "depth", "fixed point", "partial noising", "flow control"]


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float().cpu() - b.float().cpu()).nan_to_num().abs().max())


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.float().cpu(), b.float().cpu()
    assert torch.isfinite(a).all()
    return float((a - b).norm() / b.norm())


def references(*, batch: int, seed: int = 5) -> Reference:
    x = torch.zeros(batch, HORIZON, 32)
    x[..., :7] = 0.4 * gaussian((batch, 1, 7), seed=seed)
    commanded = torch.zeros(batch, 32, dtype=torch.bool)
    commanded[:, :7] = True
    return Reference(x, commanded)


def tiny(device: str, dtype: torch.dtype) -> Pi05Model:
    path = FIXTURE / "weights.safetensors"
    size = size_of({name.removeprefix("model."): shape for name, shape in read_header(path).items()})
    return Pi05Model(FileSource(path, device=torch.device(device), dtype=dtype), size)


def plain(policy: Pi05Policy) -> Pi05Policy:
    """Return the policy with loops that are not recorded."""
    policy.loops.is_enabled = False
    return policy


def is_recorded(policy: Pi05Policy, device: str) -> None:
    """Check that loops are recorded where there is a card."""
    assert policy.loops.is_enabled == (device == "cuda"), policy.loops.reason


@on_both
def test_the_network_in_float32_gives_lerobots_answers(device: str) -> None:
    inputs = {name: tensor.to(device) for name, tensor in load_file(FIXTURE / "inputs.safetensors").items()}
    theirs = load_file(FIXTURE / "lerobot_outputs.safetensors")
    with torch.inference_mode():
        model = tiny(device, torch.float32)
        pixels = inputs["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0
        hidden, cache = model.prefix(model.embed(pixels, inputs["tokens"]))
        layout = Layout(cache, batch=len(inputs["noise"]), horizon=HORIZON)
        velocity = torch.stack([-model.velocity(layout, inputs["noise"], 1.0 - t) for t in (0.0, 0.1, 0.5, 0.9, 1.0)])
    assert largest(hidden, theirs["prefix_hidden"]) < SINGLE
    assert largest(velocity, theirs["velocity"]) < SINGLE


@on_both
def test_the_network_in_bfloat16_is_near_float32(device: str) -> None:
    inputs = {name: tensor.to(device) for name, tensor in load_file(FIXTURE / "inputs.safetensors").items()}
    theirs = load_file(FIXTURE / "lerobot_outputs.safetensors")
    with torch.inference_mode():
        model = tiny(device, torch.bfloat16)
        pixels = inputs["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0
        hidden, cache = model.prefix(model.embed(pixels, inputs["tokens"]))
        layout = Layout(cache, batch=len(inputs["noise"]), horizon=HORIZON, slots=128)
        velocity = torch.stack([-model.velocity(layout, inputs["noise"], 1.0 - t) for t in (0.0, 0.1, 0.5, 0.9, 1.0)])
    assert relative(hidden, theirs["prefix_hidden"]) < HALF
    assert relative(velocity, theirs["velocity"]) < HALF


@on_both
@pytest.mark.parametrize("dtype", TYPES)
def test_a_recorded_fan_equals_the_cpus(tmp_path: Path, device: str, dtype: str) -> None:
    folder, batch, plan = make_checkpoint(tmp_path), references(batch=13), SteeringPlan(seed=1)
    on_cpu, policy = load(folder, device="cpu"), load(folder, device=device, dtype=dtype)
    expected = on_cpu.steer(on_cpu.encode(make_observation()), batch, plan)
    context = policy.encode(make_observation())
    for _ in range(2):  # the first records and replays, the second replays
        got = policy.steer(context, batch, plan)
        is_recorded(policy, device)
        for name in ("noise", "chunk", "recovered"):
            a, b = getattr(got, name), getattr(expected, name)
            assert (largest(a, b) < FAN) if dtype == "float32" else (relative(a, b) < HALF), name


@on_both
@pytest.mark.parametrize("plan", PLANS, ids=IDS)
def test_every_plan_is_recorded_and_agrees_with_the_plain_loop(tmp_path: Path, device: str, plan: SteeringPlan) -> None:
    policy, batch = load(make_checkpoint(tmp_path), device=device, dtype="float32"), references(batch=3)
    context = policy.encode(make_observation())
    recorded = policy.steer(context, batch, plan)
    is_recorded(policy, device)
    expected = plain(policy).steer(context, batch, plan)
    assert largest(recorded.chunk, expected.chunk) < FAN
    assert largest(recorded.noise, expected.noise) < FAN


class Watch(TorchDispatchMode):
    """Notes the operations that a recording forbids: they wait for the card, or move data to or from it."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal", "is_nonzero", "_pin_memory")

    def __init__(self) -> None:
        super().__init__()
        self.count, self.seen = 0, set[str]()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.count += 1
        is_mask = name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in self.FORBIDDEN or is_mask or "rand" in name:
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("plan", PLANS, ids=IDS)
def test_a_loop_does_nothing_that_a_recording_forbids(tmp_path: Path, plan: SteeringPlan) -> None:
    policy = load(make_checkpoint(tmp_path), device="cpu")
    context = policy.encode(make_observation())
    policy.loops.is_enabled = True  # on a CPU the recording fails, and leaves the loop that it would have recorded
    policy.steer(context, references(batch=3), plan)
    (loop,) = policy.loops._loops.values()
    with torch.inference_mode(), Watch() as watch:
        loop.run()
    assert watch.count > 100
    assert watch.seen == set()


@on_both
def test_a_recording_serves_other_prompts_seeds_and_references(tmp_path: Path, device: str) -> None:
    policy = load(make_checkpoint(tmp_path), device=device, dtype="float32")
    for instruction in ("pick up the red cup", "open the drawer on the left", "pick up the red cup"):
        context = policy.encode(make_observation(instruction=instruction))
        for seed in (1, 2):
            batch, plan = references(batch=13, seed=seed), SteeringPlan(seed=seed, components=3)
            policy.loops.is_enabled = device == "cuda"
            recorded = policy.steer(context, batch, plan)
            is_recorded(policy, device)
            assert largest(recorded.chunk, plain(policy).steer(context, batch, plan).chunk) < FAN


@on_both
def test_a_fan_is_not_changed_by_the_next_one(tmp_path: Path, device: str) -> None:
    policy = load(make_checkpoint(tmp_path), device=device, dtype="float32")
    context, plan = policy.encode(make_observation()), SteeringPlan(seed=1)
    first = policy.steer(context, references(batch=8), plan)
    kept = {name: getattr(first, name).clone() for name in ("noise", "chunk", "recovered")}
    policy.steer(context, references(batch=8, seed=6), plan)
    policy.denoise(context, gaussian((8, HORIZON, 32), seed=2))
    is_recorded(policy, device)
    for name, before in kept.items():
        assert torch.equal(getattr(first, name), before), name


@on_both
def test_recordings_of_several_sizes_share_memory_without_harm(tmp_path: Path, device: str) -> None:
    policy = load(make_checkpoint(tmp_path), device=device, dtype="float32")
    context, plan, sizes = policy.encode(make_observation()), SteeringPlan(seed=1), (1, 8, 13)
    policy.loops.is_enabled = False
    expected = {n: policy.steer(context, references(batch=n), plan).chunk for n in sizes}
    policy.loops.is_enabled = device == "cuda"
    for n in (*sizes, *reversed(sizes)):
        assert largest(policy.steer(context, references(batch=n), plan).chunk, expected[n]) < FAN, n
    is_recorded(policy, device)


@on_both
@pytest.mark.parametrize("dtype", TYPES)
def test_a_stored_noise_regenerates_its_chunk(tmp_path: Path, device: str, dtype: str) -> None:
    policy = load(make_checkpoint(tmp_path), device=device, dtype=dtype)
    context = policy.encode(make_observation())
    steered = policy.steer(context, references(batch=8), SteeringPlan(seed=1))
    one = policy.denoise(context, steered.noise[3:4])
    is_recorded(policy, device)
    if dtype == "float32":
        assert largest(one, steered.chunk[3:4]) < FAN
    else:
        assert relative(one, steered.chunk[3:4]) < HALF


@on_both
def test_loops_are_recorded_again_after_they_were_dropped(tmp_path: Path, device: str) -> None:
    policy = load(make_checkpoint(tmp_path), device=device, dtype="float32")
    context, batch, plan = policy.encode(make_observation()), references(batch=3), SteeringPlan(seed=1)
    before = policy.steer(context, batch, plan).chunk
    policy.close()
    assert largest(policy.steer(context, batch, plan).chunk, before) < FAN
    is_recorded(policy, device)


@on_both
def test_rows_do_not_influence_each_other(device: str) -> None:
    noise = load_file(FIXTURE / "inputs.safetensors")["noise"].to(device)
    with torch.inference_mode():
        model = tiny(device, torch.float32)
        pixels = torch.zeros(2, 3, model.size.vision.image, model.size.vision.image, device=device)
        cache, _ = model.encode(pixels, torch.arange(11, device=device))
        disturbed = noise.clone()
        disturbed[1:] = 100.0 * gaussian(tuple(noise[1:].shape), seed=0, device=device)
        got = [model.velocity(Layout(cache, batch=len(noise), horizon=HORIZON), x, 0.3)[0] for x in (noise, disturbed)]
    assert largest(*got) < 1e-6


@on_both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_pieces_between_multiplications_are_fused_on_a_card(device: str, dtype: torch.dtype) -> None:
    fused = Fused.for_device(torch.device(device), dtype)
    assert (fused == Fused.plain()) == (device == "cpu")
    reference, rounding = Fused.plain(), 1e-5 if dtype is torch.float32 else HALF
    for rows in (1, 10, 120, 650):  # one candidate of a row to thirteen of fifty, at the released widths
        h, y = (gaussian((rows, 1024), seed=i, device=device).to(dtype) for i in (1, 2))
        row, following = (gaussian((3, 1024), seed=i, device=device) for i in (3, 4))
        qkv = gaussian((rows, 10, 256), seed=5, device=device).to(dtype)
        cos, sin = (gaussian((rows, 1, 128), seed=i, device=device).clamp(-1, 1) for i in (6, 7))
        gate_up = gaussian((rows, 8192), seed=8, device=device).to(dtype)
        with torch.inference_mode():
            pairs = [
                (fused.modulate(h, row), reference.modulate(h, row)),
                *zip(
                    fused.add_and_modulate(h, y, row, following),
                    reference.add_and_modulate(h, y, row, following),
                    strict=True,
                ),
                *zip(fused.turn(qkv, cos, sin), reference.turn(qkv, cos, sin), strict=True),
                (fused.geglu(gate_up), reference.geglu(gate_up)),
            ]
        for a, b in pairs:
            assert a.dtype == b.dtype
            assert relative(a, b) < rounding
