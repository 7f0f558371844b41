"""Physics of the tabletop without images: scenes, the arm's controller and its limits, success, exact snapshots.

One control step at 15 Hz is 30 physics steps. The controller turns every action into joint targets, moved linearly over the
period and tracked by stiff servos. End-effector deltas accumulate on a commanded pose, so that a chunk's path is the sum
of its deltas; joint velocities start from the measured joints, as on DROID. Same seed, same actions: same state, bit by bit.
"""

import copy

import msgpack
import mujoco
import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, ShapeMismatch
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.rotations import rotation_matrix, rotation_vector
from frs_core.worlds.base import StepResult
from frs_core.worlds.tabletop import scene
from frs_core.worlds.tabletop.layout import ANYWHERE, Layout, draw_scene
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.tasks import DRAWER, Task, TaskKind, find

WORKSPACE_LOW = np.array([0.28, -0.38, 0.010])
WORKSPACE_HIGH = np.array([0.74, 0.38, 0.50])
"""Box of the commanded tool centre, base frame, metres."""

MAX_TRANSLATION = 0.03
"""Metres per control step and axis (0.45 m/s)."""
MAX_ROTATION = 0.15
"""rad per control step and axis."""
MAX_JOINT_JUMP = 0.15
"""rad per control step by which a joint step may differ from the one before (34 rad/s²). Policies' own stay below 0.11; the
servos follow it."""
MAX_LEAD = 0.1
"""rad by which the targets may be ahead of the joints; more means contact with an obstacle. Policies' own stay below 0.08."""
JOINT_MARGIN = 0.02
HELD_STEPS = 10
"""Control steps a success must last."""

_IK_DAMPING = 0.01
"""Damping of the least squares; trades accuracy for small steps near singularities."""
_DOWN = np.diag([1.0, -1.0, -1.0])
"""Hand orientation at yaw 0: pointing down, fingers opening along y."""


