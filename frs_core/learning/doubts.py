"""When is a noise policy unsure? Judge each state by the recorded successes it was trained on.

Problem: a noise policy always gives a noise, in states it never saw too; an attempt that has gone wrong then goes on until its time is up.
Idea: five signals, each larger where the policy is less to be trusted, and a limit for each from the recorded successes.

| signal | what is measured |
|---|---|
| state | distance to the three nearest recorded states |
| noise | distance of its noise, averaged over the chunk, to those executed in the five nearest recorded states |
| spread | deviation of its draws |
| repeat | minus the distance to the nearest state of this episode, three or more chunks ago |
| progress | expected chunks to the end, minus what was expected three chunks ago |

States are features, standardised and projected to their 24 main components, beside the proprioception; expected chunks are an average over
near recorded states. A limit is a quantile over recorded chunks, each judged by the *other* episodes (the spread by weights that did not see
the episode; of too few chunks for that quantile, one deviation above the largest). Each of S signals may exceed its limit in 1/S of the stated rate, so that at most about that rate of the chunks of a success calls.

Example: ten successes of 12 chunks, rate 5 %: each limit is the 99 % quantile of about 120 values. Takes 0.1 ms per chunk beside the draws.
Judging runs on the inference worker's thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from frs_core.arrays import Array
from frs_core.choosers.base import Doubts
from frs_core.errors import ConfigError
from frs_core.learning.table import TrainingTable
from frs_core.runtime.foreign import MALFORMED
from frs_core.steering.candidates import Doubt

FILE = "doubts.safetensors"
RATE = 0.05
"""Share of the chunks of recorded successes that may call. Guess; in twelve chunks a success calls every other time at most."""
COMPONENTS = 24
"""Main components of the features. On practised attempts 12 and 48 separated successes from failures no better."""
BACK = 3
"""Chunks over which a repeat or a lack of progress is looked for: one less than the shortest grasp that has to be tried again. Guess."""
NEAR_STATES, NEAR_NOISES, NEAR_ENDS = 3, 5, 8
FEWEST = 3
"""Episodes below which nothing can be said about an episode by the others."""

WORDS: Mapping[str, str] = {
    "state": "the scene is unlike the recorded ones",
    "noise": "its motion is unlike what worked here",
    "spread": "its draws disagree",
    "repeat": "it has been here before",
    "progress": "it is not getting closer to the end",
}
"""Signal -> what is said of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """From what is seen to a state."""

    feature_mean: Float[Array, " F"]
    feature_std: Float[Array, " F"]
    basis: Float[Array, "F D"]
    proprio_mean: Float[Array, " P"]
    proprio_std: Float[Array, " P"]

    def __call__(self, features: Float[Array, "n F"], proprio: Float[Array, "n P"]) -> Float[Array, "n S"]:
        """Return states: features and proprioception, each of length about 1."""
        seen = _standard(features, self.feature_mean, self.feature_std) @ self.basis
        own = _standard(proprio, self.proprio_mean, self.proprio_std) / max(1, proprio.shape[1]) ** 0.5
        return np.concatenate([seen, own], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Recorded states."""

    states: Float[Array, "M S"]
    noises: Float[Array, "M a"]
    """Averaged over the chunk, the robot's columns; NaN where not known."""
    left: Float[Array, " M"]
    """Chunks to the end of the episode."""
    episode: Int[Array, " M"]


class RecordedDoubts(Doubts):
    """Doubts about one trained policy."""

    def __init__(
        self,
        projection: Projection,
        recorded: Recorded,
        limits: Mapping[str, float],
        *,
        rate: float,
        false_calls: float,
    ) -> None:
        """Begin an episode.

        Args:
            projection: of what is seen.
            recorded: training states.
            limits: by signal; infinite = not used.
            rate: share of the chunks of a success that was to call.
            false_calls: share of the recorded chunks that would have called, each judged by the other episodes.
        """
        self.projection, self.recorded = projection, recorded
        self.limits, self.rate, self.false_calls = dict(limits), rate, false_calls
        self._past: list[tuple[int, Float[Array, " S"], float]] = []

    def begin(self) -> None:
        """Forget the last episode."""
        self._past.clear()

    def judge(
        self,
        *,
        step: int,
        features: Float[Array, " F"],
        proprio: Float[Array, " P"],
        noise: Float[Array, "H A"],
        spread: float | None,
    ) -> Doubt:
        """Return what is doubtful about one state; a state of an earlier step takes the place of what came after it."""
        r = self.recorded
        state = self.projection(features[None], proprio[None])
        near = _Near.of(r, state, without=None)
        self._past = [past for past in self._past if past[0] < step]
        self._past.append((step, state[0], float(near.left[0])))
        states, left = np.stack([p[1] for p in self._past]), np.array([p[2] for p in self._past])
        signals = {
            "state": float(near.distance[0]),
            "noise": float(_noise_distance(r, near, noise[None, :, : r.noises.shape[1]])[0]),
            "spread": float("nan") if spread is None else spread,
            **_over_time(states, left),
        }
        # NaN, what cannot be told, exceeds nothing.
        return Doubt(tuple(WORDS[name] for name in WORDS if signals[name] > self.limits[name]))

    def save(self, path: Path) -> None:
        """Write it to a file.

        Raises:
            TrainingError: the disk refused.
        """
        import torch

        from frs_core.learning.table_file import write_packed

        parts = (self.projection, self.recorded)
        arrays = {f.name: torch.from_numpy(np.ascontiguousarray(getattr(p, f.name))) for p in parts for f in fields(p)}
        # JSON has no infinity; a limit that is not there is not used.
        limits = {name: limit for name, limit in self.limits.items() if np.isfinite(limit)}
        write_packed(path, arrays, {"limits": limits, "rate": self.rate, "false_calls": self.false_calls})

    @classmethod
    def load(cls, path: Path, *, feature_size: int, proprio_size: int) -> "RecordedDoubts":
        """Return what `save` wrote.

        Args:
            path: the file.
            feature_size: of the policy beside it.
            proprio_size: of the policy beside it.
        Raises:
            ConfigError: damaged, or of another policy.
        """
        from frs_core.learning.table_file import read_packed

        tensors, facts = read_packed(path)
        try:
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            projection = Projection(**{f.name: arrays[f.name] for f in fields(Projection)})
            recorded = Recorded(**{f.name: arrays[f.name] for f in fields(Recorded)})
            limits = {name: float(facts["limits"].get(name, np.inf)) for name in WORDS}
            rate, false_calls = float(facts["rate"]), float(facts["false_calls"])
            _check(projection, recorded, feature_size, proprio_size)
        except MALFORMED as error:
            raise ConfigError(f"'{path}' is damaged ({error}). Train the policy again.") from error
        return cls(projection, recorded, limits, rate=rate, false_calls=false_calls)


def measure(
    table: TrainingTable, *, spread: Float[Array, " n"] | None = None, rate: float = RATE
) -> RecordedDoubts | None:
    """Return the doubts about a policy that was trained on a table; None with fewer than three episodes.

    Args:
        table: successes, rows of an episode in order. Failures are left out where they are known.
        spread: deviation of draws for chunks of episodes that the drawing weights never saw; None = not used.
        rate: share of the chunks of a success that may call, 0..1.
    """
    if table.ends:
        succeeded = np.array([end.succeeded for end in table.ends])
        keep = succeeded[table.episode]
        if not keep.any():
            return None
        table = table.take(keep)
    present = np.unique(table.episode)
    if len(present) < FEWEST:
        return None
    projection, recorded = _recorded(table)
    parts = [_of_episode(recorded, int(e)) for e in present]
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if spread is not None:
        values["spread"] = np.asarray(spread, dtype=np.float64)
    known = {name: v[np.isfinite(v)] for name, v in values.items()}
    used = [name for name, v in known.items() if len(v)]
    limits = dict.fromkeys(WORDS, np.inf)
    for name in used:
        limits[name] = _limit(known[name], rate / len(used))
    over = np.any([values[name] > limits[name] for name in parts[0]], axis=0)
    return RecordedDoubts(projection, recorded, limits, rate=rate, false_calls=float(over.mean()))


def _limit(values: Float[Array, " n"], share: float) -> float:
    """Return what a share of such values exceeds; of too few for that share, one deviation above the largest."""
    if len(values) * share < 1.0:
        return float(values.max() + values.std())
    return float(np.quantile(values, 1.0 - share, method="higher"))


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """What is recorded near some states."""

    distance: Float[Array, " n"]
    rows: Int[Array, "n k"]
    left: Float[Array, " n"]
    """Expected chunks to the end."""

    @classmethod
    def of(cls, r: Recorded, states: Float[Array, "n S"], *, without: int | None) -> "_Near":
        """Return the rows near each state, those of one episode left out."""
        squared = ((states[:, None] - r.states[None]) ** 2).sum(axis=2)
        if without is not None:
            squared[:, r.episode == without] = np.inf
        rows = np.argsort(squared, axis=1)[:, :NEAR_ENDS]
        distances = np.sqrt(np.take_along_axis(squared, rows, axis=1))
        # A row twice as far as the nearest counts for a third of it; one that is left out for nothing.
        weights = np.exp(-distances / np.maximum(distances[:, :1], 1e-6))
        left = (weights * r.left[rows]).sum(axis=1) / weights.sum(axis=1)
        return cls(distances[:, :NEAR_STATES].mean(axis=1), rows[:, :NEAR_NOISES], left)


def _recorded(table: TrainingTable) -> tuple[Projection, Recorded]:
    mean, std = _scale(table.features)
    x = _standard(table.features, mean, std)
    _, sizes, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    count = min(COMPONENTS, len(sizes))
    length = float(np.sqrt((sizes[:count] ** 2).sum() / table.rows)) or 1.0
    proprio_mean, proprio_std = _scale(table.proprio)
    last = np.append(table.episode[1:] != table.episode[:-1], True)
    ends = np.flatnonzero(last)
    rows = np.arange(table.rows)
    left = ends[np.searchsorted(ends, rows)] - rows
    projection = Projection(
        mean, std, (axes[:count].T / length).astype(np.float32), proprio_mean=proprio_mean, proprio_std=proprio_std
    )
    recorded = Recorded(
        states=projection(table.features, table.proprio),
        noises=table.noise[..., : table.action_size].mean(axis=1).astype(np.float32),
        left=left.astype(np.float32),
        episode=table.episode.astype(np.int64),
    )
    return projection, recorded


def _of_episode(r: Recorded, episode: int) -> dict[str, Float[Array, " n"]]:
    """Return the signals of a recorded episode by the others; NaN where there is nothing to compare with yet."""
    mine = r.episode == episode
    states = r.states[mine]
    near = _Near.of(r, states, without=episode)
    over_time = [_over_time(states[: i + 1], near.left[: i + 1]) for i in range(len(states))]
    return {
        "state": near.distance,
        "noise": _noise_distance(r, near, r.noises[mine][:, None]),
        **{name: np.array([o[name] for o in over_time]) for name in ("repeat", "progress")},
    }


def _over_time(states: Float[Array, "n S"], left: Float[Array, " n"]) -> dict[str, float]:
    """Return the signals that compare the last state with those before; NaN where there are too few."""
    if len(states) <= BACK:
        return {"repeat": float("nan"), "progress": float("nan")}
    distances = np.linalg.norm(states[-1] - states[:-BACK], axis=1)
    return {"repeat": -float(distances.min()), "progress": float(left[-1] - left[-1 - BACK])}


def _noise_distance(r: Recorded, near: _Near, noises: Float[Array, "n h a"]) -> Float[Array, " n"]:
    """Return the distance of chunk means to the nearest of those executed nearby."""
    differences = r.noises[near.rows] - noises.mean(axis=1)[:, None]
    distances = np.linalg.norm(differences, axis=2)
    return np.where(
        np.isfinite(distances).any(axis=1),
        np.min(distances, axis=1, initial=np.inf, where=np.isfinite(distances)),
        np.nan,
    )


def _scale(values: Float[Array, "M n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return mean and deviation, as the learners standardise."""
    mean, std = values.mean(axis=0), values.std(axis=0)
    least = max(0.1 * float(np.median(std)), 1e-4) if std.size else 1e-4
    return mean.astype(np.float32), np.maximum(std, least).astype(np.float32)


def _standard(values: Float[Array, "n m"], mean: Float[Array, " m"], std: Float[Array, " m"]) -> Float[Array, "n m"]:
    return np.clip((values - mean) / std, -5.0, 5.0)


def _check(p: Projection, r: Recorded, feature_size: int, proprio_size: int) -> None:
    """Raise ValueError unless all sizes fit each other."""
    rows, size = r.states.shape
    shapes = {
        "feature_mean": (p.feature_mean, (feature_size,)),
        "feature_std": (p.feature_std, (feature_size,)),
        "basis": (p.basis, (feature_size, size - proprio_size)),
        "proprio_mean": (p.proprio_mean, (proprio_size,)),
        "proprio_std": (p.proprio_std, (proprio_size,)),
        "noises": (r.noises, (rows, r.noises.shape[-1])),
        "left": (r.left, (rows,)),
        "episode": (r.episode, (rows,)),
    }
    for name, (array, shape) in shapes.items():
        if rows == 0 or array.shape != shape:
            raise ValueError(f"'{name}' has shape {array.shape}, expected {shape}")
