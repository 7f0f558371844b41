"""`examples/plugin`, installed beside the product, brings one of everything, and each of them works and keeps its contract."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.waiting import LONG_S

FOLDER = Path(__file__).parents[2] / "examples" / "plugin"
PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from app.actions import ACTIONS, DEVICES
from frs_core import cli
from frs_core.choosers.registry import Setting, choosers, make_choosers
from frs_core.evaluation.methods import find_method
from frs_core.events import Driver, Outcome
from frs_core.learning.records import table_from_records
from frs_core.learning.registry import learners
from frs_core.policies import load_policy
from frs_core.episodes.records import MemoryRecorder
from frs_core.session import InlineSession
from frs_core.worlds import make_world

world, policy = make_world("hover"), load_policy("drift", speed=0.2)
homing = make_choosers(Setting())[Driver("homing")]
recorder = MemoryRecorder()
with InlineSession(world, policy, recorder=recorder) as session:
    done = session.run_episode(homing, task=world.spec.example_task, seed=1, max_chunks=20)
assert done.success, done
assert {c.driver for c in recorder.episodes[0].chunks} == {Driver("homing")}

row = learners()["mean-noise"]
table = table_from_records(recorder.episodes)
trained = row.load().train(table, name="mine")
folder = trained.save(Path(sys.argv[1]) / "mine")
assert find_method("mean-noise").learned == "mean-noise"
assert "train mean-noise" in cli.commands()
from frs_core.learning.registry import load_noise_policy
assert load_noise_policy(folder, policy.spec.fingerprint).name == "mine"

assert [d.kind for d in DEVICES][-1] == "pedal"
assert "pedal:hold" in ACTIONS["drive.hold"].controls
assert "driver.homing" in ACTIONS
"""
CONTRACTS = """
from frs_core.candidates.fan import build_fan
from frs_core.steering.methods import SteeringPlan
from frs_core.testing import *
from frs_toy.chooser import Homing
from frs_toy.device import Pedal
from frs_toy.learner import ROW
from frs_toy.policy import DriftPolicy
from frs_toy.world import HoverWorld
from frs_core.steering.directions import Direction

class TestWorld(WorldContract):
    def make(self): return HoverWorld()
class TestPolicy(FlowPolicyContract):
    def make(self): return DriftPolicy()
    def observation(self): return HoverWorld().observe()
class TestLearner(LearnerContract):
    row = ROW
    def observation(self): return HoverWorld().observe()
class TestDevice(InputDeviceContract):
    def make(self): return Pedal()
class TestChooser(ChooserContract):
    def make(self): return Homing(Direction.LEFT)
    def fan(self):
        policy, seen = DriftPolicy(), HoverWorld().observe()
        return build_fan(policy, policy.encode(seen), seen, plan=SteeringPlan(components=1), request_id=1)
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that has the plug-in installed: package and entry points on its path."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"frs_toy-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for group, rows in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    path = [str(FOLDER.parents[1]), str(FOLDER), str(tmp_path / "site")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "QT_QPA_PLATFORM": "offscreen"}


def test_an_installed_plug_in_drives_records_learns_and_is_in_every_menu(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=installed,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_it_keeps_the_contracts(tmp_path: Path, installed: dict[str, str]) -> None:
    (tmp_path / "test_toy.py").write_text(CONTRACTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=installed, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


@pytest.mark.parametrize("name", ["world", "policy", "learner", "device", "chooser"])
def test_each_example_is_short(name: str) -> None:
    lines = [line for line in (FOLDER / "frs_toy" / f"{name}.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 60
