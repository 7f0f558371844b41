"""Drive the cockpit against a policy server and against a DROID bridge, and break both in mid-episode: table and images.

    python examples/remote.py                       # both, images into docs/images, the page into docs/remote.md
    python examples/remote.py --only serve
    FRS_DROID_CHECKOUT=~/droid FRS_DROID_PYTHON=~/envs/robot/bin/python python examples/remote.py --only droid

The window is the real one, on a screen of its own, driven by key presses (examples/automation). Policy server, bridge and robot
computer are processes of their own behind a small TCP relay, so that they can be killed, frozen, or cut off while the arm
moves. With a DROID checkout the bridge drives its unmodified RobotEnv against a robot computer that moves MuJoCo's Franka; without
one, the bridge's own protocol over a stand-in. Episodes are checked afterwards: every stored noise must regenerate its chunk.
"""

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from automation.cockpit import Cockpit
from automation.screen import Screen

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
FRS = [str(Path(sys.executable).parent / "frs")]


# --- things that can be broken ----------------------------------------------------------------------------------------


class Relay:
    """A cable: passes TCP bytes on, swallows them (`cut`), refuses connections (`refuse`), or hangs up on them (`unplug`)."""

    def __init__(self, upstream: int) -> None:
        self.upstream, self.is_cut, self.is_unplugged = upstream, False, False
        self._open: list[socket.socket] = []
        self.port = 0
        self._listen()

    def refuse(self) -> None:
        """Hang up and listen no more, as the port of a process that is gone does."""
        # A thread blocked in accept() would keep the port: shutting down wakes it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up()

    def cut(self) -> None:
        """Swallow everything from here on, as a pulled cable does: nobody is notified."""
        self.is_cut = True

    def unplug(self) -> None:
        """Hang up on everyone, and on whoever comes."""
        self.is_unplugged = True
        self._hang_up()

    def repair(self) -> None:
        """Pass on again; connections that were cut are hung up, what they held never arrives."""
        self._hang_up()
        self.is_cut = self.is_unplugged = False
        if self._listener.fileno() < 0:
            self._listen()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _hang_up(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open = []

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                if self.is_unplugged:
                    raise OSError
                far = socket.create_connection(("127.0.0.1", self.upstream), timeout=5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._open += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(a, b), daemon=True).start()

    def _pass_on(self, a: socket.socket, b: socket.socket) -> None:
        with suppress(OSError):
            while data := a.recv(65536):
                if not self.is_cut:
                    b.sendall(data)
        if not self.is_cut:
            for end in (a, b):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@dataclass
class Service:
    """A process that can be killed, frozen, and started again on the same port."""

    start: "Callable[[], subprocess.Popen[str]]"
    process: "subprocess.Popen[str]" = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.start()

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """Stop its clock; the connection stays."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again."""
        self.process = self.start()

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.thaw()
            self.kill()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def policy_server(port: int, log: Path) -> "subprocess.Popen[str]":
    """Start `frs serve` and wait until it listens."""
    with log.open("a") as file:
        process = subprocess.Popen(
            [*FRS, "serve", "--port", str(port), "--verbose"], stdout=file, stderr=file, text=True, cwd=ROOT
        )
    wait_for_port(port, process)
    return process


def wait_for_port(port: int, process: "subprocess.Popen[str]", *, timeout_s: float = 180.0) -> None:
    """Return once something listens."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"A service ended with {process.returncode} before it listened on port {port}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.2)
    raise SystemExit(f"Nothing listens on port {port} after {timeout_s:g} s")


class Lab:
    """Robot computer and bridge: over a DROID checkout where one is given, else over a stand-in for RobotEnv."""

    def __init__(self, folder: Path) -> None:
        from tests.fakes.nuc import SERIALS

        self.folder, self.port = folder, free_port()
        self.checkout = os.environ.get("FRS_DROID_CHECKOUT", "")
        self.python = os.environ.get("FRS_DROID_PYTHON", sys.executable)
        self.ip = "127.0.0.79"
        self._cameras = ",".join(f"{name}={serial}" for name, serial in SERIALS.items())
        self.computer = Service(self._start_computer) if self.checkout else None
        self.bridge = Service(self._start_bridge)

    def _start_computer(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.fakes.nuc", "--address", f"tcp://{self.ip}:4242"]
        command += ["--drive", "mujoco", "--pictures", str(self.folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit("The stand-in for the robot computer did not start (it needs zerorpc)")
        return process

    def _start_bridge(self) -> "subprocess.Popen[str]":
        from tests.fakes.running_bridge import bridge_process

        arguments = ["--bind", f"tcp://127.0.0.1:{self.port}"]
        variables: dict[str, str] = {}
        python = sys.executable
        if self.checkout:
            python = self.python
            arguments += ["--droid", self.checkout, "--nuc-ip", self.ip, "--cameras", self._cameras]
            arguments += ["--calibration", str(self.folder / "calibration_info.json")]
            variables = {"PYTHONPATH": str(ROOT / "tests/fakes/zed_sdk"), "FRS_FAKE_ZED": str(self.folder)}
        else:
            arguments += ["--env", "tests.fakes.droid_env:make"]
        return bridge_process(*arguments, python=python, variables=variables)[0]

    def close(self) -> None:
        """End both."""
        self.bridge.close()
        if self.computer is not None:
            self.computer.close()


INTO_CHUNK_S = 0.2
"""From the arm's first step to the fault; a chunk lasts half a second."""


# --- the two sessions -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One way to break something, and how it is put right."""

    name: str
    strike: Callable[[], None]
    repair: Callable[[], None]
    image: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    where: str
    what: str
    hold_s: float
    said: str
    back_s: float
    how: str


class Story:
    """A cockpit, where its images go, and what was measured."""

    def __init__(self, screen: Screen, cockpit: Cockpit, images: Path) -> None:
        self.screen, self.cockpit, self._images = screen, cockpit, images
        self.rows: list[Row] = []

    def grab(self, name: str) -> None:
        """Write what is on the screen."""
        time.sleep(1.0)
        self._images.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(self._images / f"{name}.png"), cv2.cvtColor(self.screen.image(), cv2.COLOR_RGB2BGR))

    def ready(self) -> None:
        """Wait for window, world and policy, and close the first card."""
        cockpit = self.cockpit
        cockpit.wait("the first state", lambda s: s["phase"] != "starting", timeout_s=300.0)
        self.screen.focus("FRS cockpit", timeout_s=120.0)
        cockpit.wait("world and policy", lambda s: s["phase"] == "hold" and not s["detail"], timeout_s=300.0)
        cockpit.until("no card is open", lambda s: not s.get("card"), "Escape")
        self.screen.press("F11")

    def offered(self, timeout_s: float = 90.0) -> None:
        """Wait for a fan that may be picked from; resume if the machine was too slow for a moment."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            now = self.cockpit.now
            if now.get("offer"):
                return
            if now["phase"] == "hold" and now["hold"] not in ("start", "") and now["episode"]["number"]:
                self.screen.press("c")
            with suppress(TimeoutError):
                self.cockpit.wait("an offer", lambda s: s["offer"], timeout_s=4.0)
                return
        raise TimeoutError(f"No offer within {timeout_s:g} s. On screen: {self.cockpit.now}")

    def drive(self, *labels: str) -> None:
        """Pick candidates one after the other."""
        for label in labels:
            self.pick(label)

    def pick(self, label: str, *, tries: int = 5) -> None:
        """Pick; again, as a person would, when the fan was being renewed just then."""
        for _ in range(tries):
            self.offered()
            picks = self.cockpit.now["counters"]["picks"]
            with suppress(TimeoutError):
                return self.cockpit.pick(label, timeout_s=4.0)
            if self.cockpit.now["counters"]["picks"] > picks:
                return None
        raise TimeoutError(f"The pick {label} was not taken in {tries} tries. On screen: {self.cockpit.now}")

    def strike(self, where: str, fault: Fault, *, label: str) -> None:
        """Pick, break something while the arm moves, and time the Hold."""
        self.pick(label)
        self.cockpit.wait("motion", lambda s: s["phase"] == "moving")
        time.sleep(INTO_CHUNK_S)
        began = time.monotonic()
        fault.strike()
        self.cockpit.wait("Hold", lambda s: s["phase"] in ("hold", "fault"), timeout_s=60.0)
        hold_s = time.monotonic() - began
        now = self.cockpit.wait("a sentence", lambda s: s["banner"], timeout_s=10.0)
        said = f"{now['banner']} {now['details']}".strip()
        if fault.image:
            self.grab(fault.image)
        fault.repair()
        began = time.monotonic()
        how = self.recover()
        self.rows.append(Row(where, fault.name, hold_s, said, time.monotonic() - began, how))

    def recover(self) -> str:
        """Do what the window offers until there is a fan again; return what that was."""
        raise NotImplementedError


class ServeStory(Story):
    """A policy elsewhere: what is lost is the fan, not the arm."""

    def recover(self) -> str:
        """Resume until the server answers."""
        self.offered(timeout_s=120.0)
        return "C (Resume), same episode"


class DroidStory(Story):
    """An arm elsewhere: what is lost is the arm, and with it the chunk under way."""

    def start(self) -> None:
        """Start an episode: a person must confirm that the arm may move."""
        before = self.cockpit.now["counters"]["episodes"]
        for _ in range(8):
            self.screen.press("n")
            with suppress(TimeoutError):
                self.cockpit.wait(
                    "a checklist in order", lambda s: s["checklist"].startswith("Everything"), timeout_s=15.0
                )
                self.screen.press("space", "Return")
                self.cockpit.wait("an episode", lambda s: s["counters"]["episodes"] > before, timeout_s=15.0)
                break
        self.offered(timeout_s=120.0)

    def recover(self) -> str:
        """Reconnect; the chunk cannot be taken back on a robot, so keep the episode and start the next one."""
        cockpit = self.cockpit
        how = "C (Resume), same episode"
        if cockpit.now["phase"] == "fault":
            how = "Ctrl+Shift+R (Reconnect), next episode"
            cockpit.until(
                "the world is back",
                lambda s: s["phase"] == "hold" and not s["detail"],
                "ctrl+shift+r",
                tries=6,
                wait_s=25.0,
            )
            cockpit.end_episode("ctrl+BackSpace")
            self.start()
        else:
            self.offered()
        return how


@contextmanager
def cockpit_on(screen: Screen, folder: Path, *options: str) -> Iterator[Cockpit]:
    """Open the cockpit and close it."""
    cockpit = Cockpit(screen, folder, options=options, data=folder / "data")
    try:
        yield cockpit
    finally:
        cockpit.close()


def serve_story(screen: Screen, folder: Path, images: Path) -> Story:
    """Steer through `frs serve`, then kill it, freeze it, and cut the network."""
    port = free_port()
    server = Service(lambda: policy_server(port, folder / "serve.log"))
    relay = Relay(port)
    url = f"ws://127.0.0.1:{relay.port}"
    with ExitStack() as stack:
        stack.callback(server.close)
        options = ("--policy", "remote", "--policy-options", "url", url, "--no-devices")
        cockpit = stack.enter_context(cockpit_on(screen, folder, *options))
        story = ServeStory(screen, cockpit, images)
        story.ready()
        cockpit.start_episode(timeout_s=120.0)
        story.drive("left/more", "down/more")
        story.offered()
        story.grab("serve-drive")

        def kill() -> None:
            server.kill()
            relay.refuse()

        def restart() -> None:
            server.restart()
            relay.repair()

        faults = (
            Fault("server killed", kill, restart, "serve-killed"),
            Fault("server frozen (SIGSTOP)", server.freeze, server.thaw, "serve-frozen"),
            Fault("cable pulled: bytes vanish", relay.cut, relay.repair),
            Fault("a proxy hangs up on every connection", relay.unplug, relay.repair),
        )
        for fault in faults:
            story.strike("policy server", fault, label="unsteered")
        story.drive("left/less")
        story.offered()
        cockpit.end_episode("ctrl+Return")
        return story


def droid_story(screen: Screen, folder: Path, images: Path) -> Story:
    """Steer a DROID arm through the bridge, then lose the bridge, the network and the robot computer in mid-chunk."""
    lab = Lab(folder)
    relay = Relay(lab.port)
    settings = {"endpoint": f"tcp://127.0.0.1:{relay.port}", "instruction": "put the mug on the plate"}
    if lab.checkout:
        settings |= {"width": "224", "height": "224", "tool_offset": "0.1034"}
    words = [word for pair in settings.items() for word in pair]
    with ExitStack() as stack:
        stack.callback(lab.close)
        options = ("--world", "droid", "--action-space", "joint_velocity", "--no-devices", "--world-options", *words)
        cockpit = stack.enter_context(cockpit_on(screen, folder, *options))
        story = DroidStory(screen, cockpit, images)
        story.ready()
        screen.press("n")
        story.grab("droid-confirm")
        screen.press("Escape")
        story.start()
        story.drive("down/more", "left/more")
        story.offered()
        story.grab("droid-drive")
        faults = [
            Fault("bridge killed", lab.bridge.kill, lab.bridge.restart, "droid-killed"),
            Fault("bridge frozen (SIGSTOP)", lab.bridge.freeze, lab.bridge.thaw),
            Fault("cable pulled: bytes vanish", relay.cut, relay.repair),
        ]
        if lab.computer is not None:
            faults.append(Fault("robot computer killed", lab.computer.kill, lab.computer.restart, "droid-computer"))
        for fault in faults:
            story.strike("DROID bridge", fault, label="left/less")
        story.drive("up/less")
        story.offered()
        cockpit.end_episode("ctrl+Return")
        return story


# --- what is written --------------------------------------------------------------------------------------------------


def check_episodes(data: Path, picks: int, *options: str) -> str:
    """Return what was kept: chunks, steps, and the last line of `frs episodes check` over them.

    Args:
        data: recording root.
        picks: taken on screen; the arm moved after every one of them.
        options: of `frs episodes check`.
    Raises:
        SystemExit: an episode is damaged or does not regenerate, or a chunk is missing.
    """
    from frs_core.episodes import EpisodeStore, unfinished

    store = EpisodeStore(data)
    kept, left = store.list(), unfinished(store)
    chunks, steps = sum(e.n_chunks for e in kept), sum(e.n_steps for e in kept)
    if chunks != picks or left:
        raise SystemExit(f"{picks} picks were taken, {chunks} chunks kept, {len(left)} episodes unfinished")
    done = subprocess.run(
        [*FRS, "episodes", "check", "--data", str(data), *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        raise SystemExit("\n".join([*lines, done.stderr]))
    return f"{picks} picks, {chunks} chunks kept with {steps} steps; `frs episodes check`: {lines[-1]}"


ROBOT_ENV = "the unmodified RobotEnv of a DROID checkout, whose robot computer and ZED cameras are simulated by MuJoCo"
STAND_IN = "a stand-in for DROID's RobotEnv (no checkout was given)"
IMAGES = {
    "serve-drive": "Steering over `frs serve`",
    "serve-killed": "The server was killed",
    "serve-frozen": "The server was frozen",
    "droid-confirm": "A robot moves only after a person confirms",
    "droid-drive": "Steering a DROID arm over the bridge, in joint velocities",
    "droid-killed": "The bridge was killed",
    "droid-computer": "The robot computer was killed",
}


def page(rows: list[Row], checks: dict[str, str], *, robot: str) -> str:
    """Return docs/remote.md; `robot` is what the bridge drove."""
    cores = f"{os.cpu_count()} cores, {platform.machine()}, no GPU, load {os.getloadavg()[0]:.1f}"
    how = (
        "`python examples/remote.py` produces this page (its docstring lists what it needs). It opens the real window on its own display and\n"
        "drives it by key presses, first against `frs serve` on loopback, then against the bridge with\n"
        f"{robot}. Each fault occurs once, while the arm moves, 0.2 s into a chunk\n"
        "of 0.5 s. *Hold after* is the time from the fault until the window shows HOLD or FAULT. A policy is only needed once the present chunk\n"
        "has ended, so the time includes the rest of that chunk. *Back after* is the time from the repair to the next fan, key presses included.\n"
        f"Measured on {cores}."
    )
    lines = [
        "# Network failures while steering",
        "",
        how,
        "",
        "| what | fault | Hold after | the window says | back after | by |",
        "|---|---|---|---|---|---|",
        *(f"| {r.where} | {r.what} | {r.hold_s:.1f} s | {r.said} | {r.back_s:.1f} s | {r.how} |" for r in rows),
        "",
        "Nothing was lost. The arm moved after every pick, and every such chunk is in an episode; interrupted chunks have the steps that were",
        "executed. Every stored noise regenerates its chunk.",
        "",
        *(f"- {name}: {line}" for name, line in checks.items()),
        "",
        *(
            line
            for name, text in IMAGES.items()
            if name.split("-")[0] in checks
            for line in (f"{text}:", "", f"![{text}](images/{name}.png)", "")
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the sessions, write table and images."""
    # Ended from outside, the services and the window still go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("serve", "droid"), help="one of the two sessions")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--keep", type=Path, help="folder for episodes and logs; default a scratch one")
    arguments = parser.parse_args()
    stories = {"serve": serve_story, "droid": droid_story}
    results = arguments.out / "benchmarks/remote.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    stored = json.loads(results.read_text()) if results.exists() else {}
    with tempfile.TemporaryDirectory(prefix="frs-remote-") as scratch:
        for name, run in stories.items():
            if arguments.only not in (None, name):
                continue
            folder = (arguments.keep or Path(scratch)) / name
            folder.mkdir(parents=True, exist_ok=True)
            with Screen() as screen:
                story = run(screen, folder, arguments.out / "images")
            # The server has ended by now, and check opens no address that a recording names: the same weights, loaded here.
            options = ("--policy", "tabletop") if name == "serve" else ()
            check, rows = check_episodes(folder / "data", story.cockpit.now["counters"]["picks"], *options), story.rows
            stored[name] = {"check": check, "rows": [vars(row) for row in rows]}
            if name == "droid":
                stored[name]["robot"] = ROBOT_ENV if os.environ.get("FRS_DROID_CHECKOUT") else STAND_IN
            print(f"{name}: {check}")
            results.write_text(json.dumps(stored, indent=1) + "\n")
    rows = [Row(**row) for name in stories for row in stored.get(name, {}).get("rows", [])]
    robot = stored.get("droid", {}).get("robot", ROBOT_ENV)
    text = page(rows, {name: stored[name]["check"] for name in stories if name in stored}, robot=robot)
    (arguments.out / "remote.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
