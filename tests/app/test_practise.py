"""The Practise layout: what it starts from, what it shows, how it stops and continues, what is in the way."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.facts import Facts
from app.names import policy_name
from app.qt import Qt
from app.views.practise.budget import PRESETS, Budget, continued, rest_in_words
from app.views.practise.live import left_in_words
from app.views.practise.start import (
    Prior,
    new_folder,
    new_request,
    policy_folder,
    prior_of,
    tasks_of,
    why_not,
    why_not_attended,
    why_not_continued,
    why_not_from,
)
from app.views.practise.words import problem_of
from frs_core.episodes import EpisodeInfo
from frs_core.errors import ConfigError, EpisodeError, FingerprintMismatch, TrainingError
from frs_core.evaluation.practice_job import PracticeNews, Stage
from frs_core.events import LoadNoisePolicy, Outcome
from frs_core.learning import Acts, JobState, LearnerSettings, LearnerSpec, Need, Practice, find_learner, learners
from frs_core.learning.practice_record import PracticeRecord, read_practice
from frs_core.policies import NamedPolicy
from tests.app.test_review import WAIT
from tests.fakes.practice_job import FakeJob, point, some_news, write_practice
from tests.fakes.snapshots import snapshot

TASK = "reach_left"
KIND = next(row.id for row in learners().values() if row.practises)
CURVE = (point(0, 8), point(25, 15, own=(14, 25)), point(50, 13, own=(17, 25)))


def info(number: int, outcome: Outcome, *, task: str = TASK, fingerprint: str = "toy-1") -> EpisodeInfo:
    """Return a recorded episode."""
    return EpisodeInfo(f"{number:03}", Path(f"{number:03}"), outcome, task=task, fingerprint=fingerprint)


def some_infos(successes: int, failures: int = 0, **fields: Any) -> tuple[EpisodeInfo, ...]:
    """Return recorded episodes."""
    outcomes = [Outcome.SUCCESS] * successes + [Outcome.FAILURE] * failures
    return tuple(info(number, outcome, **fields) for number, outcome in enumerate(outcomes))


@pytest.fixture
def make_page(make_window: Any, tmp_path: Path) -> Any:
    """Return a function that opens Practise with fake jobs; the page's jobs are in `page.jobs`."""

    def make(**facts: Any) -> Any:
        usual = {
            "tasks": (TASK, "reach_up"),
            "can_evaluate": True,
            "generalist": NamedPolicy("toy"),
            "fingerprint": "toy-1",
            "root": tmp_path / "data",
        }
        window = make_window(**{**usual, **facts})
        page = window.practise
        page.jobs = []

        def made(request: Any, folder: Path, attended: Any) -> Any:
            page.jobs.append(FakeJob(request, folder, attended))
            return page.jobs[-1]

        page.running.make_job = made
        window.show_layout("practise")
        page.window_of_test = window
        return page

    return make


def test_what_a_practice_starts_from_is_counted_and_others_are_left_out() -> None:
    infos = (*some_infos(2, 1), info(7, Outcome.SUCCESS, task="reach_up"), info(8, Outcome.SUCCESS, fingerprint="x"))
    prior = prior_of(infos, TASK, fingerprint="toy-1")
    assert prior == Prior(("000", "001", "002"), 2, 1, 1)
    assert prior.sentence == ("Starts from 2 successes and 1 failure; 1 episode of another policy left out")


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        ((), "No episode of this task has been recorded"),
        (some_infos(0, 3), "None of 3 recorded episodes of this task is a success"),
        (some_infos(4, fingerprint="x"), "What was recorded of this task (4 episodes) is of another policy"),
    ],
)
def test_too_few_episodes_are_one_sentence_and_the_way_out(infos: tuple[EpisodeInfo, ...], words: str) -> None:
    problem = why_not_from(find_learner(KIND), prior_of(infos, TASK, fingerprint="toy-1"))
    assert problem is not None
    assert problem.text.startswith(words)
    assert (problem.action, problem.button) == ("layout.drive", "Steer in Drive")
    assert why_not_from(find_learner(KIND), prior_of(some_infos(1), TASK, fingerprint="toy-1")) is None


def test_a_learner_that_needs_no_noises_starts_from_nothing() -> None:
    row = LearnerSpec("own", "Own", "Tries", "own:Own", LearnerSettings, Acts.NOISE, frozenset({Need.ENVIRONMENT}))
    assert why_not_from(row, Prior()) is None


