"""What differs between LeRobot's codebases v2.1 and v3.0 on disk: names, paths and the tables under `meta/`.

v2.1 keeps one line of JSON per episode and task. v3.0 keeps Parquet tables, lets many episodes share a file and says where each begins;
one file per episode is the simplest dataset that it allows, and none is ever rewritten. `info.json` is written last in both, since it is
what makes an episode count.

Any thread; used by `export_lerobot`. Sources: LeRobot 0.3 (v2.1) and 0.4 to 0.6 (v3.0), `datasets/utils.py`, `datasets/compute_stats.py`.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from frs_core.arrays import Array
from frs_core.episodes.begun import Begun
from frs_core.errors import EpisodeError
from frs_core.runtime.foreign import DOCUMENT, MALFORMED, parse_json, plain_file, read_text

CHUNK_SIZE = 1000
"""Episodes per folder. Source: LeRobot's default."""

STATE = "observation.state"
"""Joints and gripper in one column, which LeRobot's policies read."""

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
"""Of every column, beside mean and spread. Source: LeRobot's statistics; openpi normalises by q01 and q99."""

Stats = dict[str, Any]
"""Statistic ("q01") -> numbers, of one feature."""


class DatasetVersion(ABC):
    """One codebase version."""

    name: ClassVar[str]
    data_path: ClassVar[str]
    """Of an episode's table, with the fields of `place`."""
    video_path: ClassVar[str]
    """Of an episode's film, with the fields of `place` and `video_key`."""
    columns: ClassVar[Mapping[str, str]]
    """Our column -> theirs."""
    cameras: ClassVar[Mapping[str, str]]
    """Our camera -> theirs."""
    camera: ClassVar[str]
    """Any other camera, with the field `name`."""
    has_state: ClassVar[bool]
    """Whether there is a column `STATE`."""
    extra_info: ClassVar[Mapping[str, Any]]
    """What info.json has beside the counts that both versions have."""

    def camera_key(self, name: str) -> str:
        """Return the feature of a camera."""
        return self.cameras.get(name, self.camera.format(name=name))

    @abstractmethod
    def place(self, number: int) -> dict[str, int]:
        """Return the fields of an episode's paths."""

    @abstractmethod
    def read_tasks(self, meta: Path, arrow: tuple[ModuleType, ModuleType]) -> list[dict[str, Any]]:
        """Return the tasks, as {"task_index": .., "task": ..}. Raises EpisodeError."""

    def check_own(self, root: Path, info: Mapping[str, Any], arrow: tuple[ModuleType, ModuleType]) -> None:  # noqa: B027  v2.1 has one layout
        """Raise EpisodeError unless a dataset is laid out as this module writes it, so that an episode can be added."""

    @abstractmethod
    def write_meta(
        self,
        root: Path,
        info: Mapping[str, Any],
        tasks: list[dict[str, Any]],
        stats: Mapping[str, Stats],
        *,
        columns: Mapping[str, Array],
        own_tasks: list[str],
        arrow: tuple[ModuleType, ModuleType],
        files: Begun,
    ) -> list[Path]:
        """Add an episode to the dataset's tables, all but info.json; return files that are written as `part_of` and must be renamed.

        Args:
            root: the dataset's folder.
            info: info.json before the episode.
            tasks: all tasks, this episode's included.
            stats: of the episode's features.
            columns: its numbers.
            own_tasks: its tasks, in the order of its rows.
            arrow: pyarrow and pyarrow.parquet.
            files: gets what is written.
        """


