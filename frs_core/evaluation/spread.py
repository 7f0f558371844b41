"""How success varies with the training episodes, the training seed and the scenes: intervals, worst draws, variance shares.

Outcomes are nested: scenes within draws, draws (training seeds) within sets of episodes. Tasks are fixed: a figure for all
tasks is the mean of the figures per task.

Intervals come from a hierarchical bootstrap: resample sets with replacement, within each set its training seeds, within each
draw its scenes, and take the 2.5 and 97.5 % points of 10,000 means. The interval of a success rate is never narrower than
Wilson's: the bootstrap alone would give ten successes of ten an interval of zero width.

Shares come from nested analysis of variance by the method of moments: the scenes' part is the binomial variance within a
draw, the seeds' part is the remaining variance between draws of a set, the episodes' part the remaining variance between sets.

Example: 60 % overall, sets of 40 to 80 % (deviation 12 points), seeds alike: 6 % of the variance of an outcome is due to the
episodes, 94 % to the scenes, and the true rate of a draw is 60 +- 12 %.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from frs_core.arrays import Array
from frs_core.evaluation.draws import Draw
from frs_core.evaluation.results import Result
from frs_core.evaluation.wilson import wilson

RESAMPLES = 10_000
_CHANCE = 2_000
"""Number of simulations for the worst tenth by chance; gives its mean to about half a point."""

Outcomes = Mapping[Draw, Mapping[int, int]]
"""Draw -> scene -> 0 or 1 (-1, 0 or 1 for differences), of one method on one task."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the variance of a single outcome; None = cannot be estimated from these draws."""

    episodes: float | None
    """Variance between sets; with one training seed per set, of sets and seeds together."""
    seeds: float | None
    """Variance between training seeds of a set."""
    scenes: float | None
    """Variance between scenes of a draw."""

    @property
    def parts(self) -> tuple[float | None, float | None, float | None]:
        """Shares of their sum, each clipped at zero; all None if there is no variance."""
        known = [max(0.0, v) for v in (self.episodes, self.seeds, self.scenes) if v is not None]
        total = sum(known)
        if total <= 0.0:
            return None, None, None
        share = [None if v is None else max(0.0, v) / total for v in (self.episodes, self.seeds, self.scenes)]
        return share[0], share[1], share[2]

    @property
    def draw_deviation(self) -> float | None:
        """Standard deviation of a draw's true success rate, episodes and seeds together."""
        known = [max(0.0, v) for v in (self.episodes, self.seeds) if v is not None]
        return math.sqrt(sum(known)) if known else None


@dataclass(frozen=True, slots=True)
class Spread:
    """Success of one method on one task, or on all, over draws."""

    mean: float
    interval: tuple[float, float]
    """95 %, over draws and scenes."""
    worst_tenth: float
    """Mean success of the worst tenth of the draws, at least one."""
    worst_count: int
    """Draws in that tenth."""
    worst_by_chance: float
    """Expected value of `worst_tenth` if all draws of a task were equally good."""
    shares: Shares
    sets: int
    draws: int
    episodes: int
    """Number of test episodes."""
    rates: tuple[float, ...] = field(default=(), repr=False)
    """Success of each draw."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two methods over the same draws and scenes."""

    above: int
    """Draws in which the first was better."""
    ties: int
    below: int
    difference: float
    """First minus second, mean over tasks."""
    interval: tuple[float, float]

    @property
    def draws(self) -> int:
        """All paired draws."""
        return self.above + self.ties + self.below


def outcomes(results: Iterable[Result]) -> dict[str, dict[str, Outcomes]]:
    """Return method -> task -> outcomes; episodes that could not be run are left out."""
    out: dict[str, dict[str, dict[Draw, dict[int, int]]]] = {}
    for r in results:
        if not r.error:
            by_draw = out.setdefault(r.method, {}).setdefault(r.task, {})
            by_draw.setdefault(r.cell.draw, {})[r.seed] = int(r.success)
    return {method: dict(tasks) for method, tasks in out.items()}


def spread(tasks: Mapping[str, Outcomes], *, seed: int = 0) -> Spread:
    """Return the success of a method over draws, on one task or on several.

    Args:
        tasks: task -> outcomes.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    counts = [_Counts.of(outcome) for outcome in tasks.values()]
    samples = np.mean([c.resampled(rng) for c in counts], axis=0)
    rates = [np.mean(list(scenes.values())) for outcome in tasks.values() for scenes in outcome.values()]
    trials = sum(len(scenes) for outcome in tasks.values() for scenes in outcome.values())
    good = sum(sum(scenes.values()) for outcome in tasks.values() for scenes in outcome.values())
    low, high = _percentiles(samples)
    wilson_low, wilson_high = wilson(good, trials)
    worst = math.ceil(0.1 * len(rates))
    return Spread(
        mean=float(np.mean([c.mean for c in counts])),
        interval=(min(low, wilson_low), max(high, wilson_high)),
        worst_tenth=float(np.sort(rates)[:worst].mean()),
        worst_count=worst,
        worst_by_chance=_worst_by_chance(counts, worst, rng),
        shares=_mean_shares([shares(outcome) for outcome in tasks.values()]),
        sets=sum(len(c.draws) for c in counts),
        draws=len(rates),
        episodes=trials,
        rates=tuple(float(r) for r in rates),
    )


def compare(first: Mapping[str, Outcomes], second: Mapping[str, Outcomes], *, seed: int = 0) -> Comparison | None:
    """Compare two methods on the draws and scenes that both were tested on; None if there are none.

    Args:
        first: task -> outcomes.
        second: of the other method.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    differences = {task: _difference(first[task], second[task]) for task in first if task in second}
    counts = [_Counts.of(outcome) for outcome in differences.values() if outcome]
    if not counts:
        return None
    totals = [sum(scenes.values()) for outcome in differences.values() for scenes in outcome.values()]
    return Comparison(
        above=sum(t > 0 for t in totals),
        ties=sum(t == 0 for t in totals),
        below=sum(t < 0 for t in totals),
        difference=float(np.mean([c.mean for c in counts])),
        interval=_percentiles(np.mean([c.resampled(rng) for c in counts], axis=0)),
    )


