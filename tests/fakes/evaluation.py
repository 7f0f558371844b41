"""Benches and demonstrators for tests of the evaluation, on the point world with the toy policy."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from frs_core.evaluation.results import Cell, Result
from frs_core.evaluation.serve import runner_class
from frs_core.evaluation.setup import Setup, SetupSpec, open_setup
from frs_core.evaluation.worker import Ready, WorkerJob
from frs_core.policies import NamedPolicy
from frs_core.worlds.base import World
from tests.fakes.world import PointWorld

TASK = "reach_left"
MAX_CHUNKS = 6


def setup_spec(**world_options: object) -> SetupSpec:
    """Return the names of the fakes."""
    return SetupSpec(
        world="tests.fakes.world:PointWorld",
        world_options=world_options,
        policy=NamedPolicy("tests.fakes.policy:ToyPolicy"),
        operator="tests.fakes.operator:PointOperator",
        demonstrator="tests.fakes.evaluation:demonstrator",
    )


def make_setup() -> Setup:
    """Return the fakes, opened."""
    return open_setup(setup_spec())


def job(learned: str = "", **world_options: object) -> WorkerJob:
    """Return what an evaluation worker needs."""
    return WorkerJob(setup=setup_spec(**world_options).to_json(), rollout={"max_chunks": MAX_CHUNKS}, learned=learned)


class HerePool:
    """Does cells in this process, and counts them."""

    def __init__(self, job: WorkerJob, *, before: Callable[[Cell], None] = lambda cell: None) -> None:
        """Load what the job needs; `before` hears of each cell and may end the run."""
        self._runner, self._before = runner_class(job)(job), before
        self.ran: list[Cell] = []

    def ready(self) -> Ready:
        """Return the worker's facts."""
        return self._runner.ready

    def run(self, cells: Iterable[Cell]) -> Iterator[Result]:
        """Yield results in order."""
        for cell in cells:
            self._before(cell)
            self.ran.append(cell)
            yield self._runner.run(cell)

    def close(self) -> None:
        """Free what was loaded."""
        self._runner.close()


class StraightDemonstrator:
    """Moves to the left at 16 mm per step, 12 times."""

    def __init__(self) -> None:
        """Begin."""
        self._left = 12

    def act(self) -> np.ndarray | None:
        """Return the next action."""
        self._left -= 1
        if self._left < 0:
            return None
        return np.array([0.0, 0.016, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=np.float32)


def demonstrator(world: World, task: str, seed: int) -> StraightDemonstrator:
    """Return a demonstrator that knows how to reach left."""
    assert isinstance(world, PointWorld)
    return StraightDemonstrator()
