"""What practice costs: updates of a learner per second and its memory, and attempts per minute of the actors.

Each learner runs in a process and on a thread of its own, as in a practice: it begins from ten episodes of 16 chunks (features, noises
and fans of the embedded generalist's sizes, drawn at random) and learns from rounds of five attempts. The attempts are the generalist's own
in the embedded world, all of them 40 chunks long or until success.

    python -m benchmarks.bench_practice [--rounds 2] [--attempts 12] [--actors 1 2]      # about six minutes
    python -m benchmarks.bench_practice --rounds 0                                       # the actors alone

Where stable-baselines3 (which DSRL's own code builds on) is installed, its soft actor-critic takes as many updates of the same sizes
beside ours, in turns: batch 128, four critics of two layers of 256, one update of the actor per update of the critics.
"""

import argparse
import importlib.util
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from frs_core.evaluation.actors import ActorPool
from frs_core.learning.base import OnlineLearner
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.settings import DsrlSettings
from frs_core.learning.table import End, Offer, TrainingTable
from frs_core.policies import NamedPolicy
from frs_core.policies.base import FlowPolicy
from frs_core.steering.candidates import UNSTEERED

LEARNERS = ("pick-q", "dsrl-frs", "dsrl", "residual")
PRIOR, ROUND, CHUNKS = 10, 5, 16
FEATURES, PROPRIO = 684, 18
OFFERED = 9
PEER_STEPS = 200


def attempts(policy: FlowPolicy, count: int, seed: int) -> TrainingTable:
    """Return attempts of random numbers; every second one succeeds."""
    rng = np.random.default_rng(seed)
    horizon, size = policy.spec.horizon, policy.spec.flow.size
    rows, names = count * CHUNKS, tuple(f"attempt-{seed}-{i}" for i in range(count))
    noise = rng.normal(size=(rows, OFFERED, horizon, policy.spec.width)).astype(np.float32)
    labels = (UNSTEERED, *(f"direction-{i}" for i in range(1, OFFERED)))
    last = rng.normal(size=(count, FEATURES)).astype(np.float32)
    table = TrainingTable(
        features=rng.normal(size=(rows, FEATURES)).astype(np.float32),
        proprio=rng.normal(size=(rows, PROPRIO)).astype(np.float32),
        noise=noise[:, 0],
        chunk=noise[:, 1, :, :size],
        episode=np.repeat(np.arange(count), CHUNKS),
        names=names,
        fingerprint=policy.spec.fingerprint,
        picked=(UNSTEERED,) * rows,
        offers=tuple(Offer(labels, row) for row in noise),
    )
    successes = [i % 2 == 0 for i in range(count)]
    ends = [End(s, last[i], table.proprio[0], Offer(labels, noise[i])) for i, s in enumerate(successes)]
    return table.with_outcomes(successes, ends=ends)


def learn(kind: str, rounds: int, answers: "multiprocessing.SimpleQueue[tuple[float, float, float]]") -> None:
    """Put (updates per second, seconds per attempt, peak MB) of a learner; runs in a process of its own."""
    torch.set_num_threads(1)
    policy = NamedPolicy().load()
    learner: OnlineLearner = find_learner(kind).load()
    learner.begin(policy, prior=attempts(policy, PRIOR, 0))
    taken, seconds = learner.actor(explores=True).steps, 0.0
    for index in range(1, rounds + 1):
        table = attempts(policy, ROUND, index)
        began = time.perf_counter()
        learner.learn(table)
        seconds += time.perf_counter() - began
    updates = learner.actor(explores=True).steps - taken
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put((updates / seconds, seconds / (rounds * ROUND), memory))


