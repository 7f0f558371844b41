"""Measure how long a start takes and write it as JSON: `frs --report-start FILE`.

Problem: "first frame within three seconds" refers to what is on the screen, which only the window knows. Idea: watch the paint
events of the camera views until the first fan was painted, then write four times. They are values of time.monotonic(), a clock
that all processes of a machine share, so that the caller can subtract its own start time.

Example: {"main": 81.2, "window": 82.0, "camera": 82.9, "fan": 83.4, "cpu_s": 2.1, "cpu_children_s": 0.9}, 0.8 s from main to
the window. `cpu_s` is this process's processor time up to the fan. GUI thread.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.qt import QtCore
from app.views.cameras import CameraView
from app.workers import later


class StartReport(QtCore.QObject):
    """Writes a file once the first fan is on the screen.

    Args:
        window: the cockpit, shown or about to be.
        file: written atomically.
        started: time.monotonic() at the beginning of `main.run`.
        on_done: called after writing.
    """

    def __init__(self, window: Any, file: Path, *, started: float, on_done: Callable[[], object] | None = None) -> None:
        super().__init__(window)
        self._file, self._on_done = file, on_done
        self.times: dict[str, float] = {"main": started}
        self._views: list[CameraView] = []
        self._grid = window.drive.cameras
        self._window = window
        window.installEventFilter(self)
        window.bridge.snapshot_arrived.connect(self._watch_views)

    def _watch_views(self, _snapshot: object = None) -> None:
        for view in self._grid.findChildren(CameraView):
            if view not in self._views:
                self._views.append(view)
                view.installEventFilter(self)
                view.update()

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Note what is about to be painted; it is shown when the event loop runs again."""
        if event is not None and event.type() == QtCore.QEvent.Type.Paint:
            seen = ["window"]
            model = getattr(watched, "model", None) if isinstance(watched, CameraView) else None
            if model is not None and model.frame is not None:
                seen.append("camera")
                if model.fan is not None:
                    seen.append("fan")
            if any(name not in self.times for name in seen):
                later(self, 0, lambda: self._note(seen))
        return False

    def _note(self, seen: list[str]) -> None:
        now = time.monotonic()
        for name in seen:
            self.times.setdefault(name, now)
        if "fan" in seen and "fan" in self.times and self._views:
            self._finish()

    def _finish(self) -> None:
        for watched in (self._window, *self._grid.findChildren(CameraView)):
            watched.removeEventFilter(self)
        self._views = []
        self._window.bridge.snapshot_arrived.disconnect(self._watch_views)
        used = os.times()
        data = {**self.times, "cpu_s": used.user + used.system, "cpu_children_s": _children_cpu_s()}
        part = self._file.with_name(f"{self._file.name}.part")
        part.write_text(json.dumps(data))
        part.replace(self._file)
        if self._on_done is not None:
            self._on_done()


def _children_cpu_s() -> float:
    """Return the processor time of the running child processes, seconds; 0.0 if the system does not provide it."""
    total, tick = 0.0, os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        # Child processes are listed per thread.
        for task in Path("/proc/self/task").iterdir():
            children += (task / "children").read_text().split()
        for pid in set(children):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / tick
    except OSError:
        return total
    return total
