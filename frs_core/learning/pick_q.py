"""A critic that picks: what is each noise worth here, and which of those on offer is best?

Problem: a noise policy that imitates its teacher stays below him, because nothing tells it which of its own ideas lead nowhere. Idea:
keep asking for ideas as before (draws of an imitating noise policy, the policy's own noise, every direction that can be steered) and
learn a value for each from what became of episodes, failures included; then execute the best. Every idea is denoised by the frozen
generalist, so nothing outside its prior is ever done, and every candidate of a fan can be shown with its value.

How the value is learned, in order of this file:

1. `Critic`: an ensemble of small networks Q(state, noise) -> 0..1. The state is the generalist's features, projected to their main
   components, and proprioception; of a noise it sees the lowest temporal components.
2. `Replay`: chunks of recorded and own episodes with the noises that were on offer before and after each.
3. `PickQ`: targets are TD(lambda) over those offers (reward 1 at success, `discount` per chunk), the critic is fitted to them, and draws
   are learned again now and then from all successes, the robot's own too.
4. `PickQPolicy`: judges a fan. It takes another noise than the first draw where the heads agree that it is better; where they do not it
   acts as the imitating policy does, and a tenth of the time while it practises.

Example: 10 steered successes and 4 failures are 250 chunks with 16 offers; 300 own episodes are 5,000 chunks more, 15 MB.
Runs in the trainer's process; the policy on the inference worker's thread.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from frs_core.arrays import Array
from frs_core.choosers.base import Judged, ValuingPolicy
from frs_core.errors import TrainingError
from frs_core.learning import artifact
from frs_core.learning.base import OnlineLearner, Trained
from frs_core.learning.dsbc import Dsbc, DsbcPolicy
from frs_core.learning.fit import torch_threads
from frs_core.learning.metadata import PolicyMetadata, check_fingerprint
from frs_core.learning.network import CLIP, GROUP_NORM, Inputs, Standardise
from frs_core.learning.progress import OnProgress, Progress, Scores, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.registry import find_learner
from frs_core.learning.settings import PickQSettings, from_json, to_json
from frs_core.learning.table import TrainingTable, join
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Command, Gripper, fan_commands
from frs_core.steering.methods import dct_basis
from frs_core.steering.policy_spec import Context

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy

_DRAWS = "draws."
"""Beginning of the names of the imitating network's weights."""


# --- 1. the critic ----------------------------------------------------------------------------------


class Critic(nn.Module):
    """Q(state, noise) as an ensemble; everything that a saved one needs is in its buffers."""

    projection: Tensor
    noise_scale: Tensor

    def __init__(
        self, settings: PickQSettings, *, feature_size: int, proprio_size: int, horizon: int, action_size: int
    ) -> None:
        super().__init__()
        features = feature_size if settings.inputs.features else 0
        self.features = Standardise(features)
        self.proprio = Standardise(proprio_size if settings.inputs.proprio else 0)
        self._components = min(settings.components, horizon)
        kept, noise = min(settings.state_size, features), self._components * action_size
        self.register_buffer("projection", torch.zeros(features, kept))
        self.register_buffer("noise_scale", torch.ones(noise))
        state = kept + self.proprio.mean.shape[0]
        self.from_state = _Heads(settings.heads, state, settings.hidden)
        self.from_noise = _Heads(settings.heads, noise, settings.hidden)
        self.middle = _Heads(settings.heads, settings.hidden, settings.hidden)
        self.last = _Heads(settings.heads, settings.hidden, 1)

    @torch.no_grad()
    def measure(self, replay: "Replay") -> None:
        """Take standardisation, main components of the features and scale of noises from data."""
        features, proprio = replay.features, replay.proprio
        self.features.measure(features[:, : self.features.mean.shape[0]])
        self.proprio.measure(proprio[:, : self.proprio.mean.shape[0]])
        if self.projection.numel():
            spread = self.features(features)
            _, _, axes = torch.linalg.svd(spread - spread.mean(dim=0), full_matrices=False)
            kept = min(len(axes), self.projection.shape[1])
            self.projection.zero_()
            self.projection[:, :kept] = axes[:kept].T
        self.noise_scale.copy_(replay.offered[replay.is_offered].std(dim=0).clamp(min=0.1))

    @torch.no_grad()
    def state(self, features: Float[Tensor, "B F"], proprio: Float[Tensor, "B P"]) -> Float[Tensor, "B n"]:
        """Return what the heads see of a place."""
        seen = self.features(features[:, : self.features.mean.shape[0]]) @ self.projection
        return torch.cat([seen, self.proprio(proprio[:, : self.proprio.mean.shape[0]])], dim=1)

    def reduced(self, noises: Float[Tensor, "*b H a"]) -> Float[Tensor, "*b n"]:
        """Return the temporal components that the heads see."""
        basis = dct_basis(noises.shape[-2], device=noises.device, dtype=noises.dtype)[: self._components]
        return rearrange(basis @ noises, "... k a -> ... (k a)")

    def forward(self, state: Float[Tensor, "#E B n"], noise: Float[Tensor, "#E B C m"]) -> Float[Tensor, "E B C"]:
        """Return the logit of every head for every noise; values are its sigmoid."""
        scaled = (noise / self.noise_scale).clamp(-CLIP, CLIP) * (GROUP_NORM / noise.shape[-1] ** 0.5)
        x = self.from_state(state)[:, :, None] + self.from_noise(rearrange(scaled, "e b c m -> e (b c) m")).unflatten(
            1, scaled.shape[1:3]
        )
        size = x.shape[-1]
        x = rearrange(functional.gelu(functional.layer_norm(x, (size,))), "e b c h -> e (b c) h")
        x = functional.gelu(functional.layer_norm(self.middle(x), (size,)))
        return self.last(x)[..., 0].unflatten(1, scaled.shape[1:3])

    @torch.no_grad()
    def values(self, state: Float[Tensor, "B n"], noise: Float[Tensor, "B C m"]) -> Float[Tensor, "E B C"]:
        """Return every head's values."""
        parts = [self(state[None, i], noise[None, i]) for i in torch.arange(len(state)).split(512)]
        return torch.cat(parts, dim=1).sigmoid()