class TabletopSim:
    """One scene's physics. Not thread-safe; owned by one thread."""

    def __init__(self, *, setting: int = ANYWHERE) -> None:
        """Make the simulator.

        Args:
            setting: which of each task's table settings scenes are variations of; ANYWHERE = every scene is drawn anew.
        """
        self.setting = setting
        self.model = copy.copy(scene.compile_scene())
        self.data = mujoco.MjData(self.model)
        self._contype = self.model.geom_contype.copy()
        self._conaffinity = self.model.geom_conaffinity.copy()
        self._gravcomp = self.model.body_gravcomp.copy()
        self._cabinet_pos = self.model.body("cabinet").pos.copy()
        self._arm_q = np.array([self.model.joint(f"joint{i}").qposadr[0] for i in range(1, 8)])
        self._arm_v = np.array([self.model.joint(f"joint{i}").dofadr[0] for i in range(1, 8)])
        self._finger_q = self.model.joint("finger1").qposadr[0]
        self._tcp = self.model.site("tcp").id
        self._object_q = {n: self.model.joint(n).qposadr[0] for n in (*MOVABLES, *RECEPTACLES)}
        self._drawer_q = self.model.joint("drawer").qposadr[0]
        self.task: Task = find("mug_on_plate")
        self.seed = 0
        self.reset(self.task.name, seed=0)

    # --- scenes -----------------------------------------------------------------------------------

    def reset(self, task: str, *, seed: int) -> None:
        """Set up a task's scene.

        Args:
            task: task name.
            seed: which scene; the same pair gives the same state bit by bit.
        Raises:
            ConfigError: unknown task.
        """
        self.task, self.seed = find(task), seed
        self._build(draw_scene(self.task, seed=seed, setting=self.setting))

    def _build(self, layout: Layout) -> None:
        self.layout = layout
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        present = {p.name for p in layout.placements}
        self._set_present(present)
        model.body("cabinet").pos[:2] = self._cabinet_pos[:2] + layout.cabinet_shift
        for p in layout.placements:
            a = self._object_q[p.name]
            data.qpos[a : a + 7] = [p.x, p.y, 0.001, np.cos(p.yaw / 2), 0, 0, np.sin(p.yaw / 2)]
        data.qpos[self._drawer_q] = layout.drawer
        self._q_target = self._solve_ik(scene.HOME_Q, np.asarray(layout.start), _DOWN, iterations=60)
        self._dq_target = np.zeros(7)
        """The last step of the joint targets, rad."""
        data.qpos[self._arm_q] = self._q_target
        data.qpos[[self._finger_q, self.model.joint("finger2").qposadr[0]]] = 0.04
        data.ctrl[:7], data.ctrl[7] = self._q_target, 0.04
        self.gripper_command = 0.0
        self.steps, self._held = 0, 0
        for _ in range(150):
            mujoco.mj_step(model, data)
        data.time = 0.0
        self._sync_command()

    def _set_present(self, names: set[str]) -> None:
        """Give absent objects no contacts and no weight, so that they rest where they are parked."""
        model = self.model
        model.geom_contype[:], model.geom_conaffinity[:] = self._contype, self._conaffinity
        model.body_gravcomp[:] = self._gravcomp
        for name in self._object_q:
            if name not in names:
                body = model.body(name)
                rows = slice(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
                model.geom_contype[rows] = model.geom_conaffinity[rows] = 0
                model.body_gravcomp[body.id] = 1.0

    # --- state ------------------------------------------------------------------------------------

    @property
    def q(self) -> Float[Array, " 7"]:
        """Joint positions, rad."""
        return self.data.qpos[self._arm_q].copy()

    @property
    def dq(self) -> Float[Array, " 7"]:
        """Joint velocities, rad/s."""
        return self.data.qvel[self._arm_v].copy()

    @property
    def gripper(self) -> float:
        """Measured opening as 0 (open) .. 1 (closed)."""
        return float(np.clip(1.0 - self.data.qpos[self._finger_q] / 0.04, 0.0, 1.0))

    @property
    def T_base_tcp(self) -> Float[Array, "4 4"]:
        """Tool centre point in the base frame."""
        T = np.eye(4)
        T[:3, :3] = self.data.site_xmat[self._tcp].reshape(3, 3)
        T[:3, 3] = self.data.site_xpos[self._tcp]
        return T

    @property
    def p_command(self) -> Float[Array, " 3"]:
        """Commanded tool centre, metres."""
        return self._p_command.copy()

    @property
    def R_command(self) -> Float[Array, "3 3"]:
        """Commanded tool orientation, base frame."""
        return self._R_command.copy()

    def object_pose(self, name: str) -> tuple[Float[Array, " 3"], float, float]:
        """Return an object's bottom centre (m), yaw (rad), and cosine of its tilt. For oracles and tests only."""
        a = self._object_q[name]
        w, x, y, z = self.data.qpos[a + 3 : a + 7]
        yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        return self.data.qpos[a : a + 3].copy(), float(yaw), float(1 - 2 * (x * x + y * y))

    @property
    def drawer_opening(self) -> float:
        """Metres."""
        return float(self.data.qpos[self._drawer_q])

    def place_pose(self, place: str) -> Float[Array, " 3"]:
        """Return the middle of the surface that takes an object, base frame, metres. For oracles and tests only."""
        if place == DRAWER:
            p = self.data.site("drawer_inside").xpos.copy()
            # The cabinet's top covers the drawer's rear: the free middle lies towards the front.
            p[1] = self.model.body("cabinet").pos[1] - 0.09 - (self.drawer_opening - 0.004) / 2
            return p
        p, _, _ = self.object_pose(place)
        return p + [0, 0, RECEPTACLES[place].floor]

    def handle_pose(self) -> Float[Array, " 3"]:
        """Return the drawer handle's middle, base frame, metres. For oracles and tests only."""
        return self.data.site("drawer_handle").xpos.copy()

    def is_holding(self, name: str | None = None) -> bool:
        """Tell whether both fingers touch an object (any movable by default)."""
        names = [name] if name else list(MOVABLES)
        pads = {self.model.body("finger1").id: 1, self.model.body("finger2").id: 2}
        touched: dict[str, int] = {}
        ids = {self.model.body(n).id: n for n in names}
        for contact in self.data.contact[: self.data.ncon]:
            a, b = self.model.geom_bodyid[contact.geom1], self.model.geom_bodyid[contact.geom2]
            for finger, other in ((a, b), (b, a)):
                if finger in pads and other in ids:
                    touched[ids[other]] = touched.get(ids[other], 0) | pads[finger]
        return any(mask == 3 for mask in touched.values())

    # --- success ----------------------------------------------------------------------------------

    def is_done_now(self) -> bool:
        """Tell whether the task's condition is true at this instant."""
        task = self.task
        if task.kind is TaskKind.OPEN:
            return self.drawer_opening > 0.75 * scene.DRAWER_TRAVEL
        if task.kind is TaskKind.CLOSE:
            return self.drawer_opening < 0.02
        assert task.movable
        assert task.place
        return self.is_placed(task.movable, task.place)

    def is_placed(self, movable: str, place: str) -> bool:
        """Tell whether an object rests in or on a place and the hand has let go."""
        p, _, _ = self.object_pose(movable)
        target = self.place_pose(place)
        offset = p - target
        if place == DRAWER:
            is_inside = abs(offset[0]) < 0.062 and abs(offset[1]) < 0.075 and p[2] < 0.05
            is_supported = self.drawer_opening > 0.06
        else:
            is_inside = bool(np.hypot(offset[0], offset[1]) < RECEPTACLES[place].inside)
            is_supported = -0.012 < offset[2] < 0.045
        return bool(is_inside and is_supported and not self.is_holding(movable) and self.gripper_command < 0.5)

    @property
    def is_success(self) -> bool:
        """Whether the task has been done for HELD_STEPS control steps."""
        return self._held >= HELD_STEPS

    # --- control ----------------------------------------------------------------------------------

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Execute one action for one control period.

        Raises:
            ShapeMismatch: wrong length.
            ConfigError: non-finite numbers.
        """
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (kind.size,):
            raise ShapeMismatch(
                f"Action has shape {action.shape}, {kind.value} needs ({kind.size},). Check the policy's action space."
            )
        if not np.isfinite(action).all():
            raise ConfigError(f"Action holds non-finite numbers: {action}. Nothing was executed; check the policy.")
        before = self._q_target
        if self._is_pushed_out():
            executed, reasons = self._come_back(kind)
        elif kind is ActionKind.EE_DELTA:
            executed, reasons = self._command_ee(action)
        else:
            executed, reasons = self._command_joints(action, kind)
        self.gripper_command = float(np.clip(action[-1], 0.0, 1.0))
        executed = np.append(executed, self.gripper_command)
        self.data.ctrl[7] = 0.04 * (1.0 - self.gripper_command)
        move = self._q_target - before
        lead = _LEAD_S / (scene.SUBSTEPS * scene.TIMESTEP) * move
        for i in range(1, scene.SUBSTEPS + 1):
            self.data.ctrl[:7] = before + move * (i / scene.SUBSTEPS) + lead
            mujoco.mj_step(self.model, self.data)
        self.data.ctrl[:7] = self._q_target
        self.steps += 1
        self._held = self._held + 1 if self.is_done_now() else 0
        return StepResult(executed.astype(np.float32), bool(reasons), ", ".join(reasons))

    @property
    def q_command(self) -> Float[Array, " 7"]:
        """Joint targets of the servos, rad."""
        return self._q_target.copy()

    def hold(self) -> None:
        """Keep the arm at its commanded pose and the gripper at its command."""
        self.data.ctrl[:7], self._dq_target = self._q_target, np.zeros(7)

    def _command_ee(self, action: Array) -> tuple[Array, list[str]]:
        reasons = []
        move = np.clip(action[:3], -MAX_TRANSLATION, MAX_TRANSLATION)
        turn = np.clip(action[3:6], -MAX_ROTATION, MAX_ROTATION)
        if not (np.allclose(move, action[:3]) and np.allclose(turn, action[3:6])):
            reasons.append("speed limit")
        target = np.clip(self._p_command + move, WORKSPACE_LOW, WORKSPACE_HIGH)
        if not np.allclose(target, self._p_command + move):
            reasons.append("workspace")
        rotation = rotation_matrix(turn) @ self._R_command
        q = self._solve_ik(self._q_target, target, rotation, iterations=4)
        q, is_limited = _limit_step(self._q_target, q)
        if is_limited:
            reasons.append("joint limit")
        moved = target - self._p_command
        self._p_command, self._R_command = target, rotation
        if is_braking := self._go_to(q):
            reasons.append("braking distance")
        if is_limited or is_braking:
            self._sync_command()
        return np.concatenate([moved, turn]), reasons

    def _command_joints(self, action: Array, kind: ActionKind) -> tuple[Array, list[str]]:
        reasons = []
        if kind is ActionKind.JOINT_VELOCITY:
            v = action[:7]
            peak = float(np.abs(v).max())
            if peak > 1.0:
                v = v / peak
                reasons.append("speed limit")
            start = self.q
            wanted = start + JOINT_STEP * v
        else:
            start, wanted = self._q_target, action[:7]
        q, is_limited = _limit_step(start, wanted)
        if is_limited:
            reasons.append("joint limit")
        if _outside(q) > _HAIR:
            reasons.append("workspace")
            T = kinematics.flange_pose(q)
            inside = np.clip(_tool_of(T), WORKSPACE_LOW, WORKSPACE_HIGH)
            q, _ = _limit_step(start, self._solve_ik(q, inside, T[:3, :3] @ _TOOL, iterations=4))
        if self._go_to(q):
            reasons.append("braking distance")
        q = self._q_target
        self._sync_command()
        executed = (q - start) / JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else q
        return executed, reasons

    def _is_pushed_out(self) -> bool:
        """Tell whether contacts hold the arm outside the box or far from its targets, where it would only push harder."""
        q = self.q
        low, high = kinematics.Q_LOW + 0.5 * JOINT_MARGIN, kinematics.Q_HIGH - 0.5 * JOINT_MARGIN
        is_past = bool(np.any(q < low) or np.any(q > high))
        is_blocked = float(np.abs(self._q_target - q).max()) > MAX_LEAD
        return is_past or is_blocked or _outside(q) > _PUSHED_OUT

    def _come_back(self, kind: ActionKind) -> tuple[Array, list[str]]:
        """Stop pushing against an obstacle: take the measured joints as targets, with the tool moved back into the box."""
        start, command = self._q_target, self._p_command
        q = self.q
        T = kinematics.flange_pose(q)
        inside = np.clip(_tool_of(T), WORKSPACE_LOW, WORKSPACE_HIGH)
        q = self._solve_ik(q, inside, T[:3, :3] @ _TOOL, iterations=4) if _outside(q) > 0 else q
        self._go_to(np.clip(q, kinematics.Q_LOW + JOINT_MARGIN, kinematics.Q_HIGH - JOINT_MARGIN))
        self._sync_command()
        if kind is ActionKind.EE_DELTA:
            return np.append(self._p_command - command, np.zeros(3)), ["contact"]
        made = (self._q_target - start) / JOINT_STEP if kind is ActionKind.JOINT_VELOCITY else self._q_target
        return made, ["contact"]

    def _go_to(self, wanted: Float[Array, " 7"]) -> bool:
        """Move the joint targets to the wanted ones, or as near as the arm may; tell whether that changed them.

        The arm brakes before the wall, not at it: a step is made only if the tool can come to rest inside the box after it, at
        the largest change of a step. So the step that brakes is always open, whatever is asked for next.
        """
        step = wanted - self._q_target
        change = step - self._dq_target
        peak = float(np.abs(change).max())
        quickest = self._dq_target + change * min(1.0, MAX_JOINT_JUMP / max(peak, 1e-12))
        braking = _braked(self._dq_target)
        allowed = max(_HAIR, _outside(self._q_target))
        for share in (1.0, 0.75, 0.5, 0.25, 0.0):
            made = braking + share * (quickest - braking)
            if all(_outside(self._q_target + dq) <= allowed for dq in (0.5 * made, made, made + _run_on(made))):
                break
        is_changed = not np.allclose(made, step, atol=1e-6)
        # The wanted joints themselves where nothing stands in the way: a rounding error would be another episode.
        self._q_target = self._q_target + made if is_changed else wanted
        self._dq_target = made
        return is_changed

    def _sync_command(self) -> None:
        """Make the commanded pose that of the joint targets."""
        T = kinematics.flange_pose(self._q_target)
        self._R_command = T[:3, :3] @ _TOOL
        self._p_command = _tool_of(T)

    def _solve_ik(self, q: Array, p: Array, R: Array, *, iterations: int) -> Float[Array, " 7"]:
        """Return joints near `q` that bring the tool to a pose, pulled towards the home posture."""
        q = np.asarray(q, dtype=np.float64).copy()
        for _ in range(iterations):
            T = kinematics.flange_pose(q)
            p_now, R_now = _tool_of(T), T[:3, :3] @ _TOOL
            error = np.concatenate([p - p_now, rotation_vector(R @ R_now.T)])
            J = kinematics.jacobian(q)
            lean = 0.05 * (scene.HOME_Q - q)
            # The same least squares cancel the pull's effect on the tool.
            back = kinematics.damped_step(J, J @ lean, damping=_IK_DAMPING)
            q += kinematics.damped_step(J, error, damping=_IK_DAMPING) + lean - back
        return np.clip(q, kinematics.Q_LOW + JOINT_MARGIN, kinematics.Q_HIGH - JOINT_MARGIN)

    # --- snapshots --------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Return the full integration state with the controller's and the scene's."""
        size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION)
        state = np.empty(size)
        mujoco.mj_getState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return _packed(
            {
                "version": 1,
                "task": self.task.name,
                "seed": self.seed,
                "state": state.tobytes(),
                "q_target": self._q_target.tobytes(),
                "dq_target": self._dq_target.tobytes(),
                "p_command": self._p_command.tobytes(),
                "R_command": np.ascontiguousarray(self._R_command).tobytes(),
                "gripper_command": self.gripper_command,
                "steps": self.steps,
                "held": self._held,
            }
        )

    def restore(self, snapshot: bytes) -> None:
        """Return to a snapshot exactly, in this or another process.

        Raises:
            ConfigError: not a snapshot of this world's version.
        """
        try:
            saved = msgpack.unpackb(snapshot)
            state = np.frombuffer(saved["state"])
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise ConfigError(f"This is not a snapshot of the tabletop: {error}.") from error
        size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION)
        if saved.get("version") != 1 or state.size != size:
            raise ConfigError(
                f"Snapshot has version {saved.get('version')} and {state.size} numbers, this world needs version 1 and {size}. "
                f"It was made with another release; replay the stored frames instead."
            )
        if (saved["task"], saved["seed"]) != (self.task.name, self.seed):
            self.reset(saved["task"], seed=saved["seed"])
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        self._q_target = np.frombuffer(saved["q_target"]).copy()
        # Older snapshots have none; at the pace of an end-effector command it makes no difference.
        self._dq_target = np.frombuffer(saved.get("dq_target", bytes(56))).copy()
        self._p_command = np.frombuffer(saved["p_command"]).copy()
        self._R_command = np.frombuffer(saved["R_command"]).reshape(3, 3).copy()
        self.gripper_command, self.steps, self._held = saved["gripper_command"], saved["steps"], saved["held"]
        mujoco.mj_forward(self.model, self.data)
        # mj_forward recomputes the warm start; the snapshot's own makes the next step bit-identical.
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)


