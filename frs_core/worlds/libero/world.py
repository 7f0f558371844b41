"""LIBERO as a `World`: the public benchmark's scenes, conventions and success, steered from the cockpit.

Problem: LIBERO needs an old Python environment, renders its cameras upside down, and its checkpoints expect images that are upright
and *mirrored*. A person wants neither. Idea: `worker.py` runs LIBERO in its own interpreter and renders what is requested; here every
frame has two images, the policy's exactly as the public clients send it, and a person's, upright and not mirrored, to which the
calibration belongs.

    world = LiberoWorld(task="libero_90/13", seed=0)     # the task's stored initial state 0
    world.observe().frames["agentview"].policy_image.shape      # (256, 256, 3)

Actions are tool steps in metres and rad; LIBERO's controller unit is 1 / 20 m and 1 / 2 rad. One thread, the world process's.
"""

import logging
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgpack
import numpy as np
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.errors import ConfigError, ShapeMismatch, WorldError
from frs_core.robot import kinematics
from frs_core.robot.actions import ActionKind
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.robot.rotations import quaternion_matrix
from frs_core.runtime.bounds import Bounds, Seed
from frs_core.worlds.base import StepResult, World, WorldSpec
from frs_core.worlds.libero.connection import WORKER, Worker
from frs_core.worlds.libero.geometry import Scene, scene_facts
from frs_core.worlds.libero.install import find_python
from frs_core.worlds.libero.tasks import EXAMPLE, Task, find, tasks
from frs_core.worlds.libero.worker import CAMERAS, PROTOCOL, SEEN, STATE, STORED

