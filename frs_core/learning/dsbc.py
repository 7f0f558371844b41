"""DSBC: learn which noise to hand the generalist, from the noises that steered it to success.

Problem: ten steered successes are far too few to learn a robot policy, yet enough to learn which of the generalist's own
skills to call for. Idea: keep the generalist frozen and learn *its noise* given what it sees: (features, proprioception)
-> noise [H, a], drawn from a small flow (or their mean, by regression). In a strange state a wrong noise is still a noise,
and the generalist does something reasonable with it; a cloned action has no such net below it.

Labels are the noises that were denoised and executed, so the reversal's error cannot enter. Only the robot's columns are
predicted; padding columns of wider policies get seeded N(0, I), as when they were recorded.

Example: ten episodes x 15 chunks, 1000 features, H = 16, a = 7: 150 rows -> 3x512 MLP -> 112 numbers.
Runs in the trainer's process.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from frs_core.choosers.base import NoisePolicy
from frs_core.errors import ConfigError, TrainingError
from frs_core.events import UNSTEERED
from frs_core.learning import artifact
from frs_core.learning.agreement import card_of_noises
from frs_core.learning.fit import Data, FitReport, best_device, fit
from frs_core.learning.live import live_inputs
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.progress import Card, OnProgress, ignore_progress
from frs_core.learning.provenance import make_story
from frs_core.learning.settings import DsbcSettings, Loss, NoiseOutput, TrainKind, from_json, to_json
from frs_core.learning.small_flow import draw, extra_size, flow_matching
from frs_core.learning.story import Story, check_fingerprint, read_story
from frs_core.learning.table import TrainingTable, split
from frs_core.observation import Observation
from frs_core.policies.base import Context
from frs_core.steering import gaussian

JUDGED_DRAWS = 16
"""The card judges the mean of so many draws of the flow; one draw errs by its own spread too."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedDsbc:
    """A trained noise policy and how it came about."""

    network: SmallNet
    story: Story
    report: FitReport
    card: Card

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write it to disk; see learning.artifact."""
        return artifact.save(folder, self.network.state_dict(), self.story, overwrite=overwrite)

    def policy(self) -> "DsbcPolicy":
        """Return it ready to act."""
        return DsbcPolicy(self.network, self.story)


def train_dsbc(
    table: TrainingTable,
    settings: DsbcSettings | None = None,
    *,
    name: str = "dsbc",
    kind: TrainKind = TrainKind.DSBC,
    on_progress: OnProgress = ignore_progress,
) -> TrainedDsbc:
    """Return a noise policy learned from executed (or recovered) noises.

    Args:
        table: chunks of successful episodes.
        settings: inputs, network, output, loss, fit.
        name: shown in the fan and the list of policies.
        kind: DSBC, or OFFLINE_DSBC when the noises were recovered from demonstrations.
        on_progress: told as it goes; False stops and keeps the best so far.
    Raises:
        TrainingError: no usable chunks, missing inputs, or a loss that diverges.
    """
    settings = settings or DsbcSettings()
    table = _usable(table, settings)
    table.require_finite(needs_noise=True)

    # 1. Whole episodes are kept aside to tell when to stop.
    parts = split(table, settings.fit.held_out, seed=settings.fit.seed)
    device = best_device()

    # 2. Observation -> noise of every row, or their mean: by a small flow, or by a regression.
    columns = predicted_columns(settings, table.action_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.fit.seed)
        network = _network(settings, table.features.shape[1], table.proprio.shape[1], table.horizon, len(columns)).to(
            device
        )

    def data(part: TrainingTable) -> Data:
        target = target_noises(part, settings.output, columns)
        return Data(Inputs.of(part, settings.inputs, device=device), torch.from_numpy(target).to(device))

    # 3. Flow matching of the executed noises, or mean squared error or Gaussian likelihood between them and the predicted ones.
    def regression(network: SmallNet, batch: Data) -> Tensor:
        mean, log_std = bounded(network(batch.inputs), settings)
        if log_std is None:
            return (mean - batch.target).square().mean()
        return (0.5 * ((mean - batch.target) / log_std.exp()).square() + log_std).mean()

    report = fit(
        network,
        flow_matching if settings.loss is Loss.FLOW else regression,
        data(parts.train),
        data(parts.held_out) if parts.held_out else None,
        settings.fit,
        everything=data(table),
        on_progress=on_progress,
    )

    # 4. How near it comes to the operator on episodes it never saw, by the weights that never saw them.
    judged = parts.held_out or table
    judge = copy.deepcopy(network)
    judge.load_state_dict(dict(report.judge))
    with torch.no_grad():
        inputs = Inputs.of(judged, settings.inputs, device=device)
        draws = JUDGED_DRAWS if settings.loss is Loss.FLOW else 1
        answers = [_answer(judge, inputs, settings, seed=i) for i in range(draws)]
    predicted = as_chunk(torch.stack(answers).mean(dim=0).cpu().numpy(), table.horizon, len(columns))
    card = card_of_noises(
        judged, predicted, columns=columns, learned_from=parts.train, is_held_out=parts.held_out is not None
    )
    story = make_story(kind, name, table, to_json(settings), report, card)
    return TrainedDsbc(network, story, report, card)


def _network(settings: DsbcSettings, features: int, proprio: int, horizon: int, columns: int) -> SmallNet:
    numbers = _numbers(settings, horizon, columns)
    return SmallNet(
        settings.inputs,
        settings.network,
        feature_size=features,
        proprio_size=proprio,
        output_size=numbers * (2 if settings.loss is Loss.NLL else 1),
        extra_size=extra_size(numbers) if settings.loss is Loss.FLOW else 0,
    )


def _numbers(settings: DsbcSettings, horizon: int, columns: int) -> int:
    return (horizon if settings.output is NoiseOutput.CHUNK else 1) * columns


def _answer(network: SmallNet, inputs: Inputs, settings: DsbcSettings, *, seed: int) -> Float[Tensor, "B n"]:
    """Return flat noises inside +-bound; the seed matters to the flow only."""
    if settings.loss is Loss.FLOW:
        numbers = network.head.out_features
        return draw(network, inputs, numbers, steps=settings.flow_steps, seed=seed).clamp(
            -settings.bound, settings.bound
        )
    return bounded(network(inputs), settings)[0]


def predicted_columns(settings: DsbcSettings, action_size: int) -> tuple[int, ...]:
    """Return which numbers of the action are predicted.

    Raises:
        ConfigError: the robot does not have one of them.
    """
    wrong = [c for c in settings.columns if c >= action_size]
    if wrong:
        raise ConfigError(f"columns names number {wrong[0]}, the robot's actions have {action_size}. Count from 0.")
    return settings.columns or tuple(range(action_size))


def target_noises(table: TrainingTable, output: NoiseOutput, columns: tuple[int, ...]) -> Float[np.ndarray, "M n"]:
    """Return the labels: the predicted columns of the executed noises, whole or averaged over the chunk."""
    noise = table.noise[:, :, list(columns)].astype(np.float32)
    if output is NoiseOutput.MEAN:
        return noise.mean(axis=1)
    return rearrange(noise, "m h c -> m (h c)")


def as_chunk(flat: Float[np.ndarray, "M n"], horizon: int, size: int) -> Float[np.ndarray, "M H c"]:
    """Return flat predictions as noises; one row is repeated over the chunk."""
    if flat.shape[1] == size:
        return repeat(flat, "m c -> m h c", h=horizon)
    return rearrange(flat, "m (h c) -> m h c", h=horizon)


def bounded(
    raw: Float[Tensor, "B o"], settings: DsbcSettings
) -> tuple[Float[Tensor, "B n"], Float[Tensor, "B n"] | None]:
    """Return the mean inside +-bound and, for NLL, the log standard deviation inside [-4, 1]."""
    if settings.loss is Loss.MSE:
        return settings.bound * torch.tanh(raw / settings.bound), None
    mean, log_std = raw.chunk(2, dim=1)
    return settings.bound * torch.tanh(mean / settings.bound), log_std.clamp(-4.0, 1.0)


def _usable(table: TrainingTable, settings: DsbcSettings) -> TrainingTable:
    """Return the rows that teach."""
    if settings.deferred or not table.picked:
        return table
    mask = np.array([label != UNSTEERED for label in table.picked])
    if not mask.any():
        raise TrainingError(
            f"All {table.rows} chunks were left to the policy and 'deferred' is off, so nothing is left to learn from. "
            f"Turn it on, or steer at least one chunk."
        )
    return table.take(mask)


class DsbcPolicy(NoisePolicy):
    """A trained noise policy at work: one forward pass per chunk, no reversal, no operator."""

    def __init__(self, network: SmallNet, story: Story) -> None:
        self.name = story.name
        self.policy_fingerprint = story.policy_fingerprint
        self.story = story
        self._settings = from_json(DsbcSettings, story.settings)
        self._columns = list(predicted_columns(self._settings, story.action_size))
        self._network = network.eval()
        self._device = next(network.parameters()).device

    @torch.inference_mode()
    def noise(self, context: Context, observation: Observation) -> Float[np.ndarray, "H A"]:
        """Return the noise to denoise for this observation.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        inputs = live_inputs(context, observation, self._settings.inputs, self.story, device=self._device)
        story = self.story
        answer = _answer(self._network, inputs, self._settings, seed=observation.step)
        noise = gaussian((1, story.horizon, story.width), seed=observation.step)[0].numpy().astype(np.float32)
        noise[:, self._columns] = as_chunk(answer.cpu().numpy(), story.horizon, len(self._columns))[0]
        return noise


def load_noise_policy(path: Path | str, fingerprint: str) -> DsbcPolicy:
    """Return a saved noise policy, ready to act.

    Args:
        path: its folder.
        fingerprint: of the generalist it will drive.
    Raises:
        WeightsMissing: nothing is saved there.
        ConfigError: damaged, or not a noise policy.
        FingerprintMismatch: trained for another generalist.
    """
    folder = Path(path)
    story = read_story(folder)
    if story.kind not in (TrainKind.DSBC.value, TrainKind.OFFLINE_DSBC.value):
        raise ConfigError(
            f"'{folder}' holds a '{story.kind}' policy, a noise policy is needed. Train one with `frs train dsbc`."
        )
    check_fingerprint(story, fingerprint, folder=folder)
    settings = from_json(DsbcSettings, story.settings)
    columns = len(predicted_columns(settings, story.action_size))
    network = artifact.load_network(
        lambda: _network(settings, story.feature_size, story.proprio_size, story.horizon, columns),
        folder,
        story,
        artifact.read_weights(folder, story),
    )
    return DsbcPolicy(network, story)
