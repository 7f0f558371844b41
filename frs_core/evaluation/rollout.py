"""Run one episode of one method, headless and deterministic, through the same session as the cockpit.

Every method runs through `InlineSession.run_episode` under the same limits; only the chooser and the candidates differ. The
base policy always picks the unsteered candidate, the operator steers, a noise policy always picks the learned candidate, and a
behaviour-cloning policy replaces the generalist (`ClonedPolicy`). All noise is drawn from (plan seed, scene seed, chunk), so a
result depends on nothing else.

Example: chunks of 16 rows, 8 executed, at most 40 chunks: 320 control steps, 21 s of robot time.
Runs on one thread of an evaluation worker.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from frs_core.choosers.address import EXAMPLE
from frs_core.choosers.answers import Spent
from frs_core.choosers.base import Chooser
from frs_core.choosers.learned import LearnedChooser
from frs_core.choosers.noisy import NoisyOperator
from frs_core.choosers.scripted import PolicyChooser
from frs_core.choosers.vlm import VlmChooser
from frs_core.episodes.records import Recorder
from frs_core.errors import ConfigError
from frs_core.evaluation.cloned import ClonedPolicy
from frs_core.evaluation.methods import Actor, MethodSpec, refuse_noise_without_operator
from frs_core.evaluation.setup import Setup
from frs_core.evaluation.wrapped import FilmedWorld, PerturbedWorld
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.runtime.bounds import Bounds, Count, Share, require_bounds
from frs_core.session import EpisodeResult, InlineSession
from frs_core.steering.candidates import LEARNED, UNSTEERED
from frs_core.worlds.base import World

Displacement = Annotated[float, Bounds(0.0, 0.2)]
"""Metres; farther is out of the arm's reach."""


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """Length limit and disturbance of the start."""

    max_chunks: Count = 40
    perturb_m: Displacement = 0.0
    """Distance, metres, that the tool is first driven in a random upward direction; 0 = no disturbance."""
    operator_noise: Share = 0.0
    """Share of the operator's chunks that get a wrong direction (`choosers.noisy`)."""

    def __post_init__(self) -> None:
        require_bounds(self)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without what earlier results do not know and is not asked for."""
        noise = {"operator_noise": self.operator_noise} if self.operator_noise else {}
        return {"max_chunks": self.max_chunks, "perturb_m": self.perturb_m, **noise}


class MethodRunner:
    """Runs episodes of one method."""

    def __init__(
        self,
        method: MethodSpec,
        setup: Setup,
        *,
        learned: Path | None = None,
        settings: RolloutSettings | None = None,
        recorder: Recorder | None = None,
        step_images: bool | None = None,
        reasoner: VlmChooser | None = None,
        chooser: Chooser | None = None,
    ) -> None:
        """Load what the method needs.

        Args:
            method: row of the comparison.
            setup: world and policy, not owned.
            learned: folder of the trained policy, for learned methods.
            settings: limits.
            recorder: records the episodes; None = not recorded.
            step_images: take images after every step, not only at chunk boundaries; None = if recording.
            reasoner: steers in place of the scripted operator.
            chooser: the same, without a model's answers to keep.
        Raises:
            WeightsMissing, FingerprintMismatch: the trained policy is missing, or was trained for another generalist.
            ConfigError: a learned method without a folder, a world without an operator, a method of a model without one, or an
                operator's mistakes where nobody steers.
        """
        self._settings = settings or RolloutSettings()
        self._setup, self._recorder, self._step_images = setup, recorder, step_images
        self._plan = method.plan or setup.policy.default_plan
        self._policy: FlowPolicy = setup.policy
        self._noise_policy = None
        self._chooser: Chooser = PolicyChooser()
        self._reasoner = reasoner if method.has_operator else None
        refuse_noise_without_operator([method.name], self._settings.operator_noise)
        if method.actor is Actor.REASONER and reasoner is None:
            raise ConfigError(f"Method '{method.name}' needs a model. Give its address, e.g. {EXAMPLE}.")
        if method.has_operator:
            self._chooser = self._reasoner or chooser or setup.operator()
        elif method.actor is not Actor.POLICY:
            if learned is None:
                raise ConfigError(f"Method '{method.name}' needs a trained policy. Say where it is with --learned.")
            if method.actor is Actor.NOISE_POLICY:
                from frs_core.learning.registry import load_noise_policy

                self._noise_policy = load_noise_policy(learned, setup.policy.spec.fingerprint)
                self._chooser = LearnedChooser()
            else:
                from frs_core.learning.registry import load_chunk_policy

                self._policy = ClonedPolicy(setup.policy, load_chunk_policy(learned, setup.policy.spec.fingerprint))

    def run(
        self,
        *,
        task: str,
        seed: int,
        show: Callable[[Observation], None] | None = None,
        keep_failures: bool = True,
    ) -> EpisodeResult:
        """Run one episode and return its result.

        Args:
            task: task name of the world.
            seed: of the scene and of all noise.
            show: called with an observation of every second step, for a film.
            keep_failures: keep recorded failures; False moves them to the bin.
        Raises:
            FrsError: the session was stopped by an error.
        """
        world: World = self._setup.world
        if self._settings.perturb_m > 0.0:
            world = PerturbedWorld(world, distance=self._settings.perturb_m)
        if show is not None:
            world = FilmedWorld(world, show)
        chooser = self._chooser
        if self._settings.operator_noise > 0.0:
            chooser = NoisyOperator(chooser, self._settings.operator_noise, seed=seed)
        with InlineSession(
            world,
            self._policy,
            plan=self._plan,
            noise_policy=self._noise_policy,
            recorder=self._recorder,
            step_images=self._step_images,
            operator=self._reasoner.answers.endpoint.name if self._reasoner else "",
        ) as session:
            return session.run_episode(
                chooser, task=task, seed=seed, max_chunks=self._settings.max_chunks, keep_failures=keep_failures
            )

    @property
    def spent(self) -> Spent | None:
        """What the model's picks took in the last episode; None where none picks."""
        return self._reasoner.answers.spent if self._reasoner else None


def steered_chunks(result: EpisodeResult) -> int:
    """Return how many executed chunks came from a command."""
    return sum(pick not in (UNSTEERED, LEARNED) for pick in result.picks)
