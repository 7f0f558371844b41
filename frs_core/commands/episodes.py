"""`frs episodes …`: manage recorded episodes from a terminal.

Problem: episodes must be found, checked and repaired on a machine without a display. Idea: each function here is one
subcommand; its arguments are the options, its docstring is the help text. A name may be shortened to any part that matches only
one episode; 'last' is the last recorded one.
A command on several episodes reports each failure, continues with the rest, and exits with status 1.

Example: `frs episodes list`, `frs episodes check last`, `frs episodes export-mp4 01JBVX --out film.mp4`.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from frs_core.commands.episode_check import Checker
from frs_core.commands.episode_import import import_
from frs_core.commands.episode_show import MARKS, show_episode
from frs_core.commands.printing import console, mark, said
from frs_core.counts import counted
from frs_core.episodes import EpisodeInfo, EpisodeStore, Unfinished
from frs_core.episodes import bin_unfinished as _bin_unfinished
from frs_core.episodes import recover as _recover
from frs_core.episodes import unfinished as _unfinished
from frs_core.episodes.layout import journal_dir, part_of_name
from frs_core.errors import ConfigError, EpisodeError, FrsError
from frs_core.evaluation.blind_log import sealed_episodes
from frs_core.events import Outcome
from frs_core.policies import KNOWN, NamedPolicy
from frs_core.runtime.bounds import CountOrNone
from frs_core.runtime.folders import recording_root
from frs_core.runtime.foreign import MALFORMED
from frs_core.runtime.registry import named, plain_options

Names = Annotated[tuple[str, ...], tyro.conf.Positional]
Name = Annotated[str, tyro.conf.Positional]


def list_episodes(*, data: Path | None = None, binned: bool = False, task: str | None = None) -> int:
    """List recorded episodes, oldest first.

    Args:
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        binned: List the bin instead.
        task: Only this task.
    """
    store, page = _store(data), _console()
    rows = [i for i in store.list(binned=binned, inspect=True) if task is None or i.task == task]
    if not rows:
        what = "episodes" if task is None else f"episodes of task '{task}'"
        page.print(f"No {what} in '{store.root}'{' (bin)' if binned else ''}. Record some with `frs`.", soft_wrap=True)
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("episode", "started (UTC)", "task", "outcome"):
        table.add_column(header, no_wrap=True)
    for header in ("chunks", "steps", "seconds", "steered"):
        table.add_column(header, justify="right")
    table.add_column("driven by")
    table.add_column("note")
    sealed = sealed_episodes(store.root)
    for info in rows:
        table.add_row(*_row(info, is_sealed=info.name in sealed))
    page.print(table)
    good, unread = sum(i.outcome is Outcome.SUCCESS for i in rows), sum(i.ailment == "unreadable" for i in rows)
    page.print(
        mark(
            f"{counted(len(rows), 'episode')}, {counted(good, 'success', 'successes')}, "
            f"{sum(bool(i.problem) for i in rows) - unread} damaged{f', {unread} unreadable' * bool(unread)}",
            "dim",
        )
    )
    for info in rows:
        if info.problem:
            page.print(mark(info.problem, "red"), soft_wrap=True)
    return 1 if any(i.problem for i in rows) else 0


def show(names: Names, *, data: Path | None = None) -> int:
    """Show episodes chunk by chunk: who picked what, and the verdicts.

    Args:
        names: Episodes or parts of their names; 'last' is the one recorded last.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    store, page, damaged = _store(data), _console(), 0

    def one(name: str) -> str:
        nonlocal damaged
        _require_unsealed(store, name)
        damaged += not show_episode(store.open(name), page)
        return ""

    return max(_each(_found(store, names), one), int(damaged > 0))


def _require_unsealed(store: EpisodeStore, name: str) -> None:
    """Raise EpisodeError for a recording that would tell who drove in a comparison that is still blinded."""
    if name in sealed_episodes(store.root):
        raise EpisodeError(
            f"'{name}' belongs to a comparison that is still blinded, and would tell which policy drove. Unblind that one first: "
            f"`frs compare show NAME --unblind`."
        )


