"""A world, a policy and a SpaceMouse that break on request, for `examples/faults.py`.

Problem: a camera cannot be unplugged in a simulation, and a shipped policy does not raise. Idea: the real ones with one switch
each: a file of a certain name in the folder `$FRS_BREAK` breaks them, and removing it fixes them.

    frs --world automation.broken:Tabletop --policy automation.broken:generalist
"""

import os
import struct
import time
from pathlib import Path
from typing import Any

from frs_core.robot.observation import CameraFrame
from frs_core.worlds.tabletop.world import TabletopWorld


def is_broken(what: str) -> bool:
    """Whether a part shall be broken now."""
    return (Path(os.environ["FRS_BREAK"]) / what).exists()


class Tabletop(TabletopWorld):
    """The embedded world; its left camera repeats itself while "camera" is broken."""

    _last: CameraFrame | None = None

    def observe(self) -> Any:
        """Return what it sees, perhaps with an old image."""
        observation = super().observe()
        if is_broken("camera") and self._last is not None:
            observation.frames["left"] = CameraFrame(
                self._last.image, observation.frames["left"].captured_ns, observation.frames["left"].calibration
            )
        else:
            self._last = observation.frames["left"]
        return observation


def generalist() -> Any:
    """Return the shipped generalist; it raises while "inference" is broken and hangs while "answer" is."""
    from frs_core.policies import load_policy

    plug_in_puck()
    policy = load_policy("tabletop")
    encode = policy.encode

    def fragile(observation: Any) -> Any:
        if is_broken("inference"):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        until = time.monotonic() + 20.0
        while is_broken("answer") and time.monotonic() < until:
            time.sleep(0.05)
        return encode(observation)

    policy.encode = fragile
    return policy


class _Hid:
    """A compact SpaceMouse below pyspacemouse: plugged in while "puck" exists, pushed as that file says."""

    def __init__(self, vendor: int, product: int) -> None:
        self.vendor_id, self.product_id, self.path = vendor, product, "/fake"
        self.product_string, self.manufacturer_string, self.serial_number = "SpaceMouse Compact", "3Dconnexion", ""
        self.release_number = self.interface_number = 0

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def set_nonblocking(self, nonblocking: bool) -> None:
        """Always so."""

    def is_connected(self) -> bool:
        """Whether it is plugged in."""
        return is_broken("puck")

    def read(self, size: int = 64, timeout: int | None = None) -> bytes:
        """Return a report of the present push; raise once unplugged."""
        try:
            x, y, z = (float(word) for word in (Path(os.environ["FRS_BREAK"]) / "puck").read_text().split())
        except ValueError:
            return b""
        except OSError as error:
            raise OSError("unplugged") from error
        return bytes([1]) + struct.pack("<hhh", int(x * 350), int(y * 350), int(z * 350))


def plug_in_puck() -> None:
    """Put the SpaceMouse on the bus that pyspacemouse looks at."""
    import pyspacemouse

    spec = next(s for n, s in pyspacemouse.get_device_specs().items() if "compact" in n.lower())

    class Bus:
        """The list of HID devices."""

        def find(self, *_: object) -> list[_Hid]:
            """Return what is plugged in."""
            return [_Hid(spec.vendor_id, spec.product_id)] if is_broken("puck") else []

    pyspacemouse.api.Enumeration = Bus
