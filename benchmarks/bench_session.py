"""How much the session itself costs: the fan beyond the policy's own work, a key press, the control loop's jitter.

    python -m benchmarks.bench_session [--world tabletop] [--chunks 20]

The policy is the exact toy flow of the tests, so that what remains is ours. Prints one Markdown table.
"""

import argparse
import time

import numpy as np
import torch

from frs_core.candidates.fan import build_fan, references_for
from frs_core.events import EndEpisode, Outcome, Phase, Pick, Snapshot, StartEpisode
from frs_core.session import LiveSession, SessionOptions
from frs_core.steering.directions import fan_commands
from frs_core.steering.methods import Reference
from frs_core.worlds.host import HostSettings
from frs_core.worlds.process import WorldProcess
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld


def fan_overhead_ms(repeats: int) -> list[float]:
    """Return the processor time of each fan beyond the policy's own steering, milliseconds (one thread)."""
    policy, observation = ToyPolicy(), PointWorld().observe()
    context, plan = policy.encode(observation), policy.default_plan
    _, batch = references_for(policy, fan_commands(), observation=observation)
    whole = Reference(
        torch.cat([batch.x[:1], batch.x]), torch.cat([torch.zeros_like(batch.commanded[:1]), batch.commanded])
    )
    over = []
    for _ in range(repeats):
        started = time.thread_time()
        policy.steer(context, whole, plan)
        own = time.thread_time() - started
        started = time.thread_time()
        build_fan(policy, context, observation, plan=plan)
        over.append((time.thread_time() - started - own) * 1e3)
    return over


def drive(world: str, chunks: int) -> tuple[list[float], list[float], float, float]:
    """Return milliseconds from key press to accepted pick and from pick to the next full fan, loop rate and jitter."""
    link = WorldProcess(world, settings=HostSettings(session_silence_s=5.0), silence_s=20.0)
    options = SessionOptions(act_life_s=30.0, inference_timeout_s=30.0)
    picks, fans = [], []
    with LiveSession(link, ToyPolicy, options=options) as session:

        def offered(n: int) -> Snapshot:
            return session.wait_for(
                lambda s: (
                    s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale and s.episode.chunks == n
                ),
                timeout_s=300.0,
            )

        session.send(StartEpisode())
        for n in range(chunks):
            offered(n)
            session.send(Pick("up/less" if n % 2 else "down/less", pressed_ns=time.monotonic_ns()))
            done = session.wait_for(lambda s, n=n: s.episode.chunks == n + 1, timeout_s=60.0)
            ended = time.perf_counter()
            offered(n + 1)
            fans.append((time.perf_counter() - ended) * 1e3)
            picks.append(done.latency.pick_ms)
        timing = session.latest().latency
        session.send(EndEpisode(Outcome.DISCARDED))
    return picks, fans, timing.loop_hz, timing.jitter_ms


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="tests.fakes.world:PointWorld")
    parser.add_argument("--chunks", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    over = fan_overhead_ms(100)
    picks, fans, hz, jitter_ms = drive(arguments.world, arguments.chunks)
    print("| what | n | p50 | p95 |\n|---|---|---|---|")
    for name, values in (
        ("fan beyond the policy's own steering, CPU ms", over),
        ("key press to accepted pick, ms", picks),
        ("chunk end to full fan offered, ms", fans),
    ):
        print(f"| {name} | {len(values)} | {np.median(values):.2f} | {np.percentile(values, 95):.2f} |")
    print(f"| control loop late, ms (at {hz:.2f} Hz) | 256 | | {jitter_ms:.2f} |")


if __name__ == "__main__":
    main()