class V21(DatasetVersion):
    """One table and one film per episode, lines of JSON beside them; DROID's names as openpi's recipe wants them."""

    name = "v2.1"
    data_path = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    video_path = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    columns = {"joint_position": "joint_position", "gripper_position": "gripper_position", "actions": "actions"}  # noqa: RUF012
    cameras = {"left": "exterior_image_1_left", "right": "exterior_image_2_left", "wrist": "wrist_image_left"}  # noqa: RUF012
    camera = "{name}_image"
    has_state = False
    extra_info = {"total_videos": 0, "total_chunks": 0}  # noqa: RUF012

    def place(self, number: int) -> dict[str, int]:
        """Return the fields of an episode's paths."""
        return {"episode_chunk": number // CHUNK_SIZE, "episode_index": number}

    def read_tasks(self, meta: Path, arrow: tuple[ModuleType, ModuleType]) -> list[dict[str, Any]]:
        """Return the tasks."""
        return read_lines(meta / "tasks.jsonl")

    def write_meta(
        self,
        root: Path,
        info: Mapping[str, Any],
        tasks: list[dict[str, Any]],
        stats: Mapping[str, Stats],
        *,
        columns: Mapping[str, Array],
        own_tasks: list[str],
        arrow: tuple[ModuleType, ModuleType],
        files: Begun,
    ) -> list[Path]:
        """Rewrite the lines with one more."""
        meta, number = root / "meta", int(info["total_episodes"])
        entries = {
            "episodes": {"tasks": own_tasks, "length": len(columns["index"])},
            "episodes_stats": {"stats": stats},
        }
        replace_lines(meta / "tasks.jsonl", tasks, files)
        for name, entry in entries.items():
            path = meta / f"{name}.jsonl"
            lines = [e for e in read_lines(path) if e["episode_index"] < number]
            replace_lines(path, [*lines, {"episode_index": number, **entry}], files)
        return []


class V30(DatasetVersion):
    """Parquet tables; names as LeRobot's port of DROID has them, which its policies read."""

    name = "v3.0"
    data_path = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    video_path = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    columns = {  # noqa: RUF012
        "joint_position": "observation.state.joint_position",
        "gripper_position": "observation.state.gripper_position",
        "actions": "action",
    }
    cameras = {  # noqa: RUF012
        "left": "observation.images.exterior_1_left",
        "right": "observation.images.exterior_2_left",
        "wrist": "observation.images.wrist_left",
    }
    camera = "observation.images.{name}"
    episode_path: ClassVar[str] = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    """Of an episode's own row, with the fields of `place`."""
    has_state = True
    extra_info = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200}  # noqa: RUF012

    def place(self, number: int) -> dict[str, int]:
        """Return the fields of an episode's paths."""
        return {"chunk_index": number // CHUNK_SIZE, "file_index": number % CHUNK_SIZE}

    def check_own(self, root: Path, info: Mapping[str, Any], arrow: tuple[ModuleType, ModuleType]) -> None:
        """Raise EpisodeError where episodes share files, as other tools pack them, or lie where others put them."""
        columns = ("chunk_index", "file_index")
        of_video = [f"videos/{key}" for key, feature in info["features"].items() if feature["dtype"] == "video"]
        for number in range(int(info["total_episodes"])):
            place = self.place(number)
            path = root / self.episode_path.format(**place)
            try:
                rows = arrow[1].read_table(plain_file(path)).to_pylist() if path.is_file() else []
                found = [int(row["episode_index"]) for row in rows]
                places = [{k: row[f"{group}/{k}"] for k in columns} for row in rows for group in ("data", *of_video)]
            except (OSError, *MALFORMED) as error:
                raise EpisodeError(f"'{path}' cannot be read: {error}. Choose another folder.") from error
            if found != [number] or any(p != place for p in places):
                raise EpisodeError(
                    f"'{root}' keeps several episodes in a file, as LeRobot's own recorder does (episode {number} has no file "
                    f"'{path.relative_to(root)}' of its own), and this adds one file per episode. Export into another folder, then join both "
                    f"with LeRobot's `lerobot-edit-dataset`, operation merge."
                )

    def read_tasks(self, meta: Path, arrow: tuple[ModuleType, ModuleType]) -> list[dict[str, Any]]:
        """Return the tasks."""
        path = meta / "tasks.parquet"
        if not path.is_file():
            return []
        try:
            rows = arrow[1].read_table(plain_file(path)).to_pylist()
            return [{"task_index": int(r["task_index"]), "task": str(r["task"])} for r in rows]
        except (OSError, *MALFORMED) as error:
            raise EpisodeError(f"'{path}' cannot be read: {error}. Choose another folder.") from error

    def write_meta(
        self,
        root: Path,
        info: Mapping[str, Any],
        tasks: list[dict[str, Any]],
        stats: Mapping[str, Stats],
        *,
        columns: Mapping[str, Array],
        own_tasks: list[str],
        arrow: tuple[ModuleType, ModuleType],
        files: Begun,
    ) -> list[Path]:
        """Write the episode's own row, and rewrite tasks and statistics."""
        number, start, length = int(info["total_episodes"]), int(info["total_frames"]), len(columns["index"])
        place = self.place(number)
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": own_tasks,
            "length": length,
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            **{f"data/{k}": v for k, v in place.items()},
            **{f"meta/episodes/{k}": v for k, v in place.items()},
        }
        for key, feature in info["features"].items():
            if feature["dtype"] == "video":
                row |= {f"videos/{key}/{k}": v for k, v in place.items()}
                row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": length / info["fps"]}
        row |= {f"stats/{name}/{k}": v for name, its in stats.items() for k, v in its.items()}
        own = root / self.episode_path.format(**place)
        _write_parquet(files.add(part_of(own)), [row], arrow)
        tasks_path = root / "meta/tasks.parquet"
        _write_parquet(files.add(part_of(tasks_path)), tasks, arrow, index="task")
        _replace(tasks_path, files)
        everything = self._all_stats(root, info, stats, columns, arrow[1])
        replace_text(root / "meta/stats.json", json.dumps(everything, indent=4), files)
        return [own]

    def _all_stats(
        self,
        root: Path,
        info: Mapping[str, Any],
        stats: Mapping[str, Stats],
        columns: Mapping[str, Array],
        parquet: ModuleType,
    ) -> dict[str, Stats]:
        """Return statistics over all episodes: of numbers exactly, of images joined from each episode's.

        They are made from what counts alone: `stats.json` may hold those of an export that did not end.
        """
        places = [self.place(i) for i in range(int(info["total_episodes"]))]
        tables = [parquet.read_table(plain_file(root / self.data_path.format(**p))) for p in places]
        rows = [parquet.read_table(plain_file(root / self.episode_path.format(**p))).to_pylist()[0] for p in places]
        found: dict[str, Stats] = {}
        for name, its in stats.items():
            if info["features"][name]["dtype"] == "video":
                found[name] = joined_stats([*({k: row[f"stats/{name}/{k}"] for k in its} for row in rows), its])
            else:
                values = [np.asarray(t[name].to_pylist(), dtype=np.float64) for t in tables]
                found[name] = number_stats(np.concatenate([*values, columns[name]]))
        return found


