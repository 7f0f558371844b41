"""One candidate, and the fan of all that are offered. Frozen; safe to pass between threads."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Command
from frs_core.steering.plan import SteeringPlan


class CandidateKind(enum.Enum):
    """Where a candidate comes from."""

    STEERED = "steered"
    UNSTEERED = "unsteered"
    LEARNED = "learned"


UNSTEERED = "unsteered"
LEARNED = "learned"
"""Labels of the two candidates that are not commands."""


WEAK_AUTHORITY = 0.1
"""Below this the policy ignores the command; a warning says so. Guess; one candidate in twenty of the included episodes."""
_FEWEST = 4
"""Commands that must be weak before steering is said to be of no use."""


def are_all_weak(authorities: Iterable[float]) -> bool:
    """Whether the policy ignores every one of several commands."""
    known = list(authorities)
    return len(known) >= _FEWEST and all(a < WEAK_AUTHORITY for a in known)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a candidate before it moves."""

    motion_mm: float
    """Net tool displacement over the rows that would be executed."""
    bent_mm: float
    """Distance between where the request and the chunk end, mm; 0 for candidates without a request."""
    authority: float
    """0 = as unsteered, 1 = as requested: projection of the executed motion on the segment between the two."""
    noise_percentile: float
    """Share of N(0, I) draws with a smaller norm, 0..100; above 99 the command is far outside the prior. NaN without noise."""
    leaves_workspace: bool = False
    near_joint_limit: bool = False
    hits_table: bool = False
    hits_itself: bool = False
    warnings: tuple[str, ...] = ()
    """Plain words, most important first."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One candidate that can be picked."""

    label: str
    """Command.label, or UNSTEERED, or LEARNED; unique in its fan."""
    kind: CandidateKind
    command: Command | None
    noise: Float[Array, "H A"]
    """What was denoised; NaN for methods without one."""
    chunk: Float[Array, "H a"]
    """Robot units, clipped to the action limits."""
    path: Float[Array, "H+1 3"]
    """Tool centre under the world's limits, base frame, metres; see `safety.preview`."""
    reference: Float[Array, "H a"] | None
    """The request in robot units."""
    reference_path: Float[Array, "H+1 3"] | None
    verdict: Verdict
    recovered: Float[Array, "H A"] | None = None
    """The reversal's result before projection; None where nothing was reversed."""
    value: float = float("nan")
    """Its value under the loaded noise policy, 0..1: expected success, less for taking long. NaN where it is not known."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a noise policy is unsure in one state."""

    reasons: tuple[str, ...] = ()
    """Half a sentence each; none = it is sure."""

    @property
    def is_unsure(self) -> bool:
        """Whether it should ask for help."""
        return bool(self.reasons)

    @property
    def sentence(self) -> str:
        """The reasons in one line; empty if it is sure."""
        return ", ".join(self.reasons)


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """All candidates of one observation."""

    request_id: int
    observation: Observation
    candidates: tuple[Candidate, ...]
    """Unsteered first, then the directed ones in `fan_commands` order, learned last when there is one."""
    plan: SteeringPlan
    features: Float[Array, " F"]
    """The policy's features of the observation."""
    encode_ms: float
    steer_ms: float
    execute_rows: int
    made_ns: int
    network_ms: float = float("nan")
    """Share of the steering time spent on the network; NaN for a local policy."""
    doubt: Doubt | None = None
    """How sure the noise policy is; None without one, or where that is not known of it."""
    shadow: str = ""
    """Label of the candidate whose noise is nearest to the learned one: what it would pick; empty without a noise policy or another noise."""

    @property
    def is_out_of_reach(self) -> bool:
        """No direction has authority, so that only a demonstration helps."""
        moves = [c for c in self.candidates if c.command is not None and c.command.direction is not None]
        return are_all_weak([c.verdict.authority for c in moves])

    def __getitem__(self, label: str) -> Candidate:
        """Return the candidate with a label; KeyError if it was not offered."""
        for candidate in self.candidates:
            if candidate.label == label:
                return candidate
        raise KeyError(label)

    def __contains__(self, label: object) -> bool:
        """Tell whether a label was offered."""
        return any(c.label == label for c in self.candidates)
