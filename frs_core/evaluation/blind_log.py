"""The log of a blinded comparison: one JSON line an event, appended and synced; and the recordings that it seals.

A recording tells who drove, so those of a comparison that is still blinded are left out wherever episodes are shown.
An incomplete last line, as a crash leaves it, is not read and is dropped when the log is continued. Any thread.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError
from frs_core.runtime.foreign import MALFORMED, parse_json, read_bytes

LOG = "attempts.jsonl"
FOLDER = "comparisons"
"""Folder of comparisons below a recording root."""
LARGEST = 16 << 20
"""Largest log, bytes; an attempt takes about 400."""


def append_event(folder: Path, event: Mapping[str, Any]) -> None:
    """Append one event and sync it. Raises ConfigError where the disk refuses."""
    path = folder / LOG
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(json.dumps(event).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # What was written of the line would make the next one unreadable.
        cut_log(folder, size)
        raise ConfigError(
            f"'{path}' could not be written: {error.strerror or error}. Free some space and continue the comparison."
        ) from error


def cut_log(folder: Path, size: int) -> None:
    """Drop what is behind the complete lines."""
    path = folder / LOG
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)


def read_log(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the events of a log, and the number of bytes in complete lines. Raises ConfigError for a damaged line."""
    path = folder / LOG
    if not path.exists():
        return [], 0
    try:
        data = read_bytes(path, limit=LARGEST, may_link=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error}. Check the disk.") from error
    whole = data[: data.rfind(b"\n") + 1]
    events: list[dict[str, Any]] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            event = parse_json(line)
            if not isinstance(event, dict):
                raise TypeError(f"got {type(event).__name__}, expected an object")
        except MALFORMED as error:
            raise ConfigError(
                f"'{path}' is damaged in line {number}: {error}. Remove that line and continue."
            ) from error
        events.append(event)
    return events, len(whole)


def sealed_episodes(root: Path) -> frozenset[str]:
    """Return the recordings that would tell who drove in a comparison that is still blinded.

    Where a log is damaged, those that it names as far as it can be read.
    """
    names: set[str] = set()
    for log in (root / FOLDER).glob(f"*/{LOG}") if (root / FOLDER).is_dir() else []:
        try:
            events, _ = read_log(log.parent)
        except ConfigError:
            events = _sound_lines(log)
        if not any(event.get("event") == "unblinded" for event in events):
            names |= {str(event["episode"]) for event in events if event.get("episode")}
    return frozenset(names)


def _sound_lines(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a damaged log that can be read."""
    events: list[dict[str, Any]] = []
    try:
        lines = read_bytes(log, limit=LARGEST, may_link=True).splitlines()
    except (OSError, ValueError):
        return events
    for line in lines:
        try:
            event = parse_json(line)
        except MALFORMED:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events
