"""What a person may change about a committed episode: how it ended, the note, and which ends are left out.

Problem: two programs that change one episode at once read the same facts, and the later one writes the earlier one's change
away. Idea: reading, changing and replacing the root's `zarr.json` is one step under the root's edit lock.

Example: while one program sets notes, `edit(root, folder, {"outcome": "failure"})` of another keeps the newest note.

Any thread.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frs_core.episodes.index import read_attributes
from frs_core.episodes.integrity import group_metadata
from frs_core.episodes.layout import ROOT_METADATA, SUFFIX, TMP_PREFIX, confirming, fsync_path
from frs_core.episodes.lock import editing
from frs_core.errors import EpisodeError

_TMP_SUFFIX = ".json"


def edit(root: Path, folder: Path, changes: Mapping[str, Any]) -> None:
    """Replace some attributes of an episode.

    Args:
        root: recording root.
        folder: the episode.
        changes: attribute -> value.
    Raises:
        StoreLocked: another editor does not finish.
        EpisodeError: it is a link; whose it is decides about it.
        EpisodeCorrupt: the facts are damaged.
        ValueError: more than a `zarr.json` may hold.
        Unconfirmed: changed, but a power cut could still undo it.
        OSError: the disk refused; nothing changed.
    """
    if folder.is_symlink():
        target = os.path.realpath(folder)
        raise EpisodeError(
            f"'{folder.name}' is a link to '{target}' and is changed there only. Use the recording folder of that one (--data), or put a copy "
            f"in the link's place."
        )
    # Beside the episode, not inside: a crash must leave no stray file in a Zarr group.
    tmp = folder.parent / f"{TMP_PREFIX}{folder.name.removesuffix(SUFFIX)}{_TMP_SUFFIX}"
    with editing(root):
        data = group_metadata({**read_attributes(folder), **changes})
        try:
            tmp.unlink(missing_ok=True)
            with tmp.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(tmp, folder / ROOT_METADATA)
        except OSError:
            with contextlib.suppress(OSError):
                tmp.unlink(missing_ok=True)
            raise
        with confirming():
            fsync_path(folder)
            fsync_path(folder.parent)


def clear_leftovers(root: Path, folder: Path) -> None:
    """Remove what an editor left that died while writing; one that is still at work keeps its file."""
    stale = list(folder.glob(f"{TMP_PREFIX}*{_TMP_SUFFIX}"))
    # Whoever holds the lock now clears up after itself, or the next writer does.
    with contextlib.suppress(EpisodeError, OSError):
        if stale:
            with editing(root, wait_s=0.0):
                for path in stale:
                    path.unlink(missing_ok=True)
