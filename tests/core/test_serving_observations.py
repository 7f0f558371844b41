"""Observations as messages."""

from dataclasses import replace

import numpy as np
import pytest

from frs_core.errors import ConfigError, MalformedMessage
from frs_core.robot import kinematics
from frs_core.robot.observation import Observation
from frs_core.wire.codec import pack, unpack
from frs_core.wire.observations import (
    blank_droid_message,
    droid_message,
    letterbox,
    pack_observation,
    read_droid,
    unpack_observation,
)
from tests.fakes.world import PointWorld


@pytest.fixture
def observation() -> Observation:
    return replace(PointWorld().observe(), gripper=0.25, gripper_command=1.0, extra={"secret": np.ones(3)})


def test_our_form_gives_back_everything_a_policy_may_look_at(observation: Observation) -> None:
    sent = unpack(pack(pack_observation(observation, cameras=("left", "wrist"))))
    read = unpack_observation(sent)
    assert set(read.frames) == {"left", "wrist"}
    for name in ("q", "dq", "T_base_tcp", "proprio"):
        np.testing.assert_array_equal(getattr(read, name), getattr(observation, name))
    for name in ("gripper", "gripper_command", "instruction", "captured_ns", "step"):
        assert getattr(read, name) == getattr(observation, name)
    for name, frame in read.frames.items():
        original = observation.frames[name]
        np.testing.assert_array_equal(frame.image, original.image)
        assert frame.captured_ns == original.captured_ns
        assert frame.calibration is not None
        assert original.calibration is not None
        np.testing.assert_array_equal(frame.calibration.T_base_camera, original.calibration.T_base_camera)


def test_success_and_extra_readings_stay_at_home(observation: Observation) -> None:
    text = repr(pack_observation(observation, cameras=("left",)))
    assert "success" not in text
    assert "secret" not in text


def test_a_missing_camera_is_named(observation: Observation) -> None:
    with pytest.raises(ConfigError, match="'top'"):
        pack_observation(observation, cameras=("left", "top"))
    with pytest.raises(ConfigError, match="'ego'"):
        droid_message(observation, exterior="left", wrist="ego")


def test_the_droid_form_has_openpis_five_keys_shapes_and_types(observation: Observation) -> None:
    message = droid_message(observation, exterior="left", wrist="wrist")
    assert set(message) == set(blank_droid_message())
    for key, blank in blank_droid_message().items():
        if isinstance(blank, np.ndarray):
            assert message[key].shape == blank.shape
            assert message[key].dtype == blank.dtype
    assert message["observation/gripper_position"].tolist() == [0.25]
    assert message["prompt"] == observation.instruction


def test_a_droid_message_becomes_an_observation_with_the_tool_where_the_joints_put_it(observation: Observation) -> None:
    message = unpack(pack(droid_message(observation, exterior="left", wrist="wrist")))
    read = read_droid(message, cameras=("left", "right", "wrist"))
    np.testing.assert_allclose(read.T_base_tcp, observation.T_base_tcp, atol=1e-9)
    np.testing.assert_array_equal(read.frames["left"].image, read.frames["right"].image)
    np.testing.assert_array_equal(read.frames["wrist"].image, message["observation/wrist_image_left"])
    assert np.all((read.q > kinematics.Q_LOW) & (read.q < kinematics.Q_HIGH))


def test_float_and_channels_first_pictures_are_read_as_openpi_reads_them() -> None:
    message = blank_droid_message()
    message["observation/wrist_image_left"] = np.full((3, 20, 30), 0.5, dtype=np.float32)
    image = read_droid(message, cameras=("wrist",)).frames["wrist"].image
    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert set(image.ravel()) == {127}


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16])
def test_whole_numbers_from_0_to_255_are_a_picture_in_any_type(kind) -> None:
    given = np.arange(4 * 4 * 3).reshape(4, 4, 3) * 5
    message = blank_droid_message() | {"observation/wrist_image_left": given.astype(kind)}
    np.testing.assert_array_equal(read_droid(message, cameras=("wrist",)).frames["wrist"].image, given)


