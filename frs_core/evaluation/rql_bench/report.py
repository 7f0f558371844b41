"""Curves of a benchmark as JSON, table rows and a plot; success always with its interval."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from frs_core.counts import counted
from frs_core.evaluation.rql_bench.spec import BenchSpec
from frs_core.evaluation.rql_bench.training import Point
from frs_core.evaluation.wilson import format_rate, wilson

TITLES = {"ours": "this product", "official": "authors' JAX code"}
_STYLES = {"ours": ("#0072B2", "o", "-"), "official": ("#D55E00", "s", "--")}
_Curves = Mapping[str, Mapping[int, list[Point]]]


def pooled(seeds: Mapping[int, list[Point]]) -> dict[int, tuple[int, int]]:
    """Return step -> (successes, episodes) over the seeds that have come so far."""
    sums: dict[int, tuple[int, int]] = {}
    for points in seeds.values():
        for point in points:
            good, all_ = sums.get(point.step, (0, 0))
            sums[point.step] = (good + point.successes, all_ + point.episodes)
    return dict(sorted(sums.items()))


def last(seeds: Mapping[int, list[Point]]) -> str:
    """Return success at the last evaluation, over all seeds, for people."""
    good = sum(points[-1].successes for points in seeds.values())
    return format_rate(good, sum(points[-1].episodes for points in seeds.values()))


def time_line(times: Mapping[str, list[float]]) -> str:
    """Return how long an update takes, and the ratio of both codes."""
    own, theirs = (1000.0 * median(times[code]) for code in ("ours", "official"))
    return (
        f"an update takes {own:.1f} ms of processor here and {theirs:.1f} ms in the authors' code (medians of {len(times['ours'])} "
        f"rounds, one thread, in turn): ratio {own / theirs:.2f}"
    )


def as_json(spec: BenchSpec, curves: _Curves, times: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return everything as plain values."""
    return {
        "spec": spec.to_json(),
        "seconds_per_update": dict(times),
        "codes": {
            code: {
                "seeds": sorted(seeds),
                "success": [
                    {"step": step, "successes": good, "episodes": count, "interval": wilson(good, count)}
                    for step, (good, count) in pooled(seeds).items()
                ],
                "curves": {
                    str(seed): [
                        {
                            "step": p.step,
                            "successes": p.successes,
                            "critic_loss": p.critic_loss,
                            "cloning_loss": p.cloning_loss,
                            "value": p.value,
                        }
                        for p in points
                    ]
                    for seed, points in seeds.items()
                },
            }
            for code, seeds in curves.items()
        },
    }


def figure(spec: BenchSpec, curves: _Curves) -> Figure:
    """Return success with its Wilson interval, and mean value, against updates."""
    drawn = Figure(figsize=(8.4, 3.6), layout="constrained")
    success, value = drawn.subplots(1, 2)
    for code, seeds in curves.items():
        colour, marker, line = _STYLES[code]
        rates = pooled(seeds)
        shares = [100.0 * good / count for good, count in rates.values()]
        bounds = [wilson(*pair) for pair in rates.values()]
        low = [share - 100.0 * bound[0] for share, bound in zip(shares, bounds, strict=True)]
        high = [100.0 * bound[1] - share for share, bound in zip(shares, bounds, strict=True)]
        name = f"{TITLES[code]}, {counted(len(seeds), 'seed')}"
        success.errorbar(
            list(rates), shares, yerr=[low, high], color=colour, marker=marker, ls=line, capsize=3, label=name
        )
        for points in seeds.values():
            value.plot([p.step for p in points], [p.value for p in points], color=colour, marker=marker, ls=line)
    for axes, text in ((success, "Success, % (95 % Wilson)"), (value, "Mean value of a batch")):
        axes.set_xlabel("Updates")
        axes.set_ylabel(text)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd")
    success.set_ylim(0, 104)
    if curves:
        success.legend(frameon=False, fontsize=8)
    config = spec.config
    drawn.suptitle(
        f"{spec.task}: {len(config.hidden)} x {config.hidden[0]}, {config.heads} heads, batch {spec.batch}, {counted(spec.episodes, 'episode')} of "
        f"data",
        fontsize=9,
    )
    return drawn
