"""Practice on a robot, whole: the cockpit's window and session, the bridge, a practice in its own process. Only the arm is not real.

A first success is steered and labelled in Drive; practice starts from its words; two attempts are started and labelled by the person,
a chunk of one is steered; between attempts, and while the practice works, the robot is asked for nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.facts import Facts
from app.qt import Qt
from app.settings import SettingsFile
from app.window import CockpitWindow
from app.workers import SessionBridge
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.events import Outcome, Phase
from frs_core.learning.practice_record import read_practice
from frs_core.learning.table_file import read_table
from frs_core.session import LiveSession
from frs_core.worlds.host import HostSettings
from frs_core.worlds.process import WorldProcess
from tests.app.test_whole_loop import PATIENT, WAIT, Operator
from tests.fakes.droid_env import FakeRobotEnv
from tests.fakes.keys import type_key as key
from tests.fakes.policy import ToyPolicy
from tests.fakes.running_bridge import bridge_thread

WORDS = "stack the cups"


@pytest.fixture
def robot(tmp_path: Path, qtbot: Any) -> Iterator[tuple[CockpitWindow, FakeRobotEnv]]:
    """A cockpit on a DROID robot whose arm is simulated."""
    root = tmp_path / "data"
    with bridge_thread() as (bridge, env):
        options = {"endpoint": bridge.address, "width": 160, "height": 90, "timeout_s": 30.0, "stale_s": 60.0}
        session = LiveSession(
            WorldProcess(
                "droid",
                {**options, "instruction": WORDS},
                settings=HostSettings(session_silence_s=30.0),
                silence_s=30.0,
            ),
            ToyPolicy,
            recorder=JournalRecorder(EpisodeStore(root)),
            options=PATIENT,
        )
        settings = SettingsFile(tmp_path / "config")
        settings.values.has_seen_first_run = True
        facts = Facts("droid", "toy", root=root, is_simulated=False)
        window = CockpitWindow(SessionBridge(session), facts, settings)
        # The question before each start is answered with yes; that it is asked is tested in test_attempts.
        window.drive_actions._ask = lambda _text, on_yes: on_yes()  # type: ignore[method-assign]
        window.show_cockpit()
        qtbot.waitExposed(window)
        window.activateWindow()
        try:
            qtbot.waitUntil(lambda: bool(window.facts.fingerprint and window.facts.workspace), timeout=WAIT)
            yield window, env
        finally:
            window.close()
            session.close()
            window.deleteLater()


def label(window: CockpitWindow, qtbot: Any, action: str) -> None:
    """Label the open episode and wait until it is kept."""
    window.run(action)
    qtbot.waitUntil(lambda: window.snapshot is not None and window.snapshot.episode.number == 0, timeout=WAIT)


def motions(env: FakeRobotEnv) -> int:
    """Return how often the robot was asked to move; a hold asks it to stop, whenever that arrives."""
    return sum(name != "joint_velocity" or any(values) for name, values in env.robot.commands)


def chunks(window: CockpitWindow, qtbot: Any, count: int) -> None:
    """Wait until `count` chunks of the open episode were driven; a hold by a busy machine is resumed."""
    watching = Operator(window)

    def is_there() -> bool:
        watching.is_done()
        return window.snapshot is not None and window.snapshot.episode.chunks >= count

    qtbot.waitUntil(is_there, timeout=WAIT)


def steer(window: CockpitWindow, qtbot: Any) -> None:
    """Press a direction, once per chunk, until one of the learned driver's chunks was a person's."""
    watching, pressed = Operator(window), set[int]()

    def is_steered() -> bool:
        watching.is_done()
        s = window.snapshot
        assert s is not None
        if s.counters["corrections"]:
            chunks(window, qtbot, s.episode.chunks + 1)
            return True
        if s.phase in (Phase.CHOOSE, Phase.MOVING) and s.episode.chunks not in pressed:
            pressed.add(s.episode.chunks)
            key(window, Qt.Key.Key_Left)
        return False

    qtbot.waitUntil(is_steered, timeout=WAIT)


@pytest.mark.timeout(600)
def test_two_attempts_on_a_robot_from_the_first_steered_success_to_the_stop(
    robot: tuple[CockpitWindow, FakeRobotEnv], qtbot: Any
) -> None:
    window, env = robot
    assert env.robot.commands == []
    window.run("episode.start")
    qtbot.waitUntil(Operator(window, Qt.Key.Key_Left).is_done, timeout=WAIT)
    label(window, qtbot, "episode.success")

    window.show_layout("practise")
    page = window.practise
    qtbot.waitUntil(lambda: page.setup.task.count() == 1, timeout=WAIT)
    page.setup.choose(WORDS, "dsrl")
    assert page.problem is None
    window.run("practise.start")
    assert window.layout_name == "drive"
    still = motions(env)
    strip = window.drive.attempt
    ready = "start it; it drives alone, and a direction steers one chunk"
    qtbot.waitUntil(lambda: strip.text.text().endswith(ready), timeout=WAIT)
    assert motions(env) == still, "nothing moves while a practice gets ready"

    window.run("episode.start")
    chunks(window, qtbot, 1)
    steer(window, qtbot)
    assert motions(env) > still
    label(window, qtbot, "episode.success")
    still = motions(env)
    qtbot.waitUntil(lambda: strip.text.text().startswith("Attempt 2 at stack the cups (2 of 10"), timeout=WAIT)
    assert motions(env) == still, "nothing moves between two attempts"

    window.run("episode.start")
    chunks(window, qtbot, 1)
    label(window, qtbot, "episode.failure")
    qtbot.waitUntil(lambda: strip.text.text().startswith("Attempt 3 at stack the cups (3 of 10"), timeout=WAIT)
    job = page.running.job
    assert job is not None
    window.run("practise.stop")
    qtbot.waitUntil(lambda: not page.is_practising, timeout=WAIT)
    record = read_practice(job.folder)
    assert record.attempts == (True, False)
    assert record.task == WORDS
    assert [point.episodes for point in record.curve] == [0]
    first = read_table(job.folder / "episodes" / "40000.table")
    assert "person" in first.driver
    assert "learned" in first.driver
    infos = sorted(EpisodeStore(window.facts.root).list(), key=lambda info: info.name)
    assert [info.outcome for info in infos] == [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE]
    assert {info.instruction for info in infos} == {WORDS}
