"""The versions of a noise policy that learns on: what the next one learns from, where it lies, and which one was before.

    mug-on-stand-10         version 1, trained by hand on ten successes
    mug-on-stand-10.v2      learned from these and the successes since, no worse by `learning.gate`
    mug-on-stand-10.v3      the same again; `policy.json` names the one that it was compared with and took the place of

Versions lie beside one another as saved policies do, and all of them stay. One that is not used is not saved. Any thread.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from frs_core.counts import counted
from frs_core.episodes.index import EpisodeInfo
from frs_core.events import Driver, Outcome
from frs_core.learning.metadata import METADATA_FILE, PolicyMetadata, read_metadata
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Gate, TrainRequest
from frs_core.learning.settings import from_json
from frs_core.learning.verdict import LEAST_EPISODES

LEARNER = "dsbc"
"""The learner whose versions learn from successes."""


@dataclass(frozen=True, slots=True)
class Next:
    """What there is to do for the next version."""

    request: TrainRequest | None = None
    """Trains and compares it; None = nothing is to be done."""
    why_not: str = ""
    """Why nothing is done although there are new successes, without full stop."""


def next_version(in_use: Path, infos: Sequence[EpisodeInfo], *, root: Path) -> Next:
    """Return how the next version comes about: it learns from all kept successes of the tasks of the version in use.

    Args:
        in_use: folder of the version in use.
        infos: the recorded episodes, oldest first.
        root: of the episode store.
    Raises:
        ConfigError, WeightsMissing: the version in use is damaged or gone.
    """
    metadata = read_metadata(in_use)
    if metadata.kind != LEARNER:
        title = find_learner(LEARNER).title
        return Next(
            why_not=f"Only {title} learns on from successes; '{metadata.name}' is of {find_learner(metadata.kind).title}"
        )
    kept = _kept(metadata, infos)
    learned = episodes_of(metadata)
    if all(info.name in learned for info in kept):
        return Next()
    judged = tuple(info.name for info in kept if Driver.LEARNED.value not in info.drivers)
    if len(judged) < LEAST_EPISODES:
        wanted = counted(LEAST_EPISODES, "success", "successes")
        return Next(
            why_not=f"A next version is compared on {wanted} without the learned policy; there are {len(judged)}. Steer some yourself"
        )
    out = _free_folder(in_use)
    request = TrainRequest(
        kind=LEARNER,
        root=root,
        episodes=tuple(info.name for info in kept),
        out=out,
        fingerprint=metadata.policy_fingerprint,
        name=out.name,
        settings=from_json(find_learner(LEARNER).settings, metadata.settings),
        gate=Gate(in_use, judged),
        is_background=True,
    )
    return Next(request)


def episodes_of(metadata: PolicyMetadata) -> frozenset[str]:
    """Return the names of the episodes that a version learned from."""
    found = metadata.data.get("episodes", ())
    return frozenset(map(str, found)) if isinstance(found, list | tuple) else frozenset()


def version_number(folder: Path | str) -> int:
    """Return which version a saved policy is; one that was trained by hand is the first."""
    return _parts(Path(folder).name)[1]


def version_before(folder: Path) -> Path | None:
    """Return the version whose place a version took; None for the first one, and where it is gone.

    Raises:
        ConfigError, WeightsMissing: the version is damaged or gone.
    """
    name = read_metadata(folder).data.get("former")
    if not isinstance(name, str) or Path(name).name != name:
        return None
    before = folder.parent / name
    return before if (before / METADATA_FILE).is_file() else None


def _kept(metadata: PolicyMetadata, infos: Sequence[EpisodeInfo]) -> list[EpisodeInfo]:
    """Return the successes of the policy and tasks of a version; where its episodes are gone, of the tasks it names."""
    usable = [
        info
        for info in infos
        if info.outcome is Outcome.SUCCESS
        and not info.problem
        and info.fingerprint == metadata.policy_fingerprint
        and info.n_chunks > info.n_undone
    ]
    learned = episodes_of(metadata)
    tasks = {_task(info) for info in usable if info.name in learned} or set(map(str, metadata.data.get("tasks", ())))
    return [info for info in usable if _task(info) in tasks]


def _task(info: EpisodeInfo) -> str:
    return info.task or info.instruction


def _parts(name: str) -> tuple[str, int]:
    """Return the name of the first version, and which version it is."""
    found = re.fullmatch(r"(.+)\.v(\d{1,6})", name)
    return (found[1], int(found[2])) if found else (name, 1)


def _free_folder(in_use: Path) -> Path:
    base, number = _parts(in_use.name)
    while (out := in_use.with_name(f"{base}.v{number + 1}")).exists():
        number += 1
    return out
