"""A tool that hovers before a grey wall: moved left by 10 cm, the task is done."""

import time

import numpy as np

from frs_core.arrays import Array
from frs_core.errors import ShapeMismatch
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.worlds.base import StepResult, World, WorldSpec

STEP, DONE = 0.02, 0.10
"""Largest step, and how far left the task is done, metres."""
REST = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8])
SPEC = WorldSpec(
    name="hover",
    cameras=("front",),
    control_hz=15.0,
    tasks=("go_left",),
    limits=Limits(np.array([0.2, -0.5, 0.0]), np.array([0.8, 0.5, 0.8]), max_translation=STEP),
    is_simulated=True,
    action_kinds=(ActionKind.EE_DELTA,),
    example_task="go_left",
)


class HoverWorld(World):
    def __init__(self) -> None:
        self.spec = SPEC
        self.reset()

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        if task is not None:
            self.require_task(task)
        p = np.array([0.45, 0.0, 0.3]) + np.random.default_rng(seed).uniform(-0.02, 0.02, 3)
        self._s = np.array([*p, p[1], 0.0, 0.0])  # position, start, gripper, steps
        return self.observe()

    def observe(self) -> Observation:
        now, T, s = time.monotonic_ns(), np.eye(4), self._s
        T[:3, 3] = s[:3]
        image = np.full((64, 64, 3), 128, dtype=np.uint8)
        row, column = int(60 * (0.8 - s[2]) / 0.8), int(60 * (0.5 - s[1]))
        image[row : row + 4, column : column + 4] = int(255 * s[0])  # The tool: a frame must change with it.
        frames = {"front": CameraFrame(image, now)}
        done = bool(s[1] - s[3] >= DONE)
        return Observation(frames, REST, np.zeros(7), s[4], T, "go left", now, int(s[5]), success=done)

    def step(self, action: Array, kind: ActionKind) -> StepResult:
        if np.shape(action) != (kind.size,):
            raise ShapeMismatch(f"Action has shape {np.shape(action)}, {kind.value} needs ({kind.size},).")
        to = self._s[:3] + np.clip(action[:3], -STEP, STEP)
        to = np.clip(to, SPEC.limits.workspace_low, SPEC.limits.workspace_high)
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
