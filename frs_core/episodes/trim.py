"""Cut chunks off the ends of an episode without removing anything.

Problem: an episode may begin with a false start, or end long after what it is to teach. Idea: the root's attribute `trim` says how many
chunks of the main line are left out at either end; the reader leaves them out everywhere, all files stay as they were recorded.

Example: 12 chunks, `trim = [2, 1]`: the main line is chunks 2 to 10; `[0, 0]` brings all of them back.

Pure functions; any thread.
"""

from collections.abc import Sequence
from typing import Any

from frs_core.counts import counted
from frs_core.episodes.reader import Episode
from frs_core.errors import EpisodeError
from frs_core.steering.candidates import CandidateKind


def _versions(episode: Episode, line: Sequence[int]) -> dict[str, Any]:
    """Return which noise policies were in use; nothing for an episode from before that was kept by chunk."""
    if "noise_policies" not in episode.attributes:
        return {}
    return {"noise_policies": [v for v in dict.fromkeys(map(episode.noise_policy, line)) if v]}


def trimmed_facts(episode: Episode, first: int, last: int) -> dict[str, Any]:
    """Return the attributes of an episode whose whole main line is cut by `first` and `last` chunks.

    Raises:
        EpisodeError: nothing would be left.
    """
    whole = episode.standing
    if first < 0 or last < 0 or first + last >= len(whole):
        raise EpisodeError(
            f"Episode '{episode.name}' cannot be cut by {first} at the start and {last} at the end: its main line has {counted(len(whole), 'chunk')}. "
            f"Leave at least one."
        )
    line = whole[first : len(whole) - last]
    offers = [episode.offers(i) for i in line]
    drivers, picks = [episode.text("chunks/driver", i) for i in line], [episode.picked_by(i) for i in line]
    seen = [
        int(s)
        for i in line
        for s in (*episode.arrays["steps/success"][list(episode.steps_of(i))], episode.arrays["after/success"][i])
    ]
    steps = sum(len(episode.steps_of(i)) for i in line)
    return {
        "trim": [first, last],
        "n_undone": episode.n_chunks - len(line),
        "n_steered": sum(o.kinds[o.picked] is CandidateKind.STEERED for o in offers),
        "n_corrections": sum(bool(episode.arrays["chunks/is_correction"][i]) for i in line),
        "n_calls": sum(bool(episode.called(i)) for i in line),
        **_versions(episode, line),
        "drivers": {who: drivers.count(who) for who in dict.fromkeys(drivers)},
        "picked_by": {who: picks.count(who) for who in dict.fromkeys(picks)},
        "success_seen": max(seen) == 1 if any(s >= 0 for s in seen) else None,
        "duration_s": steps / episode.meta.control_hz,
    }
