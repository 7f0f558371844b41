"""Latencies of the cockpit, p50 and p95: key to pick, observation to fan on screen, frame interval, loop jitter, watchdog.

    python benchmarks/bench_cockpit.py --chunks 40            # embedded world and generalist, on the present display
    python benchmarks/bench_cockpit.py --learning             # the same while versions of a noise policy are trained in the background
    QT_QPA_PLATFORM=offscreen python benchmarks/bench_cockpit.py --world tests.fakes.world:PointWorld \
        --policy tests.fakes.policy:ToyPolicy

Opens the real window on a live session that records, presses real key events, and reads the clocks that are in the messages. Then
stalls the window for 500 ms in mid-chunk (the loop must not notice), and for good (Hold must come by itself).

A frame is a pass of painting in which a camera view was really painted, noted when the pass is over and its pixels were handed to
the display. Frames count while the robot moves. "image interval" counts only those with another image: it cannot be shorter
than the world's period. A fan is on screen when every visible camera view was painted with it. The control period is the time between
two rows of a chunk in the recorded episode (`steps/captured_ns`), and how late each row began is `steps/overrun_ms`.

With `--learning FOLDER` (alone: the example episodes) a first version is trained on all successes of a copy of FOLDER but one, and is in
the fan; from then on the next version is trained again and again, in a process like the cockpit's own.
"""

import argparse
import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.qt import QtCore
from app.views.cameras import CameraView

if TYPE_CHECKING:
    from frs_core.episodes import EpisodeStore

EXAMPLE = Path(__file__).resolve().parent.parent / "data" / "example"
SAVE_S = 30.0
"""How long the episode may take to be on disk at the end."""
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


class Learning:
    """Trains the next version of a noise policy again and again, in a process of its own, as the cockpit does after a success.

    Args:
        root: of the episodes; gets the versions.
    """

    def __init__(self, root: Path) -> None:
        from frs_core.episodes import EpisodeStore
        from frs_core.learning import TrainJob, TrainRequest, next_version

        infos = EpisodeStore(root).list()
        good = [info for info in infos if info.outcome is not None and info.outcome.value == "success"]
        first = TrainRequest("dsbc", root, tuple(i.name for i in good[:-1]), root / "learned" / "bench", "")
        job = TrainJob(first)
        job.start()
        made = job.wait()
        job.close()
        self.first: Path = made.path
        print(f"first version: {made.episodes} episodes, {made.chunks} chunks, {made.seconds:.0f} s", flush=True)
        found = next_version(self.first, infos, root=root)
        if found.request is None:
            raise SystemExit(f"There is no next version to learn in '{root}': {found.why_not or 'nothing is new'}")
        self._request: TrainRequest = found.request
        self._job: TrainJob | None = None
        self._began = 0.0
        self.seconds: list[float] = []
        """What each training took that ended."""

    def work(self) -> None:
        """Begin the next training if none runs."""
        from frs_core.learning import JobState, TrainJob

        if self._job is not None:
            self._job.poll()
            if self._job.state is JobState.RUNNING:
                return
            self._job.close()
            if self._job.error is not None:
                raise self._job.error
            self.seconds.append(time.monotonic() - self._began)
        out = self._request.out.with_name(f"bench.v{len(self.seconds) + 2}")
        self._began = time.monotonic()
        self._job = TrainJob(dataclasses.replace(self._request, out=out, name=out.name))
        self._job.start()

    def close(self) -> None:
        """End the training that runs."""
        if self._job is not None:
            self._job.close()


class Bench:
    """Drives the window from a timer and collects milliseconds.

    Args:
        window: the cockpit.
        chunks: how many to drive before the window is stalled.
        work: called on every turn of the timer.
    """

    def __init__(self, window: Any, chunks: int, work: Callable[[], None]) -> None:
        self.window, self.chunks, self._work = window, chunks, work
        self.samples: dict[str, list[float]] = {name: [] for name in TARGETS_MS}
        self.hold_after_s = float("nan")
        self._seen_fan = self._pressed = -1
        self.picks = self.recorded_picks = 0
        self._last = {"frame interval": 0, "image interval": 0}
        self._frame: Any = None
        self._waiting: set[CameraView] = set()
        self._stalled_at = self._ended_at = 0.0
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
        if self._ended_at:
            if not snapshot.episode.number or time.monotonic() - self._ended_at > SAVE_S:
                self._timer.stop()
                window.close()
            return
        self._work()
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
        self.window.run("episode.discard")
        self._ended_at = time.monotonic()


