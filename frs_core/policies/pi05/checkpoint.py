"""Inspect a folder with a pi0.5 checkpoint before a single weight is read.

Problem: two kinds of folders hold the same network (openpi converted to safetensors; LeRobot), store horizon and statistics
differently, and are often incomplete in known ways. Idea: `inspect_checkpoint` collects the facts and every problem, one sentence
each; `frs policy check` prints them, and loading fails unless the list of problems is empty.

Example: a converted folder whose `assets` were left behind gives the problem "No norm_stats.json under ...". Any thread.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, FrsError, WeightsMissing
from frs_core.policies.pi05.images import Resize
from frs_core.policies.pi05.lerobot_files import (
    PIPELINE,
    check_offsets,
    feature_size,
    is_gripper_offset,
    lerobot_stats,
    lerobot_stats_file,
    refuse_pointer,
    refuse_unsupported,
    renamed_inputs,
    unknown_settings,
)
from frs_core.policies.pi05.names import is_adapter_array, stored_names
from frs_core.policies.pi05.normalisation import QUANTILE_EPS, Affine, Stats, affine_of, covered_range
from frs_core.policies.pi05.plausible import why_not_this_meaning
from frs_core.policies.pi05.presets import Preset, find_preset, need_preset, published_preset
from frs_core.policies.pi05.sizes import ModelSize, problems_of, size_of
from frs_core.policies.pi05.tokens import MAX_TOKENS, PromptForm, Tokenizer, find_tokenizer
from frs_core.policies.pi05.weights import Truncated, read_header, why_not_weights
from frs_core.runtime.foreign import MALFORMED, found_at, is_text_path, open_plain, read_json
from frs_core.steering.camera_pairing import CamerasOption, Pairing, pair_cameras
from frs_core.steering.directions import NEVER_MOVED

NOTE = "frs_policy.json"
"""Written by `frs policy fetch`: {"preset": name, "source": where from, "sha256": {file: digest}}."""

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
"""Weights as files of Python objects, which may run code when they are read."""

LONGEST_CHUNK = 1000
"""Rows. Guess; those of released checkpoints have 10 to 50."""

_OPENPI_SETTINGS = {"action_dim", "action_horizon", "precision", "dtype", "paligemma_variant", "action_expert_variant"}
"""Settings of openpi's converter; all but the first two are known from the weights themselves."""

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
    names: dict[str, str] = field(default_factory=dict)
    """Tensor -> its name in the file."""
    size: ModelSize | None = None
    horizon: int = 0
    execute_rows: int = 0
    preset: Preset | None = None
    meaning_from: str = ""
    """Where the preset comes from, in words."""
    prompt: PromptForm = PromptForm.STATE_TEXT
    resize: Resize = Resize.FILTERED
    state: Affine | None = None
    actions: Affine | None = None
    covered: tuple[Float[Array, " a"], Float[Array, " a"]] | None = None
    """1 % and 99 % quantiles of the raw training actions; None if the statistics do not contain them."""
    is_gripper_offset: bool = False
    """The gripper too is an offset from its value at the start of the chunk, as in LeRobot's relative actions unless they exclude it."""
    tokenizer: Path | None = None
    image_keys: tuple[str, ...] = ()
    """The checkpoint's own names of its image inputs, in its order."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Image input -> the name its images had before the checkpoint's own pre-processor."""
    pairing: Pairing = ()
    """(image input, world camera)."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_lerobot_named(self) -> bool:
        """Whether names begin with LeRobot's `model.`."""
        return "model." in self.names.get("action_out_proj.weight", "")

    def require(self) -> None:
        """Raise unless the checkpoint is complete.

        Raises:
            ConfigError: it has problems; the text lists the first five.
        """
        if self.problems:
            more = f" (and {len(self.problems) - 5} more)" if len(self.problems) > 5 else ""
            raise ConfigError(
                f"Checkpoint '{self.root}' cannot be used: {' '.join(self.problems[:5])}{more} "
                f"See all with `frs policy check {self.root}`."
            )

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the policy's behaviour.

        Hashes the weights' header and 64 evenly spaced blocks of 64 kB (any training run changes every tensor), sizes,
        statistics and meaning; a 7 GB file takes milliseconds.
        """
        assert self.weights is not None
        assert self.preset is not None
        digest = hashlib.sha256()
        length = self.weights.stat().st_size
        with open_plain(self.weights, may_link=True) as file:
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
    cameras: CamerasOption | None = None,
) -> Checkpoint:
    """Return the facts and the problems of a folder; raises only if there is no such folder.

    Args:
        root: the folder, or its `model.safetensors`.
        preset: meaning of the actions, a name of `presets.PRESETS`; None = from the folder's note, or its exact published name.
        norm_stats: statistics file, if it is not in the folder.
        tokenizer: SentencePiece file, if it is not in the folder.
        horizon: rows of a chunk, for a fine-tune that changed its preset's.
        cameras: which camera fills which image input, if the names do not determine it (`camera_pairing.pair_cameras`).
    Raises:
        WeightsMissing: no such folder, or a file of another name.
    """
    if root.is_file():
        if root.name != _WEIGHTS:
            raise WeightsMissing(
                f"'{root}' is a file, and weights are read from '{_WEIGHTS}' in a folder with its configuration. Give that folder."
            )
        root = root.parent
    if not root.is_dir():
        raise WeightsMissing(f"No checkpoint folder '{root}'. Get one with `frs policy fetch`, or correct the path.")
    checkpoint = Checkpoint(root)
    _read_weights(checkpoint)
    config = _read_config(checkpoint, preset, horizon)
    if config is not None:
        checkpoint.family = "lerobot" if "type" in config or "input_features" in config else "openpi"
    _attempt(checkpoint, lambda: _choose_preset(checkpoint, preset))
    if config is not None:
        is_lerobot = checkpoint.family == "lerobot"
        reader, statistics = (_read_lerobot, _lerobot_statistics) if is_lerobot else (_read_openpi, _openpi_statistics)
        _attempt(checkpoint, lambda: reader(checkpoint, config, horizon=horizon))
        # On its own: what is wrong with the settings does not hide what is wrong with the numbers.
        _attempt(checkpoint, lambda: statistics(checkpoint, config, norm_stats=norm_stats))
        _attempt(checkpoint, lambda: _pair(checkpoint, cameras))

    def tokens() -> None:
        path = find_tokenizer(root, tokenizer)
        refuse_pointer(path)
        # Finds here what would fail at loading, also where the weights are refused.
        Tokenizer(path, vocabulary=None if checkpoint.size is None else checkpoint.size.vocabulary)
        checkpoint.tokenizer = path

    _attempt(checkpoint, tokens)
    return checkpoint


def _read_config(checkpoint: Checkpoint, preset: str | None, horizon: int | None) -> dict[str, Any] | None:
    """Return config.json; openpi's PyTorch trainer writes none, and its facts come from shapes and options instead."""
    path, size = checkpoint.root / "config.json", checkpoint.size
    if os.path.lexists(path):
        return _read_json(checkpoint, path)
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