def test_a_picture_out_of_range_is_refused_with_its_type_and_range() -> None:
    message = blank_droid_message() | {"observation/wrist_image_left": np.full((4, 4, 3), 128.0)}
    with pytest.raises(MalformedMessage, match=r"float64 from 128 to 128, expected 0 to 1\. Send uint8"):
        read_droid(message, cameras=("wrist",))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("observation/joint_position", np.zeros(6)),
        ("observation/joint_position", np.full(7, np.nan)),
        ("observation/joint_position", "left"),
        ("observation/joint_position", np.zeros(7, dtype=bool)),
        ("observation/joint_position", ["0.1"] * 7),
        ("observation/joint_position", [2**70] * 7),
        ("observation/joint_position", np.array([0.0, -36, 0, -144, 0, 108, 0])),
        ("observation/gripper_position", np.zeros(0)),
        ("observation/gripper_position", np.zeros(2)),
        ("observation/gripper_position", np.array([80.0])),
        ("observation/gripper_position", True),
        ("prompt", b"caf\xe9"),
        ("observation/wrist_image_left", np.zeros((4, 4))),
        ("observation/wrist_image_left", np.full((4, 4, 3), 256, dtype=np.int64)),
        ("observation/wrist_image_left", np.full((4, 4, 3), -1, dtype=np.int32)),
        ("observation/wrist_image_left", np.full((4, 4, 3), 128.0)),
        ("observation/wrist_image_left", np.full((4, 4, 3), -0.5, dtype=np.float32)),
        ("observation/wrist_image_left", np.full((4, 4, 3), np.nan)),
        ("observation/wrist_image_left", np.zeros((4, 4, 3), dtype=bool)),
        ("observation/wrist_image_left", np.zeros((0, 4, 3), dtype=np.uint8)),
        ("observation/wrist_image_left", None),
        ("prompt", 7),
        ("prompt", "x" * 5000),
    ],
)
def test_nonsense_in_a_droid_message_is_named(key: str, value: object) -> None:
    with pytest.raises(MalformedMessage, match=key):
        read_droid(blank_droid_message() | {key: value}, cameras=("left", "wrist"))


@pytest.mark.parametrize(("key", "value"), [("q", np.full(7, 90.0)), ("gripper", 80.0)])
def test_degrees_and_millimetres_are_refused_in_our_form_too(observation: Observation, key: str, value: object) -> None:
    message = pack_observation(observation, cameras=("left",)) | {key: value}
    with pytest.raises(MalformedMessage, match=rf"`{key}`.*Such numbers are usually"):
        unpack_observation(message)


@pytest.mark.parametrize("shape", [(720, 1280), (480, 640), (100, 60), (224, 225), (3, 999)])
def test_letterbox_keeps_proportions_and_averages_what_it_shrinks(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    boxed = letterbox(image, size=(224, 224))
    assert boxed.shape == (224, 224, 3)
    filled = np.argwhere(boxed.any(axis=2))
    rows, columns = np.ptp(filled, axis=0) + 1
    ratio = max(shape[0] / 224, shape[1] / 224)
    assert (rows, columns) == (max(1, int(shape[0] / ratio)), max(1, int(shape[1] / ratio)))
    top, left = filled.min(axis=0)
    assert abs(top - (224 - rows - top)) <= 1
    assert abs(left - (224 - columns - left)) <= 1
    inside = boxed[top : top + rows, left : left + columns].astype(float)
    assert abs(inside.mean() - image.mean()) < 3
    if ratio > 2:
        assert inside.std() < 0.6 * image.astype(float).std()


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    image = np.zeros((224, 224, 3), dtype=np.uint8)
    assert letterbox(image, size=(224, 224)) is image


def test_an_image_that_is_no_array_is_said_to_be_none() -> None:
    message = {**blank_droid_message(), "observation/exterior_image_1_left": b"jpeg"}
    with pytest.raises(MalformedMessage, match="exterior_image_1_left` is bytes, expected an array uint8"):
        read_droid(message, cameras=("left", "wrist"))
