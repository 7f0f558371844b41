"""LoRA adapters joined with the weights they change: W + scale B A, for adapters of openpi and of PEFT.

Problem: a fine-tune with LoRA keeps its base weights as they were and all that it learned in small arrays beside them. Read without
those it is the base model, silently. Idea: the arrays are joined with the weights once, when a folder is made, and everything after it
sees an ordinary checkpoint. The scale (alpha / r) is read where it is written and asked for where it is not; what is not understood is
refused by name.

Example: an adapter of PEFT with r = 16 and lora_alpha = 32 adds 2 B A to every matrix that it names. Runs in the terminal.
"""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.adapter_targets import require_all_targets
from frs_core.policies.pi05.assets import copy_assets
from frs_core.policies.pi05.checkpoint_facts import NOTE
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.policies.pi05.names import is_adapter_array, stored_names, tensor_name
from frs_core.policies.pi05.places import ADAPTER_CONFIG, WEIGHTS, elsewhere
from frs_core.policies.pi05.sizes import problems_of, size_of
from frs_core.policies.pi05.weights import read_header, why_not_weights
from frs_core.runtime.foreign import (
    MALFORMED,
    NamedTwice,
    found_at,
    in_line,
    plain_file,
    read_json,
    require_named_once,
    said,
)

ADAPTER = "adapter_model.safetensors"
_BESIDE = (".json", ".model", ".safetensors")
"""Endings of what a checkpoint's folder holds beside its weights."""

Arrays = Mapping[str, Callable[[], Array]]
"""Name -> reader, of openpi's checkpoint."""


class MergedArrays(Arrays):
    """Arrays of openpi's checkpoint with its adapters joined; those of the adapters themselves are no longer listed.

    Source of the formula: openpi models/lora.py. The product of an attention's output projection sums B over the heads, since the equation
    `BTL,NLD->BTD` has the head in B only; the feed-forward's has no scale.
    """

    def __init__(self, arrays: Arrays, *, scale: float | None) -> None:
        """Pair the arrays.

        Args:
            arrays: of `convert.read_orbax`.
            scale: alpha / rank of the attention's adapters; None = not known.
        Raises:
            ConfigError: a scale is needed and not given, or half of an adapter is missing.
        """
        self._arrays, self._scale = arrays, scale
        self.pairs: dict[str, tuple[str, str]] = {}
        """Array -> its A and B."""
        for name in arrays:
            if not name.endswith("lora_a"):
                continue
            stem = name.removesuffix("lora_a")
            changed = f"{stem}w" if stem.endswith("/") else stem.removesuffix("_")
            missing = [n for n in (f"{stem}lora_b", changed) if n not in arrays]
            if missing:
                raise ConfigError(
                    f"LoRA array '{name}' is there without '{missing[0]}'. Download the checkpoint again."
                )
            self.pairs[changed] = name, f"{stem}lora_b"
        if scale is None and any("/attn/" in name for name in self.pairs):
            raise ConfigError(
                "The checkpoint was fine-tuned with LoRA, and the factor alpha / rank of its attention adapters is not written in it. Say it "
                "with --lora-scale: 1 for openpi's own gemma_2b_lora and gemma_300m_lora, otherwise as in the training's configuration."
            )
        if scale is not None and not self.pairs:
            raise ConfigError("--lora-scale was given, but the checkpoint has no LoRA arrays. Leave it out.")

    def __getitem__(self, name: str) -> Callable[[], Array]:
        if name not in self.pairs:
            return self._arrays[name]

        def read() -> Array:
            w, a, b = (self._arrays[n]() for n in (name, *self.pairs[name]))
            if "attn_vec_einsum" in name:
                b = b.sum(axis=-3, keepdims=True)
            if a.shape[-1] != b.shape[-2] or a.shape[:-1] != w.shape[:-1] or b.shape[-1] != w.shape[-1]:
                raise ConfigError(
                    f"LoRA arrays of '{name}' have shapes {a.shape} and {b.shape}, the weight {w.shape}: not openpi's LoRA."
                )
            return w + (self._scale or 0.0 if "/attn/" in name else 1.0) * np.matmul(a, b)

        return read

    def __iter__(self) -> Iterator[str]:
        factors = {name for pair in self.pairs.values() for name in pair}
        return (name for name in self._arrays if name not in factors)

    def __len__(self) -> int:
        return len(self._arrays) - 2 * len(self.pairs)


