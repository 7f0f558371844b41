"""How a trained small policy lies on disk: a folder with weights (safetensors) and their metadata (JSON). No pickle.

    data/learned/mug-on-plate/
      weights.safetensors    network, standardisation included
      doubts.safetensors     where it is unsure, where that is known
      policy.json            kind, sizes, settings, generalist's fingerprint, episodes, seeds, plan, metrics, weights' hash

Written under a temporary name and renamed, so a folder that exists is whole.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save as encode
from torch import Tensor, nn

from frs_core.errors import ConfigError, TrainingError, WeightsMissing
from frs_core.learning.doubts import FILE as DOUBTS
from frs_core.learning.doubts import RecordedDoubts
from frs_core.learning.metadata import FORMAT, METADATA_FILE, VERSION, PolicyMetadata, check_fingerprint
from frs_core.runtime.foreign import MALFORMED, TENSORS, digest, parse_tensors, read_bytes

WEIGHTS = "weights.safetensors"
N = TypeVar("N", bound=nn.Module)


def save(
    folder: Path,
    weights: Mapping[str, Tensor],
    metadata: PolicyMetadata,
    *,
    doubts: RecordedDoubts | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a policy folder and return it.

    Args:
        folder: where; its parents are made.
        weights: the network's state.
        metadata: hash and time are filled in here.
        doubts: where the policy is unsure; None = not known.
        overwrite: replace a folder that already holds a saved policy.
    Raises:
        TrainingError: the folder exists (and may not be replaced), or the disk refused.
    """
    if folder.exists() and not (overwrite and (folder / METADATA_FILE).is_file()):
        raise TrainingError(f"'{folder}' already exists. Choose another name, or pass --overwrite for a saved policy.")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        # The library's own writer reports a full disk as an error of its own kind.
        (partial / WEIGHTS).write_bytes(encode({k: v.detach().cpu().contiguous() for k, v in weights.items()}))
        written = {name: getattr(metadata, name) for name in PolicyMetadata.__dataclass_fields__}
        written |= {
            "format": FORMAT,
            "version": VERSION,
            "made_at": time.time(),
            "weights_sha256": digest(partial / WEIGHTS),
        }
        if doubts is not None:
            doubts.save(partial / DOUBTS)
        (partial / METADATA_FILE).write_text(json.dumps(written, indent=2, sort_keys=True, default=str) + "\n")
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


def load_network(make: Callable[[], N], folder: Path, metadata: PolicyMetadata, weights: Mapping[str, Tensor]) -> N:
    """Return a network with saved weights; memory is taken only when they match the metadata.

    Args:
        make: returns the network of the metadata's sizes.
        folder: for the message.
        metadata: of the policy.
        weights: as read.
    Raises:
        ConfigError: they do not fit each other.
    """
    layers = metadata.settings.get("network", {}).get("layers", 0)
    try:
        if layers > len(weights):
            raise ValueError(f"{layers} layers for {len(weights)} tensors")
        with torch.device("meta"):
            network = make()
        expected = {name: (t.shape, t.dtype) for name, t in network.state_dict().items()}
        wrong = sorted(n for n in {*expected, *weights} if n not in weights or _kind(weights[n]) != expected.get(n))
        if wrong:
            raise ValueError(f"'{wrong[0]}' and {len(wrong) - 1} more are missing or of another size")
    except (RuntimeError, *MALFORMED) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"'{folder}': its weights do not fit its metadata ({error}). Train the policy again."
        ) from error
    network.load_state_dict(weights, assign=True)
    return network


def read_weights(folder: Path, metadata: PolicyMetadata, fingerprint: str) -> dict[str, Tensor]:
    """Return the weights, checked against the metadata's hash.

    Args:
        folder: of the saved policy.
        metadata: as read from there.
        fingerprint: of the generalist that the policy will drive, or whose features it will see.
    Raises:
        FingerprintMismatch: the policy was trained for another generalist.
        WeightsMissing: the file is gone.
        ConfigError: the file is damaged.
    """
    check_fingerprint(metadata, fingerprint, folder=folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsMissing(f"'{path}' is missing. Train the policy again.")
    try:
        data = read_bytes(path, limit=TENSORS, may_link=True)
        if hashlib.sha256(data).hexdigest() != metadata.weights_sha256:
            raise ConfigError(
                f"'{path}' does not match its metadata: the file is damaged or was replaced. Train the policy again."
            )
        return parse_tensors(data)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}. Train the policy again.") from error


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype
