"""`frs generalist make`: demonstrations and weights of the shipped generalist, from nothing."""

import time
from dataclasses import replace
from pathlib import Path

from frs_core import paths
from frs_core.commands.printing import console
from frs_core.counts import counted
from frs_core.making.tabletop.stages import Log
from frs_core.making.tabletop.training import ACT, SEE


def make(
    *,
    work: Path = Path("runs/generalist"),
    out: Path | None = None,
    episodes: int = 3840,
    see_steps: int = SEE.steps,
    act_steps: int = ACT.steps,
    workers: int = 2,
    minutes: float = 1e6,
) -> int:
    """Make the shipped generalist: scripted demonstrations, three training stages, weights with a model card.

    Can be stopped at any time; the same command resumes from what is there.

    Args:
        work: Folder for demonstrations (about 3 MB per episode) and checkpoints.
        out: Folder for the finished weights; default assets/tabletop.
        episodes: Successful demonstrations to make.
        see_steps: Steps of the image stage.
        act_steps: Steps of the action stage.
        workers: Processes for demonstrations, threads for training.
        minutes: Stop the training stages after this time; run again to continue.
    """
    import torch

    from frs_core.making.tabletop import make as maker

    page, began = console(), time.monotonic()

    def show(log: Log) -> None:
        done = log.step / log.steps
        losses = "".join(f"  {k} {v:.3f}" for k, v in log.losses.items())
        left = log.seconds_left / 60
        page.print(f"{log.stage:14s} {log.step:6d}/{log.steps} {done:4.0%}{losses}  about {left:.0f} min left")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    page.print(
        f"{counted(episodes, 'demonstration')}, two stages on them, one on corrections; in {work}, training on {device}"
    )
    is_done = maker.make(
        work,
        out or paths.assets() / "tabletop",
        episodes=episodes,
        see=replace(SEE, steps=see_steps),
        act=replace(ACT, steps=act_steps),
        workers=workers,
        device=device,
        seconds=minutes * 60,
        on_log=show,
    )
    spent = (time.monotonic() - began) / 60
    page.print(f"{'Finished' if is_done else 'Stopped; run again to continue'} after {spent:.0f} min.")
    return 0 if is_done else 1
