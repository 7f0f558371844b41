"""Settings and statistics of a checkpoint that openpi's converter wrote: config.json, and norm_stats.json in `assets`. Any thread."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from frs_core.arrays import Array
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.agreement import match_width, take_horizon, take_statistics
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.config_values import integer, require_precision, switch
from frs_core.policies.pi05.images import Resize
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.policies.pi05.normalisation import QUANTILE_EPS
from frs_core.policies.pi05.tokens import MAX_TOKENS, PromptForm
from frs_core.runtime.foreign import in_line, read_json, said

_OPENPI_SETTINGS = {"action_dim", "action_horizon", "precision", "dtype", "paligemma_variant", "action_expert_variant"}
"""Settings of openpi's converter; all but the first two are known from the weights themselves."""


def read_openpi(checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None) -> None:
    """Store what config.json states. Raises ConfigError where it contradicts the preset."""
    preset = checkpoint.preset
    if preset is None:
        return
    checkpoint.prompt, checkpoint.resize = preset.prompt, Resize.FILTERED
    checkpoint.image_keys = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    for name, needed in (
        ("pi05", True),
        ("discrete_state_input", preset.prompt is PromptForm.STATE_TEXT),
        ("max_token_len", MAX_TOKENS),
    ):
        if config.get(name, needed) != needed:
            raise ConfigError(
                f"config.json has {name} = {config[name]!r}, preset '{preset.name}' needs {needed}. Give the preset that it was trained with, or "
                f"a pi0.5 checkpoint."
            )
    require_precision(config)
    unread = sorted(
        config.keys() - _OPENPI_SETTINGS - {"pi05", "discrete_state_input", "max_token_len", "use_quantile_norm"}
    )
    if unread:
        checkpoint.notes.append(f"Settings of config.json that are not read: {', '.join(unread)}.")
    stated = integer(config, "action_horizon")
    take_horizon(checkpoint, "action_horizon", stated, given=horizon, usual=preset.horizon)
    checkpoint.execute_rows = min(preset.execute_rows, checkpoint.horizon)
    if checkpoint.size is not None:
        match_width(checkpoint, "action_dim", integer(config, "action_dim"))


def require_own_state(checkpoint: Checkpoint, *, given: int | None) -> None:
    """Raise ConfigError where another number of state numbers is given for the prompt than openpi, which pads none, puts there."""
    if checkpoint.preset is None or given is None:
        return
    has_state = checkpoint.prompt is PromptForm.STATE_TEXT
    if not has_state or given != checkpoint.preset.state.size:
        there = f"the state's own {checkpoint.preset.state.size} numbers" if has_state else "no state"
        raise ConfigError(
            f"--prompt-state-size is {given}, and openpi's prompt for '{checkpoint.preset.name}' has {there}. Leave it out."
        )


def openpi_statistics(checkpoint: Checkpoint, config: Mapping[str, Any], *, norm_stats: Path | None) -> None:
    """Store the statistics. Raises WeightsMissing or ConfigError where they are missing or unreadable."""
    preset = checkpoint.preset
    if preset is None:
        return
    path = norm_stats or _find_stats(checkpoint.root, preset.asset_id)
    stats = _read_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    # Source: openpi training/config.py, DataConfig.use_quantile_norm, which is true for every pi0.5 of openpi's own.
    mode = "quantiles" if switch({"use_quantile_norm": True, **config}, "use_quantile_norm") else "mean_std"
    if mode != "quantiles":
        checkpoint.notes.append("use_quantile_norm is false: normalised by mean and standard deviation.")
    take_statistics(checkpoint, preset, stats["state"], stats["actions"], modes=(mode, mode), eps=QUANTILE_EPS)


def _find_stats(root: Path, asset_id: str) -> Path:
    path = root / "assets" / asset_id / "norm_stats.json"
    if path.is_file():
        return path
    others = sorted((root / "assets").rglob("norm_stats.json")) if (root / "assets").is_dir() else []
    if others:
        raise WeightsMissing(
            f"No norm_stats.json under 'assets/{asset_id}', where this preset's are; found those of "
            f"{', '.join(repr(str(o.relative_to(root).parent.relative_to('assets'))) for o in others)}. If the checkpoint was trained with "
            f"them, give --norm-stats {shlex.quote(str(others[0]))} (option norm_stats)."
        )
    raise WeightsMissing(
        f"No norm_stats.json under '{root / 'assets' / asset_id}'. openpi's converter leaves them behind: copy "
        f"`assets` from the original checkpoint, or give --norm-stats FILE (option norm_stats)."
    )


def _read_stats(path: Path) -> dict[str, dict[str, Array]]:
    refuse_pointer(path)
    if path.suffix.lower() == ".safetensors":
        raise ConfigError(
            f"Statistics '{in_line(path)}' are a safetensors file, as LeRobot writes it; those of a checkpoint of openpi are norm_stats.json. Give that "
            f"of the checkpoint."
        )
    expected = "expected JSON whose norm_stats hold tables state and actions. Take the checkpoint's own file."
    try:
        data = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"Statistics '{path}' are not readable ({said(error)}); {expected}") from error
    groups = data.get("norm_stats", data) if isinstance(data, dict) else None
    found: dict[str, dict[str, Array]] = {}
    for group in ("state", "actions"):
        table = groups.get(group) if isinstance(groups, dict) else None
        if not isinstance(table, dict):
            raise ConfigError(f"Statistics '{path}' are not readable (there is no table '{group}'); {expected}")
        found[group] = {k: _numbers(v, f"'{k}' of {group} in '{path}'") for k, v in table.items() if v is not None}
    return found


def _numbers(value: Any, where: str) -> Array:
    """Return statistics as numbers, which texts and truth values are not. Raises ConfigError."""
    parts = [value]
    while lists := [part for part in parts if isinstance(part, list)]:
        parts = [part for part in parts if not isinstance(part, list)] + [entry for part in lists for entry in part]
    odd = next((part for part in parts if isinstance(part, bool) or not isinstance(part, int | float)), None)
    if odd is not None or None in parts:
        shown = in_line(json.dumps(odd))[:40]
        raise ConfigError(f"Statistic {where} holds {shown}, expected numbers alone. Recompute the statistics.")
    try:
        return np.asarray(value, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"Statistic {where} is no list of numbers (lists of different lengths, or a number beyond double precision). Recompute the statistics."
        ) from error
