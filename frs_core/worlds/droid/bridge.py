#!/usr/bin/env python
# pyright: standard, reportAttributeAccessIssue=false, reportArgumentType=false, reportOptionalMemberAccess=false
"""The robot's side of the connection: one file, run by the lab's own DROID interpreter (Python >= 3.7).

Problem: DROID's `RobotEnv` lives in an old environment of its own, moves the arm when it is built, is not thread-safe,
hides failures, and stops the whole program when one camera drops one frame. Idea: this process owns `RobotEnv` in its main
thread, one more thread per camera keeps the newest left-eye image, and the cockpit talks to it by ZMQ (ROUTER) and msgpack.
It never moves on connect; it moves on `step` (one action, at most `control_hz`, based on a state not older than
`max_state_age` that no other step was based on), and on `reset` with a one-time token. Both carry the hold epoch, a number that
every `hello` and `hold` renews: requests from before the last hold are refused, however late they arrive. Nothing is ever sent
without a request, so a silent cockpit means a still arm. It needs what the DROID environment already has: numpy, cv2, pyzmq,
msgpack (the last two come with zerorpc).

    conda run -n robot python bridge.py --droid ~/droid
    {"ready": "tcp://127.0.0.1:4343", "protocol": 2}

Messages are maps. Request: {id, session, op, ...}. Answer: {id, ok: true, ...} or {id, ok: false, code, error, fix}.

| op | fields | answer |
|---|---|---|
| hello | protocol, client, token, image {width, height, encoding, quality} | epoch, facts about the robot, cameras, calibration |
| state | | state |
| observe | have {camera: sequence number} | state, frames (data left out where the client has it) |
| calibration | | calibration, read from disk again |
| step | epoch, kind, action[8], based_on (a state's tick) | state (as measured just before the command) |
| hold | settle | epoch; with `settle` the state, after one zero-velocity command, so that the arm settles where it is |
| begin | | state; a fresh connection to the robot computer, as DROID does before each episode |
| reset_request, reset | epoch; epoch, token, randomize | token valid 2 s; state after the move |
| ping, bye | | |

Codes: protocol, token, malformed, bad_request, busy, no_session, held, stale, limit, robot, frozen, reset.
"""

import argparse
import hmac
import importlib
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections import OrderedDict

import msgpack
import numpy as np
import zmq

PROTOCOL = 2
LOG = logging.getLogger("frs.bridge")

MAX_REQUEST = 65536
"""Bytes; the largest legitimate request is a few hundred."""
LEASE_S = 2.0
"""A client silent this long may be replaced by another."""
RESET_TOKEN_S = 2.0
"""A reset must follow its request within this time, seconds, so that no late one moves the arm unexpectedly."""
ROBOT_TIMEOUT_S = 0.8
"""Longest wait for the robot computer, seconds; it answers within milliseconds. Shorter than the cockpit's wait for the bridge, which
so learns the cause. DROID's own default is 30 s, during which no hold could be served."""
RESET_TIMEOUT_S = 30.0
FROZEN_S = 0.5
"""The robot's own clock ticks at 1 kHz; standing still this long means its server hangs."""
LIMIT_MARGIN = 0.02
"""Margin to the joint limits in this last check, rad; the cockpit's is larger."""
JOINT_STEP = 0.2
"""rad per step at joint velocity 1, and the farthest a position target may be from the arm."""
STEP_SLACK = 0.05
"""rad by which the arm may have moved since the state a step is based on."""

JOINT_LIMITS = {
    "panda": (
        [-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973],
        [2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973],
    ),
    "fr3": (
        [-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159],
        [2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159],
    ),
}
"""rad, by DROID's `robot_type`. Source: Franka control interface documentation, robot limits."""


class BridgeError(Exception):
    """A refusal or failure reported to the client: code, what happened, what to do."""

    def __init__(self, code, text, fix=""):
        Exception.__init__(self, text)
        self.code, self.text, self.fix = code, text, fix


# --- the DROID environment ----------------------------------------------------------------------------------------------


class _Anything:
    """Stands in for a missing ZED SDK: any attribute, any call, no cameras."""

    def __getattr__(self, name):
        return _Anything()

    def __call__(self, *args, **kwargs):
        return _Anything()

    def get_device_list(self):
        return []


