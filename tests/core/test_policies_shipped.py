"""Every world with a small generalist of its own starts with it: the weights are there, fit, and come with a plan."""

import json

import pytest

from frs_core import paths, policies, worlds
from frs_core.doctor.machine import check_weights
from frs_core.policies import DEFAULT, SHIPPED, usual_policy
from frs_core.policies.generalist.policy import PLAN, Generalist
from frs_core.runtime.finding import Level


@pytest.mark.parametrize("world", SHIPPED)
def test_the_usual_policy_of_a_world_is_its_own(world: str) -> None:
    assert world in worlds.KNOWN
    assert usual_policy(world) in policies.KNOWN


@pytest.mark.parametrize("world", ["droid", "mylab.worlds:OurRobot"])
def test_other_worlds_get_the_default(world: str) -> None:
    assert usual_policy(world) == DEFAULT


@pytest.mark.parametrize("name", SHIPPED.values())
def test_shipped_weights_load_with_a_plan_and_a_card_that_is_theirs(name: str) -> None:
    policy = policies.load_policy(name)
    folder = paths.assets() / name
    card = json.loads((folder / "card.json").read_text())
    plan = json.loads((folder / PLAN).read_text())

    assert isinstance(policy, Generalist)
    assert card["parameters"] == sum(v.numel() for v in policy.net.state_dict().values())
    assert plan["fingerprint"] == policy.spec.fingerprint
    assert set(policy.spec.shown) == {name}
    assert card["demonstrations"]["held_out"], "nothing to steer"


def test_the_doctor_names_each_of_them() -> None:
    lines = check_weights()

    assert [line.level for line in lines] == [Level.OK] * len(SHIPPED)
    assert all(f"'{name}'" in line.text for name, line in zip(SHIPPED.values(), lines, strict=True))
