"""A DROID raw trajectory (trajectory.h5 with its MP4 videos) as an episode, to look at, to replay, to learn from.

    import_droid(Path("success/2023-04-20/Thu_Apr_20_14:11:09_2023"), store)      # -> "20230420T141109Z_01GYF..."

Each stretch of `rows` steps becomes a chunk with one offer, "demonstration", picked by a person; it has no noise (NaN), so
training takes it only through offline labels. Steps at which the demonstrator's hand was off the trigger are left out: the
arm stood still. Images are the left eyes; DROID's frame i belongs to step i unless its time stamps say otherwise. What else was
left out, not stated or guessed stands in the episode's note.

Any thread; tens of seconds for HD videos.
"""

from pathlib import Path

from frs_core.episodes.demonstration import DEMONSTRATION, Demonstration, demonstrated_space, record_demonstration
from frs_core.episodes.droid_cameras import FilmReader
from frs_core.episodes.droid_trajectory import HZ, DroidTrajectory, read_trajectory
from frs_core.episodes.records import EpisodeMeta
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import ROBOTIQ_OFFSET
from frs_core.steering.plan import SteeringPlan


def import_droid(
    source: Path,
    store: EpisodeStore,
    *,
    kind: ActionKind | None = None,
    instruction: str | None = None,
    outcome: Outcome | None = None,
    rows: int = 8,
    width: int = 640,
    tool_offset: float = ROBOTIQ_OFFSET,
) -> str:
    """Record a trajectory into a store and return the new episode's name; a failure leaves nothing in the store.

    Args:
        source: the trajectory's folder, or its trajectory.h5.
        store: where to record.
        kind: which of DROID's action columns to take, joint velocity or joint position; None = velocity, else position where
            the file has only that.
        instruction: what the policy is to do; default what the trajectory says.
        outcome: how it ended; default what the trajectory says.
        rows: steps per chunk.
        width: images wider than this are shrunk to it, pixels.
        tool_offset: flange to fingertips, metres.
    Raises:
        ConfigError: h5py or PyAV is missing.
        EpisodeCorrupt: the trajectory is damaged or not DROID's.
        EpisodeError: it does not say how it ended, or the store cannot be written.
    """
    folder = source if source.is_dir() else source.parent
    trajectory = read_trajectory(folder, kind=kind, width=width)
    outcome = outcome or trajectory.outcome
    if outcome is None:
        raise EpisodeError(
            f"'{folder}' does not say whether it succeeded. Give --outcome success or --outcome failure."
        )
    remarks = list(trajectory.remarks)
    said = trajectory.instruction if instruction is None else instruction
    if not said:
        remarks.append("no instruction is stated: import again with --instruction TEXT to give one")
    films = FilmReader(trajectory.cameras)
    return record_demonstration(
        Demonstration(
            q=trajectory.q,
            dq=trajectory.dq,
            gripper=trajectory.gripper,
            actions=trajectory.actions,
            times_ns=trajectory.times_ns,
            gaps=trajectory.gaps,
            frames=lambda step: films.frames(int(trajectory.rows[step]), int(trajectory.times_ns[step])),
            device="droid",
        ),
        store,
        _meta(trajectory, said, rows, folder),
        outcome=outcome,
        note="; ".join([f"Imported from DROID: {folder.name}", *remarks]),
        tool_offset=tool_offset,
    )


def _meta(trajectory: DroidTrajectory, instruction: str, rows: int, folder: Path) -> EpisodeMeta:
    return EpisodeMeta(
        task=None,
        instruction=instruction,
        seed=0,
        world="droid",
        is_simulated=False,
        policy=DEMONSTRATION,
        policy_fingerprint=DEMONSTRATION,
        horizon=rows,
        width=8,
        execute_rows=rows,
        integration_steps=SteeringPlan().steps,
        action_space=demonstrated_space(trajectory.kind),
        plan=SteeringPlan(),
        cameras={c.name: None for c in trajectory.cameras},
        control_hz=HZ,
        started_unix=trajectory.started_unix,
        operator=trajectory.attributes.get("user", ""),
        world_options={
            "imported_from": folder.name,
            "building": trajectory.attributes.get("building", ""),
            **{f"serial_{c.name}": c.serial for c in trajectory.cameras},
        },
    )
