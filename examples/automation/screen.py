"""A virtual screen with a window manager, real key events, and a look at its pixels.

Problem: a script that shows how the product is used must go through the window system, not through the program. Idea: Xvfb
keeps its image in a file that anyone may map, openbox gives windows the focus, xdotool presses keys.

Example: `with Screen() as screen: screen.press("ctrl+Return"); image = screen.image()`.
"""

import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import numpy as np

NEEDED = {"Xvfb": "xvfb", "openbox": "openbox", "xdotool": "xdotool"}


class Screen:
    """One X display of our own.

    Args:
        size: width and height, pixels.
    """

    def __init__(self, size: tuple[int, int] = (1280, 800)) -> None:
        missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
        if missing:
            raise SystemExit(f"Programs are missing. Run: sudo apt-get install -y {' '.join(missing)}")
        self._size = size
        self._folder = tempfile.TemporaryDirectory(prefix="frs-screen-")
        self._processes: list[subprocess.Popen] = []
        self._map: mmap.mmap | None = None
        self.environment: dict[str, str] = {}

    def __enter__(self) -> "Screen":
        """Start display and window manager; from here on SIGTERM ends the script in good order."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        read, write = os.pipe()
        width, height = self._size
        xvfb = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-fbdir", self._folder.name]
        xvfb += ["-nolisten", "tcp", "+extension", "GLX", "+render", "-noreset"]
        self._processes.append(subprocess.Popen(xvfb, pass_fds=(write,), stderr=subprocess.DEVNULL))
        os.close(write)
        with os.fdopen(read) as file:
            number = file.readline().strip()
        if not number:
            raise SystemExit("Xvfb did not start")
        self.environment = {k: v for k, v in os.environ.items() if k not in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
        self.environment["DISPLAY"] = f":{number}"
        self._processes.append(
            subprocess.Popen(["openbox"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        file_path = Path(self._folder.name) / "Xvfb_screen0"
        until = time.monotonic() + 20
        while not file_path.exists() or file_path.stat().st_size < width * height * 4:
            if time.monotonic() > until:
                raise SystemExit("Xvfb gave no image")
            time.sleep(0.05)
        with file_path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._map is not None:
            self._map.close()
        self._folder.cleanup()

    # --- hands ------------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Press and release keys, by X names, e.g. "ctrl+Return"."""
        self._xdotool("key", "--clearmodifiers", *keys)

    def down(self, key: str) -> None:
        """Press a key and keep it down."""
        self._xdotool("keydown", key)

    def up(self, key: str) -> None:
        """Release a key."""
        self._xdotool("keyup", key)

    def type(self, text: str) -> None:
        """Type text."""
        self._xdotool("type", "--delay", "25", text)

    def focus(self, title: str, *, timeout_s: float = 60.0) -> None:
        """Give the focus to the first visible window whose title contains a text."""
        until = time.monotonic() + timeout_s
        while True:
            found = self._xdotool("search", "--onlyvisible", "--name", title, check=False).split()
            if found:
                self._xdotool("windowactivate", "--sync", found[0], check=False)
                return
            if time.monotonic() > until:
                raise TimeoutError(f"No window named '{title}' within {timeout_s:g} s")
            time.sleep(0.1)

    def _xdotool(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["xdotool", *words], env=self.environment, capture_output=True, text=True, timeout=30, check=check
        )
        return done.stdout

    # --- eyes -------------------------------------------------------------------------------------

    def image(self) -> np.ndarray:
        """Return the screen, uint8 [H, W, 3] RGB."""
        assert self._map is not None
        # The file is in xwd format: big-endian header, colour table of 12 bytes per entry, then rows of BGRX.
        head = np.frombuffer(self._map, dtype=">u4", count=25)
        offset, stride, width, height = int(head[0] + 12 * head[19]), int(head[12]), int(head[4]), int(head[5])
        rows = np.frombuffer(self._map, dtype=np.uint8, count=stride * height, offset=offset)
        return rows.reshape(height, stride)[:, : width * 4].reshape(height, width, 4)[..., 2::-1].copy()
