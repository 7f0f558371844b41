"""A training table as one file: arrays as tensors, the rest as JSON beside them. No pickle.

Practice keeps its own episodes this way: one of 20 chunks with whole fans takes about 200 kB, where a recording with all its images
takes 2 MB. Written under a temporary name, synced and renamed, so a file that exists is whole. Any thread.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save as encode
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError, TrainingError
from frs_core.learning.practice_folder import JSON
from frs_core.learning.table import End, Offer, TrainingTable
from frs_core.runtime.files import write_whole
from frs_core.runtime.foreign import MALFORMED, TENSORS, parse_json, parse_tensors, read_bytes
from frs_core.steering.plan import SteeringPlan

_ARRAYS = ("features", "proprio", "noise", "chunk", "episode", "images", "reward", "following")


def write_table(path: Path, table: TrainingTable) -> None:
    """Write a table with outcomes.

    Raises:
        TrainingError: the disk refused.
    """
    arrays = {name: getattr(table, name) for name in _ARRAYS}
    ends = table.ends
    offers = (*table.offers, *(end.offer for end in ends))
    known = [offer for offer in offers if offer is not None]
    if known:
        arrays["offers"] = np.concatenate([offer.noises for offer in known])
    arrays |= {f"end_{i}_{n}": getattr(end, n) for i, end in enumerate(ends) for n in ("features", "proprio")}
    facts = {
        "names": table.names,
        "fingerprint": table.fingerprint,
        "picked": table.picked,
        "driver": table.driver,
        "plan": table.plan.to_json() if table.plan else None,
        "provenance": dict(table.provenance),
        "rows_with_offers": len(table.offers),
        "offers": [None if offer is None else offer.labels for offer in offers],
        "succeeded": [end.succeeded for end in ends],
    }
    write_packed(
        path, {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items() if v is not None}, facts
    )


def read_table(path: Path) -> TrainingTable:
    """Return the table of a file.

    Raises:
        ConfigError: damaged.
    """
    tensors, facts = read_packed(path)
    try:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        offers = _offers(arrays.get("offers"), facts["offers"])
        count = facts["rows_with_offers"]
        ends = [
            End(succeeded, arrays.get(f"end_{i}_features"), arrays.get(f"end_{i}_proprio"), offer)
            for i, (succeeded, offer) in enumerate(zip(facts["succeeded"], offers[count:], strict=True))
        ]
        return TrainingTable(
            **{name: arrays.get(name) for name in _ARRAYS},  # pyright: ignore[reportArgumentType]
            names=tuple(facts["names"]),
            fingerprint=facts["fingerprint"],
            picked=tuple(facts["picked"]),
            driver=tuple(facts["driver"]),
            offers=tuple(offers[:count]),
            ends=tuple(ends),
            plan=None if facts["plan"] is None else SteeringPlan.from_json(facts["plan"]),
            provenance=facts["provenance"],
        )
    except MALFORMED as error:
        raise _damaged(path, error) from error


def write_packed(path: Path, tensors: Mapping[str, Tensor], facts: Any) -> None:
    """Write tensors and JSON values as one file, whole or not at all.

    Raises:
        TrainingError: the disk refused.
    """
    text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8).copy()
    write_file(path, encode({**tensors, JSON: torch.from_numpy(text)}))


def read_packed(path: Path) -> tuple[dict[str, Tensor], Any]:
    """Return what `write_packed` wrote.

    Raises:
        ConfigError: missing or damaged.
    """
    try:
        tensors = parse_tensors(read_bytes(path, limit=TENSORS, may_link=True))
        return tensors, parse_json(tensors.pop(JSON).numpy().tobytes())
    except (OSError, *MALFORMED) as error:
        raise _damaged(path, error) from error


def write_file(path: Path, data: bytes) -> None:
    """Write bytes under a temporary name, sync, rename.

    Raises:
        TrainingError: the disk refused.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise TrainingError(
            f"'{path}' could not be written: {error.strerror or error}. Free some space and start it again; what was practised "
            f"is kept."
        ) from error


def _offers(noises: Float[Array, "C H A"] | None, labels: Sequence[Sequence[str] | None]) -> list[Offer | None]:
    at, offers = 0, list[Offer | None]()
    for row in labels:
        if row is None:
            offers.append(None)
            continue
        if noises is None or at + len(row) > len(noises):
            raise ValueError("fewer noises than labels")
        part = noises[at : at + len(row)]
        offers.append(Offer(tuple(row), part))
        at += len(row)
    return offers


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"'{path}' is damaged ({error}). Remove it and give the same command again.")
