"""How learned policies are called in texts; `frs_core.learning` is not loaded before the first paint. Pure functions."""

from pathlib import Path


def policy_name(path: Path | str) -> str:
    """Return the name of a saved policy, see `frs_core.learning.practice_folder.policy_name`."""
    from frs_core.learning.practice_folder import policy_name as name_of

    return name_of(path)


def practice_name(folder: Path) -> str:
    """Return the name of a practice, see `frs_core.learning.practice_folder.practice_name`."""
    from frs_core.learning.practice_folder import practice_name as name_of

    return name_of(folder)
