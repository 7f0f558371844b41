"""Episodes of a LeRobot dataset (codebase v2.1 or v3.0, a local folder) as episodes, one each.

    import_lerobot(Path("my_dataset"), store, outcome=Outcome.SUCCESS)        # -> ("20260420T141109Z_01GYF...", ...)

`lerobot_dataset` says what the dataset states; this reads an episode's rows and images and records it. An episode is recognised by its
numbers, so that an import that was interrupted continues when it is started again, from a dataset that has grown, too.

Any thread; seconds per episode.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float, Int, UInt8

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.demonstration import (
    DEMONSTRATION,
    Demonstration,
    demonstrated_space,
    record_demonstration,
    require_joint_speeds,
    say_gripper_range,
    single,
)
from frs_core.episodes.export_lerobot import pyarrow_modules
from frs_core.episodes.foreign_columns import ParquetFile
from frs_core.episodes.imported import NO_INSTRUCTION, EarlierImports, Imported, import_each, raise_first
from frs_core.episodes.index import SOURCE
from frs_core.episodes.lerobot_dataset import ENDED, LANGUAGE, SAME_RATE, LeRobotDataset, LeRobotEpisode, read_dataset
from frs_core.episodes.records import EpisodeMeta
from frs_core.episodes.stated import kind_of
from frs_core.episodes.store import EpisodeStore
from frs_core.episodes.video import count_frames, read_video, video_rate
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import ROBOTIQ_OFFSET, Arm
from frs_core.robot.observation import CameraFrame
from frs_core.runtime.foreign import in_line, visible
from frs_core.steering.plan import SteeringPlan


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The numbers of one episode, as its table has them."""

    places: Int[Array, " N"]
    """Rows of the table."""
    q: Float[Array, "N 7"]
    gripper: Float[Array, "N 1"]
    speeds: Float[Array, "N 7"] | None
    """rad/s; None where they are not stated."""
    actions: Float[Array, "N a"]


def import_lerobot(
    source: Path,
    store: EpisodeStore,
    *,
    actions: ActionKind | None = None,
    arm: Arm | None = None,
    instruction: str | None = None,
    outcome: Outcome | None = None,
    rows: int = 8,
    tool_offset: float | None = None,
) -> tuple[str, ...]:
    """Record every episode of a dataset into a store and return the new names; one that fails leaves nothing of itself, and is raised after the rest.

    Args:
        source: the dataset's folder.
        store: where to record.
        actions: what they mean; default what the dataset states.
        arm: whose joints they are; default what the dataset states, and a Franka's where it states nothing.
        instruction: what the policy is to do; default each row's task.
        outcome: how the episodes ended; default what the rows say, in one of the columns of `ENDED`.
        rows: steps per chunk.
        tool_offset: flange to fingertips, metres; default that of DROID's gripper, which is said.
    Raises:
        ConfigError: pyarrow or PyAV is missing.
        EpisodeCorrupt: the dataset is damaged or contradicts itself.
        EpisodeError: no such dataset, its columns' meaning or an episode's outcome is not stated, its numbers are too large for their units, or the store cannot
            be written.
    """
    made = import_lerobot_once(
        source,
        store,
        actions=actions,
        arm=arm,
        instruction=instruction,
        outcome=outcome,
        again=True,
        rows=rows,
        tool_offset=tool_offset,
    )
    raise_first(made)
    return made.names


