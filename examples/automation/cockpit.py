"""A cockpit in a process of its own, seen through its status file and moved by keys.

Nothing here calls into the program: it is started as `frs` with fresh folders, controlled by key presses, and its state is
what `--status-file` says is on screen. Every wait has a time-out and watches that the process still lives.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from app.names import in_words
from automation.screen import Screen
from frs_core.steering.directions import Command, Gripper

Status = dict[str, Any]
KEYS = {
    "forward": "Up",
    "back": "Down",
    "left": "Left",
    "right": "Right",
    "up": "Prior",
    "down": "Next",
    "unsteered": "Return",
    "stay/close": "h",
    "stay/open": "j",
}
"""X names of the keys that pick; the default map."""
GRIPPER_KEYS = {Gripper.OPEN: "o", Gripper.CLOSE: "k", Gripper.POLICY: "shift+g"}
"""What directed commands say about the gripper."""

MAX_HOLDS = 60


class Cockpit:
    """One run of `frs`.

    Args:
        screen: where.
        folder: gets data, settings, status and log of this run; settings of an earlier run are used again.
        options: further options of `frs`.
        environment: further variables.
    """

    def __init__(
        self,
        screen: Screen,
        folder: Path,
        *,
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        self.screen, self.folder, self.data = screen, folder, data or folder / "data"
        self.status_path = folder / f"status-{time.time_ns()}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        frs = shutil.which("frs", path=str(Path(sys.executable).parent)) or shutil.which("frs")
        command = [frs] if frs else [sys.executable, "-c", "from frs_core.cli import main; main()"]
        command += ["--data", str(self.data), "--status-file", str(self.status_path), *options]
        env = {**screen.environment, "FRS_CONFIG_DIR": str(folder / "config"), **(environment or {})}
        with (folder / "log.txt").open("a") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        self._read_to, self._rest = 0, ""
        self.holds: list[str] = []
        """Holds that were left again."""
        self.seen: list[Status] = []
        """Every line so far."""

    # --- eyes -------------------------------------------------------------------------------------

    @property
    def now(self) -> Status:
        """The newest state on screen."""
        if self.status_path.exists():
            with self.status_path.open(encoding="utf-8") as file:
                file.seek(self._read_to)
                text = self._rest + file.read()
                self._read_to = file.tell()
            *lines, self._rest = text.split("\n")
            self.seen += [json.loads(line) for line in lines]
        return self.seen[-1] if self.seen else {"phase": "starting"}

    def wait(self, what: str, is_done: Callable[[Status], Any], *, timeout_s: float = 60.0) -> Status:
        """Return the first state that meets a condition.

        Raises:
            TimeoutError: none did, or the process ended; the text has the last state.
        """
        until = time.monotonic() + timeout_s
        while True:
            now = self.now
            if is_done(now):
                return now
            if self.process.poll() is not None:
                raise TimeoutError(
                    f"The cockpit ended with {self.process.returncode} before: {what}. {self.log_tail()}"
                )
            if time.monotonic() > until:
                short = {
                    k: now.get(k) for k in ("phase", "hold", "detail", "layout", "card", "offer", "banner", "toasts")
                }
                raise TimeoutError(f"Not within {timeout_s:g} s: {what}. On screen: {short}")
            time.sleep(0.02)

    def log_tail(self) -> str:
        """Return the last lines the program wrote."""
        return " | ".join((self.folder / "log.txt").read_text(errors="replace").splitlines()[-6:])

    # --- hands ------------------------------------------------------------------------------------

    def ready(self, *, timeout_s: float = 180.0) -> None:
        """Wait for window, world and policy; close the first card; fill the screen."""
        self.wait("the first state", lambda s: s["phase"] != "starting", timeout_s=timeout_s)
        self.screen.focus("FRS cockpit")
        self.wait("the world's tasks", lambda s: s["next"]["task"], timeout_s=timeout_s)
        self.wait(
            "world and policy",
            lambda s: s["phase"] == "fault" or (s["phase"] == "hold" and not s["detail"]),
            timeout_s=timeout_s,
        )
        self.reconnect_if_lost()
        self.until("no card is open", lambda s: not s.get("card"), "Escape")
        # It may have been full when it was closed last, and F11 leaves a full screen too.
        self.until("the window fills the screen", lambda s: s["is_full_screen"], "F11", wait_s=20.0)

    def until(
        self, what: str, is_done: Callable[[Status], Any], *keys: str, tries: int = 8, wait_s: float = 4.0
    ) -> Status:
        """Press keys until a state shows, as a person would try again."""
        for _ in range(tries):
            if is_done(self.now):
                return self.now
            self.screen.press(*keys)
            try:
                return self.wait(what, is_done, timeout_s=wait_s)
            except TimeoutError:
                if self.process.poll() is not None:
                    raise
        raise TimeoutError(f"Pressed {' '.join(keys)} {tries} times in vain for: {what}. On screen: {self.now}")

    def palette(self, words: str, what: str, is_done: Callable[[Status], Any], *, tries: int = 4) -> Status:
        """Run an action from the command palette."""
        for _ in range(tries):
            self.until("the palette is open", lambda s: s["card"] == "palette", "ctrl+k")
            self.screen.type(words)
            self.until("the palette is closed", lambda s: s["card"] != "palette", "Return")
            try:
                return self.wait(what, is_done, timeout_s=15.0)
            except TimeoutError:
                continue
        raise TimeoutError(f"The palette's '{words}' did not lead to: {what}")

    def choose_task(self, task: str) -> None:
        """Choose the next episode's task by keys."""
        for _ in range(4):
            if self.now["next"]["task"] == task:
                return
            self.screen.press("ctrl+o")
            time.sleep(0.4)
            self.screen.type(in_words(task))
            time.sleep(0.2)
            self.screen.press("Return")
            try:
                self.wait(f"task {task}", lambda s: s["next"]["task"] == task, timeout_s=4.0)
            except TimeoutError:
                self.screen.press("Escape")
        if self.now["next"]["task"] != task:
            raise TimeoutError(f"The task '{task}' could not be chosen: {self.now['next']}")

    def choose_scene(self, scene: int) -> None:
        """Choose the next episode's scene by keys."""
        for _ in range(4):
            if self.now["next"]["scene"] == scene:
                return
            self.until("the scene has the focus", lambda s: "SpinBox" in s["focus"] or "cene" in s["focus"], "ctrl+g")
            self.screen.press("ctrl+a")
            self.screen.type(str(scene))
            self.screen.press("Return")
            try:
                self.wait(f"scene {scene}", lambda s: s["next"]["scene"] == scene, timeout_s=4.0)
            except TimeoutError:
                continue
        raise TimeoutError(f"Scene {scene} could not be chosen: {self.now['next']}")

    def start_episode(self, *, timeout_s: float = 60.0) -> Status:
        """Start an episode and wait for its first offer, or for whoever drives to take it."""
        self.reconnect_if_lost()
        before = self.now["counters"]["episodes"]
        self.until("a new episode", lambda s: s["counters"]["episodes"] > before, "n", wait_s=10.0)
        return self.wait_running("the first offer", lambda s: s["offer"] or s["phase"] == "moving", timeout_s=timeout_s)

    def reconnect_if_lost(self, *, timeout_s: float = 90.0) -> None:
        """Bring world and policy back after a fault."""
        if self.now["phase"] == "fault":
            self.until("reconnecting", lambda s: s["phase"] != "fault", "ctrl+shift+r", wait_s=30.0)
            self.wait("world and policy are back", lambda s: "Reconnecting" not in s["detail"], timeout_s=timeout_s)

    def wait_running(self, what: str, is_done: Callable[[Status], Any], *, timeout_s: float = 60.0) -> Status:
        """Wait as `wait`, and leave holds that a slow machine causes (noted in `holds`), as an operator would."""
        until = time.monotonic() + timeout_s
        while True:
            left = max(1.0, until - time.monotonic())
            now = self.wait(what, lambda s: is_done(s) or _is_held(s) or s["phase"] == "fault", timeout_s=left)
            if is_done(now):
                return now
            if now["phase"] == "fault" or len(self.holds) >= MAX_HOLDS:
                raise TimeoutError(f"The cockpit cannot go on to {what}: {now['reason']}. {now['detail']}")
            self.holds.append(f"{now['reason']}: {now['detail']}")
            self.until("the hold is left", lambda s: s["phase"] != "hold", "c")

    def end_episode(self, key: str) -> Status:
        """Label the open episode: "ctrl+Return" or "ctrl+BackSpace"."""
        return self.until("the episode is kept", lambda s: s["episode"]["number"] == 0, key, wait_s=10.0)

    def word(self, command: Command, *, timeout_s: float = 3.0) -> str:
        """Bring the gripper's part of a directed command on offer by its key; return the label that answers the command."""
        if command.direction is not None:
            key = GRIPPER_KEYS[command.gripper]
            self.until(f"{command.label} on offer", lambda s: command.label in s["offered"], key, wait_s=timeout_s)
        return command.label

    def pick(self, label: str, *, timeout_s: float = 20.0) -> None:
        """Press the key that picks a candidate; return once the pick is taken."""
        now = self.now
        picks = now["counters"]["picks"]
        where, amount = (*label.split("/"), "")[:2]
        key = KEYS.get(label) or KEYS[where]
        is_other = label not in KEYS and amount != now["next"]["amount"]
        if is_other:
            self.screen.down("shift")
            time.sleep(0.03)
        try:
            self.screen._xdotool("key", key)
            self.wait(f"the pick {label}", lambda s: s["counters"]["picks"] > picks, timeout_s=timeout_s)
        finally:
            if is_other:
                self.screen.up("shift")

    # --- life -------------------------------------------------------------------------------------

    def world_pid(self) -> int:
        """Return the process id of the world."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                return child.pid
        raise RuntimeError("The world's process was not found")

    def close(self) -> None:
        """Quit as a person would; insist if that does not help. Leaves no process behind."""
        children = []
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            for stop in (signal.SIGTERM, signal.SIGKILL):
                self.process.send_signal(stop)
                try:
                    self.process.wait(15)
                    break
                except subprocess.TimeoutExpired:
                    continue
        for child in children:
            try:
                child.wait(3)
            except psutil.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue


def _is_held(status: Status) -> bool:
    """Whether an open episode is held for another reason than its scene being set or its end being kept."""
    return (
        status["phase"] == "hold" and status["episode"]["number"] > 0 and status["hold"] not in ("start", "episode_end")
    )
