"""A world that is installed can add its own lines to `frs doctor`."""

import pytest

from frs_core import worlds
from frs_core.doctor import Finding, Level, check_worlds
from frs_core.doctor import worlds as doctor_worlds
from frs_core.errors import ConfigError
from frs_core.runtime.registry import resolve
from tests.fakes.world import PointWorld

FOUND = Finding(Level.WARNING, "Crane", "the hook is not calibrated", "Hang it up and press the button")


class Checked(PointWorld):
    doctor = f"{__name__}:found"


class Broken(PointWorld):
    doctor = f"{__name__}:raises"


class Wordy(PointWorld):
    doctor = f"{__name__}:text"


def found(*, is_quick: bool, hook: str = "left") -> list[Finding]:
    return [FOUND] if is_quick and hook == "left" else []


def needy(*, is_quick: bool, rope: str) -> list[Finding]:
    return []


def raises(*, is_quick: bool) -> list[Finding]:
    raise RuntimeError("no crane")


def text(*, is_quick: bool) -> str:
    return "fine"


def findings(monkeypatch: pytest.MonkeyPatch, world: str) -> list[Finding]:
    monkeypatch.setattr(doctor_worlds, "plugins", lambda _: {"crane": f"{__name__}:{world}"})
    monkeypatch.setattr(worlds, "KNOWN", {})
    return check_worlds(is_quick=True)


def test_a_worlds_own_check_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch, "Checked") == [FOUND]


def test_a_check_gets_the_options_of_the_world_that_is_named() -> None:
    world = f"{__name__}:Checked"
    assert FOUND in check_worlds(world, {"hook": "left"}, is_quick=True)
    assert FOUND not in check_worlds(world, {"hook": "right"}, is_quick=True)


def test_options_that_a_check_lacks_or_needs_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError,
        match=r"The check of world '.*:Checked' has no option 'hok'\. Its options: hook\. Did you mean 'hook'",
    ):
        check_worlds(f"{__name__}:Checked", {"hok": "left"}, is_quick=True)
    monkeypatch.setattr(Checked, "doctor", f"{__name__}:needy")
    with pytest.raises(ConfigError, match=r"needs option 'rope'.*--world-options rope VALUE"):
        check_worlds(f"{__name__}:Checked", {}, is_quick=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"endpont": "tcp://127.0.0.1:4343"}, "Did you mean 'endpoint'"),
        ({"width": "wide"}, "Option 'width' of world 'droid' is 'wide', expected a whole number"),
    ],
)
def test_an_option_that_a_check_itself_refuses_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_worlds("droid", options, is_quick=True)


def test_the_products_own_worlds_name_their_checks_as_any_world_does() -> None:
    named = {name for name, path in worlds.KNOWN.items() if getattr(resolve("world", path, {}), "doctor", "")}
    assert named == {"droid", "libero"}


@pytest.mark.parametrize(("world", "said"), [("Broken", "RuntimeError: no crane"), ("Wordy", "returned str")])
def test_a_check_that_fails_is_a_finding_itself(monkeypatch: pytest.MonkeyPatch, world: str, said: str) -> None:
    (own,) = findings(monkeypatch, world)
    assert own.level is Level.FAILURE
    assert said in own.text
