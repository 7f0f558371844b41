"""What a press means: pacing, driver, step size, frame of the operator."""

import dataclasses
import time
from typing import Any

import numpy as np
import pytest

from app.pilot import Pilot
from app.settings import Settings
from frs_core.devices.base import Stage
from frs_core.devices.intent import Intent
from frs_core.events import (
    BackOneChunk,
    Driver,
    DropPick,
    HandBack,
    HoldDirection,
    Pacing,
    Phase,
    Pick,
    SetGripper,
    SetHelp,
    SetLookAhead,
    SetPlan,
)
from frs_core.steering.directions import Direction, Gripper
from tests.fakes.snapshots import resting, snapshot


@pytest.fixture
def sent() -> list[Any]:
    """Commands that were sent."""
    return []


@pytest.fixture
def pilot(qapp: Any, sent: list[Any]) -> Pilot:
    """A pilot whose operator can pick."""
    result = Pilot(sent.append, Settings())
    result.take(snapshot())
    return result


def press(pilot: Pilot, action: str, stage: Stage = Stage.PRESSED) -> None:
    """Do what a key does."""
    pilot.handle(Intent(action, stage, "keyboard", "key:X", 1.0, time.monotonic_ns()))


@pytest.mark.parametrize("direction", Direction, ids=lambda d: d.value)
def test_an_arrow_picks_the_candidate_of_its_direction(pilot: Pilot, sent: list[Any], direction: Direction) -> None:
    press(pilot, f"steer.{direction.value}")
    assert [p.label for p in sent] == [f"{direction.value}/more"]
    assert sent[0].by is Driver.PERSON


def test_shift_picks_the_other_step_size(pilot: Pilot, sent: list[Any]) -> None:
    press(pilot, "steer.other_step")
    press(pilot, "steer.left")
    press(pilot, "steer.other_step", Stage.RELEASED)
    press(pilot, "steer.left")
    assert [p.label for p in sent] == ["left/less", "left/more"]


def test_enter_picks_the_unsteered_candidate(pilot: Pilot, sent: list[Any]) -> None:
    press(pilot, "pick.unsteered")
    assert sent[0].label == "unsteered"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (resting(), "start an episode"),
        (snapshot(phase=Phase.FAULT), "reconnect"),
        (snapshot(phase=Phase.MOVING), "still moving"),
        (snapshot(is_fan_stale=True), "stale"),
        (snapshot(fan=None, is_fan_pending=True), "not ready"),
    ],
)
def test_a_press_that_cannot_count_says_why_and_sends_nothing(
    pilot: Pilot, sent: list[Any], state: Any, words: str
) -> None:
    said: list[str] = []
    pilot.press_refused.connect(said.append)
    pilot.take(state)
    press(pilot, "steer.left")
    assert sent == []
    assert words in said[0]


def test_learned_without_a_noise_policy_says_so(pilot: Pilot, sent: list[Any]) -> None:
    said: list[str] = []
    pilot.press_refused.connect(said.append)
    press(pilot, "pick.learned")
    assert sent == []
    assert "train" in said[0]


def test_continuous_pacing_holds_until_release(pilot: Pilot, sent: list[Any]) -> None:
    pilot.take(snapshot(pacing=Pacing.CONTINUOUS))
    press(pilot, "steer.up")
    press(pilot, "steer.up", Stage.RELEASED)
    assert sent == [HoldDirection("up/more", device="keyboard"), HoldDirection(None)]


def test_losing_everything_releases_the_held_direction(pilot: Pilot, sent: list[Any]) -> None:
    pilot.take(snapshot(pacing=Pacing.CONTINUOUS))
    press(pilot, "steer.up")
    pilot.release_all()
    assert sent[-1] == HoldDirection(None)


def test_a_person_overrides_another_driver_for_one_chunk_and_while_held(pilot: Pilot, sent: list[Any]) -> None:
    pilot.take(snapshot(driver=Driver.LEARNED, phase=Phase.MOVING, is_fan_stale=True))
    press(pilot, "steer.left")
    assert isinstance(sent[0], Pick)
    assert sent[0].label == "left/more"
    assert sent[0].by is Driver.PERSON
    assert sent[1] == HoldDirection("left/more", device="keyboard")
    press(pilot, "steer.left", Stage.RELEASED)
    assert sent[2] == HoldDirection(None)


def test_a_half_pressed_stick_highlights_and_picks_nothing(pilot: Pilot, sent: list[Any]) -> None:
    press(pilot, "steer.left", Stage.HINTED)
    assert pilot.highlighted == "left/more"
    press(pilot, "steer.left", Stage.RELEASED)
    assert pilot.highlighted is None
    assert sent == []


@pytest.mark.parametrize("pacing", Pacing)
def test_what_is_sent_is_as_old_as_its_press(pilot: Pilot, sent: list[Any], pacing: Pacing) -> None:
    pilot.take(snapshot(pacing=pacing))
    pilot.press("steer.left", device="keyboard", at_ns=17)
    assert [c.pressed_ns for c in sent] == [17]


