"""The pipelines that LeRobot saves with a checkpoint, held against its config.json.

Problem: LeRobot runs what policy_preprocessor.json and policy_postprocessor.json list, step by step, each step with settings of its own, and
config.json only says what they were once made from. Idea: the steps of LeRobot's pi05 are known, and each of their settings is compared with
config.json or with what the network here does. Any other step, setting or order is refused by name, since what it changes is not known.

Example: a `relative_actions_processor` that is enabled, beside a config.json without `use_relative_actions`, is a problem. Any thread.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.lerobot_files import is_gripper_offset, refuse_pointer
from frs_core.policies.pi05.tokens import MAX_TOKENS
from frs_core.runtime.foreign import in_line, read_json, said

PIPELINE, POST_PIPELINE = "policy_preprocessor.json", "policy_postprocessor.json"

LEROBOT_EPS = 1e-8
"""Source: LeRobot normalize_processor.py."""

_RENAME, _RELATIVE, _NORMALISE = "rename_observations_processor", "relative_actions_processor", "normalizer_processor"
_PROMPT, _TOKENISE = "pi05_prepare_state_tokenizer_processor_step", "tokenizer_processor"
_UNNORMALISE, _ABSOLUTE = "unnormalizer_processor", "absolute_actions_processor"
_STEPS = {
    PIPELINE: (_RENAME, _RELATIVE, _NORMALISE, _PROMPT, _TOKENISE),
    POST_PIPELINE: (_UNNORMALISE, _ABSOLUTE),
}
"""Steps that change numbers, in the order in which they act. Source: LeRobot processor_pi05.py, 0.4.0 to 0.6.2."""
_CHANGES_NOTHING = ("to_batch_processor", "device_processor")

_SETTINGS: dict[str, dict[str, tuple[object, ...]]] = {
    _NORMALISE: {"eps": (LEROBOT_EPS,), "stats": ({},)},
    _UNNORMALISE: {"eps": (LEROBOT_EPS,), "stats": ({},)},
    _PROMPT: {"task_key": ("task",), "include_state_in_prompt": (True,)},
    _TOKENISE: {
        "max_length": (MAX_TOKENS,),
        "task_key": ("task",),
        "padding_side": ("right",),
        "padding": ("max_length", "longest"),
        "truncation": (True,),
    },
}
"""Step -> setting -> what it may be, the usual value first; null is LeRobot's own default."""
_READ = {
    _RENAME: ("rename_map",),
    _RELATIVE: ("enabled", "exclude_joints", "action_names"),
    _ABSOLUTE: ("enabled",),
    _NORMALISE: ("norm_map", "features", "normalize_observation_keys", "device", "dtype"),
    _UNNORMALISE: ("norm_map", "features", "normalize_observation_keys", "device", "dtype"),
    _PROMPT: ("max_state_dim",),
    _TOKENISE: ("tokenizer_name",),
}
"""Step -> settings that are judged by a function below or by `lerobot_checkpoint`, or that change no number: a step that states its
`max_state_dim` is of LeRobot 0.6.2 or later, which pads no state in the prompt."""

_USUAL_MODES = {"VISUAL": "IDENTITY", "STATE": "QUANTILES", "ACTION": "QUANTILES"}
"""Source: LeRobot configuration_pi05.py."""
_GROUPS = {"VISUAL": "images", "STATE": "the state", "ACTION": "actions"}
_FIX = "LeRobot follows the pipeline. Correct the one that is wrong, or take both as they were saved."


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a saved pipeline."""

    name: str
    """Its name in LeRobot's registry, or the path of its class."""
    config: Mapping[str, Any]
    state_file: object
    """Name of the file with its numbers, None if it has none."""


