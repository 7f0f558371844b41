"""SpaceMice through pyspacemouse, read by a separate thread.

Problem: a 3D mouse sends six analogue axes in two alternating reports, repeats its last value at rest, and raises an
exception when unplugged. Idea: a thread reads reports at 200 Hz and keeps the newest; `poll` reduces the three translations
to one dominant direction with a dead zone and hysteresis. A receiver shows several interfaces of which one reports, and a puck may hang on
cable and receiver at once: all are read, and one that is displaced or pressed is alone until it lets go. Models list 2 to 31 buttons in any
order: left and right are found by name. Without the device or its system library everything else works, and `status` says what to install. Frame: puck pushed away = forward, to the left = left, lifted = up, as an operator behind
the robot sees it. The input map and the operator's camera are applied later.

Example: pushing the puck away to 0.6 yields HINTED then PRESSED of "puck:forward".
"""

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from frs_core.devices.base import ControlChange, DeviceEvent, DeviceNotice, DominantAxis, InputDevice, Stage

READ_HZ = 200.0
RESCAN_S = 1.0
LONGEST_PAUSE_S = 10.0
"""A puck that is lost again and again is opened after pauses of RESCAN_S, twice that, and so on up to this. Guess."""
SILENT_S = 0.3
"""A displaced puck reports many times a second. After this long without a report it has lost its radio or its battery, and is
treated as released; together with the polling period that takes less than half a second."""
VENDOR = 0x256F
"""3Dconnexion's USB vendor."""
BUTTONS = ("puck:button_left", "puck:button_right")
PAIRS = (("LEFT", "RIGHT"), ("MENU", "FIT"), ("BTN_1", "BTN_2"))
"""What the left and the right button are called, by model. The receiver's list is a SpaceMouse Pro's, whose large left and right buttons are
MENU and FIT; a puck with two buttons sends the same bits. Source: pyspacemouse's devices.toml."""
CONTROLS = ("puck:left", "puck:right", "puck:back", "puck:forward", "puck:down", "puck:up", *BUTTONS)
LIBRARY_HINT = (
    "SpaceMouse needs the system library hidapi: on Debian and Ubuntu run `sudo apt install libhidapi-hidraw0`"
)
UDEV_HINT = (
    "No SpaceMouse. If one is plugged in, allow reading it: "
    'KERNEL=="hidraw*", ATTRS{idVendor}=="256f", MODE="0660", TAG+="uaccess" in /etc/udev/rules.d/'
)


