"""The world's own process: shared memory, holds, and every way it can die."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import numpy as np
import pytest

from frs_core import events as ev
from frs_core.episodes.records import MemoryRecorder
from frs_core.errors import ConfigError, WorldError
from frs_core.events import HoldReason, Outcome, Phase
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.runtime.registry import resolve
from frs_core.session import LiveSession, SessionOptions
from frs_core.worlds import KNOWN, make_world
from frs_core.worlds.host import pack_spec, unpack_spec
from frs_core.worlds.link import ChunkEnded, Lost, Observed, Ready, Refused, SceneSet, Stepped, Tripped, WorldFact
from frs_core.worlds.process import WorldProcess
from frs_core.worlds.ring import SLOTS, ObservationRing, camera_sizes
from tests.fakes.policy import ToyPolicy
from tests.fakes.running_bridge import bridge_thread
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

POINT = "tests.fakes.world:PointWorld"
"""Longest wait of a test; reached only when it fails."""
LEFT = np.tile(np.array([0.0, 0.016, 0, 0, 0, 0, 0]), (4, 1))


def collect(
    link: WorldProcess, done: Callable[[list[WorldFact]], bool], *, timeout_s: float = LONG_S
) -> list[WorldFact]:
    facts: list[WorldFact] = []
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        facts += link.poll()
        if done(facts):
            return facts
        time.sleep(0.01)
    raise AssertionError(f"never happened; got {[type(f).__name__ for f in facts]}")


def has(kind: type[WorldFact], count: int = 1) -> Callable[[list[WorldFact]], bool]:
    return lambda facts: sum(isinstance(f, kind) for f in facts) >= count


def opened(**options: object) -> WorldProcess:
    link = WorldProcess(POINT, options)
    link.start()
    collect(link, has(Ready))
    return link


@pytest.fixture(scope="module")
def shared_link() -> Iterator[WorldProcess]:
    link = opened()
    yield link
    link.close()


@pytest.fixture
def link(shared_link: WorldProcess) -> WorldProcess:
    shared_link.reset(1, task="reach_left", seed=1, epoch=shared_link.epoch)
    collect(shared_link, has(SceneSet))
    return shared_link


# --- registry and ring --------------------------------------------------------------------------------------------------


def test_an_unknown_world_is_named_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tabletop'"):
        make_world("tabeltop")


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match="speed"):
        make_world(POINT, speed=3)


def test_an_observation_survives_the_ring_bit_for_bit() -> None:
    observation = PointWorld().observe()
    sizes = camera_sizes(observation)
    ring = ObservationRing.create(sizes)
    other = ObservationRing.attach(ring.name, sizes)
    try:
        number = ring.publish(observation, {"chunk": 3})
        (got,) = other.since(number - 1)
    finally:
        other.close()
        ring.close()
    assert got.note == {"chunk": 3}
    for field in ("q", "dq", "T_base_tcp"):
        np.testing.assert_array_equal(getattr(got.observation, field), getattr(observation, field))
    for field in ("gripper", "instruction", "captured_ns", "step", "gripper_command", "success"):
        assert getattr(got.observation, field) == getattr(observation, field)
    for name, frame in observation.frames.items():
        other_frame = got.observation.frames[name]
        np.testing.assert_array_equal(other_frame.image, frame.image)
        assert frame.calibration is not None
        assert other_frame.calibration is not None
        np.testing.assert_array_equal(other_frame.calibration.T_base_camera, frame.calibration.T_base_camera)


def test_a_reader_that_was_overtaken_gets_the_newest_and_never_a_torn_one() -> None:
    observation = PointWorld().observe()
    ring = ObservationRing.create(camera_sizes(observation))
    try:
        for i in range(3 * SLOTS):
            ring.publish(observation, {"i": i})
        got = ring.since(0)
        assert ring.read(1) is None
    finally:
        ring.close()
    assert got[-1].note == {"i": 3 * SLOTS - 1}
    assert [g.number for g in got] == sorted(g.number for g in got)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is no file here")
def test_a_ring_takes_its_memory_when_it_is_made() -> None:
    ring = ObservationRing.create({"wrist": (480, 640)})
    try:
        held = Path("/dev/shm", ring.name).stat()
    finally:
        ring.close()
    assert held.st_blocks * 512 >= held.st_size >= SLOTS * 480 * 640 * 3


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is no file here")
def test_a_full_shared_memory_says_so_and_nothing_is_left_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def full(file: int, _start: int, _size: int) -> None:
        made.append(os.readlink(f"/proc/self/fd/{file}"))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WorldError, match=r"Shared memory has [\d.]+ MB free and needs 15\.8 MB.*remount,size"):
        ObservationRing.create({"wrist": (480, 640)})
    (name,) = made
    assert not Path(name).exists()


def test_a_world_for_whose_frames_there_is_no_room_is_lost_and_a_later_start_finds_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = WorldProcess(POINT)

    def full(_cameras: object, *, display_side: int = 0) -> ObservationRing:
        raise WorldError("Shared memory has 0.3 MB free and needs 1.6 MB.")

    try:
        with monkeypatch.context() as patched:
            patched.setattr(ObservationRing, "create", full)
            link.start()
            (lost,) = [f for f in collect(link, has(Lost)) if isinstance(f, Lost)]
        assert lost.sentence == "Shared memory has 0.3 MB free and needs 1.6 MB."
        link.restart()
        collect(link, has(Ready))
    finally:
        link.close()


# --- driving ------------------------------------------------------------------------------------------------------------


def test_a_chunk_gives_its_steps_in_order_then_its_end_with_a_state(link: WorldProcess) -> None:
    link.execute(7, LEFT, ActionKind.EE_DELTA, epoch=link.epoch)
    facts = collect(link, has(ChunkEnded))
    steps = [f for f in facts if isinstance(f, Stepped)]
    (end,) = [f for f in facts if isinstance(f, ChunkEnded)]
    assert [(s.chunk_id, s.row) for s in steps] == [(7, i) for i in range(4)]
    assert end.is_complete
    assert end.state is not None
    assert facts.index(end) > facts.index(steps[-1])
    assert all(set(s.observation.frames) == {"left", "right", "wrist"} for s in steps)


def test_the_same_chunk_does_the_same_as_in_this_process(link: WorldProcess) -> None:
    link.execute(8, LEFT, ActionKind.EE_DELTA, epoch=link.epoch)
    there = [f for f in collect(link, has(ChunkEnded)) if isinstance(f, Stepped)][-1].observation
    here = PointWorld()
    here.reset(task="reach_left", seed=1)
    for row in LEFT:
        here.step(row, ActionKind.EE_DELTA)
    np.testing.assert_array_equal(there.q, here.observe().q)


def test_a_restored_state_is_exact(link: WorldProcess) -> None:
    link.execute(9, LEFT, ActionKind.EE_DELTA, epoch=link.epoch)
    (end,) = [f for f in collect(link, has(ChunkEnded)) if isinstance(f, ChunkEnded)]
    assert end.state is not None
    link.execute(10, LEFT, ActionKind.EE_DELTA, epoch=link.epoch)
    collect(link, has(ChunkEnded))
    link.restore(2, end.state, epoch=link.epoch)
    (scene,) = [f for f in collect(link, has(SceneSet)) if isinstance(f, SceneSet)]
    assert scene.observation.step == 4


def test_a_hold_ends_the_chunk_before_its_last_row(link: WorldProcess) -> None:
    link.execute(11, np.tile(LEFT, (10, 1)), ActionKind.EE_DELTA, epoch=link.epoch)
    collect(link, has(Stepped, 2))
    link.hold()
    (end,) = [f for f in collect(link, has(ChunkEnded)) if isinstance(f, ChunkEnded)]
    assert not end.is_complete


def test_rows_of_an_act_from_before_the_hold_are_not_executed(link: WorldProcess) -> None:
    epoch = link.epoch
    link.hold()
    link.execute(12, LEFT, ActionKind.EE_DELTA, epoch=epoch)
    facts = collect(link, has(ChunkEnded))
    assert not any(isinstance(f, Stepped) for f in facts)


def test_an_unknown_task_is_refused_in_words(link: WorldProcess) -> None:
    link.reset(5, task="reach_lef", seed=0, epoch=link.epoch)
    (refused,) = [f for f in collect(link, has(Refused)) if isinstance(f, Refused)]
    assert "Did you mean 'reach_left'?" in refused.sentence


def test_a_waiting_world_keeps_looking(link: WorldProcess) -> None:
    assert has(Observed)(collect(link, has(Observed)))


def test_a_session_that_falls_silent_in_mid_chunk_stops_the_arm(link: WorldProcess) -> None:
    link.execute(13, np.tile(LEFT, (20, 1)), ActionKind.EE_DELTA, epoch=link.epoch)
    collect(link, has(Stepped))
    time.sleep(1.2)
    facts = collect(link, has(Tripped))
    (tripped,) = [f for f in facts if isinstance(f, Tripped)]
    assert tripped.reason is HoldReason.SESSION_SILENT
    assert "silent" in tripped.sentence
    assert not next(f for f in facts if isinstance(f, ChunkEnded)).is_complete


def test_an_action_that_is_not_finite_is_not_sent_and_holds(link: WorldProcess) -> None:
    rows = LEFT.copy()
    rows[1, 0] = np.nan
    link.execute(14, rows, ActionKind.EE_DELTA, epoch=link.epoch)
    facts = collect(link, has(Tripped))
    assert sum(isinstance(f, Stepped) for f in facts) == 1
    tripped = next(f for f in facts if isinstance(f, Tripped))
    assert tripped.reason is HoldReason.ACTION_REFUSED
    assert "non-finite" in tripped.sentence


# --- dying --------------------------------------------------------------------------------------------------------------


def test_a_world_that_cannot_be_made_says_why() -> None:
    link = WorldProcess("nowhere")
    link.start()
    try:
        (lost,) = [f for f in collect(link, has(Lost)) if isinstance(f, Lost)]
        assert "Unknown world 'nowhere'" in lost.sentence
    finally:
        link.close()


def test_a_frozen_camera_trips_the_hold() -> None:
    link = opened(frozen_camera="left")
    try:
        link.execute(1, np.tile(LEFT, (4, 1)), ActionKind.EE_DELTA, epoch=link.epoch)
        facts = collect(link, has(Tripped))
        tripped = next(f for f in facts if isinstance(f, Tripped))
        assert tripped.reason is HoldReason.CAMERA_STALE
        assert tripped.sentence.startswith("Camera 'left' shows the same frame although the tool moved")
        assert not next(f for f in collect_more(link, facts) if isinstance(f, ChunkEnded)).is_complete
    finally:
        link.close()


def collect_more(link: WorldProcess, facts: list[WorldFact]) -> list[WorldFact]:
    return facts if has(ChunkEnded)(facts) else facts + collect(link, has(ChunkEnded))


def test_a_simulation_that_computes_for_longer_than_the_silence_is_not_lost() -> None:
    link = WorldProcess(POINT, {"step_work_s": 1.5}, silence_s=1.0)
    link.start()
    try:
        collect(link, has(Ready))
        link.execute(1, LEFT[:1], ActionKind.EE_DELTA, epoch=link.epoch)
        assert not has(Lost)(collect(link, lambda facts: has(ChunkEnded)(facts) or has(Lost)(facts)))
    finally:
        link.close()


def test_a_hanging_world_is_lost_and_can_be_restarted() -> None:
    link = WorldProcess(POINT, {"hang_at_step": 1}, silence_s=1.0)
    link.start()
    try:
        collect(link, has(Ready))
        link.execute(1, LEFT, ActionKind.EE_DELTA, epoch=link.epoch)
        (lost,) = [f for f in collect(link, has(Lost)) if isinstance(f, Lost)]
        assert "was silent for" in lost.sentence
        link.restart()
        collect(link, has(Ready))
    finally:
        link.close()


PATIENT = SessionOptions(act_life_s=LONG_S)


def is_offering(s: ev.Snapshot) -> bool:
    return s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale


def test_killing_the_world_is_a_fault_that_keeps_the_episode_and_reconnect_goes_on() -> None:
    link, recorder = WorldProcess(POINT), MemoryRecorder()
    with LiveSession(link, ToyPolicy(), recorder=recorder, options=PATIENT) as session:
        session.send(ev.StartEpisode("reach_left", seed=1))
        for chunks in range(2):
            session.wait_for(lambda s, n=chunks: is_offering(s) and s.episode.chunks == n, timeout_s=LONG_S)
            session.send(ev.Pick("left/more"))
        session.wait_for(lambda s: s.episode.chunks == 1 and s.chunk_row >= 1, timeout_s=LONG_S)
        assert link.pid is not None
        os.kill(link.pid, signal.SIGKILL)
        snapshot = session.wait_for(lambda s: s.phase is Phase.FAULT, timeout_s=LONG_S)
        assert snapshot.hold_reason is HoldReason.WORLD_LOST
        assert "was killed by signal 9" in snapshot.detail
        session.send(ev.Reconnect())
        session.wait_for(lambda s: s.phase is Phase.HOLD and not s.detail, timeout_s=LONG_S)
        session.send(ev.BackOneChunk())
        session.wait_for(lambda s: s.episode.chunks == 1, timeout_s=LONG_S)
        session.send(ev.Resume())
        snapshot = session.wait_for(is_offering, timeout_s=LONG_S)
        assert snapshot.observation is not None
        assert snapshot.observation.step == 4
        session.send(ev.EndEpisode(Outcome.FAILURE))
        session.wait_for(lambda s: s.hold_reason is HoldReason.EPISODE_END and not s.detail, timeout_s=LONG_S)
    (episode,) = recorder.episodes
    assert [c.index for c in episode.main_line] == [0]
    assert len(episode.chunks[1].steps) < 4


def test_a_world_whose_session_dies_ends_by_itself() -> None:
    script = textwrap.dedent(
        f"""
        import os, sys, time
        from frs_core.worlds.process import WorldProcess
        if __name__ == "__main__":
            link = WorldProcess({POINT!r})
            link.start()
            until = time.monotonic() + {LONG_S}
            while time.monotonic() < until and not link.poll():
                time.sleep(0.02)
            print(link.pid, flush=True)
            os._exit(1)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=LONG_S, check=False, cwd=os.getcwd()
    )
    pid = int(done.stdout)
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        if not is_running(pid):
            return
        time.sleep(0.05)
    raise WorldError(f"process {pid} is still there")


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_world_that_cannot_be_ended_in_time_is_lost_all_the_same() -> None:
    class Stubborn:
        exitcode = None

        def is_alive(self) -> bool:
            return True

        def join(self, _timeout_s: float) -> None:
            """Nothing ends."""

        terminate = kill = lambda self: None

        def close(self) -> None:
            raise ValueError("Cannot close a process while it is still running.")

    link = WorldProcess(POINT, start_timeout_s=0.0)
    link._process, link._started_at = Stubborn(), time.monotonic() - 1.0
    assert [type(f) for f in link.poll()] == [Lost]
    assert link.poll() == []


