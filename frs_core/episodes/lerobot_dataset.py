"""What a LeRobot dataset (codebase v2.1 or v3.0, a local folder) states: its rate, its columns, where its episodes lie.

    dataset = read_dataset(Path("my_dataset"))
    for episode in dataset.episodes: ...

`lerobot_columns` says what the columns mean. v2.1 has one table and one video per episode; v3.0 packs several into one and says in
`meta/episodes` where each begins. `info.json` says how many episodes there are, and the lists are held against it: an episode that
lacks is refused, one beyond the count is an export that was cut off, and is left out.

Any thread.
"""

import itertools
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from types import ModuleType

from frs_core.counts import counted
from frs_core.episodes.foreign_columns import ParquetFile
from frs_core.episodes.lerobot_columns import actions_of, cameras_of, is_depth, measured_of, robot_of
from frs_core.episodes.stated import Stated, kind_of, read_stated, read_stated_lines
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.robot.action_names import ACTION_NAMES
from frs_core.robot.actions import ActionKind
from frs_core.robot.kinematics import Arm
from frs_core.runtime.foreign import visible

VERSIONS = ("v2.1", "v3.0")
SLOWEST, FASTEST = 0.01, 1e9
"""Hz. Times are kept as whole nanoseconds in 64 bits: steps are one apart at least, and `_MOST` of them must end within 292 years."""
SAME_RATE = 0.01
"""Relative difference of two rates that are one, such as 30 and 29.97."""
_MOST = 10_000_000
"""Episodes, frames of an episode. Guess: ten times the largest public dataset's."""
LANGUAGE = "language_instruction"
"""Column of texts in LeRobot's port of DROID."""
_OWN = frozenset({"timestamp", "frame_index", "episode_index", "index", "task_index", "next.done"})
"""LeRobot's own columns, of which none says what happened."""
ENDED = ("next.success", "is_episode_successful")
"""Columns that say for each row whether the episode succeeded, there or in the end. Source: LeRobot's evaluation, and its conversion of DROID."""
_FORMAT = re.compile(r"0?\d{0,2}d?")
"""How a number in a path may be written, such as 06d."""


@dataclass(frozen=True, slots=True)
class LeRobotEpisode:
    """Where one episode lies."""

    number: int
    length: int
    """Rows."""
    tasks: tuple[str, ...]
    table: Path
    films: Mapping[str, tuple[Path, float]]
    """Camera -> (video, seconds into it)."""


@dataclass(frozen=True, slots=True)
class LeRobotDataset:
    """A dataset whose actions are understood."""

    folder: Path
    version: str
    hz: float
    robot: str
    """Empty where it is not stated."""
    kind: ActionKind
    """Of the actions."""
    joints: str
    """Column of the measured joints, 7 numbers."""
    gripper: str
    """Column of the measured gripper, 1 number."""
    speeds: str
    """Column of the measured joint speeds, 7 numbers; empty where there is none."""
    actions: tuple[str, ...]
    """Columns of the actions, side by side as many numbers as the kind has."""
    columns: frozenset[str]
    """All features."""
    pictures: Mapping[str, str]
    """Camera -> column, of those whose images are in the table."""
    episodes: tuple[LeRobotEpisode, ...]
    """By number, at least one."""
    task_names: Mapping[int, str]
    """What the rows' `task_index` stands for; empty where the dataset does not say."""
    remarks: tuple[str, ...]
    """What was left out or is not stated."""
    unread: frozenset[str]
    """Columns that say something, and of which nothing is read."""

    @property
    def action_widths(self) -> list[tuple[str, int]]:
        """The columns of the actions, each with its numbers per row."""
        size = len(ACTION_NAMES[self.kind])
        return (
            [(self.actions[0], size)] if len(self.actions) == 1 else [(self.actions[0], size - 1), (self.actions[1], 1)]
        )


