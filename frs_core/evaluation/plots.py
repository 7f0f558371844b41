"""Plots of an evaluation, drawn without a display. Colours are from the Okabe-Ito palette and never the only distinction."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from frs_core.evaluation.results import Result
from frs_core.evaluation.tables import ALL, Rate, episodes_of, rates, title

_GREY, _BLUE, _ORANGE, _GREEN, _PURPLE = "#888888", "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_COLOURS = {
    "base": _GREY,
    "frs": _BLUE,
    "frs-plain": "#56B4E9",
    "dsbc": _GREEN,
    "offline-dsbc": "#8FD6BF",
    "bc-gaussian": _ORANGE,
    "bc-flow": "#E69F00",
}
_MARKERS = {"dsbc": "o", "offline-dsbc": "^", "bc-gaussian": "s", "bc-flow": "D"}


def success_bars(results: Iterable[Result], *, subtitle: str = "") -> Figure:
    """Return a bar per method: pooled success with its 95 % interval, one small dot per task.

    Args:
        results: of one evaluation.
        subtitle: one line under the title.
    """
    given = rates(results)
    pooled = [r for r in given if r.task == ALL]
    figure = Figure(figsize=(max(5.0, 1.6 + 0.85 * len(pooled)), 4.2), layout="constrained")
    axes = figure.subplots()
    for x, rate in enumerate(pooled):
        low, high = rate.interval
        share = 0.0 if rate.trials == 0 else rate.share
        axes.bar(x, 100 * share, width=0.68, color=colour(rate.method), zorder=2)
        axes.vlines(x, 100 * low, 100 * high, color="black", linewidth=1.4, zorder=4)
        axes.annotate(f"{100 * share:.0f}", (x, 103), ha="center", fontsize=10, fontweight="bold")
        dots = [r for r in given if r.method == rate.method and r.task != ALL and r.trials]
        offsets = [x + 0.24 * (2 * i / max(len(dots) - 1, 1) - 1) for i in range(len(dots))]
        axes.scatter(
            offsets, [100 * r.share for r in dots], s=12, facecolor="white", edgecolor="black", linewidth=0.7, zorder=3
        )
    axes.set_xticks(range(len(pooled)), [wrapped(title(r.method)) for r in pooled], fontsize=8)
    axes.set_ylim(0, 111)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("Success, %")
    axes.grid(axis="y", color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    trials = sorted({r.trials for r in pooled})
    axes.set_title(_heading("Success by method", trials, subtitle), fontsize=10, loc="left")
    return figure


def success_by_episodes(results: Iterable[Result], *, full: int, subtitle: str = "") -> Figure:
    """Return success against the number of training episodes, a line per learner, pooled over tasks.

    Args:
        results: with variants such as `dsbc@3`.
        full: episodes behind the plain names (`dsbc`).
        subtitle: one line under the title.
    """
    pooled = [r for r in rates(results) if r.task == ALL and r.trials]
    lines: dict[str, list[tuple[int, Rate]]] = {}
    for rate in pooled:
        count = episodes_of(rate.method, default=full)
        if count is not None:
            lines.setdefault(rate.method.partition("@")[0], []).append((count, rate))
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        points.sort(key=lambda item: item[0])
        counts, shares = [c for c, _ in points], [100 * r.share for _, r in points]
        errors = [
            [100 * (r.share - r.interval[0]) for _, r in points],
            [100 * (r.interval[1] - r.share) for _, r in points],
        ]
        axes.errorbar(
            counts, shares, yerr=errors, marker=marker(name), color=colour(name), capsize=3, label=title(name)
        )
    for rate in pooled:
        if rate.method in ("base", "frs"):
            axes.axhline(100 * rate.share, color=colour(rate.method), linestyle="--", linewidth=1)
            axes.annotate(
                title(rate.method), (1.0, 100 * rate.share), (-2, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=8, color=colour(rate.method),
            )  # fmt: skip
    axes.set_xlabel("Episodes to learn from")
    axes.set_ylabel("Success, %")
    axes.set_ylim(0, 104)
    axes.set_xticks(sorted({c for points in lines.values() for c, _ in points}))
    axes.grid(axis="y", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.legend(frameon=False, fontsize=8)
    axes.set_title(
        _heading("Success by number of episodes", sorted({r.trials for r in pooled}), subtitle), fontsize=10, loc="left"
    )
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure (PNG or SVG by its suffix) and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def colour(method: str) -> str:
    """Return a method's colour."""
    return _COLOURS.get(method.partition("@")[0], _PURPLE)


def _heading(text: str, trials: Sequence[int], subtitle: str) -> str:
    counts = f"n = {trials[0]}" if len(trials) == 1 else f"n = {trials[0]}–{trials[-1]}" if trials else "no episodes"
    return f"{text} ({counts}, 95 % Wilson interval)" + (f"\n{subtitle}" if subtitle else "")


def marker(method: str) -> str:
    """Return a learner's marker."""
    return _MARKERS.get(method.partition("@")[0], "o")


def wrapped(text: str, *, most: int = 12) -> str:
    """Return words in lines of about `most` characters, for a tick label."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