def compare_with_peer(rounds: int) -> tuple[float, float]:
    """Return updates per second of ours and of stable-baselines3's soft actor-critic, medians over rounds in turns."""
    import gymnasium
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import configure

    torch.set_num_threads(1)
    policy = NamedPolicy().load()
    numbers, seen = policy.spec.horizon * policy.spec.flow.size, FEATURES + PROPRIO

    class Nowhere(gymnasium.Env):
        """Spaces of the sizes alone."""

        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (seen,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (numbers,), np.float32)

    theirs = SAC("MlpPolicy", Nowhere(), batch_size=128, buffer_size=2000, device="cpu", policy_kwargs={"n_critics": 4})
    theirs.set_logger(configure(None, []))
    rng = np.random.default_rng(0)
    for _ in range(1000):
        before, after = rng.normal(size=(2, seen)).astype(np.float32)
        theirs.replay_buffer.add(before, after, rng.uniform(-1, 1, (1, numbers)), np.zeros(1), np.zeros(1), [{}])
    ours = find_learner("dsrl").load()
    chunks = PEER_STEPS // 10
    known = 1000 // CHUNKS
    ours.begin(policy, DsrlSettings(critic_steps_per_actor_step=1, critic_first=0, warm_up=known + 1))
    ours.learn(attempts(policy, known, 0))
    pairs = []
    for index in range(rounds):
        table = attempts(policy, 2, index + 1)
        table = replace(table.take(range(chunks)), names=table.names)
        began = time.perf_counter()
        ours.learn(table)
        middle = time.perf_counter()
        theirs.train(gradient_steps=PEER_STEPS, batch_size=128)
        pairs.append((middle - began, time.perf_counter() - middle))
    return tuple(PEER_STEPS / statistics.median(side) for side in zip(*pairs, strict=True))


def drive(actors: int, count: int) -> tuple[float, float]:
    """Return attempts per minute and chunks per second of some actors; the first attempt of each is not timed."""
    request = TrainRequest(
        kind="dsrl", root=Path(), episodes=(), out=Path(), fingerprint="", task="can_on_plate", practice=Practice()
    )
    with tempfile.TemporaryDirectory() as folder:
        pool = ActorPool(request, actors=actors, folder=Path(folder) / "actors")
        try:
            learner = find_learner("dsrl").load()
            learner.begin(pool.policy)
            actor = learner.actor(explores=True)
            for _ in pool.drive(actor, range(40_000, 40_000 + actors)):
                pass
            began = time.perf_counter()
            rows = sum(table.rows for _, table in pool.drive(actor, range(40_100, 40_100 + count)))
            seconds = time.perf_counter() - began
        finally:
            pool.close()
    return 60.0 * count / seconds, rows / seconds


def show_learning(rounds: int) -> None:
    """Print what each learner takes, and the comparison."""
    print("| learner | updates/s | learning per attempt, s | memory, MB |\n|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for kind in LEARNERS:
        answers = context.SimpleQueue()
        process = context.Process(target=learn, args=(kind, rounds, answers))
        process.start()
        rate, seconds, memory = answers.get()
        process.join()
        print(f"| `{kind}` | {rate:.0f} | {seconds:.2f} | {memory:.0f} |", flush=True)
    if importlib.util.find_spec("stable_baselines3"):
        ours, theirs = compare_with_peer(2 * rounds)
        print(
            f"\nSoft actor-critic alone: ours {ours:.0f}, stable-baselines3 {theirs:.0f} updates/s: {ours / theirs:.2f}"
        )
    else:
        print("\nstable-baselines3 is not installed: no comparison.")


def main() -> None:
    """Run and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=2, help="of five attempts that each learner learns from; 0 = learn nothing"
    )
    parser.add_argument("--attempts", type=int, default=12, help="driven by the actors")
    parser.add_argument("--actors", type=int, nargs="*", default=[1, 2], help="processes; none = drive nothing")
    options = parser.parse_args()
    if options.rounds:
        show_learning(options.rounds)
    if options.actors:
        print("\n| actors | attempts per minute | chunks per second |\n|---|---|---|")
    for actors in options.actors:
        rate, chunks = drive(actors, options.attempts)
        print(f"| {actors} | {rate:.1f} | {chunks:.1f} |", flush=True)


if __name__ == "__main__":
    main()
