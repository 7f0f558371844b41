"""Pure functions of the session: whether a policy fits a world, an episode's metadata, the seed of a chunk."""

import time
from collections.abc import Mapping

import numpy as np

from frs_core.episodes.records import EpisodeMeta
from frs_core.errors import ConfigError
from frs_core.events import StartEpisode
from frs_core.robot.observation import Observation
from frs_core.session.running import RunningEpisode
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import PolicySpec
from frs_core.worlds.base import WorldSpec


def check_fit(policy: PolicySpec, world: WorldSpec, observation: Observation) -> None:
    """Raise unless the world has the policy's cameras and understands its actions.

    Args:
        policy: what it needs.
        world: what it offers.
        observation: the first one, whose frames are what is really there.
    Raises:
        ConfigError: naming what is missing.
    """
    missing = [c for c in policy.cameras if c not in observation.frames]
    if missing:
        raise ConfigError(
            f"Policy '{policy.name}' needs camera '{missing[0]}', world '{world.name}' has "
            f"{', '.join(sorted(observation.frames)) or 'none'}. Choose a world with that camera, or another policy."
        )
    kind = policy.action_space.kind
    if kind not in world.action_kinds:
        raise ConfigError(
            f"Policy '{policy.name}' sends {kind.value} actions, world '{world.name}' takes "
            f"{', '.join(k.value for k in world.action_kinds)}. Choose another world or policy."
        )


def meta_of(
    world: WorldSpec,
    policy: PolicySpec,
    observation: Observation,
    *,
    order: StartEpisode,
    plan: SteeringPlan,
    operator: str,
    noise_policy: str | None,
    policy_options: Mapping[str, str | int | float | bool],
) -> EpisodeMeta:
    """Return what an episode that begins now is stamped with."""
    return EpisodeMeta.of(
        policy,
        observation,
        task=order.task,
        seed=order.seed,
        world=world.name,
        robot=world.robot,
        world_options=world.options,
        policy_options=policy_options,
        is_simulated=world.is_simulated,
        control_hz=world.control_hz,
        plan=plan,
        started_unix=time.time(),
        operator=operator,
        noise_policy=noise_policy,
    )


def chunk_seed(seed: int, episode: RunningEpisode | None) -> int:
    """Return the seed of the next chunk's noise: its own for every chunk, the same again after going back.

    One noise for all chunks would make the unsteered policy repeat itself; a re-roll changes `seed`.

    Args:
        seed: the plan's.
        episode: None before one runs.
    """
    scene, depth = (episode.order.seed, len(episode.line)) if episode is not None else (0, 0)
    return int(np.random.SeedSequence([abs(seed), abs(scene), depth]).generate_state(1)[0])