class _Heads(nn.Module):
    """One linear layer per head."""

    def __init__(self, heads: int, size: int, outputs: int) -> None:
        super().__init__()
        bound = (3.0 / max(1, size)) ** 0.5
        self.weight = nn.Parameter((2.0 * torch.rand(heads, size, outputs) - 1.0) * bound)
        self.bias = nn.Parameter(torch.zeros(heads, 1, outputs))

    def forward(self, x: Float[Tensor, "#E B n"]) -> Float[Tensor, "E B o"]:
        """Return each head's output; one input may serve all."""
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


# --- 2. what it learns from -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Chunks with what was on offer, as tensors; noises are reduced."""

    features: Float[Tensor, "M F"]
    proprio: Float[Tensor, "M P"]
    noise: Float[Tensor, "M m"]
    """Executed."""
    reward: Float[Tensor, " M"]
    following: Int[Tensor, " M"]
    """Row of the chunk that came next; -1 after the last one of an episode."""
    after_features: Float[Tensor, "M F"]
    after_proprio: Float[Tensor, "M P"]
    offered: Float[Tensor, "M C m"]
    """What can be picked from after each chunk: recorded offers and draws; 0 where there are fewer."""
    is_offered: Bool[Tensor, "M C"]
    goes_on: Bool[Tensor, " M"]
    """Something comes after the chunk, and it is known what."""

    @classmethod
    def join(cls, parts: "Sequence[Replay]") -> "Replay":
        """Return several as one."""
        first = np.cumsum([0, *(len(p.noise) for p in parts)])
        offers = max(p.offered.shape[1] for p in parts)
        joined = {
            name: torch.cat([getattr(p, name) for p in parts])
            for name in ("features", "proprio", "noise", "reward", "after_features", "after_proprio", "goes_on")
        }
        following = [torch.where(p.following < 0, -1, p.following + n) for p, n in zip(parts, first, strict=False)]
        missing = [offers - p.offered.shape[1] for p in parts]
        return cls(
            **joined,
            following=torch.cat(following),
            offered=torch.cat([functional.pad(p.offered, (0, 0, 0, n)) for p, n in zip(parts, missing, strict=True)]),
            is_offered=torch.cat([functional.pad(p.is_offered, (0, n)) for p, n in zip(parts, missing, strict=True)]),
        )