def test_a_worlds_limits_and_options_reach_the_session_as_they_are() -> None:
    box = np.array([0.1, -0.2, 0.0]), np.array([0.5, 0.2, 0.4])
    limits = Limits(
        *box, np.full(7, -1.0), np.full(7, 2.0), table_height=0.01, joint_speed=np.full(7, 0.1), joint_jump=0.05
    )
    spec = dataclasses.replace(PointWorld().spec, limits=limits, options={"setting": -1})
    got = unpack_spec(msgpack.unpackb(msgpack.packb(pack_spec(spec))))
    for field in dataclasses.fields(Limits):
        np.testing.assert_array_equal(getattr(got.limits, field.name), getattr(limits, field.name))
    assert got.options == {"setting": -1}


class LockedWorld(PointWorld):
    """A world of somebody else that takes a password, a key of its own and a list."""

    secrets = frozenset({"badge"})  # A password is one by its name.

    def __init__(self, *, password: str = "", badge: str = "", joints: object = (), home: object = "") -> None:
        super().__init__()


def test_no_option_is_dropped_in_silence_and_a_worlds_own_secrets_are_not_kept() -> None:
    path = f"{__name__}:LockedWorld"
    world = make_world(path, password="swordfish", badge="4711", joints=(1, 2.5), home=Path("a"))
    assert world.spec.options == {"joints": "1, 2.5", "home": "a"}
    with pytest.raises(ConfigError, match=r"'home' of world .* is of type dict, which a recording cannot keep"):
        make_world(path, home={"x": 1})


