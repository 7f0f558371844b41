"""An evaluation worker: owns one world and one policy and runs cells. Imports torch only when it starts.

A cell is a test episode, or for the workers of `prepare` an attempt to record or a draw to train.

Every worker computes on one thread, so that n workers use n cores and results do not depend on the number of workers.
"""

import enum
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frs_core.choosers.address import ModelAddress
from frs_core.errors import FrsError
from frs_core.evaluation.draws import Draw
from frs_core.evaluation.results import Cell, Result
from frs_core.runtime.registry import without_secrets

if TYPE_CHECKING:
    from frs_core.choosers.vlm import VlmChooser
    from frs_core.evaluation.rollout import MethodRunner
    from frs_core.evaluation.setup import Setup


class Work(enum.Enum):
    """What a worker does with a cell."""

    JUDGE = "judge"
    """Run the test episode."""
    RECORD = "record"
    """Run the attempt and store a success in its set."""
    TRAIN = "train"
    """Train the draw's policy on the episodes of its set."""
    PRACTISE = "practise"
    """Drive an episode with the policy of a practice's round and return it."""


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """Settings of the workers of an evaluation, as plain values."""

    setup: dict[str, Any]
    """Of `SetupSpec.to_json`."""
    tasks: tuple[str, ...] = field(default=(), kw_only=True)
    """All tasks of the cells to come; a worker whose world lacks one does not start."""
    has_operator: bool = field(default=False, kw_only=True)
    """Whether a cell needs the scripted operator; a worker whose world has none does not start."""
    rollout: dict[str, Any] = field(default_factory=dict)
    """Arguments of RolloutSettings."""
    learned: str = ""
    """Root of trained policies."""
    films: str = ""
    """Folder for films of the episodes; empty = none."""
    film_seeds: tuple[int, ...] | None = None
    """Scenes that are filmed; None = all."""
    work: Work = Work.JUDGE
    sets: str = ""
    """Root of the sets of episodes, for recording and training."""
    learners: dict[str, Any] = field(default_factory=dict)
    """Learner id -> settings that differ from the defaults, as plain values."""
    vlm: dict[str, str] = field(default_factory=dict)
    """The model of `frs-vlm`: `address` and `model` (`choosers.address`) and `cache`, the folder for answers; empty = none."""
    judge: dict[str, str] = field(default_factory=dict)
    """Who judges episodes of practice (`arena.judge_options`); empty = the world does."""

    @property
    def conditions(self) -> dict[str, Any]:
        """Setup and limits as they are stored with results: without secrets."""
        options = {k: without_secrets(v) for k, v in self.setup.items() if k in ("world_options", "policy_options")}
        return {"setup": self.setup | options, "rollout": self.rollout}

    def reasoner(self) -> "VlmChooser | None":
        """Return the model of `frs-vlm`; None without one. Raises ConfigError where its address is not valid."""
        from frs_core.choosers.vlm import unwatched

        vlm = self.vlm
        return unwatched(ModelAddress(vlm["address"], vlm["model"]), cache=Path(vlm["cache"])) if vlm else None


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker can take episodes."""

    policy_fingerprint: str


class Runner:
    """Runs cells one after the other in the current process."""

    def __init__(self, job: WorkerJob) -> None:
        """Load world and policy.

        Raises:
            FrsError: they cannot be loaded or do not fit, or the world lacks a task.
        """
        import torch

        from frs_core.evaluation.rollout import RolloutSettings
        from frs_core.evaluation.setup import SetupSpec, open_setup

        torch.set_num_threads(1)
        self._job = job
        self._setup: Setup = open_setup(SetupSpec.from_json(job.setup), tasks=job.tasks, has_operator=job.has_operator)
        self._settings = RolloutSettings(**job.rollout)
        self._methods: dict[tuple[str, str], tuple[MethodRunner, str, float | None]] = {}
        self._draw: Draw | None = None
        self.ready = Ready(self._setup.policy.spec.fingerprint)

    def facts(self) -> Ready:
        """Return the facts about what this worker loaded."""
        return self.ready

    def run(self, cell: Cell) -> Result:
        """Run one cell and return its result; a failure becomes a result with an error."""
        try:
            return self._run(cell)
        except FrsError as error:
            return Result.failed(cell, str(error))
        except Exception as error:
            where = traceback.format_exc(limit=-2).replace("\n", " | ")
            return Result.failed(cell, f"{type(error).__name__}: {error} | {where}")

    def close(self) -> None:
        """Free world and policy."""
        self._setup.close()

    def _run(self, cell: Cell) -> Result:
        """Run one cell and return its result.

        Raises:
            FrsError: it could not be run.
        """
        from frs_core.evaluation.rollout import steered_chunks

        runner, trained, expected = self._runner(cell)
        film = self._film(cell)
        outcome = runner.run(task=cell.task, seed=cell.seed, show=film.add if film else None)
        if film:
            film.close()
        return Result(
            cell.method,
            cell.task,
            cell.seed,
            outcome.success,
            steps=outcome.steps,
            chunks=outcome.chunks,
            steered_chunks=steered_chunks(outcome),
            seconds=round(outcome.seconds, 3),
            trained=trained,
            episode_set=cell.episode_set,
            train_seed=cell.train_seed,
            forecast=expected,
            operator_noise=self._settings.operator_noise,
            spent=runner.spent,
        )

    def _runner(self, cell: Cell) -> "tuple[MethodRunner, str, float | None]":
        """Return (runner, weights hash, forecast) of a cell; keeps those of one draw at a time."""
        from frs_core.evaluation.methods import Actor, find_method
        from frs_core.evaluation.rollout import MethodRunner
        from frs_core.evaluation.trained import forecast, trained_hash, trained_path

        if cell.draw != self._draw:
            self._methods, self._draw = {}, cell.draw
        key = (cell.method, cell.task)
        if key not in self._methods:
            method = find_method(cell.method)
            folder = trained_path(method, self._job.learned, cell.task, cell.draw)
            reasoner = self._job.reasoner() if method.actor is Actor.REASONER else None
            runner = MethodRunner(method, self._setup, learned=folder, settings=self._settings, reasoner=reasoner)
            self._methods[key] = (runner, trained_hash(folder), forecast(folder))
        return self._methods[key]

    def _film(self, cell: Cell) -> "Any":
        job = self._job
        if not job.films or (job.film_seeds is not None and cell.seed not in job.film_seeds):
            return None
        from frs_core.evaluation.film import Film

        name = f"{cell.task}_{cell.method}_{cell.seed}.mp4".replace("/", "-")
        cameras = self._setup.world.spec.cameras
        return Film(Path(self._job.films) / name, cameras, fps=self._setup.world.spec.control_hz / 2)
