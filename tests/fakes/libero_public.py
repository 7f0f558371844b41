"""LIBERO as openpi's client runs it (examples/libero/main.py): two images with every step, both axes flipped, one state of 8 numbers.

Run under an interpreter that has LIBERO, without this product: `python libero_public.py OUT.npz libero_spatial/0/0 libero_goal/7/60`, each
suite/task/seed. Writes what the client would send after every tenth of 30 random steps, and whether LIBERO called the task done.
"""

import math
import os
import sys

import numpy as np

STEPS, EVERY = 30, 10


def actions(seed: int) -> np.ndarray:
    """Return the raw actions of an episode; some leave the orientation alone."""
    found = np.random.default_rng([seed, 5]).uniform(-1, 1, (STEPS, 7)).astype(np.float32).astype(np.float64)
    found[4:9, 3:6] = 0.0
    return found


def quat2axisangle(quat):
    """Source: openpi examples/libero/main.py, copied from robosuite."""
    if quat[3] > 1.0:
        quat[3] = 1.0
    elif quat[3] < -1.0:
        quat[3] = -1.0
    den = np.sqrt(1.0 - quat[3] * quat[3])
    if math.isclose(den, 0.0):
        return np.zeros(3)
    return (quat[:3] * 2.0 * math.acos(quat[3])) / den


def episode(name):
    """Return what the client sends of an episode, by key."""
    from libero.libero import benchmark, get_libero_path
    from libero.libero.envs import OffScreenRenderEnv

    suite, number, seed = name.split("/")
    tasks, number, seed = benchmark.get_benchmark_dict()[suite](), int(number), int(seed)
    task = tasks.get_task(number)
    file = os.path.join(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file)
    env = OffScreenRenderEnv(bddl_file_name=file, camera_heights=256, camera_widths=256)
    env.seed(7 if seed < 50 else seed)
    seen = env.reset()
    if seed < 50:
        seen = env.set_init_state(tasks.get_task_init_states(number)[seed])
    for _ in range(10):
        env.step([0.0] * 6 + [-1.0])
    found = {}
    for i, action in enumerate(actions(seed)):
        seen, _, done, _ = env.step(action.tolist())
        if (i + 1) % EVERY == 0:
            key = f"{name}/{i + 1}"
            found[f"{key}/agentview"] = np.ascontiguousarray(seen["agentview_image"][::-1, ::-1])
            found[f"{key}/wrist"] = np.ascontiguousarray(seen["robot0_eye_in_hand_image"][::-1, ::-1])
            turn = quat2axisangle(seen["robot0_eef_quat"])
            found[f"{key}/state"] = np.concatenate((seen["robot0_eef_pos"], turn, seen["robot0_gripper_qpos"]))
            found[f"{key}/done"] = np.array(done)
            found[f"{key}/words"] = np.array(task.language)
    env.close()
    return found


if __name__ == "__main__":
    everything = {}
    for name in sys.argv[2:]:
        everything.update(episode(name))
    np.savez(sys.argv[1], **everything)
