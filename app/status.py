"""Write what the window shows as JSON lines to a file, for accessibility tools, logging and scripts that press keys.

Problem: a person or a script that cannot see the window needs its state from outside the program. Idea: a timer compares what is
shown with the last line written; each change becomes one line, written by a separate thread. The state is that of the screen: a
fan is `offered` if a key would pick from it.

Example: `frs --status-file now.jsonl`, then `tail -f now.jsonl`:

    {"at": 1700000000.1, "phase": "choose", "offer": 7, "offered": ["unsteered", "left/more"], "episode": {"chunks": 3}, ...}

Collected on the GUI thread, written on "app-status".
"""

import json
import queue
import threading
import time
from pathlib import Path
from typing import Any

from app import theme
from app.qt import QtCore, QtWidgets
from app.window import CockpitWindow
from frs_core.events import Phase, Snapshot

INTERVAL_MS = 40
"""Interval between comparisons; about one paint."""


class StatusFile(QtCore.QObject):
    """Writes a line for every change of what a window shows, until the window closes.

    Args:
        window: shown.
        path: appended to; its folder is created.
    """

    def __init__(self, window: CockpitWindow, path: Path) -> None:
        super().__init__(window)
        self._window = window
        self._last: dict[str, Any] = {}
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._write, args=(path,), name="app-status", daemon=True)
        self._thread.start()
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(INTERVAL_MS)
        window.installEventFilter(self)

    def look(self) -> None:
        """Queue a line if anything differs from the last one."""
        if self._problem is not None:
            self._window.say(self._problem, "warn")
            self._timer.stop()
            return
        now = status_of(self._window)
        if now != self._last:
            self._last = now
            self._lines.put(json.dumps({"at": round(time.time(), 3), **now}))

    def eventFilter(self, watched: QtCore.QObject | None, event: QtCore.QEvent | None) -> bool:
        """Stop when the window closes."""
        if watched is self._window and event is not None and event.type() == QtCore.QEvent.Type.Close:
            self.close()
        return False

    def close(self) -> None:
        """Write the queued lines and stop; safe to call twice."""
        self._timer.stop()
        self._lines.put(None)
        self._thread.join(3.0)

    def _write(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                while (line := self._lines.get()) is not None:
                    file.write(line + "\n")
                    file.flush()
        except OSError as error:
            self._problem = f"The status file {path} cannot be written: {error.strerror}"


def status_of(window: CockpitWindow) -> dict[str, Any]:
    """Return what a window shows now, as plain values."""
    bar, banner = window.drive.episode, window.banner
    card = window.cards.open_now
    return {
        **(snapshot_status(window.snapshot) if window.snapshot is not None else {"phase": "starting"}),
        "layout": window.layout_name,
        "is_full_screen": window.isFullScreen(),
        "theme": theme.current().name,
        "is_active": window.inputs.keyboard.is_active,
        "second": window.second.camera,
        "focus": _name(QtWidgets.QApplication.focusWidget()),
        "card": card,
        "dialog": _title(QtWidgets.QApplication.activeModalWidget()),
        "popup": _name(QtWidgets.QApplication.activePopupWidget()),
        "gripper": window.state.gripper,
        "shed": window.load.level,
        "question": window.drive.question.sentence,
        "checklist": window.arming.verdict,
        "countdown": window.drive.countdown.text.text(),
        "banner": banner.text,
        "details": banner.details,
        "toasts": list(window.toasts.texts),
        "unfinished": window.recovery.text.text() if window.recovery.isVisible() else "",
        "devices": [name for device in window.inputs.devices for name in device.names],
        "next": {
            "task": bar.chosen_task,
            "scene": bar.next_scene,
            "unrecorded": bar.unrecorded.isChecked(),
            "amount": window.settings.values.amount,
            "frame": window.settings.values.frame,
        },
        "view": {
            "camera": window.drive.cameras.primary,
            "is_alone": window.drive.cameras.is_alone,
            "other_step": window.settings.values.show_other_step,
            "request": window.settings.values.show_reference,
        },
        "saved": window.drive.progress.count.text(),
        "reviewing": _reviewing(window),
        "training": _training(window),
        "versions": {"is_on": window.versions.is_on, "text": window.versions.sentence},
        "practising": _practising(window),
        "comparing": _comparing(window),
    }


def snapshot_status(s: Snapshot) -> dict[str, Any]:
    """Return the parts of a snapshot that do not change at every control step."""
    is_offered = s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale
    e = s.episode
    return {
        "phase": s.phase.name.lower(),
        "hold": s.hold_reason.name.lower() if s.hold_reason is not None else "",
        "reason": s.hold_reason.value if s.hold_reason is not None else "",
        "detail": s.detail,
        "driver": s.driver.value,
        "pacing": s.pacing.value,
        "offer": s.fan.request_id if is_offered and s.fan is not None else 0,
        "offered": [c.label for c in s.fan.candidates] if is_offered and s.fan is not None else [],
        "picked": s.picked or "",
        "picked_by": s.picked_by.value if s.picked_by is not None else "",
        "waiting": s.waiting or "",
        "call": s.call,
        "asks_for_help": s.asks_for_help,
        "noise_policy": s.noise_policy or "",
        "episode": {
            "name": e.name,
            "number": e.number,
            "task": e.task,
            "scene": e.seed,
            "chunks": e.chunks,
            "is_recording": e.is_recording,
            "success_seen": e.success_seen,
        },
        "counters": {k: v for k, v in s.counters.items() if k != "steps"},
    }


def _reviewing(window: CockpitWindow) -> dict[str, Any]:
    page = window.late.review_if_built
    if page is None:
        return {}
    pane, transport = page.episodes, page.transport
    info = pane.current()
    return {
        "count": pane.count.text(),
        "listed": pane.filter.rowCount(),
        "words": pane.words.text(),
        "is_bin": pane.is_binned,
        "current": info.name if info is not None else "",
        "outcome": info.outcome.value if info is not None and info.outcome is not None else "",
        "note": info.note if info is not None else "",
        "trimmed": list(info.trimmed) if info is not None else [],
        "is_open": page.is_shown,
        "position": transport.position,
        "is_playing": transport.is_playing,
        "speed": transport.speed,
        "undo": window.undo.undoText(),
        "trouble": page.trouble_text.text(),
    }


def _training(window: CockpitWindow) -> dict[str, Any]:
    page = window.late.train_if_built
    if page is None:
        return {}
    result = page.result
    return {
        "is_running": page.is_training,
        "text": page.progress.text(),
        "can_start": page.start_button.isEnabled(),
        "ticked": len(page.chooser.model.ticked),
        "result": None
        if result is None
        else {
            "name": result.name,
            "path": str(result.path),
            "seconds": result.seconds,
            "chunks": result.chunks,
            "error_before": _finite(result.scores.error_before),
            "error_after": _finite(result.scores.error_after),
            "agreement_after": _finite(result.scores.agreement_after),
        },
    }


def _practising(window: CockpitWindow) -> dict[str, Any]:
    page = window.late.practise_if_built
    if page is None:
        return {}
    live, setup = page.live, page.setup
    return {
        "is_running": page.is_practising,
        "text": live.stage.text(),
        "progress": live.progress.text(),
        "attempts": live.attempts.text,
        "recent": live.recent.text,
        "best": live.best.text,
        "starts_from": setup.prior.text(),
        "problem": setup.problem.problem.text if setup.problem.problem is not None else "",
        "can_start": setup.start_button.isEnabled(),
        "practices": len(page.practices.records),
        "practice": page.practices.chosen.folder.name if page.practices.chosen is not None else "",
        "versions": page.versions.list.topLevelItemCount(),
        "chosen": str(page.versions.chosen or ""),
        "in_use": page.versions.in_use or "",
    }


def _comparing(window: CockpitWindow) -> dict[str, Any]:
    comparisons = window.comparisons_if_built
    if comparisons is None:
        return {}
    blind, setup, results = comparisons.blind, comparisons.setup, comparisons.results
    return {
        "is_running": blind is not None,
        "drives": "blinded" if window.facts.blinding.is_on else "",
        "sentence": window.drive.comparison.text.text() if blind is not None else "",
        "tried": comparisons.attempts.tried if blind is not None else "",
        "done": len(blind.counted) if blind is not None else 0,
        "attempts": len(blind.state.attempts) if blind is not None else 0,
        "excluded": len(blind.state.attempts) - len(blind.counted) if blind is not None else 0,
        "total": blind.plan.slots if blind is not None else 0,
        "setup": setup.verdict.text() if setup is not None else "",
        "ticked": len(setup.chosen) if setup is not None else 0,
        "asks_reason": comparisons.reason is not None,
        "results": results.text.toPlainText() if results is not None else "",
        "unblind": results.unblind.text() if results is not None and results.unblind.isEnabled() else "",
        "said": results.said.text() if results is not None else "",
    }


def _finite(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None


def _title(widget: QtWidgets.QWidget | None) -> str:
    return "" if widget is None else widget.windowTitle()


def _name(widget: QtWidgets.QWidget | None) -> str:
    return "" if widget is None else widget.accessibleName() or type(widget).__name__
