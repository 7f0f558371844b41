"""Under load the window draws less before it stutters, and all again once there is time."""

import dataclasses
import itertools
import time
from typing import Any

import numpy as np
import pytest

from app.load import GOOD, LATE_S, LEVELS, LOOK_AT, MOST_PATIENT, Load
from app.qt import QtCore, QtWidgets
from frs_core.events import Phase, ShowCameras
from tests.fakes.snapshots import snapshot
from tests.waiting import LONG_MS


class _Paints:
    """A window whose paints take a given time."""

    def __init__(self, load: Load) -> None:
        self.load, self.now = load, 100.0

    def paint(self, interval_s: float, count: int = 1) -> None:
        for _ in range(count):
            self.now += interval_s
            self.load.painted(self.now)


@pytest.fixture
def paints(qtbot: Any) -> _Paints:
    owner = QtCore.QObject()
    made = _Paints(Load(owner))
    made.owner = owner  # pyright: ignore[reportAttributeAccessIssue]
    return made


def test_half_of_the_paints_late_sheds_one_level_and_one_late_paint_none(paints: _Paints) -> None:
    levels = []
    paints.load.changed.connect(levels.append)
    paints.paint(0.033, 50)
    paints.paint(0.1)
    paints.paint(0.033, 50)
    assert levels == []
    paints.paint(1.5 * LATE_S, LOOK_AT)
    assert levels == [LEVELS[1]]


def test_what_is_shed_is_taken_back_level_by_level_and_nothing_more_is_given_up_at_the_last(paints: _Paints) -> None:
    paints.paint(0.06, 20 * LOOK_AT)
    assert paints.load.level == len(LEVELS) - 1
    seen = []
    paints.load.changed.connect(lambda shed: seen.append(LEVELS.index(shed)))
    paints.paint(0.033, 3 * MOST_PATIENT * GOOD)
    assert seen == [2, 1, 0]


def test_taking_back_too_early_makes_it_wait_longer(paints: _Paints) -> None:
    """A machine on which level 1 is in time and level 0 is not."""
    changes: list[float] = []
    paints.load.changed.connect(lambda _shed: changes.append(paints.now))
    for _ in range(6 * MOST_PATIENT * GOOD):
        paints.paint(0.033 if paints.load.level else 0.06)
    at_level_1 = np.diff(changes)[::2]
    assert at_level_1[0] == pytest.approx(GOOD * 0.033, rel=0.1)
    assert at_level_1[-1] == pytest.approx(MOST_PATIENT * GOOD * 0.033, rel=0.1)


def test_a_pause_between_two_chunks_is_no_late_paint(paints: _Paints) -> None:
    for _ in range(40):
        paints.paint(0.033, 5)
        paints.paint(2.0)
    assert paints.load.level == 0


def test_every_level_draws_no_more_than_the_one_before() -> None:
    for former, now in itertools.pairwise(LEVELS):
        assert now.display_share < former.display_share
        assert now.side_s > former.side_s
        assert now.is_sparse >= former.is_sparse


def test_the_window_sheds_and_says_so_and_recovers(window: Any, port: Any, qtbot: Any) -> None:
    full = window.drive.cameras.sizes_shown
    caption = window.state._captions["loop"]
    for level in (1, 2):
        window.load._step(+1)
        assert window.load.level == level
    qtbot.waitUntil(lambda: bool(port.of(ShowCameras)), timeout=LONG_MS)
    qtbot.waitUntil(
        lambda: port.of(ShowCameras)[-1].sizes == {n: (round(h * 0.4), round(w * 0.4)) for n, (h, w) in full.items()},
        timeout=LONG_MS,
    )
    assert caption.text() == "loop, drawing less"
    primary = window.drive.cameras.primary
    assert {n: v.model.style.has_caps for n, v in window.drive.cameras.views.items()} == {
        n: n == primary for n in window.drive.cameras.views
    }
    window.take(dataclasses.replace(window.snapshot, phase=Phase.HOLD))
    assert sum(v.model.style.has_caps for v in window.drive.cameras.views.values()) == 1
    for _ in range(2):
        window.load._step(-1)
    assert caption.text() == "loop"
    assert all(v.model.style.has_caps for v in window.drive.cameras.views.values())
    qtbot.waitUntil(lambda: port.of(ShowCameras)[-1].sizes == full, timeout=LONG_MS)


def test_a_paint_at_the_last_level_takes_less_of_the_processor_than_one_of_everything(window: Any) -> None:
    """A ratio, so that it holds on any machine: both are measured here, in turns."""

    def cost(level: int) -> float:
        side = round(max(max(s) for s in window.drive.cameras.sizes_shown.values()) * LEVELS[level].display_share)
        picture = np.zeros((side, side, 3), dtype=np.uint8) if side else None
        window.drive.use_shed(LEVELS[level])
        seen = snapshot()
        frames = {n: dataclasses.replace(f, display=picture) for n, f in seen.observation.frames.items()}
        seen = dataclasses.replace(seen, observation=dataclasses.replace(seen.observation, frames=frames))
        began = time.thread_time()
        window.drive.show_snapshot(seen, window.style_now(), window.settings.values)
        for view in window.drive.cameras.views.values():
            view.grab()
        return time.thread_time() - began

    QtWidgets.QApplication.processEvents()
    pairs = np.array([(cost(len(LEVELS) - 1), cost(0)) for _ in range(7)])[1:]
    assert np.median(pairs[:, 0]) < 0.9 * np.median(pairs[:, 1])
