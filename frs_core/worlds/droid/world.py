"""A DROID Franka as a `World`: the cockpit's side of the bridge, with every limit applied before an action leaves.

Problem: a real arm behind a network, in a lab whose software must not be changed. Idea: `bridge.py` runs under the lab's
interpreter and owns the robot; this class sends it requests with time limits, drops late answers, refuses to act on old images
or an old state, and clips every action to the limits. It moves only in `reset` and `step`, because the bridge does.

    world = DroidWorld(DroidConfig(endpoint="tcp://127.0.0.1:4343"))
    world.observe().frames["left"].image.shape      # (360, 640, 3)
    world.step(np.zeros(8), ActionKind.JOINT_VELOCITY).clipped   # False

It connects once, when it is constructed. A lost connection is a lost world, and only a new `DroidWorld` connects again, so that
everything before it (fans, acts, holds) is invalid.
One thread, the world process's.
"""

import os
import time
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

import numpy as np
import PIL.Image  # noqa: F401  # pyright: ignore[reportUnusedImport]  loaded before the arm is there, not with the first image that is waited for
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import CameraStale, ConfigError, ShapeMismatch, StaleAct, WorldError, unknown_name
from frs_core.robot import kinematics
from frs_core.robot.actions import ActionKind
from frs_core.robot.limiting import AT_REST, limit_action
from frs_core.robot.limits import Limits
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime.bounds import Bounds, Positive, Size, hints_of
from frs_core.runtime.image_files import decode
from frs_core.runtime.registry import typed_options
from frs_core.worlds.base import StepResult, World, WorldSpec
from frs_core.worlds.droid.calibration import OLD_S, calibration_of
from frs_core.worlds.droid.connection import BridgeRefusal, Connection

GRIPPER_MM = 85.0
"""Between the open fingers. Source: Robotiq 2F-85 data sheet."""
SEAM_S = 0.3
"""After a pause this long the arm has settled, and the next step is measured against standing still."""
SETTLED_S = 1.0
"""After a pause this long the arm rests; holding it needs no command."""
_TOOL = np.eye(4)
_TOOL[:2, :2] = np.sqrt(0.5) * np.array([[1.0, 1.0], [-1.0, 1.0]])
"""Flange to hand: -45 degrees about z, so that the fingers open along the hand's y. Source: Franka hand data sheet."""


@dataclass(frozen=True, slots=True)
class DroidConfig:
    """How to reach a DROID arm and what it may do."""

    endpoint: str = "tcp://127.0.0.1:4343"
    """ZMQ address of the bridge."""
    token: str = field(default="", repr=False)
    """Secret of a bridge beyond loopback (FRS_BRIDGE_TOKEN there)."""
    width: Size = 640
    height: Size = 360
    """Size of the requested images; keep the camera's 16:9."""
    encoding: Literal["jpeg", "raw"] = "jpeg"
    """'jpeg' or 'raw'."""
    quality: Annotated[int, Bounds(1, 100)] = 90
    """JPEG quality, 1..100."""
    instruction: str = ""
    """The policy's instruction until a task is given."""
    tool_offset: Annotated[float, Bounds(-1.0, 1.0)] = kinematics.ROBOTIQ_OFFSET
    """Flange to fingertips along flange z, metres."""
    workspace_low: tuple[float, float, float] = (0.2, -0.45, 0.0)
    workspace_high: tuple[float, float, float] = (0.8, 0.45, 0.8)
    """Box the fingertips may not leave, base frame, metres. Set the floor to your table."""
    table_height: Annotated[float, Bounds(-10.0, 10.0)] | None = None
    """Height of the table in the base frame, metres, so that a candidate that would hit it is marked; None = not known."""
    joint_margin: Annotated[float, Bounds(0.0, 1.0)] = 0.08
    """Margin to the joint limits, rad."""
    speed: float = 0.9
    """Fraction of the arm's joint speed limits, above 0."""
    jump: float = 0.1
    """rad per step by which a joint step may differ from the one before (0.1 = 22 rad/s² at 15 Hz), above 0. Guess; half of the
    largest DROID step, so a fast motion needs two steps to start, to stop or to reverse."""
    stale_s: Positive = 2.0
    """Steps are refused when the last images are older than this, seconds."""
    binary_gripper: bool = True
    """Send 0 or 1 (threshold 0.5), as DROID policies are run."""
    reset_moves: bool = True
    """Whether `reset` drives to DROID's start pose; False leaves the arm where it is."""
    randomize_reset: bool = False
    """DROID's random offset of the start pose."""
    connect_timeout_s: Positive = 6.0
    timeout_s: Positive = 1.0
    """Longest wait for one answer, seconds; longer than the bridge needs for three images."""
    reset_timeout_s: Positive = 45.0


