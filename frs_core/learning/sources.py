"""Where a training's chunks come from and where it acts: functions that a request names."""

from collections.abc import Callable

from frs_core.errors import ConfigError
from frs_core.learning.base import Arena
from frs_core.learning.progress import OnProgress
from frs_core.learning.request import TrainRequest
from frs_core.learning.table import TrainingTable
from frs_core.runtime.registry import resolve

Source = Callable[[TrainRequest, OnProgress], TrainingTable]
OpenArena = Callable[[TrainRequest], Arena]


def find_source(name: str) -> Source:
    """Return the function that a `module:function` name stands for. Raises ConfigError where there is none."""
    return resolve("source of chunks", name, {})


def find_arena(name: str) -> OpenArena:
    """Return the function that a `module:function` name stands for. Raises ConfigError where there is none."""
    if not name:
        raise ConfigError(
            "The request has a practice but names no arena to act in. Give TrainRequest(arena='module:function')."
        )
    return resolve("arena", name, {})