CONTROL_HZ = 20.0
PER_METRE, PER_RAD = 20.0, 2.0
"""Controller units per metre and rad of one step. Source: robosuite's OSC_POSE configuration."""
POLICY_SIZE = 256
"""Side of the policy's images before it resizes them, pixels. Source: openpi examples/libero/main.py, LIBERO_ENV_RESOLUTION."""
WAIT = 10
"""Control steps while objects settle. Source: the same, num_steps_wait."""
FINGER_TRAVEL = 0.08
"""Metres between the fingers when open. Source: robosuite's Panda gripper."""
NEW_CONTACTS = (3, 4)
"""MuJoCo from here on lets the bowl of libero_spatial/5 tip over while objects settle. Measured: 51 degrees instead of 16."""
MEMORY_MB = 3500.0
"""Resident memory from which the worker is restarted before the next scene, MB; LIBERO leaks some with every scene."""
_WORKSPACE = ((0.0, -0.85, -0.2), (0.95, 0.85, 1.0))
"""Box of the tool centre, base frame, metres: all that the arm reaches in front of it. LIBERO itself has none."""
_START_S, _SCENE_S, _STEP_S, _LOOK_S = 300.0, 300.0, 60.0, 180.0
"""Longest waits for an answer, seconds. Guesses: an idle core takes 2, 5, 0.05 and 1, one that ten others want thirty times that."""
_CHEAP_S = 0.02
"""Images that render within this time are rendered at every step, seconds."""
_FLIP = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's camera looks along -z with y up; OpenCV's along +z with y down."""

_log = logging.getLogger("libero")


class LiberoWorld(World):
    """LIBERO's 130 tasks. Owned by one thread."""

    installer = "frs_core.worlds.libero.install:install_in_words"
    doctor = "frs_core.worlds.libero.check:check_libero"

    def __init__(
        self,
        *,
        task: str = EXAMPLE,
        seed: Seed = 0,
        python: str = "",
        display: Annotated[int, Bounds(0, 1440)] = 640,
        images: bool = True,
        keep_model: bool = False,
        script: str = str(WORKER),
    ) -> None:
        """Start LIBERO and set the first scene.

        Args:
            task: of the first scene, `suite/number` or in words.
            seed: of the first scene: 0 to 49 are the task's stored states, others random placements.
            python: interpreter that has LIBERO; empty = the one of `frs worlds install libero`.
            display: side of the images that a person is shown, pixels; 0 = the policy's, not mirrored.
            images: whether anything is rendered; without, observations have no frames, which is for scripts alone.
            keep_model: whether scenes of one task share a model: ten times as fast, but fixtures stay where the first scene put
                them, and placements are others than in the public evaluation; for making demonstrations.
            script: the worker; for tests.
        Raises:
            ConfigError: LIBERO is not installed, or does not work.
        """
        if display and not 64 <= display <= 1440:
            raise ConfigError(f"Option 'display' is {display}, expected 0 or 64 to 1440 pixels.")
        self._python, self._script, self._display = python or find_python(), Path(script), display
        self._has_images, self._keeps_model = bool(images), bool(keep_model)
        self._first = (find(task), _checked_seed(seed))
        self._worker: Worker | None = None
        self._facts: dict[str, Any] = {}
        """Facts of the present scene."""
        self._steps, self._is_success, self._gripper_command = 0, False, 0.0
        self._version = 0
        """Counts changes of the scene, after which older images are out of date."""
        self._described: dict[str, Any] | None = None
        """Constant geometry of the present scene; None until somebody asks."""
        self._scene: tuple[int, Scene] | None = None
        self._drawn: dict[str, tuple[int, UInt8[Array, "H W 3"], Mapping[str, Any]]] = {}
        self._shown: dict[str, tuple[int, CameraFrame]] = {}
        """Last frame for people of each camera, and the step it is of."""
        self._picture_s, self._turn = 0.0, 0
        self.spec = self._make_spec()
        try:
            self._start()
            self._set_scene(*self._first)
        except BaseException:
            self.close()
            raise

    def _make_spec(self) -> WorldSpec:
        one = np.sqrt(3.0) * (1.0 + 1e-6)
        limits = Limits(
            np.array(_WORKSPACE[0]),
            np.array(_WORKSPACE[1]),
            kinematics.Q_LOW,
            kinematics.Q_HIGH,
            # Each axis is limited by itself, by the controller: a whole step is longer along a diagonal.
            max_translation=one / PER_METRE,
            max_rotation=one / PER_RAD,
            knows_links=True,
        )
        return WorldSpec(
            name="libero",
            cameras=tuple(CAMERAS) if self._has_images else (),
            control_hz=CONTROL_HZ,
            tasks=tuple(tasks()),
            titles=tuple(f"{t.suite.removeprefix('libero_')}/{t.number}  {t.words}" for t in tasks().values()),
            limits=limits,
            is_simulated=True,
            gripper_mm=1000 * FINGER_TRAVEL,
            robot="panda",
            action_kinds=(ActionKind.EE_DELTA,),
            example_task=self._first[0].name,
            operator="frs_core.worlds.libero.operator:LiberoOperator",
            demonstrator="frs_core.worlds.libero.demonstrator:demonstrator",
        )

    # --- the World ----------------------------------------------------------------------------------------------------

    def require_task(self, task: str) -> None:
        """Refuse what is neither a task's number nor its words; see World.require_task."""
        find(task)

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Set up a task's scene as the public evaluation does; see World.reset.

        Args:
            task: `suite/number` or words; None keeps the present one.
            seed: 0 to 49 = the task's stored initial state of that number; from 50 on placements are random.
        Raises:
            ConfigError: unknown task, or a negative seed.
        """
        self.set_scene(self._task.name if task is None else task, seed=seed)
        return self.observe()

    def set_scene(self, task: str, *, seed: int) -> None:
        """Do what `reset` does, without rendering."""
        self._set_scene(find(task), _checked_seed(seed))

    def observe(self) -> Observation:
        """Return fresh images, for policies and, if watched, for people, and the state."""
        if not self._has_images:
            return self.state()
        views = ["policy", "people"] if self.is_watched and self._display else ["policy"]
        self._draw([(camera, view) for camera in CAMERAS for view in views])
        now = time.monotonic_ns()
        frames = {camera: self._frame(camera, now) for camera in CAMERAS}
        self._shown = {camera: (self._steps, frame) for camera, frame in frames.items()}
        return self._observation(frames)

    def glance(self) -> Observation:
        """Return the state and images for display during a chunk: of all cameras if that is cheap, else of one at a time.

        The other camera keeps its image, whose age is in simulated time, which is slower here than wall time.
        """
        if not self._has_images or not self._display or len(self._shown) < len(CAMERAS):
            return self.observe()
        names = tuple(CAMERAS)
        if self._picture_s > _CHEAP_S:
            names = (names[self._turn % len(names)],)
            self._turn += 1
        self._draw([(camera, "people") for camera in names])
        now = time.monotonic_ns()
        for camera in names:
            image, pose = self._drawn[f"{camera} people"][1:]
            self._shown[camera] = (self._steps, CameraFrame(_upright(image), now, self._calibration(image, pose)))
        period_ns = round(1e9 / CONTROL_HZ)
        frames = {
            camera: CameraFrame(frame.image, now - (self._steps - step) * period_ns, frame.calibration, is_glance=True)
            for camera, (step, frame) in self._shown.items()
        }
        return self._observation(frames)

    def state(self) -> Observation:
        """Return the state without images; costs no rendering."""
        return self._observation({})

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Send one tool step to LIBERO's controller; see World.step.

        Raises:
            ShapeMismatch: wrong kind or length.
            WorldError: LIBERO died or fell silent.
        """
        action = np.asarray(action, dtype=np.float64)
        if kind is not ActionKind.EE_DELTA or action.shape != (kind.size,):
            raise ShapeMismatch(
                f"LIBERO takes {ActionKind.EE_DELTA.value} of 7 numbers, got {kind.value} of shape {action.shape}. "
                f"Use a policy that speaks tool steps."
            )
        units = controller_units(action)
        allowed = np.clip(units, -1.0, 1.0)
        self._take(self._ask("step", {"action": allowed}, timeout_s=_STEP_S))
        self._steps += 1
        self._gripper_command = float((allowed[6] + 1.0) / 2.0)
        clipped = not np.array_equal(allowed, units)
        return StepResult(robot_units(allowed), clipped, "the controller's largest step" if clipped else "")

    def hold(self) -> None:
        """Nothing moves in LIBERO between steps."""

    def snapshot(self) -> bytes:
        """Return the exact state."""
        header, arrays = self._ask("save", timeout_s=_STEP_S)
        saved = {
            "version": 1,
            "mujoco": self.versions["mujoco"],
            "header": header,
            "arrays": {n: [list(a.shape), a.astype("<f8").tobytes()] for n, a in arrays.items()},
            "steps": self._steps,
            "success": self._is_success,
            "gripper_command": self._gripper_command,
        }
        return bytes(msgpack.packb(saved) or b"")

    def restore(self, state: bytes) -> Observation:
        """Return to a snapshot exactly, in this or another process.

        Raises:
            ConfigError: not a snapshot of this world and these versions.
        """
        self.set_state(state)
        return self.observe()

    def set_state(self, state: bytes) -> None:
        """Do what `restore` does, without rendering."""
        try:
            saved = msgpack.unpackb(state)
            version, made_with = saved["version"], saved["mujoco"]
            arrays = {n: np.frombuffer(data, "<f8").reshape(shape) for n, (shape, data) in saved["arrays"].items()}
            header = dict(saved["header"])
            task = tasks()[f"{header['suite']}/{header['task']}"]
            kept = int(saved["steps"]), bool(saved["success"]), float(saved["gripper_command"])
        except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
            raise ConfigError(f"This is not a snapshot of LIBERO: {error}.") from error
        if version != 1 or made_with != self.versions["mujoco"] or set(arrays) != _SAVED:
            raise ConfigError(
                f"The snapshot is of version {version} and MuJoCo {made_with}, this world needs 1 and "
                f"{self.versions['mujoco']}. Replay the stored frames instead."
            )
        answer = self._ask("load", arrays, timeout_s=_SCENE_S, saved=header)
        self._task, self._described = task, None
        self._facts = answer[0]["facts"]
        self._take(answer)
        self._steps, self._is_success, self._gripper_command = kept

    def geometry(self) -> Scene:
        """Return where everything is and what the task wants, for scripted operators; costs no rendering.

        Raises:
            WorldError: LIBERO died or fell silent.
        """
        if self._described is None:
            self._described = scene_facts(*self._ask("describe", timeout_s=_STEP_S))
        if self._scene is None or self._scene[0] != self._version:
            header, arrays = self._ask("poses", timeout_s=_STEP_S)
            self._scene = (self._version, Scene(self._described, {**header, **arrays}, self._T_base_world))
        return self._scene[1]

    def close(self) -> None:
        """End LIBERO."""
        if self._worker is not None:
            self._worker.close()
        self._worker = None

    # --- inside -------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._worker = Worker(self._python, script=self._script)
        facts, _ = self._ask("hello", timeout_s=_START_S)
        if facts.get("protocol") != PROTOCOL:
            raise ConfigError(f"LIBERO's worker speaks protocol {facts.get('protocol')}, expected {PROTOCOL}.")
        theirs = {f"{suite}/{i}": file for suite, files in facts.pop("tasks").items() for i, file in enumerate(files)}
        other = next((t for t in tasks().values() if theirs.get(t.name) != t.file), None)
        if other is not None:
            raise ConfigError(
                f"Task {other.name} of this LIBERO is '{theirs.get(other.name)}', expected '{other.file}'. It is another edition; "
                f"use the one of `frs worlds install libero`."
            )
        self.versions: dict[str, str] = facts
        """Versions of Python, MuJoCo, robosuite and LIBERO in the worker."""
        if warning := version_warning(facts["mujoco"]):
            _log.warning("%s", warning)

    def _set_scene(self, task: Task, seed: int) -> None:
        if self._worker is not None and self._facts.get("memory_mb", 0.0) > MEMORY_MB:
            self.close()
            self._start()
        answer = self._ask(
            "reset",
            timeout_s=_SCENE_S,
            suite=task.suite,
            task=task.number,
            seed=seed,
            wait=WAIT,
            keep=self._keeps_model,
        )
        self._task, self._facts, self._described = task, answer[0]["facts"], None
        self._steps, self._gripper_command = 0, 0.0
        self._take(answer)
        # A success while objects settle does not count in the public evaluation either.
        self._is_success = False

    def _take(self, answer: tuple[dict[str, Any], dict[str, Array]]) -> None:
        """Keep the state of an answer."""
        header, self._numbers = answer
        # The public evaluation counts an episode once LIBERO has called it done.
        self._is_success = self._is_success or bool(header["done"])
        self._version += 1

    def _ask(
        self, op: str, arrays: Mapping[str, Array] | None = None, *, timeout_s: float, **fields: object
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        if self._worker is None:
            raise WorldError("LIBERO was closed. Start the world again.")
        return self._worker.ask(op, arrays, timeout_s=timeout_s, **fields)

    def _draw(self, wanted: list[tuple[str, str]]) -> None:
        """Render missing images of the present scene; each is one request, so that a heartbeat can be sent in between."""
        for camera, view in wanted:
            name = f"{camera} {view}"
            if self._is_drawn(name):
                continue
            side = POLICY_SIZE if view == "policy" else self._display
            # Room for the largest from the start: another size costs a new renderer.
            began = time.monotonic()
            header, images = self._ask(
                "look",
                timeout_s=_LOOK_S,
                pictures=[[camera, side, side, name]],
                room=max(POLICY_SIZE, self._display if self.is_watched else 0),
            )
            self._picture_s = time.monotonic() - began
            self._drawn[name] = (self._version, images[name], header["cameras"][name])
            self.still_here()

    def _is_drawn(self, name: str) -> bool:
        return name in self._drawn and self._drawn[name][0] == self._version

    def _frame(self, camera: str, now: int) -> CameraFrame:
        _, raw, pose = self._drawn[f"{camera} policy"]
        image, name = raw, f"{camera} people"
        if self._is_drawn(name):
            _, image, pose = self._drawn[name]
        return CameraFrame(_upright(image), now, self._calibration(image, pose), np.ascontiguousarray(raw[::-1, ::-1]))

    def _calibration(self, raw: UInt8[Array, "H W 3"], pose: Mapping[str, Any]) -> Calibration:
        """Return the exact pinhole model of an upright image."""
        height, width = raw.shape[:2]
        focal = 0.5 * height / np.tan(0.5 * np.radians(pose["fovy"]))
        K = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])
        T = np.eye(4)
        T[:3, :3] = np.array(pose["mat"]).reshape(3, 3) @ _FLIP
        T[:3, 3] = pose["pos"]
        return Calibration(K, self._T_base_world @ T, width, height)

    @property
    def _T_base_world(self) -> Float[Array, "4 4"]:
        """Pose of LIBERO's world frame in the arm's base frame."""
        w, x, y, z = self._facts["base_quat"]
        T = np.eye(4)
        T[:3, :3] = quaternion_matrix(np.array([x, y, z, w]))
        T[:3, 3] = self._facts["base_pos"]
        return np.linalg.inv(T)

    def _observation(self, frames: Mapping[str, CameraFrame]) -> Observation:
        n = self._numbers
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = quaternion_matrix(n["eef_quat"]), n["eef_pos"]
        opening = (n["gripper_qpos"][0] - n["gripper_qpos"][1]) / FINGER_TRAVEL
        return Observation(
            frames=frames,
            q=n["joint_pos"].copy(),
            dq=n["joint_vel"].copy(),
            gripper=float(np.clip(1.0 - opening, 0.0, 1.0)),
            T_base_tcp=self._T_base_world @ T,
            instruction=self._facts["instruction"],
            captured_ns=time.monotonic_ns(),
            step=self._steps,
            gripper_command=self._gripper_command,
            success=self._is_success,
            extra={"libero_state": libero_state(n["eef_pos"], n["eef_quat"], n["gripper_qpos"])},
        )


