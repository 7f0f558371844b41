"""Making the generalist: a small run of the whole, cut after every step or not, gives the same weights and a full card."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from frs_core.errors import TrainingError
from frs_core.making.generalist import demonstrations, make, training
from frs_core.making.generalist.stages import Log, in_parallel
from frs_core.making.tabletop.course import COURSE
from frs_core.policies.tabletop import load

STEPS = {"see": 2, "act": 3, "mend": 2}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three demonstrations, one episode of corrections, all in this process."""

    def here(work: Callable[..., None], jobs: Sequence[tuple[object, ...]], **_: object) -> None:
        for job in jobs:
            work(*job)

    monkeypatch.setattr(demonstrations, "EPISODES_PER_SHARD", 3)
    monkeypatch.setattr(make, "EPISODES_PER_SHARD", 3)
    monkeypatch.setattr(make, "_PER_FILE", 1)
    monkeypatch.setattr(make, "in_parallel", here)
    monkeypatch.setattr(demonstrations, "in_parallel", here)
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run(work: Path, *, seconds: float = 1e9, on_log: Callable[[Log], None] = lambda _: None) -> bool:
    def short(settings: training.TrainSettings, stage: str) -> training.TrainSettings:
        return replace(settings, steps=STEPS[stage], batch=4, warmup=1)

    return make.make(
        COURSE,
        work,
        work / "out",
        episodes=3,
        see=short(training.SEE, "see"),
        act=short(training.ACT, "act"),
        mend=short(training.MEND, "mend"),
        corrections_episodes=1,
        workers=1,
        seconds=seconds,
        on_log=on_log,
    )


def test_cut_after_every_step_it_ends_with_the_same_weights_and_a_full_card(tmp_path: Path) -> None:
    logs: list[Log] = []
    assert run(tmp_path / "whole", on_log=logs.append)

    shutil.copytree(tmp_path / "whole" / "demonstrations", tmp_path / "cut" / "demonstrations")
    calls = 1
    while not run(tmp_path / "cut", seconds=0.0):
        calls += 1
        assert calls < 20

    assert calls == sum(STEPS.values()) - len(STEPS) + 1
    whole, cut = (load_file(tmp_path / name / "out" / "model.safetensors") for name in ("whole", "cut"))
    for name in whole:
        assert torch.allclose(whole[name].float(), cut[name].float(), atol=1e-4), name
    card = json.loads((tmp_path / "cut" / "out" / "card.json").read_text())
    assert {stage: [at for at, _ in losses] for stage, losses in card["losses"].items()} == {
        stage: list(range(1, count + 1)) for stage, count in STEPS.items()
    }
    assert card["demonstrations"]["episodes"] == 3
    assert [(log.stage, log.step) for log in logs][-1] == ("mend", 2)
    assert load(tmp_path / "cut" / "out" / "model.safetensors").spec.horizon == 16


def test_several_processes_leave_their_files_and_are_not_started_again(tmp_path: Path) -> None:
    files, logs = [tmp_path / str(i) for i in range(4)], []
    jobs = [(files[:2],), (files[2:],)]

    in_parallel(_touch, jobs, stage="touches", files=files, on_log=logs.append)
    in_parallel(_fail, jobs, stage="touches", files=files, on_log=logs.append)

    assert (logs[-1].step, logs[-1].steps, logs[-1].seconds_left) == (4, 4, 0.0)


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"makes demonstrations stopped with codes \[1\]"):
        in_parallel(_fail, [([],)], stage="demonstrations", files=[tmp_path / "none"], on_log=lambda _: None)


def _touch(files: list[Path]) -> None:
    for file in files:
        file.touch()


def _fail(_: list[Path]) -> None:
    raise SystemExit(1)
