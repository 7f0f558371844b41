"""Make the demonstrations that a generalist is trained on: a scripted expert does many tasks in many scenes.

Every episode does one demonstrated task, in a random style, with action noise and shoves from which the expert recovers. Kept are
successful episodes only: at random steps the small images of both cameras, proprioception, the next H actions, and where
each known thing is in each image (targets of the pointing loss; nothing of it is an input).

Shards of 40 episodes, one safetensors file each; a finished shard is never made again, so the work can be cut anywhere.
"""

from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save_file

from frs_core.arrays import Array
from frs_core.making.generalist.course import Course, ExpertWorld
from frs_core.making.generalist.stages import OnLog, in_parallel
from frs_core.policies.generalist.design import HORIZON
from frs_core.policies.generalist.policy import camera_mounts

EPISODES_PER_SHARD = 40
_ATTEMPTS = 1000
"""Scene seeds that a shard has for itself."""


def make_in_parallel(course: Course, folder: Path, *, shards: int, workers: int, on_log: OnLog) -> None:
    """Make the missing shards with several processes; the same index gives the same data."""
    files = [_path(folder, i) for i in range(shards)]
    jobs = [(course, folder, range(w, shards, workers)) for w in range(workers)]
    in_parallel(make_shards, jobs, stage="demonstrations", files=files, on_log=on_log)


def make_shards(course: Course, folder: Path, shards: range) -> None:
    """Make the missing shards of some indices, in this process."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    world = course.enter()
    for index in shards:
        if not _path(folder, index).exists():
            _make_shard(course, world, _path(folder, index), index)
    world.close()


def _path(folder: Path, index: int) -> Path:
    return folder / f"shard_{index:04d}.safetensors"


def _make_shard(course: Course, world: ExpertWorld, path: Path, index: int) -> None:
    samples: list[dict[str, Array]] = []
    made, attempt = 0, 0
    while made < EPISODES_PER_SHARD:
        seed = course.first_demonstration + index * _ATTEMPTS + attempt
        attempt += 1
        number = (index * EPISODES_PER_SHARD + made) // course.in_a_row % len(course.tasks)
        episode = _play(course, world, course.tasks[number], seed)
        if episode is not None:
            for sample in episode:
                sample["episode"] = np.array(index * EPISODES_PER_SHARD + made, dtype=np.int32)
                sample["task"] = np.array(number, dtype=np.int16)
            samples += episode
            made += 1
    stacked = {k: np.stack([s[k] for s in samples]) for k in samples[0]}
    temporary = path.with_suffix(".tmp")
    save_file(stacked, temporary)
    temporary.rename(path)


def _play(course: Course, world: ExpertWorld, task: str, seed: int) -> list[dict[str, Array]] | None:
    """Return the samples of one successful episode, or None if it failed."""
    rng, vary = np.random.default_rng([seed, 7]), course.variation
    world.begin(task, seed, rng)
    labels: list[Array] = []
    shoved: list[bool] = []
    samples: list[tuple[int, dict[str, Array]]] = []
    shove, shove_left = np.zeros(3), 0
    while len(labels) < vary.longest:
        action = world.act()
        if action is None:
            break
        if rng.random() < vary.kept:
            samples.append((len(labels), _sample(course, world)))
        if shove_left == 0 and world.may_be_shoved and rng.random() < vary.shove_chance:
            shove, shove_left = rng.normal(0, vary.shove, 3), int(rng.integers(2, 6))
        executed = action.copy()
        if shove_left > 0:
            executed[:3] = shove
            shove_left -= 1
            shoved.append(True)
        else:
            executed[:3] += rng.normal(0, vary.noise, 3)
            executed[5] += rng.normal(0, vary.turn_noise)
            shoved.append(False)
        labels.append(action)
        world.step(executed)
    if not world.has_succeeded():
        return None
    actions = np.concatenate([np.stack(labels), np.zeros((HORIZON, 7))]).astype(np.float32)
    is_shoved = np.concatenate([shoved, np.zeros(HORIZON, dtype=bool)])
    kept = []
    for step, sample in samples:
        if not is_shoved[step : step + HORIZON].any():
            sample["chunk"] = actions[step : step + HORIZON]
            kept.append(sample)
    return kept or None


def _sample(course: Course, world: ExpertWorld) -> dict[str, Array]:
    view = world.view()
    return {
        **{f"image_{camera}": image for camera, image in view.images.items()},
        "proprio": view.observation.proprio,
        "mounts": camera_mounts(course.design, view.observation).astype(np.float32),
        "uv": view.uv,
        "visible": view.visible,
    }