def test_tasks_in_words_are_those_of_recordings_and_become_folders(tmp_path: Path) -> None:
    robot = Facts("droid", "toy", is_simulated=False, fingerprint="toy-1")
    towel = dataclasses.replace(info(0, Outcome.SUCCESS), task=None, instruction="fold the towel/cloth", world="droid")
    other = dataclasses.replace(towel, name="001", fingerprint="x", instruction="stack the cups")
    assert tasks_of(robot, (towel, other)) == ["fold the towel/cloth"]
    assert prior_of((towel, other), "fold the towel/cloth", fingerprint="toy-1").names == ("000",)
    assert new_folder(tmp_path, "fold the towel/cloth", KIND) == tmp_path / "practice" / "fold_the_towel_cloth" / KIND


def test_what_keeps_from_practising_at_all_is_one_sentence() -> None:
    rows, facts = tuple(learners().values()), Facts("point", "toy", tasks=(TASK,))
    attended = why_not(facts, rows, is_attended=True, has_tasks=True)
    assert attended is not None
    assert attended.text == "The policy has not been loaded yet"
    background = why_not(facts, rows, is_attended=False, has_tasks=True)
    assert background is not None
    assert "choose In Drive" in background.text
    assert why_not_attended(dataclasses.replace(find_learner(KIND), acts=Acts.CHUNK)) is not None


def test_a_practice_has_the_windows_options_and_goes_on_with_the_same_ones_only(tmp_path: Path) -> None:
    corner = np.zeros(3)
    policy = NamedPolicy("toy", {"speed": 0.2, "token": "s3cret"}, "joint_velocity")
    facts = Facts("point", "toy", root=tmp_path, generalist=policy, world_options={"delay": 0.5, "loud": True})
    facts.workspace = (corner, corner)
    row = find_learner(KIND)
    asked = new_request(facts, row, TASK, Prior(), budget=Budget.ROUNDS, folder=tmp_path / TASK / KIND)
    assert asked.policy == policy
    assert asked.practice is not None
    assert asked.practice.action_space == "joint_velocity"
    record = PracticeRecord(tmp_path, KIND, TASK, policy.stored, practice=asked.practice)
    assert why_not_continued(record, facts, row, is_attended=False) is None
    facts.generalist = NamedPolicy("toy", {}, "joint_velocity")
    problem = why_not_continued(record, facts, row, is_attended=False)
    assert problem is not None
    assert problem.text == "It was practised with option speed 0.2 of the policy, this window has no options"
    before = dataclasses.replace(record, has_policy_options=False)
    assert why_not_continued(before, facts, row, is_attended=False) is None
    facts.world_options = {"delay": 0.1, "loud": True}
    problem = why_not_continued(before, facts, row, is_attended=False)
    assert problem is not None
    assert "options delay 0.5, loud True of the world, this window has options delay 0.1" in problem.text


@pytest.mark.parametrize(
    ("error", "button"),
    [
        (TrainingError("'x' could not be written: No space left on device. Free some space."), "Continue"),
        (ConfigError("'x' holds another practice: its discount was 1. Choose another."), "New practice"),
        (FingerprintMismatch("Episode 'x' is of another policy."), "New practice"),
        (EpisodeError("Episode 'x' does not exist."), "Open Review"),
    ],
)
def test_every_error_has_a_button(error: Any, button: str) -> None:
    assert problem_of(error).button == button


def test_an_unfinished_practice_keeps_its_budget_and_a_finished_one_gets_more(tmp_path: Path) -> None:
    write_practice(tmp_path / TASK / KIND, attempts=[True] * 37, curve=CURVE[:1])
    record = read_practice(tmp_path / TASK / KIND)
    assert rest_in_words(record, Budget.MINUTES) == "63 of 100 attempts left"
    assert continued(record, Budget.MINUTES) == record
    done = dataclasses.replace(record, practice=dataclasses.replace(record.practice, episodes=37, judge_every=0))
    assert continued(done, Budget.ATTEMPTS).practice.episodes == 137
    assert continued(done, Budget.MINUTES).practice.minutes == 25.0
    assert rest_in_words(done, Budget.ROUNDS) == "It is finished; continuing adds 2 rounds of 10"


def test_presets_are_practices_that_can_be_asked_for() -> None:
    for preset in PRESETS.values():
        assert preset.practice.judge_every > 0
    assert PRESETS[Budget.ROUNDS].practice == Practice(episodes=20, round_episodes=10, judge_every=10)


