"""Pages are built ahead while the robot rests, so that opening one during an episode stops no paint for long."""

import time
from typing import Any

import pytest

from app.ahead import Ahead, may_build
from app.qt import QtCore, QtWidgets
from frs_core.events import EpisodeStatus, Phase
from tests.fakes.snapshots import resting, sample_fan, snapshot
from tests.waiting import LONG_MS


def _idle(**changes: Any) -> Any:
    rest = {"phase": Phase.HOLD, "fan": sample_fan(), "is_fan_pending": False, "episode": EpisodeStatus()}
    return snapshot(**{**rest, **changes})


def test_pages_are_built_only_while_nothing_moves_and_no_episode_is_open() -> None:
    assert may_build(_idle())
    assert not may_build(None)
    assert not may_build(resting())
    assert not may_build(_idle(fan=None))
    assert not may_build(_idle(is_fan_pending=True))
    assert not may_build(_idle(episode=EpisodeStatus(number=1)))
    for phase in (Phase.CHOOSE, Phase.MOVING, Phase.FAULT):
        assert not may_build(_idle(phase=phase))


def test_one_page_is_built_per_turn_and_what_waits_is_built_later(qtbot: Any) -> None:
    owner, built, now = QtCore.QObject(), [], [snapshot()]
    ahead = Ahead(owner, build=[lambda: built.append(1), lambda: built.append(2)], seen=lambda: now[0])
    ahead._take_turn()
    assert built == []
    now[0] = _idle()
    ahead._take_turn()
    assert built == [1]
    now[0] = snapshot()
    ahead._take_turn()
    assert built == [1]
    now[0] = _idle()
    ahead.start()
    qtbot.waitUntil(lambda: ahead.is_done, timeout=LONG_MS)
    assert built == [1, 2]


@pytest.mark.parametrize("name", ["review", "train", "practise"])
def test_the_first_look_at_a_page_built_ahead_takes_a_fraction_of_building_it(window: Any, name: str) -> None:
    """A ratio, so that it holds on any machine, and of processor time; the modules are loaded before."""
    __import__(f"app.views.{name}.page")

    def cost(act: Any) -> float:
        began = time.thread_time()
        act()
        return time.thread_time() - began

    def look() -> None:
        window.show_layout(name)
        QtWidgets.QApplication.processEvents()

    building, looking = cost(lambda: window._page(name)), cost(look)
    assert looking < 0.5 * (building + looking)
    assert window.layout_name == name
