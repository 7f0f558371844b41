"""The tasks of the tabletop: their instructions, the objects they need, and when they are done.

Thirty put-tasks (6 movables x 5 places) and the drawer's two. Eighteen put-tasks and the drawer's are demonstrated to the
shipped generalist; the other twelve are *held out*: each word and each skill is known, the combination is not.
"""

import enum
from dataclasses import dataclass

from frs_core.errors import unknown_name
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES

DRAWER = "drawer"
PLACES = (*RECEPTACLES, DRAWER)


class TaskKind(enum.Enum):
    """Kind of a task."""

    PUT = "put"
    OPEN = "open"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Task:
    """One task."""

    name: str
    kind: TaskKind
    instruction: str
    movable: str | None = None
    place: str | None = None
    is_held_out: bool = False


_HELD_OUT = {
    "mug": ("stand", "drawer"),
    "can": ("plate", "basket"),
    "cup": ("bowl", "drawer"),
    "carton": ("bowl", "stand"),
    "box": ("plate", "basket"),
    "sponge": ("stand", "plate"),
}


def preposition(place: str) -> str:
    """Return 'in' or 'on'."""
    return RECEPTACLES[place].preposition if place in RECEPTACLES else "in"


def _tasks() -> dict[str, Task]:
    tasks = {}
    for movable in MOVABLES:
        for place in PLACES:
            prep = preposition(place)
            name = f"{movable}_{prep}_{place}"
            text = f"put the {movable} {prep} the {place}"
            tasks[name] = Task(name, TaskKind.PUT, text, movable, place, place in _HELD_OUT[movable])
    tasks["open_drawer"] = Task("open_drawer", TaskKind.OPEN, "open the drawer", place=DRAWER)
    tasks["close_drawer"] = Task("close_drawer", TaskKind.CLOSE, "close the drawer", place=DRAWER)
    return tasks


TASKS = _tasks()
"""All tasks by name."""

TRAINED = tuple(name for name, task in TASKS.items() if not task.is_held_out)
HELD_OUT = tuple(name for name, task in TASKS.items() if task.is_held_out)
EXAMPLE = "can_on_plate"
"""Task of the demonstration and the example episodes: held out, and the unsteered policy fails at it on development scenes."""


def find(name: str) -> Task:
    """Return a task by name.

    Raises:
        ConfigError: unknown task; the text lists the known ones and the nearest.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return TASKS[name]
