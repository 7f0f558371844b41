"""Control steps per second of LIBERO: ours, with and without images, beside the way of the public clients, in the same run.

The peer (`libero_peer.py`) is LIBERO's own environment in the same interpreter, which draws two images of 256 pixels at every step, as
openpi and LeRobot run it. Ours draws when asked: never, once per chunk of eight steps (headless runs), or at every step. All take random
small actions in the first stored state of a task, in turns.

    python -m benchmarks.bench_libero

Wall time depends on what else the machine does; processor time hardly does. Needs `frs worlds install libero`.
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil

from frs_core.robot.actions import ActionKind
from frs_core.worlds.libero.install import find_python
from frs_core.worlds.libero.world import LiberoWorld

CHUNK = 8
UNIT = np.array([0.05] * 3 + [0.5] * 3 + [1.0])
"""Metres, rad and gripper of LIBERO's controller unit."""

Timed = tuple[float, float]
"""Wall and processor seconds."""


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="libero_90/13")
    parser.add_argument("--steps", type=int, default=40, help="of a round; a multiple of eight")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        ways: dict[str, Callable[[int], Timed]] = {
            "public clients: two images at every step": Peer(stack, options.task),
            "frs, two images at every step": Ours(stack, options.task, every=1),
            f"frs, two images per chunk of {CHUNK} steps": Ours(stack, options.task, every=CHUNK),
            "frs, no images": Ours(stack, options.task, every=0),
        }
        times: dict[str, list[Timed]] = {name: [] for name in ways}
        for way in ways.values():
            way(CHUNK)
        for _ in range(options.rounds):
            for name, way in ways.items():
                times[name].append(way(options.steps))
    print(f"{options.task}, n = {options.rounds} rounds of {options.steps} steps, medians\n")
    print("| | steps/s | processor ms per step | times the public clients' rate |\n|---|---|---|---|")
    peer = times[next(iter(ways))]
    for name, rounds in times.items():
        rate = statistics.median(options.steps / wall for wall, _ in rounds)
        cpu = statistics.median(1e3 * cpu / options.steps for _, cpu in rounds)
        ratio = statistics.median(theirs[0] / ours[0] for theirs, ours in zip(peer, rounds, strict=True))
        print(f"| {name} | {rate:.1f} | {cpu:.0f} | {ratio:.2f} |")


class Peer:
    """LIBERO's own environment, in a process of its interpreter."""

    def __init__(self, stack: ExitStack, task: str) -> None:
        suite, index = task.split("/")
        command = [find_python(), str(Path(__file__).with_name("libero_peer.py")), suite, index]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        stack.callback(self._process.kill)
        if self._answer() != "ready":
            raise SystemExit("LIBERO's own environment did not start. See what `frs doctor` says of it.")

    def __call__(self, steps: int) -> Timed:
        """Take some steps and return their time."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        answer = json.loads(self._answer())
        return answer["wall"], answer["cpu"]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Ours:
    """The product's world, which draws when it is asked.

    Args:
        stack: closes it.
        task: of the scene; its first stored state.
        every: steps from one observation with images to the next; 0 = none.
    """

    def __init__(self, stack: ExitStack, task: str, *, every: int) -> None:
        before = set(psutil.Process().children(recursive=True))
        self._world = LiberoWorld(task=task, seed=0, display=0, images=every > 0)
        stack.callback(self._world.close)
        self._processes = [psutil.Process(), *(set(psutil.Process().children(recursive=True)) - before)]
        self._every, self._actions = every, np.random.default_rng(0)

    def __call__(self, steps: int) -> Timed:
        """Take some steps and return their time, of this process and the worker together."""
        cpu, began = self._processor_s(), time.perf_counter()
        for k in range(steps):
            self._world.step(np.array([*self._actions.uniform(-0.3, 0.3, 6), -1.0]) * UNIT, ActionKind.EE_DELTA)
            if self._every and (k + 1) % self._every == 0:
                self._world.observe()
        return time.perf_counter() - began, self._processor_s() - cpu

    def _processor_s(self) -> float:
        return sum(t.user + t.system for t in (p.cpu_times() for p in self._processes))


if __name__ == "__main__":
    main()
