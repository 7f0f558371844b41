"""Make every image of the cockpit in docs/images from a running cockpit, so that none goes stale.

    python examples/screenshots.py                     # needs a display; Xvfb with a window manager will do
    python examples/screenshots.py --policy my:load    # with another generalist
    python examples/screenshots.py --data FOLDER       # with the recordings and practices of a folder, e.g. after `frs practise`
    python examples/screenshots.py --attempt           # only the attempt of a practice in Drive

Starts the embedded world with a copy of the example episodes, or of a given folder, trains on its successes, then takes every layout, the
keyboard map and an attempt of a practice: the images that README and docs show, and no others. The image of a practice needs a folder
that holds one.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SIZE = (1280, 800)
LAYOUTS = ("drive", "review", "train", "practise")
EXAMPLE = Path(__file__).resolve().parent.parent / "data" / "example"


class Tour:
    """Walks through the window, one image after the other, from a timer."""

    def __init__(self, window: Any, folder: Path, *, has_attempt_only: bool) -> None:
        from app.qt import QtCore

        self._window, self._folder = window, folder
        self._steps = self._attempt() if has_attempt_only else self._walk()
        self._timer = QtCore.QTimer(window)
        self._timer.timeout.connect(self._next)
        self._timer.start(1500)

    def _next(self) -> None:
        wait = next(self._steps, None)
        if wait is None:
            self._timer.stop()
            self._window.close()
            return
        self._timer.setInterval(wait)

    def _walk(self) -> Iterator[int]:
        window = self._window
        yield from self._until(lambda: window.snapshot is not None and window.snapshot.observation is not None)
        window.cards.close()
        for layout in (*LAYOUTS[1:], LAYOUTS[0]):
            # Building a page takes long on a slow machine; a robot in an episode would hold meanwhile.
            window.show_layout(layout)
            yield 500
        window.drive.episode.unrecorded.setChecked(True)
        window.run("episode.start")
        yield from self._until(self._has_fan)
        window.use_theme("dark")
        window.resize(*SIZE)
        for layout in LAYOUTS:
            window.show_layout(layout)
            yield 2500
            if layout == "practise":
                if not window.practise.practices.records:
                    continue
                window.run("practise.next")
                yield 500
            if layout == "train":
                yield from self._trained()
            if layout == "drive":
                yield from self._until(self._has_fan, seconds=40.0)
            self._grab(f"{layout}_dark_{SIZE[0]}x{SIZE[1]}")
        window.show_layout("drive")
        window.toggle_card("help")
        yield 900
        self._grab("help")
        window.cards.close()
        window.run("episode.discard")
        yield from self._attempt()

    def _trained(self) -> Iterator[int]:
        """Train on the successes, so that curve, figures and list of policies have something to show."""
        page = self._window.train
        self._window.run("train.successes")
        self._window.run("train.start")
        yield from self._until(lambda: page.result is not None, seconds=300.0)
        self._window.run("train.use")
        self._resume_if_held()
        yield 1500

    def _attempt(self) -> Iterator[int]:
        """Start an attempt of a practice in Drive, steer a chunk of it."""
        window, page, strip = self._window, self._window.practise, self._window.drive.attempt
        yield from self._until(lambda: bool(window.facts.tasks and window.facts.fingerprint))
        window.cards.close()
        window.resize(*SIZE)
        window.show_layout("practise")
        yield 2500
        window.run("practise.new")
        page.setup.choose("mug_on_plate", "dsrl")
        page.setup.where_choice.chosen.emit("drive")
        window.run("practise.start")
        yield from self._until(lambda: "start it" in strip.text.text())
        window.run("episode.start")
        yield from self._until(lambda: window.snapshot.episode.chunks >= 1)
        window.run("steer.left")
        yield from self._until(lambda: window.snapshot.counters["corrections"] >= 1)
        yield 200
        self._grab("practise_in_drive")
        window.run("practise.stop")
        window.run("episode.discard")
        yield from self._until(lambda: not page.is_practising)

    def _has_fan(self) -> bool:
        from frs_core.events import Phase

        s = self._window.snapshot
        return s is not None and s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale

    def _until(self, is_done: Callable[[], bool], *, seconds: float = 90.0) -> Iterator[int]:
        for _ in range(int(seconds * 4)):
            if is_done():
                return
            self._resume_if_held()
            yield 250

    def _resume_if_held(self) -> None:
        """A slow machine trips watchdogs; the images want a fan."""
        from frs_core.events import Phase

        snapshot = self._window.snapshot
        if self._window.layout_name != "drive":
            return  # Resume would show Drive.
        if snapshot is not None and snapshot.phase is Phase.HOLD and snapshot.episode.number:
            self._window.run("drive.resume")

    def _grab(self, name: str) -> None:
        self._window.toasts.clear()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._window.grab().save(str(self._folder / f"{name}.png"))


def main() -> None:
    """Record, open, walk, close."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="tabletop", help="generalist to show")
    parser.add_argument("--data", type=Path, help="recordings and practices to show")
    parser.add_argument("--attempt", action="store_true", help="only the attempt of a practice in Drive")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frs-shots-") as scratch:
        os.environ["FRS_CONFIG_DIR"] = str(Path(scratch) / "config")
        root = Path(scratch) / "data"
        shutil.copytree(arguments.data or EXAMPLE, root)
        from app.facts import Facts
        from app.gl import pin_platform
        from app.main import make_session, run_window
        from app.settings import SettingsFile
        from frs_core.policies import NamedPolicy

        pin_platform()
        policy = NamedPolicy(arguments.policy)
        session = make_session("tabletop", policy, root=root)
        facts = Facts("tabletop", arguments.policy, root=root, generalist=policy, can_evaluate=True)
        tours: list[Tour] = []
        try:
            run_window(
                session,
                facts,
                SettingsFile(),
                has_devices=False,
                on_ready=lambda window: tours.append(Tour(window, arguments.out, has_attempt_only=arguments.attempt)),
            )
        finally:
            session.close()


if __name__ == "__main__":
    main()
