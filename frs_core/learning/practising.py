"""What learners share that practise with soft actor-critic: warm up, learn after every round, stop and resume exactly.

A learner says what an action is (a part of the generalist's noise, a correction of its chunk), how an executed chunk is read as one, how
large it may be, and how it acts; batches, schedule, seeds and what lies on disk are here.

Every draw of learning follows from (seed, round), so the state between two rounds holds no random generator; every draw of an actor
that tries from (seed, round, scene, step), so it does not matter which process drives.

Example: a round of 5 episodes of 16 chunks is 800 steps of the critics and 160 of the actor, some 10 s on one core.
Runs in the trainer's process.
"""

import abc
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import ConfigError, FingerprintMismatch, TrainingError
from frs_core.learning import artifact
from frs_core.learning.base import Learned, OnlineLearner, Trained
from frs_core.learning.bounds import Bounds
from frs_core.learning.fit import torch_threads
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs
from frs_core.learning.progress import OnProgress, Scores, ignore_progress
from frs_core.learning.sac import Actor, Cloning, Sac
from frs_core.learning.settings import SacSettings, to_json
from frs_core.learning.table import TrainingTable
from frs_core.learning.transitions import Replay, steps_of
from frs_core.policies.base import FlowPolicy

S = TypeVar("S", bound=SacSettings)

UNTRAINED = "untrained"
"""Stands for the weights of an actor that is still warming up."""


