"""What the network costs a fan: remote minus local, in the same run, over loopback.

A fan request is one steer message with a fresh observation of two 224 x 224 images (300 kB), or an encode and a steer; it is
compared with the same calls on the same policy in this process. The server runs in a process of its own, as in real use.

    taskset -c 0,1 python -m benchmarks.bench_serving

Goal: overhead of a fan p50 <= 5 ms. CPU is the processor time of client and server together, per call; unlike the wall clock it
hardly changes when the machine has other work, so on a busy machine read that column.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch

from frs_core.policies.base import FlowPolicy
from frs_core.policies.remote import RemotePolicy, load
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.serving.server import build_server
from frs_core.serving.websocket_server import ServerSettings
from frs_core.steering.directions import fan_commands, reference_chunk
from frs_core.steering.methods import Reference
from frs_core.wire.codec import pack, unpack
from frs_core.wire.observations import letterbox
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

CAMERAS = ("left", "wrist")


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--server", action="store_true", help="internal: be the server")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.server:
        server = build_server(ToyPolicy(cameras=CAMERAS), ServerSettings(port=0))
        server.run(lambda: print(server.port, flush=True))
        return
    command = [sys.executable, "-m", "benchmarks.bench_serving", "--server"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert server.stdout is not None
    try:
        policy = load(f"ws://127.0.0.1:{int(server.stdout.readline())}")
        assert isinstance(policy, RemotePolicy)
        bench(policy, psutil.Process(server.pid), requests=args.requests)
        policy.close()
    finally:
        server.kill()
        server.wait(10)


def bench(policy: RemotePolicy, server: psutil.Process, *, requests: int) -> None:
    """Time local and remote fans in turns and print the table."""
    local, observation = ToyPolicy(cameras=CAMERAS), make_observation()
    reference = make_fan(local, observation)

    def fan_in_two(served: FlowPolicy) -> None:
        served.steer(served.encode(observation), reference, served.default_plan)

    def fan_in_one() -> None:
        message = {
            "op": "steer",
            "observation": policy._message_of(observation),
            "reference": reference.x.numpy(),
            "commanded": reference.commanded.numpy(),
            "plan": json.dumps(policy.default_plan.to_json()),
        }
        policy._client.ask(message, timeout_s=10.0)

    packed = pack(policy._message_of(observation))
    big = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    work: dict[str, Callable[[], object]] = {
        "local fan": lambda: fan_in_two(local),
        "remote fan, encode + steer": lambda: fan_in_two(policy),
        "remote fan, one message": fan_in_one,
        "codec alone (pack + unpack)": lambda: unpack(pack(unpack(packed))),
        "letterbox 720 x 1280 -> 224 x 224": lambda: letterbox(big, size=(224, 224)),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for k in range(requests + 20):
        for name, run in work.items():
            started = time.perf_counter()
            run()
            if k >= 20:
                times[name].append((time.perf_counter() - started) * 1e3)
    print(f"{len(packed) / 1000:.0f} kB per observation, {reference.x.shape[0]} candidates, n = {requests}\n")
    print("| | p50 ms | p95 ms | CPU ms | over local: p50 ms | CPU ms |\n|---|---|---|---|---|---|")
    cpu = {name: processor_ms(run, server, requests=requests) for name, run in work.items()}
    for name, values in times.items():
        over = [value - base for value, base in zip(values, times["local fan"], strict=True)]
        is_remote = name.startswith("remote")
        extra = f"{statistics.median(over):.2f} | {cpu[name] - cpu['local fan']:.2f}" if is_remote else "|"
        p50, p95 = statistics.median(values), np.percentile(values, 95)
        print(f"| {name} | {p50:.2f} | {p95:.2f} | {cpu[name]:.2f} | {extra} |")


def processor_ms(run: Callable[[], object], server: psutil.Process, *, requests: int) -> float:
    """Return the processor time of this process and the server per call, milliseconds."""

    def used() -> float:
        there = server.cpu_times()
        return time.process_time() + there.user + there.system

    before = used()
    for _ in range(requests):
        run()
    return (used() - before) / requests * 1e3


def make_observation() -> Observation:
    """Return an observation with two images of 224 x 224 noise, which no compression could shrink."""
    rng, seen = np.random.default_rng(0), PointWorld().observe()
    frames = {
        name: CameraFrame(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8), seen.captured_ns) for name in CAMERAS
    }
    return replace(seen, frames=frames)


def make_fan(policy: FlowPolicy, observation: Observation) -> Reference:
    """Return the twelve directions as references."""
    spec = policy.spec
    rows = [
        reference_chunk(c, spec.action_space, horizon=spec.horizon, observation=observation) for c in fan_commands()
    ]
    return Reference(torch.from_numpy(np.stack([r[0] for r in rows])), torch.from_numpy(np.stack([r[1] for r in rows])))


if __name__ == "__main__":
    main()
