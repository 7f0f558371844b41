"""A folder that is there whole or not at all: it is filled on the same disk and put in its place last.

    with new_folder(Path("weights/pi05_droid")) as made:
        convert(source, made, preset=preset)

Problem: a full disk ends a conversion of 7 GB in the middle and leaves a folder without weights, in the system's words. Idea: what fails
leaves nothing, and what the system refuses becomes one sentence about the target. What was killed leaves its hidden folder; the next one in
that place removes it, since nobody holds its lock any more. Runs in the terminal.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from io import FileIO
from pathlib import Path

from safetensors import SafetensorError

from frs_core.episodes.begun import refused
from frs_core.episodes.lock import try_lock
from frs_core.errors import ConfigError, FrsError
from frs_core.policies.pi05.places import WEIGHTS
from frs_core.runtime.foreign import in_line, open_lock

_PREFIX, _LOCK = ".converting-", ".lock"
_NUMBER = re.compile(r"\(os error (\d+)\)")
"""How the library of safetensors says what the system refused."""


@contextlib.contextmanager
def new_folder(target: Path) -> Generator[Path, None, None]:
    """Yield an empty folder; what was put there is at `target` afterwards, beside what that holds already.

    Args:
        target: the folder that a person named; must not hold weights.
    Raises:
        ConfigError: it holds weights, or could not be written.
    """
    if (target / WEIGHTS).exists():
        raise ConfigError(f"'{target / WEIGHTS}' exists. Remove it, or choose another folder.")
    above = [p for p in target.parents if not p.exists()]
    made: Path | None = None
    held: FileIO | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.isdir(target) and os.path.lexists(target):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        # Within a folder that is there: it may be a disk of its own, such as a container's volume.
        for left in (*target.glob(f"{_PREFIX}*"), *target.parent.glob(f"{_PREFIX}*")):
            _remove_abandoned(left)
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=target if target.is_dir() else target.parent))
        held = open_lock(made / _LOCK)
        try_lock(held.fileno())
        yield made
        _put(made, target)
    except BaseException as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        for folder in above:
            with contextlib.suppress(OSError):
                folder.rmdir()
        number = _NUMBER.search(str(error)) if isinstance(error, SafetensorError) else None
        if number is not None:
            raise ConfigError(str(refused(target, OSError(int(number[1]), os.strerror(int(number[1])))))) from error
        if not isinstance(error, OSError) or isinstance(error, FrsError):
            raise
        read = error.filename if isinstance(error.filename, str) else ""
        if read and made is not None and not Path(read).is_relative_to(made) and Path(read) != target:
            raise ConfigError(f"'{in_line(read)}' cannot be read: {error.strerror}. Check the file.") from error
        raise ConfigError(str(refused(target, error))) from error
    finally:
        if held is not None:
            held.close()


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder that was being filled, if whoever filled it has ended."""
    with contextlib.suppress(OSError), open_lock(folder / _LOCK) as lock:
        if try_lock(lock.fileno()):
            shutil.rmtree(folder, ignore_errors=True)


def _put(made: Path, target: Path) -> None:
    """Move files to their place on the same disk, the weights last, so that a folder with weights is a whole one."""
    files = [path for path in made.rglob("*") if path.is_file() and path != made / _LOCK]
    for path in sorted(files, key=lambda path: path.name == WEIGHTS):
        there = target / path.relative_to(made)
        there.parent.mkdir(parents=True, exist_ok=True)
        path.replace(there)
    shutil.rmtree(made)
