"""Gamepads through SDL's own virtual joystick: real events, no hardware."""

import ctypes
import ctypes.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frs_core.devices import ControlChange, DeviceNotice, Stage
from frs_core.devices.gamepad import Gamepad
from tests.texts import ROOT
from tests.waiting import LONG_S

pygame = pytest.importorskip("pygame")
GAMECONTROLLER = 1


def sdl() -> ctypes.CDLL:
    """Return the SDL library that pygame has loaded."""
    folder = Path(pygame.__file__).parent
    found = [
        p
        for f in (folder.parent / "pygame.libs", folder.parent / "pygame_ce.libs", folder)
        for p in f.glob("libSDL2-2*")
    ]
    name = str(found[0]) if found else ctypes.util.find_library("SDL2-2.0") or ctypes.util.find_library("SDL2")
    if not name:
        pytest.skip("pygame's SDL library was not found")
    library = ctypes.CDLL(name)
    library.SDL_JoystickOpen.restype = ctypes.c_void_p
    for function in (library.SDL_JoystickSetVirtualButton, library.SDL_JoystickSetVirtualAxis):
        function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    return library


class VirtualPad:
    """A gamepad made of nothing: 6 axes, 15 buttons in SDL's controller order; or another joystick."""

    def __init__(self, kind: int = GAMECONTROLLER, axes: int = 6, buttons: int = 15, hats: int = 0) -> None:
        self.sdl = sdl()
        self.index = self.sdl.SDL_JoystickAttachVirtual(kind, axes, buttons, hats)
        assert self.index >= 0
        self.handle = self.sdl.SDL_JoystickOpen(self.index)

    def button(self, number: int, is_down: bool) -> None:
        """Press or release a button."""
        self.sdl.SDL_JoystickSetVirtualButton(self.handle, number, int(is_down))

    def axis(self, number: int, value: float) -> None:
        """Move an axis, -1..1."""
        self.sdl.SDL_JoystickSetVirtualAxis(self.handle, number, int(value * 32767))

    def unplug(self) -> None:
        """Pull the cable."""
        self.sdl.SDL_JoystickDetachVirtual(self.index)


@pytest.fixture
def gamepad() -> Iterator[Gamepad]:
    """The back end, closed afterwards."""
    device = Gamepad()
    device.poll()
    yield device
    device.close()


@pytest.fixture
def pad(gamepad: Gamepad) -> VirtualPad:
    """A plugged-in pad."""
    return VirtualPad()


def changes(gamepad: Gamepad, *, polls: int = 3) -> list[tuple[str, Stage]]:
    """Return control changes of a few polls."""
    events = [e for _ in range(polls) for e in gamepad.poll()]
    return [(e.control, e.stage) for e in events if isinstance(e, ControlChange)]


def test_plugging_in_and_out_is_told_and_releases_what_was_held(gamepad: Gamepad, pad: VirtualPad) -> None:
    notices = [e for _ in range(3) for e in gamepad.poll() if isinstance(e, DeviceNotice)]
    assert [n.is_connected for n in notices] == [True]
    assert gamepad.names
    pad.button(0, True)
    assert changes(gamepad) == [("pad:a", Stage.PRESSED)]
    pad.unplug()
    events = [e for _ in range(3) for e in gamepad.poll()]
    assert any(isinstance(e, ControlChange) and e.control == "pad:a" and e.stage is Stage.RELEASED for e in events)
    assert [e.is_connected for e in events if isinstance(e, DeviceNotice)] == [False]
    assert gamepad.names == ()


@pytest.mark.parametrize(
    ("number", "control"), [(0, "a"), (1, "b"), (6, "start"), (9, "left_shoulder"), (11, "dpad_up")]
)
def test_buttons_are_named(gamepad: Gamepad, pad: VirtualPad, number: int, control: str) -> None:
    gamepad.poll()
    pad.button(number, True)
    assert changes(gamepad) == [(f"pad:{control}", Stage.PRESSED)]
    assert gamepad.levels[f"pad:{control}"] == 1.0
    pad.button(number, False)
    assert changes(gamepad) == [(f"pad:{control}", Stage.RELEASED)]


def test_a_stick_hints_then_presses_then_releases(gamepad: Gamepad, pad: VirtualPad) -> None:
    gamepad.poll()
    found = []
    for value in (-0.3, -0.8, 0.0):
        pad.axis(0, value)
        found += changes(gamepad)
    control = "pad:left_stick_left"
    assert found == [(control, Stage.HINTED), (control, Stage.PRESSED), (control, Stage.RELEASED)]


def test_a_stick_that_drifts_does_not_pick_until_it_was_at_rest(gamepad: Gamepad) -> None:
    pad = VirtualPad()
    pad.axis(0, 0.6)
    assert changes(gamepad) == []
    pad.axis(0, 0.8)
    assert changes(gamepad) == []
    assert "the left stick of" in gamepad.status
    assert "right stick" not in gamepad.status
    pad.axis(0, 0.1)
    assert changes(gamepad) == []
    pad.axis(0, 0.8)
    assert changes(gamepad) == [("pad:left_stick_right", Stage.PRESSED)]
    assert "drifts" not in gamepad.status


def test_the_right_stick_is_up_and_down(gamepad: Gamepad, pad: VirtualPad) -> None:
    gamepad.poll()
    pad.axis(3, -0.9)
    assert changes(gamepad)[-1] == ("pad:right_stick_up", Stage.PRESSED)