def test_folders_and_names(tmp_path: Path) -> None:
    first = new_folder(tmp_path, TASK, KIND)
    assert first == tmp_path / "practice" / TASK / KIND
    first.mkdir(parents=True)
    assert new_folder(tmp_path, TASK, KIND).name == f"{KIND}-2"
    assert policy_name(first / "versions" / "0025") == f"reach-left-{KIND} after 25 attempts"
    assert policy_name(tmp_path / "learned" / "mug") == "mug"
    # Tasks of two suites that have the same number are told apart, wherever the practice was begun.
    for suite in ("libero_90", "libero_goal"):
        name = f"{suite.replace('_', '-')}-3-{KIND}"
        for folder in (new_folder(tmp_path, f"{suite}/3", KIND), tmp_path / "practice" / suite / "3" / KIND):
            assert policy_name(folder / "versions" / "0025") == f"{name} after 25 attempts"
            assert policy_folder(tmp_path, folder).name == name


@pytest.mark.parametrize(
    ("seconds", "words"), [(float("nan"), ""), (0.0, "about 1 s left"), (200.0, "about 4 min left")]
)
def test_time_left(seconds: float, words: str) -> None:
    assert left_in_words(seconds) == words


def test_a_practice_runs_from_start_to_use_it(make_page: Any, port: Any, qtbot: Any) -> None:
    page = make_page()
    page._on_episodes((some_infos(2, 1), False))
    assert page.setup.prior.text() == "Starts from 2 successes and 1 failure"
    assert "10 successes are usual" in page.setup.note.text()
    page.window_of_test.run("practise.start")
    (job,) = page.jobs
    assert job.request.kind == KIND
    assert job.request.episodes == ("000", "001", "002")
    assert job.request.practice.world == "point"
    assert not page.setup.start_button.isEnabled()
    write_practice(job.folder, attempts=[True, False, True], curve=CURVE[:2])
    job.tell(some_news([True, False, True], CURVE[:2]))
    page.running.poll()
    qtbot.waitUntil(lambda: page.practices.topLevelItemCount() == 1, timeout=WAIT)
    assert not page.setup.start_button.isEnabled()
    assert page.live.stage.text() == "Practising: 2 of 5 attempts of this round done"
    assert page.live.progress.text() == "3 of 100 attempts, about 3 min left"
    assert page.live.recent.text.startswith("67 % (")
    assert page.live.best.text == "75 % (53–89, n = 20)"
    assert page.live.last.text() == "Attempt on scene 40003: ✔ success after 12 chunks"
    assert page.versions.list.topLevelItemCount() == 2
    write_practice(job.folder, attempts=[True] * 100, curve=CURVE)
    job.finish()
    page.running.poll()
    assert job.is_closed
    qtbot.waitUntil(lambda: page.record is not None and len(page.record.attempts) == 100, timeout=WAIT)
    assert page.versions.chosen == job.folder / "versions" / "0025"
    page.window_of_test.run("practise.use")
    assert port.of(LoadNoisePolicy) == [LoadNoisePolicy(str(job.folder / "versions" / "0025"))]
    page.window_of_test.take(snapshot(noise_policy=str(job.folder / "versions" / "0025")))
    assert page.versions.list.topLevelItem(1).text(0) == "★"
    assert page.versions.in_use_text.text() == f"★ reach-left-{KIND} after 25 attempts is in the fan"
    page.window_of_test.run("practise.older")
    page.window_of_test.run("practise.use")
    assert port.of(LoadNoisePolicy)[-1] == LoadNoisePolicy(str(job.folder / "versions" / "0000"))
    page.window_of_test.run("practise.older")
    assert "There is no older version" in page.window_of_test.toasts.texts
    page.window_of_test.run("practise.unload")
    assert port.of(LoadNoisePolicy)[-1] == LoadNoisePolicy(None)


def test_stop_asks_the_job_and_the_practice_can_continue(make_page: Any, qtbot: Any, tmp_path: Path) -> None:
    page = make_page()
    page._on_episodes((some_infos(12), False))
    page.window_of_test.run("practise.start")
    (job,) = page.jobs
    page.window_of_test.run("practise.stop")
    assert job.is_cancelled
    assert not page.setup.stop_button.isEnabled()
    job.tell(some_news([True]))
    page.running.poll()
    assert page.live.stage.text().startswith("Stopping after the attempt in progress")
    write_practice(job.folder, attempts=[True] * 30, curve=CURVE[:2])
    job.finish(was_stopped=True)
    page.running.poll()
    qtbot.waitUntil(lambda: page.record is not None, timeout=WAIT)
    assert page.setup.start_button.text() == "▶ Continue"
    assert page.setup.note.text() == "70 of 100 attempts left"
    page.window_of_test.run("practise.start")
    again = page.jobs[1]
    assert again.folder == job.folder
    assert again.request.episodes == ("one", "two")
    assert again.request.practice.episodes == 100


