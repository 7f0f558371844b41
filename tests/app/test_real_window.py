"""The real window under real key events; opt in with `pytest -m slow tests/app/test_real_window.py`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        any(shutil.which(p) is None for p in ("Xvfb", "openbox", "xdotool")), reason="needs Xvfb, openbox and xdotool"
    ),
]


def _run(script: str, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(EXAMPLES / script), "--out", str(out), *options]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    return subprocess.run(words, capture_output=True, text=True, timeout=1500, check=False, env=environment)


@pytest.mark.parametrize(
    "fault", ["focus-lost", "inference-raises", "camera-frozen", "device-unplugged", "world-killed", "app-killed"]
)
def test_a_fault_ends_in_hold_with_a_sentence_and_no_lost_episode(fault: str, tmp_path: Path) -> None:
    done = _run("faults.py", tmp_path, "--only", fault)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_whole_story_is_played_by_key_presses(tmp_path: Path) -> None:
    done = _run("story.py", tmp_path, "--successes", "2", "--episodes", "1", "--max-chunks", "25")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "story.json").read_text())
    assert figures["steered"]["successes"] == 2
    assert figures["learned"]["n"] == 1
    assert (tmp_path / "story.gif").stat().st_size < 6_000_000


TOY = ("--world", "tests.fakes.world:PointWorld", "--policy", "tests.fakes.policy:ToyPolicy")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--parts", "cards", "settings", "episode", "review", "crash", *TOY), id="toy"),
        pytest.param((), id="all"),
    ],
)
def test_the_window_is_walked_through_by_keys_alone_and_the_status_file_follows(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    done = _run("walkthrough.py", tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "walk.json").read_text())
    assert report["failed"] == 0
    assert len(report["steps"]) > 60
