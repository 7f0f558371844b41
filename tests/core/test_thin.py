"""The cockpit for a policy on another machine starts, steers and records without the packages that the thin distribution leaves out."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from frs_core.candidates.verdicts import chi_square_share
from frs_core.errors import why_left_out
from frs_core.serving.server import build_server
from frs_core.serving.websocket_server import ServerSettings
from frs_core.steering.methods import gaussian, gaussian_array
from tests.core.test_light_imports import FIRST_PAINT, LIGHT
from tests.fakes.policy import ToyPolicy
from tests.waiting import LONG_S

ROOT = Path(__file__).parents[2]
WHOLE, THIN = (tomllib.loads((ROOT / p / "pyproject.toml").read_text())["project"] for p in (".", "thin"))
LEFT_OUT = ("torch", "mujoco", "matplotlib", "av", "safetensors", "einops", "cv2")
EXTRAS = ("OpenGL", "pygame")

BLOCKED = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LEFT_OUT + EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Missing())
"""
"""An installation without these packages."""

STEER = """
import json
from frs_core.choosers.scripted import SequenceChooser
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.policies import load_policy
from frs_core.session.inline import InlineSession
from frs_core.steering.plan import SteeringPlan
from tests.fakes.world import PointWorld

store = EpisodeStore(sys.argv[2])
policy = load_policy("remote", path=sys.argv[1])
with InlineSession(PointWorld(), policy, plan=SteeringPlan(**json.loads(sys.argv[3])), recorder=JournalRecorder(store)) as session:
    chooser = SequenceChooser(["left/more", "down/less", "unsteered"])
    result = session.run_episode(chooser, task="reach_left", seed=3, max_chunks=3)
episode = store.open(result.name)
print(json.dumps([list(result.picks), episode.n_chunks, sorted(episode.cameras)]))
"""


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + program, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )


def test_the_thin_distribution_differs_from_the_whole_one_in_what_it_leaves_out() -> None:
    left_out = set(WHOLE["dependencies"]) - set(THIN["dependencies"])
    names = {row.split(">=")[0].split("==")[0] for row in left_out}
    assert names == {*LEFT_OUT, "opencv-python-headless", "PyOpenGL", "pygame"} - {"cv2"}
    assert {row for rows in THIN["optional-dependencies"].values() for row in rows} < left_out
    assert set(THIN["dependencies"]) < set(WHOLE["dependencies"])
    assert [THIN[k] for k in ("scripts", "requires-python")] == [WHOLE[k] for k in ("scripts", "requires-python")]


WINDOW = """
import os
from pathlib import Path
import frs_core.session
from frs_core.policies import NamedPolicy

os.environ.pop("OMP_NUM_THREADS", None)
frs_core.session.LiveSession = lambda world, make_policy, **options: make_policy
from app.main import make_session
make_policy = make_session("tests.fakes.world:PointWorld", NamedPolicy("remote", {"path": sys.argv[1]}), root=Path(sys.argv[2]))
policy = make_policy()
print(policy.spec.name)
policy.close()
"""


def test_the_windows_own_way_of_loading_a_policy_needs_nothing_else(tmp_path: Path) -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        done = run(WINDOW, f"ws://127.0.0.1:{server.port}", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["toy"]


def test_what_the_cockpit_starts_with_is_importable() -> None:
    names = (*LIGHT, "frs_core.policies.remote", "frs_core.candidates.fan", "frs_core.worlds.droid", "frs_core.doctor")
    done = run(f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n")
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_window_paints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    for name in ("CONFIG", "DATA", "LOG"):
        monkeypatch.setenv(f"FRS_{name}_DIR", str(tmp_path / name.lower()))
    done = run(FIRST_PAINT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "app.window" in done.stdout


@pytest.mark.parametrize("plan", [{}, {"depth": 6}])
def test_a_remote_policys_fan_is_steered_and_recorded(tmp_path: Path, plan: dict[str, int]) -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        done = run(STEER, f"ws://127.0.0.1:{server.port}", str(tmp_path), json.dumps(plan))
    assert done.returncode == 0, done.stderr[-2000:]
    picks, chunks, cameras = json.loads(done.stdout.splitlines()[-1])
    assert picks == ["left/more", "down/less", "unsteered"]
    assert (chunks, cameras) == (3, ["left", "right", "wrist"])


TRAIN = """
from pathlib import Path
from queue import Queue
from threading import Event
from frs_core.learning.process import _trainer
from frs_core.learning.registry import find_learner
from frs_core.learning.request import TrainRequest

if __name__ == "__main__":
    row = find_learner("bc-flow")
    request = TrainRequest(kind=row.id, root=Path("."), episodes=(), out=Path("x"), fingerprint="", task="t", settings=row.settings())
    messages = Queue()
    _trainer(request, messages, Event())
    print(messages.get())
"""


def test_training_says_in_a_sentence_what_it_needs() -> None:
    done = run(TRAIN)
    assert "Training cannot begin. This needs PyTorch, which the thin cockpit does without." in done.stdout, done.stderr


def test_published_checkpoints_are_listed_without_pytorch() -> None:
    done = run("from frs_core.cli import main\nmain(['policy', 'fetch'])\n")
    assert (done.returncode, "pi05_droid" in done.stdout) == (0, True), done.stderr[-2000:]


@pytest.mark.parametrize(("words", "title"), [(["demo"], "PyTorch"), (["serve"], "PyTorch")])
def test_a_command_that_needs_more_says_so_in_a_sentence(words: list[str], title: str) -> None:
    done = run(f"from frs_core.cli import main\nmain({words!r})\n")
    assert done.returncode == 2
    assert (
        f"This needs {title}, which the thin cockpit does without. Install the whole product with `pip install"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_a_policy_that_needs_more_says_so_and_other_missing_packages_are_not_explained_by_it() -> None:
    done = run(
        "from frs_core.policies import load_policy\n"
        "from frs_core.errors import ConfigError\n"
        "try: load_policy('tabletop')\n"
        "except ConfigError as error: print(error)\n"
    )
    assert "The policy 'tabletop' cannot be loaded. This needs PyTorch" in done.stdout, done.stderr[-2000:]
    assert why_left_out("torch.nn") == why_left_out("torch")
    assert why_left_out("torchvision") is why_left_out(None) is None


@pytest.mark.parametrize("shape", [(1,), (1, 2, 7), (15,), (16,), (1, 16, 7), (1, 15, 32), (17,), (3, 11), (1, 50, 8)])
@pytest.mark.parametrize("seed", [0, 1, 123456789, -1, (1 << 40) + 7])
def test_noise_without_pytorch_is_the_same_noise(shape: tuple[int, ...], seed: int) -> None:
    # Uniform numbers have 24 bits; near 1 the logarithm's error is theirs, some 1e-7 / radius.
    np.testing.assert_allclose(gaussian_array(shape, seed=seed), gaussian(shape, seed=seed).numpy(), atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 105, 480, 1600])
def test_the_share_below_an_energy_is_the_incomplete_gamma_function(count: int) -> None:
    energies = np.concatenate([[0.0], np.geomspace(1e-3, 30.0, 60)]) * count
    ours = [chi_square_share(float(e), count) for e in energies]
    theirs = torch.special.gammainc(torch.tensor(count / 2.0, dtype=torch.float64), torch.from_numpy(energies / 2))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)