def import_lerobot_once(
    source: Path,
    store: EpisodeStore,
    *,
    actions: ActionKind | None = None,
    arm: Arm | None = None,
    instruction: str | None = None,
    outcome: Outcome | None = None,
    again: bool = False,
    rows: int = 8,
    tool_offset: float | None = None,
) -> Imported:
    """Record the episodes of a dataset that no earlier import made into a store; one that fails leaves nothing of itself and is reported in the result.

    Args and Raises as of `import_lerobot`, where they are of the whole dataset or of the store, and:
        again: record also what an earlier import made of the same rows.
    """
    arrow = pyarrow_modules()
    dataset = read_dataset(source, arrow=arrow, kind=actions, arm=arm)
    if outcome is None and not dataset.columns & set(ENDED):
        raise EpisodeError(
            f"'{source}' does not say how its episodes ended (no column {' or '.join(ENDED)}). Give --outcome success (as for demonstrations) or failure."
        )
    before, tables = EarlierImports(store), _Tables(arrow)

    def one(episode: LeRobotEpisode) -> Imported:
        taken = _rows(dataset, episode, tables)
        table, remarks = tables.open(episode.table), [*dataset.remarks]
        if tool_offset is None:
            remarks.append(f"the tool is not stated: taken for a Robotiq 2F-85, {ROBOTIQ_OFFSET:g} m beyond the flange")
        tasks = _tasks(dataset, episode, table, taken, remarks) if instruction is None else (instruction,)
        lacking = _lacking(dataset, episode, table)
        digest = _digest(dataset, episode, taken, without=lacking)
        known = (digest, _digest(dataset, episode, taken))
        if not again and (name := before.find(known[0]) or before.find(known[1])):
            return Imported((), (name,))
        remarks += before.remarks(digest)
        ended = _outcome(episode, table, taken, outcome, remarks)
        named = list(dict.fromkeys(filter(str.strip, tasks)))
        if not named:
            remarks.append(NO_INSTRUCTION)
        elif len(named) > 1:
            remarks.append(
                f"its rows have {len(named)} tasks, in the order of its instruction: each step keeps its own"
            )
        say_gripper_range(taken.gripper[:, 0], dataset.gripper, "clipped", remarks)
        say_gripper_range(taken.actions[:, -1], f"the gripper in {dataset.actions[-1]}", "kept", remarks)
        remarks += _say_lacking(dataset, episode, lacking)
        films = _films(dataset, episode, table, taken, lacking)
        name = record_demonstration(
            _demonstration(dataset, episode, taken, films, tasks if len(named) > 1 else ()),
            store,
            _meta(dataset, episode, rows, "; ".join(named), digest, cameras=tuple(films)),
            source=f"'{episode.table}', episode {episode.number}",
            outcome=ended,
            note="; ".join(
                [
                    f"Imported from LeRobot: {_name(source)}, episode {episode.number}",
                    *remarks,
                    *_unread(dataset, remarks),
                ]
            ),
            tool_offset=ROBOTIQ_OFFSET if tool_offset is None else tool_offset,
        )
        return Imported((name,))

    try:
        return import_each((f"episode {e.number}", partial(one, e)) for e in dataset.episodes)
    finally:
        tables.close()


class _Tables:
    """The table that was read last, since v3.0 keeps many episodes in one."""

    def __init__(self, arrow: tuple[ModuleType, ModuleType]) -> None:
        self._arrow, self._last = arrow, None

    def open(self, path: Path) -> ParquetFile:
        """Return a table. Raises as `ParquetFile`."""
        if self._last is None or self._last.path != path:
            self.close()
            self._last = ParquetFile(path, arrow=self._arrow)
        return self._last

    def close(self) -> None:
        """Close it."""
        if self._last is not None:
            self._last.close()
            self._last = None


def _name(source: Path) -> str:
    return visible(source.resolve().name)


def _rows(dataset: LeRobotDataset, episode: LeRobotEpisode, tables: _Tables) -> _Rows:
    """Return an episode's numbers. Raises EpisodeError where its table has others than the dataset states."""
    table, number = tables.open(episode.table), episode.number
    mine = np.flatnonzero(table.whole("episode_index") == number)
    if len(mine) != episode.length:
        raise EpisodeCorrupt(
            f"'{table.path}' has {counted(len(mine), 'row')} of episode {number}, expected {episode.length} as meta/ lists it. Put a whole copy "
            f"of the dataset there."
        )
    if "frame_index" in dataset.columns:
        counted_up = table.whole("frame_index")[mine]
        if (wrong := np.flatnonzero(np.diff(counted_up) != 1)).size:
            raise EpisodeCorrupt(
                f"'{table.path}', 'frame_index' of episode {number} does not count up after row {mine[wrong[0]]}. Sort the rows, or put a whole "
                f"copy of the file there."
            )
        if counted_up[0] != 0:
            raise EpisodeCorrupt(
                f"'{table.path}', 'frame_index' of episode {number} begins at {counted_up[0]}, expected 0: rows are missing, or were renumbered. Put "
                f"a whole copy of the file there, or number the rows from 0."
            )
    if "timestamp" in dataset.columns and table.has("timestamp"):
        times = table.numbers("timestamp", 1, mine)[:, 0]
        off = np.abs(times - np.arange(len(mine)) / dataset.hz) * dataset.hz
        if (late := np.flatnonzero(off > 0.5)).size:
            raise EpisodeCorrupt(
                f"'{table.path}', 'timestamp' is {times[late[0]]:g} s in row {mine[late[0]]}, expected "
                f"{late[0] / dataset.hz:g} s at the {dataset.hz:g} Hz of meta/info.json. Correct fps there, or resample the episode."
            )
    return _Rows(
        places=mine,
        q=table.numbers(dataset.joints, 7, mine),
        gripper=table.numbers(dataset.gripper, 1, mine),
        speeds=table.numbers(dataset.speeds, 7, mine) if dataset.speeds else None,
        actions=np.concatenate([table.numbers(n, w, mine) for n, w in dataset.action_widths], axis=1),
    )


