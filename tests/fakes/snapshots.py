"""Hand-made snapshots: a real fan of the toy policy on the point world, dressed for any moment of a session."""

import dataclasses
import functools
import time
from typing import Any

import numpy as np

from frs_core.candidates.fan import build_fan
from frs_core.events import Driver, EpisodeStatus, HoldReason, Latency, Pacing, Phase, SessionCommand, Snapshot
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Gripper
from frs_core.steering.methods import SteeringPlan
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

PLAN = SteeringPlan(components=1)


@functools.cache
def sample_fan(gripper: Gripper = Gripper.POLICY) -> Fan:
    """Return what the toy policy offers at the point world's start."""
    policy = ToyPolicy()
    observation = PointWorld().reset(task="reach_left", seed=0)
    return build_fan(policy, policy.encode(observation), observation, plan=PLAN, gripper=gripper, request_id=1)


def sample_observation() -> Observation:
    """Return the start with images taken now."""
    observation = sample_fan().observation
    now = time.monotonic_ns()
    frames = {k: dataclasses.replace(f, captured_ns=now) for k, f in observation.frames.items()}
    return dataclasses.replace(observation, frames=frames)


def snapshot(**changes: Any) -> Snapshot:
    """Return a session that waits for a pick in its third episode, changed as asked."""
    base = Snapshot(
        phase=Phase.CHOOSE,
        hold_reason=None,
        detail="",
        driver=Driver.PERSON,
        pacing=Pacing.GATED,
        observation=sample_observation(),
        fan=sample_fan(),
        is_fan_stale=False,
        is_fan_pending=False,
        picked=None,
        chunk_row=0,
        chunk_rows=0,
        plan=PLAN,
        gripper=Gripper.POLICY,
        episode=EpisodeStatus(
            name="e3",
            number=3,
            task="reach_left",
            instruction="go left",
            is_recording=True,
            chunks=2,
            steps=8,
            can_go_back=True,
        ),
        latency=Latency(12.0, 34.0, float("nan"), 11.0, 15.0, 0.4),
        trail=np.array([[0.4, 0.0, 0.3], [0.4, 0.02, 0.3]]),
    )
    return dataclasses.replace(base, **changes)


def resting() -> Snapshot:
    """Return a session before its first episode."""
    return snapshot(phase=Phase.HOLD, hold_reason=HoldReason.START, fan=None, episode=EpisodeStatus())


class FakePort:
    """A session that keeps what it is sent and says what it is given."""

    def __init__(self) -> None:
        self.sent: list[SessionCommand] = []
        self.callbacks: list[Any] = []
        self.world_spec = PointWorld().spec
        self.policy_spec = ToyPolicy().spec

    def send(self, command: SessionCommand) -> bool:
        """Keep a command."""
        self.sent.append(command)
        return True

    def latest(self) -> Snapshot | None:
        """Return nothing: tests hand out their own."""
        return None

    def subscribe(self, callback: Any) -> Any:
        """Keep a listener."""
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def publish(self, news: Snapshot) -> None:
        """Say something to all listeners."""
        for callback in list(self.callbacks):
            callback(news)

    def close(self) -> None:
        """Nothing to stop."""

    def of(self, kind: type[SessionCommand]) -> list[Any]:
        """Return the commands of one kind."""
        return [c for c in self.sent if isinstance(c, kind)]
