"""How a trained small policy lies on disk: a folder with weights (safetensors) and their story (JSON). No pickle.

    noise-policies/mug-on-plate/
      weights.safetensors    network, standardisation included
      policy.json            kind, sizes, settings, generalist's fingerprint, episodes, seeds, plan, metrics, weights' hash

Written under a temporary name and renamed, so a folder that exists is whole. The fingerprint binds the small policy to the
generalist whose features and noises it learned; another generalist is refused.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from frs_core.errors import ConfigError, FingerprintMismatch, TrainingError, WeightsMissing

FORMAT = "frs-learned"
VERSION = 1
WEIGHTS = "weights.safetensors"
STORY = "policy.json"


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about a saved policy except its weights."""

    kind: str
    """A TrainKind value."""
    name: str
    policy_fingerprint: str
    horizon: int
    width: int
    """A of the generalist."""
    action_size: int
    """a, the robot's numbers."""
    feature_size: int
    proprio_size: int
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    """Episodes, seeds, tasks, plan, number of chunks, share of deferred ones."""
    metrics: Mapping[str, Any]
    made_at: float = 0.0
    """Unix time."""
    weights_sha256: str = ""


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


def read_story(folder: Path) -> Story:
    """Return the story of a saved policy.

    Raises:
        WeightsMissing: there is no saved policy.
        ConfigError: the file is not one of ours, or damaged.
    """
    path = folder / STORY
    if not path.is_file():
        raise WeightsMissing(f"No trained policy at '{folder}': '{STORY}' is missing. Train one with `frs train dsbc`.")
    try:
        raw = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{path}' is damaged: {error}. Train the policy again.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ConfigError(
            f"'{path}' is not a trained policy: format is not '{FORMAT}'. Choose a folder made by `frs train`."
        )
    if raw.get("version") != VERSION:
        raise ConfigError(
            f"'{path}' has version {raw.get('version')}, this program reads {VERSION}. Update the program."
        )
    missing = set(Story.__dataclass_fields__) - set(raw)
    if missing:
        raise ConfigError(f"'{path}' lacks {sorted(missing)}. Train the policy again.")
    return Story(**{name: raw[name] for name in Story.__dataclass_fields__})


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


def check_fingerprint(story: Story, fingerprint: str, *, folder: Path) -> None:
    """Raise unless the policy was trained for this generalist.

    Raises:
        FingerprintMismatch: it was trained for another.
    """
    if story.policy_fingerprint != fingerprint:
        raise FingerprintMismatch(
            f"'{folder.name}' was trained for another policy: got fingerprint {fingerprint[:12]}, expected "
            f"{story.policy_fingerprint[:12]}. Load the policy it was trained for, or train again on episodes of this one."
        )


def list_saved(root: Path) -> tuple[tuple[Path, Story], ...]:
    """Return all readable policies directly under a folder, newest first; damaged ones are left out."""
    found: list[tuple[Path, Story]] = []
    for path in sorted(root.glob(f"*/{STORY}")) if root.is_dir() else []:
        try:
            found.append((path.parent, read_story(path.parent)))
        except ConfigError:
            continue
    return tuple(sorted(found, key=lambda item: -item[1].made_at))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
