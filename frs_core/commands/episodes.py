"""`frs episodes …`: look after recorded episodes from a terminal.

Problem: episodes must be found, judged and mended without a window, on a machine without a screen. Idea: each function here
is one subcommand; its arguments are the options, its docstring the help. Names may be shortened to any part that fits one
episode only; 'last' is the newest.

Example: `frs episodes list`, `frs episodes check last`, `frs episodes export-mp4 01JBVX --out film.mp4`.
"""

import math
import time
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frs_core import paths
from frs_core.episodes import Episode, EpisodeInfo, EpisodeStore, Unfinished
from frs_core.episodes import bin_unfinished as _bin_unfinished
from frs_core.episodes import recover as _recover
from frs_core.episodes import unfinished as _unfinished
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome

Names = Annotated[tuple[str, ...], tyro.conf.Positional]
Name = Annotated[str, tyro.conf.Positional]

_MARKS = {
    Outcome.SUCCESS: "[green]✓ success[/]",
    Outcome.FAILURE: "[yellow]✗ failure[/]",
    Outcome.DISCARDED: "[dim]– discarded[/]",
}


def list_episodes(*, data: Path | None = None, binned: bool = False, task: str | None = None) -> int:
    """List recorded episodes, oldest first.

    Args:
        data: Recording root; default the product's own data folder.
        binned: List the bin instead.
        task: Only this task.
    """
    store, console = _store(data), _console()
    rows = [i for i in store.list(binned=binned) if task is None or i.task == task]
    if not rows:
        console.print(f"No episodes in '{store.root}'{' (bin)' if binned else ''}. Record some with `frs`.")
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("episode", "started (UTC)", "task", "outcome"):
        table.add_column(header, no_wrap=True)
    for header in ("chunks", "steps", "seconds", "steered"):
        table.add_column(header, justify="right")
    table.add_column("driven by")
    table.add_column("note")
    for info in rows:
        table.add_row(*_row(info))
    console.print(table)
    good = sum(i.outcome is Outcome.SUCCESS for i in rows)
    console.print(f"[dim]{len(rows)} episodes, {good} successes, {sum(bool(i.problem) for i in rows)} damaged[/]")
    for info in rows:
        if info.problem:
            console.print(f"[red]{escape(info.problem)}[/]", soft_wrap=True)
    return 1 if any(i.problem for i in rows) else 0


