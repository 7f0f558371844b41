"""Tables of an evaluation over draws, as Markdown for people and JSON for machines.

A learned method has one row per task and one for all tasks: mean and interval over draws and scenes, the worst tenth of
the draws, and the shares of the variance. A method without learning varies with the scenes only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from frs_core.counts import counted
from frs_core.evaluation.draws import Draw
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.reliability import Reliability, reliability
from frs_core.evaluation.results import Result
from frs_core.evaluation.spread import RESAMPLES, Comparison, Outcomes, Spread, compare, outcomes, spread
from frs_core.evaluation.tables import ALL, in_order, notes, rates, title

_REFERENCE = "dsbc"
FEW_SETS = 5
"""With fewer sets, the caption warns that other sets may differ."""


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one task, or on all tasks."""

    method: str
    task: str
    spread: Spread

    @property
    def is_learned(self) -> bool:
        """Whether draws differ in more than their scenes."""
        return bool(find_method(self.method).learned)


@dataclass(frozen=True, slots=True)
class Pair:
    """A noise policy compared with another learner on the same draws."""

    first: str
    second: str
    comparison: Comparison


def has_draws(results: Iterable[Result]) -> bool:
    """Return whether these are results over draws."""
    return any(r.episode_set for r in results)


def rows(results: Iterable[Result]) -> list[Row]:
    """Return the spread of every method on every task and on all tasks, in the order of the method table."""
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
    """Return all scenes as one draw: without learning, draws differ in their scenes only."""
    return {t: {Draw(0): {s: v for scenes in o.values() for s, v in scenes.items()}} for t, o in tasks.items()}


def pairs(results: Iterable[Result]) -> list[Pair]:
    """Return the comparisons of DSBC with every other learner trained on the same number of episodes."""
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
    """Return the table, the pairwise comparisons, and a caption that explains the figures."""
    given = list(results)
    head = ("method", "task", "success (95 %)", "worst tenth of draws", "variance: episodes / seed / scenes", "n")
    found = rows(given)
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in found]
    lines.append("")
    lines += [f"- {_sentence(pair)}" for pair in pairs(given)]
    lines += [f"- {note}" for note in notes(rates(given)) if note]
    forecasts = reliability(given)
    if forecasts is not None:
        lines.append(f"- {_forecasts(forecasts)}")
    failed = sum(1 for r in given if r.error)
    if failed:
        lines.append(
            f"- {failed} episode(s) could not be run and are not counted; run the same command again to retry."
        )
    return "\n".join([*lines, "", _caption(found)]) + "\n"


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    """Return the same as plain values."""
    given = list(results)
    forecasts = reliability(given)
    return {
        "resamples": RESAMPLES,
        "rows": [_row_json(row) for row in rows(given)],
        "pairs": [
            {"first": p.first, "second": p.second, "draws": p.comparison.draws, **asdict(p.comparison)}
            for p in pairs(given)
        ],
        "reliability": None if forecasts is None else asdict(forecasts),
        "asked": {r.method: r.asked.to_json() for r in rates(given) if r.task == ALL and r.asked},
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
        return title(row.method), row.task, success, "–", "–", f"{counted(given.episodes, 'episode')}"
    chance = f"by chance {100 * given.worst_by_chance:.0f} %"
    worst = f"{100 * given.worst_tenth:.0f} % ({given.worst_count} of {given.draws}; {chance})"
    deviation = given.shares.draw_deviation
    spread_ = "" if deviation is None else f" (draws ±{100 * deviation:.0f} points)"
    shares = " / ".join("–" if share is None else f"{100 * share:.0f}" for share in given.shares.parts)
    n = f"{counted(given.sets, 'set')}, {counted(given.draws, 'draw')}, {counted(given.episodes, 'episode')}"
    return title(row.method), row.task, success, worst, f"{shares} %{spread_}", n


def _sentence(pair: Pair) -> str:
    found = pair.comparison
    low, high = found.interval
    ties = f", {counted(found.ties, 'tie')}" if found.ties else ""
    return (
        f"{title(pair.first)} above {title(pair.second)} in {found.above} of {found.draws} paired draws{ties}; "
        f"difference {100 * found.difference:+.0f} points ({100 * low:+.0f} to {100 * high:+.0f})"
    )


def _forecasts(found: Reliability) -> str:
    return (
        f"Forecasts of {len(found.points)} trained policies, {counted(found.episodes, 'episode')}: mean {100 * found.mean_forecast:.0f} %, "
        f"outcome {100 * found.mean_outcome:.0f} %; Brier score {found.brier:.3f}, predicting the mean {found.constant:.3f}"
    )


def _caption(found: Sequence[Row]) -> str:
    text = (
        f"Success: mean over tasks, sets of episodes, training seeds and scenes; 95 % bootstrap interval over sets, seeds "
        f"and scenes ({RESAMPLES:,} resamples, tasks fixed), never narrower than Wilson's; methods without learning vary "
        f"with the scenes only. Worst tenth: mean success of the worst tenth of the draws; 'by chance' is its expected "
        f"value if all draws of a task were equally good. Variance of one outcome by nested analysis of variance, with the "
        f"binomial part counted as scenes, clipped at zero; with one training seed, episodes and seed are one share."
    )
    sets = min((row.spread.sets for row in found if row.is_learned and row.task != ALL), default=FEW_SETS)
    if sets < FEW_SETS:
        text += f" Only {sets} set(s) of episodes: too few to predict other sets."
    return text
