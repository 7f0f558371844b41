"""What config.json and the statistics of a LeRobot checkpoint state, read without LeRobot; its pipelines are `lerobot_pipelines`.

Problem: each file may be missing, cut or a pointer of Git LFS, and a setting may change what the network computes. Idea: one function per
question, which answers or says in a sentence why it cannot.

Example: `lerobot_stats(lerobot_stats_file(root))["action"]["q99"]`. Any thread.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.numpy import load_file

from frs_core.arrays import Array
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.expert import MAX_PERIOD, MIN_PERIOD
from frs_core.policies.pi05.presets import PRESETS, Preset
from frs_core.policies.pi05.tokens import MAX_TOKENS
from frs_core.robot.action_names import why_not_named
from frs_core.robot.actions import ActionKind
from frs_core.runtime.foreign import (
    DOCUMENT,
    NamedTwice,
    found_at,
    in_line,
    is_lfs_pointer,
    plain_file,
    require_named_once,
)

LEROBOT_TYPES = ("smolvla", "pi0", "pi05")
"""LeRobot's policies that `policies.lerobot` runs; pi05 alone is also read without LeRobot."""

# fmt: off
_SETTINGS = frozenset((
    "type", "n_obs_steps", "chunk_size", "n_action_steps", "max_state_dim", "max_action_dim", "num_inference_steps",
    "input_features", "output_features", "normalization_mapping", "image_resolution", "empty_cameras", "tokenizer_max_length",
    "min_period", "max_period", "use_visual_memory", "use_proprioceptive_memory", "use_relative_actions",
    "relative_exclude_joints", "action_feature_names", "paligemma_variant", "action_expert_variant", "time_sampling_beta_alpha",
    "time_sampling_beta_beta", "time_sampling_scale", "time_sampling_offset", "freeze_vision_encoder", "train_expert_only",
    "gradient_checkpointing", "compile_model", "compile_mode", "device", "dtype", "use_amp", "use_peft", "rtc_config",
    "pretrained_path", "push_to_hub", "repo_id", "private", "tags", "license",
))
# fmt: on
"""Settings of LeRobot's pi05 that are read here, that training or LeRobot's own programs alone use, or that the weights show. Source:
LeRobot configuration_pi05.py, configs/policies.py. Those of optimiser and schedule begin with their words."""


def refuse_pointer(path: Path, *, within: Path | None = None) -> None:
    """Check that a file is there itself.

    Args:
        path: the file; a missing one is not judged.
        within: the checkpoint's folder, where the file lies deeper in it; None = beside its other files.
    Raises:
        WeightsMissing: it is only a Git LFS pointer.
    """
    try:
        is_pointer = is_lfs_pointer(path)
    except OSError:
        return  # the reader of the file reports the problem
    if is_pointer:
        folder = within or path.parent
        raise WeightsMissing(
            f"'{path.relative_to(folder)}' is a Git LFS pointer, the file itself was not downloaded. Run `git lfs pull` in its repository, "
            f"'{folder}'."
        )


def refuse_unsupported(config: Mapping[str, Any], *, side: int | None) -> None:
    """Check config.json for settings that change what the network computes without changing its tensors.

    Args:
        config: config.json.
        side: pixels of the images that the weights take, None where the weights do not tell.
    Raises:
        ConfigError: one is set that the network here does not follow.
    """
    for name, usual, what in (
        ("use_visual_memory", False, "sees earlier images too"),
        ("use_proprioceptive_memory", False, "reads earlier joint positions too"),
        ("n_obs_steps", 1, "reads one observation"),
        (
            "image_resolution",
            None if side is None else [side, side],
            "takes images of the size that its weights were made for",
        ),
        ("min_period", MIN_PERIOD, "encodes flow time otherwise"),
        ("max_period", MAX_PERIOD, "encodes flow time otherwise"),
        ("tokenizer_max_length", MAX_TOKENS, "cuts prompts elsewhere"),
    ):
        if usual is not None and config.get(name, usual) != usual:
            raise ConfigError(
                f"config.json has {name} = {config[name]!r}, supported is {usual!r}: this network {what}. Load it with the policy 'lerobot'."
            )


def unknown_settings(config: Mapping[str, Any]) -> list[str]:
    """Return the names of settings in config.json that LeRobot's pi05 did not have when this was written; what they change is not known."""
    return sorted(name for name in config.keys() - _SETTINGS if not name.startswith(("optimizer_", "scheduler_")))


