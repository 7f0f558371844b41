"""Where an episode's pieces lie, on disk and inside its Zarr group.

Problem: writer, reader, recovery and checks must agree on names. Idea: every name and every code table is here, once;
`docs/episodes.md` is the same in words.

Example: root `data/` holds `data/episodes/20261104T101530Z_01JBVX….zarr` (a Zarr v3 group), unfinished recordings under
`data/episodes/.journal/`, thrown-away ones under `data/trash/`.

Pure functions; any thread.
"""

import calendar
import contextlib
import os
import re
import secrets
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from frs_core.errors import EpisodeError

SCHEMA_VERSION = 1
"""Raised when a reader of the former version could no longer read the data."""

SUFFIX = ".zarr"
TMP_PREFIX = ".tmp_"
"""A group or a label being written; never listed, removed when a writer takes the store's lock."""
JOURNAL_SUFFIX = ".journal"
ROOT_METADATA = "zarr.json"
INTEGRITY = "integrity"
"""Sub-group whose attribute `files` holds size and CRC-32 of every other file of the episode."""

_NAME = re.compile(r"\d{8}T\d{6}Z_[0-9A-HJKMNP-TV-Z]{26}")
_LAST_MS = 253402300799000
"""The last second of the year 9999, after which names would not sort."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_name(*, now: float | None = None, after: str = "") -> str:
    """Return a fresh episode name, `<UTC>_<ULID>`; names sort in the order of recording.

    Args:
        now: Unix time, seconds; default the clock.
        after: the newest name there is. A clock that was set back gives a name one millisecond later, not an earlier one.
    """
    now_ms = max(0, int(1000 * (time.time() if now is None else now)))
    if is_name(after) and (newest := _name_ms(after)) < _LAST_MS:
        now_ms = max(now_ms, newest + 1)
    now, value = now_ms // 1000, (now_ms << 80) | secrets.randbits(80)
    ulid = "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}_{ulid}"


def _name_ms(name: str) -> int:
    """Return the time in a name, ms since 1970; the end of its second where its two halves contradict each other."""
    try:
        second = calendar.timegm(time.strptime(name[:16], "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return _LAST_MS
    value = 0
    for digit in name[17:]:
        value = value << 5 | _CROCKFORD.index(digit)
    ms = value >> 80
    return ms if ms // 1000 == second else 1000 * second + 999


def is_name(name: str) -> bool:
    """Tell whether a text is an episode name (without `.zarr`)."""
    return _NAME.fullmatch(name) is not None


def names_in(folder: Path) -> list[str]:
    """Return the names of the episodes in a folder, in the order of recording; what is damaged keeps its name.

    A link counts where it is the only way to its episode: one to an episode of this folder, or to one that an earlier link leads to, would
    count it twice.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(folder) as entries:
        is_link = {e.name: e.is_symlink() for e in entries if is_episode(e.name)}
    names = sorted(name for name in is_link if not is_link[name])
    reached = {os.path.realpath(folder / name) for name in names} if len(names) < len(is_link) else set[str]()
    for name in sorted(is_link.keys() - names):
        target = os.path.realpath(folder / name)
        if target not in reached or not os.path.isdir(target):
            names.append(name)
        reached.add(target)
    return sorted(name.removesuffix(SUFFIX) for name in names)


def is_episode(file: str) -> bool:
    """Tell whether a folder's name is an episode's, `.zarr` included."""
    return file.endswith(SUFFIX) and is_name(file.removesuffix(SUFFIX))


def check_name(name: str) -> str:
    """Return the name; names become paths, so nothing else may pass.

    Raises:
        EpisodeError: not an episode name.
    """
    if not is_name(name):
        raise EpisodeError(
            f"'{name}' is not an episode name. Expected <UTC>_<ULID> such as '{new_name(now=0.0)}'. See `frs episodes list`."
        )
    return name


def part_of_name(text: str, *, within: Path) -> str:
    """Return which part of an episode's name a person means by a text, such as a name, a part of one, or the path of its folder.

    Args:
        text: as given.
        within: the folder of the episodes that are looked at.
    Raises:
        EpisodeError: there is nothing in it, or it is a path to somewhere else.
    """
    path = Path(text)
    if len(path.parts) > 1 and path.parent.resolve() != within.resolve():
        raise EpisodeError(f"'{text}' does not lie in '{within}'. Give its recording folder with --data, and its name.")
    part = path.name.removesuffix(SUFFIX).removesuffix(JOURNAL_SUFFIX).upper()
    if not part:
        raise EpisodeError(f"'{text}' is no part of an episode's name. See `frs episodes list`.")
    return part


def check_part(name: str) -> str:
    """Return a name that becomes one folder inside an episode, such as a camera's.

    Raises:
        ValueError: it would lie elsewhere, or nowhere.
    """
    if not name or name in (".", "..") or len(name.encode()) > 200 or set(name) & set("/\\\0"):
        raise ValueError(f"name {name[:200]!r} cannot be a folder's")
    return name


def episodes_dir(root: Path) -> Path:
    """Return the folder of committed episodes."""
    return root / "episodes"


def trash_dir(root: Path) -> Path:
    """Return the folder of binned episodes."""
    return root / "trash"


def journal_dir(root: Path) -> Path:
    """Return the folder of unfinished recordings."""
    return episodes_dir(root) / ".journal"


def journal_path(root: Path, name: str) -> Path:
    """Return the journal of one recording."""
    return journal_dir(root) / f"{name}{JOURNAL_SUFFIX}"


def ensure_folder(root: Path, folder: Path) -> None:
    """Make a folder of a recording root that survives a power loss, with all folders above it that were missing.

    The folders from `root` down are synced even when they are there: whoever made them may not have come so far.

    Raises:
        OSError: it cannot be made or synced; the same call may be repeated.
    """
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    above = [p for p in folder.parents if p == root or root in p.parents]
    for parent in dict.fromkeys(above):
        fsync_path(parent)
    # A folder above the root may be one that we may pass through but not open.
    with contextlib.suppress(PermissionError):
        for parent in dict.fromkeys([root.parent, *(p.parent for p in made)]):
            fsync_path(parent)


class Unconfirmed(OSError):
    """A change is made and seen by everybody, but the disk has not confirmed that it would survive a power loss."""


@contextlib.contextmanager
def confirming() -> Generator[None, None, None]:
    """Raise Unconfirmed in place of any OSError inside: for the syncs that follow a rename."""
    try:
        yield
    except OSError as error:
        raise Unconfirmed(error.errno, error.strerror or str(error)) from error


def fsync_path(path: Path) -> None:
    """Make a file's or folder's present content survive a power loss."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_tree(folder: Path) -> None:
    """Make every file and folder below (and including) `folder` survive a power loss.

    Several at a time: the file system then groups them, which halves the time for the 500 paths of an episode.
    """
    walked = list(os.walk(folder, topdown=False))
    files = [Path(parent, name) for parent, _, names in walked for name in names]
    with ThreadPoolExecutor(8, thread_name_prefix="episode-sync") as pool:
        list(pool.map(fsync_path, files))
        list(pool.map(fsync_path, [Path(parent) for parent, _, _ in walked]))
