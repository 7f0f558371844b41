"""`frs episodes stats`: summary of the recordings by task, and how much of them a learner can use.

Example: `frs episodes stats --replay` prints how many recorded chunks a critic can learn from, and what older episodes lack.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from frs_core.commands.printing import console, mark
from frs_core.episodes import Episode, EpisodeStore
from frs_core.episodes.summary import HEADERS, VERSION_HEADERS, summarise, summarise_versions
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.runtime.bounds import Weight
from frs_core.runtime.folders import recording_root

_FAN = 3
"""Offers with a noise that make a fan; fewer are what a script asked for, and the policy's own."""


@dataclass(slots=True)
class _Sum:
    """What a learner of values can use of the episodes of one task and policy."""

    successes: int = 0
    failures: int = 0
    chunks: int = 0
    noises: int = 0
    """Chunks whose noise is known."""
    fans: int = 0
    """Chunks that were picked from a whole fan."""
    last_states: int = 0
    """Failures whose last state was recorded."""

    def add(self, episode: Episode) -> None:
        """Count one more. Raises EpisodeCorrupt."""
        self.successes += episode.outcome is Outcome.SUCCESS
        self.failures += episode.outcome is Outcome.FAILURE
        self.chunks += len(episode.main_line)
        for chunk in episode.main_line:
            offers = episode.offers(chunk)
            known = [bool(np.isfinite(noise).all()) for noise in offers.noises]
            self.noises += known[offers.picked]
            self.fans += sum(known) >= _FAN
        self.last_states += episode.outcome is Outcome.FAILURE and episode.last() is not None


def stats(*, data: Path | None = None, task: str | None = None, hours: Weight = 0.0, replay: bool = False) -> int:
    """Summarise recorded episodes by task and policy: successes, time, corrections, chunks taken back; help by version of the noise policy.

    Args:
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        task: Only this task.
        hours: Only episodes of the last HOURS hours; 0 = all.
        replay: Also count what a value learner can use: chunks with noises, complete fans, last states of failures.
    """
    root, page = recording_root(data), console(is_wide=True)
    store, sums, damaged = EpisodeStore(root), dict[tuple[str, str], _Sum](), list[str]()
    since = time.time() - 3600 * hours if hours else 0.0
    infos = [i for i in store.list(inspect=True) if i.problem or i.started_at >= since]
    for info in infos:
        if task not in (None, info.task) or info.problem:
            damaged += [f"{info.name}: {info.problem}"] if info.problem else []
            continue
        if not replay:
            continue
        try:
            episode = store.open(info.name)
            key = (str(episode.meta.task or "–"), episode.meta.policy_fingerprint)
            sums.setdefault(key, _Sum()).add(episode)
        except EpisodeError as error:
            damaged.append(f"{info.name}: {error}")
    found = summarise(i for i in infos if task in (None, i.task))
    if not found and not damaged:
        what = "episodes" if task is None else f"episodes of task '{task}'"
        page.print(f"No {what} in '{root}'. Record some with `frs`, or steer with `frs collect TASK`.")
        return 0
    page.print(_table(HEADERS, [row.cells for row in found]))
    if versions := summarise_versions(i for i in infos if task in (None, i.task)):
        page.print()
        page.print("Driven by a noise policy, and how often it asked for help:")
        page.print(_table(VERSION_HEADERS, [row.cells for row in versions]))
    if replay:
        headers = ("task", "policy", "with noise", "from a whole fan", "last states of failures")
        rows = [
            (name, key[:12], str(s.noises), str(s.fans), f"{s.last_states} of {s.failures}")
            for (name, key), s in sorted(sums.items())
        ]
        page.print(_table(headers, rows))
        for sentence in _lacks(list(sums.values())):
            page.print(mark(sentence, "yellow"))
    for problem in damaged:
        page.print(mark(problem, "red"), soft_wrap=True)
    return int(bool(damaged))


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for i, header in enumerate(headers):
        table.add_column(header, no_wrap=i < 2, justify="left" if i < 2 else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _lacks(sums: Sequence[_Sum]) -> list[str]:
    """Return in sentences what cannot be learned from these episodes."""
    out: list[str] = []
    if any(s.noises < s.chunks for s in sums):
        out.append("Chunks without a noise (demonstrations, or plans that stop early) teach no value.")
    if any(s.fans < s.noises for s in sums):
        out.append(
            "Where no whole fan was recorded, only draws of the imitating policy stand for what could have been picked."
        )
    if any(s.last_states < s.failures for s in sums):
        out.append("Failures without a last state (older recordings) have value 0 where they ended.")
    if any(s.successes == 0 for s in sums):
        out.append("A task without a success cannot be practised yet: record at least one.")
    if all(s.failures == 0 for s in sums):
        out.append("There are no failures; they teach too, so keep them.")
    return out
