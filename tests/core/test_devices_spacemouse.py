"""The SpaceMouse back end on a fake HID device below pyspacemouse, and without library or device."""

import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from frs_core.devices import ControlChange, DeviceNotice, Stage
from frs_core.devices.spacemouse import LIBRARY_HINT, SILENT_S, UDEV_HINT, SpaceMouse
from tests.waiting import LONG_S

pyspacemouse = pytest.importorskip("pyspacemouse")


class FakeHid:
    """Answers reads with queued reports, then with nothing; raises once unplugged."""

    def __init__(self) -> None:
        self.reports: list[bytes] = []
        self.is_gone = False
        self.lock = threading.Lock()
        self.vendor_id, self.product_id, self.path = 0x256F, 0xC635, "/fake"
        self.product_string, self.manufacturer_string, self.serial_number = "SpaceMouse", "3Dconnexion", ""
        self.release_number = self.interface_number = 0

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def set_nonblocking(self, nonblocking: bool) -> None:
        """Always so."""

    def is_connected(self) -> bool:
        """Whether it is plugged in."""
        return not self.is_gone

    def read(self, size: int = 64, timeout: int | None = None) -> bytes:
        """Return one report or nothing."""
        if self.is_gone:
            raise OSError("unplugged")
        with self.lock:
            return self.reports.pop(0) if self.reports else b""

    def push(self, x: float, y: float, z: float) -> None:
        """Queue a translation report; x right, y toward the user, z down as the hardware counts."""
        with self.lock:
            self.reports.append(bytes([1]) + struct.pack("<hhh", int(x * 350), int(y * 350), int(z * 350)))

    def press(self, mask: int) -> None:
        """Queue a button report."""
        with self.lock:
            self.reports.append(bytes([3, mask, 0]))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's puck reports when the test is told to go on, which may take any time."""
    monkeypatch.setattr("frs_core.devices.spacemouse.SILENT_S", 1e6)


@pytest.fixture
def hid(monkeypatch: pytest.MonkeyPatch) -> FakeHid:
    """A fake puck on the bus that pyspacemouse itself finds and opens."""
    fake = FakeHid()
    specs = pyspacemouse.get_device_specs()
    spec = next(s for n, s in specs.items() if "compact" in n.lower())
    fake.vendor_id, fake.product_id = spec.vendor_id, spec.product_id

    class Bus:
        """The list of HID devices."""

        def find(self, *_: object) -> list[FakeHid]:
            """Return what is plugged in."""
            return [] if fake.is_gone else [fake]

    monkeypatch.setattr(pyspacemouse.api, "Enumeration", Bus)
    monkeypatch.setattr("frs_core.devices.spacemouse.RESCAN_S", 0.02)
    return fake


def wait(device: SpaceMouse, is_done: Callable[[list[Any]], bool], *, timeout_s: float = LONG_S) -> list[Any]:
    """Poll until enough has happened."""
    seen: list[Any] = []
    until = time.monotonic() + timeout_s
    tick = threading.Event()
    while not is_done(seen):
        assert time.monotonic() < until, f"only saw {seen}"
        seen += device.poll()
        tick.wait(0.005)
    return seen


class Puck:
    """What the back end needs of a device, driven by hand."""

    name = "Hand-made puck"

    def __init__(self) -> None:
        self.state = pyspacemouse.SpaceMouseState(t=0.0, x=0, y=0, z=0, roll=0, pitch=0, yaw=0, buttons=[0, 0])
        self.is_gone = False

    def read(self) -> Any:
        """Return the one mutable state, as the library does."""
        if self.is_gone:
            raise OSError("unplugged")
        return self.state

    def move(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, buttons: tuple[int, int] = (0, 0)) -> None:
        """Move the puck."""
        self.state.x, self.state.y, self.state.z, self.state.buttons = x, y, z, list(buttons)
        self.state.t += 1.0

    def close(self) -> None:
        """Nothing to close."""