def merge(
    source: Path, target: Path, *, base: Path | None, note: Mapping[str, Any], lora_scale: float | None = None
) -> Path:
    """Write a folder that `load` takes, from a folder with a LoRA adapter of PEFT (as LeRobot's trainer writes it).

    Args:
        source: folder with `adapter_model.safetensors`, or with a `model.safetensors` that holds the adapter beside the weights; with
            `adapter_config.json`, and the configuration and statistics that the adapter was trained with.
        target: folder to make; must not hold weights yet.
        base: folder of the weights that the adapter changes; None = the local folder that the adapter's configuration names.
        note: content of the new folder's note, `checkpoint.NOTE`.
        lora_scale: alpha / rank, for an adapter inside the weights without `adapter_config.json`.
    Returns:
        `target`.
    Raises:
        WeightsMissing: a file is missing.
        ConfigError: the adapter is of another kind or another network, or the target exists.
    """
    if (target / WEIGHTS).exists():
        raise ConfigError(f"'{target / WEIGHTS}' exists. Remove it, or choose another folder.")
    if not (source / "config.json").is_file():
        raise WeightsMissing(
            f"'{source}' holds an adapter but no config.json. Put the configuration and the statistics that it was trained with beside it: "
            f"those of the base may be of another robot."
        )
    try:
        settings = read_json(source / "config.json")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"'{source / 'config.json'}' is not readable JSON ({said(error)}). Download it again."
        ) from error
    if is_inside(source):
        weights, adapter, scale = _inside(source, base=base, lora_scale=lora_scale)
    else:
        config = _adapter_config(source / ADAPTER_CONFIG)
        if lora_scale is not None:
            raise ConfigError(f"--lora-scale was given, but '{ADAPTER_CONFIG}' states the scale. Leave it out.")
        base = _base_of(config, base)
        weights, adapter = _read_weights(base / WEIGHTS), _read(source / ADAPTER)
        scale = _stated_scale(config)
        _require_whole(config, adapter, weights)
    names = stored_names(weights)
    _apply(adapter, weights, names, scale=scale)
    shapes = {name: tuple(weights[theirs].shape) for name, theirs in names.items()}
    problems = problems_of(shapes, size_of(shapes))
    if problems:
        raise ConfigError(f"The base of '{source}' is not a whole pi0.5: {' '.join(problems[:3])}")
    target.mkdir(parents=True, exist_ok=True)
    copy_assets(source, target)
    for path in sorted(source.iterdir()):
        if path.suffix in _BESIDE and path.is_file() and path.name not in (ADAPTER, ADAPTER_CONFIG):
            shutil.copy(path, target)
    if isinstance(settings, dict) and "use_peft" in settings:
        (target / "config.json").write_text(json.dumps(settings | {"use_peft": False}, indent=2) + "\n")
    (target / NOTE).write_text(json.dumps(dict(note), indent=2) + "\n")
    # Last and by rename, so that a folder with weights is a whole one.
    partial = target / f"{WEIGHTS}.partial"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, partial)
    partial.rename(target / WEIGHTS)
    return target


def is_inside(folder: Path) -> bool:
    """Return whether a folder's `model.safetensors` holds an adapter beside the weights. A file that is none holds none."""
    try:
        return any(map(is_adapter_array, read_header(folder / WEIGHTS)))
    except (OSError, *MALFORMED):
        return False


