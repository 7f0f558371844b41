"""Blinded comparisons in the window: nothing that is shown or written tells who drives, and every attempt is a person's start."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.black_box import changes
from app.blinding import BLINDED, Blinding
from app.qt import Qt
from app.status import status_of
from app.views.review.library import Library
from frs_core.evaluation.blind import Blind, list_blind
from frs_core.events import (
    Driver,
    EndedEpisode,
    HoldDirection,
    HoldReason,
    LoadNoisePolicy,
    Outcome,
    Pacing,
    Phase,
    Pick,
    RequestHold,
    SetDriver,
    SetHelp,
    SetPacing,
    Snapshot,
    StartEpisode,
)
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings
from tests.fakes.learning import synthetic_table, train_dsbc
from tests.fakes.snapshots import resting, snapshot

NAME = "my-learned-one"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noise policy of the toy generalist."""
    quick = DsbcSettings(fit=FitSettings(steps=2, least_steps=1, evaluate_every=1), network=NetworkSettings(8, 1))
    return train_dsbc(synthetic_table(), quick, name=NAME).save(tmp_path_factory.mktemp("saved") / NAME)


@pytest.fixture
def comparing(make_window: Any, port: Any, saved: Path, tmp_path: Path, qtbot: Any) -> Any:
    """Return a function that begins a comparison of two policies, as a person would, and returns the window."""
    root = tmp_path / "data"
    shutil.copytree(saved, root / "learned" / NAME)

    def begin(each: int = 2) -> Any:
        window = make_window(root=root)
        window.run("compare.new")
        setup = window.comparisons.setup
        qtbot.waitUntil(lambda: setup.policies.count() == 2)
        assert not setup.start.isEnabled()
        for row in range(2):
            setup.policies.item(row).setCheckState(Qt.CheckState.Checked)
        setup.attempts.setValue(each)
        setup.start.click()
        assert window.comparisons.blind is not None
        return window

    return begin


def real(window: Any) -> Blind:
    blind = window.comparisons.blind
    assert blind is not None
    return blind


def path_of(window: Any) -> str | None:
    """Return the noise policy that the next attempt needs."""
    slot = real(window).next_slot
    assert slot is not None
    return real(window).arm_of(slot).path or None


def rest(window: Any, **changes: Any) -> None:
    """Have the session rest with what it was asked to load."""
    window.take(dataclasses.replace(resting(), noise_policy=path_of(window), pacing=Pacing.CONTINUOUS, **changes))


def drive(window: Any, number: int, **changes: Any) -> Snapshot:
    """Have the session drive an attempt; return what it says."""
    path = path_of(window)
    episode = dataclasses.replace(snapshot().episode, name=f"e{number}", number=number, chunks=3)
    driver = Driver.PERSON if path is None else Driver.LEARNED
    picked = {"picked": "unsteered" if path is None else "learned", "picked_by": None if path is None else driver}
    now = snapshot(episode=episode, noise_policy=path, driver=driver, pacing=Pacing.CONTINUOUS, **{**picked, **changes})
    window.take(now)
    return now


def end(window: Any, driven: Snapshot, outcome: Outcome, qtbot: Any, *, chunks: int = 3) -> None:
    """Have the session end an attempt, and wait for the next to be wanted."""
    before = len(real(window).state.attempts)
    status = dataclasses.replace(driven.episode, chunks=chunks)
    blind = real(window)
    window.take(
        dataclasses.replace(
            resting(),
            noise_policy=driven.noise_policy,
            pacing=Pacing.CONTINUOUS,
            hold_reason=HoldReason.EPISODE_END,
            ended=EndedEpisode(status, outcome),
        )
    )
    assert len(blind.state.attempts) == before + 1
    qtbot.waitUntil(
        lambda: window.comparisons.attempts._answered != window.comparisons.attempts._asked or blind.is_complete
    )


def attempt(window: Any, port: Any, number: int, outcome: Outcome, qtbot: Any) -> None:
    rest(window)
    window.run("episode.start")
    end(window, drive(window, number), outcome, qtbot)


def seen(window: Any) -> str:
    """Return everything that the window says, as text, but for where it is and when."""
    said = status_of(window)
    said["next"].pop("amount")
    words = [window.windowTitle(), window.state.sentence.text, window.state.badge.word, *window.notices.lines]
    figures = [number.text() for number in window.state._numbers.values()]
    return json.dumps([said, words, figures, [str(window.snapshot.fan), window.drive.verdicts.isVisible()]])


