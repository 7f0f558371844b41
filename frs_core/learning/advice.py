"""What to do next, concluded from the episodes alone: enough, record more, or look at this one again.

Problem: a training that ends well says little of how the robot will do; which ten episodes it saw matters more than anything a
setting can change. Idea: ask how well each episode *follows from the others*. Kernel ridge from what the learner sees to what it
shall answer (chunk means), leaving out one episode at a time, is exact in closed form and takes milliseconds. An episode that does
not follow from the rest goes another way; when twice as many episodes explain each other better, more of them will help.

Example: nine episodes explain 0.5 to 0.8 of the tenth's answers, one is explained to -0.14: "look at it in Review".
Runs in the trainer's process.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frs_core.arrays import Array
from frs_core.learning.table import TrainingTable

RIDGE = 0.1
"""Penalty, in units of the kernel's diagonal. Source: best of 0.03 to 10 on six sets of ten episodes (development scenes): 0.68
explained."""
MOST_ROWS = 3000
"""Chunks beyond which nothing is advised: the closed form grows with their cube, and that many episodes need no advice."""
FEWEST_EPISODES = 4
ODD = 0.4
"""An episode this much less explained than the median one is named. On six sets of ten episodes the spread of ordinary ones was 0.3."""
PARTS = ("first fifth", "second fifth", "middle", "fourth fifth", "last fifth")
"""How parts of an episode are called."""
WORTH = 0.02
"""Gain in explained share, from two thirds of the episodes to all, from which more episodes are advised."""


@dataclass(frozen=True, slots=True)
class Advice:
    """How well episodes follow from each other."""

    explained: float
    """Share of an episode's variance that the others explain, mean over episodes; 1 = all, 0 = no better than their mean, NaN =
    too few or too many episodes to tell."""
    odd: tuple[str, ...] = ()
    """Episodes that differ from the others, most different first."""
    gain: float = float("nan")
    """How much more all episodes explain than two thirds of them."""
    unclear: str = ""
    """The part of an episode, one of PARTS, that the others explain least: where the noise policy most needs steering."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """Plain words for the operator."""
        if not np.isfinite(self.explained):
            return ()
        out = [f"The other episodes explain {self.explained:.0%} of what was done in one"]
        if self.odd:
            names, one = " and ".join(self.odd), len(self.odd) == 1
            out.append(
                f"{names} {'differs' if one else 'differ'} from the others: look at {'it' if one else 'them'} in "
                f"Review, or train without {'it' if one else 'them'}"
            )
        if self.unclear:
            out.append(
                f"The {self.unclear} of the episodes is least consistent: when the noise policy drives, be ready to steer there"
            )
        if self.gain >= WORTH:
            out.append("Five more episodes would help")
        else:
            out.append("More episodes are unlikely to help")
        return tuple(out)


def advise(table: TrainingTable) -> Advice:
    """Return what the episodes say about each other.

    Args:
        table: chunks that teach.
    """
    episodes, labels = np.unique(table.episode), _answers(table)
    if len(episodes) < FEWEST_EPISODES or table.rows > MOST_ROWS:
        return Advice(float("nan"))
    kernel = _kernel(np.concatenate([_balanced(table.features), _balanced(table.proprio)], axis=1))
    residual = _residuals(kernel, labels, table.episode)
    each = _explained(residual, labels, table.episode)
    median = float(np.median(list(each.values())))
    odd = sorted((e for e in each if each[e] < median - ODD), key=lambda e: each[e])
    fewer = []
    for first in range(3):
        # Each third of the episodes is missing once.
        rows = np.isin(table.episode, np.delete(episodes, np.s_[first::3]))
        if len(np.unique(table.episode[rows])) >= 2:
            part = _residuals(kernel[np.ix_(rows, rows)], labels[rows], table.episode[rows])
            fewer += _explained(part, labels[rows], table.episode[rows]).values()
    explained = float(np.mean(list(each.values())))
    return Advice(
        explained,
        odd=tuple(table.names[e] for e in odd[:2]),
        gain=explained - float(np.mean(fewer)),
        unclear=_least_clear(residual, table.episode),
    )


def _answers(table: TrainingTable) -> Float[Array, "M n"]:
    """Return the chunk mean of what a learner shall answer: the noise, or the standardised actions where it is not known."""
    noise = table.noise[:, :, : table.action_size]
    if np.isfinite(noise).all():
        return noise.mean(axis=1, dtype=np.float64)
    mean = table.chunk.mean(axis=1, dtype=np.float64)
    return (mean - mean.mean(axis=0)) / np.maximum(mean.std(axis=0), 1e-4)


def _residuals(
    kernel: Float[Array, "M M"], labels: Float[Array, "M n"], episode: Int[Array, " M"]
) -> Float[Array, "M n"]:
    """Return each row's label less what kernel ridge on the other episodes answers.

    The residual of rows left out together is inv(G_ee) (G y)_e with G = inv(K + RIDGE), so one inverse serves all episodes.
    """
    inverse = np.linalg.inv(kernel + RIDGE * np.eye(len(kernel)))
    weighted = inverse @ (labels - labels.mean(axis=0))
    out = np.empty_like(labels)
    for e in np.unique(episode):
        own = episode == e
        out[own] = np.linalg.solve(inverse[np.ix_(own, own)], weighted[own])
    return out


def _explained(
    residual: Float[Array, "M n"], labels: Float[Array, "M n"], episode: Int[Array, " M"]
) -> dict[int, float]:
    """Return, per episode, the share of its labels' variance that the others explain."""
    out = {}
    for e in np.unique(episode):
        own = episode == e
        constant = labels[own] - labels[~own].mean(axis=0)
        out[int(e)] = float(1.0 - np.square(residual[own]).sum() / max(float(np.square(constant).sum()), 1e-12))
    return out


def _least_clear(residual: Float[Array, "M n"], episode: Int[Array, " M"]) -> str:
    """Return the part of an episode with the largest mean squared residual; empty when parts have no rows of their own."""
    part = np.empty(len(episode), dtype=int)
    for e in np.unique(episode):
        own = episode == e
        part[own] = np.arange(own.sum()) * len(PARTS) // own.sum()
    if len(np.unique(part)) < len(PARTS):
        return ""
    return PARTS[int(np.argmax([np.square(residual[part == i]).sum(axis=1).mean() for i in range(len(PARTS))]))]


def _kernel(x: Float[Array, "M n"]) -> Float[Array, "M M"]:
    """Return a Gaussian kernel as wide as the median distance."""
    squares = np.square(x).sum(axis=1)
    distance = np.maximum(squares[:, None] + squares[None] - 2.0 * x @ x.T, 0.0)
    return np.exp(-distance / max(float(np.median(distance)), 1e-12))


def _balanced(values: Float[Array, "M n"]) -> Float[Array, "M n"]:
    """Return columns standardised as the learners see them, with a typical row of length 1."""
    if values.shape[1] == 0:
        return values.astype(np.float64)
    std = values.std(axis=0)
    std = np.maximum(std, max(0.1 * float(np.median(std)), 1e-4))
    return np.clip((values - values.mean(axis=0)) / std, -5.0, 5.0).astype(np.float64) / np.sqrt(values.shape[1])
