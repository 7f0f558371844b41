"""Convert openpi's own checkpoints (JAX, orbax) to one safetensors file, without JAX, openpi or transformers.

Problem: openpi's converter needs openpi's whole environment with transformers patched in place, and does not copy the
statistics. Idea: an orbax checkpoint is a set of zarr arrays in one key-value store; `tensorstore` reads them one by one, and
only names and axes differ: JAX stacks all layers of a kind in one array and stores matrices transposed.

Example: `llm/layers/attn/q_einsum/w` [18, 8, 2048, 256] becomes 18 matrices `layers.N.self_attn.q_proj.weight`
[2048, 2048]. Full size needs 8 GB of memory for bfloat16. Runs in the terminal.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from frs_core.arrays import Array
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.adapters import MergedArrays
from frs_core.policies.pi05.assets import copy_assets
from frs_core.policies.pi05.checkpoint_facts import GIVEN, HORIZON_FROM, NOTE, PRESETS_OWN
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.policies.pi05.presets import Preset
from frs_core.policies.pi05.sizes import EMBEDDING, EXPERT, PROJECTOR, TEXT, VISION, problems_of, size_of
from frs_core.runtime.foreign import MALFORMED, read_json, said

_FILE = "model.safetensors"


def convert(
    source: Path,
    target: Path,
    *,
    preset: Preset,
    horizon: int | None = None,
    origin: str = "",
    lora_scale: float | None = None,
) -> Path:
    """Convert openpi's checkpoint folder to one that `load` accepts, and return it.

    Args:
        source: folder with `params/` and `assets/`.
        target: folder to create; must not contain weights.
        preset: meaning of the actions.
        horizon: rows of a chunk; None = the preset's, which the note keeps as such, since the checkpoint states none.
        origin: where the source came from, stored in the note.
        lora_scale: alpha / rank of the attention's LoRA adapters, if it was fine-tuned with some; they are merged into the weights.
    Returns:
        `target`.
    Raises:
        WeightsMissing: no `params/` in the source.
        ConfigError: tensorstore is missing, the folder is incomplete, or it holds arrays that pi0.5 does not have, or adapters without
            a scale.
    """
    if (target / _FILE).exists():
        raise ConfigError(f"'{target / _FILE}' exists. Remove it, or choose another folder.")
    joined = MergedArrays(read_orbax(source), scale=lora_scale)
    arrays = _Taken(joined)
    tensors = {name: torch.from_numpy(array).to(torch.bfloat16) for name, array in _renamed(arrays)}
    if arrays.rest:
        raise ConfigError(
            f"'{source}' holds {len(arrays.rest)} arrays that pi0.5 has no place for, e.g. '{arrays.rest[0]}'. It is another "
            f"network, which would behave differently without them."
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    size = size_of(shapes)
    problems = problems_of(shapes, size)
    if problems:
        raise ConfigError(f"'{source}' converts to an incomplete pi0.5: {' '.join(problems[:3])}")
    target.mkdir(parents=True, exist_ok=True)
    copy_assets(source, target)
    config = {"action_dim": size.width, "action_horizon": horizon or preset.horizon, "precision": "bfloat16"}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    note: dict[str, object] = {"preset": preset.name, "source": origin or str(source)}
    if horizon != preset.horizon:
        note[HORIZON_FROM] = PRESETS_OWN if horizon is None else GIVEN
    if joined.pairs:
        note |= {"merged_adapters": len(joined.pairs), "lora_scale": lora_scale}
    (target / NOTE).write_text(json.dumps(note, indent=2) + "\n")
    # Last and by rename, so that a folder with weights is always complete.
    partial = target / f"{_FILE}.partial"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.rename(target / _FILE)
    return target


class _Taken(Mapping[str, Callable[[], Array]]):
    """Arrays of a checkpoint, with a record of which were read."""

    def __init__(self, arrays: Mapping[str, Callable[[], Array]]) -> None:
        self._arrays, self._taken = arrays, set[str]()

    def __getitem__(self, name: str) -> Callable[[], Array]:
        self._taken.add(name)
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    @property
    def rest(self) -> list[str]:
        """Names of the arrays that were not read."""
        return [name for name in self._arrays if name not in self._taken]


def read_orbax(source: Path) -> dict[str, Callable[[], Array]]:
    """Return name -> reader of every array in `params/`, names joined by '/', float32.

    Raises:
        WeightsMissing: no `params/` with orbax's metadata.
        ConfigError: tensorstore is not installed.
    """
    folder = source / "params"
    metadata = folder / "_METADATA"
    if not metadata.is_file():
        raise WeightsMissing(f"No '{metadata}': not openpi's checkpoint format. Give the folder that holds params/.")
    try:
        import tensorstore
    except ImportError as error:
        raise ConfigError("Converting needs tensorstore: pip install 'frs-cockpit[pi05]'.") from error
    try:
        description = read_json(metadata)
        keyed = [[str(k["key"]) for k in entry["key_metadata"]] for entry in description["tree_metadata"].values()]
        if not all(keyed):
            raise ValueError("an array has no name")
    except (OSError, *MALFORMED) as error:
        raise ConfigError(f"'{metadata}' is not readable ({said(error)}). Download it again.") from error
    driver = "zarr3" if description.get("use_zarr3") else "zarr"
    is_packed = (folder / "manifest.ocdbt").exists()

    def reader(path: str) -> Callable[[], Array]:
        store = (
            {"driver": "ocdbt", "base": f"file://{folder.resolve()}/", "path": f"{path}/"}
            if is_packed
            else {"driver": "file", "path": f"{folder.resolve()}/{path}/"}
        )
        # Among single files a missing one must not read as zeros; a packed store knows which chunks were never written.
        spec: dict[str, Any] = {"driver": driver, "kvstore": store, "fill_missing_data_reads": is_packed}

        def read() -> Array:
            try:
                return np.asarray(tensorstore.open(spec, open=True).result().read().result()).astype(np.float32)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                _refuse_pointers(folder)
                raise ConfigError(
                    f"'{folder}' is not whole: array '{path}' cannot be read ({str(error)[:200]}). Download it again."
                ) from error

        return read

    readers = {}
    for keys in keyed:
        name = "/".join(keys[1:] if keys[0] == "params" else keys).removesuffix("/value")
        readers[name] = reader(".".join(keys))
    return readers


def _refuse_pointers(folder: Path) -> None:
    """Raise WeightsMissing where a file of a store that cannot be read is a Git LFS pointer."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            refuse_pointer(path, within=folder.parent)


