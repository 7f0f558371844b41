"""What to train, from where, to where; free of torch, so that a window can make one."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from frs_core.errors import ConfigError
from frs_core.learning.settings import InputSettings, LearnerSettings

if TYPE_CHECKING:
    from frs_core.learning.progress import OnProgress
    from frs_core.learning.table import TrainingTable


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """One training, complete enough to run in another process."""

    kind: str
    """Id of the learner."""
    root: Path
    """Root of the episode store."""
    episodes: tuple[str, ...]
    """Episode names; empty = all successes of `task`."""
    out: Path
    """Folder the policy is saved in."""
    fingerprint: str
    """Of the generalist it is for; empty = the one that the episodes were recorded with."""
    name: str = ""
    """Shown to people; empty = the folder's name."""
    task: str | None = None
    """Only episodes of this task, where none are named."""
    count: int = 0
    """Learn from the first so many of them; 0 = all."""
    policy: str = "tabletop"
    """Name of the generalist, loaded only for learners that need it."""
    settings: LearnerSettings | None = None
    """The learner's own settings; None = its defaults."""
    overwrite: bool = False
    source: str = "frs_core.learning.store:load_table"
    """`module:function` that takes (request, on_progress) and returns the training table."""

    @property
    def inputs(self) -> InputSettings:
        """What the learner sees."""
        return (self.settings or LearnerSettings()).inputs

    @property
    def shown_name(self) -> str:
        """Name shown to people."""
        return self.name or self.out.name


Source = Callable[["TrainRequest", "OnProgress"], "TrainingTable"]


def find_source(name: str) -> Source:
    """Return the function a `module:function` name stands for.

    Raises:
        ConfigError: no such function.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"'{name}' is no source of chunks: {error}. Expected 'module:function'.") from error