@dataclass(slots=True, eq=False)
class _Known:
    """Content of the last answers."""

    observation: Observation | None = None
    tick: int = 0
    state_at: float = 0.0
    """Local monotonic seconds of the newest state."""
    pictures_at: float = -1e9
    """Local monotonic seconds of the oldest camera's newest image."""
    images: dict[str, tuple[int, Array, int]] = field(default_factory=dict)
    """Camera: bridge's sequence number, RGB, captured_ns."""


class DroidWorld(World):
    """A DROID Franka behind a bridge."""

    limits_itself = True
    doctor = "frs_core.worlds.droid.check:check_droid"

    def __init__(self, config: DroidConfig | None = None, /, **options: object) -> None:
        """Connect; nothing moves.

        Args:
            config: settings; None = the defaults.
            options: fields of `DroidConfig` to change, e.g. endpoint="tcp://192.168.0.10:4343"; see `config_of`.
        Raises:
            WorldTimeout: no bridge answers.
            ConfigError: protocol or token do not match, or an option is unknown or not usable.
        """
        self.config = config_of(config, **options)
        low, high = np.array(self.config.workspace_low), np.array(self.config.workspace_high)
        if low.shape != (3,) or high.shape != (3,) or not (low < high).all():
            raise ConfigError(f"Workspace box {low} .. {high} is empty. Give workspace_low below workspace_high.")
        if not (self.config.speed > 0.0 and self.config.jump > 0.0):
            raise ConfigError(
                f"Speed is {self.config.speed} and jump {self.config.jump}, expected both above 0. "
                f"Give a share of the joint speed limits such as 0.3, and rad per step such as 0.1."
            )
        self._connection = Connection(self.config.endpoint, token=self.config.token)
        self._T_flange_tcp = _TOOL.copy()
        self._T_flange_tcp[2, 3] = self.config.tool_offset
        self._known = _Known()
        self._step, self._moving, self._stepped_at = 0, AT_REST, 0.0
        self._epoch = 0
        """The bridge's hold epoch; it refuses requests from any other."""
        self._gripper_command: float | None = None
        self._instruction = self.config.instruction
        self.facts: dict[str, Any] = {}
        """The bridge's facts about robot and cameras, from its `hello`."""
        self.calibration: dict[str, dict[str, Any]] = {}
        """Per camera, as the bridge reads it from DROID's file."""
        try:
            self._connect()
        except BaseException:
            self._connection.close()
            raise

    # --- the World -----------------------------------------------------------------------------------------------------

    def reset(self, *, task: str | None = None, seed: int = 0) -> Observation:
        """Open the gripper, move to DROID's start pose (unless `reset_moves` is off), and return an observation.

        Args:
            task: the instruction, in free words; None keeps the present one.
            seed: not used; the scene is set by a person.
        Raises:
            StaleAct: a hold came before the arm began to move; the motion to the start pose cannot be interrupted.
            WorldError: the arm did not arrive, or the robot computer failed.
        """
        self._must_be_connected()
        if task is not None:
            self._instruction = task
        # It may launch the robot's controller, which can take long; nothing is allowed to move yet.
        self._ask("begin", timeout_s=self.config.reset_timeout_s)
        if self.config.reset_moves:
            self._must_be_wanted("The start pose was not taken")
            token = self._ask("reset_request", epoch=self._epoch)["token"]
            self._must_be_wanted("The start pose was not taken")
            self._ask(
                "reset",
                timeout_s=self.config.reset_timeout_s,
                epoch=self._epoch,
                token=token,
                randomize=self.config.randomize_reset,
            )
            self._gripper_command = 0.0
        self._step, self._moving = 0, AT_REST
        self._refresh_calibration()
        return self.observe()

    def observe(self) -> Observation:
        """Return the newest images and the state.

        Raises:
            WorldError: the connection is lost.
        """
        self._must_be_connected()
        have = {name: sequence for name, (sequence, _, _) in self._known.images.items()}
        answer = self._ask("observe", have=have)
        for name, frame in answer["frames"].items():
            self._keep_picture(name, frame, answer["now"])
        ages = [ns for _, _, ns in self._known.images.values()]
        self._known.pictures_at = min(ages) / 1e9 if ages else time.monotonic()
        dropped = {f"dropped_{name}": np.array(f.get("dropped", 0)) for name, f in answer["frames"].items()}
        bare = self._state_observation(answer["state"], answer["now"], extra=dropped)
        self._known.observation = replace(bare, frames=self._frames(bare.q))
        return self._known.observation

    def state(self) -> Observation:
        """Return the state alone."""
        answer = self._ask("state")
        return self._state_observation(answer["state"], answer["now"])

    def step(self, action: Float[Array, " A"], kind: ActionKind) -> StepResult:
        """Send one action under the limits; the bridge spaces steps at the control rate.

        Raises:
            StaleAct: a hold came while the step was being prepared.
            CameraStale: the newest images are too old to act on.
            WorldError: not connected (observe first), or the robot failed or refused.
            ShapeMismatch: wrong size.
        """
        self._must_be_connected()
        asked = _checked_action(action, kind)
        age = time.monotonic() - self._known.pictures_at
        if age > self.config.stale_s:
            raise CameraStale(
                f"The newest frames of all cameras are {min(age, 999.0):.1f} s old, limit {self.config.stale_s:.1f} s. "
                f"Check the cameras' cables and the bridge's log; then resume."
            )
        # The state is read when the step is due: a period earlier the arm was a whole step away.
        wait = self._stepped_at + 1.0 / self.spec.control_hz - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        now = self.state()
        pause = time.monotonic() - self._stepped_at
        moving = self._moving if pause < SEAM_S else AT_REST
        allowed = limit_action(asked, kind, observation=now, limits=self.spec.limits, moving=moving)
        sent_kind = kind if allowed.joints is None else ActionKind.JOINT_POSITION
        sent = allowed.action if allowed.joints is None else allowed.joints
        if self.config.binary_gripper:
            sent[7] = float(sent[7] > 0.5)
        self._must_be_wanted("A step was not sent")
        self._stepped_at = time.monotonic()
        answer = self._ask(
            "step", epoch=self._epoch, kind=sent_kind.value, action=sent.tolist(), based_on=self._known.tick
        )
        self._step += 1
        self._moving, self._gripper_command = allowed.moving, float(sent[7])
        self._state_observation(answer["state"], answer["now"])
        executed = np.append(allowed.action[:-1], sent[7])
        return StepResult(executed, bool(allowed.reasons), ", ".join(allowed.reasons))

    def hold(self) -> None:
        """Let the arm settle where it is, and have the bridge refuse all earlier requests.

        A step that was sent less than a period ago is completed: it is a chunk's last row, or at most one row too many. After that, one
        zero-velocity command stops the rest of the motion. An arm at rest gets no command. A hold that the bridge does not answer is
        a lost connection: nothing is sent without a request, and the next observation raises.
        """
        self._moving = AT_REST
        if not self._connection.has_session:
            return
        since = time.monotonic() - self._stepped_at
        try:
            self._epoch = self._ask("hold", settle=0.9 / self.spec.control_hz < since < SETTLED_S)["epoch"]
        except WorldError:
            self._connection.drop()

    def close(self) -> None:
        """Disconnect; the arm stays where it is."""
        self._connection.close()

    # --- inside --------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        settings = self.config
        image = {
            "width": settings.width,
            "height": settings.height,
            "encoding": settings.encoding,
            "quality": settings.quality,
        }
        facts = self._connection.hello(image, timeout_s=settings.connect_timeout_s)
        self.facts, self.calibration, self._epoch = facts, facts["calibration"], facts["epoch"]
        self._known = _Known()
        self._moving, self._stepped_at = AT_REST, 0.0
        try:
            self._ask("state")
        except BridgeRefusal as error:
            if error.code != "robot":
                raise
            # A robot computer that was restarted has no controller yet; launching it moves nothing.
            self._ask("begin", timeout_s=settings.reset_timeout_s)
        control_hz = float(facts["control_hz"])
        self.spec = WorldSpec(
            name="droid",
            cameras=tuple(facts["cameras"]),
            control_hz=control_hz,
            tasks=(),
            limits=Limits(
                np.array(settings.workspace_low),
                np.array(settings.workspace_high),
                np.array(facts["joint_low"]),
                np.array(facts["joint_high"]),
                table_height=settings.table_height,
                joint_margin=settings.joint_margin,
                joint_speed=kinematics.DQ_MAX * settings.speed / control_hz,
                joint_jump=settings.jump,
                knows_links=facts.get("robot_type") in ("panda", "fr3"),
            ),
            is_simulated=False,
            gripper_mm=GRIPPER_MM,
            robot=str(facts.get("robot_type", "")),
        )

    def _must_be_connected(self) -> None:
        if not self._connection.has_session:
            raise WorldError("The connection to the DROID bridge is lost. Reconnect, look at the scene, then continue.")

    def _must_be_wanted(self, what: str) -> None:
        if not self.may_move():
            raise StaleAct(f"{what}: a hold came first. Ask again after it.")

    def _ask(self, op: str, *, timeout_s: float | None = None, **fields: object) -> dict[str, Any]:
        return self._connection.request(op, timeout_s=timeout_s or self.config.timeout_s, **fields)

    def _refresh_calibration(self) -> None:
        self.calibration = self._ask("calibration")["calibration"]

    def _state_observation(self, state: Any, now: float, *, extra: dict[str, Array] | None = None) -> Observation:
        """Convert the bridge's state to an observation without images, and store it."""
        # The bridge's clock is another machine's: only the age it reports is used.
        age = max(0.0, now - state["at"]) + 0.5 * self._connection.round_trip_s
        q = np.array(state["q"])
        if self._gripper_command is None:
            self._gripper_command = float(state["gripper"] > 0.5)
        observation = Observation(
            frames={},
            q=q,
            dq=np.array(state["dq"]),
            gripper=float(np.clip(state["gripper"], 0.0, 1.0)),
            T_base_tcp=kinematics.flange_pose(q) @ self._T_flange_tcp,
            instruction=self._instruction,
            captured_ns=time.monotonic_ns() - int(age * 1e9),
            step=self._step,
            gripper_command=self._gripper_command,
            extra={
                "flange": np.array(state["flange"]),
                "latency_ms": np.array(state["latency_ms"]),
                "refused_commands": np.array(state["refused"]),
                **(extra or {}),
            },
        )
        self._known.tick = int(state["tick"])
        self._known.state_at = observation.captured_ns / 1e9
        self._known.observation = observation
        return observation

    def _keep_picture(self, name: str, frame: Any, now: float) -> None:
        if "data" not in frame:
            return
        size = (int(frame["height"]), int(frame["width"]))
        if frame["encoding"] == "raw":
            image = np.frombuffer(frame["data"], np.uint8).reshape(*size, 3)
        else:
            try:
                image = decode(frame["data"])
            except ValueError as error:
                raise WorldError(
                    f"An image of camera '{name}' cannot be decoded. Set encoding to 'raw' and look again."
                ) from error
        age = max(0.0, now - frame["at"]) + 0.5 * self._connection.round_trip_s
        self._known.images[name] = (int(frame["sequence"]), image, time.monotonic_ns() - int(age * 1e9))

    def _frames(self, q: Float[Array, " 7"]) -> dict[str, CameraFrame]:
        flange = kinematics.flange_pose(q)
        frames = {}
        for name, (_, image, captured_ns) in self._known.images.items():
            size = (image.shape[1], image.shape[0])
            calibration = calibration_of(self.calibration[name], size=size, T_base_flange=flange)
            frames[name] = CameraFrame(image, captured_ns, calibration)
        return frames


