"""Encode images as JPEG and PNG files in memory, decode them, shrink them.

Pillow is used, not OpenCV: its JPEG files are the same byte for byte and its decoded images pixel for pixel, and with it the cockpit
does without OpenCV's 150 MB. Both release the GIL. Pillow is imported with the first image, not with the window.

Example: `decode(png(image))` equals `image`. Any thread.
"""

import io
import struct

import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array

_RLE = 3
"""zlib's strategy for image rows: 3.5 ms and 87 kB per noisy 224 x 224 image, the default strategy 4.5 ms and 99 kB."""
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error)
"""What Pillow raises for damaged files. An image of more than 179 million pixels is refused with a ValueError below."""


def jpeg(image: UInt8[Array, "H W 3"], *, quality: int, is_444: bool = False) -> bytes:
    """Return an RGB image as JPEG.

    Args:
        image: RGB.
        quality: 1 to 100.
        is_444: keep the colour of every pixel; otherwise that of each 2 x 2.
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=quality, subsampling=0 if is_444 else 2)
    return file.getvalue()


def png(image: UInt8[Array, "H W 3"]) -> bytes:
    """Return an RGB image as PNG, exact."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", compress_level=1, compress_type=_RLE)
    return file.getvalue()


def decode(data: bytes) -> UInt8[Array, "H W 3"]:
    """Return the RGB image of a JPEG or PNG file.

    Raises:
        ValueError: not a whole image, or more than 179 million pixels.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            return np.array(image.convert("RGB"))
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"not an image of {len(data)} bytes: {error}") from error


def shrink(image: UInt8[Array, "H W 3"], *, size: tuple[int, int]) -> UInt8[Array, "h w 3"]:
    """Return the image at another size, every new pixel the mean of those it covers.

    Args:
        image: RGB.
        size: (height, width), pixels.
    """
    from PIL import Image

    scaled = Image.fromarray(np.ascontiguousarray(image)).resize((size[1], size[0]), resample=Image.Resampling.BOX)
    return np.array(scaled)
