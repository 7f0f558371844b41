"""The SpaceMouse back end on a fake HID device below pyspacemouse, and without library or device."""

import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from frs_core.devices import ControlChange, DeviceNotice, Stage
from frs_core.devices.spacemouse import LIBRARY_HINT, SILENT_S, UDEV_HINT, SpaceMouse, pair_of
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
            counts = [int(value * 350) for value in (x, y, z)]
            # Receivers send translation and rotation in one report.
            self.reports.append(bytes([1]) + struct.pack("<3h", *counts) + bytes(6 * (self.product_id == 0xC652)))

    def press(self, mask: int) -> None:
        """Queue a button report."""
        with self.lock:
            self.reports.append(bytes([3, mask, 0]))

    def press_of_many(self, mask: int) -> None:
        """Queue a button report as models with many buttons send it."""
        with self.lock:
            self.reports.append(bytes([3, mask, 0, 0, 0, 0, 0]))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's puck reports when the test is to go on, which may take any time."""
    monkeypatch.setattr("frs_core.devices.spacemouse.SILENT_S", 1e6)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[FakeHid]:
    """The HID devices on the bus that pyspacemouse itself searches and opens."""
    devices: list[FakeHid] = []

    class Bus:
        """The list of HID devices."""

        def find(self, *_: object) -> list[FakeHid]:
            """Return what is plugged in."""
            return [d for d in devices if not d.is_gone]

    monkeypatch.setattr(pyspacemouse.api, "Enumeration", Bus)
    monkeypatch.setattr("frs_core.devices.spacemouse.RESCAN_S", 0.02)
    return devices


@pytest.fixture
def hid(plugged: list[FakeHid]) -> FakeHid:
    """A fake puck with one interface."""
    plugged.append(FakeHid())
    return plugged[0]


def receiver() -> list[FakeHid]:
    """Return the interfaces of a radio receiver."""
    interfaces = [FakeHid() for _ in range(5)]
    for interface in interfaces:
        interface.product_id = 0xC652
    return interfaces


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


@pytest.mark.parametrize(
    "model", ["SpaceMouseCompact", "SpaceMouseWireless", "SpaceMousePro", "UniversalReceiver", "SpaceMouseEnterprise"]
)
def test_left_and_right_button_are_found_whatever_else_the_model_has(hid: FakeHid, model: str) -> None:
    hid.vendor_id, hid.product_id = next(
        (vendor, product) for name, vendor, product in pyspacemouse.get_supported_devices() if name == model
    )
    device = SpaceMouse()
    try:
        connected(device)
        for mask, control in ((1, "puck:button_left"), (2, "puck:button_right")):
            hid.press_of_many(mask)
            seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
            assert [(e.control, e.stage) for e in seen if isinstance(e, ControlChange)] == [(control, Stage.PRESSED)]
            hid.press_of_many(0)
            wait(device, lambda s: any(isinstance(e, ControlChange) and e.stage is Stage.RELEASED for e in s))
    finally:
        device.close()


def test_every_model_with_two_buttons_has_a_left_and_a_right_one() -> None:
    for name, info in pyspacemouse.loader.get_device_specs().items():
        left, right = pair_of(info.button_names)
        assert (left is None) == (right is None) == (len(info.button_names) < 2), name


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


def connected(device: SpaceMouse) -> None:
    """Wait until a puck is there."""
    wait(device, lambda s: any(isinstance(e, DeviceNotice) and e.is_connected for e in s))


def pressed(device: SpaceMouse) -> list[tuple[str, Stage]]:
    """Return the changes up to the first one."""
    seen = wait(device, lambda s: any(isinstance(e, ControlChange) for e in s))
    return [(e.control, e.stage) for e in seen if isinstance(e, ControlChange)]


@pytest.mark.parametrize("interface", [0, 1, 4])
def test_whichever_interface_of_a_receiver_reports_is_heard(plugged: list[FakeHid], interface: int) -> None:
    plugged += receiver()
    device = SpaceMouse()
    try:
        connected(device)
        plugged[interface].push(0, -0.8, 0)
        assert pressed(device)[-1] == ("puck:forward", Stage.PRESSED)
    finally:
        device.close()


