"""Tell when something has been silent for too long, and when a camera repeats itself while the arm moves.

`Watchdog` knows several sources by name, each with its own limit; `feed` says "I heard from it", `overdue` names the first
that is late. Nothing here sleeps or starts a thread: the owner asks at its own rate, with any clock (tests pass one).

Example: Watchdog({"window": 1.0}); feed("window") at 0 s; overdue() at 0.9 s is None, at 1.2 s ("window", 1.2).

Used by the session thread and by the world process; one instance belongs to one thread.
"""

import time
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.robot.observation import CameraFrame, Observation


class Watchdog:
    """Silence limits of named sources."""

    def __init__(self, limits_s: Mapping[str, float], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch nothing until a source is fed once.

        Args:
            limits_s: largest silence per source, seconds.
            clock: seconds, monotonic.
        """
        self._limits_s = dict(limits_s)
        self._clock = clock
        self._last: dict[str, float] = {}

    def feed(self, source: str) -> None:
        """Note a heartbeat; the first one arms the source.

        Raises:
            KeyError: the source has no limit.
        """
        self._limits_s[source]
        self._last[source] = self._clock()

    def disarm(self, source: str) -> None:
        """Stop watching a source until it is fed again."""
        self._last.pop(source, None)

    def overdue(self) -> tuple[str, float] | None:
        """Return the most overdue source and its silence in seconds, or None when all are in time."""
        now = self._clock()
        late = [(now - at - self._limits_s[s], s, now - at) for s, at in self._last.items()]
        worst = max(late, default=None)
        return (worst[1], worst[2]) if worst and worst[0] > 0 else None


MAX_AGE_S = 0.5
"""Oldest image with which a robot moves. Guess: seven frames at 15 Hz."""


class CameraLiveness:
    """Notices cameras whose image stays the same, bit for bit, while the tool moves in view, or whose time stops."""

    def __init__(
        self,
        *,
        travel_m: float = 0.05,
        max_age_s: float = MAX_AGE_S,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start with no memory.

        Args:
            travel_m: how far the tool may be from where the image last changed, metres. Guess; some pixel of a tool in view
                changes long before.
            max_age_s: oldest frame allowed, seconds.
            clock_ns: time of `CameraFrame.captured_ns`.
        """
        self._travel_m, self._max_age_s, self._clock_ns = travel_m, max_age_s, clock_ns
        self._last: dict[str, tuple[UInt8[Array, "H W 3"], Float[Array, " 3"]]] = {}

    def reset(self) -> None:
        """Forget the past, e.g. after a scene reset."""
        self._last.clear()

    def check(self, observation: Observation) -> str | None:
        """Return a sentence about the first stale camera, or None when all are alive.

        Args:
            observation: the newest one, with its frames.
        """
        now, p, stale = self._clock_ns(), observation.p_tcp, None
        for name, frame in observation.frames.items():
            age_s = (now - frame.captured_ns) / 1e9
            if age_s > self._max_age_s:
                stale = stale or f"Camera '{name}' gave no fresh frame for {age_s:.1f} s. Check its cable and power."
            image, seen_at = self._last.get(name, (None, p))
            if image is None or not np.array_equal(image, frame.image):
                self._last[name] = (frame.image, p.copy())
                continue
            travel = float(np.linalg.norm(p - seen_at))
            if travel > self._travel_m and _is_in_view(frame, np.stack([p, seen_at])):
                stale = stale or (
                    f"Camera '{name}' shows the same frame although the tool moved {travel * 1000:.0f} mm in its view. "
                    f"Check its cable, or restart the world."
                )
        return stale


def _is_in_view(frame: CameraFrame, points: Float[Array, "n 3"]) -> bool:
    """Tell whether all points are inside the image; an uncalibrated camera is taken to see everything."""
    if frame.calibration is None:
        return True
    uv, is_front = frame.calibration.project(points)
    size = (frame.calibration.width, frame.calibration.height)
    return bool(is_front.all() and (uv >= 0).all() and (uv < size).all())
