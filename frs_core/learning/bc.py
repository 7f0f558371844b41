"""Standard behaviour cloning, the honest rival: the same inputs, size and training loop as DSBC, but it learns *actions*.

Two kinds. `bc-gaussian` regresses the executed chunk (the mean of a Gaussian). `bc-flow` learns a small conditional flow
from noise to chunk, so that it can hold several ways of doing a thing. Both act alone, without the generalist's head: in a
strange state nothing pulls them back. Targets are standardised per number of the action, so a gripper (0..1) does not
drown a translation (metres).

Example: features -> 3x512 -> [16, 7] = 112 numbers; the flow's network sees 112 + 16 more (state and time).
Runs in the trainer's process.
"""

import abc
import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import ConfigError
from frs_core.learning import artifact
from frs_core.learning.agreement import card_of_chunks
from frs_core.learning.fit import Data, FitReport, best_device, fit
from frs_core.learning.live import live_inputs
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.progress import Card, OnProgress, ignore_progress
from frs_core.learning.provenance import make_story
from frs_core.learning.settings import BcSettings, Loss, TrainKind, from_json, to_json
from frs_core.learning.small_flow import draw, extra_size, flow_matching
from frs_core.learning.story import Story, check_fingerprint, read_story
from frs_core.learning.table import TrainingTable, split
from frs_core.observation import Observation
from frs_core.policies.base import Context

MEAN_KEY, STD_KEY = "action.mean", "action.std"


class ChunkPolicy(abc.ABC):
    """A small policy that gives the robot's actions itself, without the generalist."""

    name: str
    policy_fingerprint: str
    """The generalist whose features it sees."""

    @abc.abstractmethod
    def chunk(self, context: Context, observation: Observation) -> Float[np.ndarray, "H a"]:
        """Return actions in robot units, not clipped."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Standardisation of actions, per number."""

    mean: Float[Tensor, " a"]
    std: Float[Tensor, " a"]

    @classmethod
    def of(cls, chunk: Float[np.ndarray, "M H a"]) -> "Scale":
        """Measure it; a number that never changes keeps a tiny deviation, so that its prediction stays put."""
        flat = torch.from_numpy(chunk.reshape(-1, chunk.shape[-1]).astype(np.float32))
        return cls(flat.mean(dim=0), flat.std(dim=0, unbiased=False).clamp(min=1e-4))

    def standardise(self, chunk: Float[np.ndarray, "M H a"]) -> Float[Tensor, "M n"]:
        """Return flat standardised chunks."""
        return rearrange((torch.from_numpy(chunk.astype(np.float32)) - self.mean) / self.std, "m h a -> m (h a)")

    def restore(self, flat: Float[Tensor, "M n"]) -> Float[np.ndarray, "M H a"]:
        """Return chunks in robot units."""
        x = rearrange(flat.cpu(), "m (h a) -> m h a", a=len(self.mean))
        return (x * self.std + self.mean).numpy()


