"""Chunks as arrays: what the small learners are trained on.

One row is one chunk that was executed: the generalist's inputs (features, proprioception, small images), the noise it
was denoised from, the actions in robot units, and the episode it belongs to. Splits are by episode, never by row:
neighbouring chunks of one episode are similar, and a split by row would reward memorisation.

Example: ten episodes of 15 chunks make M = 150 rows; `split(0.2)` gives 120 rows for training and 30 (two whole
episodes) for early stopping. Everything fits in memory: 150 rows of 1000 features and noises [16, 7] are under 1 MB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from frs_core.arrays import Array
from frs_core.errors import FingerprintMismatch, ShapeMismatch, TrainingError
from frs_core.events import Driver
from frs_core.steering.candidates import UNSTEERED
from frs_core.steering.plan import SteeringPlan

MOST_GAINED = 0.9
"""What all chunks of an episode but the last of a success can earn by progress alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """The fan one pick was made from."""

    labels: tuple[str, ...]
    noises: Float[Array, "B H A"]
    """NaN rows for candidates without a noise."""


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """Where an episode ended: the state after its last chunk, as far as it was recorded."""

    succeeded: bool
    features: Float[Array, " F"] | None = None
    """The generalist's features of it; None where they were not recorded."""
    proprio: Float[Array, " P"] | None = None
    offer: Offer | None = None
    """The fan that would have been picked from next."""


