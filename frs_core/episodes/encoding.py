"""Session records as journal records: plain values, arrays and compressed images.

Problem: a `ChunkRecord` holds nested dataclasses and the same image many times (a boundary is the end of the chunk
before). Idea: each camera image is compressed once and numbered; observations refer to it by number. Records are
checked against the episode's sizes here, so that what is journaled can always be committed.

Example: a chunk of 8 rows with three cameras that are read only at the boundary becomes one record with 6 JPEGs (before
and after) and 3 PNGs (before); the next chunk adds 3 + 3.

Runs on the writer's thread.
"""

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frs_core.episodes.images import encode_jpeg, encode_png
from frs_core.episodes.records import ChunkRecord, EpisodeMeta
from frs_core.errors import EpisodeError
from frs_core.events import Latency
from frs_core.robot.actions import ActionKind, ActionSpace
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.steering.candidates import Verdict
from frs_core.steering.plan import SteeringPlan

VERDICT_NUMBERS = ("motion_mm", "bent_mm", "authority", "noise_percentile")
VERDICT_FLAGS = ("leaves_workspace", "near_joint_limit", "hits_table", "hits_itself")
"""Earlier episodes lack the last."""
LATENCY_NUMBERS = tuple(Latency.__dataclass_fields__)
Json = dict[str, Any]


def meta_to_json(meta: EpisodeMeta) -> Json:
    """Return an episode's facts as plain JSON values, exact."""
    return {
        "task": meta.task,
        "instruction": meta.instruction,
        "seed": int(meta.seed),
        "operator": meta.operator,
        "started_at": float(meta.started_unix),
        "control_hz": float(meta.control_hz),
        "world": {
            "name": meta.world,
            "robot": meta.robot,
            "is_simulated": meta.is_simulated,
            "options": {k: _plain(v) for k, v in meta.world_options.items()},
        },
        "policy": {
            "name": meta.policy,
            "fingerprint": meta.policy_fingerprint,
            "options": {k: _plain(v) for k, v in meta.policy_options.items()},
            "horizon": meta.horizon,
            "width": meta.width,
            "execute_rows": meta.execute_rows,
            "integration_steps": meta.integration_steps,
            "noise_policy": meta.noise_policy,
            "camera_pairing": [list(pair) for pair in meta.camera_pairing],
        },
        "action_space": {
            "kind": meta.action_space.kind.value,
            "control_hz": float(meta.action_space.control_hz),
            "reach": float(meta.action_space.reach),
            **{
                name: [np.asarray(a).dtype.str, np.asarray(a).tolist()]
                for name, a in ((n, getattr(meta.action_space, n)) for n in ("offset", "scale", "low", "high"))
            },
        },
        "plan": {k: _plain(v) for k, v in meta.plan.to_json().items()},
        "cameras": {name: None if c is None else _calibration_json(c) for name, c in meta.cameras.items()},
    }


def meta_from_json(data: Json) -> EpisodeMeta:
    """Return the facts of `meta_to_json`. Raises KeyError, TypeError or ValueError on anything else."""
    space, policy, world = data["action_space"], data["policy"], data["world"]
    bounds = {n: np.array(space[n][1], dtype=space[n][0]) for n in ("offset", "scale", "low", "high")}
    return EpisodeMeta(
        task=data["task"],
        instruction=data["instruction"],
        seed=data["seed"],
        world=world["name"],
        robot=world.get("robot", ""),
        is_simulated=world["is_simulated"],
        policy=policy["name"],
        policy_fingerprint=policy["fingerprint"],
        horizon=policy["horizon"],
        width=policy["width"],
        execute_rows=policy["execute_rows"],
        integration_steps=policy["integration_steps"],
        action_space=ActionSpace(
            ActionKind(space["kind"]), **bounds, control_hz=space["control_hz"], reach=space.get("reach", 1.0)
        ),
        plan=SteeringPlan.from_json(data["plan"]),
        cameras={name: None if c is None else _calibration_of(c) for name, c in data["cameras"].items()},
        control_hz=data["control_hz"],
        started_unix=data["started_at"],
        operator=data["operator"],
        noise_policy=policy["noise_policy"],
        world_options=world["options"],
        policy_options=policy.get("options", {}),
        camera_pairing=tuple((name, camera) for name, camera in policy.get("camera_pairing", ())),
    )


@dataclass(frozen=True, slots=True)
class FrameState:
    """Which images of an episode are journaled so far."""

    counts: dict[str, int] = field(default_factory=dict)
    """Per camera, how many."""
    last: dict[str, tuple[int, CameraFrame]] = field(default_factory=dict)
    """Per camera, number and image of the newest one."""


