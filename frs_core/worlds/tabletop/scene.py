"""The MJCF of the tabletop: Franka Panda with its hand, a table, every object, a cabinet with a drawer, three cameras.

The base frame is the world frame; the table's top is z = 0. All objects are in the model; those a scene does not use are
parked out of sight. Geometry of the arm: decimated meshes under assets/panda (see NOTICE there); kinematics from the Franka
control interface documentation; inertias from franka_description's inertial.yaml; grip and solver settings measured.
"""

import functools
from pathlib import Path

import mujoco
import numpy as np

from frs_core import paths
from frs_core.errors import WeightsMissing
from frs_core.runtime.foreign import DOCUMENT, read_bytes
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES, Movable, Receptacle

TIMESTEP = 1 / 450
"""s; 30 steps per control period at 15 Hz."""
SUBSTEPS = 30

HOME_Q = np.array([0.0, -0.35, 0.0, -2.45, 0.0, 2.10, 0.785398])
"""Start posture, rad: hand pointing down over the middle of the table."""

JOINT_DAMPING = 5.0
"""N m s/rad."""

SERVO_GAINS = [(6000, 250, 300)] * 4 + [(3000, 90, 120)] * 3
"""Per joint: stiffness N m/rad, damping N m s/rad, largest torque N m. Stiff enough that the arm is where it is told to be
(measured: under 2 mm behind a chunk's path); a real Franka's impedance controller is softer."""

CAMERA_SIZE = (224, 224)
"""(height, width) of every camera's frames, pixels."""

CABINET_POS = (0.53, 0.43)
"""x, y of the cabinet's centre; a scene shifts it by a few cm."""
DRAWER_TRAVEL = 0.12
"""Metres from closed to open; it slides towards -y."""

# name, position, look-at, vertical field of view in degrees
_EXTERIOR = {
    "left": ((0.28, 0.80, 0.66), (0.50, 0.02, 0.085), 42.0),
    "right": ((0.28, -0.84, 0.66), (0.50, 0.04, 0.085), 42.0),
}
CAMERAS = ("left", "right", "wrist")

# link: mass, centre of mass, inertia (xx yy zz xy xz yz). Source: franka_description inertial.yaml.
_INERTIA = {
    "link0": ("0.629769", "-0.041018 -0.00014 0.049974", "0.00315 0.00388 0.004285 8.2904e-7 0.00015 8.2299e-6"),
    "link1": ("4.970684", "0.003875 0.002081 -0.04762", "0.70337 0.70661 0.0091170 -0.00013900 0.0067720 0.019169"),
    "link2": ("0.646926", "-0.003141 -0.02872 0.003495", "0.0079620 2.8110e-2 2.5995e-2 -3.925e-3 1.0254e-2 7.04e-4"),
    "link3": (
        "3.228604",
        "0.027518 0.039252 -0.066502",
        "3.7242e-2 3.6155e-2 1.083e-2 -4.761e-3 -1.1396e-2 -1.2805e-2",
    ),
    "link4": ("3.587895", "-0.05317 0.104419 0.027454", "2.5853e-2 1.9552e-2 2.8323e-2 7.796e-3 -1.332e-3 8.641e-3"),
    "link5": ("1.225946", "-0.011953 0.041065 -0.038437", "3.5549e-2 2.9474e-2 8.627e-3 -2.117e-3 -4.037e-3 2.29e-4"),
    "link6": ("1.666555", "0.060149 -0.014117 -0.010517", "1.964e-3 4.354e-3 5.433e-3 1.09e-4 -1.158e-3 3.41e-4"),
    "link7": ("0.735522", "0.010517 -0.004252 0.061597", "1.2516e-2 1.0027e-2 4.815e-3 -4.28e-4 -1.196e-3 -7.41e-4"),
}
# link: pose in its parent, joint range. Source: Franka control interface documentation (DH table, joint limits).
_CHAIN = {
    "link1": ('pos="0 0 0.333"', "-2.8973 2.8973"),
    "link2": ('quat="1 -1 0 0"', "-1.7628 1.7628"),
    "link3": ('pos="0 -0.316 0" quat="1 1 0 0"', "-2.8973 2.8973"),
    "link4": ('pos="0.0825 0 0" quat="1 1 0 0"', "-3.0718 -0.0698"),
    "link5": ('pos="-0.0825 0.384 0" quat="1 -1 0 0"', "-2.8973 2.8973"),
    "link6": ('quat="1 1 0 0"', "-0.0175 3.7525"),
    "link7": ('pos="0.088 0 0" quat="1 1 0 0"', "-2.8973 2.8973"),
}
_COLOURS = {
    "white": "0.93 0.94 0.95 1",
    "black": "0.22 0.22 0.23 1",
    "blue": "0.04 0.54 0.78 1",
    "green": "0 0.8 0.1 1",
}


