"""How learned policies are called in texts. Pure functions."""

from pathlib import Path

from frs_core.counts import counted


def policy_name(path: Path | str) -> str:
    """Return the name of a saved policy's folder; that of a practice's version says after how many attempts it was kept."""
    from frs_core.learning.practice_folder import VERSIONS  # Not before the first paint.

    folder = Path(path)
    if folder.parent.name != VERSIONS or not folder.name.isdigit():
        return folder.name
    return f"{practice_name(folder.parent.parent)} after {counted(int(folder.name), 'attempt')}"


def practice_name(folder: Path) -> str:
    """Return the name of a practice, made from its folder `<task>/<learner>`."""
    return f"{folder.parent.name.replace('_', '-')}-{folder.name}"
