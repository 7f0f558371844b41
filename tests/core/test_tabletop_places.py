"""Triangulation: exact where cameras see, sensible where they do not; the nouns of an instruction, looked up."""

import numpy as np
import pytest
import torch
from torch import Tensor

from frs_core.arrays import Array
from frs_core.making.generalist.make import fit_places
from frs_core.making.tabletop.course import COURSE
from frs_core.policies.generalist.network import GeneralistNet
from frs_core.policies.generalist.places import PLACE, Places
from frs_core.policies.tabletop import DESIGN
from frs_core.robot.observation import Observation
from frs_core.worlds.tabletop import TabletopWorld

CAMERAS, CONCEPTS, VOCABULARY = DESIGN.cameras, DESIGN.concepts, DESIGN.vocabulary
LEFT, WRIST = CAMERAS.index("left"), CAMERAS.index("wrist")


@pytest.fixture(scope="module")
def observation() -> Observation:
    return TabletopWorld(cameras=CAMERAS).reset(task="mug_on_plate", seed=3)


@pytest.fixture(scope="module")
def places() -> Places:
    net = GeneralistNet(DESIGN)
    fit_places(net, COURSE)
    return net.context.places


def look(observation: Observation, points: Array) -> Tensor:
    """Return where each camera sees the points, as the vision would say it if it were sure of everything [1, K, C, 3]."""
    seen = torch.ones(1, len(points), len(CAMERAS), 3)
    for c, camera in enumerate(CAMERAS):
        calibration = observation.frames[camera].calibration
        assert calibration is not None
        pixels, is_front = calibration.project(points)
        assert is_front.all()
        at = (pixels + 0.5) / [calibration.width, calibration.height]
        seen[0, :, c, :2] = torch.from_numpy(at * 2 - 1).float()
    return seen


def around(observation: Observation, places: Places) -> Array:
    """Return points around and below the tool, each at the height where that object rests."""
    points = np.tile(observation.p_tcp, (len(CONCEPTS), 1)) + np.linspace(
        [0.02, -0.05, 0], [0.12, 0.05, 0], len(CONCEPTS)
    )
    points[:, 2] = places.heights.numpy()
    return points


def test_points_that_both_cameras_see_are_found_at_any_height(observation: Observation, places: Places) -> None:
    points = around(observation, places)
    points[:, 2] += 0.02
    found = places.points(look(observation, points), torch.from_numpy(observation.proprio)[None])[0].numpy()

    assert np.abs(found - points).max() < 1e-3


@pytest.mark.parametrize("blind", [LEFT, WRIST])
def test_one_camera_is_enough_for_what_stands_on_the_table(
    observation: Observation, places: Places, blind: int
) -> None:
    points = around(observation, places)
    seen = look(observation, points)
    seen[:, :, blind] = torch.tensor([0.9, -0.9, 0.0])

    found = places.points(seen, torch.from_numpy(observation.proprio)[None])[0].numpy()

    assert np.abs(found - points).max() < 2e-3


def test_a_camera_that_is_hardly_sure_moves_little(observation: Observation, places: Places) -> None:
    points = around(observation, places)
    seen = look(observation, points)
    seen[:, :, WRIST, 0] += 0.3
    seen[:, :, WRIST, 2] = 0.1

    found = places.points(seen, torch.from_numpy(observation.proprio)[None])[0].numpy()

    assert np.abs(found - points).max() < 5e-3


def test_places_of_unseen_objects_are_finite(observation: Observation, places: Places) -> None:
    seen = torch.zeros(1, len(CONCEPTS), len(CAMERAS), 3)

    numbers = places(seen, torch.from_numpy(observation.proprio)[None])

    assert numbers.shape == (1, len(CONCEPTS), PLACE)
    assert torch.isfinite(numbers).all()


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("put the mug on the plate", ["mug", "plate"]),
        ("place the milk carton on the wooden stand", ["carton", "stand"]),
        ("move the milk to the red basket", ["carton", "basket"]),
        ("open the drawer", ["drawer"]),
        ("something red", []),
        ("", []),
    ],
)
def test_the_objects_that_the_words_name_are_looked_up_in_order(text: str, objects: list[str]) -> None:
    rows = VOCABULARY.named(torch.from_numpy(VOCABULARY.tokenise(text))[None], 2)[0]

    assert [CONCEPTS[int(row.argmax())] for row in rows if row.any()] == objects
    assert rows.sum() == len(objects)
