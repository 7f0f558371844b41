"""A learned driver that is unsure stops at the chunk boundary, is helped by whoever picks, and goes on when it is handed back to."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from frs_core import events as ev
from frs_core.choosers.base import Doubts
from frs_core.choosers.learned import LearnedChooser
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.records import MemoryRecorder
from frs_core.episodes.summary import summarise_versions
from frs_core.errors import ConfigError
from frs_core.events import Driver, HoldReason, Outcome, Phase, Snapshot
from frs_core.session import InlineSession
from frs_core.session.options import SessionOptions
from frs_core.steering.candidates import LEARNED, Doubt
from tests.core.test_fan import FixedNoise
from tests.fakes.operator import PointOperator
from tests.fakes.policy import ToyPolicy
from tests.fakes.session import HandSession
from tests.fakes.world import PointWorld

ROWS = ToyPolicy().spec.execute_rows
WHY = "it has been here before"


class UnsureAt(Doubts):
    """Unsure at the beginning of some chunks."""

    def __init__(self, chunks: Collection[int]) -> None:
        self.chunks, self.begun = chunks, 0

    def begin(self) -> None:
        self.begun += 1

    def judge(self, *, step: int, features: object, proprio: object, noise: object, spread: float | None) -> Doubt:
        return Doubt((WHY,) if step // ROWS in self.chunks else ())


def unsure_policy(*chunks: int) -> FixedNoise:
    policy = FixedNoise(np.zeros((8, 7)))
    policy.doubts = UnsureAt(chunks)
    return policy


def driven(*chunks: int, asks: bool = True) -> HandSession:
    """Return a session that the learned policy drives, up to its first call or as far as 200 ticks go."""
    session = HandSession(options=SessionOptions(driver=Driver.LEARNED, asks_for_help=asks))
    session.engine.set_noise_policy(unsure_policy(*chunks))
    session.settle()
    session.engine.handle(ev.StartEpisode("reach_up", seed=1))
    session.step_until(lambda s: bool(s.call) or s.episode.chunks >= 5)
    return session


def until(session: HandSession, chunks: int) -> Snapshot:
    return session.step_until(lambda s: s.episode.chunks >= chunks)


def test_where_it_is_unsure_it_waits_with_the_fan_offered_and_the_episode_open() -> None:
    session = driven(2)
    snapshot = session.settle()
    assert (snapshot.phase, snapshot.call, snapshot.episode.chunks) == (Phase.CHOOSE, WHY, 2)
    assert snapshot.hold_reason is None
    assert snapshot.fan is not None
    assert not snapshot.is_fan_stale
    assert LEARNED in snapshot.fan
    assert not snapshot.may_move
    assert session.wait(30.0).episode.chunks == 2


def test_a_person_steers_as_long_as_they_like_and_hands_back() -> None:
    session = driven(2)
    for chunks in (3, 4):
        session.send(ev.Pick("up/more"))
        snapshot = session.settle()
        assert (snapshot.call, snapshot.episode.chunks) == (WHY, chunks)
    session.engine.handle(ev.HandBack())
    assert until(session, 6).call == ""
    said = [(c.picked, c.driver, c.is_correction, c.called) for c in session.chunks[:6]]
    assert said == [
        *[(LEARNED, Driver.LEARNED, False, "")] * 2,
        ("up/more", Driver.PERSON, True, WHY),
        ("up/more", Driver.PERSON, True, ""),
        *[(LEARNED, Driver.LEARNED, False, "")] * 2,
    ]
    assert session.engine.snapshot().counters["calls"] == 1


def test_handed_back_without_steering_it_takes_its_own_choice_and_may_ask_again_later() -> None:
    session = driven(2, 3)
    session.send(ev.HandBack())
    snapshot = session.settle()
    assert (snapshot.call, snapshot.episode.chunks) == (WHY, 3)
    assert (session.chunks[2].picked, session.chunks[2].is_correction, session.chunks[2].called) == (
        LEARNED,
        False,
        WHY,
    )


def test_nobody_who_has_not_asked_is_handed_back_to() -> None:
    session = driven()
    session.engine.handle(ev.HandBack())
    notice = session.engine.snapshot().notice
    assert notice is not None
    assert "asked for help" in notice[1]


def test_asking_can_be_switched_off() -> None:
    session = driven(2, asks=False)
    assert not session.engine.snapshot().asks_for_help
    assert [c.called for c in session.chunks[:4]] == [""] * 4
    session.engine.handle(ev.SetHelp(True))
    assert session.engine.snapshot().asks_for_help


def test_a_hold_does_not_answer_a_call_and_an_old_hand_back_moves_nothing() -> None:
    session = driven(2)
    epoch = session.engine.parts.link.epoch
    session.send(ev.RequestHold(HoldReason.OPERATOR))
    session.engine.handle(ev.HandBack(), epoch)
    snapshot = session.send(ev.Resume())
    assert (snapshot.phase, snapshot.call, snapshot.episode.chunks) == (Phase.CHOOSE, WHY, 2)


def test_a_call_ends_with_its_driver_and_with_its_episode() -> None:
    session = driven(2)
    assert session.send(ev.SetDriver(Driver.PERSON)).call == ""
    session = driven(2)
    assert session.send(ev.EndEpisode(Outcome.FAILURE)).call == ""


def test_every_episode_is_judged_from_its_beginning() -> None:
    session = driven(2)
    policy = unsure_policy()
    session.engine.set_noise_policy(policy)
    session.send(ev.EndEpisode(Outcome.FAILURE))
    session.engine.handle(ev.StartEpisode("reach_up", seed=2))
    session.step_until(lambda s: s.episode.chunks == 1)
    assert isinstance(policy.doubts, UnsureAt)
    assert policy.doubts.begun == 1


def test_while_a_person_drives_picks_are_compared_with_what_the_noise_policy_would_pick() -> None:
    session = HandSession()
    session.send(ev.StartEpisode("reach_up", seed=1))
    fan = session.settle().fan
    assert fan is not None
    assert fan.shadow == ""
    # A noise policy that would do what "left" stands for.
    session.engine.set_noise_policy(FixedNoise(fan["left/more"].noise))
    snapshot = session.settle()
    assert snapshot.fan is not None
    assert snapshot.fan.shadow == "left/more"
    assert session.send(ev.Pick("left/more")).shadow == (1, 1)
    snapshot = session.settle()
    assert snapshot.fan is not None
    other = next(c.label for c in snapshot.fan.candidates if c.label not in (LEARNED, snapshot.fan.shadow))
    assert session.send(ev.Pick(other)).shadow == (1, 2)
    assert session.send(ev.Pick(LEARNED)).shadow == (2, 3)
    session.engine.set_noise_policy(unsure_policy())
    assert session.settle().shadow == (0, 0)


def test_headless_a_helper_answers_a_call_with_one_chunk() -> None:
    world, recorder = PointWorld(), MemoryRecorder()
    session = InlineSession(
        world,
        ToyPolicy(),
        noise_policy=unsure_policy(1),
        helper=PointOperator(world),
        recorder=recorder,
        full_fan=False,
    )
    session.run_episode(LearnedChooser(), task="reach_up", seed=1, max_chunks=5)
    chunks = recorder.episodes[0].main_line
    assert [bool(c.called) for c in chunks[:5]] == [False, True, False, False, False][: len(chunks)]
    assert [c.is_correction for c in chunks] == [bool(c.called) for c in chunks]
    assert all((c.picked == LEARNED) != c.is_correction for c in chunks)


def test_a_helper_may_steer_several_chunks_and_twice_as_many_after_the_next_call() -> None:
    world, recorder = PointWorld(), MemoryRecorder()
    session = InlineSession(
        world,
        ToyPolicy(),
        noise_policy=unsure_policy(*range(9)),
        helper=PointOperator(world),
        helped_chunks=2,
        recorder=recorder,
    )
    session.run_episode(LearnedChooser(), task="reach_up", seed=1, max_chunks=5)
    chunks = recorder.episodes[0].main_line
    assert len(chunks) >= 3
    assert [bool(c.called) for c in chunks] == [True, False, True, False, False][: len(chunks)]
    assert all(c.is_correction for c in chunks)


def test_headless_without_a_helper_nobody_is_asked() -> None:
    recorder = MemoryRecorder()
    session = InlineSession(PointWorld(), ToyPolicy(), noise_policy=unsure_policy(1), recorder=recorder)
    session.run_episode(LearnedChooser(), task="reach_up", seed=1, max_chunks=3)
    assert {c.picked for c in recorder.episodes[0].main_line} == {LEARNED}


def test_that_it_asked_and_why_is_in_the_episode_on_disk(tmp_path: Path) -> None:
    world, store = PointWorld(), EpisodeStore(tmp_path)
    session = InlineSession(
        world, ToyPolicy(), noise_policy=unsure_policy(1), helper=PointOperator(world), recorder=JournalRecorder(store)
    )
    done = session.run_episode(LearnedChooser(), task="reach_up", seed=1, max_chunks=3)
    episode = store.open(done.name)
    assert [episode.called(i) for i in episode.main_line[:2]] == ["", WHY]
    assert [episode.chunk(i).called for i in episode.main_line[:2]] == ["", WHY]
    session = InlineSession(PointWorld(), ToyPolicy(), noise_policy=unsure_policy(), recorder=JournalRecorder(store))
    quiet = store.open(session.run_episode(LearnedChooser(), task="reach_up", seed=1, max_chunks=2).name)
    assert not quiet.arrays.has("chunks/called")
    (row,) = summarise_versions(store.list())
    assert (row.noise_policies, row.calls, row.corrections) == (("fixed",), 1, 1)
    assert row.chunks == len(episode.main_line) + len(quiet.main_line)
    assert row.cells[5] == "0.5"
    store.trim(episode.name, 2, 0)
    assert summarise_versions(store.list())[0].calls == 0
    assert quiet.called(0) == ""


def named(name: str) -> FixedNoise:
    policy = unsure_policy()
    policy.name = name
    return policy


def with_two_versions(driver: Driver = Driver.LEARNED) -> HandSession:
    """Return a session whose episode has just begun with version one in the fan; others are loaded by their names."""
    session = HandSession(options=SessionOptions(driver=driver))
    session.engine.parts.fans._maker._load_noise_policy = lambda path, _policy: named(path)
    session.engine.set_noise_policy("one")
    session.settle()
    session.engine.handle(ev.StartEpisode("reach_up", seed=1))
    session.step_until(lambda s: s.phase is Phase.CHOOSE and not s.is_fan_stale)
    return session


def test_a_version_that_waits_changes_nothing_of_an_open_episode_and_drives_the_next() -> None:
    session = with_two_versions()
    session.step_until(lambda s: s.episode.chunks >= 2)
    session.engine.handle(ev.LoadNoisePolicy("two", waits=True))
    snapshot = session.step_until(lambda s: s.episode.chunks >= 4)
    assert snapshot.noise_policy == "one"
    session.engine.handle(ev.EndEpisode(Outcome.SUCCESS))
    assert session.step_until(lambda s: s.noise_policy == "two").episode.number == 0
    (recorded,) = session.recorder.episodes
    assert {c.noise_policy for c in recorded.chunks} == {"one"}
    session.engine.handle(ev.StartEpisode("reach_up", seed=2))
    session.step_until(lambda s: s.episode.chunks >= 1)
    assert session.chunks[0].noise_policy == "two"
    assert session.recorder.open_episode is not None
    assert session.recorder.open_episode.meta.noise_policy == "two"


def test_a_version_that_is_replaced_while_a_chunk_moves_ends_that_chunk_and_picks_no_other() -> None:
    session = with_two_versions()
    session.step_until(lambda s: s.phase is Phase.MOVING)
    moving = session.engine.parts.motion.chunk
    session.engine.handle(ev.LoadNoisePolicy("two"))
    assert session.engine.parts.motion.chunk is moving
    session.step_until(lambda s: s.episode.chunks >= 3)
    assert [c.noise_policy for c in session.chunks[:3]] == ["one", "two", "two"]


def test_nothing_is_picked_from_the_fan_of_a_version_that_was_left() -> None:
    session = with_two_versions(Driver.PERSON)
    session.inference.is_paused = True
    session.engine.handle(ev.LoadNoisePolicy("two"))
    session.engine.handle(ev.Pick(LEARNED))
    snapshot = session.settle()
    assert (snapshot.phase, snapshot.is_fan_stale, snapshot.episode.chunks) == (Phase.CHOOSE, True, 0)
    session.inference.is_paused = False
    assert session.step_until(lambda s: not s.is_fan_stale).noise_policy == "two"
    session.engine.handle(ev.Pick(LEARNED))
    session.step_until(lambda s: s.episode.chunks == 1)
    assert session.chunks[0].noise_policy == "two"


def test_a_version_that_cannot_be_loaded_is_a_notice_and_the_present_one_drives_on() -> None:
    def fail(path: str, _policy: object) -> FixedNoise:
        raise ConfigError(f"'{path}' is torn. Train it again.")

    session = with_two_versions()
    session.engine.parts.fans._maker._load_noise_policy = fail
    session.engine.handle(ev.LoadNoisePolicy("two"))
    snapshot = session.step_until(lambda s: s.episode.chunks >= 2)
    assert (snapshot.noise_policy, snapshot.hold_reason) == ("one", None)
    assert snapshot.notice is not None
    assert "torn" in snapshot.notice[1]


def test_an_episode_that_two_versions_drove_says_so_by_chunk_and_has_a_row_of_its_own(tmp_path: Path) -> None:
    session = with_two_versions()
    session.step_until(lambda s: s.episode.chunks >= 1)
    session.engine.handle(ev.LoadNoisePolicy("two"))
    session.step_until(lambda s: s.episode.chunks >= 3)
    session.engine.handle(ev.EndEpisode(Outcome.FAILURE))
    session.settle()
    (kept,) = session.recorder.episodes
    store, recorder = EpisodeStore(tmp_path), JournalRecorder(EpisodeStore(tmp_path))
    name = recorder.begin(kept.meta)
    for chunk in kept.chunks:
        recorder.chunk(chunk)
    recorder.end(Outcome.FAILURE)
    versions = [c.noise_policy for c in kept.chunks]
    assert versions[0] == "one"
    assert versions[-1] == "two"
    episode = store.open(name)
    assert [episode.chunk(i).noise_policy for i in range(len(versions))] == versions
    (row,) = summarise_versions(store.list())
    assert row.noise_policies == ("one", "two")
    assert row.cells[0] == "one → two"
    store.trim(name, versions.count("one"), 0)
    assert store.list()[0].noise_policies == ("two",)


def test_older_episodes_that_name_no_version_are_shown_as_such(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    session = InlineSession(PointWorld(), ToyPolicy(), noise_policy=unsure_policy(), recorder=JournalRecorder(store))
    session.run_episode(LearnedChooser(), task="reach_up", seed=1, max_chunks=2)
    (info,) = store.list()
    (row,) = summarise_versions([replace(info, noise_policies=())])
    assert row.cells[0] == "not recorded"
