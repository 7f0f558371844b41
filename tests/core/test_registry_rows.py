"""Rows of every registry: one name each, with words to show; what a row says is refused where it is made."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frs_core import devices, policies, worlds
from frs_core.choosers import registry as choosers
from frs_core.choosers.registry import ChooserSpec
from frs_core.commands import worlds as commands
from frs_core.devices.gamepad import Gamepad
from frs_core.errors import ConfigError
from frs_core.learning import registry as learners
from frs_core.robot.limits import Limits
from frs_core.runtime import registry
from frs_core.worlds.base import WorldSpec
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

REGISTRIES = {"world": worlds, "policy": policies, "learner": learners, "chooser": choosers, "device": devices}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_two_built_in_rows_of_one_name_are_refused_on_import(kind: str) -> None:
    module = REGISTRIES[kind]
    source = Path(str(module.__file__)).read_text()
    other, *_, name = module.KNOWN
    changed, count = re.subn(rf'(\(|id=)"{name}"', rf'\1"{other}"', source)
    assert count == 1
    doubled = compile(changed, str(module.__file__), "exec")
    with pytest.raises(ConfigError, match=f"Two rows of the registry are called {kind} '{other}'"):
        exec(doubled, {"__name__": module.__name__})


def _world(**changes: Any) -> WorldSpec:
    limits = Limits(np.zeros(3), np.ones(3), -np.ones(7), np.ones(7))
    usual: dict[str, Any] = {"name": "w", "cameras": ("front",), "tasks": ("t",), "titles": ("T",)}
    return WorldSpec(control_hz=15.0, limits=limits, is_simulated=True, **{**usual, **changes})


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize("field", ["id", "title", "tooltip", "picked"])
def test_a_chooser_without_words_is_refused(field: str, empty: str) -> None:
    row = ChooserSpec("toy", "Toy", "It picks", "", "The toy picked")
    with pytest.raises(ConfigError, match=f"The {field} of chooser '.*' is empty"):
        dataclasses.replace(row, **{field: empty})


@pytest.mark.parametrize("field", ["id", "title", "summary", "learner"])
def test_a_learner_without_words_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"The {field} of learner '.*' is empty"):
        dataclasses.replace(learners.KNOWN["dsbc"], **{field: ""})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"name": ""}, "name"),
        ({"cameras": ("front", "")}, "camera"),
        ({"tasks": ("",)}, "task"),
        ({"titles": (" ",)}, "title of a task"),
    ],
)
def test_a_world_without_words_is_refused(changes: dict[str, Any], what: str) -> None:
    _world()
    with pytest.raises(ConfigError, match=f"The {what} of world '.*' is empty"):
        _world(**changes)


class Unnamed(Gamepad):
    title = ""


class Renamed(Gamepad):
    kind = "other"


def test_a_device_without_words_or_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="The title of device 'gamepad' is empty"):
        devices.load_device("gamepad", f"{__name__}:Unnamed", others=())
    with pytest.raises(ConfigError, match="is of kind 'other'"):
        devices.load_device("gamepad", f"{__name__}:Renamed", others=())


def unnamed_policy() -> ToyPolicy:
    policy = ToyPolicy()
    policy.spec = dataclasses.replace(policy.spec, name="")
    return policy


def test_a_policy_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"The name of policy '.*' is empty"):
        policies.load_policy(f"{__name__}:unnamed_policy")


def test_of_two_installed_packages_with_one_name_the_second_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [SimpleNamespace(name="arm", value=f"{maker}.arm:Arm") for maker in ("one", "two")]
    monkeypatch.setattr(registry, "_entry_points", lambda: SimpleNamespace(select=lambda group: rows))
    assert registry.plugins("frs_core.worlds") == {"arm": "one.arm:Arm"}
    assert "two.arm:Arm is left out, one.arm:Arm is used" in caplog.text


class Installable(PointWorld):
    installer = f"{__name__}:install_point"


def install_point(tell: Any, *, folder: Path | None = None) -> str:
    tell("fetching a point")
    return f"a point, in {folder}"


def test_a_world_states_its_own_installer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert commands.install(f"{__name__}:Installable", into=tmp_path) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert "fetching a point" in said
    assert f"a point, in {tmp_path}" in said
    with pytest.raises(ConfigError, match=r"World 'tests.fakes.world:PointWorld' has nothing to install"):
        commands.install("tests.fakes.world:PointWorld")
    with pytest.raises(ConfigError, match="Unknown world 'nowhere'"):
        commands.install("nowhere")