def _inside(
    source: Path, *, base: Path | None, lora_scale: float | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], "ScaleOf"]:
    """Return weights without adapters, the adapter's arrays, and the scale, of a file that holds both as PEFT wraps a network.

    Raises:
        ConfigError: arrays of another formula or of several adapters, or the scale is not stated.
    """
    if base is not None:
        raise ConfigError(
            f"--base was given, but '{source / WEIGHTS}' holds the weights beside their adapter. Leave it out."
        )
    if (source / ADAPTER).is_file():
        raise ConfigError(
            f"'{source}' holds an adapter twice, in {ADAPTER} and inside {WEIGHTS}, and which one was trained last is not stated. Remove one."
        )
    weights: dict[str, Tensor] = {}
    adapter: dict[str, Tensor] = {}
    kinds: set[str] = set()
    wrapped: set[str] = set()
    for name, tensor in _read_weights(source / WEIGHTS).items():
        inner = _OUTER.sub("", name)
        wrapped |= {inner.removesuffix(".base_layer.weight")} if inner.endswith(".base_layer.weight") else set()
        found = _FACTOR.match(inner)
        if found is not None:
            kinds.add(found["adapter"] or "default")
            adapter[f"{found['module']}.lora_{found['side']}.weight"] = tensor
        elif is_adapter_array(inner):
            raise ConfigError(
                f"Array '{name}' belongs to another formula than plain LoRA. Merge it with PEFT's merge_and_unload(), save the result, and "
                f"give that folder."
            )
        elif ".modules_to_save." in inner:
            adapter[re.sub(r"\.modules_to_save\.[^.]+\.", ".", inner)] = tensor
        else:
            weights[inner.replace(".base_layer.", ".").replace(".original_module.", ".")] = tensor
    if len(kinds) > 1:
        raise ConfigError(
            f"'{source / WEIGHTS}' holds the adapters {', '.join(sorted(kinds))}, and which of them acts is not stated. Merge it with PEFT's "
            f"merge_and_unload(), save the result, and give that folder."
        )
    changed = {found["module"] for name in adapter if (found := _FACTOR.match(name)) is not None}
    if missing := sorted(wrapped - changed):
        raise ConfigError(
            f"'{source / WEIGHTS}' holds the weights of '{missing[0]}' as an adapter leaves them (base_layer), without the adapter's arrays. Download "
            f"it again."
        )
    if (source / ADAPTER_CONFIG).is_file():
        if lora_scale is not None:
            raise ConfigError(f"--lora-scale was given, but '{ADAPTER_CONFIG}' states the scale. Leave it out.")
        config = _adapter_config(source / ADAPTER_CONFIG)
        _require_whole(config, adapter, weights)
        return weights, adapter, _stated_scale(config)
    _require_whole({}, adapter, weights)
    if lora_scale is None or not (math.isfinite(lora_scale) and lora_scale > 0):
        raise ConfigError(
            f"'{source / WEIGHTS}' holds a LoRA adapter, and no {ADAPTER_CONFIG} beside it states alpha and rank. Put it there, or say alpha / "
            f"rank with --lora-scale, as in the training's configuration."
        )
    return weights, adapter, lambda module, rank: lora_scale


_CHANGES_FORMULA = ("use_dora", "fan_in_fan_out", "lora_bias", "use_qalora", "use_bdlora", "alora_invocation_tokens", "layer_replication",
                    "trainable_token_indices", "target_parameters")  # fmt: skip
"""Settings of PEFT's LoraConfig that make it another formula, or apply it to other arrays. Source: peft tuners/lora/config.py."""
_KEEPS_FORMULA = ("peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "r", "target_modules",
                  "exclude_modules", "lora_alpha", "lora_dropout", "bias", "use_rslora", "modules_to_save", "init_lora_weights",
                  "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "megatron_config", "megatron_core", "loftq_config",
                  "eva_config", "corda_config", "lora_ga_config", "qalora_group_size", "runtime_config", "arrow_config", "ensure_weight_tying",
                  "peft_version")  # fmt: skip
"""The others: read here, or for training alone. One that is in neither list and is set is not understood."""


def _adapter_config(path: Path) -> dict[str, Any]:
    """Return an adapter's configuration.

    Raises:
        ConfigError: it is not readable, or describes something else than W + scale B A.
    """
    try:
        config = read_json(path)
        kind = config["peft_type"]
    except (OSError, *MALFORMED) as error:
        raise ConfigError(
            f"'{path}' is not readable ({said(error)}), expected PEFT's configuration. Download it again."
        ) from error
    odd = [name for name in _CHANGES_FORMULA if config.get(name)]
    odd += sorted(name for name, value in config.items() if value and name not in (*_KEEPS_FORMULA, *_CHANGES_FORMULA))
    if (start := config.get("init_lora_weights", True)) not in (True, False, None, "gaussian", "eva", "orthogonal"):
        odd.append(f"init_lora_weights = {start}, which also changes the base")
    if kind != "LORA" or odd:
        raise ConfigError(
            f"The adapter is {kind} with {', '.join(odd) or 'its own formula'}, plain LoRA is supported. Merge it with PEFT's "
            f"merge_and_unload(), save the result, and give that folder."
        )
    return config


