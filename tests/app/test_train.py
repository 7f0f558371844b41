"""The Train layout: what may teach, what is ticked, the card, saved policies, and one real training."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from app.facts import Facts
from app.qt import Qt
from app.views.train.card import BeforeAfter
from app.views.train.chooser import TickModel
from app.views.train.curve import Curve
from app.views.train.learner_menu import LearnerMenu
from app.views.train.page import folder_name
from app.views.train.saved import SavedList, trained_on
from frs_core.episodes import EpisodeStore
from frs_core.events import LoadNoisePolicy, Outcome
from frs_core.learning import JobState, PolicyMetadata, Progress, Scores, learners
from frs_core.policies import NamedPolicy
from tests.app.test_review import WAIT, record_some
from tests.fakes.snapshots import snapshot

FINGERPRINT = "toy-1"


@pytest.fixture
def infos(tmp_path: Path) -> tuple[Any, ...]:
    """Four recorded episodes: two successes, two failures."""
    record_some(tmp_path / "data", count=4)
    return tuple(EpisodeStore(tmp_path / "data").list())


def test_successes_are_ticked_and_failures_are_not(infos: tuple[Any, ...], qapp: Any) -> None:
    model = TickModel(FINGERPRINT)
    model.show_infos(infos)
    assert {i.name for i in model.ticked} == {i.name for i in infos if i.outcome is Outcome.SUCCESS}


def test_episodes_of_another_policy_cannot_be_ticked(infos: tuple[Any, ...], qapp: Any) -> None:
    model = TickModel("another")
    model.show_infos(infos)
    assert model.ticked == []
    assert not model.flags(model.index(0)) & Qt.ItemFlag.ItemIsUserCheckable
    assert "another policy" in model.data(model.index(0), Qt.ItemDataRole.ToolTipRole)


def test_a_tick_can_be_taken_away_and_a_task_chosen(infos: tuple[Any, ...], qapp: Any) -> None:
    model = TickModel(FINGERPRINT)
    model.show_infos((dataclasses.replace(infos[0], task="other"), *infos[1:]))
    model.show_task("other")
    assert [i.task for i in model.infos] == ["other"]
    model.toggle(model.index(0))
    assert model.ticked == []
    model.tick_successes()
    assert len(model.ticked) == 1


def test_the_tick_model_obeys_qt(infos: tuple[Any, ...], qtmodeltester: Any, qapp: Any) -> None:
    model = TickModel(FINGERPRINT)
    qtmodeltester.check(model)
    model.show_infos(infos)


def test_the_card_says_better_in_words(qtbot: Any) -> None:
    card = BeforeAfter()
    qtbot.addWidget(card)
    card.show_scores(Scores(1.9, 0.9, 0.4, 0.2, 0.7, 0.08, 40, True))
    assert card.text("noise", 2) == "0.400  ▲ better"
    assert card.text("agreement", 2) == "70%  ▲ better"
    card.show_success((2, 10), (9, 10))
    assert card.text("success", 1).startswith("20 % (")
    assert "n = 10" in card.text("success", 2)
    assert card.text("success", 2).endswith("▲ better")
    card.show_success((9, 10), (2, 10))
    assert card.text("success", 2).endswith("▼ worse")


@pytest.mark.parametrize(("before", "after"), [((5, 10), (5, 10)), ((5, 10), (7, 10)), ((7, 10), (6, 10))])
def test_a_difference_within_chance_is_called_none(qtbot: Any, before: tuple[int, int], after: tuple[int, int]) -> None:
    card = BeforeAfter()
    qtbot.addWidget(card)
    card.show_success(before, after)
    assert card.text("success", 2).endswith("no clear difference")
    card.show_success((0, 0), (1, 3))
    assert card.text("success", 2).endswith("n = 3)")


def metadata(fingerprint: str = FINGERPRINT) -> PolicyMetadata:
    """Return a saved policy's metadata."""
    return PolicyMetadata(
        "dsbc",
        "reach",
        fingerprint,
        8,
        7,
        7,
        8,
        18,
        {},
        {"episodes": ["a", "b"], "chunks": 20, "tasks": ["reach_left"]},
        {},
    )


def test_saved_policies_of_another_generalist_are_refused(qtbot: Any, tmp_path: Path) -> None:
    saved = SavedList()
    qtbot.addWidget(saved)
    saved.show_saved(
        ((tmp_path / "a", metadata()), (tmp_path / "b", metadata("x"))),
        fingerprint=FINGERPRINT,
        in_use=str(tmp_path / "a"),
    )
    assert saved.topLevelItem(0).text(0) == "★"
    assert saved.topLevelItem(1).flags() == Qt.ItemFlag.NoItemFlags
    assert "Trained for policy" in saved.topLevelItem(1).toolTip(1)
    assert trained_on(metadata()) == "2 episodes, 20 chunks: reach left"


