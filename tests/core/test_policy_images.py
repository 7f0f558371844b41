"""Where policies are given another image than people: each gets its own, everywhere, and a glance is for people alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.errors import PolicyError
from frs_core.events import HoldReason, Outcome, Phase, Resume, StartEpisode
from frs_core.learning.live import small_images
from frs_core.learning.settings import InputSettings
from frs_core.robot.actions import ActionKind, ee_delta_space
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.wire.observations import pack_observation
from frs_core.worlds.link import ChunkEnded, Observed, Ready, Stepped
from frs_core.worlds.process import WorldProcess
from frs_core.worlds.ring import ObservationRing, camera_sizes
from tests.core.test_world_process import collect, has
from tests.fakes.episodes import random_chunks, random_meta
from tests.fakes.session import HandSession
from tests.fakes.world import PointWorld


class MirroredWorld(PointWorld):
    """Gives policies a smaller, mirrored image, and in mid-chunk people alone anything."""

    def observe(self) -> Observation:
        """Return images for both."""
        return mirrored(super().observe())

    def glance(self) -> Observation:
        """Return images for people."""
        seen = PointWorld.observe(self)
        frames = {n: dataclasses.replace(f, is_glance=True) for n, f in seen.frames.items()}
        return dataclasses.replace(seen, frames=frames)


def mirrored(seen: Observation) -> Observation:
    frames = {n: dataclasses.replace(f, policy_image=f.image[::2, ::-2].copy()) for n, f in seen.frames.items()}
    return dataclasses.replace(seen, frames=frames)


def test_a_policy_looks_at_its_own_image_and_never_at_a_glance() -> None:
    whole, glance = MirroredWorld().observe(), MirroredWorld().glance()
    assert whole.is_whole
    assert not glance.is_whole
    frame = whole.frames["left"]
    np.testing.assert_array_equal(frame.for_policy, frame.image[::2, ::-2])
    with pytest.raises(PolicyError, match="Observe the world first"):
        _ = glance.frames["left"].for_policy
    plain = CameraFrame(frame.image, 0)
    assert plain.for_policy is plain.image


def test_both_images_cross_the_ring() -> None:
    whole, glance = MirroredWorld().observe(), MirroredWorld().glance()
    ring = ObservationRing.create(camera_sizes(whole))
    try:
        for seen in (whole, glance):
            published = ring.read(ring.publish(seen, {}))
            assert published is not None
            for name, frame in seen.frames.items():
                got = published.observation.frames[name]
                np.testing.assert_array_equal(got.image, frame.image)
                assert got.is_glance == frame.is_glance
                if frame.policy_image is None:
                    assert got.policy_image is None
                else:
                    np.testing.assert_array_equal(got.policy_image, frame.policy_image)
    finally:
        ring.close()


def test_an_episode_keeps_the_policys_image_exactly_and_the_peoples_beside_it(tmp_path: Path) -> None:
    store = EpisodeStore(tmp_path)
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    wanted = [dataclasses.replace(c, observation=mirrored(c.observation)) for c in random_chunks(count=2)]
    for chunk in wanted:
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)
    episode = store.open(name)
    for i, chunk in enumerate(wanted):
        for camera, frame in chunk.observation.frames.items():
            got = episode.observation(i).frames[camera]
            np.testing.assert_array_equal(got.policy_image, frame.policy_image)
            assert np.abs(got.image.astype(float) - frame.image).mean() < 2.0
            np.testing.assert_array_equal(episode.boundary_image(camera, i), frame.policy_image)


def test_learners_and_servers_are_given_the_policys_image() -> None:
    seen = MirroredWorld().observe()
    frame = seen.frames["left"]
    size = frame.for_policy.shape[0]
    got = small_images(seen, InputSettings(cameras=("left",), image_size=size))
    np.testing.assert_array_equal(got[0], frame.policy_image)
    packed = pack_observation(seen, cameras=("left",))["frames"]["left"]
    np.testing.assert_array_equal(packed["image"], frame.policy_image)
    assert packed["calibration"] is None


def test_a_world_in_its_process_is_watched_and_glances_in_mid_chunk() -> None:
    link = WorldProcess(f"{__name__}:WatchedWorld")
    link.start()
    try:
        collect(link, has(Ready))
        link.execute(1, np.zeros((3, 7)), ActionKind.EE_DELTA, epoch=link.epoch)
        facts = collect(link, has(ChunkEnded))
    finally:
        link.close()
    steps = [f for f in facts if isinstance(f, Stepped)]
    assert [s.observation.is_whole for s in steps] == [False, False, True]
    assert all(s.observation.extra["is_watched"] == 1 for s in steps)


class WatchedWorld(MirroredWorld):
    """Tells whether it is watched."""

    def _observation(self, frames, now):
        self.still_here()
        return dataclasses.replace(
            super()._observation(frames, now), extra={"is_watched": np.array(int(self.is_watched))}
        )


def test_after_a_chunk_cut_short_the_fan_waits_for_an_image_for_policies() -> None:
    session = HandSession(world=MirroredWorld())
    session.send(StartEpisode("reach_left", 1))
    engine, glance = session.engine, MirroredWorld().glance()
    engine.hold(HoldReason.OPERATOR)
    world = engine.parts.world
    world.observation = world.look = glance
    session.send(Resume())
    assert engine.phase is Phase.CHOOSE
    assert engine.snapshot().fan is None or not engine.snapshot().fan.observation.frames["left"].is_glance
    engine._on_fact(Observed(MirroredWorld().observe()))
    fan = session.settle().fan
    assert fan is not None
    assert fan.observation.is_whole


def test_a_soft_controller_draws_a_shorter_path() -> None:
    space = ee_delta_space(translation=0.05, rotation=0.5)
    seen, chunk = PointWorld().observe(), np.zeros((1, 4, 7), dtype=np.float32)
    chunk[..., 0] = 0.04
    stiff, soft = (s.path(chunk, seen)[0, -1, 0] for s in (space, dataclasses.replace(space, reach=0.25)))
    assert stiff - seen.p_tcp[0] == pytest.approx(0.16)
    assert soft - seen.p_tcp[0] == pytest.approx(0.04)