def test_pushing_away_hints_then_presses_forward_and_letting_go_releases() -> None:
    puck = Puck()
    device = SpaceMouse(lambda: puck)
    try:
        for y in (0.3, 0.7, 0.0):
            puck.move(y=y)
            seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
            last = [e for e in seen if isinstance(e, ControlChange)][-1]
            assert last.control == "puck:forward"
        assert last.stage is Stage.RELEASED
    finally:
        device.close()


def test_a_displaced_puck_that_falls_silent_is_let_go_and_keeps_its_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SILENT_S < 0.5
    puck = Puck()
    device = SpaceMouse(lambda: puck)
    try:
        puck.move(y=0.7, buttons=(0, 1))
        wait(device, lambda s: {"puck:forward", "puck:button_right"} <= {getattr(e, "control", "") for e in s})
        monkeypatch.setattr("frs_core.devices.spacemouse.SILENT_S", 0.0)
        seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
        assert [(e.control, e.stage) for e in seen] == [("puck:forward", Stage.RELEASED)]
        monkeypatch.setattr("frs_core.devices.spacemouse.SILENT_S", 1e6)
        puck.move(y=0.7, buttons=(0, 1))
        seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
        assert (seen[0].control, seen[0].stage) == ("puck:forward", Stage.PRESSED)
    finally:
        device.close()


def test_buttons_are_gripper_and_hold() -> None:
    puck = Puck()
    device = SpaceMouse(lambda: puck)
    try:
        puck.move(buttons=(0, 1))
        seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
        assert seen[-1].control == "puck:button_right"
        assert seen[-1].stage is Stage.PRESSED
    finally:
        device.close()


def test_unplugging_releases_and_is_told_and_replugging_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frs_core.devices.spacemouse.RESCAN_S", 0.02)
    pucks = [Puck(), Puck()]
    waiting = list(pucks)
    device = SpaceMouse(lambda: waiting.pop(0))
    try:
        pucks[0].move(x=-0.8)
        wait(device, lambda s: any(isinstance(e, ControlChange) and e.stage is Stage.PRESSED for e in s))
        pucks[0].is_gone = True
        seen = wait(device, lambda s: sum(isinstance(e, DeviceNotice) for e in s) >= 2)
        assert next(e.stage for e in seen if isinstance(e, ControlChange)) is Stage.RELEASED
        assert [e.is_connected for e in seen if isinstance(e, DeviceNotice)] == [False, True]
        assert device.names == ("Hand-made puck",)
    finally:
        device.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("HID API is probably not installed"), LIBRARY_HINT),
        (RuntimeError("No device connected"), UDEV_HINT),
    ],
)
def test_without_library_or_device_the_status_says_how_to_get_it(error: Exception, status: str) -> None:
    def fail() -> Any:
        raise error

    device = SpaceMouse(fail)
    try:
        until = time.monotonic() + LONG_S
        while device.status != status:
            assert time.monotonic() < until
            threading.Event().wait(0.005)
        assert device.names == ()
    finally:
        device.close()


@pytest.mark.parametrize(
    ("report", "control"),
    [
        ((0.8, 0, 0), "puck:right"),
        ((0, -0.8, 0), "puck:forward"),
        ((0, 0.8, 0), "puck:back"),
        ((0, 0, -0.8), "puck:up"),
    ],
)
def test_raw_hid_reports_through_the_real_library_press_the_right_control(
    hid: FakeHid, report: tuple[float, float, float], control: str
) -> None:
    device = SpaceMouse()
    try:
        wait(device, lambda s: any(isinstance(e, DeviceNotice) and e.is_connected for e in s))
        hid.push(*report)
        seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
        assert [e.control for e in seen if isinstance(e, ControlChange)] == [control]
    finally:
        device.close()


def test_a_hid_device_that_vanishes_is_told_and_found_again(hid: FakeHid) -> None:
    device = SpaceMouse()
    try:
        wait(device, lambda s: any(isinstance(e, DeviceNotice) and e.is_connected for e in s))
        hid.is_gone = True
        wait(device, lambda s: any(isinstance(e, DeviceNotice) and not e.is_connected for e in s))
        assert device.names == ()
        hid.is_gone = False
        wait(device, lambda s: any(isinstance(e, DeviceNotice) and e.is_connected for e in s))
    finally:
        device.close()