def test_names_that_differ_at_their_end_are_whole_in_the_narrow_list(qtbot: Any, tmp_path: Path) -> None:
    saved = SavedList()
    qtbot.addWidget(saved)
    saved.resize(364, 400)
    names = ("can-on-plate-and-mug-on-stand-10-180733", "can-on-plate-and-mug-on-stand-10-180912")
    rows = tuple((tmp_path / n, dataclasses.replace(metadata(), name=n)) for n in names)
    saved.show_saved(rows, fingerprint=FINGERPRINT, in_use=None)
    saved.show()
    qtbot.waitExposed(saved)
    room = saved.columnWidth(1) - 8
    for i, name in enumerate(names):
        item = saved.topLevelItem(i)
        assert item.text(1).splitlines() == [name, "2 episodes, 20 chunks: reach left"]
        box = saved.fontMetrics().boundingRect(0, 0, room, 1000, Qt.TextFlag.TextWordWrap, item.text(1))
        assert box.width() <= room
        qtbot.waitUntil(lambda i=item, b=box: saved.visualItemRect(i).height() >= b.height(), timeout=WAIT)


@pytest.mark.parametrize(("name", "folder"), [("Mug on plate!", "mug-on-plate"), ("../../etc", "etc"), ("", "policy")])
def test_names_become_harmless_folders(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_nothing_ticked_says_so(make_window: Any, tmp_path: Path) -> None:
    window = make_window(root=tmp_path / "empty")
    window.show_layout("train")
    window.run("train.start")
    assert any("Tick at least one" in t for t in window.toasts.texts)


def test_training_runs_in_its_own_process_and_use_it_asks_the_session(
    make_window: Any, tmp_path: Path, port: Any, qtbot: Any
) -> None:
    record_some(tmp_path / "data", count=4, chunks=4)
    window = make_window(root=tmp_path / "data")
    window.show_layout("train")
    page = window.train
    qtbot.waitUntil(lambda: len(page.chooser.model.ticked) == 2, timeout=WAIT)
    assert page.chooser.count.text() == "2 episodes, 8 chunks"
    page.name.setText("first try")
    window.run("train.start")
    assert page.is_training
    qtbot.waitUntil(lambda: page.job.state in (JobState.DONE, JobState.FAILED), timeout=200_000)
    assert page.job.error is None
    qtbot.waitUntil(lambda: page.saved.list.chosen() is not None, timeout=WAIT)
    assert page.saved.list.chosen().name == "first-try"
    assert page.card.text("noise", 2) != "–"
    window.run("train.use")
    assert port.of(LoadNoisePolicy) == [LoadNoisePolicy(str(tmp_path / "data" / "learned" / "first-try"))]
    window.take(snapshot(noise_policy=str(tmp_path / "data" / "learned" / "first-try")))
    assert "★" in page.saved.in_use_text.text()
    window.run("train.unload")
    assert port.of(LoadNoisePolicy)[-1] == LoadNoisePolicy(None)


def test_the_second_pass_is_a_line_of_its_own(qtbot: Any) -> None:
    curve = Curve()
    qtbot.addWidget(curve)
    for step, held in ((20, 1.2), (40, 1.1), (20, float("nan")), (40, float("nan"))):
        curve.add(Progress(step, 40, 1.0, held, 0.0))
    x, y = curve._loss.getData()
    assert list(x) == [20, 40, 20, 20, 40]
    assert math.isnan(y[2])
    assert list(curve._held.getData()[1]) == [1.2, 1.1]


def test_the_menu_of_learners_is_the_registry_and_says_why_one_cannot_be_trained(qtbot: Any) -> None:
    facts = Facts(world="tabletop", policy="tabletop")
    menu = LearnerMenu(facts)
    qtbot.addWidget(menu)
    assert [menu.itemData(i) for i in range(menu.count())] == list(learners())
    assert menu.chosen == "dsbc"
    at = menu.findData("offline-dsbc")
    assert not menu.model().item(at).isEnabled()
    assert "frs train offline-dsbc" in menu.model().item(at).toolTip()
    facts.generalist = NamedPolicy()
    menu.show_rows()
    assert menu.model().item(at).isEnabled()


def test_a_policy_of_actions_cannot_join_the_fan(make_window: Any, tmp_path: Path, port: Any) -> None:
    window = make_window(root=tmp_path / "data")
    window.show_layout("train")
    cloner = dataclasses.replace(metadata(), kind="bc-flow")
    window.train.saved.list.show_saved(((tmp_path / "a", cloner),), fingerprint=FINGERPRINT, in_use=None)
    window.train.saved.list.choose(tmp_path / "a")
    window.run("train.use")
    assert not port.of(LoadNoisePolicy)
    assert any("cannot join the fan" in text for text in window.toasts.texts)


def test_a_cloner_is_judged_against_the_mean_label(qtbot: Any) -> None:
    card, nan = BeforeAfter(), float("nan")
    qtbot.addWidget(card)
    card.show_scores(Scores(nan, 1.0, 0.4, 0.2, nan, nan, 40, True))
    assert (card.text("noise", 1), card.text("noise", 2)) == ("–", "0.400  ▲ better")


@pytest.mark.parametrize("width", [960, 1280])
def test_a_name_is_shown_whole(make_window: Any, tmp_path: Path, width: int) -> None:
    window = make_window(root=tmp_path / "data")
    window.resize(width, 800)
    window.show_layout("train")
    page = window.train
    name = "place-can-on-plate-10-093102"
    assert page.name.width() > page.name.fontMetrics().horizontalAdvance(name) + 16
