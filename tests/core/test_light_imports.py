"""What the window's first image needs is imported without the tensor library and without the simulator."""

import subprocess
import sys

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


@pytest.mark.parametrize("heavy", ["torch", "mujoco"])
def test_the_first_picture_needs_neither_tensors_nor_a_simulator(heavy: str) -> None:
    program = (
        f"import sys; sys.modules[{heavy!r}] = None\n"
        f"import importlib\nfor name in {LIGHT!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_module_of_the_core_is_importable_without_qt() -> None:
    program = (
        "import sys; sys.modules['PyQt6'] = sys.modules['pyqtgraph'] = None\n"
        "import importlib, pkgutil, frs_core\n"
        "for found in pkgutil.walk_packages(frs_core.__path__, 'frs_core.'): importlib.import_module(found.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
