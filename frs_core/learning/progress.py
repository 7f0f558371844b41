"""What a trainer reports while it runs and when it ends. Frozen, free of torch, safe to hand between processes.

A trainer calls `on_progress(Progress(...))` every few steps; answering False stops it and keeps the best weights so far.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from frs_core.learning.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training is."""

    step: int
    steps: int
    """Most steps that will be taken; may end sooner."""
    loss: float
    """Mean training loss since the last report."""
    held_out: float
    """Loss on held-out episodes; NaN without any."""
    seconds_left: float
    """Upper bound from the pace so far."""
    stage: str = "training"
    """'loading', 'labelling', 'training', 'refitting', 'comparing' or 'practising'."""


OnProgress = Callable[[Progress], bool | None]


def ignore_progress(progress: Progress) -> bool | None:
    """Continue, whatever is reported."""
    return None


@dataclass(frozen=True, slots=True)
class Scores:
    """Before and after, without a rollout: how near the learner is to the operator on episodes it never saw.

    Errors are mean squares per number: of noises (in units of the prior's variance) for noise policies, of standardised
    actions for behaviour cloning.
    """

    error_before: float
    """What the policy's own random noise scores; NaN for behaviour cloning."""
    error_constant: float
    """What answering the mean label every time scores."""
    error_after: float
    """What the learner scores."""
    agreement_before: float
    """Share of chunks where the operator left the choice to the policy: how often the unsteered policy agrees. NaN where
    picks are not known."""
    agreement_after: float
    """Share of chunks where the offered candidate nearest to the learner's noise is the operator's pick. NaN where offers
    are not known."""
    chance: float
    """Agreement of a blind guess among the offers; NaN where they are not known."""
    chunks: int
    """Chunks behind the figures."""
    is_held_out: bool
    """False = no episode was held out (too few, or a learner that needs them all): the figures are of training chunks."""

    @classmethod
    def blank(cls, chunks: int) -> "Scores":
        """Return the scores of a learner that imitates nobody: nothing but the number of chunks is known."""
        nan = float("nan")
        return cls(nan, nan, nan, nan, nan, nan, chunks, False)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished training left."""

    path: Path
    """Folder of the saved policy."""
    kind: str
    name: str
    scores: Scores
    steps: int
    """Steps of the kept weights."""
    seconds: float
    chunks: int
    episodes: int
    was_cancelled: bool
    """Stopped by request; the best so far was kept."""
    notes: tuple[str, ...] = field(default=())
    """Plain sentences for the operator (dropped labels, few episodes)."""
    verdict: Verdict | None = None
    """How it compares with the version before; None where that was not asked. If it is not used, nothing was saved at `path`."""

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        verdict = None if self.verdict is None else self.verdict.to_json()
        return {**asdict(self), "path": str(self.path), "verdict": verdict}