def _tasks(
    dataset: LeRobotDataset, episode: LeRobotEpisode, table: ParquetFile, rows: _Rows, remarks: list[str]
) -> tuple[str, ...]:
    """Return the task of each row. Raises EpisodeCorrupt where a row states another one than the list of episodes."""
    if dataset.task_names and "task_index" in dataset.columns and table.has("task_index"):
        indices = table.whole("task_index")[rows.places]
        for index in np.unique(indices):
            _require_own_task(dataset, episode, table, int(index))
        tasks = tuple(dataset.task_names[int(index)] for index in indices)
    else:
        listed = list(filter(str.strip, episode.tasks))
        if len(listed) > 1:
            remarks.append(
                f"which of its {len(listed)} tasks a row has is not stated: each has all, in the order of the list"
            )
        tasks = ("; ".join(listed),) * episode.length
    if all(task.strip() for task in tasks) or LANGUAGE not in dataset.columns or not table.has(LANGUAGE):
        return tasks
    remarks.append(f"a task is empty: {LANGUAGE} was taken in its place")
    return tuple(t if t.strip() else words for t, words in zip(tasks, table.texts(LANGUAGE, rows.places), strict=True))


def _require_own_task(dataset: LeRobotDataset, episode: LeRobotEpisode, table: ParquetFile, index: int) -> None:
    if (task := dataset.task_names.get(index)) not in episode.tasks:
        stated = "which the list of tasks lacks" if task is None else f"'{in_line(task[:80])}'"
        listed = ", ".join(f"'{in_line(t[:80])}'" for t in episode.tasks[:5]) or "none"
        raise EpisodeCorrupt(
            f"'{table.path}', 'task_index' of episode {episode.number} is {index} ({stated}), and the list of episodes names {listed}. Correct one "
            f"of them, or state the task with --instruction."
        )


def _outcome(
    episode: LeRobotEpisode, table: ParquetFile, rows: _Rows, asked: Outcome | None, remarks: list[str]
) -> Outcome:
    """Return how an episode ended: as asked, else as its rows say. Raises EpisodeError where neither states it, or columns disagree."""
    said: dict[str, bool] = {}
    for name in filter(table.has, ENDED):
        try:
            said[name] = bool(table.truths(name, rows.places).any())
        except EpisodeCorrupt:
            if asked is None:
                raise
            remarks.append(f"{name} is not true or false in every row: not used; {asked.value} as asked for")
    stated = {Outcome.SUCCESS if is_success else Outcome.FAILURE for is_success in said.values()}
    if asked is not None:
        if stated - {asked}:
            names = ", ".join(name for name, is_success in said.items() if is_success != (asked is Outcome.SUCCESS))
            remarks.append(f"{names} says otherwise; {asked.value} as asked for")
        return asked
    if len(stated) == 1:
        return stated.pop()
    found = f"{', '.join(said)} contradict each other" if stated else f"no column {' or '.join(ENDED)}"
    raise EpisodeError(
        f"'{table.path}' does not say how episode {episode.number} ended ({found}). Give --outcome success (as for demonstrations) or failure."
    )


def _digest(dataset: LeRobotDataset, episode: LeRobotEpisode, rows: _Rows, *, without: Collection[str] = ()) -> str:
    """Return what an episode is recognised by: its number, its rate, what its actions mean, the cameras that it lacks, and all of its numbers."""
    facts = json.dumps(["lerobot", episode.number, dataset.hz, dataset.kind.value, *sorted(without)]).encode()
    return hashlib.sha256(
        b"".join([facts, *(a.astype("<f8").tobytes() for a in (rows.q, rows.gripper, rows.actions))])
    ).hexdigest()


def _unread(dataset: LeRobotDataset, remarks: Collection[str]) -> list[str]:
    """Return the remark on columns of which nothing is read."""
    unread = sorted(
        name for name in dataset.unread if name != LANGUAGE or not any(LANGUAGE in said for said in remarks)
    )
    return [f"not read: {', '.join(map(visible, unread))[:300]}"] if unread else []


def _lacking(dataset: LeRobotDataset, episode: LeRobotEpisode, table: ParquetFile) -> frozenset[str]:
    """Return the cameras whose films, or columns of pictures, are not there."""
    films = {camera for camera, (path, _) in episode.films.items() if not kind_of(path)}
    return frozenset(films | {camera for camera, column in dataset.pictures.items() if not table.has(column)})


