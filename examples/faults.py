"""Break things under a running cockpit, one after the other, and see that each ends in Hold with a sentence and no lost episode.

    python examples/faults.py --out runs/faults                        # all of them, three minutes on an idle machine
    python examples/faults.py --out runs/faults --only world-killed    # one

Drives the real window by key presses. World, policy and SpaceMouse are the real ones with a switch (`automation/broken.py`); the other
faults come from outside: signals, a full file system, another window. Prints a table, writes faults.json and an image per
fault, and ends with status 1 if anything did not hold. A full disk needs root, for a small tmpfs.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from automation.cockpit import Cockpit, Status
from automation.screen import Screen
from PIL import Image

from frs_core.episodes import EpisodeStore

OTHER_WINDOW = """
from PyQt6 import QtWidgets
a = QtWidgets.QApplication([]); w = QtWidgets.QLabel("Another window"); w.setWindowTitle("Another window"); w.resize(320, 120)
w.move(60, 520); w.show(); w.activateWindow(); a.exec()
"""


@dataclass(slots=True)
class Row:
    """What became of one fault."""

    fault: str
    seconds: float = float("nan")
    """From the fault until Hold (or FAULT) was on screen."""
    phase: str = ""
    sentence: str = ""
    chunks: int = 0
    """Chunks that were on screen as recorded when the fault came."""
    kept: int = -1
    """Chunks in the episode afterwards; -1 = no such episode."""
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Held, said why, lost nothing."""
        return (
            not self.problem
            and self.phase in ("hold", "fault")
            and bool(self.sentence)
            and self.kept >= self.chunks > 0
        )


