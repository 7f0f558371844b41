"""From one live observation to the small network's inputs, the same way the table was made."""

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.errors import ConfigError, ShapeMismatch
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.network import Inputs
from frs_core.learning.settings import InputSettings
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context


def small_image(image: UInt8[Array, "H W 3"], size: int) -> UInt8[Array, "S S 3"]:
    """Return the image's centre square at `size` pixels, area-averaged."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    return square if side == size else cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)


def small_images(observation: Observation, settings: InputSettings) -> UInt8[Array, "V S S 3"]:
    """Return the images of the cameras that the network uses.

    Raises:
        ConfigError: a camera is missing.
    """
    missing = [name for name in settings.cameras if name not in observation.frames]
    if missing:
        raise ConfigError(
            f"The noise policy uses cameras {list(settings.cameras)}, the world has {sorted(observation.frames)}. "
            f"Use a world with {missing}."
        )
    return np.stack([small_image(observation.frames[c].for_policy, settings.image_size) for c in settings.cameras])


def live_inputs(
    context: Context,
    observation: Observation,
    settings: InputSettings,
    metadata: PolicyMetadata,
    *,
    device: torch.device,
) -> Inputs:
    """Return a batch of one.

    Raises:
        ShapeMismatch: features or proprioception do not have the trained length.
    """
    features = _checked(context.features, metadata.feature_size, "features") if settings.features else np.zeros(0)
    proprio = (
        _checked(observation.proprio, metadata.proprio_size, "proprioception") if settings.proprio else np.zeros(0)
    )
    images = torch.from_numpy(small_images(observation, settings))[None].to(device) if settings.cameras else None
    return Inputs(_row(features, device), _row(proprio, device), images)


def _checked(values: Float[Array, " n"], size: int, what: str) -> Float[Array, " n"]:
    if values.shape != (size,):
        raise ShapeMismatch(
            f"The noise policy was trained on {size} numbers of {what}, got {values.shape}. Train it again with this policy."
        )
    return values


def _row(values: Array, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None].to(device)
