"""An episode as moments on one time line, for viewers: what was seen, what was offered and picked, what was sent.

Problem: viewers want things by time, an episode keeps them by chunk and step. Idea: one generator over the steps of the main line; the
first step of a chunk also brings its fan. Exporters turn each moment into their own messages and decide nothing.

Example: `for moment in moments(episode): ...`; the first has `time_s` 0. Any one thread per episode.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.episodes.reader import Episode, Offers, standing_steps
from frs_core.robot.observation import Calibration

SCALARS = ("joint_position", "joint_velocity", "gripper_position", "action_asked", "action_sent")
"""Fields of a moment that are rows of numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """What was chosen at the beginning of a chunk."""

    label: str
    who: str
    reason: str
    noise_percentile: float
    """How unusual its noise is, percent; NaN where it is not known."""
    fan: Offers


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One control step."""

    step: int
    """Number within the exported line, from 0."""
    time_s: float
    """Seconds since the first one."""
    images: Mapping[str, bytes]
    """Camera -> JPEG."""
    calibrations: Mapping[str, Calibration]
    """Of those cameras that have one."""
    tool: Float[Array, "4 4"]
    """Pose of the tool in the base frame, metres."""
    joint_position: Float[Array, " 7"]
    joint_velocity: Float[Array, " 7"]
    gripper_position: Float[Array, " 1"]
    action_asked: Float[Array, " a"]
    action_sent: Float[Array, " a"]
    pick: Pick | None
    """Where a chunk begins."""


def moments(episode: Episode) -> Iterator[Moment]:
    """Yield the steps of the main line.

    Raises:
        EpisodeError: every chunk was taken back.
        EpisodeCorrupt: damaged.
    """
    a, first_ns, chunk = episode.arrays, 0, -1
    for number, step in enumerate(standing_steps(episode)):
        at_ns = int(a["steps/captured_ns"][step])
        first_ns = first_ns or at_ns
        now, pick = episode.chunk_of(step), None
        if now != chunk:
            chunk, fan = now, episode.offers(now)
            label, reason = fan.labels[fan.picked], episode.text("chunks/reason", now)
            verdict = fan.verdicts[fan.picked]
            pick = Pick(label, episode.picked_by(now), reason, verdict.noise_percentile, fan)
        images = {c: jpeg for c in episode.cameras if (jpeg := episode.jpeg(c, step))}
        calibrations = {c: episode.calibration(c, step) for c in images}
        yield Moment(
            step=number,
            time_s=(at_ns - first_ns) / 1e9,
            images=images,
            calibrations={c: found for c, found in calibrations.items() if found is not None},
            tool=a["steps/T_base_tcp"][step],
            joint_position=a["steps/q"][step],
            joint_velocity=a["steps/dq"][step],
            gripper_position=np.atleast_1d(a["steps/gripper"][step]),
            action_asked=a["steps/action_asked"][step],
            action_sent=a["steps/action_sent"][step],
            pick=pick,
        )
