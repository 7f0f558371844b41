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

from frs_core.observation import Observation


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
        """Note a sign of life; the first one arms the source.

        Raises:
            KeyError: the source has no limit.
        """
        self._limits_s[source]
        self._last[source] = self._clock()

    def disarm(self, source: str) -> None:
        """Stop watching a source until it is fed again."""
        self._last.pop(source, None)

    def is_armed(self, source: str) -> bool:
        """Tell whether a source is watched."""
        return source in self._last

    def overdue(self) -> tuple[str, float] | None:
        """Return the most overdue source and its silence in seconds, or None when all are in time."""
        now = self._clock()
        late = [(now - at - self._limits_s[s], s, now - at) for s, at in self._last.items()]
        worst = max(late, default=None)
        return (worst[1], worst[2]) if worst and worst[0] > 0 else None


class CameraLiveness:
    """Notices cameras whose picture stays the same, bit for bit, while the tool travels, or whose time stops."""

    def __init__(
        self,
        *,
        travel_m: float = 0.03,
        max_age_s: float = 0.5,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Start with no memory.

        Args:
            travel_m: tool travel (length of the path) over which an unchanged picture is called frozen, metres. Guess: two
                control steps at full speed change some pixel of any camera that sees the scene.
            max_age_s: oldest frame allowed, seconds.
            clock_ns: time of `CameraFrame.captured_ns`.
        """
        self._travel_m, self._max_age_s, self._clock_ns = travel_m, max_age_s, clock_ns
        self._last: dict[str, UInt8[np.ndarray, "H W 3"]] = {}
        self._travel: dict[str, float] = {}
        self._p: Float[np.ndarray, " 3"] | None = None

    def reset(self) -> None:
        """Forget the past, e.g. after a scene reset."""
        self._last.clear()
        self._travel.clear()
        self._p = None

    def check(self, observation: Observation) -> str | None:
        """Return a sentence about the first stale camera, or None when all are alive.

        Args:
            observation: the newest one, with its frames.
        """
        moved = 0.0 if self._p is None else float(np.linalg.norm(observation.p_tcp - self._p))
        self._p = observation.p_tcp.copy()
        now, stale = self._clock_ns(), None
        for name, frame in observation.frames.items():
            age_s = (now - frame.captured_ns) / 1e9
            if age_s > self._max_age_s:
                stale = stale or f"Camera '{name}' gave no fresh picture for {age_s:.1f} s. Check its cable and power."
            last = self._last.get(name)
            if last is not None and np.array_equal(last, frame.image):
                self._travel[name] = self._travel.get(name, 0.0) + moved
            else:
                self._travel[name] = 0.0
            self._last[name] = frame.image
            if self._travel[name] > self._travel_m:
                stale = stale or (
                    f"Camera '{name}' shows the same picture although the arm moved "
                    f"{self._travel[name] * 1000:.0f} mm. Check its cable, or restart the world."
                )
        return stale
