"""What a list of episodes shows, read from one small file per episode.

Problem: a list of a thousand episodes must appear at once and can never disagree with the disk. Idea: there is no index
file; each episode's `zarr.json` holds the few facts a list needs, and listing reads just that, remembering files that
did not change.

Example: 1000 episodes are listed from 1000 files of about 2 kB; the second time only their dates are looked at.

Any thread; one `Index` is used by one thread at a time.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frs_core.episodes.integrity import NOT_READ, corrupt, read_group_metadata
from frs_core.episodes.layout import ROOT_METADATA, SCHEMA_VERSION, SUFFIX, names_in
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.runtime.foreign import MALFORMED

SOURCE = "source_sha256"
"""Option of an imported episode's world: SHA-256 of what it was made from."""
_EARLIEST = -62135596800.0
"""Unix time of the year 1: a clock without battery may say 1966."""
_LATEST = 253402300800.0
"""Unix time of the year 10000, which no calendar writes."""


@dataclass(frozen=True, slots=True)
class EpisodeInfo:
    """One row of the list."""

    name: str
    path: Path
    outcome: Outcome | None = None
    """None when the episode is damaged."""
    task: str | None = None
    instruction: str = ""
    note: str = ""
    operator: str = ""
    world: str = ""
    seed: int = 0
    policy: str = ""
    fingerprint: str = ""
    n_steps: int = 0
    n_chunks: int = 0
    """Chunks offered and executed, those taken back included."""
    n_undone: int = 0
    n_steered: int = 0
    """Standing chunks whose pick was a directed candidate."""
    n_corrections: int = 0
    """Standing chunks in which a person overrode another driver."""
    n_calls: int = 0
    """Standing chunks at whose beginning the driver asked for help."""
    noise_policies: tuple[str, ...] = ()
    """Paths or names of the noise policies in the fans of its standing chunks, in order; in older episodes the one at the start."""
    trimmed: tuple[int, int] = (0, 0)
    """Chunks of the main line that are left out at its start and at its end; counted as taken back."""
    duration_s: float = 0.0
    started_at: float = 0.0
    """Unix time, seconds."""
    drivers: Mapping[str, int] = field(default_factory=dict)
    """Standing chunks by who picked them; "policy" where nobody did."""
    says_who_picked: bool = True
    """False: from before picks were counted, so that `drivers` counts who drove until the episode is inspected."""
    success_seen: bool | None = None
    """The world reported success on the main line; None where it does not know, or from before this was kept."""
    was_recovered: bool = False
    """Saved from the journal of a crash."""
    source: str = ""
    """SHA-256 of what it was imported from; empty where it was recorded here."""
    is_binned: bool = False
    problem: str = ""
    """Why it cannot be read; empty when it can."""

    @property
    def ailment(self) -> str:
        """Its problem in a word; empty where it has none."""
        return "" if not self.problem else "unreadable" if NOT_READ in self.problem else "damaged"

    @property
    def is_contradicted(self) -> bool:
        """The label says otherwise than the world did; a person was asked and meant it."""
        return self.success_seen is not None and self.outcome in (
            Outcome.FAILURE if self.success_seen else Outcome.SUCCESS,
        )

    @property
    def steered_share(self) -> float:
        """Share of standing chunks that were steered, 0..1."""
        return self.n_steered / max(1, self.n_chunks - self.n_undone)


