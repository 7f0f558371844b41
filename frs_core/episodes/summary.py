"""What was recorded, by task: successes, time per episode, corrections, chunks taken back.

Example: ten episodes of a task, eight of them successes, 21 s each, one correction: the window's summary and `frs episodes stats` say so
in the same words.

Any thread.
"""

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from frs_core.episodes.index import EpisodeInfo
from frs_core.events import Driver, Outcome

PAUSE_S = 600.0
"""A longer time between two starts is a pause and does not count. Guess."""
HEADERS = (
    "task",
    "policy",
    "successes",
    "failures",
    "s / episode",
    "s between starts",
    "chunks",
    "steered",
    "corrections",
    "taken back",
)
"""Columns of `cells`."""


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """The episodes of one task with one policy."""

    task: str
    fingerprint: str
    successes: int
    failures: int
    seconds: float
    """Robot time of an episode, mean; NaN without episodes."""
    between_s: float
    """From one start to the next, median without pauses; NaN with fewer than two episodes."""
    chunks: int
    """On the main lines."""
    steered_share: float
    corrections: int
    undone: int

    @property
    def cells(self) -> tuple[str, ...]:
        """One text per column of `HEADERS`."""
        return (
            self.task,
            self.fingerprint[:12],
            str(self.successes),
            str(self.failures),
            _number(self.seconds),
            _number(self.between_s),
            str(self.chunks),
            f"{self.steered_share:.0%}",
            str(self.corrections),
            str(self.undone),
        )


VERSION_HEADERS = (
    "noise policy",
    "successes",
    "failures",
    "chunks",
    "calls",
    "calls / episode",
    "corrections",
    "corrected",
)
"""Columns of `VersionSummary.cells`."""


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """The episodes that one version of a noise policy drove, with or without help."""

    noise_policies: tuple[str, ...]
    """Its path, or its name where it has none; several where one took the other's place in mid-episode, empty where that was not recorded."""
    successes: int
    failures: int
    chunks: int
    """On the main lines."""
    calls: int
    """Boundaries at which it asked for help."""
    corrections: int
    """Chunks that were picked over it."""

    @property
    def cells(self) -> tuple[str, ...]:
        """One text per column of `VERSION_HEADERS`."""
        episodes = self.successes + self.failures
        return (
            " → ".join("/".join(Path(name).parts[-2:]) for name in self.noise_policies) or "not recorded",
            str(self.successes),
            str(self.failures),
            str(self.chunks),
            str(self.calls),
            f"{self.calls / episodes:.1f}",
            str(self.corrections),
            f"{self.corrections / max(1, self.chunks):.0%}",
        )


def summarise_versions(infos: Iterable[EpisodeInfo]) -> list[VersionSummary]:
    """Return one row per noise policy, in the order of their first episodes; only episodes in which it picked or asked count.

    Episodes that two of them drove have a row of their own.
    """
    groups: dict[tuple[str, ...], list[EpisodeInfo]] = {}
    for info in sorted(infos, key=lambda i: i.started_at):
        is_driven = info.n_calls or Driver.LEARNED.value in info.drivers
        if is_driven and info.outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            groups.setdefault(info.noise_policies, []).append(info)
    return [
        VersionSummary(
            names,
            successes=sum(i.outcome is Outcome.SUCCESS for i in rows),
            failures=sum(i.outcome is Outcome.FAILURE for i in rows),
            chunks=sum(i.n_chunks - i.n_undone for i in rows),
            calls=sum(i.n_calls for i in rows),
            corrections=sum(i.n_corrections for i in rows),
        )
        for names, rows in groups.items()
    ]


def summarise(infos: Iterable[EpisodeInfo], *, since: float = 0.0) -> list[TaskSummary]:
    """Return one row per task and policy, by name; damaged and discarded episodes are left out.

    Args:
        infos: rows of the recorded episodes.
        since: only episodes that started then or later, Unix time.
    """
    groups: dict[tuple[str, str], list[EpisodeInfo]] = {}
    for info in infos:
        if info.outcome in (Outcome.SUCCESS, Outcome.FAILURE) and info.started_at >= since:
            groups.setdefault((info.task or info.instruction or "–", info.fingerprint), []).append(info)
    return [_summary(*key, sorted(rows, key=lambda i: i.started_at)) for key, rows in sorted(groups.items())]


def _summary(task: str, fingerprint: str, rows: Sequence[EpisodeInfo]) -> TaskSummary:
    starts = [i.started_at for i in rows]
    gaps = [b - a for a, b in itertools.pairwise(starts) if 0 < b - a <= PAUSE_S]
    chunks = sum(i.n_chunks - i.n_undone for i in rows)
    return TaskSummary(
        task,
        fingerprint,
        successes=sum(i.outcome is Outcome.SUCCESS for i in rows),
        failures=sum(i.outcome is Outcome.FAILURE for i in rows),
        seconds=statistics.fmean(i.duration_s for i in rows),
        between_s=statistics.median(gaps) if gaps else float("nan"),
        chunks=chunks,
        steered_share=sum(i.n_steered for i in rows) / max(1, chunks),
        corrections=sum(i.n_corrections for i in rows),
        undone=sum(i.n_undone - sum(i.trimmed) for i in rows),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == value else "–"
