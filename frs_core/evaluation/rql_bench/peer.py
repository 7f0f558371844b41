"""The authors' code as a process beside ours: one training, or the time of an update.

Runs in the process of `frs bench rql`; the other interpreter sees one thread, as ours does.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation.rql_bench import official
from frs_core.evaluation.rql_bench.spec import BenchSpec
from frs_core.evaluation.rql_bench.tasks import single_task_of
from frs_core.evaluation.rql_bench.training import CURVE, OnPoint, Point, read_curve
from frs_core.runtime.foreign import read_text

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}

ROUNDS = 3
"""Of timing, ours and theirs in turn."""


@dataclass(frozen=True, slots=True)
class Official:
    """Where the authors' code is."""

    checkout: Path
    """Of github.com/aoberai/rql."""
    python: Path
    """An interpreter that has its requirements."""

    def __post_init__(self) -> None:
        if not (self.checkout / "agents" / "rql.py").is_file():
            raise ConfigError(
                f"'{self.checkout}' is not a checkout of the authors' code: agents/rql.py is missing. Clone github.com/aoberai/rql and "
                f"name that folder with --official."
            )
        if not self.python.is_file():
            raise ConfigError(
                f"There is no interpreter at '{self.python}'. Name one that has jax with --official-python."
            )

    def train(self, spec: BenchSpec, rows: Path, *, seed: int, folder: Path, on_point: OnPoint) -> list[Point]:
        """Return the curve of one training; one that is there already is not made again.

        Args:
            spec: sizes and schedule.
            rows: file of `Rows.save`.
            seed: of everything.
            folder: where the curve is kept. The authors' code saves no agent in between, so a killed run starts again.
            on_point: called after each evaluation.
        Raises:
            TrainingError: it failed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / CURVE).is_file():
            job = {"wanted": "train", "curve": str((folder / CURVE).resolve())}
            with self._started(spec, rows, seed, folder, job) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    on_point(Point(**json.loads(line)))
            self._check(process, folder)
        return read_curve(folder)

    def times(
        self, spec: BenchSpec, rows: Path, *, folder: Path, updates: int, own: list[float], measure: Callable[[], float]
    ) -> list[float]:
        """Return processor seconds per update in rounds that alternate with ours.

        Args:
            spec: sizes.
            rows: file of `Rows.save`.
            folder: for job and log.
            updates: per round.
            own: is given our times, one per round.
            measure: returns ours of one round.
        Raises:
            TrainingError: it failed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        theirs: list[float] = []
        with self._started(spec, rows, 0, folder, {"wanted": "time", "updates": updates}) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(ROUNDS):
                own.append(measure())
                # Past the buffer: one that has ended is found out here, and not once more when the pipe is closed.
                with contextlib.suppress(BrokenPipeError):
                    os.write(process.stdin.fileno(), b"go\n")
                if not (answer := process.stdout.readline()):
                    break
                theirs.append(float(answer))
        self._check(process, folder)
        return theirs

    def _started(
        self, spec: BenchSpec, rows: Path, seed: int, folder: Path, wanted: dict[str, Any]
    ) -> "subprocess.Popen[str]":
        config = spec.config
        job = {
            "checkout": str(self.checkout.resolve()),
            "rows": str(rows.resolve()),
            "seed": seed,
            "environment": single_task_of(spec.task),
            "hidden": list(config.hidden),
            "batch": spec.batch,
            "steps": spec.steps,
            "evaluate_every": spec.evaluate_every,
            "eval_episodes": spec.eval_episodes,
            "config": {
                "h": spec.rows,
                "alpha": config.alpha,
                "expectile": config.expectile,
                "rho": config.pessimism,
                "discount": config.discount,
                "ensemble_ct": config.heads,
                "batch_size": spec.batch,
                "flow_steps": config.flow_steps,
                "lr": config.learning_rate,
                "tau": config.target_rate,
                "ema": config.average,
            },
            **wanted,
        }
        path = folder / "job.json"
        path.write_text(json.dumps(job, indent=2) + "\n")
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MUJOCO_GL")}
        with (folder / "log.txt").open("w") as log:
            return subprocess.Popen(
                [str(self.python), str(Path(official.__file__).resolve()), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**environment, **_ONE_THREAD},
            )

    def _check(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        """Raise unless the process ended well."""
        if process.returncode:
            last = (read_text(folder / "log.txt").strip().splitlines() or ["it said nothing"])[-1]
            raise TrainingError(
                f"The authors' code ended with exit code {process.returncode}: {last}. The whole of it is in '{folder / 'log.txt'}'; "
                f"check that '{self.python}' has its requirements."
            )
