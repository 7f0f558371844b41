"""Find the weights of a checkpoint and judge them by their header; where they are missing, say what the folder holds in their place. Any thread."""

import re
import shlex
from pathlib import Path

from frs_core.errors import WeightsMissing
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.policies.pi05.names import is_adapter_array, stored_names
from frs_core.policies.pi05.places import UNFINISHED, WEIGHTS, elsewhere, is_unfinished
from frs_core.policies.pi05.sizes import problems_of, size_of
from frs_core.policies.pi05.weights import Truncated, read_header, why_not_weights
from frs_core.runtime.foreign import MALFORMED, found_at, in_line, is_text_path, read_json, said

_INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"-\d+-of-\d+\.safetensors$")
_PICKLES = ("pytorch_model.bin", "pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
"""Weights as files of Python objects, which may run code when they are read."""


def read_weights(checkpoint: Checkpoint) -> None:
    """Store the weights' file, their names and size; add a problem where they cannot be used."""
    path = checkpoint.root / WEIGHTS
    if not path.is_file():
        root = shlex.quote(in_line(checkpoint.root))
        hint = _adapter(checkpoint.root) or elsewhere(checkpoint.root)
        if is_unfinished(checkpoint.root):
            hint = f" The folder {UNFINISHED}"
        elif (checkpoint.root / "params").is_dir():
            hint = f" This is openpi's JAX format: convert it with `frs policy fetch --convert {root} --preset NAME`, and give the new folder."
        elif (checkpoint.root / _INDEX).is_file():
            hint = _shards(checkpoint.root)
        elif found := sorted(p.name for pattern in _PICKLES for p in checkpoint.root.glob(pattern)):
            hint = (
                f" '{found[0]}' holds weights as Python objects, which may run code when they are read, and are not: save them with "
                f"safetensors.torch.save_file where you trust them."
            )
        there = found_at(path)
        if there == "does not exist" and not hint:
            hint = _other_files(checkpoint.root)
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

    checkpoint.attempt(judge)


def _adapter(root: Path) -> str:
    """Return what to do with a folder that holds only a PEFT adapter; empty for other folders."""
    if not (root / "adapter_config.json").is_file():
        return ""
    return (
        " This is a PEFT adapter, which changes another checkpoint: merge it with "
        f"`frs policy fetch --convert {root} --base WEIGHTS --preset NAME`, and give the new folder."
    )


def _other_files(root: Path) -> str:
    """Return what a folder holds in the place of its weights, and what to do with it."""
    names = sorted(p.name for p in root.iterdir() if p.is_file())
    if same := [name for name in names if name.lower() == WEIGHTS]:
        return f" '{same[0]}' is there: rename it to '{WEIGHTS}'."
    if begun := [name for name in names if name.startswith(WEIGHTS) or name.endswith(".incomplete")]:
        return f" '{in_line(begun[0])}' is a download that has not ended: download it again."
    if shards := [name for name in names if _SHARD.search(name)]:
        return f" '{in_line(shards[0])}' is one of the shards that '{_INDEX}' lists, which is missing: download it too, and join all into one {WEIGHTS}."
    others = [name for name in names if name.endswith(".safetensors") and "_processor" not in name]
    if len(others) == 1:
        return f" '{in_line(others[0])}' is there: if it holds the whole network, rename it to '{WEIGHTS}'."
    return " Download it, or give the folder that holds it."


def _shards(root: Path) -> str:
    """Return what to do with weights in shards, of which some may be missing. Raises nothing: the index itself may be none."""
    try:
        named = sorted({str(name) for name in read_json(root / _INDEX)["weight_map"].values()})
    except (OSError, *MALFORMED) as error:
        return f" The weights are in shards, and '{_INDEX}' is not readable ({said(error)}): download it again."
    if missing := [name for name in named if not (root / name).is_file()]:
        return (
            f" The weights are in {len(named)} shards, of which {len(missing)} are missing, e.g. '{missing[0]}': download them, and join all into "
            f"one {WEIGHTS}."
        )
    return f" The weights are in {len(named)} shards: join them into one {WEIGHTS}."
