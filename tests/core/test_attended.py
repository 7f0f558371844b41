"""Practice whose attempts a person starts: what is waited for, what counts, what a steered chunk is, and going back."""

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.learned import LearnedChooser
from frs_core.commands.calibrate import calibrate
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.errors import ConfigError
from frs_core.evaluation.arena import open_arena
from frs_core.evaluation.attended import AttendedArena
from frs_core.evaluation.monitor import Monitor, Wanted
from frs_core.evaluation.practice import Practised, run_practice
from frs_core.evaluation.setup import Setup
from frs_core.events import Driver, Outcome, SetInstruction
from frs_core.learning import Practice, TrainRequest
from frs_core.learning.dsrl import DsrlFrs
from frs_core.learning.practice_record import branch, can_branch, read_practice, request_of, with_budget
from frs_core.learning.progress import ignore_progress
from frs_core.learning.registry import find_learner, load_noise_policy
from frs_core.learning.request import Reward
from frs_core.learning.settings import DsrlFrsSettings, LearnerSettings
from frs_core.learning.store import load_table
from frs_core.learning.table_file import read_table
from frs_core.session import InlineSession
from frs_core.steering.candidates import LEARNED, Fan
from tests.core.test_practice import PRACTICE, SAC, SMALL, record_successes, request
from tests.fakes.evaluation import TASK, make_setup
from tests.fakes.world import PointWorld

ATTENDED = replace(PRACTICE, judged_scenes=0)
DSRL_FRS = DsrlFrsSettings(**SAC, fit=SMALL.imitation.fit)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steered successes to start from."""
    return record_successes(tmp_path_factory.mktemp("data"))


class OncePerson(Chooser):
    """Has a person steer the first chunk, and the learned candidate drive the others."""

    driver = Driver.LEARNED

    def __init__(self) -> None:
        self._labels = ["right/more"]

    def choose(self, fan: Fan) -> Choice:
        """Return the next one."""
        return Choice(self._labels.pop() if self._labels else LEARNED)


class OtherWords(LearnedChooser):
    """Changes the instruction after the first chunk, as a person may in Drive."""

    def __init__(self) -> None:
        self.session: InlineSession | None = None
        self._chunks = 0

    def choose(self, fan: Fan) -> Choice:
        """Return the learned candidate."""
        self._chunks += 1
        if self._chunks == 2 and self.session is not None:
            self.session._engine.handle(SetInstruction("something else"))
        return super().choose(fan)


class Person(Monitor):
    """Has every attempt that is wanted driven and recorded, and says what came of it."""

    def __init__(self, store: EpisodeStore, ended: "Queue[str]") -> None:
        self._store, self._ended, self._setup = store, ended, make_setup()
        self.wanted: list[Wanted] = []
        self.throws_away = 0
        """So many attempts are thrown away first."""
        self.steers_shallow = self.mistakes_scene = self.changes_words = 0
        """A number of attempts are steered at less than the full depth, begun in another scene, or go on with another instruction."""
        self.corrects_first = self.corrects_last = 0
        """The label of the round's first attempt is turned round when the second is wanted, that of the last while it still can be."""
        self.names: list[str] = []
        self.relabelled: list[tuple[int, bool]] = []

    def wants(self, wanted: Wanted) -> None:
        """Drive it, once."""
        if wanted in self.wanted:
            return
        self.wanted.append(wanted)
        if self.throws_away:
            self.throws_away -= 1
            self._ended.put("")
            return
        setup: Setup = self._setup
        policy = load_noise_policy(str(wanted.actor), setup.policy.spec.fingerprint)
        recorder = JournalRecorder(self._store)
        chooser, plan, scene = LearnedChooser(), None, wanted.scene
        if self.steers_shallow:
            self.steers_shallow -= 1
            chooser, plan = OncePerson(), replace(setup.policy.default_plan, depth=3)
        elif self.mistakes_scene:
            self.mistakes_scene -= 1
            scene += 1
        elif self.changes_words:
            self.changes_words -= 1
            chooser = OtherWords()
        with InlineSession(setup.world, setup.policy, noise_policy=policy, recorder=recorder, plan=plan) as session:
            if isinstance(chooser, OtherWords):
                chooser.session = session
            self.names.append(session.run_episode(chooser, task=TASK, seed=scene, max_chunks=3).name)
            if self.corrects_last:
                # As if only a person had known how it went.
                self._store._edit(self.names[-1], {"success_seen": None})
            self._ended.put(self.names[-1])
        if self.corrects_first and len(self.names) == 2:
            self._turn_round(0)

    def corrects(self, seconds_left: float) -> None:
        """Correct the last label of the first round."""
        assert seconds_left > 0.0
        if self.corrects_last and len(self.names) == 2 and not self.relabelled:
            self._turn_round(1)

    def corrected(self, seed: int, success: bool) -> None:
        """Keep what was corrected."""
        self.relabelled.append((seed, success))

    def _turn_round(self, attempt: int) -> None:
        former = self._store.info(self.names[attempt]).outcome
        self._store.relabel(self.names[attempt], Outcome.FAILURE if former is Outcome.SUCCESS else Outcome.SUCCESS)

    def close(self) -> None:
        """Free world and policy."""
        self._setup.close()


