"""What DSBC and behaviour cloning share: one label per chunk, learned from observations with the same inputs, size and loop.

A learner says what a label is (`Labels`: the executed noise, or the executed actions) and how it is learned (`Head`: a regression,
a Gaussian, or a small flow that is drawn from); splitting, fitting, judging by episodes never seen, and what lies on disk are here.

Example: ten episodes x 15 chunks, 1000 features, labels of 16 x 7: 150 rows -> 2x256 MLP -> 112 numbers.
Runs in the trainer's process.
"""

import abc
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.learning import artifact
from frs_core.learning.base import Learned, Learner, Trained
from frs_core.learning.fit import Data, FitReport, best_device, fit
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.progress import OnProgress, Scores, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.settings import ImitationSettings, Loss
from frs_core.learning.small_flow import draw, extra_size, flow_matching
from frs_core.learning.table import TrainingTable, split

S = TypeVar("S", bound=ImitationSettings)


@dataclass(frozen=True, slots=True)
class Head:
    """How a label is learned and given."""

    numbers: int
    """Size of a label."""
    loss: Loss
    flow_steps: int
    bound: float | None = None
    """Regressions answer bound * tanh(.), draws of the flow are clipped; None = neither."""

    def network(self, settings: ImitationSettings, *, feature_size: int, proprio_size: int) -> SmallNet:
        """Return a network with fresh weights."""
        return SmallNet(
            settings.inputs,
            settings.network,
            feature_size=feature_size,
            proprio_size=proprio_size,
            output_size=self.numbers * (2 if self.loss is Loss.NLL else 1),
            extra_size=extra_size(self.numbers) if self.loss is Loss.FLOW else 0,
        )

    def loss_of(self, network: SmallNet, batch: Data) -> Tensor:
        """Return flow matching, mean squared error, or Gaussian likelihood of a batch."""
        if self.loss is Loss.FLOW:
            return flow_matching(network, batch)
        mean, log_std = self.mean_and_log_std(network(batch.inputs))
        if log_std is None:
            return (mean - batch.target).square().mean()
        return (0.5 * ((mean - batch.target) / log_std.exp()).square() + log_std).mean()

    def answer(self, network: SmallNet, inputs: Inputs, *, seed: int = 0) -> Float[Tensor, "B n"]:
        """Return flat labels; the seed matters to the flow only."""
        if self.loss is not Loss.FLOW:
            return self.mean_and_log_std(network(inputs))[0]
        drawn = draw(network, inputs, self.numbers, steps=self.flow_steps, seed=seed)
        return drawn if self.bound is None else drawn.clamp(-self.bound, self.bound)

    def mean_and_log_std(self, raw: Float[Tensor, "B o"]) -> tuple[Float[Tensor, "B n"], Float[Tensor, "B n"] | None]:
        """Return the mean, bounded, and for NLL the log standard deviation inside [-4, 1]."""
        mean, log_std = (raw, None) if self.loss is Loss.MSE else raw.chunk(2, dim=1)
        if self.bound is not None:
            mean = self.bound * torch.tanh(mean / self.bound)
        return mean, None if log_std is None else log_std.clamp(-4.0, 1.0)


class Labels(abc.ABC):
    """Training targets of one table, one per chunk."""

    head: Head
    judged_draws: int = 1
    """The scores judge the mean of this many draws of a flow."""
    extra: Mapping[str, Tensor] = {}
    """What is saved beside the network."""

    @abc.abstractmethod
    def target(self, part: TrainingTable) -> Float[Tensor, "M n"]:
        """Return the flat labels of some rows."""

    @abc.abstractmethod
    def scores(
        self,
        judged: TrainingTable,
        predicted: Float[Tensor, "M n"],
        *,
        learned_from: TrainingTable,
        is_held_out: bool,
    ) -> Scores:
        """Return how near predictions are to the operator."""


def deviation(draws: Float[Tensor, "D B n"]) -> Float[Tensor, " B"]:
    """Return the deviation of some draws per row: the root of the mean variance of its numbers."""
    return draws.var(dim=0).mean(dim=-1).sqrt()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainedImitation(Trained):
    """A trained network and how it came about."""

    network: SmallNet
    report: FitReport


class Imitation(Learner[S]):
    """A learner of one label per chunk."""

    @abc.abstractmethod
    def labels(self, table: TrainingTable, settings: S) -> Labels:
        """Return the training targets of a table.

        Raises:
            ConfigError: the settings ask for what the robot does not have.
        """

    @abc.abstractmethod
    def head(self, metadata: PolicyMetadata, settings: S) -> Head:
        """Return the head that a saved policy was trained with."""

    @abc.abstractmethod
    def acting(self, network: SmallNet, metadata: PolicyMetadata, extra: Mapping[str, Tensor]) -> Learned:
        """Return a trained network at work."""

    def usable(self, table: TrainingTable, settings: S) -> TrainingTable:
        """Return the rows to learn from.

        Raises:
            TrainingError: none do, or numbers that are learned from are not finite.
        """
        table.require_finite(needs_noise=False)
        return table

    def train(
        self,
        table: TrainingTable,
        settings: S | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> TrainedImitation:
        """Return the policy trained on the table; see `Learner.train`."""
        settings = self.checked(settings)
        table = self.usable(table, settings)

        # 1. Whole episodes are held out for early stopping; the scale of the labels comes from all episodes.
        parts = split(table, settings.fit.held_out, seed=settings.fit.seed)
        labels, device = self.labels(table, settings), best_device()

        # 2. Observation -> label of every row.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.fit.seed)
            network = labels.head.network(
                settings, feature_size=table.features.shape[1], proprio_size=table.proprio.shape[1]
            ).to(device)

        def data(part: TrainingTable) -> Data:
            return Data(Inputs.of(part, settings.inputs, device=device), labels.target(part).to(device))

        # 3. Fit, stop by the held-out episodes, once more on all of them.
        report = fit(
            network,
            labels.head.loss_of,
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
            draws = range(labels.judged_draws if labels.head.loss is Loss.FLOW else 1)
            answers = [labels.head.answer(judge, inputs, seed=i) for i in draws]
            predicted = torch.stack(answers).mean(dim=0)
            spread = deviation(torch.stack(answers)) if len(answers) > 1 and parts.held_out is not None else None
            scores = labels.scores(judged, predicted, learned_from=parts.train, is_held_out=parts.held_out is not None)
        metrics = {
            "steps": report.steps,
            "steps_taken": report.steps_taken,
            "loss": report.loss,
            "held_out_loss": report.held_out,
            "seconds": round(report.seconds, 2),
            "was_cancelled": report.was_cancelled,
            "was_refitted": report.was_refitted,
        }
        metadata = make_metadata(self.spec.id, name or self.spec.id, table, settings, scores, metrics)
        return TrainedImitation(
            weights={**network.state_dict(), **labels.extra},
            metadata=metadata,
            scores=scores,
            acting=lambda: self.acting(network, metadata, labels.extra),
            steps=report.steps,
            was_cancelled=report.was_cancelled,
            spread=None if spread is None else spread.cpu().numpy(),
            network=network,
            report=report,
        )

    def load_network(
        self, folder: Path, metadata: PolicyMetadata, settings: S, weights: Mapping[str, Tensor]
    ) -> SmallNet:
        """Return a network with saved weights.

        Raises:
            ConfigError: they do not fit the metadata.
        """
        head = self.head(metadata, settings)
        return artifact.load_network(
            lambda: head.network(settings, feature_size=metadata.feature_size, proprio_size=metadata.proprio_size),
            folder,
            metadata,
            weights,
        )