def read_attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of an episode, checked.

    Raises:
        EpisodeCorrupt: damaged, incomplete, or of a later schema.
    """
    attributes = read_group_metadata(folder)
    version = attributes.get("schema_version")
    if version != SCHEMA_VERSION or attributes.get("complete") is not True:
        raise corrupt(
            folder,
            f"file '{ROOT_METADATA}' has schema_version {version!r} and complete {attributes.get('complete')!r}, "
            f"this version reads {SCHEMA_VERSION} and true",
        )
    return attributes


def read_info(folder: Path, *, is_binned: bool = False) -> EpisodeInfo:
    """Return an episode's row; a damaged one has its `problem` instead of raising."""
    name = folder.name.removesuffix(SUFFIX)
    try:
        a = read_attributes(folder)
        drove = {who: _whole(a["drivers"], who) for who in a["drivers"]}
        picks = a.get("picked_by", drove)
        return EpisodeInfo(
            name=name,
            path=folder,
            outcome=Outcome(a["outcome"]),
            task=None if a["task"] is None else _text(a, "task"),
            instruction=_text(a, "instruction"),
            note=_text(a, "note"),
            operator=_text(a, "operator"),
            world=_text(a["world"], "name"),
            seed=_whole(a, "seed", low=None),
            policy=_text(a["policy"], "name"),
            fingerprint=_text(a["policy"], "fingerprint"),
            n_steps=_whole(a, "n_steps"),
            n_chunks=_whole(a, "n_chunks"),
            n_undone=_whole(a, "n_undone"),
            n_steered=_whole(a, "n_steered"),
            n_corrections=_whole(a, "n_corrections") if "n_corrections" in a else 0,
            n_calls=_whole(a, "n_calls") if "n_calls" in a else 0,
            noise_policies=_noise_policies(a),
            trimmed=trim_of(a),
            duration_s=_number(a, "duration_s"),
            started_at=_number(a, "started_at", low=_EARLIEST),
            drivers={who: _whole(picks, who) for who in picks},
            says_who_picked="picked_by" in a,
            success_seen=seen if isinstance(seen := a.get("success_seen"), bool) else None,
            was_recovered=a["was_recovered"] is True,
            source=_text(options, SOURCE) if SOURCE in (options := a["world"].get("options", {})) else "",
            is_binned=is_binned,
        )
    except EpisodeCorrupt as error:
        return EpisodeInfo(name=name, path=folder, is_binned=is_binned, problem=str(error))
    except MALFORMED as error:
        problem = str(corrupt(folder, f"file '{ROOT_METADATA}' lacks or garbles {error}"))
        return EpisodeInfo(name=name, path=folder, is_binned=is_binned, problem=problem)


def trim_of(facts: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many chunks of the main line are left out at either end. Raises TypeError for what is no such pair."""
    trim = facts.get("trim", [0, 0])
    if not isinstance(trim, list) or len(trim) != 2:
        raise TypeError(f"'trim': got {str(trim)[:40]}, expected two whole numbers")
    ends = {"first": trim[0], "last": trim[1]}
    return _whole(ends, "first"), _whole(ends, "last")


def _noise_policies(facts: Mapping[str, Any]) -> tuple[str, ...]:
    found = facts.get("noise_policies", [facts["policy"].get("noise_policy") or ""])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise TypeError(f"'noise_policies': got {str(found)[:40]}, expected a list of texts")
    return tuple(name for name in found if name)


def _text(facts: Mapping[str, Any], name: str) -> str:
    if not isinstance(facts[name], str):
        raise TypeError(f"'{name}': got {type(facts[name]).__name__}, expected a text")
    return facts[name]


def _whole(facts: Mapping[str, Any], name: str, *, low: int | None = 0) -> int:
    value = facts[name]
    if not isinstance(value, int) or isinstance(value, bool) or (low is not None and value < low):
        raise TypeError(f"'{name}': got {str(value)[:40]}, expected a whole number")
    return value


def _number(facts: Mapping[str, Any], name: str, *, low: float = 0.0) -> float:
    value = facts[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"'{name}': got {str(value)[:40]}, expected a number")
    if not low <= value < _LATEST:
        raise ValueError(f"'{name}': got {value:g}, expected {low:g} to {_LATEST:g}")
    return float(value)


class Index:
    """The rows of one folder of episodes; unchanged files are not read again."""

    def __init__(self, folder: Path, *, is_binned: bool = False) -> None:
        """Look at a folder, which need not exist."""
        self._folder, self._is_binned = folder, is_binned
        self._known: dict[str, tuple[tuple[int, int, int], EpisodeInfo]] = {}

    def list(self) -> list[EpisodeInfo]:
        """Return all rows, oldest first."""
        try:
            names = [f"{name}{SUFFIX}" for name in names_in(self._folder)]
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise EpisodeError(
                f"'{self._folder}' cannot be listed: {why}. Check the recording folder's name and permissions."
            ) from error
        known = {name: self._row(name) for name in names}
        self._known = known
        return [info for _, info in known.values()]

    def _row(self, name: str) -> tuple[tuple[int, int, int], EpisodeInfo]:
        folder = self._folder / name
        try:
            stat = os.lstat(folder / ROOT_METADATA)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            stamp = (0, 0, 0)
        # What could not be read may be readable now, which no time of the file tells.
        if (row := self._known.get(name)) and row[0] == stamp and stamp[0] and not row[1].problem:
            return row
        return stamp, read_info(folder, is_binned=self._is_binned)
