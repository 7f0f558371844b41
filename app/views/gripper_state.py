"""What the gripper does now, in words, from its measured width and its command: open 80 mm, holding 42 mm, closed, empty.

GUI thread.
"""

import math

from frs_core.robot.observation import Observation

CLOSED = 0.97
"""Measured share from which nothing can be between the fingers: 2.4 of 80 mm."""
STARTED = 0.03
"""Measured share up to which fingers that were commanded to close have not begun to move."""
STILL = 0.01
"""Change of the share between two readings below which the fingers stand still; 0.8 mm."""
LOOK_S = 0.15
"""Time between two readings that are compared."""


class GripperReadout:
    """Follows one gripper.

    Args:
        width_mm: between the open fingers; NaN = not known, and shares are shown.
    """

    def __init__(self, width_mm: float = math.nan) -> None:
        self.width_mm = width_mm
        self._looks: list[tuple[float, float]] = []
        """Time in seconds and measured share, the last ones."""

    def words(self, observation: Observation | None) -> str:
        """Return what the gripper does; empty while nothing is known."""
        if observation is None:
            return ""
        at, share = observation.captured_ns / 1e9, float(observation.gripper)
        if self._looks and at < self._looks[-1][0]:
            self._looks.clear()
        if not self._looks or at > self._looks[-1][0]:
            self._looks.append((at, share))
        while len(self._looks) > 2 and at - self._looks[1][0] >= LOOK_S:
            self._looks.pop(0)
        is_still = all(abs(share - s) < STILL for _, s in self._looks)
        wants_closed = observation.gripper_command > 0.5
        if wants_closed and share >= CLOSED:
            return "closed, empty"
        if not is_still or (wants_closed and share < STARTED):
            return "closing" if wants_closed else "opening"
        return f"{'holding' if wants_closed else 'open'} {self._size(share)}"

    def _size(self, share: float) -> str:
        free = 1.0 - min(1.0, max(0.0, share))
        return f"{100 * free:.0f} %" if math.isnan(self.width_mm) else f"{self.width_mm * free:.0f} mm"
