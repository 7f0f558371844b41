"""Map the controls of all devices to actions.

Problem: the bindings of keys, buttons and sticks are edited in one place and must not conflict. Idea: one map from action
ids to controls ("key:Left", "pad:dpad_left", "puck:left"). A control may be bound to two actions only if their scopes never
overlap (Drive and Review). `seen_direction` converts "left as the operator sees it" to a direction of the robot's base.

Example: with `{"steer.left": ("key:Left", "pad:dpad_left")}` a press of "pad:dpad_left" becomes
`Intent("steer.left", PRESSED, ...)`. Holds data only; usable from any thread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.devices.base import ControlChange, Stage
from frs_core.errors import ConfigError, unknown_name
from frs_core.steering.directions import Direction

ANY_SCOPE = "any"
"""Scope of actions that work in every layout."""


@dataclass(frozen=True, slots=True)
class Intent:
    """The action that an operator asks for with a control."""

    action: str
    """Action id."""
    stage: Stage
    device: str
    control: str
    value: float
    at_ns: int


@dataclass(frozen=True, slots=True)
class Clash:
    """One control bound to several actions whose scopes overlap."""

    control: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        name = self.control.partition(":")[2]
        return f"{name} is bound to {' and '.join(self.actions)}"


class InputMap:
    """Bindings of actions to controls.

    Args:
        defaults: action id -> controls.
        scopes: action id -> scope; ANY_SCOPE overlaps with every scope.
        overrides: action id -> controls, replacing the defaults of that action; unknown actions are ignored.
    """

    def __init__(
        self,
        defaults: Mapping[str, Iterable[str]],
        *,
        scopes: Mapping[str, str],
        overrides: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._defaults = {action: tuple(controls) for action, controls in defaults.items()}
        self._scopes = dict(scopes)
        self._bound = dict(self._defaults)
        for action, controls in (overrides or {}).items():
            if action in self._bound:
                self._bound[action] = tuple(controls)

    def controls(self, action: str) -> tuple[str, ...]:
        """Return the controls of an action; ConfigError for an unknown one."""
        if action not in self._bound:
            raise unknown_name("action", action, self._bound)
        return self._bound[action]

    def action(self, control: str, *, scope: str) -> str | None:
        """Return the action that a control is bound to in a scope, or None."""
        for action, controls in self._bound.items():
            if control in controls and self._scopes.get(action, ANY_SCOPE) in (scope, ANY_SCOPE):
                return action
        return None

    def rebind(self, action: str, controls: Iterable[str]) -> tuple[str, ...]:
        """Bind an action to other controls and return the previous ones.

        Raises:
            ConfigError: a control is bound to another action of an overlapping scope; nothing is changed.
        """
        former, wanted = self.controls(action), tuple(dict.fromkeys(controls))
        for control in wanted:
            taken = self.taken_by(control, action)
            if taken is not None:
                raise ConfigError(
                    f"{control.partition(':')[2]} is already bound to '{taken}'. Remove it there first, or choose another."
                )
        self._bound[action] = wanted
        return former

    def taken_by(self, control: str, action: str) -> str | None:
        """Return the action that would conflict if `action` also used `control`, or None."""
        scope = self._scopes.get(action, ANY_SCOPE)
        for other, controls in self._bound.items():
            if other != action and control in controls and _overlap(scope, self._scopes.get(other, ANY_SCOPE)):
                return other
        return None

    def clashes(self) -> tuple[Clash, ...]:
        """Return every control that is bound to two actions at the same time."""
        users: dict[str, list[str]] = {}
        for action, controls in self._bound.items():
            for control in controls:
                users.setdefault(control, []).append(action)
        found = []
        for control, actions in users.items():
            overlapping = [
                a
                for a in actions
                if any(
                    b != a and _overlap(self._scopes.get(a, ANY_SCOPE), self._scopes.get(b, ANY_SCOPE)) for b in actions
                )
            ]
            if overlapping:
                found.append(Clash(control, tuple(overlapping)))
        return tuple(found)

    def reset(self, action: str | None = None) -> None:
        """Reset one action, or all, to the defaults."""
        if action is None:
            self._bound = dict(self._defaults)
        else:
            self.controls(action)
            self._bound[action] = self._defaults[action]

    def overrides(self) -> dict[str, list[str]]:
        """Return what differs from the defaults, for the settings file."""
        return {a: list(c) for a, c in self._bound.items() if c != self._defaults[a]}

    def intent(self, change: ControlChange, *, scope: str) -> Intent | None:
        """Return the intent of a change in a scope, or None if the control is not bound."""
        action = self.action(change.control, scope=scope)
        if action is None:
            return None
        return Intent(action, change.stage, change.device, change.control, change.value, change.at_ns)


def seen_direction(direction: Direction, T_base_camera: Float[Array, "4 4"] | None) -> Direction:
    """Return the base-frame direction that the operator sees as left, right, forward or back.

    Args:
        direction: as the operator sees it.
        T_base_camera: pose of the camera whose image they watch; None = as seen from behind the robot.
    Returns:
        The nearest axis of the base frame; up and down are unchanged.
    """
    if T_base_camera is None or direction in (Direction.UP, Direction.DOWN):
        return direction
    right = T_base_camera[:3, 0].copy()
    right[2] = 0.0
    if np.linalg.norm(right) < 1e-6:
        return direction
    axis = int(np.argmax(np.abs(right)))
    right = np.sign(right[axis]) * np.eye(3)[axis]
    forward = np.cross([0.0, 0.0, 1.0], right)
    wanted = {
        Direction.RIGHT: right,
        Direction.LEFT: -right,
        Direction.FORWARD: forward,
        Direction.BACK: -forward,
    }[direction]
    return max(Direction, key=lambda d: float(d.axis @ wanted))


def _overlap(a: str, b: str) -> bool:
    return a == b or ANY_SCOPE in (a, b)
