"""Walk through the window without seeing it: actions by keys alone, each checked in the status file.

    python examples/walkthrough.py --out runs/walk
    python examples/walkthrough.py --out runs/walk --world mylab.worlds:OurWorld --policy mylab:OurPolicy

Starts `frs` on a screen of its own. Every step presses the keys of one action and waits for what the status file must then say; a step that
fails is named, with what was on screen, and the rest goes on where it can. Ends with the actions that were walked and those that were
not, because the status file says nothing of them. Writes walk.json. Needs a simulated world.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automation.cockpit import Cockpit, Status
from automation.screen import Screen

from app.actions import ACTIONS

Check = Callable[[Status, Status], Any]
"""Whether the present state (second) is what a step leads to from the one before (first)."""


def said(words: str) -> Check:
    """Return the check that a message says something."""
    return lambda _before, now: any(words in text for text in now["toasts"])


def differs(*path: str) -> Check:
    """Return the check that a value of the status has changed."""

    def value(status: Status) -> Any:
        for name in path:
            status = status[name]
        return status

    return lambda before, now: value(before) != value(now)


def is_(name: str, wanted: object) -> Check:
    """Return the check that a value of the status is as wanted."""
    return lambda _before, now: now[name] == wanted


def picked(before: Status, now: Status) -> bool:
    """Whether a pick was taken and the next fan is on offer."""
    return now["counters"]["picks"] > before["counters"]["picks"] and (now["offer"] or now["hold"])


RUNNING: Check = lambda _before, now: now["episode"]["number"] and now["offer"]  # noqa: E731
ENDED: Check = lambda _before, now: not now["episode"]["number"]  # noqa: E731
DIALOG: Check = lambda _before, now: not now["is_active"]  # noqa: E731
CLOSED: Check = lambda _before, now: now["is_active"] and not now["card"]  # noqa: E731
WAIT = "wait"
"""In place of an action: nothing is pressed."""
NEW_FAN: Check = lambda before, now: now["offer"] and now["offer"] != before["offer"]  # noqa: E731

CARDS: list[tuple[str, str, Check]] = [
    ("help.keys", "F1", is_("card", "help")),
    ("", "Escape", CLOSED),
    ("help.palette", "ctrl+k", is_("card", "palette")),
    ("", "Escape", CLOSED),
    ("settings.failsafes", "ctrl+h", DIALOG),
    ("", "Escape", CLOSED),
    ("help.notices", "ctrl+shift+n", DIALOG),
    ("", "Escape", CLOSED),
    ("episode.summary", "ctrl+shift+e", DIALOG),
    ("", "Escape", CLOSED),
    ("settings.devices", "ctrl+comma", is_("card", "devices")),
    ("", "Escape", CLOSED),
    ("settings.sounds", "ctrl+m", said("Sounds are")),
    ("view.theme", "ctrl+t", differs("theme")),
    ("view.theme", "ctrl+t", differs("theme")),
    ("view.fullscreen", "F11", differs("is_full_screen")),
    ("view.fullscreen", "F11", differs("is_full_screen")),
    ("world.reconnect", "ctrl+shift+r", said("already connected")),
    ("view.larger", "ctrl+equal", said("Display size M")),
    ("view.smaller", "ctrl+minus", said("Display size S")),
    ("view.second_camera", "F9", lambda _before, now: now["second"]),
    ("view.second_next", "shift+F9", differs("second")),
    ("view.second_camera", "F9", is_("second", "")),
    ("layout.review", "2", is_("layout", "review")),
    ("layout.train", "3", is_("layout", "train")),
    ("layout.practise", "4", is_("layout", "practise")),
    ("layout.drive", "1", is_("layout", "drive")),
]
SETTINGS: list[tuple[str, str, Check]] = [
    ("knob.step", "z", differs("next", "amount")),
    ("knob.step", "z", differs("next", "amount")),
    ("drive.frame", "f", differs("next", "frame")),
    ("drive.frame", "f", differs("next", "frame")),
    ("episode.practice", "ctrl+p", differs("next", "unrecorded")),
    ("episode.practice", "ctrl+p", differs("next", "unrecorded")),
    ("drive.look_ahead", "shift+p", said("A press while the robot moves is refused")),
    ("drive.look_ahead", "shift+p", said("A press while the robot moves is the next pick")),
    ("episode.auto_next", "shift+y", said("is saved after")),
    ("episode.auto_next", "shift+y", said("no longer saved automatically")),
    ("drive.help", "shift+i", said("no longer asks for help")),
    ("drive.help", "shift+i", said("asks for help where")),
    ("learned.learn_on", "ctrl+shift+l", said("no longer learns from successes")),
    ("learned.learn_on", "ctrl+shift+l", said("learns on from each success")),
    ("learned.back", "ctrl+l", said("none to go back from")),
    ("steer.left", "Left", said("The robot holds")),
]
EPISODE: list[tuple[str, str, Check]] = [
    ("episode.start", "n", RUNNING),
    ("pick.learned", "l", said("No learned candidate")),
    ("pick.suggestion", "v", said("There is no suggestion")),
    ("pick.unsteered", "Return", picked),
    ("steer.forward", "Up", picked),
    ("steer.back", "Down", picked),
    ("steer.left", "Left", picked),
    ("steer.right", "Right", picked),
    ("steer.up", "Prior", picked),
    ("steer.down", "Next", picked),
    ("pick.stay_close", "h", picked),
    ("pick.stay_open", "j", picked),
    ("chunk.back", "BackSpace", lambda a, b: b["episode"]["chunks"] < a["episode"]["chunks"] and b["offer"]),
    ("gripper.close", "k", NEW_FAN),
    ("gripper.open", "o", NEW_FAN),
    ("gripper.policy", "shift+g", NEW_FAN),
    ("knob.seed", "r", NEW_FAN),
    ("knob.depth_less", "bracketleft", NEW_FAN),
    ("knob.depth_more", "bracketright", NEW_FAN),
    ("drive.hold", "space", is_("phase", "hold")),
    ("drive.resume", "c", RUNNING),
    ("driver.learned", "alt+2", lambda _a, b: b["driver"] == "learned" or any("learned" in t for t in b["toasts"])),
    ("drive.pacing", "p", is_("pacing", "continuous")),
    ("drive.hold", "space", is_("phase", "hold")),
    ("drive.pacing", "p", is_("pacing", "gated")),
    ("drive.resume", "c", RUNNING),
    ("episode.note", "t", lambda a, b: a["focus"] != b["focus"]),
    ("", "Return", lambda a, b: a["focus"] != b["focus"]),
    ("episode.failure", "ctrl+BackSpace", ENDED),
    ("episode.start", "n", RUNNING),
    ("pick.unsteered", "Return", picked),
    ("episode.discard", "ctrl+shift+BackSpace", ENDED),
    ("episode.success_next", "y", RUNNING),
    ("pick.unsteered", "Return", picked),
    ("episode.success", "ctrl+Return", lambda _a, b: b["question"] or not b["episode"]["number"]),
    ("episode.success", "ctrl+Return", ENDED),
]
SUCCESS: list[tuple[str, str, Check]] = [
    ("episode.start", "n", RUNNING),
    ("pick.unsteered", "Return", picked),
    ("episode.success", "ctrl+Return", lambda _a, b: b["question"] or not b["episode"]["number"]),
    ("episode.success", "ctrl+Return", ENDED),
]
LEARNING: list[tuple[str, str, Check]] = [
    *SUCCESS,
    *SUCCESS,
    *SUCCESS,
    ("layout.train", "3", lambda _a, b: b["layout"] == "train" and b["training"]["ticked"] >= 3),
    ("train.start", "ctrl+Return", lambda _a, b: b["training"]["is_running"]),
    (WAIT, "", lambda _a, b: b["training"]["result"]),
    ("train.use", "u", lambda _a, b: b["noise_policy"]),
    ("layout.drive", "1", is_("layout", "drive")),
    ("episode.start", "n", lambda _a, b: b["offer"] and "learned" in b["offered"]),
    ("pick.learned", "l", picked),
    ("steer.left", "Left", picked),
    ("episode.success", "ctrl+Return", lambda _a, b: b["question"] or not b["episode"]["number"]),
    ("episode.success", "ctrl+Return", ENDED),
    (WAIT, "", lambda _a, b: "Version 2 learned from" in b["versions"]["text"]),
    ("episode.start", "n", RUNNING),
    ("pick.unsteered", "Return", picked),
    # The new version is used only if it is no worse, so there may be none to go back from.
    ("learned.back", "ctrl+l", lambda _a, b: any("Version 1 " in t or "no other version" in t for t in b["toasts"])),
    ("episode.discard", "ctrl+shift+BackSpace", ENDED),
    ("layout.train", "3", is_("layout", "train")),
    ("train.unload", "shift+u", lambda _a, b: not b["noise_policy"]),
]
"""Three successes, a policy from them, another success from which its next version learns, and the way back."""
COMPARISON: list[tuple[str, str, Check]] = [
    ("compare.exclude", "ctrl+shift+x", said("There is no attempt to exclude")),
    ("compare.stop", "ctrl+shift+s", said("No comparison is running")),
    ("compare.new", "ctrl+shift+c", lambda _a, b: "comparing" in b and b["comparing"].get("setup")),
    ("", "Escape", CLOSED),
    ("compare.results", "ctrl+shift+t", said("There is no comparison yet")),
]
LEARN_S = 300.0
"""How long a training in the background may take."""


class Walk:
    """Takes steps and keeps what came of them."""

    def __init__(self, cockpit: Cockpit) -> None:
        self.cockpit = cockpit
        self.steps: list[dict[str, Any]] = []

    def take(self, steps: list[tuple[str, str, Check]], *, wait_s: float) -> None:
        """Press the keys of each step once and wait for what it leads to."""
        for action, key, is_done in steps:
            before = self.cockpit.now
            began = time.monotonic()
            if action != WAIT:
                self.cockpit.screen.press(key)
            problem = ""
            try:
                # A message that is still shown from the step before must not stand for this one: something has to change.
                self.cockpit.wait(
                    action or key,
                    lambda now, b=before, c=is_done: now["at"] != b.get("at") and c(b, now),
                    timeout_s=wait_s,
                )
            except TimeoutError as error:
                problem = str(error)
            seconds = round(time.monotonic() - began, 2)
            self.steps.append({"action": action, "key": key, "seconds": seconds, "problem": problem})
            print(f"{'✘' if problem else '✔'} {action or 'leave'} ({key}) {seconds} s {problem}", flush=True)
            if self.cockpit.process.poll() is not None:
                raise SystemExit(f"The cockpit ended: {self.cockpit.log_tail()}")

    def quit(self) -> None:
        """Close the window by its key; the program has to end well."""
        self.cockpit.screen.press("ctrl+q")
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


def main() -> int:
    """Walk; the exit status is 1 if a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--world", default="tabletop")
    parser.add_argument("--policy", default="tabletop")
    parser.add_argument("--size", default="1280x800", help="of the screen, pixels")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds that a step may take")
    given = parser.parse_args()
    width, height = (int(part) for part in given.size.split("x"))
    options = ("--world", given.world, "--policy", given.policy)
    with Screen((width, height)) as screen:
        cockpit = Cockpit(screen, given.out, options=options)
        walk = Walk(cockpit)
        try:
            cockpit.ready(timeout_s=300.0)
            for steps in (CARDS, SETTINGS, EPISODE, COMPARISON):
                walk.take(steps, wait_s=given.wait)
            walk.take(LEARNING, wait_s=max(given.wait, LEARN_S))
            walk.quit()
        finally:
            cockpit.close()
    failed = [step for step in walk.steps if step["problem"]]
    report = {"steps": walk.steps, "failed": len(failed), "unwalked": walk.unwalked}
    (given.out / "walk.json").write_text(json.dumps(report, indent=1))
    print(f"{len(walk.steps) - len(failed)} of {len(walk.steps)} steps; not walked: {', '.join(walk.unwalked)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
