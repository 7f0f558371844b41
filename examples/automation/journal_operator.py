"""The scripted operator for a cockpit in another process, from what the cockpit has written to disk.

Problem: to choose a direction one must know where the objects are, and the simulator is in another process. Idea: the journal of
the open episode holds the simulator's exact state before each chunk and the actions executed since; a second simulator set to
that state and stepped through those actions has the robot's state, bit for bit. Before the first chunk, task and scene number
rebuild the scene.

Example: `JournalOperator(data).command(status)` -> (Command(LEFT, MORE), "towards the can").
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frs_core.episodes.journal import read_journal
from frs_core.episodes.layout import journal_path
from frs_core.robot.actions import ActionKind
from frs_core.steering.directions import Command
from frs_core.worlds.tabletop.operator import ScriptedOperator
from frs_core.worlds.tabletop.sim import TabletopSim


@dataclass(slots=True, eq=False)
class _Twin:
    """The part of a world that the operator needs."""

    sim: TabletopSim


class JournalOperator:
    """Steers like a person at the arrow keys.

    Args:
        data: the cockpit's recording root.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._sim = TabletopSim(setting=0)
        self._operator = ScriptedOperator(_Twin(self._sim))  # pyright: ignore[reportArgumentType]
        self._episode = ""

    def command(self, status: dict[str, Any]) -> tuple[Command | None, str]:
        """Return the command (None: let the policy act) and the reason, for a fan of a recorded episode."""
        episode = status["episode"]
        if episode["name"] != self._episode:
            self._episode = episode["name"]
            self._operator.begin(None)  # pyright: ignore[reportArgumentType]
        self._follow(episode)
        return self._operator.say()

    def _follow(self, episode: dict[str, Any]) -> None:
        """Bring the second simulator to the robot's state."""
        records = read_journal(journal_path(self._data, episode["name"])).records
        undone = {r["index"] for r in records if r["kind"] == "undo"}
        chunks = [r for r in records if r["kind"] == "chunk" and r["index"] not in undone]
        if not chunks:
            self._sim.reset(episode["task"], seed=episode["scene"])
            return
        kind = ActionKind(records[0]["meta"]["action_space"]["kind"])
        last = max(chunks, key=lambda r: r["index"])
        self._sim.restore(last["snapshot"])
        for step in last["steps"]:
            self._sim.step(step["action_asked"], kind)
