"""The same episodes and seed give the same weights, bit by bit, whatever else runs and in whatever process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from frs_core.learning.metadata import read_metadata
from tests.waiting import LONG_S

_TRAIN = """
import sys
from pathlib import Path
from frs_core.learning import BcSettings, DsbcSettings, FitSettings, NetworkSettings, TrainRequest
from frs_core.learning.run import run_request

fit = FitSettings(steps=30, least_steps=0, batch_size=16, seed=3)
small = NetworkSettings(hidden=48, layers=2)
SETTINGS = {"dsbc": DsbcSettings, "bc-gaussian": BcSettings, "bc-flow": BcSettings}
for kind, settings in SETTINGS.items():
    run_request(TrainRequest(
        kind=kind, root=Path(), episodes=(), out=Path(sys.argv[1]) / kind, fingerprint="toy-1",
        settings=settings(network=small, fit=fit),
        source="tests.fakes.learning:load_synthetic",
    ))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return what two processes with other numbers of threads trained from the same."""
    root = tmp_path_factory.mktemp("trained")
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", _TRAIN, str(root / threads)], check=True, env=environment, timeout=LONG_S)
    return root / "1", root / "2"


@pytest.mark.parametrize("kind", ["dsbc", "bc-gaussian", "bc-flow"])
def test_two_processes_train_the_same_weights_bit_by_bit(trained: tuple[Path, Path], kind: str) -> None:
    first, second = (read_metadata(folder / kind).weights_sha256 for folder in trained)
    assert first == second
