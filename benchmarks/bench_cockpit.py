"""Latencies of the cockpit, p50 and p95: key to pick, observation to fan on screen, frame interval, loop jitter, watchdog.

    python benchmarks/bench_cockpit.py --chunks 40            # embedded world and generalist, on the present display
    QT_QPA_PLATFORM=offscreen python benchmarks/bench_cockpit.py --world tests.fakes.world:PointWorld \
        --policy tests.fakes.policy:ToyPolicy

Opens the real window on a live session that records, presses real key events, and reads the clocks that are in the messages. Then
stalls the window for 500 ms in mid-chunk (the loop must not notice), and for good (Hold must come by itself).

A frame is a pass of painting in which a camera view was really painted, noted when the pass is over and its pixels were handed to
the display. Frames count while the robot moves. "image interval" counts only those with another image: it cannot be shorter
than the world's period. A fan is on screen when every visible camera view was painted with it.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from app.qt import QtCore
from app.views.cameras import CameraView

TARGETS_MS: dict[str, int | None] = {
    "key to pick": 50,
    "observation to fan on screen": 150,
    "frame interval": 40,
    "image interval": None,
    "loop jitter, window stalled": 5,
}


class Paints(QtCore.QObject):
    """Notes every pass in which camera views were painted.

    Args:
        window: the cockpit.
        on_frame: called after a pass with its time (`time.monotonic_ns`) and the views painted in it.
    """

    def __init__(self, window: Any, on_frame: Any) -> None:
        super().__init__(window)
        self._grid, self._on_frame = window.drive.cameras, on_frame
        self._watched: list[CameraView] = []
        self._painted: list[CameraView] = []

    def watch(self) -> None:
        """Watch the views that have come since."""
        for view in self._grid.views.values():
            if view not in self._watched:
                self._watched.append(view)
                view.installEventFilter(self)

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Note a view that is about to be painted; a timer of 0 ms fires when the pass is over."""
        if event is not None and event.type() == QtCore.QEvent.Type.Paint and isinstance(watched, CameraView):
            if not self._painted:
                QtCore.QTimer.singleShot(0, self._on_pass_over)
            self._painted.append(watched)
        return False

    def _on_pass_over(self) -> None:
        painted, self._painted = self._painted, []
        self._on_frame(time.monotonic_ns(), painted)


