"""Play data for OGBench's manipulation tasks, made here by the package's own scripted oracles and a seed of ours.

Problem: the published data sets lie on a server and weigh hundreds of megabytes, and the script that made them takes no seed. Idea:
drive the package's oracles ourselves; every episode follows from (seed, its number) alone, so that a set can be made in pieces, by
several processes, and again.

Example: `collect("cube-single-play-singletask-v0", folder, episodes=100, seed=0)` makes 100 episodes of 1,001 steps in ten files of
2.6 MB. Runs in the process of `frs bench rql`.

Source: ogbench 1.2, data_gen_scripts/generate_manipspace.py (dataset_type play): targets one after the other, action noise 0.1
smoothed by 0.5, cube, scene and puzzle alike.
"""

import contextlib
import importlib
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError

EPISODE_STEPS = 1001
PER_FILE = 10
"""Episodes per file."""
NOISE, SMOOTHING = 0.1, 0.5
_PLAN = "ogbench.manipspace.oracles.plan"
_ORACLES: Mapping[str, Mapping[str, str]] = {
    "cube": {"cube": f"{_PLAN}.cube_plan:CubePlanOracle"},
    "puzzle": {"button": f"{_PLAN}.button_plan:ButtonPlanOracle"},
    "scene": {
        "cube": f"{_PLAN}.cube_plan:CubePlanOracle",
        "button": f"{_PLAN}.button_plan:ButtonPlanOracle",
        "drawer": f"{_PLAN}.drawer_plan:DrawerPlanOracle",
        "window": f"{_PLAN}.window_plan:WindowPlanOracle",
    },
}
"""Family of environments -> kind of target -> who reaches it."""
_STACKING = {"single": (0.0, 0.0), "double": (0.0, 0.25), "triple": (0.05, 0.35), "quadruple": (0.1, 0.5)}
"""Number of cubes -> range of the probability that a cube is put on another."""

OnEpisode = Callable[[int, int], None]
"""(episodes there are, episodes wanted)."""
Arrays = dict[str, Array]


def require_ogbench() -> None:
    """Raise unless the package is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        importlib.import_module("ogbench")
    except ImportError as error:
        raise ConfigError(
            f"OGBench is not installed ({error}). Install it with: pip install 'frs-cockpit[rql]'"
        ) from error


def family(task: str) -> str:
    """Return cube, scene or puzzle.

    Raises:
        ConfigError: another environment, or not the play data of a single task.
    """
    words = task.split("-")
    if words[0] not in _ORACLES or not {"play", "singletask"} <= set(words):
        raise ConfigError(
            f"Task '{task}' has no play data that can be made here. Take cube-single-play-singletask-v0, "
            f"puzzle-3x3-play-singletask-v0, scene-play-singletask-v0 or one of their variants (…-singletask-task2-v0)."
        )
    return words[0]


def environment_of(task: str) -> str:
    """Return the environment that play data is recorded in: cube-single-play-singletask-task2-v0 -> cube-single-v0."""
    family(task)
    return "-".join(w for w in task.split("-") if w not in ("play", "singletask") and not w.startswith("task"))


def check_count(episodes: int) -> None:
    """Raise ConfigError where so many episodes do not fill whole files."""
    if episodes < PER_FILE or episodes % PER_FILE:
        raise ConfigError(f"--episodes is {episodes}, needs a multiple of {PER_FILE}. The usual number is 100.")


def collect(
    task: str, folder: Path, *, episodes: int, seed: int, on_episode: OnEpisode | None = None
) -> tuple[Path, ...]:
    """Return the files of a set of episodes; those that are there already are kept.

    Args:
        task: OGBench's name, with play and singletask in it.
        folder: where; it is made.
        episodes: how many, a multiple of `PER_FILE`.
        seed: of the set.
        on_episode: called after each file.
    Raises:
        ConfigError: no such task, a wrong number of episodes, or OGBench is not installed.
    """
    check_count(episodes)
    require_ogbench()
    name = environment_of(task)
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(folder / f"{name}-seed{seed}-{first:05d}.npz" for first in range(0, episodes, PER_FILE))
    missing = [file for file in files if not file.is_file()]
    if missing:
        env = make_environment(name, terminate_at_goal=False, mode="data_collection", max_episode_steps=EPISODE_STEPS)
        try:
            oracles = {kind: _oracle(path, env, name) for kind, path in _ORACLES[family(task)].items()}
            for number, file in enumerate(files):
                if file in missing:
                    first = number * PER_FILE
                    parts = [_episode(env, oracles, name, seed, first + i) for i in range(PER_FILE)]
                    _write(file, {key: np.concatenate([p[key] for p in parts]) for key in parts[0]})
                if on_episode is not None:
                    on_episode((number + 1) * PER_FILE, episodes)
        finally:
            env.close()
    return files


def make_environment(name: str, **options: Any) -> Any:
    """Return an OGBench environment.

    Raises:
        ConfigError: it has no such environment.
    """
    gymnasium: Any = importlib.import_module("gymnasium")
    importlib.import_module("ogbench.manipspace")
    try:
        return gymnasium.make(name, **options)
    except gymnasium.error.Error as error:
        raise ConfigError(
            f"OGBench has no environment '{name}' ({error}). Known tasks are at github.com/seohongpark/ogbench."
        ) from error


@contextlib.contextmanager
def numpy_seed(*seeds: int) -> Generator[None]:
    """Seed numpy's global generator inside, and give it back as it was: OGBench draws from it."""
    before = np.random.get_state()
    np.random.seed(np.random.SeedSequence(seeds).generate_state(1)[0])
    try:
        yield
    finally:
        np.random.set_state(before)


