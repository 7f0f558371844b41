"""Limits that a person sets are checked and used by the session, not by the window."""

import math

import pytest

from frs_core import events as ev
from frs_core.choosers.scripted import SequenceChooser
from frs_core.events import Driver, HoldReason, Phase
from frs_core.session.failsafes import FAILSAFES, SETTABLE, problem, values_of
from frs_core.session.options import SessionOptions
from tests.fakes.session import HandSession

START = ev.StartEpisode("reach_left", seed=1)


def test_every_cause_of_hold_is_in_the_table_once() -> None:
    reasons = [row.reason for row in FAILSAFES if row.reason is not None]
    assert len(reasons) == len(set(reasons))
    assert set(reasons) == set(HoldReason) - {HoldReason.START, HoldReason.EPISODE_END}


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("inference_timeout_s", 60.0, "1 to 10 s, not 60 s"),
        ("inference_timeout_s", math.nan, "1 to 10 s"),
        ("unattended_chunks", 41.0, "1 to 40 chunks"),
        ("unattended_chunks", 2.5, "whole number"),
        ("heartbeat_timeout_s", 0.9, "not a limit that can be set"),
        ("act_life_s", 1.0, "not a limit that can be set"),
    ],
)
def test_a_limit_outside_its_range_or_that_is_fixed_is_refused_by_the_session(
    option: str, value: float, text: str
) -> None:
    assert text in problem(option, value)
    session = HandSession()
    snapshot = session.send(ev.SetFailsafe(option, value))
    assert snapshot.notice is not None
    assert text in snapshot.notice[1]
    assert snapshot.failsafes == values_of(SessionOptions())


def test_a_limit_that_is_set_is_the_one_that_holds() -> None:
    script = SequenceChooser(["up/less", "down/less"] * 20, then=None)
    session = HandSession(choosers={Driver.SCRIPTED: script}, options=SessionOptions(driver=Driver.SCRIPTED))
    assert session.send(ev.SetFailsafe("unattended_chunks", 2.0)).failsafes["unattended_chunks"] == 2.0
    session.engine.handle(START)
    held = session.step_until(lambda s: s.phase is Phase.HOLD)
    assert (held.hold_reason, held.episode.chunks) == (HoldReason.UNATTENDED, 2)


def test_a_longer_wait_for_a_fan_is_waited() -> None:
    session = HandSession()
    session.send(ev.SetFailsafe("inference_timeout_s", 5.0))
    session.send(START)
    session.inference.is_paused = True
    session.send(ev.Pick("left/more"))
    assert session.wait(4.5).phase is not Phase.HOLD
    assert session.wait(0.6).hold_reason is HoldReason.INFERENCE_LATE


def test_limits_are_not_set_while_the_robot_may_move() -> None:
    session = HandSession()
    session.send(START)
    snapshot = session.send(ev.SetFailsafe("inference_timeout_s", 5.0))
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "Limits are set while the robot holds"
    assert snapshot.failsafes["inference_timeout_s"] == 3.0


@pytest.mark.parametrize("option", SETTABLE)
def test_every_limit_reaches_the_part_that_waits(option: str) -> None:
    session = HandSession()
    low = SETTABLE[option].low
    assert session.send(ev.SetFailsafe(option, low)).failsafes[option] == low
    parts = session.engine.parts
    waits = {
        "inference_timeout_s": parts.fans.timeout_s,
        "chooser_timeout_s": parts.arbiter.timeout_s,
        "unattended_chunks": parts.options.unattended_chunks,
    }
    assert waits[option] == low
