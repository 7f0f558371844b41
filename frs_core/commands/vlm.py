"""`frs vlm judge`: is a vision-language model good enough to steer? Measured on recorded fans, before a robot moves.

Example: `frs vlm judge --vlm http://127.0.0.1:8000/v1 --vlm-model NAME --task mug_on_plate`.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from frs_core.choosers.address import NO_MODEL, ModelAddress
from frs_core.choosers.answers import FOLDER, Spent
from frs_core.choosers.base import Choice
from frs_core.choosers.vlm import VlmChooser, unwatched
from frs_core.commands.printing import console, mark
from frs_core.counts import counted
from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, EpisodeError
from frs_core.evaluation.asked import asked
from frs_core.evaluation.picks import AHEAD, STILL_M, Score, Share, score_picks, spread_evenly, whole_fans
from frs_core.evaluation.wilson import format_rate
from frs_core.events import Outcome
from frs_core.runtime.bounds import Count, CountOrNone
from frs_core.runtime.files import write_whole
from frs_core.runtime.folders import recording_root
from frs_core.steering.candidates import Fan


def judge(
    *,
    model: Annotated[ModelAddress, tyro.conf.arg(name="")] = NO_MODEL,
    task: str | None = None,
    episodes: tuple[str, ...] = (),
    chunks: CountOrNone = 100,
    ahead: Count = AHEAD,
    data: Path | None = None,
    out: Path | None = None,
) -> int:
    """Compare a vision-language model's picks with those of recorded episodes: with the operator's, and with where the tool went.

    It is asked about chunks that a person or the script picked from a complete fan, as it would be while steering. Answers are
    stored in <data>/judgements, so that the same command continues where it stopped and asks nothing twice. Nothing moves.

    Args:
        model: The model to ask.
        task: Only successes of this task; default all successes.
        episodes: These episodes instead (names, or parts that match only one).
        chunks: Number of chunks to ask about, spread evenly over the episodes; 0 = all.
        ahead: Where the operator marked no goal, the goal is the tool's position AHEAD chunks later.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        out: Also write the figures to this file, as JSON.
    """
    root, page = recording_root(data), console()
    chooser = unwatched(model, cache=root / FOLDER)
    store = EpisodeStore(root)
    places, damaged = _places(store, _names(store, task, episodes))
    for problem in damaged:
        page.print(mark(problem, "red"), soft_wrap=True)
    if not places:
        raise EpisodeError(
            f"No chunk of these episodes in '{store.root}' was picked by a person or the script from a whole fan. Steer some in the "
            f"cockpit, or with `frs collect`."
        )
    places = spread_evenly(places, chunks)
    score = Score()
    try:
        for score_so_far in _told(
            score_picks(places, store.open, lambda fan: _pick(chooser, fan), ahead=ahead), len(places), page
        ):
            score = score_so_far
    except KeyboardInterrupt:
        page.print(
            f"Stopped after {counted(score.agreed.n, 'chunk')}. Run the same command again to continue; answers are in '{root / FOLDER}'.",
            soft_wrap=True,
        )
        return 130
    _tell(score, page, ahead)
    if out is not None:
        _write(score, out, ahead)
        page.print(f"Figures in '{out}'", soft_wrap=True)
    return int(bool(damaged))


def _names(store: EpisodeStore, task: str | None, episodes: tuple[str, ...]) -> list[str]:
    """Return the names of the episodes to ask about, oldest first. Raises EpisodeError where there is none."""
    if episodes:
        return [store.find(name) for name in episodes]
    found = [i.name for i in store.list() if i.outcome is Outcome.SUCCESS and task in (None, i.task)]
    if not found:
        of = f" of task '{task}'" if task else ""
        raise EpisodeError(
            f"There are no successes{of} in '{store.root}'. Record some with `frs` or `frs collect`, or correct --data."
        )
    return found


def _places(store: EpisodeStore, names: list[str]) -> tuple[list[tuple[str, int]], list[str]]:
    """Return (episode, chunk) of all chunks with a whole fan, and sentences about episodes that cannot be read."""
    places: list[tuple[str, int]] = []
    damaged: list[str] = []
    for name in names:
        try:
            places += [(name, chunk) for chunk in whole_fans(store.open(name))]
        except EpisodeError as error:
            damaged.append(f"{name} is left out: {error}")
    return places, damaged


def _pick(chooser: VlmChooser, fan: Fan) -> tuple[Choice | None, Spent]:
    chooser.begin(fan.observation)
    choice = chooser.choose_if_it_can(fan)
    return choice, chooser.answers.spent


def _told(scores: Iterator[Score], total: int, page: Console) -> Iterator[Score]:
    """Yield the same, telling every tenth and every minute how far it is."""
    began, said_s, tenth = time.monotonic(), time.monotonic(), -1
    for done, score in enumerate(scores, start=1):
        now = time.monotonic()
        if 10 * done // total != tenth or now - said_s >= 60.0 or done == total:
            said_s, tenth = now, 10 * done // total
            left = (now - began) / done * (total - done) / 60
            page.print(f"{done} of {counted(total, 'chunk')}, {score.agreed.hits} agree, {left:.1f} min left")
        yield score


def _tell(score: Score, page: Console, ahead: int) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("picks", "share (95 % interval)", "by chance"):
        table.add_column(header)
    table.add_row("the operator's direction", _rate(score.agreed), f"{100 * score.chance:.0f} %")
    for name, share in score.in_order:
        table.add_row(f"  where that was {name}", _rate(share), "")
    if score.towards.n:
        table.add_row("towards the goal", _rate(score.towards), f"{100 * score.towards_chance:.0f} %")
        table.add_row("  the operator's picks", _rate(score.operator_towards), "")
        table.add_row("  the policy alone", _rate(score.unsteered_towards), "")
    page.print(table)
    others = score.towards.n - score.marked
    marked = f"the operator's mark in {counted(score.marked, 'chunk')}, and " if score.marked else ""
    page.print(
        f"The goal is {marked}where the tool was {counted(ahead, 'chunk')} later in {counted(others, 'chunk')}; goals nearer than "
        f"{100 * STILL_M:.0f} cm and last chunks are left out. Chunks of an episode are alike, so the true intervals are wider.",
        soft_wrap=True,
    )
    if score.unreadable:
        page.print(mark(f"{counted(score.unreadable, 'answer')} named no candidate and count as wrong.", "yellow"))
    if (took := asked(score.spent)) is not None:
        page.print(f"{took.sentence}.", soft_wrap=True)


def _rate(share: Share) -> str:
    return format_rate(share.hits, share.n)


def _write(score: Score, out: Path, ahead: int) -> None:
    try:
        write_whole(out, (json.dumps({"ahead": ahead, **score.to_json()}, indent=2) + "\n").encode())
    except OSError as error:
        raise ConfigError(f"'{out}' cannot be written: {error.strerror or error}. Choose another --out.") from error
