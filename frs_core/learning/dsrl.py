"""DSRL: practise which noise to hand the generalist; DSRL + FRS: the same, from episodes that a person steered.

Problem: what is learned from ten steered successes stops below its teacher, and reinforcement learning on a robot's actions needs far
more trials than anyone has. Idea: the generalist stays frozen and its *noise* is the action of soft actor-critic, so that every trial is
one of the generalist's own motions; and steered episodes say at once which noises lead to success, how far they lie from the
usual ones, and, with failures among them, the value of a state.

1. An action is the noise, in temporal components (`noise_parts`): all by default, or the lowest few, the others staying N(0, 1).
2. Bounds per number: from the steered noises, or one for all without any.
3. DSRL + FRS: the actor begins as a regression onto the noises of steered successes.
4. Every round: `updates_per_chunk` steps of the critics per chunk, batches half steered and half own; one step of the actor per five,
   towards value, entropy, and (DSRL + FRS, with falling weight) the noises of steered successes.
5. DSRL without episodes begins as the generalist itself: N(0, 1) in every chosen number.

Source: DSRL (arXiv 2506.15799), its combination with steering (arXiv 2606.13675, section 5); what differs is in docs/practice.md.
Runs in the trainer's process; an actor runs on the inference worker's thread.
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.counts import counted
from frs_core.errors import TrainingError
from frs_core.learning.fit import Data, fit
from frs_core.learning.live import live_inputs
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.noise_parts import NoisePart
from frs_core.learning.practising import Draws, SacLearner, drawing, make_bounds
from frs_core.learning.progress import ignore_progress
from frs_core.learning.sac import Actor, Cloning, Sac
from frs_core.learning.settings import DsrlFrsSettings, DsrlSettings
from frs_core.learning.table import TrainingTable, split
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.methods import gaussian
from frs_core.steering.policy_spec import Context

S = TypeVar("S", bound=DsrlSettings)

LEAST_BOUND = 3.0
"""No bound is tighter than three deviations of the generalist's own noise."""
USUAL_BOUND = 10.0
"""Without steered episodes: a chunk mean of 2.5 for 16 rows. Source: dsrl_pi0 on the robot."""


class Dsrl(SacLearner[S]):
    """Soft actor-critic on the generalist's noise, from scratch."""

    def begin(self, policy: FlowPolicy, settings: S | None = None, *, prior: TrainingTable | None = None) -> None:
        """Start afresh; recorded episodes are not looked at."""
        super().begin(policy, settings)

    def part(self, settings: DsrlSettings, horizon: int, action_size: int) -> NoisePart:
        """Return which part of the noise is chosen."""
        return NoisePart.of(horizon, action_size, columns=settings.columns, components=settings.components)

    def actions(self, table: TrainingTable) -> Float[Tensor, "M n"]:
        """Return the chosen part of the executed noises."""
        return self._part.read(torch.from_numpy(table.noise).float())

    def fresh(self, seen: Inputs) -> Sac:
        """Return an agent that acts as the unsteered generalist."""
        settings = self.settings
        bounds = make_bounds(None, settings.bound, self._part.numbers, least=LEAST_BOUND, usual=USUAL_BOUND)
        return Sac(settings, seen, bounds, deviation=settings.exploration)

    def acting(self, actor: Actor | None, metadata: PolicyMetadata) -> "DsrlPolicy":
        """Return an actor at work."""
        settings = self.settings_of(metadata)
        return DsrlPolicy(actor, self.part(settings, metadata.horizon, metadata.action_size), metadata, settings)

    @property
    def _part(self) -> NoisePart:
        return self.part(self.settings, self.policy.horizon, self.policy.flow.size)