@dataclass(frozen=True, slots=True, eq=False)
class After:
    """The state after every chunk."""

    features: Float[Array, "M F"]
    """NaN rows where it is not known."""
    proprio: Float[Array, "M P"]
    """NaN rows where it is not known."""
    offers: tuple[Offer | None, ...]
    """The fans that were picked from next, or would have been; None where not known."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTable:
    """Chunks of one or more episodes."""

    features: Float[Array, "M F"]
    """The generalist's features; F may be 0."""
    proprio: Float[Array, "M P"]
    """Observation.proprio."""
    noise: Float[Array, "M H A"]
    """Executed noise at t = 0; NaN where unknown (plain demonstrations)."""
    chunk: Float[Array, "M H a"]
    """Executed chunk, robot units; a <= A."""
    episode: Int[Array, " M"]
    """Index into `names`."""
    names: tuple[str, ...]
    """Episode names."""
    fingerprint: str
    """The policy that made features and noises."""
    images: UInt8[Array, "M V S S 3"] | None = None
    """Small square images, one per camera of the input settings."""
    picked: tuple[str, ...] = ()
    """Label of the pick, per row; empty when not known."""
    offers: tuple[Offer | None, ...] = ()
    """The fan of each row; empty when not known."""
    plan: SteeringPlan | None = None
    """How the noises came about; None when mixed or not known."""
    reward: Float[Array, " M"] | None = None
    """1 for the last chunk of a success, else 0, or the progress that was made; None where outcomes are not asked for."""
    following: Int[Array, " M"] | None = None
    """Row of the chunk that came next; -1 after the last one of an episode, whether it succeeded (reward 1) or was given up."""
    ends: tuple[End, ...] = ()
    """How each of `names` ended; empty where outcomes are not asked for."""
    driver: tuple[str, ...] = ()
    """Who picked, per row: the id of a chooser; empty when not known."""
    provenance: Mapping[str, object] = field(default_factory=dict)
    """Plain values saved with whatever is trained: tasks, seeds, store."""

    def __post_init__(self) -> None:
        rows = len(self.episode)
        if rows == 0:
            raise TrainingError("There are no chunks to train on. Record and label at least one successful episode.")
        for name in ("features", "proprio", "noise", "chunk"):
            got = getattr(self, name).shape[0]
            if got != rows:
                raise ShapeMismatch(
                    f"Training table field '{name}' has {got} rows, 'episode' has {rows}. Rebuild the table."
                )
        for name, count in (("picked", rows), ("offers", rows), ("driver", rows), ("ends", len(self.names))):
            got = len(getattr(self, name))
            if got not in (0, count):
                raise ShapeMismatch(
                    f"Training table field '{name}' has {got} entries, expected 0 or {count}. Rebuild the table."
                )

    @property
    def rows(self) -> int:
        """M."""
        return len(self.episode)

    @property
    def horizon(self) -> int:
        """H."""
        return self.chunk.shape[1]

    @property
    def action_size(self) -> int:
        """a, the robot's numbers per action."""
        return self.chunk.shape[2]

    @property
    def width(self) -> int:
        """A, the policy's own width."""
        return self.noise.shape[2]

    @property
    def deferred_share(self) -> float:
        """Share of rows that were left to the policy; NaN when picks are not known."""
        return float(np.mean([label == UNSTEERED for label in self.picked])) if self.picked else float("nan")

    def take(self, rows: Array | Sequence[int]) -> "TrainingTable":
        """Return the rows given by index or mask; episode names stay."""
        index = np.arange(self.rows)[np.asarray(rows)]
        return replace(
            self,
            features=self.features[index],
            proprio=self.proprio[index],
            noise=self.noise[index],
            chunk=self.chunk[index],
            episode=self.episode[index],
            images=None if self.images is None else self.images[index],
            picked=tuple(self.picked[i] for i in index) if self.picked else (),
            offers=tuple(self.offers[i] for i in index) if self.offers else (),
            driver=tuple(self.driver[i] for i in index) if self.driver else (),
            reward=None if self.reward is None else self.reward[index],
            following=None if self.following is None else _renumbered(self.following[index], index, self.rows),
        )

    def with_outcomes(self, successes: Sequence[bool], *, ends: Sequence[End] = ()) -> "TrainingTable":
        """Return the same chunks with rewards and next states.

        Args:
            successes: whether each of `names` succeeded. Rows of an episode are in order.
            ends: the states after their last chunks; empty = not known.
        """
        is_last = np.append(self.episode[1:] != self.episode[:-1], True)
        reward = np.where(is_last, np.asarray(successes, dtype=np.float32)[self.episode], np.float32(0.0))
        following = np.where(is_last, -1, np.arange(1, self.rows + 1))
        return replace(
            self, reward=reward, following=following, ends=tuple(ends) or tuple(End(bool(s)) for s in successes)
        )

    def with_progress(self, progress: Float[Array, " N"]) -> "TrainingTable":
        """Return an episode rewarded for what each chunk added to the progress reached before. Needs outcomes.

        A success pays 1 in all, a failure what it gained, at most MOST_GAINED.

        Args:
            progress: 0..1, before the first chunk and after each.
        """
        assert len(self.names) == 1
        reached = np.maximum.accumulate(np.minimum(progress, MOST_GAINED))
        reward = np.diff(reached).astype(np.float32)
        if self.ends[0].succeeded:
            reward[-1] = 1.0 - reward[:-1].sum()
        return replace(self, reward=reward)

    @property
    def terminal(self) -> Bool[Array, " M"]:
        """Rows after which nothing comes: the last chunk of a success. Needs outcomes."""
        assert self.reward is not None
        assert self.following is not None
        is_end = (self.reward > 0.0) & (self.following < 0)
        return is_end & np.array([end.succeeded for end in self.ends])[self.episode] if self.ends else is_end

    @property
    def is_steered(self) -> Bool[Array, " M"]:
        """Rows that a person picked; none where that is not known."""
        return np.array([driver == Driver.PERSON.value for driver in self.driver] or [False] * self.rows, dtype=bool)

    @property
    def truncated(self) -> Bool[Array, " M"]:
        """Rows after which more would have come: the last chunk of an episode that was given up. Needs outcomes."""
        assert self.following is not None
        return (self.following < 0) & ~self.terminal

    def after(self) -> After:
        """Return the state after every chunk: the next row's, or the episode's end. Needs outcomes."""
        assert self.following is not None
        features, proprio = self.features[self.following], self.proprio[self.following]
        offers = [self.offers[i] if self.offers else None for i in self.following]
        for row in np.flatnonzero(self.following < 0):
            end = self.ends[int(self.episode[row])] if self.ends else End(False)
            features[row] = np.nan if end.features is None else end.features
            proprio[row] = np.nan if end.proprio is None else end.proprio
            offers[row] = end.offer
        return After(features, proprio, tuple(offers))

    def require_finite(self, *, needs_noise: bool) -> None:
        """Raise unless every number that will be learned from is finite.

        Raises:
            TrainingError: names the field and the first episode at fault.
        """
        fields = ("features", "proprio", "chunk", *(("noise",) if needs_noise else ()))
        for name in fields:
            values = getattr(self, name).reshape(self.rows, -1)
            bad = ~np.isfinite(values).all(axis=1)
            if bad.any():
                first = self.names[int(self.episode[int(np.argmax(bad))])]
                raise TrainingError(
                    f"{int(bad.sum())} of {self.rows} chunks have a non-finite {name}, first in episode '{first}'. "
                    f"Leave that episode out, or run `frs episodes check`."
                )


