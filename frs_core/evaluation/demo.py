"""The whole workflow in one run: steer ten successes, train on them, compare on fresh scenes, write a report.

Example on two cores: 10 steered successes, three trainings, 4 methods x 10 fresh scenes, one HTML report with images and films.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from frs_core.counts import counted
from frs_core.episodes import Episode, EpisodeStore
from frs_core.errors import ConfigError
from frs_core.evaluation.collect import Collected, collect_steered, store_at
from frs_core.evaluation.film import side_by_side
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.plots import success_bars
from frs_core.evaluation.report import Media, Section, film, markdown_rows, plot, still, write_report
from frs_core.evaluation.results import Result, latest
from frs_core.evaluation.runner import EvalProgress, EvalSpec, run_evaluation
from frs_core.evaluation.setup import Setup, SetupSpec, open_setup
from frs_core.evaluation.tables import ALL, markdown, rates, title
from frs_core.evaluation.wilson import format_rate
from frs_core.evaluation.worker import WorkerJob
from frs_core.learning.process import TrainJob
from frs_core.learning.progress import TrainResult
from frs_core.learning.registry import find_learner
from frs_core.learning.request import TrainRequest
from frs_core.learning.settings import LearnerSettings
from frs_core.runtime.bounds import Bounds, Count, Workers, require_bounds

METHODS = ("base", "frs", "dsbc", "bc-gaussian")
LEARNED = tuple(name for name in METHODS if find_method(name).learned)
FIRST_SEED, FRESH_SEED = 20_000, 30_000
"""First scenes of the steered episodes and of the comparison; no other use of scenes overlaps with them."""
SEED_STEP = 100_000_000
"""Added to both for each step of `DemoSpec.seed`; all other scene seeds are smaller."""
LARGEST_SEED = 20
"""Keeps scene seeds below 2^31."""
DemoSeed = Annotated[int, Bounds(0, LARGEST_SEED)]
"""Of a demo."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoSpec:
    """Settings of a demo."""

    task: str
    """Empty = the world's example task."""
    out: Path
    """Folder for all output; must be new."""
    setup: SetupSpec
    episodes: Count = 10
    """Steered successes to learn from."""
    trials: Count = 10
    """Number of fresh scenes per method."""
    max_chunks: Count = 40
    workers: Workers = 2
    seed: DemoSeed = 0
    """Selects the scenes to steer, the training seed and the fresh scenes."""
    learners: Mapping[str, LearnerSettings] = field(default_factory=dict)
    """Learner id -> settings that differ from the defaults."""
    films: bool = True

    def __post_init__(self) -> None:
        require_bounds(self)

    @property
    def first_steered(self) -> int:
        """Scene of the first steered attempt."""
        return FIRST_SEED + SEED_STEP * self.seed

    @property
    def first_fresh(self) -> int:
        """First scene of the comparison."""
        return FRESH_SEED + SEED_STEP * self.seed


def run_demo(spec: DemoSpec, say: Say) -> Path:
    """Run the demo and return the path of the report.

    Args:
        spec: task, sizes and output folder.
        say: called with progress messages.
    Raises:
        FrsError: a step failed.
    """
    began = time.monotonic()
    setup = open_setup(spec.setup, tasks=(spec.task,) if spec.task else ())
    try:
        spec = replace(spec, task=_task(spec, setup))
        setup.operator()  # Refused here, before anything is written or said, where the world has none.
        store = store_at(spec.out)
        collected = _steer(spec, setup, store, say)
        fingerprint = setup.policy.spec.fingerprint
    finally:
        setup.close()
    trained = _train(spec, store, fingerprint, say)
    results = _compare(spec, say)
    page = _report(spec, store, collected, trained, results, time.monotonic() - began)
    say(f"Done in {time.monotonic() - began:.0f} s. The report is at {page}")
    return page


def _task(spec: DemoSpec, setup: Setup) -> str:
    task = spec.task or setup.world.spec.example_task
    if not task:
        raise ConfigError(f"World '{setup.spec.world}' names no example task. Name one with --task.")
    return task


def _steer(spec: DemoSpec, setup: Setup, store: EpisodeStore, say: Say) -> Collected:
    from frs_core.evaluation.rollout import RolloutSettings

    say(f"Steering task '{spec.task}' with the scripted operator for {counted(spec.episodes, 'success', 'successes')}")
    return collect_steered(
        setup,
        store,
        task=spec.task,
        count=spec.episodes,
        first_seed=spec.first_steered,
        settings=RolloutSettings(max_chunks=spec.max_chunks),
        step_images=False,
        on_episode=lambda good, tries, _: say(f"  {good} of {spec.episodes} after {counted(tries, 'attempt')}"),
    )


def _train(spec: DemoSpec, store: EpisodeStore, fingerprint: str, say: Say) -> dict[str, TrainResult]:
    trained: dict[str, TrainResult] = {}
    for method in LEARNED:
        job = TrainJob(
            TrainRequest(
                kind=method,
                root=store.root,
                episodes=(),
                task=spec.task,
                out=_learned(spec) / spec.task / method,
                fingerprint=fingerprint,
                policy=spec.setup.policy,
                settings=find_learner(method).checked(spec.learners.get(method)).seeded(spec.seed),
            )
        )
        job.start()
        try:
            trained[method] = job.wait()
        finally:
            job.close()
        result = trained[method]
        say(f"Trained {title(method)} on {counted(result.chunks, 'chunk')} in {result.seconds:.1f} s")
    return trained


