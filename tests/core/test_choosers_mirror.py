"""The mirrored operator says what the operator beside the world says."""

import pytest

from frs_core.worlds.tabletop.mirror import MirrorOperator
from frs_core.worlds.tabletop.operator import ScriptedOperator
from frs_core.worlds.tabletop.sim import TabletopSim
from tests.fakes.snapshots import sample_fan


class Stage:
    """A world's simulator without its cameras."""

    def __init__(self) -> None:
        self.sim = TabletopSim()


@pytest.mark.parametrize(("task", "seed"), [("mug_on_plate", 3), ("can_in_bowl", 4), ("open_drawer", 5)])
def test_the_twin_gives_the_same_answer_as_the_operator_beside_the_world(task: str, seed: int) -> None:
    stage = Stage()
    stage.sim.reset(task, seed=seed)
    beside = ScriptedOperator(stage)  # type: ignore[arg-type]
    state = stage.sim.snapshot()
    mirror = MirrorOperator(lambda: state)
    said = beside.choose(sample_fan())
    mirrored = mirror.choose(sample_fan())
    assert mirrored is not None
    assert mirrored.label == said.label
    assert mirrored.reason == said.reason


def test_what_it_will_say_can_be_put_on_offer_once_the_twin_is_built() -> None:
    stage = Stage()
    stage.sim.reset("mug_on_plate", seed=3)
    state = stage.sim.snapshot()
    mirror = MirrorOperator(lambda: state)
    observation = sample_fan().observation
    assert mirror.wants(observation) is None
    mirror.begin(observation)
    asked = mirror.wants(observation)
    assert asked == ScriptedOperator(stage).wants(observation)  # type: ignore[arg-type]
    assert mirror.wants(observation) == asked, "asked twice at one boundary, it changed its mind"


def test_without_a_state_it_is_a_persons_turn() -> None:
    assert MirrorOperator(lambda: None).choose(sample_fan()) is None
