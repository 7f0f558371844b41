"""The household objects of the tabletop, built from primitives, with the facts that tasks need of each.

Every object is one free body whose frame sits at the centre of its bottom (z up). Movables can be grasped from above between
fingers 80 mm apart at most; receptacles take one in or on.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Movable:
    """Something to pick up."""

    name: str
    words: tuple[str, ...]
    """What people call it; the first is used in tasks."""
    radius: float
    """Footprint for scene layout, metres."""
    height: float
    grasp_height: float
    """Height of the fingertips above the table in a grasp, metres."""
    half_width: float
    """Half of the side the fingers close on, metres."""
    has_yaw: bool
    """Whether the fingers must align with its sides."""
    mass: float
    geoms: str
    """MJCF of its geoms."""


@dataclass(frozen=True, slots=True)
class Receptacle:
    """Something to put things on or in."""

    name: str
    words: tuple[str, ...]
    preposition: str
    radius: float
    """Footprint for scene layout, metres."""
    inside: float
    """Largest horizontal distance of an object's centre from its centre when placed, metres."""
    floor: float
    """Height of the surface that takes the object above its own bottom, metres."""
    rim: float
    """Highest point, metres."""
    mass: float
    geoms: str


def _geom(kind: str, size: str, pos: str, rgba: str, *, extra: str = "", visual: bool = False) -> str:
    contact = ' contype="0" conaffinity="0" mass="0"' if visual else ""
    return f'<geom type="{kind}" size="{size}" pos="{pos}" rgba="{rgba}"{contact} {extra}/>'


def _mug() -> str:
    blue = "0.16 0.35 0.75 1"
    return "".join(
        [
            _geom("cylinder", "0.032 0.04", "0 0 0.04", blue),
            _geom("cylinder", "0.026 0.001", "0 0 0.0805", "0.08 0.15 0.3 1", visual=True),
            _geom("capsule", "0.005 0.018", "0.044 0 0.04", blue, visual=True),
            _geom("capsule", "0.005 0.008", "0.037 0 0.058", blue, extra='euler="0 1.5708 0"', visual=True),
            _geom("capsule", "0.005 0.008", "0.037 0 0.022", blue, extra='euler="0 1.5708 0"', visual=True),
        ]
    )


def _can() -> str:
    return "".join(
        [
            _geom("cylinder", "0.03 0.045", "0 0 0.045", "0.78 0.10 0.10 1"),
            _geom("cylinder", "0.0303 0.010", "0 0 0.052", "0.95 0.93 0.85 1", visual=True),
            _geom("cylinder", "0.028 0.001", "0 0 0.0905", "0.75 0.75 0.78 1", visual=True),
        ]
    )


def _cup() -> str:
    return "".join(
        [
            _geom("cylinder", "0.028 0.035", "0 0 0.035", "0.55 0.20 0.62 1"),
            _geom("cylinder", "0.0305 0.005", "0 0 0.066", "0.66 0.32 0.72 1", visual=True),
            _geom("cylinder", "0.024 0.001", "0 0 0.0715", "0.22 0.08 0.26 1", visual=True),
        ]
    )


def _carton() -> str:
    white = "0.93 0.94 0.96 1"
    return "".join(
        [
            _geom("box", "0.026 0.026 0.042", "0 0 0.042", white),
            _geom("box", "0.0263 0.0263 0.012", "0 0 0.030", "0.15 0.45 0.85 1", visual=True),
            _geom("box", "0.018 0.025 0.008", "0 0 0.090", white, visual=True),
            _geom("box", "0.004 0.025 0.006", "0 0 0.102", "0.85 0.88 0.92 1", visual=True),
        ]
    )


def _box() -> str:
    return "".join(
        [
            _geom("box", "0.036 0.024 0.035", "0 0 0.035", "0.92 0.72 0.10 1"),
            _geom("box", "0.026 0.0243 0.016", "0 0 0.038", "0.75 0.30 0.08 1", visual=True),
            _geom("box", "0.026 0.014 0.0003", "0 0 0.0702", "0.75 0.30 0.08 1", visual=True),
        ]
    )


