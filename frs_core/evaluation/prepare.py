"""Prepare draws for their test: record sets of episodes and train on them. Runs in workers.

Each set has its own store, `<sets>/set-001/<task>/steered` (or `demonstrations`). A recording cell is one attempt at one
scene: a success is kept, a failure is discarded. A training cell is one draw of one method; a digest of its request is
written beside the weights (`request.json`), so that a draw is trained again only if the request changes.

Example: `Cell("frs", "mug_on_plate", 20_001_004, episode_set=1)` is the fifth attempt of set 1.
"""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from frs_core.counts import counted
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.errors import TrainingError
from frs_core.evaluation.collect import store_at
from frs_core.evaluation.demonstrate import record_demonstration
from frs_core.evaluation.draws import set_folder
from frs_core.evaluation.methods import find_method, learns_from
from frs_core.evaluation.results import Cell, Result
from frs_core.evaluation.rollout import MethodRunner
from frs_core.evaluation.setup import SetupSpec
from frs_core.evaluation.trained import trained_hash, trained_path
from frs_core.evaluation.worker import Runner, WorkerJob
from frs_core.events import Outcome
from frs_core.learning.registry import find_learner
from frs_core.learning.request import TrainRequest
from frs_core.learning.settings import from_json, to_json
from frs_core.runtime.foreign import read_json

STEERING, DEMONSTRATION = "frs", "demonstration"
"""Methods of recording cells."""
STAMP = "request.json"


def set_store(sets: str, episode_set: int, task: str, *, demonstrations: bool) -> Path:
    """Return the root of the store of a set."""
    return Path(sets) / set_folder(episode_set) / task / ("demonstrations" if demonstrations else "steered")


def successes_by_scene(root: Path) -> dict[int, str]:
    """Return scene -> name of the successful episodes of a store, sorted by scene; empty without a store."""
    if not root.is_dir():
        return {}
    kept = {i.seed: i.name for i in EpisodeStore(root).list() if i.outcome is Outcome.SUCCESS}
    return dict(sorted(kept.items()))


class Recording(Runner):
    """Records attempts of the scripted operator or of the demonstrator."""

    def _run(self, cell: Cell) -> Result:
        """Drive one attempt; skip it if its episode is already stored, as after an interrupted run."""
        began = time.monotonic()
        demonstrations = cell.method == DEMONSTRATION
        root = set_store(self._job.sets, cell.episode_set, cell.task, demonstrations=demonstrations)
        success = cell.seed in successes_by_scene(root)
        if not success:
            recorder = JournalRecorder(store_at(root))
            try:
                success = self._drive(recorder, cell)
            finally:
                recorder.abort()
        seconds = round(time.monotonic() - began, 3)
        return Result(cell.method, cell.task, cell.seed, success, seconds=seconds, episode_set=cell.episode_set)

    def _drive(self, recorder: JournalRecorder, cell: Cell) -> bool:
        setup, settings = self._setup, self._settings
        if cell.method == DEMONSTRATION:
            steps = settings.max_chunks * setup.policy.spec.execute_rows
            return record_demonstration(setup, recorder, task=cell.task, seed=cell.seed, max_steps=steps)[0]
        runner = MethodRunner(find_method(cell.method), setup, settings=settings, recorder=recorder, step_images=False)
        return runner.run(task=cell.task, seed=cell.seed, keep_failures=False).success


class Training(Runner):
    """Trains draws."""

    def _run(self, cell: Cell) -> Result:
        """Train one draw of one method; the cell's scene is not used."""
        from frs_core.learning.run import run_request

        began = time.monotonic()
        request = train_request(self._job, cell, self.ready.policy_fingerprint)
        run_request(request)
        (request.out / STAMP).write_text(json.dumps({"digest": digest(request)}) + "\n", encoding="utf-8")
        return Result(
            cell.method,
            cell.task,
            cell.seed,
            True,
            seconds=round(time.monotonic() - began, 3),
            trained=trained_hash(request.out),
            episode_set=cell.episode_set,
            train_seed=cell.train_seed,
        )


def train_request(job: WorkerJob, cell: Cell, fingerprint: str) -> TrainRequest:
    """Return the training request of a draw of a method.

    Args:
        job: folders of sets and trained policies, and settings of the learners.
        cell: method, task, draw.
        fingerprint: of the generalist.
    Raises:
        TrainingError: its set has too few episodes.
    """
    method = find_method(cell.method)
    need = learns_from(method)
    out = trained_path(method, job.learned, cell.task, cell.draw)
    if need is None or out is None:
        raise TrainingError(f"Method '{cell.method}' has nothing to train. Leave it out.")
    root = set_store(job.sets, cell.episode_set, cell.task, demonstrations=need.demonstrations)
    names = list(successes_by_scene(root).values())[: need.episodes]
    if len(names) < need.episodes:
        raise TrainingError(
            f"Set {cell.episode_set} of task '{cell.task}' has {counted(len(names), 'episode')}, '{cell.method}' learns from "
            f"{need.episodes}. Run the same command again to collect the rest."
        )
    row = need.learner
    settings = from_json(row.settings, job.learners.get(row.id, {}))
    return TrainRequest(
        kind=row.id,
        root=root,
        episodes=tuple(names),
        out=out,
        fingerprint=fingerprint,
        task=cell.task,
        policy=SetupSpec.from_json(job.setup).policy,
        settings=settings.seeded(cell.train_seed),
        overwrite=True,
    )


def is_trained(request: TrainRequest) -> bool:
    """Return whether this exact request was trained and saved before."""
    if not (request.out / STAMP).is_file():
        return False
    try:
        stamp: Any = read_json(request.out / STAMP)
    except (OSError, ValueError):
        return False
    return isinstance(stamp, dict) and stamp.get("digest") == digest(request) and bool(trained_hash(request.out))


def digest(request: TrainRequest) -> str:
    """Return a short hash of a request's data and settings."""
    settings = to_json(find_learner(request.kind).checked(request.settings))
    what = {
        "kind": request.kind,
        "episodes": request.episodes,
        "fingerprint": request.fingerprint,
        # Kept separate, so that stamps of earlier versions still match.
        "labels": settings.pop("labels", None),
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
