"""Paths that open and close drawers and doors, and turn knobs.

A drawer is pulled by its handle, which is its part that stands out farthest: the hand leans towards it, because the drawers above leave
no room for a hand that points down. It is pushed shut with closed fingers. A knob is grasped over its axis and turned with the hand.
Base frame, metres and rad. One thread, the world's.
"""

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.worlds.libero.arm import Arm, Path, downward
from frs_core.worlds.libero.geometry import TURN_ON, Goal, Joint, Scene
from frs_core.worlds.libero.grasps import surface_points

LEAN = np.radians(70)
"""Of the hand that pulls a handle."""
PUSH_LEAN = np.radians(35)
"""Of the hand that pushes a drawer."""
BEYOND = 0.03
"""Metres or rad that a joint is commanded past the end it should reach."""


def open_up(arm: Arm, name: str) -> Path:
    """Open a drawer; doors are left as they are."""
    joint = _joint(arm.scene, name)
    if joint is None or joint.is_door:
        return
    out = _level(joint.opening)
    hand = downward(0.0, lean=LEAN, towards=-out)
    handle = handle_of(arm.scene, joint)
    if handle is None:
        return
    before = handle + 0.10 * out
    yield from _safely(arm, before, hand, grip=0.0)
    yield from arm.to(handle, hand, grip=0.0, within=0.006, speed=0.5)
    yield from arm.stay(hand, grip=1.0, steps=9)
    for _ in range(90):
        joint = _joint(arm.scene, name)
        if joint is None or abs(joint.position) > 0.97 * abs(joint.far):
            break
        rest = abs(joint.far) - abs(joint.position) + BEYOND
        yield arm.step(arm.point + min(0.05, rest) * out, hand, grip=1.0, speed=0.8)
    yield from arm.stay(hand, grip=0.0, steps=6)
    yield from arm.to(arm.point + 0.06 * out, hand, grip=0.0, within=0.02)
    yield from arm.to(arm.point + np.array([0.0, 0.0, 0.15]), hand, grip=0.0, within=0.03)


def close(arm: Arm, name: str) -> Path:
    """Close a drawer or door."""
    joint = _joint(arm.scene, name)
    if joint is None:
        return
    if joint.is_door:
        yield from _close_door(arm, name)
        return
    out = _level(joint.opening)
    hand = downward(np.pi / 2 if abs(out[1]) > 0.7 else 0.0, lean=PUSH_LEAN, towards=-out)
    face = handle_of(arm.scene, joint)
    if face is None:
        return
    before = face + 0.07 * out
    yield from _safely(arm, before, hand, grip=1.0)
    for _ in range(90):
        joint = _joint(arm.scene, name)
        if joint is None or abs(joint.position) < 0.001 or np.sign(joint.position) != np.sign(joint.far):
            break
        goal = arm.point - 0.04 * out
        goal[2] = face[2]
        yield arm.step(goal, hand, grip=1.0, speed=0.8)
    for _ in range(6):
        yield arm.step(arm.point - 0.03 * out, hand, grip=1.0)
    yield from arm.to(arm.point + 0.08 * out, hand, grip=1.0, within=0.02)
    yield from arm.to(arm.point + np.array([0.0, 0.0, 0.12]), hand, grip=0.0, within=0.03)


def _close_door(arm: Arm, name: str) -> Path:
    """Push a door shut at its free edge, with closed fingers that point down."""
    edge, way = door_edge(arm.scene, name)
    hand = downward(float(np.arctan2(way[1], way[0])) if abs(way[0]) > abs(way[1]) else 0.0)
    yield from _safely(arm, edge - 0.09 * way, hand, grip=1.0)
    for _ in range(140):
        joint = _joint(arm.scene, name)
        if joint is None or abs(joint.position) < 0.002:
            break
        edge, way = door_edge(arm.scene, name)
        yield arm.step(edge + 0.04 * way, hand, grip=1.0, speed=0.8)
    yield from arm.to(arm.point - 0.06 * way, hand, grip=1.0, within=0.02)
    yield from arm.to(arm.point + np.array([0.0, 0.0, 0.12]), hand, grip=0.0, within=0.03)