def read_dataset(
    folder: Path, *, arrow: tuple[ModuleType, ModuleType], kind: ActionKind | None = None, arm: Arm | None = None
) -> LeRobotDataset:
    """Return what a dataset states.

    Args:
        folder: the dataset's.
        arrow: pyarrow and pyarrow.parquet.
        kind: what the actions mean; None = as the dataset states.
        arm: whose joints they are; None = as the dataset states.
    Raises:
        EpisodeCorrupt: the dataset is damaged or contradicts itself.
        EpisodeError: there is none, of another version, of another arm, empty, or its columns' meaning is not stated.
    """
    if (found := kind_of(folder)) != "folder":
        raise EpisodeError(
            f"'{folder}' is {'a file' if found else 'not there'}, expected the folder of a LeRobot dataset. Name the folder that holds meta/, "
            f"data/ and videos/."
        )
    path = folder / "meta" / "info.json"
    if not kind_of(path):
        raise EpisodeError(
            f"'{folder}' holds no meta/info.json, so it is no LeRobot dataset. Name the folder that holds meta/, data/ and videos/."
        )
    info = read_stated(path)
    version = info["codebase_version"].text()
    if version not in VERSIONS:
        raise EpisodeError(
            f"'{path}', codebase_version: got '{visible(version[:40])}', {' and '.join(VERSIONS)} are read. Convert the dataset with LeRobot first."
        )
    features, remarks = info["features"].members(), list[str]()
    robot = robot_of(info["robot_type"], arm, remarks)
    joints, gripper, speeds = measured_of(features, path, remarks)
    kinds = {name: feature["dtype"].text() for name, feature in features.items()}
    meaning, actions = actions_of(features, kind, path, remarks)
    seen = [name for name, dtype in kinds.items() if dtype in ("video", "image")]
    depth = sorted(name for name in seen if is_depth(features[name]))
    cameras = cameras_of([name for name in seen if name not in depth], path)
    films = {name: camera for name, camera in cameras.items() if kinds[name] == "video"}
    if depth:
        remarks.append(f"films of depth, which are no pictures, were left out: {', '.join(map(visible, depth))}")
    read, hz = _packed if version == "v3.0" else _single, info["fps"].number(low=SLOWEST, high=FASTEST)
    episodes = _counted(info, read(folder, info, films, arrow), remarks)
    _require_own_stretches(episodes, hz)
    return LeRobotDataset(
        folder=folder,
        version=version,
        hz=hz,
        robot=robot,
        kind=meaning,
        joints=joints,
        gripper=gripper,
        speeds=speeds,
        actions=actions,
        columns=frozenset(features),
        pictures={camera: name for name, camera in cameras.items() if kinds[name] == "image"},
        episodes=episodes,
        task_names=_task_names(folder, version, arrow, remarks),
        remarks=tuple(remarks),
        unread=frozenset(features) - {joints, gripper, speeds, *actions, *seen, *ENDED} - _OWN,
    )