@pytest.fixture
def attended(tmp_path: Path) -> Iterator[Callable[..., tuple[Practised, Person]]]:
    """Return a function that practises with a person who starts every attempt."""
    people: list[Person] = []
    queues: list[Queue[str]] = []

    def practised(asked: TrainRequest, folder: Path, **mishaps: int) -> tuple[Practised, Person]:
        ended: Queue[str] = multiprocessing.get_context("spawn").Queue()
        person = Person(EpisodeStore(asked.root), ended)
        for mishap, count in mishaps.items():
            setattr(person, mishap, count)
        people.append(person)
        queues.append(ended)
        spec = person._setup.policy.spec

        def opens(actors: Path, monitor: Monitor) -> AttendedArena:
            return AttendedArena(asked, spec, ended=ended, folder=actors, monitor=monitor, correction_s=1.0)

        return run_practice(asked, folder, open_arena=opens, monitor=person), person

    yield practised
    for person in people:
        person.close()
    for ended in queues:
        ended.close()
        ended.join_thread()


def asked_of(
    data: Path,
    tmp_path: Path,
    *,
    practice: Practice = ATTENDED,
    settings: LearnerSettings = SMALL,
    kind: str = "pick-q",
) -> TrainRequest:
    """Return a request that starts from the two steered successes, not from attempts of an earlier test."""
    names = tuple(sorted(info.name for info in EpisodeStore(data).list())[:2])
    return replace(request(data, tmp_path / "out", practice=practice, settings=settings, kind=kind), episodes=names)


def test_a_person_starts_every_attempt_and_a_version_is_kept_after_each_round(
    tmp_path: Path, data: Path, attended: Any
) -> None:
    asked = asked_of(data, tmp_path)
    done, person = attended(asked, tmp_path / "practice", throws_away=1)
    assert [w.scene for w in person.wanted] == [700, 700, 701, 702, 703]
    assert person.wanted[1].problem == "The last attempt does not count: it was thrown away, or not recorded"
    assert [w.asked for w in person.wanted] == [1, 2, 3, 4, 5]
    assert len({w.actor for w in person.wanted}) == 2
    record = read_practice(tmp_path / "practice")
    assert [(p.episodes, p.scenes, p.own_episodes) for p in record.curve] == [(0, 0, 0), (2, 0, 2), (4, 0, 2)]
    assert record.is_finished
    assert record.best is not None
    assert record.best.episodes == 4
    assert len(record.attempts) == 4
    assert load_noise_policy(str(done.path), record.fingerprint)
    assert not list((tmp_path / "practice" / "actors").glob("*"))
    driven = read_table(tmp_path / "practice" / "episodes" / "700.table")
    assert set(driven.driver) == {"learned"}


def test_what_the_learner_would_refuse_with_its_whole_round_does_not_count_and_says_why(
    tmp_path: Path, data: Path, attended: Any
) -> None:
    asked = asked_of(data, tmp_path)
    _, person = attended(asked, tmp_path / "practice", steers_shallow=1, mistakes_scene=1, changes_words=1)
    assert [w.scene for w in person.wanted] == [700, 700, 700, 700, 701, 702, 703]
    head = "The last attempt does not count: "
    assert [w.problem for w in person.wanted[1:4]] == [
        f"{head}1 of its 3 chunks were steered at less than the full depth, so their noise is not known; set the depth to its end",
        f"{head}it was of scene 701, not of 700",
        f"{head}its instruction was changed while it ran",
    ]
    assert len(read_practice(tmp_path / "practice").attempts) == 4


