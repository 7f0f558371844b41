"""Run a LIBERO worker in a process of its own, and send it one request at a time, each with a time limit.

Problem: LIBERO needs a Python environment of its own, and a simulator in C may crash or hang. Idea: the worker is a child process
with a socket for requests; its output goes to a file that is read if it dies. After a timeout or a crash it is terminated for good,
and its owner starts another. Used by one thread, the world's.

    worker = Worker("/path/to/python")
    header, arrays = worker.ask("step", {"action": action}, timeout_s=20.0)
"""

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frs_core.arrays import Array
from frs_core.errors import ConfigError, FrsError, WorldError, WorldTimeout
from frs_core.worlds.libero import worker

WORKER = Path(worker.__file__)
LAUNCH = "import sys; del sys.path[0], sys.argv[0]; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
"""Runs a script without its folder at the front of sys.path, where a module beside it could shadow a package."""
_END_S = 2.0
"""Longest wait for a worker to end, seconds."""
_CODES = {"setup": ConfigError, "missing": ConfigError, "snapshot": ConfigError}

Arrays = Mapping[str, Array]


class Worker:
    """One worker process."""

    def __init__(self, python: str, *, script: Path = WORKER) -> None:
        """Start the process; no request is sent.

        Args:
            python: interpreter that has LIBERO.
            script: what it runs.
        Raises:
            ConfigError: there is no such interpreter.
        """
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self._wire, theirs = socket.socketpair()
        # Environment variables for this process's Python must not reach another one.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment.setdefault("MUJOCO_GL", "egl")
        try:
            self._process = subprocess.Popen(
                [python, "-E", "-c", LAUNCH, str(script), "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=environment,
                # Ctrl+C in a terminal is handled by the session, which holds first.
                start_new_session=True,
            )
        except OSError as error:
            self._wire.close()
            self._log.close()
            raise ConfigError(
                f"'{python}' cannot be run ({error.strerror}). Name a Python that has LIBERO with --world-options python PATH, "
                f"or run `frs worlds install libero`."
            ) from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(
        self, op: str, arrays: Arrays | None = None, *, timeout_s: float, **fields: object
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the answer to one request: header and arrays.

        Args:
            op: the operation, see worker.py.
            arrays: sent with it.
            timeout_s: longest wait, seconds.
            fields: further fields of the request; plain values.
        Raises:
            WorldTimeout: no answer in time; the worker is terminated.
            WorldError: it died, or the operation failed.
            ConfigError: its environment is not usable.
        """
        try:
            self._wire.settimeout(timeout_s)
            worker.send(self._wire, {"op": op, **fields}, arrays)
            header, results = worker.receive(self._wire)
        except TimeoutError as error:
            self.close(grace_s=0.0)
            raise WorldTimeout(
                f"LIBERO did not answer '{op}' within {timeout_s:.0f} s and was stopped. Start the world again."
            ) from error
        except (EOFError, OSError, ValueError) as error:
            raise self._died(op, error) from error
        if header.pop("ok", False):
            return header, results
        raise _refusal(header)

    def close(self, *, grace_s: float = _END_S) -> None:
        """End the worker; safe to call twice."""
        self._wire.close()
        for stop in (None, self._process.terminate, self._process.kill):
            if stop is not None and self._process.poll() is None:
                stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s if stop is None else _END_S)
        self._log.close()

    def _died(self, op: str, error: Exception) -> WorldError:
        said = self._last_words()
        self.close(grace_s=0.5)
        code = self._process.returncode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        if isinstance(error, ValueError):
            how = f"gave an answer that cannot be read ({error})"
        return WorldError(f"LIBERO {how} while asked to '{op}'{said}. Start the world again.")

    def _last_words(self) -> str:
        """Return the last line of its output, for an error message."""
        with contextlib.suppress(ValueError, OSError):
            self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, self._log.tell() - 4096))
            lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return f": {lines[-1][:200]}"
        return ""


def _refusal(header: Mapping[str, Any]) -> FrsError:
    text = f"{header.get('error', 'LIBERO refused.')} {header.get('fix', '')}".strip()
    return _CODES.get(str(header.get("code")), WorldError)(text)
