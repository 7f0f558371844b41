"""Sources of the network's tensors: a safetensors file, or random numbers of the right shapes.

Problem: 3.3 billion weights must reach the device in their final type and layout without a second copy in memory.
Idea: the network asks for one tensor (or a few to be stacked into one matrix) at a time; a source reads just those,
moves them to the device, and nothing else stays in memory. Random weights come from a source too, so that speed can be
measured without a download.

Example: `source.stack("q.weight", "k.weight", "v.weight")` returns one [2560, 2048] matrix in bfloat16 on the GPU.
Any thread.
"""

import abc
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from frs_core.errors import ConfigError
from frs_core.policies.pi05.names import stored_names
from frs_core.policies.pi05.sizes import EMBEDDING, TIED_EMBEDDING, ModelSize, expected_shapes
from frs_core.runtime.foreign import open_plain, parse_json, plain_file, read_exactly

_HEADER_LIMIT = 100 << 20
"""Bytes; what safetensors itself allows. pi0.5's header has 0.1 MB."""
_SIZES = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}
"""Types whose numbers are the weights themselves -> bytes of one; integers and 8-bit floats come with scales of their own."""


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of a safetensors file, names as stored; reads no weights.

    Raises:
        ValueError: the file is not a safetensors file, or ends before the last tensor does.
    """
    return {name: tuple(entry["shape"]) for name, entry in _entries(path).items()}


def why_not_weights(path: Path, names: Iterable[str]) -> str:
    """Return why tensors are stored as something else than weights, one sentence with the fix; empty where they are not.

    Args:
        path: the safetensors file; its header can be read.
        names: as stored.
    """
    entries = _entries(path)
    odd = [name for name in names if entries[name]["dtype"] not in _SIZES]
    if not odd:
        return ""
    return (
        f"{len(odd)} tensors are stored as numbers that are no weights by themselves, e.g. '{odd[0]}' as {entries[odd[0]]['dtype']}, expected "
        f"{', '.join(_SIZES)}: quantised weights are not read. Give the checkpoint as it was before."
    )


def _entries(path: Path) -> dict[str, Any]:
    """Return name -> entry of the header. Raises ValueError as `read_header`."""
    size = path.stat().st_size
    with open_plain(path, may_link=True) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ValueError(f"its header should have {length:,} bytes, the whole file has {size:,}")
        if length > _HEADER_LIMIT:
            raise ValueError(f"its header has {length:,} bytes, at most {_HEADER_LIMIT:,} are read")
        header = parse_json(read_exactly(file, length))
    try:
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends, last = sorted((*entry["data_offsets"], name) for name, entry in entries.items()), 0
        if size != (end := 8 + length + max((end for _, end, _ in ends), default=0)):
            raise Truncated(f"it has {size:,} bytes, its header promises {end:,}")
        for begin, end, name in ends:
            entry = entries[name]
            bytes_of_one = _SIZES.get(entry["dtype"])
            if begin != last or (bytes_of_one and end - begin != bytes_of_one * math.prod(entry["shape"])):
                raise ValueError(f"'{name}' of shape {entry['shape']} has bytes {begin:,} to {end:,}")
            last = end
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"its header is no list of tensors: {error}") from error
    return entries


class Truncated(ValueError):
    """The file has its whole header but not all of its tensors, as after an interrupted download."""


class WeightSource(abc.ABC):
    """Gives tensors by name, on one device."""

    def __init__(self, *, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        """Type of the big matrices; small tensors are asked for in their own type."""

    @abc.abstractmethod
    def _read(self, name: str) -> Tensor:
        """Return the tensor as stored."""

    def get(self, name: str, *, dtype: torch.dtype | None = None) -> Tensor:
        """Return one tensor on the device.

        Args:
            name: as in `sizes.expected_shapes`.
            dtype: other type than the source's.
        Raises:
            ConfigError: it holds numbers that are not finite, or is a matrix of zeros.
        """
        return self._read(name).to(device=self.device, dtype=dtype or self.dtype)

    def stack(self, *names: str, dtype: torch.dtype | None = None) -> Tensor:
        """Return several tensors joined along their first axis."""
        return torch.cat([self.get(name, dtype=dtype) for name in names])


class FileSource(WeightSource):
    """Tensors of a safetensors file or of its shards, read when asked for."""

    def __init__(self, path: Path | Sequence[Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Open the files.

        Args:
            path: the safetensors file or its shards, already checked against `problems_of`.
            device: where tensors go.
            dtype: type of the big matrices.
        """
        super().__init__(device=device, dtype=dtype)
        paths = [path] if isinstance(path, Path) else path
        files = [safe_open(plain_file(path, as_text=True), framework="pt", device="cpu") for path in paths]
        self._file_of: dict[str, Any] = {str(name): file for file in files for name in file.keys()}  # noqa: SIM118
        self._names = stored_names(self._file_of)

    def _read(self, name: str) -> Tensor:
        if name == EMBEDDING and name not in self._names:
            name = TIED_EMBEDDING
        theirs = self._names[name]
        tensor: Tensor = self._file_of[theirs].get_tensor(theirs)
        if tensor.dtype is torch.float64:
            # What is beyond float32 becomes infinite here, and is then named.
            tensor = tensor.float()
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ConfigError(
                f"Tensor '{name}' holds {bad:,} of {tensor.numel():,} numbers that are not finite: the training that wrote it "
                f"diverged, or the file is damaged. Use an earlier checkpoint, or download it again."
            )
        if tensor.ndim > 1 and not bool(tensor.any()):
            raise ConfigError(
                f"Tensor '{name}' of shape {tuple(tensor.shape)} is all zeros, as where a download reserved the file's size and did not fill it. "
                f"Download it again."
            )
        return tensor


def why_no_weights(path: Path | Sequence[Path], size: ModelSize) -> list[str]:
    """Return one sentence per tensor that holds no weights: numbers which are not finite, a matrix of zeros. Reads the whole file, one tensor at
    a time."""
    source, problems = FileSource(path, device=torch.device("cpu"), dtype=torch.float32), list[str]()
    for name in expected_shapes(size):
        try:
            source.get(name)
        except ConfigError as error:
            problems.append(str(error))
    return problems


class RandomSource(WeightSource):
    """Random weights of given sizes that keep activations near 1; for benchmarks and tests without a checkpoint."""

    def __init__(self, size: ModelSize, *, device: torch.device, dtype: torch.dtype, seed: int = 0) -> None:
        super().__init__(device=device, dtype=dtype)
        self._shapes = expected_shapes(size)
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def _read(self, name: str) -> Tensor:
        shape = self._shapes[name]
        if len(shape) == 1:
            is_scale = "layer_norm" in name or "post_layernorm" in name
            return torch.full(shape, float(is_scale and name.endswith("weight")), device=self.device)
        fan_in = 1
        for n in shape[1:]:
            fan_in *= n
        scale = 0.02 if name == EMBEDDING else fan_in**-0.5
        draw = torch.empty(shape, device=self.device, dtype=self.dtype)
        return draw.normal_(0.0, scale, generator=self._generator)
