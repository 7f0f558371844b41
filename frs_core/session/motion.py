"""The chunk that moves, what is to be done once it has ended, and whether this policy's chunks fit this robot.

Example: a person presses Back during a chunk: the world is held, `then` is `BackOneChunk` in the epoch after that hold, and is done when the
chunk's end is recorded; a further hold meanwhile makes it stale.

Used on the session's thread.
"""

from dataclasses import dataclass

from frs_core import events as ev
from frs_core.robot.first_chunk import why_not_first
from frs_core.session.running import RunningChunk
from frs_core.steering.candidates import Candidate, Fan
from frs_core.steering.directions import Gripper
from frs_core.steering.policy_spec import PolicySpec
from frs_core.worlds.base import WorldSpec


@dataclass(frozen=True, slots=True)
class Deferred:
    """A command that is done later, and the hold epoch it was asked for in."""

    command: ev.SessionCommand
    epoch: int


class Motion:
    """One chunk at a time, from pick to record."""

    def __init__(self) -> None:
        """Rest."""
        self.chunk: RunningChunk | None = None
        self.then: Deferred | None = None
        """What is done once the moving chunk has ended."""
        self.target: tuple[float, float, float] | None = None
        """Where the operator marked that the tool is to go, base frame, metres."""
        self.unattended = 0
        """Chunks in a row, since a person's last act, that nobody or another driver picked."""
        self._count = 0
        self._has_fitted = False
        """A chunk of this policy has been found to fit this robot since both are there."""

    @property
    def is_ending_episode(self) -> bool:
        """The episode ends once the moving chunk has."""
        return self.then is not None and isinstance(self.then.command, ev.EndEpisode)

    def begin(
        self,
        fan: Fan,
        pick: ev.Pick,
        *,
        reason: str,
        is_correction: bool,
        called: str = "",
        noise_policy: str = "",
        gripper: Gripper,
        state: bytes | None,
        latency: ev.Latency,
        started_ns: int,
    ) -> RunningChunk:
        """Return the picked candidate as the chunk that moves.

        Args:
            fan: it was picked from.
            pick: a label of the fan.
            reason: of a chooser.
            is_correction: a person overrode another driver.
            called: why the driver asked for help here; empty = it did not.
            noise_policy: path or name of the one in the fan; empty = none.
            gripper: what directed candidates say about it.
            state: the simulator's before the first row.
            latency: of this time around.
            started_ns: time.monotonic_ns() of the pick.
        """
        self._count += 1
        candidate = fan[pick.label]
        is_by_person = pick.by is ev.Driver.PERSON and pick.device != ev.NOBODY
        self.unattended = 0 if is_by_person else self.unattended + 1
        self.chunk = RunningChunk(
            self._count,
            fan,
            candidate,
            driver=pick.by,
            device=pick.device,
            reason=reason,
            is_correction=is_correction,
            called=called,
            noise_policy=noise_policy,
            gripper=gripper,
            state=state,
            latency=latency,
            rows=len(candidate.chunk[: fan.execute_rows]),
            started_ns=started_ns,
            target=self.target,
        )
        return self.chunk

    def end(self) -> RunningChunk:
        """Return the chunk that has ended, wholly or in part; nothing moves any more."""
        chunk, self.chunk = self.chunk, None
        assert chunk is not None
        return chunk

    def take_then(self) -> Deferred | None:
        """Return what waited for the chunk's end, once."""
        then, self.then = self.then, None
        return then

    def forget(self) -> None:
        """Leave everything as it is."""
        self.chunk = self.then = None

    def doubt(self) -> None:
        """Look at the first chunk again: policy or world is a new one."""
        self._has_fitted = False

    def why_unfit(self, fan: Fan, candidate: Candidate, *, policy: PolicySpec, world: WorldSpec) -> str | None:
        """Return why the first chunk of this policy must not move this robot; None if there is no reason."""
        if self._has_fitted or world.is_simulated:
            return None
        low, high = policy.range_at(fan.observation.q)
        sentence = why_not_first(
            candidate.chunk,
            space=policy.action_space,
            observation=fan.observation,
            jump_rad=world.limits.max_joint_step,
            jump_m=world.limits.max_translation,
            low=low,
            high=high,
        )
        self._has_fitted = sentence is None
        return sentence
