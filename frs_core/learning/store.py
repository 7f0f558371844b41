"""Training tables from the episode store: the trainer process's usual source of chunks."""

from frs_core.counts import counted
from frs_core.episodes import EpisodeStore
from frs_core.errors import TrainingError
from frs_core.learning.base import LearnerSpec
from frs_core.learning.progress import OnProgress
from frs_core.learning.registry import find_learner
from frs_core.learning.request import TrainRequest
from frs_core.learning.table import TrainingTable


def load_table(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return the chunks a request asks for, as its learner wants them.

    Args:
        request: store, episodes or task, learner.
        on_progress: called where this takes long.
    Raises:
        TrainingError: nothing to learn from.
        FingerprintMismatch: episodes of another policy.
        EpisodeError: an episode is missing or damaged.
    """
    store, row = EpisodeStore(request.root), find_learner(request.kind)
    names = [store.find(text) for text in request.episodes] or _names(store, request.task, row)
    if not names and not store.root.is_dir():
        raise TrainingError(
            f"The recording folder '{store.root}' does not exist, and there is nothing to learn from. Correct --data, or record some episodes."
        )
    if not names:
        about = f" of task '{request.task}'" if request.task else ""
        tasks = ", ".join(sorted({info.task for info in store.list() if info.task})) or "none"
        raise TrainingError(
            f"There are no successful episodes{about} in '{store.root}', whose tasks are: {tasks}. Record some, or name episodes with "
            f"--episodes."
        )
    if request.count > len(names):
        raise TrainingError(
            f"Asked to learn from {counted(request.count, 'episode')}, '{store.root}' has {len(names)} that fit. Record more, or lower "
            f"--count."
        )
    episodes = [store.open(name) for name in names[: request.count or None]]
    return row.load().table(episodes, request, on_progress)


def _names(store: EpisodeStore, task: str | None, row: LearnerSpec) -> list[str]:
    """Return the names of readable episodes that a learner learns from, oldest first."""
    return [i.name for i in store.list() if i.outcome in row.outcomes and task in (None, i.task)]