class SacLearner(OnlineLearner[S]):
    """Practises with soft actor-critic."""

    sac: Sac | None
    """None until it has warmed up."""

    @abc.abstractmethod
    def actions(self, table: TrainingTable) -> Float[Tensor, "M n"]:
        """Return what was done in each row, as this learner counts actions; NaN where it is not known."""

    @abc.abstractmethod
    def fresh(self, seen: Inputs) -> Sac:
        """Return an untrained agent for what was seen so far."""

    @abc.abstractmethod
    def acting(self, actor: Actor | None, metadata: PolicyMetadata) -> Learned:
        """Return an actor at work; None = the generalist as it is."""

    def cloning(self, share: int) -> Cloning | None:
        """Return `share` actions that the actor is to stay near; None = it is free."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return what else an actor needs to know, as plain values."""
        return {}

    def begin(self, policy: FlowPolicy, settings: S | None = None, *, prior: TrainingTable | None = None) -> None:
        """Start afresh; see `OnlineLearner.begin`."""
        self.settings, self.policy = self.checked(settings), policy.spec
        self.sac, self.replay = None, Replay()
        self.rounds, self.own_episodes, self._tables = 0, 0, list[TrainingTable]()
        if prior is not None:
            self._check(prior)
            with self._drawing():
                self.start_from(prior)

    def start_from(self, prior: TrainingTable) -> None:
        """Take recorded episodes as a start.

        Raises:
            TrainingError: they are none it can use.
        """
        self._tables.append(prior)
        self.replay = Replay(steps_of(prior, self.actions(prior), self.settings.inputs))

    def learn(self, episodes: TrainingTable) -> float:
        """Learn from a round; return the critics' mean squared error, NaN while warming up."""
        self._add(episodes)
        with self._drawing():
            extra = 0
            if self.sac is None:
                if self.own_episodes < self.settings.warm_up or self.replay.own is None:
                    return float("nan")
                self.sac = self.fresh(self.replay.own.inputs)
            if self.sac.steps == 0:
                extra = self.settings.critic_first
            return self._improve(self.sac, extra, extra + self.settings.updates_per_chunk * episodes.rows)

    def _improve(self, sac: Sac, first: int, steps: int) -> float:
        """Take steps of the critics, and of the actor in between after the first ones; return the mean loss."""
        settings, total = self.settings, 0.0
        for step in range(1, steps + 1):
            batch = self.replay.batch(settings.batch_size)
            total += sac.improve_critics(batch)
            if step > first and step % settings.critic_steps_per_actor_step == 0:
                sac.improve_actor(batch.inputs, self.cloning(settings.batch_size // 2))
        return total / max(1, steps)

    def actor(self, *, explores: bool, name: str = "") -> Trained:
        """Return who drives at present."""
        metadata, scores = self._metadata(name or self.spec.id, explores=explores)
        actor = None if self.sac is None else self.sac.actor
        weights = {} if actor is None else {k: v.clone() for k, v in actor.state_dict().items()}
        return Trained(
            weights=weights or {UNTRAINED: torch.zeros(1)},
            metadata=metadata,
            scores=scores,
            acting=lambda: self.acting(None if actor is None else self._network(metadata, weights), metadata),
            steps=0 if self.sac is None else self.sac.steps,
        )

    def state(self) -> Mapping[str, Any]:
        """Return everything but the episodes."""
        return {"rounds": self.rounds, "sac": None if self.sac is None else self.sac.state()}

    def restore(self, state: Mapping[str, Any], own: Sequence[TrainingTable]) -> None:
        """Become what `state` was taken of."""
        for table in own:
            self._add(table)
        self.rounds = state["rounds"]
        if state["sac"] is not None:
            if self.sac is None:
                assert self.replay.own is not None
                self.sac = self.fresh(self.replay.own.inputs)
            self.sac.restore(state["sac"])

    def train(
        self,
        table: TrainingTable,
        settings: S | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> Trained:
        """Refuse: it learns by acting."""
        raise TrainingError(
            f"Learner '{self.spec.id}' practises; it does not learn from recordings alone. Give it an environment."
        )

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> Learned:
        """Return a saved actor, ready to act."""
        weights = artifact.read_weights(folder, metadata, fingerprint)
        if UNTRAINED in weights:
            return self.acting(None, metadata)
        if "limit" not in weights:
            raise ConfigError(f"'{folder}' lacks the bounds of its actions. Practise again.")
        network = artifact.load_network(lambda: self._empty(metadata, weights), folder, metadata, weights)
        return self.acting(network, metadata)

    def _check(self, table: TrainingTable) -> None:
        if table.fingerprint != self.policy.fingerprint:
            raise FingerprintMismatch(
                f"Episode '{table.names[0]}' is of policy {table.fingerprint[:12]}, practice goes through "
                f"{self.policy.fingerprint[:12]}. Practise with the policy the episodes were recorded with."
            )

    def _add(self, table: TrainingTable) -> None:
        self._check(table)
        self.rounds += 1
        self.own_episodes += len(set(table.episode.tolist()))
        self._tables.append(table)
        actions, inputs = self.actions(table), self.settings.inputs
        is_prior = torch.from_numpy(table.is_steered) & (self.replay.prior is not None)
        self.replay.add(steps_of(table, actions.masked_fill(is_prior[:, None], torch.nan), inputs))
        if bool(is_prior.any()):
            self.replay.add_prior(steps_of(table, actions.masked_fill(~is_prior[:, None], torch.nan), inputs))

    @contextmanager
    def _drawing(self) -> Generator[None, None, None]:
        """Give torch's generator to this round, on one thread."""
        with torch_threads(1), torch.random.fork_rng(devices=[]):
            torch.manual_seed(1_000_003 * self.settings.seed + self.rounds)
            yield

    def _network(self, metadata: PolicyMetadata, weights: Mapping[str, Tensor]) -> Actor:
        network = self._empty(metadata, weights)
        network.load_state_dict(weights)
        return network

    def _empty(self, metadata: PolicyMetadata, weights: Mapping[str, Tensor]) -> Actor:
        return Actor(
            self.settings_of(metadata),
            feature_size=metadata.feature_size,
            proprio_size=metadata.proprio_size,
            numbers=len(weights["limit"]),
        )

    def _metadata(self, name: str, *, explores: bool) -> tuple[PolicyMetadata, Scores]:
        """Return the facts about the actor, with blank scores: it is evaluated by driving."""
        last = self._tables[-1] if self._tables else None
        scores = Scores.blank(sum(t.rows for t in self._tables))
        metadata = PolicyMetadata(
            kind=self.spec.id,
            name=name,
            policy_fingerprint=self.policy.fingerprint,
            horizon=self.policy.horizon,
            width=self.policy.width,
            action_size=self.policy.flow.size,
            feature_size=0 if last is None else last.features.shape[1],
            proprio_size=0 if last is None else last.proprio.shape[1],
            settings=to_json(self.settings),
            data={
                **({} if last is None else last.provenance),
                "episodes": [n for t in self._tables for n in t.names],
                "chunks": scores.chunks,
                "explores": explores,
                "round": self.rounds,
                **self.facts(),
            },
            metrics={"seconds": 0.0, "steps": 0 if self.sac is None else self.sac.steps, "card": asdict(scores)},
        )
        return metadata, scores


class Draws:
    """Where an actor's draws come from: what it tries follows from seed, round, scene and step, its best from the step alone."""

    def __init__(self, metadata: PolicyMetadata) -> None:
        self.explores = bool(metadata.data["explores"])
        self._key = (int(metadata.settings["seed"]), int(metadata.data["round"]))
        self._scene = 0

    def begin(self, scene: int) -> None:
        """Take the scene's number."""
        self._scene = scene

    def at(self, step: int, *, stream: int = 0) -> int:
        """Return the seed at a step of the world; streams of one step are independent."""
        if not self.explores:
            return step + 1_000_003 * stream
        key = np.random.SeedSequence((*self._key, self._scene, step, stream))
        return int(key.generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def drawing(seed: int) -> Generator[None, None, None]:
    """Give torch's generator a seed for a while."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def make_bounds(
    actions: Float[Tensor, "M n"] | None, limit: float | None, numbers: int, *, least: float, usual: float
) -> Bounds:
    """Return the bounds of an action.

    Args:
        actions: executed before; None = nothing was.
        limit: as set; None = from the actions.
        numbers: of the action.
        least: no bound from actions is smaller.
        usual: without actions.
    """
    if limit is not None or actions is None:
        return Bounds.same(limit or usual, numbers)
    return Bounds.of(actions, least=least)
