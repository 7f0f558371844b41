"""`frs demo`: the whole workflow without a window, as an introduction and for machines without a display."""

import os
import time
from pathlib import Path

from frs_core import paths
from frs_core.commands.printing import console
from frs_core.evaluation.demo import DemoSeed, DemoSpec, run_demo
from frs_core.evaluation.setup import SetupSpec
from frs_core.policies import NamedPolicy, PolicyOptions, WorldsPolicyName, usual_policy
from frs_core.runtime.bounds import Count, Workers
from frs_core.runtime.registry import plain_options
from frs_core.worlds import DEFAULT as DEFAULT_WORLD
from frs_core.worlds import WorldName, WorldOptions


def demo(
    *,
    task: str = "",
    episodes: Count = 10,
    trials: Count = 10,
    out: Path | None = None,
    world: WorldName = DEFAULT_WORLD,
    world_options: WorldOptions = None,
    policy: WorldsPolicyName = None,
    policy_options: PolicyOptions = None,
    action_space: str = "",
    scripted_operator: str = "",
    max_chunks: Count = 40,
    workers: Workers | None = None,
    films: bool = True,
    seed: DemoSeed = 0,
) -> int:
    """Run the whole workflow without a window: steer ten successes, train, compare on fresh scenes, write a report.

    Args:
        task: Task name of the world; default the world's example.
        episodes: Steered successes to learn from.
        trials: Fresh scenes per method.
        out: Folder for all output; default a new one under <data>/demo.
        world: Robot or simulator.
        world_options: Options of the world: NAME VALUE ….
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        action_space: joint_velocity or joint_position: convert the tool deltas of a generalist to joints; default its own.
        scripted_operator: Your own scripted operator, module:Class; default the world's.
        max_chunks: Maximum length of an attempt, in chunks.
        workers: Processes for the comparison; default one per core.
        films: Film the first scene with every method.
        seed: 0 to 20; selects the scenes to steer, the training seed and the fresh scenes.
    """
    page = console()
    spec = DemoSpec(
        task=task,
        out=out or paths.data() / "demo" / time.strftime("%Y%m%dT%H%M%S"),
        setup=SetupSpec(
            world=world,
            world_options=plain_options(world_options),
            policy=NamedPolicy(policy or usual_policy(world), plain_options(policy_options), action_space),
            operator=scripted_operator,
        ),
        episodes=episodes,
        trials=trials,
        max_chunks=max_chunks,
        workers=workers or os.cpu_count() or 1,
        films=films,
        seed=seed,
    )
    run_demo(spec, lambda text: page.print(text, soft_wrap=True, highlight=False))
    return 0
