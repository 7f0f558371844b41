"""Run a loop at a fixed rate without drift and without bursts.

Problem: `sleep(dt - elapsed)` drifts and, after a stall, races to catch up. Idea: aim at a fixed grid of instants; after a
stall of more than one period, start a fresh grid at the present instant. How late each tick began is kept for the display.

Example at 10 Hz: ticks at 0.0, 0.1, 0.2; work takes 0.35 s once; the next tick comes at once (0.25 s late), then a new grid.
One instance belongs to one thread.
"""

import time
from collections import deque
from collections.abc import Callable

import numpy as np


class RateLoop:
    """Waits for the next tick of a fixed grid."""

    def __init__(
        self,
        hz: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        memory: int = 256,
    ) -> None:
        """Start the grid at the first `wait`.

        Args:
            hz: ticks per second, > 0.
            clock: seconds, monotonic.
            sleep: waits that many seconds; may return early (an event's wait).
            memory: ticks that the statistics look back on.
        """
        self.period_s = 1.0 / hz
        self._clock, self._sleep = clock, sleep
        self._next: float | None = None
        self._late_s: deque[float] = deque(maxlen=memory)
        self._starts: deque[float] = deque(maxlen=memory)

    def wait(self) -> float:
        """Return at the next tick, with how late it began, seconds (0 or more)."""
        now = self._clock()
        if self._next is None:
            self._next = now
        if now < self._next:
            self._sleep(self._next - now)
            now = self._clock()
        late = max(0.0, now - self._next)
        self._next = now + self.period_s if late > self.period_s else self._next + self.period_s
        self._late_s.append(late)
        self._starts.append(now)
        return late

    @property
    def hz(self) -> float:
        """Ticks per second over the remembered ticks; NaN before the second."""
        if len(self._starts) < 2:
            return float("nan")
        return (len(self._starts) - 1) / max(self._starts[-1] - self._starts[0], 1e-9)

    def jitter_ms(self, percentile: float = 95.0) -> float:
        """Return how late ticks began, milliseconds, at a percentile; NaN before the first."""
        return float(np.percentile(self._late_s, percentile)) * 1e3 if self._late_s else float("nan")