class Breaker:
    """Breaks one cockpit again and again."""

    def __init__(self, screen: Screen, out: Path, images: Path, data: Path) -> None:
        self.screen, self.out, self.images, self.data = screen, out, images, data
        self.switches = out / "break"
        self.switches.mkdir(parents=True, exist_ok=True)
        self.scene = 100
        self.cockpit = self._open()

    def _open(self) -> Cockpit:
        examples = str(Path(__file__).resolve().parent)
        cockpit = Cockpit(
            self.screen,
            self.out / "run",
            data=self.data,
            options=("--world", "automation.broken:Tabletop", "--policy", "automation.broken:generalist"),
            environment={"FRS_BREAK": str(self.switches), "PYTHONPATH": examples},
        )
        cockpit.ready()
        return cockpit

    # --- one fault --------------------------------------------------------------------------------

    def run(self, name: str, *, is_moving: bool = True) -> Row:
        """Begin an episode, break, wait for Hold, take the image, fix, keep the episode, compare."""
        row = Row(name)
        began = time.monotonic()
        try:
            self._begin_episode()
            with contextlib.ExitStack() as repairs:
                before = self._before(is_moving)
                row.chunks = before["episode"]["chunks"]
                episode = before["episode"]["name"]
                began = time.monotonic()
                repairs.enter_context(getattr(self, name.replace("-", "_"))())
                held = self.cockpit.wait("hold", self._held(name), timeout_s=60.0)
                row.seconds = round(time.monotonic() - began, 2)
                row.phase, row.sentence = held["phase"], _sentence(held)
                time.sleep(1.0)
                self._picture(name)
            self.cockpit.reconnect_if_lost()
            self.cockpit.end_episode("ctrl+BackSpace")
            row.kept = self._kept(episode)
        except Exception as error:  # A fault that does not end well is a row of the table; the next one goes on.
            row.problem = f"{type(error).__name__}: {error}"
            self._picture(f"{name}-problem", self.out)
            self._give_up()
        return row

    def _begin_episode(self) -> None:
        """Start an episode and drive two chunks; a machine too busy for the world's heartbeat gets further tries."""
        cockpit = self.cockpit
        for is_last in (False, False, False, True):
            self.scene += 1
            try:
                cockpit.choose_scene(self.scene)
                cockpit.start_episode()
                for _ in range(2):
                    self._offer()
                    cockpit.pick("unsteered")
                self._offer()
            except TimeoutError:
                if is_last or cockpit.now["phase"] != "fault":
                    raise
                cockpit.reconnect_if_lost()
                if cockpit.now["episode"]["number"]:
                    cockpit.end_episode("ctrl+shift+BackSpace")
            else:
                return

    def _offer(self) -> Status:
        return self.cockpit.wait_running("an offer", lambda s: s["offer"] != 0)

    def _before(self, is_moving: bool) -> Status:
        """Return the state just before the fault: in mid-chunk, or at an offer."""
        if is_moving:
            self.cockpit.pick("up/more")
            return self.cockpit.wait("motion", lambda s: s["phase"] == "moving", timeout_s=20.0)
        return self._offer()

    @staticmethod
    def _held(name: str) -> Callable[[Status], bool]:
        wanted = EXPECTED[name]
        return lambda s: s["phase"] in ("hold", "fault") and s["hold"] in wanted.split("|")

    def _kept(self, name: str) -> int:
        info = next((i for i in EpisodeStore(self.data).list() if i.name == name), None)
        return -1 if info is None or info.problem else info.n_chunks

    def _give_up(self) -> None:
        for switch in self.switches.iterdir():
            switch.unlink()
        self.cockpit.close()
        self.cockpit = self._open()

    def _picture(self, name: str, folder: Path | None = None) -> None:
        folder = folder or self.images
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.screen.image()).save(folder / f"fault-{name}.png", optimize=True)

    # --- faults -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _switch(self, what: str) -> Iterator[None]:
        file = self.switches / what
        file.write_text("0 0 0")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def focus_lost(self) -> Iterator[None]:
        """Another window takes the focus while an arrow key is down."""
        self.screen.down("Left")
        other = subprocess.Popen([sys.executable, "-c", OTHER_WINDOW], env=self.screen.environment)
        try:
            self.screen.focus("Another window")
            yield
        finally:
            self.screen.up("Left")
            other.kill()
            other.wait(10)
            self.screen.focus("FRS cockpit")
            self.cockpit.wait("the focus is back", lambda s: s["is_active"], timeout_s=20.0)

    def inference_raises(self) -> contextlib.AbstractContextManager:
        """The policy raises while it makes the next fan."""
        return self._switch("inference")

    def inference_hangs(self) -> contextlib.AbstractContextManager:
        """The policy does not answer."""
        return self._switch("answer")

    @contextlib.contextmanager
    def camera_frozen(self) -> Iterator[None]:
        """The left camera repeats one frame while the arm moves."""
        with self._switch("camera"):
            for _ in range(6):
                with contextlib.suppress(TimeoutError):
                    self.cockpit.wait("an offer", lambda s: s["offer"] or s["phase"] == "hold", timeout_s=10.0)
                    if self.cockpit.now["phase"] == "hold":
                        break
                    self.cockpit.pick("forward/more", timeout_s=5.0)
            yield

    @contextlib.contextmanager
    def device_unplugged(self) -> Iterator[None]:
        """A SpaceMouse is pulled out while it is pushed."""
        file = self.switches / "puck"
        file.write_text("0 0 0")
        cockpit = self.cockpit
        cockpit.wait("the SpaceMouse is found", lambda s: s["devices"], timeout_s=30.0)
        cockpit.wait("an offer", lambda s: s["offer"], timeout_s=30.0)
        file.write_text("0 0 -1")
        cockpit.wait("the SpaceMouse's pick moves the arm", lambda s: s["phase"] == "moving", timeout_s=20.0)
        file.unlink()
        yield

    @contextlib.contextmanager
    def window_frozen(self) -> Iterator[None]:
        """The cockpit's process stops for two seconds, and goes on."""
        os.kill(self.cockpit.process.pid, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(self.cockpit.process.pid, signal.SIGCONT)
        yield

    @contextlib.contextmanager
    def world_killed(self) -> Iterator[None]:
        """The world's process dies."""
        os.kill(self.cockpit.world_pid(), signal.SIGKILL)
        yield

    @contextlib.contextmanager
    def world_frozen(self) -> Iterator[None]:
        """The world's process stops: no images, no heartbeat."""
        os.kill(self.cockpit.world_pid(), signal.SIGSTOP)
        yield

    @contextlib.contextmanager
    def disk_full(self) -> Iterator[None]:
        """The disk is full when the chunk is written; then somebody makes room."""
        filler = self.data / "filler"
        try:
            with filler.open("wb") as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(65536))
                    file.flush()
            with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(64))
            yield
        finally:
            filler.unlink(missing_ok=True)
        self.cockpit.until("the chunk is written after all", lambda s: s["offer"], "c", wait_s=15.0)

    def app_killed(self) -> Row:
        """Kill the cockpit while it records; a new one offers the episode."""
        row = Row("app-killed")
        try:
            self._begin_episode()
            before = self._before(True)
            row.chunks, episode = before["episode"]["chunks"], before["episode"]["name"]
            world = self.cockpit.world_pid()
            began = time.monotonic()
            os.kill(self.cockpit.process.pid, signal.SIGKILL)
            self.cockpit.process.wait(10)
            _wait_gone(world)
            row.seconds = round(time.monotonic() - began, 2)
            self.cockpit = self._open()
            offered = self.cockpit.wait("the unfinished episode is offered", lambda s: s["unfinished"], timeout_s=30.0)
            row.phase, row.sentence = offered["phase"], offered["unfinished"]
            time.sleep(1.5)
            self._picture("app-killed")
            self.cockpit.palette("keep the unf", "the episode is kept", lambda s: not s["unfinished"])
            row.kept = self._kept(episode)
        except Exception as error:  # As above.
            row.problem = f"{type(error).__name__}: {error}"
            self._give_up()
        return row


