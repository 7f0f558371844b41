"""Session, link and the world's own loop together: presses that come late, presses while reconnecting, a scene that takes long."""

import dataclasses
import time
from collections.abc import Iterator

import pytest

from frs_core import events as ev
from frs_core.candidates.fan import build_fan
from frs_core.events import Driver, HoldReason, Pacing, Phase
from frs_core.runtime.workers import InlineWorker
from frs_core.session.arbiter import Arbiter
from frs_core.session.inbox import Inbox
from frs_core.worlds.link import InlineLink
from tests.fakes.joined import JoinedSession
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

START = ev.StartEpisode("reach_left", seed=1)
LEFT = ev.Pick("left/more")


@pytest.fixture
def chain() -> Iterator[JoinedSession]:
    """An episode with one chunk, waiting for a pick."""
    chain = JoinedSession(driver=Driver.PERSON)
    try:
        chain.work_all(12)
        chain.send(START)
        chain.work_all(8)
        chain.send(LEFT)
        chain.work_all(12)
        assert chain.engine.snapshot().episode.chunks == 1
        assert chain.engine.parts.is_offering
        yield chain
    finally:
        chain.close()


def said(chain: JoinedSession) -> str:
    assert chain.engine.parts.status.notice is not None
    return chain.engine.parts.status.notice[1]


def reached(chain: JoinedSession, layer: str) -> int:
    return sum(c.layer == layer for c in chain.crossings)


# --- how old a press may be ---------------------------------------------------------------------------------------------


ACTS = [
    (START, "The start"),
    (LEFT, "The pick"),
    (ev.HoldDirection("left/more"), "The held direction"),
    (ev.Resume(), "Resume"),
    (ev.BackOneChunk(), "Back"),
    (ev.SetDriver(Driver.SCRIPTED), "The change of driver"),
    (ev.SetPacing(Pacing.CONTINUOUS), "The change of pacing"),
]


@pytest.mark.parametrize("waits_in", ["the window", "the session's queue"])
@pytest.mark.parametrize(("act", "name"), ACTS, ids=[name for _, name in ACTS])
def test_a_press_that_is_read_late_moves_nothing_and_says_so(
    chain: JoinedSession, act: ev.Act, name: str, waits_in: str
) -> None:
    if isinstance(act, ev.StartEpisode):
        chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
        chain.work_all(3)
    if isinstance(act, ev.Resume):
        chain.send(ev.RequestHold(HoldReason.OPERATOR))
        chain.work_all(3)
    if isinstance(act, ev.HoldDirection):
        chain.send(ev.SetDriver(Driver.VLM))
    before = chain.engine.phase, reached(chain, "link")
    if waits_in == "the window":
        chain.send(dataclasses.replace(act, pressed_ns=chain.clock.monotonic_ns() - 1_100_000_000))
    else:
        chain.send(act)
        chain.clock.now += 1.1
    chain.work_all(5)
    assert (chain.engine.phase, reached(chain, "link")) == before
    assert said(chain) == f"{name} was ignored: it arrived 1.1 s after the press. Press it again"


def test_a_press_that_is_read_in_time_counts_and_so_does_what_waits_in_the_session(chain: JoinedSession) -> None:
    chain.send(dataclasses.replace(LEFT, pressed_ns=chain.clock.monotonic_ns() - 900_000_000))
    chain.work_session()
    assert chain.engine.phase is Phase.MOVING
    # Taken at once, carried out when the chunk has ended.
    chain.send(ev.RequestHold(HoldReason.OPERATOR))
    chain.work_session()
    chain.send(ev.Resume())
    chain.work_session()
    chain.clock.now += 1.5
    chain.work_all(5)
    assert chain.engine.phase is Phase.CHOOSE


def test_holds_and_releases_are_never_too_late(chain: JoinedSession) -> None:
    chain.send(ev.SetPacing(Pacing.CONTINUOUS))
    chain.send(ev.HoldDirection("left/more"))
    chain.work_session()
    assert chain.engine.parts.arbiter.held is not None
    late_ns = chain.clock.monotonic_ns() - 60_000_000_000
    chain.send(ev.HoldDirection(None, pressed_ns=late_ns))
    chain.send(ev.SetPacing(Pacing.GATED, pressed_ns=late_ns))
    chain.send(ev.SetDriver(Driver.PERSON, pressed_ns=late_ns))
    chain.work_session()
    assert chain.engine.parts.arbiter.held is None
    assert chain.engine.parts.arbiter.pacing is Pacing.GATED
    chain.send(ev.RequestHold(HoldReason.OPERATOR))
    chain.clock.now += 1.5
    chain.work_session()
    assert chain.engine.phase is Phase.HOLD


