"""What goes into a session (commands) and what comes out (snapshots). All frozen; safe to hand between threads.

A view draws a `Snapshot` and sends `SessionCommand`s; it needs nothing else from the core.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Gripper
from frs_core.steering.plan import SteeringPlan


class Phase(enum.Enum):
    """What the robot is doing, as shown on the state bar."""

    HOLD = "hold"
    """Nothing moves until a person resumes or starts."""
    CHOOSE = "choose"
    """An episode runs; a fan is offered or being made; waiting for a pick."""
    MOVING = "moving"
    """A chunk is being executed."""
    REPLAY = "replay"
    FAULT = "fault"
    """World or policy is gone; needs `Reconnect`."""


class Driver:
    """Who picks from the fan: the id of a chooser's row. One object per id, so `is` compares; any chooser can have its own.

    Args:
        value: the id, as it is recorded.
    """

    __slots__ = ("value",)
    value: str
    _by_id: ClassVar[dict[str, "Driver"]] = {}
    PERSON: ClassVar["Driver"]
    LEARNED: ClassVar["Driver"]
    SCRIPTED: ClassVar["Driver"]
    VLM: ClassVar["Driver"]

    def __new__(cls, value: str) -> "Driver":
        """Return the one object of an id; ValueError for what can be none."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", value):
            raise ValueError(f"'{value}' is not the id of a chooser. Use small letters, digits, - and _.")
        made = object.__new__(cls)
        made.value = value
        return cls._by_id.setdefault(value, made)

    def __reduce__(self) -> tuple[type["Driver"], tuple[str]]:
        """Stay the one object of its id in another process too."""
        return Driver, (self.value,)

    def __repr__(self) -> str:
        """Return how it is made."""
        return f"Driver({self.value!r})"


Driver.PERSON, Driver.LEARNED = Driver("person"), Driver("learned")
Driver.SCRIPTED, Driver.VLM = Driver("scripted"), Driver("vlm")


NOBODY = "none"
"""The device of a pick that nobody made: the policy's own candidate was taken. `Pick.by` then says who drove."""


class Pacing(enum.Enum):
    """What happens at a chunk boundary."""

    GATED = "gated"
    """No pick, no motion."""
    CONTINUOUS = "continuous"
    """The held direction is taken; nothing held means the policy's own candidate."""


class HoldReason(enum.Enum):
    """Why the robot holds; the text is shown to the operator."""

    START = "Ready. Start an episode to begin"
    OPERATOR = "Hold pressed"
    FOCUS_LOST = "The window lost focus"
    PAGE_LEFT = "Drive was left"
    CAMERA_STALE = "A camera stopped delivering fresh frames"
    GUI_SILENT = "The window stopped answering"
    SESSION_SILENT = "The session stopped answering"
    DEVICE_LOST = "The input device was unplugged"
    INFERENCE_LATE = "The policy did not answer in time"
    INFERENCE_FAILED = "The policy failed"
    DRIVER_FAILED = "The driver failed"
    MISFIT = "Policy and robot do not fit together"
    UNFIT_CHUNK = "The policy's first chunk does not fit the robot"
    ACTION_REFUSED = "An action was refused"
    WORLD_LOST = "The robot or simulator stopped answering"
    DISK = "The episode could not be written to disk"
    EPISODE_END = "Episode ended"
    LABEL_ASKED = "Say how the episode ended, or resume"
    SUCCESS_SEEN = "The task looks done. Label it, or resume"
    UNATTENDED = "Nobody has picked for a while. Resume to continue, or label the episode"
    CHUNKS_USED_UP = "The attempt has reached its maximum length. Label it"
    PRACTICE_ENDED = "The practice ended during an attempt. Resume and steer, or label it"
    COMPARISON_ENDED = "The comparison ended during an attempt. Label it"
    CLOSING = "The cockpit is closing"
    EXCEPTION = "An internal error occurred"


class Outcome(enum.Enum):
    """How an episode ended; unlabelled and crashed ones stay failures."""

    SUCCESS = "success"
    FAILURE = "failure"
    DISCARDED = "discarded"


# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionCommand:
    """Base of everything that may be asked of a session."""


@dataclass(frozen=True, slots=True)
class Act(SessionCommand):
    """Base of what leads to motion: it counts in the hold epoch in which it is sent, and only for a second after its press."""

    pressed_ns: int | None = field(default=None, kw_only=True, compare=False)
    """time.monotonic_ns() of the press behind it; None = when it is sent."""