def test_attempts_are_started_by_a_person_with_the_policy_of_their_slot_on_the_scene_of_their_block(
    comparing: Any, port: Any, qtbot: Any
) -> None:
    window = comparing()
    plan = real(window).plan
    assert window.layout_name == "drive"
    assert not port.of(StartEpisode), "nothing starts without a press"
    loaded: list[LoadNoisePolicy] = []
    for number in range(4):
        rest(window)
        wanted = path_of(window)
        loaded += port.of(LoadNoisePolicy)
        port.sent.clear()
        window.run("episode.start")
        driver = Driver.PERSON if wanted is None else Driver.LEARNED
        assert port.of(SetDriver) == [SetDriver(driver)]
        assert port.of(SetPacing) == [SetPacing(Pacing.CONTINUOUS)]
        assert port.of(SetHelp) == [SetHelp(False)], "only a learned policy would call"
        assert port.of(StartEpisode) == [StartEpisode(plan.task, plan.first_scene + number // 2, most_chunks=40)]
        end(window, drive(window, number + 1), Outcome.SUCCESS, qtbot)
    assert {command.path for command in loaded} == {None, str(window.facts.root / "learned" / NAME)}
    qtbot.waitUntil(lambda: window.comparisons.blind is None)
    ((_, blind),) = list_blind(window.facts.root)
    assert isinstance(blind, Blind)
    assert blind.is_complete
    assert [a.episode for a in blind.state.attempts] == ["e1", "e2", "e3", "e4"]


def test_an_attempt_whose_policy_is_not_in_the_fan_does_not_start(comparing: Any, port: Any) -> None:
    window = comparing()
    other = None if path_of(window) else "somewhere/else"
    window.take(dataclasses.replace(resting(), noise_policy=other))
    window.run("episode.start")
    assert not port.of(StartEpisode)


def test_what_is_shown_and_written_is_the_same_whoever_drives(comparing: Any, port: Any, qtbot: Any) -> None:
    window = comparing()
    shown: dict[str | None, set[str]] = {}
    blinding = window.facts.blinding
    for number in range(1, 5):
        rest(window)
        window.run("episode.start")
        path = path_of(window)
        now = drive(window, number)
        moving = drive(window, number, phase=Phase.MOVING)
        lines = [*changes(None, blinding.shown(now)), *changes(blinding.shown(now), blinding.shown(moving))]
        text = seen(window) + json.dumps(lines)
        assert NAME not in text
        assert window.state.badge.word == "BLINDED"
        assert status_of(window)["driver"] == "blinded"
        assert status_of(window)["comparing"]["drives"] == "blinded"
        for varying in ("learned", "unsteered", "encode 12", "left/more"):
            assert varying not in text, varying
        shown.setdefault(path, set()).add(window.windowTitle())
        end(window, now, Outcome.FAILURE, qtbot)
    assert len(shown) == 2, "both have driven"
    assert len(set.union(*shown.values())) == 1


def test_nobody_steers_and_hold_labels_and_notes_work(comparing: Any, port: Any, qtbot: Any) -> None:
    window = comparing()
    rest(window)
    window.run("episode.start")
    driven = drive(window, 1)
    port.sent.clear()
    for action in ("steer.left", "pick.learned", "knob.seed", "driver.learned", "drive.pacing", "gripper.close"):
        window.run(action)
    qtbot.keyClick(window, Qt.Key.Key_Left)
    qtbot.keyClick(window, Qt.Key.Key_L)
    assert not [c for c in port.sent if isinstance(c, (Pick, HoldDirection, SetDriver, SetPacing))]
    assert any("Nobody steers" in text for text in window.toasts.texts)
    assert not window.drive.steering.isVisible()
    window.drive.episode.note.setText("it slipped")
    window.run("episode.failure")
    end(window, driven, Outcome.FAILURE, qtbot)
    assert real(window).state.attempts[0].note == "it slipped"


def test_the_last_label_is_undone_in_the_comparison_too_and_an_attempt_is_excluded_with_a_reason(
    comparing: Any, port: Any, qtbot: Any
) -> None:
    window = comparing()
    attempt(window, port, 1, Outcome.SUCCESS, qtbot)
    window.run("edit.undo")
    assert real(window).state.attempts[0].outcome is Outcome.FAILURE
    window.run("edit.redo")
    assert real(window).state.attempts[0].is_success
    window.run("compare.exclude")
    box = window.comparisons.reason
    box.setTextValue("the table was bumped")
    box.accept()
    assert real(window).state.attempts[0].excluded == "the table was bumped"
    assert "Attempt 1 of 4" in window.drive.comparison.text.text()
    assert real(window).next_slot == 1


def test_a_discarded_attempt_is_repeated(comparing: Any, port: Any, qtbot: Any) -> None:
    window = comparing()
    attempt(window, port, 1, Outcome.DISCARDED, qtbot)
    assert real(window).counted == []
    assert "Attempt 1 of 4" in window.drive.comparison.text.text()


def test_stopped_it_stays_blinded_continues_later_and_leaves_everything_as_it_was(
    comparing: Any, port: Any, qtbot: Any
) -> None:
    window = comparing()
    attempt(window, port, 1, Outcome.SUCCESS, qtbot)
    folder = real(window).folder
    last = path_of(window)
    port.sent.clear()
    window.run("compare.stop")
    qtbot.waitUntil(lambda: window.comparisons.blind is None)
    assert set(port.sent) >= {SetPacing(Pacing.GATED), SetDriver(Driver.PERSON), LoadNoisePolicy(None)}
    window.take(dataclasses.replace(resting(), noise_policy=last, driver=Driver.LEARNED, pacing=Pacing.CONTINUOUS))
    assert window.snapshot.driver is BLINDED, "until the session is as it was"
    window.take(resting())
    assert window.snapshot.driver is Driver.PERSON
    assert window.drive.steering.isVisible()
    window.run("compare.new")
    setup = window.comparisons.setup
    qtbot.waitUntil(lambda: setup.earlier.count() == 1)
    setup.earlier.setCurrentRow(0)
    setup.resume.click()
    assert real(window).folder == folder
    assert len(real(window).counted) == 1


def test_a_comparison_that_ends_in_mid_attempt_holds_and_says_that_this_is_why(comparing: Any, port: Any) -> None:
    window = comparing()
    rest(window)
    window.run("episode.start")
    drive(window, 1)
    port.sent.clear()
    window.comparisons.attempts.end()
    assert port.of(RequestHold) == [RequestHold(HoldReason.COMPARISON_ENDED)]


def test_results_name_nobody_until_unblinding_which_asks_twice_and_is_exported_with_the_seed(
    comparing: Any, port: Any, qtbot: Any
) -> None:
    window = comparing(each=1)
    for number in (1, 2):
        attempt(window, port, number, Outcome.SUCCESS, qtbot)
    qtbot.waitUntil(lambda: window.comparisons.blind is None)
    window.take(resting())
    window.run("compare.results")
    results = window.comparisons.results
    assert NAME not in results.text.toPlainText()
    assert "no difference seen" in results.text.toPlainText()
    assert not results.export.isEnabled()
    results.unblind.click()
    assert NAME not in results.text.toPlainText(), "the first press only asks"
    results.unblind.click()
    assert NAME in results.text.toPlainText()
    results.export.click()
    ((folder, blind),) = list_blind(window.facts.root)
    assert isinstance(blind, Blind)
    assert json.loads((folder / "comparison.json").read_text())["plan"]["seed"] == blind.plan.seed
    results.reject()


def test_recordings_of_a_blinded_comparison_are_left_out_of_every_list_until_it_is_unblinded(
    comparing: Any, port: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = comparing()
    attempt(window, port, 1, Outcome.SUCCESS, qtbot)
    listed: list[Any] = []

    @dataclasses.dataclass
    class Info:
        name: str

    class Store:
        root = window.facts.root

        def list(self, **_: object) -> list[Info]:
            return [Info("e1"), Info("another")]

    library = Library(None)
    monkeypatch.setattr(library, "tell", lambda _name, found: listed.append(found))
    monkeypatch.setattr("app.views.review.library.needs_inspection", lambda _info, whole: False)
    library._list(Store(), False)  # type: ignore[arg-type]
    assert [i.name for i in listed[-1][0]] == ["another"]
    real(window).unblind()
    library._list(Store(), False)  # type: ignore[arg-type]
    assert [i.name for i in listed[-1][0]] == ["e1", "another"]


def test_no_practice_and_no_second_comparison_begins_meanwhile(comparing: Any, port: Any) -> None:
    window = comparing()
    window.run("compare.new")
    assert window.comparisons.setup is None
    for action in ("practise.start", "train.use"):
        window.run(action)
        assert any("comparison is running" in text for text in window.toasts.texts)
    assert window.late.practise_if_built is None


def test_blinding_that_is_off_changes_nothing() -> None:
    now = snapshot()
    assert Blinding().shown(now) is now
    assert Blinding().why_not("steer.left") == ""
