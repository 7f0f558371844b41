"""`frs generalist make`: demonstrations and weights of a small generalist, from nothing."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from frs_core import paths
from frs_core.commands.printing import console
from frs_core.counts import counted
from frs_core.making.generalist.stages import Log
from frs_core.making.generalist.training import ACT, MEND, SEE
from frs_core.runtime.bounds import Count, Positive, Steps, Workers
from frs_core.runtime.folders import require_writable
from frs_core.runtime.registry import by_name, named, resolve

COURSES = by_name(
    "course",
    (
        ("tabletop", "frs_core.making.tabletop.course:COURSE"),
        ("libero", "frs_core.making.libero.course:COURSE"),
    ),
)
"""World -> what it contributes to making its generalist."""


def make(
    *,
    world: Annotated[str, named("World", COURSES, "constant")] = "tabletop",
    work: Path | None = None,
    out: Path | None = None,
    episodes: Count | None = None,
    see_steps: Steps | None = None,
    act_steps: Steps | None = None,
    mend_steps: Steps | None = None,
    corrections: Count | None = None,
    workers: Workers = 2,
    minutes: Positive = 1e6,
) -> int:
    """Make a small generalist for a world: scripted demonstrations, three training stages, weights with a model card.

    Can be stopped at any time; the same command resumes from what is there.

    Args:
        work: Folder for demonstrations (about 3 MB per episode) and checkpoints; default runs/generalist/WORLD.
        out: Folder for the finished weights; default assets/WORLD.
        episodes: Successful demonstrations to make; default as the shipped weights (tabletop 3840, LIBERO 1320).
        see_steps: Steps of the image stage; default as the shipped weights.
        act_steps: Steps of the action stage; the same.
        mend_steps: Steps of the stage with corrections; the same.
        corrections: Episodes that the half-made policy drives while the expert corrects it; the same.
        workers: Processes for demonstrations, threads for training.
        minutes: Stop the training stages after this time; run again to continue.
    """
    work, out = work or Path("runs/generalist") / world, out or paths.assets() / world
    # Here, once: each worker would find it out for itself.
    require_writable("--work", work)
    require_writable("--out", out)
    import torch

    from frs_core.making.generalist import make as maker

    course = resolve("course", world, COURSES)
    count = episodes or course.episodes
    page, began = console(), time.monotonic()

    def show(log: Log) -> None:
        done = log.step / log.steps
        losses = "".join(f"  {k} {v:.3f}" for k, v in log.losses.items())
        left = log.seconds_left / 60
        page.print(f"{log.stage:14s} {log.step:6d}/{log.steps} {done:4.0%}{losses}  about {left:.0f} min left")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    page.print(
        f"{counted(count, 'demonstration')}, two stages on them, one on corrections; in {work}, training on {device}"
    )
    is_done = maker.make(
        course,
        work,
        out,
        episodes=count,
        see=replace(SEE, steps=see_steps or course.see_steps),
        act=replace(ACT, steps=act_steps or course.act_steps),
        mend=replace(MEND, steps=mend_steps or course.mend_steps),
        corrections_episodes=corrections or course.corrections,
        workers=workers,
        device=device,
        seconds=minutes * 60,
        on_log=show,
    )
    spent = (time.monotonic() - began) / 60
    page.print(f"{'Finished' if is_done else 'Stopped; run again to continue'} after {spent:.0f} min.")
    return 0 if is_done else 1
