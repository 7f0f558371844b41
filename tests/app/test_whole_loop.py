"""The whole workflow through the window's keys on a live session: drive, label, review, train, use, let it drive.

The world runs in its own process, the policy on the worker, the recorder on disk; only the robot is the kinematic point
world and the generalist the exact toy policy.
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
from frs_core.events import Driver, Outcome, Phase, Snapshot
from frs_core.learning import JobState
from frs_core.session import LiveSession, SessionOptions
from frs_core.steering.candidates import LEARNED
from frs_core.worlds.host import HostSettings
from frs_core.worlds.process import WorldProcess
from tests.fakes.keys import type_key as key
from tests.fakes.policy import ToyPolicy
from tests.waiting import LONG_MS

WAIT = LONG_MS
PATIENT = SessionOptions(
    act_life_s=60.0, heartbeat_timeout_s=60.0, inference_timeout_s=60.0, write_timeout_s=60.0, scene_timeout_s=60.0
)
"""A busy test machine must not decide; the watchdogs have tests of their own."""


@pytest.fixture
def live(tmp_path: Path, qtbot: Any) -> Iterator[CockpitWindow]:
    """A cockpit on a live session."""
    root = tmp_path / "data"
    session = LiveSession(
        WorldProcess("tests.fakes.world:PointWorld", settings=HostSettings(session_silence_s=30.0), silence_s=30.0),
        ToyPolicy,
        recorder=JournalRecorder(EpisodeStore(root)),
        options=PATIENT,
    )
    settings = SettingsFile(tmp_path / "config")
    settings.values.has_seen_first_run = True
    window = CockpitWindow(SessionBridge(session), Facts("point", "toy", root=root), settings)
    window.show_cockpit()
    qtbot.waitExposed(window)
    try:
        qtbot.waitUntil(lambda: bool(window.facts.tasks and window.facts.fingerprint), timeout=WAIT)
        yield window
    finally:
        window.close()
        session.close()
        window.deleteLater()


def is_offering(window: CockpitWindow) -> bool:
    """Whether a fresh fan waits for a pick."""
    s = window.snapshot
    return s is not None and s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale


class Operator:
    """Resumes after a hold, once per thing said, and presses again where the cockpit said that a press was not taken."""

    def __init__(self, window: CockpitWindow, code: Qt.Key | None = None) -> None:
        assert window.snapshot is not None
        self.window, self.code = window, code
        self.goal = window.snapshot.episode.chunks + (code is not None)
        self.seen: Snapshot | None = None
        self.refused, self.must_press = -1, True

    def is_done(self) -> bool:
        """Look at the newest snapshot, act on it, and tell whether the next offer is there."""
        s = self.window.snapshot
        assert s is not None
        if s is self.seen:
            return False
        self.seen = s
        if s.phase is Phase.HOLD and s.episode.number:
            self.must_press = True
            self.window.run("drive.resume")
        if not is_offering(self.window) or s.episode.chunks < self.goal - 1:
            return False
        if s.episode.chunks >= self.goal:
            return True
        if self.code is not None and (self.must_press or s.counters["refused"] > self.refused):
            self.must_press, self.refused = False, s.counters["refused"]
            key(self.window, self.code)
        return False


def go_on(window: CockpitWindow, qtbot: Any) -> None:
    """Wait for the next offer; a hold by a busy machine is resumed, as an operator would."""
    qtbot.waitUntil(Operator(window).is_done, timeout=WAIT)


def start(window: CockpitWindow, qtbot: Any, task: str) -> None:
    """Start an episode of a task."""
    bar = window.drive.episode
    bar.task.setCurrentIndex(bar.task.findData(task))
    window.activateWindow()
    key(window, Qt.Key.Key_N, text="n")
    go_on(window, qtbot)


def drive(window: CockpitWindow, qtbot: Any, codes: list[Qt.Key]) -> None:
    """Press one key per chunk, on its offer, and wait for the next offer."""
    for code in codes:
        qtbot.waitUntil(Operator(window, code).is_done, timeout=WAIT)


def end(window: CockpitWindow, qtbot: Any) -> None:
    """Label as success, insist where the world has not seen it, and wait until it is kept."""

    def is_over() -> bool:
        return window.snapshot is not None and window.snapshot.episode.number == 0

    key(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: is_over() or window.drive.question.asked is not None, timeout=WAIT)
    if not is_over():
        key(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(is_over, timeout=WAIT)


def test_drive_label_review_train_use_and_let_it_drive(live: CockpitWindow, qtbot: Any) -> None:
    root = live.facts.root
    assert root is not None
    for _ in range(3):
        start(live, qtbot, "reach_left")
        drive(live, qtbot, [Qt.Key.Key_Left, Qt.Key.Key_Left])
        end(live, qtbot)
    infos = EpisodeStore(root).list()
    assert [i.outcome for i in infos] == [Outcome.SUCCESS] * 3
    assert {i.n_chunks for i in infos} == {2}
    assert all(i.steered_share == 1.0 for i in infos)

    key(live, Qt.Key.Key_2, text="2")
    qtbot.waitUntil(lambda: live.review.record is not None, timeout=WAIT)
    assert [m.label for m in live.review.record.marks] == ["left/more", "left/more"]

    key(live, Qt.Key.Key_3, text="3")
    qtbot.waitUntil(lambda: len(live.train.chooser.model.ticked) == 3, timeout=WAIT)
    live.run("train.start")
    job = live.train.job
    assert job is not None
    qtbot.waitUntil(lambda: job.state is not JobState.RUNNING, timeout=WAIT)
    assert job.error is None
    qtbot.waitUntil(lambda: live.train.saved.list.chosen() is not None, timeout=WAIT)
    live.run("train.use")
    qtbot.waitUntil(lambda: live.snapshot.noise_policy is not None, timeout=WAIT)

    key(live, Qt.Key.Key_1, text="1")
    start(live, qtbot, "reach_left")
    qtbot.waitUntil(lambda: live.snapshot.fan is not None and LEARNED in live.snapshot.fan, timeout=WAIT)
    before = live.snapshot.observation.p_tcp[1]
    live.run("driver.learned")
    qtbot.waitUntil(lambda: live.snapshot.driver is Driver.LEARNED, timeout=WAIT)

    watching = Operator(live)

    def has_driven() -> bool:
        watching.is_done()
        return live.snapshot.episode.chunks >= 2

    qtbot.waitUntil(has_driven, timeout=WAIT)
    assert live.snapshot.observation.p_tcp[1] > before + 0.03


def test_backspace_returns_to_the_chunk_boundary_exactly_and_the_branch_is_kept(
    live: CockpitWindow, qtbot: Any
) -> None:
    start(live, qtbot, "reach_up")
    drive(live, qtbot, [Qt.Key.Key_PageUp])
    boundary = live.snapshot.observation.q.copy()
    drive(live, qtbot, [Qt.Key.Key_Left])
    key(live, Qt.Key.Key_Backspace)
    qtbot.waitUntil(lambda: live.snapshot.episode.chunks == 1 and is_offering(live), timeout=WAIT)
    assert (live.snapshot.observation.q == boundary).all()
    drive(live, qtbot, [Qt.Key.Key_PageUp])
    end(live, qtbot)
    info = EpisodeStore(live.facts.root).list()[0]
    assert (info.n_chunks, info.n_undone) == (3, 1)


def test_space_in_mid_chunk_holds_and_loses_nothing(live: CockpitWindow, qtbot: Any) -> None:
    start(live, qtbot, "reach_left")
    key(live, Qt.Key.Key_Left)
    key(live, Qt.Key.Key_Space, text=" ")
    qtbot.waitUntil(lambda: live.snapshot.phase is Phase.HOLD, timeout=WAIT)
    key(live, Qt.Key.Key_C, text="c")
    go_on(live, qtbot)
    drive(live, qtbot, [Qt.Key.Key_Left])
    end(live, qtbot)
    assert len(EpisodeStore(live.facts.root).list()) == 1


def test_a_killed_world_becomes_a_fault_with_a_way_back(live: CockpitWindow, qtbot: Any) -> None:
    import os
    import signal

    start(live, qtbot, "reach_left")
    drive(live, qtbot, [Qt.Key.Key_Left])
    link = live.bridge.port._link  # type: ignore[attr-defined]
    os.kill(link.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: live.snapshot.phase is Phase.FAULT, timeout=WAIT)
    assert live.banner.isVisible()
    live.run("world.reconnect")
    qtbot.waitUntil(lambda: live.snapshot.phase is Phase.HOLD, timeout=WAIT)
    qtbot.waitUntil(lambda: bool(live.facts.tasks), timeout=WAIT)
    end(live, qtbot)
    assert len(EpisodeStore(live.facts.root).list()) == 1
