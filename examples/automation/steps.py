"""The steps of `examples/walkthrough.py`: an action, the keys that run it, and what the status file must then say.

A key is a name of xdotool's, or several; "palette:Words" runs the action from the command palette, "type:words" types, "kill" ends the program at
once and starts it again. An empty action is a step of the way to the next one; `WAIT` presses nothing.
"""

from collections.abc import Callable
from typing import Any

from automation.cockpit import Status

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
    return now["counters"]["picks"] > before["counters"]["picks"] and now["offer"]


RUNNING: Check = lambda _before, now: now["episode"]["number"] and now["offer"]  # noqa: E731
ENDED: Check = lambda _before, now: not now["episode"]["number"]  # noqa: E731
DIALOG: Check = lambda _before, now: not now["is_active"]  # noqa: E731
CLOSED: Check = lambda _before, now: now["is_active"] and not now["card"]  # noqa: E731
WAIT = "wait"
"""In place of an action: nothing is pressed."""
NEW_FAN: Check = lambda before, now: now["offer"] and now["offer"] != before["offer"]  # noqa: E731

FOCUSED: Check = lambda before, now: now["popup"] or now["focus"] != before["focus"]  # noqa: E731
LEFT: Check = lambda _before, now: not now["popup"] and now["focus"] not in ("note", "Scene number", "Task")  # noqa: E731


