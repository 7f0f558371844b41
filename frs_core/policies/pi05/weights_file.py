"""Find the weights of a checkpoint and judge them by their header; where they are missing, say what the folder holds in their place. Any thread."""

import os
import re
import shlex
from pathlib import Path

from frs_core.errors import WeightsMissing
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.policies.pi05.names import is_adapter_array, stored_names
from frs_core.policies.pi05.places import INDEX, UNFINISHED, WEIGHTS, elsewhere, is_unfinished
from frs_core.policies.pi05.sizes import problems_of, size_of
from frs_core.policies.pi05.weights import Truncated, read_header, why_not_weights
from frs_core.runtime.foreign import MALFORMED, found_at, in_line, is_text_path, read_json, said

_SHARD = re.compile(r"-\d+-of-\d+\.safetensors$")
_PICKLES = ("pytorch_model.bin", "pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
"""Weights as files of Python objects, which may run code when they are read."""


def read_weights(checkpoint: Checkpoint) -> None:
    """Store the weights' files, their names and size; add a problem where they cannot be used."""
    path, index = checkpoint.root / WEIGHTS, checkpoint.root / INDEX
    if path.is_file():
        if index.exists():
            checkpoint.notes.append(f"'{INDEX}' and shards that it names are not read; '{path.name}' is.")
        files = [path]
    elif index.is_file() and not os.path.lexists(path):
        if not (files := _shards(checkpoint, index)):
            return
    else:
        there = found_at(path)
        hint = _in_their_place(checkpoint.root)
        if there == "does not exist" and not hint:
            hint = _other_files(checkpoint.root)
        text = "is missing" if there == "does not exist" else f"{there}, expected a file"
        checkpoint.problems.append(f"'model.safetensors' {text}.{hint}")
        return
    stored: dict[str, tuple[int, ...]] = {}
    names: dict[Path, list[str]] = {}
    for file in files:
        if (header := _header(checkpoint, file)) is None:
            return
        if both := sorted(stored.keys() & header.keys()):
            checkpoint.problems.append(
                f"Tensor '{in_line(both[0])}' is in two shards, and which one was trained is not stated. Take the shards as they were saved."
            )
            return
        stored |= header
        names[file] = list(header)
    checkpoint.files = tuple(files)
    adapters = [name for name in stored if is_adapter_array(name)]
    if adapters:
        fix = f"merge them with `frs policy fetch --convert {checkpoint.root} --preset NAME`, and give the new folder"
        if len(files) > 1:
            fix = "merge them with PEFT's merge_and_unload(), save the result, and give that folder"
        checkpoint.problems.append(
            f"'{files[0].name}' holds {len(adapters)} arrays of a LoRA adapter, e.g. '{adapters[0]}', beside the weights: {fix}."
        )
        return

    def judge() -> None:
        checkpoint.names = stored_names(stored)
        shapes = {name: stored[theirs] for name, theirs in checkpoint.names.items()}
        checkpoint.size = size_of(shapes)
        checkpoint.problems += problems_of(shapes, checkpoint.size)
        used = set(checkpoint.names.values())
        whys = [why_not_weights(file, used.intersection(names[file])) for file in files]
        checkpoint.problems += [why for why in whys if why]

    checkpoint.attempt(judge)


def _header(checkpoint: Checkpoint, path: Path) -> dict[str, tuple[int, ...]] | None:
    """Return name -> shape of one file; None after adding a problem where it cannot be read."""
    if not is_text_path(path):
        checkpoint.problems.append(
            f"'{path}' has a path that is no UTF-8 text, and safetensors reads no other. Rename the folder."
        )
        return None
    try:
        refuse_pointer(path)
        return read_header(path)
    except WeightsMissing as error:
        checkpoint.problems.append(str(error))
    except Truncated as error:
        checkpoint.problems.append(
            f"'{path.name}' is not whole: {error}. Give the same `frs policy fetch` again, or download the file again."
        )
    except (OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        checkpoint.problems.append(f"'{path.name}' is not a safetensors file ({error}); download it again.")
    return None


def _in_their_place(root: Path) -> str:
    """Return what a folder without weights is, and what to do with it; empty if it is none that is known."""
    quoted = shlex.quote(in_line(root))
    if is_unfinished(root):
        return f" The folder {UNFINISHED}"
    if (root / "params").is_dir():
        return f" This is openpi's JAX format: convert it with `frs policy fetch --convert {quoted} --preset NAME`, and give the new folder."
    if found := sorted(p.name for pattern in _PICKLES for p in root.glob(pattern)):
        return (
            f" '{found[0]}' holds weights as Python objects, which may run code when they are read, and are not: save them with "
            f"safetensors.torch.save_file where you trust them."
        )
    return _adapter(root) or elsewhere(root)


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
        return f" '{in_line(shards[0])}' is one of the shards that '{INDEX}' lists, which is missing: download it too."
    others = [name for name in names if name.endswith(".safetensors") and "_processor" not in name]
    if len(others) == 1:
        return f" '{in_line(others[0])}' is there: if it holds the whole network, rename it to '{WEIGHTS}'."
    return " Download it, or give the folder that holds it."


def _shards(checkpoint: Checkpoint, index: Path) -> list[Path]:
    """Return the shards that an index names, beside it; none after adding a problem where it names others or they are not all there."""
    try:
        refuse_pointer(index)
        named = sorted({str(name) for name in read_json(index)["weight_map"].values()})
        odd = [name for name in named if Path(name).name != name or not name.endswith(".safetensors")]
        if odd or not named:
            raise ValueError(
                f"it names {in_line(repr(odd[0]))[:80]}, expected files beside it" if odd else "it names no file"
            )
    except WeightsMissing as error:
        checkpoint.problems.append(str(error))
        return []
    except (OSError, *MALFORMED) as error:
        checkpoint.problems.append(
            f"The weights are in shards, and '{INDEX}' is not readable ({said(error)}): download it again."
        )
        return []
    if missing := [name for name in named if not (index.parent / name).is_file()]:
        checkpoint.problems.append(
            f"The weights are in {len(named)} shards, of which {len(missing)} are missing, e.g. '{missing[0]}': download them."
        )
        return []
    return [index.parent / name for name in named]
