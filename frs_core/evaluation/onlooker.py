"""What can be heard of a practice while its actors drive. Free of the tensor library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.evaluation.results import Result
from frs_core.learning.table import TrainingTable


@dataclass(frozen=True, slots=True)
class Driven(Result):
    """An episode that an actor drove."""

    table: TrainingTable | None = None
    pictures: Mapping[str, UInt8[Array, "h w 3"]] = field(default_factory=dict)
    """What each camera saw last, small."""


class Onlooker:
    """Hears what actors do; this one does not listen. What it raises ends the practice; the episode it was told of is kept."""

    def set_out(self, seeds: Sequence[int]) -> None:
        """Episodes on these scenes are about to be driven."""

    def drove(self, episode: Driven) -> None:
        """One of them has ended."""

    def came_back(self) -> None:
        """All of them have ended."""
