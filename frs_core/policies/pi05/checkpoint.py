"""Inspect a folder with a pi0.5 checkpoint before a single weight is read.

Problem: two kinds of folders hold the same network (openpi converted to safetensors; LeRobot), store horizon and statistics
differently, and are often incomplete in known ways. Idea: `inspect_checkpoint` collects the facts and every problem, one sentence
each; `frs policy check` prints them, and loading fails unless the list of problems is empty.

Example: a converted folder whose `assets` were left behind gives the problem "No norm_stats.json under ...". Any thread.
"""

import os
from pathlib import Path
from typing import Any

from frs_core.errors import WeightsMissing
from frs_core.policies.pi05.checkpoint_facts import HORIZON_FROM, NOTE, Checkpoint
from frs_core.policies.pi05.config_values import read_object
from frs_core.policies.pi05.lerobot_checkpoint import (
    hold_pipelines,
    lerobot_statistics,
    read_lerobot,
    read_lerobot_inputs,
    read_prompt_padding,
)
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.policies.pi05.lerobot_pipelines import PIPELINE
from frs_core.policies.pi05.openpi_checkpoint import openpi_statistics, read_openpi, require_own_state
from frs_core.policies.pi05.places import INDEX, WEIGHTS
from frs_core.policies.pi05.presets import find_preset, need_preset, published_preset
from frs_core.policies.pi05.tokens import Tokenizer, find_tokenizer
from frs_core.policies.pi05.weights_file import read_weights
from frs_core.steering.camera_pairing import CamerasOption, pair_cameras


def inspect_checkpoint(
    root: Path,
    *,
    preset: str | None = None,
    norm_stats: Path | None = None,
    tokenizer: Path | None = None,
    horizon: int | None = None,
    cameras: CamerasOption | None = None,
    prompt_state_size: int | None = None,
) -> Checkpoint:
    """Return the facts and the problems of a folder; raises only if there is no such folder.

    Args:
        root: the folder, or its `model.safetensors`.
        preset: meaning of the actions, a name of `presets.PRESETS`; None = from the folder's note, or its exact published name.
        norm_stats: statistics file, if it is not in the folder.
        tokenizer: SentencePiece file, if it is not in the folder.
        horizon: rows of a chunk, for a fine-tune that changed its preset's.
        cameras: which camera fills which image input, if the names do not determine it (`camera_pairing.pair_cameras`).
        prompt_state_size: numbers of the state in the prompt, zeros included; None = the robot's own.
    Raises:
        WeightsMissing: no such folder, or a file of another name.
    """
    if root.is_file():
        if root.name != WEIGHTS:
            raise WeightsMissing(
                f"'{root}' is a file, and weights are read from '{WEIGHTS}' in a folder with its configuration. Give that folder."
            )
        root = root.parent
    if not root.is_dir():
        raise WeightsMissing(f"No checkpoint folder '{root}'. Get one with `frs policy fetch`, or correct the path.")
    checkpoint = Checkpoint(root)
    read_weights(checkpoint)
    if not any(os.path.lexists(root / name) for name in (WEIGHTS, INDEX, "config.json", PIPELINE)):
        return checkpoint  # it is another folder; what else is not there follows from that
    config = _read_config(checkpoint, preset, horizon)
    if config is not None:
        checkpoint.family = "lerobot" if "type" in config or "input_features" in config else "openpi"
    checkpoint.attempt(lambda: _choose_preset(checkpoint, preset))
    if config is not None:
        # Each on its own: what is wrong with the settings does not hide what is wrong with the numbers.
        if checkpoint.family == "lerobot":
            checkpoint.attempt(lambda: read_lerobot(checkpoint, config, horizon=horizon))
            checkpoint.attempt(lambda: read_prompt_padding(checkpoint, config, given=prompt_state_size))
            checkpoint.attempt(lambda: read_lerobot_inputs(checkpoint, config))
            checkpoint.attempt(lambda: lerobot_statistics(checkpoint, config, norm_stats=norm_stats))
            checkpoint.attempt(lambda: hold_pipelines(checkpoint, config, norm_stats=norm_stats))
        else:
            checkpoint.attempt(lambda: read_openpi(checkpoint, config, horizon=horizon))
            checkpoint.attempt(lambda: require_own_state(checkpoint, given=prompt_state_size))
            checkpoint.attempt(lambda: openpi_statistics(checkpoint, config, norm_stats=norm_stats))
        checkpoint.attempt(lambda: _pair(checkpoint, cameras))

    def tokens() -> None:
        path = find_tokenizer(root, tokenizer)
        refuse_pointer(path)
        # Finds here what would fail at loading, also where the weights are refused.
        Tokenizer(path, vocabulary=None if checkpoint.size is None else checkpoint.size.vocabulary)
        checkpoint.tokenizer = path

    checkpoint.attempt(tokens)
    return checkpoint


def _read_config(checkpoint: Checkpoint, preset: str | None, horizon: int | None) -> dict[str, Any] | None:
    """Return config.json; openpi's PyTorch trainer writes none, and its facts come from shapes and options instead."""
    path, size = checkpoint.root / "config.json", checkpoint.size
    if os.path.lexists(path):
        return read_object(checkpoint, path)
    if checkpoint.is_lerobot_named or (checkpoint.root / PIPELINE).exists():
        checkpoint.problems.append(
            "'config.json' is missing. LeRobot saves it with the weights, and it states inputs and normalisation, which no preset does: take it "
            "from where the checkpoint is from."
        )
        return None
    if preset is None or horizon is None:
        checkpoint.problems.append(
            "'config.json' is missing; it states the horizon. openpi's PyTorch trainer writes none: give both --preset and --horizon."
        )
        return None
    config = {"action_horizon": horizon} | ({} if size is None else {"action_dim": size.width})
    width = "" if size is None else f", action width {size.width} by the weights"
    checkpoint.notes.append(f"No config.json: horizon {horizon} as given{width}.")
    return config


def _choose_preset(checkpoint: Checkpoint, given: str | None) -> None:
    path, name = checkpoint.root / NOTE, checkpoint.root.resolve().name
    data: dict[str, Any] = {}
    if path.is_file():
        if (note := read_object(checkpoint, path)) is None:
            return  # said already; without its note the folder's meaning is open
        data = note
        checkpoint.horizon_from = str(data.get(HORIZON_FROM, ""))
    if given is not None:
        checkpoint.preset, checkpoint.meaning_from = find_preset(given), "as given"
    elif path.is_file():
        if isinstance(data.get("preset"), str):
            checkpoint.preset, checkpoint.meaning_from = find_preset(data["preset"]), f"taken from its note {NOTE}"
    else:
        checkpoint.preset, checkpoint.meaning_from = published_preset(name), "taken from its published name"
    if checkpoint.preset is None:
        raise need_preset(name)


def _pair(checkpoint: Checkpoint, cameras: CamerasOption | None) -> None:
    preset = checkpoint.preset
    if preset is None or checkpoint.image_keys is None:
        return
    checkpoint.pairing = pair_cameras(
        checkpoint.image_keys,
        cameras=cameras,
        usual=preset.cameras,
        names=preset.picture_names,
        masked=preset.masked,
        renamed=checkpoint.renamed,
    )
