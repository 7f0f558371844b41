"""Where trained policies of an evaluation are, and which ones they were. Free of torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from frs_core.errors import ConfigError
from frs_core.learning.story import STORY, read_story

if TYPE_CHECKING:
    from frs_core.evaluation.methods import MethodSpec


def trained_path(method: "MethodSpec", root: str, task: str) -> Path | None:
    """Return the folder of a method's trained policy for a task; None for methods that learn nothing.

    Raises:
        ConfigError: it is needed, but no root was given.
    """
    if not method.learned:
        return None
    if not root:
        raise ConfigError(f"Method '{method.name}' needs a trained policy. Say where with --learned FOLDER.")
    return Path(root) / task / method.learned


def trained_hash(folder: Path | None) -> str:
    """Return the first characters of the weights' hash; empty when there is nothing."""
    if folder is None or not (folder / STORY).is_file():
        return ""
    return read_story(folder).weights_sha256[:12]