@pytest.mark.unchecked  # an engine that only notes ages
def test_what_is_sent_while_the_session_starts_waits_for_it_and_is_no_younger_for_that() -> None:
    ages: list[tuple[float, float]] = []

    class Engine:
        """Notes how old a command is said to be, and how long ago the first was put in."""

        phase = Phase.HOLD

        def handle(self, command: ev.SessionCommand, epoch: int, *, pressed_ns: int) -> None:
            now_ns = time.monotonic_ns()
            ages.append(((now_ns - pressed_ns) / 1e9, (now_ns - put_ns) / 1e9))

    inbox = Inbox(InlineLink(PointWorld()))
    inbox.put(START)
    put_ns = time.monotonic_ns()
    inbox.put(ev.Resume(pressed_ns=put_ns - 45_000_000_000))
    time.sleep(0.3)
    inbox.take(Engine(), 0.0)  # type: ignore[arg-type]
    (start, since_start), (resume, _) = ages
    assert start <= since_start - 0.3
    assert resume >= 45.0


# --- while reconnecting -------------------------------------------------------------------------------------------------


def reconnect(chain: JoinedSession) -> None:
    """Lose the world and ask for another one, which is not there yet."""
    assert chain.process is not None
    chain.process.kill()
    chain.work_session()
    assert chain.engine.phase is Phase.FAULT
    chain.send(ev.Reconnect())
    chain.work_session()
    chain.work_world()
    assert chain.engine.phase is Phase.HOLD


@pytest.mark.parametrize("pacing", Pacing)
def test_resume_while_reconnecting_is_refused_and_the_new_world_lives(chain: JoinedSession, pacing: Pacing) -> None:
    chain.send(ev.RequestHold(HoldReason.OPERATOR))
    chain.send(ev.SetPacing(pacing))
    chain.work_all(2)
    reconnect(chain)
    old = chain.link.spawned_ns
    rows = reached(chain, "world")
    chain.send(ev.Resume())
    chain.work_session()
    assert said(chain) == "The world is still starting"
    chain.work_all(12)
    assert chain.process is not None
    assert chain.process.is_alive()
    # The scene is brought back to where the old world was lost; no row follows.
    assert [c.kind for c in chain.crossings if c.layer == "world"][rows:] in (["restore"], ["reset", "restore"])
    assert chain.engine.phase is Phase.HOLD
    chain.send(ev.Resume())
    chain.work_all(6)
    fan = chain.engine.snapshot().fan
    assert fan is not None
    assert fan.observation.captured_ns >= old


def test_back_while_reconnecting_is_refused_and_the_new_world_lives(chain: JoinedSession) -> None:
    reconnect(chain)
    chain.send(ev.BackOneChunk())
    chain.work_session()
    assert said(chain) == "The world is still starting"
    chain.work_all(12)
    assert chain.process is not None
    assert chain.process.is_alive()
    shown = chain.engine.snapshot()
    assert (shown.phase, shown.episode.chunks) == (Phase.HOLD, 1)
    chain.send(ev.BackOneChunk())
    chain.work_all(6)
    assert chain.engine.snapshot().episode.chunks == 0


# --- a scene that takes long --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.3, 8.0, 25.0])
def test_a_scene_that_takes_long_trips_nothing_and_loses_nothing(seconds: float) -> None:
    chain = JoinedSession(driver=Driver.PERSON)
    try:
        chain.work_all(12)
        assert chain.process is not None
        world = chain.process.world
        assert world is not None
        reset = world.reset
        seen: list[tuple[Phase, str]] = []

        def slow(**asked: object) -> object:
            until = chain.clock.now + seconds
            while chain.clock.now < until:
                chain.clock.now += 0.1
                chain.send(ev.Heartbeat())
                for worker in chain.workers.values():
                    worker.work()
                chain.work_session()
                seen.append((chain.engine.phase, chain.engine.parts.status.detail))
            return reset(**asked)  # type: ignore[arg-type]

        world.reset = slow  # type: ignore[method-assign]
        chain.send(START)
        for _ in range(8):
            chain.send(ev.Heartbeat())
            chain.work_all()
        assert set(seen) == {(Phase.HOLD, "Setting the scene")}
        assert chain.engine.phase is Phase.CHOOSE
        chain.send(LEFT)
        for _ in range(12):
            chain.send(ev.Heartbeat())
            chain.work_all()
        shown = chain.engine.snapshot()
        assert (shown.phase, shown.episode.chunks, shown.episode.steps) == (Phase.CHOOSE, 1, 4)
        assert shown.counters["holds"] == chain.link.trips == 0
        assert shown.hold_reason is not HoldReason.WORLD_LOST
    finally:
        chain.close()


