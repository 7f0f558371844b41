"""Plots of an evaluation over draws: success with a dot per draw, and forecast against outcome."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from frs_core.counts import counted
from frs_core.evaluation.draw_tables import Row
from frs_core.evaluation.plots import colour, marker, wrapped
from frs_core.evaluation.reliability import Point, Reliability
from frs_core.evaluation.tables import title
from frs_core.evaluation.wilson import wilson

BINS = 5
"""Number of equally wide bins of forecasts."""


def success_of_draws(rows: Sequence[Row], *, subtitle: str = "") -> Figure:
    """Return a bar per method: mean and 95 % interval over draws and scenes, one small dot per draw.

    Args:
        rows: one per method, those of all tasks.
        subtitle: one line under the title.
    """
    figure = Figure(figsize=(max(5.0, 1.6 + 0.95 * len(rows)), 4.2), layout="constrained")
    axes = figure.subplots()
    for x, row in enumerate(rows):
        low, high = row.spread.interval
        axes.bar(x, 100 * row.spread.mean, width=0.68, color=colour(row.method), zorder=2)
        axes.vlines(x, 100 * low, 100 * high, color="black", linewidth=1.4, zorder=4)
        axes.annotate(f"{100 * row.spread.mean:.0f}", (x, 103), ha="center", fontsize=10, fontweight="bold")
        dots = sorted(row.spread.rates) if row.is_learned else []
        offsets = x + np.linspace(-0.28, 0.28, len(dots)) if len(dots) > 1 else [x] * len(dots)
        axes.scatter(offsets, [100 * d for d in dots], s=9, facecolor="white", edgecolor="black", lw=0.5, zorder=3)
    axes.set_xticks(range(len(rows)), [wrapped(title(row.method)) for row in rows], fontsize=8)
    axes.set_ylim(-3, 111)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("Success, %")
    axes.grid(axis="y", color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    heading = "Success over sets of episodes, training seeds and scenes (95 %)\nDots: draws, from worst to best"
    axes.set_title(heading + (f"\n{subtitle}" if subtitle else ""), fontsize=10, loc="left")
    return figure


def forecast_against_outcome(found: Reliability) -> Figure:
    """Return a dot per trained policy, a line through bins of forecasts with Wilson intervals, and the diagonal."""
    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color="#888888", linestyle="--", linewidth=1)
    for method in dict.fromkeys(p.method for p in found.points):
        own = [p for p in found.points if p.method == method]
        axes.scatter(
            [100 * p.forecast for p in own], [100 * p.rate for p in own],
            s=18, alpha=0.6, marker=marker(method), color=colour(method), label=title(method),
        )  # fmt: skip
    binned = _binned(found.points)
    axes.errorbar(
        [100 * f for f, _, _ in binned], [100 * good / n for _, good, n in binned],
        yerr=np.array([_error(good, n) for _, good, n in binned]).T, color="black", marker="s", capsize=3,
        label=f"bins of {100 // BINS} points",
    )  # fmt: skip
    axes.set_xlabel("Forecast, %")
    axes.set_ylabel("Success, %")
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_title(
        f"Forecast and outcome (n = {len(found.points)} policies, {counted(found.episodes, 'episode')})\n"
        f"Brier score {found.brier:.3f}; predicting the mean {found.constant:.3f}",
        fontsize=10,
        loc="left",
    )
    return figure


def _binned(points: Sequence[Point]) -> list[tuple[float, int, int]]:
    """Return (mean forecast, successes, trials) of every bin that is not empty."""
    bins: dict[int, list[Point]] = {}
    for point in points:
        bins.setdefault(min(int(point.forecast * BINS), BINS - 1), []).append(point)
    out: list[tuple[float, int, int]] = []
    for _, own in sorted(bins.items()):
        trials = sum(p.trials for p in own)
        out.append((sum(p.forecast * p.trials for p in own) / trials, sum(p.successes for p in own), trials))
    return out


def _error(successes: int, trials: int) -> tuple[float, float]:
    low, high = wilson(successes, trials)
    share = successes / trials
    return 100 * (share - low), 100 * (high - share)
