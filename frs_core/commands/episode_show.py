"""What `frs episodes show` prints of one episode: its facts, and a row per chunk."""

from rich.console import Console
from rich.table import Table

from frs_core.commands.printing import mark, said
from frs_core.counts import counted
from frs_core.episodes import Episode
from frs_core.events import Outcome
from frs_core.runtime.address import shown
from frs_core.runtime.foreign import MALFORMED
from frs_core.steering.candidates import CandidateKind

MARKS = {
    Outcome.SUCCESS: ("✓ success", "green"),
    Outcome.FAILURE: ("✗ failure", "yellow"),
    Outcome.DISCARDED: ("– discarded", "dim"),
}


def show_episode(episode: Episode, page: Console) -> bool:
    """Print one episode and return whether every chunk could be read."""
    info, meta = episode.info, episode.meta
    page.print(mark(episode.name, "bold"), mark(*MARKS[episode.outcome]), info.note)
    options = "".join(f" · {name} {shown(value)}" for name, value in sorted(meta.world_options.items()))
    page.print(f"task {meta.task} · “{meta.instruction}” · seed {meta.seed} · world {meta.world}{options}")
    options = "".join(f" · {name} {shown(value)}" for name, value in sorted(meta.policy_options.items()))
    page.print(
        f"policy {meta.policy} ({meta.policy_fingerprint[:12]}){options} · {meta.action_space.kind.value} at {meta.control_hz:g} Hz · "
        f"cameras {', '.join(episode.cameras) or 'none'}"
    )
    page.print(
        f"{counted(info.n_chunks, 'chunk')} ({info.n_undone} taken back) · {counted(info.n_steps, 'step')} · {info.duration_s:.1f} s · "
        f"steered {info.steered_share:.0%} · {episode.arrays.size_bytes / 1e6:.1f} MB"
    )
    problems = []
    try:
        if used := _versions(episode):
            page.print(f"learned candidate of {used}", soft_wrap=True)
    except MALFORMED as error:
        problems.append(f"noise policies  {said(error)}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("chunk", "after", "picked", "by", "rows", "authority", "bent mm", "noise %", "reason"):
        table.add_column(header, justify="left" if header in ("picked", "by", "reason") else "right")
    for i in range(episode.n_chunks):
        try:
            table.add_row(*chunk_row(episode, i), style=None if i in episode.main_line else "dim strike")
        except MALFORMED as error:
            problems.append(f"chunk {i}  {said(error)}")
    page.print(table)
    for problem in problems:
        page.print(mark("✗", "red"), problem, soft_wrap=True)
    return not problems


def _versions(episode: Episode) -> str:
    """Return which noise policies were in the fan, and in which chunks where there were several; empty where none was."""
    from frs_core.learning.practice_folder import policy_name

    runs: list[tuple[str, int]] = []
    for index in range(episode.n_chunks):
        name = episode.noise_policy(index)
        if not runs or runs[-1][0] != name:
            runs.append((name, index))
    ends = [first - 1 for _, first in runs[1:]] + [episode.n_chunks - 1]
    spans = [(policy_name(name), first, last) for (name, first), last in zip(runs, ends, strict=True) if name]
    if len(runs) == 1:
        return spans[0][0] if spans else ""
    return ", ".join(f"{name} (chunk {a})" if a == b else f"{name} (chunks {a} to {b})" for name, a, b in spans)


def _version(episode: Episode, index: int) -> str:
    from frs_core.learning.practice_folder import policy_name

    return policy_name(episode.noise_policy(index))


def chunk_row(episode: Episode, index: int) -> tuple[str, ...]:
    offers, parent = episode.offers(index), int(episode.arrays["chunks/parent"][index])
    verdict = offers.verdicts[offers.picked]
    is_learned = offers.kinds[offers.picked] is CandidateKind.LEARNED
    version = _version(episode, index) if is_learned else ""
    return (
        str(index),
        "start" if parent < 0 else str(parent),
        offers.labels[offers.picked] + (f" ★ {version}" if version else ""),
        episode.picked_by(index),
        str(len(episode.steps_of(index))),
        f"{verdict.authority:.2f}",
        f"{verdict.bent_mm:.0f}",
        f"{verdict.noise_percentile:.0f}",
        episode.text("chunks/reason", index),
    )
