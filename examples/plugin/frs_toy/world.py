"""A tool that hovers before a wall, whose colour is the tool's position: moved left by 10 cm, the task is done."""

import time

import numpy as np

from frs_core.arrays import Array
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.worlds.base import StepResult, World, WorldSpec

LOW, HIGH, STEP = np.array([0.2, -0.5, 0.0]), np.array([0.8, 0.5, 0.8]), 0.02
"""The workspace and the largest step, metres."""


class HoverWorld(World):
    def __init__(self) -> None:
        self.spec = WorldSpec(
            name="hover",
            cameras=("front",),
            control_hz=15.0,
            tasks=("go_left",),
            limits=Limits(LOW, HIGH, np.full(7, -2.5), np.full(7, 2.5), max_translation=STEP),
            is_simulated=True,
            action_kinds=(ActionKind.EE_DELTA,),
            example_task="go_left",
        )
        self.reset()

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        self.require_task(task or "go_left")
        p = np.array([0.45, 0.0, 0.3]) + np.random.default_rng(seed).uniform(-0.02, 0.02, 3)
        self._s = np.array([*p, p[1], 0.0, 0.0])  # position, start, gripper, steps
        return self.observe()

    def observe(self) -> Observation:
        now, T, s, q = time.monotonic_ns(), np.eye(4), self._s, np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8])
        T[:3, 3] = s[:3]
        image = np.full((64, 64, 3), 255 * (s[:3] - LOW) / (HIGH - LOW)).astype(np.uint8)
        frames = {"front": CameraFrame(image, now)}
        return Observation(frames, q, np.zeros(7), s[4], T, "go left", now, int(s[5]), success=bool(s[1] - s[3] >= 0.1))

    def step(self, action: Array, kind: ActionKind) -> StepResult:
        to = np.clip(self._s[:3] + np.clip(action[:3], -STEP, STEP), LOW, HIGH)
        sent = np.array([*(to - self._s[:3]), 0, 0, 0, np.clip(action[6], 0, 1)], dtype=np.float32)
        self._s = np.array([*to, self._s[3], sent[6], self._s[5] + 1])
        is_clipped = not np.allclose(sent, action, atol=1e-6)
        return StepResult(sent, is_clipped, "the workspace or the step limit" if is_clipped else "")

    def hold(self) -> None: ...

    def snapshot(self) -> bytes:
        return self._s.tobytes()

    def restore(self, state: bytes) -> Observation:
        self._s = np.frombuffer(state)
        return self.observe()

    def close(self) -> None: ...
