"""Make a generalist from nothing: demonstrations, three training stages, export with a model card.

Every stage leaves files in a work folder and goes on from them, so the whole can be cut anywhere.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from frs_core.making.generalist import corrections, demonstrations, training
from frs_core.making.generalist.course import Course
from frs_core.making.generalist.demonstrations import EPISODES_PER_SHARD
from frs_core.making.generalist.stages import OnLog, in_parallel
from frs_core.making.generalist.training import Samples, TrainSettings
from frs_core.policies.generalist.network import GeneralistNet
from frs_core.policies.generalist.policy import Generalist
from frs_core.runtime.foreign import read_json, read_tensors

STAGES = ("see", "act", "mend")
_PER_FILE = 20
"""Episodes of corrections per file."""


def make(
    course: Course,
    work: Path,
    out: Path,
    *,
    episodes: int,
    see: TrainSettings = training.SEE,
    act: TrainSettings = training.ACT,
    mend: TrainSettings = training.MEND,
    corrections_episodes: int = 1000,
    workers: int = 2,
    seconds: float = 1e9,
    device: torch.device | str = "cpu",
    on_log: OnLog,
) -> bool:
    """Make or go on making the generalist; return True when `out` holds finished weights.

    Args:
        course: the world's part.
        work: folder for demonstrations and checkpoints (about 3 MB per episode).
        out: folder for model.safetensors and card.json.
        episodes: demonstrations to make.
        see: settings of the image stage.
        act: settings of the action stage.
        mend: settings of the last stage, on corrections as well.
        corrections_episodes: episodes the half-made policy drives while the expert corrects it.
        workers: processes that make demonstrations.
        seconds: time for the training stages of this call; call again to go on.
        device: where the network is trained; demonstrations and corrections are made on the CPU.
        on_log: told every hundred steps, and while demonstrations and corrections are made.
    """
    began = time.monotonic()
    shards = -(-episodes // EPISODES_PER_SHARD)
    demonstrations.make_in_parallel(course, work / "demonstrations", shards=shards, workers=workers, on_log=on_log)
    torch.set_num_threads(max(1, workers))
    torch.manual_seed(0)
    net = GeneralistNet(course.design).to(device)
    runs = work / "runs"
    seen = runs / "see.safetensors"
    if not _is_done(runs, "see", see):
        samples = Samples(course, work / "demonstrations", with_images=True)
        fit_proprio(net, samples)
        fit_places(net, course)
        left = seconds - (time.monotonic() - began)
        if not training.train_see(net, samples, see, folder=runs, on_log=on_log, seconds=left):
            return False
    net.load_state_dict(read_tensors(seen))
    stored = runs / "vision.safetensors"
    if not stored.exists():
        samples = Samples(course, work / "demonstrations", with_images=True)
        save_file({"vision": training.store_vision(net, samples, on_log=on_log)}, stored)
    samples = Samples(course, work / "demonstrations", with_images=False)
    vision = read_tensors(stored)["vision"]
    if not _is_done(runs, "act", act):
        left = seconds - (time.monotonic() - began)
        if not training.train_act(net, samples, vision, act, folder=runs, on_log=on_log, seconds=left):
            return False
    if not _is_done(runs, "mend", mend):
        corrected = work / "corrections"
        net.load_state_dict(read_tensors(runs / "act.safetensors"))
        _correct(
            course, runs / "act.safetensors", corrected, episodes=corrections_episodes, workers=workers, on_log=on_log
        )
        found = corrections.load(corrected)
        samples.add_corrections(found, share=training.CORRECTION_SHARE)
        vision = torch.cat([vision, torch.from_numpy(found["vision"])])
        left = seconds - (time.monotonic() - began)
        if not training.train_act(net, samples, vision, mend, folder=runs, on_log=on_log, seconds=left, stage="mend"):
            return False
    export(
        course,
        runs / "mend.safetensors",
        out,
        samples=len(samples),
        episodes=episodes,
        corrections=corrections_episodes,
        stages=(see, act, mend),
    )
    return True


def _correct(course: Course, weights: Path, folder: Path, *, episodes: int, workers: int, on_log: OnLog) -> None:
    """Collect the missing corrections in files of twenty episodes, with several processes."""
    files = {first: _corrections_file(folder, first) for first in range(0, episodes, _PER_FILE)}
    todo = [first for first, file in files.items() if not file.exists()]
    in_parallel(
        _correct_some,
        [(course, weights, folder, todo[w::workers]) for w in range(workers)],
        stage="corrections",
        files=list(files.values()),
        on_log=on_log,
    )


def _correct_some(course: Course, weights: Path, folder: Path, firsts: list[int]) -> None:
    torch.set_num_threads(1)
    net = GeneralistNet(course.design)
    net.load_state_dict(read_tensors(weights))
    policy = Generalist(net, fingerprint="in the making")
    for first in firsts:
        file = _corrections_file(folder, first)
        corrections.collect(course, policy, file, episodes=_PER_FILE, first=first)


def _corrections_file(folder: Path, first: int) -> Path:
    return folder / f"corrections_{first:05d}.safetensors"


def fit_proprio(net: GeneralistNet, samples: Samples) -> None:
    """Set the network's proprioception normalisation from data; numbers that never change are left unscaled."""
    proprio = torch.from_numpy(samples.arrays["proprio"])
    net.context.proprio_mean.copy_(proprio.mean(0))
    net.context.proprio_std.copy_(proprio.std(0).clamp(min=0.05))


def fit_places(net: GeneralistNet, course: Course) -> None:
    """Give the network the world's calibrations, and the heights at which objects rest."""
    known = course.calibrations()
    places = net.context.places
    places.set_cameras(torch.from_numpy(known.mounts).float(), torch.from_numpy(known.slopes).float())
    places.heights.copy_(torch.from_numpy(known.heights))


def export(
    course: Course,
    file: Path,
    out: Path,
    *,
    samples: int,
    episodes: int,
    corrections: int,
    stages: tuple[TrainSettings, ...],
) -> None:
    """Write the averaged weights in half precision, calibrations in full, and what they were made from."""
    out.mkdir(parents=True, exist_ok=True)
    state = read_tensors(file)
    half = {k: v.half() if v.is_floating_point() and ".places." not in k else v for k, v in state.items()}
    weights = out / "model.safetensors"
    save_file({k: v.contiguous() for k, v in half.items()}, weights)
    weights.chmod(0o644)
    losses = {stage: read_json(file.parent / f"{stage}.json")["losses"] for stage in STAGES}
    card = {
        "made_by": "frs generalist make",
        "demonstrations": {
            "episodes": episodes,
            "samples": samples,
            "first_seed": course.first_demonstration,
            "tasks": list(course.tasks),
            "held_out": list(course.held_out),
        },
        "corrections": {"episodes": corrections, "first_seed": course.first_correction},
        "stages": {name: asdict(settings) for name, settings in zip(STAGES, stages, strict=True)},
        "losses": losses,
        "parameters": sum(v.numel() for v in state.values()),
    }
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def _is_done(runs: Path, stage: str, settings: TrainSettings) -> bool:
    file = runs / f"{stage}.json"
    return file.exists() and read_json(file)["step"] >= settings.steps
