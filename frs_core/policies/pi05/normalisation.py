"""Convert a checkpoint's statistics to one offset and one scale per number.

A normalised value is (raw - offset) / scale, whether the statistics are quantiles (1 % -> -1, 99 % -> +1) or mean and
standard deviation. Inputs are not clipped.

Example: q01 = -0.5, q99 = 0.3 give offset -0.1, scale 0.4. Any thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.robot.actions import ActionKind, ActionSpace
from frs_core.robot.kinematics import Q_HIGH, Q_LOW

QUANTILE_EPS = 1e-6
"""Added to the width of quantiles and to standard deviations. Source: openpi transforms.py, Normalize."""

NORMAL_99 = 2.326
"""Standard deviations from the mean to the 99 % quantile of a normal distribution."""

OSC_TRANSLATION, OSC_ROTATION = 0.05, 0.5
"""Metres and rad per step at LIBERO's action 1. Source: robosuite's OSC_POSE controller configuration."""

OSC_REACH = 0.26
"""Fraction of a step that the arm covers at a constant command: the controller (kp 150, critically damped) sets each target relative
to the arm's present pose. Measured in LIBERO: 0.25 to 0.27 along the three axes, 0.23 to 0.25 for rotations; 0.1 for the first step
from rest."""

Stats = Mapping[str, Float[Array, " _"]]
"""Some of mean, std, q01, q99, min, max."""


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """normalised = (raw - offset) / scale."""

    offset: Float[Array, " n"]
    scale: Float[Array, " n"]

    @property
    def size(self) -> int:
        """How many numbers it normalises."""
        return len(self.offset)

    def normalise(self, raw: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return raw values normalised, as the policy takes them."""
        return (np.asarray(raw, dtype=np.float64) - self.offset) / self.scale


def affine_of(stats: Stats, *, mode: str, size: int, eps: float, what: str) -> Affine:
    """Return offset and scale of the first `size` numbers.

    Args:
        stats: arrays of at least `size` numbers.
        mode: "quantiles", "mean_std", "min_max" or "identity".
        size: numbers the robot has.
        eps: keeps constant numbers from dividing by zero.
        what: "state" or "actions", for messages.
    Raises:
        ConfigError: a needed array is missing, too short or not finite, or an upper bound is below its lower one.
    """
    if mode == "identity":
        return Affine(np.zeros(size), np.ones(size))
    needed = {"quantiles": ("q01", "q99"), "mean_std": ("mean", "std"), "min_max": ("min", "max")}
    if mode not in needed:
        raise ConfigError(f"Normalisation of {what} is '{mode}', known: {sorted([*needed, 'identity'])}.")
    first, second = (_column(stats, name, size=size, what=what) for name in needed[mode])
    lengths = {name: np.size(stats[name]) for name in needed[mode]}
    if len(set(lengths.values())) > 1:
        told = " and ".join(f"{count} numbers in '{name}'" for name, count in lengths.items())
        raise ConfigError(f"Statistics of {what} have {told}, expected as many in each. Recompute them.")
    if mode == "mean_std":
        offset, scale = first, second + eps
    else:
        width = second - first
        if (width < 0).any():
            raise ConfigError(f"Statistics of {what} have {needed[mode][1]} below {needed[mode][0]}. Recompute them.")
        scale = (width + eps) / 2.0
        offset = first + scale
    if (scale <= 0).any():
        raise ConfigError(f"Statistics of {what} have zero spread in dimensions {np.flatnonzero(scale <= 0).tolist()}.")
    return Affine(offset, scale)


def covered_range(stats: Stats, *, size: int) -> tuple[Float[Array, " a"], Float[Array, " a"]] | None:
    """Return the 1 % and 99 % quantiles of the first `size` numbers, raw units; None if the statistics do not determine them.

    Missing quantiles are computed from mean and standard deviation, as of a normal distribution.
    """
    if {"q01", "q99"} <= set(stats):
        columns = stats["q01"], stats["q99"]
    elif {"mean", "std"} <= set(stats):
        columns = stats["mean"] - NORMAL_99 * stats["std"], stats["mean"] + NORMAL_99 * stats["std"]
    else:
        return None
    low, high = (np.asarray(c, dtype=np.float64).reshape(-1)[:size] for c in columns)
    is_usable = len(low) == len(high) == size and bool(np.isfinite(low).all() and np.isfinite(high).all())
    return (low, high) if is_usable else None


def robot_range(
    kind: ActionKind, covered: tuple[Float[Array, " n"], Float[Array, " n"]] | None
) -> tuple[Float[Array, " a"], Float[Array, " a"]] | tuple[None, None]:
    """Return a range of raw actions in the units of `robot_space`."""
    if covered is None:
        return None, None
    unit, bias = _units(kind)
    low, high = ((numbers * unit + bias).astype(np.float32) for numbers in covered)
    return low, high


def robot_space(kind: ActionKind, affine: Affine, *, control_hz: float) -> ActionSpace:
    """Return the robot's action space for a policy's raw actions.

    Joint spaces are DROID's and need no change; end-effector actions are LIBERO's controller units (-1 open .. 1 closed,
    1 = 50 mm or 0.5 rad) and become metres, rad and 0..1.

    Args:
        kind: what the raw actions are.
        affine: normalised -> raw.
        control_hz: actions per second.
    """
    unit, bias = _units(kind)
    if kind is ActionKind.EE_DELTA:
        high = np.array([OSC_TRANSLATION] * 3 + [OSC_ROTATION] * 3 + [1.0])
        low = np.append(-high[:6], 0.0)
    elif kind is ActionKind.JOINT_VELOCITY:
        low, high = np.append(-np.ones(7), 0.0), np.ones(8)
    else:
        low, high = np.append(Q_LOW, 0.0), np.append(Q_HIGH, 1.0)
    numbers = (affine.offset * unit + bias, affine.scale * unit, low, high)
    reach = OSC_REACH if kind is ActionKind.EE_DELTA else 1.0
    return ActionSpace(kind, *(n.astype(np.float32) for n in numbers), control_hz=control_hz, reach=reach)


def _units(kind: ActionKind) -> tuple[Float[Array, " a"], Float[Array, " a"]]:
    """Return the factor and the offset that convert raw actions to robot units."""
    if kind is not ActionKind.EE_DELTA:
        return np.ones(8), np.zeros(8)
    return np.array([OSC_TRANSLATION] * 3 + [OSC_ROTATION] * 3 + [0.5]), np.array([0.0] * 6 + [0.5])


def _column(stats: Stats, name: str, *, size: int, what: str) -> Float[Array, " a"]:
    if name not in stats:
        raise ConfigError(f"Statistics of {what} lack '{name}', got {sorted(stats)}. Take the checkpoint's own file.")
    column = np.asarray(stats[name], dtype=np.float64)
    if column.ndim != 1:
        raise ConfigError(
            f"Statistics of {what} have '{name}' of shape {column.shape}, expected a list of numbers. Recompute them."
        )
    if len(column) < size:
        raise ConfigError(f"Statistics of {what} have {len(column)} numbers in '{name}', the robot needs {size}.")
    if not np.isfinite(column[:size]).all():
        raise ConfigError(f"Statistics of {what} hold non-finite numbers in '{name}'. Recompute them.")
    return column[:size]