def mesh_files() -> dict[str, Path]:
    """Return the arm's mesh files by name, e.g. 'link1_white'.

    Raises:
        WeightsMissing: the assets are not installed.
    """
    folder = paths.assets() / "panda"
    files = {p.stem: p for p in sorted(folder.glob("*.stl"))}
    if not files:
        raise WeightsMissing(f"No arm meshes in {folder}. Re-install the package or restore assets/panda.")
    return files


def _meshes(link: str, files: dict[str, Path]) -> str:
    names = [n for n in files if n.rsplit("_", 1)[0] == link]
    return "".join(f'<geom class="visual" mesh="{n}" rgba="{_COLOURS[n.rsplit("_", 1)[1]]}"/>' for n in names)


def _arm(files: dict[str, Path]) -> str:
    opening, closing = "", ""
    for i, (link, (pose, limits)) in enumerate(_CHAIN.items(), start=1):
        mass, com, inertia = _INERTIA[link]
        opening += (
            f'<body name="{link}" {pose} gravcomp="1"><inertial mass="{mass}" pos="{com}" fullinertia="{inertia}"/>'
            f'<joint name="joint{i}" range="{limits}"/>{_meshes(link, files)}'
        )
        closing += "</body>"
    mass, com, inertia = _INERTIA["link0"]
    return (
        f'<body name="link0" childclass="panda"><inertial mass="{mass}" pos="{com}" fullinertia="{inertia}"/>'
        f"{_meshes('link0', files)}{opening}{_hand(files)}{closing}</body>"
    )


def _hand(files: dict[str, Path]) -> str:
    def finger(name: str, quat: str) -> str:
        return f"""
        <body name="{name}" pos="0 0 0.0584" quat="{quat}" gravcomp="1">
          <inertial mass="0.05" pos="0 0.01 0.025" diaginertia="1e-5 1e-5 5e-6"/>
          <joint name="{name}" type="slide" axis="0 1 0" range="0 0.04" armature="0.2" damping="20"/>
          {_meshes("finger", files)}
          <geom class="collision" type="box" size="0.0105 0.007 0.020" pos="0 0.0155 0.020"/>
          <geom class="pad" name="{name}_pad" type="box" size="0.009 0.0045 0.0085" pos="0 0.0052 0.0450"/>
          <geom class="collision" type="box" size="0.0095 0.006 0.010" pos="0 0.0125 0.0435"/>
        </body>"""

    return f"""
      <body name="hand" pos="0 0 0.107" quat="0.9238795 0 0 -0.3826834" gravcomp="1">
        <inertial mass="0.73" pos="-0.01 0 0.03" diaginertia="0.001 0.0025 0.0017"/>
        {_meshes("hand", files)}
        <geom class="collision" type="box" size="0.018 0.10 0.030" pos="0 0 0.030"/>
        <site name="tcp" pos="0 0 0.1034" size="0.002" rgba="0 0 0 0"/>
        <camera name="wrist" pos="0.075 0 0.01" xyaxes="0 1 0 0.94 0 0.34" fovy="80"/>
        {finger("finger1", "1 0 0 0")}{finger("finger2", "0 0 0 1")}
      </body>"""


