"""Checks of a machine and a robot, each with a fix; shown by `frs doctor`."""

from frs_core.doctor.devices import check_cameras, check_devices
from frs_core.doctor.machine import check_disk, check_display, check_gpu, check_packages, check_python, check_weights
from frs_core.doctor.plugins import check_plugins
from frs_core.doctor.worlds import check_worlds
from frs_core.runtime.finding import Finding, Level

__all__ = [
    "Finding",
    "Level",
    "check_cameras",
    "check_devices",
    "check_disk",
    "check_display",
    "check_gpu",
    "check_packages",
    "check_plugins",
    "check_python",
    "check_weights",
    "check_worlds",
]
