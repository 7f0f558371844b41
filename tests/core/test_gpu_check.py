"""`scripts/gpu-check`: every part on the CPU at a tiny size, and what is left when parts crash, hang or cannot run."""

import importlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu import pack
from benchmarks.gpu.check import PARTS, main
from benchmarks.gpu.packages import CARRIED, NEEDED
from benchmarks.gpu.runner import ROOT, Part
from benchmarks.gpu.task import CannotRun, Task

FAKES = "tests.fakes.gpu_parts"
IN_PROCESSES = ("tests", "lerobot", "rendering")
"""Parts that start pytest, need LeRobot, or want a process for OpenGL: run by the slow test alone."""


def part(name: str, *, limit_s: float = 300.0) -> Part:
    return Part(name, f"{FAKES}:{name}", limit_s)


def summary(out: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads((out / "summary.json").read_text())["parts"]}


@pytest.mark.parametrize("name", [p.name for p in PARTS if p.name not in IN_PROCESSES])
def test_a_part_runs_on_the_cpu_at_a_tiny_size(tmp_path: Path, name: str) -> None:
    module, function = next(p.target for p in PARTS if p.name == name).split(":")
    task = Task(tmp_path / f"{name}.json", device="cpu", is_small=True)
    getattr(importlib.import_module(module), function)(task)
    told = json.loads(task.file.read_text())
    assert told["headline"]
    assert told["results"]


def test_parts_that_crash_hang_or_cannot_run_leave_the_others_and_are_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ("raises", "crashes", "misses_a_package", "cannot", "works")
    parts = [part("hangs", limit_s=20.0), *(part(name) for name in names)]
    assert main([str(tmp_path), "--device", "cpu", "--small", "--seconds", "3000"], parts=parts) == 1
    told = summary(tmp_path)
    assert {name: row["status"] for name, row in told.items()} == {
        "hangs": "timed out",
        "raises": "failed",
        "crashes": "failed",
        "misses_a_package": "cannot run",
        "cannot": "cannot run",
        "works": "ok",
    }
    assert told["raises"]["reason"] == "ValueError: seven is not even"
    assert told["crashes"]["reason"] == "The process ended with signal SIGSEGV; see crashes.log."
    assert "'no_such_package_at_all' is not installed" in str(told["misses_a_package"]["reason"])
    assert told["cannot"]["reason"] == "There is no card."
    assert told["hangs"]["reason"] == "Ended after its 20 s."
    assert told["raises"]["results"] == told["crashes"]["results"] == {"before": 1}
    assert told["works"]["results"] == {"answer": 42}
    assert "hangs" in (tmp_path / "hangs.log").read_text(), "the stacks of a part that hangs"
    assert (tmp_path / "summary.txt").read_text() in capfd.readouterr().out
    assert is_gone(int(told["hangs"]["results"]["sleeper"])), "what a part started ends with it"  # type: ignore[index]


def is_gone(pid: int) -> bool:
    """Return whether a process has ended, soon."""
    status = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        try:
            if status.read_text().rsplit(")", 1)[1].split()[0] in "ZX":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_parts_past_the_total_are_told_and_not_begun(tmp_path: Path) -> None:
    assert main([str(tmp_path), "--device", "cpu", "--seconds", "1"], parts=[part("works")]) == 1
    assert summary(tmp_path)["works"]["status"] == "no time left"
    assert not (tmp_path / "works.log").exists()


def test_some_parts_alone(tmp_path: Path) -> None:
    parts = [part("raises"), part("works")]
    assert main([str(tmp_path), "--device", "cpu", "--parts", "works"], parts=parts) == 0
    assert list(summary(tmp_path)) == ["works"]


def test_carried_wheels_are_found_without_installing_them(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "carried-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("no_such_package_at_all.py", "")
        wheel.writestr("carried-1.0.data/purelib/carried_too.py", "")
        wheel.writestr("carried-1.0.data/scripts/carried", "")
    words = [str(tmp_path / "out"), "--device", "cpu", "--wheels", str(wheels)]
    assert main(words, parts=[part("misses_a_package")]) == 0
    assert summary(tmp_path / "out")["misses_a_package"]["status"] == "ok"
    with pytest.raises(SystemExit, match="No wheels in"):
        main([str(tmp_path / "out"), "--wheels", str(tmp_path)], parts=[part("works")])


def test_a_part_for_a_card_says_that_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CannotRun, match="finds no CUDA device"):
        Task(tmp_path / "x.json", device="cuda", is_small=False).torch_device()


def test_the_first_part_needs_nothing_installed(tmp_path: Path) -> None:
    code = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "scripts/gpu-check", tmp_path, "--device", "cpu", "--parts", "machine"],
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
    )
    assert code.returncode == 0, code.stdout.decode() + code.stderr.decode()
    assert summary(tmp_path)["machine"]["status"] == "ok"


def test_wheels_are_asked_for_by_their_pins_and_alone() -> None:
    everything = {name: package for packages in NEEDED.values() for name, package in packages.items()}
    lock = "mujoco==4.0.0\nzarr==3.1.6 ; python_full_version < '3.12'\n"
    assert pack.requirement("mujoco", everything["mujoco"], lock) == "mujoco==4.0.0"
    assert pack.requirement("transformers", everything["transformers"], lock) == "transformers==5.5.4"
    assert pack.requirement("toml", everything["toml"], lock) == "toml"
    words = pack.download(["mujoco==4.0.0"], Path("wheels"), "3.12")
    assert {"--no-deps", "--only-binary=:all:", "manylinux2014_x86_64", "3.12"} <= set(words)
    assert set(CARRIED) <= set(everything)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_script_on_the_cpu(tmp_path: Path) -> None:
    words = ["--device", "cpu", "--small", "--seconds", "3000", "--patience", "10"]
    ended = subprocess.run([sys.executable, ROOT / "scripts/gpu-check", tmp_path, *words], check=False)
    statuses = {name: row["status"] for name, row in summary(tmp_path).items()}
    assert list(statuses) == [p.name for p in PARTS]
    assert statuses.pop("lerobot") in ("ok", "cannot run")
    assert set(statuses.values()) == {"ok"}
    assert ended.returncode == 0
    timings = json.loads((tmp_path / "policy_gpu.json").read_text())["timings"]
    assert {(t["what"], t["batch"]) for t in timings} >= {("encode", 1), ("one step", 8), ("fan", 1), ("fan", 8)}
