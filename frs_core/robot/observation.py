"""What is observed at one instant: images and robot state.

Frames: `base` is the robot's base (x forward, y left, z up, metres). A camera's frame is OpenCV's (x right, y down,
z forward). `T_a_b` maps points of b into a. The tool centre point (tcp) lies between the finger tips.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from frs_core.arrays import Array
from frs_core.errors import ConfigError, PolicyError

_SKEW = 0.01
"""How far a camera's axes may be from unit length and right angles; three digits of a hand-written matrix are within 0.001."""

FULL_TURN = 2 * np.pi
"""rad; the joint limits of Franka arms end at 4.5, so larger numbers are of another unit."""
WIDEST_GRIPPER = 5.0
"""Grippers report up to 1.05, and policies ask for a little more; millimetres, percent and motor steps go up to 80 and above. Guess."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Pinhole model of one camera at the size of its frames."""

    K: Float[Array, "3 3"]
    """Intrinsics in pixels; pixel centres at integer coordinates."""
    T_base_camera: Float[Array, "4 4"]
    """Camera pose in the base frame."""
    width: int
    height: int
    made_at: float | None = None
    """Unix time of the calibration; None when exact by construction (simulation)."""

    def __post_init__(self) -> None:
        if self.K.shape != (3, 3) or self.T_base_camera.shape != (4, 4):
            raise ConfigError(
                f"Calibration needs K (3, 3) and T_base_camera (4, 4), got {self.K.shape} and "
                f"{self.T_base_camera.shape}. Re-run the camera calibration."
            )
        if not (np.isfinite(self.K).all() and np.isfinite(self.T_base_camera).all()):
            raise ConfigError("Calibration holds non-finite numbers. Re-run the camera calibration.")
        R = self.T_base_camera[:3, :3]
        if np.abs(R.T @ R - np.eye(3)).max() > _SKEW or np.linalg.det(R) < 0:
            kind = "mirrors" if np.linalg.det(R) < 0 else "stretches or shears"
            raise ConfigError(
                f"Calibration's T_base_camera {kind} space, expected a rotation and a shift. Check the order of axes and of rows and columns "
                f"(OpenCV: x right, y down, z forward), or re-run the camera calibration."
            )
        if self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise ConfigError(
                f"Calibration's K has focal lengths {self.K[0, 0]:g} and {self.K[1, 1]:g}, expected pixels above 0. Re-run the camera calibration."
            )

    def project(self, p: Float[Array, "*n 3"]) -> tuple[Float[Array, "*n 2"], Bool[Array, "*n"]]:
        """Return pixels of points in the base frame, and which lie in front of the camera (> 1 cm).

        Args:
            p: points in the base frame, metres.
        Returns:
            uv (x right, y down; NaN where behind the camera) and the in-front mask.
        """
        rotation, centre = self.T_base_camera[:3, :3], self.T_base_camera[:3, 3]
        in_camera = (np.asarray(p, dtype=np.float64) - centre) @ rotation
        depth = in_camera[..., 2]
        is_front = np.asarray(depth > 0.01)
        homogeneous = in_camera @ self.K.T
        with np.errstate(divide="ignore", invalid="ignore"):
            uv = homogeneous[..., :2] / homogeneous[..., 2:]
        return np.where(is_front[..., None], uv, np.nan), is_front

    def on_plane(self, uv: tuple[float, float], height: float) -> tuple[float, float, float] | None:
        """Return the point of a horizontal plane that a pixel shows, base frame, metres; None where it shows none.

        Args:
            uv: pixel, x right and y down.
            height: of the plane, base frame, metres.
        """
        ray = self.T_base_camera[:3, :3] @ np.linalg.solve(self.K, np.array([uv[0], uv[1], 1.0]))
        centre = self.T_base_camera[:3, 3]
        along = (height - centre[2]) / ray[2] if abs(ray[2]) > 1e-9 else -1.0
        if along <= 0:
            return None
        x, y, _ = (centre + along * ray).tolist()
        return x, y, height


@dataclass(frozen=True, slots=True, eq=False)
class CameraFrame:
    """One image with its time and, where known, its calibration."""

    image: UInt8[Array, "H W 3"]
    """RGB, upright and as the world is: what people see, what the calibration is of."""
    captured_ns: int
    """time.monotonic_ns() of the exposure."""
    calibration: Calibration | None = None
    policy_image: UInt8[Array, "h w 3"] | None = None
    """RGB that policies are given instead of `image`, where a public benchmark trained them on another (mirrored, smaller)."""
    is_glance: bool = False
    """Made for people alone, during a chunk: no policy may look at it."""
    display: UInt8[Array, "H2 W2 3"] | None = None
    """RGB, the view of `image` at about the size it is shown: for screens alone, neither recorded nor given to a policy."""

    @property
    def shown(self) -> UInt8[Array, "H3 W3 3"]:
        """What a screen shows."""
        return self.image if self.display is None else self.display

    @property
    def for_policy(self) -> UInt8[Array, "h w 3"]:
        """What a policy looks at.

        Raises:
            PolicyError: this frame was made for people alone.
        """
        if self.is_glance:
            raise PolicyError("A frame made for people in mid-chunk was given to a policy. Observe the world first.")
        return self.image if self.policy_image is None else self.policy_image


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Everything a policy may look at, plus what is needed to draw and to check limits."""

    frames: Mapping[str, CameraFrame]
    q: Float[Array, " 7"]
    """Joint positions, rad."""
    dq: Float[Array, " 7"]
    """Joint velocities, rad/s."""
    gripper: float
    """0 = open, 1 = closed (measured)."""
    T_base_tcp: Float[Array, "4 4"]
    instruction: str
    captured_ns: int
    """time.monotonic_ns() of the state; frames carry their own."""
    step: int = 0
    """Control steps since the episode began."""
    gripper_command: float = 0.0
    """Last commanded gripper position, 0..1."""
    success: bool | None = None
    """Whether the world sees its task done; None where the world cannot tell."""
    extra: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    """World-specific readings; only an adapter made for that world may look at them."""

    @property
    def is_whole(self) -> bool:
        """Whether a policy may look at it: it has frames, and none was made for people alone."""
        return bool(self.frames) and not any(frame.is_glance for frame in self.frames.values())

    @property
    def p_tcp(self) -> Float[Array, " 3"]:
        """Tool centre point in the base frame, metres."""
        return self.T_base_tcp[:3, 3]

    @property
    def q_command(self) -> Float[Array, " 7"]:
        """Joints that the arm was last commanded to, rad, where the world reports them (`extra["q_command"]`); else those it has.

        They differ while something is in the way: the arm presses against it.
        """
        return np.asarray(self.extra.get("q_command", self.q))

    @property
    def proprio(self) -> Float[Array, " 18"]:
        """The robot state that a small policy may use: q (rad), gripper, gripper command, tool position (m), and the tool
        frame's x and y axes in the base frame (six numbers without a jump); float32."""
        axes = self.T_base_tcp[:3, :2].T.reshape(-1)
        parts = [self.q, [self.gripper, self.gripper_command], self.p_tcp, axes]
        return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])