def _sponge() -> str:
    return "".join(
        [
            _geom("box", "0.042 0.026 0.014", "0 0 0.014", "0.95 0.85 0.35 1"),
            _geom("box", "0.0422 0.0262 0.006", "0 0 0.029", "0.10 0.50 0.25 1"),
        ]
    )


def _ring(n: int, radius: float, height: float, thickness: float, rgba: str, *, tilt: float = 0.0) -> str:
    """Return a polygonal wall of boxes, its top leaning outwards by `tilt` rad."""
    half = radius * math.tan(math.pi / n) * 1.05
    geoms = []
    for i in range(n):
        a = 2 * math.pi * i / n
        pos = f"{radius * math.cos(a):.5f} {radius * math.sin(a):.5f} {height / 2 + 0.004:.5f}"
        geoms.append(
            _geom(
                "box",
                f"{thickness / 2} {half:.5f} {height / 2}",
                pos,
                rgba,
                extra=f'euler="0 {tilt} {a:.5f}"',
            )
        )
    return "".join(geoms)


def _bowl() -> str:
    colour = "0.30 0.68 0.70 1"
    return _geom("cylinder", "0.055 0.004", "0 0 0.004", colour) + _ring(14, 0.064, 0.045, 0.005, colour, tilt=0.31)


def _plate() -> str:
    return "".join(
        [
            _geom("cylinder", "0.062 0.004", "0 0 0.004", "0.88 0.88 0.90 1"),
            _geom("cylinder", "0.052 0.0005", "0 0 0.0083", "0.75 0.80 0.95 1", visual=True),
            _ring(16, 0.074, 0.006, 0.024, "0.94 0.94 0.96 1", tilt=-0.24),
        ]
    )


def _stand() -> str:
    wood = "0.55 0.36 0.20 1"
    return "".join(
        [
            _geom("cylinder", "0.055 0.008", "0 0 0.062", wood),
            _geom("cylinder", "0.025 0.027", "0 0 0.030", "0.42 0.27 0.15 1"),
            _geom("cylinder", "0.050 0.004", "0 0 0.004", wood),
        ]
    )


def _basket() -> str:
    red = "0.86 0.42 0.42 1"
    walls = "".join(
        _geom("box", size, pos, red)
        for size, pos in (
            ("0.004 0.075 0.024", "0.075 0 0.028"),
            ("0.004 0.075 0.024", "-0.075 0 0.028"),
            ("0.075 0.004 0.024", "0 0.075 0.028"),
            ("0.075 0.004 0.024", "0 -0.075 0.028"),
        )
    )
    return _geom("box", "0.075 0.075 0.004", "0 0 0.004", "0.70 0.30 0.30 1") + walls


MOVABLES: dict[str, Movable] = {
    m.name: m
    for m in (
        Movable("mug", ("mug", "blue mug"), 0.045, 0.080, 0.045, 0.032, False, 0.12, _mug()),
        Movable("can", ("can", "red can", "soup can"), 0.035, 0.090, 0.050, 0.030, False, 0.15, _can()),
        Movable("cup", ("cup", "purple cup"), 0.035, 0.072, 0.040, 0.028, False, 0.08, _cup()),
        Movable("carton", ("carton", "milk carton", "milk"), 0.040, 0.108, 0.050, 0.026, True, 0.15, _carton()),
        Movable("box", ("box", "yellow box", "cracker box"), 0.045, 0.070, 0.040, 0.024, True, 0.12, _box()),
        Movable("sponge", ("sponge", "green sponge"), 0.050, 0.035, 0.018, 0.026, True, 0.05, _sponge()),
    )
}
"""Things to pick up, by name."""

RECEPTACLES: dict[str, Receptacle] = {
    r.name: r
    for r in (
        Receptacle("plate", ("plate", "white plate"), "on", 0.088, 0.055, 0.008, 0.014, 0.35, _plate()),
        Receptacle("bowl", ("bowl", "teal bowl"), "in", 0.080, 0.042, 0.008, 0.050, 0.30, _bowl()),
        Receptacle("stand", ("stand", "wooden stand"), "on", 0.058, 0.045, 0.070, 0.070, 1.5, _stand()),
        Receptacle("basket", ("basket", "red basket"), "in", 0.100, 0.055, 0.008, 0.052, 0.8, _basket()),
    )
}
"""Loose things to put something on or in, by name. The drawer is a fifth, fixed one."""