def test_in_the_camera_frame_left_is_left_in_the_picture(pilot: Pilot, sent: list[Any]) -> None:
    pilot.settings.frame = "camera"
    for name, frame in pilot.snapshot.observation.frames.items():  # type: ignore[union-attr]
        pilot.camera = name
        right = frame.calibration.T_base_camera[:3, 0]
        picked = pilot.direction("steer.right")
        flat = np.array([right[0], right[1], 0.0])
        assert float(picked.axis @ flat) == pytest.approx(max(float(d.axis @ flat) for d in Direction))
        assert pilot.direction("steer.left") is picked.opposite
        assert pilot.action_of(picked) == "steer.right"


def test_gripper_toggles_to_the_other_state_and_back_to_the_policy(pilot: Pilot, sent: list[Any]) -> None:
    pilot.toggle_gripper()
    pilot.take(snapshot(gripper=Gripper.CLOSE))
    pilot.toggle_gripper()
    assert sent == [SetGripper(Gripper.CLOSE), SetGripper(Gripper.POLICY)]


def test_depth_stays_within_one_and_all_steps(pilot: Pilot, sent: list[Any]) -> None:
    pilot.change_depth(1)
    pilot.change_depth(-100)
    assert [c.plan.depth for c in sent if isinstance(c, SetPlan)] == [None, 1]


def test_looking_ahead_a_press_in_mid_chunk_is_sent_and_backspace_takes_it_back(window: Any, port: Any) -> None:
    moving = snapshot(phase=Phase.MOVING, picked="left/more", picked_by=Driver.PERSON, is_fan_stale=True)
    window.take(moving)
    window.run("steer.up")
    assert port.of(Pick) == []
    window.take(dataclasses.replace(moving, looks_ahead=True))
    window.run("steer.up")
    assert [p.label for p in port.of(Pick)] == ["up/more"]
    window.take(dataclasses.replace(moving, looks_ahead=True, waiting="up/more"))
    assert window.state.sentence.text == "You picked left, more. Next: up, more"
    assert "Backspace" in window.state.sentence.hint
    window.run("chunk.back")
    assert len(port.of(DropPick)) == 1
    assert port.of(BackOneChunk) == []


def test_looking_ahead_is_on_in_simulation_and_on_a_robot_only_when_asked_for(window: Any, port: Any) -> None:
    window.facts.is_simulated = False
    window.drive_actions.use_look_ahead()
    window.run("drive.look_ahead")
    window.facts.is_simulated = True
    window.drive_actions.use_look_ahead()
    assert [c.is_on for c in port.of(SetLookAhead)] == [False, True, True]


def test_a_call_for_help_says_why_and_one_key_hands_back(window: Any, port: Any) -> None:
    learned = snapshot(driver=Driver.LEARNED)
    window.take(learned)
    assert window.state.badge.word == "LEARNED DRIVES"
    window.take(dataclasses.replace(learned, call="its draws disagree"))
    assert window.state.badge.word == "CHOOSE"
    assert window.state.sentence.text == "Help wanted: its draws disagree. Pick a direction, or hand back"
    assert window.state.sentence.hint == "I hands back"
    window.run("drive.hand_back")
    assert len(port.of(HandBack)) == 1


def test_asking_for_help_is_on_until_switched_off_and_that_is_remembered(window: Any, port: Any) -> None:
    window.drive_actions.use_help()
    window.take(snapshot(asks_for_help=True))
    assert [c.is_on for c in port.of(SetHelp)] == [True]
    window.run("drive.help")
    assert [c.is_on for c in port.of(SetHelp)] == [True, False]
    assert window.settings.values.asks_for_help is False


def test_while_a_person_drives_the_bar_says_what_the_noise_policy_would_pick(window: Any) -> None:
    offered = snapshot()
    window.take(offered)
    assert window.state.sentence.hint == ""
    shadowed = dataclasses.replace(offered, fan=dataclasses.replace(offered.fan, shadow="left/more"))
    window.take(shadowed)
    assert window.state.sentence.hint == "★ would pick left, more"
    window.take(dataclasses.replace(shadowed, shadow=(7, 9)))
    assert window.state.sentence.hint == "★ would pick left, more; agreed in 7 of 9 chunks"
    window.take(dataclasses.replace(shadowed, driver=Driver.LEARNED))
    assert window.state.sentence.hint == ""


def test_nobody_looks_ahead_before_the_world_says_that_it_is_simulated(make_window: Any, port: Any) -> None:
    port.world_spec, spec = None, port.world_spec
    window = make_window()
    window.take(snapshot())
    assert port.of(SetLookAhead) == []
    # It brings no task, no driver and no policy that was not known already.
    window.facts.tasks = ()
    port.world_spec = dataclasses.replace(spec, is_simulated=False, tasks=(), titles=())
    window.take(snapshot())
    assert [c.is_on for c in port.of(SetLookAhead)] == [False]
