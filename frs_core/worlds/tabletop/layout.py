"""Draw a random scene for a task from a seed: which objects are present, where they stand, where the arm starts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.scene import DRAWER_TRAVEL
from frs_core.worlds.tabletop.tasks import DRAWER, Task, TaskKind

REGION_LOW = np.array([0.36, -0.30])
REGION_HIGH = np.array([0.66, 0.07])
"""Where objects' centres may stand, base frame, metres: in reach of a downward hand and clear of the open drawer."""

_GAP = 0.028
"""Free space between footprints, metres: a finger and some slack."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One object on the table."""

    name: str
    x: float
    y: float
    yaw: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole scene."""

    placements: tuple[Placement, ...]
    drawer: float
    """Opening of the drawer, metres."""
    cabinet_shift: tuple[float, float]
    start: tuple[float, float, float]
    """Tool centre at the start, base frame, metres."""


ANYWHERE = -1
"""Instead of a table setting: every scene is drawn anew."""
SHIFT = 0.03
"""Metres by which things and the hand's start are moved within a table setting, per axis, either way."""
TURN = 0.25
"""rad by which things are turned within a table setting, either way."""


def draw_scene(task: Task, *, seed: int, setting: int) -> Layout:
    """Return the scene of a seed: a table setting with everything shifted a little, or a new one.

    A person who teaches a robot lays the same table every time, within a few centimetres; so do the suites that learning is
    measured on (LIBERO). A generalist is trained on any table.

    Args:
        task: what is to be done.
        seed: the same arguments give the same scene.
        setting: which of the task's table settings; ANYWHERE = objects are chosen and placed at random.
    """
    rng = np.random.default_rng([seed, _stable_hash(task.name)])
    if setting == ANYWHERE:
        return draw_layout(task, rng)
    base = draw_layout(task, np.random.default_rng([setting, _stable_hash(task.name), 1]))
    start = np.asarray(base.start) + rng.uniform(-SHIFT, SHIFT, 3)
    while True:
        placements = tuple(
            Placement(
                p.name,
                p.x + float(rng.uniform(-SHIFT, SHIFT)),
                p.y + float(rng.uniform(-SHIFT, SHIFT)),
                p.yaw + float(rng.uniform(-TURN, TURN)),
            )
            for p in base.placements
        )
        if _are_apart(placements):
            return Layout(placements, base.drawer, base.cabinet_shift, tuple(start))


def _are_apart(placements: tuple[Placement, ...]) -> bool:
    return all(_is_free(p.name, p.x, p.y, placements[:i]) for i, p in enumerate(placements))


def _is_free(name: str, x: float, y: float, others: Sequence[Placement]) -> bool:
    """Tell whether an object can stand there without touching the others."""
    return all(np.hypot(x - p.x, y - p.y) > _radius(name) + _radius(p.name) + _GAP for p in others)


def _radius(name: str) -> float:
    return (MOVABLES.get(name) or RECEPTACLES[name]).radius


def _stable_hash(text: str) -> int:
    """Return a number that is the same in every process."""
    return int.from_bytes(text.encode()[:8].ljust(8, b"\0"), "little") % (2**31) + sum(text.encode())


def draw_layout(task: Task, rng: np.random.Generator) -> Layout:
    """Return a random scene in which the task can be done."""
    movables, places = _cast(task, rng)
    if task.kind is TaskKind.OPEN:
        opening = float(rng.uniform(0.0, 0.01))
    elif task.kind is TaskKind.CLOSE or task.place == DRAWER:
        opening = float(rng.uniform(DRAWER_TRAVEL - 0.015, DRAWER_TRAVEL - 0.003))
    else:
        opening = float(rng.choice([0.0, DRAWER_TRAVEL - 0.006], p=[0.6, 0.4]))
    start = rng.uniform([0.38, -0.14, 0.24], [0.52, 0.08, 0.34])
    shift = rng.uniform([-0.025, -0.01], [0.025, 0.01])
    while True:
        placements = _try_place([*places, *movables], rng)
        if placements is not None:
            return Layout(placements, opening, tuple(shift), tuple(start))


def _cast(task: Task, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return the movables and loose receptacles of a scene: the task's own and one or two distractors of each."""
    movables = [task.movable] if task.movable else []
    places = [task.place] if task.place in RECEPTACLES else []
    other_movables = [m for m in MOVABLES if m not in movables]
    other_places = [p for p in RECEPTACLES if p not in places]
    movables += list(rng.choice(other_movables, size=3 - len(movables), replace=False))
    places += list(rng.choice(other_places, size=2 - len(places), replace=False))
    return [str(m) for m in movables], [str(p) for p in places]


def _try_place(names: list[str], rng: np.random.Generator) -> tuple[Placement, ...] | None:
    done: list[Placement] = []
    for name in names:
        for _ in range(40):
            inset = 0.03 if name in RECEPTACLES else 0.0
            x, y = rng.uniform(REGION_LOW + inset, REGION_HIGH - inset)
            if _is_free(name, x, y, done):
                yaw = rng.uniform(-0.6, 0.6) if name in MOVABLES else rng.uniform(-0.3, 0.3)
                done.append(Placement(name, float(x), float(y), float(yaw)))
                break
        else:
            return None
    return tuple(done)
