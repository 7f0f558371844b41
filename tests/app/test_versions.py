"""The learned policy learns on from successes: the switch, what is said, and the key that goes back."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

import frs_core.learning
from app.qt import Qt
from frs_core.episodes import EpisodeStore
from frs_core.events import EndedEpisode, EpisodeStatus, LoadNoisePolicy, Outcome, StartEpisode
from tests.fakes.keys import type_key as key
from tests.fakes.snapshots import resting, snapshot
from tests.fakes.versions import BETTER, WORSE, HeldJob, first_version, record_steered
from tests.waiting import LONG_MS as WAIT

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording folder with four successes and a policy that has learned from three of them."""
    root = tmp_path_factory.mktemp("data")
    first_version(root, tuple(record_steered(root, count=4)[:3]))
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return shutil.copytree(recorded, tmp_path / "data")


@pytest.fixture
def first(root: Path) -> Path:
    """Version 1."""
    return root / "learned" / "reach"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[HeldJob]:
    """The trainings that were started; each runs until the test ends it."""
    made: list[HeldJob] = []
    monkeypatch.setattr(HeldJob, "made", made, raising=False)
    monkeypatch.setattr(frs_core.learning, "TrainJob", HeldJob)
    return made


@pytest.fixture
def window(make_window: Any, root: Path, first: Path, port: Any) -> Any:
    """A cockpit between two episodes in simulation, with version 1 in the fan."""
    result = make_window(root=root)
    result.take(between(first))
    port.sent.clear()
    return result


@pytest.fixture
def robot(make_window: Any, root: Path, first: Path, port: Any) -> Any:
    """The same on a real robot."""
    port.world_spec = dataclasses.replace(port.world_spec, is_simulated=False)
    result = make_window(root=root)
    result.take(between(first))
    port.sent.clear()
    assert not result.facts.is_simulated
    return result


def between(policy: Path, **changes: Any) -> Any:
    """Return a session without an open episode."""
    return dataclasses.replace(resting(), noise_policy=str(policy), **changes)


def during(policy: Path, **changes: Any) -> Any:
    """Return a session in its fourth episode."""
    return snapshot(noise_policy=str(policy), episode=EpisodeStatus(name="e4", number=4, is_recording=True), **changes)


def ended(number: int = 3, outcome: Outcome = Outcome.SUCCESS) -> EndedEpisode:
    return EndedEpisode(EpisodeStatus(name=f"e{number}", number=number, is_recording=True, chunks=5), outcome)


def said(window: Any) -> str:
    return " | ".join(window.toasts.texts)


def succeed(window: Any, first: Path, qtbot: Any, jobs: list[HeldJob]) -> HeldJob:
    """Save a success, begin the next episode, and return the training that has started."""
    count = len(jobs)
    window.take(between(first, ended=ended(10 + count)))
    window.take(during(first, ended=ended(10 + count)))
    qtbot.waitUntil(lambda: len(jobs) > count and "comparing" in window.versions.sentence, timeout=WAIT)
    return jobs[-1]


def test_a_success_is_learned_from_while_the_next_episode_runs_and_the_version_waits_for_the_one_after(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    job = succeed(window, first, qtbot, jobs)
    assert window.versions.sentence == "Version 2, from 4 episodes: comparing"
    assert job.request.is_background
    assert port.of(LoadNoisePolicy) == []
    job.end(BETTER)
    qtbot.waitUntil(lambda: bool(port.of(LoadNoisePolicy)), timeout=WAIT)
    assert port.of(LoadNoisePolicy) == [LoadNoisePolicy(str(job.request.out), waits=True)]
    assert "Version 2 learned from 4 episodes: in use from the next episode, its error on" in said(window)
    assert job.is_closed
    assert "reach.v2 is in the fan" not in said(window)
    window.take(between(job.request.out, ended=ended(4, Outcome.FAILURE)))
    assert "★ reach.v2 is in the fan" in said(window)


def test_a_version_that_is_worse_leaves_the_one_in_use_and_that_is_said(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    job = succeed(window, first, qtbot, jobs)
    job.end(WORSE)
    qtbot.waitUntil(lambda: "is not used" in said(window), timeout=WAIT)
    assert "Version 2 learned from 4 episodes and is not used: its error on 4 held-out episodes is" in said(window)
    assert port.of(LoadNoisePolicy) == []


def test_failures_and_successes_without_a_learned_policy_teach_nothing(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob]
) -> None:
    window.take(between(first, ended=ended(3, Outcome.FAILURE)))
    window.take(dataclasses.replace(resting(), ended=ended(4)))
    assert not window.versions.is_learning
    assert jobs == []


def test_a_success_that_comes_while_it_learns_is_learned_from_afterwards(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob]
) -> None:
    job = succeed(window, first, qtbot, jobs)
    window.take(between(first, ended=ended(9)))
    assert len(jobs) == 1
    job.end(WORSE)
    qtbot.waitUntil(lambda: len(jobs) == 2, timeout=WAIT)
    assert jobs[1].request.gate.former == first


