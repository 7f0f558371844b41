"""OGBench's play data as rows with rewards, windows of them, and the authors' protocol of evaluation.

Runs in the process of `frs bench rql`; where the environment is needed, OGBench is.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from frs_core.arrays import Array
from frs_core.evaluation.rql_bench.play import environment_of, make_environment, numpy_seed
from frs_core.learning.rql import Windows
from frs_core.runtime.foreign import plain_file

ACTION_LIMIT = 1.0 - 1e-5
"""Recorded actions are clipped to +- this. Source: make_env_and_datasets of aoberai/rql."""
FIELDS = ("observations", "actions", "rewards", "masks", "terminals")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Recorded steps of many episodes, one after the other."""

    observations: Float[Array, "N o"]
    actions: Float[Array, "N a"]
    rewards: Float[Array, " N"]
    masks: Float[Array, " N"]
    """0 where the goal was reached before the step, else 1."""
    terminals: Float[Array, " N"]
    """1 for the last step of an episode."""

    def save(self, path: Path) -> None:
        """Write them for another process."""
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **{name: getattr(self, name) for name in FIELDS})
        partial.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Rows":
        """Return rows that `save` wrote."""
        with np.load(plain_file(path), allow_pickle=False) as file:
            return cls(**{name: file[name] for name in FIELDS})


def single_task_of(task: str) -> str:
    """Return the environment that a task is judged in: cube-single-play-singletask-v0 -> cube-single-singletask-v0."""
    environment_of(task)
    return "-".join(word for word in task.split("-") if word != "play")


def label(task: str, files: Sequence[Path], *, is_sparse: bool) -> Rows:
    """Return play data with the rewards of a task, by the package's own function.

    Args:
        task: OGBench's name.
        files: of `play.collect`.
        is_sparse: reward -1 until everything is right, instead of -1 for each thing that is not.
    """
    arrays = [dict(np.load(plain_file(file), allow_pickle=False)) for file in files]
    data = {key: np.concatenate([part[key] for part in arrays]) for key in arrays[0]}
    # The last row of an episode has no state after it, so the row before becomes the last. Source: ogbench.utils.load_dataset.
    ends = data["terminals"].astype(np.float32)
    kept = ends == 0.0
    data = {key: value[kept] for key, value in data.items()}
    data["terminals"] = np.append(ends[1:], np.float32(1.0))[kept]
    name = single_task_of(task)
    env = make_environment(name)
    try:
        importlib.import_module("ogbench.relabel_utils").relabel_dataset(name, env, data)
    finally:
        env.close()
    rewards = data["rewards"].astype(np.float32)
    return Rows(
        observations=data["observations"].astype(np.float32),
        actions=np.clip(data["actions"], -ACTION_LIMIT, ACTION_LIMIT).astype(np.float32),
        rewards=-(rewards != 0.0).astype(np.float32) if is_sparse else rewards,
        masks=data["masks"].astype(np.float32),
        terminals=data["terminals"],
    )


class Sampler:
    """Draws windows as the authors' `sample_traj` does: an episode, then a start before its last row; rows past it repeat it.

    Args:
        rows: recorded steps.
        count: h.
        device: where the windows are wanted.
    """

    def __init__(self, rows: Rows, count: int, *, device: torch.device) -> None:
        self._last: Int[Array, " E"] = np.flatnonzero(rows.terminals > 0.0)
        self._first = np.append(0, self._last[:-1] + 1)
        self._long = np.flatnonzero(self._last > self._first)
        self._count, self._device = count, device
        self._rows = {name: torch.from_numpy(getattr(rows, name)).to(device) for name in FIELDS}

    def draw(self, rng: np.random.Generator, size: int) -> Windows:
        """Return `size` windows."""
        episodes = rng.choice(self._long, size, replace=size >= len(self._last))
        last = self._last[episodes]
        start = rng.integers(self._first[episodes], last)
        index = np.minimum(start[:, None] + np.arange(self._count + 1), last[:, None])
        at = torch.from_numpy(index).to(self._device)
        rows, inside = self._rows, at[:, :-1]
        return Windows(
            observation=rows["observations"][at[:, 0]],
            following=rows["observations"][at[:, -1]],
            actions=rows["actions"][inside],
            rewards=rows["rewards"][inside],
            ends=rows["terminals"][inside],
            goes_on=rows["masks"][at[:, -2]],
        )


Act = Callable[[Float[Array, " o"], int], Float[Array, "h a"]]
"""(observation, seed of the noise) -> a chunk within [-1, 1]."""


def evaluate(env: Any, act: Act, *, episodes: int, seed: int) -> int:
    """Return in how many episodes the last step was a success.

    A chunk is carried out to its end, or to the episode's, before the next is asked for. Scenes follow from the seed.

    Args:
        env: the single-task environment.
        act: the policy.
        episodes: how many.
        seed: of scenes and noises.

    Source: evaluate of aoberai/rql, which leaves scenes to chance.
    """
    successes = 0
    for episode in range(episodes):
        with numpy_seed(seed, episode):
            seen, _ = env.reset(seed=int(np.random.randint(2**31)))
            done, step, info = False, 0, {}
            while not done:
                for action in act(seen, hash_of(seed, episode, step)):
                    seen, _, terminated, truncated, info = env.step(action)
                    done, step = bool(terminated or truncated), step + 1
                    if done:
                        break
        successes += bool(info["success"])
    return successes


def hash_of(*numbers: int) -> int:
    """Return a seed made of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
