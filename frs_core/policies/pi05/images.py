"""Convert camera frames to the vision tower's input: square, padded, in -1..1.

Two ways of resizing exist, and a checkpoint expects the one it was trained with: openpi's filters before it subsamples
(as image editors do, rounded to bytes), LeRobot's interpolates four neighbours. Both keep the aspect ratio and pad with black.

Example: a 720 x 1280 frame becomes 126 x 224 between two black bars of 49 rows. Runs on the inference worker.
"""

import enum

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from frs_core.arrays import Array
from frs_core.wire.observations import letterbox


class Resize(enum.Enum):
    """How an image is resized."""

    FILTERED = "filtered"
    """Pillow's bilinear filter, bit by bit. Source: openpi_client image_tools."""
    SAMPLED = "sampled"
    """Bilinear without antialiasing. Source: LeRobot vla_utils.resize_with_pad_torch."""


def to_tower(
    image: UInt8[Array, "h w 3"], size: int, *, rule: Resize, device: torch.device | str = "cpu"
) -> Float[Tensor, "3 S S"]:
    """Return one frame for the vision tower, RGB in -1..1.

    Args:
        image: RGB.
        size: side of the square, pixels.
        rule: the checkpoint's way of resizing.
        device: where the result is computed.
    """
    if rule is Resize.FILTERED:
        image = letterbox(image, size=(size, size))
    x = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float()
    height, width = x.shape[-2:]
    ratio = max(width / size, height / size)
    new_height, new_width = int(height / ratio), int(width / ratio)
    if (height, width) != (size, size):
        x = F.interpolate(x, size=(new_height, new_width), mode="bilinear", align_corners=False).clamp(0.0, 255.0)
        top, left = (size - new_height) // 2, (size - new_width) // 2
        x = F.pad(x, (left, size - new_width - left, top, size - new_height - top))
    return x[0] / 127.5 - 1.0
