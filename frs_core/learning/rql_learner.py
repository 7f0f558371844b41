"""Reversal Q-Learning as a learner of the product: a policy of chunks from all recorded episodes, failures included.

A recorded chunk is one step of the algorithm (`learning/rql.py`): its reward is 1 where the episode succeeded with it and else 0,
and the state after it is the one the next chunk was chosen in. An episode that was given up ends there, worth nothing (a setting;
the authors let values continue past a time limit). Inputs and the scale of actions are those of the behaviour cloners.

Example: 20 successes of 15 chunks and 20 failures of 40 are 1100 chunks of [16, 7]; the flow's state has 112 numbers.
Runs in the trainer's process.
"""

import itertools
import math
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.errors import TrainingError
from frs_core.learning import artifact
from frs_core.learning.agreement import scores_of_chunks
from frs_core.learning.base import ChunkPolicy, Learner, Trained
from frs_core.learning.bc import Scale
from frs_core.learning.fit import best_device, torch_threads
from frs_core.learning.live import live_inputs
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs, Standardise
from frs_core.learning.progress import OnProgress, Progress, Scores, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.rql import Draws, Losses, Rql, RqlConfig, Windows
from frs_core.learning.settings import RqlSettings
from frs_core.learning.table import TrainingTable
from frs_core.robot.observation import Observation
from frs_core.steering.methods import gaussian
from frs_core.steering.policy_spec import Context


class ReversalNet(nn.Module):
    """The algorithm's networks behind the learners' standardised inputs and actions."""

    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(
        self, settings: RqlSettings, *, feature_size: int, proprio_size: int, horizon: int, action_size: int
    ) -> None:
        super().__init__()
        features = feature_size if settings.inputs.features else 0
        proprio = proprio_size if settings.inputs.proprio else 0
        self.features, self.proprio = Standardise(features), Standardise(proprio)
        for name in ("mean", "std", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(action_size))
        self.horizon = horizon
        self.rql = Rql(_config(settings), observation_size=features + proprio, action_size=horizon * action_size)

    @property
    def scale(self) -> Scale:
        """Standardisation of actions, on the CPU."""
        return Scale(self.mean.cpu(), self.std.cpu())

    def measure(self, inputs: Inputs, table: TrainingTable) -> None:
        """Take standardisation and range of actions from the recorded ones."""
        self.features.measure(inputs.features)
        self.proprio.measure(inputs.proprio)
        scale = Scale.of(table.chunk)
        flat = torch.from_numpy(table.chunk.reshape(-1, table.action_size))
        self.mean.copy_(scale.mean)
        self.std.copy_(scale.std)
        self.lowest.copy_(flat.amin(dim=0))
        self.highest.copy_(flat.amax(dim=0))

    def observation(self, inputs: Inputs, *, blur: float = 0.0) -> Float[Tensor, "B o"]:
        """Return what the algorithm sees.

        Args:
            inputs: as recorded.
            blur: standard deviation of noise on top, as for all learners while training.
        """
        seen = torch.cat([self.features(inputs.features), self.proprio(inputs.proprio)], dim=1)
        return seen + blur * torch.randn_like(seen) if blur else seen

    def chunks(self, inputs: Inputs, *, seed: int) -> Float[Array, "B H a"]:
        """Return chunks in robot units, within what was recorded."""
        seen = self.observation(inputs)
        noise = gaussian((len(seen), self.rql.action_size), seed=seed, device=seen.device)
        chunk = self.scale.restore(self.rql.act(seen, noise, bound=None))
        return np.clip(chunk, self.lowest.cpu().numpy(), self.highest.cpu().numpy())