def check(
    names: Names = (),
    *,
    data: Path | None = None,
    policy: Annotated[
        str | None, named("Policy to load instead of the one that each episode names", KNOWN, "function")
    ] = None,
    policy_options: dict[str, str] | None = None,
    deep: bool = True,
    images: bool = False,
) -> int:
    """Check that stored noises regenerate stored chunks, and that no file is damaged.

    Args:
        names: Episodes or parts of their names; none = all.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        policy: Policy to load; default the one each episode names.
        policy_options: Options of the policy: NAME VALUE …; default the recorded numbers and switches of each episode, and none with --policy.
        deep: Also read every byte of every file.
        images: Encode the stored images even if the policy can use stored features.
    """
    from frs_core.episodes.check import TOLERANCE

    given = None if policy_options is None else plain_options(policy_options)
    if policy is not None:
        # Also where no episode needs it, as none with stored noises is among them.
        NamedPolicy(policy, given or {}).require()
    store, page = _store(data), _console()
    chosen = _found(store, names) if names else [i.name for i in store.list()]
    checker = Checker(store, page, policy=policy, options=given, is_deep=deep, has_images=images)
    for name in chosen:
        checker.check(name)
    checker.close()
    worst = "nothing regenerated" if math.isnan(checker.worst) else f"worst error {checker.worst:.2e}"
    unchecked = f", {checker.unchecked} not checked" if checker.unchecked else ""
    page.print(f"{checker.good} of {counted(len(chosen), 'episode')} good{unchecked}, {worst} (limit {TOLERANCE:g})")
    return 0 if checker.good == len(chosen) else 1


def export_mp4(
    name: Name,
    *,
    out: Path | None = None,
    data: Path | None = None,
    camera: tuple[str, ...] = (),
    plain: bool = False,
    overwrite: bool = False,
) -> int:
    """Write an episode as a video, with the cameras side by side and the picked path drawn in.

    Args:
        name: Episode, or a part of its name; 'last' is the one recorded last.
        out: Output file; default <episode>.mp4 in the current folder.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        camera: Cameras, left to right; default all.
        plain: Do not draw into the images.
        overwrite: Replace a file that is there.
    """
    from frs_core.episodes.export_mp4 import export_mp4 as write

    store = _store(data)
    episode = store.open(store.find(name))
    path = write(
        episode, out or Path(f"{episode.name}.mp4"), cameras=camera, is_annotated=not plain, overwrite=overwrite
    )
    _console().print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB, {counted(len(episode.main_steps), 'frame')})")
    return 0


def export(names: Names, *, format: str, out: Path, data: Path | None = None, overwrite: bool = False) -> int:
    """Write episodes in another format.

    Args:
        names: Episodes or parts of their names.
        format: A known format, or "module:function" of your own that takes (Episode, Path).
        out: File or folder to write; with several episodes each gets <out>/<episode>, except that DROID and LeRobot data
            sets take them all.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        overwrite: Replace files that are there. Data sets hold each episode once.
    """
    from frs_core.episodes.formats import COLLECTIONS, exporter

    if overwrite and format in COLLECTIONS:
        raise ConfigError(
            f"--overwrite replaces files, and format '{format}' adds to a data set. Leave it out, or choose another folder."
        )
    store, write = _store(data), exporter(format)
    # Only where it was given: a function of somebody's own need not know it.
    given = {"overwrite": True} if overwrite else {}
    found = _found(store, names)

    def one(name: str) -> str:
        _require_unsealed(store, name)
        target = out if len(found) == 1 or format in COLLECTIONS else out / name
        return f"Wrote {write(store.open(name), target, **given)}"

    return _each(found, one)


def trim(names: Names, *, first: CountOrNone = 0, last: CountOrNone = 0, data: Path | None = None) -> int:
    """Exclude chunks at the ends of episodes from use; nothing is deleted, and `--first 0 --last 0` restores them.

    Args:
        names: Episodes or parts of their names.
        first: Chunks to exclude at the start of the main line.
        last: Chunks to exclude at its end.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    store = _store(data)

    def one(name: str) -> str:
        store.trim(name, first, last)
        info = store.info(name)
        return f"{name}  {counted(info.n_chunks - info.n_undone, 'chunk')}, {info.duration_s:.1f} s"

    return _each(_found(store, names), one)


def relabel(names: Names, *, outcome: Outcome | None = None, note: str | None = None, data: Path | None = None) -> int:
    """Change the outcome or the note of episodes.

    Args:
        names: Episodes or parts of their names.
        outcome: The outcome to set.
        note: The note to set.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    if outcome is None and note is None:
        raise EpisodeError("Nothing to change. Give --outcome success|failure|discarded, or --note TEXT.")
    store = _store(data)

    def one(name: str) -> Iterable[str | Text]:
        if outcome is not None:
            store.relabel(name, outcome)
        if note is not None:
            store.note(name, note)
        info = store.info(name)
        return name, mark(*MARKS[info.outcome]) if info.outcome else "", info.note

    return _each(_found(store, names), one)


