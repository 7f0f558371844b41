"""Metadata of a trained small policy: its learner, generalist, training data and held-out figures. Does not import torch.

The fingerprint binds a small policy to the generalist whose features and noises it learned; any other is refused.
Example: `list_saved(Path("data/learned"))` returns the saved folders with their metadata, newest first.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError, FingerprintMismatch, WeightsMissing
from frs_core.runtime.foreign import read_json

FORMAT = "frs-learned"
VERSION = 1
METADATA_FILE = "policy.json"
LARGEST_SIZE = 1_000_000
"""Largest number of inputs or outputs; the features of the largest generalist are a few thousand."""


@dataclass(frozen=True, slots=True)
class PolicyMetadata:
    """Everything about a saved policy except its weights."""

    kind: str
    """Id of the learner."""
    name: str
    policy_fingerprint: str
    horizon: int
    width: int
    """A of the generalist."""
    action_size: int
    """a, the robot's numbers."""
    feature_size: int
    proprio_size: int
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    """Episodes, seeds, tasks, plan, number of chunks, share of deferred ones."""
    metrics: Mapping[str, Any]
    made_at: float = 0.0
    """Unix time."""
    weights_sha256: str = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it was trained on; empty where it does not say."""
        tasks = self.data.get("tasks", ())
        named = tasks if isinstance(tasks, (list, tuple)) else (tasks,)
        return tuple(str(task) for task in named)


def read_metadata(folder: Path) -> PolicyMetadata:
    """Return the metadata of a saved policy.

    Raises:
        WeightsMissing: there is no saved policy.
        ConfigError: the file is damaged, or is not policy metadata.
    """
    path = folder / METADATA_FILE
    if not path.is_file():
        raise WeightsMissing(
            f"No trained policy at '{folder}': '{METADATA_FILE}' is missing. Train one with `frs train dsbc`."
        )
    try:
        raw = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' is damaged: {error}. Train the policy again.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ConfigError(
            f"'{path}' is not a trained policy: format is not '{FORMAT}'. Choose a folder made by `frs train`."
        )
    if raw.get("version") != VERSION:
        raise ConfigError(
            f"'{path}' has version {raw.get('version')}, this program reads {VERSION}. Update the program."
        )
    missing = set(PolicyMetadata.__dataclass_fields__) - set(raw)
    if missing:
        raise ConfigError(f"'{path}' lacks {sorted(missing)}. Train the policy again.")
    metadata = PolicyMetadata(**{name: raw[name] for name in PolicyMetadata.__dataclass_fields__})
    wrong = [name for name, is_right in _checks(metadata) if not is_right]
    if wrong:
        raise ConfigError(f"'{path}' has an invalid '{wrong[0]}'. Train the policy again.")
    return metadata


def _checks(metadata: PolicyMetadata) -> Iterator[tuple[str, bool]]:
    """Yield (field, whether its value is valid)."""
    for name in ("kind", "name", "policy_fingerprint", "weights_sha256"):
        yield name, isinstance(getattr(metadata, name), str)
    for name in ("horizon", "width", "action_size", "feature_size", "proprio_size"):
        value = getattr(metadata, name)
        yield name, isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SIZE
    for name in ("settings", "data", "metrics"):
        yield name, isinstance(getattr(metadata, name), dict)
    for name in ("made_at",):
        value = getattr(metadata, name)
        yield name, isinstance(value, int | float) and math.isfinite(value)


def check_fingerprint(metadata: PolicyMetadata, fingerprint: str, *, folder: Path) -> None:
    """Raise unless the policy was trained for this generalist.

    Raises:
        FingerprintMismatch: it was trained for another.
    """
    if metadata.policy_fingerprint != fingerprint:
        raise FingerprintMismatch(
            f"'{folder.name}' was trained for another policy: got fingerprint {fingerprint[:12]}, expected "
            f"{metadata.policy_fingerprint[:12]}. Load the policy it was trained for, or train again on episodes of this one."
        )


def list_saved(root: Path) -> tuple[tuple[Path, PolicyMetadata], ...]:
    """Return all readable policies of a folder, newest first; damaged ones are left out.

    The cockpit saves in `<name>`, the command line in `<task>/<learner>`, where names of tasks may have slashes. What lies inside a
    policy's folder is none.
    """
    found: list[tuple[Path, PolicyMetadata]] = []
    folders = {file.parent for file in root.rglob(METADATA_FILE)} - {root}
    for folder in sorted(folders):
        if folders.intersection(folder.parents):
            continue
        try:
            found.append((folder, read_metadata(folder)))
        except (ConfigError, WeightsMissing):
            continue
    return tuple(sorted(found, key=lambda item: -item[1].made_at))