def _renamed(arrays: Mapping[str, Callable[[], Array]]) -> Iterator[tuple[str, Array]]:
    """Yield (name, array) in PyTorch's names and axes."""

    def get(name: str) -> Array:
        if name not in arrays:
            raise ConfigError(f"The checkpoint lacks '{name}'; it is not pi0.5. Got names like {sorted(arrays)[:3]}.")
        return arrays[name]()

    for name in ("action_in_proj", "action_out_proj", "time_mlp_in", "time_mlp_out"):
        yield f"{name}.weight", get(f"{name}/kernel").T
        yield f"{name}.bias", get(f"{name}/bias")
    yield EMBEDDING, get("PaliGemma/llm/embedder/input_embedding")
    yield from _vision(get)
    yield from _gemma(get, TEXT, "")
    yield from _gemma(get, EXPERT, "_1")


def _vision(get: Callable[[str], Array]) -> Iterator[tuple[str, Array]]:
    image = "PaliGemma/img/"
    yield f"{VISION}embeddings.patch_embedding.weight", get(f"{image}embedding/kernel").transpose(3, 2, 0, 1)
    yield f"{VISION}embeddings.patch_embedding.bias", get(f"{image}embedding/bias")
    positions = get(f"{image}pos_embedding")
    yield f"{VISION}embeddings.position_embedding.weight", positions.reshape(-1, positions.shape[-1])
    yield f"{VISION}post_layernorm.weight", get(f"{image}Transformer/encoder_norm/scale")
    yield f"{VISION}post_layernorm.bias", get(f"{image}Transformer/encoder_norm/bias")
    yield f"{PROJECTOR}weight", get(f"{image}head/kernel").T
    yield f"{PROJECTOR}bias", get(f"{image}head/bias")
    block, attention = f"{image}Transformer/encoderblock/", "MultiHeadDotProductAttention_0/"
    for theirs, ours in (("LayerNorm_0", "layer_norm1"), ("LayerNorm_1", "layer_norm2")):
        yield from _layers(VISION, f"{ours}.weight", get(f"{block}{theirs}/scale"))
        yield from _layers(VISION, f"{ours}.bias", get(f"{block}{theirs}/bias"))
    for theirs, ours in (("MlpBlock_0/Dense_0", "mlp.fc1"), ("MlpBlock_0/Dense_1", "mlp.fc2")):
        yield from _layers(VISION, f"{ours}.weight", get(f"{block}{theirs}/kernel").swapaxes(1, 2))
        yield from _layers(VISION, f"{ours}.bias", get(f"{block}{theirs}/bias"))
    for theirs, ours in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        kernel, bias = get(f"{block}{attention}{theirs}/kernel"), get(f"{block}{attention}{theirs}/bias")
        flat = kernel.reshape(*kernel.shape[:2], -1)
        yield from _layers(VISION, f"self_attn.{ours}.weight", flat.swapaxes(1, 2))
        yield from _layers(VISION, f"self_attn.{ours}.bias", bias.reshape(len(bias), -1))
    out = get(f"{block}{attention}out/kernel")
    yield from _layers(VISION, "self_attn.out_proj.weight", out.reshape(len(out), -1, out.shape[-1]).swapaxes(1, 2))
    yield from _layers(VISION, "self_attn.out_proj.bias", get(f"{block}{attention}out/bias"))