def replay_of(table: TrainingTable, draws: DsbcPolicy, critic: Critic, settings: PickQSettings, *, seed: int) -> Replay:
    """Return a table as tensors, with draws of the imitating policy among the offers of every place.

    Args:
        table: with outcomes.
        draws: gives them.
        critic: reduces noises.
        settings: how many draws; whether time-outs are worth something.
        seed: of the draws.
    """
    after, size = table.after(), table.action_size
    assert table.reward is not None
    assert table.following is not None
    known = np.isfinite(after.features).all(axis=1) & np.isfinite(after.proprio).all(axis=1) & ~table.terminal
    if not settings.bootstraps:
        known &= ~table.truncated
    features, proprio = (_tensor(np.where(known[:, None], x, 0.0)) for x in (after.features, after.proprio))
    counts = [0 if offer is None else len(offer.noises) for offer in after.offers]
    offers = np.full((table.rows, max(counts), table.horizon, size), np.nan, np.float32)
    for row, offer in enumerate(after.offers):
        if offer is not None:
            offers[row, : counts[row]] = offer.noises[..., :size]
    seen = Inputs(features, proprio)
    drawn = torch.stack([draws.draw(seen, seed=seed * settings.draws + i) for i in range(settings.draws)], dim=1)
    offered = torch.cat([critic.reduced(torch.from_numpy(offers)), critic.reduced(drawn)], dim=1)
    is_offered = torch.isfinite(offered).all(dim=2)
    return Replay(
        features=_tensor(table.features),
        proprio=_tensor(table.proprio),
        noise=critic.reduced(_tensor(table.noise[..., :size])),
        reward=_tensor(table.reward),
        following=torch.from_numpy(table.following).long(),
        after_features=features,
        after_proprio=proprio,
        offered=offered.nan_to_num(0.0),
        is_offered=is_offered,
        goes_on=torch.from_numpy(known) & is_offered.any(dim=1),
    )


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


# --- 3. the learner ---------------------------------------------------------------------------------