VERSIONS: dict[str, DatasetVersion] = {v.name: v for v in (V21(), V30())}


def number_stats(values: Array) -> Stats:
    """Return the statistics of a column."""
    table = values.reshape(len(values), -1)
    wide = table.astype(np.float64)  # The squares of numbers in single precision may lie beyond it.
    return {
        "min": table.min(axis=0).tolist(),
        "max": table.max(axis=0).tolist(),
        "mean": wide.mean(axis=0).tolist(),
        "std": wide.std(axis=0).tolist(),
        **{k: v.tolist() for k, v in quantiles(wide).items()},
        "count": [len(table)],
    }


def quantiles(table: Array) -> dict[str, Array]:
    """Return the quantiles of each column, by LeRobot's names."""
    return {f"q{round(100 * q):02d}": np.quantile(table, q, axis=0) for q in QUANTILES}


def joined_stats(parts: list[Stats]) -> Stats:
    """Return the statistics of data whose parts' statistics are known; of quantiles the outermost, as LeRobot joins them."""
    columns = {k: np.asarray([p[k] for p in parts], dtype=np.float64) for k in parts[0]}
    counts = columns.pop("count")
    weights = (counts / counts.sum(axis=0)).reshape(len(parts), *[1] * (columns["mean"].ndim - 1))
    mean = (columns["mean"] * weights).sum(axis=0)
    spread = np.sqrt(((columns["std"] ** 2 + (columns["mean"] - mean) ** 2) * weights).sum(axis=0))
    lower = {
        k: v.min(axis=0).tolist() for k, v in columns.items() if k == "min" or (k[1:].isdigit() and int(k[1:]) <= 50)
    }
    upper = {
        k: v.max(axis=0).tolist() for k, v in columns.items() if k == "max" or (k[1:].isdigit() and int(k[1:]) > 50)
    }
    return {
        **lower,
        **upper,
        "mean": mean.tolist(),
        "std": spread.tolist(),
        "count": counts.sum(axis=0).astype(int).tolist(),
    }


def part_of(path: Path) -> Path:
    """Return the name under which a file is written, which readers of the dataset pass over."""
    return path.with_name(f".{path.name}.part")


def replace_text(path: Path, text: str, files: Begun) -> None:
    """Write a file by rename."""
    files.add(part_of(path)).write_text(text)
    _replace(path, files)


def replace_lines(path: Path, lines: list[Any], files: Begun) -> None:
    """Write lines of JSON by rename."""
    replace_text(path, "".join(json.dumps(line) + "\n" for line in lines), files)


def _replace(path: Path, files: Begun) -> None:
    """Give a file that is written as `part_of` its name."""
    if not path.exists():
        files.add(path)
    os.replace(part_of(path), path)


def read_lines(path: Path) -> list[Any]:
    """Return lines of JSON; none where there is no file. Raises EpisodeError."""
    if not path.is_file():
        return []
    try:
        return [parse_json(line) for line in read_text(path, limit=DOCUMENT).split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise EpisodeError(f"'{path}' cannot be read: {error}. Choose another folder.") from error


def _write_parquet(
    path: Path, rows: list[dict[str, Any]], arrow: tuple[ModuleType, ModuleType], *, index: str = ""
) -> None:
    """Write a table.

    Args:
        path: the file.
        rows: its rows.
        arrow: pyarrow and pyarrow.parquet.
        index: column that pandas takes as the table's index.
    """
    table = arrow[0].Table.from_pylist(rows)
    if index:
        types = {"int64": ("int64", "int64"), "string": ("unicode", "object")}
        described = [
            {
                "name": f.name,
                "field_name": f.name,
                "pandas_type": types[str(f.type)][0],
                "numpy_type": types[str(f.type)][1],
                "metadata": None,
            }
            for f in table.schema
        ]
        about = {"index_columns": [index], "column_indexes": [], "columns": described, "pandas_version": "2.0.0"}
        table = table.replace_schema_metadata({"pandas": json.dumps(about)})
    arrow[1].write_table(table, path)
