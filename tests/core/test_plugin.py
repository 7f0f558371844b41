"""`examples/plugin`, installed beside the product, brings one of everything, and each of them works and keeps its contract."""

import json
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

from frs_core.commands.eval import collect
from frs_core.episodes import EpisodeStore
data = Path(sys.argv[1]) / "data"
task = world.spec.example_task
collect(task, episodes=1, operator="homing", chooser_options={"homing": "left"}, world="hover", policy="drift", data=data, first_seed=1)
assert EpisodeStore(data).list()[0].drivers.keys() == {"homing"}

row = learners()["mean-noise"]
table = table_from_records(recorder.episodes)
trained = row.load().train(table, row.settings(scale=0.5), name="mine")
folder = trained.save(Path(sys.argv[1]) / "mine")
assert find_method("mean-noise").learned == "mean-noise"
assert "train mean-noise" in cli.commands()
from frs_core.learning.registry import load_noise_policy
assert load_noise_policy(folder, policy.spec.fingerprint).name == "mine"

assert [d.kind for d in DEVICES][-1] == "pedal"
assert "pedal:hold" in ACTIONS["drive.hold"].controls
assert ACTIONS["driver.homing"].keys == ("Alt+5",)
"""
CONTRACTS = """
from frs_core.candidates.fan import build_fan
from frs_core.steering.methods import SteeringPlan
from frs_core.testing import *
from frs_toy.chooser import ROW as HOMING, Homing
from frs_toy.device import Pedal
from frs_toy.mean_noise import ROW
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
    def other_settings(self): return self.row.settings(scale=0.5)
    def observation(self): return HoverWorld().observe()
class TestDevice(InputDeviceContract):
    def make(self): return Pedal()
class TestChooser(ChooserContract):
    row = HOMING
    def make(self): return Homing(Direction.LEFT)
    def fan(self):
        policy, seen = DriftPolicy(), HoverWorld().observe()
        return build_fan(policy, policy.encode(seen), seen, plan=SteeringPlan(components=1), request_id=1)
"""


BROKEN = """
import contextlib, io, logging, sys

said = io.StringIO()
logging.basicConfig(stream=said)
from app.main import run
from app.window import CockpitWindow
from frs_core import cli
from frs_core.choosers.registry import Setting, make_choosers
from frs_core.evaluation.methods import METHODS

make_choosers(Setting())
print("LOG", said.getvalue().count("loaded from frs_broken:ROW"), said.getvalue().count("ValueError: no licence"))
for words in (
    ["eval", "--methods", "brk", "--tasks", "x"],
    ["eval", "--methods", "brk@3", "--tasks", "x"],
    ["eval", "--methods", "base", "--tasks", "x", "--world", "brk", "--workers", "1", "--out", sys.argv[1]],
    ["collect", "mug_on_plate", "--policy", "brk", "--data", sys.argv[1]],
    ["demo", "--world", "brk", "--out", sys.argv[1]],
    ["cockpit", "--advisor", "brk"],
    ["train", "brk"],
    ["practise", "brk"],
):
    heard = io.StringIO()
    with contextlib.redirect_stderr(heard), contextlib.suppress(SystemExit):
        cli.main(words)
    print("ASKED", *words[:3], "ValueError: no licence. Correct it, or uninstall its package." in heard.getvalue(), repr(heard.getvalue()))
"""


def _install(site: Path, name: str, version: str, groups: dict[str, dict[str, str]]) -> None:
    """Write what an installed package leaves: its metadata with the entry points."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in rows.items()) for group, rows in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that has the plug-in installed: package and entry points on its path."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    _install(tmp_path / "site", project["name"], project["version"], project["entry-points"])
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


@pytest.fixture
def with_broken(tmp_path: Path, installed: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process that also has a package of which nothing can be imported."""
    kinds = ("worlds", "policies", "learners", "choosers", "devices")
    _install(tmp_path / "site", "frs-broken", "1.0", {f"frs_core.{kind}": {"brk": "frs_broken:ROW"} for kind in kinds})
    (tmp_path / "site" / "frs_broken.py").write_text("raise ValueError('no licence')\n")
    return {**installed, **{f"FRS_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "LOG")}}


def test_a_broken_plug_in_is_logged_once_and_explained_when_asked_for(
    tmp_path: Path, with_broken: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, str(tmp_path / "out")],
        env=with_broken,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert "LOG 3 3" in lines  # A chooser, a device and a learner; worlds and policies are imported when they are used.
    asked = [line for line in lines if line.startswith("ASKED ")]
    assert len(asked) == 8
    assert not [line for line in asked if " True " not in line]


def test_doctor_lists_every_plug_in_and_the_error_of_a_broken_one(tmp_path: Path, with_broken: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from frs_core import cli; cli.main(['doctor', '--quick', '--json-lines'])"],
        env=with_broken,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    found = [row for row in map(json.loads, done.stdout.splitlines()) if row["subject"] == "Plug-ins"]
    good = {row["text"].split(" from ")[0] for row in found if row["level"] == "ok"}
    assert good == {
        "world 'hover'",
        "policy 'drift'",
        "learner 'mean-noise'",
        "chooser 'homing'",
        "device 'pedal'",
    }
    bad = [row for row in found if row["level"] == "failure"]
    assert [row["fix"] for row in bad] == ["Correct it, or uninstall its package."] * 5
    for row, kind in zip(bad, ("world", "policy", "learner", "chooser", "device"), strict=True):
        assert row["text"] == f"The {kind} 'brk' cannot be loaded from frs_broken:ROW: ValueError: no licence"
    assert done.returncode == 1


def test_the_demo_refuses_a_world_without_an_operator_before_it_begins(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    words = ["demo", "--world", "hover", "--policy", "drift", "--out", str(tmp_path / "demo")]
    done = subprocess.run(
        [sys.executable, "-c", f"from frs_core import cli; cli.main({words!r})"],
        env=installed,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "with --scripted-operator" in done.stderr
    assert not (tmp_path / "demo").exists()


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


MOST_LINES = 60
"""Of an example, blank ones included; docs/extending.md promises as much."""


@pytest.mark.parametrize("name", ["world.py", "policy.py", "mean_noise/*.py", "device.py", "chooser.py"])
def test_each_example_is_short(name: str) -> None:
    page = (FOLDER.parents[1] / "docs" / "extending.md").read_text()
    assert f"with one of each kind in files of at most {MOST_LINES} lines" in page
    files = list((FOLDER / "frs_toy").glob(name))
    assert files
    assert max(len(file.read_text().splitlines()) for file in files) <= MOST_LINES


def test_the_rows_of_the_examples_load_no_heavy_package(installed: dict[str, str]) -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['mujoco'] = sys.modules['pygame'] = None\n"
        "import frs_toy.chooser, frs_toy.device, frs_toy.mean_noise\n"
        "from frs_core.learning.registry import learners; assert 'mean-noise' in learners()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=installed, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