def load_env(droid, nuc_ip, without_zed):
    """Return DROID's RobotEnv, built without moving, and the facts its parameters file holds.

    Args:
        droid: folder of the checkout, or None when `import droid` works.
        nuc_ip: overrides the address of the robot computer.
        without_zed: continue without the ZED SDK (no images).
    Raises:
        BridgeError: with the usual fix, when the lab's installation is not usable.
    """
    if droid:
        sys.path.insert(0, os.path.expanduser(droid))
    if without_zed:
        import types

        package, module = types.ModuleType("pyzed"), _Anything()
        package.sl = module
        sys.modules["pyzed"], sys.modules["pyzed.sl"] = package, module
    else:
        try:
            importlib.import_module("pyzed.sl")
        except ImportError as error:
            raise BridgeError(
                "setup",
                f"The ZED SDK's Python module is missing ({error}).",
                "Run /usr/local/zed/get_python_api.py in this environment, or pass --without-zed to continue without images.",
            ) from error
    try:
        parameters = importlib.import_module("droid.misc.parameters")
    except AttributeError as error:
        raise BridgeError(
            "setup",
            f"droid.misc.parameters cannot be imported: {error} (this OpenCV is {_cv2_version()}).",
            "DROID needs opencv-contrib-python 4.6: pip install opencv-contrib-python==4.6.0.66 in this environment.",
        ) from error
    except ImportError as error:
        raise BridgeError(
            "setup",
            f"import droid failed: {error}.",
            "Run this file with the lab's DROID interpreter, and name the checkout with --droid.",
        ) from error
    # Patched before robot_env is imported: it copies the value. "" would connect to nowhere, DROID only tests for None.
    parameters.nuc_ip = nuc_ip or parameters.nuc_ip
    if not parameters.nuc_ip:
        raise BridgeError(
            "setup",
            "The address of the robot computer is empty.",
            "Set nuc_ip in droid/misc/parameters.py, or pass --nuc-ip.",
        )
    robot_env = importlib.import_module("droid.robot_env")
    try:
        env = robot_env.RobotEnv(action_space="joint_velocity", gripper_action_space="position", do_reset=False)
    except Exception as error:
        raise BridgeError(
            "setup",
            f"RobotEnv could not connect to the robot computer at {parameters.nuc_ip}: {_short(error)}.",
            "Check that scripts/server/run_server.py runs there, the cable, and that the arm is unlocked in Desk.",
        ) from error
    roles = OrderedDict(
        [
            ("left", parameters.varied_camera_1_id),
            ("right", parameters.varied_camera_2_id),
            ("wrist", parameters.hand_camera_id),
        ]
    )
    calibration = importlib.import_module("droid.calibration.calibration_utils").calib_info_filepath
    facts = {"robot_type": parameters.robot_type or "panda", "roles": roles, "hand": parameters.hand_camera_id}
    facts["calibration_path"] = calibration
    return env, facts


def _cv2_version():
    import cv2

    return cv2.__version__


def _shown(value):
    """Return foreign data short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _short(error):
    """Return the last line of an error; zerorpc's texts are whole remote tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "{}: {}".format(type(error).__name__, lines[-1] if lines else "no text")


