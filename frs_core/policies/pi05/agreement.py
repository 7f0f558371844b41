"""Hold what a checkpoint states against what its preset means: sizes, and the statistics of state and actions. Any thread."""

import numpy as np

from frs_core.policies.pi05.checkpoint_facts import GIVEN, PRESETS_OWN, Checkpoint
from frs_core.policies.pi05.normalisation import Stats, affine_of, covered_range
from frs_core.policies.pi05.plausible import why_not_this_meaning
from frs_core.policies.pi05.presets import Preset
from frs_core.steering.directions import NEVER_MOVED


def match(checkpoint: Checkpoint, what: str, got: int, expected: int) -> None:
    """Add a problem where a number is not the one that the preset needs."""
    if got != expected:
        name = checkpoint.preset.name if checkpoint.preset else "the weights"
        checkpoint.problems.append(f"The {what} is {got}, {name} needs {expected}: choose another preset.")


def take_horizon(checkpoint: Checkpoint, setting: str, stated: int, *, given: int | None, usual: int | None) -> None:
    """Store the rows of a chunk; add a problem where those who state them disagree.

    Args:
        checkpoint: whose note says where the number in config.json is from.
        setting: name in config.json.
        stated: number there.
        given: by a person; None = not.
        usual: the preset's; None = it does not count, since config.json was saved by the trainer itself.
    """
    checkpoint.horizon = stated
    name = checkpoint.preset.name if checkpoint.preset else ""
    if checkpoint.horizon_from == PRESETS_OWN:
        checkpoint.horizon = given or stated
        if given is None:
            checkpoint.assumed_notes.append(
                f"The horizon of {stated} rows is the one of preset '{name}', since openpi's checkpoints state none. If it was trained with another, give "
                f"it as --horizon (option horizon)."
            )
    elif given is not None and given != stated:
        checkpoint.problems.append(
            f"config.json has {setting} = {stated}, and --horizon says {given}. Leave --horizon out, or take the config.json that was saved with the "
            f"weights."
        )
    elif given is None and usual not in (None, stated) and checkpoint.horizon_from != GIVEN:
        checkpoint.problems.append(
            f"config.json has {setting} = {stated}, and preset '{name}' has {usual} rows. Give --horizon {stated} if the checkpoint was trained with "
            f"them, or choose another preset."
        )


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