@pytest.mark.parametrize(("mishap", "seed"), [("corrects_first", 700), ("corrects_last", 701)])
def test_a_label_that_is_corrected_before_its_round_is_learned_from_counts(
    tmp_path: Path, data: Path, attended: Any, mishap: str, seed: int
) -> None:
    asked = asked_of(data, tmp_path, practice=replace(ATTENDED, episodes=2))
    _, person = attended(asked, tmp_path / "practice", **{mishap: 1})
    record, index = read_practice(tmp_path / "practice"), seed - 700
    labels = [EpisodeStore(data).info(name).outcome for name in person.names]
    assert person.relabelled == [(seed, labels[index] is Outcome.SUCCESS)]
    assert record.attempts == tuple(label is Outcome.SUCCESS for label in labels)
    assert record.learned == 2
    kept = read_table(tmp_path / "practice" / "episodes" / f"{seed}.table")
    assert bool(kept.terminal.any()) is record.attempts[index]
    assert record.curve[-1].own_successes == sum(record.attempts)


def test_going_back_to_a_version_goes_on_from_there_and_leaves_the_other_as_it_is(
    tmp_path: Path, data: Path, attended: Any
) -> None:
    asked = asked_of(data, tmp_path)
    attended(asked, tmp_path / "practice")
    record = read_practice(tmp_path / "practice")
    middle = record.curve[1]
    assert can_branch(record, middle)
    again = branch(record, middle, tmp_path / "again")
    assert read_practice(tmp_path / "practice") == record
    found = read_practice(again)
    assert (found.attempts, found.curve) == (record.attempts[:2], record.curve[:2])
    more = request_of(with_budget(found, episodes=4, minutes=0.0), root=data, out=tmp_path / "other")
    _, person = attended(more, again)
    assert [w.scene for w in person.wanted] == [702, 703]
    former, now = (read_table(folder / "episodes" / "703.table") for folder in (tmp_path / "practice", again))
    np.testing.assert_array_equal(former.noise, now.noise)
    (tmp_path / "practice" / "states" / "0002.state").unlink()
    with pytest.raises(ConfigError, match="does not hold the learner as it was after 2 attempts"):
        branch(record, middle, tmp_path / "third")


def test_what_a_person_steers_counts_as_from_before_practice(tmp_path: Path, data: Path, attended: Any) -> None:
    asked = asked_of(data, tmp_path, practice=replace(ATTENDED, episodes=2), settings=DSRL_FRS, kind="dsrl-frs")
    attended(asked, tmp_path / "practice")
    driven = read_table(tmp_path / "practice" / "episodes" / "700.table")
    assert not driven.is_steered.any()
    prior, learner = load_table(asked, ignore_progress), find_learner("dsrl-frs").load()
    assert isinstance(learner, DsrlFrs)
    here = make_setup()
    learner.begin(here.policy, DSRL_FRS, prior=prior)
    here.close()
    before, near = learner.replay.prior, len(learner._cloned[1])
    assert before is not None
    half = replace(driven, driver=("person",) + ("learned",) * (driven.rows - 1)).with_outcomes([True])
    learner.learn(half)
    assert learner.replay.prior is not None
    assert learner.replay.own is not None
    assert learner.replay.prior.count == before.count + 1
    assert learner.replay.own.count == half.rows - 1
    # It was steered in an attempt that succeeded, so the actor is to stay near it as well.
    assert len(learner._cloned[1]) == near + 1


def test_a_model_cannot_judge_what_a_person_labels(tmp_path: Path, data: Path) -> None:
    asked = asked_of(data, tmp_path, practice=replace(ATTENDED, reward=Reward.VLM, vlm="http://127.0.0.1:1/v1"))
    here = make_setup()
    ended: Queue[str] = multiprocessing.get_context("spawn").Queue()
    with pytest.raises(ConfigError, match="A person labels these attempts"):
        AttendedArena(asked, here.policy.spec, ended=ended, folder=tmp_path / "actors", monitor=Monitor())
    here.close()
    ended.close()


class Robot(PointWorld):
    """Says that it is a real robot, and counts how often it was asked for motion."""

    motions = 0

    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, is_simulated=False)
        type(self).motions = 0

    def step(self, *arguments: Any, **options: Any) -> Any:
        """Count."""
        type(self).motions += 1
        return super().step(*arguments, **options)


def test_nothing_headless_drives_a_real_robot(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    practice = replace(PRACTICE, world="tests.core.test_attended:Robot")
    with pytest.raises(ConfigError, match="is a real robot, and nobody would be at its Hold"):
        open_arena(asked_of(data, tmp_path, practice=practice))
    here = make_setup()
    monkeypatch.setattr("frs_core.policies.load_policy", lambda name: here.policy)
    with pytest.raises(ConfigError, match="is a real robot, and nobody would be at its Hold"):
        calibrate(world=practice.world, observations=1, out=tmp_path)
    here.close()
    assert Robot.motions == 0