def test_a_world_keeps_its_options_and_no_secret() -> None:
    world = make_world(POINT, frozen_camera="left")
    assert world.spec.options == {"frozen_camera": "left"}
    with bridge_thread() as (bridge, _):
        robot = make_world("droid", endpoint=bridge.address, token="secret", timeout_s=LONG_S)
        try:
            assert "secret" not in str(robot.spec.options)
            assert robot.spec.options["endpoint"] == bridge.address
            np.testing.assert_array_equal(robot.spec.limits.joint_high, bridge.robot.high)
            assert robot.spec.limits.joint_margin == 0.08
        finally:
            robot.close()


def test_every_world_that_is_offered_is_there() -> None:
    for name in KNOWN:
        assert callable(resolve("world", name, KNOWN))


def test_a_camera_that_comes_late_is_named_and_spoils_nothing_else() -> None:
    observation = PointWorld().observe()
    ring = ObservationRing.create({n: s for n, s in camera_sizes(observation).items() if n != "wrist"})
    try:
        with pytest.raises(WorldError, match="Camera 'wrist' came after the world had started"):
            ring.publish(observation, {})
        few = dataclasses.replace(observation, frames={"left": observation.frames["left"]})
        number = ring.publish(few, {})
        assert ring.read(number) is not None
    finally:
        ring.close()


def test_looks_never_take_the_place_of_steps_that_were_not_read(link: WorldProcess) -> None:
    link.execute(21, LEFT, ActionKind.EE_DELTA, epoch=link.epoch)
    time.sleep(2.0)
    facts = collect(link, has(ChunkEnded))
    (end,) = [f for f in facts if isinstance(f, ChunkEnded)]
    assert [f.row for f in facts if isinstance(f, Stepped)] == list(range(end.rows or 0))
