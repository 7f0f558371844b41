"""What a session hands to whoever keeps episodes: one record per executed chunk, complete enough to replay and to learn.

A `Recorder` is called from one thread only (the writer thread of a live session, the caller's thread inline), in this
order: `begin`, any number of `chunk` and `undo`, then `end` or `abort`. Every call either takes full effect or raises
`EpisodeError` and leaves what was recorded before as it was, so that the session can hold and ask again; an `end` may also
raise `EpisodeUnconfirmed`: done, to be repeated for the disk's word.

Example: an operator drives three chunks, goes back one and drives another: begin, chunk(0), chunk(1), chunk(2), undo(2),
chunk(3, parent=1), end(SUCCESS). The main line is 0, 1, 3; chunk 2 stays in the episode as the branch not taken.
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import EpisodeError
from frs_core.events import NOBODY, Driver, Latency, Outcome
from frs_core.robot.actions import ActionSpace
from frs_core.robot.observation import Calibration, Observation
from frs_core.steering.candidates import CandidateKind, Verdict
from frs_core.steering.directions import Gripper
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import PolicySpec


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeMeta:
    """What is known when an episode begins."""

    task: str | None
    """Task name of the world; None where a person set the scene."""
    instruction: str
    seed: int
    world: str
    is_simulated: bool
    policy: str
    """Name of the policy."""
    policy_fingerprint: str
    horizon: int
    """H."""
    width: int
    """A on the flow side."""
    execute_rows: int
    integration_steps: int
    """K of the policy's own sampler: what regenerates a chunk from its noise unless the plan says otherwise."""
    action_space: ActionSpace
    plan: SteeringPlan
    """Settings at the start; each chunk carries its own."""
    cameras: Mapping[str, Calibration | None]
    """Calibration at the start; the wrist camera's moves with the arm and is in every frame."""
    control_hz: float
    started_unix: float
    operator: str = ""
    noise_policy: str | None = None
    """Path of the loaded noise policy."""
    world_options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    policy_options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    camera_pairing: tuple[tuple[str, str], ...] = ()
    """(image input of the policy, camera or "none"); empty where it was not kept."""
    robot: str = ""
    """Name of the robot, as `WorldSpec.robot`; empty where it was not stated."""

    @classmethod
    def of(
        cls,
        spec: PolicySpec,
        observation: Observation,
        *,
        task: str | None,
        seed: int,
        world: str,
        is_simulated: bool,
        control_hz: float,
        plan: SteeringPlan,
        started_unix: float,
        world_options: Mapping[str, str | int | float | bool] | None = None,
        policy_options: Mapping[str, str | int | float | bool] | None = None,
        operator: str = "",
        noise_policy: str | None = None,
        robot: str = "",
    ) -> "EpisodeMeta":
        """Return the facts of an episode that starts at `observation` under the policy `spec`."""
        return cls(
            task=task,
            instruction=observation.instruction,
            seed=seed,
            world=world,
            world_options=dict(world_options or {}),
            policy_options=dict(policy_options or {}),
            is_simulated=is_simulated,
            policy=spec.name,
            policy_fingerprint=spec.fingerprint,
            horizon=spec.horizon,
            width=spec.width,
            execute_rows=spec.execute_rows,
            integration_steps=spec.integration_steps,
            action_space=spec.action_space,
            plan=plan,
            cameras={name: frame.calibration for name, frame in observation.frames.items()},
            control_hz=control_hz,
            started_unix=started_unix,
            operator=operator,
            noise_policy=noise_policy,
            camera_pairing=spec.camera_pairing,
            robot=robot,
        )


@dataclass(frozen=True, slots=True, eq=False)
class StepRecord:
    """One control step: what was seen, what was asked, what was sent."""

    row: int
    """Row of the chunk."""
    observation: Observation
    """State before the action (joints, gripper, T_base_tcp, its time); frames may be absent between chunk boundaries."""
    action_asked: Float[Array, " a"]
    """The chunk's row, robot units."""
    action_sent: Float[Array, " a"]
    """After the world's limits."""
    is_clipped: bool
    clip_reason: str = ""
    overrun_ms: float = 0.0
    """How late the control loop was at this step; 0 inline."""


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRecord:
    """One executed chunk: the offer, the pick, and what became of it."""

    index: int
    """0-based over the whole episode, branches included."""
    parent: int
    """Index of the chunk it follows; -1 = the start of the episode."""
    observation: Observation
    """At the chunk boundary, with all camera frames: what the policy saw."""
    features: Float[Array, " F"]
    """The policy's features of it."""
    offered_labels: tuple[str, ...]
    """All C candidates, in the fan's order."""
    offered_kinds: tuple[CandidateKind, ...]
    offered_chunks: Float[Array, "C H a"]
    """Robot units."""
    offered_noises: Float[Array, "C H A"]
    """What was denoised; NaN for methods without a noise."""
    offered_paths: Float[Array, "C H+1 3"]
    """Tool centre, base frame, metres."""
    offered_verdicts: tuple[Verdict, ...]
    picked: str
    """Label of the executed candidate."""
    driver: Driver
    """Who picked."""
    device: str
    """With what: 'keyboard', 'gamepad', 'spacemouse', a chooser's name, or 'none' when nothing was held."""
    reason: str
    """The chooser's few words; empty for a person."""
    is_correction: bool
    """A person overrode another driver."""
    noise: Float[Array, "H A"]
    """What was denoised into `chunk`; the label of DSBC."""
    recovered: Float[Array, "H A"]
    """The reversal's result before projection; equals `noise` where nothing was reversed."""
    chunk: Float[Array, "H a"]
    """Executed candidate, whole horizon, robot units."""
    unsteered_chunk: Float[Array, "H a"]
    """What the policy would have done; NaN when the fan had no unsteered candidate."""
    plan: SteeringPlan
    gripper: Gripper
    """What directed candidates said about the gripper."""
    instruction: str
    steps: tuple[StepRecord, ...]
    """Executed rows, at least one; fewer than planned when held or succeeded during a chunk."""
    after: Observation
    """State after the last executed row; the next chunk's boundary unless something else moved the robot."""
    latency: Latency
    snapshot: bytes | None
    """Simulator state at the chunk boundary (before the first row); None on a real robot or when not asked for."""
    started_ns: int
    """time.monotonic_ns() when the pick was accepted."""
    offered_values: Float[Array, " C"] | None = None
    """Value of each candidate under the loaded noise policy, NaN where it has none; None where no policy gave values."""

    target: tuple[float, float, float] | None = None
    """Where the operator had marked that the tool is to go, base frame, metres."""
    called: str = ""
    """Why the driver asked for help at the chunk's beginning; empty = it did not, or that was not recorded."""
    noise_policy: str = ""
    """Path or name of the noise policy in the fan; empty = none. It may be replaced in mid-episode."""

    @property
    def picked_index(self) -> int:
        """Index of the pick among the offers."""
        return self.offered_labels.index(self.picked)

    @property
    def picked_by(self) -> str:
        """Who picked: a driver's id, or "policy" where nobody did and its own candidate was taken."""
        return "policy" if self.device == NOBODY else self.driver.value


