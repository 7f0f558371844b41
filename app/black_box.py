"""The black box: a log of limited size, and a zip file of it for support.

Problem: a report such as "it held this morning" cannot be examined without a record. Idea: each snapshot of the session is compared
with the one before, and each change of phase, episode, pick, driver or counter is logged, with the current latencies. Messages of
the window and Python's warnings go to the same log; crashes of the interpreter, here and in the world's process, and the
stacks of a blocked window to a file beside it. A separate thread masks secrets (`app.redaction`) and writes to rotating files.

Example: 2026-11-20 09:31:02,114 app.record INFO hold: Hold pressed. episode 3, chunk 7, encode 6 ms, steer 25 ms, loop 15.0 Hz

Any thread. Does not import Qt, so that it can start before the window.
"""

import faulthandler
import json
import logging
import logging.handlers
import math
import os
import platform
import queue
import sys
import time
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import platformdirs

from app.redaction import RedactingFormatter, Redaction, shown_command
from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.events import EpisodeStatus, HoldReason, Phase, Snapshot
from frs_core.runtime.faults import VARIABLE as FAULTS_VARIABLE
from frs_core.runtime.image_files import png

LOG, FAULTS = "cockpit.log", "faults.log"
LOG_BYTES, LOG_FILES = 2_000_000, 5
"""Size and number of the log files: 10 MB, some weeks of driving."""
FAULTS_BYTES = 500_000
MOST_DUMPS = 20
"""Stacks of a blocked process that are kept in one run, a few kilobytes each."""
_PACKAGES = ("frs-cockpit", "numpy", "torch", "mujoco", "pillow", "PyQt6", "pyqtgraph", "pygame", "pyspacemouse")
_record = logging.getLogger("app.record")
_BLOCKED = (HoldReason.GUI_SILENT, HoldReason.SESSION_SILENT)
"""Holds at which the stacks are kept."""


def log_dir() -> Path:
    """Return the folder of the logs: FRS_LOG_DIR, or the platform's default."""
    return Path(os.environ.get("FRS_LOG_DIR") or platformdirs.user_log_dir("frs-cockpit"))


class BlackBox:
    """Writes the log from `start` to `close`. Without write permission there is no log, but the cockpit starts."""

    def __init__(self, folder: Path | None = None, *, redact: Redaction | None = None) -> None:
        """Store the folder; nothing is opened yet.

        Args:
            folder: of the logs; None = `log_dir()`.
            redact: masks secrets; None = those of the environment.
        """
        self.folder = folder or log_dir()
        self._lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._handler: logging.handlers.QueueHandler | None = None
        self._listener: logging.handlers.QueueListener | None = None
        self._faults: Any = None
        self._former: Snapshot | None = None
        self._dumps = 0
        self.redact = redact or Redaction()

    def start(self) -> str | None:
        """Open the files and start logging; return a sentence if that fails, else None."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = logging.handlers.RotatingFileHandler(
                self.folder / LOG, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8"
            )
            self._faults = _fresh(self.folder / FAULTS)
        except OSError as error:
            return f"No log is written: {self.folder} cannot be used ({error.strerror}). Set FRS_LOG_DIR to a folder."
        file.setFormatter(RedactingFormatter("%(asctime)s %(name)s %(levelname)s %(message)s", self.redact))
        self._handler = logging.handlers.QueueHandler(self._lines)
        self._listener = logging.handlers.QueueListener(self._lines, file)
        self._listener.start()
        logging.getLogger().addHandler(self._handler)
        _record.setLevel(logging.INFO)
        faulthandler.enable(self._faults, all_threads=True)
        os.environ[FAULTS_VARIABLE] = str((self.folder / FAULTS).absolute())
        logging.captureWarnings(True)
        _record.info("the cockpit starts: %s", shown_command(sys.argv[1:]) or "no options")
        return None

    def close(self) -> None:
        """Write the queued lines and stop logging; safe to call twice."""
        if self._handler is None or self._listener is None:
            return
        _record.info("the cockpit ends")
        logging.getLogger().removeHandler(self._handler)
        self._listener.stop()
        for handler in self._listener.handlers:
            handler.close()
        self._handler = self._listener = None
        logging.captureWarnings(False)
        os.environ.pop(FAULTS_VARIABLE, None)
        faulthandler.disable()
        self._faults.close()

    @staticmethod
    def note(text: str) -> None:
        """Log a fact of this run."""
        _record.info("%s", text)

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Log what differs from the last snapshot; called on the session's thread."""
        former, self._former = self._former, snapshot
        for line in changes(former, snapshot):
            _record.info("%s", line)
        reason = snapshot.hold_reason if snapshot.phase is Phase.HOLD else None
        if reason in _BLOCKED and (former is None or former.hold_reason is not reason):
            self._keep_stacks(reason.value)

    def _keep_stacks(self, reason: str) -> None:
        """Write what every thread of the blocked process is doing, at most `MOST_DUMPS` times in a run."""
        if self._handler is None or self._dumps >= MOST_DUMPS:
            return
        self._dumps += 1
        print(time.strftime("%Y-%m-%d %H:%M:%S"), reason, file=self._faults, flush=True)
        faulthandler.dump_traceback(self._faults, all_threads=True)


def said(text: str, tone: str) -> None:
    """Log a message of the window."""
    _record.info("shown (%s): %s", tone, text)


