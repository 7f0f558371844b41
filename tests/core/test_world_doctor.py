"""A world that is installed can add its own lines to `frs doctor`."""

import pytest

from frs_core.doctor import Finding, Level, check_plugins
from frs_core.doctor import plugins as doctor_plugins
from frs_core.worlds import GROUP
from tests.fakes.world import PointWorld

FOUND = Finding(Level.WARNING, "Crane", "the hook is not calibrated", "Hang it up and press the button")


class Checked(PointWorld):
    doctor = f"{__name__}:found"


class Broken(PointWorld):
    doctor = f"{__name__}:raises"


class Wordy(PointWorld):
    doctor = f"{__name__}:text"


def found(*, is_quick: bool) -> list[Finding]:
    return [FOUND] if is_quick else []


def raises(*, is_quick: bool) -> list[Finding]:
    raise RuntimeError("no crane")


def text(*, is_quick: bool) -> str:
    return "fine"


def findings(monkeypatch: pytest.MonkeyPatch, world: str) -> list[Finding]:
    monkeypatch.setattr(
        doctor_plugins, "plugins", lambda group: {"crane": f"{__name__}:{world}"} if group == GROUP else {}
    )
    return check_plugins(is_quick=True)


def test_a_worlds_own_check_is_shown_after_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = findings(monkeypatch, "Checked")
    assert "world 'crane'" in first.text
    assert rest == [FOUND]


@pytest.mark.parametrize(("world", "said"), [("Broken", "RuntimeError: no crane"), ("Wordy", "returned str")])
def test_a_check_that_fails_is_a_finding_itself(monkeypatch: pytest.MonkeyPatch, world: str, said: str) -> None:
    _, own = findings(monkeypatch, world)
    assert own.level is Level.FAILURE
    assert said in own.text
