"""What a practice reports while its actors drive. Free of the tensor library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.evaluation.results import Result
from frs_core.learning.table import TrainingTable


@dataclass(frozen=True, slots=True)
class Driven(Result):
    """An episode that an actor drove."""

    table: TrainingTable | None = None
    images: Mapping[str, UInt8[Array, "h w 3"]] = field(default_factory=dict)
    """What each camera saw last, small."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attempt that a person is to start and, where the world does not know how it went, to label."""

    actor: Path | None
    """Noise policy that is to drive; None = the generalist alone."""
    scene: int
    asked: int = 0
    """Running number: another one after every answer."""
    problem: str = ""
    """Why the attempt before does not count; empty where it does."""


class Monitor:
    """Hears what actors do; this one does not listen. What it raises ends the practice; the episode it was notified of is kept."""

    def set_out(self, seeds: Sequence[int]) -> None:
        """Episodes on these scenes are about to be driven."""

    def wants(self, wanted: Wanted) -> None:
        """An attempt is waited for; called again every now and then."""

    def drove(self, episode: Driven) -> None:
        """One of them has ended."""

    def corrects(self, seconds_left: float) -> None:
        """All attempts of a round have ended, and for this many seconds a person may correct the label of the last; called again and again."""

    def corrected(self, seed: int, success: bool) -> None:
        """A person has changed the label of an attempt, and it will be learned from like that."""

    def came_back(self) -> None:
        """All of them have ended."""
