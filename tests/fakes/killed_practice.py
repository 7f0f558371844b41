"""A small practice as a program of its own, for tests that kill it: `python -m tests.fakes.killed_practice DATA FOLDER`."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from frs_core.learning import Practice

EPISODES, ROUND = 16, 4
PRACTICE = Practice(
    world="tests.fakes.world:PointWorld",
    # A dozen steps of 20 ms: most kills fall into the middle of an episode.
    world_options={"step_delay_s": "0.02"},
    episodes=EPISODES,
    round_episodes=ROUND,
    judge_every=ROUND,
    judged_scenes=1,
    max_chunks=3,
    first_seed=700,
)


def main() -> None:
    """Practise, or go on with it."""
    from frs_core.evaluation.practice import run_practice
    from tests.core.test_practice import SMALL, request

    data, folder = (Path(argument) for argument in sys.argv[1:])
    asked = request(data, folder / "out", practice=PRACTICE, settings=replace(SMALL, first_steps=200, steps=100))
    run_practice(asked, folder / "practice", actors=2)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
