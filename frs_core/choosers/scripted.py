"""Choosers that need no world: the policy alone, and a list of picks read from a file.

A script is a TOML file with the picks of one episode, in order:

    picks = ["left/more", "left/less", "unsteered", "down/more/close"]
    then = "unsteered"        # what follows the last one: a label, or "stop" to wait for a person
"""

from collections.abc import Sequence
from pathlib import Path

from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.registry import Setting
from frs_core.choosers.world_operator import WorldOperator
from frs_core.errors import ConfigError
from frs_core.robot.observation import Observation
from frs_core.runtime.foreign import read_toml
from frs_core.steering.candidates import LEARNED, UNSTEERED, Fan
from frs_core.steering.directions import Command, Gripper


class PolicyChooser(Chooser):
    """Picks the unsteered candidate: the generalist alone."""

    def wants(self, observation: Observation) -> tuple[Command, ...]:
        """Return no commands."""
        return ()

    def choose(self, fan: Fan) -> Choice:
        """Return the unsteered candidate."""
        return Choice(UNSTEERED)


class SequenceChooser(Chooser):
    """Picks the labels of a list, one per chunk, then repeats another label or waits."""

    def __init__(self, labels: Sequence[str], *, then: str | None = UNSTEERED) -> None:
        """Store and check the labels.

        Args:
            labels: `Command.label` values, "unsteered" or "learned".
            then: label picked after the last one; None waits for a person.
        Raises:
            ConfigError: a label is invalid.
        """
        self._labels, self._then = list(labels), then
        for label in (*labels, *([then] if then else [])):
            parse_label(label)
        self._next = 0

    @classmethod
    def from_toml(cls, path: Path) -> "SequenceChooser":
        """Return the chooser that a script file describes.

        Raises:
            ConfigError: the file is missing, is not TOML, or has no valid `picks`.
        """
        try:
            data = read_toml(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"Script '{path}' cannot be read: {error}. A script is a TOML file with `picks`."
            ) from error
        picks, then = data.get("picks"), data.get("then", UNSTEERED)
        if not isinstance(picks, list) or not all(isinstance(p, str) for p in picks) or not isinstance(then, str):
            raise ConfigError(f"Script '{path}' needs `picks`, a list of labels such as \"left/more\".")
        return cls(picks, then=None if then == "stop" else then)

    def begin(self, observation: Observation) -> None:
        """Restart with the first label."""
        self._next = 0

    def wants(self, observation: Observation) -> tuple[Command, ...]:
        """Return the command of the next label."""
        label = self._peek()
        command = parse_label(label) if label is not None else None
        return (command,) if command is not None else ()

    def choose(self, fan: Fan) -> Choice | None:
        """Return the next label; a direction without a gripper command matches a candidate with any."""
        label = self._peek()
        self._next += 1
        if label is None or label in fan:
            return Choice(label, "script") if label is not None else None
        for gripper in (Gripper.OPEN, Gripper.CLOSE):
            if f"{label}/{gripper.value}" in fan:
                return Choice(f"{label}/{gripper.value}", "script")
        return Choice(label, "script")

    def _peek(self) -> str | None:
        return self._labels[self._next] if self._next < len(self._labels) else self._then


def from_setting(setting: Setting) -> Chooser:
    """Return the script given by file, or else the world's own scripted operator.

    Raises:
        ConfigError: the script cannot be read.
    """
    script = setting.options.get("script")
    return SequenceChooser.from_toml(Path(script)) if script else WorldOperator(setting)


def parse_label(label: str) -> Command | None:
    """Return the command of a label; None for the unsteered and the learned candidate.

    Raises:
        ConfigError: the label is invalid.
    """
    if label in (UNSTEERED, LEARNED):
        return None
    try:
        return Command.parse(label)
    except (ValueError, IndexError):
        raise ConfigError(
            f"'{label}' is not a valid pick. Write a direction and an amount (left/more), optionally with a gripper command "
            f"(down/less/close), or unsteered, or learned."
        ) from None
