"""Policies and recorders that wait on an event, to test what happens when a thread hangs."""

import threading

from frs_core.policies.base import Context
from frs_core.robot.observation import Observation
from tests.fakes.policy import ToyPolicy
from tests.waiting import LONG_S


class HangingPolicy(ToyPolicy):
    """Encodes only while `may_go` is set; gives up after a minute, so that no test leaves a thread behind."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = threading.Event()
        self.may_go.set()

    def encode(self, observation: Observation) -> Context:
        self.may_go.wait(LONG_S)
        return super().encode(observation)