@pytest.mark.unchecked  # an engine that only notes ages
def test_a_press_from_the_future_is_as_old_as_its_sending() -> None:
    taken: list[int] = []

    class Engine:
        phase = Phase.HOLD

        def handle(self, command: ev.SessionCommand, epoch: int, *, pressed_ns: int) -> None:
            taken.append(pressed_ns)

    inbox = Inbox(InlineLink(PointWorld()))
    before = time.monotonic_ns()
    inbox.put(ev.Resume(pressed_ns=before + 3_600_000_000_000))
    inbox.put(ev.Resume(pressed_ns=before - 5))
    after = time.monotonic_ns()
    inbox._began_ns = before
    inbox.take(Engine(), 0.0)  # type: ignore[arg-type]
    assert before <= taken[0] <= after


def test_an_early_key_waits_for_its_fan_for_so_long_and_no_longer() -> None:
    now = [0.0]
    arbiter = Arbiter(
        InlineWorker(),
        choosers={},
        advisor=None,
        driver=Driver.PERSON,
        pacing=Pacing.CONTINUOUS,
        timeout_s=5.0,
        is_headless=False,
        has_full_fan=True,
        clock=lambda: now[0],
    )
    policy, observation = ToyPolicy(), PointWorld().observe()
    fan = build_fan(policy, policy.encode(observation), observation, plan=policy.default_plan)
    for waited, label in ((1.9, "up/more"), (2.1, "unsteered")):
        arbiter.latch(ev.Pick("up/more"), 0)
        now[0] += waited
        turn = arbiter.decide(fan, epoch=0)
        assert turn is not None
        assert turn.pick.label == label
    said = arbiter.overdue()
    assert said is not None
    assert "waited for longer than 2 s and was dropped" in said
    assert arbiter.overdue() is None


# --- what came between the press of a label and the disk ------------------------------------------------------------------


def test_a_label_tells_whether_a_hold_came_after_its_press_also_in_mid_chunk(chain: JoinedSession) -> None:
    chain.send(LEFT)
    chain.work_session()
    assert chain.engine.phase is Phase.MOVING
    chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
    chain.work_session()
    chain.send(ev.RequestHold(HoldReason.OPERATOR))
    chain.work_all(12)
    last = chain.engine.snapshot().ended
    assert last is not None
    assert (last.outcome, last.was_held) == (ev.Outcome.SUCCESS, True)


@pytest.mark.parametrize("is_moving", [False, True])
def test_a_hold_before_the_press_of_a_label_is_none_after_it(chain: JoinedSession, is_moving: bool) -> None:
    if is_moving:
        chain.send(LEFT)
        chain.work_session()
    chain.send(ev.RequestHold(HoldReason.OPERATOR))
    chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
    chain.work_all(12)
    last = chain.engine.snapshot().ended
    assert last is not None
    assert not last.was_held


def test_a_hold_between_the_press_of_a_label_and_its_reading_counts(chain: JoinedSession) -> None:
    chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
    chain.engine.hold(HoldReason.CAMERA_STALE)
    chain.work_all(3)
    last = chain.engine.snapshot().ended
    assert last is not None
    assert last.was_held


def test_that_the_task_looks_done_is_no_hold_against_its_label(chain: JoinedSession) -> None:
    chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
    chain.engine.hold(HoldReason.SUCCESS_SEEN)
    chain.work_all(3)
    last = chain.engine.snapshot().ended
    assert last is not None
    assert not last.was_held


def test_a_hold_while_a_label_is_written_counts_and_not_for_the_next_episode(chain: JoinedSession) -> None:
    chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
    chain.work_session()
    chain.send(ev.RequestHold(HoldReason.OPERATOR))
    chain.work_all(12)
    last = chain.engine.snapshot().ended
    assert last is not None
    assert last.was_held
    chain.send(START)
    chain.work_all(8)
    chain.send(LEFT)
    chain.work_all(12)
    chain.send(ev.EndEpisode(ev.Outcome.SUCCESS))
    chain.work_all(5)
    last = chain.engine.snapshot().ended
    assert last is not None
    assert not last.was_held