def _say_lacking(dataset: LeRobotDataset, episode: LeRobotEpisode, lacking: Collection[str]) -> list[str]:
    """Return the remarks on images that are not there."""
    remarks = [
        f"no film of {camera}: '{episode.films[camera][0].relative_to(dataset.folder)}' is missing"
        if camera in episode.films
        else f"no pictures of {camera}: the table has no column '{visible(dataset.pictures[camera])}'"
        for camera in sorted(lacking)
    ]
    if remarks:
        remarks[-1] += "; put what is missing there, bin this episode and import again"
    return [*remarks, *["no frames"] * (len(lacking) == len(episode.films) + len(dataset.pictures))]


def _films(
    dataset: LeRobotDataset, episode: LeRobotEpisode, table: ParquetFile, rows: _Rows, lacking: Collection[str]
) -> dict[str, Iterator[UInt8[Array, "H W 3"]]]:
    """Return the images of each camera, row by row. Raises EpisodeError where a film is not the rows' own."""
    films: dict[str, Iterator[UInt8[Array, "H W 3"]]] = {}
    for camera, (path, start) in episode.films.items():
        if camera not in lacking:
            _require_one_frame_per_row(dataset, episode, path)
            films[camera] = _film(path, round(start * dataset.hz), episode)
    for camera, column in dataset.pictures.items():
        if camera not in lacking:
            films[camera] = table.pictures(column, rows.places)
    return films


def _demonstration(
    dataset: LeRobotDataset,
    episode: LeRobotEpisode,
    rows: _Rows,
    films: Mapping[str, Iterator[UInt8[Array, "H W 3"]]],
    tasks: tuple[str, ...],
) -> Demonstration:
    times_ns = np.round(np.arange(episode.length) * 1e9 / dataset.hz).astype(np.int64)
    now: dict[str, tuple[int, UInt8[Array, "H W 3"]]] = {}

    def frames(step: int) -> dict[str, CameraFrame]:
        for camera, film in films.items():
            while camera not in now or now[camera][0] < step:
                now[camera] = (now[camera][0] + 1 if camera in now else 0, next(film))
        return {camera: CameraFrame(image, int(times_ns[step])) for camera, (_, image) in now.items()}

    speeds = np.diff(rows.q, axis=0, prepend=rows.q[:1]) * dataset.hz
    if rows.speeds is not None:
        require_joint_speeds(speeds := rows.speeds, f"'{episode.table}', episode {episode.number}")
    return Demonstration(
        rows.q, speeds, rows.gripper[:, 0], single(rows.actions), times_ns, frozenset(), frames, "lerobot", tasks
    )


def _require_one_frame_per_row(dataset: LeRobotDataset, episode: LeRobotEpisode, path: Path) -> None:
    """Raise EpisodeCorrupt where a video's frame i is not row i: more frames than rows, or another rate."""
    if dataset.version == "v2.1" and (count := count_frames(path)) > episode.length:
        raise EpisodeCorrupt(
            f"'{path}' has {counted(count, 'frame')}, episode {episode.number} {counted(episode.length, 'row')}: which frame belongs to which row "
            f"is not stated. Write the video with one frame per row."
        )
    if (rate := video_rate(path)) is not None and abs(rate / dataset.hz - 1) > SAME_RATE:
        raise EpisodeCorrupt(
            f"'{path}' has {rate:g} frames per second, meta/info.json states {dataset.hz:g}: which frame belongs to which row is not clear. "
            f"Write the video with one frame per row."
        )


def _film(path: Path, first: int, episode: LeRobotEpisode) -> Iterator[UInt8[Array, "H W 3"]]:
    """Yield an episode's own images of a video. Raises EpisodeCorrupt where it ends early."""
    count = 0
    for image in islice(read_video(path), first, first + episode.length):
        count += 1
        yield image
    raise EpisodeCorrupt(
        f"'{path}' has {counted(count, 'frame')} of episode {episode.number}, expected {episode.length}. Put a whole copy of the video there."
    )


def _meta(
    dataset: LeRobotDataset,
    episode: LeRobotEpisode,
    rows: int,
    instruction: str,
    digest: str,
    *,
    cameras: tuple[str, ...],
) -> EpisodeMeta:
    space = demonstrated_space(dataset.kind, hz=dataset.hz)
    return EpisodeMeta(
        task=None,
        instruction=instruction,
        seed=0,
        world="lerobot",
        robot=dataset.robot,
        is_simulated=False,
        policy=DEMONSTRATION,
        policy_fingerprint=DEMONSTRATION,
        horizon=rows,
        width=space.size,
        execute_rows=rows,
        integration_steps=SteeringPlan().steps,
        action_space=space,
        plan=SteeringPlan(),
        cameras=dict.fromkeys(cameras),
        control_hz=dataset.hz,
        started_unix=0.0,
        world_options={"imported_from": _name(dataset.folder), "episode": episode.number, SOURCE: digest},
    )