class ReversalLearning(Learner[RqlSettings]):
    """Learns chunks from rewards."""

    def train(
        self,
        table: TrainingTable,
        settings: RqlSettings | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> Trained:
        """Return the policy trained on the table; see `Learner.train`."""
        settings = self.checked(settings)
        table.require_finite(needs_noise=False)
        if table.reward is None or not table.terminal.any():
            raise TrainingError(
                f"None of the {counted(len(table.names), 'episode')} succeeded, so there is no reward to learn from. Record or label at least one "
                f"success."
            )
        began, device = time.monotonic(), best_device()
        with torch_threads(settings.threads), torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            network = _network(settings, table.features.shape[1], table.proprio.shape[1], table.chunk.shape[1:]).to(
                device
            )
            inputs = Inputs.of(table, settings.inputs, device=device)
            network.measure(inputs, table)
            network.rql.value_nothing()
            steps, losses = _fit(network, Replay(table, network, settings, device), settings, on_progress)
        network.eval()
        scores = _scores(network, table, inputs)
        metrics = {
            "steps": steps,
            "loss": losses.critic.item(),
            "cloning_loss": losses.cloning.item(),
            **_values(network, table, inputs),
            "seconds": round(time.monotonic() - began, 2),
            "was_cancelled": steps < settings.steps,
        }
        metadata = make_metadata(self.spec.id, name or self.spec.id, table, settings, scores, metrics)
        return Trained(
            weights=network.state_dict(),
            metadata=metadata,
            scores=scores,
            acting=lambda: RqlPolicy(network, metadata, settings),
            steps=steps,
            was_cancelled=steps < settings.steps,
        )

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> "RqlPolicy":
        """Return a saved policy, ready to act."""
        weights = artifact.read_weights(folder, metadata, fingerprint)
        settings = self.settings_of(metadata)
        size = (metadata.horizon, metadata.action_size)
        network = artifact.load_network(
            lambda: _network(settings, metadata.feature_size, metadata.proprio_size, size),
            folder,
            metadata,
            weights,
        )
        return RqlPolicy(network, metadata, settings)


class RqlPolicy(ChunkPolicy):
    """A trained policy at work."""

    def __init__(self, network: ReversalNet, metadata: PolicyMetadata, settings: RqlSettings) -> None:
        self.name = metadata.name
        self.policy_fingerprint = metadata.policy_fingerprint
        self.metadata = metadata
        self._network, self._settings = network.eval(), settings

    @torch.inference_mode()
    def chunk(self, context: Context, observation: Observation) -> Float[Array, "H a"]:
        """Return actions in robot units, within what was recorded.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        device = self._network.mean.device
        inputs = live_inputs(context, observation, self._settings.inputs, self.metadata, device=device)
        return self._network.chunks(inputs, seed=observation.step)[0]


class Replay:
    """Recorded chunks as windows of one row; an episode is drawn first, then a chunk of it, as in the authors' sampler."""

    def __init__(self, table: TrainingTable, network: ReversalNet, settings: RqlSettings, device: torch.device) -> None:
        assert table.reward is not None
        after = table.after()
        # Features or proprioception that are not known are NaN, and so is their sum.
        known = ~np.isnan(np.concatenate([after.features, after.proprio], axis=1).sum(axis=1, keepdims=True))
        is_over = table.terminal | table.truncated if settings.failures_end else table.terminal
        starts = np.flatnonzero(is_over | known[:, 0])
        _, first, count = np.unique(table.episode[starts], return_index=True, return_counts=True)
        # Nothing comes after an end; the state before it stands there for a number.
        seen = replace(
            table,
            features=np.where(known, after.features, table.features),
            proprio=np.where(known, after.proprio, table.proprio),
        )
        self._network, self._blur = network, settings.inputs.noise
        self._before, self._after = (Inputs.of(t.take(starts), settings.inputs, device=device) for t in (table, seen))
        self._chunks = network.scale.standardise(table.chunk[starts]).to(device)
        self._reward = torch.from_numpy(table.reward[starts]).to(device)
        self._goes_on = torch.from_numpy(np.where(is_over, 0.0, 1.0)[starts]).to(self._reward)
        good = np.isin(table.episode, table.episode[table.terminal])[starts]
        self._cloned = None if settings.clone_failures else torch.from_numpy(good).to(self._reward)
        self._first, self._count = torch.from_numpy(first), torch.from_numpy(count)

    def draw(self, size: int) -> Windows:
        """Return `size` windows from torch's global generator."""
        episode = torch.randint(len(self._first), (size,))
        within = (torch.rand(size) * self._count[episode]).long()
        index = (self._first[episode] + within).to(self._reward.device)
        return Windows(
            observation=self._network.observation(self._before.rows(index), blur=self._blur),
            following=self._network.observation(self._after.rows(index), blur=self._blur),
            actions=self._chunks[index][:, None],
            rewards=self._reward[index][:, None],
            ends=torch.zeros(size, 1, device=index.device),
            goes_on=self._goes_on[index],
            cloned=None if self._cloned is None else self._cloned[index],
        )


def _network(settings: RqlSettings, features: int, proprio: int, chunk: tuple[int, ...]) -> ReversalNet:
    """Return networks with fresh weights for these numbers of features and of proprioception, and chunks [H, a]."""
    return ReversalNet(settings, feature_size=features, proprio_size=proprio, horizon=chunk[0], action_size=chunk[1])


def _config(settings: RqlSettings) -> RqlConfig:
    return RqlConfig(
        hidden=(settings.network.hidden,) * settings.network.layers,
        value_range=(0.0, 1.0),
        predicts_chunk=True,
        **{f.name: getattr(settings, f.name) for f in fields(RqlConfig) if hasattr(settings, f.name)},
    )


def _fit(network: ReversalNet, replay: Replay, settings: RqlSettings, on_progress: OnProgress) -> tuple[int, Losses]:
    """Train in place; return the steps taken and the last losses.

    Raises:
        TrainingError: a loss is not finite.
    """
    began, rql, optimiser = time.monotonic(), network.rql, network.rql.optimiser()
    numbers = rql.action_size
    for step in itertools.count(1):
        windows = replay.draw(settings.batch_size)
        drawn = Draws.of(
            settings.batch_size, numbers, flow_steps=settings.flow_steps, device=windows.observation.device
        )
        losses = rql.update(optimiser, windows, drawn)
        if step % settings.report_every and step != settings.steps:
            continue
        loss = losses.total(settings.alpha).item()
        if not math.isfinite(loss):
            raise TrainingError(
                f"The training loss is not finite at step {step}. Lower learning_rate (it is {settings.learning_rate:g})."
            )
        left = (time.monotonic() - began) / step * (settings.steps - step)
        if on_progress(Progress(step, settings.steps, loss, float("nan"), left)) is False or step == settings.steps:
            return step, losses
    raise AssertionError("counting does not end")


@torch.inference_mode()
def _scores(network: ReversalNet, table: TrainingTable, inputs: Inputs) -> Scores:
    """Return how near a draw is to what succeeded; leaving the rest is what it is for."""
    assert table.reward is not None
    good = np.isin(table.episode, table.episode[table.terminal])
    done = network.scale.standardise(table.chunk)
    drawn = network.scale.standardise(network.chunks(inputs, seed=0))
    errors = (drawn - done).square().mean(dim=1)[torch.from_numpy(good)].numpy()
    constant = (done - done.mean(dim=0))[torch.from_numpy(good)].square().mean().item()
    return scores_of_chunks(table.take(good), errors, constant=constant, is_held_out=False)


@torch.inference_mode()
def _values(network: ReversalNet, table: TrainingTable, inputs: Inputs) -> dict[str, float]:
    """Return the mean value of states of successes and of failures; NaN without any."""
    good = torch.from_numpy(np.isin(table.episode, table.episode[table.terminal]))
    seen = network.observation(inputs)
    noise = gaussian((len(seen), network.rql.action_size), seed=0, device=seen.device)
    values = network.rql.values(seen, noise, torch.zeros_like(noise[:, :1])).mean(dim=0).cpu()
    return {"value_of_successes": values[good].mean().item(), "value_of_failures": values[~good].mean().item()}
