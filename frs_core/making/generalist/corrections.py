"""Corrections: let the generalist act, and ask the scripted expert what it would do from where that led.

Demonstrations never show a missed grasp, so a policy cloned from them does not know what to do after one. Here the policy
drives, and at every chunk boundary the expert plays the next H steps from that very state (then the state is restored). The
pairs join the demonstrations (DAgger, arXiv 1011.0686). Stored are the frozen vision vectors, not images.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from frs_core.arrays import Array
from frs_core.making.generalist.course import Course, ExpertWorld
from frs_core.policies.generalist.design import EXECUTE_ROWS, HORIZON
from frs_core.policies.generalist.pictures import to_input, to_network
from frs_core.policies.generalist.policy import Generalist, camera_mounts
from frs_core.runtime.foreign import plain_file
from frs_core.steering.methods import gaussian


def collect(
    course: Course, policy: Generalist, file: Path, *, episodes: int, first: int = 0, max_chunks: int = 24
) -> int:
    """Write the corrections of some episodes; return how many there are.

    Args:
        course: whose expert corrects.
        policy: drives.
        file: safetensors file to write.
        episodes: how many, over the demonstrated tasks in turn.
        first: number of the first; the scene seeds follow from it.
        max_chunks: per episode.
    """
    world = course.enter()
    rows: list[dict[str, Array]] = []
    for i in range(first, first + episodes):
        number = i % len(course.tasks)
        found = _episode(course, policy, world, course.tasks[number], course.first_correction + i, max_chunks)
        rows += [{**row, "task": np.array(number, dtype=np.int16)} for row in found]
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
    course: Course, policy: Generalist, world: ExpertWorld, task: str, seed: int, max_chunks: int
) -> list[dict[str, Array]]:
    design, rows = course.design, []
    world.begin(task, seed, np.random.default_rng([seed, 11]))
    observation = world.observe()
    after_success = 0
    for index in range(max_chunks):
        with torch.inference_mode():
            images = {
                c: to_input(torch.from_numpy(to_network(design, observation.frames[c].for_policy))[None])
                for c in design.cameras
            }
            vision, _ = policy.net.vision(images)
        context = policy.encode(observation)
        row = {"vision": vision[0].half().numpy(), "proprio": observation.proprio, "chunk": _ask(world)}
        row["mounts"] = camera_mounts(design, observation).astype(np.float32)
        rows.append(row)
        noise = gaussian((1, policy.spec.horizon, policy.spec.width), seed=seed * 100 + index)
        for action in policy.to_robot(policy.denoise(context, noise))[0][:EXECUTE_ROWS]:
            world.step(action)
        observation = world.observe()
        after_success += world.is_success
        if after_success > 1:
            break
    return rows


def _ask(world: ExpertWorld) -> Array:
    """Return what the expert would do next from here [H, 7]; the world is left as it was."""
    state = world.save()
    world.take_over()
    actions: list[Array] = []
    for _ in range(HORIZON):
        action = world.act()
        if action is None:
            action = np.zeros(7)
        actions.append(action)
        world.step(action)
    world.restore(state)
    return np.stack(actions).astype(np.float32)
