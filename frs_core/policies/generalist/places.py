"""Where every known object is, relative to the tool: triangulated from its locations in the images.

Problem: a network that is given two image positions and joint angles has to learn triangulation from examples, and learns it
to about a centimetre, which is what a grasp has to spare. Idea: the cameras' poses are known (one is fixed, the other moves
with the tool), so the point nearest to both rays is computed. Rays count by how sure the vision is and by their precision at
that distance; a weak prior on the height decides where only one camera sees the object.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from frs_core.policies.generalist.design import Design

PLACE = 12
"""Numbers per object: offset from the tool (coarse and fine), position in the base frame, how sure each camera is, and either."""

_IMAGE_NOISE = 0.006
"""Standard deviation of a location in an image, in half image sizes."""
_DOUBT = 4
"""Power of presence by which a ray counts: a camera that is half sure is mostly wrong."""
_CENTRE_NOISE = 1.0
"""Metres; so weak that it matters for unseen objects only."""
_NEAREST, _FARTHEST = 0.05, 2.0
"""Bounds of the first guess of an object's distance from a camera, metres."""
_COARSE, _FINE, _SPREAD = 0.15, 0.03, 0.2
"""Scales of coarse and fine offsets and of positions, metres."""


class Places(nn.Module):
    """Triangulation with the cameras' calibrations as buffers, which belong to the weights (float32)."""

    mounts: Tensor
    slopes: Tensor
    heights: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        count = len(design.cameras)
        self._height_noise, self._centre = design.height_noise, design.centre
        self._on_tool = torch.tensor([camera == design.on_tool for camera in design.cameras])
        self.register_buffer("mounts", torch.eye(4)[:3].repeat(count, 1, 1))
        self.register_buffer("slopes", torch.ones(count))
        self.register_buffer("heights", torch.zeros(len(design.concepts)))

    def set_cameras(self, mounts: Float[Tensor, "C 3 4"], slopes: Float[Tensor, " C"]) -> None:
        """Set the calibrations.

        Args:
            mounts: camera poses (OpenCV axes), of the wrist camera in the tool frame, of others in the base frame; metres.
            slopes: tangent of half of each field of view.
        """
        self.mounts.copy_(mounts)
        self.slopes.copy_(slopes)

    def forward(
        self,
        seen: Float[Tensor, "N K C 3"],
        proprio: Float[Tensor, "N 18"],
        mounts: Float[Tensor, "N C 3 4"] | None = None,
    ) -> Float[Tensor, "N K 12"]:
        """Return the numbers that describe each object's place.

        Args:
            seen: location in each image, -1 to 1 from left to right and from top to bottom, and presence, 0 to 1.
            proprio: of the observation, as measured.
            mounts: where the cameras are, see `set_cameras`; None = where they were set.
        """
        points = self.points(seen, proprio, mounts)
        offset = points - proprio[:, None, 9:12]
        position = (points - points.new_tensor(self._centre)) / _SPREAD
        presence = seen[..., 2]
        either = 1 - (1 - presence).prod(-1, keepdim=True)
        return torch.cat(
            [(offset / _COARSE).clamp(-4, 4), (offset / _FINE).tanh(), position.clamp(-4, 4), presence, either], dim=-1
        )

    def points(
        self,
        seen: Float[Tensor, "N K C 3"],
        proprio: Float[Tensor, "N 18"],
        mounts: Float[Tensor, "N C 3 4"] | None = None,
    ) -> Float[Tensor, "N K 3"]:
        """Return each object's position in the base frame, metres; see `forward`."""
        origins, rays = self._rays(seen, proprio, self.mounts if mounts is None else mounts)
        down = rays[..., 2].clamp(max=-0.05)
        distance = ((self.heights[:, None] - origins[..., 2]) / down).clamp(_NEAREST, _FARTHEST)
        spread = _IMAGE_NOISE * self.slopes * distance
        weight = seen[..., 2] ** _DOUBT / spread**2
        across = torch.eye(3, device=rays.device) - rays[..., :, None] * rays[..., None, :]
        across = across * weight[..., None, None]
        prior = torch.full((3,), _CENTRE_NOISE**-2, device=rays.device)
        centre = prior * prior.new_tensor(self._centre)
        matrix = across.sum(2) + torch.diag(prior)
        target = (across @ origins[..., None]).squeeze(-1).sum(2) + centre
        matrix[..., 2, 2] += self._height_noise**-2
        target[..., 2] += self.heights * self._height_noise**-2
        return torch.linalg.solve(matrix, target)

    def _rays(
        self, seen: Float[Tensor, "N K C 3"], proprio: Float[Tensor, "N 18"], mounts: Float[Tensor, "*N C 3 4"]
    ) -> tuple[Float[Tensor, "N K C 3"], Float[Tensor, "N K C 3"]]:
        """Return where each ray begins, and its direction of length 1, both in the base frame."""
        x, y = proprio[:, 12:15], proprio[:, 15:18]
        tool = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)[:, None]
        turn, shift = mounts[..., :3], mounts[..., 3]
        on_tool = self._on_tool.to(seen.device)[:, None]
        turn = torch.where(on_tool[..., None], tool @ turn, turn)
        moved = (tool @ shift[..., None]).squeeze(-1) + proprio[:, None, 9:12]
        shift = torch.where(on_tool, moved, shift)
        ahead = torch.cat([seen[..., :2] * self.slopes[:, None], torch.ones_like(seen[..., :1])], dim=-1)
        rays = (turn[:, None] @ ahead[..., None]).squeeze(-1)
        rays = rays / rays.norm(dim=-1, keepdim=True)
        return shift[:, None].expand_as(rays), rays
