"""Where the things of a LIBERO scene are, and what its task wants: what scripted operators read, and no policy gets.

Problem: a script needs positions, shapes and goals, which LIBERO keeps in several objects of its own. Idea: the worker lists them once
per scene (`describe`) and where they are at each request (`poses`); here they become one `Scene` in the base frame. Every collision
shape is taken for the box around it, which in LIBERO nearly all are.

    scene = world.geometry()
    scene.goals[0]                       # Goal(relation='on', thing='akita_black_bowl_1', place='plate_1')
    scene.bounds("plate_1")              # two corners, base frame, metres

Values; any thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.observation import Observation

ON, IN, OPEN, CLOSE, TURN_ON, TURN_OFF = "on", "in", "open", "close", "turnon", "turnoff"
"""LIBERO's relations, as its task files write them in lower case."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that a task wants to be true."""

    relation: str
    """One of `ON` to `TURN_OFF`."""
    thing: str
    """What it is about: a movable thing, a region of a fixture (a drawer), or a fixture."""
    place: str = ""
    """Another thing or a region; empty for relations of one thing."""

    @classmethod
    def of(cls, words: list[str]) -> "Goal":
        """Return the goal of a line of LIBERO's task file, such as `["on", "akita_black_bowl_1", "plate_1"]`."""
        return cls(words[0].lower(), *words[1:3])


@dataclass(frozen=True, slots=True)
class Joint:
    """A drawer's slide or a door's or knob's hinge."""

    name: str
    owner: str
    """The fixture it belongs to."""
    body: int
    position: float
    """Metres or rad."""
    axis: Float[Array, " 3"]
    """Base frame, unit length."""
    anchor: Float[Array, " 3"]
    """A point on the axis, base frame, metres."""
    low: float
    high: float
    """Range of the position."""

    @property
    def is_door(self) -> bool:
        """A hinge with an upright axis, as doors and knobs have; otherwise a slide."""
        return bool(abs(self.axis[2]) > 0.9)

    @property
    def far(self) -> float:
        """The end of the range that is farther from zero: a drawer's opening, a knob's turn."""
        return self.low if abs(self.low) > abs(self.high) else self.high

    @property
    def opening(self) -> Float[Array, " 3"]:
        """The axis, signed so that it points to the far end."""
        return self.axis * np.sign(self.far)


@dataclass(frozen=True, slots=True)
class Region:
    """A box that LIBERO names: the inside of a basket, a drawer, a spot on the table."""

    name: str
    owner: str
    """The thing it belongs to; empty for spots on the table."""
    joints: tuple[str, ...]
    """The joints that move it."""
    centre: Float[Array, " 3"]
    """Base frame, metres."""
    turn: Float[Array, "3 3"]
    half: Float[Array, " 3"]
    """Half sides, metres, its own frame."""

    @property
    def reach(self) -> Float[Array, " 3"]:
        """Half sides along the base frame's axes, metres, as LIBERO computes them."""
        return np.abs(self.turn @ self.half)


