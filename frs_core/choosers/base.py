"""Who picks from the fan: a person, a script, a noise policy, a vision-language model."""

import abc
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.events import Driver
from frs_core.robot.observation import Observation
from frs_core.runtime.foreign import in_line
from frs_core.steering.candidates import Doubt, Fan
from frs_core.steering.directions import Command
from frs_core.steering.policy_spec import Context


@dataclass(frozen=True, slots=True)
class Choice:
    """A pick and why."""

    label: str
    """A label of the fan."""
    reason: str = ""
    """A few words for the operator, in one line: they may be a model's, and what no line shows is spelled out."""

    def __post_init__(self) -> None:
        """Keep the reason in one line."""
        object.__setattr__(self, "reason", in_line(self.reason))


@dataclass(frozen=True, slots=True)
class HelpCall:
    """A chooser is unsure and asks a person to steer."""

    choice: Choice
    """What it would pick without help."""
    reason: str
    """Why it asks, in a few words; in one line, likewise."""

    def __post_init__(self) -> None:
        """Keep the reason in one line."""
        object.__setattr__(self, "reason", in_line(self.reason))


class Chooser(abc.ABC):
    """Picks one candidate per chunk."""

    driver: ClassVar[Driver] = Driver.SCRIPTED
    """Recorded with its picks."""

    def why_not(self) -> str:
        """Return why it cannot drive now, with the fix; empty if it can. Called from any thread."""
        return ""

    def wants(self, observation: Observation) -> tuple[Command, ...] | None:
        """Return the commands whose candidates it needs, or None for the usual fan.

        Without a window only these candidates are computed; with a window they are added to the usual fan. The unsteered
        candidate is always included. A chooser that knows what it will pick (a script) saves most of the batch.
        """
        return None

    def begin(self, observation: Observation) -> None:  # noqa: B027  an optional hook
        """Start a new episode: discard what was kept of the last one."""

    @abc.abstractmethod
    def choose(self, fan: Fan) -> Choice | HelpCall | None:
        """Return the pick, None to wait for a person, or a call for help: whether it is waited for is for the session to say."""


class Doubts(abc.ABC):
    """Judges where a noise policy is unsure; used on the inference worker's thread."""

    @abc.abstractmethod
    def begin(self) -> None:
        """Start an episode."""

    @abc.abstractmethod
    def judge(
        self,
        *,
        step: int,
        features: Float[Array, " F"],
        proprio: Float[Array, " P"],
        noise: Float[Array, "H A"],
        spread: float | None,
    ) -> Doubt:
        """Return what is doubtful about one state.

        Args:
            step: control steps since the episode began; a state may be judged again.
            features: of the generalist.
            proprio: `Observation.proprio`.
            noise: the policy's choice.
            spread: deviation of its draws; None where it does not draw.
        """


class NoisePolicy(abc.ABC):
    """A small policy that acts by choosing the generalist's noise."""

    name: str
    policy_fingerprint: str
    """Of the generalist it was trained for; any other is refused."""
    doubts: Doubts | None = None
    """Where it is unsure; None = not known."""

    def begin(self, seed: int) -> None:  # noqa: B027  an optional hook
        """Start an episode whose random draws follow from a seed; a policy that explores needs it."""

    @abc.abstractmethod
    def noise(self, context: Context, observation: Observation) -> Float[Array, "H A"]:
        """Return the noise to denoise for this observation."""

    def spread(self, context: Context, observation: Observation) -> float | None:
        """Return the deviation of its draws for this observation, per number; None, the default, where it does not draw."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Values of noises in one state, and which of them to take."""

    values: Float[Array, " B"]
    """Expected success, 0..1, discounted by how long it takes."""
    best: int
    """The one to execute."""


class ValuingPolicy(NoisePolicy):
    """A noise policy that takes the best of a fan's noises and of its own, and gives a value for each."""

    def commands(self, observation: Observation) -> tuple[Command, ...]:
        """Return the commands to choose among where a fan was asked for with none (headless, it drives)."""
        return ()

    @abc.abstractmethod
    def draws(self, context: Context, observation: Observation) -> Float[Array, "N H A"]:
        """Return noises of its own, at least one."""

    @abc.abstractmethod
    def judge(self, context: Context, observation: Observation, noises: Float[Array, "B H A"]) -> Judged:
        """Return the values of noises in this state; NaN rows (candidates without a noise) have the value NaN and are never the best."""

    def noise(self, context: Context, observation: Observation) -> Float[Array, "H A"]:
        """Return the best of its own draws."""
        draws = self.draws(context, observation)
        return draws[self.judge(context, observation, draws).best]
