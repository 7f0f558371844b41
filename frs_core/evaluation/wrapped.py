"""Worlds that wrap another one to disturb the start or to make a film. All other calls are forwarded."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.worlds.base import StepResult, World


class WrappedWorld(World):
    """Forwards all calls to another world."""

    def __init__(self, world: World) -> None:
        """Wrap a world without taking ownership."""
        self.spec = world.spec
        self._world = world

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Reset the world."""
        return self._world.reset(task=task, seed=seed)

    def observe(self) -> Observation:
        """Observe the world."""
        return self._world.observe()

    def state(self) -> Observation:
        """Return the world's state."""
        return self._world.state()

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Step the world."""
        return self._world.step(action, kind)

    def hold(self) -> None:
        """Hold the world."""
        self._world.hold()

    def snapshot(self) -> bytes:
        """Return the world's snapshot."""
        return self._world.snapshot()

    def restore(self, state: bytes) -> Observation:
        """Restore the world."""
        return self._world.restore(state)

    def close(self) -> None:
        """Do nothing: the owner of the wrapped world closes it."""


class PerturbedWorld(WrappedWorld):
    """Disturbs the start of every episode: the tool is first driven to a place where no training episode started."""

    def __init__(self, world: World, *, distance: float) -> None:
        """Wrap a world.

        Args:
            world: simulated.
            distance: metres in a random upward direction, seeded by the scene.
        """
        super().__init__(world)
        self._distance = distance

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Reset, then drive the tool away at 12 mm per step."""
        self._world.reset(task=task, seed=seed)
        way = np.random.default_rng([abs(seed), 77]).normal(size=3)
        way = np.array([way[0], way[1], abs(way[2])]) / np.linalg.norm(way)
        rows = max(1, round(self._distance / 0.012))
        action = np.zeros(ActionKind.EE_DELTA.size, dtype=np.float32)
        action[:3] = way * self._distance / rows
        for _ in range(rows):
            self._world.step(action, ActionKind.EE_DELTA)
        return self._world.observe()


class FilmedWorld(WrappedWorld):
    """Passes an observation with images of every second step to a callback."""

    def __init__(self, world: World, show: Callable[[Observation], None]) -> None:
        """Wrap a world.

        Args:
            world: any.
            show: called with the observations.
        """
        super().__init__(world)
        self._show = show
        self._steps = 0

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Step the world; call `show` after every second step."""
        result = self._world.step(action, kind)
        self._steps += 1
        if self._steps % 2 == 0:
            self._show(self._world.observe())
        return result
