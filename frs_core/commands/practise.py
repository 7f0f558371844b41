"""`frs practise …`: a learner improves by trial and error, from failures too; its best version is kept.

Every learner that can practise is one subcommand, made from its row. A practice is stored in `<data>/practice/<task>/<learner>`; the
same command continues it after Ctrl+C, a crash or a power cut. The best version is saved where `frs train` would save it, so that
`frs eval` finds it.

Example: `frs practise pick-q --task mug_on_plate --episodes 300 --minutes 30`, then `frs eval --methods dsbc pick-q --tasks mug_on_plate`.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from frs_core.commands.printing import console, mark
from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.evaluation.arena import require_task
from frs_core.evaluation.monitor import Monitor
from frs_core.evaluation.practice import OpenArena, Practised, run_practice
from frs_core.evaluation.wilson import format_rate
from frs_core.evaluation.worker import WorkerJob
from frs_core.learning import (
    TWO_ROUNDS,
    LearnerSettings,
    LearnerSpec,
    Practice,
    Progress,
    TrainRequest,
    find_learner,
)
from frs_core.learning.metadata import METADATA_FILE
from frs_core.learning.practice_log import Point
from frs_core.policies import NamedPolicy, PolicyOptions, WorldsPolicyName, usual_policy
from frs_core.runtime.bounds import CountOrNone, Workers
from frs_core.runtime.folders import recording_root
from frs_core.runtime.registry import plain_options

Preset = Literal["two-rounds"]
PRESETS: dict[Preset, Practice] = {"two-rounds": TWO_ROUNDS}
_HELP = """{summary}.

    {details}

    Args:
        task: Task to practise.
        recorded: Start from these episodes (names, or parts that match only one); default all of the task, failures included.
        count: Start from the first COUNT of them only; 0 = all.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        folder: Folder of the practice; default <data>/practice/<task>/{id}.
        out: Folder for the best version; default <data>/learned/<task>/{id}.
        overwrite: Replace a policy that is already saved in --out.
        actors: Processes that run attempts; the result does not depend on their number.
        ray: Run attempts on a Ray cluster instead (needs the extra 'ray'); --folder must be on a disk that all its machines share.
        ray_address: Address of a running cluster; default one on this machine.
        preset: two-rounds = two rounds of ten attempts, evaluated after each, as in the paper's practice on a robot; explicit options take precedence.
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        practice: Where and for how long to practise.
        settings: Settings of the learner.
