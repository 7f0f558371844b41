"""The embedded world: a Franka at a table in MuJoCo. Works right after install, deterministic, exactly restorable."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Annotated

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot import kinematics
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime.bounds import Bounds, Seed
from frs_core.worlds.base import StepResult, World, WorldSpec
from frs_core.worlds.tabletop.cameras import Cameras
from frs_core.worlds.tabletop.display import SIDE, Display
from frs_core.worlds.tabletop.scene import CAMERAS
from frs_core.worlds.tabletop.sim import WORKSPACE_HIGH, WORKSPACE_LOW, TabletopSim
from frs_core.worlds.tabletop.tasks import EXAMPLE, TASKS

CONTROL_HZ = 15.0
DISPLAY_SHARE = 0.7
"""Share of a control period in which step, images and a display picture are to be done, so that the rate holds."""
TABLE_HEIGHT = 0.0
"""Metres: the base stands on the table."""


class TabletopWorld(World):
    """The tabletop with cameras. Owned by one thread."""

    display_side = SIDE

    def __init__(
        self,
        *,
        task: str = "mug_on_plate",
        seed: Seed = 0,
        setting: Annotated[int, Bounds(-1, 2**31 - 1)] = 0,
        cameras: tuple[str, ...] = CAMERAS,
    ) -> None:
        """Make the world.

        Args:
            task: of the first scene.
            seed: of the first scene.
            setting: which table setting; scenes of one setting differ by a few centimetres. -1 = anything anywhere.
            cameras: which to render.
        """
        self.sim = TabletopSim(setting=setting)
        self.sim.reset(task, seed=seed)
        self._names = cameras
        self._cameras = Cameras(self.sim.model, self.sim.data)
        self._display: Display | None = None
        self._step_s = self._images_s = 0.0
        """What the last step and the last images took."""
        self._is_closed = False
        self.spec = WorldSpec(
            name="tabletop",
            cameras=cameras,
            control_hz=CONTROL_HZ,
            tasks=tuple(TASKS),
            limits=Limits(
                WORKSPACE_LOW,
                WORKSPACE_HIGH,
                kinematics.Q_LOW,
                kinematics.Q_HIGH,
                table_height=TABLE_HEIGHT,
                knows_links=True,
            ),
            is_simulated=True,
            gripper_mm=80.0,
            robot="panda",
            example_task=EXAMPLE,
            operator="frs_core.worlds.tabletop.operator:ScriptedOperator",
            remote_operator="frs_core.worlds.tabletop.mirror:MirrorOperator",
            demonstrator="frs_core.worlds.tabletop.play:demonstrator",
        )

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Set up a task's scene; see World.reset."""
        self.sim.reset(task or self.sim.task.name, seed=seed)
        return self.observe()

    def observe(self) -> Observation:
        """Return fresh images and state; where sizes were given, some images have a display picture too."""
        pictures = {}
        if self._display is not None:
            # First, so that the images are not old when they are published.
            pictures = self._display.pictures(DISPLAY_SHARE / CONTROL_HZ - self._step_s - self._images_s)
        began = time.monotonic()
        frames = self._cameras.frames(self._names)
        self._images_s = time.monotonic() - began
        frames |= {n: dataclasses.replace(frames[n], display=p) for n, p in pictures.items()}
        return self._observation(frames)

    def show(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Render display pictures of these sizes; see World.show."""
        if self._display is None:
            self._display = Display(self.sim.model, self.sim.data, still_here=self.still_here)
        self._display.use_sizes({n: size for n, size in sizes.items() if n in self._names})

    def state(self) -> Observation:
        """Return the state without images; costs no rendering."""
        return self._observation({})

    def _observation(self, frames: dict[str, CameraFrame]) -> Observation:
        sim = self.sim
        return Observation(
            frames=frames,
            q=sim.q,
            dq=sim.dq,
            gripper=sim.gripper,
            T_base_tcp=sim.T_base_tcp,
            instruction=sim.task.instruction,
            captured_ns=time.monotonic_ns(),
            step=sim.steps,
            gripper_command=sim.gripper_command,
            success=sim.is_success,
            extra={"q_command": sim.q_command},
        )

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Execute one action; see World.step."""
        began = time.monotonic()
        result = self.sim.step(action, kind)
        self._step_s = time.monotonic() - began
        return result

    def hold(self) -> None:
        """Keep the arm at its commanded pose."""
        self.sim.hold()

    def snapshot(self) -> bytes:
        """Return the exact state."""
        return self.sim.snapshot()

    def restore(self, state: bytes) -> Observation:
        """Return to a snapshot exactly."""
        self.sim.restore(state)
        return self.observe()

    def close(self) -> None:
        """Free the GL context."""
        if not self._is_closed:
            self._cameras.close()
            if self._display is not None:
                self._display.close()
            self._is_closed = True
