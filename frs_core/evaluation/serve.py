"""What runs in a worker's process: the runner of its kind of work, on cells from a pipe."""

import os
import signal
from multiprocessing.connection import Connection

from frs_core.errors import ConfigError, FrsError
from frs_core.evaluation.worker import Runner, Work, WorkerJob


def serve(job: WorkerJob, connection: Connection) -> None:
    """Run cells from a pipe until None arrives or the pipe closes; runs in the worker's process."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ctrl+C in a terminal reaches the whole process group; the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        runner = runner_class(job)(job)
    except (Exception, SystemExit) as error:
        # Sent and not left to end the process: a thread that the loader began could keep it, and the parent waiting.
        connection.send(_sendable(error))
        return
    connection.send(runner.ready)
    try:
        while (cell := connection.recv()) is not None:
            connection.send(runner.run(cell))
    except (EOFError, BrokenPipeError):
        return
    finally:
        runner.close()


def _sendable(error: BaseException) -> FrsError:
    """Return why a worker cannot start, as an error that the parent can read, whatever somebody else's loader raised."""
    if isinstance(error, FrsError):
        # A class of somebody else's may take arguments of its own, which the parent could not give it.
        return error if type(error).__module__ == FrsError.__module__ else ConfigError(str(error))
    return ConfigError(
        f"An evaluation worker could not load its world and policy: {type(error).__name__}: {error}. Correct what was named."
    )


def runner_class(job: WorkerJob) -> type[Runner]:
    """Return the kind of runner for a job's kind of work."""
    if job.work is Work.JUDGE:
        return Runner
    if job.work is Work.PRACTISE:
        from frs_core.evaluation.practising import Practising

        return Practising
    from frs_core.evaluation.prepare import Recording, Training

    return Recording if job.work is Work.RECORD else Training
