"""Every setting of the product's own learners, in one place and free of torch.

The same blocks (inputs, network, fit) serve the noise policy and the behaviour-cloning baselines, so that a comparison
between them is one of *what is learned*, never of size or inputs. Defaults: two layers of 256 units on the generalist's
features plus proprioception, weight decay 0.1, noise on the inputs (chosen on development tasks, docs/learning.md).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, get_type_hints

from frs_core.errors import ConfigError
from frs_core.runtime.bounds import (
    Bounds,
    Count,
    CountOrNone,
    Positive,
    Seed,
    Share,
    Size,
    Steps,
    StepsOrNone,
    Weight,
    Workers,
    require_bounds,
)

Below1 = Annotated[float, Bounds(0.0, 0.999_999_999)]
"""A share or a decay that must not be 1."""
Column = Annotated[int, Bounds(0, 1023)]
"""Of an action."""


class NoiseOutput(enum.Enum):
    """Output of the noise policy."""

    CHUNK = "chunk"
    """A noise for every row, [H, a]."""
    MEAN = "mean"
    """One row, repeated over the chunk (the paper's choice in LIBERO)."""


class Loss(enum.Enum):
    """Statistic of the labels that is learned."""

    MSE = "mse"
    """Their mean."""
    NLL = "nll"
    """Gaussian with a learned, state-dependent standard deviation."""
    FLOW = "flow"
    """Their distribution, by a small conditional flow from which noises are sampled."""


@dataclass(frozen=True, slots=True)
class InputSettings:
    """Inputs of the small network."""

    features: bool = True
    """The generalist's features of the observation."""
    proprio: bool = True
    """Proprioception: joints, gripper and tool pose."""
    cameras: tuple[str, ...] = ()
    """Cameras for the network's own image encoder; empty = no encoder."""
    image_size: Annotated[int, Bounds(32, 4096)] = 84
    """Side of the square images, pixels. Source: paper, 84."""
    noise: Weight = 0.5
    """Standard deviation of the noise added to features and proprioception in training, after each of the two groups is scaled
    to a typical norm of 8. Chosen on held-out episodes of a development task: explained variance 0.14 without, 0.38 with."""

    def __post_init__(self) -> None:
        if not (self.features or self.proprio or self.cameras):
            raise ConfigError(
                "The learner has no inputs. Turn on features or proprio, or name at least one camera in inputs.cameras."
            )
        require_bounds(self, "inputs.")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Size of the trunk."""

    hidden: Size = 256
    layers: Annotated[int, Bounds(1, 64)] = 2

    def __post_init__(self) -> None:
        require_bounds(self, "network.")


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Optimisation of the weights."""

    steps: Steps = 800
    """Maximum number of gradient steps."""
    least_steps: StepsOrNone = 400
    """Minimum number of steps before early stopping; two held-out episodes give a noisy estimate in the first hundred steps."""
    batch_size: Size = 64
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.1
    ema: Below1 = 0.98
    """Decay of the averaged weights, which are the ones saved."""
    evaluate_every: Steps = 20
    """Steps between evaluations on the held-out episodes."""
    patience: Steps = 10
    """Evaluations without improvement before stopping."""
    held_out: Below1 = 0.2
    """Fraction of the episodes held out for early stopping; 0 = none, all steps are taken."""
    refit: bool = True
    """After early stopping, train again on all episodes for the best number of steps."""
    seed: Seed = 0
    threads: Workers = 1
    """Torch threads; one is faster than two at these sizes."""

    def __post_init__(self) -> None:
        require_bounds(self, "fit.")


Own = TypeVar("Own", bound="LearnerSettings")
OwnImitation = TypeVar("OwnImitation", bound="ImitationSettings")


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """Settings shared by all learners."""

    inputs: InputSettings = field(default_factory=InputSettings)

    def __post_init__(self) -> None:
        require_bounds(self)

    def seeded(self: Own, seed: int) -> Own:
        """Return them with another seed of the training; a learner without one stays as it is."""
        return self


@dataclass(frozen=True, slots=True)
class ImitationSettings(LearnerSettings):
    """Settings shared by learners that imitate a label per chunk."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    fit: FitSettings = field(default_factory=FitSettings)

    def seeded(self: OwnImitation, seed: int) -> OwnImitation:
        """Return them with another seed of weights, batches and held-out episodes."""
        return replace(self, fit=replace(self.fit, seed=seed))


@dataclass(frozen=True, slots=True)
class DsbcSettings(ImitationSettings):
    """A noise policy."""

    output: NoiseOutput = NoiseOutput.CHUNK
    loss: Loss = Loss.FLOW
    flow_steps: Annotated[int, Bounds(1, 1000)] = 5
    """Euler steps of the flow. Chosen on development scenes, docs/learning.md."""
    bound: Positive = 5.0
    """Bound of the noises: predicted ones are bound * tanh(.), sampled ones are clipped. Source: paper appendix E (+-5)."""
    columns: tuple[Column, ...] = ()
    """Action dimensions whose noise is predicted; the others get seeded N(0, I), like the dimensions that a command left to the
    policy when they were recorded. Empty = all of the robot's."""
    deferred: bool = True
    """Also learn from unsteered chunks, whose label is the Gaussian noise that they were denoised from."""

    def __post_init__(self) -> None:
        require_bounds(self)
        _require_different(self.columns)


@dataclass(frozen=True, slots=True)
class BcSettings(ImitationSettings):
    """A behaviour-cloning baseline."""

    loss: Loss = Loss.MSE
    """mse or nll, for bc-gaussian; bc-flow has its own loss."""
    flow_steps: Annotated[int, Bounds(1, 1000)] = 10
    """Euler steps of the flow, for bc-flow."""

    def __post_init__(self) -> None:
        if self.loss is Loss.FLOW:
            raise ConfigError(
                "loss is 'flow', which is a kind of its own for behaviour cloning. Use `frs train bc-flow`."
            )
        require_bounds(self)


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Recovery of noises from demonstrated chunks."""

    iterations: CountOrNone = 8
    """Undamped fixed-point iterations per step in the first pass."""
    retry_iterations: CountOrNone = 50
    """Iterations of the second, damped pass, for chunks above the threshold after the first."""
    retry_damping: Share = 0.5
    threshold: Positive = 1e-3
    """Largest mean squared error of the regenerated chunk, normalised units. Source: FlowDAgger (arXiv 2607.08877)."""
    largest_rms: Positive = 2.5
    """Largest RMS of a recovered noise (1 = a typical Gaussian draw). Far outside the data an inverse
    still exists, but it is a noise that the generalist has never been sampled from. Guess; half the noise policy's bound."""
    seed: Seed = 0
    """Seed of the noise that fills dimensions the robot does not have."""

    def __post_init__(self) -> None:
        require_bounds(self, "labels.")


@dataclass(frozen=True, slots=True)
class OfflineDsbcSettings(DsbcSettings):
    """A noise policy from demonstrations."""

    labels: LabelSettings = field(default_factory=LabelSettings)


@dataclass(frozen=True, slots=True)
class PickQSettings(LearnerSettings):
    """A critic that picks among candidates."""

    draws: Size = 12
    """Additional candidates: noises sampled from a noise policy that imitates successes."""
    directions: bool = False
    """Also consider the fan's directions while driving. Chosen on development scenes, docs/practice.md: an untrained critic picks
    directions that no operator would, and a chunk takes half as long again."""
    margin: Weight = 0.05
    """Subtracted from the score of a direction before it is compared with the sampled noises."""
    components: Size = 3
    """Temporal components of a noise in the critic's input, per action dimension."""
    state_size: Size = 96
    """Maximum number of dimensions that the generalist's features are projected to."""
    hidden: Size = 128
    heads: Annotated[int, Bounds(1, 1024)] = 5
    """Critics in the ensemble."""
    discount: Share = 0.97
    """Discount per chunk."""
    trace: Share = 0.7
    """Lambda of TD(lambda): 0 = targets bootstrap after one chunk, 1 = they are returns to the end of the episode."""
    shrinkage: Weight = 1.0
    """Weight of the regulariser that gives noises from other states the value of the state alone, so that differences in value are
    learned only between noises executed in similar states."""
    softness: Positive = 0.03
    """Temperature of the softmax policy under which the next state is valued."""
    pessimism: Weight = 0.5
    """Standard deviations of the ensemble subtracted from a value before picking."""
    bootstraps: bool = True
    """Bootstrap from the last state of an episode that ran out of time, instead of treating it as worth 0."""
    first_steps: Steps = 1500
    """Gradient steps on the recorded episodes, before the first attempt."""
    steps: Steps = 60
    """Gradient steps per attempt."""
    batch_size: Size = 256
    learning_rate: Positive = 5e-4
    weight_decay: Weight = 0.05
    retarget_every: Steps = 100
    """Steps between recomputations of all targets."""
    confidence: Weight = 2.0
    """A noise other than the first sample is picked only if its advantage over the average sample exceeds this many standard
    deviations over the ensemble; otherwise the imitating policy acts."""
    tries: Share = 0.1
    """Exploration: fraction of chunks in practice for which the first sample is taken."""
    refit_every: Count = 40
    """Attempts between retrainings of the imitating policy on all successes."""
    imitation: DsbcSettings = field(default_factory=DsbcSettings)
    """Settings of the imitating policy."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        require_bounds(self)

    def seeded(self, seed: int) -> "PickQSettings":
        """Return them with another seed of weights, batches and draws."""
        return replace(self, seed=seed, imitation=self.imitation.seeded(seed))


@dataclass(frozen=True, slots=True)
class RqlSettings(LearnerSettings):
    """Reversal Q-Learning on recorded chunks; one chunk is one step of the algorithm."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    heads: Annotated[int, Bounds(1, 1024)] = 4
    """Value networks in the ensemble; the authors use 10."""
    alpha: Weight = 1.0
    """Weight of behaviour cloning relative to the value. The authors use 0.1 to 10 with rewards of -1 per step, whose values are
    1 / (1 - discount) times as large; with 0.2 fewer episodes succeeded."""
    expectile: Share = 0.7
    """Expectile of the value: 0.5 = the mean over outcomes, larger = weighted towards the better ones."""
    pessimism: Weight = 0.5
    """Standard deviations over the ensemble subtracted from its mean in targets."""
    discount: Share = 0.98
    """Discount per chunk."""
    failures_end: bool = True
    """Treat the end of a failure as terminal, with value 0. Otherwise bootstrap from the state after its last chunk, as the authors
    do at time limits; if that state was not recorded, the last chunk is not used."""
    clone_failures: bool = False
    """Match the flow to the chunks of failures too, as the authors do; otherwise only values are learned from them."""
    flow_steps: Annotated[int, Bounds(1, 1000)] = 10
    steps: Steps = 1500
    """Gradient steps. There is no early stopping, because the policy is meant to depart from the recorded actions."""
    batch_size: Size = 64
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.1
    target_rate: Share = 0.02
    """Update rate of the target network."""
    average: Below1 = 0.99
    """Decay of the averaged actor, which is the one used."""
    report_every: Steps = 100
    """Steps between progress reports."""
    seed: Seed = 0
    threads: Workers = 1
    """Torch threads; one is faster than two at these sizes."""

    def __post_init__(self) -> None:
        if self.inputs.cameras:
            raise ConfigError(
                f"inputs.cameras is {list(self.inputs.cameras)}, but rql has no image encoder. Leave it out; the features hold what "
                f"the generalist saw."
            )
        require_bounds(self)

    def seeded(self, seed: int) -> "RqlSettings":
        """Return them with another seed of weights and batches."""
        return replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class SacSettings(LearnerSettings):
    """Settings shared by learners that practise with soft actor-critic."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    """Size of the actor; the critics have two layers of the same width."""
    critics: Annotated[int, Bounds(2, 1024)] = 4
    """Critics in the ensemble; a target is the minimum of two."""
    discount: Share = 0.97
    """Discount per chunk; success 20 chunks away is worth about half."""
    updates_per_chunk: Count = 10
    """Critic updates per chunk of practice."""
    critic_steps_per_actor_step: Count = 5
    critic_first: StepsOrNone = 1000
    """Critic updates before the first actor update."""
    batch_size: Size = 128
    """Half of a batch is from recorded episodes and half from practice, once there are both."""
    actor_rate: Positive = 1e-4
    critic_rate: Positive = 3e-4
    temperature_rate: Positive = 3e-2
    """Larger than the other learning rates, because the temperature must converge within few actor updates."""
    temperature: Positive = 1e-4
    """Initial temperature; values lie in 0..1. With 0.01 and the 112 dimensions of a whole noise, the entropy term dominated: within
    120 updates the actor's standard deviation grew from 0.4 to 2."""
    target_share: Annotated[float, Bounds(0.0, 1.0, is_open=True)] = 0.005
    """Update rate of the target critics."""
    warm_up: CountOrNone = 5
    """Attempts before the first update if there are no recorded episodes; the generalist acts from Gaussian noise in them."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        require_bounds(self)
        if not 0.0 < self.discount < 1.0:
            raise ConfigError(f"discount is {self.discount}, needs 0 < discount < 1. The default is 0.97.")
        if self.inputs.cameras:
            raise ConfigError(
                f"inputs.cameras is {list(self.inputs.cameras)}, but practice learns from features and proprioception alone. "
                f"Leave it out."
            )

    def seeded(self: Own, seed: int) -> Own:
        """Return them with another seed of weights, batches and exploration."""
        return replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class DsrlSettings(SacSettings):
    """Soft actor-critic on the generalist's noise."""

    components: Size | None = None
    """Temporal components of the noise that the actor chooses: 1 = the mean over the chunk, None = the whole noise."""
    rest: Weight = 1.0
    """Standard deviation of the other components: 1 = Gaussian noise as usual, 0 = none."""
    columns: tuple[Column, ...] = ()
    """Action dimensions whose noise the actor chooses; the others get seeded N(0, 1). Empty = all of the robot's."""
    bound: Positive | None = None
    """Bound of the actor's outputs, in standard deviations of Gaussian noise; None = from the steered episodes, or 10 without them
    (2.5 for the mean of 16 rows, as DSRL on a robot)."""
    exploration: Positive = 1.0
    """Target standard deviation of exploration (it sets the target entropy), in standard deviations of Gaussian noise."""

    def __post_init__(self) -> None:
        # Named: a dataclass with slots is made twice, and super() knows the first one only.
        SacSettings.__post_init__(self)
        _require_different(self.columns)


@dataclass(frozen=True, slots=True)
class DsrlFrsSettings(DsrlSettings):
    """Soft actor-critic on the generalist's noise, started from steered episodes."""

    exploration: Positive = 0.4
    """Target standard deviation of exploration. Smaller than for DSRL, because the actor starts near successes: with 1, 4 of 12
    development scenes succeeded instead of 9."""
    clone: Weight = 100.0
    """Initial weight of cloning the noises of steered successes."""
    clone_end: Weight = 30.0
    """Weight of cloning after `clone_episodes` attempts."""
    clone_episodes: Count = 150
    clone_better: bool = False
    """Clone only noises that the critics value above the actor's own."""
    fit: FitSettings = field(default_factory=FitSettings)
    """Optimisation of the actor's initial fit to those noises."""

    def seeded(self, seed: int) -> "DsrlFrsSettings":
        """Return them with another seed of weights, batches, held-out episodes and exploration."""
        return replace(self, seed=seed, fit=replace(self.fit, seed=seed))


@dataclass(frozen=True, slots=True)
class ResidualSettings(SacSettings):
    """Soft actor-critic on corrections of the generalist's chunk."""

    components: Size = 1
    """Temporal components of a correction: 1 = the same for all rows of a chunk."""
    bound: Positive = 0.2
    """Largest correction per action dimension, in normalised units (2 = the whole usual range). Guess."""


def to_json(settings: object) -> dict[str, object]:
    """Return a settings block as plain nested values, enums by value."""
    out: dict[str, object] = {}
    for item in fields(settings):  # pyright: ignore[reportArgumentType]
        value = getattr(settings, item.name)
        if is_dataclass(value):
            value = to_json(value)
        elif isinstance(value, enum.Enum):
            value = value.value
        elif isinstance(value, tuple):
            value = list(value)
        out[item.name] = value
    return out


def _require_different(columns: tuple[int, ...]) -> None:
    if len(set(columns)) != len(columns):
        raise ConfigError(f"columns is {list(columns)}, expected different numbers. Leave it out for all.")


T = TypeVar("T")


def from_json(cls: type[T], data: Mapping[str, Any]) -> T:
    """Return the settings block that `to_json` wrote; what is missing keeps its default.

    Raises:
        ConfigError: an unknown key, or a value that does not fit.
    """
    hints = get_type_hints(cls)
    unknown = set(data) - set(hints)
    if unknown:
        raise ConfigError(f"Unknown {cls.__name__} keys {sorted(unknown)}. Known: {sorted(hints)}.")
    values: dict[str, Any] = {}
    for name, value in data.items():
        kind = hints[name]
        if is_dataclass(kind):
            values[name] = from_json(kind, value)  # pyright: ignore[reportArgumentType]
        elif isinstance(kind, type) and issubclass(kind, enum.Enum):
            try:
                values[name] = kind(value)
            except ValueError as error:
                known = [member.value for member in kind]
                raise ConfigError(f"{cls.__name__}.{name} is '{value}', expected one of {known}.") from error
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)
