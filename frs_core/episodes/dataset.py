"""Episodes as one table of chunks, for training.

Problem: a noise policy learns from chunk boundaries of many episodes, and only from what led to success with one
policy. Idea: concatenate the arrays of the chosen episodes, leave out branches not taken, refuse mixed policies, and decode
images only when asked for.

Example: ten successes of 15 chunks give M = 150 rows; `table.images("left")` decodes their 150 boundary images, exactly
those the policy saw.

Any thread.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.reader import Episode
from frs_core.errors import FingerprintMismatch, TrainingError
from frs_core.events import Outcome
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.steering.plan import SteeringPlan


@dataclass(frozen=True, slots=True, eq=False)
class ChunkTable:
    """Chunks of several episodes, one row each."""

    episodes: tuple[Episode, ...]
    features: Float[Array, "M F"]
    """The policy's features at the boundary, float32."""
    proprio: Float[Array, "M P"]
    """Observation.proprio at the boundary."""
    noise: Float[Array, "M H A"]
    """What was denoised into the executed chunk."""
    is_noise: Bool[Array, " M"]
    """Whether `noise` lies at flow time 0: False where the plan stopped earlier or knows no noise."""
    chunk: Float[Array, "M H a"]
    """Robot units, whole horizon."""
    executed_rows: Int[Array, " M"]
    """How many rows of it were executed."""
    episode: Int[Array, " M"]
    """Index into `episodes`."""
    index: Int[Array, " M"]
    """Which chunk of its episode."""
    picked: tuple[str, ...]
    """Label of the pick."""
    driver: tuple[str, ...]
    """Who picked: a driver's id, or "policy" where nobody did and its own candidate was taken."""
    is_correction: Bool[Array, " M"]
    plans: tuple[SteeringPlan, ...]

    @property
    def rows(self) -> int:
        """M."""
        return len(self.episode)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras that all episodes have."""
        common = set.intersection(*(set(e.cameras) for e in self.episodes))
        return tuple(c for c in self.episodes[0].cameras if c in common)

    def image(self, camera: str, row: int) -> UInt8[Array, "H W 3"]:
        """Return one boundary image, exact. Raises EpisodeCorrupt, ConfigError for an unknown camera."""
        return self.episodes[self.episode[row]].boundary_image(camera, int(self.index[row]))

    def images(self, camera: str) -> UInt8[Array, "M H W 3"]:
        """Return all boundary images of a camera, which must be of one size. Raises as `image`."""
        return np.stack([self.image(camera, row) for row in range(self.rows)])

    def observation(self, row: int) -> Observation:
        """Return what the policy saw. Raises EpisodeCorrupt."""
        return self.episodes[self.episode[row]].observation(int(self.index[row]))

    def partial_observation(self, row: int, cameras: Sequence[str]) -> Observation:
        """Return what the policy saw, with the frames of some cameras only. Raises EpisodeCorrupt."""
        episode, chunk = self.episodes[self.episode[row]], int(self.index[row])
        bare = episode.observation(chunk, has_images=False)
        frames = {c: CameraFrame(episode.boundary_image(c, chunk), bare.captured_ns) for c in cameras}
        return Observation(
            frames, bare.q, bare.dq, bare.gripper, bare.T_base_tcp, bare.instruction, bare.captured_ns, bare.step
        )


def load_chunks(
    episodes: Iterable[Episode],
    *,
    executed_only: bool = True,
    outcomes: Sequence[Outcome] = (Outcome.SUCCESS,),
    fingerprint: str | None = None,
) -> ChunkTable:
    """Return the chunks of episodes as one table.

    Args:
        episodes: in the order they are to be taken.
        executed_only: leave out branches that were gone back from.
        outcomes: which episodes to take.
        fingerprint: the policy they must be of; None = the first episode's.
    Raises:
        TrainingError: nothing is left.
        FingerprintMismatch: episodes of several policies, or of another one.
        EpisodeCorrupt: damaged.
    """
    given = list(episodes)
    chosen = [e for e in given if e.outcome in outcomes]
    rows = [_rows(e, executed_only) for e in chosen]
    if not any(len(r) for r in rows):
        raise TrainingError(
            f"No chunks to train on: {counted(len(given), 'episode')} given, {len(chosen)} with outcome "
            f"{' or '.join(o.value for o in outcomes)}. Record or relabel at least one, see `frs episodes list`."
        )
    expected = fingerprint or chosen[0].meta.policy_fingerprint
    for e in chosen:
        if e.meta.policy_fingerprint != expected:
            raise policy_mismatch(e, expected)

    def gather(name: str) -> Array:
        return np.concatenate([e.arrays[name][r] for e, r in zip(chosen, rows, strict=True)])

    where = [(e, int(i)) for e, r in zip(chosen, rows, strict=True) for i in r]
    plans = tuple(e.plan(i) for e, i in where)
    noise = gather("chunks/noise").astype(np.float32)
    picks = [e.offers(i) for e, i in where]
    return ChunkTable(
        episodes=tuple(chosen),
        features=gather("chunks/features").astype(np.float32),
        proprio=np.stack([e.observation(i, has_images=False).proprio for e, i in where]),
        noise=noise,
        is_noise=np.array(
            [
                bool(np.isfinite(x).all()) and (o.kinds[o.picked].value != "steered" or p.starts_at_noise)
                for x, p, o in zip(noise, plans, picks, strict=True)
            ]
        ),
        chunk=gather("chunks/chunk").astype(np.float32),
        executed_rows=np.array([len(e.steps_of(i)) for e, i in where]),
        episode=np.repeat(np.arange(len(chosen)), [len(r) for r in rows]),
        index=np.concatenate(rows),
        picked=tuple(o.labels[o.picked] for o in picks),
        driver=tuple(e.picked_by(i) for e, i in where),
        is_correction=gather("chunks/is_correction"),
        plans=plans,
    )


def _rows(episode: Episode, executed_only: bool) -> Int[Array, " m"]:
    return np.array(episode.main_line if executed_only else range(episode.n_chunks), dtype=np.int64)


def policy_mismatch(episode: Episode, expected: str) -> FingerprintMismatch:
    """Return the error for an episode of another policy than the one with the expected fingerprint."""
    return FingerprintMismatch(
        f"Episode '{episode.name}' was recorded with policy {episode.meta.policy_fingerprint[:12]}, expected "
        f"{expected[:12]}. Train on episodes of one policy."
    )
