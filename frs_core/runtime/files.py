"""Write a file so that one that exists is whole: under a temporary name, synced, renamed. Any thread, any process."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes; several processes may write the same file, and the last one stays.

    Args:
        path: the file; its folder is made.
        data: all of it.
    Raises:
        OSError: the disk refused; what was there before stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
