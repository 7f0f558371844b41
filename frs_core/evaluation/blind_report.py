"""What a blinded comparison says, as Markdown for people and JSON for machines: the tables of an evaluation, and the sequential comparison.

While it is blinded, neither says more than the whole: once all attempts are done the policies appear by their letters, and once
it is unblinded by their names, with the order, its seed and the digests of the weights.

Example: `markdown_of(Blind(folder, is_read_only=True))`. Any thread.
"""

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.evaluation import tables
from frs_core.evaluation.blind import Blind
from frs_core.evaluation.sequential import Difference
from frs_core.evaluation.wilson import format_rate
from frs_core.runtime.files import write_whole

FORMAT, VERSION = "frs-blind-report", 1
REPORT, TABLE = "comparison.json", "comparison.md"
METHOD = (
    "The interval of a difference is a betting confidence sequence (Waudby-Smith and Ramdas 2024) over blocks of one attempt of each policy: it may be "
    "looked at after every attempt, and all intervals together miss a true difference with probability {alpha:g} at most."
)


def titles_of(blind: Blind) -> dict[str, str]:
    """Return letter -> what may be shown of the policy: its name once unblinded, else its letter."""
    if not blind.state.is_unblinded:
        return {letter: letter for letter in blind.plan.letters}
    return {letter: f"{letter}: {arm.title}" for letter, arm in zip(blind.plan.letters, blind.plan.arms, strict=True)}


def pooled(blind: Blind) -> str:
    """Return the success rate of all attempts that count, whoever drove; empty before the first."""
    counting = blind.counted
    return format_rate(sum(a.is_success for a in counting), len(counting)) if counting else ""


def differences_of(blind: Blind) -> list[tuple[str, str, Difference]]:
    """Return (letter, letter, difference) of every two policies, letters in order; empty while it is blinded and not complete."""
    if blind.letters is None:
        return []
    letters, found = blind.plan.letters, []
    for (i, j), d in blind.differences().items():
        if letters[i] < letters[j]:
            found.append((letters[i], letters[j], d))
        else:
            found.append((letters[j], letters[i], _turned(d)))
    return sorted(found, key=lambda row: row[:2])


def markdown_of(blind: Blind) -> str:
    """Return the comparison as Markdown."""
    plan, state = blind.plan, blind.state
    done = len(blind.counted)
    lines = [
        f"# Blinded comparison on {plan.task.replace('_', ' ')}",
        "",
        f"{done} of {counted(plan.slots, 'attempt')}, {_excluded(blind)}; begun {_day(plan.made_at)}, "
        f"scenes from {plan.first_scene:,} on, at most {counted(plan.max_chunks, 'chunk')} each.",
        "",
    ]
    if blind.letters is None:
        lines += [
            f"All policies together: {pooled(blind) or 'no attempts yet'}.",
            "",
            f"{(blind.sentence or 'no whole block yet').capitalize()}.",
            "",
            "It is blinded: which policy is which is shown by letters once all attempts are done, and by name once it is unblinded, which ends it.",
        ]
        return "\n".join(lines) + "\n"
    if done:
        lines += [tables.markdown(blind.results(), titles=titles_of(blind)).rstrip(), ""]
    lines += ["| compared | blocks | first alone, second alone | difference | verdict |", "|---|---|---|---|---|"]
    lines += [
        f"| {a} – {b} | {d.blocks} | {d.wins}, {d.losses} | {words_of(d)} | {verdict_of(a, b, d)} |"
        for a, b, d in differences_of(blind)
    ]
    lines += ["", METHOD.format(alpha=plan.alpha)]
    if not state.is_unblinded:
        lines += ["", "It is blinded: unblinding names the policies, and ends it."]
        return "\n".join(lines) + "\n"
    lines += [
        "",
        f"The order was drawn with seed {plan.seed}.",
        "",
        "| letter | policy | learner | weights |",
        "|---|---|---|---|",
    ]
    rows = sorted(zip(plan.letters, plan.arms, strict=True))
    lines += [f"| {x} | {a.title} | {a.method} | {(a.digest or plan.fingerprint)[:12]} |" for x, a in rows]
    noted = [a for a in state.attempts if a.note or a.excluded]
    if noted:
        lines += ["", "| attempt | policy | outcome | note | excluded because |", "|---|---|---|---|---|"]
        lines += [
            f"| {a.number + 1} | {plan.letters[plan.order[a.slot]]} | {a.outcome.value} | {_cell(a.note)} | {_cell(a.excluded)} |"
            for a in noted
        ]
    return "\n".join(lines) + "\n"


def as_json(blind: Blind) -> dict[str, Any]:
    """Return the comparison as plain values; order, seed and policies only once it is unblinded."""
    plan, state = blind.plan, blind.state
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "task": plan.task,
        "blocks": plan.blocks,
        "alpha": plan.alpha,
        "made_at": plan.made_at,
        "is_complete": blind.is_complete,
        "is_unblinded": state.is_unblinded,
        "attempts_counted": len(blind.counted),
        "successes": sum(a.is_success for a in blind.counted),
        "excluded": len(state.attempts) - len(blind.counted),
    }
    if blind.letters is not None:
        document["rates"] = tables.as_json(blind.results())["rates"]
        document["comparisons"] = [
            {"first": a, "second": b, "verdict": d.verdict, **asdict(d)} for a, b, d in differences_of(blind)
        ]
    if state.is_unblinded:
        document["plan"] = asdict(plan)
        document["attempts"] = [
            {
                **asdict(a),
                "outcome": a.outcome.value,
                "letter": plan.letters[plan.order[a.slot]],
                "scene": plan.scene(a.slot),
            }
            for a in state.attempts
        ]
    return document


def export(blind: Blind, folder: Path) -> None:
    """Write comparison.json and comparison.md into a folder. Raises ConfigError where the disk refuses."""
    try:
        write_whole(folder / REPORT, (json.dumps(as_json(blind), indent=1) + "\n").encode())
        write_whole(folder / TABLE, markdown_of(blind).encode())
    except OSError as error:
        raise ConfigError(f"'{folder}' cannot be written: {error.strerror or error}. Choose another folder.") from error


def words_of(difference: Difference) -> str:
    """Return e.g. '+30 points (4 to 58)'."""
    if not difference.blocks:
        return "–"
    return f"{100 * difference.mean:+.0f} points ({100 * difference.low:.0f} to {100 * difference.high:.0f})"


def verdict_of(first: str, second: str, difference: Difference) -> str:
    """Return which of two is better, if that is known."""
    if not difference.is_decided:
        return difference.verdict
    return f"{first if difference.mean > 0 else second} is better"


def _turned(d: Difference) -> Difference:
    return Difference(d.losses, d.ties, d.wins, -d.high, -d.low, d.evidence, d.alpha)


def _excluded(blind: Blind) -> str:
    return f"{len(blind.state.attempts) - len(blind.counted)} excluded"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _cell(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))
