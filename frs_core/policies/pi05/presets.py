"""What no checkpoint file tells: what the numbers mean on a robot.

Weights and statistics of a joint-velocity and a joint-position policy look alike; sent to the wrong controller they are
dangerous. Idea: the meaning is a named preset, taken from the folder's note or name, or given; never guessed from numbers.

Example: `pi05_droid` = 15 rows of 7 joint speeds and a gripper position at 15 Hz, prompt with state, cameras left and
wrist. Any thread.
"""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.actions import ActionKind
from frs_core.errors import ConfigError, unknown_name
from frs_core.observation import Observation
from frs_core.policies.pi05.tokens import PromptForm


class StateLayout(enum.Enum):
    """Which numbers of the robot a checkpoint was trained on."""

    DROID = "droid"
    """7 joint positions, gripper 0 open .. 1 closed."""
    LIBERO = "libero"
    """Position, rotation vector and two finger joints in LIBERO's own world frame."""

    @property
    def size(self) -> int:
        """Numbers in the state."""
        return 8


def read_state(layout: StateLayout, observation: Observation) -> Float[np.ndarray, " 8"]:
    """Return the raw state of an observation.

    Raises:
        ConfigError: the world does not give the numbers this layout needs.
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
    """The world's cameras for the picture slots, in order."""
    asset_id: str
    """Folder of the statistics inside `assets/`."""
    control_hz: float
    adds_joints: bool = False
    """Actions are offsets from the joint positions at the start of the chunk."""


_DROID = {"state": StateLayout.DROID, "prompt": PromptForm.STATE_TEXT, "asset_id": "droid", "control_hz": 15.0}
_PRESETS = (
    Preset("pi05_droid", ActionKind.JOINT_VELOCITY, horizon=15, execute_rows=8, cameras=("left", "wrist"), **_DROID),
    Preset(
        "pi05_droid_finetune",
        ActionKind.JOINT_VELOCITY,
        horizon=16,
        execute_rows=8,
        cameras=("left", "wrist"),
        **_DROID,
    ),
    Preset(
        "pi05_droid_jointpos_polaris",
        ActionKind.JOINT_POSITION,
        horizon=15,
        execute_rows=8,
        cameras=("left", "wrist"),
        adds_joints=True,
        **_DROID,
    ),
    Preset(
        "pi05_full_droid_finetune",
        ActionKind.JOINT_POSITION,
        horizon=16,
        execute_rows=8,
        cameras=("left", "wrist"),
        adds_joints=True,
        **_DROID,
    ),
    Preset(
        "pi05_libero",
        ActionKind.EE_DELTA,
        state=StateLayout.LIBERO,
        prompt=PromptForm.PLAIN,
        horizon=10,
        execute_rows=5,
        cameras=("agentview", "wrist"),
        asset_id="physical-intelligence/libero",
        control_hz=20.0,
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


def preset_from_name(folder: str) -> Preset | None:
    """Return the preset whose name a folder's name contains, the longest match, or None."""
    matches = [p for p in _PRESETS if p.name in folder.replace("-", "_")]
    return max(matches, key=lambda p: len(p.name)) if matches else None


def need_preset(folder: str) -> ConfigError:
    """Return the error for a checkpoint whose meaning is unknown."""
    return ConfigError(
        f"What the actions of '{folder}' mean on a robot is not written in it. Pass preset=, one of "
        f"{', '.join(PRESETS)}; joint speeds sent as joint positions are dangerous, so nothing is guessed."
    )
