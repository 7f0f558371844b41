"""What the window's first image needs is imported without the tensor library and without the simulator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LONG_S

LIGHT = (
    "app.main",
    "app.window",
    "app.views.review.page",
    "app.views.train.page",
    "app.views.practise.page",
    "frs_core.worlds.tabletop.mirror",
    "frs_core.cli",
    "frs_core.choosers.scripted",
    "frs_core.episodes",
    "frs_core.events",
    "frs_core.learning",
    "frs_core.session",
    "frs_core.worlds.process",
    "frs_core.worlds.tabletop.tasks",
)
LATER = (
    "PIL",
    "av",
    "einops",
    "matplotlib",
    "mujoco",
    "psutil",
    "pygame",
    "pyspacemouse",
    "rich",
    "safetensors",
    "torch",
    "tyro",
    "urllib.request",
    "websockets",
    "zarr",
    "zmq",
    "app.views.practise.page",
    "app.views.review.page",
    "app.views.train.page",
    "frs_core.evaluation",
    "frs_core.learning",
    "frs_core.policies.base",
    "frs_core.serving",
)
"""What `frs` without options does not import before its first paint: every one of them would delay the window or the first fan."""

FIRST_PAINT = """
import sys
from app import main
from app.qt import QtCore
from frs_core import cli, session

class Port:
    world_spec = policy_spec = boundary_state = None
    def send(self, command): return True
    def subscribe(self, callback): return lambda: None
    def latest(self): return None
    def close(self, *_): pass

def on_ready(window):
    window.repaint()
    print("IMPORTED", *sys.modules, flush=True)
    QtCore.QTimer.singleShot(0, window.close)

session.LiveSession = lambda *_, **__: Port()
show = main.run_window
main.run_window = lambda *given, **options: show(*given, **{**options, "on_ready": on_ready})
cli.main([])
"""
"""The start of `frs` up to the first paint, without a world and a policy, which start in the background."""


@pytest.mark.parametrize("heavy", ["torch", "mujoco"])
def test_the_first_picture_needs_neither_tensors_nor_a_simulator(heavy: str) -> None:
    program = (
        f"import sys; sys.modules[{heavy!r}] = None\n"
        f"import importlib\nfor name in {LIGHT!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_first_paint_leaves_for_later_what_it_does_not_need(tmp_path: Path) -> None:
    folders = {f"FRS_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "LOG")}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAINT],
        env={**os.environ, **folders, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Recordings go to {folders['FRS_DATA_DIR']}" in done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED ")]
    assert "app.window" in line.split()
    assert not set(LATER) & set(line.split())


def test_every_module_of_the_core_is_importable_without_qt() -> None:
    program = (
        "import sys; sys.modules['PyQt6'] = sys.modules['pyqtgraph'] = None\n"
        "import importlib, pkgutil, frs_core\n"
        "for found in pkgutil.walk_packages(frs_core.__path__, 'frs_core.'): importlib.import_module(found.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
