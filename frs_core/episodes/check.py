"""Does the stored noise still give the stored chunk?

Problem: a noise policy is trained on stored noises; if they do not regenerate what was executed, it learns something else.
Idea: show the policy the same input again, denoise the stored noise, compare. JPEG would spoil the input, so chunk
boundaries are stored lossless; where a policy can start from its own stored features, not even they are needed.

Example: on the machine that recorded, the worst difference is 0 or a rounding error (1e-6 of a normalised unit); 1e-2 means
another policy, another preprocessing, or damage.

Runs wherever the policy may run.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.episodes.reader import Episode
from frs_core.errors import FingerprintMismatch
from frs_core.policies.base import Context, FlowPolicy
from frs_core.policies.joints import in_action_space
from frs_core.steering import flow
from frs_core.steering.candidates import CandidateKind
from frs_core.steering.plan import Method

TOLERANCE = 1e-3
"""Normalised units; above it a chunk counts as not regenerated. Guess: bf16 on another card stays below, another
policy is off by 0.1 and more."""


@runtime_checkable
class FeaturePolicy(Protocol):
    """A policy whose context can be rebuilt exactly from its features."""

    def context_from_features(self, features: Float[Array, " F"]) -> Context:
        """Return the context that `encode` gave these features with."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkCheck:
    """One chunk."""

    index: int
    error: float
    """Largest difference over the chunk, normalised units; NaN when skipped."""
    skipped: str = ""
    """Why it could not be checked."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One episode."""

    name: str
    chunks: tuple[ChunkCheck, ...]
    uses_features: bool
    """The context came from stored features; otherwise the stored images were encoded again."""

    @property
    def worst(self) -> float:
        """Largest error, normalised units; NaN when nothing could be checked."""
        return max((c.error for c in self.chunks if not c.skipped), default=math.nan)

    @property
    def n_checked(self) -> int:
        """How many chunks were regenerated."""
        return sum(not c.skipped for c in self.chunks)

    @property
    def is_good(self) -> bool:
        """Whether everything that can be regenerated was, within `TOLERANCE`."""
        return all(c.skipped or c.error <= TOLERANCE for c in self.chunks)


def has_noises(episode: Episode) -> bool:
    """Tell whether any chunk has a noise to regenerate it from; a demonstration has none. Raises EpisodeCorrupt."""
    noise = episode.arrays["chunks/noise"]
    return bool(np.isfinite(noise).reshape(len(noise), -1).all(axis=1).any())


def check(episode: Episode, policy: FlowPolicy, *, from_features: bool | None = None) -> CheckReport:
    """Return how well the stored noises regenerate the stored chunks.

    Args:
        episode: what was recorded.
        policy: the one that recorded it; tool deltas are converted to the episode's action space.
        from_features: False encodes the stored images even where features would do; None = features where possible.
    Raises:
        FingerprintMismatch: the episode is of another policy.
        EpisodeCorrupt: damaged.
        ConfigError: the policy cannot be turned to the episode's action space.
    """
    if episode.meta.policy_fingerprint != policy.spec.fingerprint:
        raise FingerprintMismatch(
            f"Episode '{episode.name}' was recorded with policy '{episode.meta.policy}' "
            f"{episode.meta.policy_fingerprint[:12]}, got '{policy.spec.name}' {policy.spec.fingerprint[:12]}. "
            f"Check it with the policy that recorded it."
        )
    policy = in_action_space(policy, episode.meta.action_space.kind)
    uses_features = isinstance(policy, FeaturePolicy) and from_features is not False
    chunks = tuple(_check_chunk(episode, policy, i, uses_features) for i in range(episode.n_chunks))
    return CheckReport(episode.name, chunks, uses_features)


def _check_chunk(episode: Episode, policy: FlowPolicy, index: int, uses_features: bool) -> ChunkCheck:
    noise = episode.arrays["chunks/noise"][index]
    plan, offers = episode.plan(index), episode.offers(index)
    kind = offers.kinds[offers.picked]
    if not np.isfinite(noise).all():
        return ChunkCheck(index, math.nan, f"method '{plan.method.value}' executes without a noise")
    x = torch.from_numpy(noise.astype(np.float32))[None]
    context = _context(episode, policy, index, uses_features)
    if kind is CandidateKind.STEERED and plan.method is Method.FRS and not plan.starts_at_noise:
        with torch.inference_mode():
            denoised = flow.denoise(lambda y, t: policy.velocity(context, y, t), x, steps=plan.steps, depth=plan.depth)
    else:
        steps = policy.spec.integration_steps if kind is CandidateKind.LEARNED else plan.steps
        denoised = policy.denoise(context, x, steps=steps)
    space = policy.spec.action_space
    chunk = policy.to_robot(denoised, episode.observation(index, has_images=False))[0]
    difference = space.normalise(chunk) - space.normalise(episode.arrays["chunks/chunk"][index])
    return ChunkCheck(index, float(np.abs(difference).max()))


def _context(episode: Episode, policy: FlowPolicy, index: int, uses_features: bool) -> Context:
    if uses_features and isinstance(policy, FeaturePolicy):
        return policy.context_from_features(episode.arrays["chunks/features"][index])
    return policy.encode(episode.observation(index))
