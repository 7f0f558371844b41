"""The recording folder that a command was given, looked at before anything is done with it.

Problem: a mistyped folder holds no episodes, just as an empty one does. Idea: every command gets its folder here. What was named, by
`--data` or FRS_DATA_DIR, must be a folder that can be read; the default need not exist yet; a command that records makes its own.

Example: `recording_root(Path("notes.txt"))` raises ConfigError: 'notes.txt' is a file, expected the recording folder.

Any thread.
"""

import os
from pathlib import Path

from frs_core import paths
from frs_core.errors import ConfigError
from frs_core.runtime.foreign import found_at

_PARTS = ("episodes", "trash", "episodes/.journal", "learned", "comparisons")
"""Folders within, which are made when something is written to them."""


def recording_root(given: Path | None, *, is_made: bool = False) -> Path:
    """Return the recording folder.

    Args:
        given: the one that was named; None = the default, see `paths.data`.
        is_made: it may be missing, because the command makes it.
    Raises:
        ConfigError: it is not there and cannot be made, is no folder, or cannot be read, or that holds of a folder within it.
    """
    root = paths.data() if given is None else given
    is_named = given is not None or bool(os.environ.get("FRS_DATA_DIR"))
    if is_named and not is_made and not os.path.lexists(root):
        raise ConfigError(
            f"The recording folder '{root}' {found_at(root)}. Correct {'--data' if given is not None else 'FRS_DATA_DIR'}; "
            f"`frs --data FOLDER` makes a new one."
        )
    if why := why_no_folder(root):
        raise ConfigError(f"'{root}' {why}, expected the recording folder. Choose another with --data.")
    if is_made and not _is_there(root) and not os.access(above := _above(root), os.W_OK | os.X_OK):
        raise ConfigError(
            f"The recording folder '{root}' does not exist, and '{above}' cannot be written to make it. Choose another with --data."
        )
    for part in _PARTS:
        if why := why_no_folder(root / part):
            raise ConfigError(
                f"'{root / part}' {why}, expected a folder of recordings. Move it away, or choose another --data."
            )
    return root


def require_writable(option: str, folder: Path) -> None:
    """Do nothing, unless a folder that is about to be written to cannot be made or written.

    Args:
        option: that named it ("--screenshot"), for the text.
        folder: need not exist.
    Raises:
        ConfigError: what is in its place, or the folder above it that cannot be written.
    """
    if not _is_there(folder):
        if not os.access(above := _above(folder), os.W_OK | os.X_OK) or not os.path.isdir(above):
            raise ConfigError(f"{option} is '{folder}', and '{above}' cannot be written to make it. Choose another.")
    elif (why := why_no_folder(folder)) or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} is '{folder}', which {why or 'cannot be written'}. Choose a folder that can.")


def why_no_folder(path: Path) -> str:
    """Return why something at a path is not a folder that can be read, as `found_at` says it; empty if it is one, or is not there."""
    if not _is_there(path):
        return "" if found_at(path) == "does not exist" else found_at(path)
    if not os.path.isdir(path):
        return found_at(path)
    return "" if os.access(path, os.R_OK | os.X_OK) else "cannot be read (Permission denied)"


def _above(path: Path) -> Path:
    """Return the lowest folder above a path that exists."""
    return next(folder for folder in path.absolute().parents if _is_there(folder))


def _is_there(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:
        return False