class Robot:
    """All calls to RobotEnv's robot side; only ever used by the main thread (zerorpc hangs otherwise)."""

    def __init__(self, env, facts, timeout):
        self.env, self.facts, self.timeout = env, facts, timeout
        self.low, self.high = (np.array(x) for x in JOINT_LIMITS[facts.get("robot_type", "panda")])
        self.home = np.asarray(env.reset_joints, dtype=float)
        self.period = 1.0 / float(env.control_hz)
        self.gripper = None  # last commanded, 0 open .. 1 closed
        self.ticks = (
            OrderedDict()
        )  # tick -> (monotonic time, q) of states since the last command; each is good for one step
        self.tick = 0
        self.refused = 0  # consecutive states that report a refused command
        self._robot_time, self._robot_time_seen = None, 0.0
        self._patience(self.timeout)

    def _patience(self, seconds):
        """Set zerorpc's per-call timeout; it has no public setter."""
        client = getattr(getattr(self.env, "_robot", None), "server", None)
        if client is not None and isinstance(client.__dict__.get("_timeout"), (int, float)):
            client._timeout = seconds

    def _call(self, what, function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self._drop_connection()
            raise BridgeError(
                "robot",
                f"The robot computer failed while asked to {what}: {_short(error)}.",
                "Check its server (scripts/server/run_server.py), the cable and Desk, then reconnect.",
            ) from error

    def _drop_connection(self):
        """Discard the connection with everything still queued: no command may be delivered late."""
        robot = getattr(self.env, "_robot", None)
        client = getattr(robot, "server", None)
        if client is None or not hasattr(robot, "establish_connection"):
            return
        try:
            client._events.setsockopt(zmq.LINGER, 0)
            client.close()
        except Exception as error:
            LOG.warning("closing the old connection: %s", _short(error))
        robot.establish_connection()
        self._patience(self.timeout)

    def state(self):
        """Read the robot."""
        raw, stamps = self._call("read its state", self.env.get_state)
        return self._note(raw, stamps)

    def _note(self, raw, stamps=None, is_basis=True):
        """Convert DROID's state to the protocol's, with a tick to base a step on unless a command was sent since it was measured."""
        now = time.monotonic()
        if stamps and "robot_timestamp_seconds" in stamps:
            stamp = (stamps["robot_timestamp_seconds"], stamps.get("robot_timestamp_nanos", 0))
            if stamp != self._robot_time or not any(stamp):
                self._robot_time, self._robot_time_seen = stamp, now
            elif now - self._robot_time_seen > FROZEN_S:
                raise BridgeError(
                    "frozen",
                    "The robot's clock has stood still for %.1f s." % (now - self._robot_time_seen),
                    "Its controller hangs or stopped: look at Desk, unlock the arm, then reset.",
                )
        q = [float(x) for x in raw["joint_positions"]]
        if len(q) != 7 or not np.isfinite(q).all():
            raise BridgeError("robot", f"The robot reports joints {q!r}.", "Restart its controller.")
        self.tick += 1
        if is_basis:
            self.ticks[self.tick] = (now, np.array(q))
        while len(self.ticks) > 64:
            self.ticks.popitem(last=False)
        succeeded = bool(raw.get("prev_command_successful", True))
        self.refused = 0 if succeeded else self.refused + 1
        return {
            "tick": self.tick,
            "at": now,
            "q": q,
            "dq": [float(x) for x in raw["joint_velocities"]],
            "gripper": float(raw["gripper_position"]),
            "flange": [float(x) for x in raw["cartesian_position"]],
            "latency_ms": float(raw.get("prev_controller_latency_ms", 0.0)),
            "refused": self.refused,
        }

    def check(self, kind, action, based_on, max_age):
        """Return the action as an array, or refuse it: this is the last check before the arm, and it changes nothing."""
        if kind not in ("joint_velocity", "joint_position"):
            raise BridgeError("bad_request", f"Unknown action kind {kind!r}.", "Use joint_velocity or joint_position.")
        is_numbers = isinstance(action, (list, tuple)) and all(type(x) in (int, float) for x in action)
        if not is_numbers or len(action) != 8 or not np.isfinite(np.array(action, dtype=float)).all():
            raise BridgeError("bad_request", f"An action is 8 finite numbers, got {_shown(action)}.", "")
        action = np.array(action, dtype=float)
        at, q = self.ticks.get(based_on, (None, None)) if type(based_on) is int else (None, None)
        if at is None or q is None:
            raise BridgeError(
                "stale",
                f"The step is based on state {_shown(based_on)}, which is unknown, too old, or was acted on already.",
                "Observe before each step.",
            )
        age = time.monotonic() - at
        if age > max_age:
            raise BridgeError(
                "stale",
                f"The step is based on a state {age:.2f} s old, limit {max_age:.2f} s.",
                "Observe, then step.",
            )
        if kind == "joint_velocity":
            biggest, step = float(np.abs(action[:7]).max()), JOINT_STEP * action[:7]
            if biggest > 1.0 + 1e-6:
                raise BridgeError("limit", f"Joint velocity {biggest:.3f} is beyond 1.", "Rescale the whole vector.")
        else:
            step = action[:7] - q
            if np.abs(step).max() > JOINT_STEP + STEP_SLACK:
                raise BridgeError(
                    "limit",
                    f"A joint target is {np.abs(step).max():.3f} rad from the arm, limit {JOINT_STEP:.2f}.",
                    "Approach it in several steps.",
                )
        target = q + step
        over = np.maximum(self.low + LIMIT_MARGIN - target, target - self.high + LIMIT_MARGIN)
        worse = (over > STEP_SLACK) & (np.sign(step) == np.sign(target - 0.5 * (self.low + self.high)))
        if worse.any():
            joint = int(np.argmax(np.where(worse, over, -1.0)))
            raise BridgeError(
                "limit",
                f"Joint {joint + 1} would go to {target[joint]:.3f} rad, past its limit.",
                "Steer away from it.",
            )
        action[7] = min(1.0, max(0.0, action[7]))
        return action

    def step(self, kind, action):
        """Send one action; does not wait for the motion."""
        # Consumed first: a command that fails may still have reached the arm.
        self.ticks.clear()
        # `update_robot` rather than `step`: the same call, but it takes both action spaces without a second connection.
        info = self._call(
            "execute a step",
            self.env.update_robot,
            action,
            action_space=kind,
            gripper_action_space="position",
            blocking=False,
        )
        self.gripper = float(action[7])
        if isinstance(info, dict) and "robot_state" in info:
            return self._note(info["robot_state"], is_basis=False)
        return self.state()

    def hold(self):
        """Ask the arm to settle where it is, keeping the gripper's command."""
        gripper = self.gripper if self.gripper is not None else self.state()["gripper"]
        return self.step("joint_velocity", np.array([0.0] * 7 + [gripper]))

    def begin(self):
        """Reconnect; restart the controller only when the robot computer has lost it."""
        self._drop_connection()
        self._robot_time = None
        try:
            return self.state()
        except BridgeError as error:
            robot = getattr(self.env, "_robot", None)
            if not hasattr(robot, "launch_controller"):
                raise
            LOG.warning("%s; restarting the controller", error.text)
            self._patience(RESET_TIMEOUT_S)
            try:
                self._call("start its controller", robot.launch_controller)
                self._patience(RESET_TIMEOUT_S)
                self._call("start its controller", robot.launch_robot)
            finally:
                self._patience(self.timeout)
            return self.state()

    def reset(self, randomize):
        """Open the gripper and move to DROID's start pose; blocks until done, cannot be interrupted from software."""
        self._patience(RESET_TIMEOUT_S)
        try:
            self._call("move to the start pose", self.env.reset, randomize=randomize)
        finally:
            self._patience(self.timeout)
        self.gripper = 0.0
        state = self.state()
        # DROID swallows the controller's errors, so the arm is asked where it is.
        off = float(np.abs(np.array(state["q"]) - self.home).max())
        if off > (0.6 if randomize else 0.1):
            raise BridgeError(
                "reset",
                f"The arm did not reach its start pose: a joint is {off:.2f} rad off.",
                "Look for a protective stop in Desk, clear it, and reset again.",
            )
        return state


# --- cameras --------------------------------------------------------------------------------------------------------------


class Camera(threading.Thread):
    """Keeps the newest left-eye image of one ZED; a dropped frame is counted, and a hanging camera does not affect the others."""

    def __init__(self, name, serial, reader):
        threading.Thread.__init__(self, name="camera-" + name, daemon=True)
        self.camera, self.serial, self.reader = name, serial, reader
        self.sequence, self.dropped, self.failed = 0, 0, ""
        self._lock, self._stop_event, self._arrived = threading.Lock(), threading.Event(), threading.Event()
        self._newest = None  # (sequence, BGRA image, monotonic time of capture)
        self._encoded = None  # (sequence, size, answer)

    def run(self):
        while not self._stop_event.is_set():
            try:
                answer = self.reader.read_camera()
            except Exception as error:
                answer, self.failed = None, _short(error)
            # A dropped frame comes as None; DROID's own wrapper would unpack it and raise TypeError.
            if not answer or not answer[0].get("image"):
                self.dropped += 1
                self._stop_event.wait(0.005)
                continue
            data, stamps = answer
            image = data["image"].get(self.serial + "_left")
            if image is None:
                self.failed = "it delivers {} instead of {}_left".format(sorted(data["image"]), self.serial)
                self._stop_event.wait(0.2)
                continue
            # Capture times come in wall-clock milliseconds; only their age is used, so a clock step cannot reorder frames.
            capture_ms = stamps.get(self.serial + "_estimated_capture")
            age = 0.0 if capture_ms is None else min(1.0, max(0.0, time.time() - capture_ms / 1000.0))
            with self._lock:
                self.sequence += 1
                self._newest = (self.sequence, image, time.monotonic() - age)
            self.failed = ""
            self._arrived.set()

    def wait(self, seconds):
        """Wait for the first image."""
        return self._arrived.wait(seconds)

    def stop(self):
        self._stop_event.set()

    def size(self):
        """Return (width, height) of the images as they come, or None before the first."""
        with self._lock:
            return None if self._newest is None else (self._newest[1].shape[1], self._newest[1].shape[0])

    def frame(self, want, have):
        """Return the newest image as a message; without data when the client has it."""
        with self._lock:
            newest = self._newest
        facts = {"serial": self.serial, "dropped": self.dropped, "failed": self.failed}
        if newest is None:
            return dict(facts, sequence=0)
        sequence, image, at = newest
        facts.update(sequence=sequence, at=at)
        if have == sequence:
            return facts
        key = (sequence, tuple(sorted(want.items())))
        if self._encoded is None or self._encoded[0] != key:
            self._encoded = (key, encode(image, want))
        return dict(facts, **self._encoded[1])


def encode(image, want):
    """Return a BGRA image resized and packed: {data, encoding, width, height}."""
    import cv2

    bgr = np.ascontiguousarray(image[:, :, :3])
    width, height = int(want["width"]), int(want["height"])
    if (bgr.shape[1], bgr.shape[0]) != (width, height):
        bgr = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)
    facts = {"encoding": want["encoding"], "width": width, "height": height}
    if want["encoding"] == "raw":
        facts["data"] = np.ascontiguousarray(bgr[:, :, ::-1]).tobytes()
    else:
        done, packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(want["quality"])])
        if not done:
            raise BridgeError("robot", "An image could not be packed as JPEG.", "Ask for encoding 'raw'.")
        facts["data"] = packed.tobytes()
    return facts


