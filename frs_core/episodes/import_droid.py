"""A DROID raw trajectory (trajectory.h5 with its MP4 videos) as an episode, to look at, to replay, to learn from.

    import_droid(Path("success/2023-04-20/Thu_Apr_20_14:11:09_2023"), store)   # -> "20230420T141109Z_01GYF..."

Each stretch of `rows` steps becomes a chunk with one offer, "demonstration", picked by a person; it has no noise (NaN), so
training takes it only through offline labels. Steps at which the demonstrator's hand was off the trigger are left out: the
arm stood still. Images are the left eyes; DROID's frame i belongs to step i unless its time stamps say otherwise. What else was
left out, not stated or guessed stands in the episode's note.

Any thread; tens of seconds for HD videos.
"""

from functools import partial
from pathlib import Path

from frs_core.episodes.demonstration import DEMONSTRATION, Demonstration, demonstrated_space, record_demonstration
from frs_core.episodes.droid_cameras import FilmReader
from frs_core.episodes.droid_trajectory import HZ, DroidTrajectory, read_trajectory, trajectories_below, trajectory_file
from frs_core.episodes.imported import NO_INSTRUCTION, EarlierImports, Imported, import_each
from frs_core.episodes.index import SOURCE
from frs_core.episodes.records import EpisodeMeta
from frs_core.episodes.stated import kind_of, unreadable
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import ROBOTIQ_OFFSET, Arm
from frs_core.runtime.foreign import digest as file_digest
from frs_core.runtime.foreign import visible
from frs_core.steering.plan import SteeringPlan


def import_droid(
    source: Path,
    store: EpisodeStore,
    *,
    actions: ActionKind | None = None,
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
        actions: which of DROID's action columns to take, joint velocity or joint position; None = velocity, else position where
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
    trajectory_file(source if kind_of(source) == "folder" else source.parent)
    made = import_droid_once(
        source,
        store,
        actions=actions,
        instruction=instruction,
        outcome=outcome,
        again=True,
        rows=rows,
        width=width,
        tool_offset=tool_offset,
    )
    return made.names[0]


def import_droid_once(
    source: Path,
    store: EpisodeStore,
    *,
    actions: ActionKind | None = None,
    instruction: str | None = None,
    outcome: Outcome | None = None,
    again: bool = False,
    arm: Arm | None = None,
    rows: int = 8,
    width: int = 640,
    tool_offset: float = ROBOTIQ_OFFSET,
) -> Imported:
    """Record the trajectories at or below a folder into a store that no earlier import made; one that fails leaves nothing of itself.

    Args and Raises as of `import_droid`; of several trajectories, one that fails is reported in the result. And:
        again: record also what an earlier import made an episode of, by the same trajectory.h5.
        arm: may be stated; all of DROID's robots are Franka arms.
    """
    folder = source if kind_of(source) == "folder" else source.parent
    if folder != source and source.name != "trajectory.h5":
        raise EpisodeError(
            f"'{source}' is {'no trajectory.h5' if kind_of(source) else 'not there'}. Name the folder of one DROID trajectory, or its trajectory.h5."
        )
    before = EarlierImports(store)

    def one(folder: Path) -> Imported:
        return _import_one(
            folder,
            store,
            before,
            actions,
            instruction,
            outcome,
            again=again,
            rows=rows,
            width=width,
            tool_offset=tool_offset,
        )

    below = [] if kind_of(folder / "trajectory.h5") else trajectories_below(folder)
    if not below:
        return one(folder)
    return import_each((f"'{visible(f.relative_to(folder))}'", partial(one, f)) for f in below)


def _import_one(
    folder: Path,
    store: EpisodeStore,
    before: EarlierImports,
    actions: ActionKind | None,
    instruction: str | None,
    outcome: Outcome | None,
    *,
    again: bool,
    rows: int,
    width: int,
    tool_offset: float,
) -> Imported:
    digest = _digest(trajectory_file(folder))
    if not again and (earlier := before.find(digest)):
        return Imported((), (earlier,))
    trajectory = read_trajectory(folder, kind=actions, width=width)
    outcome = outcome or trajectory.outcome
    if outcome is None:
        labels = [remark for remark in trajectory.remarks if "success" in remark or "failure" in remark]
        raise EpisodeError(
            f"'{folder}' does not say whether it succeeded{' (' * bool(labels)}{'; '.join(labels)}{')' * bool(labels)}. Give --outcome success or "
            f"--outcome failure."
        )
    remarks = [*trajectory.remarks, *before.remarks(digest)]
    said = trajectory.instruction if instruction is None else instruction
    if not said.strip():
        remarks.append(NO_INSTRUCTION)
    films = FilmReader(trajectory.cameras)
    name = record_demonstration(
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
        _meta(trajectory, said, rows, folder, digest),
        source=f"'{folder / 'trajectory.h5'}'",
        outcome=outcome,
        note="; ".join([f"Imported from DROID: {visible(folder.resolve().name)}", *remarks]),
        tool_offset=tool_offset,
    )
    return Imported((name,))


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _meta(trajectory: DroidTrajectory, instruction: str, rows: int, folder: Path, digest: str) -> EpisodeMeta:
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
            "imported_from": visible(folder.resolve().name),
            SOURCE: digest,
            "building": trajectory.attributes.get("building", ""),
            **{f"serial_{c.name}": c.serial for c in trajectory.cameras},
        },
    )
