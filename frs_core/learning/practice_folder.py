"""What lies in the folder of a practice, and under which names.

    <folder>/
      practice.json          what is practised, how, from which episodes; another practice is refused here
      episodes/40012.table   an episode of its own, by its scene, written when it ends
      learner.state          the learner after the last whole round, with the curve: one file, replaced by one rename
      versions/0050/         the policy that was judged after 50 episodes, ready to be used
      states/0050.state      the learner at that version, so that practice can continue from there (`practice_record.branch`)

Free of the tensor library.
"""

from pathlib import Path

from frs_core.counts import count_of, counted
from frs_core.errors import ConfigError

CONDITIONS, STATE, EPISODES = "practice.json", "learner.state", "episodes"
VERSIONS, STATES = "versions", "states"
JSON = "json"
"""The tensor that holds, as text, what is no array in an episode and in the state."""


def version_folder(folder: Path, episodes: int) -> Path:
    """Return where a practice keeps the version that was evaluated after a number of episodes."""
    return folder / VERSIONS / f"{episodes:04d}"


def state_file(folder: Path, episodes: int) -> Path:
    """Return where a practice keeps the learner as it was at that version."""
    return folder / STATES / f"{episodes:04d}.state"


def practice_name(folder: Path) -> str:
    """Return the name of a practice, made from its folder `<task>/<learner>`; a task of a suite, such as libero_90/41, is two folders."""
    task = folder.parent
    words = f"{task.parent.name}-{task.name}" if task.name.isdecimal() else task.name
    return f"{words.replace('_', '-')}-{folder.name}"


def policy_name(path: Path | str) -> str:
    """Return the name of a saved policy's folder; that of a practice's version says after how many attempts it was kept."""
    folder = Path(path)
    count = count_of(folder.name)
    if folder.parent.name != VERSIONS or count is None:
        return folder.name
    return f"{practice_name(folder.parent.parent)} after {counted(count, 'attempt')}"


def removed(folder: Path) -> ConfigError:
    """Return the error of a practice whose folder was taken away while it was in use."""
    return ConfigError(
        f"The folder of the practice, '{folder}', was removed while it was in use. Bring it back and continue, or begin a new practice; "
        f"recorded episodes and the best version are not in there."
    )
