"""Contracts that every back end passes, for the product's own and for yours.

Inherit the class of your kind in a test module and give it what it asks for; pytest runs the rest:

    class TestMyWorld(WorldContract):
        def make(self) -> World:
            return MyWorld()

Needs pytest. See docs/extending.md.
"""

from frs_core.testing.chooser import ChooserContract
from frs_core.testing.device import InputDeviceContract
from frs_core.testing.learner import LearnerContract
from frs_core.testing.policy import FlowPolicyContract
from frs_core.testing.recorder import RecorderContract
from frs_core.testing.world import WorldContract

__all__ = [
    "ChooserContract",
    "FlowPolicyContract",
    "InputDeviceContract",
    "LearnerContract",
    "RecorderContract",
    "WorldContract",
]