class ChunkEncoder:
    """Turns the chunks of one episode into journal records."""

    def __init__(self, meta: EpisodeMeta) -> None:
        """Begin an episode."""
        self._meta = meta
        self._feature_size: int | None = None

    def encode(self, record: ChunkRecord, frames: FrameState) -> tuple[Json, FrameState]:
        """Return the journal record, and the state of images once it is on disk.

        Args:
            record: one executed chunk.
            frames: images journaled before.
        Raises:
            EpisodeError: the record does not fit the episode.
        """
        self._check(record)
        images = _Images(FrameState(dict(frames.counts), dict(frames.last)))
        boundary = images.observation(record.observation)
        steps = [
            {
                **images.observation(s.observation),
                "row": int(s.row),
                "action_asked": np.asarray(s.action_asked),
                "action_sent": np.asarray(s.action_sent),
                "is_clipped": bool(s.is_clipped),
                "clip_reason": s.clip_reason,
                "overrun_ms": float(s.overrun_ms),
            }
            for s in record.steps
        ]
        after = images.observation(record.after)
        encoded = {
            "kind": "chunk",
            **_chunk_fields(record),
            "boundary": boundary,
            "steps": steps,
            "after": after,
            "offers": _offer_fields(record),
            "frames": images.fresh,
            "lossless": {name: encode_png(f.for_policy) for name, f in record.observation.frames.items()},
            "apart": [name for name, f in record.observation.frames.items() if f.policy_image is not None],
        }
        self._feature_size = record.features.size
        return encoded, images.state

    def _check(self, r: ChunkRecord) -> None:
        h, a_flow, a = self._meta.horizon, self._meta.width, self._meta.action_space.size
        c = len(r.offered_labels)
        expected: list[tuple[str, Any, tuple[int, ...]]] = [
            ("noise", r.noise, (h, a_flow)),
            ("recovered", r.recovered, (h, a_flow)),
            ("chunk", r.chunk, (h, a)),
            ("unsteered_chunk", r.unsteered_chunk, (h, a)),
            ("offered_chunks", r.offered_chunks, (c, h, a)),
            ("offered_noises", r.offered_noises, (c, h, a_flow)),
            ("offered_paths", r.offered_paths, (c, h + 1, 3)),
            ("offered_values", np.zeros(c) if r.offered_values is None else r.offered_values, (c,)),
            ("target", np.zeros(3) if r.target is None else np.array(r.target), (3,)),
            ("features", r.features, (r.features.size if self._feature_size is None else self._feature_size,)),
        ]
        for i, step in enumerate(r.steps):
            expected += [(f"steps[{i}].action_{w}", getattr(step, f"action_{w}"), (a,)) for w in ("asked", "sent")]
        for where, o in (
            ("observation", r.observation),
            ("after", r.after),
            *((f"steps[{s.row}]", s.observation) for s in r.steps),
        ):
            expected += [
                (f"{where}.q", o.q, (7,)),
                (f"{where}.dq", o.dq, (7,)),
                (f"{where}.T_base_tcp", o.T_base_tcp, (4, 4)),
            ]
            unknown = set(o.frames) - set(self._meta.cameras)
            if unknown:
                raise EpisodeError(
                    f"Chunk {r.index} has an image of camera {sorted(unknown)}, the episode began with "
                    f"{sorted(self._meta.cameras)}. Start an episode for another set of cameras."
                )
        for name, value, shape in expected:
            if np.shape(value) != shape:
                raise EpisodeError(
                    f"Chunk {r.index} cannot be recorded: '{name}' has shape {np.shape(value)}, the episode's policy "
                    f"'{self._meta.policy}' needs {shape}. Start an episode for another policy."
                )
        if not r.steps:
            raise EpisodeError(f"Chunk {r.index} cannot be recorded: no row was executed. Record executed chunks only.")
        if not (len(r.offered_kinds) == len(r.offered_verdicts) == c and r.picked in r.offered_labels):
            raise EpisodeError(
                f"Chunk {r.index} cannot be recorded: {c} labels, {len(r.offered_kinds)} kinds and "
                f"{len(r.offered_verdicts)} verdicts offered, '{r.picked}' picked. They must be one fan."
            )