class SpaceMouse(InputDevice):
    """The connected SpaceMouse, through whichever of its interfaces reports.

    Args:
        open_puck: opens the device and returns an object with `read() -> state`, `close()` and a `name`; None = pyspacemouse.
    """

    kind = "spacemouse"
    title = "SpaceMouse"
    prefix = "puck"
    controls = CONTROLS
    bindings = MappingProxyType(
        {
            "steer.forward": ("puck:forward",),
            "steer.back": ("puck:back",),
            "steer.left": ("puck:left",),
            "steer.right": ("puck:right",),
            "steer.up": ("puck:up",),
            "steer.down": ("puck:down",),
            "gripper.toggle": ("puck:button_left",),
            "drive.hold": ("puck:button_right",),
        }
    )

    def __init__(self, open_puck: "Callable[[], Any] | None" = None) -> None:
        self._open_puck = open_puck or _open
        self._events: queue.Queue[DeviceEvent] = queue.Queue(maxsize=1024)
        self._state: tuple[float, float, float, tuple[bool, ...]] | None = None
        self._lock = threading.Lock()
        self._axes = DominantAxis(
            [("puck:left", "puck:right"), ("puck:back", "puck:forward"), ("puck:down", "puck:up")]
        )
        self._buttons: tuple[bool, ...] = (False, False)
        self._levels: dict[str, float] = {}
        self._name = ""
        self._status = "Looking for a SpaceMouse"
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frs-spacemouse", daemon=True)
        self._thread.start()

    def poll(self) -> list[DeviceEvent]:
        """Return the new events; see InputDevice."""
        found: list[DeviceEvent] = []
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._events.get_nowait()
                if isinstance(event, DeviceNotice) and not event.is_connected:
                    found += self._release_all()
                found.append(event)
        with self._lock:
            state, self._state = self._state, None
        if state is not None and self._name:
            found += self._take(state)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Name of the connected puck."""
        return (self._name,) if self._name else ()

    @property
    def status(self) -> str:
        """What is connected, or how to connect it."""
        return self._status

    @property
    def levels(self) -> Mapping[str, float]:
        """Current value of each control."""
        return dict(self._levels)

    def close(self) -> None:
        """Stop the thread."""
        self._is_closing.set()
        self._thread.join(2.0)

    def _take(self, state: tuple[float, float, float, tuple[bool, ...]]) -> list[DeviceEvent]:
        x, y, z, buttons = state
        found = [self._change(*change) for change in self._axes.update([x, y, z])]
        for (low, high), value in zip(self._axes.pairs, (x, y, z), strict=True):
            self._levels[low], self._levels[high] = max(0.0, min(1.0, -value)), max(0.0, min(1.0, value))
        for i, control in enumerate(BUTTONS):
            is_down = i < len(buttons) and buttons[i]
            if is_down != self._buttons[i]:
                found.append(self._change(control, Stage.PRESSED if is_down else Stage.RELEASED, float(is_down)))
        self._buttons = tuple(i < len(buttons) and buttons[i] for i in range(len(BUTTONS)))
        return found

    def _release_all(self) -> list[DeviceEvent]:
        return self._take((0.0, 0.0, 0.0, (False, False)))

    def _change(self, control: str, stage: Stage, value: float) -> DeviceEvent:
        self._levels[control] = value
        return ControlChange(self.kind, control, stage, value, time.monotonic_ns())

    # --- the reading thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        pause_s = RESCAN_S
        while not self._is_closing.is_set():
            began = time.monotonic()
            puck = self._find()
            lost = None if puck is None else self._use(puck)
            if isinstance(lost, _Replugged):
                continue
            if puck is None or time.monotonic() - began > LONGEST_PAUSE_S:
                pause_s = RESCAN_S
            self._is_closing.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _use(self, puck: Any) -> Exception | None:
        """Read a puck until it is lost and return why; None = this device was closed. One that cannot be read once is not announced."""
        name = str(getattr(puck, "name", "") or "SpaceMouse")
        is_told, lost = False, None
        try:
            puck.read()
            self._name, self._status, is_told = name, f"Connected: {name}", True
            self._send(DeviceNotice(self.kind, name, True))
            self._read(puck)
        except Exception as error:  # Any exception here means that the device was unplugged, or cannot be read.
            lost = error
        self._name = ""
        with contextlib.suppress(Exception):
            puck.close()
        if lost is not None:
            self._status = (
                f"{name} was unplugged" if is_told else f"{name} cannot be read. Unplug it and plug it in again"
            )
        if is_told and lost is not None:
            self._send(DeviceNotice(self.kind, name, False))
        return lost

    def _find(self) -> Any:
        try:
            return self._open_puck()
        except ImportError as error:
            self._status = f"SpaceMouse needs pyspacemouse: {error}. Install it with pip."
        except Exception as error:  # RuntimeError means a missing library or a missing device.
            is_library = "hid api" in str(error).lower() or "hidapi" in str(error).lower()
            self._status = LIBRARY_HINT if is_library else _unknown_model() or UDEV_HINT
        return None

    def _read(self, puck: Any) -> None:
        """Keep what a puck reports until this device is closed. Raises what the puck's `read` raises."""
        last, heard, at = -1.0, time.monotonic(), (0.0, 0.0, 0.0)
        buttons: tuple[bool, ...] = ()
        while not self._is_closing.is_set():
            # One read consumes one report; translation and rotation arrive in separate ones.
            for _ in range(16):
                state = puck.read()
                if state is None or state.t == last:
                    break
                last, heard, at = state.t, time.monotonic(), (state.x, state.y, state.z)
                buttons = tuple(bool(b) for b in state.buttons)
                with self._lock:
                    self._state = (*at, buttons)
            if any(at) and time.monotonic() - heard > SILENT_S:
                at = (0.0, 0.0, 0.0)
                with self._lock:
                    self._state = (*at, buttons)
            self._is_closing.wait(1.0 / READ_HZ)

    def _send(self, event: DeviceEvent) -> None:
        with contextlib.suppress(queue.Full):
            self._events.put_nowait(event)