def reviews(name: str, wanted: object) -> Check:
    """Return the check that Review shows a value."""
    return lambda _before, now: now["reviewing"].get(name) == wanted


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
    ("help.first_run", "palette:First steps", is_("card", "first")),
    ("", "Escape", CLOSED),
    ("help.about", "palette:About", is_("dialog", "About")),
    ("", "Escape", CLOSED),
    ("help.diagnostics", "palette:Save diagnostics", DIALOG),
    ("", "Escape", CLOSED),
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
    ("drive.unmark", "shift+m", said("No target is marked")),
    ("drive.hand_back", "i", said("Nobody has asked for help")),
    ("episode.stay", "palette:Stop the countdown", said("No countdown is running")),
    ("episode.task", "ctrl+o", FOCUSED),
    ("", "Escape", LEFT),
    ("episode.scene", "ctrl+g", FOCUSED),
    ("", "Escape", LEFT),
    ("camera.next", "Tab", differs("view", "camera")),
    ("camera.enlarge", "m", differs("view", "is_alone")),
    ("camera.enlarge", "m", differs("view", "is_alone")),
    ("view.other_step", "x", differs("view", "other_step")),
    ("view.other_step", "x", differs("view", "other_step")),
    ("view.reference", "b", differs("view", "request")),
    ("view.reference", "b", differs("view", "request")),
    ("view.reset_layout", "ctrl+0", said("first sizes")),
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
    ("steer.other_step", "shift+Up", lambda _a, b: b["picked"] == "forward/less"),
    (WAIT, "", lambda _a, b: b["offer"]),
    ("pick.stay_close", "h", picked),
    ("pick.stay_open", "j", picked),
    ("chunk.back", "BackSpace", lambda a, b: b["episode"]["chunks"] < a["episode"]["chunks"] and b["offer"]),
    ("gripper.close", "k", NEW_FAN),
    ("gripper.open", "o", NEW_FAN),
    ("gripper.policy", "shift+g", NEW_FAN),
    ("gripper.toggle", "g", NEW_FAN),
    ("gripper.policy", "shift+g", NEW_FAN),
    ("knob.seed", "r", NEW_FAN),
    ("knob.plan_default", "shift+r", NEW_FAN),
    ("knob.depth_less", "bracketleft", NEW_FAN),
    ("knob.depth_more", "bracketright", NEW_FAN),
    ("drive.hold", "space", is_("phase", "hold")),
    ("drive.resume", "c", RUNNING),
    ("driver.learned", "alt+2", lambda _a, b: b["driver"] == "learned" or any("learned" in t for t in b["toasts"])),
    ("driver.vlm", "alt+4", lambda _a, b: b["driver"] == "vlm" or any("VLM" in t for t in b["toasts"])),
    ("driver.scripted", "alt+3", lambda _a, b: b["driver"] == "scripted" or any("cript" in t for t in b["toasts"])),
    ("driver.person", "alt+1", is_("driver", "person")),
    (WAIT, "", lambda _a, b: b["offer"] or b["phase"] == "hold"),
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
REVIEW: list[tuple[str, str, Check]] = [
    ("layout.review", "2", lambda _a, b: b["layout"] == "review" and b["reviewing"]["is_open"]),
    ("review.last", "End", lambda _a, b: b["reviewing"]["position"] > 0),
    ("review.first", "Home", reviews("position", 0)),
    ("review.frame_forward", "Right", reviews("position", 1)),
    ("review.frame_back", "Left", reviews("position", 0)),
    ("review.chunk_forward", "Next", lambda _a, b: b["reviewing"]["position"] > 1),
    ("review.chunk_back", "Prior", reviews("position", 0)),
    ("review.faster", "equal", reviews("speed", 2.0)),
    ("review.slower", "minus", reviews("speed", 1.0)),
    ("review.play", "p", reviews("is_playing", True)),
    (WAIT, "", reviews("is_playing", False)),
    ("review.failure", "f", reviews("outcome", "failure")),
    ("edit.undo", "ctrl+z", reviews("outcome", "success")),
    ("edit.redo", "ctrl+shift+z", reviews("outcome", "failure")),
    ("review.success", "s", reviews("outcome", "success")),
    ("review.note", "t", FOCUSED),
    ("", "type:walked", differs("at")),
    ("", "Return", reviews("note", "walked")),
    ("review.next_episode", "Down", differs("reviewing", "current")),
    ("review.previous_episode", "Up", differs("reviewing", "current")),
    ("review.filter", "ctrl+f", FOCUSED),
    ("", "type:failure", reviews("listed", 1)),
    ("", "Escape", differs("focus")),
    (WAIT, "", lambda _a, b: b["reviewing"]["is_open"] and b["reviewing"]["outcome"] == "failure"),
    ("review.chunk_forward", "Next", lambda _a, b: b["reviewing"]["position"] > 1),
    (
        "review.trim_start",
        "bracketleft",
        lambda _a, b: b["reviewing"]["trimmed"] == [1, 0] and b["reviewing"]["is_open"],
    ),
    ("review.untrim", "backslash", lambda _a, b: b["reviewing"]["trimmed"] == [0, 0] and b["reviewing"]["is_open"]),
    ("review.trim_end", "bracketright", lambda _a, b: b["reviewing"]["trimmed"][1] > 0),
    ("edit.undo", "ctrl+z", reviews("trimmed", [0, 0])),
    ("review.filter", "ctrl+f", FOCUSED),
    ("", "ctrl+a BackSpace", reviews("words", "")),
    ("", "Escape", differs("focus")),
    ("review.bin", "Delete", differs("reviewing", "count")),
    ("review.show_bin", "ctrl+b", lambda _a, b: b["reviewing"]["is_bin"] and b["reviewing"]["listed"]),
    ("review.restore", "ctrl+shift+b", differs("reviewing", "count")),
    ("review.show_bin", "ctrl+b", lambda _a, b: not b["reviewing"]["is_bin"] and b["reviewing"]["listed"]),
    ("review.export", "ctrl+e", lambda _a, b: b["popup"]),
    ("", "Escape", lambda _a, b: not b["popup"]),
    ("episode.undo_last", "ctrl+d", differs("reviewing", "count")),
    ("edit.undo", "ctrl+z", differs("reviewing", "count")),
    ("review.refresh", "away:F5", differs("reviewing", "count")),
    ("review.refresh", "back:F5", differs("reviewing", "count")),
    ("layout.drive", "1", is_("layout", "drive")),
]
"""Needs a failure of several chunks, and later successes."""
CRASH: list[tuple[str, str, Check]] = [
    ("episode.start", "n", RUNNING),
    ("pick.unsteered", "Return", picked),
    ("", "kill", lambda _a, b: b["unfinished"]),
    ("episode.keep_unfinished", "palette:Keep the unfinished", is_("unfinished", "")),
    ("episode.start", "n", RUNNING),
    ("pick.unsteered", "Return", picked),
    ("", "kill", lambda _a, b: b["unfinished"]),
    ("episode.bin_unfinished", "palette:Bin the unfinished", is_("unfinished", "")),
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
    ("train.successes", "s", said("ticked")),
    ("train.start", "ctrl+Return", lambda _a, b: b["training"]["is_running"]),
    ("train.stop", "ctrl+BackSpace", lambda _a, b: not b["training"]["is_running"]),
    ("train.start", "ctrl+Return", lambda _a, b: b["training"]["is_running"]),
    (WAIT, "", lambda _a, b: not b["training"]["is_running"] and b["training"]["result"]),
    ("train.evaluate", "ctrl+e", lambda a, b: b["training"]["text"] != a["training"]["text"] or b["toasts"]),
    ("train.stop", "ctrl+BackSpace", lambda a, b: b["training"] != a["training"] or b["toasts"] != a["toasts"]),
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
PRACTICE: list[tuple[str, str, Check]] = [
    ("layout.practise", "4", lambda _a, b: b["layout"] == "practise" and b["practising"]["can_start"]),
    ("practise.start", "ctrl+Return", lambda _a, b: b["practising"]["is_running"]),
    (WAIT, "", lambda _a, b: b["practising"]["versions"]),
    ("practise.stop", "ctrl+BackSpace", lambda _a, b: not b["practising"]["is_running"]),
    ("practise.use", "u", lambda _a, b: b["practising"]["in_use"]),
    ("practise.unload", "shift+u", lambda _a, b: not b["practising"]["in_use"]),
    ("practise.back", "b", lambda a, b: b["practising"]["practices"] > a["practising"]["practices"]),
    ("practise.next", "Down", differs("practising", "practice")),
    ("practise.previous", "Up", differs("practising", "practice")),
    # It has one version.
    ("practise.older", "Next", said("There is no older version")),
    ("practise.newer", "Prior", said("There is no newer version")),
    ("practise.new", "ctrl+n", differs("practising", "practice")),
    ("layout.drive", "1", is_("layout", "drive")),
]
"""Minutes: it begins with an evaluation."""
COMPARISON: list[tuple[str, str, Check]] = [
    ("compare.exclude", "ctrl+shift+x", said("There is no attempt to exclude")),
    ("compare.stop", "ctrl+shift+s", said("No comparison is running")),
    ("compare.new", "ctrl+shift+c", lambda _a, b: "comparing" in b and b["comparing"].get("setup")),
    ("", "Escape", CLOSED),
    ("compare.results", "ctrl+shift+t", said("There is no comparison yet")),
]
