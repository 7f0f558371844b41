"""A label that the world contradicts is asked about; every ending says what was saved; practice promises nothing."""

import dataclasses
from typing import Any

import pytest

from app.qt import Qt
from app.status import status_of
from app.views.state_bar import kept_of, sentence_of
from frs_core.events import (
    EndedEpisode,
    EndEpisode,
    EpisodeStatus,
    HoldReason,
    Outcome,
    Phase,
    RequestHold,
    Resume,
    Snapshot,
)
from tests.fakes.keys import type_key as key
from tests.fakes.snapshots import resting, snapshot

CTRL = Qt.KeyboardModifier.ControlModifier


def knowing(success: bool | None, **changes: Any) -> Snapshot:
    """Return a session whose world says whether the task is done now."""
    base = snapshot(**changes)
    assert base.observation is not None
    seen = dataclasses.replace(base.episode, success_seen=bool(success))
    return dataclasses.replace(base, observation=dataclasses.replace(base.observation, success=success), episode=seen)


def press(window: Any, outcome: Outcome) -> None:
    code = Qt.Key.Key_Return if outcome is Outcome.SUCCESS else Qt.Key.Key_Backspace
    key(window, code, CTRL)


@pytest.mark.parametrize(("seen", "outcome"), [(False, Outcome.SUCCESS), (True, Outcome.FAILURE)])
def test_a_label_against_the_world_is_asked_about_and_the_same_key_keeps_it(
    window: Any, port: Any, seen: bool, outcome: Outcome
) -> None:
    window.take(knowing(seen))
    press(window, outcome)
    assert port.of(EndEpisode) == []
    assert outcome.value in window.drive.question.sentence
    assert window.drive.question.isVisible()
    assert status_of(window)["question"] == window.drive.question.sentence
    press(window, outcome)
    assert [e.outcome for e in port.of(EndEpisode)] == [outcome]
    assert not window.drive.question.isVisible()


@pytest.mark.parametrize(
    ("seen", "outcome"), [(True, Outcome.SUCCESS), (False, Outcome.FAILURE), (None, Outcome.SUCCESS)]
)
def test_a_label_that_agrees_or_cannot_be_judged_is_taken_at_once(
    window: Any, port: Any, seen: bool | None, outcome: Outcome
) -> None:
    window.take(knowing(seen))
    press(window, outcome)
    assert [e.outcome for e in port.of(EndEpisode)] == [outcome]


def test_the_other_label_answers_the_question(window: Any, port: Any) -> None:
    window.take(knowing(False))
    press(window, Outcome.SUCCESS)
    press(window, Outcome.FAILURE)
    assert [e.outcome for e in port.of(EndEpisode)] == [Outcome.FAILURE]


def test_going_on_is_the_resume_key_or_a_pick(window: Any, port: Any) -> None:
    window.take(knowing(False))
    press(window, Outcome.SUCCESS)
    key(window, Qt.Key.Key_C, text="c")
    assert not window.drive.question.isVisible()
    assert port.of(EndEpisode) == port.of(Resume) == []
    press(window, Outcome.SUCCESS)
    window.take(knowing(False, phase=Phase.MOVING, picked="left/more"))
    assert not window.drive.question.isVisible()


def test_a_moving_robot_holds_while_the_question_is_open_and_the_world_may_still_agree(window: Any, port: Any) -> None:
    moving = knowing(False, phase=Phase.MOVING, picked="left/more")
    window.take(moving)
    press(window, Outcome.SUCCESS)
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.LABEL_ASKED]
    window.take(moving)
    assert window.drive.question.isVisible()
    held = {"phase": Phase.HOLD, "hold_reason": HoldReason.LABEL_ASKED}
    window.take(knowing(False, **held))
    assert window.drive.question.isVisible()
    key(window, Qt.Key.Key_C, text="c")
    assert len(port.of(Resume)) == 1
    press(window, Outcome.SUCCESS)
    window.take(knowing(True, **held))
    assert [e.outcome for e in port.of(EndEpisode)] == [Outcome.SUCCESS]


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_back_leaves_the_question_and_labels_nothing(window: Any, port: Any, outcome: Outcome) -> None:
    window.take(knowing(outcome is Outcome.FAILURE))
    press(window, outcome)
    window.run("chunk.back")
    assert not window.drive.question.isVisible()
    back = knowing(False)
    window.take(dataclasses.replace(back, episode=dataclasses.replace(back.episode, chunks=0)))
    assert port.of(EndEpisode) == []


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_a_world_that_says_nothing_any_more_answers_no_question(window: Any, port: Any, outcome: Outcome) -> None:
    window.take(knowing(outcome is Outcome.FAILURE))
    press(window, outcome)
    lost = {"phase": Phase.FAULT, "hold_reason": HoldReason.WORLD_LOST}
    window.take(dataclasses.replace(knowing(False, **lost), observation=None))
    window.take(knowing(False, phase=Phase.CHOOSE) if outcome is Outcome.FAILURE else knowing(None))
    assert port.of(EndEpisode) == []
    assert window.drive.question.isVisible()


def test_every_ending_says_what_was_saved(window: Any) -> None:
    status = EpisodeStatus(name="e3", number=3, task="reach_left", is_recording=True, chunks=7)
    unrecorded = dataclasses.replace(status, is_recording=False, is_unrecorded=True)
    said = {
        EndedEpisode(status, Outcome.SUCCESS): "Episode saved as a success, 7 chunks",
        EndedEpisode(status, Outcome.FAILURE): "Episode saved as a failure, 7 chunks",
        EndedEpisode(status, Outcome.DISCARDED): "Episode moved to the bin, 7 chunks",
        EndedEpisode(unrecorded, Outcome.SUCCESS): "Unrecorded episode ended after 7 chunks",
        EndedEpisode(dataclasses.replace(status, chunks=0), Outcome.SUCCESS): (
            "Episode ended before its first chunk; nothing was saved"
        ),
    }
    for ended, sentence in said.items():
        assert kept_of(ended) == sentence
        rest = dataclasses.replace(resting(), hold_reason=HoldReason.EPISODE_END, ended=ended)
        window.take(rest)
        assert sentence_of(rest) == window.state.sentence.text == sentence
        assert sentence in window.toasts.texts


def test_an_unrecorded_episode_is_never_promised_to_be_kept(window: Any) -> None:
    unrecorded = dataclasses.replace(snapshot().episode, is_recording=False, is_unrecorded=True)
    seen = snapshot(episode=dataclasses.replace(unrecorded, success_seen=True))
    for state in (seen, dataclasses.replace(seen, phase=Phase.HOLD, hold_reason=HoldReason.SUCCESS_SEEN)):
        assert "keep the" not in sentence_of(state)
        assert "Label" not in sentence_of(state)
    window.take(snapshot(episode=unrecorded))
    window.take(seen)
    assert "The task looks done" in window.toasts.texts
