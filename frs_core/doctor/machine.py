"""Checks of the computer itself: Python, packages, GPU, weights, disk, rendering.

Every check returns findings and raises nothing. Slow or risky checks run in a child process with a time limit, because a
broken GL driver can crash the process that uses it.

Example: `check_disk(Path("data"))` on a full disk returns one FAILURE with the fix "Free space on …".
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from frs_core import paths
from frs_core.errors import ConfigError, why_left_out
from frs_core.policies import SHIPPED
from frs_core.runtime.finding import Finding, Level
from frs_core.runtime.folders import recording_root
from frs_core.version import is_thin

PYTHONS = ((3, 11), (3, 13))
"""Oldest and newest supported. Source: pyproject.toml."""
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "mujoco": "mujoco",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "google_crc32c": "google-crc32c",
    "backports.zstd": "backports.zstd",
    "safetensors": "safetensors",
    "msgpack": "msgpack",
    "zmq": "pyzmq",
    "websockets": "websockets",
    "av": "av",
}
"""Import name -> distribution, of all required packages except those of the window."""
WINDOW = {"PyQt6": "PyQt6", "pyqtgraph": "pyqtgraph", "OpenGL": "PyOpenGL"}
OPTIONAL = {"h5py": "h5py", "pyarrow": "pyarrow", "pygame": "pygame", "pyspacemouse": "pyspacemouse"}
DISK_FAILURE, DISK_WARNING = 1e9, 10e9
"""Free bytes. An hour of three cameras at 640 x 360 is about 6 GB; measured at 40 kB per image, 15 Hz."""
GPU_MEMORY = 8e9
"""Bytes that pi0.5 in bfloat16 needs, including the memory of a fan. Source: 3.6 G parameters of 2 bytes."""
SOFTWARE_GL = ("llvmpipe", "softpipe", "swrast")
"""Names of Mesa's renderers that do not use a GPU."""
RENDER_S = 90.0
"""Time limit of the test image; the first one with software GL takes about 3 s on an idle machine."""


def check_python() -> list[Finding]:
    """Return whether this Python is supported."""
    version, low, high = sys.version_info[:2], *PYTHONS
    text = f"{sys.version.split()[0]} at {sys.executable}"
    if low <= version <= high:
        return [Finding(Level.OK, "Python", text)]
    return [Finding(Level.FAILURE, "Python", text, f"Use Python {low[0]}.{low[1]} to {high[0]}.{high[1]}.")]


def check_packages() -> list[Finding]:
    """Return the missing packages, and one line for all that are installed."""
    findings, found = [], []
    for level, names in ((Level.FAILURE, NEEDED), (Level.WARNING, WINDOW), (Level.NOTE, OPTIONAL)):
        for module, distribution in names.items():
            if is_thin() and why_left_out(module):
                continue
            if importlib.util.find_spec(module) is None:
                fix = f"pip install {distribution}"
                findings.append(Finding(level, "Packages", f"{distribution} is not installed", fix))
            else:
                found.append(f"{distribution} {_version(distribution)}")
    return [Finding(Level.OK, "Packages", f"{len(found)} found: {', '.join(found[:4])}, …"), *findings]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(unknown version)"


def check_gpu() -> list[Finding]:
    """Return which GPU PyTorch can use."""
    if is_thin():
        text = "the thin cockpit computes no policy and uses none"
        return [
            Finding(Level.NOTE, "GPU", text, "Run `frs serve` on the machine with the GPU, and here --policy remote")
        ]
    try:
        import torch
    except ImportError as error:
        return [Finding(Level.FAILURE, "GPU", f"PyTorch cannot be imported: {error}", "pip install torch")]
    if not torch.cuda.is_available():
        has_card = shutil.which("nvidia-smi") is not None
        text = f"PyTorch {torch.__version__} finds no GPU; the embedded generalist runs on the CPU, pi0.5 is slow there"
        if has_card:
            return [
                Finding(
                    Level.WARNING,
                    "GPU",
                    f"{text}, although an NVIDIA driver is installed",
                    "Install the CUDA build of PyTorch: pip install --force-reinstall torch",
                )
            ]
        return [Finding(Level.NOTE, "GPU", text, "For pi0.5 use a machine with a GPU, or `frs serve` on one")]
    findings = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        text = f"{torch.cuda.get_device_name(i)}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        if free < GPU_MEMORY:
            fix = "Close other programs on it (see nvidia-smi); pi0.5 needs about 8 GB"
            findings.append(Finding(Level.WARNING, "GPU", text, fix))
        else:
            findings.append(Finding(Level.OK, "GPU", text))
    return findings


