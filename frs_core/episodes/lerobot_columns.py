"""What the columns of a LeRobot dataset mean, by what meta/info.json states of them: the arm, its joints and gripper, the actions, the cameras.

Problem: a dataset's columns mean what their names say, and often they say nothing. Idea: seven joints, a gripper and actions are taken
where the names state them, in the words of our export and of the DROID dataset, or a person does; anything else is refused with what was
found.

Example: `actions_of(info["features"].members(), None, path, remarks)` -> (JOINT_VELOCITY, ("actions",)). Any thread.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from frs_core.episodes.layout import check_part
from frs_core.episodes.stated import Stated, shown
from frs_core.errors import EpisodeError
from frs_core.robot.action_names import ACTION_NAMES
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import Arm
from frs_core.runtime.foreign import visible

_JOINTS = ("joint_position", "observation.state.joint_position")
_GRIPPERS = ("gripper_position", "observation.state.gripper_position")
_SPEEDS = ("joint_velocity", "observation.state.joint_velocity")
_ACTIONS = ("actions", "action")
_PORT = {kind: f"action.{kind.value}" for kind in (ActionKind.JOINT_VELOCITY, ActionKind.JOINT_POSITION)}
_PORT_GRIPPER = "action.gripper_position"
"""Columns of LeRobot's port of DROID, whose names say what they hold. Source: LeRobot, examples/port_datasets/port_droid.py."""
_CAMERAS = {
    "exterior_image_1_left": "left",
    "exterior_image_2_left": "right",
    "wrist_image_left": "wrist",
    "exterior_1_left": "left",
    "exterior_2_left": "right",
    "wrist_left": "wrist",
}
_FRANKA = re.compile(r"franka.*|(panda|fr3|fer|droid)([^a-z].*)?", re.IGNORECASE | re.DOTALL)
"""What datasets call a Franka arm, such as "Franka", "panda" and "fr3"; DROID's robots have one."""
_UNSTATED = ("", "unknown")
_GRIPPER_NAMES = ("gripper_position", "gripper", "gripper_0")


def robot_of(stated: Stated, arm: Arm | None, remarks: list[str]) -> str:
    """Return the robot's name, empty where it is not stated. Raises EpisodeError for one that is no Franka arm, unless a person says it is one."""
    name = stated.text() if stated.is_given else ""
    if arm is Arm.FRANKA or _FRANKA.fullmatch(name):
        return name if name not in _UNSTATED else ""
    if name in _UNSTATED:
        remarks.append("robot_type is not stated: taken for a Franka arm")
        return ""
    raise EpisodeError(
        f"'{stated.file}', {stated.place}: got {shown(name)}, and poses are computed with the kinematics of a Franka arm alone. Give --arm {Arm.FRANKA.value} if "
        f"it is one; other arms are not imported."
    )


def measured_of(features: Mapping[str, Stated], path: Path, remarks: list[str]) -> tuple[str, str, str]:
    """Return the columns of the measured joints, the gripper and the joint speeds, the last empty where there are none. Raises EpisodeError."""
    joints = _first(features, _JOINTS, "measured joint positions", path)
    gripper = _first(features, _GRIPPERS, "a measured gripper position", path)
    _require_seven(features[joints], joints)
    _require_width(features[gripper], 1)
    _require_gripper(features[gripper], gripper)
    speeds = next((name for name in _SPEEDS if name in features and _is_seven(features[name], name)), "")
    if not speeds:
        remarks.append("joint speeds are not stated: differences of the joint positions")
    return joints, gripper, speeds


def actions_of(
    features: Mapping[str, Stated], asked: ActionKind | None, path: Path, remarks: list[str]
) -> tuple[ActionKind, tuple[str, ...]]:
    """Return what the actions mean and their columns: by their names, else by the columns of the port of DROID, else as a person says.

    Raises:
        EpisodeError: nothing states it, or the names state another meaning than the person.
    """
    columns = {k: (name, _PORT_GRIPPER) for k, name in _PORT.items() if {name, _PORT_GRIPPER} <= features.keys()}
    name = next((n for n in _ACTIONS if n in features), "")
    stated = _stated_kind(features[name]["names"]) if name else None
    if stated is not None and asked in (None, stated):
        _require_width(features[name], len(ACTION_NAMES[stated]))
        return stated, (name,)
    if kind := asked if asked in columns else None if asked else next(iter(columns), None):
        _require_seven(features[columns[kind][0]], columns[kind][0])
        _require_width(features[_PORT_GRIPPER], 1)
        if others := [k.value for k in columns if k is not kind and asked is None]:
            remarks.append(f"actions are {columns[kind][0]}; --actions {others[0]} takes the other column")
        return kind, columns[kind]
    if not name:
        _first(features, (*_ACTIONS, *_PORT.values()), "actions", path)
    names = features[name]["names"]
    if asked is None:
        said = ", ".join(visible(n[:40]) for n in (_flat(names) if names.is_given else [])[:10])
        raise EpisodeError(
            f"'{path}' does not state what its actions mean: {names.place} are [{said}], understood "
            f"are {', '.join(f'{n[0]} … {n[-1]}' for n in ACTION_NAMES.values())}. Name them there as they were recorded, or state it with --actions "
            f"{' or '.join(k.value for k in ACTION_NAMES)}."
        )
    if stated is not None:
        raise EpisodeError(
            f"'{path}', {names.place}: the actions are stated to be {stated.value}, and --actions says {asked.value}. Leave it out, or correct the names."
        )
    _require_width(features[name], len(ACTION_NAMES[asked]))
    remarks.append(f"{name} was taken for {asked.value}, as asked for")
    return asked, (name,)


