"""Attempts of a practice in Drive: nothing starts but by a person's press, nothing while it learns, and every label is reported."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from app.views.practise.budget import is_attended
from frs_core.errors import TrainingError
from frs_core.evaluation.monitor import Wanted
from frs_core.evaluation.practice_job import PracticeNews, Stage
from frs_core.events import (
    Driver,
    EpisodeStatus,
    HoldReason,
    LoadNoisePolicy,
    Outcome,
    Phase,
    RequestHold,
    SetDriver,
    Snapshot,
    StartEpisode,
)
from frs_core.learning import Practice
from tests.app.test_practise import KIND, make_page, some_infos  # noqa: F401  a fixture
from tests.fakes.practice_job import write_practice
from tests.fakes.snapshots import resting, snapshot

ACTOR, NEXT_ACTOR = Path("practice/actors/round-1"), Path("practice/actors/round-2")


def waiting(scene: int, *attempts: bool, actor: Path = ACTOR, asked: int = 1, problem: str = "") -> PracticeNews:
    """Return a practice that waits for an attempt."""
    return PracticeNews(
        Stage.WAITING, len(attempts), 10, sum(attempts), attempts, wanted=Wanted(actor, scene, asked, problem)
    )


def ready(**changes: Any) -> Snapshot:
    """Return a session between two episodes, with the actor in the fan."""
    return dataclasses.replace(resting(), **{"noise_policy": str(ACTOR), **changes})


def driving(number: int = 4, **changes: Any) -> Snapshot:
    """Return a session in the middle of an attempt."""
    episode = dataclasses.replace(snapshot().episode, name=f"e{number}", number=number, chunks=3)
    return snapshot(episode=episode, noise_policy=str(ACTOR), driver=Driver.LEARNED, **changes)


@pytest.fixture
def practising(make_page: Any, port: Any) -> Any:  # noqa: F811
    """Return a function that starts a practice in Drive, and returns page and job."""

    def start(**facts: Any) -> Any:
        page = make_page(**facts)
        page._on_episodes((some_infos(12), False))
        if page.setup.where.isVisible():
            page.setup.where_choice.chosen.emit("drive")
        page.window_of_test.run("practise.start")
        (job,) = page.jobs
        port.sent.clear()
        return page, job

    return start


def hear(page: Any, job: Any, news: PracticeNews) -> None:
    """Have the page hear something."""
    job.tell(news)
    page.running.poll()


def under_way(practising: Any) -> tuple[Any, Any, Any]:
    """Return page, job and window with the first attempt of a practice being driven."""
    page, job = practising()
    window = page.window_of_test
    hear(page, job, waiting(40_000))
    window.take(ready())
    window.run("episode.start")
    window.take(driving())
    return page, job, window


def test_a_start_in_drive_is_the_wanted_attempt_driven_by_what_was_learned(practising: Any, port: Any) -> None:
    page, job = practising()
    window = page.window_of_test
    assert window.layout_name == "drive"
    assert job.attended is page._facts.policy_spec
    assert is_attended(job.request.practice)
    assert window.drive.attempt.isVisible()
    window.run("episode.start")
    assert not port.of(StartEpisode)
    hear(page, job, waiting(40_000))
    assert port.of(LoadNoisePolicy) == [LoadNoisePolicy(str(ACTOR))]
    window.run("episode.start")
    assert not port.of(StartEpisode), "the actor is not in the fan yet"
    window.take(ready())
    assert window.drive.attempt.text.text().startswith("Attempt 1 at reach left (1 of 5 in this round): start it")
    assert not port.of(StartEpisode), "nothing starts without a press"
    assert not window.drive.episode.task.isVisible(), "the practice says which task"
    window.run("episode.start")
    assert port.of(SetDriver) == [SetDriver(Driver.LEARNED)]
    assert port.of(StartEpisode) == [StartEpisode("reach_left", 40_000, most_chunks=Practice().max_chunks)]


def test_each_episode_is_told_once_and_the_next_start_waits_for_the_answer(practising: Any, port: Any) -> None:
    page, job, window = under_way(practising)
    window.take(driving(picked="left/more", picked_by=Driver.PERSON, phase=Phase.MOVING))
    assert "3 of at most 40 chunks, 1 steered by you; it is labelled by the world" in window.drive.attempt.text.text()
    hear(page, job, waiting(40_000))
    assert job.episodes == []
    window.take(ready(hold_reason=HoldReason.EPISODE_END))
    assert job.episodes == ["e4"]
    hear(page, job, waiting(40_000))
    window.run("episode.start")
    assert len(port.of(StartEpisode)) == 1
    hear(page, job, waiting(40_001, True, asked=2))
    assert [start.seed for start in port.of(StartEpisode)] == [40_000, 40_001]
    assert window.drive.attempt.tried.text().startswith("100 %")


def test_nothing_starts_while_it_learns_and_the_next_rounds_actor_is_loaded_first(practising: Any, port: Any) -> None:
    page, job = practising()
    window = page.window_of_test
    hear(page, job, waiting(40_000))
    window.take(ready())
    port.sent.clear()
    hear(page, job, PracticeNews(Stage.LEARNING, 5, 5, 3, (True,) * 5))
    window.run("episode.start")
    assert port.sent == []
    assert "nothing moves until it is done" in window.drive.attempt.text.text()
    hear(page, job, waiting(40_005, *(True,) * 5, actor=NEXT_ACTOR, asked=6))
    window.run("episode.start")
    assert port.sent == [LoadNoisePolicy(str(NEXT_ACTOR))]
    window.take(ready(noise_policy=str(NEXT_ACTOR)))
    window.run("episode.start")
    assert port.of(StartEpisode)[0].seed == 40_005


def test_an_attempt_that_does_not_count_is_asked_for_again_with_the_reason(practising: Any, port: Any) -> None:
    page, job, window = under_way(practising)
    window.run("episode.discard")
    window.take(ready())
    hear(page, job, waiting(40_000, asked=2, problem="The last attempt does not count: it was thrown away"))
    assert "does not count: it was thrown away. Attempt 1" in window.drive.attempt.text.text()
    window.run("episode.start")
    assert [start.seed for start in port.of(StartEpisode)] == [40_000, 40_000]


def test_stopping_waits_for_the_attempt_and_leaves_driver_and_fan_as_they_were(practising: Any, port: Any) -> None:
    page, job, window = under_way(practising)
    window.run("practise.stop")
    assert not job.is_cancelled
    window.take(ready())
    assert not job.is_cancelled, "the attempt still has to be read"
    hear(page, job, waiting(40_001, True, asked=2))
    assert job.is_cancelled
    window.run("episode.start")
    assert len(port.of(StartEpisode)) == 1
    port.sent.clear()
    write_practice(job.folder, attempts=[True])
    job.finish(was_stopped=True)
    page.running.poll()
    assert port.sent == [SetDriver(Driver.PERSON), LoadNoisePolicy(None)]
    assert not window.drive.attempt.isVisible()


def test_a_practice_that_fails_in_mid_attempt_does_not_drive_on(practising: Any, port: Any) -> None:
    page, job, _window = under_way(practising)
    port.sent.clear()
    job.fail(TrainingError("'x' could not be written: No space left on device. Free some space."))
    page.running.poll()
    # In continuous pacing the policy itself would drive on.
    assert port.sent[:2] == [RequestHold(HoldReason.PRACTICE_ENDED), SetDriver(Driver.PERSON)]


def test_a_second_press_that_begins_another_episode_in_the_place_of_the_first_is_the_attempt(
    practising: Any, port: Any
) -> None:
    page, job = practising()
    window = page.window_of_test
    hear(page, job, waiting(40_000))
    window.take(ready())
    window.run("episode.start")
    window.take(driving(4))
    window.take(ready())
    window.take(driving(5))
    assert "3 of at most 40 chunks" in window.drive.attempt.text.text()
    window.take(ready())
    assert job.episodes == ["e4", "e5"]


def test_after_the_window_has_closed_the_practice_is_told_nothing(practising: Any, port: Any) -> None:
    page, job = practising()
    hear(page, job, waiting(40_000))
    page.attempts.take(ready())
    page.attempts.start()
    page.attempts.take(driving())
    page.shut()
    page.attempts.take(ready())
    assert job.is_closed
    assert job.episodes == []


def test_other_policies_are_not_put_into_the_fan_meanwhile(practising: Any, port: Any) -> None:
    page, job = practising()
    hear(page, job, waiting(40_000))
    port.sent.clear()
    page.unload()
    page.use()
    page.window_of_test.train._use_path(Path("learned/another"))
    assert port.sent == []


def test_a_policy_that_train_put_into_the_fan_makes_way_for_the_next_attempt(practising: Any, port: Any) -> None:
    page, job = practising()
    window = page.window_of_test
    hear(page, job, waiting(40_000))
    window.take(ready())
    port.sent.clear()
    window.take(ready(noise_policy="learned/another"))
    assert port.sent == [LoadNoisePolicy(str(ACTOR))]
    window.run("episode.start")
    assert not port.of(StartEpisode)
    window.take(ready())
    window.run("episode.start")
    assert len(port.of(StartEpisode)) == 1


def test_an_open_episode_is_ended_before_a_practice_begins_in_drive(make_page: Any, port: Any) -> None:  # noqa: F811
    page = make_page()
    page._on_episodes((some_infos(12), False))
    page.setup.where_choice.chosen.emit("drive")
    page.window_of_test.take(snapshot())
    page.window_of_test.run("practise.start")
    assert page.jobs == []


def test_on_a_robot_a_person_confirms_each_start_and_says_each_label(
    practising: Any, port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataclasses.replace(port.world_spec, tasks=(), is_simulated=False)
    monkeypatch.setattr(port, "world_spec", spec)
    page, job = practising(tasks=(), is_simulated=False, can_evaluate=False)
    window = page.window_of_test
    assert not page.setup.where.isVisible()
    assert job.request.task == "reach_left"
    practice = job.request.practice
    assert (practice.episodes, practice.round_episodes, practice.judged_scenes) == (20, 10, 0)
    asked: list[Any] = []
    monkeypatch.setattr(window.drive_actions, "_ask", lambda text, on_yes: asked.append((text, on_yes)))
    seen = dataclasses.replace(snapshot().observation, success=None)
    hear(page, job, waiting(40_000))
    window.take(ready(observation=seen))
    window.run("episode.start")
    assert not port.of(StartEpisode)
    ((text, on_yes),) = asked
    assert "start pose" in text
    on_yes()
    assert port.of(StartEpisode) == [StartEpisode(None, 40_000, "reach_left", most_chunks=40)]
    window.take(driving(observation=seen))
    assert "label it when the outcome is clear" in window.drive.attempt.text.text()
    # A question that is answered while it learns starts nothing.
    window.take(ready(observation=seen))
    hear(page, job, PracticeNews(Stage.LEARNING, 10, 10, 3, (True,) * 10))
    on_yes()
    assert len(port.of(StartEpisode)) == 1


def test_on_a_robot_without_recordings_the_page_says_what_to_do(make_page: Any, port: Any, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.setattr(port, "world_spec", dataclasses.replace(port.world_spec, tasks=(), is_simulated=False))
    page = make_page(tasks=(), is_simulated=False, can_evaluate=False)
    assert "its task is read from there; steer a few successes" in page.setup.problem.text.text()
    assert page.setup.problem.button.text() == "Steer in Drive"


def test_versions_of_a_practice_in_drive_are_told_by_the_attempts_they_drove(
    make_page: Any,  # noqa: F811
    qtbot: Any,
    tmp_path: Path,
) -> None:
    from tests.fakes.practice_job import point

    curve = (point(0, 0, scenes=0), point(10, 0, scenes=0, own=(5, 10)), point(20, 0, scenes=0, own=(8, 10)))
    folder = tmp_path / "data" / "practice" / "reach_left" / KIND
    practice = Practice(world="point", episodes=20, round_episodes=10, judge_every=10, judged_scenes=0)
    write_practice(folder, attempts=[True] * 20, curve=curve, practice=practice)
    for episodes in (0, 10, 20):
        (folder / "versions" / f"{episodes:04d}").mkdir(parents=True)
        (folder / "states").mkdir(exist_ok=True)
        (folder / "states" / f"{episodes:04d}.state").write_bytes((folder / "learner.state").read_bytes())
    page = make_page()
    qtbot.waitUntil(lambda: bool(page.practices.records), timeout=5000)
    page.practices.choose(folder)
    rows = [page.versions.list.topLevelItem(i) for i in range(3)]
    assert [row.text(2)[:4] for row in rows] == ["–", "80 %", "50 %"]
    assert page.versions.chosen_point == curve[2]
    assert not page.versions.back_button.isEnabled()
    page.window_of_test.run("practise.older")
    assert page.versions.back_button.isEnabled()
    page.window_of_test.run("practise.back")
    qtbot.waitUntil(lambda: page.record is not None and page.record.folder.name == f"{KIND}-2", timeout=5000)
    assert len(page.record.attempts) == 10
    assert page.is_attended


def test_labels_are_those_of_drive(practising: Any, port: Any) -> None:
    from frs_core.events import EndEpisode

    _page, job, window = under_way(practising)
    window.run("episode.failure")
    assert port.of(EndEpisode) == [EndEpisode(Outcome.FAILURE)]
    window.take(ready(episode=EpisodeStatus()))
    assert job.episodes == ["e4"]