def read_steps(root: Path, file: str) -> list[Step]:
    """Return the steps of a saved pipeline.

    Args:
        root: folder of the checkpoint.
        file: `PIPELINE` or `POST_PIPELINE`.
    Raises:
        WeightsMissing: the file is a Git LFS pointer.
        ConfigError: it is not readable, or a step is none.
    """
    refuse_pointer(root / file)
    try:
        pipeline = read_json(root / file)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"'{file}' is not readable ({said(error)}), expected JSON with steps. Download it again."
        ) from error
    steps = pipeline.get("steps") if isinstance(pipeline, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigError(f"'{file}' is not readable: it has no list of steps, each with a name. Download it again.")
    found: list[Step] = []
    for step in steps:
        name, config = step.get("registry_name") or step.get("class"), step.get("config") or {}
        if not isinstance(name, str) or not isinstance(config, dict):
            raise ConfigError(
                f"'{file}' has a step without a name or with settings that are no table. Download it again."
            )
        found.append(Step(name, config, step.get("state_file")))
    return found


def renamed_inputs(root: Path) -> dict[str, str]:
    """Return image input -> former name, as the checkpoint's own pre-processor renames them."""
    renamed: dict[str, str] = {}
    for step in read_steps(root, PIPELINE) if (root / PIPELINE).is_file() else []:
        if step.name == _RENAME:
            table = step.config.get("rename_map") or {}
            moved = {str(after): renamed.pop(str(before), str(before)) for before, after in table.items()}
            renamed |= {after: before for after, before in moved.items() if before != after}
    return renamed


def lerobot_stats_file(root: Path) -> Path:
    """Return the file with the statistics of a LeRobot checkpoint.

    Raises:
        WeightsMissing: the pre-processor's description is missing or names none.
        ConfigError: the description is not readable, or names several.
    """
    if not (root / PIPELINE).is_file():
        raise WeightsMissing(
            f"No {PIPELINE} in '{root}': it names the file with the statistics. Download the whole "
            f"repository, or migrate an old checkpoint with LeRobot's script."
        )
    return _state_file(root, PIPELINE, _NORMALISE)


def lerobot_action_stats_file(root: Path) -> Path | None:
    """Return the file with the statistics by which LeRobot takes actions back to the robot's units, None without a saved post-processor.

    Raises:
        WeightsMissing: the post-processor names none.
        ConfigError: its description is not readable, or names several.
    """
    return _state_file(root, POST_PIPELINE, _UNNORMALISE) if os.path.lexists(root / POST_PIPELINE) else None


def _state_file(root: Path, file: str, kind: str) -> Path:
    names = [step.state_file for step in read_steps(root, file) if step.name == kind]
    if len(names) > 1:
        raise ConfigError(f"'{file}' has the step {kind} {len(names)} times, expected once. Take it as it was saved.")
    if not names or not names[0]:
        raise WeightsMissing(f"'{file}' names no statistics file (step {kind}). Download it again.")
    name = names[0]
    if not isinstance(name, str) or Path(name).name != name:
        raise ConfigError(
            f"'{file}' names the statistics file {name!r}, expected a file beside it. Take both as they were saved."
        )
    return root / name


def normalisation_modes(mapping: Any) -> dict[str, str]:
    """Return "VISUAL", "STATE", "ACTION" -> how LeRobot normalises them, such as "QUANTILES".

    Args:
        mapping: `normalization_mapping` of config.json or `norm_map` of a step; None = not stated, which is what LeRobot's pi05 is made with. A
            group that a mapping leaves out is not normalised. Source: LeRobot normalize_processor.py, `_apply_transform`.
    """
    table = _USUAL_MODES if mapping is None else mapping
    return {group: str(table.get(group, "IDENTITY")).split(".")[-1] for group in _USUAL_MODES}


def missing_steps(root: Path) -> list[str]:
    """Return notes on what the saved pipelines do not state, so that config.json alone counts."""
    notes: list[str] = []
    for file in (PIPELINE, POST_PIPELINE):
        if not os.path.lexists(root / file):
            notes.append(f"No '{file}', which LeRobot saves with the weights: what config.json states counts alone.")
        elif file == PIPELINE and _TOKENISE not in {step.name for step in read_steps(root, file)}:
            notes.append(f"'{file}' has no step {_TOKENISE}: LeRobot's usual prompt and tokenizer are taken.")
    return notes


def pipeline_problems(root: Path, config: Mapping[str, Any], *, is_relative: bool, own_statistics: bool) -> list[str]:
    """Return what the saved pipelines do that config.json does not state or that is not done here, one sentence each.

    Args:
        root: folder of the checkpoint.
        config: its config.json.
        is_relative: what `use_relative_actions` there means.
        own_statistics: the statistics are the pipeline's own and not given by a person, who then also says what they are of.
    Raises:
        WeightsMissing, ConfigError: a pipeline is not readable.
    """
    problems: list[str] = []
    for file in (PIPELINE, POST_PIPELINE):
        if not os.path.lexists(root / file):
            continue
        steps = read_steps(root, file)
        _unknown(problems, file, steps)
        for step in steps:
            _odd_settings(problems, file, step)
            if step.name in (_NORMALISE, _UNNORMALISE):
                _other_modes(problems, file, step, config, own_statistics=own_statistics)
            elif step.name in (_RELATIVE, _ABSOLUTE):
                _other_offsets(problems, file, step, config, is_relative=is_relative)
            elif step.name == _TOKENISE:
                _other_tokenizer(problems, file, step)
        names = {step.name for step in steps}
        if _TOKENISE in names and _PROMPT not in names and file == PIPELINE:
            problems.append(
                f"'{file}' has {_TOKENISE} without {_PROMPT}: its prompt is another than a pi05's, which states the task and the robot's state. "
                f"Take it as it was saved, or load the checkpoint with the policy 'lerobot'."
            )
        beside, lacking = (_TOKENISE, _RELATIVE) if file == PIPELINE else (_UNNORMALISE, _ABSOLUTE)
        if is_relative and beside in names and lacking not in names:
            problems.append(f"'{file}' has no step {lacking}, and use_relative_actions of config.json is true. {_FIX}")
    return problems


def _unknown(problems: list[str], file: str, steps: list[Step]) -> None:
    known = _STEPS[file]
    for step in steps:
        if step.name not in (*known, *_CHANGES_NOTHING):
            problems.append(
                f"'{file}' has the step '{in_line(step.name)}', which LeRobot's pi05 has not and which is not carried out here. Load the checkpoint "
                f"with the policy 'lerobot', or remove the step if the weights were trained without it."
            )
    acting = [step.name for step in steps if step.name in known]
    if acting != sorted(acting, key=known.index):
        problems.append(
            f"'{file}' has its steps in the order {', '.join(acting)}, LeRobot's pi05 in the order {', '.join(known)}. Take it as it was saved, or "
            f"load the checkpoint with the policy 'lerobot'."
        )
    for name in sorted({name for name in acting if acting.count(name) > 1} - {_RENAME}):
        problems.append(
            f"'{file}' has the step {name} {acting.count(name)} times, expected once. Take it as it was saved."
        )


def _odd_settings(problems: list[str], file: str, step: Step) -> None:
    if step.name not in _READ:
        return
    allowed = _SETTINGS.get(step.name, {})
    for name, value in step.config.items():
        if value is None or name in _READ[step.name] or value in allowed.get(name, ()):
            continue
        expected = f"supported is {allowed[name][0]!r}" if name in allowed else "a setting that is not known here"
        problems.append(
            f"'{file}' has {in_line(name)} = {in_line(repr(value))} in {step.name}, {expected}. Load the checkpoint with the policy 'lerobot', or "
            f"correct the file."
        )


def _other_modes(
    problems: list[str], file: str, step: Step, config: Mapping[str, Any], *, own_statistics: bool
) -> None:
    stated = normalisation_modes(config.get("normalization_mapping"))
    groups = ("ACTION",) if step.name == _UNNORMALISE else tuple(stated)
    if (table := step.config.get("norm_map")) is not None:
        modes = normalisation_modes(table)
        for group in groups:
            if modes[group] != stated[group]:
                problems.append(
                    f"'{file}' normalises {_GROUPS[group]} by {in_line(modes[group])} (norm_map of {step.name}), config.json says "
                    f"{in_line(stated[group])}. {_FIX}"
                )
    if step.name == _UNNORMALISE or stated["STATE"] == "IDENTITY" or not own_statistics:
        return
    features, keys = step.config.get("features"), step.config.get("normalize_observation_keys")
    kind = None if features is None else str((features.get("observation.state") or {}).get("type")).split(".")[-1]
    if kind not in (None, "STATE") or (keys is not None and "observation.state" not in keys):
        problems.append(
            f"'{file}' leaves observation.state out of what {step.name} normalises, config.json says {in_line(stated['STATE'])} for the state. {_FIX}"
        )


def _other_offsets(problems: list[str], file: str, step: Step, config: Mapping[str, Any], *, is_relative: bool) -> None:
    enabled = step.config.get("enabled") or False
    if enabled is not is_relative:
        said_here = "true" if is_relative else "not true"
        problems.append(
            f"'{file}' has enabled = {in_line(repr(enabled))} in {step.name}, which makes actions offsets from the robot's state or not, and "
            f"use_relative_actions of config.json is {said_here}. {_FIX}"
        )
    elif is_relative and step.name == _RELATIVE:
        own = {
            "action_feature_names": step.config.get("action_names"),
            "relative_exclude_joints": step.config.get("exclude_joints") or [],
        }
        if is_gripper_offset(own) is not is_gripper_offset(config):
            problems.append(
                f"'{file}' makes {'the gripper too' if is_gripper_offset(own) else 'all but the gripper'} an offset (exclude_joints and action_names of "
                f"{step.name}), config.json the opposite (relative_exclude_joints, action_feature_names). {_FIX}"
            )


def _other_tokenizer(problems: list[str], file: str, step: Step) -> None:
    name = step.config.get("tokenizer_name")
    # "tokenizer" is a copy that LeRobot from 0.6.2 on saves beside the weights of whatever its step had.
    if name is not None and not (
        isinstance(name, str) and Path(name).name.lower().startswith(("paligemma-3b", "tokenizer"))
    ):
        problems.append(
            f"'{file}' has tokenizer_name = {in_line(repr(name))} in {step.name}, supported is PaliGemma's, google/paligemma-3b-pt-224: the same words "
            f"have other numbers. Load the checkpoint with the policy 'lerobot'."
        )
