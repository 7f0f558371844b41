"""The authors' JAX code on our data; runs in an interpreter of its own, without any of this package.

    OFFICIAL_PYTHON official.py JOB.json

The job names a checkout of github.com/aoberai/rql, the rows, the settings and what is wanted: "train" writes a curve of evaluations
in the authors' protocol, on the scenes that our code is judged on; "time" answers each line on standard input with the processor
time of some updates. Needs jax, flax, optax, distrax, ml_collections, einops, and for training ogbench.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def hash_of(*numbers: int) -> int:
    """Return the same seeds as `tasks.hash_of`."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def prepared(job: dict[str, Any]) -> tuple[Any, Any]:
    """Return the authors' agent and data set."""
    sys.path.insert(0, job["checkout"])
    from agents.rql import RQLAgent, get_config  # pyright: ignore[reportMissingImports]
    from utils.datasets import Dataset  # pyright: ignore[reportMissingImports]

    with np.load(job["rows"], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    # Never read by the agent; the class expects it.
    arrays["next_observations"] = arrays["observations"]
    config = get_config()
    config.update(job["config"])
    config["actor_hidden_dims"] = config["value_hidden_dims"] = tuple(job["hidden"])
    dataset = Dataset.create(**arrays)
    dataset.config = config
    np.random.seed(job["seed"])
    example = dataset.sample(1)
    # As in the authors' main.py: the first row of a window of one.
    agent = RQLAgent.create(job["seed"], example["observations"][0], example["actions"][0], config)
    return agent, dataset


def evaluate(agent: Any, env: Any, *, episodes: int, seed: int) -> int:
    """Return how many episodes ended in success, on the scenes of `tasks.evaluate`."""
    import jax  # pyright: ignore[reportMissingImports]

    successes, before = 0, np.random.get_state()
    for episode in range(episodes):
        np.random.seed(np.random.SeedSequence((seed, episode)).generate_state(1)[0])
        seen, _ = env.reset(seed=int(np.random.randint(2**31)))
        done, step, info = False, 0, {}
        while not done:
            key = jax.random.PRNGKey(hash_of(seed, episode, step))
            for action in np.clip(np.array(agent.sample_actions(obs=seen, temperature=0, seed=key)), -1, 1):
                seen, _, terminated, truncated, info = env.step(action)
                done, step = bool(terminated or truncated), step + 1
                if done:
                    break
        successes += bool(info["success"])
    np.random.set_state(before)
    return successes


def train(job: dict[str, Any]) -> None:
    """Write the curve, whole, when the training is over; a line per evaluation goes to standard output as it comes."""
    import gymnasium  # pyright: ignore[reportMissingImports]
    import ogbench.manipspace  # noqa: F401  # pyright: ignore[reportMissingImports,reportUnusedImport]

    agent, dataset = prepared(job)
    env, lines, spent, info = gymnasium.make(job["environment"]), [], 0.0, {}
    for step in range(1, job["steps"] + 1):
        began = time.process_time()
        agent, info = agent.update(dataset.sample(job["batch"]))
        spent += time.process_time() - began
        if step % job["evaluate_every"] and step != job["steps"]:
            continue
        began = time.process_time()
        figures = {"critic_loss": info["critic_loss"], "cloning_loss": info["bc_loss"], "value": info["q_mean"]}
        figures = {key: float(value) for key, value in figures.items()}
        spent += time.process_time() - began
        done = evaluate(agent, env, episodes=job["eval_episodes"], seed=hash_of(job["seed"], 1 + len(lines)))
        line = {
            "step": step,
            "successes": done,
            "episodes": job["eval_episodes"],
            **figures,
            "seconds": round(spent, 2),
        }
        lines.append(json.dumps(line))
        spent = 0.0
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    partial = Path(job["curve"] + ".partial")
    partial.write_text("\n".join(lines) + "\n")
    partial.rename(job["curve"])


def measure(job: dict[str, Any]) -> None:
    """Answer every line with the mean processor time of an update, in seconds."""
    import jax  # pyright: ignore[reportMissingImports]

    agent, dataset = prepared(job)
    agent, _ = agent.update(dataset.sample(job["batch"]))
    for _ in sys.stdin:
        began = time.process_time()
        for _ in range(job["updates"]):
            agent, _ = agent.update(dataset.sample(job["batch"]))
        jax.block_until_ready(agent.network.params)
        sys.stdout.write(json.dumps((time.process_time() - began) / job["updates"]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    {"train": train, "time": measure}[given["wanted"]](given)
