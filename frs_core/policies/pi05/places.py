"""Where a checkpoint lies when the folder that was given is not it, and whether a folder is one that can be converted. Any thread.

Example: of `outputs/train/my_run` this says that a checkpoint lies in 'checkpoints/030000/pretrained_model'.
"""

import re
from pathlib import Path

from frs_core.errors import ConfigError, WeightsMissing
from frs_core.runtime.foreign import in_line

WEIGHTS, INDEX, ADAPTER_CONFIG = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
PARAMS = Path("params") / "_METADATA"
"""In a folder of openpi's JAX format."""
_RUN = "pretrained_model"
"""LeRobot's folder of a checkpoint, which every step of every run has."""
_MOST = 3
"""Folders that are named."""


def is_unfinished(folder: Path) -> bool:
    """Return whether a folder, or the one above it, is what orbax left when its saving was interrupted; it renames what is whole."""
    place = folder.resolve()
    return any(".orbax-checkpoint-tmp" in name for name in (place.name, place.parent.name))


def elsewhere(root: Path, *, convertible: bool = False) -> str:
    """Return a hint at checkpoints below a folder, in the one above or beside it; empty if there are none.

    Args:
        root: the folder that was given.
        convertible: look for those that `frs policy fetch --convert` takes alone.
    """
    parts = [PARAMS.as_posix(), ADAPTER_CONFIG] + ([] if convertible else [WEIGHTS, INDEX])
    found: dict[Path, Path] = {}
    for part in parts:
        for depth in ("*", "*/*", "*/*/*"):
            for path in sorted(root.glob(f"{depth}/{part}")):
                folder = root / Path(*path.relative_to(root).parts[: -len(Path(part).parts)])
                if not is_unfinished(folder):
                    found.setdefault(folder.resolve(), folder)
    if found:
        folders = sorted(found.values(), key=_in_order)
        named = ", ".join(f"'{in_line(folder.relative_to(root))}'" for folder in folders[-_MOST:])
        if len(folders) == 1:
            return f" A checkpoint lies in {named}: give that folder."
        more = f" and {len(folders) - _MOST} more" if len(folders) > _MOST else ""
        return f" Checkpoints lie in {named}{more}: give one of these folders."
    above = root.absolute().parent
    for folder in (above, above / _RUN):
        if folder != root.absolute() and any((folder / part).is_file() for part in parts):
            return f" A checkpoint lies in '{in_line(folder)}': give that folder."
    return ""


def require_convertible(source: Path) -> None:
    """Do nothing where a folder is of openpi's JAX format or may hold an adapter.

    Raises:
        WeightsMissing: it does not exist, or a checkpoint lies elsewhere.
        ConfigError: it was not saved whole.
    """
    if not source.exists():
        raise WeightsMissing(f"'{in_line(source)}' does not exist. Correct the path.")
    if not source.is_dir():
        raise WeightsMissing(f"'{in_line(source)}' is a file. Give the folder of the checkpoint that it belongs to.")
    if is_unfinished(source):
        raise ConfigError(f"'{in_line(source)}' {UNFINISHED}")
    if any((source / part).is_file() for part in (PARAMS, ADAPTER_CONFIG, WEIGHTS)):
        return
    hint = elsewhere(source, convertible=True) or " Give the folder that holds one of them."
    raise WeightsMissing(f"'{in_line(source)}' holds neither openpi's params/_METADATA nor an adapter.{hint}")


UNFINISHED = "is what orbax leaves when its saving is interrupted, since it renames what is whole. Give the folder of another step."


def name_of_run(source: Path) -> str:
    """Return a name for what is made of a checkpoint: of the run and its step for LeRobot's, whose own folder always has the same."""
    place = source.resolve()
    if place.name != _RUN or not place.parent.name:
        return place.name
    step = place.parent
    is_step = step.parent.name == "checkpoints" and bool(step.parent.parent.name)
    return f"{step.parent.parent.name}-{step.name}" if is_step else step.name


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Return a key by which steps are sorted as numbers."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]
