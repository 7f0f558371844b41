"""Flow Reversal Steering: from a coarse command to a precise chunk near a mode of the policy's prior.

Problem: a person can say "left", not seven joint speeds at 15 Hz. Idea: run the policy's flow backwards from the coarse
reference to a noise, keep the part of that noise that carries the command, and run forwards again. The result goes left
the way the policy would have gone left. The noise is what a noise policy later learns.

Which part to keep is a property of the policy (see `frs policy calibrate`): a constant command lies far outside the data
and its recovered noise carries high temporal frequencies that decode back to something near the useless reference.
`components` keeps the lowest ones of a discrete cosine transform along the chunk; 1 keeps the chunk mean.

Example: H = 16, K = 10, components = 1: twelve references [12, 16, 7] become twelve noises whose rows are all equal (in the
commanded dimensions), and twelve chunks, in 20 velocity calls of batch 12.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.steering import flow
from frs_core.steering.plan import Fill, Method, Solver, SteeringPlan
from frs_core.tensors import Tensor, torch


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What is asked of the policy, for a batch of candidates."""

    x: Float[Tensor, "B H A"]
    """Normalised reference chunks."""
    commanded: Bool[Tensor, "B A"]
    """Which dimensions each command sets; padding and the rest are left to the policy."""


@dataclass(frozen=True, slots=True, eq=False)
class SteeredRows:
    """`Steered` in NumPy's arrays, as the cockpit keeps it."""

    noise: Float[Array, "B H A"]
    chunk: Float[Array, "B H A"]
    recovered: Float[Array, "B H A"]


@dataclass(frozen=True, slots=True, eq=False)
class Steered:
    """A batch of steered candidates."""

    noise: Float[Tensor, "B H A"]
    """What was denoised, after projection: denoising it again gives `chunk` (when depth is full)."""
    chunk: Float[Tensor, "B H A"]
    """Normalised."""
    recovered: Float[Tensor, "B H A"]
    """The reversal's result before projection."""


def gaussian(shape: tuple[int, ...], *, seed: int, device: "torch.device | str" = "cpu") -> Float[Tensor, "*shape"]:
    """Return N(0, 1) drawn on the CPU from a seed, so that every device sees the same numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device)


_BLOCK = 16
"""Numbers that PyTorch turns into normal ones together. Source: ATen DistributionTemplates.h, normal_fill."""
_SEEDS = (1 << 32) - 1
"""What PyTorch's twister takes of a seed."""


def gaussian_array(shape: tuple[int, ...], *, seed: int) -> Float[Array, "..."]:
    """Return `gaussian` without PyTorch, equal but for rounding.

    Both start the same Mersenne twister; pairs of its numbers, eight apart, become normal ones by Box and Muller. A last block that is not
    full is drawn anew. Fewer than 16 numbers come one by one, from neighbours of 53 bits each.
    """
    count = math.prod(shape)
    drawn = np.random.RandomState(seed & _SEEDS).randint(
        0, 1 << 32, size=max(count, 2 * _BLOCK) + _BLOCK, dtype=np.uint32
    )
    if count < _BLOCK:
        wide = drawn[::2].astype(np.uint64) << np.uint64(32) | drawn[1::2].astype(np.uint64)
        fine = (wide & np.uint64((1 << 53) - 1)).astype(np.float64) / (1 << 53)
        pairs = _box_muller(np.concatenate([fine[1:_BLOCK:2], fine[:_BLOCK:2]])[None])[0]
        normal = pairs.reshape(2, -1).T.reshape(-1)[:count]
        return normal.astype(np.float32).reshape(shape)
    uniform = drawn[: count + _BLOCK] & ((1 << 24) - 1)
    uniform = uniform.astype(np.float64) / (1 << 24)
    whole = count // _BLOCK * _BLOCK
    normal = np.concatenate([_box_muller(uniform[:whole].reshape(-1, _BLOCK)).reshape(-1), np.zeros(count - whole)])
    if whole < count:
        normal[count - _BLOCK :] = _box_muller(uniform[count:][None])[0]
    return normal.astype(np.float32).reshape(shape)


