"""How tasks and learned policies are called in texts; `frs_core.learning` is not loaded before the first paint. Pure functions."""

from pathlib import Path

from frs_core.runtime.foreign import in_line


def in_words(task: str) -> str:
    """Return a task's name as it is shown, on one line: "can on plate" for can_on_plate; a number of a suite, such as libero_90/13, as it is."""
    return in_line(task if "/" in task else task.replace("_", " "))


def policy_name(path: Path | str) -> str:
    """Return the name of a saved policy, see `frs_core.learning.practice_folder.policy_name`."""
    from frs_core.learning.practice_folder import policy_name as name_of

    return name_of(path)


def practice_name(folder: Path) -> str:
    """Return the name of a practice, see `frs_core.learning.practice_folder.practice_name`."""
    from frs_core.learning.practice_folder import practice_name as name_of

    return name_of(folder)