class _Images:
    """Numbers and compresses the images of one record."""

    def __init__(self, state: FrameState) -> None:
        self.state = state
        self.fresh: list[Json] = []

    def observation(self, o: Observation) -> Json:
        """Return a state with its images' numbers."""
        return {
            "captured_ns": int(o.captured_ns),
            "step": int(o.step),
            "q": np.asarray(o.q),
            "dq": np.asarray(o.dq),
            "gripper": float(o.gripper),
            "gripper_command": float(o.gripper_command),
            "T_base_tcp": np.asarray(o.T_base_tcp),
            "success": -1 if o.success is None else int(o.success),
            "instruction": o.instruction,
            "extra": {k: np.asarray(v) for k, v in o.extra.items()},
            "frames": {name: self._number(name, frame) for name, frame in o.frames.items()},
        }

    def _number(self, camera: str, frame: CameraFrame) -> int:
        if camera in self.state.last:
            number, former = self.state.last[camera]
            if _is_same(former, frame):
                return number
        number = self.state.counts.get(camera, 0)
        self.state.counts[camera] = number + 1
        self.state.last[camera] = (number, frame)
        c = frame.calibration
        self.fresh.append(
            {
                "camera": camera,
                "captured_ns": int(frame.captured_ns),
                "jpeg": encode_jpeg(frame.image),
                "calibration": None
                if c is None
                else [
                    np.asarray(c.K, float),
                    np.asarray(c.T_base_camera, float),
                    int(c.width),
                    int(c.height),
                    c.made_at,
                ],
            }
        )
        return number


def _is_same(a: CameraFrame, b: CameraFrame) -> bool:
    if a is b:
        return True
    if a.captured_ns != b.captured_ns or not (a.image is b.image or np.array_equal(a.image, b.image)):
        return False
    if a.calibration is None or b.calibration is None:
        return a.calibration is b.calibration
    return a.calibration is b.calibration or np.array_equal(a.calibration.T_base_camera, b.calibration.T_base_camera)


def _chunk_fields(r: ChunkRecord) -> Json:
    """Return what `chunks/` holds of a record."""
    return {
        "index": int(r.index),
        "parent": int(r.parent),
        "features": np.asarray(r.features),
        "noise": np.asarray(r.noise),
        "recovered": np.asarray(r.recovered),
        "chunk": np.asarray(r.chunk),
        "unsteered_chunk": np.asarray(r.unsteered_chunk),
        "picked": r.picked_index,
        "driver": r.driver.value,
        "device": r.device,
        "reason": r.reason,
        "is_correction": bool(r.is_correction),
        "plan": {k: _plain(v) for k, v in r.plan.to_json().items()},
        "gripper": r.gripper.value,
        "instruction": r.instruction,
        "latency": [float(getattr(r.latency, name)) for name in LATENCY_NUMBERS],
        "started_ns": int(r.started_ns),
        "snapshot": r.snapshot,
        "target": None if r.target is None else [float(x) for x in r.target],
        **({"called": r.called} if r.called else {}),
        "noise_policy": r.noise_policy,
    }


def _offer_fields(r: ChunkRecord) -> Json:
    return {
        "labels": list(r.offered_labels),
        "kinds": [k.value for k in r.offered_kinds],
        "chunks": np.asarray(r.offered_chunks),
        "noises": np.asarray(r.offered_noises),
        "paths": np.asarray(r.offered_paths),
        "numbers": [[float(getattr(v, n)) for n in VERDICT_NUMBERS] for v in r.offered_verdicts],
        "values": None if r.offered_values is None else np.asarray(r.offered_values, np.float64),
        "flags": [[bool(getattr(v, n)) for n in VERDICT_FLAGS] for v in r.offered_verdicts],
        "warnings": [list(v.warnings) for v in r.offered_verdicts],
    }


def verdict_of(numbers: Any, flags: Any, warnings: tuple[str, ...]) -> Verdict:
    """Return the verdict stored as numbers, flags and texts."""
    values = {n: float(x) for n, x in zip(VERDICT_NUMBERS, numbers, strict=True)}
    marks = {n: bool(x) for n, x in zip(VERDICT_FLAGS, flags, strict=False)}
    return Verdict(**values, **marks, warnings=warnings)


def _calibration_json(c: Calibration) -> Json:
    return {
        "K": np.asarray(c.K, float).tolist(),
        "T_base_camera": np.asarray(c.T_base_camera, float).tolist(),
        "width": int(c.width),
        "height": int(c.height),
        "made_at": c.made_at,
    }


def _calibration_of(data: Json) -> Calibration:
    return Calibration(
        np.array(data["K"]), np.array(data["T_base_camera"]), data["width"], data["height"], data["made_at"]
    )


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return value.item() if isinstance(value, np.generic) else value