def turn(arm: Arm, goal: Goal) -> Path:
    """Turn a knob on or off: grasp its rib and turn the hand about the knob's axis."""
    scene = arm.scene
    joint = _joint(scene, goal.thing)
    if joint is None:
        return
    points = surface_points(*scene.boxes(of=(joint.owner,), body=joint.body))
    top = points[points[:, 2] > points[:, 2].max() - 0.012]
    rib = np.linalg.svd(top[:, :2] - top[:, :2].mean(axis=0), full_matrices=False)[2][0]
    # The fingers open across the rib.
    yaw = float(np.arctan2(rib[1], rib[0]))
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
    wish = joint.far * 0.55 if goal.relation == TURN_ON else -0.15 * np.sign(joint.far)
    by = (wish - joint.position) * np.sign(joint.axis[2])
    if abs(yaw + by) > 1.9:
        yaw -= np.pi * np.sign(yaw)
    point = np.array([*joint.anchor[:2], points[:, 2].max() - 0.008])
    hand = downward(yaw)
    yield from _safely(arm, point + [0, 0, 0.08], hand, grip=0.0)
    yield from arm.to(point, hand, grip=0.0, within=0.005, speed=0.5)
    yield from arm.stay(hand, grip=1.0, steps=7)
    for part in np.linspace(0.1, 1.15, 28):
        scene = arm.scene
        if scene.met[scene.goals.index(goal)]:
            break
        yield arm.step(point, downward(yaw + by * part), grip=1.0)
    here = arm.turn
    yield from arm.stay(here, grip=0.0, steps=5)
    yield from arm.to(arm.point + np.array([0.0, 0.0, 0.12]), here, grip=0.0, within=0.03)


def handle_of(scene: Scene, joint: Joint) -> Float[Array, " 3"] | None:
    """Return the middle of what stands out farthest from a drawer or door in its opening direction; None without shapes."""
    T, half = scene.boxes(of=(joint.owner,), body=joint.body)
    if len(T) == 0:
        return None
    reach = np.einsum("nij,nj->ni", np.abs(T[:, :3, :3]), half)
    out = T[:, :3, 3] @ joint.opening + reach @ np.abs(joint.opening)
    return T[int(out.argmax()), :3, 3].copy()


def door_edge(scene: Scene, name: str) -> tuple[Float[Array, " 3"], Float[Array, " 3"]]:
    """Return a point near the top of a door's free edge, and the direction in which it closes."""
    joint = scene.joint_of(name)
    assert joint is not None
    points = surface_points(*scene.boxes(of=(joint.owner,), body=joint.body), spacing=0.02)
    away = np.linalg.norm((points - joint.anchor)[:, :2], axis=1)
    edge = points[away > away.max() - 0.05].mean(axis=0)
    edge[2] = points[:, 2].max() - 0.04
    way = _level(np.cross(joint.axis, edge - joint.anchor)) * -np.sign(joint.position or joint.far)
    return edge, way


def knob_top(scene: Scene, name: str) -> Float[Array, " 3"] | None:
    """Return the highest point of a fixture's only knob, on its axis; None without a knob."""
    joint = scene.joint_of(name)
    if joint is None:
        return None
    points = surface_points(*scene.boxes(of=(joint.owner,), body=joint.body))
    return np.array([*joint.anchor[:2], points[:, 2].max()])


def _joint(scene: Scene, name: str) -> Joint | None:
    return scene.joint_of(name)


def _level(direction: Float[Array, " 3"]) -> Float[Array, " 3"]:
    flat = direction * [1.0, 1.0, 0.0]
    return flat / max(1e-9, float(np.linalg.norm(flat)))


def _safely(arm: Arm, goal: Float[Array, " 3"], hand: Float[Array, "3 3"], *, grip: float) -> Path:
    """Go up, across at a height above everything, and down to a point."""
    points = surface_points(*arm.scene.boxes(), spacing=0.03)
    near = points[np.linalg.norm(points[:, :2] - goal[:2], axis=1) < 0.15]
    height = max(arm.point[2], goal[2], float(near[:, 2].max(initial=0.0)) + 0.08)
    yield from arm.to(np.array([*arm.point[:2], height]), arm.turn, grip=grip, within=0.03, turned=3.0)
    yield from arm.to(np.array([*goal[:2], height]), hand, grip=grip, within=0.03, turned=0.3)
    yield from arm.to(goal, hand, grip=grip, within=0.012, turned=0.12)