def test_a_puck_on_cable_and_receiver_is_heard_and_let_go_when_its_cable_is_pulled(plugged: list[FakeHid]) -> None:
    cable = FakeHid()
    plugged += [*receiver(), cable]
    device = SpaceMouse()
    try:
        connected(device)
        cable.push(0.8, 0, 0)
        assert pressed(device)[-1] == ("puck:right", Stage.PRESSED)
        # Another puck does not let go what this one holds.
        plugged[0].push(0, 0, 0)
        plugged[0].push(0, -0.8, 0)
        while plugged[0].reports:
            assert not any(isinstance(e, ControlChange) for e in device.poll())
        cable.is_gone = True
        assert pressed(device) == [("puck:right", Stage.RELEASED)]
    finally:
        device.close()


def test_a_cable_plugged_in_beside_the_receiver_is_found(plugged: list[FakeHid]) -> None:
    plugged += receiver()
    device = SpaceMouse()
    try:
        connected(device)
        cable = FakeHid()
        plugged.append(cable)
        connected(device)
        cable.push(0, 0, -0.8)
        assert pressed(device)[-1] == ("puck:up", Stage.PRESSED)
    finally:
        device.close()


def test_a_model_that_the_library_does_not_know_is_called_so(plugged: list[FakeHid]) -> None:
    plugged.append(FakeHid())
    plugged[0].product_id = 0xC640
    device = SpaceMouse()
    try:
        until = time.monotonic() + LONG_S
        while "(256f:c640) is a 3D mouse that pyspacemouse does not know" not in device.status:
            assert time.monotonic() < until
            threading.Event().wait(0.005)
    finally:
        device.close()


@pytest.mark.parametrize("is_button", [False, True])
def test_a_cable_is_found_after_the_battery_died_while_the_puck_was_displaced(
    plugged: list[FakeHid], monkeypatch: pytest.MonkeyPatch, is_button: bool
) -> None:
    plugged += [FakeHid()] if is_button else receiver()
    device = SpaceMouse()
    try:
        connected(device)
        if is_button:
            plugged[0].press(1)
        else:
            plugged[0].push(0, -0.8, 0)
        assert pressed(device)[-1][1] is Stage.PRESSED
        monkeypatch.setattr("frs_core.devices.spacemouse.SILENT_S", 0.05)
        cable = FakeHid()
        plugged.append(cable)
        connected(device)
        monkeypatch.setattr("frs_core.devices.spacemouse.SILENT_S", 1e6)
        cable.push(0, 0, -0.8)
        assert pressed(device)[-1] == ("puck:up", Stage.PRESSED)
    finally:
        device.close()


@pytest.mark.parametrize("good_reads", [0, 3])
def test_a_puck_that_opens_and_cannot_be_read_is_opened_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, good_reads: int
) -> None:
    pauses: list[float] = []

    class Faulty(Puck):
        """Fails after some reads."""

        left = good_reads

        def read(self) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError("[Errno 5] Input/output error")
            return self.state

    class Clock(threading.Event):
        """Counts the pauses, and waits for none."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout and timeout > 0.5:
                pauses.append(timeout)
                if len(pauses) == 6:
                    self.set()
            return self.is_set()

    monkeypatch.setattr("frs_core.devices.spacemouse.threading.Event", Clock)
    device = SpaceMouse(Faulty)
    until = time.monotonic() + LONG_S
    while len(pauses) < 6:
        assert time.monotonic() < until
        time.sleep(0.005)
    device.close()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    notices = [e for e in device.poll() if isinstance(e, DeviceNotice)]
    assert len(notices) == (12 if good_reads else 0)
    assert device.status == (
        "Hand-made puck was unplugged"
        if good_reads
        else "Hand-made puck cannot be read. Unplug it and plug it in again"
    )


def test_opening_a_puck_prints_nothing_and_leaves_the_prints_of_other_threads(
    hid: FakeHid, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_opening, may_go_on = threading.Event(), threading.Event()

    def slow(self: FakeHid) -> None:
        is_opening.set()
        may_go_on.wait(LONG_S)

    monkeypatch.setattr(FakeHid, "open", slow)
    device = SpaceMouse()
    try:
        assert is_opening.wait(LONG_S)
        sys.stdout.write("a line of another thread\n")
        may_go_on.set()
        connected(device)
    finally:
        device.close()
    assert capsys.readouterr().out == "a line of another thread\n"