_SAVED = {*STATE, "state", "seen", "goal_pos", "goal_ori", "grip", "clocks", "site_rgba"}


def controller_units(action: Float[Array, " 7"]) -> Float[Array, " 7"]:
    """Return a tool step (metres, rad, gripper 0 open .. 1 closed) in LIBERO's units (1 = 50 mm, 0.5 rad; -1 open .. 1 closed)."""
    return np.concatenate([action[:3] * PER_METRE, action[3:6] * PER_RAD, [2.0 * action[6] - 1.0]])


def robot_units(units: Float[Array, " 7"]) -> Float[Array, " 7"]:
    """Return LIBERO's units as a tool step; `controller_units` gives them back, to the last bit where they have a float32's precision."""
    return np.concatenate([units[:3] / PER_METRE, units[3:6] / PER_RAD, [(units[6] + 1.0) / 2.0]])


def libero_state(
    position: Float[Array, " 3"], quaternion: Float[Array, " 4"], fingers: Float[Array, " 2"]
) -> Float[Array, " 8"]:
    """Return the state that LIBERO's checkpoints read: tool position, rotation vector, two finger joints.

    Args:
        position: metres, LIBERO's world frame.
        quaternion: xyzw, sign as it comes.
        fingers: metres.
    Source: openpi examples/libero/main.py.
    """
    cosine = min(1.0, max(-1.0, float(quaternion[3])))
    sine = np.sqrt(1.0 - cosine * cosine)
    turn = np.zeros(3) if math.isclose(sine, 0.0) else (quaternion[:3] * 2.0 * math.acos(cosine)) / sine
    return np.concatenate([position, turn, fingers])


def version_warning(mujoco: str) -> str:
    """Return what is wrong with a version of MuJoCo, empty where nothing is known."""
    numbers = re.findall(r"\d+", mujoco)[:2]
    if tuple(map(int, numbers)) < NEW_CONTACTS:
        return ""
    return (
        f"LIBERO runs on MuJoCo {mujoco}: from 3.4 on the bowl of libero_spatial/5 tips over while things settle, and published "
        f"results do not hold there. Use `frs worlds install libero`, or mujoco==3.3.7."
    )


def _upright(raw: UInt8[Array, "H W 3"]) -> UInt8[Array, "H W 3"]:
    """Return an image as rendered, bottom row first, with the top row first; not mirrored."""
    return np.ascontiguousarray(raw[::-1])


def _checked_seed(seed: int) -> int:
    if seed < 0:
        raise ConfigError(
            f"Scene {seed} of LIBERO: expected 0 to {STORED - 1} for a stored state, or more for a drawn one."
        )
    return int(seed)


__all__ = ["SEEN", "LiberoWorld", "controller_units", "libero_state", "robot_units", "version_warning"]
