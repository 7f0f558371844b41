"""From a journal's records to a committed episode.

Problem: an episode must be there whole or not at all. Idea: the Zarr group is written under a temporary name beside its
place, with a table of its files, synced to disk, and renamed. Ending an episode and recovering one after a crash are this
same function, so recovery is exercised by every recording. Called again after any failure it resumes from what is there.

Example: begin + 30 chunk records + end(success) become `episodes/<name>.zarr` of about 200 files; the journal may go then.

Runs on the writer's thread.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frs_core.arrays import Array
from frs_core.episodes import packing
from frs_core.episodes.encoding import LATENCY_NUMBERS, VERDICT_FLAGS, VERDICT_NUMBERS
from frs_core.episodes.images import JPEG_QUALITY
from frs_core.episodes.integrity import TABLE_CHECKSUM, group_metadata, make_file_table, table_checksum
from frs_core.episodes.label import edit
from frs_core.episodes.layout import (
    INTEGRITY,
    ROOT_METADATA,
    SCHEMA_VERSION,
    SUFFIX,
    TMP_PREFIX,
    confirming,
    ensure_folder,
    episodes_dir,
    fsync_path,
    fsync_tree,
    trash_dir,
)
from frs_core.episodes.zarr_writer import GroupWriter, offsets
from frs_core.events import NOBODY, Outcome
from frs_core.steering.candidates import CandidateKind
from frs_core.version import product_version

Record = dict[str, Any]
STATE_NUMBERS = ("captured_ns", "step", "q", "dq", "gripper", "gripper_command", "T_base_tcp", "success")


def commit(
    root: Path, name: str, records: Sequence[Record], *, outcome: Outcome, note: str, was_recovered: bool
) -> Path:
    """Write, sync and rename an episode; discarded ones go to the bin.

    An episode that is there already (a former call failed late) gets this call's label and place.

    Args:
        root: recording root.
        name: episode name.
        records: `begin`, then `chunk` (at least one) and `undo`.
        outcome: how it ended.
        note: a person's words.
        was_recovered: made from the journal of a crash.
    Returns:
        Where it lies.
    Raises:
        Unconfirmed: it lies there, but a power cut could still take it.
        OSError: the disk refused; nothing is left behind.
    """
    folder = trash_dir(root) if outcome is Outcome.DISCARDED else episodes_dir(root)
    target, label = folder / f"{name}{SUFFIX}", {"outcome": outcome.value, "note": note}
    for parent in (episodes_dir(root), folder):
        ensure_folder(root, parent)
    there = committed(root, name)
    if there is None:
        tmp = _assemble(root, name, records, {**label, "was_recovered": was_recovered})
        try:
            os.rename(tmp, target)
        except BaseException:
            shutil.rmtree(tmp, ignore_errors=True)
            raise
    else:
        edit(root, there, label)
        if there != target:
            os.rename(there, target)
    changed = [folder, episodes_dir(root)] if there is None else [folder, episodes_dir(root), there.parent]
    with confirming():
        for parent in dict.fromkeys(changed):
            fsync_path(parent)
    return target


def committed(root: Path, name: str) -> Path | None:
    """Return where an episode lies, in the store or in the bin; None when it does not."""
    for folder in (episodes_dir(root), trash_dir(root)):
        if (folder / f"{name}{SUFFIX}").is_dir():
            return folder / f"{name}{SUFFIX}"
    return None


def _assemble(root: Path, name: str, records: Sequence[Record], label: Record) -> Path:
    """Write and sync the group under its temporary name, always in the folder whose lock the writer holds."""
    tmp = episodes_dir(root) / f"{TMP_PREFIX}{name}{SUFFIX}"
    shutil.rmtree(tmp, ignore_errors=True)
    try:
        begin, chunks, undone = _split(records)
        _write_arrays(tmp, begin, chunks, undone, _last(records, chunks, undone))
        table = make_file_table(tmp)
        (tmp / INTEGRITY).mkdir()
        (tmp / INTEGRITY / ROOT_METADATA).write_bytes(group_metadata({"files": table}))
        facts = {**_attributes(begin["meta"], chunks, undone), **label, TABLE_CHECKSUM: table_checksum(table)}
        (tmp / ROOT_METADATA).write_bytes(group_metadata(facts))
        fsync_tree(tmp)
    except BaseException:
        shutil.rmtree(tmp, ignore_errors=True)
        raise
    return tmp


def _split(records: Sequence[Record]) -> tuple[Record, list[Record], set[int]]:
    chunks = [r for r in records if r["kind"] == "chunk"]
    return records[0], chunks, {r["index"] for r in records if r["kind"] == "undo"}


def _last(records: Sequence[Record], chunks: list[Record], undone: set[int]) -> Record | None:
    """Return what was seen after the chunk that the episode ended with; None where it was not kept."""
    standing = [c["index"] for c in chunks if c["index"] not in undone]
    found = [r for r in records if r["kind"] == "last" and standing and r["after"] == standing[-1]]
    return found[-1] if found else None


def _attributes(meta: Record, chunks: list[Record], undone: set[int]) -> Record:
    """Return the root's attributes: everything a list shows, and the episode's facts."""
    standing = [c for c in chunks if c["index"] not in undone]
    drivers = [c["driver"] for c in standing]
    picks = ["policy" if c["device"] == NOBODY else c["driver"] for c in standing]
    seen = [int(s["success"]) for c in standing for s in (*c["steps"], c["after"])]
    # A journal of an earlier version names only the one at the start.
    versions = dict.fromkeys(c["noise_policy"] for c in standing) if all("noise_policy" in c for c in chunks) else None
    kinds = [c["offers"]["kinds"][c["picked"]] for c in standing]
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": True,
        "app_version": product_version(),
        **meta,
        "n_steps": sum(len(c["steps"]) for c in chunks),
        "n_chunks": len(chunks),
        "n_undone": len(chunks) - len(standing),
        "n_steered": kinds.count(CandidateKind.STEERED.value),
        "n_corrections": sum(c["is_correction"] for c in standing),
        "n_calls": sum(bool(c.get("called")) for c in standing),
        **({} if versions is None else {"noise_policies": [v for v in versions if v]}),
        "drivers": {d: drivers.count(d) for d in dict.fromkeys(drivers)},
        "picked_by": {who: picks.count(who) for who in dict.fromkeys(picks)},
        "success_seen": max(seen) == 1 if any(s >= 0 for s in seen) else None,
        "duration_s": sum(len(c["steps"]) for c in standing) / meta["control_hz"],
    }


class _Texts:
    """All texts of an episode, each once; arrays hold positions in the list."""

    def __init__(self) -> None:
        self._index = {"": 0}

    def __call__(self, text: str) -> int:
        return self._index.setdefault(text, len(self._index))

    def column(self, texts: Sequence[str]) -> Array:
        return np.array([self(t) for t in texts], dtype=np.int32)

    @property
    def all(self) -> list[str]:
        return list(self._index)


def _write_arrays(path: Path, begin: Record, chunks: list[Record], undone: set[int], last: Record | None) -> None:
    root = GroupWriter(path)
    texts, cameras = _Texts(), list(begin["meta"]["cameras"])
    steps = [s for c in chunks for s in c["steps"]]
    _write_steps(root.sub("steps"), steps, chunks, texts, cameras)
    for where in ("boundary", "after"):
        _write_states(root.sub(where), [c[where] for c in chunks], texts, cameras)
    _write_chunks(root.sub("chunks", latency_columns=list(LATENCY_NUMBERS)), chunks, undone, texts)
    offers = root.sub("offers", verdict_columns=list(VERDICT_NUMBERS), flag_columns=list(VERDICT_FLAGS))
    _write_offers(offers, [c["offers"] for c in chunks], texts)
    root.sub("snapshots").bytes("data", [c["snapshot"] or b"" for c in chunks], is_packed=True)
    images = root.sub("images")
    for camera in cameras:
        frames = [f for c in chunks for f in c["frames"] if f["camera"] == camera]
        _write_frames(images.sub(camera, codec="jpeg", quality=JPEG_QUALITY, chroma="4:4:4", colour="RGB"), frames)
    lossless = root.sub("lossless")
    for camera in cameras:
        apart = {"is_apart": True} if any(camera in c.get("apart", ()) for c in chunks) else {}
        data = [c["lossless"].get(camera, b"") for c in chunks]
        lossless.sub(camera, codec="png", colour="RGB", **apart).bytes("data", data)
    if last is not None:
        group = root.sub("last")
        group.array("features", np.asarray(last["features"]))
        group.array("noises", np.asarray(last["noises"]))
        group.array("labels", texts.column(last["labels"]))
    root.sub("texts", texts=texts.all)


def _write_states(group: GroupWriter, states: list[Record], texts: _Texts, cameras: list[str]) -> None:
    """Write observations: one row each; `frames` numbers the image of each camera, -1 = none."""
    for name in STATE_NUMBERS:
        group.array(name, np.stack([np.asarray(s[name]) for s in states]))
    group.array("instruction", texts.column([s["instruction"] for s in states]))
    group.array("frames", np.array([[s["frames"].get(c, -1) for c in cameras] for s in states], dtype=np.int32))
    group.bytes("extra", [packing.pack(s["extra"]) for s in states], is_packed=True)


def _write_steps(
    group: GroupWriter, steps: list[Record], chunks: list[Record], texts: _Texts, cameras: list[str]
) -> None:
    _write_states(group, steps, texts, cameras)
    owner = [c["index"] for c in chunks for _ in c["steps"]]
    group.array("chunk", np.array(owner, dtype=np.int32))
    group.array("row", np.array([s["row"] for s in steps], dtype=np.int32))
    for name in ("action_asked", "action_sent", "is_clipped", "overrun_ms"):
        group.array(name, np.stack([np.asarray(s[name]) for s in steps]))
    group.array("clip_reason", texts.column([s["clip_reason"] for s in steps]))


def _write_chunks(group: GroupWriter, chunks: list[Record], undone: set[int], texts: _Texts) -> None:
    for name in (
        "features",
        "noise",
        "recovered",
        "chunk",
        "unsteered_chunk",
        "is_correction",
        "started_ns",
        "latency",
    ):
        group.array(name, np.stack([np.asarray(c[name]) for c in chunks]))
    for name in ("parent", "picked"):
        group.array(name, np.array([c[name] for c in chunks], dtype=np.int32))
    targets = [c.get("target") or [np.nan] * 3 for c in chunks]
    if np.isfinite(targets).any():
        group.array("target", np.array(targets, dtype=np.float64))
    for name in ("called", "noise_policy"):
        # A journal of an earlier version has none of them.
        words = [c.get(name, "") for c in chunks]
        if any(words):
            group.array(name, texts.column(words))
    group.array("is_undone", np.array([c["index"] in undone for c in chunks]))
    for name in ("driver", "device", "reason", "gripper", "instruction"):
        group.array(name, texts.column([c[name] for c in chunks]))
    group.array("plan", texts.column([json.dumps(c["plan"], sort_keys=True) for c in chunks]))
    group.array("first_step", offsets([len(c["steps"]) for c in chunks]))
    group.array("first_offer", offsets([len(c["offers"]["labels"]) for c in chunks]))


def _write_offers(group: GroupWriter, offers: list[Record], texts: _Texts) -> None:
    for name in ("chunks", "noises", "paths"):
        group.array(name, np.concatenate([o[name] for o in offers]))
    for name in ("labels", "kinds"):
        group.array(name, texts.column([t for o in offers for t in o[name]]))
    group.array("verdict", np.array([v for o in offers for v in o["numbers"]], dtype=np.float64))
    group.array("flags", np.array([v for o in offers for v in o["flags"]], dtype=bool))
    # A journal of an earlier version has no values.
    values = [o.get("values") for o in offers]
    if any(v is not None for v in values):
        parts = [np.full(len(o["labels"]), np.nan) if v is None else v for o, v in zip(offers, values, strict=True)]
        group.array("values", np.concatenate(parts))
    warnings = [w for o in offers for w in o["warnings"]]
    group.array("warnings", texts.column([t for w in warnings for t in w]))
    group.array("warnings_offsets", offsets([len(w) for w in warnings]))


def _write_frames(group: GroupWriter, frames: list[Record]) -> None:
    nothing = [np.full((3, 3), np.nan), np.full((4, 4), np.nan), 0, 0, None]
    calibrations = [f["calibration"] or nothing for f in frames]
    made = [np.nan if c[4] is None else c[4] for c in calibrations]
    group.bytes("data", [f["jpeg"] for f in frames])
    group.array("captured_ns", np.array([f["captured_ns"] for f in frames], dtype=np.int64))
    group.array("K", np.array([c[0] for c in calibrations], dtype=np.float64).reshape(-1, 3, 3))
    group.array("T_base_camera", np.array([c[1] for c in calibrations], dtype=np.float64).reshape(-1, 4, 4))
    group.array("calibration_size", np.array([c[2:4] for c in calibrations], dtype=np.int32).reshape(-1, 2))
    group.array("made_at", np.array(made, dtype=np.float64))