def show(name: Name, *, data: Path | None = None) -> int:
    """Show one episode chunk by chunk: who picked what, and what it meant.

    Args:
        name: Episode, or a part of its name; 'last' is the newest.
        data: Recording root; default the product's own data folder.
    """
    store, console = _store(data), _console()
    episode = store.open(store.find(name))
    info, meta = episode.info, episode.meta
    console.print(f"[bold]{episode.name}[/]  {_MARKS[episode.outcome]}  {escape(info.note)}")
    console.print(f"task {meta.task} · “{escape(meta.instruction)}” · seed {meta.seed} · world {meta.world}")
    console.print(
        f"policy {meta.policy} ({meta.policy_fingerprint[:12]}) · {meta.action_space.kind.value} at {meta.control_hz:g} Hz · "
        f"cameras {', '.join(episode.cameras)}"
    )
    console.print(
        f"{info.n_chunks} chunks ({info.n_undone} undone) · {info.n_steps} steps · {info.duration_s:.1f} s · "
        f"steered {info.steered_share:.0%} · {episode.arrays.size_bytes / 1e6:.1f} MB"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("chunk", "after", "picked", "by", "rows", "authority", "bent mm", "noise %", "reason"):
        table.add_column(header, justify="left" if header in ("picked", "by", "reason") else "right")
    for i in range(episode.n_chunks):
        table.add_row(*_chunk_row(episode, i), style=None if i in episode.main_line else "dim strike")
    console.print(table)
    return 0


def check(
    names: Names = (), *, data: Path | None = None, policy: str | None = None, deep: bool = True, images: bool = False
) -> int:
    """Check that stored noises regenerate stored chunks, and that no file is damaged.

    Args:
        names: Episodes or parts of their names; none = all.
        data: Recording root; default the product's own data folder.
        policy: Policy to load; default the one each episode names.
        deep: Also read every byte of every file.
        images: Encode the stored pictures even where the policy can go on from stored features.
    """
    from frs_core.episodes.check import TOLERANCE
    from frs_core.episodes.check import check as check_episode
    from frs_core.policies import FlowPolicy, load_policy

    store, console = _store(data), _console()
    chosen = [store.find(n) for n in names] or [i.name for i in store.list()]
    loaded: dict[str, FlowPolicy] = {}
    worst, bad = 0.0, 0
    for name in chosen:
        try:
            episode = store.open(name)
            if deep:
                episode.verify()
            wanted = policy or episode.meta.policy
            loaded[wanted] = loaded.get(wanted) or load_policy(wanted)
            report = check_episode(episode, loaded[wanted], from_features=False if images else None)
        except EpisodeError as error:
            bad += 1
            console.print(f"[red]✗[/] {name}  {escape(str(error))}", soft_wrap=True)
            continue
        bad += not report.is_good
        worst = max(worst, 0.0 if math.isnan(report.worst) else report.worst)
        how = "features" if report.uses_features else "pictures"
        skipped = len(report.chunks) - report.n_checked
        console.print(
            f"{'[green]✓[/]' if report.is_good else '[red]✗[/]'} {name}  worst error {report.worst:.2e} over "
            f"{report.n_checked} chunks, from {how}{f', {skipped} without a noise' if skipped else ''}"
        )
    console.print(f"{len(chosen) - bad} of {len(chosen)} episodes good, worst error {worst:.2e} (limit {TOLERANCE:g})")
    for policy_object in loaded.values():
        policy_object.close()
    return 1 if bad else 0


def export_mp4(
    name: Name, *, out: Path | None = None, data: Path | None = None, camera: tuple[str, ...] = (), plain: bool = False
) -> int:
    """Write an episode as a film, cameras side by side, the picked path drawn in.

    Args:
        name: Episode, or a part of its name; 'last' is the newest.
        out: The file; default <episode>.mp4 here.
        data: Recording root; default the product's own data folder.
        camera: Cameras, left to right; default all.
        plain: Draw nothing into the pictures.
    """
    from frs_core.episodes.export_mp4 import export_mp4 as write

    store = _store(data)
    episode = store.open(store.find(name))
    path = write(episode, out or Path(f"{episode.name}.mp4"), cameras=camera, is_annotated=not plain)
    _console().print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB, {len(episode.main_steps)} frames)")
    return 0


def export(names: Names, *, format: str, out: Path, data: Path | None = None) -> int:
    """Write episodes in another format.

    Args:
        names: Episodes or parts of their names.
        format: A known format, or "module:function" of your own that takes (Episode, Path).
        out: File or folder to write; with several episodes each gets <out>/<episode>, except that DROID and LeRobot data
            sets take them all.
        data: Recording root; default the product's own data folder.
    """
    from frs_core.episodes.formats import COLLECTIONS, exporter

    store, write = _store(data), exporter(format)
    for name in _found(store, names):
        target = out if len(names) == 1 or format in COLLECTIONS else out / name
        _console().print(f"Wrote {write(store.open(name), target)}")
    return 0


def import_(source: Annotated[Path, tyro.conf.Positional], *, format: str, data: Path | None = None) -> int:
    """Make an episode from another format.

    Args:
        source: File or folder to read.
        format: A known format, or "module:function" of your own that takes (Path, EpisodeStore).
        data: Recording root; default the product's own data folder.
    """
    from frs_core.episodes.formats import importer

    _console().print(f"Made episode {importer(format)(source, _store(data))}")
    return 0


def relabel(names: Names, *, outcome: Outcome | None = None, note: str | None = None, data: Path | None = None) -> int:
    """Change how episodes are said to have ended, or their note.

    Args:
        names: Episodes or parts of their names.
        outcome: The outcome to set.
        note: The note to set.
        data: Recording root; default the product's own data folder.
    """
    if outcome is None and note is None:
        raise EpisodeError("Nothing to change. Give --outcome success|failure|discarded, or --note TEXT.")
    store = _store(data)
    for name in _found(store, names):
        if outcome is not None:
            store.relabel(name, outcome)
        if note is not None:
            store.note(name, note)
        info = store.info(name)
        _console().print(f"{name}  {_MARKS[info.outcome] if info.outcome else ''}  {escape(info.note)}")
    return 0


def bin_episodes(names: Names, *, data: Path | None = None) -> int:
    """Move episodes to the bin; `restore` brings them back.

    Args:
        names: Episodes or parts of their names.
        data: Recording root; default the product's own data folder.
    """
    store = _store(data)
    for name in _found(store, names):
        store.bin(name)
        _console().print(f"Binned {name}")
    return 0


