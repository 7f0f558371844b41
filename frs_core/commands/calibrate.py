"""`frs policy calibrate`: find the steering settings that suit a policy, without a robot and without success labels."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import Progress
from rich.table import Table

from frs_core import paths
from frs_core.calibration import PlanScore, Prior, grid, sample_prior, sweep
from frs_core.calibration.sweep import best, describe, save
from frs_core.commands.printing import console
from frs_core.errors import ConfigError
from frs_core.policies import FlowPolicy, NamedPolicy, PolicyOptions, WorldsPolicyName, usual_policy
from frs_core.runtime.bounds import Count, Seed
from frs_core.runtime.folders import recording_root
from frs_core.runtime.registry import Option, plain_options, with_flags
from frs_core.steering.methods import Method, SteeringPlan
from frs_core.worlds import DEFAULT as DEFAULT_WORLD
from frs_core.worlds import WorldName, WorldOptions, make_unwatched_world


def calibrate(
    *,
    policy: WorldsPolicyName = None,
    policy_options: PolicyOptions = None,
    path: str | None = None,
    episodes: Path | None = None,
    world: WorldName = DEFAULT_WORLD,
    world_options: WorldOptions = None,
    observations: Count = 200,
    out: Path | None = None,
    choose: str | None = None,
    seed: Seed = 500_000,
) -> int:
    """Evaluate many steering plans on a policy, and store the best with its fingerprint.

    Writes scores.json, plan.json and calibration.png. For a shipped generalist, plan.json in its folder of assets is what the
    product uses.

    Args:
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        path: Its weights or address, as --policy-options path PATH; default the policy's own.
        episodes: Recording root whose observations are used; default: fresh ones from the world.
        world: Robot or simulator that gives observations when no episodes are given.
        world_options: Options of the world: NAME VALUE ….
        observations: Number of observations.
        out: Folder for the results; default runs/calibration.
        choose: Take this plan (JSON, e.g. '{"components": 1, "clamp": 1.5}') instead of the best one.
        seed: First scene seed of fresh observations.
    """
    page = console()
    loaded = NamedPolicy(policy or usual_policy(world), with_flags(policy_options, {"path": path})).load()
    seen = (
        _from_episodes(loaded, recording_root(episodes), observations)
        if episodes
        else _from_world(loaded, world, plain_options(world_options), observations, seed)
    )
    plans = grid(loaded.spec.horizon)
    with Progress(console=page) as progress:
        bar = progress.add_task(f"{len(plans)} plans on {len(seen)} observations", total=len(plans))
        scores = sweep(loaded, seen, plans, on_score=lambda _: progress.advance(bar))
    chosen = SteeringPlan.from_json(json.loads(choose)) if choose else best(scores).plan
    folder = out or Path("runs/calibration")
    save(folder, scores, chosen, fingerprint=loaded.spec.fingerprint)
    page.print(_table(scores, chosen))
    page.print(
        f"Chosen: {describe(chosen)}. Results in {folder}; copy plan.json to {paths.assets() / loaded.spec.name} to use it."
    )
    return 0


def _from_world(policy: FlowPolicy, name: str, options: dict[str, Option], count: int, seed: int) -> list[Prior]:
    """Return observations along the policy's own behaviour in random scenes."""
    from frs_core.steering.methods import gaussian

    world = make_unwatched_world(name, **options)
    spec, rng = policy.spec, np.random.default_rng(seed)
    priors: list[Prior] = []
    try:
        episode = 0
        while len(priors) < count:
            # A world without named tasks has one scene per seed.
            task = str(rng.choice(world.spec.tasks)) if world.spec.tasks else None
            observation = world.reset(task=task, seed=seed + episode)
            episode += 1
            for chunk_index in range(12):
                context = policy.encode(observation)
                if rng.random() < 0.5 and len(priors) < count:
                    priors.append(sample_prior(policy, observation, context, seed=len(priors)))
                noise = gaussian((1, spec.horizon, spec.width), seed=seed + 100 * episode + chunk_index)
                for action in policy.to_robot(policy.denoise(context, noise), observation)[0][: spec.execute_rows]:
                    world.step(action, spec.action_space.kind)
                observation = world.observe()
    finally:
        world.close()
    return priors


def _from_episodes(policy: FlowPolicy, root: Path, count: int) -> list[Prior]:
    """Return observations of recorded chunks, encoded anew."""
    from frs_core.episodes import EpisodeStore

    store = EpisodeStore(root)
    priors: list[Prior] = []
    for info in store.list():
        episode = store.open(info.name)
        for index in range(info.n_chunks):
            if len(priors) == count:
                return priors
            observation = episode.observation(index)
            priors.append(sample_prior(policy, observation, policy.encode(observation), seed=len(priors)))
    if not priors:
        raise ConfigError(f"No recorded chunks under {root}. Record episodes first, or leave --episodes away.")
    return priors


def _table(scores: list[PlanScore], chosen: SteeringPlan) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("plan", no_wrap=True)
    for header in (
        "along mm",
        "positive",
        "cosine",
        "apart mm",
        "made",
        "gripper",
        "in prior",
        "noise pct",
        "ms",
        "balance",
    ):
        table.add_column(header, justify="right")
    for s in sorted(scores, key=lambda s: -s.balance):
        mark = " *" if s.plan == chosen else ""
        kind = "" if s.plan.method is Method.FRS else f"{s.plan.method.value}: "
        table.add_row(
            kind + describe(replace(s.plan, method=Method.FRS)) + mark,
            f"{s.along_mm:.0f}",
            f"{s.positive:.2f}",
            f"{s.cosine:.2f}",
            f"{s.separation_mm:.0f}",
            f"{s.reached:.2f}",
            f"{s.obeyed:.2f}",
            f"{s.in_prior:.2f}",
            f"{s.percentile:.0f}",
            f"{s.ms:.0f}",
            f"{s.balance:.3f}",
        )
    return table
