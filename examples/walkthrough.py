"""Walk through the window without seeing it: every action by keys alone, each checked in the status file.

    python examples/walkthrough.py --out runs/walk
    python examples/walkthrough.py --out runs/walk --parts cards settings episode review
    python examples/walkthrough.py --out runs/walk --world mylab.worlds:OurWorld --policy mylab:OurPolicy --parts cards settings episode

Starts `frs` on a screen of its own. Every step presses the keys of one action and waits for what the status file must then say; a step that
fails is named, with what was on screen, and the rest goes on where it can. Ends with the actions that were walked and those that were
not. Writes walk.json. Needs a simulated world; training, practice and comparison need one that evaluates policies, as the tabletop does.
"""

import argparse
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automation import steps
from automation.cockpit import Cockpit, Status
from automation.screen import Screen
from automation.steps import Check

from app.actions import ACTIONS

PARTS = {
    "cards": steps.CARDS,
    "settings": steps.SETTINGS,
    "episode": steps.EPISODE,
    "review": steps.REVIEW,
    "comparison": steps.COMPARISON,
    "learning": steps.LEARNING,
    "practice": steps.PRACTICE,
    "crash": steps.CRASH,
}
"""In the order in which they are walked; each begins in Drive without an episode."""
BY_SLOWNESS = ("inference_late", "gui_silent", "session_silent", "camera_stale")
"""Holds that a busy machine causes."""
SLOW = ("learning", "practice")
SLOW_S = 900.0
"""How long a training or an evaluation in the background may take."""


class Walk:
    """Takes steps and keeps what came of them.

    Args:
        screen: where.
        folder: of the run.
        options: of `frs`.
    """

    def __init__(self, screen: Screen, folder: Path, options: tuple[str, ...]) -> None:
        self._screen, self._folder, self._options = screen, folder, options
        self.steps: list[dict[str, Any]] = []
        self.start()

    def start(self) -> None:
        """Start the program and wait until it can be used."""
        self.cockpit = Cockpit(self._screen, self._folder, options=self._options)
        self.cockpit.ready(timeout_s=300.0)

    def take(self, part: list[tuple[str, str, Check]], *, wait_s: float) -> None:
        """Press the keys of each step once and wait for what it leads to."""
        for action, key, is_done in part:
            before = self.cockpit.now
            began = time.monotonic()
            problem = ""
            try:
                self._press(key)
                # A message that is still shown from the step before must not stand for this one: something has to change.
                self._wait(
                    action or key,
                    lambda now, b=before, c=is_done, k=key: (not k or now["at"] != b.get("at")) and c(b, now),
                    wait_s,
                )
            except TimeoutError as error:
                problem = str(error)
            seconds = round(time.monotonic() - began, 2)
            self.steps.append({"action": action, "key": key, "seconds": seconds, "problem": problem})
            print(f"{'✘' if problem else '✔'} {action or 'on the way'} ({key}) {seconds} s {problem}", flush=True)
            if self.cockpit.process.poll() is not None:
                raise SystemExit(f"The cockpit ended: {self.cockpit.log_tail()}")

    def _wait(self, what: str, is_done: Callable[[Status], Any], wait_s: float) -> None:
        """Wait as `Cockpit.wait`, and leave holds that a slow machine causes, as a person would."""
        until = time.monotonic() + wait_s
        while True:
            left_s = max(1.0, until - time.monotonic())
            now = self.cockpit.wait(what, lambda s: is_done(s) or _is_slow(s), timeout_s=left_s)
            if is_done(now):
                return
            self.cockpit.holds.append(now["hold"])
            self.cockpit.until("the hold is left", lambda s: not _is_slow(s), "c")

    def _press(self, key: str) -> None:
        kind, _, rest = key.partition(":")
        if kind == "palette" and rest:
            self.cockpit.until("the palette is open", lambda s: s["card"] == "palette", "ctrl+k")
            self._screen.type(rest)
            self._screen.press("Return")
        elif kind == "type" and rest:
            self._screen.type(rest)
        elif kind in ("away", "back") and rest:
            self._move_episode(is_away=kind == "away")
            self._screen.press(rest)
        elif key == "kill":
            os.kill(self.cockpit.process.pid, signal.SIGKILL)
            self.cockpit.process.wait(30)
            self.start()
        elif key:
            self._screen.press(*key.split())

    def _move_episode(self, *, is_away: bool) -> None:
        """Take the newest recorded episode out of the recordings behind the window's back, or put it back."""
        episodes, aside = self.cockpit.data / "episodes", self._folder / "aside"
        aside.mkdir(exist_ok=True)
        source, target = (episodes, aside) if is_away else (aside, episodes)
        newest = max(source.glob("*.zarr"), key=lambda path: path.name)
        newest.rename(target / newest.name)

    def quit(self) -> None:
        """Close the window by its key; the program has to end well."""
        self._screen.press("ctrl+q")
        try:
            status, problem = self.cockpit.process.wait(60), ""
        except Exception as error:
            status, problem = -1, str(error)
        problem = problem or (f"it ended with {status}" if status else "")
        self.steps.append({"action": "app.quit", "key": "ctrl+q", "seconds": 0.0, "problem": problem})

    @property
    def unwalked(self) -> list[str]:
        """Actions without a step."""
        taken = {step["action"] for step in self.steps}
        return [action for action in ACTIONS if action not in taken]


def _is_slow(status: Status) -> bool:
    """Whether a hold that a busy machine causes is in the way; without an episode none is."""
    return status["hold"] in BY_SLOWNESS and status["episode"]["number"]


def main() -> int:
    """Walk; the exit status is 1 if a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--world", default="tabletop")
    parser.add_argument("--policy", default="tabletop")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--size", default="1280x800", help="of the screen, pixels")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds that a step may take")
    given = parser.parse_args()
    width, height = (int(part) for part in given.size.split("x"))
    with Screen((width, height)) as screen:
        walk = Walk(screen, given.out, ("--world", given.world, "--policy", given.policy))
        try:
            for name, part in PARTS.items():
                if name in given.parts:
                    walk.take(part, wait_s=max(given.wait, SLOW_S) if name in SLOW else given.wait)
            walk.quit()
        finally:
            walk.cockpit.close()
    failed = [step for step in walk.steps if step["problem"]]
    report = {"steps": walk.steps, "holds": walk.cockpit.holds, "failed": len(failed), "unwalked": walk.unwalked}
    (given.out / "walk.json").write_text(json.dumps(report, indent=1))
    print(f"{len(walk.steps) - len(failed)} of {len(walk.steps)} steps; not walked: {', '.join(walk.unwalked)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
