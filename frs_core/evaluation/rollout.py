"""One episode of one method, headless and deterministic: observe, make a chunk, execute its first rows, look whether it is done.

Every method runs through this same loop, so that a difference in the table is a difference between methods. All noise is
drawn from seeds made of (episode seed, chunk index): the base policy of seed 7 meets the same noises in every run, on every
machine. Steered methods build the session's own fan (frs_core.fan), with only the candidates their operator asks for.

Example: a chunk of 16 rows, 8 executed, at most 300 control steps: 38 chunks.
Runs on one thread of an evaluation worker.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float

from frs_core.actions import ActionKind
from frs_core.choosers.base import Chooser
from frs_core.errors import ConfigError
from frs_core.evaluation.methods import Actor, MethodSpec
from frs_core.evaluation.setup import Bench
from frs_core.events import CandidateKind
from frs_core.fan import build_fan
from frs_core.observation import Observation
from frs_core.policies.base import Context, FlowPolicy
from frs_core.steering import SteeringPlan, gaussian


@dataclass(frozen=True, slots=True)
class Act:
    """What an actor decided for one chunk."""

    chunk: Float[np.ndarray, "H a"]
    """Robot units."""
    is_steered: bool


class ActorLike(Protocol):
    """Turns what is seen into a chunk."""

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""

    def act(self, context: Context, observation: Observation, *, seed: int) -> Act:
        """Return the next chunk; `seed` is this chunk's own."""
        ...


@dataclass(frozen=True, slots=True)
class Rollout:
    """How an episode went."""

    success: bool
    steps: int
    chunks: int
    steered_chunks: int
    seconds: float
    act_ms: float
    """Mean time from observation to chunk."""


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """When to stop, and how the start is disturbed."""

    max_steps: int = 300
    """Control steps."""
    perturb_m: float = 0.0
    """The tool is first driven this far in a random direction of the upper half space, metres; 0 = not at all."""

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise ConfigError(f"max_steps is {self.max_steps}, needs >= 1. The default is 300.")
        if not 0.0 <= self.perturb_m <= 0.2:
            raise ConfigError(f"perturb_m is {self.perturb_m}, needs 0..0.2 metres.")


def run_rollout(
    bench: Bench,
    actor: ActorLike,
    *,
    task: str,
    seed: int,
    settings: RolloutSettings | None = None,
    on_observation: Callable[[Observation], None] | None = None,
) -> Rollout:
    """Return how one episode went.

    Args:
        bench: world and policy.
        actor: who acts.
        task: task name of the world.
        seed: scene and all noises.
        settings: limits.
        on_observation: shown every second control step with pictures (for films); costs rendering.
    """
    settings = settings or RolloutSettings()
    world, policy = bench.world, bench.policy
    began, thinking = time.perf_counter(), 0.0
    observation = world.reset(task=task, seed=seed)
    if settings.perturb_m > 0.0:
        observation = _perturbed(bench, settings.perturb_m, seed)
    actor.begin(observation)
    steps = chunks = steered = 0
    success = False
    while steps < settings.max_steps and not success:
        start = time.perf_counter()
        act = actor.act(policy.encode(observation), observation, seed=chunk_seed(seed, chunks))
        thinking += time.perf_counter() - start
        chunks, steered = chunks + 1, steered + act.is_steered
        for row in act.chunk[: min(policy.spec.execute_rows, settings.max_steps - steps)]:
            if on_observation is not None and steps % 2 == 0:
                on_observation(world.observe())
            world.step(row, policy.spec.action_space.kind)
            steps += 1
            if world.state().success:
                success = True
                break
        if not success:
            observation = world.observe()
    if on_observation is not None:
        on_observation(world.observe())
    return Rollout(success, steps, chunks, steered, time.perf_counter() - began, 1e3 * thinking / max(chunks, 1))


