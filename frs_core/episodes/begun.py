"""What an export has made so far, so that one that fails leaves nothing of it.

    with begun(path) as files:
        files.add(path / "meta/info.json").write_text(text)

Problem: a full disk ends an export in the middle of a tree of folders, and says so in the system's words. Idea: a file is made known
before it is written; where anything is raised, these files and the folders made for them are removed again, and what the system
refuses becomes one sentence about the target. A file that was there before is not to be added: add the name it is written under.

Any thread.
"""

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path

from frs_core.episodes.layout import SUFFIX, is_name
from frs_core.errors import EpisodeError, FrsError
from frs_core.runtime.foreign import found_at

_IN_THE_WAY = {errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENOTDIR}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Begun:
    """The files and folders of one export."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def add(self, path: Path) -> Path:
        """Return a file's path, after making its folder. Raises OSError."""
        for folder in reversed([p for p in path.parents if not p.exists()]):
            folder.mkdir(exist_ok=True)
            self._made.append(folder)
        self._made.append(path)
        return path

    def remove(self) -> None:
        """Remove what was made; a folder that holds anything else stays."""
        for path in reversed(self._made):
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def begun(target: Path, *, refusals: tuple[type[Exception], ...] = ()) -> Generator[Begun, None, None]:
    """Remove what was made of an export that fails.

    Args:
        target: the file or folder that a person named, for the error.
        refusals: what a library raises where the system refuses, beside OSError.
    Raises:
        EpisodeError: it could not be written, or lies among recordings.
    """
    _require_outside_recordings(target)
    files = Begun()
    try:
        yield files
    except BaseException as error:
        files.remove()
        if isinstance(error, FrsError) or not isinstance(error, (OSError, *refusals)):
            raise
        raise refused(target, error) from error


def file_named(path: Path, suffix: str = "", *, overwrite: bool) -> Path:
    """Return the path of a file to write, with the ending of its kind where it has another.

    Args:
        path: as a person named it.
        suffix: the ending; empty = any.
        overwrite: whether a file that is there may be replaced.
    Raises:
        EpisodeError: the path names no file, as "." and "/" do, something else than a file, such as a device or a pipe, a place
            among recordings, or a file that is there.
    """
    if not path.name:
        raise refused(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    named = path if path.suffix == suffix or not suffix else path.with_name(f"{path.name}{suffix}")
    _require_outside_recordings(named)
    if os.path.exists(named) and not os.path.isfile(named):
        raise refused(named, FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)))
    if os.path.isfile(named) and not overwrite:
        raise EpisodeError(f"'{named}' already exists. Choose another name, or pass --overwrite.")
    return named


def _require_outside_recordings(target: Path) -> None:
    """Raise EpisodeError where a target lies in a recorded episode, or in the folder that holds them."""
    place = Path(os.path.realpath(target))
    for folder in (place, *place.parents):
        is_episode = folder.suffix == SUFFIX and is_name(folder.stem)
        if is_episode or (folder != place and (folder / ".lock").exists() and folder.name == "episodes"):
            raise EpisodeError(
                f"'{target}' lies among recordings, in '{folder}', which an export would damage. Name a place outside."
            )


def refused(target: Path, error: Exception) -> EpisodeError:
    """Return the error for a target that the system does not let be written.

    Args:
        target: the file or folder that a person named.
        error: what was raised.
    """
    number, said = getattr(error, "errno", None), getattr(error, "strerror", None) or error
    if number in _IN_THE_WAY:
        return EpisodeError(f"'{target}' {found_at(target)}, so nothing can be written there. Name another place.")
    if number in _FORBIDDEN:
        return EpisodeError(f"'{target}' could not be written: {said}. Change its permissions, or name another place.")
    if number == errno.EFBIG:
        return EpisodeError(
            f"'{target}' could not be written: a file is larger than its disk or this process allows. Choose a disk that takes larger files, or raise "
            f"`ulimit -f`."
        )
    return EpisodeError(f"'{target}' could not be written: {said}. Free space or choose another folder.")