def _press(window: Any, code: Any) -> None:
    from app.qt import Qt, QtGui, QtWidgets

    for kind in (QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease):
        event = QtGui.QKeyEvent(kind, code, Qt.KeyboardModifier.NoModifier)
        QtWidgets.QApplication.sendEvent(window.windowHandle(), event)


def rows_of(store: "EpisodeStore", before: set[str]) -> dict[str, list[float]]:
    """Return what the episode that was just discarded says of the control rate, milliseconds."""
    from frs_core.episodes import Episode

    paths = [info.path for info in store.list(binned=True) if info.name not in before]
    if not paths:
        return {"control period, recorded": [], "row began late by, recorded": []}
    episode = Episode(paths[-1])
    times, late = episode.arrays["steps/captured_ns"], episode.arrays["steps/overrun_ms"]
    periods: list[float] = []
    for chunk in range(episode.n_chunks):
        # The first row was decided on what was seen before the pick.
        periods += (np.diff(times[episode.steps_of(chunk)][1:]) / 1e6).tolist()
    return {"control period, recorded": periods, "row began late by, recorded": late[:].tolist()}


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="tabletop")
    parser.add_argument("--policy", default="tabletop")
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--learning", type=Path, nargs="?", const=EXAMPLE, metavar="FOLDER", help="train meanwhile")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frs-bench-") as scratch:
        os.environ["FRS_CONFIG_DIR"] = str(Path(scratch) / "config")
        from app.facts import Facts
        from app.gl import pin_platform
        from app.main import make_session, run_window
        from app.settings import SettingsFile
        from frs_core.episodes import EpisodeStore
        from frs_core.policies import NamedPolicy

        settings = SettingsFile()
        settings.values.has_seen_first_run = True
        root = Path(scratch) / "data"
        learning = None
        if arguments.learning is not None:
            shutil.copytree(arguments.learning / "episodes", root / "episodes")
            learning = Learning(root)
        pin_platform()
        before = {info.name for info in EpisodeStore(root).list(binned=True)}
        session = make_session(
            arguments.world,
            NamedPolicy(arguments.policy),
            root=root,
            noise_policy=str(learning.first) if learning is not None else None,
        )
        benches: list[Bench] = []
        try:
            run_window(
                session,
                Facts(arguments.world, arguments.policy, root=root),
                settings,
                has_devices=False,
                on_ready=lambda window: benches.append(
                    Bench(window, arguments.chunks, learning.work if learning else int)
                ),
            )
        finally:
            session.close()
            if learning is not None:
                learning.close()
        recorded = rows_of(EpisodeStore(root), before)
    bench = benches[0]
    bench.samples |= recorded
    print(f"{'':32}{'n':>5}{'p50 ms':>9}{'p95 ms':>9}{'target':>9}   load {os.getloadavg()[0]:.1f}")
    for name, values in bench.samples.items():
        target = TARGETS_MS.get(name) or "–"
        if values:
            values.sort()
            p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
            print(f"{name:32}{len(values):5}{statistics.median(values):9.1f}{p95:9.1f}{target:>9}")
        else:
            print(f"{name:32}{0:5}        –        –{target:>9}")
    if learning is not None:
        took = ", ".join(f"{seconds:.0f} s" for seconds in learning.seconds)
        print(f"trained in the background meanwhile: {took or 'one version, which had not ended'}")
    print(f"{bench.recorded_picks} of {bench.picks} picks while recording")
    print(f"Hold {bench.hold_after_s:.2f} s after the window's last heartbeat (limit 1.0 s plus one heartbeat)")


if __name__ == "__main__":
    main()
