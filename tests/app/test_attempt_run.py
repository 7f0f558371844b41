"""In simulation one press begins a run of attempts; whatever holds pauses it, and on a robot there is none."""

import dataclasses
from typing import Any

import pytest

from app.views.practise.attempt_labels import TOO_LATE
from frs_core.evaluation.practice_job import PracticeNews, Stage
from frs_core.events import (
    EndedEpisode,
    HoldReason,
    LoadNoisePolicy,
    Outcome,
    Phase,
    Resume,
    Snapshot,
    StartEpisode,
)
from tests.app.test_attempts import (  # noqa: F401  fixtures
    ACTOR,
    NEXT_ACTOR,
    driving,
    hear,
    make_page,
    practising,
    ready,
    under_way,
    waiting,
)
from tests.fakes.snapshots import snapshot


def ended(number: int = 4, outcome: Outcome = Outcome.SUCCESS, **changes: Any) -> Snapshot:
    """Return a session right after an attempt."""
    last = EndedEpisode(driving(number).episode, outcome)
    return ready(hold_reason=HoldReason.EPISODE_END, ended=last, **changes)


def starts(port: Any) -> list[int]:
    """Return the scenes of all starts so far."""
    return [start.seed for start in port.of(StartEpisode)]


def on_a_robot(port: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Have the world say something else of itself."""
    monkeypatch.setattr(port, "world_spec", dataclasses.replace(port.world_spec, **changes))


def test_one_press_begins_a_run_that_goes_on_after_each_attempt_and_each_round(practising: Any, port: Any) -> None:  # noqa: F811
    page, job = practising()
    window = page.window_of_test
    hear(page, job, waiting(40_000))
    window.take(ready())
    assert "the attempts after it start automatically" in window.drive.attempt.text.text()
    assert starts(port) == [], "the first attempt is a press"
    window.run("episode.start")
    window.take(driving(4))
    assert "the next one starts automatically, and Hold pauses the run" in window.drive.attempt.text.text()
    window.take(ended(4))
    assert starts(port) == [40_000], "the attempt is to be read first"
    hear(page, job, waiting(40_001, True, asked=2))
    assert starts(port) == [40_000, 40_001]
    window.take(driving(5))
    window.take(ended(5))
    hear(page, job, PracticeNews(Stage.LEARNING, 2, 2, 2, (True, True), learned=2))
    window.take(ended(5))
    assert starts(port) == [40_000, 40_001], "nothing starts while it learns"
    hear(page, job, waiting(40_002, True, True, actor=NEXT_ACTOR, asked=3))
    assert starts(port) == [40_000, 40_001], "what was learned is not in the fan yet"
    window.take(ended(5, noise_policy=str(NEXT_ACTOR)))
    assert starts(port) == [40_000, 40_001, 40_002]


@pytest.mark.parametrize("changes", [{"is_simulated": False}, {"tasks": ()}])
def test_where_a_person_sets_the_scene_every_attempt_is_a_press(
    practising: Any,  # noqa: F811
    port: Any,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    on_a_robot(port, monkeypatch, **changes)
    page, job = practising(**({"is_simulated": False} if "is_simulated" in changes else {}))
    window = page.window_of_test
    monkeypatch.setattr(window.drive_actions, "_ask", lambda _text, on_yes: on_yes())
    hear(page, job, waiting(40_000))
    window.take(ready())
    window.run("episode.start")
    window.take(driving(4))
    window.take(ended(4))
    hear(page, job, waiting(40_001, True, asked=2))
    window.take(ended(4))
    assert starts(port) == [40_000]
    assert "automatically" not in window.drive.attempt.text.text()


def test_a_simulator_that_does_not_say_how_it_went_waits_for_each_press(practising: Any, port: Any) -> None:  # noqa: F811
    page, job = practising()
    window = page.window_of_test
    blind = dataclasses.replace(snapshot().observation, success=None)
    hear(page, job, waiting(40_000))
    window.take(ready(observation=blind))
    window.run("episode.start")
    window.take(driving(4, observation=blind))
    window.take(ended(4, observation=blind))
    hear(page, job, waiting(40_001, True, asked=2))
    assert starts(port) == [40_000]


def held(number: int = 4, reason: HoldReason = HoldReason.OPERATOR) -> Snapshot:
    """Return an attempt that holds."""
    return driving(number, phase=Phase.HOLD, hold_reason=reason, counters={"holds": 1})


def test_a_hold_in_an_attempt_pauses_the_run_and_resume_goes_on_with_it(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.run("drive.hold")
    window.take(held())
    text = window.drive.attempt.text.text()
    assert "is paused (hold pressed); Resume continues it and the attempts after it" in text
    window.run("drive.resume")
    assert port.of(Resume)
    window.take(driving(4, counters={"holds": 1}))
    window.take(ended(4, counters={"holds": 1}))
    hear(page, job, waiting(40_001, True, asked=2))
    assert starts(port) == [40_000, 40_001]


@pytest.mark.parametrize("reason", [HoldReason.CAMERA_STALE, HoldReason.INFERENCE_LATE, HoldReason.FOCUS_LOST])
def test_an_attempt_that_was_held_by_whatever_and_labelled_is_the_last_of_the_run(
    practising: Any,  # noqa: F811
    port: Any,
    reason: HoldReason,
) -> None:
    page, job, window = under_way(practising)
    window.take(held(reason=reason))
    window.take(ended(4, Outcome.FAILURE, counters={"holds": 1}))
    hear(page, job, waiting(40_001, False, asked=2))
    assert starts(port) == [40_000]
    assert "is paused" in window.drive.attempt.text.text()
    assert "Start continues with attempt 2" in window.drive.attempt.text.text()
    window.run("episode.start")
    window.take(driving(5, counters={"holds": 1}))
    window.take(ended(5, counters={"holds": 1}))
    hear(page, job, waiting(40_002, False, True, asked=3))
    assert starts(port) == [40_000, 40_001, 40_002], "the press has begun the run again"


def test_a_hold_between_two_attempts_pauses_though_the_session_has_nothing_to_hold(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ended(4))
    window.run("drive.hold")
    hear(page, job, waiting(40_001, True, asked=2))
    window.take(ended(4))
    assert starts(port) == [40_000]
    text = window.drive.attempt.text.text()
    assert text == "The run of attempts is paused (hold pressed); Start continues with attempt 2"


def test_leaving_drive_or_the_window_pauses_the_run(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ended(4))
    window.show_layout("practise")
    hear(page, job, waiting(40_001, True, asked=2))
    assert starts(port) == [40_000]


def test_a_fault_pauses_and_the_new_world_does_not_go_on_by_itself(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ready(phase=Phase.FAULT, hold_reason=HoldReason.WORLD_LOST))
    hear(page, job, waiting(40_000, asked=2, problem="The last attempt does not count: it was thrown away"))
    window.take(ready())
    assert starts(port) == [40_000]


def test_an_attempt_that_does_not_count_pauses_so_that_none_is_repeated_for_ever(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ready())
    again = waiting(40_000, asked=2, problem="The last attempt does not count: it was steered")
    hear(page, job, again)
    window.take(ready())
    assert starts(port) == [40_000]
    window.run("episode.start")
    window.take(driving(5))
    hear(page, job, again)
    window.take(ended(5))
    hear(page, job, waiting(40_001, True, asked=3))
    assert starts(port) == [40_000, 40_000, 40_001]


def test_a_start_that_the_session_refuses_pauses_and_is_not_repeated(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ended(4))
    hear(page, job, waiting(40_001, True, asked=2))
    window.take(ended(4, counters={"refused": 1}))
    window.take(ended(4, counters={"refused": 1}))
    assert starts(port) == [40_000, 40_001]
    assert "is paused (the start was refused); Start continues" in window.drive.attempt.text.text()


def test_stop_ends_the_run(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.run("practise.stop")
    window.take(ended(4))
    hear(page, job, waiting(40_001, True, asked=2))
    assert job.is_cancelled
    assert starts(port) == [40_000]


# --- an actor that cannot be loaded -----------------------------------------------------------------------------------

FAILED = (str(ACTOR), "'round-1' cannot be read: Input/output error. Train the policy again.")


def test_an_actor_that_cannot_be_loaded_is_told_and_start_loads_it_once_more(practising: Any, port: Any) -> None:  # noqa: F811
    page, job = practising()
    window = page.window_of_test
    hear(page, job, waiting(40_000))
    window.take(ready(noise_policy=None, unloaded=FAILED))
    text = window.drive.attempt.text.text()
    assert "could not be loaded ('round-1' cannot be read: Input/output error); Start retries" in text
    assert port.of(LoadNoisePolicy) == [LoadNoisePolicy(str(ACTOR))], "it is not asked for over and over"
    window.run("episode.start")
    assert port.of(LoadNoisePolicy) == [LoadNoisePolicy(str(ACTOR))] * 2
    window.take(ready(noise_policy=None, unloaded=FAILED))
    assert "is being loaded" in window.drive.attempt.text.text()
    window.take(ready())
    assert starts(port) == []
    window.run("episode.start")
    assert starts(port) == [40_000]


def test_the_next_version_is_loaded_after_one_that_could_not_be(practising: Any, port: Any) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ended(4))
    hear(page, job, waiting(40_001, True, actor=NEXT_ACTOR, asked=2))
    window.take(ended(4, unloaded=(str(NEXT_ACTOR), "No memory.")))
    assert "could not be loaded (No memory); Start retries" in window.drive.attempt.text.text()
    third = ACTOR.with_name("round-3")
    hear(page, job, waiting(40_001, True, actor=third, asked=2))
    assert port.of(LoadNoisePolicy)[-1] == LoadNoisePolicy(str(third))
    window.run("episode.start")
    window.take(ended(4, noise_policy=str(third)))
    window.run("episode.start")
    assert starts(port) == [40_000, 40_001]


# --- a wrong label ----------------------------------------------------------------------------------------------------


class Store:
    """Keeps what a recording was relabelled as."""

    def __init__(self) -> None:
        self.labels: list[tuple[str, Outcome]] = []

    def relabel(self, name: str, outcome: Outcome) -> None:
        """Keep a label."""
        self.labels.append((name, outcome))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """What the edits of the window's library do."""
    kept = Store()
    monkeypatch.setattr("app.views.review.library.Library.edit", lambda _self, change: change(kept))
    return kept


def test_undo_corrects_the_label_of_an_attempt_until_it_is_learned_from(
    practising: Any,  # noqa: F811
    port: Any,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page, job, window = under_way(practising)
    said: list[str] = []
    monkeypatch.setattr(page, "_say", lambda text, *_: said.append(text))
    window.take(ended(4, Outcome.SUCCESS))
    assert store.labels == []
    window.run("edit.undo")
    window.run("edit.redo")
    window.run("edit.undo")
    assert store.labels == [("e4", Outcome.FAILURE), ("e4", Outcome.SUCCESS), ("e4", Outcome.FAILURE)]
    hear(page, job, PracticeNews(Stage.WAITING, 1, 1, 0, (False,)))
    assert "until then Undo reverses the last label" in window.drive.attempt.text.text()
    hear(page, job, PracticeNews(Stage.LEARNING, 1, 1, 0, (False,), learned=1))
    assert not [text for text in said if TOO_LATE in text]


def test_a_label_that_comes_too_late_is_told_with_the_way_back(
    practising: Any,  # noqa: F811
    port: Any,
    store: Store,
) -> None:
    page, job, window = under_way(practising)
    window.take(ended(4, Outcome.SUCCESS))
    window.run("edit.undo")
    hear(page, job, PracticeNews(Stage.LEARNING, 1, 1, 1, (True,), learned=1))
    assert window.notices.lines[0].endswith(TOO_LATE)
    window.run("edit.redo")
    assert store.labels[-1] == ("e4", Outcome.SUCCESS), "the recording can still be put right"
    assert window.notices.lines[0].endswith(f"The recording is a success now. {TOO_LATE}")


def test_a_label_of_an_attempt_that_does_not_count_says_so(practising: Any, port: Any, store: Store) -> None:  # noqa: F811
    page, job, window = under_way(practising)
    window.take(ended(4, Outcome.SUCCESS))
    hear(page, job, waiting(40_000, asked=2, problem="The last attempt does not count: it was of scene 3"))
    window.run("edit.undo")
    assert window.notices.lines[0].endswith("The recording is a failure now; the attempt does not count")
