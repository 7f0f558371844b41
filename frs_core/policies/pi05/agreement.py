"""Hold what a checkpoint states against what its preset means: sizes, and the statistics of state and actions. Any thread."""

import numpy as np

from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.normalisation import Stats, affine_of, covered_range
from frs_core.policies.pi05.plausible import why_not_this_meaning
from frs_core.policies.pi05.presets import Preset
from frs_core.steering.directions import NEVER_MOVED


def match(checkpoint: Checkpoint, what: str, got: int, expected: int) -> None:
    """Add a problem where a number is not the one that the preset needs."""
    if got == expected:
        return
    name = checkpoint.preset.name if checkpoint.preset else "the weights"
    # Only the horizon may be given by a person; sizes are the robot's.
    fix = "another preset, or pass horizon=" if what == "horizon" else "choose another preset"
    checkpoint.problems.append(f"The {what} is {got}, {name} needs {expected}: {fix}.")


def match_width(checkpoint: Checkpoint, setting: str, stated: int) -> None:
    """Add a problem where the weights have another action width than a setting of config.json says."""
    if checkpoint.size is not None and checkpoint.size.width != stated:
        checkpoint.problems.append(
            f"The weights have an action width of {checkpoint.size.width}, config.json has {setting} = {stated}. Take the config.json that was saved "
            f"with the weights."
        )


def take_statistics(
    checkpoint: Checkpoint, preset: Preset, state: Stats, actions: Stats, *, modes: tuple[str, str], eps: float
) -> None:
    """Store offset, scale and range; add a problem if the numbers contradict the preset."""
    sizes = preset.state.size, preset.action_kind.size
    checkpoint.state = affine_of(state, mode=modes[0], size=sizes[0], eps=eps, what="state")
    checkpoint.actions = affine_of(actions, mode=modes[1], size=sizes[1], eps=eps, what="actions")
    checkpoint.covered = covered_range(actions, size=sizes[1])
    stuck = np.flatnonzero(checkpoint.actions.scale < NEVER_MOVED) + 1
    if preset.adds_joints and any(n <= 7 or checkpoint.is_gripper_offset for n in stuck):
        checkpoint.problems.append(
            f"Numbers {stuck.tolist()} of the actions never move in the statistics, expected offsets from the arm's joints that do: a joint's "
            f"dividing by a range of zero is undefined. Recompute the statistics from data that moves every joint."
        )
    elif len(stuck):
        checkpoint.notes.append(
            f"Numbers {stuck.tolist()} of the actions never move in the statistics: no direction sets them, the policy does."
        )
    veto = why_not_this_meaning(preset, state=state, actions=actions)
    if veto is not None:
        checkpoint.problems.append(veto)