@dataclass(frozen=True, slots=True, eq=False)
class TrainedBc:
    """A trained behaviour-cloning policy and how it came about."""

    network: SmallNet
    scale: Scale
    story: Story
    report: FitReport
    card: Card

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write it to disk; see learning.artifact."""
        weights = {**self.network.state_dict(), MEAN_KEY: self.scale.mean, STD_KEY: self.scale.std}
        return artifact.save(folder, weights, self.story, overwrite=overwrite)

    def policy(self) -> "BcPolicy":
        """Return it ready to act."""
        return BcPolicy(self.network, self.scale, self.story)


def train_bc(
    table: TrainingTable,
    settings: BcSettings | None = None,
    *,
    kind: TrainKind,
    name: str = "bc",
    on_progress: OnProgress = ignore_progress,
) -> TrainedBc:
    """Return a policy that imitates the executed chunks.

    Args:
        table: chunks of successful episodes; noises may be missing.
        settings: inputs, network, loss, fit.
        kind: BC_GAUSSIAN or BC_FLOW.
        name: shown in tables.
        on_progress: told as it goes; False stops and keeps the best so far.
    Raises:
        TrainingError: no usable chunks, missing inputs, or a loss that diverges.
    """
    settings = settings or BcSettings()
    if kind not in (TrainKind.BC_GAUSSIAN, TrainKind.BC_FLOW):
        raise ConfigError(f"train_bc got kind '{kind.value}', expected 'bc-gaussian' or 'bc-flow'. Use train_dsbc.")
    table.require_finite(needs_noise=False)

    # 1. Whole episodes are kept aside to tell when to stop; the scale of actions comes from all of them.
    parts = split(table, settings.fit.held_out, seed=settings.fit.seed)
    scale, device = Scale.of(table.chunk), best_device()

    # 2. The network, of the same size for both kinds and for DSBC.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.fit.seed)
        network = _network(settings, kind, table.features.shape[1], table.proprio.shape[1], table.chunk[0].size)
        network.to(device)

    def data(part: TrainingTable) -> Data:
        return Data(Inputs.of(part, settings.inputs, device=device), scale.standardise(part.chunk).to(device))

    # 3. Regression, or flow matching.
    def regression(network: SmallNet, batch: Data) -> Tensor:
        mean, log_std = _mean_and_log_std(network(batch.inputs), settings)
        if log_std is None:
            return (mean - batch.target).square().mean()
        return (0.5 * ((mean - batch.target) / log_std.exp()).square() + log_std).mean()

    report = fit(
        network,
        regression if kind is TrainKind.BC_GAUSSIAN else flow_matching,
        data(parts.train),
        data(parts.held_out) if parts.held_out else None,
        settings.fit,
        everything=data(table),
        on_progress=on_progress,
    )

    # 4. Error on episodes it never saw, by the weights that never saw them.
    judged = parts.held_out or table
    judge = copy.deepcopy(network)
    judge.load_state_dict(dict(report.judge))
    with torch.no_grad():
        target = data(judged).target
        flat = _predict(judge, Inputs.of(judged, settings.inputs, device=device), settings, kind, target.shape[1])
        errors = (flat - target).square().mean(dim=1).cpu().numpy()
        constant = (target - data(parts.train).target.mean(dim=0)).square().mean()
    card = card_of_chunks(judged, errors, constant=float(constant), is_held_out=parts.held_out is not None)
    story = make_story(kind, name, table, to_json(settings), report, card)
    return TrainedBc(network, scale, story, report, card)


def _network(settings: BcSettings, kind: TrainKind, features: int, proprio: int, numbers: int) -> SmallNet:
    is_flow = kind is TrainKind.BC_FLOW
    has_std = not is_flow and settings.loss is Loss.NLL
    return SmallNet(
        settings.inputs,
        settings.network,
        feature_size=features,
        proprio_size=proprio,
        output_size=numbers * (2 if has_std else 1),
        extra_size=extra_size(numbers) if is_flow else 0,
    )


def _mean_and_log_std(raw: Tensor, settings: BcSettings) -> tuple[Tensor, Tensor | None]:
    if settings.loss is Loss.MSE:
        return raw, None
    mean, log_std = raw.chunk(2, dim=1)
    return mean, log_std.clamp(-4.0, 1.0)


def _predict(
    network: SmallNet, inputs: Inputs, settings: BcSettings, kind: TrainKind, numbers: int, *, seed: int = 0
) -> Float[Tensor, "B n"]:
    """Return flat standardised chunks."""
    if kind is TrainKind.BC_GAUSSIAN:
        return _mean_and_log_std(network(inputs), settings)[0]
    return draw(network, inputs, numbers, steps=settings.flow_steps, seed=seed)


class BcPolicy(ChunkPolicy):
    """A trained behaviour-cloning policy at work."""

    def __init__(self, network: SmallNet, scale: Scale, story: Story) -> None:
        self.name = story.name
        self.policy_fingerprint = story.policy_fingerprint
        self.story = story
        self._kind = TrainKind(story.kind)
        self._settings = from_json(BcSettings, story.settings)
        self._scale = scale
        self._network = network.eval()
        self._device = next(network.parameters()).device

    @torch.inference_mode()
    def chunk(self, context: Context, observation: Observation) -> Float[np.ndarray, "H a"]:
        """Return actions in robot units, not clipped.

        Raises:
            ShapeMismatch: the features do not have the trained length.
        """
        inputs = live_inputs(context, observation, self._settings.inputs, self.story, device=self._device)
        numbers = self.story.horizon * self.story.action_size
        flat = _predict(self._network, inputs, self._settings, self._kind, numbers, seed=observation.step)
        return self._scale.restore(flat)[0]


def load_chunk_policy(path: Path | str, fingerprint: str) -> BcPolicy:
    """Return a saved behaviour-cloning policy, ready to act.

    Args:
        path: its folder.
        fingerprint: of the generalist whose features it will see.
    Raises:
        WeightsMissing: nothing is saved there.
        ConfigError: damaged, or not a behaviour-cloning policy.
        FingerprintMismatch: trained on another generalist's features.
    """
    folder = Path(path)
    story = read_story(folder)
    if story.kind not in (TrainKind.BC_GAUSSIAN.value, TrainKind.BC_FLOW.value):
        raise ConfigError(f"'{folder}' holds a '{story.kind}' policy, behaviour cloning is needed. Use `frs train bc`.")
    check_fingerprint(story, fingerprint, folder=folder)
    settings = from_json(BcSettings, story.settings)
    weights = artifact.read_weights(folder, story)
    if not {MEAN_KEY, STD_KEY} <= set(weights):
        raise ConfigError(f"'{folder}' lacks the scale of its actions. Train the policy again.")
    scale = Scale(weights.pop(MEAN_KEY), weights.pop(STD_KEY))
    numbers = story.horizon * story.action_size
    network = artifact.load_network(
        lambda: _network(settings, TrainKind(story.kind), story.feature_size, story.proprio_size, numbers),
        folder,
        story,
        weights,
    )
    return BcPolicy(network, scale, story)
