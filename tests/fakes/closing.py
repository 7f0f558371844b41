"""Opens the cockpit in every state and closes it in every way, in a process of its own: a crash is seen by whoever started it.

    python -m tests.fakes.closing FOLDER TIMES [STATE ...]

prints one line per state: its name and how many windows were closed.
"""

import faulthandler
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import theme
from app.crash import CrashGuard
from app.facts import Facts
from app.qt import Qt, QtCore, QtWidgets
from app.settings import SettingsFile
from app.views.review import episodes_pane
from app.views.train import page as train_page
from app.window import CockpitWindow
from app.workers import SessionBridge
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.events import HoldReason, Outcome, Phase
from frs_core.learning import JobState
from frs_core.policies import NamedPolicy
from tests.fakes.episodes import random_chunks, random_meta
from tests.fakes.snapshots import FakePort, resting, snapshot
from tests.waiting import LONG_S


class EndlessTraining:
    """A training that reports nothing until it is closed."""

    state, result, error = JobState.RUNNING, None, None

    def poll(self) -> tuple[()]:
        """Report nothing."""
        return ()

    def close(self) -> None:
        """End."""
        self.state = JobState.FAILED


def _starting(_window: CockpitWindow) -> None:
    """World and policy are not up."""


def _holding(window: CockpitWindow) -> None:
    window.take(resting())


def _choosing(window: CockpitWindow) -> None:
    window.take(snapshot())


def _moving(window: CockpitWindow) -> None:
    window.take(snapshot(phase=Phase.MOVING, picked="left/more", chunk_row=2, chunk_rows=8))


def _fault(window: CockpitWindow) -> None:
    window.take(snapshot(phase=Phase.FAULT, hold_reason=HoldReason.WORLD_LOST, detail="The world is gone. Reconnect."))


def _training(window: CockpitWindow) -> None:
    window.show_layout("train")
    window.train.job = EndlessTraining()  # pyright: ignore[reportAttributeAccessIssue]
    window.train._timer.start(1)


def _comparing(window: CockpitWindow) -> None:
    window.show_layout("train")

    def slow(*_values: object, report: Callable[[object], None], is_stopped: Callable[[], bool], **_: object) -> Any:
        for i in range(int(LONG_S * 1000)):
            if is_stopped():
                break
            report(train_page.Comparison((0, i), (0, i), i, i + 1, 1.0))
            time.sleep(0.001)
        return train_page.Comparison((0, 1), (0, 1), 2, 2, 0.0)

    train_page.compare = slow  # pyright: ignore[reportAttributeAccessIssue]
    window.train.saved.list.chosen = lambda: Path("learned")  # pyright: ignore[reportAttributeAccessIssue]
    window.run("train.evaluate")
    _wait(lambda: window.train._compare_job is not None)


def _practising(window: CockpitWindow) -> None:
    window.show_layout("practise")
    window.practise.running.job = EndlessTraining()  # pyright: ignore[reportAttributeAccessIssue]
    window.practise.running._timer.start(1)


def _playing(window: CockpitWindow) -> None:
    window.show_layout("review")
    _wait(lambda: window.review.record is not None)
    window.run("review.play")


def _exporting(window: CockpitWindow) -> None:
    window.show_layout("review")
    _wait(lambda: bool(window.review.episodes.selected()))
    episodes_pane.exporter = lambda _form: lambda _episode, target: time.sleep(0.05) or target  # pyright: ignore[reportAttributeAccessIssue]
    window.review.episodes.export(window.review.episodes.selected(), "mp4")


def _toasts(window: CockpitWindow) -> None:
    window.take(snapshot(notice=(1, "A notice")))
    for number in range(6):
        window.toasts.say(f"text {number}", seconds=0.002 * number, action=("Do", lambda: window.say("done")))


def _dialog(window: CockpitWindow) -> None:
    window.arming.ask("The robot will now move", lambda: window.say("yes"))
    window.run("help.about")


def _keys(window: CockpitWindow) -> None:
    window.toggle_card("devices")
    editor = window.cards.devices.editor
    editor.choose("drive.hold")
    editor.listen()


def _palette(window: CockpitWindow) -> None:
    window.take(snapshot())
    window.toggle_card("palette")


STATES: dict[str, Callable[[CockpitWindow], None]] = {
    function.__name__[1:]: function
    for function in (
        _starting,
        _holding,
        _choosing,
        _moving,
        _fault,
        _training,
        _comparing,
        _practising,
        _playing,
        _exporting,
        _toasts,
        _dialog,
        _keys,
        _palette,
    )
}


def _close(window: CockpitWindow) -> None:
    window.close()


def _quit_by_action(window: CockpitWindow) -> None:
    window.run("app.quit")


def _close_twice(window: CockpitWindow) -> None:
    window.close()
    window.close()


def _close_at_once_and_delete(window: CockpitWindow) -> None:
    window.close()
    window.deleteLater()


def _delete(window: CockpitWindow) -> None:
    """Destroyed without being closed."""
    window.deleteLater()


def _close_by_key(window: CockpitWindow) -> None:
    handle = window.windowHandle()
    QtCore.QCoreApplication.postEvent(handle, QtCore.QEvent(QtCore.QEvent.Type.Close))


WAYS: tuple[Callable[[CockpitWindow], None], ...] = (
    _close,
    _quit_by_action,
    _close_twice,
    _close_at_once_and_delete,
    _delete,
    _close_by_key,
)


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + LONG_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("the state did not come up")
        QtCore.QCoreApplication.processEvents()
        QtCore.QThread.msleep(1)


def record_some(root: Path) -> None:
    """Record one episode to look at."""
    recorder = JournalRecorder(EpisodeStore(root))
    recorder.begin(random_meta(1, size=24))
    for chunk in random_chunks(1, count=3, size=24):
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)


def close_once(folder: Path, state: str, number: int) -> None:
    """Open one window, bring it into a state, close it in the way of that number, and let it be deleted."""
    settings = SettingsFile(folder / "config")
    settings.values.has_seen_first_run = number % 2 == 0
    port = FakePort()
    facts = Facts(
        "point", "toy", generalist=NamedPolicy("toy"), root=folder / "data", can_evaluate=True, tasks=("reach_left",)
    )
    window = CockpitWindow(SessionBridge(port), facts, settings)
    window.resize(1280, 800)
    window.show_cockpit()
    STATES[state](window)
    for _ in range(number % 3):
        QtCore.QCoreApplication.processEvents()
    WAYS[number % len(WAYS)](window)
    if number % 2:
        for callback in tuple(port.callbacks):
            callback(snapshot())
    if number % 5 == 0:
        QtCore.QCoreApplication.processEvents()
    del window
    gc.collect()
    for widget in QtWidgets.QApplication.topLevelWidgets():
        if isinstance(widget, CockpitWindow):
            # As the program does after its loop.
            widget.close()
            widget.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    QtCore.QCoreApplication.processEvents()


def main(folder: Path, times: int, states: list[str]) -> int:
    """Close `times` windows in each state; return how many exceptions nobody caught."""
    faulthandler.enable()
    guard = CrashGuard()
    guard.install()
    QtWidgets.QApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    application = QtWidgets.QApplication(sys.argv[:1])
    application.setQuitOnLastWindowClosed(False)
    theme.apply(application, theme.DARK)
    record_some(folder / "data")
    for first, state in enumerate(states or STATES):
        for number in range(first, first + times):
            close_once(folder, state, number)
        sys.stdout.write(f"{state} {times}\n")
        sys.stdout.flush()
    return guard.count


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