# Velocity feed-forward: how far ahead the target of a damped servo must be.
_LEAD_S = np.array([(kv + scene.JOINT_DAMPING) / kp for kp, kv, _ in scene.SERVO_GAINS])

# Flange to hand: -45 degrees about z.
_TOOL = np.array([[np.cos(np.pi / 4), np.sin(np.pi / 4), 0], [-np.sin(np.pi / 4), np.cos(np.pi / 4), 0], [0, 0, 1.0]])


_HAIR = 5e-4
"""Metres by which a joint target may place the tool outside the box: the accuracy of inverse kinematics."""
_PUSHED_OUT = 2e-3
"""Metres outside the box from which the tool is first moved back. Policies' own episodes stay inside."""
_QUIET_STEP = 0.03
"""rad per control step up to which the servos stop within 3 mrad. Measured."""
_RUN_ON = 0.15
"""Fraction of a step beyond the quiet one by which the servos overshoot their last target. Measured: 0.12 at 0.2 rad."""


def _tool_of(T: Float[Array, "4 4"]) -> Float[Array, " 3"]:
    """Return the tool centre of a flange pose, metres."""
    return T[:3, 3] + T[:3, 2] * kinematics.HAND_TCP_OFFSET


def _braked(dq: Float[Array, " 7"]) -> Float[Array, " 7"]:
    """Return the next joint step of an arm that brakes as fast as allowed."""
    peak = float(np.abs(dq).max())
    return dq * max(0.0, 1.0 - MAX_JOINT_JUMP / max(peak, 1e-12))


