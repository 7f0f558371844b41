"""The scripted operator for a cockpit in another process, from what the cockpit has written to disk.

Problem: to choose a direction one must know where the objects are, and the world is in another process. Idea: the journal of
the open episode holds the simulator's exact state before each chunk and the actions executed since; a second world set to
that state and stepped through those actions has the robot's state, bit for bit. Before the first chunk, task and scene number
rebuild the scene.

Example: `JournalOperator(data, world="tabletop").command(status)` -> (Command(LEFT, MORE), "towards the can").
"""

from pathlib import Path
from typing import Any

from frs_core.choosers.steering_script import SteeringScript
from frs_core.episodes.journal import read_journal
from frs_core.episodes.layout import journal_path
from frs_core.evaluation.setup import named
from frs_core.robot.actions import ActionKind
from frs_core.steering.directions import Command
from frs_core.worlds import make_unwatched_world
from frs_core.worlds.guard import GuardedWorld


class JournalOperator:
    """Steers like a person at the arrow keys.

    Args:
        data: the cockpit's recording root.
        world: name of the world that the cockpit shows; a simulation with a scripted operator.
    """

    def __init__(self, data: Path, *, world: str) -> None:
        self._data = data
        self._twin = make_unwatched_world(world)
        self._guard = GuardedWorld(self._twin)
        self._operator: SteeringScript = named("operator", self._twin.spec.operator, world)(self._twin)
        self._episode = ""

    def command(self, status: dict[str, Any]) -> tuple[Command | None, str]:
        """Return the command (None: let the policy act) and the reason, for a fan of a recorded episode."""
        episode = status["episode"]
        is_new = episode["name"] != self._episode
        self._episode = episode["name"]
        self._follow(episode)
        if is_new:
            self._operator.begin(self._twin.state())
        return self._operator.say()

    def close(self) -> None:
        """Free the second world."""
        self._twin.close()

    def _follow(self, episode: dict[str, Any]) -> None:
        """Bring the second world to the robot's state."""
        records = read_journal(journal_path(self._data, episode["name"])).records
        undone = {r["index"] for r in records if r["kind"] == "undo"}
        chunks = [r for r in records if r["kind"] == "chunk" and r["index"] not in undone]
        if not chunks:
            self._guard.reset(task=episode["task"], seed=episode["scene"])
            return
        kind = ActionKind(records[0]["meta"]["action_space"]["kind"])
        last = max(chunks, key=lambda r: r["index"])
        self._guard.restore(last["snapshot"])
        for step in last["steps"]:
            self._guard.step(step["action_asked"], kind)
