"""The live session: threads, time-outs and wake-ups, with the world in the same process."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from frs_core import events as ev
from frs_core.events import HoldReason, Outcome, Phase, Snapshot
from frs_core.session import LiveSession, SessionOptions
from frs_core.session.episode_cycle import EpisodeCycle
from frs_core.worlds.link import InlineLink
from tests.fakes.blocking import HangingPolicy
from tests.fakes.policy import ToyPolicy
from tests.fakes.session import FailingPolicy, FullDisk
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

"""Longest wait of a test; reached only when it fails."""


@pytest.fixture
def recorder() -> FullDisk:
    return FullDisk()


def live(policy: ToyPolicy, recorder: FullDisk, **options: float) -> LiveSession:
    link = InlineLink(PointWorld(), step_images=True, snapshots=True)
    return LiveSession(link, policy, recorder=recorder, options=SessionOptions(**{"act_life_s": LONG_S, **options}))  # type: ignore[arg-type]


@pytest.fixture
def session(recorder: FullDisk) -> Iterator[LiveSession]:
    with live(ToyPolicy(), recorder) as session:
        yield session


def is_offering(chunks: int) -> Callable[[Snapshot], bool]:
    def check(s: Snapshot) -> bool:
        return s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale and s.episode.chunks == chunks

    return check


def drive(session: LiveSession, *labels: str) -> None:
    session.send(ev.StartEpisode("reach_left", seed=1))
    for i, label in enumerate(labels):
        session.wait_for(is_offering(i), timeout_s=LONG_S)
        session.send(ev.Pick(label, pressed_ns=time.monotonic_ns()))
    session.wait_for(is_offering(len(labels)), timeout_s=LONG_S)


def test_a_person_drives_labels_and_the_episode_is_kept(session: LiveSession, recorder: FullDisk) -> None:
    drive(session, "left/more", "left/less")
    session.send(ev.EndEpisode(Outcome.SUCCESS))
    session.wait_for(lambda s: s.hold_reason is HoldReason.EPISODE_END and not s.detail, timeout_s=LONG_S)
    (episode,) = recorder.episodes
    assert [c.picked for c in episode.chunks] == ["left/more", "left/less"]
    assert episode.chunks[0].latency.pick_ms >= 0


def test_closing_leaves_no_thread_and_an_open_episode_to_be_recovered(recorder: FullDisk) -> None:
    before = set(threading.enumerate())
    session = live(ToyPolicy(), recorder)
    drive(session, "left/more")
    session.close()
    session.close()
    assert set(threading.enumerate()) <= before
    assert recorder.episodes == []


def test_inference_that_raises_holds_with_its_sentence(recorder: FullDisk) -> None:
    policy = FailingPolicy()
    with live(policy, recorder) as session:
        drive(session, "left/more")
        policy.error = RuntimeError("CUDA error: device-side assert")
        session.send(ev.SetInstruction("something else"))
        snapshot = session.wait_for(lambda s: s.phase is Phase.HOLD, timeout_s=LONG_S)
        assert snapshot.hold_reason is HoldReason.INFERENCE_FAILED
        assert snapshot.detail == (
            "The policy raised RuntimeError: CUDA error: device-side assert. Resume to ask again, or see the log."
        )


def test_inference_that_hangs_holds_and_the_session_stays_awake(recorder: FullDisk) -> None:
    policy = HangingPolicy()
    with live(policy, recorder, inference_timeout_s=1.5) as session:
        drive(session, "left/more")
        policy.may_go.clear()
        session.send(ev.SetInstruction("something else"))
        snapshot = session.wait_for(lambda s: s.hold_reason is HoldReason.INFERENCE_LATE, timeout_s=LONG_S)
        assert snapshot.episode.chunks == 1
        policy.may_go.set()
        session.wait_for(lambda s: s.counters["late_answers"] > 0, timeout_s=LONG_S)
        session.send(ev.Resume())
        session.wait_for(is_offering(1), timeout_s=LONG_S)


def test_a_silent_window_holds(session: LiveSession) -> None:
    drive(session)
    session.send(ev.Heartbeat())
    snapshot = session.wait_for(lambda s: s.phase is Phase.HOLD, timeout_s=LONG_S)
    assert snapshot.hold_reason is HoldReason.GUI_SILENT


def test_a_full_disk_holds_and_keeps_everything_for_later(session: LiveSession, recorder: FullDisk) -> None:
    drive(session, "left/more")
    recorder.is_full = True
    session.send(ev.Pick("left/less"))
    session.wait_for(lambda s: s.hold_reason is HoldReason.DISK, timeout_s=LONG_S)
    recorder.is_full = False
    session.send(ev.Resume())
    session.wait_for(is_offering(2), timeout_s=LONG_S)
    session.send(ev.EndEpisode(Outcome.SUCCESS))
    session.wait_for(lambda s: s.hold_reason is HoldReason.EPISODE_END and not s.detail, timeout_s=LONG_S)
    assert len(recorder.episodes[0].chunks) == 2


def test_an_unexpected_error_holds_and_the_session_goes_on(
    session: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(session)
    monkeypatch.setattr(EpisodeCycle, "go_back", lambda self, epoch: 1 / 0)
    session.send(ev.BackOneChunk())
    snapshot = session.wait_for(lambda s: s.phase is Phase.HOLD, timeout_s=LONG_S)
    assert snapshot.hold_reason is HoldReason.EXCEPTION
    assert "division by zero" in snapshot.detail
    session.send(ev.Resume())
    session.wait_for(is_offering(0), timeout_s=LONG_S)


def test_a_policy_that_cannot_be_loaded_is_a_fault_and_reconnect_tries_again(recorder: FullDisk) -> None:
    tries: list[int] = []

    def load() -> ToyPolicy:
        tries.append(1)
        if len(tries) == 1:
            raise FileNotFoundError("no weights at assets/x.safetensors")
        return ToyPolicy()

    link = InlineLink(PointWorld())
    with LiveSession(link, load, recorder=recorder) as session:
        snapshot = session.wait_for(lambda s: s.phase is Phase.FAULT, timeout_s=LONG_S)
        assert "no weights at" in snapshot.detail
        session.send(ev.Reconnect())
        session.wait_for(lambda s: s.phase is Phase.HOLD and s.fan is not None, timeout_s=LONG_S)


def test_hold_reaches_the_world_before_the_session_reads_it(session: LiveSession) -> None:
    held: list[int] = []
    session._link.hold = lambda: held.append(threading.get_ident())  # type: ignore[method-assign]
    session.send(ev.RequestHold(HoldReason.OPERATOR))
    assert held[0] == threading.get_ident()


def test_a_session_that_does_not_answer_holds_the_world_when_its_queue_is_full(recorder: FullDisk) -> None:
    session = live(ToyPolicy(), recorder)
    session.close()
    held: list[int] = []
    session._link.hold = lambda: held.append(1)  # type: ignore[method-assign]
    accepted = [session.send(ev.Heartbeat()) for _ in range(300)]
    assert not accepted[-1]
    assert held


def test_requests_lost_to_a_full_queue_end_in_a_hold_that_says_so(
    session: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(session, "left/more")
    is_stuck, go_on = threading.Event(), threading.Event()
    tick = session._engine.tick

    def stuck() -> bool:
        is_stuck.set()
        go_on.wait(LONG_S)
        return tick()

    monkeypatch.setattr(session._engine, "tick", stuck)
    assert is_stuck.wait(LONG_S)
    while session.send(ev.SetDriver(ev.Driver.PERSON)):
        pass
    go_on.set()
    snapshot = session.wait_for(lambda s: s.phase is Phase.HOLD, timeout_s=LONG_S)
    assert snapshot.hold_reason is HoldReason.SESSION_SILENT
    assert "requests to it were lost" in snapshot.detail


def test_a_subscriber_that_fails_holds_and_the_session_goes_on(session: LiveSession) -> None:
    drive(session)

    def fail(_: ev.Snapshot) -> None:
        raise ValueError("the view is gone")

    session.subscribe(fail)
    session.send(ev.Heartbeat())
    session.send(ev.SetPlan(session.latest().plan))
    snapshot = session.wait_for(lambda s: s.phase is Phase.HOLD, timeout_s=LONG_S)
    assert snapshot.hold_reason is HoldReason.EXCEPTION
    assert "the view is gone" in snapshot.detail
    session.send(ev.Resume())
    session.wait_for(lambda s: s.phase is Phase.CHOOSE, timeout_s=LONG_S)