def _look_at(pos: tuple[float, ...], target: tuple[float, ...]) -> str:
    """Return MuJoCo's xyaxes of a camera at `pos` that looks at `target` with z up."""
    backward = np.subtract(pos, target)
    backward /= np.linalg.norm(backward)
    right = np.cross((0.0, 0.0, 1.0), backward)
    right /= np.linalg.norm(right)
    return " ".join(f"{v:.8f}" for v in (*right, *np.cross(backward, right)))


def _cabinet() -> str:
    x, y = CABINET_POS
    grey, front = "0.62 0.60 0.57 1", "0.50 0.33 0.22 1"
    return f"""
    <body name="cabinet" pos="{x} {y} 0">
      <geom type="box" size="0.085 0.09 0.005" pos="0 0 0.105" rgba="{grey}"/>
      <geom type="box" size="0.005 0.09 0.05" pos="0.080 0 0.05" rgba="{grey}"/>
      <geom type="box" size="0.005 0.09 0.05" pos="-0.080 0 0.05" rgba="{grey}"/>
      <geom type="box" size="0.085 0.005 0.05" pos="0 0.085 0.05" rgba="{grey}"/>
      <body name="drawer" pos="0 0 0.008">
        <inertial mass="0.4" pos="0 0 0.03" diaginertia="0.002 0.002 0.003"/>
        <joint name="drawer" type="slide" axis="0 -1 0" range="0 {DRAWER_TRAVEL}" damping="6" frictionloss="1.0"/>
        <geom type="box" size="0.070 0.078 0.003" pos="0 -0.008 0.003" rgba="0.70 0.52 0.36 1"/>
        <geom type="box" size="0.003 0.078 0.024" pos="0.067 -0.008 0.027" rgba="0.66 0.48 0.33 1"/>
        <geom type="box" size="0.003 0.078 0.024" pos="-0.067 -0.008 0.027" rgba="0.66 0.48 0.33 1"/>
        <geom type="box" size="0.067 0.003 0.024" pos="0 0.068 0.027" rgba="0.66 0.48 0.33 1"/>
        <geom type="box" size="0.075 0.004 0.044" pos="0 -0.090 0.046" rgba="{front}"/>
        <geom type="box" size="0.032 0.005 0.010" pos="0 -0.159 0.075" rgba="0.15 0.15 0.16 1" friction="1.5 0.01 0.001"/>
        <geom type="box" size="0.004 0.033 0.006" pos="0.028 -0.126 0.075" rgba="0.15 0.15 0.16 1"/>
        <geom type="box" size="0.004 0.033 0.006" pos="-0.028 -0.126 0.075" rgba="0.15 0.15 0.16 1"/>
        <site name="drawer_inside" pos="0 -0.008 0.008" size="0.002" rgba="0 0 0 0"/>
        <site name="drawer_handle" pos="0 -0.159 0.075" size="0.002" rgba="0 0 0 0"/>
      </body>
    </body>"""


def _objects() -> str:
    bodies = []
    for i, (name, item) in enumerate({**MOVABLES, **RECEPTACLES}.items()):
        bodies.append(
            f'<body name="{name}" pos="{-3 - 0.4 * i} 0 0"><freejoint name="{name}"/>'
            f'<inertial mass="{item.mass}" pos="0 0 {_com_height(item):.4f}" diaginertia="{_inertia(item)}"/>'
            f"{item.geoms}</body>"
        )
    return "".join(bodies)


def _com_height(item: Movable | Receptacle) -> float:
    return 0.4 * (item.height if isinstance(item, Movable) else item.rim)


def _inertia(item: Movable | Receptacle) -> str:
    value = max(0.4 * item.mass * item.radius**2, 2e-5)
    return f"{value:.3e} {value:.3e} {value:.3e}"


