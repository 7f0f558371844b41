"""A critic that picks: the value of each noise in a state, and the best of those on offer.

Problem: a noise policy that imitates its teacher stays below the teacher, because it never learns which of its own choices fail. Idea:
keep asking for ideas as before (draws of an imitating noise policy, the policy's own noise, every direction that can be steered) and
learn a value for each from what became of episodes, failures included; then execute the best. Every idea is denoised by the frozen
generalist, so nothing outside its prior is ever done, and every candidate of a fan can be shown with its value.

1. `noise_critic`: the value, an ensemble Q(state, noise) -> 0..1.
2. `offered_replay`: chunks of recorded and own episodes with the noises that were on offer.
3. `PickQ`, here: targets are TD(lambda) over those offers (reward 1 at success, `discount` per chunk), the critic is fitted to them, and draws
   are learned again now and then from all successes, the robot's own too.
4. `pick_q_policy`: judges a fan, and picks.

Runs in the trainer's process.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from frs_core.counts import counted
from frs_core.errors import TrainingError
from frs_core.learning import artifact
from frs_core.learning.base import OnlineLearner, Trained
from frs_core.learning.dsbc import Dsbc
from frs_core.learning.fit import torch_threads
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.noise_critic import Critic
from frs_core.learning.offered_replay import Replay, replay_of
from frs_core.learning.pick_q_policy import DRAWS, PickQPolicy, acting, imitating, new_critic
from frs_core.learning.progress import OnProgress, Progress, Scores, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.registry import find_learner
from frs_core.learning.settings import PickQSettings
from frs_core.learning.table import TrainingTable, join

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy


class PickQ(OnlineLearner[PickQSettings]):
    """Learns the value of noises."""

    def begin(
        self, policy: "FlowPolicy | None", settings: PickQSettings | None = None, *, prior: TrainingTable | None = None
    ) -> None:
        """Start from recorded episodes; the initial version is trained when it is first needed."""
        settings = self.checked(settings)
        if prior is None:
            raise TrainingError(
                "Nothing to start from: a critic that picks needs a few recorded episodes, at least one of them a success. "
                "Record some, or steer with `frs collect TASK`."
            )
        _check(prior)
        self._settings, self._prior, self._own = settings, prior, list[TrainingTable]()
        self._critic: Critic | None = None
        self._seconds, self._steps_taken, self._since, self._loss = 0.0, 0, 0, float("nan")
        self._generator = torch.Generator().manual_seed(settings.seed)

    def actor(self, *, explores: bool, name: str = "") -> Trained:
        """Return who drives at present."""
        self._first_guess()
        assert self._critic is not None
        metadata = self._metadata(explores=explores, name=name)
        weights = {**self._critic.state_dict(), **{DRAWS + k: v for k, v in self._draws.weights().items()}}
        kept = {k: v.detach().clone() for k, v in weights.items()}
        return Trained(
            weights=kept,
            metadata=metadata,
            scores=Scores.blank(self._whole().rows),
            acting=lambda: acting(metadata, kept),
            steps=self._steps_taken,
        )

    def learn(self, episodes: TrainingTable) -> float:
        """Learn from a round of own episodes."""
        _check(episodes, needs_success=False)
        self._first_guess()
        self._own.append(episodes)
        count = len(episodes.names)
        self._since += count
        if self._since >= self._settings.refit_every:
            self._since = 0
            self._refresh(ignore_progress)
        else:
            self._parts.append(self._part(episodes, len(self._parts)))
            self._fit(self._settings.steps * count, ignore_progress)
        return self._loss

    def train(
        self,
        table: TrainingTable,
        settings: PickQSettings | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> Trained:
        """Return what can be learned from recorded episodes alone."""
        self.begin(None, settings, prior=table)
        is_complete = self._refresh(on_progress)
        return replace(self.actor(explores=False, name=name), was_cancelled=not is_complete)

    def state(self) -> Mapping[str, Any]:
        """Return weights, optimiser and chance."""
        self._first_guess()
        assert self._critic is not None
        return {
            "critic": self._critic.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "draws": self._draws.weights(),
            "random": self._generator.get_state(),
            "counts": [self._seconds, self._steps_taken, self._since, self._loss],
        }

    def restore(self, state: Mapping[str, Any], own: Sequence[TrainingTable]) -> None:
        """Become what the state was taken of."""
        self._own = list(own)
        self._draws = imitating(self._metadata(), state["draws"])
        self._fresh_critic()
        assert self._critic is not None
        self._critic.load_state_dict(state["critic"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._generator.set_state(state["random"])
        self._seconds, self._steps_taken, self._since, self._loss = state["counts"]
        self._parts = self._all_parts()

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> "PickQPolicy":
        """Return a saved policy, ready to act."""
        return acting(metadata, artifact.read_weights(folder, metadata, fingerprint), folder)

    # What follows changes the weights, in the order in which it happens.

    def _first_guess(self) -> None:
        if self._critic is None:
            self._refresh(ignore_progress)

    def _refresh(self, on_progress: OnProgress) -> bool:
        """Learn draws and critic from all there is, from fresh weights; return False where it was asked to stop.

        Networks trained on a growing data set stay biased towards the early data; freshly initialised ones do not.
        """
        began, whole = time.monotonic(), self._whole()
        successes = np.isin(whole.episode, whole.episode[whole.terminal])
        imitation = Dsbc(find_learner("dsbc")).train(whole.take(successes), self._settings.imitation)
        self._draws = imitating(self._metadata(), {k: v.cpu() for k, v in imitation.weights.items()})
        self._fresh_critic()
        self._parts = self._all_parts()
        assert self._critic is not None
        seen = Replay.join(self._parts)
        self._critic.measure(seen.features, seen.proprio, seen.offered[seen.is_offered])
        self._seconds += time.monotonic() - began
        return self._fit(self._settings.first_steps, on_progress)

    def _fresh_critic(self) -> None:
        settings = self._settings
        seed = int(torch.randint(2**31, (1,), generator=self._generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._critic = new_critic(settings, self._metadata())
        self._optimiser = torch.optim.AdamW(
            self._critic.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def _all_parts(self) -> list[Replay]:
        """Return the recorded episodes and every round as the critic sees them."""
        return [self._part(table, index) for index, table in enumerate((self._prior, *self._own))]

    def _part(self, table: TrainingTable, index: int) -> Replay:
        assert self._critic is not None
        return replay_of(table, self._draws, self._critic, self._settings, seed=index)

    def _fit(self, steps: int, on_progress: OnProgress) -> bool:
        """Take gradient steps towards the targets, which are recomputed at intervals; False where asked to stop."""
        settings, replay, critic, began = self._settings, Replay.join(self._parts), self._critic, time.monotonic()
        assert critic is not None
        with torch_threads(1):
            state = critic.state(replay.features, replay.proprio)
            after = critic.state(replay.after_features, replay.after_proprio)
            target, running = torch.zeros(len(state)), 0.0
            shape = (settings.heads, min(settings.batch_size, len(state)))
            blur = settings.inputs.noise
            for step in range(steps):
                if step % settings.retarget_every == 0:
                    target = td_targets(
                        replay, _soft_best(critic.values(after, replay.offered), replay, settings), settings
                    )
                rows = torch.randint(len(state), shape, generator=self._generator)
                seen = state[rows]
                seen = seen + blur * torch.randn(seen.shape, generator=self._generator)
                others = torch.randint(len(state), shape, generator=self._generator)
                logits = critic(seen, torch.stack([replay.noise[rows], replay.noise[others]], dim=2))
                executed, any_other = (
                    functional.binary_cross_entropy_with_logits(logits[..., i], target[rows]) for i in range(2)
                )
                # Opening the gripper ends most successes, whatever the state: without this term a noise gets the value of the
                # states in which it is usual.
                loss = executed + settings.shrinkage * any_other
                self._optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
                self._optimiser.step()
                running += float(loss.detach())
                if (step + 1) % settings.retarget_every == 0 or step + 1 == steps:
                    self._loss = running / (step % settings.retarget_every + 1)
                    running = 0.0
                    if not np.isfinite(self._loss):
                        raise TrainingError(
                            f"The critic's loss is not finite at step {step + 1}. Lower settings.learning_rate (it is "
                            f"{settings.learning_rate:g})."
                        )
                    pace = (time.monotonic() - began) / (step + 1)
                    nan = float("nan")
                    if on_progress(Progress(step + 1, steps, self._loss, nan, pace * (steps - step - 1))) is False:
                        return False
            self._steps_taken += steps
            self._seconds += time.monotonic() - began
        return True

    def _whole(self) -> TrainingTable:
        return join([self._prior, *self._own])

    def _metadata(self, *, explores: bool = False, name: str = "") -> PolicyMetadata:
        table = self._whole()
        metrics = {
            "seconds": round(self._seconds, 2),
            "steps": self._steps_taken,
            "loss": self._loss,
            "explores": explores,
            "own_episodes": sum(len(t.names) for t in self._own),
        }
        scores, name = Scores.blank(table.rows), name or self.spec.id
        return make_metadata(self.spec.id, name, table, self._settings, scores, metrics)


def td_targets(replay: Replay, after: Float[Tensor, " M"], settings: PickQSettings) -> Float[Tensor, " M"]:
    """Return TD(lambda) targets: reward 1 at success, else the discounted value of the next state.

    Args:
        replay: chunks.
        after: value of the best that can be picked after each.
        settings: discount and trace.
    """
    reward, following = replay.reward.tolist(), replay.following.tolist()
    value = torch.where(replay.goes_on, after, torch.zeros(())).tolist()
    target = [0.0] * len(value)
    for row in reversed(range(len(value))):
        next_row = following[row]
        ahead = value[row] if next_row < 0 else (1.0 - settings.trace) * value[row] + settings.trace * target[next_row]
        target[row] = reward[row] + settings.discount * ahead
    return torch.tensor(target).clamp(0.0, 1.0)


def _soft_best(values: Float[Tensor, "E M C"], replay: Replay, settings: PickQSettings) -> Float[Tensor, " M"]:
    """Return the value of the offers under a softmax policy over the ensemble's pessimistic values."""
    cautious = _cautious(values, settings)
    odds = (cautious / settings.softness).masked_fill(~replay.is_offered, -torch.inf)
    odds = torch.where(replay.goes_on[:, None], odds, torch.zeros(()))
    return (odds.softmax(dim=1) * cautious).sum(dim=1).clamp(0.0, 1.0)


def _cautious(values: Float[Tensor, "E *b"], settings: PickQSettings) -> Float[Tensor, "*b"]:
    return values.mean(dim=0) - settings.pessimism * values.std(dim=0, unbiased=False)


def _check(table: TrainingTable, *, needs_success: bool = True) -> None:
    """Raise unless the critic can learn from a table.

    Raises:
        TrainingError: what is missing, and how to get it.
    """
    table.require_finite(needs_noise=True)
    if table.reward is None or table.following is None:
        raise TrainingError(
            "The episodes have no outcomes. Label them as success or failure in Review, or record others."
        )
    if needs_success and not table.terminal.any():
        raise TrainingError(
            f"None of {counted(len(table.names), 'episode')} is a success, so there is no success to learn from. Record at least one."
        )
