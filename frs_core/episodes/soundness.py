"""Which episodes are whole, and who picked in those that do not say so themselves.

Problem: a list is read from one small file per episode, so an episode that lost other files looks whole in it. Idea: an episode is
inspected once per process, first its files' sizes (some ms), then all their bytes (some 50 ms), and every list shows what was found.

Example: a truncated `chunks/noise/c/0/0/0` is found by its size: `inspected(info, whole=False).problem` names the file.

Any thread; the findings are shared by all of them.
"""

import dataclasses
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from frs_core.episodes.index import EpisodeInfo
from frs_core.episodes.integrity import read_file_table, verify_sizes
from frs_core.episodes.layout import ROOT_METADATA
from frs_core.episodes.reader import Episode
from frs_core.errors import EpisodeCorrupt
from frs_core.runtime.foreign import MALFORMED, said

_Stamp = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class _Finding:
    stamp: _Stamp
    is_whole: bool
    """All bytes were compared, not only sizes."""
    problem: str
    drivers: Mapping[str, int] | None
    """Who picked, where the list's own facts do not tell."""


_findings: dict[Path, _Finding] = {}
_lock = threading.Lock()


def known(info: EpisodeInfo) -> EpisodeInfo:
    """Return a row with what was found before."""
    finding = _found(info)
    return info if finding is None else _with(info, finding)


def needs_inspection(info: EpisodeInfo, *, whole: bool) -> bool:
    """Whether an episode was not inspected yet, or was found damaged and may have been mended since."""
    finding = _found(info)
    return finding is None or bool(finding.problem) or (whole and not finding.is_whole)


def inspected(info: EpisodeInfo, *, whole: bool) -> EpisodeInfo:
    """Return a row with its `problem` if a file is damaged.

    Args:
        info: as `read_info` returns it; one that cannot be read at all stays as it is.
        whole: compare all bytes, not only the sizes.
    """
    stamp = _stamp(info.path)
    if stamp is None or info.outcome is None:
        return info
    # What was found in the bytes is not disproved by sizes.
    former = _found(info)
    whole = whole or (former is not None and bool(former.problem))
    problem, drivers = "", None
    try:
        if whole or not info.says_who_picked:
            episode = Episode(info.path)
            if whole:
                episode.verify()
            if not info.says_who_picked:
                picks = [episode.picked_by(i) for i in episode.main_line]
                drivers = {who: picks.count(who) for who in dict.fromkeys(picks)}
        else:
            table, _ = read_file_table(info.path)
            verify_sizes(info.path, table, table)
    except EpisodeCorrupt as error:
        problem = str(error)
    except MALFORMED as error:
        problem = f"Episode '{info.name}' holds what no recording holds: {said(error)}."
    if problem and _stamp(info.path) != stamp:
        # It was moved or changed meanwhile; what is there now is another matter.
        return info
    finding = _Finding(stamp, whole, problem, drivers)
    with _lock:
        _findings[info.path] = finding
    return _with(info, finding)


def _found(info: EpisodeInfo) -> _Finding | None:
    with _lock:
        finding = _findings.get(info.path)
    return finding if finding is not None and finding.stamp == _stamp(info.path) else None


def _stamp(folder: Path) -> _Stamp | None:
    try:
        stat = os.lstat(folder / ROOT_METADATA)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _with(info: EpisodeInfo, finding: _Finding) -> EpisodeInfo:
    if finding.problem:
        return dataclasses.replace(info, problem=finding.problem, outcome=None)
    return info if finding.drivers is None else dataclasses.replace(info, drivers=finding.drivers)
