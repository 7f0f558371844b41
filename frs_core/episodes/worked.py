"""How unusual the noises were that worked: the record against which a new one is judged.

Problem: a steered noise lies further out than almost every random draw, also where steering works well, so a comparison with random
draws says nothing. Idea: compare with what a person steered in this policy's own successes.

Example: the steered chunks of ten successes have noises of RMS 0.75 to 2.2, median 1.06; one of 1.2 is as unusual as most that worked.

Any thread.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.episodes.index import EpisodeInfo
from frs_core.episodes.reader import Episode
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.runtime.foreign import MALFORMED
from frs_core.steering.candidates import CandidateKind

EPISODES = 50
"""Newest successes that are read: some hundred chunks, about a second."""
FEWEST = 20
"""Chunks below which nothing is judged. Guess; about two episodes."""


def worked_noises(infos: Iterable[EpisodeInfo], fingerprint: str) -> Float[Array, " n"]:
    """Return the RMS of the noises that were steered in successes with one policy, ascending; empty where there are too few.

    Args:
        infos: rows of the recorded episodes, oldest first.
        fingerprint: of the policy.
    """
    ours = [i for i in infos if i.outcome is Outcome.SUCCESS and i.fingerprint == fingerprint and not i.is_contradicted]
    found: list[float] = []
    for info in ours[-EPISODES:]:
        try:
            episode = Episode(info.path)
            noises = episode.arrays["chunks/noise"]
            offers = {i: episode.offers(i) for i in episode.main_line}
        except (EpisodeError, *MALFORMED):
            # The list says what is wrong with it.
            continue
        steered = [i for i, o in offers.items() if o.kinds[o.picked] is CandidateKind.STEERED]
        found += [size_of(noises[i]) for i in steered]
    known = np.sort(np.array([x for x in found if np.isfinite(x)]))
    return known if len(known) >= FEWEST else np.zeros(0)


def size_of(noise: Float[Array, "H A"]) -> float:
    """Return the RMS of a noise; 1 = a typical random draw, NaN where there is none."""
    return float(np.sqrt(np.mean(np.asarray(noise, dtype=np.float64) ** 2)))


def share_below(noise: Float[Array, "H A"], worked: Float[Array, " n"]) -> float:
    """Return which share of what worked was less unusual than a noise, 0..1; NaN where one of them is not known."""
    size = size_of(noise)
    return float(np.searchsorted(worked, size) / len(worked)) if len(worked) and np.isfinite(size) else float("nan")