def _run_on(dq: Float[Array, " 7"]) -> Float[Array, " 7"]:
    """Return how far the joints move after a step until they rest, rad: the braking steps and the servos' overshoot."""
    peak = max(float(np.abs(dq).max()), 1e-12)
    way, rest = np.zeros(7), _braked(dq)
    while rest.any():
        way, rest = way + rest, _braked(rest)
    return way + dq * (_RUN_ON * max(0.0, peak - _QUIET_STEP) / peak)


def _outside(q: Float[Array, " 7"]) -> float:
    """Return how far joints put the tool outside the box, metres; 0 inside."""
    p = _tool_of(kinematics.flange_pose(q))
    return max(0.0, float(np.maximum(WORKSPACE_LOW - p, p - WORKSPACE_HIGH).max()))


def _packed(state: dict[str, object]) -> bytes:
    packed = msgpack.packb(state)
    assert packed is not None
    return packed


def _limit_step(q: Array, wanted: Array) -> tuple[Array, bool]:
    """Return the wanted joints within limits and DROID's largest step, and whether that changed them."""
    limited = np.clip(wanted, kinematics.Q_LOW + JOINT_MARGIN, kinematics.Q_HIGH - JOINT_MARGIN)
    step = limited - q
    peak = float(np.abs(step).max())
    if peak > JOINT_STEP:
        limited = q + step * (JOINT_STEP / peak)
    return limited, not np.allclose(limited, wanted, atol=1e-6)