EXPECTED = {
    "focus-lost": "focus_lost",
    "inference-raises": "inference_failed",
    "inference-hangs": "inference_late",
    "camera-frozen": "camera_stale",
    "device-unplugged": "device_lost",
    "window-frozen": "gui_silent|session_silent|world_lost",
    "world-killed": "world_lost",
    "world-frozen": "world_lost",
    "disk-full": "disk",
}
"""Fault -> reason of the hold that must follow; several where it depends on which process of a busy machine wakes first."""
AT_AN_OFFER = ("device-unplugged", "camera-frozen")
"""Faults that begin at an offer and bring the motion themselves."""


def _sentence(status: Status) -> str:
    if status["banner"]:
        return f"{status['banner']} {status['details']}".strip()
    return f"{status['reason']}. {status['detail']}".strip()


def _wait_gone(pid: int, timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        if time.monotonic() > until:
            raise TimeoutError(f"The world's process {pid} outlived its session by {timeout_s:g} s")
        time.sleep(0.02)


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[bool]:
    """Mount a small file system if that is allowed; tell whether it is."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def check_store(data: Path) -> str:
    """Return the last line of `frs episodes check`, or its complaint."""
    words = [sys.executable, "-c", "from frs_core.cli import main; main()", "episodes", "check", "--data", str(data)]
    done = subprocess.run([*words, "--policy", "tabletop"], capture_output=True, text=True, timeout=300, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return f"{'intact' if done.returncode == 0 else 'DAMAGED'}: {lines[-1] if lines else ''}"


def main() -> None:
    """Break, print, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for figures and recordings; a fresh one")
    parser.add_argument("--images", type=Path, default=None, help="folder of the images; default the same")
    parser.add_argument("--only", nargs="*", default=None, choices=[*EXPECTED, "app-killed"])
    options = parser.parse_args()
    wanted = options.only or [*EXPECTED, "app-killed"]
    rows: list[Row] = []
    with Screen() as screen, small_disk(options.out / "data", megabytes=160) as is_small:
        breaker = Breaker(screen, options.out, options.images or options.out, options.out / "data")
        try:
            for name in wanted:
                if name == "disk-full" and not is_small:
                    row = Row(name, problem="not run: mounting a small tmpfs needs root")
                else:
                    row = (
                        breaker.app_killed()
                        if name == "app-killed"
                        else breaker.run(name, is_moving=name not in AT_AN_OFFER)
                    )
                rows.append(row)
                print(f"{'ok ' if row.is_good else 'BAD'} {row}", flush=True)
        finally:
            breaker.cockpit.close()
        store = check_store(options.out / "data")
    (options.out / "faults.json").write_text(json.dumps({"rows": [asdict(r) for r in rows], "store": store}, indent=1))
    print(f"\n{'fault':18} {'s to Hold':>9}  {'kept':>7}  sentence")
    for row in rows:
        print(f"{row.fault:18} {row.seconds:9.2f}  {row.kept:>3} / {row.chunks}  {row.problem or row.sentence}")
    print(f"store: {store}")
    raise SystemExit(0 if all(r.is_good for r in rows) and store.startswith("intact") else 1)


if __name__ == "__main__":
    main()
