"""The process of one part: `python -m benchmarks.gpu.child MODULE:FUNCTION FILE --device cuda --limit 60 [--small]`.

The function is called with a `Task`; what it prints and its traceback go to this process's output. Shortly before the limit the
stacks of all threads are printed, so that the log of a part that hangs says where.
"""

import argparse
import faulthandler
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.gpu.task import CannotRun, Task

OWN = ("frs_core", "app", "benchmarks", "tests")


def main() -> int:
    """Run one part; return 0 unless it failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("file", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    faulthandler.dump_traceback_later(max(0.5, asked.limit - 1.0))
    task = Task(asked.file, device=asked.device, is_small=asked.small)
    module, name = asked.target.split(":")
    try:
        run: Callable[[Task], None] = getattr(importlib.import_module(module), name)
        run(task)
    except CannotRun as reason:
        task.end("cannot run", str(reason))
    except ModuleNotFoundError as error:
        traceback.print_exc()
        package = (error.name or "").split(".")[0]
        if package in OWN:
            task.end("failed", str(error))
            return 1
        task.end("cannot run", f"The package '{package}' is not installed, and no wheel of it was given.")
    except BaseException as error:
        traceback.print_exc()
        task.end("failed", f"{type(error).__name__}: {error}".splitlines()[0][:300])
        return 1
    else:
        task.end("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
