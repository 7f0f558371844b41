"""`frs eval` and `frs collect`: compare methods and collect training episodes from a terminal.

Each function is one command; its arguments are the options, its docstring is the help text.

Example: `frs collect mug_on_plate`, `frs train dsbc --task mug_on_plate`,
`frs eval --methods base frs dsbc --tasks mug_on_plate --seeds 50 --workers 2`.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markdown import Markdown

from frs_core import paths
from frs_core.choosers.address import EXAMPLE, NO_MODEL, ModelAddress
from frs_core.choosers.answers import FOLDER
from frs_core.choosers.base import Chooser
from frs_core.choosers.registry import (
    ChooserOptions,
    ChooserSpec,
    Setting,
    find_chooser,
    make_chooser,
    typed_chooser_options,
)
from frs_core.choosers.vlm import VlmChooser, unwatched
from frs_core.commands.printing import console, mark
from frs_core.counts import counted
from frs_core.errors import ConfigError, FrsError
from frs_core.evaluation import draw_tables
from frs_core.evaluation.collect import collect_demonstrations, collect_steered, store_at
from frs_core.evaluation.draw_plots import forecast_against_outcome, success_of_draws
from frs_core.evaluation.draws import draws
from frs_core.evaluation.methods import Actor, find_method, refuse_noise_without_operator, with_episodes
from frs_core.evaluation.plots import save_figure, success_bars, success_by_episodes
from frs_core.evaluation.pool import Pool
from frs_core.evaluation.reliability import reliability
from frs_core.evaluation.repeats import RepeatSpec, Stage, run_repeats
from frs_core.evaluation.results import Result, latest, read_results
from frs_core.evaluation.rollout import Displacement, RolloutSettings
from frs_core.evaluation.runner import EvalProgress, EvalSpec, cell_timeout_s, run_evaluation
from frs_core.evaluation.setup import Setup, SetupSpec, open_setup
from frs_core.evaluation.tables import ALL, as_json, markdown
from frs_core.evaluation.worker import WorkerJob
from frs_core.policies import NamedPolicy, PolicyOptions, WorldsPolicyName, usual_policy
from frs_core.runtime.bounds import Count, CountOrNone, Seed, Share, Workers
from frs_core.runtime.folders import recording_root
from frs_core.runtime.registry import Option, plain_options
from frs_core.worlds import DEFAULT as DEFAULT_WORLD
from frs_core.worlds import WorldName, WorldOptions

Task = Annotated[str, tyro.conf.Positional]
Model = Annotated[ModelAddress, tyro.conf.arg(name="")]
FIRST_SEED = 100_000
"""First scene of tests."""
Folder = Annotated[Path, tyro.conf.Positional]


def evaluate(
    *,
    methods: tuple[str, ...] = ("base", "frs"),
    tasks: tuple[str, ...],
    seeds: Count = 50,
    first_seed: Seed = FIRST_SEED,
    out: Path | None = None,
    learned: Path | None = None,
    world: WorldName = DEFAULT_WORLD,
    world_options: WorldOptions = None,
    policy: WorldsPolicyName = None,
    policy_options: PolicyOptions = None,
    action_space: str = "",
    scripted_operator: str = "",
    demonstrator: str = "",
    max_chunks: Count = 40,
    perturb_m: Displacement = 0.0,
    operator_noise: Share = 0.0,
    model: Model = NO_MODEL,
    workers: Workers | None = None,
    films: Path | None = None,
    film_seeds: tuple[Seed, ...] = (),
    ray: bool = False,
    ray_address: str | None = None,
    repeats: CountOrNone = 0,
    train_seeds: Count = 1,
    episodes: tuple[Count, ...] = (),
    first_set: Count = 1,
) -> int:
    """Compare methods over tasks and scenes in parallel, with Wilson intervals; run it again to resume.

    Methods: base, direct, partial-noising, sample-and-rank, flow-control, frs-plain (paper's settings), frs (calibrated), frs-vlm
    (steered by a vision-language model), and every learner of `frs --help`; learners also by number of episodes, such as dsbc@3.

    With --repeats, learners are tested over many sets of episodes and training seeds, each on new scenes: sets are collected
    (steered by the scripted operator), policies are trained and tested as needed, and the table shows the spread. Ten sets
    of four tasks take hours; progress is shown.

    Args:
        methods: Methods to compare.
        tasks: Task names of the world.
        seeds: Scenes per method and task; with --repeats, also per set and training seed.
        first_seed: Number of the first scene; the default is reserved for tests, use another during development.
        out: Folder for results.jsonl, table.md, table.json and plots; default <data>/evaluations/<world>, with --repeats
            <data>/evaluations/<world>-repeats.
        learned: Root of trained policies; default <data>/learned.
        world: Robot or simulator.
        world_options: Options of the world: NAME VALUE ….
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        action_space: joint_velocity or joint_position: convert the tool deltas of a generalist to joints; default its own.
        scripted_operator: Your own scripted operator, module:Class; default the world's.
        demonstrator: Your own demonstrator, module:function; default the world's; for offline-dsbc with --repeats.
        max_chunks: Maximum length of an episode, in chunks.
        perturb_m: Distance, in metres, by which the tool is displaced from its start pose before each rollout.
        operator_noise: Fraction of the operator's chunks, 0 to 1, that get a wrong direction; drawn by scene and chunk.
        model: The model of frs-vlm.
        workers: Processes on this machine, or Ray workers; default one per core, with --repeats at most two.
        films: Folder for films of the rollouts.
        film_seeds: Film these scenes only; default all.
        ray: Run on a Ray cluster instead of processes (needs the extra 'ray').
        ray_address: Address of a running cluster; default one on this machine.
        repeats: Sets of episodes to collect per task; 0 = test the policies in --learned.
        train_seeds: Training seeds per set.
        episodes: Numbers of steered successes to train on, one row each (10 3 5); default 10.
        first_set: Number of the first set; it determines their scenes (docs/learning.md).
    """
    for name in methods:
        find_method(name)
    refuse_noise_without_operator(methods, operator_noise)
    vlm = _vlm(methods, model)
    rollout = RolloutSettings(max_chunks, perturb_m, operator_noise).to_json()
    cores = os.cpu_count() or 1
    count = workers or (min(2, cores) if repeats else cores)
    out = out or paths.data() / "evaluations" / (f"{world}-repeats" if repeats else world)
    setup = SetupSpec(
        world=world,
        world_options=plain_options(world_options),
        policy=NamedPolicy(policy or usual_policy(world), plain_options(policy_options), action_space),
        operator=scripted_operator,
        demonstrator=demonstrator,
    ).to_json()
    spec: EvalSpec | RepeatSpec
    if repeats:
        _refuse_with_repeats(
            {
                "first-seed": first_seed != FIRST_SEED,
                "learned": learned,
                "films": films,
                "film-seeds": film_seeds,
                "operator-noise": operator_noise,
            }
        )
        spec = RepeatSpec(
            methods=with_episodes(methods, episodes),
            tasks=tasks,
            draws=draws(repeats, train_seeds, first_set=first_set),
            scenes=seeds,
            out=out,
            setup=setup,
            max_chunks=max_chunks,
            perturb_m=perturb_m,
            vlm=vlm,
        )
    else:
        _refuse_without_repeats({"train-seeds": train_seeds != 1, "episodes": episodes, "first-set": first_set != 1})
        job = WorkerJob(
            setup=setup,
            rollout=rollout,
            learned=str(learned or paths.data() / "learned"),
            films=str(films) if films else "",
            film_seeds=film_seeds or None,
            vlm=vlm,
        )
        spec = EvalSpec(methods, tasks, tuple(range(first_seed, first_seed + seeds)), job)
    pool = _ray_pool(spec.job, count, ray_address) if ray else None
    return _run(spec, out, count, pool)


def _run(spec: EvalSpec | RepeatSpec, out: Path, workers: int, pool: Pool | None) -> int:
    """Run an evaluation, write and show its table; return 1 if an episode could not be run."""
    page = console()
    if isinstance(spec, RepeatSpec):
        results = run_repeats(spec, workers=workers, pool=pool, on_stage=_stage_teller(page))
    else:
        results = run_evaluation(spec, out / "results.jsonl", workers=workers, pool=pool, on_progress=_teller(page))
    _write(results, out, page)
    return 1 if any(r.error for r in results) else 0


def _vlm(methods: tuple[str, ...], model: ModelAddress) -> dict[str, str]:
    """Return the model of the methods that need one as plain values. Raises ConfigError where it is missing, or not needed."""
    is_needed = any(find_method(name).actor is Actor.REASONER for name in methods)
    if is_needed and not model.vlm:
        raise ConfigError(f"Method 'frs-vlm' needs a model. Give its address, e.g. {EXAMPLE}.")
    if not is_needed and model != NO_MODEL:
        raise ConfigError(
            "--vlm is the model of method 'frs-vlm', and that is not among the methods. Add it, or leave --vlm out."
        )
    if not is_needed:
        return {}
    cache = paths.data() / FOLDER
    unwatched(model, cache=cache)  # Refused here, before anything is loaded, where the address is not valid.
    return {"address": model.vlm, "model": model.vlm_model, "cache": str(cache.resolve())}


def _ray_pool(job: WorkerJob, workers: int, address: str | None) -> Pool:
    from frs_core.evaluation.ray_pool import RayPool

    return RayPool(job, workers=workers, address=address, cell_timeout_s=cell_timeout_s(job))


def show(folder: Folder) -> int:
    """Make tables and plots from the results of an evaluation.

    Args:
        folder: Folder with results.jsonl.
    """
    _, results, _ = read_results(folder / "results.jsonl")
    _write(latest(results), folder, console())
    return 0


def collect(
    task: Task,
    *,
    episodes: Count = 10,
    demonstrations: bool = False,
    method: str = "frs",
    operator: str = "scripted",
    model: Model = NO_MODEL,
    chooser_options: ChooserOptions = None,
    first_seed: Seed = 20_000,
    data: Path | None = None,
    world: WorldName = DEFAULT_WORLD,
    world_options: WorldOptions = None,
    policy: WorldsPolicyName = None,
    policy_options: PolicyOptions = None,
    action_space: str = "",
    scripted_operator: str = "",
    demonstrator: str = "",
    max_chunks: Count = 40,
    operator_noise: Share = 0.0,
    most_attempts: Count | None = None,
    step_images: bool = True,
) -> int:
    """Collect successful episodes of a task in simulation, steered by the scripted operator, a vision-language model or a chooser of yours.

    With --operator vlm, episodes that the same model has already recorded from --first-seed on are counted, so that the same command
    continues where it stopped.

    Args:
        task: Task name of the world.
        episodes: Number of successes to collect.
        demonstrations: Record the world's demonstrator instead: actions without noises, for offline DSBC.
        method: Steering method.
        operator: Who steers: scripted, vlm (the model at --vlm), or the chooser of an installed package.
        model: The model of --operator vlm.
        chooser_options: Options of that chooser: NAME VALUE ….
        first_seed: Number of the first scene.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        world: Robot or simulator.
        world_options: Options of the world: NAME VALUE ….
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        action_space: joint_velocity or joint_position: convert the tool deltas of a generalist to joints; default its own.
        scripted_operator: Your own scripted operator, module:Class; default the world's.
        demonstrator: Your own demonstrator, module:function; default the world's.
        max_chunks: Maximum length of an attempt, in chunks.
        operator_noise: Fraction of the operator's chunks, 0 to 1, that get a wrong direction; drawn by scene and chunk.
        most_attempts: Stop after this many attempts; default five per success.
        step_images: Record images of every control step, for review and exports; without, one per chunk, which is all that learning
            needs and several times faster where rendering is slow; Review and exports then repeat it. Demonstrations have one per chunk.
    """
    if demonstrations and operator_noise:
        raise ConfigError(
            "--operator-noise changes directions of the operator, and --demonstrations records the world's demonstrator. "
            "Leave one of them out."
        )
    page, root = console(), recording_root(data, is_made=True)
    settings = RolloutSettings(max_chunks=max_chunks, operator_noise=operator_noise)
    reasoner = _reasoner(operator, model, root, demonstrations=demonstrations)
    row = _chooser_row(operator, demonstrations=demonstrations)
    setup = open_setup(
        SetupSpec(
            world=world,
            world_options=plain_options(world_options),
            policy=NamedPolicy(policy or usual_policy(world), plain_options(policy_options), action_space),
            operator=scripted_operator,
            demonstrator=demonstrator,
        ),
        tasks=(task,),
    )

    def report(good: int, tries: int, success: bool) -> None:
        page.print(f"attempt {tries}: {'success' if success else 'failure'}, {good} of {episodes}")

    try:
        store = store_at(root)
        if demonstrations:
            steps = max_chunks * setup.policy.spec.execute_rows
            done = collect_demonstrations(
                setup,
                store,
                task=task,
                count=episodes,
                first_seed=first_seed,
                max_steps=steps,
                most_attempts=most_attempts,
                on_episode=report,
            )
        else:
            done = collect_steered(
                setup,
                store,
                task=task,
                count=episodes,
                first_seed=first_seed,
                method=method,
                settings=settings,
                step_images=step_images,
                most_attempts=most_attempts,
                reasoner=reasoner,
                chooser=None if row is None else _chooser(row, setup, typed_chooser_options(chooser_options)),
                on_episode=report,
            )
    finally:
        setup.close()
    page.print(
        f"{counted(len(done.names), 'episode')} in '{store.root}', {counted(done.attempts, 'attempt')}, {done.seconds:.0f} s"
    )
    return 0


def _chooser_row(operator: str, *, demonstrations: bool) -> ChooserSpec | None:
    """Return the row of an installed chooser that is to steer; None for the product's own. Raises ConfigError where there is none."""
    if operator in ("scripted", "vlm"):
        return None
    row = find_chooser(operator)
    if not row.make:
        raise ConfigError(
            f"--operator is '{operator}', which cannot steer without a window. Use scripted, vlm, or the chooser of an installed package."
        )
    if demonstrations:
        raise ConfigError(
            f"--operator {operator} steers, and --demonstrations records the world's demonstrator. Leave one of them out."
        )
    return row


def _chooser(row: ChooserSpec, setup: Setup, options: Mapping[str, Option]) -> Chooser:
    """Return an installed chooser for a setup. Raises ConfigError where it cannot be made, or cannot steer."""
    world = setup.world
    setting = Setting(world.snapshot, lambda: world.spec.remote_operator, options)
    try:
        chooser = make_chooser(row, setting)
    except FrsError:
        raise
    except Exception as error:  # Somebody else's code may raise anything.
        raise ConfigError(
            f"The chooser '{row.id}' cannot be made: {type(error).__name__}: {error}. Correct it, or its --chooser-options."
        ) from error
    reason = row.why_not if chooser is None else chooser.why_not()
    if chooser is None or reason:
        raise ConfigError(f"The chooser '{row.id}' cannot steer: {reason}.")
    return chooser


def _reasoner(operator: str, model: ModelAddress, root: Path, *, demonstrations: bool) -> VlmChooser | None:
    """Return the model that is to steer; None where the script does. Raises ConfigError where options do not go together."""
    if operator == "vlm":
        if demonstrations:
            raise ConfigError(
                "--operator vlm steers, and --demonstrations records the world's demonstrator. Leave one of them out."
            )
        return unwatched(model, cache=root / FOLDER)
    if model != NO_MODEL:
        raise ConfigError(
            "--vlm is the model of --operator vlm, and the scripted operator is to steer. Add --operator vlm, or leave --vlm out."
        )
    return None


def _teller(page: Console):
    """Return a progress callback that prints the first cell, every tenth, and every error."""
    said = -1

    def tell(progress: EvalProgress) -> None:
        nonlocal said
        result, tenth = progress.last, 10 * progress.done // progress.total
        if result is not None and result.error:
            page.print(mark(f"{result.method}, {result.task}, scene {result.seed}: {result.error}", "red"))
        if tenth != said or progress.done == progress.total:
            said = tenth
            reused = f", {progress.reused} of them reused" if progress.reused else ""
            left = f"{progress.seconds_left / 60:.1f} min left"
            page.print(f"{progress.done} of {counted(progress.total, 'episode')}{reused}, {left}")

    return tell


def _refuse_with_repeats(given: dict[str, object]) -> None:
    for name in (name for name, value in given.items() if value):
        raise ConfigError(
            f"--{name} cannot be combined with --repeats, which makes its own sets, policies and scenes. Leave it out; "
            f"choose other sets with --first-set."
        )


def _refuse_without_repeats(given: dict[str, object]) -> None:
    for name in (name for name, value in given.items() if value):
        raise ConfigError(f"--{name} needs --repeats. Add the number of sets of episodes: --repeats 10.")


def _stage_teller(page: Console):
    """Return a callback that prints every minute, at the end of each stage, and every error."""
    said_s, stage_name = -math.inf, ""

    def tell(stage: Stage) -> None:
        nonlocal said_s, stage_name
        result = stage.last
        if result is not None and result.error:
            where = f"{result.method}, {result.task}, set {result.episode_set}, scene {result.seed}"
            page.print(mark(f"{where}: {result.error}", "red"))
        if stage.name != stage_name or stage.done == stage.total or time.monotonic() - said_s >= 60.0:
            said_s, stage_name = time.monotonic(), stage.name
            page.print(f"{stage.name}: {stage.done} of {stage.total}, {stage.seconds_left / 60:.1f} min left")

    return tell


def _write_draws(results: list[Result], out: Path, page: Console) -> None:
    table = draw_tables.markdown(results)
    (out / "table.md").write_text(table, encoding="utf-8")
    text = json.dumps(draw_tables.as_json(results), indent=2, allow_nan=False)
    (out / "table.json").write_text(text + "\n", encoding="utf-8")
    rows, several = draw_tables.rows(results), len({r.task for r in results}) > 1
    pooled = [row for row in rows if row.task == ALL or not several]
    save_figure(success_of_draws(pooled), out / "success.png")
    forecasts = reliability(results)
    if forecasts is not None:
        save_figure(forecast_against_outcome(forecasts), out / "reliability.png")
    page.print(Markdown(table))
    page.print(f"Table, plot and results in '{out}'", soft_wrap=True)


def _write(results: list[Result], out: Path, page: Console) -> None:
    if draw_tables.has_draws(results):
        _write_draws(results, out, page)
        return
    table = markdown(results)
    (out / "table.md").write_text(table, encoding="utf-8")
    (out / "table.json").write_text(json.dumps(as_json(results), indent=2) + "\n", encoding="utf-8")
    save_figure(success_bars(results), out / "success.png")
    if len({r.method for r in results if "@" in r.method}) > 0:
        save_figure(success_by_episodes(results, full=10), out / "episodes.png")
    page.print(Markdown(table))
    page.print(f"Table, plot and results in '{out}'", soft_wrap=True)
