"""Checks of the devices on this machine: SpaceMice, gamepads, cameras.

They read the kernel's tables (sysfs), so that nothing is opened and no driver is needed. For a device without read permission
the fix is the udev rule.

Example: a SpaceMouse at /dev/hidraw3 that belongs to root is a WARNING with the command that installs assets/udev/60-frs.rules.
"""

import ctypes.util
import os
from collections.abc import Iterator
from pathlib import Path

from frs_core import paths
from frs_core.devices.spacemouse import LIBRARY_HINT
from frs_core.runtime.finding import Finding, Level
from frs_core.runtime.foreign import read_text

_LOGITECH = {"c603", "c605", "c606", "c621", "c623", "c625", "c626", "c627", "c628", "c629", "c62b"}
"""Product numbers of SpaceMice under vendor 046d. Source: 3Dconnexion's device list."""


def udev_fix() -> str:
    """Return the command that installs the udev rules."""
    rules = paths.assets() / "udev" / "60-frs.rules"
    return (
        f"sudo cp {rules} /etc/udev/rules.d/ && sudo udevadm control --reload && sudo udevadm trigger; "
        f"then replug the device"
    )


def check_devices(*, sys_root: Path = Path("/sys"), dev_root: Path = Path("/dev")) -> list[Finding]:
    """Return the SpaceMice and gamepads found, and whether they can be read.

    Args:
        sys_root: the kernel's tables.
        dev_root: device files.
    """
    return [*_spacemice(sys_root, dev_root), *_gamepads(sys_root, dev_root)]


def _spacemice(sys_root: Path, dev_root: Path) -> Iterator[Finding]:
    if not any(ctypes.util.find_library(name) for name in ("hidapi-hidraw", "hidapi-libusb", "hidapi")):
        yield Finding(Level.NOTE, "SpaceMouse", "the system library hidapi is missing", LIBRARY_HINT)
    count = 0
    for entry in sorted((sys_root / "class/hidraw").glob("hidraw*")):
        facts = _facts(entry / "device/uevent")
        numbers = facts.get("HID_ID", "::").lower().split(":")
        vendor, product = numbers[1][-4:], numbers[2][-4:]
        if vendor != "256f" and not (vendor == "046d" and product in _LOGITECH):
            continue
        count += 1
        node = dev_root / entry.name
        yield _readable("SpaceMouse", facts.get("HID_NAME", f"{vendor}:{product}"), node)
    if not count:
        yield Finding(
            Level.NOTE, "SpaceMouse", "none is plugged in", "Not needed: keyboard and gamepad have the same functions"
        )


def _gamepads(sys_root: Path, dev_root: Path) -> Iterator[Finding]:
    count = 0
    for entry in sorted((sys_root / "class/input").glob("js*")):
        count += 1
        name_file = entry / "device/name"
        name = read_text(name_file).strip() if name_file.is_file() else entry.name
        events = sorted((entry / "device").glob("event*"))
        node = dev_root / "input" / (events[0].name if events else entry.name)
        yield _readable("Gamepad", name, node)
    if not count:
        yield Finding(
            Level.NOTE, "Gamepad", "none is plugged in", "Not needed: keyboard and SpaceMouse have the same functions"
        )


def _readable(subject: str, name: str, node: Path) -> Finding:
    if os.access(node, os.R_OK):
        return Finding(Level.OK, subject, f"{name} at {node}")
    return Finding(Level.WARNING, subject, f"no permission to read {name} at {node}", udev_fix())


def check_cameras(*, sys_root: Path = Path("/sys"), dev_root: Path = Path("/dev")) -> list[Finding]:
    """Return the cameras of this machine; those of a DROID robot are checked through its bridge.

    Args:
        sys_root: the kernel's tables.
        dev_root: device files.
    """
    findings, seen = [], set()
    for entry in sorted((sys_root / "class/video4linux").glob("video*")):
        name_file = entry / "name"
        name = read_text(name_file).strip() if name_file.is_file() else entry.name
        if name in seen:
            continue  # One camera has several nodes.
        seen.add(name)
        node = dev_root / entry.name
        if os.access(node, os.R_OK):
            findings.append(Finding(Level.OK, "Camera", f"{name} at {node}"))
        else:
            fix = "sudo usermod -aG video $USER; then log in again"
            findings.append(Finding(Level.WARNING, "Camera", f"no permission to read {name} at {node}", fix))
    return findings or [
        Finding(
            Level.NOTE,
            "Camera",
            "none on this machine",
            "Not needed: simulated worlds and DROID bridges have their own cameras",
        )
    ]


def _facts(path: Path) -> dict[str, str]:
    try:
        lines = read_text(path).splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line)
