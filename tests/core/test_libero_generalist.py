"""LIBERO's small generalist: its words name the right objects, what is held out is never shown, and places follow the cameras."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from frs_core.arrays import Array
from frs_core.errors import ConfigError
from frs_core.making.generalist import demonstrations
from frs_core.making.generalist.course import ExpertWorld, View, locations
from frs_core.making.generalist.demonstrations import make_shards
from frs_core.making.libero.concepts import DRAWERS, REGIONS, THINGS
from frs_core.making.libero.course import COURSE
from frs_core.policies.generalist.network import GeneralistNet
from frs_core.policies.generalist.pictures import to_network
from frs_core.policies.generalist.policy import Generalist, camera_mounts
from frs_core.policies.generalist.vocabulary import UNKNOWN
from frs_core.policies.libero import DESIGN
from frs_core.policies.libero.language import CONCEPTS, HELD_OUT, SHOWN, describe
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime.foreign import read_tensors
from frs_core.worlds.libero.tasks import find, tasks
from tests.fakes.libero_observation import libero_observation

VOCABULARY = DESIGN.vocabulary


def named(text: str) -> list[str]:
    return [CONCEPTS[concept] for concept, _, _ in VOCABULARY.mentions(VOCABULARY.tokenise(text))]


def test_every_task_of_libero_is_in_the_vocabulary_and_names_something() -> None:
    for task in tasks().values():
        ids = VOCABULARY.tokenise(task.words)
        assert not (ids == UNKNOWN).any(), task.words
        assert len(task.words.split()) <= VOCABULARY.longest, task.words
        assert named(task.words), task.words


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("put the black bowl at the back on the plate", ["black bowl 3", "plate 1"]),
        ("stack the middle black bowl on the back black bowl", ["black bowl 2", "black bowl 3"]),
        ("put the white bowl on top of the cabinet", ["white bowl", "cabinet"]),
        ("put the red mug on the right plate", ["red mug", "plate 2"]),
        ("turn on the stove and put the frying pan on it", ["knob", "frying pan"]),
        ("put the frying pan on the stove", ["frying pan", "stove"]),
        ("pick up the book and place it in the left compartment of the caddy", ["black book", "left compartment", "caddy"]),
        ("close the bottom drawer of the cabinet", ["bottom drawer"]),
        ("do something useful", []),
    ],
)  # fmt: skip
def test_the_longest_phrase_counts(text: str, objects: list[str]) -> None:
    assert named(text) == objects


def test_what_is_held_out_is_shown_in_no_scene() -> None:
    pairs = {tuple(named(find(name).words)[:2]) for name in SHOWN}
    # "To the left" and "to the right" of the plate name the same two objects.
    held = {tuple(named(find(name).words)[:2]) for name in HELD_OUT if name != "libero_90/69"}

    assert not pairs & held
    assert not set(SHOWN) & set(HELD_OUT)
    assert all(decoys and set(decoys) <= set(SHOWN) for decoys in HELD_OUT.values())


def test_decoys_are_of_the_same_scene() -> None:
    for name, decoys in HELD_OUT.items():
        scene = find(name).file.split("SCENE")[1].split("_")[0]
        assert {find(d).file.split("SCENE")[1].split("_")[0] for d in decoys} == {scene}


def test_descriptions_are_precise_vague_or_those_of_a_held_out_task() -> None:
    rng = np.random.default_rng(0)
    drawn = [describe(rng, "libero_90/29") for _ in range(1000)]
    is_vague = np.mean([not any(VOCABULARY.mentions(ids)) for ids in drawn])
    wrong = [tuple(ids) in {tuple(VOCABULARY.tokenise(find(n).words)) for n in HELD_OUT} for ids in drawn]

    assert 0.2 < is_vague < 0.35
    assert 0.08 < np.mean(wrong) < 0.22
    words = {tuple(ids) for ids in drawn}
    assert len(words) > 8
    drawn = [describe(rng, "libero_90/20") for _ in range(300)]
    assert not any(tuple(ids) in {tuple(VOCABULARY.tokenise(find(n).words)) for n in HELD_OUT} for ids in drawn)


def test_every_object_that_is_located_has_a_place_in_the_simulator() -> None:
    found = {*THINGS, *REGIONS, *DRAWERS, "knob", "microwave"}

    assert found == set(CONCEPTS)


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_places_follow_the_cameras_of_the_observation(turn: float) -> None:
    seen = libero_observation(turn=turn)
    points = np.tile([0.45, 0.12, 0.05], (len(CONCEPTS), 1))
    uv, visible = locations(DESIGN, seen, points)
    net = GeneralistNet(DESIGN)
    net.context.places.slopes.fill_(256 / 2 / 200.0)
    net.context.places.heights.fill_(0.05)
    at = torch.cat([torch.from_numpy(uv) * 2 - 1, torch.from_numpy(visible)[..., None].float()], dim=-1)[None]

    found = net.context.places.points(
        at, torch.from_numpy(seen.proprio)[None], torch.from_numpy(camera_mounts(DESIGN, seen)).float()[None]
    )

    assert visible.all()
    assert np.abs(found[0].numpy() - points).max() < 2e-3


def test_a_camera_without_calibration_is_refused() -> None:
    seen = libero_observation()
    frames = {c: CameraFrame(frame.image, 0) for c, frame in seen.frames.items()}
    policy = Generalist(GeneralistNet(DESIGN), fingerprint="random")
    bare = Observation(
        frames=frames,
        q=seen.q,
        dq=seen.dq,
        gripper=0.0,
        T_base_tcp=seen.T_base_tcp,
        instruction="put the bowl on the plate",
        captured_ns=0,
    )

    assert policy.encode(seen).features.shape == (policy.spec.feature_size,)
    with pytest.raises(ConfigError, match=r"'agentview' has none"):
        policy.encode(bare)


def test_mirrored_images_are_turned_back() -> None:
    image = np.zeros((256, 256, 3), dtype=np.uint8)
    image[:, :128] = 255

    assert to_network(DESIGN, image)[:, :50].max() == 0
    assert to_network(DESIGN, image)[:, 62:].min() == 255


class _Expert(ExpertWorld):
    """Stands in for LIBERO: every task is done after four steps."""

    def __init__(self) -> None:
        pass

    def concept_points(self) -> Array:
        raise NotImplementedError

    @property
    def may_be_shoved(self) -> bool:
        return False

    @property
    def is_success(self) -> bool:
        return True

    def begin(self, task: str, seed: int, rng: np.random.Generator) -> None:
        _begun.append(task)
        self._left = 4

    def act(self) -> Array | None:
        self._left -= 1
        return np.full(7, 0.01) if self._left >= 0 else None

    def step(self, action: Array) -> None:
        pass

    def has_succeeded(self) -> bool:
        return True

    def view(self) -> View:
        seen = libero_observation()
        points = np.full((len(CONCEPTS), 3), np.nan)
        uv, visible = locations(DESIGN, seen, points)
        images = {c: to_network(DESIGN, seen.frames[c].for_policy) for c in DESIGN.cameras}
        return View(seen, images, uv, visible)

    def take_over(self) -> None:
        raise NotImplementedError

    def observe(self) -> Observation:
        raise NotImplementedError

    def save(self) -> bytes:
        raise NotImplementedError

    def restore(self, state: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


_begun: list[str] = []


def test_demonstrations_of_one_task_come_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr(demonstrations, "EPISODES_PER_SHARD", 20)
    course = replace(COURSE, enter=_Expert, variation=replace(COURSE.variation, kept=1.0))
    make_shards(course, tmp_path, range(1))
    stored = read_tensors(tmp_path / "shard_0000.safetensors")

    assert _begun == [SHOWN[0]] * 8 + [SHOWN[1]] * 8 + [SHOWN[2]] * 4
    assert stored["task"].unique(return_counts=True)[1].tolist() == [32, 32, 16]
    assert stored["mounts"].shape == (80, 2, 3, 4)
    assert not stored["visible"].any()


def test_a_course_can_be_given_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(COURSE)).tasks == COURSE.tasks