class DsrlFrs(Dsrl[DsrlFrsSettings]):
    """The same from steered episodes."""

    def begin(
        self, policy: FlowPolicy, settings: DsrlFrsSettings | None = None, *, prior: TrainingTable | None = None
    ) -> None:
        """Start from steered episodes.

        Raises:
            TrainingError: there are none, or none that succeeded.
        """
        if prior is None:
            raise TrainingError(
                f"Learner '{self.spec.id}' starts from steered episodes and got none. Steer some, or practise 'dsrl'."
            )
        super(Dsrl, self).begin(policy, settings, prior=prior)

    def start_from(self, prior: TrainingTable) -> None:
        """Measure bounds, fit the actor to the noises of successes, and keep all chunks to learn from."""
        super().start_from(prior)
        actions, settings = self.actions(prior), self.settings
        is_known = torch.isfinite(actions).all(dim=1)
        won = np.isin(prior.episode, prior.episode[prior.terminal]) & is_known.numpy()
        if not won.any():
            raise TrainingError(
                f"None of the {counted(len(set(prior.episode.tolist())), 'episode')} to start from succeeded with known noises. Steer one "
                f"to success, or practise 'dsrl'."
            )
        self._won = prior.take(won)
        self._cloned = Inputs.of(self._won, settings.inputs), actions[torch.from_numpy(won)]
        bounds = make_bounds(
            actions[is_known], settings.bound, self._part.numbers, least=LEAST_BOUND, usual=USUAL_BOUND
        )
        self.sac = Sac(settings, Inputs.of(prior, settings.inputs), bounds, deviation=settings.exploration)
        self._fit(self.sac.actor)

    def _add(self, table: TrainingTable) -> None:
        """Keep a round; what a person steered in an attempt that succeeded is what the actor is to stay near, too."""
        super()._add(table)
        actions = self.actions(table)
        won = table.is_steered & np.isin(table.episode, table.episode[table.terminal])
        is_new = torch.from_numpy(won) & torch.isfinite(actions).all(dim=1)
        if bool(is_new.any()):
            inputs, known = self._cloned
            seen = Inputs.of(table.take(is_new.numpy()), self.settings.inputs)
            self._cloned = Inputs.join([inputs, seen]), torch.cat([known, actions[is_new]])

    def _fit(self, actor: Actor) -> None:
        """Fit the actor to the noises of successes, by regression; how much it tries stays as it was."""
        settings, bounds, numbers = self.settings, actor.bounds, self._part.numbers
        kept = {k: v.clone() for k, v in actor.net.head.state_dict().items()}

        def loss(network: SmallNet, batch: Data) -> Tensor:
            return bounds.distance(bounds.squash(network(batch.inputs)[:, :numbers]), batch.target).mean()

        def data(table: TrainingTable) -> Data:
            return Data(Inputs.of(table, settings.inputs), self.actions(table))

        parts = split(self._won, settings.fit.held_out, seed=settings.fit.seed)
        held_out = data(parts.held_out) if parts.held_out else None
        fit(
            actor.net,
            loss,
            data(parts.train),
            held_out,
            settings.fit,
            everything=data(self._won),
            on_progress=ignore_progress,
        )
        with torch.no_grad():
            for name, value in actor.net.head.state_dict().items():
                value[numbers:] = kept[name][numbers:]

    def cloning(self, share: int) -> Cloning:
        """Return some noises of steered successes, weighed less with every episode of practice."""
        settings, (inputs, actions) = self.settings, self._cloned
        done = min(1.0, self.own_episodes / settings.clone_episodes)
        weight = settings.clone + (settings.clone_end - settings.clone) * done
        rows = torch.randint(len(actions), (share,))
        return Cloning(inputs.rows(rows), actions[rows], weight, only_better=settings.clone_better)


class DsrlPolicy(NoisePolicy):
    """An actor at work: one forward pass per chunk."""

    def __init__(self, actor: Actor | None, part: NoisePart, metadata: PolicyMetadata, settings: DsrlSettings) -> None:
        self.name, self.policy_fingerprint, self.metadata = metadata.name, metadata.policy_fingerprint, metadata
        self._part, self._settings, self._draws = part, settings, Draws(metadata)
        self._actor = actor.eval() if actor is not None else None

    def begin(self, seed: int) -> None:
        """Explore differently in every scene."""
        self._draws.begin(seed)

    @torch.inference_mode()
    def noise(self, context: Context, observation: Observation) -> Float[Array, "H A"]:
        """Return the noise to denoise for this observation.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        metadata, draws, step = self.metadata, self._draws, observation.step
        noise = gaussian((1, metadata.horizon, metadata.width), seed=draws.at(step))
        if self._actor is not None:
            inputs = live_inputs(context, observation, self._settings.inputs, metadata, device=torch.device("cpu"))
            with drawing(draws.at(step, stream=1)):
                chosen = self._actor.draw(inputs).action if draws.explores else self._actor.best(inputs)
            noise = self._part.compose(chosen, noise, rest=self._settings.rest)
        return noise[0].numpy().astype(np.float32)