@dataclass(frozen=True, slots=True)
class StartEpisode(Act):
    """Reset the world and offer the first fan. A real robot moves only on this explicit act."""

    task: str | None = None
    seed: int = 0
    instruction: str | None = None
    """Overrides the task's own words."""
    unrecorded: bool = False
    """Do not record this episode."""
    most_chunks: int = 0
    """An attempt that is judged automatically: it ends with the world's success, or as a failure after this many chunks; where the world
    does not know, it holds then and waits for a person's label. 0 = a person ends it."""


@dataclass(frozen=True, slots=True)
class Pick(Act):
    """Execute one candidate of the present fan."""

    label: str
    by: Driver = Driver.PERSON
    device: str = "keyboard"


@dataclass(frozen=True, slots=True)
class HoldDirection(Act):
    """Continuous pacing: which label is held; None = released, which is never too late."""

    label: str | None
    device: str = "keyboard"


@dataclass(frozen=True, slots=True)
class RequestHold(SessionCommand):
    """Stop motion and keep the arm where it is."""

    reason: HoldReason
    """The true cause: it is shown, logged and recorded in the status file."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Resume(Act):
    """Leave Hold and offer a fan again."""


@dataclass(frozen=True, slots=True)
class EndEpisode(SessionCommand):
    """Label and commit, or throw away."""

    outcome: Outcome
    note: str = ""


@dataclass(frozen=True, slots=True)
class BackOneChunk(Act):
    """Simulation: return to the previous chunk boundary exactly; the branch is kept."""


@dataclass(frozen=True, slots=True)
class SetDriver(Act):
    """Choose who picks. Motion follows only under a mandate of the present epoch, so this may outlive a hold."""

    driver: Driver


@dataclass(frozen=True, slots=True)
class SetPacing(Act):
    """Choose gated or continuous; may outlive a hold as well."""

    pacing: Pacing


@dataclass(frozen=True, slots=True)
class HandBack(Act):
    """Let the driver that has asked for help go on by itself."""


@dataclass(frozen=True, slots=True)
class SetHelp(SessionCommand):
    """Whether a driver that is unsure stops at the chunk boundary and waits for a person. A call that is open stays open."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class SetLookAhead(SessionCommand):
    """Whether a person who drives gated may pick while the robot moves; that one pick waits for the next fan."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class DropPick(SessionCommand):
    """Forget the pick that waits for its fan."""


@dataclass(frozen=True, slots=True)
class SetTarget(SessionCommand):
    """Mark where the tool is to go, or remove the mark; nothing moves by it, and it is recorded with each chunk."""

    point: tuple[float, float, float] | None
    """Base frame, metres."""


@dataclass(frozen=True, slots=True)
class ShowCameras(SessionCommand):
    """Say at what size cameras are shown, so that a world may render them for that; nothing else changes by it."""

    sizes: Mapping[str, tuple[int, int]]
    """(height, width) by camera, pixels of the screen; those that are not shown are missing."""


@dataclass(frozen=True, slots=True)
class SetPlan(SessionCommand):
    """Use other steering settings; the fan is remade at once."""

    plan: SteeringPlan


@dataclass(frozen=True, slots=True)
class SetGripper(SessionCommand):
    """What directed candidates say about the gripper; the fan is remade at once."""

    gripper: Gripper


@dataclass(frozen=True, slots=True)
class SetInstruction(SessionCommand):
    """Change the policy's instruction; the fan is remade at once."""

    instruction: str


@dataclass(frozen=True, slots=True)
class SetFailsafe(SessionCommand):
    """Set one limit of a failsafe; refused outside its range, and while the robot may move."""

    option: str
    """Name of the limit, one of `session.failsafes.SETTABLE`."""
    value: float
    """Seconds, or chunks."""


@dataclass(frozen=True, slots=True)
class LoadNoisePolicy(SessionCommand):
    """Put a trained noise policy's candidate into the fan; None removes it.

    From the next fan on: a chunk that moves ends as it was picked, and nothing more is picked from the fan on offer.
    """

    path: str | None
    waits: bool = False
    """An open episode keeps what it has; the change comes before the next one."""


@dataclass(frozen=True, slots=True)
class Heartbeat(SessionCommand):
    """The view is alive; silence longer than the watchdog's limit engages Hold."""


