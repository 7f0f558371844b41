"""Images as files: exact where promised, and damaged files are refused, whatever the damage."""

import cv2
import numpy as np
import pytest

from frs_core.runtime import image_files


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_files_are_those_of_opencv(image: np.ndarray) -> None:
    np.testing.assert_array_equal(image_files.decode(image_files.png(image)), image)
    ours = image_files.jpeg(image, quality=95, is_444=True)
    np.testing.assert_array_equal(
        image_files.decode(ours), cv2.imdecode(np.frombuffer(ours, np.uint8), cv2.IMREAD_COLOR_RGB)
    )
    # Rows and columns of another array are read in their own order.
    np.testing.assert_array_equal(image_files.decode(image_files.png(image[::-1, ::2])), image[::-1, ::2])


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_damaged_file_is_refused_or_still_an_image(kind: str, image: np.ndarray) -> None:
    whole = image_files.png(image) if kind == "png" else image_files.jpeg(image, quality=90)
    rng = np.random.default_rng(1)
    for data in (b"", b"\xff\xd8\xff", whole[:20], whole[: len(whole) // 2], b"GIF89a" + bytes(40)):
        with pytest.raises(ValueError, match="not an image"):
            image_files.decode(data)
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 3):
            data[at] = rng.integers(256)
        try:
            assert image_files.decode(bytes(data)).shape[2] == 3
        except ValueError:
            continue


def test_a_bomb_is_refused_before_memory_is_taken(image: np.ndarray) -> None:
    bomb = bytearray(image_files.png(image))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="not an image"):
        image_files.decode(bytes(bomb))


def test_a_pixel_is_the_mean_of_those_it_covers() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[:2, :2] = [[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]]
    assert image_files.shrink(image, size=(2, 2))[..., 0].tolist() == [[100, 0], [0, 0]]
