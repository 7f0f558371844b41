"""`frs compare …`: what blinded comparisons say. They are made in the cockpit's window, where a person starts and labels every attempt.

Example: `frs compare`, then `frs compare show can_on_plate --unblind --out runs/day-1`.
"""

from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from frs_core.commands.printing import console
from frs_core.errors import ConfigError, unknown_name
from frs_core.evaluation.blind import Blind, list_blind
from frs_core.evaluation.blind_log import FOLDER
from frs_core.evaluation.blind_report import export, markdown_of, pooled
from frs_core.runtime.folders import recording_root


def list_comparisons(*, data: Path | None = None) -> int:
    """List the blinded comparisons of a recording folder, the last changed first.

    Args:
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    root, page = recording_root(data), console(is_wide=True)
    rows = list_blind(root)
    if not rows:
        page.print(f"No comparisons in '{root / FOLDER}'. Begin one in the cockpit: Train, Blinded comparison.")
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("comparison", "task", "policies", "attempts", "success, all policies", "state"):
        table.add_column(header, no_wrap=header != "state")
    for folder, opened in rows:
        if isinstance(opened, ConfigError):
            table.add_row(folder.name, "", "", "", "", f"damaged: {opened}")
            continue
        plan = opened.plan
        done = f"{len(opened.counted)} of {plan.slots}"
        table.add_row(folder.name, plan.task, str(len(plan.arms)), done, pooled(opened) or "–", _state(opened))
    page.print(table)
    return 1 if any(isinstance(opened, ConfigError) for _, opened in rows) else 0


def show(
    name: Annotated[str, tyro.conf.Positional],
    *,
    data: Path | None = None,
    unblind: bool = False,
    out: Path | None = None,
) -> int:
    """Show a blinded comparison: all policies together while it runs, by letters once all attempts are done, by name once unblinded.

    Args:
        name: Folder name of the comparison, as `frs compare` lists it.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        unblind: Name the policies. This ends the comparison: no attempt is added afterwards.
        out: Also write comparison.json and comparison.md into this folder.
    """
    root = recording_root(data)
    folder = _found(root, name)
    if unblind:
        with Blind(folder) as blind:
            blind.unblind()
    blind = Blind(folder, is_read_only=True)
    if out is not None:
        export(blind, out)
    page = console(is_wide=True)
    for line in markdown_of(blind).splitlines():
        page.print(line)
    return 0


def _found(root: Path, name: str) -> Path:
    names = [folder.name for folder, _ in list_blind(root)]
    if name not in names:
        raise unknown_name("comparison", name, names)
    return root / FOLDER / name


def _state(blind: Blind) -> str:
    if blind.state.is_unblinded:
        return "unblinded"
    return "complete, blinded" if blind.is_complete else "blinded"
