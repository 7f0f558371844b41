"""Settings and statistics of a checkpoint that LeRobot wrote, from the files of `lerobot_files`. Any thread."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError
from frs_core.policies.pi05.agreement import match, take_statistics
from frs_core.policies.pi05.checkpoint import Checkpoint
from frs_core.policies.pi05.config_values import integer, require_precision, switch
from frs_core.policies.pi05.images import Resize
from frs_core.policies.pi05.lerobot_files import (
    check_offsets,
    feature_size,
    is_gripper_offset,
    lerobot_stats,
    lerobot_stats_file,
    refuse_unsupported,
    renamed_inputs,
    unknown_settings,
)
from frs_core.policies.pi05.sizes import STEPS
from frs_core.policies.pi05.tokens import PromptForm

LEROBOT_EPS = 1e-8
"""Source: LeRobot normalize_processor.py."""


def read_lerobot(checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None) -> None:
    """Store what config.json states. Raises ConfigError where it contradicts the preset, or is of another policy."""
    if config.get("type") != "pi05":
        raise ConfigError(
            f"This LeRobot checkpoint is a '{config.get('type')}', not a pi05. Load it with the policy 'lerobot'."
        )
    checkpoint.prompt, checkpoint.resize = PromptForm.STATE_TEXT, Resize.SAMPLED
    checkpoint.horizon = integer(config, "chunk_size")
    checkpoint.execute_rows = integer(config, "n_action_steps")
    if horizon is not None:
        match(checkpoint, "horizon", checkpoint.horizon, horizon)
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
    if checkpoint.size is not None:
        match(checkpoint, "action width", checkpoint.size.width, int(config.get("max_action_dim", 32)))
    inputs = config.get("input_features") or {}
    checkpoint.image_keys = tuple(
        key for key in inputs if key.startswith("observation.images.") and "empty_camera" not in key
    )
    checkpoint.renamed = renamed_inputs(checkpoint.root)
    preset = checkpoint.preset
    if preset is None:
        return
    if checkpoint.execute_rows > preset.execute_rows:
        checkpoint.notes.append(
            f"n_action_steps = {checkpoint.execute_rows}: every pick moves for {checkpoint.execute_rows / preset.control_hz:.1f} s before the "
            f"next fan. Clients of {preset.name} execute {preset.execute_rows} rows; change it in config.json for shorter picks."
        )
    check_offsets(preset, is_relative=switch(config, "use_relative_actions"))
    if preset.adds_joints:
        checkpoint.is_gripper_offset = is_gripper_offset(config)
    match(checkpoint, "action size", feature_size(config, "output_features", "action"), preset.action_kind.size)
    match(checkpoint, "state size", feature_size(config, "input_features", "observation.state"), preset.state.size)


def lerobot_statistics(checkpoint: Checkpoint, config: Mapping[str, Any], *, norm_stats: Path | None) -> None:
    """Store the statistics. Raises WeightsMissing or ConfigError where they are missing or unreadable."""
    preset = checkpoint.preset
    if preset is None or config.get("type") != "pi05":
        return
    path = norm_stats or lerobot_stats_file(checkpoint.root)
    stats = lerobot_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    modes = config.get("normalization_mapping") or {}
    if (pictures := str(modes.get("VISUAL", "IDENTITY")).split(".")[-1]) != "IDENTITY":
        raise ConfigError(
            f"config.json normalises images by {pictures}, this network takes them as they are (IDENTITY). Load it with the policy 'lerobot'."
        )
    state, action = (str(modes.get(group, "QUANTILES")).split(".")[-1].lower() for group in ("STATE", "ACTION"))
    groups = stats.get("observation.state", {}), stats.get("action", {})
    take_statistics(checkpoint, preset, *groups, modes=(state, action), eps=LEROBOT_EPS)
