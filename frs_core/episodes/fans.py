"""The fan of a recorded chunk, as it was offered, to be shown or picked from again. Any thread."""

import numpy as np

from frs_core.episodes.reader import Episode
from frs_core.errors import ConfigError
from frs_core.steering.candidates import LEARNED, UNSTEERED, Candidate, Fan
from frs_core.steering.directions import Command


def recorded_fan(episode: Episode, chunk: int, *, has_images: bool = False) -> Fan:
    """Return the fan of a chunk; requests, and features of the observation, are left out.

    Args:
        episode: an opened one.
        chunk: its index.
        has_images: with what the cameras saw.
    Raises:
        EpisodeError: no such chunk.
        EpisodeCorrupt: damaged.
    """
    offers = episode.offers(chunk)
    candidates = tuple(
        Candidate(
            label=label,
            kind=offers.kinds[i],
            command=command_of(label),
            noise=offers.noises[i],
            chunk=offers.chunks[i],
            path=offers.paths[i],
            reference=None,
            reference_path=None,
            verdict=offers.verdicts[i],
            value=float("nan") if offers.values is None else float(offers.values[i]),
        )
        for i, label in enumerate(offers.labels)
    )
    latency = episode.arrays["chunks/latency"][chunk]
    return Fan(
        request_id=chunk,
        observation=episode.observation(chunk, has_images=has_images),
        candidates=candidates,
        plan=episode.plan(chunk),
        features=np.zeros(0, dtype=np.float32),
        encode_ms=float(latency[0]),
        steer_ms=float(latency[1]),
        execute_rows=episode.meta.execute_rows,
        made_ns=0,
    )


def command_of(label: str) -> Command | None:
    """Return the command of a label, or None for the unsteered and the learned candidate."""
    if label in (UNSTEERED, LEARNED):
        return None
    try:
        return Command.parse(label)
    except (ValueError, IndexError, ConfigError):
        return None