def changes(former: Snapshot | None, now: Snapshot) -> list[str]:
    """Return one line per change between two snapshots."""
    lines = []
    if former is None or (former.phase, former.hold_reason, former.detail) != (now.phase, now.hold_reason, now.detail):
        lines.append(f"{_phase(now)}. {_moment(now)}")
    was = former.episode if former else EpisodeStatus()
    if was.number != now.episode.number and now.episode.number:
        kind = "unrecorded" if now.episode.is_unrecorded else "recorded" if now.episode.is_recording else "not recorded"
        lines.append(f"episode {now.episode.number} begins: task {now.episode.task}, scene {now.episode.seed}, {kind}")
    if was.number and was.number != now.episode.number:
        how = f", {now.ended.outcome.value}" if now.ended is not None and now.ended.status.number == was.number else ""
        what = f"{counted(was.chunks, 'chunk')}, {counted(was.steps, 'step')}, {was.name or 'no name'}"
        lines.append(f"episode {was.number} has ended{how}: {what}")
    if now.picked is not None and (former is None or former.picked != now.picked or former.phase is not Phase.MOVING):
        who = f"by {now.picked_by.value}" if now.picked_by is not None else "the policy's own"
        lines.append(f"pick {now.picked}, {who}, {now.pacing.value}. {_moment(now)}")
    if former is not None:
        pairs = (
            ("driver", former.driver.value, now.driver.value),
            ("pacing", former.pacing.value, now.pacing.value),
            ("plan", former.plan.with_seed(0), now.plan.with_seed(0)),
            ("noise policy", former.noise_policy, now.noise_policy),
        )
        lines += [f"{name}: {before} -> {after}" for name, before, after in pairs if before != after]
        for name in ("corrections", "refused", "late_answers"):
            count = now.counters.get(name, 0) - former.counters.get(name, 0)
            lines += [f"{name}: {count} more"] if count > 0 else []
    if now.notice is not None and (former is None or former.notice != now.notice):
        lines.append(f"notice: {now.notice[1]}")
    return lines


def _phase(s: Snapshot) -> str:
    words = [s.hold_reason.value] if s.hold_reason is not None else []
    return ": ".join([s.phase.value, *words]) + (f" ({s.detail})" if s.detail else "")


def _moment(s: Snapshot) -> str:
    times = s.latency
    figures = (
        ("encode", times.encode_ms, "ms"),
        ("steer", times.steer_ms, "ms"),
        ("pick", times.pick_ms, "ms"),
        ("loop", times.loop_hz, "Hz"),
        ("jitter", times.jitter_ms, "ms"),
    )
    known = [f"{name} {value:.1f} {unit}" for name, value, unit in figures if math.isfinite(value)]
    where = [f"episode {s.episode.number}", f"chunk {s.episode.chunks}"] if s.episode.number else []
    return ", ".join([*where, *known])


class Frame(Protocol):
    """An image that can be saved in the zip."""

    @property
    def image(self) -> Any:
        """uint8 [H, W, 3] RGB."""
        ...


def save_diagnostics(
    target: Path,
    *,
    folder: Path | None = None,
    settings: Path | None = None,
    frames: Mapping[str, Frame] | None = None,
    redact: Redaction | None = None,
) -> Path:
    """Write logs, versions, settings and the doctor's findings into one zip, and return its path. Takes a second or two.

    Every text passes through `redact` once more: the logs may be older than the secrets of this run.

    Args:
        target: the zip; an existing file is not replaced.
        folder: of the logs; None = `log_dir()`.
        settings: the operator's settings file.
        frames: camera name -> last frame; None = no images.
        redact: masks secrets; None = those of the environment.
    Raises:
        ConfigError: it cannot be written, or already exists.
    """
    redact = redact or Redaction()
    try:
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as out:
            for file in sorted((folder or log_dir()).glob("*.log*")):
                _add(out, file, file.name, redact)
            if settings is not None and settings.is_file():
                _add(out, settings, "settings.json", redact)
            out.writestr("machine.json", redact(json.dumps(machine(), indent=1)))
            out.writestr("doctor.json", redact(json.dumps(_findings(), indent=1)))
            for name, frame in (frames or {}).items():
                out.writestr(f"{name}.png", png(frame.image))
    except FileExistsError as error:
        raise ConfigError(f"{target} already exists and is not replaced. Choose another name.") from error
    except OSError as error:
        target.unlink(missing_ok=True)
        raise ConfigError(f"{target} cannot be written ({error.strerror}). Choose a folder with free space.") from error
    return target


def _add(out: zipfile.ZipFile, file: Path, name: str, redact: Redaction) -> None:
    """Add a text file line by line, so that other threads run in between."""
    with file.open(encoding="utf-8", errors="replace") as lines, out.open(name, "w") as member:
        for line in lines:
            member.write(redact(line).encode())


def machine() -> dict[str, object]:
    """Return versions and size of this machine, without personal data."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "packages": versions,
    }


def _findings() -> list[dict[str, str]]:
    from frs_core.doctor import check_devices, check_disk, check_gpu, check_packages, check_python, check_weights
    from frs_core.paths import data

    found = [
        *check_python(),
        *check_packages(),
        *check_gpu(),
        *check_weights(None),
        *check_disk(data()),
        *check_devices(),
    ]
    return [{"level": f.level.value, "subject": f.subject, "text": f.text} for f in found]


def _fresh(path: Path) -> Any:
    """Open a file for appending; a file that is too large is restarted."""
    is_large = path.exists() and path.stat().st_size > FAULTS_BYTES
    return path.open("w" if is_large else "a", encoding="utf-8")
