"""The state of a learner as tensors and plain values, and back: what lies on disk while it practises. No pickle.

Problem: an optimiser's state is dicts in lists in dicts, with tensors at the leaves and numbers as keys. Idea: tensors are put
aside under running numbers, the rest is JSON. Any thread.

Example: {"step": 3, "mean": tensor} becomes {"0": tensor} and {"dict": [["step", 3], ["mean", {"tensor": "0"}]]}.
"""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from frs_core.errors import ConfigError
from frs_core.runtime.foreign import MALFORMED


def pack(value: Any) -> tuple[dict[str, Tensor], Any]:
    """Return nested dicts, lists, tensors, numbers, texts and None as (tensors by number, JSON values).

    Raises:
        TypeError: something else is in there.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _packed(value, tensors)


def unpack(tensors: Mapping[str, Tensor], value: Any) -> Any:
    """Return what `pack` was given; tuples come back as lists.

    Raises:
        ConfigError: damaged.
    """
    try:
        return _unpacked(value, tensors)
    except MALFORMED as error:
        raise ConfigError(
            f"The saved state cannot be read ({error}). Start the practice again in another folder."
        ) from error


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy: two names of one tensor may not share memory on disk.
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {"dict": [[key, _packed(item, tensors)] for key, item in items]}
    if isinstance(value, list | tuple):
        return {"list": [_packed(item, tensors) for item in cast("list[Any]", value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"A learner's state holds {type(value).__name__}, expected tensors, numbers, texts, dicts and lists."
    )


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = cast("dict[str, Any]", value).items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "list":
        return [_unpacked(item, tensors) for item in inner]
    if kind == "dict":
        return {key: _unpacked(item, tensors) for key, item in inner}
    raise ValueError(f"unknown kind '{kind}'")
