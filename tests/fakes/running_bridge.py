"""A bridge that runs: in a thread over a fake RobotEnv, or as a process of its own that can be killed."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from frs_core.worlds.droid import bridge
from tests.fakes.droid_env import FakeRobotEnv, make
from tests.waiting import LONG_S

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = Path(bridge.__file__)


@contextmanager
def bridge_thread(**options: object) -> Iterator[tuple[bridge.Bridge, FakeRobotEnv]]:
    """Serve a fake RobotEnv in a thread; options go to `Bridge`."""
    env, facts = make()
    # On a busy machine answers take seconds; what depends on an age sets that age itself.
    server = bridge.Bridge(env, facts, **{"bind": "tcp://127.0.0.1:*", "max_state_age": 10.0, **options})
    thread = threading.Thread(target=server.serve, name="bridge", daemon=True)
    thread.start()
    try:
        yield server, env
    finally:
        for camera in env.camera_reader.camera_dict.values():
            camera.hang.clear()
        server.stop()
        thread.join(LONG_S)
        assert not thread.is_alive()


def bridge_process(
    *arguments: str, python: str = sys.executable, variables: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[str], str]:
    """Start bridge.py as a program; return the process and the address it listens on.

    Args:
        arguments: command line after the file name.
        python: interpreter.
        variables: environment variables on top of the present ones.
    """
    process = subprocess.Popen(
        [python, str(BRIDGE), "--max-state-age", "10", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(variables or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            return process, str(json.loads(line)["ready"])
    raise RuntimeError(f"bridge.py ended with code {process.wait(LONG_S)} before it was ready")


def end(process: "subprocess.Popen[str]") -> None:
    """End a process we started."""
    process.kill()
    process.wait(LONG_S)
    if process.stdout is not None:
        process.stdout.close()
