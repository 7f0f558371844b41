"""The meaning of a checkpoint's numbers on a robot, which no checkpoint file states.

Weights and statistics of a joint-velocity and a joint-position policy look alike; sent to the wrong controller, its actions are
dangerous. Idea: the meaning is a named preset: given, or in the note that `frs policy fetch` wrote, or that of a published
checkpoint whose folder still has exactly its published name. Part of a name does not count (a fine-tune of pi05_droid may move
another arm), and statistics can rule a meaning out but never select one.

Example: `pi05_droid` = 15 rows of 7 joint speeds and a gripper position at 15 Hz, prompt with state, cameras left and
wrist. Any thread.
"""

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, unknown_name
from frs_core.policies.pi05.tokens import PromptForm
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.steering.camera_pairing import DROID_NAMES, LIBERO_NAMES, View


class StateLayout(enum.Enum):
    """Which robot state a checkpoint was trained on."""

    DROID = "droid"
    """7 joint positions, gripper 0 open .. 1 closed."""
    LIBERO = "libero"
    """Position, rotation vector and two finger joints in LIBERO's own world frame."""

    @property
    def size(self) -> int:
        """Numbers in the state."""
        return 8


def read_state(layout: StateLayout, observation: Observation) -> Float[Array, " 8"]:
    """Return the raw state of an observation.

    Raises:
        ConfigError: the world does not provide the numbers of this layout.
    """
    if layout is StateLayout.DROID:
        return np.append(observation.q, observation.gripper)
    state = observation.extra.get("libero_state")
    if state is None or np.shape(state) != (8,):
        raise ConfigError(
            "This checkpoint reads LIBERO's own state (8 numbers in LIBERO's world frame), which this world does not "
            "give. Use the libero world, or a checkpoint whose prompt has no state (openpi's pi05_libero)."
        )
    return np.asarray(state, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Preset:
    """The meaning of a checkpoint's inputs and outputs."""

    name: str
    action_kind: ActionKind
    state: StateLayout
    prompt: PromptForm
    """Form in openpi; LeRobot's checkpoints always use STATE_TEXT."""
    horizon: int
    """Rows of a chunk in openpi's configuration of this name."""
    execute_rows: int
    cameras: tuple[str, ...]
    """Cameras of a world for this policy; `picture_names` says which one fills which image input."""
    picture_names: Mapping[str, View]
    """Published names of image inputs."""
    asset_id: str
    """Folder of the statistics inside `assets/`."""
    control_hz: float
    adds_joints: bool = False
    """Actions are offsets from the joint positions at the start of the chunk."""
    masked: tuple[str, ...] = ("right_wrist_0_rgb",)
    """Image inputs that openpi leaves empty for this robot. Source: openpi policies/droid_policy.py, libero_policy.py."""
    is_published: bool = False
    """Whether weights are published under exactly this name."""

    @property
    def summary(self) -> str:
        """What the numbers mean, in a few words."""
        numbers = {
            ActionKind.JOINT_VELOCITY: "7 joint speeds, fractions of 0.2 rad per row",
            ActionKind.JOINT_POSITION: "7 joint positions, "
            + ("offsets from the start of the chunk" if self.adds_joints else "absolute"),
            ActionKind.EE_DELTA: "tool steps in LIBERO's controller units",
        }
        return f"{numbers[self.action_kind]}, and gripper; {self.horizon} rows at {self.control_hz:g} Hz"


_droid = functools.partial(
    Preset,
    state=StateLayout.DROID,
    prompt=PromptForm.STATE_TEXT,
    execute_rows=8,
    cameras=("left", "right", "wrist"),
    picture_names=DROID_NAMES,
    asset_id="droid",
    control_hz=15.0,
)
_PRESETS = (
    _droid("pi05_droid", ActionKind.JOINT_VELOCITY, horizon=15, is_published=True),
    _droid("pi05_droid_finetune", ActionKind.JOINT_VELOCITY, horizon=16),
    _droid("pi05_droid_jointpos_polaris", ActionKind.JOINT_POSITION, horizon=15, adds_joints=True, is_published=True),
    _droid("pi05_full_droid_finetune", ActionKind.JOINT_POSITION, horizon=16, adds_joints=True),
    # Source: LeRobot examples/port_datasets/port_droid.py, whose action is the commanded joint position.
    _droid("pi05_droid_jointpos_absolute", ActionKind.JOINT_POSITION, horizon=15),
    Preset(
        "pi05_libero",
        ActionKind.EE_DELTA,
        state=StateLayout.LIBERO,
        prompt=PromptForm.PLAIN,
        horizon=10,
        execute_rows=5,
        cameras=("agentview", "wrist"),
        picture_names=LIBERO_NAMES,
        asset_id="physical-intelligence/libero",
        control_hz=20.0,
        is_published=True,
    ),
)
PRESETS = {p.name: p for p in _PRESETS}


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        ConfigError: unknown name; lists the known ones.
    """
    if name not in PRESETS:
        raise unknown_name("pi0.5 preset", name, PRESETS)
    return PRESETS[name]


def published_preset(name: str) -> Preset | None:
    """Return the preset of the published checkpoint of exactly this name, or None."""
    preset = PRESETS.get(name)
    return preset if preset is not None and preset.is_published else None


def need_preset(folder: str) -> ConfigError:
    """Return the error for a checkpoint whose meaning is unknown; it lists every preset."""
    listed = "; ".join(f"{preset.name}: {preset.summary}" for preset in _PRESETS)
    return ConfigError(
        f"What the actions of '{folder}' mean on a robot is not written in it, and a name is not proof: joint speeds sent as joint "
        f"positions are dangerous, so nothing is guessed. Give --preset NAME (option preset), one of {listed}."
    )