def scene_xml() -> str:
    """Return the whole scene as MJCF; mesh files are named, not embedded."""
    files = mesh_files()
    cameras = "".join(
        f'<camera name="{name}" pos="{" ".join(map(str, pos))}" xyaxes="{_look_at(pos, target)}" fovy="{fovy}"/>'
        for name, (pos, target, fovy) in _EXTERIOR.items()
    )
    actuators = "".join(
        f'<position name="joint{i}" joint="joint{i}" kp="{kp}" kv="{kv}" ctrlrange="{limits}" '
        f'forcerange="-{force} {force}"/>'
        for i, ((_, limits), (kp, kv, force)) in enumerate(zip(_CHAIN.values(), SERVO_GAINS, strict=True), start=1)
    )
    return f"""
<mujoco model="tabletop">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic" impratio="10" noslip_iterations="3"/>
  <statistic extent="1" center="0.4 0 0.2"/>
  <visual>
    <global offwidth="640" offheight="640"/><quality shadowsize="0" offsamples="0"/>
    <map znear="0.015" zfar="12"/>
    <headlight ambient="0.42 0.42 0.42" diffuse="0.38 0.38 0.38" specular="0.05 0.05 0.05"/>
  </visual>
  <default>
    <geom solref="0.008 1" friction="0.9 0.01 0.001"/>
    <default class="panda">
      <joint axis="0 0 1" armature="0.3" damping="{JOINT_DAMPING}"/>
      <default class="visual"><geom type="mesh" contype="0" conaffinity="0" group="2"/></default>
      <default class="collision"><geom group="3" friction="1.0 0.01 0.001"/></default>
      <default class="pad"><geom group="3" friction="1.8 0.05 0.002" condim="4" solref="0.006 1"/></default>
    </default>
  </default>
  <asset>
    {"".join(f'<mesh name="{n}" file="{p.name}"/>' for n, p in files.items())}
    <texture name="sky" type="skybox" builtin="gradient" rgb1="0.75 0.80 0.86" rgb2="0.45 0.50 0.56" width="64" height="64"/>
    <texture name="wood" type="2d" builtin="checker" rgb1="0.64 0.57 0.48" rgb2="0.61 0.54 0.455" width="64" height="64"/>
    <material name="table" texture="wood" texrepeat="8 8" specular="0.1" shininess="0.1"/>
  </asset>
  <worldbody>
    <light pos="0.3 0.9 1.8" dir="0.1 -0.45 -0.9" diffuse="0.45 0.45 0.45" specular="0.1 0.1 0.1" castshadow="false"/>
    <light pos="0.3 -0.9 1.8" dir="0.1 0.45 -0.9" diffuse="0.25 0.25 0.25" specular="0 0 0" castshadow="false"/>
    <geom name="floor" type="plane" size="6 6 0.1" pos="0 0 -0.75" rgba="0.36 0.38 0.41 1"/>
    <geom name="table" type="box" size="0.55 0.65 0.02" pos="0.40 0 -0.02" material="table"/>
    <geom type="box" size="0.5 0.6 0.35" pos="0.40 0 -0.39" rgba="0.30 0.30 0.32 1" contype="0" conaffinity="0"/>
    {cameras}
    {_arm(files)}
    {_cabinet()}
    {_objects()}
  </worldbody>
  <equality><joint joint1="finger1" joint2="finger2" polycoef="0 1 0 0 0" solref="0.004 1"/></equality>
  <contact><exclude body1="cabinet" body2="drawer"/><exclude body1="hand" body2="finger1"/><exclude body1="hand" body2="finger2"/></contact>
  <actuator>
    {actuators}
    <position name="gripper" joint="finger1" kp="2000" kv="80" ctrlrange="0 0.04" forcerange="-40 40"/>
  </actuator>
</mujoco>"""


@functools.cache
def compile_scene() -> mujoco.MjModel:
    """Return a compiled model; callers that change it must copy it first."""
    assets = {p.name: read_bytes(p, limit=DOCUMENT, may_link=True) for p in mesh_files().values()}
    return mujoco.MjModel.from_xml_string(scene_xml(), assets)
