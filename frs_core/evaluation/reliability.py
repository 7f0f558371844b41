"""Compare the success that trained policies forecast with the success they reach.

Example: forecasts of 0.8 for draws that reach 0.6 on average, ten scenes each, have a Brier score of 0.28; always predicting
0.6 scores 0.24.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from frs_core.evaluation.results import Result


@dataclass(frozen=True, slots=True)
class Point:
    """One trained policy."""

    method: str
    task: str
    episode_set: int
    train_seed: int
    forecast: float
    """Success rate expected before any rollout, 0..1."""
    successes: int
    trials: int

    @property
    def rate(self) -> float:
        """Success rate reached."""
        return self.successes / self.trials


@dataclass(frozen=True, slots=True)
class Reliability:
    """Forecast against outcome."""

    points: tuple[Point, ...]
    brier: float
    """Mean squared difference of forecast and outcome over episodes; 0 is perfect, 0.25 is a coin toss."""
    constant: float
    """Brier score of always predicting the mean success: the baseline."""
    mean_forecast: float
    mean_outcome: float
    episodes: int


def reliability(results: Iterable[Result]) -> Reliability | None:
    """Return the comparison over all trained policies that have a forecast; None if none has."""
    by: dict[tuple[str, str, int, int, float], list[bool]] = {}
    for r in results:
        if r.forecast is not None and not r.error:
            by.setdefault((r.method, r.task, r.episode_set, r.train_seed, r.forecast), []).append(r.success)
    points = tuple(Point(*key, sum(good), len(good)) for key, good in by.items())
    if not points:
        return None
    n = sum(p.trials for p in points)
    mean = sum(p.successes for p in points) / n
    return Reliability(
        points=points,
        brier=sum(p.successes * (1 - p.forecast) ** 2 + (p.trials - p.successes) * p.forecast**2 for p in points) / n,
        constant=mean * (1 - mean),
        mean_forecast=sum(p.trials * p.forecast for p in points) / n,
        mean_outcome=mean,
        episodes=n,
    )
