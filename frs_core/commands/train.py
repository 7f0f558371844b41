"""`frs train …`: train small policies on recorded episodes from a terminal.

Every learner is one subcommand, made from its row; a function's arguments are the options, its docstring is the help text. Trained
policies are saved under `<data>/learned/<task>/<learner>`, where `frs eval` looks for them; `--count 3` makes the variant `<learner>@3`.

Example: `frs train dsbc --task mug_on_plate`, then `frs eval --methods base dsbc --tasks mug_on_plate`.
"""

import contextlib
import inspect
import math
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from frs_core.commands.printing import console, mark
from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.learning import (
    JobState,
    LearnerSettings,
    LearnerSpec,
    Need,
    PolicyMetadata,
    Progress,
    TrainJob,
    TrainRequest,
    TrainResult,
    find_learner,
    list_saved,
)
from frs_core.policies import DEFAULT, NamedPolicy, PolicyName, PolicyOptions
from frs_core.runtime.bounds import CountOrNone
from frs_core.runtime.folders import recording_root
from frs_core.runtime.foreign import MALFORMED, said
from frs_core.runtime.registry import plain_options

_PARAMETERS = """
    Args:
        task: Train on all successes of this task.
        episodes: Train on these episodes instead (names, or parts that match only one).
        count: Use only the first COUNT episodes; the result is then called {id}@COUNT.
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
        out: Folder to save in; default <data>/learned/<task>/{id}.
        overwrite: Replace a policy that is already saved there.
        policy: The generalist.
        policy_options: Options of the policy: NAME VALUE ….
        settings: Settings of the learner.
"""


def command(kind: str) -> Callable[..., int]:
    """Return the subcommand `frs train KIND`, made from the learner's row.

    Raises:
        ConfigError: unknown learner.
    """
    row = find_learner(kind)
    kept = row.settings()

    def train(
        *,
        task: str | None = None,
        episodes: tuple[str, ...] = (),
        count: CountOrNone = 0,
        data: Path | None = None,
        out: Path | None = None,
        overwrite: bool = False,
        policy: PolicyName = DEFAULT,
        policy_options: PolicyOptions = None,
        settings: LearnerSettings = kept,
    ) -> int:
        named = NamedPolicy(policy, plain_options(policy_options))
        return _train(_request(row, task, episodes, count, data, out, overwrite, policy=named, settings=settings))

    hidden = set[str]() if Need.GENERALIST in row.needs else {"policy", "policy_options"}
    signature = inspect.signature(train)
    train.__annotations__["settings"] = row.settings
    train.__signature__ = signature.replace(  # pyright: ignore[reportFunctionMemberAccess]
        parameters=[p for name, p in signature.parameters.items() if name not in hidden]
    )
    lines = [line for line in _PARAMETERS.format(id=row.id).splitlines() if line.split(":")[0].strip() not in hidden]
    train.__doc__ = "\n".join([f"{row.summary}.", *(["", f"    {row.details}"] if row.details else []), *lines])
    return train


def list_policies(*, data: Path | None = None) -> int:
    """List trained policies with their training data and held-out figures.

    Args:
        data: Recording folder; default as `frs doctor` says, or FRS_DATA_DIR.
    """
    root, page = recording_root(data) / "learned", console()
    found = list_saved(root)
    if not found:
        page.print(f"No trained policies under '{root}'. Train one with `frs train dsbc --task NAME`.")
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("policy", "kind", "episodes", "chunks", "held-out error", "agrees", "seconds", "for"):
        table.add_column(header)
    for path, metadata in found:
        try:
            facts = _facts(metadata)
        except MALFORMED as error:
            facts = ("! damaged", said(error))
        table.add_row(str(path.relative_to(root)), metadata.kind, *facts)
    page.print(table)
    return 0