def restore(names: Names, *, data: Path | None = None) -> int:
    """Bring episodes back from the bin.

    Args:
        names: Episodes or parts of their names; 'last' is the newest.
        data: Recording root; default the product's own data folder.
    """
    store = _store(data)
    for name in _found(store, names, binned=True):
        store.restore(name)
        _console().print(f"Restored {name}")
    return 0


def recover(
    names: Names = (), *, data: Path | None = None, all: bool = False, bin: bool = False, outcome: Outcome | None = None
) -> int:
    """List episodes that a crash left unfinished, and save or bin them.

    Args:
        names: Unfinished episodes or parts of their names; none = only list.
        data: Recording root; default the product's own data folder.
        all: Take all of them.
        bin: Throw them into the bin instead of keeping them.
        outcome: Label for the kept ones; default what the operator had said before the crash, else failure.
    """
    store, console = _store(data), _console()
    found = _unfinished(store)
    chosen = found if all else [_one(found, n) for n in names]
    if not chosen:
        for u in found:
            note = f"  ({u.problem})" if u.problem else ""
            console.print(f"{u.name}  {u.task}  {u.n_chunks} chunks, {u.n_steps} steps{note}", soft_wrap=True)
        console.print(
            f"{len(found)} unfinished episodes in '{store.root}'."
            + (" Keep with `frs episodes recover NAME` or --all; add --bin to throw away." if found else "")
        )
        return 0
    bad = 0
    for u in chosen:
        try:
            if bin:
                _bin_unfinished(store, u.name)
                console.print(f"Binned {u.name}")
            else:
                console.print(f"Recovered {_recover(store, u.name, outcome=outcome)} ({u.n_chunks} chunks)")
        except EpisodeCorrupt as error:
            bad += 1
            console.print(f"[red]✗[/] {escape(str(error))}", soft_wrap=True)
    return 1 if bad else 0


COMMANDS = {
    "list": list_episodes,
    "show": show,
    "check": check,
    "export-mp4": export_mp4,
    "export": export,
    "import": import_,
    "relabel": relabel,
    "bin": bin_episodes,
    "restore": restore,
    "recover": recover,
}
"""Subcommand of `frs episodes` -> function; each returns the exit status."""


def _console() -> Console:
    """Return where to print; a pipe gets whole names instead of 80 columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=240)


def _store(data: Path | None) -> EpisodeStore:
    return EpisodeStore(data or paths.data())


def _found(store: EpisodeStore, names: tuple[str, ...], *, binned: bool = False) -> list[str]:
    """Return whole names, all of them before anything is changed."""
    if not names:
        raise EpisodeError("Which episodes? Give at least one name, a part of one, or 'last'.")
    return [store.find(n, binned=binned) for n in names]


def _one(found: list[Unfinished], text: str) -> Unfinished:
    fits = [u for u in found if text.upper() in u.name]
    if len(fits) != 1:
        raise EpisodeError(f"'{text}' fits {len(fits)} unfinished episodes. See `frs episodes recover`.")
    return fits[0]


def _row(info: EpisodeInfo) -> tuple[str, ...]:
    if info.outcome is None:
        return (info.name, "", "", "[red]! damaged[/]", "", "", "", "", "", "")
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(info.started_at))
    undone = f" (-{info.n_undone})" if info.n_undone else ""
    return (
        info.name,
        when,
        info.task or "–",
        _MARKS[info.outcome],
        f"{info.n_chunks}{undone}",
        str(info.n_steps),
        f"{info.duration_s:.1f}",
        f"{info.steered_share:.0%}",
        ", ".join(f"{who} {n}" for who, n in info.drivers.items()),
        escape(info.note),
    )


def _chunk_row(episode: Episode, index: int) -> tuple[str, ...]:
    offers, parent = episode.offers(index), int(episode.arrays["chunks/parent"][index])
    verdict = offers.verdicts[offers.picked]
    return (
        str(index),
        "start" if parent < 0 else str(parent),
        offers.labels[offers.picked],
        episode.text("chunks/driver", index),
        str(len(episode.steps_of(index))),
        f"{verdict.authority:.2f}",
        f"{verdict.bent_mm:.0f}",
        f"{verdict.noise_percentile:.0f}",
        escape(episode.text("chunks/reason", index)),
    )