def _compare(spec: DemoSpec, say: Say) -> list[Result]:
    say(f"Comparing {', '.join(title(m) for m in METHODS)} on {spec.trials} fresh scenes each")
    seeds = tuple(range(spec.first_fresh, spec.first_fresh + spec.trials))
    job = WorkerJob(
        setup=spec.setup.to_json(),
        rollout={"max_chunks": spec.max_chunks},
        learned=str(_learned(spec)),
        films=str(_films(spec)) if spec.films else "",
        film_seeds=seeds[:1],
    )

    def report(progress: EvalProgress) -> None:
        if progress.done % len(METHODS) == 0:
            say(f"  {progress.done} of {counted(progress.total, 'episode')}, {progress.seconds_left:.0f} s left")

    evaluation = EvalSpec(METHODS, (spec.task,), seeds, job)
    workers = max(1, min(spec.workers, os.cpu_count() or 1))
    return latest(run_evaluation(evaluation, spec.out / "results.jsonl", workers=workers, on_progress=report))


def _report(
    spec: DemoSpec,
    store: EpisodeStore,
    collected: Collected,
    trained: dict[str, TrainResult],
    results: list[Result],
    seconds: float,
) -> Path:
    pooled = {r.method: r for r in rates(results) if r.task == ALL}
    words = {m: format_rate(r.successes, r.trials) for m, r in pooled.items()}
    lead = (
        f"Without steering, the generalist succeeds at '{spec.task}' in {words['base']} of fresh scenes. Steered with one coarse "
        f"direction per chunk, it succeeds in {words['frs']}. A noise policy (DSBC) trained for {trained['dsbc'].seconds:.0f} s "
        f"on {spec.episodes} of the steered episodes reaches {words['dsbc']} without anyone steering. This is one set of "
        f"episodes and one training run: the intervals cover the choice of scenes only. Other sets do better or worse; "
        f"`frs demo --seed {spec.seed + 1}` runs another."
    )
    films = [
        film(path, f"{title(method)}, scene {spec.first_fresh}: {_outcome(results, method, spec.first_fresh)}")
        for method in METHODS
        if (path := _films(spec) / f"{spec.task}_{method}_{spec.first_fresh}.mp4").is_file()
    ]
    sections = (
        Section(
            "Success on fresh scenes",
            table=markdown_rows(markdown(results)),
            media=(plot(success_bars(results), "Bars: success; lines: 95 % Wilson interval."),),
        ),
        Section("The same scene under each method", media=tuple(films)),
        Section(
            "Training episodes",
            text=(
                f"{counted(len(collected.names), 'success', 'successes')} in {counted(collected.attempts, 'attempt')} "
                f"({collected.seconds:.0f} s), scenes {collected.seeds[0]} to {collected.seeds[-1]}. Each row below shows one "
                f"episode: the policy's images at the first, middle and last chunk, and the operator's pick.",
            ),
            media=tuple(item for name in collected.names[:3] for item in _media(store.open(name))),
        ),
        Section("Training results", table=_scores(trained)),
        Section(
            "Reproduce this report",
            text=(f"The whole demo took {seconds:.0f} s with {counted(spec.workers, 'worker')}.",),
            command=f"frs demo --task {spec.task} --episodes {spec.episodes} --trials {spec.trials} --seed {spec.seed}",
        ),
    )
    return write_report(spec.out / "report.html", "Steer, record, learn", lead, sections)


def _media(episode: Episode) -> list[Media]:
    line = episode.main_line
    chosen = [line[0], line[len(line) // 2], line[-1]]
    stills: list[Media] = []
    for chunk in dict.fromkeys(chosen):
        observation = episode.observation(chunk)
        pick = episode.offers(chunk)
        image = side_by_side(observation, tuple(observation.frames))
        stills.append(still(image, f"Chunk {chunk}: the operator picked {pick.labels[pick.picked]}"))
    return stills


def _scores(trained: dict[str, TrainResult]) -> tuple[tuple[str, ...], ...]:
    head = (
        "learner",
        "chunks",
        "seconds",
        "error",
        "measured on",
        "constant output",
        "random noise",
        "agrees with operator",
    )
    rows = []
    for method, result in trained.items():
        scores = result.scores
        rows.append(
            (
                title(method),
                str(result.chunks),
                f"{result.seconds:.1f}",
                f"{scores.error_after:.3f}",
                "held-out episodes" if scores.is_held_out else "what it learned from",
                f"{scores.error_constant:.3f}",
                "–" if scores.error_before != scores.error_before else f"{scores.error_before:.3f}",
                "–" if scores.agreement_after != scores.agreement_after else f"{100 * scores.agreement_after:.0f} %",
            )
        )
    return (head, *rows)


def _outcome(results: list[Result], method: str, scene: int) -> str:
    for result in results:
        if (result.method, result.seed) == (method, scene):
            return f"success after {counted(result.steps, 'step')}" if result.success else "not done in time"
    return "not run"


def _learned(spec: DemoSpec) -> Path:
    return spec.out / "learned"


def _films(spec: DemoSpec) -> Path:
    return spec.out / "films"