def checked_image(want):
    """Return complete image settings, or refuse."""
    full = {"width": 640, "height": 360, "encoding": "jpeg", "quality": 90}
    if not isinstance(want, dict) or set(want) - set(full):
        raise BridgeError("bad_request", f"Image settings are {sorted(full)}, got {want!r}.", "")
    full.update(want)
    numbers = [full[key] for key in ("width", "height", "quality")]
    fits = all(isinstance(n, int) for n in numbers) and min(numbers[:2]) >= 16 and max(numbers[:2]) <= 4096
    if not fits or not 1 <= numbers[2] <= 100 or full["encoding"] not in ("jpeg", "raw"):
        raise BridgeError("bad_request", f"Image settings {full!r} are out of range.", "")
    return full


def read_calibration(path, cameras, hand, readers):
    """Return per camera name: serial, K, native size, pose, the frame it is in, and when it was made (Unix time).

    Poses are DROID's: x y z and extrinsic xyz Euler angles, of the left eye, OpenCV axes; in the base frame, or for the hand
    camera in the flange's.
    """
    poses = {}
    if path and os.path.isfile(path):
        try:
            with open(path) as file:
                poses = json.load(file)
        except ValueError as error:
            LOG.warning("calibration file %s is not readable: %s", path, error)
    result = {}
    for name, camera in cameras.items():
        entry = poses.get(camera.serial + "_left") or {}
        matrix, size = None, camera.size()
        try:
            matrix = readers[camera.serial].get_intrinsics()[camera.serial + "_left"]["cameraMatrix"]
            matrix = [[float(x) for x in row] for row in matrix]
        except Exception as error:
            LOG.warning("camera %s has no intrinsics: %s", name, _short(error))
        result[name] = {
            "serial": camera.serial,
            "K": matrix,
            "size": list(size) if size else None,
            "pose": [float(x) for x in entry["pose"]] if "pose" in entry else None,
            "frame": "flange" if hand and camera.serial == hand else "base",
            "made_at": float(entry["timestamp"]) if "timestamp" in entry else None,
        }
    return result