def _first(features: Mapping[str, Stated], wanted: tuple[str, ...], what: str, path: Path) -> str:
    for name in wanted:
        if name in features:
            return name
    raise EpisodeError(
        f"'{path}' has no {what}: looked for {' and '.join(wanted)} in its features, found {', '.join(map(visible, sorted(features)))[:300] or 'none'}. "
        f"Only datasets of a seven-joint arm with these columns are imported."
    )


def _require_width(feature: Stated, width: int) -> None:
    """Raise EpisodeCorrupt where a column is stated to hold something else than so many real numbers per row."""
    kind, shape = feature["dtype"], feature["shape"]
    if not kind.text().startswith(("float", "int")):
        raise kind.error("float32 or another type of real numbers")
    if shape.is_given and [size.whole() for size in shape.entries()] != [width]:
        raise shape.error(f"[{width}], as of a seven-joint arm with one gripper")


def _is_seven(feature: Stated, column: str) -> bool:
    """Return whether a column is stated as seven joints in their order."""
    try:
        _require_seven(feature, column)
    except EpisodeError:
        return False
    return True


def _require_seven(feature: Stated, column: str) -> None:
    """Raise EpisodeError where a column is not stated as seven joints in their order."""
    _require_width(feature, 7)
    names = _flat(feature["names"]) if feature["names"].is_given else []
    numbers = [re.fullmatch(r"(.*?)(\d+)(\D*)", name, re.DOTALL) for name in names]
    is_counted = len(names) == 7 and all(numbers) and len({(n[1], n[3]) for n in numbers if n}) == 1
    counts = [int(n[2]) for n in numbers if n]
    if names and names != [column] and not (is_counted and counts in (list(range(7)), list(range(1, 8)))):
        raise EpisodeError(
            f"'{feature.file}', {feature['names'].place} are [{', '.join(visible(n[:40]) for n in names[:10])}], expected seven joints in their order, such "
            f"as joint_1 … joint_7. Only datasets of a seven-joint arm are imported; reorder the numbers, or correct the names."
        )


def _require_gripper(feature: Stated, column: str) -> None:
    """Raise EpisodeError where a gripper's name says that it counts something else than how far it is closed."""
    names = _flat(feature["names"]) if feature["names"].is_given else []
    if names and (len(names) != 1 or names[0] not in (column, *_GRIPPER_NAMES)):
        raise EpisodeError(
            f"'{feature.file}', {feature['names'].place} are [{', '.join(visible(n[:40]) for n in names[:10])}], expected {' or '.join(_GRIPPER_NAMES)}: 0 "
            f"where it is open, 1 where it is closed. Convert the numbers, or correct the name."
        )


def _stated_kind(stated: Stated) -> ActionKind | None:
    """Return what actions mean by their names, whose joints are counted from 1 or 0; None where these do not say."""
    names = _flat(stated) if stated.is_given else []
    for kind, expected in ACTION_NAMES.items():
        from_zero = [re.sub(r"\d+$", lambda n: str(int(n[0]) - 1), name) for name in expected]
        if names in (expected, from_zero):
            return kind
    return None


def _flat(names: Stated) -> list[str]:
    """Return the names of a column's numbers, which some tools group."""
    if isinstance(names.value, Mapping):
        return [n for part in names.members().values() for n in _flat(part)]
    if isinstance(names.value, list):
        return [n for part in names.entries() for n in (_flat(part) if isinstance(part.value, list) else [part.text()])]
    raise names.error("a list of names")


def cameras_of(features: list[str], path: Path) -> dict[str, str]:
    """Return the cameras with videos, by feature. Raises EpisodeError where one cannot be named, or two features are one camera."""
    found: dict[str, str] = {}
    for name in features:
        last = name.rpartition("observation.images.")[2]
        try:
            camera = check_part(_CAMERAS.get(last, last))
        except ValueError as error:
            raise EpisodeError(
                f"'{path}', features: '{visible(name[:80])}' cannot be a camera's name, expected one without slashes. Rename it in the dataset."
            ) from error
        if camera in found.values():
            raise EpisodeError(
                f"'{path}' has two films of camera '{visible(camera)}': {', '.join(map(visible, features))}. Rename or remove one of the features."
            )
        found[name] = camera
    return found


def is_depth(feature: Stated) -> bool:
    """Return whether a film's feature says that it holds depth."""
    about = [feature[key] for key in ("info", "video_info")]
    flags = [part[key] for part in about if part.is_given for key in ("video.is_depth_map", "is_depth_map")]
    for flag in flags:
        if flag.is_given and not isinstance(flag.value, bool):
            raise flag.error("true or false")
    return any(flag.value is True for flag in flags)
