"""Success tables: methods x tasks, with Wilson intervals, as Markdown for people and JSON for machines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from frs_core.counts import count_of
from frs_core.evaluation.asked import Asked, asked
from frs_core.evaluation.methods import METHODS, find_method
from frs_core.evaluation.results import Result
from frs_core.evaluation.wilson import format_rate, wilson

ALL = "all tasks"
"""Task name of the pooled column."""
MOST_COLUMNS = 8
"""Most tasks that fit side by side in a terminal."""
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rate:
    """Success of one method on one task."""

    method: str
    task: str
    """ALL = pooled over tasks."""
    successes: int
    trials: int
    errors: int
    """Episodes that could not be run; not among the trials."""
    mean_steps: float
    """Of successful episodes, control steps; NaN without any."""
    steered_share: float
    """Share of chunks that were steered; NaN without chunks."""
    operator_noise: float = 0.0
    """Share of the operator's chunks that were to get a wrong direction."""
    asked: Asked | None = None
    """What a vision-language model's picks took; None where none steered."""

    @property
    def share(self) -> float:
        """Successes per trial; NaN without trials."""
        return self.successes / self.trials if self.trials else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval."""
        return wilson(self.successes, self.trials)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        low, high = self.interval
        return {
            "method": self.method,
            "task": self.task,
            "successes": self.successes,
            "trials": self.trials,
            "errors": self.errors,
            "share": _plain(self.share),
            "low": low,
            "high": high,
            "mean_steps": _plain(self.mean_steps),
            "steered_share": _plain(self.steered_share),
            "operator_noise": self.operator_noise,
            **({"asked": self.asked.to_json()} if self.asked else {}),
        }


def rates(results: Iterable[Result]) -> list[Rate]:
    """Return the rate of every method on every task and on all tasks, in the order of the method table."""
    given = list(results)
    methods = in_order(r.method for r in given)
    tasks = list(dict.fromkeys(r.task for r in given))
    out: list[Rate] = []
    for method in methods:
        own = [r for r in given if r.method == method]
        for task in tasks:
            if any(r.task == task for r in own):
                out.append(_rate(method, task, [r for r in own if r.task == task]))
        out.append(_rate(method, ALL, own))
    return out


def markdown(results: Iterable[Result], *, titles: Mapping[str, str] = _NONE) -> str:
    """Return the table: one row per method, one column per task, the pooled rate with its interval last.

    More than `MOST_COLUMNS` tasks are rows, and the methods columns.

    Args:
        results: of the episodes.
        titles: of methods that are not in the method table.
    """
    given = rates(results)
    tasks = list(dict.fromkeys(r.task for r in given if r.task != ALL))
    methods = list(dict.fromkeys(r.method for r in given))
    by = {(r.method, r.task): r for r in given}
    head, rows = ["method", *tasks, "all (95 % interval)"], []
    for method in methods:
        pooled = by[method, ALL]
        cells = [_cell(by.get((method, task))) for task in tasks]
        rows.append([titles.get(method) or title(method), *cells, format_rate(pooled.successes, pooled.trials)])
    if len(tasks) > MOST_COLUMNS:
        head, *rows = [list(column) for column in zip(head, *rows, strict=True)]
        head[0] = "task"
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    lines.insert(1, "|---" * len(head) + "|")
    lines += notes(given)
    failed = sum(r.errors for r in given if r.task == ALL)
    if failed:
        lines += ["", f"{failed} episode(s) could not be run and are not counted; run the same command again to retry."]
    return "\n".join(lines) + "\n"


def notes(given: Iterable[Rate]) -> list[str]:
    """Return what is to be known about methods whose operator erred or is a model, as lines under a table."""
    lines: list[str] = []
    for rate in (r for r in given if r.task == ALL):
        if rate.operator_noise:
            lines += [
                "",
                f"{title(rate.method)}: {100 * rate.operator_noise:g} % of the operator's chunks were to get a wrong direction.",
            ]
        if rate.asked is not None:
            lines += ["", f"{title(rate.method)}: {rate.asked.sentence}."]
    return lines


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    """Return the same table as plain values."""
    return {"rates": [r.to_json() for r in rates(results)]}


def title(method: str) -> str:
    """Return the title of a method for tables and plots."""
    return find_method(method).title


def episodes_of(method: str, *, default: int) -> int | None:
    """Return how many episodes a learned variant was trained on (`dsbc@3` -> 3); None for methods that do not learn."""
    base, _, variant = method.partition("@")
    if not METHODS[base].learned:
        return None
    count = count_of(variant)
    return default if count is None else count


def in_order(methods: Iterable[str]) -> list[str]:
    """Return the distinct methods in the order of the method table, variants by number of episodes."""
    return sorted(set(methods), key=_method_order)


def _method_order(name: str) -> tuple[int, int, str, str]:
    base, _, variant = name.partition("@")
    names = list(METHODS)
    place = names.index(base) if base in names else len(names)
    count = count_of(variant)
    return place, 10**9 if count is None else count, variant, base


def _rate(method: str, task: str, results: Sequence[Result]) -> Rate:
    counted = [r for r in results if not r.error]
    good = [r for r in counted if r.success]
    chunks = sum(r.chunks for r in counted)
    return Rate(
        method=method,
        task=task,
        successes=len(good),
        trials=len(counted),
        errors=len(results) - len(counted),
        mean_steps=sum(r.steps for r in good) / len(good) if good else float("nan"),
        steered_share=sum(r.steered_chunks for r in counted) / chunks if chunks else float("nan"),
        operator_noise=max((r.operator_noise for r in counted), default=0.0),
        asked=asked([r.spent for r in counted if r.spent is not None]),
    )


def _cell(rate: Rate | None) -> str:
    if rate is None or rate.trials == 0:
        return "–"
    return f"{100 * rate.share:.0f} % ({rate.successes}/{rate.trials})"


def _plain(value: float) -> float | None:
    return None if value != value else value
