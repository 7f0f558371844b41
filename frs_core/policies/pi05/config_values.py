"""Read values of a checkpoint's JSON files; what is no such value is refused with what was expected. Any thread."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.lerobot_files import refuse_pointer
from frs_core.runtime.foreign import found_at, read_json, said

_PRECISIONS = ("bfloat16", "float16", "float32")
"""What `precision` and `dtype` may be; null leaves it open. Source: openpi's converter, LeRobot configuration_pi05.py."""
_SHORT = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32"}
"""Other names of the same types, which PyTorch and trainers write."""
LONGEST_CHUNK = 1000
"""Rows. Guess; those of released checkpoints have 10 to 50."""


def read_object(checkpoint: Checkpoint, path: Path) -> dict[str, Any] | None:
    """Return the object that a JSON file holds; None after adding a problem where it holds none."""
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
        checkpoint.problems.append(f"'{path.name}' is not readable JSON ({said(error)}).")
        return None
    if not isinstance(data, dict):
        checkpoint.problems.append(f"'{path.name}' does not hold a JSON object.")
        return None
    return data


def integer(config: Mapping[str, Any], key: str) -> int:
    """Return a whole number of config.json, 1 to `LONGEST_CHUNK`."""
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_CHUNK:
        raise ConfigError(f"config.json has {key} = {value!r}, expected a whole number, 1 to {LONGEST_CHUNK}.")
    return value


def switch(config: Mapping[str, Any], key: str) -> bool:
    """Return a setting that is true or false; a text of either is neither, and null is false."""
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"config.json has {key} = {value!r}, expected true or false. Correct it.")
    return bool(value)


def require_precision(config: Mapping[str, Any]) -> None:
    """Raise ConfigError where a checkpoint says that its weights are kept in numbers that are not read."""
    for key in ("precision", "dtype"):
        value = config.get(key)
        name = value.removeprefix("torch.") if isinstance(value, str) else value
        if name is not None and name not in _PRECISIONS and name not in _SHORT:
            raise ConfigError(
                f"config.json has {key} = {value!r}, expected {', '.join(_PRECISIONS)}: weights in other numbers, such as quantised ones, are not "
                f"read. Give the checkpoint as it was before, or correct {key}."
            )
