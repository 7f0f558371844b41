"""Images go to the input that names them, never to the next one in line."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from frs_core.errors import ConfigError
from frs_core.steering.camera_pairing import (
    DROID_NAMES,
    LIBERO_NAMES,
    CamerasOption,
    Pairing,
    cameras_of,
    is_exterior,
    is_wrist,
    pair_cameras,
)

OPENPI = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
PORT = ("wrist_left", "exterior_1_left", "exterior_2_left")


def paired(
    inputs: Sequence[str], cameras: CamerasOption | None = None, *, renamed: dict[str, str] | None = None
) -> Pairing:
    return pair_cameras(
        inputs,
        cameras=cameras,
        usual=("left", "right", "wrist"),
        names=DROID_NAMES,
        masked=("right_wrist_0_rgb",),
        renamed=renamed,
    )


@pytest.mark.parametrize("order", list(permutations(PORT)))
def test_the_order_of_inputs_is_kept_and_decides_nothing(order: tuple[str, ...]) -> None:
    meant = {"wrist_left": "wrist", "exterior_1_left": "left", "exterior_2_left": "right"}
    inputs = [f"observation.images.{name}" for name in order]
    assert paired(inputs) == tuple((name, meant[o]) for name, o in zip(inputs, order, strict=True))


def test_openpis_inputs_are_filled_as_its_own_client_fills_them() -> None:
    pairing = paired(OPENPI)
    assert pairing == tuple(zip(OPENPI, ("left", "wrist", "none"), strict=True))
    assert cameras_of(pairing) == ("left", "wrist")
    assert paired(("exterior_image_1_left", "wrist_image_left")) == (
        ("exterior_image_1_left", "left"),
        ("wrist_image_left", "wrist"),
    )


def test_the_order_in_which_cameras_are_listed_decides_nothing() -> None:
    assert paired(OPENPI, ("wrist", "right")) == paired(OPENPI, "right, wrist")
    assert cameras_of(paired(OPENPI, ("wrist", "right"))) == ("right", "wrist")


def test_liberos_names_are_known_for_liberos_policies_only() -> None:
    inputs = ("observation.images.image", "observation.images.image2")
    pairing = pair_cameras(inputs, cameras=None, usual=("agentview", "wrist"), names=LIBERO_NAMES)
    assert cameras_of(pairing) == ("agentview", "wrist")
    with pytest.raises(ConfigError, match="which camera"):
        paired(inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        ("observation.images.top",),
        ("observation.images.cam_high", "observation.images.wrist"),
        ("observation.images.cam_left_wrist", "observation.images.cam_right_wrist"),
        ("observation.images.wrist_1", "observation.images.wrist_2"),
        ("base_0_rgb", "exterior_image_1_left"),
        (),
    ],
)
def test_what_names_do_not_tell_is_asked_for_with_both_lists(inputs: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        paired(inputs)
    text = str(caught.value)
    assert f"the policy's image inputs are {', '.join(inputs) or 'none'}" in text
    assert "the world's cameras left, right, wrist" in text


def test_a_pairing_settles_what_names_do_not() -> None:
    inputs = ("observation.images.top", "observation.images.wrist")
    expected = (("observation.images.top", "right"), ("observation.images.wrist", "wrist"))
    assert paired(inputs, "top=right") == expected
    assert paired(inputs, "top=right, wrist=wrist") == expected
    assert paired(inputs, {"observation.images.top": "right"}) == expected
    assert cameras_of(paired(inputs, "top=none")) == ("wrist",)
    assert cameras_of(paired(OPENPI, "base_0_rgb=overhead")) == ("overhead", "wrist")


@pytest.mark.parametrize(
    ("cameras", "sentence"),
    [
        ("bottom=left", "no image input 'bottom'"),
        ("base_0_rgb=wrist", "Camera wrist would fill base_0_rgb, left_wrist_0_rgb at once"),
        ("base_0_rgb=none,left_wrist_0_rgb=none", "No camera would be looked at"),
        ("base_0_rgb=left,wrist", "expected one input=camera"),
        ("base_0_rgb=left,base_0_rgb=right", "expected one input=camera"),
        ("base_0_rgb=left,observation.images.base_0_rgb=right", "name an image input twice"),
        (("left", "overhead"), "which camera left_wrist_0_rgb is"),
        (("front", "side", "wrist"), "which camera base_0_rgb is"),
    ],
)
def test_a_pairing_that_does_not_fit_is_refused(cameras: CamerasOption, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        paired(OPENPI, cameras)


def test_a_checkpoint_that_renames_its_pictures_is_read_by_what_they_were() -> None:
    inputs = ("observation.images.camera1", "observation.images.camera2")
    before = {inputs[0]: "observation.images.wrist_left", inputs[1]: "observation.images.exterior_1_left"}
    assert cameras_of(paired(inputs, renamed=before)) == ("wrist", "left")
    with pytest.raises(ConfigError, match="which camera base_0_rgb"):
        paired(OPENPI, renamed={"base_0_rgb": "observation.images.wrist_left"})


WRISTS = (
    "wrist",
    "Wrist",
    "WRIST",
    "wrist-cam",
    "cam.wrist",
    "cam/wrist",
    "wristCam",
    "CAMWrist",
    "handEye",
    "eye_in_hand",
)
EXTERIORS = ("left", "overhead", "agentview", "cam0", "front-cam")
UNCLEAR = (
    "wristband_cam",
    "not_wrist",
    "no-wrist",
    "nonWrist",
    "nonwrist",
    "wrist2",
    "handle",
    "overhand_view",
    "beforehand",
    "WRISTCAM",
    "gripper_cam",
    "eefCam",
)


@pytest.mark.parametrize("name", [*WRISTS, *EXTERIORS, *UNCLEAR])
def test_only_whole_words_say_where_a_camera_is(name: str) -> None:
    assert (is_wrist(name), is_exterior(name)) == (name in WRISTS, name in EXTERIORS)


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_name_that_is_unclear_fills_no_input_unless_somebody_says_so(name: str) -> None:
    for cameras in ((name, "wrist"), ("left", name), (name,)):
        with pytest.raises(ConfigError, match="which camera"):
            paired(OPENPI, cameras)
    with pytest.raises(ConfigError, match="which camera"):
        paired((f"observation.images.{name}", "base_0_rgb"))
    said = paired(OPENPI, f"base_0_rgb=left,left_wrist_0_rgb={name}")
    assert cameras_of(said) == ("left", name)


@pytest.mark.parametrize("name", ["wristImage", "wrist.image", "left-wrist", "Wrist_Left", "leftWrist"])
def test_an_input_that_says_wrist_in_a_word_of_its_own_gets_the_wrist(name: str) -> None:
    assert cameras_of(paired((f"observation.images.{name}",))) == ("wrist",)


@pytest.mark.parametrize("name", ["rightWrist", "wrist_right", "right-wrist"])
def test_the_other_arms_wrist_is_nobodys(name: str) -> None:
    with pytest.raises(ConfigError, match="which camera"):
        paired((f"observation.images.{name}",))
