"""Every setting of the product's own learners, in one place and free of torch.

The same blocks (inputs, network, fit) serve the noise policy and the behaviour-cloning baselines, so that a comparison
between them is one of *what is learned*, never of size or inputs. Defaults: two layers of 256 units on the generalist's
features plus proprioception, weight decay 0.1, noise on the inputs (chosen on development tasks, docs/learning.md).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

from frs_core.errors import ConfigError


class NoiseOutput(enum.Enum):
    """What the noise policy gives."""

    CHUNK = "chunk"
    """A noise for every row, [H, a]."""
    MEAN = "mean"
    """One row, repeated over the chunk (the paper's choice in LIBERO)."""


class Loss(enum.Enum):
    """What is learned of the labels."""

    MSE = "mse"
    """Their mean."""
    NLL = "nll"
    """Gaussian with a learned, state-dependent standard deviation."""
    FLOW = "flow"
    """Their distribution, by a small conditional flow that is drawn from."""


@dataclass(frozen=True, slots=True)
class InputSettings:
    """What the small network sees."""

    features: bool = True
    """The generalist's features of the observation."""
    proprio: bool = True
    """Observation.proprio."""
    cameras: tuple[str, ...] = ()
    """Cameras for the network's own image encoder; empty = no encoder."""
    image_size: int = 84
    """Side of the square images, pixels. Source: paper, 84."""
    noise: float = 0.5
    """Standard deviation of the noise on features and proprioception while training, after both groups were balanced to a
    typical length of 8. Chosen on held-out episodes of a development task: explained variance 0.14 without, 0.38 with."""

    def __post_init__(self) -> None:
        if not (self.features or self.proprio or self.cameras):
            raise ConfigError(
                "The learner has no inputs. Turn on features or proprio, or name at least one camera in inputs.cameras."
            )
        if self.image_size < 32:
            raise ConfigError(f"inputs.image_size is {self.image_size}, needs >= 32. The paper uses 84.")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Size of the trunk."""

    hidden: int = 256
    layers: int = 2


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the weights are found."""

    steps: int = 800
    """Most gradient steps."""
    least_steps: int = 400
    """Early stopping keeps no fewer: two held-out episodes are a noisy judge of the first hundred steps."""
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    ema: float = 0.98
    """Decay of the averaged weights, which are the ones kept."""
    evaluate_every: int = 20
    """Steps between looks at the held-out episodes."""
    patience: int = 10
    """Looks without improvement before stopping."""
    held_out: float = 0.2
    """Share of the episodes kept aside for early stopping; 0 = none, all steps are taken."""
    refit: bool = True
    """After early stopping, train once more on all episodes for the number of steps that was best."""
    seed: int = 0
    threads: int = 1
    """Torch threads; one is faster than two at these sizes."""

    def __post_init__(self) -> None:
        positive = ("steps", "batch_size", "learning_rate", "evaluate_every", "patience", "threads")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ConfigError(f"fit.{name} is {getattr(self, name)}, needs > 0. Leave it out for the default.")
        if not 0.0 <= self.held_out < 1.0:
            raise ConfigError(f"fit.held_out is {self.held_out}, needs 0 <= share < 1. The default is 0.2.")
        if not 0.0 <= self.ema < 1.0:
            raise ConfigError(f"fit.ema is {self.ema}, needs 0 <= decay < 1. The default is 0.98.")


Own = TypeVar("Own", bound="LearnerSettings")
OwnImitation = TypeVar("OwnImitation", bound="ImitationSettings")


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """What every learner's settings have."""

    inputs: InputSettings = field(default_factory=InputSettings)

    def seeded(self: Own, seed: int) -> Own:
        """Return them with another seed of the training; a learner without one stays as it is."""
        return self


@dataclass(frozen=True, slots=True)
class ImitationSettings(LearnerSettings):
    """What learners share that imitate a label per chunk."""

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
    flow_steps: int = 5
    """Euler steps of the flow. Chosen on development scenes, docs/learning.md."""
    bound: float = 5.0
    """Noises are bound * tanh(.), drawn ones are clipped. Source: paper appendix E (+-5)."""
    columns: tuple[int, ...] = ()
    """Numbers of the action whose noise is predicted; the others get seeded N(0, I), as the columns a command leaves to the
    policy did when they were recorded. Empty = all of the robot's."""
    deferred: bool = True
    """Whether chunks left to the policy teach too, with the Gaussian noise they were denoised from."""

    def __post_init__(self) -> None:
        if self.bound <= 0:
            raise ConfigError(f"bound is {self.bound}, needs > 0. The paper uses 5.")
        if self.flow_steps < 1:
            raise ConfigError(f"flow_steps is {self.flow_steps}, needs >= 1. The default is 5.")
        if any(c < 0 for c in self.columns) or len(set(self.columns)) != len(self.columns):
            raise ConfigError(f"columns is {list(self.columns)}, needs different numbers >= 0. Leave it out for all.")


@dataclass(frozen=True, slots=True)
class BcSettings(ImitationSettings):
    """A behaviour-cloning baseline."""

    loss: Loss = Loss.MSE
    """For the Gaussian kind, mse or nll; the flow has its own."""
    flow_steps: int = 10
    """Euler steps of the flow kind."""

    def __post_init__(self) -> None:
        if self.loss is Loss.FLOW:
            raise ConfigError(
                "loss is 'flow', which is a kind of its own for behaviour cloning. Use `frs train bc-flow`."
            )
        if self.flow_steps < 1:
            raise ConfigError(f"flow_steps is {self.flow_steps}, needs >= 1. The default is 10.")


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How demonstrated chunks become noises."""

    iterations: int = 8
    """Undamped fixed-point iterations per step of the first attempt."""
    retry_iterations: int = 50
    """Iterations of the second, damped attempt for chunks whose first one missed the threshold."""
    retry_damping: float = 0.5
    threshold: float = 1e-3
    """Largest mean squared error of the regenerated chunk, normalised units. Source: FlowDAgger (arXiv 2607.08877)."""
    largest_rms: float = 2.5
    """Largest RMS of a recovered noise (1 = a typical Gaussian draw). Far outside the data the inverse still exists, but as
    a noise that the generalist was never asked with. Guess; half the noise policy's bound."""
    seed: int = 0
    """Of the noise that fills dimensions the robot does not have."""


@dataclass(frozen=True, slots=True)
class OfflineDsbcSettings(DsbcSettings):
    """A noise policy from demonstrations."""

    labels: LabelSettings = field(default_factory=LabelSettings)


@dataclass(frozen=True, slots=True)
class PickQSettings(LearnerSettings):
    """A critic that picks among offers."""

    draws: int = 12
    """Noises of its own that are offered beside the fan's: draws of a noise policy that imitates successes."""
    directions: bool = False
    """Whether the fan's directions are offered to it too when it drives. Chosen on development scenes, docs/practice.md: with them,
    a critic that knows little yet takes them where nobody would, and a chunk costs half as much again."""
    margin: float = 0.05
    """A direction must promise so much more than a draw to be taken."""
    components: int = 3
    """Temporal components of a noise that the critic sees, per number of the action."""
    state_size: int = 96
    """Numbers that the generalist's features are projected to, at most."""
    hidden: int = 128
    heads: int = 5
    """Size of the ensemble."""
    discount: float = 0.97
    """Per chunk."""
    trace: float = 0.7
    """0 = every target looks one chunk ahead and then trusts the critic, 1 = it looks to the episode's end (lambda of TD)."""
    shrinkage: float = 1.0
    """How strongly noises of other places are held to be worth what the place itself is: merit must show between noises of one place."""
    softness: float = 0.03
    """What comes next is valued as if picked by a softmax of this temperature."""
    pessimism: float = 0.5
    """Standard deviations of the ensemble taken off a value before picking."""
    bootstraps: bool = True
    """Whether an episode that ran out of time is worth what its last state is; otherwise nothing."""
    first_steps: int = 1500
    """Gradient steps on the recorded episodes, before the first own one."""
    steps: int = 60
    """Gradient steps for each episode of its own."""
    batch_size: int = 256
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    retarget_every: int = 100
    """Steps between two computations of all targets."""
    confidence: float = 2.0
    """Another noise than the first draw is taken where it is better by this many standard deviations of what the heads think of it
    against the average draw. Where they do not agree it acts as the imitating policy does."""
    tries: float = 0.1
    """Share of chunks in which it takes whatever comes while it practises."""
    refit_every: int = 40
    """Own episodes after which the draws are learned again from all successes."""
    imitation: DsbcSettings = field(default_factory=DsbcSettings)
    """Of the draws."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "draws",
            "components",
            "state_size",
            "hidden",
            "heads",
            "first_steps",
            "steps",
            "batch_size",
            "retarget_every",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, needs >= 1. Leave it out for the default.")
        for name in ("discount", "trace", "tries"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, needs 0..1. Leave it out for the default.")
        for name in ("softness", "learning_rate"):
            if getattr(self, name) <= 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, needs > 0. Leave it out for the default.")

    def seeded(self, seed: int) -> "PickQSettings":
        """Return them with another seed of weights, batches and draws."""
        return replace(self, seed=seed, imitation=self.imitation.seeded(seed))


@dataclass(frozen=True, slots=True)
class RqlSettings(LearnerSettings):
    """Reversal Q-Learning on recorded chunks; one chunk is one step of the algorithm."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    heads: int = 4
    """Copies of the value network; the authors have 10."""
    alpha: float = 0.02
    """Weight of staying with what was recorded against climbing the value. The authors' 0.1 to 10 go with rewards of -1 per step, whose
    values are 1 / (1 - discount) times as large."""
    expectile: float = 0.7
    """0.5 = the mean of what followed, above = the better part of it."""
    pessimism: float = 0.5
    """Standard deviations over the heads that a target lies below their mean."""
    discount: float = 0.98
    """Per chunk."""
    failures_end: bool = True
    """Whether an episode that was given up ends there, worth nothing. Otherwise its value continues in the state after its last chunk, as
    the authors treat time limits; where that state was not recorded, the last chunk teaches nothing."""
    flow_steps: int = 10
    steps: int = 4000
    """Gradient steps; there is no early stopping, as the policy is to leave what was recorded."""
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    target_rate: float = 0.02
    """Share of the value that enters its slow copy per step."""
    average: float = 0.99
    """Decay of the averaged actor, which is the one that acts."""
    report_every: int = 100
    """Steps between reports."""
    seed: int = 0
    threads: int = 1
    """Torch threads; one is faster than two at these sizes."""

    def __post_init__(self) -> None:
        if self.inputs.cameras:
            raise ConfigError(
                f"inputs.cameras is {list(self.inputs.cameras)}, but rql has no image encoder. Leave it out; the features hold what "
                f"the generalist saw."
            )
        for name in ("steps", "batch_size", "learning_rate", "report_every", "threads", "heads"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, needs > 0. Leave it out for the default.")

    def seeded(self, seed: int) -> "RqlSettings":
        """Return them with another seed of weights and batches."""
        return replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class SacSettings(LearnerSettings):
    """What learners share that practise with soft actor-critic."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    """Of the actor; the critics have two layers of the same width."""
    critics: int = 4
    """How many learn the same values; a target takes the lesser of two."""
    discount: float = 0.97
    """Per chunk: success 20 chunks away is worth half of success at once."""
    updates_per_chunk: int = 10
    """Steps of the critics per chunk practised."""
    critic_steps_per_actor_step: int = 5
    critic_first: int = 1000
    """Steps of the critics alone before the actor moves for the first time."""
    batch_size: int = 128
    """Half from before practice and half from practice, while there are both."""
    actor_rate: float = 1e-4
    critic_rate: float = 3e-4
    temperature_rate: float = 3e-2
    """Faster than the others: with few actor steps it would not arrive."""
    temperature: float = 1e-4
    """At the start; values lie in 0..1. With 0.01 and the 112 numbers of a whole noise, curiosity outweighed everything else: within 120
    steps of the actor its deviation grew from 0.4 to 2."""
    target_share: float = 0.005
    """Of the critics' weights that their slow copies take over per step."""
    warm_up: int = 5
    """Episodes before anything is learned, where it starts without recordings; the generalist acts from its own noise in them."""
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (
            "updates_per_chunk",
            "critic_steps_per_actor_step",
            "batch_size",
            "actor_rate",
            "critic_rate",
            "temperature_rate",
            "temperature",
            "target_share",
        )
        for name in positive:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, needs > 0. Leave it out for the default.")
        if self.critics < 2:
            raise ConfigError(
                f"critics is {self.critics}, needs >= 2: a target takes the lesser of two. The default is 4."
            )
        if not 0.0 < self.discount < 1.0:
            raise ConfigError(f"discount is {self.discount}, needs 0 < discount < 1. The default is 0.97.")
        if self.inputs.cameras:
            raise ConfigError(
                f"inputs.cameras is {list(self.inputs.cameras)}, but practice learns from features and proprioception alone. "
                f"Leave it out."
            )

    def seeded(self: Own, seed: int) -> Own:
        """Return them with another seed of weights, batches and everything tried."""
        return replace(self, seed=seed)


@dataclass(frozen=True, slots=True)
class DsrlSettings(SacSettings):
    """Soft actor-critic on the generalist's noise."""

    components: int | None = None
    """How many temporal components of the noise are chosen: 1 = the mean of the chunk, None = the whole noise."""
    rest: float = 1.0
    """Deviation of the other components: 1 = as in the generalist's own noise, 0 = the chosen ones alone."""
    columns: tuple[int, ...] = ()
    """Numbers of the action whose noise is chosen; the others get seeded N(0, 1). Empty = all of the robot's."""
    bound: float | None = None
    """Largest size of every chosen number, in deviations of the generalist's own noise; None = from the steered episodes, or 10
    without them (2.5 for the mean of 16 rows, as DSRL on a robot)."""
    exploration: float = 1.0
    """Deviation that curiosity aims at, in deviations of the generalist's own noise."""

    def __post_init__(self) -> None:
        # Named: a dataclass with slots is made twice, and super() knows the first one only.
        SacSettings.__post_init__(self)
        for name in ("components", "bound", "exploration"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}, needs > 0. Leave it out for the default.")
        if any(c < 0 for c in self.columns) or len(set(self.columns)) != len(self.columns):
            raise ConfigError(f"columns is {list(self.columns)}, needs different numbers >= 0. Leave it out for all.")


@dataclass(frozen=True, slots=True)
class DsrlFrsSettings(DsrlSettings):
    """The same from steered episodes."""

    exploration: float = 0.4
    """Less than without recordings, as it begins near what succeeds: with 1, of 12 development scenes 4 succeeded instead of 9."""
    clone: float = 100.0
    """Weight of staying near the noises of steered successes, at the start."""
    clone_end: float = 30.0
    """The same after `clone_episodes` of practice."""
    clone_episodes: int = 150
    clone_better: bool = False
    """Stay near those noises only that the critics hold to be better than the actor's own."""
    fit: FitSettings = field(default_factory=FitSettings)
    """How the actor is first fitted to those noises."""

    def seeded(self, seed: int) -> "DsrlFrsSettings":
        """Return them with another seed of weights, batches, held-out episodes and everything tried."""
        return replace(self, seed=seed, fit=replace(self.fit, seed=seed))


@dataclass(frozen=True, slots=True)
class ResidualSettings(SacSettings):
    """Soft actor-critic on corrections of the generalist's chunk."""

    components: int = 1
    """How many temporal components a correction has: 1 = the same for all rows of a chunk."""
    bound: float = 0.2
    """Largest correction per number, in normalised units of the action (2 = the whole usual range). Guess."""

    def __post_init__(self) -> None:
        SacSettings.__post_init__(self)
        for name in ("components", "bound"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, needs > 0. Leave it out for the default.")


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
