"""Pictures at the size they are shown: for screens alone, and never at the cost of the rate."""

import dataclasses
from collections.abc import Iterator

import msgpack
import numpy as np
import pytest
from PIL import Image

from frs_core.episodes.encoding import ChunkEncoder, FrameState
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.worlds import displays
from frs_core.worlds.link import Observed, Ready
from frs_core.worlds.process import WorldProcess
from frs_core.worlds.ring import ObservationRing, camera_sizes
from frs_core.worlds.tabletop import display
from frs_core.worlds.tabletop.scene import CAMERA_SIZE
from frs_core.worlds.tabletop.world import TabletopWorld
from tests.core.test_world_process import collect, has
from tests.fakes.episodes import random_chunks, random_meta
from tests.fakes.world import PointWorld

FORWARD = np.array([0.01, 0.004, -0.003, 0, 0, 0, 0])
SIZES = {"left": (600, 640), "right": (300, 300), "wrist": (224, 224)}


@pytest.fixture
def watched() -> Iterator[TabletopWorld]:
    world = TabletopWorld()
    world.show(SIZES)
    yield world
    world.close()


def _drive(world: TabletopWorld) -> list[Observation]:
    seen = [world.observe()]
    for _ in range(4):
        world.step(FORWARD, ActionKind.EE_DELTA)
        seen.append(world.observe())
    return [*seen, world.observe()]


def test_images_for_policies_and_recordings_are_the_same_bits_with_display_pictures(watched: TabletopWorld) -> None:
    plain = TabletopWorld()
    for a, b in zip(_drive(watched), _drive(plain), strict=True):
        for name, frame in b.frames.items():
            np.testing.assert_array_equal(a.frames[name].image, frame.image)
            assert a.frames[name].for_policy is a.frames[name].image
            assert frame.display is None
    plain.close()


def test_a_display_picture_shows_the_view_of_its_image_at_the_size_it_is_shown(
    watched: TabletopWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "STILL_S", 1e9)
    watched.observe()
    frames = watched.observe().frames
    assert frames["left"].shown.shape == (600, 600, 3)
    assert frames["right"].shown.shape == (300, 300, 3)
    # One that is shown no larger than the policy's image needs no other.
    assert frames["wrist"].display is None
    for name in ("left", "right"):
        small = Image.fromarray(frames[name].shown).resize(CAMERA_SIZE, Image.Resampling.BOX)
        apart = np.abs(np.asarray(small, dtype=float) - frames[name].image)
        # Edges differ, because only one of them is antialiased.
        assert np.median(apart) <= 2
        assert apart.mean() < 6


class _Clock:
    """A renderer that takes a time per pixel, and the clock that shows it."""

    def __init__(self, pixel_s: float) -> None:
        self.now, self.pixel_s, self.rendered = 0.0, pixel_s, 0

    def render(self, _data: object, _camera: str, side: int) -> np.ndarray:
        self.now += side**2 * self.pixel_s
        self.rendered += 1
        return np.zeros((side, side, 3), dtype=np.uint8)

    def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TabletopWorld, display.Display, _Clock]]:
    world, clock = TabletopWorld(), _Clock(1e-8)
    monkeypatch.setattr(display, "_Renderer", lambda _model: clock)
    monkeypatch.setattr(display.time, "monotonic", lambda: clock.now)
    made = display.Display(world.sim.model, world.sim.data, still_here=lambda: None)
    made.use_sizes(SIZES)
    yield world, made, clock
    world.close()


def _moved(world: TabletopWorld, made: display.Display, left_s: float) -> dict[str, int]:
    world.step(FORWARD, ActionKind.EE_DELTA)
    return {name: len(picture) for name, picture in made.pictures(left_s).items()}


def test_while_things_move_only_the_largest_camera_is_rendered_in_the_time_that_is_left(timed) -> None:
    world, made, clock = timed
    assert _moved(world, made, 0.02)["left"] >= display.WORTH * CAMERA_SIZE[0]
    for left_s in (0.02, 0.005):
        before = clock.now
        for _ in range(20):
            sizes = _moved(world, made, left_s)
        assert list(sizes) == ["left"]
        assert clock.now - before <= 20 * left_s * 1.01
    assert sizes["left"] == 600


def test_a_busy_machine_gets_smaller_pictures_then_none_and_full_ones_once_it_is_idle(timed) -> None:
    world, made, clock = timed
    sizes = [_moved(world, made, 0.02).get("left", 0) for _ in range(20)]
    clock.pixel_s = 1.2e-7
    sizes += [_moved(world, made, 0.02).get("left", 0) for _ in range(20)]
    clock.pixel_s = 1e-5
    rendered = clock.rendered
    sizes += [_moved(world, made, 0.02).get("left", 0) for _ in range(60)]
    assert clock.rendered - rendered <= 2 + 60 / display.AGAIN
    clock.pixel_s = 1e-8
    sizes += [_moved(world, made, 0.02).get("left", 0) for _ in range(20 * display.AGAIN)]
    assert sizes[19] == 600
    assert 269 <= sizes[39] < 600
    assert sizes[99] == 0
    assert sizes[-1] == 600


