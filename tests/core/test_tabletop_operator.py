"""The scripted operator keeps hold of what it carries, and makes do with what is on offer."""

import pytest

from frs_core.choosers.steering_script import answer
from frs_core.steering.candidates import UNSTEERED
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from frs_core.worlds.tabletop.operator import ScriptedOperator
from frs_core.worlds.tabletop.sim import TabletopSim


class Stage:
    """A world's simulator without its cameras."""

    def __init__(self) -> None:
        self.sim = TabletopSim(setting=0)


@pytest.mark.parametrize("task", ["mug_in_drawer", "can_on_plate", "box_in_basket"])
def test_a_thing_in_the_hand_is_lifted_with_the_gripper_told_to_stay_closed(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    stage.sim.reset(task, seed=3)
    held = stage.sim.task.movable
    monkeypatch.setattr(stage.sim, "is_holding", lambda name=None: name in (None, held))
    command, _ = ScriptedOperator(stage).say()  # type: ignore[arg-type]
    assert command == Command(Direction.UP, Amount.MORE, Gripper.CLOSE)


def test_a_thing_that_stands_at_its_place_is_let_go_instead_of_grasped_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.sim.reset("can_on_plate", seed=3)
    plate = stage.sim.place_pose("plate")
    monkeypatch.setattr(stage.sim, "object_pose", lambda name: (plate + [0.0, 0.0, 0.01], 0.0, 0.0))
    monkeypatch.setattr(stage.sim, "is_done_now", lambda: False)
    monkeypatch.setattr(stage.sim, "gripper_command", 1.0)
    command, _ = ScriptedOperator(stage).say()  # type: ignore[arg-type]
    assert command == Command(None, gripper=Gripper.OPEN)


def test_without_gripper_words_on_offer_it_leaves_the_gripper_to_the_policy() -> None:
    said = Command(Direction.LEFT, Amount.LESS, Gripper.CLOSE)
    assert answer(said, ["left/less", "left/less/close"]) == "left/less/close"
    assert answer(said, ["left/less", "right/less"]) == "left/less"
    assert answer(said, ["right/less"]) == UNSTEERED