def bin_episodes(names: Names, *, data: Path | None = None) -> int:
    """Move episodes to the bin; `restore` undoes this.

    Args:
        names: Episodes or parts of their names.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    store = _store(data)

    def one(name: str) -> str:
        store.bin(name)
        return f"Binned {name}"

    return _each(_found(store, names), one)


def restore(names: Names, *, data: Path | None = None) -> int:
    """Restore episodes from the bin.

    Args:
        names: Episodes or parts of their names; 'last' is the one recorded last.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    store = _store(data)

    def one(name: str) -> str:
        store.restore(name)
        return f"Restored {name}"

    return _each(_found(store, names, binned=True), one)


def recover(
    names: Names = (), *, data: Path | None = None, all: bool = False, bin: bool = False, outcome: Outcome | None = None
) -> int:
    """List episodes that a crash left unfinished, and save or bin them.

    Args:
        names: Unfinished episodes or parts of their names; none = only list.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        all: Take all of them.
        bin: Move them to the bin instead of keeping them.
        outcome: Label for the kept ones; default: the label given before the crash, else failure.
    """
    store, page = _store(data), _console()
    found = _unfinished(store)
    chosen = found if all else [_one(found, n, within=journal_dir(store.root)) for n in names]
    if not chosen:
        for u in found:
            note = f"  ({u.problem})" if u.problem else ""
            page.print(
                f"{u.name}  {u.task}  {counted(u.n_chunks, 'chunk')}, {counted(u.n_steps, 'step')}{note}",
                soft_wrap=True,
            )
        page.print(
            f"{counted(len(found), 'unfinished episode')} in '{store.root}'."
            + (" Keep with `frs episodes recover NAME` or --all; add --bin to move them to the bin." if found else "")
        )
        return 0
    chunks = {u.name: u.n_chunks for u in chosen}

    def one(name: str) -> str:
        if bin:
            _bin_unfinished(store, name)
            return f"Binned {name}"
        return f"Recovered {_recover(store, name, outcome=outcome)} ({counted(chunks[name], 'chunk')})"

    return _each(list(chunks), one)


COMMANDS = {
    "list": list_episodes,
    "show": show,
    "check": check,
    "export-mp4": export_mp4,
    "export": export,
    "import": import_,
    "relabel": relabel,
    "trim": trim,
    "bin": bin_episodes,
    "restore": restore,
    "recover": recover,
}
"""Subcommand of `frs episodes` -> function; each returns the exit status."""


def _console() -> Console:
    return console(is_wide=True)


def _each(names: Iterable[str], act: Callable[[str], str | Iterable[str | Text]]) -> int:
    """Call a function for each episode and print the results; a failure is reported, and the rest continues.

    Returns:
        The exit status.
    """
    page, bad = _console(), 0
    for name in names:
        try:
            told = act(name)
            page.print(*([told] if isinstance(told, str) else told), soft_wrap=True)
        except (FrsError, *MALFORMED) as error:
            bad += 1
            page.print(mark("✗", "red"), f"{name}  {said(error)}", soft_wrap=True)
    return 1 if bad else 0


def _store(data: Path | None) -> EpisodeStore:
    return EpisodeStore(recording_root(data))


def _found(store: EpisodeStore, names: tuple[str, ...], *, binned: bool = False) -> list[str]:
    """Return the full names, each once; fails before anything is changed."""
    if not names:
        raise EpisodeError("No episodes were given. Give at least one name, a part of one, or 'last'.")
    return list(dict.fromkeys(store.find(n, binned=binned) for n in names))


def _one(found: list[Unfinished], text: str, *, within: Path) -> Unfinished:
    part = part_of_name(text, within=within)
    fits = [u for u in found if part in u.name]
    if len(fits) != 1:
        raise EpisodeError(f"'{text}' fits {len(fits)} unfinished episodes. See `frs episodes recover`.")
    return fits[0]


def _row(info: EpisodeInfo, *, is_sealed: bool) -> tuple[str | Text, ...]:
    if info.outcome is None:
        return (info.name, "", info.task or "", mark(f"! {info.ailment}", "red"), "", "", "", "", "", info.note)
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(info.started_at)) if info.started_at else "unknown"
    undone = f" (-{info.n_undone})" if info.n_undone else ""
    return (
        info.name,
        when,
        info.task or "–",
        mark(MARKS[info.outcome][0] + " (the world says otherwise)" * info.is_contradicted, MARKS[info.outcome][1]),
        f"{info.n_chunks}{undone}",
        str(info.n_steps),
        f"{info.duration_s:.1f}",
        "" if is_sealed else f"{info.steered_share:.0%}",
        "blinded" if is_sealed else ", ".join(f"{who} {n}" for who, n in info.drivers.items()),
        info.note,
    )