def test_once_things_stand_still_every_camera_is_rendered_once(timed) -> None:
    world, made, clock = timed
    _moved(world, made, 0.02)
    shown = [made.pictures(0.02) for _ in range(4)][-1]
    rendered = clock.rendered
    again = made.pictures(0.02)
    assert {name: len(p) for name, p in again.items()} == {"left": 600, "right": 300}
    assert clock.rendered == rendered
    assert all(again[name] is shown[name] for name in shown)


# --- shared memory -------------------------------------------------------------------------------------------------


def _with_display(seen: Observation, side: int, value: int) -> Observation:
    picture = np.full((side, side - 1, 3), value, dtype=np.uint8)
    return dataclasses.replace(
        seen, frames={n: dataclasses.replace(f, display=picture) for n, f in seen.frames.items()}
    )


def test_display_pictures_pass_the_ring_and_late_readers_get_the_image() -> None:
    seen = PointWorld().observe()
    sizes = camera_sizes(seen)
    ring = ObservationRing.create(sizes, display_side=100)
    other = ObservationRing.attach(ring.name, sizes, display_side=100)
    try:
        sent = [_with_display(seen, 100, value) for value in range(4)]
        numbers = [ring.publish(observation, {}) for observation in sent]
        late, newest = (other.read(n) for n in (numbers[0], numbers[-1]))
        assert late is not None
        assert newest is not None
        for name, frame in sent[-1].frames.items():
            np.testing.assert_array_equal(newest.observation.frames[name].display, frame.display)
            # Three cameras share the slots: those of four observations ago are gone, and the image is there.
            assert late.observation.frames[name].display is None
            np.testing.assert_array_equal(late.observation.frames[name].shown, frame.image)
        assert 4 * len(sizes) > displays.SLOTS
    finally:
        other.close()
        ring.close()


def test_a_picture_that_did_not_change_keeps_its_slot_and_one_too_large_is_left_out() -> None:
    seen = PointWorld().observe()
    sizes = camera_sizes(seen)
    ring = ObservationRing.create(sizes, display_side=100)
    other = ObservationRing.attach(ring.name, sizes, display_side=100)
    try:
        observation = _with_display(seen, 100, 7)
        read = [other.read(ring.publish(observation, {})) for _ in range(9)]
        pictures = [r.observation.frames["left"].display for r in read if r is not None]
        assert len(pictures) == 9
        assert all(p is pictures[0] for p in pictures)
        large = other.read(ring.publish(_with_display(seen, 101, 7), {}))
        assert large is not None
        assert large.observation.frames["left"].display is None
    finally:
        other.close()
        ring.close()


class ShowingWorld(PointWorld):
    """Gives every camera a picture of the size that is shown."""

    display_side = 300
    sizes: dict[str, tuple[int, int]] = {}  # noqa: RUF012  one world per process

    def show(self, sizes):
        self.sizes.update(sizes)

    def observe(self):
        seen = super().observe()
        pictures = {n: np.full((*size, 3), 9, dtype=np.uint8) for n, size in self.sizes.items()}
        frames = {n: dataclasses.replace(f, display=pictures.get(n)) for n, f in seen.frames.items()}
        return dataclasses.replace(seen, frames=frames)


def test_a_world_learns_the_sizes_also_after_it_was_started_again() -> None:
    link = WorldProcess(f"{__name__}:ShowingWorld")
    link.start()

    def shapes(facts: list) -> list:
        return [f.observation.frames["left"].shown.shape for f in facts if isinstance(f, Observed)]

    try:
        collect(link, has(Ready))
        link.show({"left": (200, 300)})
        collect(link, lambda facts: (200, 300, 3) in shapes(facts))
        link.restart()
        collect(link, lambda facts: (200, 300, 3) in shapes(facts))
    finally:
        link.close()


def test_a_recording_is_the_same_with_display_pictures() -> None:
    encoder, record = ChunkEncoder(random_meta()), next(random_chunks())
    shown = dataclasses.replace(
        record,
        observation=_with_display(record.observation, 99, 5),
        after=_with_display(record.after, 99, 6),
        steps=tuple(dataclasses.replace(s, observation=_with_display(s.observation, 99, 7)) for s in record.steps),
    )
    plain, _ = encoder.encode(record, FrameState())
    apart, _ = encoder.encode(shown, FrameState())
    assert msgpack.packb(plain, default=_bytes) == msgpack.packb(apart, default=_bytes)


def _bytes(value: object) -> bytes:
    return np.asarray(value).tobytes()
