"""Check every action before it reaches a world: no stale or non-finite one is sent, and none that jumps or leaves the workspace.

Every motion carries the hold epoch of the act that requested it, and is refused in any other: a hold invalidates all requests
before it, however late they arrive. The limits are those that the world states, and the limiter is the same for all worlds, simulated
ones included, so that headless evaluation executes the same actions as the cockpit; a world that calls it itself, because it reads
the arm's state later than the guard can, gets the action as asked. Runs wherever the world runs.

    guard = GuardedWorld(world, epoch=lambda: ring.epoch)
    guard.step(action, kind, epoch=3)      # StaleAct once the epoch is 4
"""

import contextlib
from collections.abc import Callable, Generator

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import PolicyError, ShapeMismatch, StaleAct
from frs_core.robot.actions import ActionKind
from frs_core.robot.limiting import AT_REST, limit_action
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.worlds.base import StepResult, World


class GuardedWorld:
    """A world behind `Limits`."""

    def __init__(self, world: World, *, epoch: Callable[[], int] = lambda: 0, limits: Limits | None = None) -> None:
        """Wrap a world.

        Args:
            world: not owned.
            epoch: returns the present hold epoch; the default is for a world that is never held.
            limits: None = the world's own.
        """
        self.world = world
        self.limits = limits or world.spec.limits
        self._is_limiting = limits is not None or not world.limits_itself
        self._epoch = epoch
        self._last: Observation | None = None
        """The newest observation; None once an action was sent after it."""
        self._moving = AT_REST
        """Of the last action; at rest at every observation that a fan may be made from."""

    def reset(self, *, task: str | None = None, seed: int = 0, epoch: int = 0) -> Observation:
        """Reset the world.

        Raises:
            StaleAct: asked for in another hold epoch.
        """
        with self._authorised(epoch, "The scene was not set"):
            self._last, self._moving = self.world.reset(task=task, seed=seed), AT_REST
        return self._last

    def restore(self, state: bytes, *, epoch: int = 0) -> Observation:
        """Restore a snapshot.

        Raises:
            StaleAct: asked for in another hold epoch.
        """
        with self._authorised(epoch, "The scene was not brought back"):
            self._last, self._moving = self.world.restore(state), AT_REST
        return self._last

    def observe(self) -> Observation:
        """Return fresh images and state."""
        self._last, self._moving = self.world.observe(), AT_REST
        return self._last

    def glance(self) -> Observation:
        """Return the state with frames for display during a chunk; see `World.glance`."""
        self._last = self.world.glance()
        return self._last

    def state(self) -> Observation:
        """Return the state without images if that is cheaper; see `World.state`."""
        self._last = self.world.state()
        return self._last

    def step(self, action: Float[Array, " a"], kind: ActionKind, *, epoch: int = 0) -> StepResult:
        """Execute one action under the limits.

        Raises:
            StaleAct: asked for in another hold epoch.
            ShapeMismatch: the action does not fit `kind`.
            PolicyError: the action is not finite.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (kind.size,):
            raise ShapeMismatch(
                f"Action has shape {action.shape}, {kind.value} needs ({kind.size},). "
                f"Check that policy and world speak the same action space."
            )
        if not np.isfinite(action).all():
            raise PolicyError("An action holds non-finite numbers and was not sent. Check the policy's weights.")
        if not self._is_limiting:
            self._last = None
            with self._authorised(epoch, "An action was not sent"):
                return self.world.step(action, kind)
        # A simulation stands still between steps; a robot does not, and its last observation is a whole step old by now.
        is_current = self._last is not None and self.world.spec.is_simulated
        now = self._last if is_current and self._last is not None else self.world.state()
        allowed = limit_action(action, kind, observation=now, limits=self.limits, moving=self._moving)
        self._last = None
        # Checked last: reading a robot's state takes time, and a hold may have arrived meanwhile.
        with self._authorised(epoch, "An action was not sent"):
            result = self.world.step(allowed.action, kind)
        self._moving = allowed.moving
        if not allowed.reasons:
            return result
        words = ", ".join((*allowed.reasons, result.reason) if result.reason else allowed.reasons)
        return StepResult(result.executed, True, words)

    @contextlib.contextmanager
    def _authorised(self, epoch: int, what: str) -> Generator[None, None, None]:
        """Allow the world to move in this context if the act's epoch is the present one; a world that waits checks again."""

        def is_present() -> bool:
            return epoch == self._epoch()

        if not is_present():
            raise StaleAct(
                f"{what}: it was asked for in hold epoch {epoch}, this is {self._epoch()}. Ask again after the hold."
            )
        self.world.may_move = is_present
        try:
            yield
        finally:
            self.world.may_move = _never


def _never() -> bool:
    return False
