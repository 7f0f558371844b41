"""A world with something done to it: a disturbed start, or a film being made. Everything else passes through."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.worlds.base import StepResult, World


class WrappedWorld(World):
    """Passes everything on to another world."""

    def __init__(self, world: World) -> None:
        """Wrap a world, which keeps its owner."""
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
        """Close nothing: the wrapped world's owner does."""


class PerturbedWorld(WrappedWorld):
    """Starts every episode off its usual start: the tool is first driven a way that no training episode began from."""

    def __init__(self, world: World, *, distance: float) -> None:
        """Wrap a world.

        Args:
            world: simulated.
            distance: metres in a random direction of the upper half space, seeded by the scene.
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
    """Shows every second step, pictures included, to whoever makes the film."""

    def __init__(self, world: World, show: Callable[[Observation], None]) -> None:
        """Wrap a world.

        Args:
            world: any.
            show: called with fresh observations.
        """
        super().__init__(world)
        self._show = show
        self._steps = 0

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Step, and show."""
        result = self._world.step(action, kind)
        self._steps += 1
        if self._steps % 2 == 0:
            self._show(self._world.observe())
        return result
