"""On a real robot nothing goes on by itself before a countdown that anybody can stop."""

import dataclasses
from typing import Any

import pytest

from app.countdown import SWITCH_S
from frs_core.events import Driver, HoldReason, Pacing, Phase, SetDriver, SetPacing
from tests.fakes.snapshots import resting, snapshot


@pytest.fixture
def robot(make_window: Any, port: Any) -> Any:
    """A cockpit on a real robot whose episode runs; its countdown is counted by the test."""
    port.world_spec = dataclasses.replace(port.world_spec, is_simulated=False)
    window = make_window()
    window.take(snapshot(noise_policy="learned"))
    window.drive_actions.countdown._timer.setInterval(10**7)
    port.sent.clear()
    return window


def count(window: Any, seconds: int) -> None:
    for _ in range(seconds):
        window.drive_actions.countdown.on_second()


@pytest.mark.parametrize(
    ("action", "command"),
    [("drive.pacing", SetPacing(Pacing.CONTINUOUS)), ("driver.learned", SetDriver(Driver.LEARNED))],
)
def test_what_moves_a_robot_by_itself_is_sent_when_the_countdown_has_run_out(
    robot: Any, port: Any, action: str, command: Any
) -> None:
    robot.run(action)
    strip = robot.drive.countdown
    assert strip.isVisible()
    assert strip.seconds.text() == str(SWITCH_S)
    count(robot, SWITCH_S - 1)
    assert port.of(type(command)) == []
    assert strip.seconds.text() == "1"
    assert robot.drive.steering.pacing.button("gated").isChecked()
    count(robot, 1)
    assert port.of(type(command)) == [command]
    assert not strip.isVisible()


@pytest.mark.parametrize("stop", ["drive.hold", "episode.stay", "layout.review", "driver.person"])
def test_a_hold_another_page_or_another_choice_stops_it(robot: Any, port: Any, stop: str) -> None:
    robot.run("drive.pacing")
    robot.run(stop)
    assert robot.drive_actions.countdown.seconds_left == 0
    assert not robot.drive_actions.countdown._timer.isActive()
    assert port.of(SetPacing) == []
    assert robot.settings.values.pacing == "gated"


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": Phase.HOLD, "hold_reason": HoldReason.CAMERA_STALE},
        {"phase": Phase.FAULT},
        {"counters": {"holds": 99}},
        {"episode": dataclasses.replace(snapshot().episode, number=4)},
    ],
)
def test_a_hold_of_the_session_or_another_episode_stops_it(robot: Any, port: Any, changes: dict[str, Any]) -> None:
    robot.run("drive.pacing")
    robot.take(snapshot(**changes))
    assert robot.drive_actions.countdown.seconds_left == 0
    assert port.of(SetPacing) == []


def test_it_goes_on_while_the_episode_does(robot: Any) -> None:
    robot.run("drive.pacing")
    robot.take(snapshot(phase=Phase.MOVING, picked="left/more"))
    assert robot.drive_actions.countdown.seconds_left == SWITCH_S


def test_what_waits_for_a_person_and_what_cannot_move_is_switched_at_once(robot: Any, port: Any) -> None:
    robot.take(snapshot(pacing=Pacing.CONTINUOUS))
    robot.run("drive.pacing")
    assert port.of(SetPacing) == [SetPacing(Pacing.GATED)]
    robot.take(resting())
    robot.run("drive.pacing")
    assert port.of(SetPacing)[1:] == [SetPacing(Pacing.CONTINUOUS)]


def test_a_simulator_counts_nothing(window: Any, port: Any) -> None:
    window.run("drive.pacing")
    assert port.of(SetPacing) == [SetPacing(Pacing.CONTINUOUS)]