# --- the server -----------------------------------------------------------------------------------------------------------


class Bridge:
    """Answers one client at a time; everything that touches the robot happens in the thread that calls `serve`."""

    def __init__(
        self,
        env,
        facts,
        bind="tcp://127.0.0.1:4343",
        token="",
        heartbeat=0.5,
        max_state_age=0.5,
        robot_timeout=ROBOT_TIMEOUT_S,
    ):
        """Bind the socket and start the cameras; moves nothing.

        Args:
            env: DROID's RobotEnv.
            facts: robot_type, roles {camera name: serial}, hand (serial), calibration_path.
            bind: ZMQ address; port 0 takes a free one.
            token: secret a client must show; required beyond loopback.
            heartbeat: seconds of silence during motion after which it is reported as such.
            max_state_age: seconds.
            robot_timeout: longest call to the robot computer, seconds.
        """
        loopback = bind.startswith(("ipc://", "inproc://", "tcp://127.", "tcp://localhost"))
        if not loopback and not token:
            raise BridgeError(
                "setup",
                f"Address {shown_address(bind)} can be reached from other machines and there is no token.",
                "Set FRS_BRIDGE_TOKEN to a long random text on both machines, or bind to tcp://127.0.0.1:4343.",
            )
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST)
        self._socket.setsockopt(zmq.RCVHWM, 32)
        try:
            # ZMQ itself takes what follows the port, and ports that are none.
            if bind.startswith("tcp:") and not is_address(bind):
                raise zmq.ZMQError(zmq.EINVAL)
            self._socket.bind(bind)
        except zmq.ZMQError as error:
            self._socket.close()
            raise BridgeError(
                "setup",
                f"The bridge cannot listen on '{shown_address(bind)}': {error.strerror}.",
                "Give --bind another free port of this machine, written as tcp://127.0.0.1:4343.",
            ) from error
        self.address = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        self.robot, self.facts, self.token = Robot(env, facts, robot_timeout), facts, token
        self.heartbeat, self.max_state_age = heartbeat, max_state_age
        readers = getattr(getattr(env, "camera_reader", None), "camera_dict", {})
        self.readers = readers
        self.cameras = OrderedDict(
            (name, Camera(name, serial, readers[serial]))
            for name, serial in facts["roles"].items()
            if serial in readers
        )
        self.missing = sorted(name for name in facts["roles"] if name not in self.cameras)
        for camera in self.cameras.values():
            camera.start()
        self.session, self.client, self.image = None, "", checked_image({})
        self.last_heard = self.last_step = 0.0
        self.is_moving = False
        self.reset_token, self.reset_until = None, 0.0
        self.epoch = 0  # raised by every hold and every new client; motion asked for in an older one is refused
        self.counters = {"steps": 0, "refused": 0, "silences": 0, "malformed": 0}
        self._stop = threading.Event()

    def stop(self):
        """Ask `serve` to return; from any thread or a signal handler."""
        self._stop.set()

    def serve(self):
        """Answer until stopped; then free cameras and socket. The arm stays where it is."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        try:
            while not self._stop.is_set():
                if poller.poll(20):
                    self._answer(self._socket.recv_multipart())
                self._watch()
        finally:
            for camera in self.cameras.values():
                camera.stop()
            for camera in self.cameras.values():
                camera.join(1.0)
            self._socket.close()
            reader = getattr(self.robot.env, "camera_reader", None)
            if reader is not None and hasattr(reader, "disable_cameras"):
                reader.disable_cameras()

    def _watch(self):
        """Report a cockpit that fell silent after a step; nothing is sent, so the arm settles within that step."""
        silent = time.monotonic() - self.last_heard
        if self.is_moving and silent > self.heartbeat:
            self.is_moving = False
            self.counters["silences"] += 1
            LOG.warning("no word from %s for %.2f s in mid-motion; sending nothing", self.client, silent)

    def _answer(self, parts):
        request, number = None, None
        try:
            if len(parts) != 2:
                raise BridgeError(
                    "malformed", f"A message has 2 parts, got {len(parts)}.", "Connect with a DEALER socket."
                )
            try:
                request = msgpack.unpackb(parts[1], raw=False, strict_map_key=False)
            except Exception as error:
                raise BridgeError(
                    "malformed", f"The message is not msgpack: {_short(error)}.", "Use the cockpit's client."
                ) from error
            if not isinstance(request, dict):
                raise BridgeError("malformed", f"A request is a map, got {type(request).__name__}.", "")
            number = request.get("id") if isinstance(request.get("id"), int) else None
            answer = dict(self._dispatch(request), id=number, ok=True)
        except BridgeError as error:
            self.counters["malformed" if error.code == "malformed" else "refused"] += 1
            answer = {"id": number, "ok": False, "code": error.code, "error": error.text, "fix": error.fix}
        except Exception as error:
            LOG.exception("request failed")
            answer = {
                "id": number,
                "ok": False,
                "code": "robot",
                "error": _short(error),
                "fix": "See the bridge's log.",
            }
        answer["now"] = time.monotonic()
        try:
            self._socket.send_multipart([parts[0], msgpack.packb(answer, use_bin_type=True)], zmq.NOBLOCK)
        except Exception as error:
            LOG.warning("answer could not be sent: %s", _short(error))

    def _dispatch(self, request):
        op = request.get("op")
        if op == "hello":
            return self._hello(request)
        if op == "ping":
            return {}
        handler = {
            "state": self._state,
            "observe": self._observe,
            "calibration": self._calibration,
            "step": self._step,
            "hold": self._hold,
            "begin": self._begin,
            "reset_request": self._reset_request,
            "reset": self._reset,
            "bye": self._bye,
        }.get(op if isinstance(op, str) else "")
        if handler is None:
            raise BridgeError(
                "bad_request", f"Unknown operation {op!r}.", "Bridge and cockpit differ: copy this file again."
            )
        if self.session is None or request.get("session") != self.session:
            raise BridgeError(
                "no_session", "This connection has no session here.", "Say hello first; the bridge may be new."
            )
        self.last_heard, self.is_moving = time.monotonic(), op == "step"
        return handler(request)

    def _hello(self, request):
        shown = request.get("token")
        if self.token and not hmac.compare_digest(self.token.encode(), str(shown).encode()):
            raise BridgeError(
                "token", "The token does not match.", "Set FRS_BRIDGE_TOKEN to the same text on both machines."
            )
        if request.get("protocol") != PROTOCOL:
            raise BridgeError(
                "protocol",
                f"The cockpit speaks protocol {request.get('protocol')!r}, this bridge {PROTOCOL}.",
                "Copy frs_core/worlds/droid/bridge.py of the installed cockpit to this machine.",
            )
        now = time.monotonic()
        if self.session is not None and request.get("session") != self.session and now - self.last_heard < LEASE_S:
            raise BridgeError("busy", f"{self.client} is connected.", "Close it; a silent one is let go after 2 s.")
        self.image = checked_image(request.get("image") or {})
        self.session = uuid.uuid4().hex
        self.client, self.last_heard, self.is_moving = str(request.get("client", "a client"))[:80], now, False
        self._new_epoch()
        LOG.info("%s connected", self.client)
        for camera in self.cameras.values():
            camera.wait(max(0.0, now + 2.0 - time.monotonic()))
        self.last_heard = time.monotonic()
        return {
            "protocol": PROTOCOL,
            "session": self.session,
            "epoch": self.epoch,
            "python": sys.version.split()[0],
            "robot_type": self.facts.get("robot_type", "panda"),
            "control_hz": 1.0 / self.robot.period,
            "joint_low": self.robot.low.tolist(),
            "joint_high": self.robot.high.tolist(),
            "home": self.robot.home.tolist(),
            "cameras": list(self.cameras),
            "missing_cameras": self.missing,
            "calibration": self._calibration(request)["calibration"],
            "heartbeat": self.heartbeat,
            "max_state_age": self.max_state_age,
        }

    def _state(self, request):
        return {"state": self.robot.state()}

    def _observe(self, request):
        have = request.get("have") or {}
        if not isinstance(have, dict):
            raise BridgeError("bad_request", f"`have` is a map, got {type(have).__name__}.", "")
        frames = {name: camera.frame(self.image, have.get(name)) for name, camera in self.cameras.items()}
        return {"state": self.robot.state(), "frames": frames, "counters": self.counters}

    def _calibration(self, request):
        path = self.facts.get("calibration_path")
        return {"calibration": read_calibration(path, self.cameras, self.facts.get("hand"), self.readers)}

    def _new_epoch(self):
        """Begin a new hold epoch, in which earlier requests are refused."""
        self.epoch += 1
        self.reset_token = None

    def _must_be_present(self, request):
        epoch = request.get("epoch")
        if type(epoch) is not int or epoch != self.epoch:
            raise BridgeError(
                "held",
                f"This motion was asked for in hold epoch {_shown(epoch)}, the present one is {self.epoch}.",
                "Nothing was sent; ask again after the hold.",
            )

    def _step(self, request):
        self._must_be_present(request)
        asked = (request.get("kind"), request.get("action"), request.get("based_on"), self.max_state_age)
        self.robot.check(*asked)
        # Paced here as well: a step is 0.2 rad at most, so steps sent faster would move the arm faster.
        wait = self.last_step + self.robot.period - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        action = self.robot.check(*asked)
        self.last_step = time.monotonic()
        state = self.robot.step(request["kind"], action)
        self.counters["steps"] += 1
        self.last_heard = time.monotonic()
        return {"state": state}

    def _hold(self, request):
        self._new_epoch()
        if not request.get("settle", True):
            return {"epoch": self.epoch}
        return {"epoch": self.epoch, "state": self.robot.hold()}

    def _begin(self, request):
        return {"state": self.robot.begin()}

    def _reset_request(self, request):
        self._must_be_present(request)
        self.reset_token, self.reset_until = uuid.uuid4().hex, time.monotonic() + RESET_TOKEN_S
        return {
            "token": self.reset_token,
            "what": "The gripper opens, then the arm moves to DROID's start pose within 4 s.",
        }

    def _reset(self, request):
        self._must_be_present(request)
        randomize = request.get("randomize", False)
        if not isinstance(randomize, bool):
            raise BridgeError("bad_request", f"`randomize` is true or false, got {_shown(randomize)}.", "")
        token, self.reset_token = self.reset_token, None
        if token is None or request.get("token") != token or time.monotonic() > self.reset_until:
            raise BridgeError(
                "reset", "The reset carries no fresh token.", "Ask with reset_request, confirm within 2 s."
            )
        state = self.robot.reset(randomize)
        self.last_heard = time.monotonic()
        return {"state": state}

    def _bye(self, request):
        LOG.info("%s left", self.client)
        self.session = None
        self._new_epoch()
        return {}


def is_address(text):
    """Return whether a text is tcp://HOST:PORT, the port a number or "*", and nothing else."""
    found = re.match(r"tcp://[^/?#@\s]+:(\*|[0-9]{1,5})$", text)
    return found is not None and (found.group(1) == "*" or int(found.group(1)) <= 65535)


