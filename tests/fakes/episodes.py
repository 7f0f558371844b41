"""Episodes made of seeded random numbers and images: every field filled, nothing simulated, quick to make."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from frs_core.episodes.records import ChunkRecord, EpisodeMeta, Recorder, StepRecord
from frs_core.events import Driver, Latency, Outcome
from frs_core.robot.actions import ee_delta_space
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.steering.candidates import UNSTEERED, CandidateKind, Verdict
from frs_core.steering.directions import Gripper, fan_commands
from frs_core.steering.methods import SteeringPlan

CAMERAS = ("left", "right", "wrist")
HORIZON, WIDTH, FEATURES = 8, 9, 12

INSTRUCTION = "put the bowl on the plate, ‘gently’"
"""Of every step, unless another is asked for."""


def random_meta(seed: int = 0, *, cameras: tuple[str, ...] = CAMERAS, size: int = 32, **changes: object) -> EpisodeMeta:
    """Return the facts of an episode."""
    rng = np.random.default_rng(seed)
    meta = EpisodeMeta(
        task="stack_bowls",
        instruction=INSTRUCTION,
        seed=seed,
        world="random",
        is_simulated=True,
        policy="toy",
        policy_fingerprint="toy-1",
        horizon=HORIZON,
        width=WIDTH,
        execute_rows=4,
        integration_steps=10,
        action_space=ee_delta_space(translation=0.02, rotation=0.1),
        plan=SteeringPlan(components=1),
        cameras={c: _calibration(rng, size) for c in cameras},
        control_hz=15.0,
        started_unix=1_790_000_000.125,
        operator="ada",
        noise_policy=None,
        world_options={"cameras": "near", "friction": 0.7, "objects": 3},
    )
    return dataclasses.replace(meta, **changes)


def random_chunks(
    seed: int = 0,
    *,
    count: int = 3,
    rows: int = 4,
    size: int = 32,
    cameras: tuple[str, ...] = CAMERAS,
    has_step_images: bool = True,
    instruction: str = INSTRUCTION,
) -> Iterator[ChunkRecord]:
    """Yield chunks that follow each other; the end of one is the boundary of the next."""
    rng = np.random.default_rng(seed)
    now = _observation(rng, 0, size, cameras, instruction)
    for index in range(count):
        boundary, steps = now, []
        for row in range(rows):
            asked = rng.normal(size=7).astype(np.float32)
            is_clipped = bool(rng.random() < 0.3)
            seen = boundary if row == 0 else now
            steps.append(
                StepRecord(
                    row=row,
                    observation=seen if has_step_images else dataclasses.replace(seen, frames={}),
                    action_asked=asked,
                    action_sent=asked * 0.5 if is_clipped else asked,
                    is_clipped=is_clipped,
                    clip_reason="the workspace" if is_clipped else "",
                    overrun_ms=float(rng.random()),
                )
            )
            now = _observation(rng, index * rows + row + 1, size, cameras, instruction)
        yield _chunk(rng, index, boundary, tuple(steps), now)


def record(recorder: Recorder, seed: int = 0, *, count: int = 3, size: int = 32, **options: object) -> str:
    """Begin an episode and record some chunks; the caller ends it. Returns its name."""
    name = recorder.begin(random_meta(seed, size=size))
    for chunk in random_chunks(seed, count=count, size=size, **options):
        recorder.chunk(chunk)
    return name


def record_versions(recorder: Recorder, versions: Sequence[str], *, learned: Collection[int]) -> str:
    """Record a success whose fans had these versions of a noise policy, one per chunk, and return its name.

    Args:
        recorder: keeps it.
        versions: path of the noise policy in each chunk's fan; empty = none.
        learned: chunks in which its candidate was picked.
    """
    name = recorder.begin(random_meta(1, noise_policy=versions[0] or None))
    for i, chunk in enumerate(random_chunks(1, count=len(versions))):
        kinds = list(chunk.offered_kinds)
        if i in learned:
            kinds[chunk.picked_index] = CandidateKind.LEARNED
        recorder.chunk(dataclasses.replace(chunk, noise_policy=versions[i], offered_kinds=tuple(kinds)))
    recorder.end(Outcome.SUCCESS)
    return name


def _chunk(
    rng: np.random.Generator, index: int, boundary: Observation, steps: tuple[StepRecord, ...], after: Observation
) -> ChunkRecord:
    labels = (UNSTEERED, *(c.label for c in fan_commands()))
    c = len(labels)
    noises = rng.normal(size=(c, HORIZON, WIDTH)).astype(np.float32)
    chunks = rng.normal(size=(c, HORIZON, 7)).astype(np.float32)
    picked = int(rng.integers(c))
    kinds = (CandidateKind.UNSTEERED, *[CandidateKind.STEERED] * (c - 1))
    verdicts = tuple(
        Verdict(*(float(x) for x in rng.random(4)), hits_table=bool(i % 2), warnings=("hits the table", "far")[: i % 3])
        for i in range(c)
    )
    return ChunkRecord(
        index=index,
        parent=index - 1,
        observation=boundary,
        features=rng.normal(size=FEATURES).astype(np.float32),
        offered_labels=labels,
        offered_kinds=kinds,
        offered_chunks=chunks,
        offered_noises=noises,
        offered_paths=rng.normal(size=(c, HORIZON + 1, 3)),
        offered_verdicts=verdicts,
        picked=labels[picked],
        driver=Driver.PERSON if index % 2 == 0 else Driver.LEARNED,
        device="keyboard",
        reason="" if index % 2 == 0 else "nearest to the bowl",
        is_correction=index % 3 == 2,
        noise=noises[picked],
        recovered=noises[picked] * 2,
        chunk=chunks[picked],
        unsteered_chunk=chunks[0],
        plan=SteeringPlan(components=1, seed=index),
        gripper=Gripper.POLICY,
        instruction=boundary.instruction,
        steps=steps,
        after=after,
        latency=Latency(encode_ms=12.5, steer_ms=float(rng.random())),
        snapshot=rng.bytes(200) if index != 1 else None,
        started_ns=int(rng.integers(1 << 60)),
    )


def _observation(
    rng: np.random.Generator, step: int, size: int, cameras: tuple[str, ...], instruction: str
) -> Observation:
    T = np.eye(4)
    T[:3, 3] = rng.normal(size=3)
    now = 10**12 + step * 66_666_667
    return Observation(
        frames={c: CameraFrame(textured(rng, size), now + i, _calibration(rng, size)) for i, c in enumerate(cameras)},
        q=rng.normal(size=7),
        dq=rng.normal(size=7),
        gripper=float(rng.random()),
        T_base_tcp=T,
        instruction=instruction,
        captured_ns=now,
        step=step,
        gripper_command=float(rng.random()),
        success=(None, False, True)[step % 3],
        extra={"bowl": rng.normal(size=7), "drawer": np.array([step], dtype=np.int32)},
    )


def _calibration(rng: np.random.Generator, size: int) -> Calibration:
    T = np.eye(4)
    T[:3, 3] = rng.normal(size=3)
    K = np.array([[size * 1.1, 0.0, size / 2], [0.0, size * 1.1, size / 2], [0.0, 0.0, 1.0]])
    return Calibration(K, T, size, size, None if rng.random() < 0.5 else float(rng.random()) * 1e9)


def textured(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a smooth image with sensor noise (sigma 1.5), RGB."""
    y, x = np.mgrid[0:size, 0:size] / size
    phase = rng.random(3) * 6.28
    waves = [127 + 80 * np.sin(9 * x + 4 * y + p) + 20 * np.sin(40 * y + p) for p in phase]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 1.5, (size, size, 3)), 0, 255).astype(np.uint8)
