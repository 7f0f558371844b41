"""Judge candidates before they move, in numbers and words.

How far it goes, how far it ends from the request (bent), whose request it follows (authority: 0 = the policy's own, 1 = the
request), how unusual its noise is, and what it would run into.

Example: the policy alone would end 60 mm to the right, the request 60 mm to the left, the steered chunk 30 mm to the left:
bent 30 mm, authority 0.75.

Pure functions; run on the inference worker's thread.
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from frs_core.arrays import Array
from frs_core.robot.safety import ChunkCheck
from frs_core.steering.candidates import WEAK_AUTHORITY, Verdict, are_all_weak

_ROUNDING, _TINY = 2e-16, 1e-300


def verdicts(
    paths: Float[Array, "B points 3"],
    reference_paths: Float[Array, "n points 3"],
    percentiles: Float[Array, " B"],
    checks: list[ChunkCheck],
    *,
    rows: int,
) -> list[Verdict]:
    """Return the verdict of each candidate; row 0 is the unsteered one, then those with a reference, then the rest.

    Args:
        paths: tool centres, base frame, metres.
        reference_paths: of the n candidates after the first.
        percentiles: of their noises, NaN where unknown.
        checks: what safety says.
        rows: how many rows would be executed.
    """
    n = len(reference_paths)
    ends, asked = paths[:, rows], reference_paths[:, rows]
    motion = np.linalg.norm(ends - paths[:, 0], axis=1) * 1000
    bent, authority = np.zeros(len(paths)), np.full(len(paths), np.nan)
    authority[0] = 0.0
    if n:
        bent[1 : n + 1] = np.linalg.norm(ends[1 : n + 1] - asked, axis=1) * 1000
        span = asked - ends[0]
        length = np.einsum("nc,nc->n", span, span)
        # Where policy and request agree within 1 mm, whatever follows one follows the other.
        along = np.einsum("nc,nc->n", ends[1 : n + 1] - ends[0], span) / np.maximum(length, 1e-12)
        authority[1 : n + 1] = np.where(length < 1e-6, 1.0, np.clip(along, 0.0, 1.0))
    has_some = not are_all_weak(authority[1 : n + 1])
    return [
        Verdict(
            motion_mm=float(motion[i]),
            bent_mm=float(bent[i]),
            authority=float(authority[i]),
            noise_percentile=float(percentiles[i]),
            leaves_workspace=check.leaves_workspace,
            near_joint_limit=check.near_joint_limit,
            hits_table=check.hits_table,
            hits_itself=check.hits_itself,
            # Where no direction has authority the operator is notified once, not by every row.
            warnings=check.warnings
            + (("No authority here",) if has_some and authority[i] < WEAK_AUTHORITY and i else ()),
        )
        for i, check in enumerate(checks)
    ]


def noise_percentiles(
    noises: Float[Array, "B H A"], commanded: Bool[Array, "B A"], *, is_start: Bool[Array, " B"]
) -> Float[Array, " B"]:
    """Return which share of N(0, I) draws has a smaller norm in the commanded columns, 0..100.

    The squared norm of n Gaussian numbers follows the chi-square law with n degrees of freedom.

    Args:
        noises: what was denoised.
        commanded: columns that count.
        is_start: rows that truly are noise (t = 0); the others get NaN.
    """
    energy = np.einsum("bha,ba->b", noises.astype(np.float64) ** 2, commanded)
    count = commanded.sum(axis=1) * noises.shape[1]
    known = is_start & np.isfinite(energy) & (count > 0)
    rows = zip(energy, count, known, strict=True)
    return np.array([100.0 * chi_square_share(float(e), int(n)) if k else math.nan for e, n, k in rows])


def chi_square_share(energy: float, count: int) -> float:
    """Return which share of sums of `count` squared Gaussian numbers is below `energy`, 0..1.

    A series below the middle, a continued fraction above it; both lose no more than rounding.

    Source: Press et al., Numerical Recipes, 3rd edition, section 6.2, gser and gcf (modified Lentz).
    """
    a, x = count / 2, energy / 2
    if x <= 0.0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        n = a
        while term > total * _ROUNDING:
            n += 1.0
            term *= x / n
            total += term
        return min(1.0, front * total)
    b, c = x + 1.0 - a, 1.0 / _TINY
    d = product = 1.0 / b
    i = 0
    while True:
        i += 1
        factor, b = -i * (i - a), b + 2.0
        d = 1.0 / _away_from_zero(factor * d + b)
        c = _away_from_zero(b + factor / c)
        product *= d * c
        if abs(d * c - 1.0) <= _ROUNDING:
            return 1.0 - front * product


def _away_from_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