def _single(
    folder: Path, info: Stated, films: Mapping[str, str], arrow: tuple[ModuleType, ModuleType]
) -> list[tuple[Stated, LeRobotEpisode]]:
    """Return the episodes of v2.1, each with where it is listed."""
    size = info["chunks_size"].whole(low=1, high=_MOST)
    result: list[tuple[Stated, LeRobotEpisode]] = []
    for entry in read_stated_lines(folder / "meta/episodes.jsonl"):
        number = entry["episode_index"].whole(high=_MOST)
        at = {"episode_chunk": number // size, "episode_index": number}
        table = _path(folder, info["data_path"], **at)
        videos = {
            camera: (_path(folder, info["video_path"], video_key=name, **at), 0.0) for name, camera in films.items()
        }
        result.append((entry, LeRobotEpisode(number, _length(entry), _tasks(entry["tasks"]), table, videos)))
    return result


def _packed(
    folder: Path, info: Stated, films: Mapping[str, str], arrow: tuple[ModuleType, ModuleType]
) -> list[tuple[Stated, LeRobotEpisode]]:
    """Return the episodes of v3.0, each with where it is listed."""
    of_film = ("chunk_index", "file_index", "from_timestamp")
    wanted = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
    wanted += [f"videos/{name}/{field}" for name in films for field in of_film]
    hz = info["fps"].number(low=SLOWEST, high=FASTEST)
    result: list[tuple[Stated, LeRobotEpisode]] = []
    for path in sorted(p for p in (folder / "meta/episodes").rglob("*.parquet") if not p.name.startswith(".")):
        table = ParquetFile(path, arrow=arrow)
        ends = [end for name in films if table.has(end := f"videos/{name}/to_timestamp")]
        entries = table.entries([*wanted, *ends])
        table.close()
        for entry in entries:
            number = entry["episode_index"].whole(high=_MOST)
            videos: dict[str, tuple[Path, float]] = {}
            for name, camera in films.items():
                at = {k: entry[f"videos/{name}/{k}"].whole(high=_MOST) for k in of_film[:2]}
                start = entry[f"videos/{name}/from_timestamp"].number(low=0.0, high=_MOST / SLOWEST)
                if (end := f"videos/{name}/to_timestamp") in ends:
                    _require_length(entry[end], start, _length(entry), hz)
                videos[camera] = (_path(folder, info["video_path"], video_key=name, **at), start)
            at = {k: entry[f"data/{k}"].whole(high=_MOST) for k in of_film[:2]}
            place = _path(folder, info["data_path"], **at)
            result.append((entry, LeRobotEpisode(number, _length(entry), _tasks(entry["tasks"]), place, videos)))
    return result


def _require_length(end: Stated, start: float, rows: int, hz: float) -> None:
    """Raise EpisodeCorrupt where an episode's seconds of a film are not those of its rows."""
    if abs(end.number(low=0.0) - start - rows / hz) > _apart(rows / hz, hz):
        raise end.error(f"{start + rows / hz:g}, where {counted(rows, 'row')} from {start:g} s on end at {hz:g} Hz")


def _length(entry: Stated) -> int:
    return entry["length"].whole(low=1, high=_MOST)


def _tasks(stated: Stated) -> tuple[str, ...]:
    """Return an episode's tasks, of which some tools write a single one without a list."""
    return (stated.text(),) if isinstance(stated.value, str) else tuple(task.text() for task in stated.entries())


def _counted(
    info: Stated, listed: list[tuple[Stated, LeRobotEpisode]], remarks: list[str]
) -> tuple[LeRobotEpisode, ...]:
    """Return the episodes that the dataset counts. Raises EpisodeError where they are not those that are listed."""
    total, frames = info["total_episodes"].whole(high=_MOST), info["total_frames"].whole(high=1 << 50)
    found: dict[int, tuple[Stated, LeRobotEpisode]] = {}
    for entry, episode in listed:
        if episode.number in found:
            raise EpisodeCorrupt(
                f"'{entry.file}', {entry.place}: episode {episode.number} is listed twice, first in "
                f"{found[episode.number][0].place} of '{found[episode.number][0].file.name}'. Remove one of the two."
            )
        found[episode.number] = (entry, episode)
    if not listed:
        raise EpisodeError(
            f"'{info.file.parents[1]}' lists no episodes, and '{info.file.name}' counts {total}: there is nothing to import. Put a whole copy of "
            f"the folder meta/ there."
        )
    if lacking := sorted(set(range(min(total, len(found) + 1))) - found.keys()):
        raise EpisodeCorrupt(
            f"'{info.file}' counts {counted(total, 'episode')}, and meta/ lists {len(found)}, without number {lacking[0]}. Put a whole copy of the "
            f"folder meta/ there, or correct total_episodes."
        )
    kept = tuple(found[number][1] for number in range(total))
    if not kept:
        raise EpisodeError(
            f"'{info.file}' counts 0 episodes, and meta/ lists {len(found)}: nothing in it is finished, so there is nothing to import. Finish the "
            f"recording or export, or correct total_episodes."
        )
    if (there := sum(episode.length for episode in kept)) != frames:
        raise EpisodeCorrupt(
            f"'{info.file}' counts {counted(frames, 'frame')}, and the {counted(total, 'episode')} that meta/ lists have {there}. Put a whole copy "
            f"of the folder meta/ there, or correct total_frames."
        )
    if beyond := len(found) - total:
        remarks.append(f"left out as unfinished: {counted(beyond, 'episode')} beyond the {total} that info.json counts")
    return kept


def _task_names(
    folder: Path, version: str, arrow: tuple[ModuleType, ModuleType], remarks: list[str]
) -> Mapping[int, str]:
    """Return the list of tasks; each episode states its own as well, and that is what is read, so a list that lacks is only said."""
    path = folder / "meta" / ("tasks.parquet" if version == "v3.0" else "tasks.jsonl")
    if not kind_of(path):
        remarks.append(f"meta/{path.name} is missing: tasks are taken from the list of episodes")
        return {}
    try:
        entries, name = list[Stated](), "task"
        if version == "v3.0":
            table = ParquetFile(path, arrow=arrow)
            # pandas names the index so where it has no name.
            name = next((n for n in ("task", "__index_level_0__") if table.has(n)), "task")
            entries = table.entries(["task_index", name])
            table.close()
        else:
            entries = list(read_stated_lines(path))
        return {entry["task_index"].whole(high=_MOST): entry[name].text() for entry in entries}
    except EpisodeError as error:
        why = str(error).removeprefix(f"'{path}'").partition(". ")[0].lstrip(", ")
        remarks.append(f"meta/{path.name} was left out ({why}): tasks are taken from the list of episodes")
        return {}


def _require_own_stretches(episodes: tuple[LeRobotEpisode, ...], hz: float) -> None:
    """Raise EpisodeCorrupt where two episodes are said to have the same seconds of a film."""
    stretches = sorted(
        (str(film), start, e.length / hz, e.number) for e in episodes for film, start in e.films.values()
    )
    for (film, start, duration, number), (other, then, _, second) in itertools.pairwise(stretches):
        if film == other and then < start + duration - _apart(duration, hz):
            raise EpisodeCorrupt(
                f"'{film}': by meta/episodes, episode {number} has it from {start:g} s to {start + duration:g} s, and episode {second} from "
                f"{then:g} s on. Put a whole copy of the folder meta/ there, or write the dataset anew with LeRobot."
            )


def _apart(duration: float, hz: float) -> float:
    """Return by how many seconds two statements of a duration may differ: half a step, or what two rates that are one make of it."""
    return max(0.5 / hz, SAME_RATE * duration)


def _path(folder: Path, pattern: Stated, **fields: int | str) -> Path:
    """Return the path that a pattern of info.json gives, below the dataset. Raises EpisodeError for any other."""
    text, parts = pattern.text(), list[str]()
    expected = f"a path with no other fields than {' and '.join('{' + name + '}' for name in sorted(fields))}"
    try:
        for literal, name, form, conversion in string.Formatter().parse(text):
            parts.append(literal)
            if name is None:
                continue
            if name not in fields or conversion or not _FORMAT.fullmatch(form or ""):
                raise pattern.error(expected)
            value = fields[name]
            parts.append(format(value, form or "") if isinstance(value, int) else value)
    except EpisodeError:
        raise
    except ValueError as error:
        raise pattern.error(expected) from error
    name = "".join(parts)
    if visible(name) != name:
        raise pattern.error("a path of visible characters")
    # A link may lead out: huggingface_hub keeps a dataset as a folder of links to files beside it.
    if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or PureWindowsPath(name).drive:
        raise pattern.error("a path that does not lie outside the dataset")
    return folder / name