def _gemma(get: Callable[[str], Array], prefix: str, stack: str) -> Iterator[tuple[str, Array]]:
    """Yield one Gemma stack; `stack` is what openpi appends to its names."""
    layers = "PaliGemma/llm/layers/"
    q = get(f"{layers}attn/q_einsum{stack}/w")
    yield from _layers(prefix, "self_attn.q_proj.weight", q.swapaxes(2, 3).reshape(len(q), -1, q.shape[2]))
    kv = get(f"{layers}attn/kv_einsum{stack}/w")[:, :, 0]
    yield from _layers(prefix, "self_attn.k_proj.weight", kv[:, 0].swapaxes(1, 2))
    yield from _layers(prefix, "self_attn.v_proj.weight", kv[:, 1].swapaxes(1, 2))
    out = get(f"{layers}attn/attn_vec_einsum{stack}/w")
    yield from _layers(prefix, "self_attn.o_proj.weight", out.reshape(len(out), -1, out.shape[-1]).swapaxes(1, 2))
    gating = get(f"{layers}mlp{stack}/gating_einsum")
    yield from _layers(prefix, "mlp.gate_proj.weight", gating[:, 0].swapaxes(1, 2))
    yield from _layers(prefix, "mlp.up_proj.weight", gating[:, 1].swapaxes(1, 2))
    yield from _layers(prefix, "mlp.down_proj.weight", get(f"{layers}mlp{stack}/linear").swapaxes(1, 2))
    norms = (("pre_attention_norm", "input_layernorm"), ("pre_ffw_norm", "post_attention_layernorm"))
    if not stack:
        for theirs, ours in norms:
            yield from _layers(prefix, f"{ours}.weight", get(f"{layers}{theirs}/scale"))
        yield f"{prefix}norm.weight", get("PaliGemma/llm/final_norm/scale")
        return
    for theirs, ours in norms:
        yield from _layers(
            prefix, f"{ours}.dense.weight", get(f"{layers}{theirs}{stack}/Dense_0/kernel").swapaxes(1, 2)
        )
        yield from _layers(prefix, f"{ours}.dense.bias", get(f"{layers}{theirs}{stack}/Dense_0/bias"))
    yield f"{prefix}norm.dense.weight", get(f"PaliGemma/llm/final_norm{stack}/Dense_0/kernel").T
    yield f"{prefix}norm.dense.bias", get(f"PaliGemma/llm/final_norm{stack}/Dense_0/bias")


def _layers(prefix: str, name: str, stacked: Array) -> Iterator[tuple[str, Array]]:
    middle = "encoder.layers" if prefix == VISION else "layers"
    for i, array in enumerate(stacked):
        yield f"{prefix}{middle}.{i}.{name}", array
