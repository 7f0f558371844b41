"""A folder with a pi0.5 checkpoint, understood and judged before a single weight is read.

Problem: two families of folders hold the same network (openpi converted to safetensors; LeRobot), each with its own way
of saying horizon and statistics, and each with known ways of being incomplete. Idea: `inspect_checkpoint` collects the facts
and every problem, one sentence each; `frs policy check` prints them, and loading refuses unless the list is empty.

Example: a converted folder whose `assets` were left behind gives the problem "No norm_stats.json under ...". Any thread.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from frs_core.errors import ConfigError, FrsError, WeightsMissing
from frs_core.policies.pi05.images import Resize
from frs_core.policies.pi05.normalisation import QUANTILE_EPS, Affine, affine_of
from frs_core.policies.pi05.presets import Preset, find_preset, need_preset, preset_from_name
from frs_core.policies.pi05.sizes import ModelSize, problems_of, size_of
from frs_core.policies.pi05.tokens import PromptForm, find_tokenizer
from frs_core.policies.pi05.weights import CutShort, read_header

NOTE = "frs_policy.json"
"""Written by `frs policy fetch`: {"preset": name, "source": where from, "sha256": {file: digest}}."""

LEROBOT_EPS = 1e-8
"""Source: LeRobot normalize_processor.py."""

_SAMPLES, _SAMPLE_BYTES = 64, 65536


@dataclass(slots=True, eq=False)
class Checkpoint:
    """Everything known about a folder; usable when `problems` is empty."""

    root: Path
    family: str = "unknown"
    """ "openpi" or "lerobot"."""
    weights: Path | None = None
    prefix: str = ""
    """What stands before every tensor's name in the file."""
    size: ModelSize | None = None
    horizon: int = 0
    execute_rows: int = 0
    preset: Preset | None = None
    prompt: PromptForm = PromptForm.STATE_TEXT
    resize: Resize = Resize.FILTERED
    state: Affine | None = None
    actions: Affine | None = None
    tokenizer: Path | None = None
    picture_keys: tuple[str, ...] = ()
    """Names of the picture slots in the checkpoint's own words."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def require(self) -> None:
        """Raise unless the checkpoint is complete.

        Raises:
            ConfigError: lists the first problems.
        """
        if self.problems:
            more = f" (and {len(self.problems) - 5} more)" if len(self.problems) > 5 else ""
            raise ConfigError(
                f"Checkpoint '{self.root}' cannot be used: {' '.join(self.problems[:5])}{more} "
                f"See all with `frs policy check {self.root}`."
            )

    def fingerprint(self) -> str:
        """Return a hash of what decides the policy's behaviour.

        Hashes the weights' header and 64 evenly spaced blocks of 64 kB (any training run changes every tensor), sizes,
        statistics and meaning; a 7 GB file takes milliseconds.
        """
        assert self.weights is not None
        assert self.preset is not None
        digest = hashlib.sha256()
        length = self.weights.stat().st_size
        with self.weights.open("rb") as file:
            for start in np.linspace(0, max(0, length - _SAMPLE_BYTES), _SAMPLES, dtype=np.int64):
                file.seek(int(start))
                digest.update(file.read(_SAMPLE_BYTES))
        for affine in (self.state, self.actions):
            if affine is not None:
                digest.update(affine.offset.astype("<f8").tobytes() + affine.scale.astype("<f8").tobytes())
        facts = (length, self.horizon, self.preset.name, self.prompt.value, self.resize.value)
        digest.update(repr(facts).encode())
        return digest.hexdigest()


def inspect_checkpoint(
    root: Path,
    *,
    preset: str | None = None,
    norm_stats: Path | None = None,
    tokenizer: Path | None = None,
    horizon: int | None = None,
) -> Checkpoint:
    """Return what a folder holds and what is wrong with it; raises only when it is not there.

    Args:
        root: the folder, or its `model.safetensors`.
        preset: meaning of the actions, a name of `presets.PRESETS`; None = from the folder's note or name.
        norm_stats: statistics file, when it lies elsewhere.
        tokenizer: SentencePiece file, when it lies elsewhere.
        horizon: rows of a chunk, for a fine-tune that changed its preset's.
    Raises:
        WeightsMissing: no such folder.
    """
    root = root.parent if root.is_file() else root
    if not root.is_dir():
        raise WeightsMissing(f"No checkpoint folder '{root}'. Get one with `frs policy fetch`, or correct the path.")
    checkpoint = Checkpoint(root)
    _read_weights(checkpoint)
    config = _read_json(checkpoint, root / "config.json")
    if config is not None:
        checkpoint.family = "lerobot" if "type" in config or "input_features" in config else "openpi"
    _attempt(checkpoint, lambda: _choose_preset(checkpoint, preset))
    if config is not None:
        reader = _read_lerobot if checkpoint.family == "lerobot" else _read_openpi
        _attempt(checkpoint, lambda: reader(checkpoint, config, horizon=horizon, norm_stats=norm_stats))

    def tokens() -> None:
        checkpoint.tokenizer = find_tokenizer(root, tokenizer)

    _attempt(checkpoint, tokens)
    return checkpoint


def _attempt(checkpoint: Checkpoint, action: Any) -> None:
    try:
        action()
    except FrsError as error:
        checkpoint.problems.append(str(error))


def _read_json(checkpoint: Checkpoint, path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        checkpoint.problems.append(f"'{path.name}' is missing; it tells the horizon.")
        return None
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        checkpoint.problems.append(f"'{path.name}' is not readable JSON ({error}).")
        return None
    if not isinstance(data, dict):
        checkpoint.problems.append(f"'{path.name}' holds no JSON object.")
        return None
    return data


def _read_weights(checkpoint: Checkpoint) -> None:
    path = checkpoint.root / "model.safetensors"
    if not path.is_file():
        hint = ""
        if (checkpoint.root / "params").is_dir():
            hint = " This is openpi's JAX format: convert it with `frs policy fetch --convert`."
        elif (checkpoint.root / "model.safetensors.index.json").is_file():
            hint = " The weights are in shards: join them into one model.safetensors."
        checkpoint.problems.append(f"'model.safetensors' is missing.{hint}")
        return
    try:
        stored = read_header(path)
    except CutShort as error:
        checkpoint.problems.append(
            f"'{path.name}' is not whole: {error}. Give the same `frs policy fetch` again, or download the file again."
        )
        return
    except (OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        checkpoint.problems.append(f"'{path.name}' is no safetensors file ({error}); download it again.")
        return
    checkpoint.weights = path
    checkpoint.prefix = "model." if any(name.startswith("model.paligemma") for name in stored) else ""
    shapes = {name.removeprefix(checkpoint.prefix): shape for name, shape in stored.items()}

    def judge() -> None:
        checkpoint.size = size_of(shapes)
        checkpoint.problems += problems_of(shapes, checkpoint.size)

    _attempt(checkpoint, judge)


def _choose_preset(checkpoint: Checkpoint, given: str | None) -> None:
    note = checkpoint.root / NOTE
    if given is not None:
        checkpoint.preset = find_preset(given)
    elif note.is_file():
        data = _read_json(checkpoint, note) or {}
        if isinstance(data.get("preset"), str):
            checkpoint.preset = find_preset(data["preset"])
    else:
        checkpoint.preset = preset_from_name(checkpoint.root.resolve().name)
    if checkpoint.preset is None:
        raise need_preset(checkpoint.root.name)


def _read_openpi(
    checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None, norm_stats: Path | None
) -> None:
    preset = checkpoint.preset
    if preset is None:
        return
    checkpoint.prompt, checkpoint.resize = preset.prompt, Resize.FILTERED
    checkpoint.picture_keys = ("base_0_rgb", "left_wrist_0_rgb")
    checkpoint.horizon = _integer(config, "action_horizon")
    checkpoint.execute_rows = min(preset.execute_rows, checkpoint.horizon)
    _match(checkpoint, "horizon", checkpoint.horizon, horizon or preset.horizon)
    if checkpoint.size is not None:
        _match(checkpoint, "action width", checkpoint.size.width, _integer(config, "action_dim"))
    path = norm_stats or _find_stats(checkpoint.root, preset.asset_id)
    stats = _read_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    kwargs = {"mode": "quantiles", "eps": QUANTILE_EPS}
    checkpoint.state = affine_of(stats["state"], size=preset.state.size, what="state", **kwargs)
    checkpoint.actions = affine_of(stats["actions"], size=preset.action_kind.size, what="actions", **kwargs)


def _find_stats(root: Path, asset_id: str) -> Path:
    path = root / "assets" / asset_id / "norm_stats.json"
    if path.is_file():
        return path
    others = sorted((root / "assets").rglob("norm_stats.json")) if (root / "assets").is_dir() else []
    got = f" Found {', '.join(str(o.relative_to(root)) for o in others)} instead." if others else ""
    raise WeightsMissing(
        f"No norm_stats.json under '{root / 'assets' / asset_id}'.{got} openpi's converter leaves them behind: copy "
        f"`assets` from the original checkpoint, or say where they are (norm_stats, --norm-stats)."
    )


def _read_stats(path: Path) -> dict[str, dict[str, np.ndarray]]:
    try:
        data = json.loads(path.read_text())
        groups = data.get("norm_stats", data)
        return {
            group: {k: np.asarray(v, dtype=np.float64) for k, v in groups[group].items() if v is not None}
            for group in ("state", "actions")
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"Statistics '{path}' are not readable ({error!r}); expected norm_stats with state and actions."
        ) from error


def _read_lerobot(
    checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None, norm_stats: Path | None
) -> None:
    if config.get("type") != "pi05":
        raise ConfigError(
            f"This LeRobot checkpoint is a '{config.get('type')}', not a pi05. Load it with the policy 'lerobot'."
        )
    if config.get("use_relative_actions"):
        raise ConfigError("LeRobot's relative actions are not supported here. Load it with the policy 'lerobot'.")
    checkpoint.prompt, checkpoint.resize = PromptForm.STATE_TEXT, Resize.SAMPLED
    checkpoint.horizon = _integer(config, "chunk_size")
    checkpoint.execute_rows = min(_integer(config, "n_action_steps"), checkpoint.horizon)
    if horizon is not None:
        _match(checkpoint, "horizon", checkpoint.horizon, horizon)
    if checkpoint.size is not None:
        _match(checkpoint, "action width", checkpoint.size.width, int(config.get("max_action_dim", 32)))
    inputs = config.get("input_features") or {}
    checkpoint.picture_keys = tuple(
        key for key in inputs if key.startswith("observation.images.") and "empty_camera" not in key
    )
    preset = checkpoint.preset
    if preset is None:
        return
    _match(checkpoint, "action size", _feature(config, "output_features", "action"), preset.action_kind.size)
    _match(checkpoint, "state size", _feature(config, "input_features", "observation.state"), preset.state.size)
    path = norm_stats or _lerobot_stats_file(checkpoint.root)
    stats = _lerobot_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    modes = config.get("normalization_mapping") or {}

    def affine(group: str, mode: str, size: int, what: str) -> Affine:
        name = str(modes.get(mode, "QUANTILES")).split(".")[-1].lower()
        return affine_of(stats.get(group, {}), mode=name, size=size, eps=LEROBOT_EPS, what=what)

    checkpoint.state = affine("observation.state", "STATE", preset.state.size, "state")
    checkpoint.actions = affine("action", "ACTION", preset.action_kind.size, "actions")


def _lerobot_stats_file(root: Path) -> Path:
    pipeline = root / "policy_preprocessor.json"
    if not pipeline.is_file():
        raise WeightsMissing(
            f"No policy_preprocessor.json in '{root}': it names the file with the statistics. Download the whole "
            f"repository, or migrate an old checkpoint with LeRobot's script."
        )
    steps = json.loads(pipeline.read_text()).get("steps", [])
    for step in steps:
        if step.get("registry_name") == "normalizer_processor" and step.get("state_file"):
            return root / step["state_file"]
    raise WeightsMissing(f"'{pipeline.name}' names no statistics file (step normalizer_processor). Download it again.")


def _lerobot_stats(path: Path) -> dict[str, dict[str, np.ndarray]]:
    if not path.is_file():
        raise WeightsMissing(f"Statistics file '{path.name}' is missing from '{path.parent}'. Download it again.")
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in load_file(path).items():
        group, _, statistic = name.rpartition(".")
        groups.setdefault(group, {})[statistic] = array
    return groups


def _feature(config: Mapping[str, Any], group: str, name: str) -> int:
    try:
        return int(config[group][name]["shape"][0])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ConfigError(f"config.json does not tell the size of '{name}' in {group} ({error!r}).") from error


def _integer(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"config.json has {key} = {value!r}, expected a positive number.")
    return value


def _match(checkpoint: Checkpoint, what: str, got: int, expected: int) -> None:
    if got != expected:
        name = checkpoint.preset.name if checkpoint.preset else "the weights"
        checkpoint.problems.append(
            f"The {what} is {got}, {name} needs {expected}: another preset, or pass {what.replace(' ', '_')}=."
        )