def shares(outcome: Outcomes) -> Shares:
    """Return the parts of the variance of one method on one task, unclipped: the estimate of a zero part can be negative."""
    sets = _by_set(outcome)
    draws = [d for per_set in sets for d in per_set]
    freedom = sum(len(d) - 1 for d in draws)
    if not freedom:
        return Shares(None, None, None)
    within = sum(float(np.sum((d - d.mean()) ** 2)) for d in draws) / freedom

    # Draws of a set differ by the seeds and, with few scenes each, by the binomial part.
    several = [per_set for per_set in sets if len(per_set) > 1]
    between_seeds = None
    if several:
        means = [np.array([d.mean() for d in per_set]) for per_set in several]
        noise = np.mean([np.mean([1 / len(d) for d in per_set]) for per_set in several])
        seen = sum(float(np.sum((m - m.mean()) ** 2)) for m in means) / sum(len(m) - 1 for m in means)
        between_seeds = seen - within * float(noise)

    # Sets differ by the episodes and, with few draws each, by both of the above.
    between_sets = None
    if len(sets) > 1:
        seen = float(np.var([np.mean([d.mean() for d in per_set]) for per_set in sets], ddof=1))
        noise = float(np.mean([sum(1 / len(d) for d in per_set) / len(per_set) ** 2 for per_set in sets]))
        fewness = float(np.mean([1 / len(per_set) for per_set in sets]))
        between_sets = seen - within * noise - (between_seeds or 0.0) * fewness
    return Shares(between_sets, between_seeds, within)


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """Outcomes as counts per draw, padded: rows are sets, columns their draws."""

    scenes: Int[Array, "K S"]
    plus: Float[Array, "K S"]
    """Share of scenes with outcome 1."""
    minus: Float[Array, "K S"]
    """Share with outcome -1."""
    draws: Int[Array, " K"]
    """Draws of each set."""

    @classmethod
    def of(cls, outcome: Outcomes) -> "_Counts":
        sets = _by_set(outcome)
        shape = (len(sets), max(map(len, sets)))
        scenes, plus, minus = np.ones(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
        for k, per_set in enumerate(sets):
            for s, values in enumerate(per_set):
                scenes[k, s], plus[k, s], minus[k, s] = len(values), np.mean(values > 0), np.mean(values < 0)
        return cls(scenes, plus, minus, np.array([len(per_set) for per_set in sets]))

    @property
    def mean(self) -> float:
        """Mean over sets of the mean over their draws: all sets have equal weight."""
        return float(_mean_of_sets(self.plus - self.minus, self.draws))

    def resampled(self, rng: np.random.Generator) -> Float[Array, " R"]:
        """Return RESAMPLES means over resampled sets, draws and scenes."""
        sets, seeds = self.scenes.shape
        k = rng.integers(sets, size=(RESAMPLES, sets))
        s = (rng.random((RESAMPLES, sets, seeds)) * self.draws[k][..., None]).astype(np.int64)
        n, plus, minus = (table[k[..., None], s] for table in (self.scenes, self.plus, self.minus))
        good = rng.binomial(n, plus)
        bad = rng.binomial(n - good, np.where(plus < 1.0, minus / np.maximum(1.0 - plus, 1e-12), 0.0).clip(0.0, 1.0))
        return np.asarray(_mean_of_sets((good - bad) / n, self.draws[k]))


def _mean_of_sets(values: Float[Array, "... K S"], draws: Int[Array, "... K"]) -> Float[Array, "..."] | np.float64:
    is_draw = np.arange(values.shape[-1]) < draws[..., None]
    return ((values * is_draw).sum(axis=-1) / draws).mean(axis=-1)


def _by_set(outcome: Outcomes) -> list[list[Int[Array, " n"]]]:
    sets: dict[int, list[Array]] = {}
    for draw, scenes in sorted(outcome.items()):
        sets.setdefault(draw.episode_set, []).append(np.array(list(scenes.values())))
    return list(sets.values())


def _difference(first: Outcomes, second: Outcomes) -> Outcomes:
    paired: dict[Draw, dict[int, int]] = {}
    for draw, scenes in first.items():
        other = second.get(draw, {})
        both = {scene: value - other[scene] for scene, value in scenes.items() if scene in other}
        if both:
            paired[draw] = both
    return paired


def _worst_by_chance(counts: Sequence[_Counts], worst: int, rng: np.random.Generator) -> float:
    columns = [
        rng.binomial(n, c.mean, size=_CHANCE) / n
        for c in counts
        for row, draws in zip(c.scenes, c.draws, strict=True)
        for n in row[:draws]
    ]
    return float(np.sort(np.stack(columns, axis=1), axis=1)[:, :worst].mean())


def _mean_shares(given: Sequence[Shares]) -> Shares:
    def mean(values: Iterable[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known else None

    return Shares(mean(s.episodes for s in given), mean(s.seeds for s in given), mean(s.scenes for s in given))


def _percentiles(samples: Float[Array, " R"]) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)