def _box_muller(uniform: Float[Array, "n 16"]) -> Float[Array, "n 16"]:
    first, second = uniform[:, : _BLOCK // 2], uniform[:, _BLOCK // 2 :]
    radius, angle = np.sqrt(-2.0 * np.log1p(-first)), 2.0 * math.pi * second
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def steer(
    velocity: flow.Velocity,
    reference: Reference,
    plan: SteeringPlan,
    *,
    fresh: Float[Tensor, "1 H A"] | None = None,
) -> Steered:
    """Return the steered candidates of a batch of references; rows do not influence each other.

    Args:
        velocity: the policy's field for one observation.
        reference: normalised references with their commanded dimensions.
        plan: all settings.
        fresh: `seeded_noise(plan, ..)` already on the device, for callers that may not draw here (a captured graph).
    """
    if fresh is None:
        fresh = seeded_noise(plan, reference.x)
    match plan.method:
        case Method.FRS:
            return _flow_reversal(velocity, reference, plan, fresh)
        case Method.DIRECT:
            return Steered(torch.full_like(reference.x, math.nan), reference.x, reference.x)
        case Method.PARTIAL_NOISING:
            return _partial_noising(velocity, reference, plan, fresh)
        case Method.SAMPLE_AND_RANK:
            return _sample_and_rank(velocity, reference, plan)
        case Method.FLOW_CONTROL:
            return _flow_control(velocity, reference, plan, fresh)


def project_noise(
    recovered: Float[Tensor, "B H A"],
    commanded: Bool[Tensor, "B A"],
    plan: SteeringPlan,
    *,
    fresh: Float[Tensor, "1 H A"],
) -> Float[Tensor, "B H A"]:
    """Return the noise to denoise: the recovered one's low temporal components where commanded, fresh noise elsewhere.

    Args:
        recovered: the reversal's result.
        commanded: per candidate, the dimensions whose noise is kept.
        plan: components, fill, clamp, leave_uncommanded.
        fresh: seeded N(0, 1) shared by all candidates.
    """
    horizon = recovered.shape[1]
    keep = horizon if plan.components is None else min(plan.components, horizon)
    basis = dct_basis(horizon, device=recovered.device, dtype=recovered.dtype)[:keep]
    low = basis.T @ basis
    kept = low @ recovered if keep < horizon else recovered
    if plan.clamp is not None:
        mask = commanded[:, None, :].to(kept.dtype)
        count = (mask.sum(dim=(1, 2)) * horizon).clamp(min=1.0)
        rms = ((kept**2 * mask).sum(dim=(1, 2)) / count).sqrt()
        kept = kept * (plan.clamp / rms.clamp(min=plan.clamp))[:, None, None]
    if keep < horizon and plan.fill is Fill.NOISE:
        kept = kept + plan.fill_scale * (fresh - low @ fresh)
    if not plan.leave_uncommanded:
        return kept
    return torch.where(commanded[:, None, :], kept, fresh.expand_as(kept))


def nearest_noise(noises: Float[Array, "B H c"], noise: Float[Array, "H c"], *, components: int | None) -> int:
    """Return which noise is nearest to another in the temporal components that a plan keeps; None = all of them."""
    horizon = noise.shape[0]
    basis = dct_basis(horizon).numpy()[: components or horizon]
    kept = np.einsum("kh,bha->bka", basis, noises - noise)
    return int(np.argmin((kept**2).sum(axis=(1, 2))))


@functools.lru_cache(maxsize=32)
def dct_basis(
    horizon: int, *, device: "torch.device | str" = "cpu", dtype: "torch.dtype | None" = None
) -> Float[Tensor, "H H"]:
    """Return the orthonormal DCT-II basis, one component per row, lowest first; float32 unless another type is given."""
    # A cached tensor must serve training too, whichever mode it was first asked for in.
    with torch.inference_mode(False):
        n = torch.arange(horizon, dtype=torch.float64)
        basis = torch.cos(math.pi / horizon * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / horizon)
        basis[0] /= math.sqrt(2)
        return basis.to(device=device, dtype=dtype or torch.float32)


def seeded_noise(plan: SteeringPlan, x: Float[Tensor, "B H A"]) -> Float[Tensor, "1 H A"]:
    """Return the plan's N(0, 1) that all candidates share, on the device and in the type of `x`."""
    return gaussian((1, *x.shape[1:]), seed=plan.seed, device=x.device).to(x.dtype)


def _flow_reversal(velocity: flow.Velocity, reference: Reference, plan: SteeringPlan, fresh: Tensor) -> Steered:
    x, depth = reference.x, plan.depth or plan.steps
    if plan.solver is Solver.FIXED_POINT:
        recovered = flow.invert(velocity, x, steps=plan.steps, iterations=plan.iterations, damping=plan.damping)
        depth = plan.steps
    else:
        recovered = flow.reverse(velocity, x, steps=plan.steps, depth=depth, t_max=plan.t_max)
    if depth < plan.steps:
        # Uncommanded dimensions follow the policy's own sample at the same time of the flow.
        own = flow.denoise(velocity, fresh, steps=plan.steps, depth=plan.steps)
        t = 1.0 - depth / plan.steps
        fresh = t * own + (1.0 - t) * fresh
    start = project_noise(recovered, reference.commanded, plan, fresh=fresh)
    chunk = flow.denoise(velocity, start, steps=plan.steps, depth=depth)
    return Steered(start, chunk, recovered)


def _partial_noising(velocity: flow.Velocity, reference: Reference, plan: SteeringPlan, fresh: Tensor) -> Steered:
    t = plan.noising_time
    depth = max(1, round((1.0 - t) * plan.steps))
    start = torch.where(reference.commanded[:, None, :], t * reference.x + (1.0 - t) * fresh, fresh)
    if plan.leave_uncommanded and depth < plan.steps:
        own = flow.denoise(velocity, fresh, steps=plan.steps)
        start = torch.where(reference.commanded[:, None, :], start, (t * own + (1.0 - t) * fresh).expand_as(start))
    chunk = flow.denoise(velocity, start, steps=plan.steps, depth=depth)
    return Steered(torch.full_like(chunk, math.nan), chunk, start)


def _sample_and_rank(velocity: flow.Velocity, reference: Reference, plan: SteeringPlan) -> Steered:
    noises = gaussian((plan.samples, *reference.x.shape[1:]), seed=plan.seed, device=reference.x.device).to(
        reference.x.dtype
    )
    chunks = flow.denoise(velocity, noises, steps=plan.steps)
    mask = reference.commanded[:, None, None, :].to(chunks.dtype)
    a, b = chunks[None] * mask, reference.x[:, None] * mask
    cosine = torch.nn.functional.cosine_similarity(a.flatten(2), b.flatten(2), dim=-1)
    best = cosine.argmax(dim=1)
    return Steered(noises[best], chunks[best], noises[best])


def _flow_control(velocity: flow.Velocity, reference: Reference, plan: SteeringPlan, fresh: Tensor) -> Steered:
    fresh = fresh.expand_as(reference.x)
    rows = torch.arange(reference.x.shape[1], device=reference.x.device)
    is_written = rows < (plan.control_rows or reference.x.shape[1])
    write = reference.commanded[:, None, :] & is_written[None, :, None]
    noise = torch.where(write, reference.x, fresh)
    return Steered(noise, flow.denoise(velocity, noise, steps=plan.steps), noise)
