"""The 130 tasks of LIBERO by name: five suites, their tasks in the order that public evaluations number them.

    find("libero_90/13").words      # 'put the black bowl at the front on the plate'
    find("turn on the stove and put the moka pot on it").name      # 'libero_10/2'

An instruction that several tasks share is ambiguous: the error lists those tasks. Pure functions; any thread.
"""

import difflib
import functools
from dataclasses import dataclass
from pathlib import Path

from frs_core.errors import ConfigError
from frs_core.runtime.foreign import read_text

EXAMPLE = "libero_90/13"
"""Task of the demonstration; one of those the paper reports."""
LONGEST = {"libero_spatial": 220, "libero_object": 280, "libero_goal": 300, "libero_10": 520, "libero_90": 400}
"""Control steps after which the public evaluation ends an episode as a failure. Source: openpi examples/libero/main.py."""
_FILE = Path(__file__).with_name("task_names.txt")
"""Name and task file of each. Source: LIBERO's libero_suite_task_map.py."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task."""

    name: str
    """`suite/number`."""
    suite: str
    number: int
    file: str
    """Name of LIBERO's task file."""
    words: str
    """The policy's instruction, as in the public evaluation."""


def words_of(file: str) -> str:
    """Return the instruction that LIBERO reads from a task file's name.

    Source: LIBERO benchmark/__init__.py, `grab_language_from_filename`.
    """
    if file[0].isupper():
        file = file[file.find("SCENE") + (8 if "SCENE10" in file else 7) :]
    return file.replace("_", " ")


@functools.cache
def tasks() -> dict[str, Task]:
    """Return all tasks by name, in order."""
    found = {}
    for line in read_text(_FILE).splitlines():
        name, file = line.split()
        suite, number = name.split("/")
        found[name] = Task(name, suite, int(number), file, words_of(file))
    return found


def find(text: str) -> Task:
    """Return a task by `suite/number`, by its words, or by the name of its task file.

    Raises:
        ConfigError: no such task, or an instruction that several share.
    """
    known = tasks()
    if text in known:
        return known[text]
    wanted = " ".join(text.replace("_", " ").lower().split())
    found = [t for t in known.values() if wanted in (t.words, t.file.replace("_", " ").lower(), f"{t.name} {t.words}")]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(t.name for t in found)
        raise ConfigError(f"'{text}' is what {len(found)} tasks of LIBERO say: {names}. Name one of those.")
    near = difflib.get_close_matches(wanted, [*known, *(t.words for t in known.values())], n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    counts = ", ".join(f"{s}/0 to {sum(t.suite == s for t in known.values()) - 1}" for s in LONGEST)
    raise ConfigError(f"Unknown task '{text}'. Known: {counts}, and the words of each (docs/libero.md).{hint}")