@dataclass(frozen=True, eq=False)
class Scene:
    """The geometry of one instant."""

    facts: Mapping[str, Any]
    """The answer to `describe`, header and arrays."""
    poses: Mapping[str, Any]
    """The answer to `poses`, header and arrays."""
    T_base_world: Float[Array, "4 4"]

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """What the task wants, in the order of its file."""
        return tuple(Goal.of(words) for words in self.facts["goals"])

    @property
    def met(self) -> tuple[bool, ...]:
        """Whether LIBERO considers each goal true."""
        return tuple(self.poses["met"])

    @property
    def held(self) -> tuple[str, ...]:
        """Names of the things that both fingers touch."""
        return tuple(self.poses["held"])

    @cached_property
    def kinds(self) -> dict[str, str]:
        """LIBERO's category of each thing, by name."""
        return {name: kind for name, kind, _ in self.facts["things"]}

    @cached_property
    def movable(self) -> tuple[str, ...]:
        """Names of the things that can be moved."""
        return tuple(name for name, _, is_fixed in self.facts["things"] if not is_fixed)

    @cached_property
    def bodies(self) -> Float[Array, "N 4 4"]:
        """Poses of all bodies, base frame."""
        return self.T_base_world @ _matrices(self.poses["bodies"])

    def pose(self, thing: str) -> Float[Array, "4 4"]:
        """Return the pose of a thing's root body, base frame; LIBERO judges things by its origin."""
        return self.bodies[self.facts["roots"][list(self.kinds).index(thing)]]

    def boxes(
        self, *, of: tuple[str, ...] | None = None, but: tuple[str, ...] = (), body: int | None = None
    ) -> tuple[Float[Array, "N 4 4"], Float[Array, "N 3"]]:
        """Return collision boxes: poses in the base frame and half sides, metres.

        Args:
            of: names of the things; None = all.
            but: things left out.
            body: only boxes of this body.
        """
        rows, names = self.facts["boxes"], list(self.kinds)
        wanted = [i for i, n in enumerate(names) if (of is None or n in of) and n not in but]
        chosen = rows[np.isin(rows[:, 1], wanted) & ((rows[:, 0] == body) if body is not None else True)]
        return self.bodies[chosen[:, 0].astype(int)] @ _matrices(chosen[:, 2:14]), chosen[:, 14:]

    def bounds(self, *things: str) -> Float[Array, "2 3"]:
        """Return the lowest and highest corner of things, base frame, metres."""
        T, half = self.boxes(of=things)
        reach = np.einsum("nij,nj->ni", np.abs(T[:, :3, :3]), half)
        return np.stack([(T[:, :3, 3] - reach).min(axis=0), (T[:, :3, 3] + reach).max(axis=0)])

    @cached_property
    def joints(self) -> dict[str, Joint]:
        """Slides and hinges by name."""
        found: dict[str, Joint] = {}
        for (name, owner), row, q in zip(
            self.facts["joints"], self.facts["joint_rows"], self.poses["joints"], strict=True
        ):
            T = self.bodies[int(row[0])]
            axis, anchor = T[:3, :3] @ row[1:4], T[:3, :3] @ row[4:7] + T[:3, 3]
            found[name] = Joint(name, owner, int(row[0]), float(q), axis, anchor, float(row[7]), float(row[8]))
        return found

    @cached_property
    def regions(self) -> dict[str, Region]:
        """Regions by name."""
        T = self.T_base_world @ _matrices(self.poses["sites"])
        rows = zip(self.facts["sites"], T, self.facts["site_rows"], strict=True)
        return {
            name: Region(name, owner, tuple(joints), pose[:3, 3], pose[:3, :3], half)
            for (name, owner, joints), pose, half in rows
        }

    def joint_of(self, name: str) -> Joint | None:
        """Return the joint of a region (a drawer) or of a fixture with a single one (a door, a knob); None without."""
        if name in self.regions:
            joints = self.regions[name].joints
            return self.joints[joints[0]] if joints else None
        own = [joint for joint in self.joints.values() if joint.owner == name]
        return own[0] if len(own) == 1 else None

    @cached_property
    def table_height(self) -> float:
        """Height of the lowest movable thing's underside, base frame, metres: the table or floor, if anything stands there."""
        return min(float(self.bounds(name)[0, 2]) for name in self.movable) if self.movable else 0.0


@runtime_checkable
class Readable(Protocol):
    """The part of a world that scripts need: `LiberoWorld` has it."""

    def geometry(self) -> Scene:
        """Return where everything is and what the task wants."""
        ...

    def state(self) -> Observation:
        """Return the arm's state, without images."""
        ...


def scene_facts(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Return the answer to `describe` as one mapping."""
    return {**header, "boxes": arrays["boxes"], "joint_rows": arrays["joints"], "site_rows": arrays["sites"]}


def _matrices(rows: Float[Array, "N 12"]) -> Float[Array, "N 4 4"]:
    """Return transforms of rows of position and flat rotation."""
    T = np.tile(np.eye(4), (len(rows), 1, 1))
    T[:, :3, 3], T[:, :3, :3] = rows[:, :3], rows[:, 3:].reshape(-1, 3, 3)
    return T