def test_an_unfinished_practice_is_shown_when_the_page_opens(make_page: Any, qtbot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "practice" / "reach_up" / KIND
    write_practice(folder, attempts=[True, False] * 6, curve=CURVE[:1])
    page = make_page()
    qtbot.waitUntil(lambda: page.record is not None, timeout=WAIT)
    assert page.setup.chosen_task == "reach_up"
    assert page.live.stage.text() == f"reach up, {find_learner(KIND).title}: stopped after 12 attempts, 5 min"
    assert page.setup.note.text() == "88 of 100 attempts left"
    page.window_of_test.run("practise.new")
    assert page.record is None
    assert page.setup.start_button.text() == "▶ Practise"
    row = page.practices.visualItemRect(page.practices.topLevelItem(0)).center()
    qtbot.mouseClick(page.practices.viewport(), Qt.MouseButton.LeftButton, pos=row)
    assert page.record is not None
    page.window_of_test.run("practise.new")
    page.window_of_test.run("practise.next")
    assert page.record is not None


def test_a_practice_of_another_policy_cannot_continue(make_page: Any, qtbot: Any, tmp_path: Path) -> None:
    write_practice(tmp_path / "data" / "practice" / TASK / KIND, attempts=[True], curve=CURVE[:1], fingerprint="x")
    page = make_page()
    qtbot.waitUntil(lambda: page.record is not None, timeout=WAIT)
    assert not page.setup.start_button.isEnabled()
    assert "another policy" in page.setup.problem.text.text()
    assert page.setup.problem.button.text() == "New practice"
    assert not page.new_button.isVisible(), "it is offered once"


def test_a_failed_job_is_told_with_its_button_and_can_continue(make_page: Any, qtbot: Any) -> None:
    page = make_page()
    page._on_episodes((some_infos(12), False))
    page.window_of_test.run("practise.start")
    (job,) = page.jobs
    write_practice(job.folder, attempts=[True] * 3)
    text = "'learner.state' could not be written: No space left on device. Free some space and start it again."
    job.fail(TrainingError(text))
    page.running.poll()
    qtbot.waitUntil(lambda: page.record is not None, timeout=WAIT)
    assert page.setup.problem.text.text() == "⚠ 'learner.state' could not be written: No space left on device."
    assert page.setup.problem.text.toolTip().startswith("Free some space")
    page.setup.problem.button.click()
    assert len(page.jobs) == 2
    assert page.jobs[1].folder == job.folder


def test_closing_the_window_ends_the_job(make_page: Any) -> None:
    page = make_page()
    page._on_episodes((some_infos(12), False))
    page.window_of_test.run("practise.start")
    page.window_of_test.close()
    assert page.jobs[0].is_closed


def test_nothing_recorded_disables_start_and_says_why(make_page: Any) -> None:
    page = make_page()
    assert not page.setup.start_button.isEnabled()
    assert page.setup.problem.isVisible()
    page.window_of_test.run("practise.start")
    assert page.jobs == []
    page.setup.problem.button.click()
    assert page.window_of_test.layout_name == "drive"


def test_a_policy_of_actions_cannot_join_the_fan(make_page: Any, port: Any, monkeypatch: Any, tmp_path: Path) -> None:
    page = make_page()
    page.versions.show_versions(tmp_path, CURVE)
    row = dataclasses.replace(find_learner(KIND), acts=Acts.CHUNK)
    monkeypatch.setattr("app.views.practise.page.find_learner", lambda _name: row)
    monkeypatch.setattr(type(page), "_kind", KIND)
    page.use()
    assert not port.of(LoadNoisePolicy)
    assert any("cannot join the fan" in text for text in page.window_of_test.toasts.texts)


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_is_told_in_words(make_page: Any, stage: Stage) -> None:
    page = make_page()
    page.live.show_news(PracticeNews(stage, 1, 5, 1), Practice(episodes=10_000, minutes=20.0))
    assert page.live.stage.text()
    assert page.live.attempts.text == "0"


def test_the_state_of_a_job_is_that_of_a_training(make_page: Any) -> None:
    page = make_page()
    assert not page.is_practising
    page.running.job = FakeJob.__new__(FakeJob)
    page.running.job.state = JobState.RUNNING
    assert page.is_practising
    page.running.job = None
