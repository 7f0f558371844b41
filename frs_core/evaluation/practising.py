"""An actor of a practice: drives whole episodes with the policy of the round, in its own process."""

from pathlib import Path

import cv2
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.evaluation.arena import SetupArena, make_judge
from frs_core.evaluation.monitor import Driven
from frs_core.evaluation.results import Cell
from frs_core.evaluation.worker import Runner, WorkerJob
from frs_core.learning.base import Learned
from frs_core.learning.metadata import read_metadata
from frs_core.learning.registry import load_learned
from frs_core.learning.settings import InputSettings, from_json

IMAGE_WIDTH = 320
"""Pixels; 0.2 MB a camera, on its way between processes once in an episode."""


class Practising(Runner):
    """Drives episodes with saved policies, and returns them as tables."""

    def __init__(self, job: WorkerJob) -> None:
        """Load world and policy."""
        super().__init__(job)
        self._actor: tuple[str, Learned] | None = None
        self._judge = make_judge(job.judge)

    def _run(self, cell: Cell) -> Driven:
        """Return the episode of one cell; its method is the folder of who drives."""
        folder = Path(cell.method)
        if self._actor is None or self._actor[0] != cell.method:
            self._actor = (cell.method, load_learned(folder, self.ready.policy_fingerprint))
        inputs = from_json(InputSettings, read_metadata(folder).settings.get("inputs", {}))
        arena = SetupArena(
            self._setup,
            task=cell.task,
            max_chunks=self._settings.max_chunks,
            inputs=inputs,
            judge=self._judge,
        )
        table = arena.run(self._actor[1], seed=cell.seed)
        seen = arena.last_seen
        return Driven(
            cell.method,
            cell.task,
            cell.seed,
            bool(table.terminal.any()),
            chunks=table.rows,
            table=table,
            images={} if seen is None else {name: _small(frame.image) for name, frame in seen.frames.items()},
        )


def _small(image: UInt8[Array, "H W 3"]) -> UInt8[Array, "h w 3"]:
    height, width = image.shape[:2]
    share = min(1.0, IMAGE_WIDTH / width)
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
