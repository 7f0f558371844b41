"""Find the trained policies of an evaluation. Does not import torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from frs_core.errors import ConfigError
from frs_core.evaluation.draws import Draw
from frs_core.learning.metadata import METADATA_FILE, read_metadata

if TYPE_CHECKING:
    from frs_core.evaluation.methods import MethodSpec

_ONLY = Draw(0)


def trained_path(method: "MethodSpec", root: str, task: str, draw: Draw = _ONLY) -> Path | None:
    """Return the folder of a method's trained policy for a task; None for methods without learning.

    Args:
        method: row of the comparison.
        root: of trained policies.
        task: task name.
        draw: which of several trainings.
    Raises:
        ConfigError: a trained policy is needed, but no root was given.
    """
    if not method.learned:
        return None
    if not root:
        raise ConfigError(f"Method '{method.name}' needs a trained policy. Say where with --learned FOLDER.")
    return Path(root) / draw.folder / task / method.learned


def trained_hash(folder: Path | None) -> str:
    """Return the first characters of the weights' hash; empty without a trained policy."""
    if folder is None or not (folder / METADATA_FILE).is_file():
        return ""
    return read_metadata(folder).weights_sha256[:12]


def forecast(folder: Path | None) -> float | None:
    """Return the success rate that a trained policy forecasts, 0..1; None without a forecast.

    Raises:
        ConfigError: the forecast is not a success rate.
    """
    if folder is None or not (folder / METADATA_FILE).is_file():
        return None
    scores: Any = read_metadata(folder).metrics.get("card")
    value = scores.get("forecast") if isinstance(scores, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ConfigError(
            f"The policy in '{folder}' forecasts a success rate of {value!r}, expected 0..1. Train the policy again."
        )
    return float(value)
