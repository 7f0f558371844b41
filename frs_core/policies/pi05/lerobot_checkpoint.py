"""Settings and statistics of a checkpoint that LeRobot wrote, from the files of `lerobot_files`. Any thread."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from frs_core.errors import ConfigError
from frs_core.policies.pi05.agreement import match, match_width, take_horizon, take_statistics
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.config_values import integer, require_precision, switch
from frs_core.policies.pi05.images import Resize
from frs_core.policies.pi05.lerobot_files import (
    LEROBOT_TYPES,
    check_names,
    check_offsets,
    feature_size,
    is_gripper_offset,
    lerobot_stats,
    refuse_unsupported,
    unknown_settings,
)
from frs_core.policies.pi05.lerobot_pipelines import (
    LEROBOT_EPS,
    lerobot_action_stats_file,
    lerobot_stats_file,
    missing_steps,
    normalisation_modes,
    pipeline_problems,
    renamed_inputs,
)
from frs_core.policies.pi05.normalisation import affine_of
from frs_core.policies.pi05.sizes import STEPS
from frs_core.policies.pi05.tokens import PromptForm
from frs_core.runtime.foreign import in_line

_EMPTY = re.compile(r"observation\.images\.empty_camera_\d+")
"""Inputs for which no camera exists; the network sees nothing there. Source: LeRobot configuration_pi05.py, `validate_features`."""


def read_lerobot(checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None) -> None:
    """Store what config.json states. Raises ConfigError where it contradicts the preset, or is of another policy."""
    if (kind := config.get("type")) is None:
        raise ConfigError(
            "config.json has LeRobot's inputs and does not state its type, expected 'pi05'. Take the config.json that was saved with the weights."
        )
    if kind != "pi05":
        if kind in LEROBOT_TYPES:
            raise ConfigError(
                f"This LeRobot checkpoint is a '{kind}', not a pi05. Load it with the policy 'lerobot' (--policy lerobot)."
            )
        others = " and ".join(name for name in LEROBOT_TYPES if name != "pi05")
        raise ConfigError(
            f"This LeRobot checkpoint is a '{in_line(kind)}', which is not supported: only pi05 is, and {others} with the policy 'lerobot'."
        )
    checkpoint.prompt, checkpoint.resize = PromptForm.STATE_TEXT, Resize.SAMPLED
    take_horizon(checkpoint, "chunk_size", integer(config, "chunk_size"), given=horizon, usual=None)
    checkpoint.execute_rows = integer(config, "n_action_steps")
    if checkpoint.execute_rows > checkpoint.horizon:
        raise ConfigError(
            f"config.json has n_action_steps = {checkpoint.execute_rows}, chunk_size = {checkpoint.horizon}: more rows to execute than a "
            f"chunk has, which LeRobot refuses too. Correct n_action_steps."
        )
    require_precision(config)
    refuse_unsupported(config, side=None if checkpoint.size is None else checkpoint.size.vision.image)
    if (steps := integer({"num_inference_steps": STEPS, **config}, "num_inference_steps")) != STEPS:
        checkpoint.notes.append(
            f"num_inference_steps = {steps} is not used: {STEPS} steps are taken unless a plan says otherwise."
        )
    if unknown := unknown_settings(config):
        checkpoint.notes.append(f"Settings of config.json that are not read: {', '.join(unknown)}.")
    match_width(checkpoint, "max_action_dim", int(config.get("max_action_dim", 32)))
    preset = checkpoint.preset
    if preset is None:
        return
    if checkpoint.execute_rows > preset.execute_rows:
        checkpoint.notes.append(
            f"n_action_steps = {checkpoint.execute_rows}: every pick moves for {checkpoint.execute_rows / preset.control_hz:.1f} s before the "
            f"next fan. Clients of {preset.name} execute {preset.execute_rows} rows; change it in config.json for shorter picks."
        )
    checkpoint.attempt(lambda: check_names(preset, config.get("action_feature_names")))
    check_offsets(preset, is_relative=switch(config, "use_relative_actions"))
    if preset.adds_joints:
        checkpoint.is_gripper_offset = is_gripper_offset(config)
    modes = normalisation_modes(config.get("normalization_mapping"))
    for group, needed in (("ACTION", preset.action_kind.size), ("STATE", preset.state.size)):
        stated, padded = _sizes(config, group)
        # A base's padded width says nothing of the robot; its statistics do, and they are judged with the preset.
        if stated != padded or modes[group] == "IDENTITY":
            match(checkpoint, f"{group.lower()} size", stated, needed)


def _sizes(config: Mapping[str, Any], group: str) -> tuple[int, int]:
    """Return how many numbers config.json states for "STATE" or "ACTION", and to how many the network pads them."""
    place = ("input_features", "observation.state") if group == "STATE" else ("output_features", "action")
    limit = f"max_{group.lower()}_dim"
    return feature_size(config, *place), integer({limit: 32, **config}, limit)


def read_prompt_padding(checkpoint: Checkpoint, config: Mapping[str, Any], *, given: int | None) -> None:
    """Store how many zeros follow the state in the prompt.

    LeRobot 0.4 padded the state to `max_state_dim` before it wrote it into the prompt; 0.5.0 and later write the robot's own numbers. No file
    states which; `use_relative_actions` is in config.json from 0.5.1 on. Source: LeRobot processor_pi05.py and configuration_pi05.py, 0.4.0 to
    0.6.2.

    Args:
        checkpoint: of LeRobot.
        config: its config.json.
        given: numbers of the state in the prompt, zeros included; None = as LeRobot reads the checkpoint today, said where 0.4 may have trained it.
    Raises:
        ConfigError: no version of LeRobot writes so many numbers.
    """
    preset = checkpoint.preset
    if preset is None or config.get("type") != "pi05":
        return
    own, padded = preset.state.size, integer({"max_state_dim": 32, **config}, "max_state_dim")
    if given is not None:
        if given not in (own, padded):
            raise ConfigError(
                f"--prompt-state-size is {given}, expected {own}, the state's own numbers, or {padded}, to which LeRobot 0.4 padded them with zeros "
                f"(max_state_dim of config.json)."
            )
        checkpoint.prompt_zeros = given - own
    elif "use_relative_actions" not in config and padded > own:
        checkpoint.assumed_notes.append(
            f"config.json does not show which LeRobot trained the checkpoint, 0.4 or 0.5.0: the prompt states the state's own {own} numbers, as LeRobot "
            f"writes it from 0.5.0 on. If 0.4 trained it, whose prompt has zeros up to {padded} numbers, give --prompt-state-size {padded} (option "
            f"prompt_state_size)."
        )


def read_lerobot_inputs(checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    """Store the image inputs, which are those of type VISUAL whatever they are called. Raises ConfigError where an input has no type."""
    if config.get("type") != "pi05":
        return  # said by `read_lerobot`
    kinds: dict[str, str] = {}
    for name, feature in (config.get("input_features") or {}).items():
        if (kind := feature.get("type")) is None:
            raise ConfigError(
                f"config.json does not state the type of its input '{in_line(name)}', expected VISUAL for images and STATE for the robot's state. "
                f"Take the one that was saved with the weights."
            )
        kinds[name] = str(kind).split(".")[-1]
    checkpoint.image_keys = tuple(
        name for name, kind in kinds.items() if kind == "VISUAL" and not _EMPTY.fullmatch(name)
    )
    others = sorted(name for name, kind in kinds.items() if kind != "VISUAL" and name != "observation.state")
    if others:
        checkpoint.notes.append(f"Inputs of config.json that pi05 does not look at: {in_line(', '.join(others))}.")
    if outputs := sorted(set(config.get("output_features") or {}) - {"action"}):
        checkpoint.notes.append(f"Outputs of config.json that pi05 does not give: {in_line(', '.join(outputs))}.")
    checkpoint.renamed = renamed_inputs(checkpoint.root)


def lerobot_statistics(checkpoint: Checkpoint, config: Mapping[str, Any], *, norm_stats: Path | None) -> None:
    """Store the statistics. Raises WeightsMissing or ConfigError where they are missing or unreadable."""
    preset = checkpoint.preset
    if preset is None or config.get("type") != "pi05":
        return
    path = norm_stats or lerobot_stats_file(checkpoint.root)
    stats = lerobot_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    stated = config.get("normalization_mapping")
    modes = normalisation_modes(stated)
    if modes["VISUAL"] != "IDENTITY":
        raise ConfigError(
            f"config.json normalises images by {modes['VISUAL']}, this network takes them as they are (IDENTITY). Load it with the policy 'lerobot'."
        )
    if raw := [group for group in modes if stated is not None and group not in stated and group != "VISUAL"]:
        checkpoint.notes.append(
            f"normalization_mapping of config.json has no {' and no '.join(raw)}: not normalised, as LeRobot does."
        )
    state, action = modes["STATE"].lower(), modes["ACTION"].lower()
    groups = stats.get("observation.state", {}), stats.get("action", {})
    take_statistics(checkpoint, preset, *groups, modes=(state, action), eps=LEROBOT_EPS)
    for group, needed in (("STATE", preset.state.size), ("ACTION", preset.action_kind.size)):
        stated, padded = _sizes(config, group)
        if stated == padded != needed and modes[group] != "IDENTITY":
            checkpoint.notes.append(
                f"config.json gives the {group.lower()} {stated} numbers, the width of the network, as where training began at a base that states no "
                f"robot: its statistics are judged instead."
            )
    other = None if norm_stats else lerobot_action_stats_file(checkpoint.root)
    ours = checkpoint.actions
    if other is None or ours is None:
        return
    theirs = affine_of(
        lerobot_stats(other).get("action", {}), mode=action, size=ours.size, eps=LEROBOT_EPS, what="actions"
    )
    if not (np.array_equal(ours.offset, theirs.offset) and np.array_equal(ours.scale, theirs.scale)):
        raise ConfigError(
            f"'{path.name}' and '{other.name}' hold different statistics of actions: by which of them the weights were trained is not stated. Take "
            f"both as they were saved, or give the right one as --norm-stats."
        )


def hold_pipelines(checkpoint: Checkpoint, config: Mapping[str, Any], *, norm_stats: Path | None) -> None:
    """Add a problem for each thing that the saved pipelines do and config.json does not state. Raises ConfigError where they are unreadable."""
    if config.get("type") != "pi05":
        return
    found = pipeline_problems(
        checkpoint.root,
        config,
        is_relative=switch(config, "use_relative_actions"),
        own_statistics=norm_stats is None,
    )
    checkpoint.problems += [problem for problem in found if problem not in checkpoint.problems]
    checkpoint.notes += missing_steps(checkpoint.root)