def _elsewhere(root: Path) -> str:
    """Return a hint at weights in subfolders; empty if there are none."""
    found = {p.parent for depth in ("*", "*/*", "*/*/*") for p in root.glob(f"{depth}/model.safetensors")}
    found |= {p.parent.parent for depth in ("*", "*/*") for p in root.glob(f"{depth}/params/_METADATA")}
    named = ", ".join(f"'{p.relative_to(root)}'" for p in sorted(found)[-3:])
    return f" A checkpoint lies in {named}: give that folder." if found else ""


def _shards(root: Path) -> str:
    """Return what to do with weights in shards, of which some may be missing. Raises nothing: the index itself may be none."""
    try:
        named = sorted({str(name) for name in read_json(root / _INDEX)["weight_map"].values()})
    except (OSError, *MALFORMED) as error:
        return f" The weights are in shards, and '{_INDEX}' is not readable ({error}): download it again."
    if missing := [name for name in named if not (root / name).is_file()]:
        return (
            f" The weights are in {len(named)} shards, of which {len(missing)} are missing, e.g. '{missing[0]}': download them, and join all into "
            f"one {_WEIGHTS}."
        )
    return f" The weights are in {len(named)} shards: join them into one {_WEIGHTS}."


def _adapter(root: Path) -> str:
    """Return what to do with a folder that holds only a PEFT adapter; empty for other folders."""
    if not (root / "adapter_config.json").is_file():
        return ""
    return (
        " This is a PEFT adapter, which changes another checkpoint: merge it with "
        f"`frs policy fetch --convert {root} --base WEIGHTS --preset NAME`, and give the new folder."
    )


def _attempt(checkpoint: Checkpoint, action: Any) -> None:
    try:
        action()
    except FrsError as error:
        # Two readers of one file find the same.
        checkpoint.problems += [text] if (text := str(error)) not in checkpoint.problems else []
    except MALFORMED as error:
        checkpoint.problems.append(
            f"Its configuration holds what no pi0.5's does ({type(error).__name__}: {error}). Take config.json and "
            f"policy_preprocessor.json as they were saved with the weights."
        )