def chunk_seed(episode_seed: int, chunk: int) -> int:
    """Return the noise seed of one chunk; neighbouring seeds and chunks share nothing."""
    digest = hashlib.blake2b(f"{episode_seed}/{chunk}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1


def _perturbed(bench: Bench, distance: float, seed: int) -> Observation:
    """Drive the tool off its start, straight, at 12 mm per step."""
    rng = np.random.default_rng([seed, 77])
    way = rng.normal(size=3)
    way = np.array([way[0], way[1], abs(way[2])]) / np.linalg.norm(way)
    rows = max(1, round(distance / 0.012))
    action = np.zeros(ActionKind.EE_DELTA.size, dtype=np.float32)
    action[:3] = way * distance / rows
    for _ in range(rows):
        bench.world.step(action, ActionKind.EE_DELTA)
    return bench.world.observe()


def make_actor(method: MethodSpec, bench: Bench, *, learned: Path | None = None) -> ActorLike:
    """Return who acts under a method.

    Args:
        method: row of the comparison.
        bench: world and policy.
        learned: folder of the trained policy, for learned methods.
    Raises:
        WeightsMissing, FingerprintMismatch: the trained policy is missing, or of another generalist.
    """
    policy = bench.policy
    plan = method.plan or policy.default_plan
    if method.actor is Actor.POLICY:
        return _Unsteered(policy, plan)
    if method.actor is Actor.OPERATOR:
        return _Steered(policy, plan, bench.operator())
    if learned is None:
        raise ConfigError(f"Method '{method.name}' needs a trained policy. Say where it is with --learned.")
    if method.actor is Actor.NOISE_POLICY:
        return _ByNoise(policy, learned)
    return _ByChunk(policy, learned)


class _Unsteered:
    """The generalist from fresh noise."""

    def __init__(self, policy: FlowPolicy, plan: SteeringPlan) -> None:
        self._policy, self._steps = policy, plan.steps

    def begin(self, observation: Observation) -> None:
        pass

    def act(self, context: Context, observation: Observation, *, seed: int) -> Act:
        noise = gaussian((1, self._policy.spec.horizon, self._policy.spec.width), seed=seed)
        return Act(self._policy.to_robot(self._policy.denoise(context, noise, steps=self._steps))[0], False)


class _Steered:
    """An operator picking from the fan."""

    def __init__(self, policy: FlowPolicy, plan: SteeringPlan, chooser: Chooser) -> None:
        self._policy, self._plan, self._chooser = policy, plan, chooser

    def begin(self, observation: Observation) -> None:
        self._chooser.begin(observation)

    def act(self, context: Context, observation: Observation, *, seed: int) -> Act:
        wanted = self._chooser.wants(observation)
        fan = build_fan(self._policy, context, observation, plan=self._plan.with_seed(seed), commands=wanted)
        choice = self._chooser.choose(fan)
        if choice is None:
            raise ConfigError(
                "The scripted operator waits for a person, but nobody is there. Use one that always picks."
            )
        picked = fan[choice.label]
        return Act(picked.chunk, picked.kind is CandidateKind.STEERED)


class _ByNoise:
    """A trained noise policy in front of the generalist."""

    def __init__(self, policy: FlowPolicy, folder: Path) -> None:
        from frs_core.learning.dsbc import load_noise_policy

        self._policy = policy
        self._noise_policy = load_noise_policy(folder, policy.spec.fingerprint)

    def begin(self, observation: Observation) -> None:
        pass

    def act(self, context: Context, observation: Observation, *, seed: int) -> Act:
        noise = torch.from_numpy(self._noise_policy.noise(context, observation))[None]
        return Act(self._policy.to_robot(self._policy.denoise(context, noise))[0], False)


class _ByChunk:
    """Behaviour cloning: the generalist is only asked for its features."""

    def __init__(self, policy: FlowPolicy, folder: Path) -> None:
        from frs_core.learning.bc import load_chunk_policy

        self._space = policy.spec.action_space
        self._chunk_policy = load_chunk_policy(folder, policy.spec.fingerprint)

    def begin(self, observation: Observation) -> None:
        pass

    def act(self, context: Context, observation: Observation, *, seed: int) -> Act:
        return Act(self._space.clip(self._chunk_policy.chunk(context, observation)), False)
