"""The episode that runs and the chunk that moves: what the session keeps until it is written."""

import time
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.episodes.records import ChunkRecord, StepRecord
from frs_core.events import NOBODY, Driver, EpisodeStatus, Latency, Outcome, StartEpisode
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import UNSTEERED, Candidate, Fan
from frs_core.steering.directions import Gripper
from frs_core.worlds.link import Stepped


@dataclass(slots=True, eq=False)
class RunningChunk:
    """A picked candidate on its way through the world."""

    chunk_id: int
    fan: Fan
    candidate: Candidate
    driver: Driver
    device: str
    reason: str
    is_correction: bool
    gripper: Gripper
    state: bytes | None
    """Simulator state before its first row."""
    latency: Latency
    rows: int
    """How many rows were sent."""
    started_ns: int = field(default_factory=time.monotonic_ns)
    steps: list[StepRecord] = field(default_factory=list)
    after: Observation | None = None
    target: tuple[float, float, float] | None = None
    """Where the operator marked that the tool is to go, base frame, metres."""
    called: str = ""
    """Why the driver asked for help where it begins; empty = it did not."""
    noise_policy: str = ""
    """Path or name of the noise policy in its fan; empty = none."""

    @property
    def has_begun_done(self) -> bool:
        """The world reported success already where the chunk began."""
        return bool(self.fan.observation.success)

    @property
    def picked_by(self) -> Driver | None:
        """Who picked it; None = nobody, it is the policy's own."""
        return None if self.device == NOBODY else self.driver

    def add(self, fact: Stepped, observation: Observation) -> None:
        """Remember one executed row and what was seen after it."""
        self.steps.append(
            StepRecord(
                row=fact.row,
                observation=self.after or self.fan.observation,
                action_asked=np.asarray(fact.asked, dtype=np.float32),
                action_sent=np.asarray(fact.result.executed, dtype=np.float32),
                is_clipped=fact.result.clipped,
                clip_reason=fact.result.reason,
                overrun_ms=fact.overrun_ms,
            )
        )
        self.after = observation

    def record(self, *, index: int, parent: int) -> ChunkRecord:
        """Return the whole chunk, ready to be kept; at least one row was executed."""
        fan, picked = self.fan, self.candidate
        own = fan[UNSTEERED].chunk if UNSTEERED in fan else np.full_like(picked.chunk, np.nan)
        assert self.after is not None
        return ChunkRecord(
            index=index,
            parent=parent,
            observation=fan.observation,
            features=fan.features,
            offered_labels=tuple(c.label for c in fan.candidates),
            offered_kinds=tuple(c.kind for c in fan.candidates),
            offered_chunks=np.stack([c.chunk for c in fan.candidates]),
            offered_noises=np.stack([c.noise for c in fan.candidates]),
            offered_paths=np.stack([c.path for c in fan.candidates]).astype(np.float32),
            offered_verdicts=tuple(c.verdict for c in fan.candidates),
            picked=picked.label,
            driver=self.driver,
            device=self.device,
            reason=self.reason,
            is_correction=self.is_correction,
            noise=picked.noise,
            recovered=picked.noise if picked.recovered is None else picked.recovered,
            chunk=picked.chunk,
            unsteered_chunk=own,
            plan=fan.plan,
            gripper=self.gripper,
            instruction=fan.observation.instruction,
            steps=tuple(self.steps),
            after=self.after,
            latency=self.latency,
            snapshot=self.state,
            started_ns=self.started_ns,
            offered_values=_values(fan),
            target=self.target,
            called=self.called,
            noise_policy=self.noise_policy,
        )


def _values(fan: Fan) -> Float[Array, " C"] | None:
    values = np.array([c.value for c in fan.candidates], dtype=np.float64)
    return values if np.isfinite(values).any() else None


@dataclass(frozen=True, slots=True)
class Boundary:
    """One executed chunk of the main line, and how to get back to where it began."""

    index: int
    label: str
    state: bytes | None
    trail_points: int
    """Length of the trail before it."""
    steps: int
    """Executed steps before it."""


@dataclass(slots=True, eq=False)
class RunningEpisode:
    """What is known of the episode that runs."""

    order: StartEpisode
    """What was asked for."""
    number: int
    instruction: str
    is_recording: bool
    name: str = ""
    next_index: int = 0
    line: list[Boundary] = field(default_factory=list)
    trail: list[Float[Array, " 3"]] = field(default_factory=list)
    steps: int = 0
    success_seen: bool = False
    was_success_told: bool = False
    """It stopped because the world reported success."""
    was_told_to_label: bool = False
    """It has had as many chunks as it may have, and a person was notified."""
    outcome: Outcome | None = None
    """Once it is labelled."""
    is_cut_short: bool = False
    """The last chunk was interrupted by the loss of the world, so that its end state is unknown."""

    @property
    def parent(self) -> int:
        """Index of the last chunk of the main line; -1 at the start."""
        return self.line[-1].index if self.line else -1

    def add(self, observation: Observation) -> None:
        """Note one executed step by what was seen after it."""
        self.trail.append(observation.p_tcp.copy())
        self.steps += 1
        self.success_seen |= bool(observation.success)

    def push(self, label: str, state: bytes | None, *, steps: int) -> int:
        """Put a chunk of `steps` rows on the main line and return its index."""
        index = self.next_index
        self.line.append(Boundary(index, label, state, len(self.trail) - steps, self.steps - steps))
        self.next_index += 1
        return index

    def pop(self) -> Boundary:
        """Take the last chunk off the main line and forget its steps."""
        last = self.line.pop()
        del self.trail[last.trail_points :]
        self.steps = last.steps
        self.success_seen = self.was_success_told = False
        self.is_cut_short = False
        return last

    def status(self) -> EpisodeStatus:
        """Return the frozen snapshot for views."""
        return EpisodeStatus(
            name=self.name,
            number=self.number,
            task=self.order.task,
            instruction=self.instruction,
            seed=self.order.seed,
            is_recording=self.is_recording,
            is_unrecorded=self.order.unrecorded,
            chunks=len(self.line),
            steps=self.steps,
            success_seen=self.success_seen,
            can_go_back=bool(self.line) and self.line[-1].state is not None,
        )
