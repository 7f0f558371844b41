"""Corrections: let the generalist act, and ask the scripted player what it would do from where that led.

Demonstrations never show a missed grasp, so a policy cloned from them does not know what to do after one. Here the policy
drives, and at every chunk boundary the player plays the next H steps from that very state (then the state is restored). The
pairs join the demonstrations (DAgger, arXiv 1011.0686). Stored are the frozen vision vectors, not images.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from frs_core.arrays import Array
from frs_core.policies.tabletop.config import CAMERAS, CONCEPTS, EXECUTE_ROWS, HORIZON
from frs_core.policies.tabletop.pictures import shrink, to_input
from frs_core.policies.tabletop.policy import TabletopPolicy
from frs_core.robot.actions import ActionKind
from frs_core.runtime.foreign import plain_file
from frs_core.steering.methods import gaussian
from frs_core.worlds.tabletop.layout import ANYWHERE
from frs_core.worlds.tabletop.play import Player, Taste, draw_taste
from frs_core.worlds.tabletop.tasks import TRAINED, Task, TaskKind, find
from frs_core.worlds.tabletop.world import TabletopWorld

FIRST_SEED = 2_000_000
"""Scene seeds of corrections."""


def collect(
    policy: TabletopPolicy, file: Path, *, episodes: int, first_seed: int = FIRST_SEED, max_chunks: int = 24
) -> int:
    """Write the corrections of some episodes; return how many there are.

    Args:
        policy: drives.
        file: safetensors file to write.
        episodes: how many, over the demonstrated tasks in turn.
        first_seed: of the scenes.
        max_chunks: per episode.
    """
    world = TabletopWorld(cameras=CAMERAS, setting=ANYWHERE)
    rows: list[dict[str, Array]] = []
    for i in range(episodes):
        rows += _episode(policy, world, TRAINED[i % len(TRAINED)], first_seed + i, max_chunks)
    world.close()
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    save_file({k: np.stack([r[k] for r in rows]) for k in rows[0]}, temporary)
    temporary.replace(file)
    return len(rows)


def load(folder: Path) -> dict[str, Array]:
    """Return all corrections under a folder, concatenated; empty when there are none."""
    parts = [load_file(plain_file(f)) for f in sorted(folder.glob("*.safetensors"))]
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]} if parts else {}


def _episode(
    policy: TabletopPolicy, world: TabletopWorld, name: str, seed: int, max_chunks: int
) -> list[dict[str, Array]]:
    task, rng, rows = find(name), np.random.default_rng([seed, 11]), []
    taste = draw_taste(rng)
    observation = world.reset(task=name, seed=seed)
    names = list(CONCEPTS)
    after_success = 0
    for index in range(max_chunks):
        with torch.inference_mode():
            images = {c: to_input(torch.from_numpy(shrink(observation.frames[c].image))[None]) for c in CAMERAS}
            vision, _ = policy.net.vision(images)
        context = policy.encode(observation)
        chunk = _ask(world, task, taste)
        if chunk is not None:
            rows.append(
                {
                    "vision": vision[0].half().numpy(),
                    "proprio": observation.proprio,
                    "chunk": chunk,
                    "kind": np.int8(list(TaskKind).index(task.kind)),
                    "movable": np.int8(names.index(task.movable) if task.movable else -1),
                    "place": np.int8(names.index(task.place) if task.place else -1),
                }
            )
        noise = gaussian((1, policy.spec.horizon, policy.spec.width), seed=seed * 100 + index)
        for action in policy.to_robot(policy.denoise(context, noise))[0][:EXECUTE_ROWS]:
            world.step(action, ActionKind.EE_DELTA)
        observation = world.observe()
        after_success += world.sim.is_success
        if after_success > 1:
            break
    return rows


def _ask(world: TabletopWorld, task: Task, taste: Taste) -> Array | None:
    """Return what the player would do next from here [H, 7]; the world is left as it was."""
    state = world.snapshot()
    player = Player.take_over(world.sim, task, taste)
    actions = []
    for _ in range(HORIZON):
        action = player.act()
        if action is None:
            action = np.zeros(7)
        actions.append(action)
        world.sim.step(action, ActionKind.EE_DELTA)
    world.sim.restore(state)
    return np.stack(actions).astype(np.float32)