class Bench:
    """Drives the window from a timer and collects milliseconds."""

    def __init__(self, window: Any, chunks: int) -> None:
        self.window, self.chunks = window, chunks
        self.samples: dict[str, list[float]] = {name: [] for name in TARGETS_MS}
        self.hold_after_s = float("nan")
        self._seen_fan = self._pressed = -1
        self.picks = self.recorded_picks = 0
        self._last = {"frame interval": 0, "image interval": 0}
        self._frame: Any = None
        self._waiting: set[CameraView] = set()
        self._stalled_at = 0.0
        self._is_started = False
        self._paints = Paints(window, self._on_frame)
        window.bridge.snapshot_arrived.connect(lambda _snapshot: self._paints.watch())
        self._timer = QtCore.QTimer(window)
        self._timer.timeout.connect(self._tick)
        self._timer.start(20)

    def _on_frame(self, now_ns: int, painted: list[CameraView]) -> None:
        from frs_core.events import Phase

        snapshot, views = self.window.snapshot, self.window.drive.cameras.views
        fan = snapshot.fan
        if fan is not None and not snapshot.is_fan_stale and fan.request_id != self._seen_fan:
            with_fan = {v for v in painted if v.model.fan is fan and not v.model.style.is_stale}
            self._waiting = {v for v in views.values() if v.isVisible()} if not self._waiting else self._waiting
            self._waiting -= with_fan
            if not self._waiting:
                self._seen_fan = fan.request_id
                self.samples["observation to fan on screen"].append((now_ns - fan.observation.captured_ns) / 1e6)
        if snapshot.phase is not Phase.MOVING:
            self._last = dict.fromkeys(self._last, 0)
            return
        frame = views[self.window.drive.cameras.primary].model.frame
        for name in ("frame interval", "image interval") if frame is not self._frame else ("frame interval",):
            if self._last[name]:
                self.samples[name].append((now_ns - self._last[name]) / 1e6)
            self._last[name] = now_ns
        self._frame = frame

    def _tick(self) -> None:
        from app.qt import Qt
        from frs_core.events import Phase

        window, snapshot = self.window, self.window.snapshot
        if snapshot is None or not window.facts.tasks:
            return
        if not self._is_started and snapshot.phase is Phase.HOLD:
            self._is_started = True
            window.run("episode.start")
            return
        if snapshot.phase is Phase.HOLD and snapshot.episode.number:
            if self._stalled_at:
                self._finish()
                return
            window.run("drive.resume")
        if snapshot.phase is not Phase.CHOOSE or snapshot.fan is None or snapshot.is_fan_stale:
            return
        if snapshot.fan.request_id == self._pressed:
            return
        self._pressed = snapshot.fan.request_id
        latency = snapshot.latency.pick_ms
        if latency == latency:
            self.samples["key to pick"].append(latency)
        done = snapshot.episode.chunks
        self.picks += 1
        self.recorded_picks += snapshot.episode.is_recording
        if done >= self.chunks + 4:
            self._stall_for_good()
            return
        keys = [Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown]
        _press(window, keys[done % 4])
        if done >= self.chunks:
            self._stall()

    def _stall(self) -> None:
        """Block the GUI thread for 500 ms while a chunk moves, then read the loop's jitter."""
        self._last = dict.fromkeys(self._last, 0)
        time.sleep(0.5)
        jitter = self.window.bridge.port.latest().latency.jitter_ms
        if jitter == jitter:
            self.samples["loop jitter, window stalled"].append(jitter)

    def _stall_for_good(self) -> None:
        """Block until the session holds by itself."""
        from frs_core.events import Phase

        self._stalled_at = time.monotonic()
        while time.monotonic() - self._stalled_at < 10:
            if self.window.bridge.port.latest().phase is Phase.HOLD:
                self.hold_after_s = time.monotonic() - self._stalled_at
                break
            time.sleep(0.002)
        self._finish()

    def _finish(self) -> None:
        self._timer.stop()
        self.window.run("episode.discard")
        self.window.close()


def _press(window: Any, code: Any) -> None:
    from app.qt import Qt, QtGui, QtWidgets

    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        event = QtGui.QKeyEvent(kind, code, Qt.KeyboardModifier.NoModifier)
        QtWidgets.QApplication.sendEvent(window.windowHandle(), event)


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="tabletop")
    parser.add_argument("--policy", default="tabletop")
    parser.add_argument("--chunks", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frs-bench-") as scratch:
        os.environ["FRS_CONFIG_DIR"] = str(Path(scratch) / "config")
        from app.facts import Facts
        from app.gl import pin_platform
        from app.main import make_session, run_window
        from app.settings import SettingsFile
        from frs_core.policies import NamedPolicy

        settings = SettingsFile()
        settings.values.has_seen_first_run = True
        root = Path(scratch) / "data"
        pin_platform()
        session = make_session(arguments.world, NamedPolicy(arguments.policy), root=root)
        benches: list[Bench] = []
        try:
            run_window(
                session,
                Facts(arguments.world, arguments.policy, root=root),
                settings,
                has_devices=False,
                on_ready=lambda window: benches.append(Bench(window, arguments.chunks)),
            )
        finally:
            session.close()
    bench = benches[0]
    print(f"{'':32}{'n':>5}{'p50 ms':>9}{'p95 ms':>9}{'target':>9}   load {os.getloadavg()[0]:.1f}")
    for name, values in bench.samples.items():
        target = TARGETS_MS[name] or "–"
        if values:
            values.sort()
            p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
            print(f"{name:32}{len(values):5}{statistics.median(values):9.1f}{p95:9.1f}{target:>9}")
        else:
            print(f"{name:32}{0:5}        –        –{target:>9}")
    print(f"{bench.recorded_picks} of {bench.picks} picks while recording")
    print(f"Hold {bench.hold_after_s:.2f} s after the window's last heartbeat (limit 1.0 s plus one heartbeat)")


if __name__ == "__main__":
    main()
