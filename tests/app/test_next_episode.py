"""One key from a success to the next episode; the countdown; how many are saved."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.qt import Qt, QtCore
from app.recorded import Read, Recorded
from frs_core.choosers.scripted import PolicyChooser
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.events import (
    EndedEpisode,
    EndEpisode,
    EpisodeStatus,
    HoldReason,
    Outcome,
    Phase,
    RequestHold,
    Snapshot,
    StartEpisode,
)
from frs_core.session import InlineSession
from tests.fakes.keys import type_key as key
from tests.fakes.policy import ToyPolicy
from tests.fakes.snapshots import resting, snapshot
from tests.fakes.world import PointWorld
from tests.waiting import LONG_MS, LONG_S


def seen(*, success: bool = True, number: int = 3, **changes: Any) -> Snapshot:
    """Return an open episode in which the world reports success, or none."""
    base = snapshot(**changes)
    assert base.observation is not None
    episode = dataclasses.replace(base.episode, number=number, success_seen=success)
    return dataclasses.replace(
        base, observation=dataclasses.replace(base.observation, success=success), episode=episode
    )


def ended(outcome: Outcome = Outcome.SUCCESS, *, number: int = 3) -> Snapshot:
    """Return the rest after a label."""
    status = dataclasses.replace(seen().episode, number=number)
    return dataclasses.replace(
        resting(), hold_reason=HoldReason.EPISODE_END, episode=EpisodeStatus(), ended=EndedEpisode(status, outcome)
    )


def y(window: Any) -> None:
    key(window, Qt.Key.Key_Y, text="y")


def test_one_key_saves_a_success_and_starts_the_next_scene_once_it_is_on_disk(window: Any, port: Any) -> None:
    window.take(seen())
    y(window)
    assert [e.outcome for e in port.of(EndEpisode)] == [Outcome.SUCCESS]
    saving = {"phase": Phase.HOLD, "hold_reason": HoldReason.EPISODE_END, "detail": "Keeping the episode"}
    window.take(seen(**saving))
    assert port.of(StartEpisode) == []
    window.take(ended())
    assert len(port.of(StartEpisode)) == 1
    window.take(ended())
    assert len(port.of(StartEpisode)) == 1


def test_the_same_key_starts_the_first_episode(window: Any, port: Any) -> None:
    window.take(resting())
    y(window)
    assert len(port.of(StartEpisode)) == 1


def test_a_hold_of_the_session_while_the_label_is_written_calls_the_start_off(window: Any, port: Any) -> None:
    window.take(seen(counters={"holds": 4}))
    y(window)
    last = ended()
    window.take(dataclasses.replace(last, ended=dataclasses.replace(last.ended, was_held=True)))
    assert port.of(StartEpisode) == []


@pytest.mark.parametrize("reason", [HoldReason.OPERATOR, HoldReason.SUCCESS_SEEN])
def test_a_hold_before_the_label_that_is_shown_after_it_calls_nothing_off(
    window: Any, port: Any, reason: HoldReason
) -> None:
    """Space and then Y, or Y just as a driver is stopped because the task looks done: the snapshot comes after the press."""
    window.take(seen(phase=Phase.MOVING, picked="left/more"))
    key(window, Qt.Key.Key_Space, text=" ")
    y(window)
    window.take(seen(phase=Phase.HOLD, hold_reason=reason, counters={"holds": 1}))
    window.take(dataclasses.replace(ended(), counters={"holds": 1}))
    assert len(port.of(StartEpisode)) == 1


@pytest.mark.parametrize(
    ("reason", "starts"), [(HoldReason.LABEL_ASKED, 1), (HoldReason.OPERATOR, 1), (HoldReason.CAMERA_STALE, 0)]
)
def test_a_world_that_comes_to_agree_with_a_label_goes_on_unless_something_else_holds(
    window: Any, port: Any, reason: HoldReason, starts: int
) -> None:
    window.take(seen(success=False, phase=Phase.MOVING, picked="left/more"))
    y(window)
    assert window.drive.question.asked is Outcome.SUCCESS
    assert [hold.reason for hold in port.of(RequestHold)] == [HoldReason.LABEL_ASKED]
    held = {"phase": Phase.HOLD, "hold_reason": reason, "counters": {"holds": 1}}
    window.take(seen(success=False, **held))
    assert port.of(EndEpisode) == []
    window.take(seen(**held))
    assert [end.outcome for end in port.of(EndEpisode)] == [Outcome.SUCCESS]
    window.take(dataclasses.replace(ended(), counters={"holds": 1}))
    assert len(port.of(StartEpisode)) == starts


@pytest.mark.parametrize("stop", ["hold", "focus", "resume", "label"])
def test_whatever_comes_between_the_key_and_the_disk_calls_the_start_off(window: Any, port: Any, stop: str) -> None:
    window.take(seen())
    y(window)
    if stop == "hold":
        key(window, Qt.Key.Key_Space, text=" ")
    elif stop == "focus":
        window.drive_actions.hold_because(HoldReason.FOCUS_LOST)
    elif stop == "resume":
        window.run("drive.resume")
    else:
        window.run("episode.success")
    window.take(ended())
    assert port.of(StartEpisode) == []


def test_a_success_that_the_world_denies_is_asked_about_and_the_key_again_goes_on(window: Any, port: Any) -> None:
    window.take(seen(success=False))
    y(window)
    assert window.drive.question.asked is Outcome.SUCCESS
    assert port.of(EndEpisode) == []
    y(window)
    window.take(ended())
    assert (len(port.of(EndEpisode)), len(port.of(StartEpisode))) == (1, 1)


def test_a_plain_label_starts_nothing_after_a_question_that_was_left(window: Any, port: Any) -> None:
    window.take(seen(success=False))
    y(window)
    window.take(seen(success=False, phase=Phase.MOVING, picked="left/more"))
    window.take(seen())
    window.run("episode.success")
    window.take(ended())
    assert port.of(StartEpisode) == []


def test_a_robot_is_asked_for_before_it_moves_to_its_start_pose(window: Any, port: Any, monkeypatch: Any) -> None:
    asked: list[str] = []
    monkeypatch.setattr(window.drive_actions, "_ask", lambda text, _yes: asked.append(text))
    port.world_spec = dataclasses.replace(port.world_spec, is_simulated=False)
    window.take(seen())
    y(window)
    window.take(ended())
    assert port.of(StartEpisode) == []
    assert len(asked) == 1


def test_a_seen_success_counts_down_only_if_asked_to_and_a_pick_or_hold_stays(window: Any, port: Any) -> None:
    following = window.drive_actions.next
    window.take(seen(success=False))
    window.take(seen())
    assert following.seconds_left == 0
    window.run("episode.auto_next")
    window.take(seen(number=4, success=False))
    window.take(seen(number=4))
    assert following.seconds_left == 2
    assert "saved in 2 s" in window.drive.progress.caption.text()
    window.take(seen(number=4, phase=Phase.MOVING, picked="left/more"))
    window.take(seen(number=4))
    assert following.seconds_left == 0
    window.take(seen(number=5))
    assert following.seconds_left == 2
    key(window, Qt.Key.Key_Space, text=" ")
    assert (following.seconds_left, len(port.of(RequestHold))) == (0, 1)
    assert port.of(EndEpisode) == []


def test_the_countdown_saves_and_starts(window: Any, port: Any, qtbot: Any) -> None:
    window.run("episode.auto_next")
    window.take(seen())
    window.drive_actions.next._timer.setInterval(1)
    qtbot.waitUntil(lambda: len(port.of(EndEpisode)) == 1, timeout=LONG_MS)
    window.take(ended())
    assert len(port.of(StartEpisode)) == 1


def test_saved_successes_of_the_task_are_counted_and_at_ten_training_is_offered(
    make_window: Any, qtbot: Any, tmp_path: Path
) -> None:
    world = PointWorld()
    with InlineSession(world, ToyPolicy(), recorder=JournalRecorder(EpisodeStore(tmp_path))) as session:
        for seed in range(9):
            session.run_episode(PolicyChooser(), task="reach_left", seed=seed, max_chunks=1)
    store = EpisodeStore(tmp_path)
    for info in store.list():
        store.relabel(info.name, Outcome.SUCCESS)
    window = make_window(root=tmp_path)
    strip = window.drive.progress
    window.take(seen())
    qtbot.waitUntil(lambda: strip.count.text() == "9 of 10 saved", timeout=LONG_MS)
    assert not strip.train_button.isVisible()
    window.take(ended(Outcome.FAILURE))
    window.take(seen(number=4))
    assert strip.count.text() == "9 of 10 saved"
    window.take(ended(number=4))
    window.take(seen(number=5))
    assert strip.count.text() == "10 saved"
    assert strip.train_button.isVisible()
    assert strip.caption.text() == "reach left"


def test_a_world_without_tasks_counts_by_the_instruction_between_episodes_too(window: Any, port: Any) -> None:
    port.world_spec = dataclasses.replace(port.world_spec, tasks=(), titles=())
    status = dataclasses.replace(seen().episode, task="", instruction="put the cup away")
    window.take(dataclasses.replace(seen(), episode=status))
    window.take(dataclasses.replace(ended(), ended=EndedEpisode(status, Outcome.SUCCESS)))
    assert window.drive.progress.count.text() == "1 of 10 saved"
    assert window.drive.progress.caption.text() == "put the cup away"


def test_a_success_that_is_saved_during_a_look_at_the_disk_is_not_lost(
    qapp: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go_on, on_disk = threading.Event(), {"reach_left": 4}

    def read(*_: Any, **__: Any) -> Read:
        found = dict(on_disk)
        go_on.wait(LONG_S)
        return Read(found, np.zeros(0))

    monkeypatch.setattr("app.recorded.read_recorded", read)
    parent = QtCore.QObject()
    recorded = Recorded(parent)
    recorded.look(tmp_path, world="point", fingerprint="f")
    on_disk["reach_left"] = 5
    recorded.add(EndedEpisode(dataclasses.replace(seen().episode, task="reach_left"), Outcome.SUCCESS))
    go_on.set()
    qtbot.waitUntil(lambda: recorded.successes("reach_left") >= 4, timeout=LONG_MS)
    assert recorded.successes("reach_left") == 5