def _oracle(path: str, env: Any, name: str) -> Any:
    module, attribute = path.split(":")
    options = {"gripper_always_closed": True} if name.startswith("puzzle") else {}
    return getattr(importlib.import_module(module), attribute)(
        env=env, noise=NOISE, noise_smoothing=SMOOTHING, **options
    )


def _episode(env: Any, oracles: Mapping[str, Any], name: str, seed: int, number: int) -> Arrays:
    """Return one episode; one of the scene whose cube left the table is drawn again."""
    for attempt in range(1000):
        with numpy_seed(seed, number, attempt):
            rows = _drive(env, oracles, name, int(np.random.randint(2**31)))
        if not name.startswith("scene") or _is_in_sight(rows["qpos"][:, 14:17]):
            return rows
    raise AssertionError(f"a thousand episodes of '{name}' lost their cube")


def _drive(env: Any, oracles: Mapping[str, Any], name: str, seed: int) -> Arrays:
    """Return one episode of targets, one after the other."""
    seen, info = env.reset(seed=seed)
    low, high = _STACKING.get(name.split("-")[1], (0.5, 0.5))
    stacks = float(np.random.uniform(low, high))
    oracle = oracles[info["privileged/target_task"]]
    oracle.reset(seen, info)
    rows: dict[str, list[Any]] = {key: [] for key in ("observations", "actions", "terminals", "qpos", "qvel")}
    done = False
    while not done:
        action = np.clip(np.array(oracle.select_action(seen, info)), -1, 1)
        following, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        if oracle.done:
            target_seen, target_info = env.unwrapped.set_new_target(p_stack=stacks)
            oracle = oracles[target_info["privileged/target_task"]]
            oracle.reset(target_seen, target_info)
        for key, value in zip(rows, (seen, action, done, info["prev_qpos"], info["prev_qvel"]), strict=False):
            rows[key].append(value)
        if "prev_button_states" in info:
            rows.setdefault("button_states", []).append(info["prev_button_states"])
        seen = following
    kinds = {"terminals": np.bool_, "button_states": np.int64}
    return {key: np.array(values, dtype=kinds.get(key, np.float32)) for key, values in rows.items()}


def _is_in_sight(cube: Float[Array, "N 3"]) -> bool:
    """Return whether a cube stayed on the table or in the drawer. Source: generate_manipspace.py."""
    y, z = cube[:, 1], cube[:, 2]
    return not ((y >= 0.29).any() or ((y <= -0.3) & ((z < 0.06) | (z > 0.08))).any())


def _write(file: Path, arrays: Arrays) -> None:
    """Write a file that is whole or not there."""
    partial = file.with_name(f".{file.stem}.{os.getpid()}.npz")
    np.savez_compressed(partial, **arrays)  # pyright: ignore[reportArgumentType]
    partial.rename(file)
