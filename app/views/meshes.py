"""The Franka's meshes for the 3D view, read once from `assets/panda/*.stl` (binary STL, metres, link frames).

Each file is `<link>_<material>.stl`; hand and fingers hang on the flange. Source of the fixed poses: franka_description,
hand joint (rpy 0 0 -45 degrees) and finger joints (0.0584 m along hand z, 0..0.04 m along +-y).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from frs_core import paths
from frs_core.arrays import Array
from frs_core.robot import kinematics

_COLOURS = {
    "white": (0.90, 0.91, 0.93, 1.0),
    "black": (0.20, 0.21, 0.24, 1.0),
    "blue": (0.30, 0.55, 0.85, 1.0),
    "green": (0.25, 0.70, 0.45, 1.0),
}
FINGER_TRAVEL = 0.04
"""Metres from closed to open, per finger. Source: Franka hand data sheet."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One mesh with its colour, in its link's frame."""

    link: str
    vertices: Float[Array, "n 3 3"]
    """Triangles."""
    colour: tuple[float, float, float, float]


@lru_cache(maxsize=1)
def robot_parts(folder: Path | None = None) -> tuple[Part, ...]:
    """Return every part of the arm, hand and fingers; empty when the meshes are not installed."""
    folder = folder or paths.assets() / "panda"
    parts = []
    for path in sorted(folder.glob("*.stl")):
        link, _, material = path.stem.rpartition("_")
        triangles = read_stl(path)
        colour = _COLOURS.get(material, _COLOURS["white"])
        for name in ("finger_left", "finger_right") if link == "finger" else (link,):
            parts.append(Part(name, triangles, colour))
    return tuple(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """All parts of one link."""

    vertices: Float[Array, "n 3 3"]
    colours: Float[Array, "n 3 4"]
    """Colour of every vertex."""


def robot_shapes() -> dict[str, Shape]:
    """Return one shape per link, hand and finger, with the colours merged, to keep the number of draw calls small."""
    found: dict[str, list[Part]] = {}
    for part in robot_parts():
        found.setdefault(part.link, []).append(part)
    return {
        link: Shape(
            np.concatenate([p.vertices for p in parts]),
            np.concatenate([np.tile(np.array(p.colour, dtype=np.float32), (len(p.vertices), 3, 1)) for p in parts]),
        )
        for link, parts in found.items()
    }


def read_stl(path: Path) -> Float[Array, "n 3 3"]:
    """Return the triangles of a binary STL file, metres."""
    raw = path.read_bytes()
    count = int.from_bytes(raw[80:84], "little")
    record = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
    return np.frombuffer(raw, record, count=count, offset=84)["vertices"].copy()


def part_poses(q: Float[Array, " 7"], gripper: float) -> dict[str, Float[Array, "4 4"]]:
    """Return the pose of every link, hand and finger in the base frame.

    Args:
        q: joint positions, rad.
        gripper: 0 = open, 1 = closed.
    """
    links = kinematics.link_poses(q)
    poses = {f"link{i}": links[i] for i in range(8)}
    hand = links[8] @ _turn_z(-np.pi / 4)
    poses["hand"] = hand
    opening = FINGER_TRAVEL * (1.0 - min(1.0, max(0.0, gripper)))
    left = hand @ _shift(0.0, opening, 0.0584)
    poses["finger_left"] = left
    poses["finger_right"] = hand @ _shift(0.0, -opening, 0.0584) @ _turn_z(np.pi)
    return poses


def _turn_z(angle: float) -> Array:
    T = np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return T


def _shift(x: float, y: float, z: float) -> Array:
    T = np.eye(4)
    T[:3, 3] = (x, y, z)
    return T