@dataclass(frozen=True, slots=True)
class _State:
    """What a puck reported last."""

    t: float
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    buttons: tuple[bool, ...] = ()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is pushed or pressed."""
        return not (self.x or self.y or self.z or any(self.buttons))


class _Replugged(OSError):
    """Other interfaces are plugged in than those that were opened."""


class _Interfaces:
    """Every interface of the plugged-in pucks, read as one.

    Args:
        pucks: open devices of pyspacemouse.
        listed: what was plugged in when they were opened.
        now_listed: what is plugged in.
    """

    def __init__(self, pucks: Sequence[Any], *, listed: Sequence[str], now_listed: Callable[[], Sequence[str]]) -> None:
        self._pucks = list(pucks)
        self._listed, self._now_listed, self._looked = sorted(listed), now_listed, time.monotonic()
        self._pairs = {id(puck): pair_of(puck.info.button_names) for puck in pucks}
        self._last: dict[int, float] = {}
        self._speaker: Any = None
        """The one that is displaced or pressed; others are not listened to."""
        self._state, self._heard = _State(-1.0), time.monotonic()
        self.name = str(pucks[0].name)

    def read(self) -> _State:
        """Return the newest state; its `t` is the last one's when nothing was reported.

        Raises:
            OSError: every interface is gone.
            _Replugged: others are plugged in than were opened, and nothing is displaced or pressed, or was not heard of for SILENT_S.
        """
        for puck in tuple(self._pucks):
            try:
                state: Any = puck.read()
            except Exception:  # Any exception here means that it was unplugged.
                self._pucks.remove(puck)
                with contextlib.suppress(Exception):
                    puck.close()
                if puck is self._speaker:
                    self._speaker, self._state = None, _State(time.monotonic())
                    return self._state
                continue
            if state is None or state.t == self._last.get(id(puck), -1.0):
                continue
            self._last[id(puck)] = state.t
            if self._speaker not in (None, puck) and time.monotonic() - self._heard <= SILENT_S:
                continue
            now = time.monotonic()
            buttons = tuple(i is not None and bool(state.buttons[i]) for i in self._pairs[id(puck)])
            self._state = _State(now, state.x, state.y, state.z, buttons)
            self._speaker, self._heard = (None if self._state.is_at_rest else puck), now
            self.name = str(puck.name)
            return self._state
        if not self._pucks:
            raise OSError("unplugged")
        now = time.monotonic()
        # A puck whose battery died while it was displaced or pressed never reports its rest.
        is_free = self._state.is_at_rest or now - self._heard > SILENT_S
        if is_free and now - self._looked > RESCAN_S:
            self._looked = now
            if sorted(self._now_listed()) != self._listed:
                raise _Replugged("other interfaces are plugged in")
        return self._state

    def close(self) -> None:
        """Close all."""
        for puck in self._pucks:
            with contextlib.suppress(Exception):
                puck.close()


def pair_of(names: Sequence[str]) -> tuple[int | None, int | None]:
    """Return the places of the left and the right button in a model's list, None where it has none that is called so.

    Args:
        names: of all buttons, in the order of their states.
    """
    for left, right in PAIRS:
        if left in names and right in names:
            return names.index(left), names.index(right)
    return None, None


def _open() -> Any:
    """Open every interface of the pucks, with axes x right, y away, z up.

    Raises:
        RuntimeError: there is none, or the library is missing.
    """
    import pyspacemouse

    # The library prints the name of what it opens. Standard output belongs to all threads, so only the library's own `print` is replaced.
    pyspacemouse.api.__dict__["print"] = _print_nothing
    listed = pyspacemouse.get_connected_devices()
    pucks: list[Any] = []
    errors: list[Exception] = []
    for name, count in Counter(listed).items():
        for index in range(count):
            try:
                convention = pyspacemouse.AxisConvention.HID_Z_UP
                pucks.append(pyspacemouse.open(device=name, device_index=index, axis_convention=convention))
            except Exception as error:  # One may be readable and another not.
                errors.append(error)
    if not pucks:
        raise errors[0] if errors else RuntimeError("No connected or supported devices found.")
    return _Interfaces(pucks, listed=listed, now_listed=pyspacemouse.get_connected_devices)


def _print_nothing(*_: object, **__: object) -> None:
    """Stand in for `print` within the library."""


def _unknown_model() -> str:
    """Return what to say of a 3D mouse that is plugged in and unknown to the library; "" where there is none."""
    try:
        import pyspacemouse

        known = {(vendor, product) for _, vendor, product in pyspacemouse.get_supported_devices()}
        others = [d for d in pyspacemouse.get_all_hid_devices() if d[2] == VENDOR and (d[2], d[3]) not in known]
    except Exception:  # The status then says what is usual.
        return ""
    if not others:
        return ""
    title, _, vendor, product = others[0]
    return f"'{title}' ({vendor:04x}:{product:04x}) is a 3D mouse that pyspacemouse does not know. Use another, or a newer pyspacemouse"