def _checked_action(action: Float[Array, " A"], kind: ActionKind) -> Float[Array, " A"]:
    """Return an action in double precision, if it can be sent at all."""
    asked = np.asarray(action, dtype=np.float64)
    if asked.shape != (kind.size,):
        raise ShapeMismatch(
            f"Action has shape {asked.shape}, {kind.value} needs ({kind.size},). Check the policy's action space."
        )
    if not np.isfinite(asked).all():
        raise WorldError(f"The action holds non-finite numbers: {asked}. Check the policy with `frs policy check`.")
    return asked


def config_of(config: DroidConfig | None = None, /, **options: object) -> DroidConfig:
    """Return settings as the options of the world "droid" state them.

    Args:
        config: settings of which the options change some; None = the defaults, and the token of FRS_BRIDGE_TOKEN.
        options: fields of `DroidConfig`. Boxes may be written "0.2, -0.4, 0.0".
    Raises:
        ConfigError: unknown option, or a value of another type, such as a box that is not three numbers.
    """
    known = {f.name for f in fields(DroidConfig)}
    for name in options:
        if name not in known:
            raise unknown_name("option of world 'droid'", name, known)
    given = typed_options("world", "droid", DroidConfig, options, hints=hints_of(DroidConfig))
    return replace(config or DroidConfig(token=os.environ.get("FRS_BRIDGE_TOKEN", "")), **given)


def calibration_notes(calibration: dict[str, dict[str, Any]], *, now: float | None = None) -> dict[str, str]:
    """Return one sentence per camera that is not calibrated or whose calibration is old.

    Args:
        calibration: as `DroidWorld.calibration`.
        now: Unix time; None = the present.
    """
    present, notes = time.time() if now is None else now, {}
    for name, entry in calibration.items():
        made_at = entry.get("made_at")
        if not entry.get("pose"):
            notes[name] = (
                f"Camera '{name}' ({entry.get('serial')}) was never calibrated. Calibrate it in DROID's window."
            )
        elif made_at is not None and present - made_at > OLD_S:
            hours = (present - made_at) / 3600.0
            notes[name] = f"Calibration of camera '{name}' is {hours:.0f} h old. Calibrate again if anything was moved."
    return notes


__all__ = ["BridgeRefusal", "DroidConfig", "DroidWorld", "calibration_notes", "config_of"]