class PickQ(OnlineLearner):
    """Learns what noises are worth."""

    def begin(self, policy: "FlowPolicy | None", settings: Any = None, *, prior: TrainingTable | None = None) -> None:
        """Start from recorded episodes; the first guess is learned when it is first asked for."""
        settings = self.spec.checked(settings)
        assert isinstance(settings, PickQSettings)
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
        weights = {**self._critic.state_dict(), **{_DRAWS + k: v for k, v in self._draws.weights().items()}}
        kept = {k: v.detach().clone() for k, v in weights.items()}
        return Trained(
            weights=kept,
            metadata=metadata,
            scores=Scores.blank(self._whole().rows),
            acting=lambda: _acting(metadata, kept),
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
        self, table: TrainingTable, settings: Any = None, *, name: str = "", on_progress: OnProgress = ignore_progress
    ) -> Trained:
        """Return what can be told from recorded episodes alone."""
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
        self._draws = _imitating(self._metadata(), state["draws"])
        self._fresh_critic()
        assert self._critic is not None
        self._critic.load_state_dict(state["critic"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._generator.set_state(state["random"])
        self._seconds, self._steps_taken, self._since, self._loss = state["counts"]
        self._parts = self._all_parts()

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> "PickQPolicy":
        """Return a saved policy, ready to act."""
        check_fingerprint(metadata, fingerprint, folder=folder)
        return _acting(metadata, artifact.read_weights(folder, metadata), folder)

    # What follows changes the weights, in the order in which it happens.

    def _first_guess(self) -> None:
        if self._critic is None:
            self._refresh(ignore_progress)

    def _refresh(self, on_progress: OnProgress) -> bool:
        """Learn draws and critic from all there is, from fresh weights; return False where it was told to stop.

        Networks that learn from a growing heap of data hold on to the first of it; fresh ones do not.
        """
        began, whole = time.monotonic(), self._whole()
        successes = np.isin(whole.episode, whole.episode[whole.terminal])
        imitation = Dsbc(find_learner("dsbc")).train(whole.take(successes), self._settings.imitation)
        self._draws = _imitating(self._metadata(), {k: v.cpu() for k, v in imitation.weights.items()})
        self._fresh_critic()
        self._parts = self._all_parts()
        assert self._critic is not None
        self._critic.measure(Replay.join(self._parts))
        self._seconds += time.monotonic() - began
        return self._fit(self._settings.first_steps, on_progress)

    def _fresh_critic(self) -> None:
        settings = self._settings
        seed = int(torch.randint(2**31, (1,), generator=self._generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._critic = _critic(settings, self._metadata())
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
        """Take gradient steps towards the targets, which are computed again every so many; False where told to stop."""
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
                # Letting go ends most successes, wherever the arm is: without this a noise's usual place passes for its merit.
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
        return make_metadata(self.spec.id, name, table, to_json(self._settings), scores, metrics)


def td_targets(replay: Replay, after: Float[Tensor, " M"], settings: PickQSettings) -> Float[Tensor, " M"]:
    """Return TD(lambda) targets: reward 1 at success, else what comes next, discounted.

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
    """Return what the offers are worth if the better ones are picked more often, by the ensemble's cautious opinion."""
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
            f"None of {len(table.names)} episodes is a success, so nothing tells what is worth doing. Record at least one."
        )


# --- 4. at work -------------------------------------------------------------------------------------


class PickQPolicy(ValuingPolicy):
    """A trained critic at work.

    Args:
        critic: trained.
        imitation: gives the draws.
        metadata: sizes and names.
        settings: as trained with.
        explores: tries things, as drawn from the seed of `begin`.
    """

    def __init__(
        self,
        critic: Critic,
        imitation: DsbcPolicy,
        metadata: PolicyMetadata,
        settings: PickQSettings,
        *,
        explores: bool,
    ) -> None:
        self.name, self.policy_fingerprint, self.metadata = metadata.name, metadata.policy_fingerprint, metadata
        self._critic, self._imitation, self._settings = critic.eval(), imitation, settings
        self._explores, self._random = explores, np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._random = np.random.default_rng(seed)

    def commands(self, observation: Observation) -> tuple[Command, ...]:
        """Return every direction; fingers that are closed stay so."""
        if not self._settings.directions:
            return ()
        return fan_commands(gripper=Gripper.CLOSE if observation.gripper_command > 0.5 else Gripper.POLICY)

    @torch.no_grad()
    def draws(self, context: Context, observation: Observation) -> Float[Array, "N H A"]:
        """Return draws of the imitating policy; the same ones in the same step, unless it explores."""
        seed = int(self._random.integers(2**31)) if self._explores else observation.step
        return self._imitation.noises(context, observation, count=self._settings.draws, seed=seed)

    @torch.no_grad()
    def judge(self, context: Context, observation: Observation, noises: Float[Array, "B H A"]) -> Judged:
        """Return what noises are worth, the last `draws` of them being its own."""
        settings, size = self._settings, self.metadata.action_size
        features, proprio = (
            torch.from_numpy(np.asarray(x, np.float32))[None] for x in (context.features, observation.proprio)
        )
        reduced = self._critic.reduced(torch.from_numpy(np.ascontiguousarray(noises[..., :size])).float())
        is_there = torch.isfinite(reduced).all(dim=1)
        heads = self._critic.values(self._critic.state(features, proprio), reduced.nan_to_num(0.0)[None])[:, 0]
        first_draw = len(noises) - settings.draws
        # How much better than the average draw, by every head: what they do not know of the place itself cancels out.
        better = heads - heads[:, first_draw:].mean(dim=1, keepdim=True)
        score = better.mean(dim=0) - settings.confidence * better.std(dim=0, unbiased=False)
        is_direction = torch.arange(len(noises)) < first_draw
        is_direction[0] = False
        score = torch.where(is_direction, score - settings.margin if settings.directions else -torch.inf, score)
        score = score.masked_fill(~is_there, -torch.inf)
        best = int(score.argmax())
        takes_any = self._explores and self._random.random() < settings.tries
        if takes_any or score[best] <= 0.0:
            best = first_draw
        return Judged(torch.where(is_there, heads.mean(dim=0), torch.nan).numpy(), best)


def _acting(metadata: PolicyMetadata, weights: Mapping[str, Tensor], folder: Path = Path("pick-q")) -> PickQPolicy:
    """Return a policy made of weights.

    Raises:
        ConfigError: they do not fit the metadata.
    """
    settings = from_json(PickQSettings, metadata.settings)
    own = {k: v for k, v in weights.items() if not k.startswith(_DRAWS)}
    imitation = {k.removeprefix(_DRAWS): v for k, v in weights.items() if k.startswith(_DRAWS)}
    critic = artifact.load_network(lambda: _critic(settings, metadata), folder, metadata, own)
    explores = metadata.metrics.get("explores") is True
    return PickQPolicy(critic, _imitating(metadata, imitation, folder), metadata, settings, explores=explores)


def _critic(settings: PickQSettings, metadata: PolicyMetadata) -> Critic:
    return Critic(
        settings,
        feature_size=metadata.feature_size,
        proprio_size=metadata.proprio_size,
        horizon=metadata.horizon,
        action_size=metadata.action_size,
    )


def _imitating(metadata: PolicyMetadata, weights: Mapping[str, Tensor], folder: Path = Path("pick-q")) -> DsbcPolicy:
    learner, settings = Dsbc(find_learner("dsbc")), from_json(PickQSettings, metadata.settings).imitation
    metadata = replace(metadata, kind="dsbc", settings=to_json(settings))
    return learner.acting(learner.load_network(folder, metadata, settings, weights), metadata, {})