@dataclass(frozen=True, slots=True, eq=False)
class LastState:
    """What the policy saw in the state after the last chunk, and what could have been picked there."""

    features: Float[Array, " F"]
    labels: tuple[str, ...]
    noises: Float[Array, "C H A"]
    """NaN for candidates without a noise."""


class Recorder(abc.ABC):
    """Keeps one episode at a time."""

    @abc.abstractmethod
    def begin(self, meta: EpisodeMeta) -> str:
        """Open an episode and return its name.

        Raises:
            EpisodeError: the store cannot be written, or an episode is open.
        """

    @abc.abstractmethod
    def chunk(self, record: ChunkRecord) -> None:
        """Journal one chunk; it survives a crash or a power cut once this returns.

        Raises:
            EpisodeError: nothing of this chunk was kept (disk full).
        """

    @abc.abstractmethod
    def undo(self, index: int) -> None:
        """Mark a chunk as a branch not taken; the chunks after it were marked before.

        Raises:
            EpisodeError: no such chunk, or the journal cannot be written.
        """

    def last(self, state: LastState) -> None:  # noqa: B027  an optional hook
        """Keep what was seen after the last chunk, just before `end`; called where it is known, of failures. May be repeated.

        Raises:
            EpisodeError: it could not be written; the episode stays open and the call may be repeated.
        """

    @abc.abstractmethod
    def end(self, outcome: Outcome, note: str = "") -> None:
        """Commit the open episode under its outcome; discarded ones go to the bin.

        Raises:
            EpisodeUnconfirmed: committed, but a power cut could still take it; the episode takes this call alone, which may
                be repeated until it succeeds.
            EpisodeError: not committed; the episode stays open and the call may be repeated.
        """

    @abc.abstractmethod
    def abort(self) -> None:
        """Leave the open episode unfinished on disk, to be recovered; nothing when none is open. Never raises."""


class MemoryRecorder(Recorder):
    """Keeps records in lists: for evaluation, training in one process, and tests."""

    def __init__(self) -> None:
        """Start empty."""
        self.episodes: list[RecordedEpisode] = []
        self.open_episode: RecordedEpisode | None = None
        """The one being recorded."""

    def begin(self, meta: EpisodeMeta) -> str:
        """Open an episode in memory."""
        if self.open_episode is not None:
            raise EpisodeError(f"Episode '{self.open_episode.name}' is still open. End or abort it first.")
        self.open_episode = RecordedEpisode(f"memory-{len(self.episodes):04d}", meta)
        return self.open_episode.name

    def chunk(self, record: ChunkRecord) -> None:
        """Append the record."""
        self._require().chunks.append(record)

    def undo(self, index: int) -> None:
        """Mark the chunk."""
        self._require().undone.add(index)

    def last(self, state: LastState) -> None:
        """Keep it."""
        self._require().last = state

    def end(self, outcome: Outcome, note: str = "") -> None:
        """Move the open episode to `episodes`; drop it when discarded."""
        episode = self._require()
        episode.outcome, episode.note = outcome, note
        if outcome is not Outcome.DISCARDED:
            self.episodes.append(episode)
        self.open_episode = None

    def abort(self) -> None:
        """Forget the open episode."""
        self.open_episode = None

    def _require(self) -> "RecordedEpisode":
        if self.open_episode is None:
            raise EpisodeError("No episode is open. Call begin first.")
        return self.open_episode


@dataclass(slots=True, eq=False)
class RecordedEpisode:
    """An episode of a `MemoryRecorder`."""

    name: str
    meta: EpisodeMeta
    chunks: list[ChunkRecord] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)
    outcome: Outcome | None = None
    note: str = ""
    last: LastState | None = None
    """None where it was not kept."""

    @property
    def main_line(self) -> list[ChunkRecord]:
        """The chunks that led to the end, branches left out."""
        return [c for c in self.chunks if c.index not in self.undone]
