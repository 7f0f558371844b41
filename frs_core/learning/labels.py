"""Noises for chunks that nobody steered: the labels of offline DSBC.

A demonstration holds actions, not noises. The noise that the generalist would have denoised into a chunk is found by solving
each forward Euler step backwards (a fixed point, frs_core.steering.flow.invert). Explicit Euler is not good enough here: its error
becomes label error (FlowDAgger: success 0.59 against 0.87). Each label is checked by regenerating the chunk; a chunk that
does not come back within the threshold, or only from a noise far larger than a Gaussian's, lies outside what the generalist does, and
is dropped, and counted.

Eight undamped iterations find most chunks; the rest get fifty damped ones. At K = 10 that is 80 or 500 velocity calls of
batch 1 for each chunk, so 300 chunks take minutes, not seconds, on a CPU.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ShapeMismatch, TrainingError
from frs_core.learning.progress import OnProgress, Progress, ignore_progress
from frs_core.learning.settings import LabelSettings, to_json
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import Context, FlowPolicy
from frs_core.steering import flow
from frs_core.steering.methods import gaussian


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Recovered noises and how well they regenerate their chunks."""

    noise: Float[Array, "M H A"]
    error: Float[Array, " M"]
    """Mean squared error of the regenerated chunk over the robot's numbers, normalised units."""
    is_kept: Bool[Array, " M"]
    """Error and noise within their limits."""
    settings: LabelSettings

    def describe(self) -> dict[str, object]:
        """Return plain values for the provenance."""
        return {
            "method": "fixed point",
            "settings": to_json(self.settings),
            "chunks": len(self.error),
            "kept": int(self.is_kept.sum()),
            "error_median": float(np.median(self.error)),
            "error_worst_kept": float(self.error[self.is_kept].max()) if self.is_kept.any() else None,
            "noise_rms": float(np.sqrt(np.mean(self.noise[self.is_kept] ** 2))) if self.is_kept.any() else None,
        }


def recover_noise(
    policy: FlowPolicy,
    context: Context,
    chunk: Float[Array, "H a"],
    settings: LabelSettings | None = None,
) -> tuple[Float[Array, "H A"], float]:
    """Return the noise that denoises to a chunk, and the error of the regenerated chunk.

    Args:
        policy: the generalist.
        context: its view of the moment the chunk began.
        chunk: robot units of `policy.spec.flow`.
        settings: iterations, damping, threshold.
    Raises:
        ShapeMismatch: the chunk does not fit the policy.
    """
    settings = settings or LabelSettings()
    space, spec = policy.spec.flow, policy.spec
    if chunk.shape != (spec.horizon, space.size):
        raise ShapeMismatch(
            f"Demonstrated chunk has shape {chunk.shape}, policy '{spec.name}' needs ({spec.horizon}, {space.size}). "
            f"Cut the demonstration into chunks of the policy's horizon."
        )
    target = torch.zeros(1, spec.horizon, spec.width)
    target[0, :, : space.size] = torch.from_numpy(np.asarray(space.normalise(chunk), dtype=np.float32))
    noise, error = _attempt(policy, context, target, settings, settings.iterations, 1.0)
    if not error <= settings.threshold:
        again, worse = _attempt(policy, context, target, settings, settings.retry_iterations, settings.retry_damping)
        if worse < error or not np.isfinite(error):
            noise, error = again, worse
    return noise[0].numpy(), error


def _attempt(
    policy: FlowPolicy, context: Context, target: Tensor, settings: LabelSettings, iterations: int, damping: float
) -> tuple[Tensor, float]:
    steps, size = policy.spec.integration_steps, policy.spec.flow.size
    with torch.inference_mode():
        noise = flow.invert(
            lambda x, t: policy.velocity(context, x, t), target, steps=steps, iterations=iterations, damping=damping
        )
        # Dimensions the robot does not have get ordinary noise, as when chunks are steered.
        noise[..., size:] = gaussian(tuple(noise.shape), seed=settings.seed)[..., size:]
        again = flow.denoise(lambda x, t: policy.velocity(context, x, t), noise, steps=steps)
        error = float((again - target)[..., :size].square().mean())
    return noise, error if np.isfinite(error) else float("inf")


def label_chunks(
    policy: FlowPolicy,
    contexts: Iterable[Context],
    chunks: Float[Array, "M H a"],
    settings: LabelSettings | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> Labels:
    """Return the labels of demonstrated chunks.

    Args:
        policy: the generalist.
        contexts: one per chunk, in order; taken one at a time, so a generator may encode as it goes.
        chunks: robot units.
        settings: iterations, damping, threshold.
        on_progress: called after each chunk; False stops, and chunks not reached count as dropped.
    """
    settings = settings or LabelSettings()
    count = len(chunks)
    noise = np.full((count, policy.spec.horizon, policy.spec.width), np.nan, dtype=np.float32)
    error = np.full(count, np.inf)
    clock = _Pace(count)
    for index, (context, chunk) in enumerate(zip(contexts, chunks, strict=True)):
        noise[index], error[index] = recover_noise(policy, context, chunk, settings)
        if on_progress(clock.report(index + 1, float(error[index]))) is False:
            break
    rms = np.sqrt(np.nan_to_num(noise[..., : policy.spec.flow.size] ** 2, nan=np.inf).mean(axis=(1, 2)))
    return Labels(noise, error, (error <= settings.threshold) & (rms <= settings.largest_rms), settings)


def label_table(
    table: TrainingTable,
    policy: FlowPolicy,
    context_of: Callable[[int], Context],
    settings: LabelSettings | None = None,
    *,
    on_progress: OnProgress = ignore_progress,
) -> tuple[TrainingTable, Labels]:
    """Return the table with recovered noises, chunks beyond the limits left out, and the labels of all.

    Args:
        table: demonstrated chunks; their noises are not looked at.
        policy: the generalist.
        context_of: row -> its view of the moment the chunk began.
        settings: iterations, damping, threshold.
        on_progress: called after each chunk; False stops and keeps what is labelled.
    Raises:
        TrainingError: no chunk is within the limits.
    """
    contexts = (context_of(row) for row in range(table.rows))
    labels = label_chunks(policy, contexts, table.chunk, settings, on_progress=on_progress)
    if not labels.is_kept.any():
        raise TrainingError(
            f"None of {table.rows} demonstrated chunks can be regenerated by policy '{policy.spec.name}': best error "
            f"{labels.error.min():.2g} (limit {labels.settings.threshold:g}), smallest noise {_smallest(labels):.2g} "
            f"(limit {labels.settings.largest_rms:g}). The demonstrations lie outside its skills; "
            f"raise the limits only if they look right when replayed."
        )
    provenance = {**table.provenance, "labels": labels.describe()}
    return replace(table, noise=labels.noise, provenance=provenance).take(labels.is_kept), labels


def _smallest(labels: Labels) -> float:
    """Return the smallest RMS among recovered noises."""
    return float(np.sqrt(np.nan_to_num(labels.noise**2, nan=np.inf).mean(axis=(1, 2))).min())


class _Pace:
    """Turns chunks done into time left."""

    def __init__(self, count: int) -> None:
        self._began, self._count = time.monotonic(), count

    def report(self, done: int, error: float) -> Progress:
        """Return the progress after `done` chunks."""
        left = (time.monotonic() - self._began) / done * (self._count - done)
        return Progress(done, self._count, error, float("nan"), left, "labelling")