def _require_whole(config: Mapping[str, Any], adapter: Iterable[str], weights: Mapping[str, Tensor]) -> None:
    """Do nothing where an adapter has the arrays of every module that its configuration names. Raises ConfigError."""
    inner = [_OUTER.sub("", name) for name in adapter]
    factors = [(name, _FACTOR.match(name)) for name in inner]
    require_all_targets(
        config,
        changed={tensor_name(f"{found['module']}.weight") for _, found in factors if found is not None},
        full={tensor_name(_FULL.sub(".", name)) for name, found in factors if found is None},
        matrices=[name for name, tensor in weights.items() if tensor.ndim == 2],
        stored=weights,
    )


_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
"""Name of a repository on the hub."""


def _base_of(config: Mapping[str, Any], given: Path | None) -> Path:
    """Return the folder of the weights that an adapter changes: the given one, or a local one that its configuration names.

    Raises:
        WeightsMissing: there are none.
    """
    named = config.get("base_model_name_or_path")
    base = given or (Path(named) if isinstance(named, str) and named else None)
    if base is None:
        raise WeightsMissing(
            "The adapter's configuration does not name the weights that it changes. Give their folder as --base."
        )
    if base.name == WEIGHTS and base.is_file():
        base = base.parent
    if (base / WEIGHTS).is_file():
        return base
    if given is not None or base.exists():
        there = (
            f"has no {WEIGHTS}.{elsewhere(base)}"
            if base.is_dir()
            else f"{found_at(base)}, expected a folder with {WEIGHTS}."
        )
        raise WeightsMissing(
            f"The adapter changes the weights of '{in_line(str(named))}', and '{in_line(base)}' {there} Give their folder as --base."
        )
    name = in_line(str(named))
    fetched = f"`frs policy fetch --hub {name} --preset NAME` fetches them: " if _HUB.fullmatch(name) else "Get them: "
    folder = f"weights/{base.name}" if _HUB.fullmatch(name) else "FOLDER"
    raise WeightsMissing(
        f"The adapter changes the weights of '{name}', which are not on this machine. {fetched}of that folder the weights alone count. Then add "
        f"--base {folder}."
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Return the arrays of weights, which an adapter can only be joined with where they are the weights themselves. Raises as `_read`."""
    weights = _read(path)
    if why := why_not_weights(path, weights):
        raise ConfigError(f"'{path}': {why}")
    return weights


def _read(path: Path) -> dict[str, Tensor]:
    refuse_pointer(path)
    if not path.is_file():
        pickled = path.with_suffix(".bin")
        other = (
            f" '{pickled.name}' holds Python objects, which may run code when they are read, and are not."
            if pickled.is_file()
            else ""
        )
        raise WeightsMissing(
            f"'{path}' {found_at(path)}, expected a safetensors file.{other} Save the adapter with safe_serialization, or download it again."
        )
    try:
        return load_file(require_named_once(plain_file(path, as_text=True)))
    except (OSError, NamedTwice, SafetensorError) as error:
        raise ConfigError(f"'{path}' is not a safetensors file ({error}). Download it again.") from error


_FACTOR = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>[^.]+))?\.weight$")
_OUTER = re.compile(r"^(?:base_model\.model\.)?")
_FULL = re.compile(r"\.modules_to_save\.default\.")
_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types whose numbers are the arrays themselves."""


ScaleOf = Callable[[str, int], float]
"""(module, rank of its arrays) -> factor of B A."""


def _apply(adapter: dict[str, Tensor], weights: dict[str, Tensor], names: Mapping[str, str], *, scale: ScaleOf) -> None:
    """Change weights in place by an adapter's arrays.

    Args:
        adapter: its arrays.
        weights: of the base, names as stored.
        names: this product's name -> the name in `weights`.
        scale: of each module.
    Raises:
        ConfigError: an array has no place, no partner or another shape.
    """
    factors: dict[str, dict[str, Tensor]] = {}
    kinds: set[str] = set()
    for name, tensor in adapter.items():
        inner = _OUTER.sub("", name)
        found = _FACTOR.match(inner)
        if tensor.dtype not in _NUMBERS:
            raise ConfigError(
                f"Array '{name}' of the adapter is stored as {tensor.dtype}, expected floating point of 16 bits or more: quantised arrays are not "
                f"read. Give the adapter as it was before."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ConfigError(
                f"Array '{name}' of the adapter holds numbers that are not finite: its training diverged, or the file is damaged. Use an earlier "
                f"adapter, or download it again."
            )
        if found is not None:
            kinds.add(found["adapter"] or "default")
            factors.setdefault(found["module"], {})[found["side"]] = tensor
            continue
        # What PEFT trained in full (modules_to_save) takes the place of the base's.
        theirs = names.get(tensor_name(_FULL.sub(".", inner)))
        if theirs is None and "lora" in inner:
            raise ConfigError(
                f"Array '{name}' of the adapter is not named as PEFT names plain LoRA, lora_A and lora_B. Save it with PEFT, or merge it there "
                f"(merge_and_unload()) and give the result."
            )
        if theirs is None or weights[theirs].shape != tensor.shape:
            raise ConfigError(
                f"Array '{name}' {tuple(tensor.shape)} of the adapter has no place in the base: it belongs to other weights. Give the base "
                f"that it was trained on as --base."
            )
        weights[theirs] = tensor.to(weights[theirs].dtype)
    if not factors:
        raise ConfigError("The adapter's file holds no lora_A and lora_B. Download it again.")
    if len(kinds) > 1:
        raise ConfigError(
            f"The file holds the adapters {', '.join(sorted(kinds))}, and which of them acts is not stated. Save one of them alone."
        )
    if not any(bool(pair["B"].any()) for pair in factors.values() if "B" in pair):
        raise ConfigError(
            "Every lora_B of the adapter is zero, as before its first step of training: joined, the base would stay as it is. Give the adapter of a "
            "later step, or use the base."
        )
    for module, pair in factors.items():
        theirs = names.get(tensor_name(f"{module}.weight"))
        if theirs is None or set(pair) != {"A", "B"}:
            got = f"only lora_{''.join(pair)}" if len(pair) < 2 else "no such weights in the base"
            raise ConfigError(
                f"LoRA of '{module}': {got}. Give the base that it was trained on as --base, or download it again."
            )
        weights[theirs] = _joined(
            weights[theirs], pair["A"], pair["B"], scale=scale(module, len(pair["A"])), module=module
        )


def _joined(
    w: Float[Tensor, "out into"], a: Float[Tensor, "r into"], b: Float[Tensor, "out r"], *, scale: float, module: str
) -> Float[Tensor, "out into"]:
    if a.ndim != 2 or b.ndim != 2 or w.shape != (b.shape[0], a.shape[1]) or a.shape[0] != b.shape[1]:
        raise ConfigError(
            f"LoRA of '{module}' has shapes {tuple(b.shape)} and {tuple(a.shape)}, its weight {tuple(w.shape)}. Give the base that it was "
            f"trained on as --base."
        )
    return (w.float() + scale * (b.float() @ a.float())).to(w.dtype)


def _stated_scale(config: Mapping[str, Any]) -> ScaleOf:
    return lambda module, rank: _scale(config, module, rank=rank)


def _scale(config: Mapping[str, Any], module: str, *, rank: int) -> float:
    """Return alpha / r of one module, or alpha / sqrt(r) where the configuration says so.

    Source: PEFT tuners/lora/layer.py, `update_layer`.

    Raises:
        ConfigError: the configuration states no alpha, or another rank than the arrays have.
    """

    r = _of_module(config, "rank_pattern", module, otherwise="r")
    alpha = _of_module(config, "alpha_pattern", module, otherwise="lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not (math.isfinite(alpha) and alpha > 0):
        raise ConfigError(
            f"The adapter's configuration has lora_alpha = {alpha!r} for '{module}', expected a number above 0. Download it again."
        )
    if r != rank or rank < 1:
        raise ConfigError(
            f"The adapter's configuration has r = {r!r} for '{module}', its arrays have rank {rank}. Download both again."
        )
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _of_module(config: Mapping[str, Any], setting: str, module: str, *, otherwise: str) -> object:
    """Return what PEFT's rank_pattern or alpha_pattern says of a module; its keys are the last parts of names. Raises ConfigError."""
    patterns = config.get(setting) or {}
    if not isinstance(patterns, dict):
        raise ConfigError(
            f"The adapter's configuration has {setting} = {patterns!r}, expected a table of names and numbers. Download it again."
        )
    for key, value in patterns.items():
        if not re.fullmatch(r"[\w.]+", str(key)):
            raise ConfigError(
                f"The adapter's configuration has the pattern {key!r}, plain names are supported. Merge it with PEFT's merge_and_unload(), "
                f"save the result, and give that folder."
            )
        if f".{module}".endswith(f".{key}"):
            return value
    return config.get(otherwise)
