"""A whole cockpit on the point world that records two chunks, says READY while the third moves, and waits to be ended.

    python -m tests.fakes.ended_cockpit ROOT [destroyed | exit | quit | stuck]

The second word is what it does to itself after that. Run from a shell that sees `tests`.
"""

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

from app import main as cockpit
from frs_core.cli import main
from frs_core.events import HoldReason, Pacing, Phase, Pick, Resume, SetPacing, StartEpisode

_show = cockpit.run_window
WORLD = "tests.fakes.world:PointWorld"
POLICY = "tests.fakes.policy:ToyPolicy"


def drive(session: Any, window: Any, what: str) -> None:
    """Drive from a timer of the window until the third chunk moves."""
    from app.qt import QtCore

    done: set[str] = set()
    started = [0.0]

    def end() -> None:
        if what == "destroyed":
            window.deleteLater()
        elif what == "exit":
            ctypes.CDLL(None).exit(1)
        elif what == "quit":
            QtCore.QCoreApplication.quit()
        elif what == "stuck":
            time.sleep(3600.0)

    def look() -> None:
        s = session.latest()
        is_there = session.world_spec and session.policy_spec and not s.episode.number
        if is_there and time.monotonic() - started[0] > 5.0:
            # Again if it was read too late on a busy machine.
            started[0] = time.monotonic()
            session.send(SetPacing(Pacing.GATED))
            session.send(StartEpisode(session.world_spec.tasks[0], seed=1))
        elif (
            s.phase is Phase.HOLD and s.episode.number and s.hold_reason is not HoldReason.START and "ready" not in done
        ):
            session.send(Resume())
        elif s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale and "ready" not in done:
            session.send(Pick("left/less"))
        if s.episode.chunks >= 2 and s.phase is Phase.MOVING and "ready" not in done:
            done.add("ready")
            sys.stdout.write("READY\n")
            sys.stdout.flush()
            QtCore.QTimer.singleShot(0, end)

    timer = QtCore.QTimer(window)
    timer.timeout.connect(look)
    timer.start(20)


def run_window(session: Any, *arguments: Any, **options: Any) -> int:
    """Show the window and drive."""
    options["on_ready"] = lambda window: drive(session, window, (sys.argv[2:] or [""])[0])
    return _show(session, *arguments, **options)


if __name__ == "__main__":
    cockpit.run_window = run_window
    main(["--data", str(Path(sys.argv[1])), "--world", WORLD, "--policy", POLICY, "--no-devices"])