def _read_json(checkpoint: Checkpoint, path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        there = found_at(path)
        text = "is missing; it states the horizon" if there == "does not exist" else f"{there}, expected a file"
        checkpoint.problems.append(f"'{path.name}' {text}.")
        return None
    try:
        refuse_pointer(path)
        data = read_json(path)
    except WeightsMissing as error:
        checkpoint.problems.append(str(error))
        return None
    except (OSError, ValueError) as error:
        checkpoint.problems.append(f"'{path.name}' is not readable JSON ({error}).")
        return None
    if not isinstance(data, dict):
        checkpoint.problems.append(f"'{path.name}' does not hold a JSON object.")
        return None
    return data


def _read_weights(checkpoint: Checkpoint) -> None:
    path = checkpoint.root / _WEIGHTS
    if not path.is_file():
        hint = _adapter(checkpoint.root) or _elsewhere(checkpoint.root)
        if (checkpoint.root / "params").is_dir():
            hint = " This is openpi's JAX format: convert it with `frs policy fetch --convert`."
        elif (checkpoint.root / _INDEX).is_file():
            hint = _shards(checkpoint.root)
        elif found := sorted(p.name for pattern in _PICKLES for p in checkpoint.root.glob(pattern)):
            hint = (
                f" '{found[0]}' holds weights as Python objects, which may run code when they are read, and are not: save them with "
                f"safetensors.torch.save_file where you trust them."
            )
        there = found_at(path)
        text = "is missing" if there == "does not exist" else f"{there}, expected a file"
        checkpoint.problems.append(f"'model.safetensors' {text}.{hint}")
        return
    if not is_text_path(path):
        checkpoint.problems.append(
            f"'{path}' has a path that is no UTF-8 text, and safetensors reads no other. Rename the folder."
        )
        return
    try:
        refuse_pointer(path)
        stored = read_header(path)
    except WeightsMissing as error:
        checkpoint.problems.append(str(error))
        return
    except Truncated as error:
        checkpoint.problems.append(
            f"'{path.name}' is not whole: {error}. Give the same `frs policy fetch` again, or download the file again."
        )
        return
    except (OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        checkpoint.problems.append(f"'{path.name}' is not a safetensors file ({error}); download it again.")
        return
    checkpoint.weights = path
    if (checkpoint.root / _INDEX).exists():
        checkpoint.notes.append(f"'{_INDEX}' and shards that it names are not read; '{path.name}' is.")
    adapters = [name for name in stored if is_adapter_array(name)]
    if adapters:
        checkpoint.problems.append(
            f"'{path.name}' holds {len(adapters)} arrays of a LoRA adapter, e.g. '{adapters[0]}', beside the weights: merge them "
            f"with `frs policy fetch --convert {checkpoint.root} --preset NAME`, and give the new folder."
        )
        return

    def judge() -> None:
        checkpoint.names = stored_names(stored)
        shapes = {name: stored[theirs] for name, theirs in checkpoint.names.items()}
        checkpoint.size = size_of(shapes)
        checkpoint.problems += problems_of(shapes, checkpoint.size)
        if why := why_not_weights(path, checkpoint.names.values()):
            checkpoint.problems.append(why)

    _attempt(checkpoint, judge)


def _choose_preset(checkpoint: Checkpoint, given: str | None) -> None:
    note, name = checkpoint.root / NOTE, checkpoint.root.resolve().name
    if given is not None:
        checkpoint.preset, checkpoint.meaning_from = find_preset(given), "as given"
    elif note.is_file():
        data = _read_json(checkpoint, note) or {}
        if isinstance(data.get("preset"), str):
            checkpoint.preset, checkpoint.meaning_from = find_preset(data["preset"]), f"taken from its note {NOTE}"
    else:
        checkpoint.preset, checkpoint.meaning_from = published_preset(name), "taken from its published name"
    if checkpoint.preset is None:
        raise need_preset(name)


def _pair(checkpoint: Checkpoint, cameras: CamerasOption | None) -> None:
    preset = checkpoint.preset
    if preset is None:
        return
    checkpoint.pairing = pair_cameras(
        checkpoint.image_keys,
        cameras=cameras,
        usual=preset.cameras,
        names=preset.picture_names,
        masked=preset.masked,
        renamed=checkpoint.renamed,
    )


def _take_statistics(
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


def _read_openpi(checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None) -> None:
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
    unread = sorted(config.keys() - _OPENPI_SETTINGS - {"pi05", "discrete_state_input", "max_token_len"})
    if unread:
        checkpoint.notes.append(f"Settings of config.json that are not read: {', '.join(unread)}.")
    checkpoint.horizon = _integer(config, "action_horizon")
    checkpoint.execute_rows = min(preset.execute_rows, checkpoint.horizon)
    _match(checkpoint, "horizon", checkpoint.horizon, horizon or preset.horizon)
    if checkpoint.size is not None:
        _match(checkpoint, "action width", checkpoint.size.width, _integer(config, "action_dim"))


def _openpi_statistics(checkpoint: Checkpoint, config: Mapping[str, Any], *, norm_stats: Path | None) -> None:
    preset = checkpoint.preset
    if preset is None:
        return
    path = norm_stats or _find_stats(checkpoint.root, preset.asset_id)
    stats = _read_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    modes = ("quantiles", "quantiles")
    _take_statistics(checkpoint, preset, stats["state"], stats["actions"], modes=modes, eps=QUANTILE_EPS)


def _find_stats(root: Path, asset_id: str) -> Path:
    path = root / "assets" / asset_id / "norm_stats.json"
    if path.is_file():
        return path
    others = sorted((root / "assets").rglob("norm_stats.json")) if (root / "assets").is_dir() else []
    if others:
        raise WeightsMissing(
            f"No norm_stats.json under 'assets/{asset_id}', where this preset's are; found those of "
            f"{', '.join(repr(str(o.relative_to(root).parent.relative_to('assets'))) for o in others)}. If the checkpoint was trained with "
            f"them, say so: norm_stats, --norm-stats {others[0]}."
        )
    raise WeightsMissing(
        f"No norm_stats.json under '{root / 'assets' / asset_id}'. openpi's converter leaves them behind: copy "
        f"`assets` from the original checkpoint, or say where they are (norm_stats, --norm-stats)."
    )


def _read_stats(path: Path) -> dict[str, dict[str, Array]]:
    refuse_pointer(path)
    try:
        data = read_json(path)
        groups = data.get("norm_stats", data)
        return {
            group: {k: np.asarray(v, dtype=np.float64) for k, v in groups[group].items() if v is not None}
            for group in ("state", "actions")
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"Statistics '{path}' are not readable ({error!r}); expected norm_stats with state and actions."
        ) from error


def _read_lerobot(checkpoint: Checkpoint, config: Mapping[str, Any], *, horizon: int | None) -> None:
    if config.get("type") != "pi05":
        raise ConfigError(
            f"This LeRobot checkpoint is a '{config.get('type')}', not a pi05. Load it with the policy 'lerobot'."
        )
    checkpoint.prompt, checkpoint.resize = PromptForm.STATE_TEXT, Resize.SAMPLED
    checkpoint.horizon = _integer(config, "chunk_size")
    checkpoint.execute_rows = _integer(config, "n_action_steps")
    if horizon is not None:
        _match(checkpoint, "horizon", checkpoint.horizon, horizon)
    if checkpoint.execute_rows > checkpoint.horizon:
        raise ConfigError(
            f"config.json has n_action_steps = {checkpoint.execute_rows}, chunk_size = {checkpoint.horizon}: more rows to execute than a "
            f"chunk has, which LeRobot refuses too. Correct n_action_steps."
        )
    refuse_unsupported(config)
    if unknown := unknown_settings(config):
        checkpoint.notes.append(f"Settings of config.json that are not read: {', '.join(unknown)}.")
    if checkpoint.size is not None:
        _match(checkpoint, "action width", checkpoint.size.width, int(config.get("max_action_dim", 32)))
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
    check_offsets(preset, is_relative=_switch(config, "use_relative_actions"))
    if preset.adds_joints:
        checkpoint.is_gripper_offset = is_gripper_offset(config)
    _match(checkpoint, "action size", feature_size(config, "output_features", "action"), preset.action_kind.size)
    _match(checkpoint, "state size", feature_size(config, "input_features", "observation.state"), preset.state.size)


def _lerobot_statistics(checkpoint: Checkpoint, config: Mapping[str, Any], *, norm_stats: Path | None) -> None:
    preset = checkpoint.preset
    if preset is None or config.get("type") != "pi05":
        return
    path = norm_stats or lerobot_stats_file(checkpoint.root)
    stats = lerobot_stats(path)
    checkpoint.notes.append(f"Statistics from {path}.")
    modes = config.get("normalization_mapping") or {}
    state, action = (str(modes.get(group, "QUANTILES")).split(".")[-1].lower() for group in ("STATE", "ACTION"))
    groups = stats.get("observation.state", {}), stats.get("action", {})
    _take_statistics(checkpoint, preset, *groups, modes=(state, action), eps=LEROBOT_EPS)


def _integer(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_CHUNK:
        raise ConfigError(f"config.json has {key} = {value!r}, expected a whole number, 1 to {LONGEST_CHUNK}.")
    return value


def _switch(config: Mapping[str, Any], key: str) -> bool:
    """Return a setting that is true or false; a text of either is neither, and null is false."""
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"config.json has {key} = {value!r}, expected true or false. Correct it.")
    return bool(value)


def _match(checkpoint: Checkpoint, what: str, got: int, expected: int) -> None:
    if got != expected:
        name = checkpoint.preset.name if checkpoint.preset else "the weights"
        checkpoint.problems.append(
            f"The {what} is {got}, {name} needs {expected}: another preset, or pass {what.replace(' ', '_')}=."
        )
