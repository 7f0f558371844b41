"""A practice from recorded episodes to the best version, with its curve on disk as it goes.

Example: `run_practice(request, folder, actors=2)` drives 100 episodes in two processes, judges the learner at 0, 50 and 100, keeps
`curve.json` and `curve.png` in the folder, and puts the best version where `request.out` says. Given again, it resumes.
Runs in the command's process.
"""

import json
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure

from frs_core.counts import counted
from frs_core.errors import ConfigError, FrsError, TrainingError
from frs_core.evaluation.actors import ActorPool
from frs_core.evaluation.monitor import Monitor
from frs_core.evaluation.plots import save_figure
from frs_core.evaluation.wilson import wilson
from frs_core.learning.base import Arena, OnlineLearner, Trained
from frs_core.learning.online import practise
from frs_core.learning.practice_log import Point, PracticeLog
from frs_core.learning.practice_record import reason_of, write_budget
from frs_core.learning.progress import OnProgress, ignore_progress
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Practice, TrainRequest
from frs_core.learning.sources import find_source
from frs_core.learning.table_file import write_file

_SHORT_OF_MEMORY = ("can't allocate memory", "out of memory")
OpenArena = Callable[[Path, Monitor], Arena]
"""Opens the arena of a practice: from the folder of its actors, and who is notified of every episode."""


@dataclass(frozen=True, slots=True)
class Practised:
    """What a practice left."""

    path: Path
    """The best version, where `frs eval` looks for it; the last one where none was judged."""
    best: Point | None
    curve: tuple[Point, ...]
    episodes: int
    """Of its own, in whole rounds."""
    seconds: float


@contextmanager
def _memory() -> Generator[None, None, None]:
    """Say in a sentence that memory ran out. Raises TrainingError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # The tensor library has no error of its own for main memory.
        is_short = isinstance(error, MemoryError) or any(words in str(error) for words in _SHORT_OF_MEMORY)
        if isinstance(error, FrsError) or not is_short:
            raise
        raise TrainingError(
            "There was not enough memory to continue. Close other programs and start it again, with fewer actors; what was practised is kept."
        ) from error


@_memory()
def run_practice(
    request: TrainRequest,
    folder: Path,
    *,
    actors: int = 2,
    open_arena: OpenArena | None = None,
    on_progress: OnProgress = ignore_progress,
    on_point: Callable[[Point], None] = lambda point: None,
    monitor: Monitor | None = None,
) -> Practised:
    """Return what was practised; the best version is saved at `request.out` as soon as it is known.

    Args:
        request: learner, episodes, task, practice.
        folder: its log; a practice in it is resumed.
        actors: processes of this machine that drive.
        open_arena: where it acts instead.
        on_progress: called after each episode; False stops, and the same call resumes it later.
        on_point: called after each look at how well it does.
        monitor: notified of every episode; what it raises ends the practice, and the same call resumes it later.
    Raises:
        ConfigError: a learner that cannot practise, no task, or a folder of another practice.
        TrainingError, FingerprintMismatch, EpisodeError: episodes it cannot start from, a full disk, or too little memory.
    """
    practice, row = request.practice or Practice(), find_learner(request.kind)
    learner = row.load()
    if not isinstance(learner, OnlineLearner):
        raise ConfigError(f"Learner '{row.id}' does not practise. Use `frs train {row.id}`.")
    has_prior = practice.prior and row.starts_from_recordings
    prior = find_source(request.source)(request, ignore_progress) if has_prior else None
    log = PracticeLog(folder, request, prior)
    write_budget(folder, practice)
    open_arena = open_arena or (lambda folder, looks: ActorPool(request, actors=actors, folder=folder, monitor=looks))
    arena = open_arena(folder / "actors", monitor or Monitor())

    def judged(point: Point) -> None:
        write_curve(log.curve, folder, title=f"{row.title}, {request.task}")
        if log.best is point:
            _put(log.version(point), request.out)
        on_point(point)

    try:
        done = practise(learner, arena, request, prior=prior, log=log, on_progress=on_progress, on_point=judged)
    finally:
        arena.close()
    best = log.best
    version = done.trained if best is None else log.version(best)
    path = _put(version, request.out)
    return Practised(path, best, log.curve, log.episodes, done.seconds)


def write_curve(curve: Sequence[Point], folder: Path, *, title: str) -> None:
    """Write `curve.json` and `curve.png`. Raises TrainingError where the disk refused."""
    points = [{**asdict(p), "interval": wilson(p.successes, p.scenes)} for p in curve]
    write_file(folder / "curve.json", (json.dumps(points, indent=2) + "\n").encode())
    try:
        save_figure(curve_figure(curve, title=title), folder / "curve.png")
    except OSError as error:
        raise TrainingError(
            f"'{folder / 'curve.png'}' could not be written: {error.strerror or error}. Free some space and start it "
            f"again; what was practised is kept."
        ) from error


def curve_figure(curve: Sequence[Point], *, title: str) -> Figure:
    """Return a plot of success against attempts, with 95 % intervals, and of success while exploring."""
    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.subplots()
    judged = [p for p in curve if p.scenes]
    if judged:
        x = [p.episodes for p in judged]
        intervals = [wilson(p.successes, p.scenes) for p in judged]
        low, high = ([100 * interval[i] for interval in intervals] for i in (0, 1))
        axes.fill_between(x, low, high, color="#cfe3f2")
        rates = [100 * p.successes / p.scenes for p in judged]
        axes.plot(x, rates, "o-", color="#0072B2", label=f"judged ({counted(judged[-1].scenes, 'scene')})")
    tried = [(p.episodes, 100 * p.own_successes / p.own_episodes) for p in curve if p.own_episodes]
    if tried:
        axes.plot(*zip(*tried, strict=True), "s--", color="#D55E00", markersize=4, label="while exploring")
    axes.set_ylim(0, 103)
    axes.set_xlabel("Episodes of its own")
    axes.set_ylabel("Success, %")
    axes.grid(color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    if judged or tried:
        axes.legend(frameon=False, loc="lower right", fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    return figure


def _put(version: "Path | Trained", out: Path) -> Path:
    """Put a policy where it is looked for, in the place of an earlier one."""
    if isinstance(version, Trained):
        return version.save(out, overwrite=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(version, partial)
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingError(
            f"The best version could not be copied to '{out}': {reason_of(error)}. It is in '{version}'; free some space "
            f"and start it again."
        ) from error
    return out
