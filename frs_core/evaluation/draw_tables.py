"""Tables of an evaluation over draws, as Markdown for people and JSON for machines.

A learned method has a row per task and one for all of them: mean and interval over draws and scenes, the worst tenth of
the draws, and what its successes depend on. A method that learns nothing depends on scenes only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from frs_core.evaluation.draws import Draw
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.reliability import Reliability, reliability
from frs_core.evaluation.results import Result
from frs_core.evaluation.spread import RESAMPLES, Comparison, Outcomes, Spread, compare, outcomes, spread
from frs_core.evaluation.tables import ALL, in_order, title

_REFERENCE = "dsbc"
FEW_SETS = 5
"""Fewer sets say little about other sets; the caption says so."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one task, or on all."""

    method: str
    task: str
    spread: Spread

    @property
    def is_learned(self) -> bool:
        """Whether draws differ in anything but scenes."""
        return bool(find_method(self.method).learned)


@dataclass(frozen=True, slots=True)
class Pair:
    """A noise policy against another learner of the same draws."""

    first: str
    second: str
    comparison: Comparison


def has_draws(results: Iterable[Result]) -> bool:
    """Return whether these are results over draws."""
    return any(r.episode_set for r in results)


def rows(results: Iterable[Result]) -> list[Row]:
    """Return the spread of every method on every task and on all of them, in the order of the method table."""
    by = outcomes(results)
    out: list[Row] = []
    for method in in_order(by):
        tasks = by[method] if find_method(method).learned else _without_draws(by[method])
        if len(tasks) > 1:
            out += [Row(method, task, spread({task: outcome})) for task, outcome in tasks.items()]
            out.append(Row(method, ALL, spread(tasks)))
        else:
            out += [Row(method, task, spread(tasks)) for task in tasks]
    return out


def _without_draws(tasks: dict[str, Outcomes]) -> dict[str, Outcomes]:
    """Return all scenes as of one draw: a method that learns nothing knows no other difference."""
    return {t: {Draw(0): {s: v for scenes in o.values() for s, v in scenes.items()}} for t, o in tasks.items()}


def pairs(results: Iterable[Result]) -> list[Pair]:
    """Return DSBC against every other learner, those of equally many episodes where the name says how many."""
    by = outcomes(results)
    out: list[Pair] = []
    for first in in_order(m for m in by if m.partition("@")[0] == _REFERENCE):
        variant = first.partition("@")[2]
        others = [m for m in by if find_method(m).learned and m.partition("@")[0] != _REFERENCE]
        for second in in_order(m for m in others if m.partition("@")[2] == variant):
            comparison = compare(by[first], by[second])
            if comparison is not None:
                out.append(Pair(first, second, comparison))
    return out


def markdown(results: Iterable[Result]) -> str:
    """Return the table, what was compared pairwise, and a caption that says how it was reckoned."""
    given = list(results)
    head = ("method", "task", "success (95 %)", "worst tenth of draws", "variance: episodes / seed / scenes", "n")
    found = rows(given)
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in found]
    lines.append("")
    lines += [f"- {_sentence(pair)}" for pair in pairs(given)]
    told = reliability(given)
    if told is not None:
        lines.append(f"- {_forecasts(told)}")
    failed = sum(1 for r in given if r.error)
    if failed:
        lines.append(
            f"- {failed} episode(s) could not be run and are not counted; run the same command again to retry."
        )
    return "\n".join([*lines, "", _caption(found)]) + "\n"


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    """Return the same as plain values."""
    given = list(results)
    told = reliability(given)
    return {
        "resamples": RESAMPLES,
        "rows": [_row_json(row) for row in rows(given)],
        "pairs": [
            {"first": p.first, "second": p.second, "draws": p.comparison.draws, **asdict(p.comparison)}
            for p in pairs(given)
        ],
        "reliability": None if told is None else asdict(told),
    }


def _row_json(row: Row) -> dict[str, Any]:
    given = row.spread
    episodes, seed, scenes = given.shares.parts if row.is_learned else (None, None, None)
    return {
        "method": row.method,
        "task": row.task,
        "mean": given.mean,
        "low": given.interval[0],
        "high": given.interval[1],
        "worst_tenth": given.worst_tenth if row.is_learned else None,
        "worst_draws": given.worst_count if row.is_learned else None,
        "worst_by_chance": given.worst_by_chance if row.is_learned else None,
        "share_episodes": episodes,
        "share_seed": seed,
        "share_scenes": scenes,
        "draw_deviation": given.shares.draw_deviation if row.is_learned else None,
        "sets": given.sets,
        "draws": given.draws,
        "episodes": given.episodes,
        "rates": list(given.rates),
    }


def _cells(row: Row) -> tuple[str, ...]:
    given = row.spread
    low, high = given.interval
    success = f"{100 * given.mean:.0f} % ({100 * low:.0f}–{100 * high:.0f})"
    if not row.is_learned:
        return title(row.method), row.task, success, "–", "–", f"{given.episodes} episodes"
    chance = f"by chance {100 * given.worst_by_chance:.0f} %"
    worst = f"{100 * given.worst_tenth:.0f} % ({given.worst_count} of {given.draws}; {chance})"
    deviation = given.shares.draw_deviation
    spread_ = "" if deviation is None else f" (draws ±{100 * deviation:.0f} points)"
    shares = " / ".join("–" if share is None else f"{100 * share:.0f}" for share in given.shares.parts)
    n = f"{given.sets} sets, {given.draws} draws, {given.episodes} episodes"
    return title(row.method), row.task, success, worst, f"{shares} %{spread_}", n


def _sentence(pair: Pair) -> str:
    found = pair.comparison
    low, high = found.interval
    ties = f", {found.ties} tie{'' if found.ties == 1 else 's'}" if found.ties else ""
    return (
        f"{title(pair.first)} above {title(pair.second)} in {found.above} of {found.draws} paired draws{ties}; "
        f"difference {100 * found.difference:+.0f} points ({100 * low:+.0f} to {100 * high:+.0f})"
    )


def _forecasts(told: Reliability) -> str:
    return (
        f"Forecasts of {len(told.points)} trained policies, {told.episodes} episodes: mean {100 * told.mean_forecast:.0f} %, "
        f"came out {100 * told.mean_outcome:.0f} %; Brier score {told.brier:.3f}, the mean as a forecast {told.constant:.3f}"
    )


def _caption(found: Sequence[Row]) -> str:
    text = (
        f"Success: mean over tasks, over sets of episodes, over training seeds, over scenes; 95 % interval by drawing sets, "
        f"their seeds and their scenes again {RESAMPLES:,} times (tasks stay), never narrower than Wilson's; methods that "
        f"learn nothing vary by scenes only. Worst tenth: mean of the worst tenth of the draws, as judged; 'by chance' is "
        f"what it would be with all draws of a task equally good. Variance of one outcome by nested analysis of variance, "
        f"binomial part with the scenes, clipped at zero; with one training seed, episodes and seed are told together."
    )
    sets = min((row.spread.sets for row in found if row.is_learned and row.task != ALL), default=FEW_SETS)
    if sets < FEW_SETS:
        text += f" Only {sets} set(s) of episodes: too few to say how other sets would do."
    return text
