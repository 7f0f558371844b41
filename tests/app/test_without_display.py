"""Started without a display: the demonstration uses what was asked for, or says what it cannot."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

import pytest

from app.main import SHARED, run
from frs_core.commands import demo
from frs_core.errors import ConfigError
from tests.texts import ROOT
from tests.waiting import LONG_S


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


def test_an_unknown_world_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Unknown world 'tabletopp'.*Did you mean 'tabletop'"):
        run(world="tabletopp")


@pytest.mark.parametrize(("kind", "name"), [("world", "nowhere"), ("policy", "nothing")])
def test_a_name_that_is_none_is_refused_before_there_is_a_window(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with pytest.raises(ConfigError, match=f"Unknown {kind} '{name}'"):
        run(**{kind: name})


OTHER: dict[type, Any] = {str: "something", bool: True, Path: Path("somewhere"), dict: {"setting": "2"}}


def _other_value(parameter: inspect.Parameter) -> Any:
    """Return a value of an option that is not its default."""
    if isinstance(parameter.default, bool):
        return not parameter.default
    kind = parameter.annotation
    while get_origin(kind) in (Annotated, UnionType):
        kind = get_args(kind)[0]
    return OTHER[get_origin(kind) or kind]


OPTIONS = inspect.signature(run).parameters


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in SHARED])
def test_an_option_that_only_the_window_has_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"without a window there is no --(no-)?{name.replace('_', '-')}\\. Set DISPLAY"
    ):
        run(**{name: _other_value(OPTIONS[name])})


def test_all_of_them_are_named_in_one_sentence() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no --operator and no --unrecorded and no --no-devices\. Set DISPLAY"
    ):
        run(operator="Ada", unrecorded=True, devices=False)


def test_the_others_reach_the_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(demo, "demo", lambda **options: asked.append(options) or 7)
    options = {"world_options": {"a": "1"}, "policy_options": {"b": "2"}}
    assert run(world="tabletop", policy="tabletop", action_space="joint_velocity", **options) == 7
    assert asked == [{"world": "tabletop", "policy": "tabletop", "action_space": "joint_velocity", **options}]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"QT_QPA_PLATFORM": "nosuch"}, 'Could not find the Qt platform plugin "nosuch"'),
        ({"DISPLAY": ":9999"}, "could not connect to display :9999"),
    ],
)
def test_a_window_that_qt_cannot_open_is_one_sentence_and_status_3(variables: dict[str, str], words: str) -> None:
    code = "from app.application import make_application; make_application()"
    environment = {name: value for name, value in os.environ.items() if name not in ("WAYLAND_DISPLAY", "DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("frs: The window cannot be opened: ")
    assert words in line


def test_a_package_of_the_window_that_is_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import app.main

    def cannot(*_: object, **__: object) -> int:
        raise ModuleNotFoundError("No module named 'PyQt6'", name="PyQt6")

    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setattr(app.main, "make_session", cannot)
    with pytest.raises(ConfigError, match=r"The window cannot be loaded: No module named 'PyQt6'. `frs doctor` says"):
        run(data=tmp_path)
