"""Write the stacks of a process that crashes to a file.

A crash in a library written in C ends Python without an exception. The cockpit names a file in `VARIABLE`, which the processes that it
starts inherit; each of them calls `keep_faults` first. Main thread of the process.
"""

import faulthandler
import os

VARIABLE = "FRS_FAULTS"
"""Environment variable with the path of the file; not set = stacks go to standard error, where nobody may look."""


def keep_faults() -> bool:
    """Write the stacks of all threads to the named file if this process crashes; return whether a file was named and can be written."""
    path = os.environ.get(VARIABLE)
    if not path:
        return False
    try:
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - open until the process ends.
    except OSError:
        return False
    faulthandler.enable(file, all_threads=True)
    return True