@dataclass(frozen=True, slots=True)
class Reconnect(SessionCommand):
    """Start world and policy again after a fault."""


# --- snapshots ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of the last time around; NaN until known."""

    encode_ms: float = float("nan")
    steer_ms: float = float("nan")
    network_ms: float = float("nan")
    pick_ms: float = float("nan")
    """Key press to pick accepted."""
    loop_hz: float = float("nan")
    jitter_ms: float = float("nan")


@dataclass(frozen=True, slots=True)
class EpisodeStatus:
    """What is being recorded."""

    name: str = ""
    number: int = 0
    """1-based within this run of the app."""
    task: str | None = None
    instruction: str = ""
    seed: int = 0
    is_recording: bool = False
    is_unrecorded: bool = False
    chunks: int = 0
    steps: int = 0
    success_seen: bool = False
    """The world says the task is done; offered to the operator, never taken for them."""
    can_go_back: bool = False


@dataclass(frozen=True, slots=True)
class EndedEpisode:
    """How the last episode ended, and what of it is kept."""

    status: EpisodeStatus
    """As it was before its label."""
    outcome: Outcome
    undone: int = 0
    """Chunks that were gone back from; they are kept as well."""
    is_unfinished: bool = False
    """It could not be written to disk; the part that was written can be recovered."""
    was_held: bool = False
    """Something held the robot between the press of its label and the disk: nothing may follow by itself."""

    @property
    def is_kept(self) -> bool:
        """It is on disk, in the bin if it was discarded."""
        return self.status.is_recording and self.status.chunks + self.undone > 0 and not self.is_unfinished


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything a view needs, at one instant."""

    phase: Phase
    hold_reason: HoldReason | None
    detail: str
    """The sentence behind a hold or fault; empty otherwise."""
    driver: Driver
    pacing: Pacing
    observation: Observation | None
    fan: Fan | None
    is_fan_stale: bool
    is_fan_pending: bool
    picked: str | None
    """Label being executed."""
    chunk_row: int
    chunk_rows: int
    plan: SteeringPlan
    gripper: Gripper
    episode: EpisodeStatus
    latency: Latency
    trail: Float[Array, "n 3"]
    """Tool positions of this episode so far, base frame, metres."""
    picked_by: Driver | None = None
    """Who picked what is being executed: the driver, or a person over another driver; None = nobody, it is the policy's own."""
    target: tuple[float, float, float] | None = None
    """Where the operator marked that the tool is to go, base frame, metres."""
    looks_ahead: bool = False
    """A pick is taken while the robot moves, and waits for the next fan."""
    waiting: str | None = None
    """Label of the pick that waits for its fan."""
    ended: EndedEpisode | None = None
    """The last episode that was labelled in this run."""
    noise_policy: str | None = None
    """Path of the loaded noise policy."""
    unloaded: tuple[str, str] | None = None
    """(path, sentence): the noise policy that was asked for last, where it could not be loaded."""
    asks_for_help: bool = False
    """A driver that is unsure waits for a person."""
    call: str = ""
    """Why the driver has asked for help and waits; empty = it does not. A person steers, or hands back."""
    shadow: tuple[int, int] = (0, 0)
    """(agreed, chunks): how often a person who drives has picked what the noise policy would (`Fan.shadow`) since it was loaded."""
    suggestion: tuple[str, str] | None = None
    """(label, reason in a few words) from a chooser that votes but does not drive."""
    failsafes: Mapping[str, float] = field(default_factory=dict)
    """Present values of the limits that a person may set, by name."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """Running totals: 'picks', 'corrections', 'calls', 'refused', 'late_answers', 'holds', 'episodes', 'chunks', 'steps'."""
    notice: tuple[int, str] | None = None
    """(running number, sentence): the last thing worth a toast that did not engage Hold, e.g. a refused pick."""

    @property
    def may_move(self) -> bool:
        """Motion is under way, or can come without another act: somebody drives, a scene is being set, a start waits."""
        match self.phase:
            case Phase.MOVING:
                return True
            case Phase.CHOOSE:
                if self.call:
                    return False
                return self.driver is not Driver.PERSON or self.pacing is Pacing.CONTINUOUS
            case Phase.HOLD:
                return self.hold_reason in (HoldReason.START, HoldReason.EPISODE_END) and bool(self.detail)
            case _:
                return False
