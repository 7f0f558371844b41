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

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.errors import ConfigError, TrainingError
from frs_core.learning import artifact
from frs_core.learning.agreement import scores_of_noises
from frs_core.learning.imitation import Head, Imitation, Labels, deviation
from frs_core.learning.live import live_inputs
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.progress import Scores
from frs_core.learning.settings import DsbcSettings, InputSettings, Loss, NoiseOutput
from frs_core.learning.table import TrainingTable
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import UNSTEERED
from frs_core.steering.methods import gaussian
from frs_core.steering.policy_spec import Context

JUDGED_DRAWS = 16
"""The scores judge the mean of this many draws of the flow; one draw errs by its own spread too."""


class Dsbc(Imitation[DsbcSettings]):
    """Learns the executed noises."""

    def usable(self, table: TrainingTable, settings: DsbcSettings) -> TrainingTable:
        """Return the rows to learn from."""
        if not settings.deferred and table.picked:
            mask = np.array([label != UNSTEERED for label in table.picked])
            if not mask.any():
                raise TrainingError(
                    f"All {table.rows} chunks were left to the policy and 'deferred' is off, so nothing is left to learn "
                    f"from. Turn it on, or steer at least one chunk."
                )
            table = table.take(mask)
        table.require_finite(needs_noise=True)
        return table

    def labels(self, table: TrainingTable, settings: DsbcSettings) -> Labels:
        """Return the predicted columns of the noises, whole or averaged over the chunk."""
        columns = predicted_columns(settings, table.action_size)
        return NoiseLabels(_head(settings, table.horizon, len(columns)), settings.output, columns)

    def head(self, metadata: PolicyMetadata, settings: DsbcSettings) -> Head:
        """Return the head that a saved policy was trained with."""
        return _head(settings, metadata.horizon, len(predicted_columns(settings, metadata.action_size)))

    def acting(self, network: SmallNet, metadata: PolicyMetadata, extra: Mapping[str, Tensor]) -> "DsbcPolicy":
        """Return a trained network at work."""
        settings = self.settings_of(metadata)
        return DsbcPolicy(network, self.head(metadata, settings), metadata, settings)

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> "DsbcPolicy":
        """Return a saved noise policy, ready to act."""
        weights = artifact.read_weights(folder, metadata, fingerprint)
        network = self.load_network(folder, metadata, self.settings_of(metadata), weights)
        return self.acting(network, metadata, {})


class NoiseLabels(Labels):
    """Executed noises."""

    judged_draws = JUDGED_DRAWS

    def __init__(self, head: Head, output: NoiseOutput, columns: tuple[int, ...]) -> None:
        self.head, self._output, self._columns = head, output, columns

    def target(self, part: TrainingTable) -> Float[Tensor, "M n"]:
        """Return the flat labels of some rows."""
        return torch.from_numpy(target_noises(part, self._output, self._columns))

    def scores(
        self,
        judged: TrainingTable,
        predicted: Float[Tensor, "M n"],
        *,
        learned_from: TrainingTable,
        is_held_out: bool,
    ) -> Scores:
        """Return how near predictions are to the executed noises, and how often to the operator's pick."""
        noises = as_chunk(predicted.cpu().numpy(), judged.horizon, len(self._columns))
        return scores_of_noises(
            judged, noises, columns=self._columns, learned_from=learned_from, is_held_out=is_held_out
        )


def _head(settings: DsbcSettings, horizon: int, columns: int) -> Head:
    numbers = (horizon if settings.output is NoiseOutput.CHUNK else 1) * columns
    return Head(numbers, settings.loss, settings.flow_steps, settings.bound)


def predicted_columns(settings: DsbcSettings, action_size: int) -> tuple[int, ...]:
    """Return which numbers of the action are predicted.

    Raises:
        ConfigError: the robot does not have one of them.
    """
    wrong = [c for c in settings.columns if c >= action_size]
    if wrong:
        raise ConfigError(f"columns names number {wrong[0]}, the robot's actions have {action_size}. Count from 0.")
    return settings.columns or tuple(range(action_size))


def target_noises(table: TrainingTable, output: NoiseOutput, columns: tuple[int, ...]) -> Float[Array, "M n"]:
    """Return the labels: the predicted columns of the executed noises, whole or averaged over the chunk."""
    noise = table.noise[:, :, list(columns)].astype(np.float32)
    if output is NoiseOutput.MEAN:
        return noise.mean(axis=1)
    return rearrange(noise, "m h c -> m (h c)")


def as_chunk(flat: Float[Array, "M n"], horizon: int, size: int) -> Float[Array, "M H c"]:
    """Return flat predictions as noises; one row is repeated over the chunk."""
    if flat.shape[1] == size:
        return repeat(flat, "m c -> m h c", h=horizon)
    return rearrange(flat, "m (h c) -> m h c", h=horizon)


class DsbcPolicy(NoisePolicy):
    """A trained noise policy at work: one forward pass per chunk, no reversal, no operator."""

    def __init__(self, network: SmallNet, head: Head, metadata: PolicyMetadata, settings: DsbcSettings) -> None:
        self.name = metadata.name
        self.policy_fingerprint = metadata.policy_fingerprint
        self.metadata = metadata
        self._settings, self._head = settings, head
        self._columns = list(predicted_columns(settings, metadata.action_size))
        self._network = network.eval()
        self._device = next(network.parameters()).device

    def weights(self) -> Mapping[str, Tensor]:
        """Return the network's state."""
        return self._network.state_dict()

    @property
    def inputs(self) -> InputSettings:
        """What it sees."""
        return self._settings.inputs

    @property
    def device(self) -> torch.device:
        """Where its network is."""
        return self._device

    @torch.no_grad()
    def draw(self, inputs: Inputs, *, seed: int) -> Float[Tensor, "B H a"]:
        """Return a noise for each of many observations, the robot's columns."""
        metadata = self.metadata
        answer = self._head.answer(self._network, inputs, seed=seed)
        noise = gaussian((len(answer), metadata.horizon, metadata.action_size), seed=seed)
        noise[..., self._columns] = torch.from_numpy(
            as_chunk(answer.cpu().numpy(), metadata.horizon, len(self._columns))
        )
        return noise

    def noise(self, context: Context, observation: Observation) -> Float[Array, "H A"]:
        """Return the noise to denoise for this observation.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        return self.noises(context, observation, count=1, seed=observation.step)[0]

    @torch.inference_mode()
    def spread(self, context: Context, observation: Observation) -> float | None:
        """Return the deviation of its draws for one observation; None for a regression. Raises as `noise`."""
        if self._head.loss is not Loss.FLOW:
            return None
        inputs = live_inputs(context, observation, self._settings.inputs, self.metadata, device=self._device)
        inputs = inputs.rows(torch.zeros(JUDGED_DRAWS, dtype=torch.long, device=self._device))
        return float(deviation(self._head.answer(self._network, inputs, seed=observation.step)[:, None])[0])

    @torch.inference_mode()
    def noises(self, context: Context, observation: Observation, *, count: int, seed: int) -> Float[Array, "N H A"]:
        """Return several draws for one observation. Raises as `noise`."""
        inputs = live_inputs(context, observation, self._settings.inputs, self.metadata, device=self._device)
        metadata = self.metadata
        inputs = inputs.rows(torch.zeros(count, dtype=torch.long, device=self._device))
        answers = self._head.answer(self._network, inputs, seed=seed)
        noises = gaussian((count, metadata.horizon, metadata.width), seed=seed).numpy().astype(np.float32)
        noises[..., self._columns] = as_chunk(answers.cpu().numpy(), metadata.horizon, len(self._columns))
        return noises
