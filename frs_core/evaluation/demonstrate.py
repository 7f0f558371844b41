"""Record demonstrations as episodes: actions without noises, as in a teleoperated data set.

The world's scripted demonstrator drives from start to success. The actions are then cut into chunks of H steps that start
every E steps, like the policy's chunks. Their noises are unknown and stored as NaN (see learning.labels).

Example: 90 actions, H = 16, E = 8: chunks start at 0, 8, ..., 88; the last ones are padded with standing still.
"""

import time
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, Recorder, StepRecord
from frs_core.errors import ConfigError
from frs_core.evaluation.setup import Setup, named
from frs_core.events import Driver, Latency, Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.runtime.registry import call, require_kind
from frs_core.steering.candidates import CandidateKind, Verdict
from frs_core.steering.directions import Gripper

LABEL = "demonstration"
"""Label of the only candidate."""
_NAN = float("nan")


@runtime_checkable
class Demonstrator(Protocol):
    """Does one task in one world."""

    def act(self) -> Float[Array, " 7"] | None:
        """Return the next action (EE_DELTA, robot units), or None when done."""
        ...


def record_demonstration(
    setup: Setup, recorder: Recorder, *, task: str, seed: int, max_steps: int = 320
) -> tuple[bool, str]:
    """Drive one demonstration and record it if it succeeds.

    Args:
        setup: world and policy; the policy defines H, E and the action space.
        recorder: where it goes.
        task: task name of the world.
        seed: of the scene and of the demonstrator's choices.
        max_steps: control steps before giving up.
    Returns:
        Whether it succeeded, and the episode's name (empty when it failed).
    Raises:
        ConfigError: the world has no demonstrator, or the policy does not act in end-effector deltas.
    """
    world, spec = setup.world, setup.policy.spec
    if spec.action_space.kind is not ActionKind.EE_DELTA:
        raise ConfigError(
            f"Demonstrations are in end-effector deltas, but policy '{spec.name}' acts in {spec.action_space.kind.value}. "
            f"Record them by teleoperation instead."
        )
    first = world.reset(task=task, seed=seed)
    path = setup.spec.demonstrator or world.spec.demonstrator
    make = named("demonstrator", path, setup.spec.world)
    demonstrator: Demonstrator = call("demonstrator", path, make, world, task, seed)
    require_kind("demonstrator", path, demonstrator, Demonstrator)
    started_unix = time.time()
    steps, success = _drive(setup, demonstrator, first, max_steps)
    if not success:
        return False, ""
    meta = EpisodeMeta.of(
        spec,
        first,
        task=task,
        seed=seed,
        world=world.spec.name,
        robot=world.spec.robot,
        world_options=world.spec.options,
        policy_options=setup.policy.options,
        is_simulated=world.spec.is_simulated,
        control_hz=world.spec.control_hz,
        plan=setup.policy.default_plan,
        started_unix=started_unix,
        operator="demonstrator",
    )
    episode = recorder.begin(meta)
    for record in _chunks(setup, steps):
        recorder.chunk(record)
    recorder.end(Outcome.SUCCESS, "demonstration")
    return True, episode


def _drive(
    setup: Setup, demonstrator: Demonstrator, first: Observation, max_steps: int
) -> tuple[list[tuple[StepRecord, Observation]], bool]:
    """Return every step with the state after it, and whether the world saw success.

    Done means standing still with the gripper as it is, until the world is convinced.
    """
    world, every = setup.world, setup.policy.spec.execute_rows
    steps: list[tuple[StepRecord, Observation]] = []
    before = first
    while len(steps) < max_steps and not before.success:
        action = demonstrator.act()
        if action is None:
            action = standing(before)
        action = np.asarray(action, dtype=np.float32)
        result = world.step(action, ActionKind.EE_DELTA)
        after = world.observe() if (len(steps) + 1) % every == 0 else world.state()
        record = StepRecord(
            row=len(steps) % every,
            observation=before,
            action_asked=action,
            action_sent=np.asarray(result.executed, dtype=np.float32),
            is_clipped=result.clipped,
            clip_reason=result.reason,
        )
        steps.append((record, after))
        before = after
    return steps, bool(before.success)


def standing(observation: Observation) -> Float[Array, " 7"]:
    """Return the action (EE_DELTA, robot units) that keeps the tool and the gripper as they are."""
    action = np.zeros(7, dtype=np.float32)
    action[-1] = observation.gripper_command
    return action


def _chunks(setup: Setup, steps: list[tuple[StepRecord, Observation]]) -> list[ChunkRecord]:
    spec = setup.policy.spec
    actions = np.stack([record.action_sent for record, _ in steps])
    still = np.tile(standing(steps[-1][1]), (spec.horizon, 1))
    ahead = np.concatenate([actions, still]).astype(np.float32)
    unknown = np.full((spec.horizon, spec.width), np.nan, dtype=np.float32)
    verdict = Verdict(motion_mm=_NAN, bent_mm=_NAN, authority=_NAN, noise_percentile=_NAN)
    records: list[ChunkRecord] = []
    for index, start in enumerate(range(0, len(steps), spec.execute_rows)):
        rows = steps[start : start + spec.execute_rows]
        observation = rows[0][0].observation
        chunk = ahead[start : start + spec.horizon]
        records.append(
            ChunkRecord(
                index=index,
                parent=index - 1,
                observation=observation,
                features=setup.policy.encode(observation).features,
                offered_labels=(LABEL,),
                offered_kinds=(CandidateKind.STEERED,),
                offered_chunks=chunk[None],
                offered_noises=unknown[None],
                offered_paths=spec.action_space.path(chunk[None], observation).astype(np.float32),
                offered_verdicts=(verdict,),
                picked=LABEL,
                driver=Driver.SCRIPTED,
                device="demonstrator",
                reason="",
                is_correction=False,
                noise=unknown,
                recovered=unknown,
                chunk=chunk,
                unsteered_chunk=np.full_like(chunk, np.nan),
                plan=replace(setup.policy.default_plan),
                gripper=Gripper.POLICY,
                instruction=observation.instruction,
                steps=tuple(record for record, _ in rows),
                after=rows[-1][1],
                latency=Latency(),
                snapshot=None,
                started_ns=observation.captured_ns,
            )
        )
    return records