def _request(
    row: LearnerSpec,
    task: str | None,
    episodes: tuple[str, ...],
    count: int,
    data: Path | None,
    out: Path | None,
    overwrite: bool,
    *,
    policy: NamedPolicy,
    settings: LearnerSettings,
) -> TrainRequest:
    if task is None and not episodes:
        raise ConfigError("No episodes were given. Give --task NAME or --episodes NAME ….")
    root = recording_root(data)
    name = f"{row.id}@{count}" if count else row.id
    return TrainRequest(
        kind=row.id,
        root=root,
        episodes=episodes,
        out=out or root / "learned" / (task or "chosen") / name,
        fingerprint="",
        task=task,
        count=count,
        policy=policy,
        settings=settings,
        overwrite=overwrite,
    )


def _train(request: TrainRequest) -> int:
    """Run a request in a separate process and show its progress; Ctrl+C keeps the best so far."""
    if request.out.exists() and not request.overwrite:
        raise ConfigError(f"'{request.out}' already exists. Choose another folder with --out, or pass --overwrite.")
    page, job = console(), TrainJob(request, timeout_s=6 * 3600.0)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    try:
        with _ended_as_interrupted(), Bar(*columns, console=page, transient=True) as bar:
            row = bar.add_task("loading", total=1, detail="")
            job.start()
            result = _follow(job, bar, row, page)
    finally:
        job.close()
    _tell(result, page)
    return 0


def _facts(metadata: PolicyMetadata) -> tuple[str, ...]:
    """Return a saved policy's columns. Raises MALFORMED when the metadata lack one."""
    scores = metadata.metrics["card"]
    return (
        str(len(metadata.data["episodes"])),
        str(metadata.data["chunks"]),
        f"{scores['error_after']:.3f}" if scores["is_held_out"] else "–",
        "–" if scores["agreement_after"] is None else f"{100 * scores['agreement_after']:.0f} %",
        f"{metadata.metrics['seconds']:.1f}",
        metadata.policy_fingerprint[:12],
    )


def _follow(job: TrainJob, bar: Bar, row: TaskID, page: Console) -> TrainResult:
    while job.state is JobState.RUNNING:
        try:
            for report in job.poll():
                bar.update(
                    row, description=report.stage, total=report.steps, completed=report.step, detail=_detail(report)
                )
            time.sleep(0.1)
        except KeyboardInterrupt:
            page.print("Stopping; keeping the best so far.")
            job.cancel()
    return job.wait(1.0)


@contextlib.contextmanager
def _ended_as_interrupted() -> Generator[None]:
    """Within, SIGTERM does what Ctrl+C does: the best so far is kept, and nothing is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _detail(report: Progress) -> str:
    parts = [] if math.isnan(report.loss) else [f"loss {report.loss:.3f}"]
    if not math.isnan(report.held_out):
        parts.append(f"held out {report.held_out:.3f}")
    if not math.isnan(report.seconds_left):
        parts.append(f"at most {report.seconds_left:.0f} s left")
    return ", ".join(parts)


def _tell(result: TrainResult, page: Console) -> None:
    scores = result.scores
    where = "held-out" if scores.is_held_out else "training"
    page.print(
        mark(str(result.kind), "bold"),
        f"from {counted(result.episodes, 'episode')}, {counted(result.chunks, 'chunk')}, in {result.seconds:.1f} s "
        f"({counted(result.steps, 'step')} kept{', stopped by you' if result.was_cancelled else ''})",
    )
    before = "" if math.isnan(scores.error_before) else f", random noise {scores.error_before:.3f}"
    if not math.isnan(scores.error_after):
        page.print(f"  {where} error {scores.error_after:.3f} (the mean label {scores.error_constant:.3f}{before})")
    if not math.isnan(scores.agreement_after):
        page.print(
            f"  agrees with the operator in {100 * scores.agreement_after:.0f} % of {counted(scores.chunks, 'chunk')} "
            f"(by chance {100 * scores.chance:.0f} %)"
        )
    for note in result.notes:
        page.print(mark(f"  {note}", "yellow"))
    page.print(f"Saved in '{result.path}'", soft_wrap=True)
