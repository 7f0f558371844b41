#!/usr/bin/env python
# pyright: standard, reportMissingImports=false
"""LIBERO as the public clients run it, for `bench_libero`: run by the interpreter that has LIBERO, without this project.

`OffScreenRenderEnv` with two cameras of 256 pixels, which `env.step` draws at every step. Source: openpi, examples/libero/main.py; LeRobot's
environment does the same. Reads a number of steps per line, and answers with one line of JSON: wall and processor seconds.
"""

import json
import os
import sys
import time


def main():
    """Start a task in its first stored state, and take steps until the input ends."""
    # LIBERO and robosuite print; the answers keep the real output.
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    import numpy as np
    from libero.libero import benchmark, get_libero_path
    from libero.libero.envs import OffScreenRenderEnv

    suite, index = sys.argv[1], int(sys.argv[2])
    tasks = benchmark.get_benchmark_dict()[suite]()
    task = tasks.get_task(index)
    env = OffScreenRenderEnv(
        bddl_file_name=os.path.join(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file),
        camera_heights=256,
        camera_widths=256,
    )
    env.seed(7)
    env.reset()
    env.set_init_state(tasks.get_task_init_states(index)[0])
    actions = np.random.default_rng(0)
    for _ in range(10):
        env.step([0.0] * 6 + [-1.0])
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            env.step([*actions.uniform(-0.3, 0.3, 6), -1.0])
        answers.write(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
