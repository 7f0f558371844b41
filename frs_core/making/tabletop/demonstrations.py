"""Make the demonstrations that the tabletop generalist is trained on: scripted play over many object x place pairs.

Every episode does one demonstrated task, with random taste, action noise and shoves from which it recovers. Kept are
successful episodes only: at random steps the small images of both cameras, proprioception, the next H actions, and where
each known thing is in each image (targets of the pointing loss; nothing of it is an input).

Shards of 40 episodes, one safetensors file each; a finished shard is never made again, so the work can be cut anywhere.
Example: 2 workers make 3,840 episodes (96 shards) in 19 minutes on 2 cores.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import mujoco
import numpy as np
from safetensors.numpy import save_file

from frs_core.arrays import Array
from frs_core.making.tabletop.stages import OnLog, in_parallel
from frs_core.policies.tabletop.config import CAMERAS, CONCEPTS, HORIZON
from frs_core.policies.tabletop.pictures import shrink
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.play import Player, draw_taste
from frs_core.worlds.tabletop.sim import HELD_STEPS, TabletopSim
from frs_core.worlds.tabletop.tasks import DRAWER, TRAINED, TaskKind, find

if TYPE_CHECKING:
    from frs_core.worlds.tabletop.cameras import Cameras

EPISODES_PER_SHARD = 40
FIRST_SEED = 1_000_000
"""Scene seeds of demonstrations; far from those of development and tests."""

_KEEP = 0.42
"""Share of steps kept as samples."""
_SHOVE = 0.012
"""Chance per step of a shove."""
_NOISE_M = 0.0012
"""Standard deviation of the executed action noise per axis, metres; labels stay clean."""
_MAX_STEPS = 190


def make_in_parallel(folder: Path, *, shards: int, workers: int, on_log: OnLog) -> None:
    """Make the missing shards with several processes; the same index gives the same data."""
    files = [_path(folder, i) for i in range(shards)]
    jobs = [(folder, range(w, shards, workers)) for w in range(workers)]
    in_parallel(make_shards, jobs, stage="demonstrations", files=files, on_log=on_log)


def make_shards(folder: Path, shards: range) -> None:
    """Make the missing shards of some indices, in this process."""
    from frs_core.worlds.tabletop.cameras import Cameras

    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    sim = TabletopSim()
    cameras = Cameras(sim.model, sim.data)
    for index in shards:
        if not _path(folder, index).exists():
            _make_shard(sim, cameras, _path(folder, index), index)


def _path(folder: Path, index: int) -> Path:
    return folder / f"shard_{index:04d}.safetensors"


def _make_shard(sim: TabletopSim, cameras: "Cameras", path: Path, index: int) -> None:
    samples: list[dict[str, Array]] = []
    made, attempt = 0, 0
    while made < EPISODES_PER_SHARD:
        seed = FIRST_SEED + index * 1000 + attempt
        attempt += 1
        task = TRAINED[(index * EPISODES_PER_SHARD + made) % len(TRAINED)]
        episode = _play(sim, cameras, task, seed)
        if episode is not None:
            for sample in episode:
                sample["episode"] = np.array(index * EPISODES_PER_SHARD + made, dtype=np.int32)
            samples += episode
            made += 1
    stacked = {k: np.stack([s[k] for s in samples]) for k in samples[0]}
    temporary = path.with_suffix(".tmp")
    save_file(stacked, temporary)
    temporary.rename(path)


def _play(sim: TabletopSim, cameras: "Cameras", name: str, seed: int) -> list[dict[str, Array]] | None:
    """Return the samples of one successful episode, or None if it failed."""
    rng = np.random.default_rng([seed, 7])
    sim.reset(name, seed=seed)
    player = Player(sim, find(name), draw_taste(rng))
    labels: list[Array] = []
    shoved: list[bool] = []
    samples: list[tuple[int, dict[str, Array]]] = []
    shove, shove_left = np.zeros(3), 0
    while len(labels) < _MAX_STEPS:
        action = player.act()
        if action is None:
            break
        if rng.random() < _KEEP:
            samples.append((len(labels), _sample(sim, cameras, name)))
        is_free = player.phase in ("detour", "reach", "descend", "lift", "carry", "lower")
        if shove_left == 0 and is_free and rng.random() < _SHOVE:
            shove, shove_left = rng.normal(0, 0.012, 3), int(rng.integers(2, 6))
        executed = action.copy()
        if shove_left > 0:
            executed[:3] = shove
            shove_left -= 1
            shoved.append(True)
        else:
            executed[:3] += rng.normal(0, _NOISE_M, 3)
            executed[5] += rng.normal(0, 0.006)
            shoved.append(False)
        labels.append(action)
        sim.step(executed, ActionKind.EE_DELTA)
    rest = np.zeros(7)
    for _ in range(HELD_STEPS + 2):
        sim.step(rest, ActionKind.EE_DELTA)
    if not sim.is_success:
        return None
    actions = np.concatenate([np.stack(labels), np.tile(rest, (HORIZON, 1))]).astype(np.float32)
    is_shoved = np.concatenate([shoved, np.zeros(HORIZON, dtype=bool)])
    kept = []
    for step, sample in samples:
        if not is_shoved[step : step + HORIZON].any():
            sample["chunk"] = actions[step : step + HORIZON]
            kept.append(sample)
    return kept or None


def _sample(sim: TabletopSim, cameras: "Cameras", name: str) -> dict[str, Array]:
    images = {c: shrink(cameras.render(c)) for c in CAMERAS}
    uv = np.zeros((len(CONCEPTS), len(CAMERAS), 2), dtype=np.float32)
    visible = np.zeros((len(CONCEPTS), len(CAMERAS)), dtype=np.uint8)
    points = concept_points(sim)
    for j, camera in enumerate(CAMERAS):
        calibration = cameras.calibration(camera)
        at, is_front = calibration.project(points)
        at = (at + 0.5) / [calibration.width, calibration.height]
        is_in = is_front & np.all((at > 0.0) & (at < 1.0), axis=-1) & (points[:, 2] > -0.1)
        visible[:, j] = is_in
        uv[:, j] = np.where(is_in[:, None], at, 0.0)
    observation = Observation(
        frames={},
        q=sim.q,
        dq=sim.dq,
        gripper=sim.gripper,
        T_base_tcp=sim.T_base_tcp,
        instruction="",
        captured_ns=0,
        gripper_command=sim.gripper_command,
    )
    task = find(name)
    names = list(CONCEPTS)
    return {
        **{f"image_{c}": images[c] for c in CAMERAS},
        "proprio": observation.proprio,
        "uv": uv,
        "visible": visible,
        "kind": np.array(list(TaskKind).index(task.kind), dtype=np.int8),
        "movable": np.array(names.index(task.movable) if task.movable else -1, dtype=np.int8),
        "place": np.array(names.index(task.place) if task.place else -1, dtype=np.int8),
    }


def resting_height(sim: TabletopSim, concept: str) -> float:
    """Return the height of a concept's point above the table when it stands there, metres; see `concept_points`."""
    if concept == DRAWER:
        return float(sim.handle_pose()[2])
    return MOVABLES[concept].height / 2 if concept in MOVABLES else RECEPTACLES[concept].floor


def concept_points(sim: TabletopSim) -> Array:
    """Return one point per concept in the base frame, metres; absent things are parked far below or behind."""
    present = {p.name for p in sim.layout.placements}
    points = []
    for name in CONCEPTS:
        if name == DRAWER:
            points.append(sim.handle_pose())
        elif name not in present:
            points.append(np.array([-9.0, 0.0, -9.0]))
        elif name in MOVABLES:
            a = sim.model.joint(name).qposadr[0]
            rotation = np.empty(9)
            mujoco.mju_quat2Mat(rotation, sim.data.qpos[a + 3 : a + 7])
            up = rotation.reshape(3, 3)[:, 2] * MOVABLES[name].height / 2
            points.append(sim.data.qpos[a : a + 3] + up)
        else:
            points.append(sim.object_pose(name)[0] + [0, 0, RECEPTACLES[name].floor])
    return np.stack(points)