def check_weights(checkpoint: Path | None = None) -> list[Finding]:
    """Return whether the shipped generalists and a given pi0.5 checkpoint are complete.

    Args:
        checkpoint: folder to check; None = only the shipped weights.
    """
    if is_thin():
        return [Finding(Level.NOTE, "Weights", "none: the policy runs on another machine", "")]
    from frs_core.policies.generalist.policy import WEIGHTS

    findings = []
    for world, policy in SHIPPED.items():
        file = paths.assets() / policy / WEIGHTS
        if file.is_file():
            text = f"generalist '{policy}', {file.stat().st_size / 1e6:.1f} MB"
            findings.append(Finding(Level.OK, "Weights", text))
        else:
            text = f"the generalist '{policy}' is missing: {file}"
            fix = f"Restore assets/{policy}/{WEIGHTS}, or make it again: frs generalist make --world {world}"
            findings.append(Finding(Level.FAILURE, "Weights", text, fix))
    if checkpoint is not None:
        from frs_core.policies.pi05.checkpoint import inspect_checkpoint

        found = inspect_checkpoint(checkpoint)
        if not found.problems:
            findings.append(Finding(Level.OK, "Weights", f"{checkpoint} is a complete {found.family} checkpoint"))
        for problem in found.problems:
            fix = f"frs policy check {checkpoint} shows details; frs policy fetch downloads published checkpoints"
            findings.append(Finding(Level.FAILURE, "Weights", f"{checkpoint}: {problem}", fix))
    return findings


def check_disk(root: Path) -> list[Finding]:
    """Return whether episodes can be recorded in a folder, and what a crash left there.

    Args:
        root: recording folder; need not exist.
    """
    try:
        recording_root(root, is_made=True)
    except ConfigError as error:
        said, _, fix = str(error).partition(". ")
        return [Finding(Level.FAILURE, "Disk", said, fix)]
    home = next(p for p in (root, *root.resolve().parents) if p.exists())
    free = shutil.disk_usage(home).free
    text = f"{free / 1e9:.1f} GB free for {root}"
    findings = [Finding(Level.OK, "Disk", text)]
    if not os.access(home, os.W_OK | os.X_OK):
        fix = f"Make it writable (sudo chown $USER {home}), or record elsewhere with --data"
        findings = [Finding(Level.FAILURE, "Disk", f"no permission to write to {home}", fix)]
    elif free < DISK_WARNING:
        level = Level.FAILURE if free < DISK_FAILURE else Level.WARNING
        fix = f"Free space on the disk of {home} (an hour of recording is about 6 GB), or record elsewhere with --data"
        findings = [Finding(level, "Disk", text, fix)]
    return findings + _leftovers(root)


def _leftovers(root: Path) -> list[Finding]:
    from frs_core.episodes import EpisodeStore, unfinished

    store = EpisodeStore(root)
    rows = store.list() if root.is_dir() else []
    findings = [
        Finding(Level.WARNING, "Episodes", row.problem, f"frs episodes bin {row.name}") for row in rows if row.problem
    ]
    left = unfinished(store) if root.is_dir() else []
    if left:
        fix = "frs episodes recover --all, or recover them when the cockpit starts"
        findings.append(Finding(Level.WARNING, "Episodes", f"a crash left {len(left)} unfinished", fix))
    return findings or [Finding(Level.OK, "Episodes", f"{len(rows)} recorded, all complete")]


_TRIAL = """
import os, time
from frs_core.worlds.tabletop.sim import TabletopSim
from frs_core.worlds.tabletop.cameras import Cameras
sim = TabletopSim()
sim.reset("mug_on_plate", seed=0)
cameras = Cameras(sim.model, sim.data)
cameras.render("left")
began = time.perf_counter()
image = cameras.render("left")
ms = 1e3 * (time.perf_counter() - began)
assert image.std() > 5, "the image is empty"
from OpenGL import GL
renderer = GL.glGetString(GL.GL_RENDERER).decode()
height, width = image.shape[:2]
print(f"one {width} x {height} image of the embedded world in {ms:.0f} ms by {renderer} ({os.environ['MUJOCO_GL']})")
"""


def check_display() -> list[Finding]:
    """Return whether simulated cameras can be rendered off screen, and whether there is a display."""
    return [_test_image(), _screen()]


def _test_image() -> Finding:
    subject = "Rendering"
    if is_thin():
        return Finding(Level.NOTE, subject, "not needed: the thin cockpit has no simulator")
    fix = "sudo apt install libegl1 libgl1-mesa-dri; or libosmesa6 and MUJOCO_GL=osmesa"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL], capture_output=True, text=True, timeout=RENDER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(Level.FAILURE, subject, f"no image within {RENDER_S:.0f} s", fix)
    if done.returncode != 0:
        words = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:] or ["the process died"]
        return Finding(Level.FAILURE, subject, f"simulated cameras cannot be rendered: {words[0]}", fix)
    text = done.stdout.strip().splitlines()[-1]
    if any(name in text for name in SOFTWARE_GL):
        slow = (
            "Images are rendered without a GPU. If the machine has one, install its EGL driver (NVIDIA: libnvidia-gl)"
        )
        return Finding(Level.NOTE, subject, text, slow)
    return Finding(Level.OK, subject, text)


def _screen() -> Finding:
    subject = "Screen"
    has_one = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform in (
        "darwin",
        "win32",
    )
    if has_one:
        return Finding(
            Level.OK, subject, os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or sys.platform
        )
    fix = "Log in at the machine, or use ssh -X; `frs demo` needs no screen"
    return Finding(Level.NOTE, subject, "no display, so the cockpit cannot open here", fix)
