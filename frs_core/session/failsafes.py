"""Every cause of Hold, what limit engages it, and which limits a person may set.

Problem: a limit that can be set in a window can be set wrongly. Idea: one table says where each limit is enforced, always below the
window. Only limits of waiting in which the arm stands still anyway, and the one of attention, can be set, each in a range that the
session checks itself; all others are fixed here or belong to the world.

Example: `problem("inference_timeout_s", 60)` is "The longest wait for a fan is 1 to 10 s, not 60 s". Pure; any thread.
"""

import math
from dataclasses import dataclass

from frs_core.events import HoldReason
from frs_core.robot.watchdog import MAX_AGE_S
from frs_core.session.options import SessionOptions
from frs_core.worlds.host import HostSettings
from frs_core.worlds.process import SILENCE_S


@dataclass(frozen=True, slots=True)
class Failsafe:
    """One cause of Hold."""

    reason: HoldReason | None
    """What the state bar says; None = no hold, it becomes a person's turn."""
    trips: str
    """What engages it."""
    place: str
    """Where that is noticed: window, session or robot."""
    remedy: str
    limit: float | None = None
    """None = it engages at once."""
    unit: str = ""
    option: str = ""
    """Field of `SessionOptions` that a person may set; empty = fixed."""
    low: float = 0.0
    high: float = 0.0
    name: str = ""
    """The limit as it is called in a refusal."""


_O = SessionOptions()
_RESUME = "Resume"
FAILSAFES: tuple[Failsafe, ...] = (
    Failsafe(HoldReason.OPERATOR, "Space, Esc, a device's hold button or HOLD", "window", _RESUME),
    Failsafe(HoldReason.FOCUS_LOST, "another window has the focus", "window", "Return to the window, resume"),
    Failsafe(HoldReason.PAGE_LEFT, "Review, Train or Practise is shown", "window", "Resume shows Drive again"),
    Failsafe(
        HoldReason.DEVICE_LOST, "a device in use is unplugged", "window", "Plug it in or use the keyboard, resume"
    ),
    Failsafe(
        HoldReason.GUI_SILENT,
        "the window is silent for longer than",
        "session",
        "Wait until it answers, resume",
        limit=_O.heartbeat_timeout_s,
        unit="s",
    ),
    Failsafe(
        HoldReason.SESSION_SILENT,
        "the session loses requests or, while the arm moves, steps, or is silent for longer than",
        "robot",
        "Wait until it answers, resume",
        limit=HostSettings().session_silence_s,
        unit="s",
    ),
    Failsafe(
        HoldReason.CAMERA_STALE,
        "an image is older than, or stays the same while the tool moves in view",
        "robot",
        "Check cable and power, resume",
        limit=MAX_AGE_S,
        unit="s",
    ),
    Failsafe(
        HoldReason.INFERENCE_LATE,
        "no fan has come after",
        "session",
        "Resume asks again; raise it for a slow policy, the arm stands still meanwhile",
        limit=_O.inference_timeout_s,
        unit="s",
        option="inference_timeout_s",
        low=1.0,
        high=10.0,
        name="longest wait for a fan",
    ),
    Failsafe(HoldReason.INFERENCE_FAILED, "the policy raises an error", "session", "Read the banner, resume"),
    Failsafe(
        HoldReason.DRIVER_FAILED,
        "a script, model or learned driver raises an error",
        "session",
        "Pick yourself, or let somebody else drive",
    ),
    Failsafe(
        HoldReason.MISFIT,
        "the policy wants other cameras or actions than the robot has",
        "session",
        "Start with a policy for this robot",
    ),
    Failsafe(
        HoldReason.UNFIT_CHUNK,
        "the first chunk would jump, or leaves the robot's limits",
        "session",
        "Check action space and units",
    ),
    Failsafe(
        HoldReason.ACTION_REFUSED,
        "an action is not finite, or has another size than the robot takes",
        "robot",
        "Check the policy's weights, resume",
    ),
    Failsafe(
        None,
        "a script, model or learned driver has not picked after",
        "session",
        "Pick yourself, or let somebody else drive",
        limit=_O.chooser_timeout_s,
        unit="s",
        option="chooser_timeout_s",
        low=5.0,
        high=60.0,
        name="longest wait for a driver",
    ),
    Failsafe(
        HoldReason.UNATTENDED,
        "nobody has picked for this many chunks",
        "session",
        "Resume, or label the episode",
        limit=float(_O.unattended_chunks),
        unit="chunks",
        option="unattended_chunks",
        low=1.0,
        high=float(_O.unattended_chunks),
        name="number of chunks without a person's pick",
    ),
    Failsafe(
        HoldReason.LABEL_ASKED,
        "a label contradicts the simulator while the robot moves",
        "window",
        "Label it, or resume",
    ),
    Failsafe(HoldReason.SUCCESS_SEEN, "nobody steers and the world says that the task is done", "session", "Label it"),
    Failsafe(HoldReason.CHUNKS_USED_UP, "an attempt of a practice has had its chunks", "session", "Label it"),
    Failsafe(
        HoldReason.PRACTICE_ENDED, "the practice ended during an attempt", "window", "Resume and steer, or label it"
    ),
    Failsafe(HoldReason.COMPARISON_ENDED, "a blinded comparison ended during an attempt", "window", "Label it"),
    Failsafe(
        HoldReason.DISK,
        "the disk refuses a chunk, or has not answered for",
        "session",
        "Make room; Resume writes it again",
        limit=_O.write_timeout_s,
        unit="s",
    ),
    Failsafe(
        HoldReason.WORLD_LOST,
        "robot or simulator ends, or is silent for longer than",
        "session",
        "Read the banner, reconnect",
        limit=SILENCE_S,
        unit="s",
    ),
    Failsafe(
        HoldReason.CLOSING, "the window or the program is being closed", "window", "Start again; the episode is kept"
    ),
    Failsafe(HoldReason.EXCEPTION, "any error that nobody expected", "session", "Resume; save diagnostics"),
)
SETTABLE = {row.option: row for row in FAILSAFES if row.option}
"""Limits that a person may set, by their name in `SessionOptions`."""


def problem(option: str, value: float) -> str:
    """Return why a limit may not be set to a value, one sentence; empty if it may.

    Args:
        option: name in `SessionOptions`.
        value: in the row's unit.
    """
    row = SETTABLE.get(option)
    if row is None:
        return f"'{option}' is not a limit that can be set; those are {', '.join(SETTABLE)}"
    if not math.isfinite(value) or not row.low <= value <= row.high:
        return f"The {row.name} is {row.low:g} to {row.high:g} {row.unit}, not {value:g} {row.unit}"
    if row.unit == "chunks" and value != int(value):
        return f"The {row.name} is a whole number, not {value:g}"
    return ""


def values_of(options: SessionOptions) -> dict[str, float]:
    """Return the present values of the limits that can be set."""
    return {option: float(getattr(options, option)) for option in SETTABLE}