def test_the_key_switches_learning_off_and_ends_what_is_being_learned(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    job = succeed(window, first, qtbot, jobs)
    key(window, Qt.Key.Key_L, CTRL | SHIFT)
    assert not window.settings.values.learns_on
    assert "no longer learns from successes" in said(window)
    qtbot.waitUntil(lambda: not window.versions.is_learning, timeout=WAIT)
    assert job.is_closed
    window.take(between(first, ended=ended(4)))
    assert not window.versions.is_learning
    key(window, Qt.Key.Key_L, CTRL | SHIFT)
    assert "learns on from each success" in said(window)
    succeed(window, first, qtbot, jobs)
    assert port.of(LoadNoisePolicy) == []


def test_a_key_goes_back_and_learns_no_more(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    job = succeed(window, first, qtbot, jobs)
    job.end(BETTER)
    qtbot.waitUntil(lambda: bool(port.of(LoadNoisePolicy)), timeout=WAIT)
    window.take(during(job.request.out, ended=ended(3)))
    key(window, Qt.Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: len(port.of(LoadNoisePolicy)) == 2, timeout=WAIT)
    assert port.of(LoadNoisePolicy)[-1] == LoadNoisePolicy(str(first))
    assert (
        "Version 1 is in use from the next chunk. Learning from successes is switched off; Ctrl+Shift+L switches it on"
        in said(window)
    )
    assert not window.versions.is_on
    window.take(during(first, ended=ended(3)))
    key(window, Qt.Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: "'reach' took no other version's place" in said(window), timeout=WAIT)
    assert len(port.of(LoadNoisePolicy)) == 2


def test_going_back_from_a_version_that_still_waits_keeps_the_one_in_use(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    job = succeed(window, first, qtbot, jobs)
    job.end(BETTER)
    qtbot.waitUntil(lambda: bool(port.of(LoadNoisePolicy)), timeout=WAIT)
    key(window, Qt.Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: "Version 1 stays in use" in said(window), timeout=WAIT)
    assert port.of(LoadNoisePolicy)[-1] == LoadNoisePolicy(str(first), waits=True)


def test_a_policy_that_the_operator_chooses_meanwhile_stays(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    other = shutil.copytree(first, first.with_name("other"))
    job = succeed(window, first, qtbot, jobs)
    window.take(during(other, ended=ended(3)))
    job.end(BETTER)
    qtbot.waitUntil(lambda: "another policy is in the fan by now" in said(window), timeout=WAIT)
    assert port.of(LoadNoisePolicy) == []


def test_a_version_that_cannot_be_loaded_waits_no_longer(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    job = succeed(window, first, qtbot, jobs)
    job.end(BETTER)
    qtbot.waitUntil(lambda: bool(port.of(LoadNoisePolicy)), timeout=WAIT)
    window.take(between(first, ended=ended(3), unloaded=(str(job.request.out), "It is torn.")))
    assert window.versions.sentence == "Version 2 could not be loaded; the one before stays in use"
    window.take(between(first, ended=ended(4)))
    qtbot.waitUntil(lambda: len(jobs) == 2, timeout=WAIT)
    assert jobs[1].request.gate.former == first


def test_a_training_that_fails_is_a_message_and_the_next_success_is_learned_from(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as m:
        m.setattr(HeldJob, "start", lambda _job: (_ for _ in ()).throw(OSError("no more processes")))
        window.take(between(first, ended=ended(3)))
        qtbot.waitUntil(lambda: "was not learned. no more processes" in said(window), timeout=WAIT)
    assert not window.versions.is_learning
    window.take(between(first, ended=ended(4)))
    qtbot.waitUntil(lambda: len(jobs) == 2, timeout=WAIT)


def test_why_there_is_no_next_version_is_said_once(
    window: Any, first: Path, root: Path, qtbot: Any, jobs: list[HeldJob]
) -> None:
    for info in EpisodeStore(root).list()[:2]:
        shutil.rmtree(info.path)
    for number in (3, 4):
        window.take(between(first, ended=ended(number)))
        qtbot.waitUntil(lambda: not window.versions.is_learning, timeout=WAIT)
    assert said(window).count("compared on 3 successes without the learned policy; there are 2") == 1
    assert jobs == []


def test_on_a_real_robot_it_is_off_until_it_is_switched_on_in_this_run(
    robot: Any, first: Path, qtbot: Any, jobs: list[HeldJob]
) -> None:
    assert robot.settings.values.learns_on
    robot.take(between(first, ended=ended(3)))
    assert not robot.versions.is_learning
    key(robot, Qt.Key.Key_L, CTRL | SHIFT)
    assert "learns on from each success" in said(robot)
    robot.take(between(first, ended=ended(4)))
    qtbot.waitUntil(lambda: len(jobs) == 1, timeout=WAIT)


def test_on_a_real_robot_no_episode_starts_while_it_learns(
    robot: Any, first: Path, qtbot: Any, jobs: list[HeldJob], port: Any
) -> None:
    key(robot, Qt.Key.Key_L, CTRL | SHIFT)
    robot.take(between(first, ended=ended(4)))
    key(robot, Qt.Key.Key_N, text="n")
    assert "a real robot stays where it is meanwhile" in said(robot)
    assert robot.arming._list is None
    robot.drive_actions._start_now(robot.drive_actions._start)
    assert port.of(StartEpisode) == []
    qtbot.waitUntil(lambda: len(jobs) == 1, timeout=WAIT)
    jobs[0].end(WORSE)
    qtbot.waitUntil(lambda: not robot.versions.is_learning, timeout=WAIT)
    robot.drive_actions._start_now(robot.drive_actions._start)
    assert len(port.of(StartEpisode)) == 1


def test_on_a_real_robot_it_learns_only_between_episodes(
    robot: Any, first: Path, qtbot: Any, jobs: list[HeldJob]
) -> None:
    key(robot, Qt.Key.Key_L, CTRL | SHIFT)
    robot.take(during(first, ended=ended(3)))
    assert not robot.versions.is_learning
    robot.take(between(first, ended=ended(4, Outcome.FAILURE)))
    qtbot.waitUntil(lambda: len(jobs) == 1, timeout=WAIT)


def test_the_switch_in_train_is_the_same_switch(window: Any) -> None:
    window.show_layout("train")
    pane = window.train.learning_on
    assert pane.switch.isChecked()
    pane.switch.click()
    assert not window.versions.is_on
    window.run("learned.learn_on")
    assert pane.switch.isChecked()
    assert pane.text.text() == window.versions.sentence
    assert "(Ctrl+L)" in pane.back_button.toolTip()


def test_closing_the_window_ends_what_is_being_learned(
    window: Any, first: Path, qtbot: Any, jobs: list[HeldJob]
) -> None:
    job = succeed(window, first, qtbot, jobs)
    window.close()
    assert job.is_closed


def test_a_real_training_in_a_process_of_its_own_ends_with_a_verdict(
    window: Any, first: Path, qtbot: Any, port: Any
) -> None:
    window.take(between(first, ended=ended(3)))
    qtbot.waitUntil(lambda: "Version 2 learned from 4 episodes" in said(window), timeout=WAIT)
    is_used = "is not used" not in said(window)
    assert bool(port.of(LoadNoisePolicy)) == is_used
    assert (first.with_name("reach.v2")).exists() == is_used
