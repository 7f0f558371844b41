"""Every chooser is a row: it resolves, says why it cannot drive, and its id stays one object wherever it travels."""

import copy
import pickle
from pathlib import Path

import pytest

from frs_core.choosers import registry
from frs_core.choosers.base import Chooser
from frs_core.choosers.registry import KNOWN, ChooserSpec, Setting, choosers, find_chooser, make_choosers
from frs_core.choosers.scripted import PolicyChooser, SequenceChooser
from frs_core.choosers.vlm import VlmChooser
from frs_core.errors import ConfigError
from frs_core.events import Driver
from frs_core.runtime.registry import resolve
from tests.fakes.snapshots import sample_fan


def test_every_row_resolves_and_has_words() -> None:
    for row in KNOWN.values():
        assert row.tooltip
        assert row.picked
        if row.make:
            assert callable(resolve("chooser", row.make, {}))


def test_a_run_has_the_choosers_it_was_given() -> None:
    made = make_choosers(Setting())
    assert Driver.SCRIPTED in made
    assert Driver.VLM not in made
    made = make_choosers(Setting(options={"vlm": "http://127.0.0.1:8000/v1"}))
    assert isinstance(made[Driver.VLM], VlmChooser)
    with pytest.raises(ConfigError, match="The model's address 'here' is not usable"):
        make_choosers(Setting(options={"vlm": "here"}))


def test_a_script_file_drives_in_place_of_the_worlds_own(tmp_path: Path) -> None:
    file = tmp_path / "picks.toml"
    file.write_text('picks = ["up/more"]\n')
    assert isinstance(make_choosers(Setting(options={"script": file}))[Driver.SCRIPTED], SequenceChooser)


def test_a_chooser_of_an_installed_package_that_cannot_be_made_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = {
        name: ChooserSpec(
            id=name,
            title=name,
            tooltip="It picks",
            why_not="",
            picked="It picked",
            make=f"tests.core.test_choosers_registry:{make}",
        )
        for name, make in (("bad", "not_made"), ("wrong", "wrongly_set"))
    }
    monkeypatch.setattr(registry, "choosers", lambda: {**KNOWN, "bad": rows["bad"]})
    assert Driver.SCRIPTED in make_choosers(Setting())
    monkeypatch.setattr(registry, "choosers", lambda: {**KNOWN, "wrong": rows["wrong"]})
    with pytest.raises(ConfigError, match="no such option"):
        make_choosers(Setting())


def not_made(_: Setting) -> Chooser:
    raise RuntimeError("no camera")


def wrongly_set(_: Setting) -> Chooser:
    raise ConfigError("no such option")


def test_a_chooser_that_records_its_picks_as_anothers_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = ChooserSpec("nameless", "N", "It picks", "", "It picked", make=f"{__name__}:nameless")
    monkeypatch.setattr(registry, "choosers", lambda: {**KNOWN, "nameless": row})
    assert row.driver not in make_choosers(Setting())
    assert "PolicyChooser would record its picks as 'scripted'; give it driver = Driver('nameless')" in caplog.text


def nameless(setting: Setting) -> Chooser:
    return PolicyChooser()


def test_the_worlds_own_operator_is_made_once_the_world_says_which() -> None:
    known: list[str] = []
    operator = make_choosers(Setting(world_operator=lambda: known[0] if known else ""))[Driver.SCRIPTED]
    assert "This world has no script" in operator.why_not()
    assert operator.choose(sample_fan()) is None
    known.append("tests.core.test_choosers_registry:made_of_state")
    assert operator.why_not() == ""
    choice = operator.choose(sample_fan())
    assert choice is not None
    assert choice.label == "unsteered"


def made_of_state(state: object) -> Chooser:
    """Return an operator for a world elsewhere."""
    return PolicyChooser()


def test_an_id_is_one_object() -> None:
    assert Driver("person") is Driver.PERSON
    assert pickle.loads(pickle.dumps(Driver("mine"))) is Driver("mine")
    assert copy.deepcopy(Driver.VLM) is Driver.VLM
    assert repr(Driver.VLM) == "Driver('vlm')"
    for wrong in ("", "Two Words", "x" * 41, "\x1b[2J"):
        with pytest.raises(ValueError, match="is not the id of a chooser"):
            Driver(wrong)


def test_a_plug_in_is_a_row_like_any_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(registry, "plugins", lambda group: {"toy": f"{__name__}:ROW", "lost": "no_such_package:ROW"})
    assert list(choosers()) == [*KNOWN, "toy"]
    assert "no_such_package" in caplog.text
    assert isinstance(make_choosers(Setting())[Driver("toy")], PolicyChooser)
    with pytest.raises(ConfigError, match="no_such_package"):
        find_chooser("lost")


class Toy(PolicyChooser):
    driver = Driver("toy")


def _make(setting: Setting) -> Chooser:
    return Toy()


ROW = ChooserSpec("toy", "Toy", "It picks", "Never; nothing to do", "The toy picked", f"{__name__}:_make")