def check_offsets(preset: Preset, *, is_relative: bool) -> None:
    """Raise unless a LeRobot checkpoint's actions are offsets from the robot's joints exactly where the preset says so.

    Args:
        preset: meaning of the actions.
        is_relative: `use_relative_actions` of the checkpoint's configuration.
    Raises:
        ConfigError: checkpoint and preset disagree.
    """
    if is_relative == preset.adds_joints:
        return
    others = [
        p.name for p in PRESETS.values() if p.action_kind is ActionKind.JOINT_POSITION and p.adds_joints is is_relative
    ]
    if is_relative:
        raise ConfigError(
            f"The checkpoint's actions are offsets from the arm's joints (use_relative_actions is true), preset '{preset.name}' takes "
            f"them as they are ({preset.summary}). For joint positions use one of {', '.join(others)}."
        )
    raise ConfigError(
        f"The checkpoint's actions are absolute (use_relative_actions is not true), preset '{preset.name}' would add the arm's joints "
        f"to them. For absolute joint positions use {', '.join(others)}."
    )


def check_names(preset: Preset, names: object) -> None:
    """Raise unless the names that a LeRobot checkpoint gives its actions are those of the preset's, or say nothing.

    Args:
        preset: meaning of the actions.
        names: `action_feature_names` of the checkpoint's configuration, which LeRobot from 0.5.1 on takes from the data set; None = not stated.
    Raises:
        ConfigError: a name says that its number is something else, or they are no list of names.
    """
    if names is None:
        return
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in cast(list[Any], names)):
        raise ConfigError(
            f"config.json has action_feature_names = {in_line(repr(names))[:80]}, expected a list of names. Take the one that was saved with the weights."
        )
    if why := why_not_named(preset.action_kind, [in_line(str(name)) for name in cast(list[Any], names)]):
        raise ConfigError(
            f"The checkpoint names its actions otherwise than preset '{preset.name}' ({preset.summary}) means them: {why} (action_feature_names of "
            f"config.json). Choose the preset of its data set; where none has this order, it cannot drive this arm."
        )


def is_gripper_offset(config: Mapping[str, Any]) -> bool:
    """Return whether LeRobot's relative actions include the gripper.

    Source: LeRobot RelativeActionsProcessorStep, where a word excludes every action whose name contains it, and without names all
    actions are relative.

    Raises:
        ConfigError: a joint is excluded.
    """
    names = config.get("action_feature_names") or []
    words = [str(w).lower() for w in config.get("relative_exclude_joints", ["gripper"]) or [] if w]
    is_absolute = [any(word in str(name).lower() for word in words) for name in names]
    if any(is_absolute[:7]):
        raise ConfigError(
            f"The checkpoint leaves {names[is_absolute.index(True)]} out of its relative actions, expected all 7 joints to be relative. "
            f"Such a mixture is not supported."
        )
    return not any(is_absolute[7:8])


def lerobot_stats(path: Path) -> dict[str, dict[str, Array]]:
    """Return group ("action") -> statistic ("q01") -> numbers of a LeRobot statistics file.

    Raises:
        WeightsMissing: no such file.
        ConfigError: it is not readable.
    """
    if not path.is_file():
        there = found_at(path)
        if there == "does not exist":
            raise WeightsMissing(f"Statistics file '{path.name}' is missing from '{path.parent}'. Download it again.")
        raise WeightsMissing(f"Statistics file '{in_line(path)}' {there}, expected a file. Give the file itself.")
    if path.suffix.lower() == ".json":
        raise ConfigError(
            f"Statistics file '{in_line(path)}' is JSON, as of openpi's checkpoints or of a data set; a LeRobot checkpoint's are a safetensors file, such "
            f"as policy_preprocessor_step_3_normalizer_processor.safetensors. Give that of the checkpoint."
        )
    refuse_pointer(path)
    groups: dict[str, dict[str, Array]] = {}
    try:
        stored = load_file(require_named_once(plain_file(path, limit=DOCUMENT, as_text=True)))
    except (OSError, NamedTwice, SafetensorError) as error:
        raise ConfigError(
            f"Statistics file '{path.name}' is not a safetensors file ({error}). Download it again."
        ) from error
    for name, array in stored.items():
        if array.dtype.kind not in "fiu":
            raise ConfigError(
                f"Statistic '{in_line(name)}' in '{path.name}' is stored as {array.dtype}, expected real numbers. Recompute the statistics."
            )
        group, _, statistic = name.rpartition(".")
        groups.setdefault(group, {})[statistic] = array
    return groups


def feature_size(config: Mapping[str, Any], group: str, name: str) -> int:
    """Return how many numbers a feature of config.json has, such as "action" in "output_features".

    Raises:
        ConfigError: it is not stated.
    """
    try:
        return int(config[group][name]["shape"][0])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ConfigError(
            f"config.json does not state the size of '{name}' in {group}. Take the one that was saved with the weights."
        ) from error
