"""Who picks from the fan: a person, a script, a noise policy, a vision-language model."""

import abc
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.events import Fan
from frs_core.observation import Observation
from frs_core.policies.base import Context


@dataclass(frozen=True, slots=True)
class Choice:
    """A pick and why."""

    label: str
    """A label of the fan."""
    reason: str = ""
    """A few words for the operator."""


class Chooser(abc.ABC):
    """Picks one candidate per chunk."""

    def begin(self, observation: Observation) -> None:
        """Forget the last episode."""

    @abc.abstractmethod
    def choose(self, fan: Fan) -> Choice | None:
        """Return the pick, or None to wait for a person."""


class NoisePolicy(abc.ABC):
    """A small policy that acts by choosing the generalist's noise."""

    name: str
    policy_fingerprint: str
    """The generalist it was trained for; another is refused."""

    @abc.abstractmethod
    def noise(self, context: Context, observation: Observation) -> Float[np.ndarray, "H A"]:
        """Return the noise to denoise for this observation."""