def shown_address(address):
    """Return an address without user, password and what follows a "?" or "#"; `frs_core.runtime.address` cannot be imported here."""
    return re.sub(r"[?#].*", "?...", re.sub(r"//.*@", "//", address))


def parse_cameras(text):
    """Return {name: serial} of "left=123,wrist=456"."""
    try:
        return OrderedDict(
            (part.split("=")[0].strip(), part.split("=")[1].strip()) for part in text.split(",") if part.strip()
        )
    except IndexError:
        raise BridgeError(
            "setup", f"Cameras {text!r} cannot be read.", "Write left=SERIAL,right=SERIAL,wrist=SERIAL."
        ) from None


def main(argv=None):
    """Run the bridge until SIGINT or SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(description="DROID bridge of the FRS cockpit. Never moves the arm on its own.")
    parser.add_argument(
        "--droid", default=None, help="folder of the DROID checkout, if `import droid` does not work without"
    )
    parser.add_argument(
        "--nuc-ip", default=None, help="address of the robot computer; default: nuc_ip of droid's parameters"
    )
    parser.add_argument(
        "--bind", default="tcp://127.0.0.1:4343", help="address to listen on; beyond loopback needs FRS_BRIDGE_TOKEN"
    )
    parser.add_argument(
        "--cameras", default=None, help="left=SERIAL,right=SERIAL,wrist=SERIAL; default: droid's parameters"
    )
    parser.add_argument("--without-zed", action="store_true", help="start without the ZED SDK; there will be no images")
    parser.add_argument("--calibration", default=None, help="calibration_info.json; default: the checkout's own")
    parser.add_argument(
        "--heartbeat", type=float, default=0.5, help="seconds of silence in mid-motion that are reported"
    )
    parser.add_argument(
        "--max-state-age", type=float, default=0.5, help="seconds; steps based on an older state are refused"
    )
    parser.add_argument(
        "--robot-timeout", type=float, default=ROBOT_TIMEOUT_S, help="seconds to wait for the robot computer's answers"
    )
    parser.add_argument(
        "--env", default=None, help="module:function returning (env, facts), instead of DROID's RobotEnv"
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        if args.env:
            module, _, function = args.env.partition(":")
            env, facts = getattr(importlib.import_module(module), function)()
        else:
            env, facts = load_env(args.droid, args.nuc_ip, args.without_zed)
        if args.cameras:
            facts["roles"] = parse_cameras(args.cameras)
            facts["hand"] = facts["roles"].get("wrist", "")
        if args.calibration:
            facts["calibration_path"] = os.path.expanduser(args.calibration)
        bridge = Bridge(
            env,
            facts,
            args.bind,
            os.environ.get("FRS_BRIDGE_TOKEN", ""),
            args.heartbeat,
            args.max_state_age,
            args.robot_timeout,
        )
    except BridgeError as error:
        sys.stderr.write(f"bridge: {error.text} {error.fix}\n")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bridge.stop())
    if bridge.missing:
        LOG.warning("cameras not found: %s", ", ".join(bridge.missing))
    sys.stdout.write(json.dumps({"ready": bridge.address, "protocol": PROTOCOL}) + "\n")
    sys.stdout.flush()
    bridge.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