"""


def command(kind: str) -> Callable[..., int]:
    """Return the subcommand `frs practise KIND`, made from the learner's row.

    Raises:
        ConfigError: unknown learner, or one that does not practise.
    """
    row = find_learner(kind)
    if not row.practises:
        raise ConfigError(f"Learner '{row.id}' does not practise. Use `frs train {row.id}`.")
    usual, kept = Practice(), row.settings()

    def run(
        *,
        task: str,
        recorded: tuple[str, ...] = (),
        count: CountOrNone = 0,
        data: Path | None = None,
        folder: Path | None = None,
        out: Path | None = None,
        overwrite: bool = False,
        actors: Workers = 2,
        ray: bool = False,
        ray_address: str | None = None,
        preset: Preset | None = None,
        policy: WorldsPolicyName = None,
        policy_options: PolicyOptions = None,
        practice: Annotated[Practice, tyro.conf.arg(name="")] = usual,
        settings: LearnerSettings = kept,
    ) -> int:
        root = recording_root(data, is_made=True)
        if preset is not None:
            practice = with_preset(practice, PRESETS[preset])
        request = TrainRequest(
            kind=row.id,
            root=root,
            episodes=recorded,
            out=out or root / "learned" / task / row.id,
            fingerprint="",
            task=task,
            count=count,
            policy=NamedPolicy(
                policy or usual_policy(practice.world), plain_options(policy_options), practice.action_space
            ),
            practice=practice,
            settings=settings,
        )
        folder = folder or root / "practice" / task / row.id
        opens = _on_ray(request, actors, ray_address) if ray else None
        return _run(row, request, folder, actors, opens, overwrite=overwrite)

    run.__annotations__["settings"] = row.settings
    run.__signature__ = inspect.signature(run)  # pyright: ignore[reportFunctionMemberAccess]
    run.__doc__ = _HELP.format(summary=row.summary, details=row.details or row.summary, id=row.id)
    return run


def with_preset(practice: Practice, preset: Practice) -> Practice:
    """Return a preset with every setting of a practice that differs from the defaults."""
    usual = Practice()
    given = {f.name: getattr(practice, f.name) for f in fields(practice)}
    return replace(preset, **{name: value for name, value in given.items() if value != getattr(usual, name)})


def _on_ray(request: TrainRequest, actors: int, address: str | None) -> OpenArena:
    """Return what opens an arena of Ray actors. Raises ConfigError where Ray is not installed."""
    from frs_core.evaluation.actors import ActorPool
    from frs_core.evaluation.ray_pool import RayPool, import_ray

    import_ray()

    def opens(folder: Path, monitor: Monitor) -> ActorPool:
        def pool(job: WorkerJob) -> RayPool:
            return RayPool(job, workers=actors, address=address)

        # Machines of a cluster have their own working folders.
        return ActorPool(request, actors=actors, folder=folder.resolve(), monitor=monitor, make_pool=pool)

    return opens


def _run(
    row: LearnerSpec,
    request: TrainRequest,
    folder: Path,
    actors: int,
    open_arena: OpenArena | None,
    *,
    overwrite: bool,
) -> int:
    """Practise, showing progress; after Ctrl+C the same command continues the practice."""
    if actors < 1:
        raise ConfigError(f"--actors is {actors}, needs >= 1. The default is 2.")
    if (request.out / METADATA_FILE).exists() and not folder.exists() and not overwrite:
        raise ConfigError(f"'{request.out}' already exists. Choose another folder with --out, or pass --overwrite.")
    if open_arena is None and not folder.exists():
        # Loads no policy and writes nothing; the task of a practice that is continued was accepted before.
        require_task(request)
    page = console()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    practice = request.practice or Practice()
    with Bar(*columns, console=page, transient=True) as bar:
        line = bar.add_task("loading", total=practice.episodes, detail="")

        def show(report: Progress) -> None:
            detail = f"{report.step} of {report.steps}, {report.seconds_left / 60:.0f} min left"
            loss = "" if math.isnan(report.loss) else f", loss {report.loss:.3f}"
            bar.update(line, description=report.stage, completed=report.step, detail=detail + loss)

        try:
            done = run_practice(
                request,
                folder,
                actors=actors,
                open_arena=open_arena,
                on_progress=show,
                on_point=lambda p: _point(p, page),
            )
        except KeyboardInterrupt:
            page.print(
                f"Stopped. Run the same command again to continue; the practice is in '{folder}'.", soft_wrap=True
            )
            return 130
    _tell(row, done, folder, page)
    return 0


def _point(point: Point, page: Console) -> None:
    own = f", {point.own_successes} of {point.own_episodes} while exploring" if point.own_episodes else ""
    page.print(
        f"after {counted(point.episodes, 'episode'):>13}: {format_rate(point.successes, point.scenes)}{own}, {point.minutes:.1f} min"
    )


def _tell(row: LearnerSpec, done: Practised, folder: Path, page: Console) -> None:
    page.print(mark(row.id, "bold"), f"practised {counted(done.episodes, 'episode')} in {done.seconds / 60:.1f} min")
    if done.best is not None and done.best.scenes:
        rate = format_rate(done.best.successes, done.best.scenes)
        page.print(
            f"  the best version is the one after {counted(done.best.episodes, 'episode')}: {rate} on the scenes it was chosen by"
        )
    page.print(f"Curve and versions in '{folder}'", soft_wrap=True)
    page.print(f"Saved in '{done.path}'", soft_wrap=True)
