"""Score many plans on one policy, plot following against the prior, and save the best plan."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from frs_core.calibration.measure import PlanScore, Prior, score_plan
from frs_core.policies.base import FlowPolicy
from frs_core.steering.methods import Fill, Method, Solver, SteeringPlan


def grid(horizon: int) -> list[SteeringPlan]:
    """Return the plans to try for chunks of `horizon` rows; the paper's plan is the first.

    Varies one setting at a time around two base plans (the whole noise, and its mean over the chunk), plus some combinations.
    """
    whole, mean = SteeringPlan(), SteeringPlan(components=1)
    plans = [whole, mean]
    for base in (whole, mean):
        plans += [replace(base, steps=k) for k in (4, 5, 7, 20)]
        plans += [replace(base, depth=n) for n in (2, 4, 6, 8)]
        plans += [replace(base, strength=s) for s in (0.5, 0.75, 1.25)]
        plans += [replace(base, gripper_strength=g) for g in (1.5, 2.0, 3.0)]
        plans += [replace(base, clamp=c) for c in (1.0, 1.5, 2.0, 2.5)]
        plans += [replace(base, t_max=0.9), replace(base, solver=Solver.FIXED_POINT)]
    for keep in (1, 2, 3, 4):
        if keep < horizon:
            plans.append(replace(whole, components=keep))
            plans += [replace(whole, components=keep, fill=Fill.NOISE, fill_scale=s) for s in (0.5, 1.0)]
    for clamp in (1.0, 1.5, 2.0):
        plans += [replace(mean, clamp=clamp, fill=Fill.NOISE, fill_scale=s) for s in (0.5, 1.0)]
        plans += [replace(mean, clamp=clamp, strength=s) for s in (0.75,)]
    plans += [SteeringPlan(method=Method.PARTIAL_NOISING, noising_time=t) for t in (0.3, 0.5, 0.7)]
    plans += [SteeringPlan(method=Method.SAMPLE_AND_RANK), SteeringPlan(method=Method.FLOW_CONTROL)]
    return list(dict.fromkeys(plans))


def sweep(
    policy: FlowPolicy,
    priors: Sequence[Prior],
    plans: Iterable[SteeringPlan],
    *,
    on_score: Callable[[PlanScore], None] | None = None,
) -> list[PlanScore]:
    """Return the score of every plan, in the given order."""
    scores = []
    for plan in plans:
        scores.append(score_plan(policy, priors, plan))
        if on_score:
            on_score(scores[-1])
    return scores


def best(scores: Sequence[PlanScore]) -> PlanScore:
    """Return the FRS plan with the best balance of following and staying in the prior."""
    own = [s for s in scores if s.plan.method is Method.FRS]
    return max(own, key=lambda s: s.balance)


def save(folder: Path, scores: Sequence[PlanScore], chosen: SteeringPlan, *, fingerprint: str) -> None:
    """Write scores.json, plan.json (with the fingerprint) and the plot to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(s), "plan": s.plan.to_json(), "balance": s.balance} for s in scores]
    (folder / "scores.json").write_text(json.dumps(rows, indent=1))
    stored = {"fingerprint": fingerprint, "plan": chosen.to_json()}
    (folder / "plan.json").write_text(json.dumps(stored, indent=1) + "\n")
    _plot(folder / "calibration.png", scores, chosen)


def describe(plan: SteeringPlan) -> str:
    """Return the settings that differ from the paper's, as "name=value, …"."""
    default = SteeringPlan()
    parts = [
        f"{name}={value}"
        for name, value in plan.to_json().items()
        if value != default.to_json()[name] and name not in ("seed",)
    ]
    return ", ".join(parts) or "paper"


def _plot(file: Path, scores: Sequence[PlanScore], chosen: SteeringPlan) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    groups = {
        "whole noise": lambda p: p.method is Method.FRS and p.components is None,
        "chunk mean": lambda p: p.method is Method.FRS and p.components == 1,
        "2-4 components": lambda p: p.method is Method.FRS and (p.components or 0) > 1,
        "baselines": lambda p: p.method is not Method.FRS,
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.2), dpi=110)
    for (label, is_in), marker in zip(groups.items(), "os^D", strict=True):
        inside = [s for s in scores if is_in(s.plan)]
        left.scatter(
            [s.in_prior for s in inside], [s.reached * s.cosine for s in inside], marker=marker, label=label, s=36
        )
    for s in scores:
        if s.plan == chosen:
            left.scatter(
                [s.in_prior], [s.reached * s.cosine], marker="*", s=320, c="none", edgecolors="k", label="chosen"
            )
    left.set(xlabel="share of steered chunks in the prior", ylabel="follows the command (share reached x cosine)")
    left.legend()
    for base, label in ((SteeringPlan(), "whole noise"), (SteeringPlan(components=1), "chunk mean")):
        for field, style in (("steps", "-"), ("depth", "--")):
            line = sorted(
                (getattr(s.plan, field) or s.plan.steps, s.balance)
                for s in scores
                if replace(s.plan, **{field: getattr(base, field)}) == base
            )
            right.plot([x for x, _ in line], [y for _, y in line], style, marker="o", label=f"{label}, {field}")
    right.set(xlabel="K (steps), or n (depth at K = 10)", ylabel="balance of following and prior")
    right.legend()
    figure.tight_layout()
    figure.savefig(file)
    plt.close(figure)
