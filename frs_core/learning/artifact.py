"""How a trained small policy lies on disk: a folder with weights (safetensors) and their story (JSON). No pickle.

    data/learned/mug-on-plate/
      weights.safetensors    network, standardisation included
      policy.json            kind, sizes, settings, generalist's fingerprint, episodes, seeds, plan, metrics, weights' hash

Written under a temporary name and renamed, so a folder that exists is whole.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from frs_core.errors import ConfigError, TrainingError, WeightsMissing
from frs_core.learning.story import FORMAT, STORY, VERSION, Story

WEIGHTS = "weights.safetensors"


def save(folder: Path, weights: Mapping[str, Tensor], story: Story, *, overwrite: bool = False) -> Path:
    """Write a policy folder and return it.

    Args:
        folder: where; its parents are made.
        weights: the network's state.
        story: hash and time are filled in here.
        overwrite: replace a folder that already holds a saved policy.
    Raises:
        TrainingError: the folder exists (and may not be replaced), or the disk refused.
    """
    if folder.exists() and not (overwrite and (folder / STORY).is_file()):
        raise TrainingError(f"'{folder}' already exists. Choose another name, or pass --overwrite for a saved policy.")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, partial / WEIGHTS)
        written = {name: getattr(story, name) for name in Story.__dataclass_fields__}
        written |= {
            "format": FORMAT,
            "version": VERSION,
            "made_at": time.time(),
            "weights_sha256": _digest(partial / WEIGHTS),
        }
        (partial / STORY).write_text(json.dumps(written, indent=2, sort_keys=True, default=str) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingError(
            f"The trained policy could not be written to '{folder}': {error.strerror or error}. Free some space or choose "
            f"another folder with --out."
        ) from error
    return folder


def read_weights(folder: Path, story: Story) -> dict[str, Tensor]:
    """Return the weights, checked against the story's hash.

    Raises:
        WeightsMissing: the file is gone.
        ConfigError: the file is damaged.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsMissing(f"'{path}' is missing. Train the policy again.")
    if _digest(path) != story.weights_sha256:
        raise ConfigError(
            f"'{path}' does not match its story: the file is damaged or was replaced. Train the policy again."
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConfigError(f"'{path}' cannot be read: {error}. Train the policy again.") from error


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
