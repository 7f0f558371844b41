"""Preprocess camera images for the generalist, in training and at inference. Needs no simulator."""

import cv2
import numpy as np
from torch import Tensor

from frs_core.arrays import Array
from frs_core.policies.generalist.design import IMAGE_SIZE, Design


def to_network(design: Design, image: Array) -> Array:
    """Return a world's image for policies [H, W, 3] at the generalist's size, averaged over pixel areas, and not mirrored."""
    image = image[:, ::-1] if design.is_mirrored else image
    return cv2.resize(np.ascontiguousarray(image), (IMAGE_SIZE[1], IMAGE_SIZE[0]), interpolation=cv2.INTER_AREA)


def to_input(images: Tensor) -> Tensor:
    """Return uint8 [N, H, W, 3] as float [N, 3, H, W] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0
