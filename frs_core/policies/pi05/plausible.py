"""Check whether a checkpoint's statistics contradict the stated meaning of its actions.

Statistics cannot determine the meaning: joint speeds and offsets of joint positions have the same range. But they can rule one out.
Speeds and offsets are centred near zero, absolute joints near the arm's joints in the statistics of the state; and a robot with 14
numbers is not one with 8.

Example: "joint speeds" whose fourth number ranges from -2.7 to -0.9 are joint positions. Any thread.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.policies.pi05.normalisation import Stats, covered_range
from frs_core.policies.pi05.presets import Preset
from frs_core.robot.actions import ActionKind

FARTHEST_CENTRE = 1.0
"""How far the middle of a joint's actions may be from zero (speeds, offsets) or from the state's (absolute), rad or fractions.
Guess: DROID's fourth joint is 2 rad from zero; speeds and offsets stay within 0.1 on average."""
FARTHEST_SPEED = 1.6
"""Largest 1 % or 99 % quantile of a joint speed, fractions. Guess: they end at 1, statistics of other robots' positions at 3."""


def why_not_this_meaning(preset: Preset, *, state: Stats, actions: Stats) -> str | None:
    """Return why the statistics contradict a preset, one sentence with both numbers; None if they do not."""
    for what, stats, size in (("state", state, preset.state.size), ("actions", actions, preset.action_kind.size)):
        numbers = _size(stats)
        if numbers > size:
            return f"Statistics of {what} have {numbers} numbers, {preset.name} has {size}: another robot's. Choose another preset."
    if preset.action_kind is ActionKind.EE_DELTA:
        return None
    centre, covered = _centre(actions), covered_range(actions, size=7)
    if centre is None:
        return None
    is_absolute = preset.action_kind is ActionKind.JOINT_POSITION and not preset.adds_joints
    home = _centre(state) if is_absolute else np.zeros(7)
    if home is not None:
        worst = int(np.abs(centre - home).argmax())
        if not abs(centre[worst] - home[worst]) <= FARTHEST_CENTRE:
            around = "the state's own" if is_absolute else "zero"
            return (
                f"Statistics of the actions of joint {worst + 1} centre on {centre[worst]:#.3g}, {preset.name} ({preset.summary}) would "
                f"have them within {FARTHEST_CENTRE:g} of {around} {home[worst]:#.3g}: another meaning. Choose another preset."
            )
    if preset.action_kind is ActionKind.JOINT_VELOCITY and covered is not None and {"q01", "q99"} <= set(actions):
        largest = np.maximum(-covered[0], covered[1])
        worst = int(largest.argmax())
        if not largest[worst] <= FARTHEST_SPEED:
            return (
                f"Statistics of the actions of joint {worst + 1} reach {largest[worst]:#.3g}, {preset.name} ({preset.summary}) stays within "
                f"1: not joint speeds. Choose another preset."
            )
    return None


def _centre(stats: Stats) -> Float[Array, " 7"] | None:
    covered = covered_range(stats, size=7)
    return None if covered is None else (covered[0] + covered[1]) / 2.0


def _size(stats: Stats) -> int:
    """Return how many dimensions statistics describe; trailing dimensions that are all alike are padding."""
    columns = [
        np.asarray(v, dtype=np.float64).reshape(-1) for k, v in stats.items() if k in ("mean", "std", "q01", "q99")
    ]
    length = min((len(c) for c in columns), default=0)
    table = np.array([c[:length] for c in columns])
    tail = length
    while tail > 1 and np.array_equal(table[:, tail - 1], table[:, tail - 2]):
        tail -= 1
    is_padding = tail < length or (tail > 0 and not table[:, tail - 1].any())
    return tail - 1 if is_padding else length