def test_closing_twice_is_safe_and_polls_nothing(gamepad: Gamepad) -> None:
    gamepad.close()
    gamepad.close()
    assert gamepad.poll() == []


UNKNOWN, WHEEL, FLIGHT_STICK, THROTTLE = 0, 2, 4, 9
"""Source: SDL_JoystickType."""


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (WHEEL, (6, 11, 1)),
        (FLIGHT_STICK, (6, 11, 1)),
        (THROTTLE, (6, 11, 1)),
        (UNKNOWN, (4, 12, 1)),
        (UNKNOWN, (3, 0, 0)),
    ],
)
def test_wheels_throttles_and_pedals_are_no_pads_and_the_status_says_so(
    gamepad: Gamepad, kind: int, shape: tuple[int, int, int]
) -> None:
    other = VirtualPad(kind, *shape)
    changes(gamepad)
    assert gamepad.names == ()
    assert "is not used: SDL has no gamepad mapping for it" in gamepad.status
    for axis in range(shape[0]):
        other.axis(axis, -1.0)
        other.axis(axis, 1.0)
    other.button(0, True)
    assert changes(gamepad) == []
    other.unplug()
    changes(gamepad)
    assert gamepad.status == "No gamepad; plug one in at any time"


@pytest.fixture
def raw(gamepad: Gamepad) -> VirtualPad:
    """A pad without a mapping, in the order of Linux' xpad, seen at rest."""
    pad = VirtualPad(UNKNOWN, 6, 11, 1)
    assert changes(gamepad, polls=5) == []
    return pad


@pytest.fixture
def at_rest(gamepad: Gamepad, raw: VirtualPad) -> VirtualPad:
    """The same, once its sticks have reported their rest."""
    for axis in (0, 1, 3, 4):
        raw.axis(axis, 0.01)
    assert changes(gamepad) == []
    return raw


def test_a_pad_without_a_mapping_has_xpads_order(gamepad: Gamepad, at_rest: VirtualPad) -> None:
    for axis, control in (
        (0, "left_stick_right"),
        (1, "left_stick_down"),
        (3, "right_stick_right"),
        (4, "right_stick_down"),
    ):
        at_rest.axis(axis, 0.9)
        assert changes(gamepad)[-1] == (f"pad:{control}", Stage.PRESSED)
        at_rest.axis(axis, 0.0)
        assert changes(gamepad)[-1] == (f"pad:{control}", Stage.RELEASED)
    at_rest.button(9, True)
    assert changes(gamepad) == [("pad:left_stick", Stage.PRESSED)]


@pytest.mark.parametrize(("axis", "control"), [(2, "left_trigger"), (5, "right_trigger")])
def test_a_trigger_that_rests_at_minus_one_is_pressed_by_pulling_alone(
    gamepad: Gamepad, raw: VirtualPad, axis: int, control: str
) -> None:
    raw.axis(axis, -1.0)
    assert changes(gamepad, polls=4) == []
    raw.axis(axis, 1.0)
    assert changes(gamepad) == [(f"pad:{control}", Stage.PRESSED)]
    raw.axis(axis, -1.0)
    assert changes(gamepad) == [(f"pad:{control}", Stage.RELEASED)]


def test_an_axis_whose_first_report_is_away_from_its_rest_counts_after_it_was_there(
    gamepad: Gamepad, raw: VirtualPad
) -> None:
    for place in (0.9, 0.4, -1.0):
        raw.axis(3, place)
        assert changes(gamepad, polls=4) == []
    assert "the right stick of" in gamepad.status
    raw.axis(3, 0.02)
    assert changes(gamepad, polls=4) == []
    raw.axis(3, -1.0)
    assert changes(gamepad)[-1] == ("pad:right_stick_left", Stage.PRESSED)


@pytest.mark.parametrize(
    ("axis", "rest"), [*((axis, 1.0) for axis in range(6)), *((axis, -1.0) for axis in (0, 1, 3, 4))]
)
def test_a_pedal_that_rests_at_an_end_presses_nothing(
    gamepad: Gamepad, raw: VirtualPad, axis: int, rest: float
) -> None:
    for place in (rest, -rest, rest, 0.0, rest, -rest, 0.1, rest):
        raw.axis(axis, place)
        assert changes(gamepad, polls=20) == []
    assert ("trigger of" if axis in (2, 5) else "stick of") in gamepad.status


def test_a_stick_whose_first_report_is_its_end_counts_after_it_was_let_go_for_long(
    gamepad: Gamepad, raw: VirtualPad
) -> None:
    raw.axis(3, -1.0)
    assert changes(gamepad, polls=4) == []
    raw.axis(3, 0.02)
    assert changes(gamepad, polls=210) == []
    raw.axis(3, -1.0)
    assert changes(gamepad)[-1] == ("pad:right_stick_left", Stage.PRESSED)


def test_a_stick_counts_when_one_of_its_axes_has_reported_its_rest(gamepad: Gamepad, raw: VirtualPad) -> None:
    raw.axis(4, -0.01)
    assert changes(gamepad) == []
    raw.axis(3, 1.0)
    assert changes(gamepad)[-1] == ("pad:right_stick_right", Stage.PRESSED)


def test_opening_the_pads_says_nothing_on_the_terminal() -> None:
    code = "from frs_core.devices.gamepad import Gamepad; Gamepad().close()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=LONG_S, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