def _renumbered(following: Int[Array, " n"], index: Int[Array, " n"], rows: int) -> Int[Array, " n"]:
    """Return rows of the whole table as rows of the part taken; -1 for those left out."""
    place = np.full(rows + 1, -1)
    place[index] = np.arange(len(index))
    return place[following]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows to learn from and rows to stop by."""

    train: TrainingTable
    held_out: TrainingTable | None
    """None when there are too few episodes to keep one aside."""


def split(table: TrainingTable, share: float, *, seed: int = 0) -> Split:
    """Return the table split by whole episodes.

    With fewer than three episodes nothing is held out: every episode is worth more for training than for validation.

    Args:
        table: all chunks.
        share: share of episodes to hold out, 0..1; at least one episode when above 0.
        seed: which episodes.
    """
    present = np.unique(table.episode)
    if share <= 0.0 or len(present) < 3:
        return Split(table, None)
    count = min(max(1, round(share * len(present))), len(present) - 1)
    held = np.random.default_rng(seed).permutation(present)[:count]
    mask = np.isin(table.episode, held)
    return Split(table.take(~mask), table.take(mask))


def join(tables: Sequence[TrainingTable]) -> TrainingTable:
    """Return the chunks of several tables of one policy, one after the other.

    What only some of them know (images, picks, offers, rewards) is left out; provenance is the first one's.

    Raises:
        FingerprintMismatch: tables of several policies.
        ShapeMismatch: features, noises or chunks of different sizes.
    """
    first = tables[0]
    for table in tables[1:]:
        if table.fingerprint != first.fingerprint:
            raise FingerprintMismatch(
                f"Episode '{table.names[0]}' is of policy {table.fingerprint[:12]}, expected {first.fingerprint[:12]}. "
                f"Learn from episodes of one policy."
            )
        for name in ("features", "proprio", "noise", "chunk"):
            got, expected = getattr(table, name).shape[1:], getattr(first, name).shape[1:]
            if got != expected:
                raise ShapeMismatch(
                    f"Episode '{table.names[0]}' has {name} of shape {got}, others have {expected}. Learn from episodes of "
                    f"one robot and policy."
                )
    rows = np.cumsum([0, *(t.rows for t in tables)])
    episodes = np.cumsum([0, *(len(t.names) for t in tables)])

    def array(name: str) -> Any:
        parts = [getattr(t, name) for t in tables]
        return None if any(p is None for p in parts) else np.concatenate(parts)

    def entries(name: str) -> Any:
        parts = [getattr(t, name) for t in tables]
        return tuple(entry for p in parts for entry in p) if all(parts) else ()

    following = [t.following for t in tables]
    plans = {t.plan for t in tables}
    return TrainingTable(
        **{n: array(n) for n in ("features", "proprio", "noise", "chunk", "images", "reward")},
        **{n: entries(n) for n in ("names", "picked", "offers", "ends", "driver")},
        episode=np.concatenate([t.episode + n for t, n in zip(tables, episodes, strict=False)]),
        fingerprint=first.fingerprint,
        plan=first.plan if len(plans) == 1 else None,
        following=None
        if any(f is None for f in following)
        else np.concatenate(
            [np.where(f < 0, -1, f + n) for f, n in zip(following, rows, strict=False) if f is not None]
        ),
        provenance=first.provenance,
    )
