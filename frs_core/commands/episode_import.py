"""`frs episodes import`: make episodes of what other programs recorded, and say what became of each.

Each importer gets the options that were given, and no others: a function of somebody's own need not know them.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from frs_core.commands.printing import console, mark, said
from frs_core.counts import counted
from frs_core.episodes import Episode, EpisodeInfo, EpisodeStore
from frs_core.episodes.imported import Imported, NotImported
from frs_core.episodes.stated import is_text
from frs_core.errors import ConfigError, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import Arm
from frs_core.runtime.bounds import Bounds
from frs_core.runtime.folders import recording_root

_SHOWN = 20
"""Failures that are printed; a dataset that was downloaded in part has thousands of one kind."""


def import_(
    source: Annotated[Path, tyro.conf.Positional],
    *,
    format: str,
    data: Path | None = None,
    instruction: str | None = None,
    outcome: Outcome | None = None,
    actions: ActionKind | None = None,
    arm: Arm | None = None,
    tool_offset: Annotated[float, Bounds(-1.0, 1.0)] | None = None,
    again: bool = False,
) -> int:
    """Import episodes from another format, and report what was left out, not stated or guessed.

    What an earlier import made of the same recordings is not made again, so an interrupted import continues when it is started again. Of
    several recordings, one that cannot be imported is reported, and the rest continues.

    Args:
        source: File or folder to read.
        format: A known format, or "module:function" of your own that takes (Path, EpisodeStore).
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        instruction: The instruction; default: from the source.
        outcome: The outcome; default: from the source. Discarded episodes go to the bin.
        actions: What the actions are; default: as the source states. Joint velocities of 1 are 0.2 rad per step, joint positions are radians, ee_delta is
            metres and radians per step.
        arm: Whose joints they are, where the source names another arm or none.
        tool_offset: From the flange to the fingertips, metres; default 0.15, as of a Robotiq 2F-85.
        again: Make episodes also of recordings that were imported before.
    """
    if instruction is not None and not is_text(instruction):
        raise ConfigError(
            f"--instruction '{instruction}' is no text in UTF-8. Set the terminal's encoding to UTF-8, or write it in a file for --config."
        )
    if instruction is not None and not instruction.strip():
        raise ConfigError(
            "--instruction is blank. Write what the robot is to do, or leave it out for what the source says."
        )
    given = {"instruction": instruction, "outcome": outcome, "actions": actions, "arm": arm}
    given |= {"tool_offset": tool_offset, "again": again or None}
    root, page = recording_root(data, is_made=True), console(is_wide=True)
    store = EpisodeStore(root)
    made = _made(format, source, store, {k: v for k, v in given.items() if v is not None})
    _tell_made(store, made.names, page)
    if made.earlier:
        page.print(_left_out(store, made.earlier), soft_wrap=True)
        if unused := _unused(store, made.earlier, outcome=outcome, instruction=instruction, actions=actions):
            page.print(unused, soft_wrap=True)
    _tell_failures(made.failures, page)
    return 1 if made.failures else 0


def _made(format: str, source: Path, store: EpisodeStore, options: dict[str, Any]) -> Imported:
    """Import, and leave no empty recording folder where there was none before."""
    from frs_core.episodes.formats import importer

    is_new, made = not os.path.lexists(store.root), Imported(())
    try:
        result = importer(format)(source, store, **options)
        made = result if isinstance(result, Imported) else Imported((result,) if isinstance(result, str) else result)
    finally:
        if is_new and not made.names:
            store.remove_unused()
    return made


def _tell_made(store: EpisodeStore, names: tuple[str, ...], page: Console) -> None:
    binned = {i.name: i for i in store.list(binned=True)} if names else {}
    for name in names:
        info = binned.get(name) or store.info(name)
        page.print(f"Made episode {name}{' in the bin' * info.is_binned}  {info.note}", soft_wrap=True)
    if there := [name for name in names if name in binned]:
        page.print(
            f"Discarded episodes lie in the bin: `frs episodes restore {there[0] if len(there) == 1 else 'NAME'}` brings one back.",
            soft_wrap=True,
        )


def _tell_failures(failures: tuple[NotImported, ...], page: Console) -> None:
    for failure in failures[:_SHOWN]:
        page.print(mark("✗", "red"), f"{failure.what}  {said(failure.error)}", soft_wrap=True)
    if failures:
        beyond = len(failures) - _SHOWN
        page.print(
            f"Not imported: {counted(len(failures), 'recording')}{f', {beyond} more than are shown' if beyond > 0 else ''}. The same import, "
            f"without --again, takes those alone.",
            soft_wrap=True,
        )


def _left_out(store: EpisodeStore, names: tuple[str, ...]) -> str:
    """Return what is said of recordings that earlier imports made episodes of, under these names."""
    binned = len({i.name for i in store.list(binned=True)} & set(names))
    which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    where = f" ({'it is' if len(names) == 1 else f'{binned} of them are'} in the bin)" if binned else ""
    them = "it" if len(names) == 1 else "them"
    return f"Left out {counted(len(names), 'recording')} imported before, as {which}{where}. --again imports {them} once more."


def _unused(
    store: EpisodeStore,
    names: tuple[str, ...],
    *,
    outcome: Outcome | None,
    instruction: str | None,
    actions: ActionKind | None,
) -> str:
    """Return what is said where earlier imports were told otherwise than this one; empty where they agree."""
    rows = [i for binned in (False, True) for i in store.list(binned=binned) if i.name in names]
    kept = [i for i in rows if outcome not in (None, i.outcome) and i.outcome is not None]
    words = sum(instruction not in (None, i.instruction) for i in rows)
    # What lies in the bin is not relabelled there.
    first = "`frs episodes restore` brings it back from the bin, then " if any(i.is_binned for i in kept) else ""
    told = (
        [f"--outcome was not used for {len(kept)} of them: {first}`frs episodes relabel` changes it."] if kept else []
    )
    told += [f"--instruction was not used for {words} of them: --again imports with it."] if words else []
    other = sum(_kind(info) is not actions for info in rows) if actions else 0
    told += [f"--actions was not used for {other} of them: --again imports with it."] if other else []
    return " ".join(told)


def _kind(info: EpisodeInfo) -> ActionKind | None:
    """Return what an episode's actions are; None where it cannot be read."""
    try:
        return Episode(info.path).meta.action_space.kind
    except EpisodeError:
        return None
