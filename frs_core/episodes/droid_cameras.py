"""The cameras of a DROID raw trajectory: which is which, which video frame belongs to which row, how each is calibrated.

Problem: people have trajectories without videos, with one video fewer, with videos that end early, with calibrations of NaN. Idea: what
the files state is used, what they do not is said in a remark, and a row that a video does not reach is not a row.

    cameras, reached = find_cameras(folder, data, facts, rows=24, width=640, remarks=remarks)

Sides go by calibration: the base's +y is to the robot's left. Any thread.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.demonstration import require_unit
from frs_core.episodes.foreign_columns import Hdf5File
from frs_core.episodes.stated import kind_of, read_stated
from frs_core.episodes.video import count_frames, read_video, video_size
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.robot.observation import FULL_TURN, Calibration, CameraFrame
from frs_core.runtime.foreign import visible
from frs_core.worlds.droid.calibration import pose_matrix, scale_intrinsics

STALE_MS = 200
"""An image older than this is not the row's own: three rows at 15 Hz."""
WRIST = 0
"""DROID's `camera_type` of the hand camera; 1 varied, 2 fixed."""
_SVO = (".svo", ".svo2")
_VIDEOS = (".mp4", ".mkv", ".avi", ".mov")
_FARTHEST = 20.0
"""Metres from the robot's base to a camera. Guess: a large room; millimetres go to 100 and above."""

_TOO_MANY = 1.5
"""Frames per row, or per time stamp, from which on a film was not recorded row by row. Guess: half as many again; DROID records one frame for each row,
and films of all frames of a camera at 60 Hz have four."""
_OFF_CENTRE = 0.25
"""Share of the image's side by which the principal point may be off its centre. Guess: lenses are within a tenth; films of half or twice the size reach 0.5."""


@dataclass(frozen=True, slots=True, eq=False)
class DroidCamera:
    """One camera of a trajectory, with one entry per row."""

    name: str
    serial: str
    film: Path
    is_stereo: bool
    native: tuple[int, int]
    """(width, height) of one eye in the video, which K is for."""
    size: tuple[int, int]
    """(width, height) of the images to keep."""
    frames: Int[Array, " n"]
    """Film frame of each row."""
    K: Float[Array, "n 3 3"]
    """NaN where unknown."""
    pose: Float[Array, "n 6"]
    """DROID's numbers, base frame; NaN where unknown."""

    def calibration(self, row: int) -> Calibration | None:
        """Return the calibration at a row; None where any of its numbers is not one."""
        if not _is_calibrated(self.K[row : row + 1], self.pose[row : row + 1])[0]:
            return None
        K = scale_intrinsics(self.K[row], self.native, self.size)
        return Calibration(K, pose_matrix(self.pose[row].tolist()), *self.size)


class FilmReader:
    """Videos read forward, one image per row."""

    def __init__(self, cameras: tuple[DroidCamera, ...]) -> None:
        self._cameras = cameras
        self._films = {c.name: read_video(c.film, size=c.size, is_left_half=c.is_stereo) for c in cameras}
        self._at = {c.name: -1 for c in cameras}
        self._now: dict[str, Array] = {}

    def frames(self, row: int, captured_ns: int) -> dict[str, CameraFrame]:
        """Return the images of a row; rows must not go back. Raises EpisodeCorrupt where a video cannot be read so far."""
        result = {}
        for camera in self._cameras:
            while self._at[camera.name] < camera.frames[row]:
                image = next(self._films[camera.name], None)
                if image is None:
                    raise EpisodeCorrupt(
                        f"'{camera.film}' cannot be read beyond frame {self._at[camera.name]}, row {row} needs frame "
                        f"{camera.frames[row]}. Copy it again, or move it away to import without that camera."
                    )
                self._now[camera.name] = image
                self._at[camera.name] += 1
            result[camera.name] = CameraFrame(self._now[camera.name], captured_ns, camera.calibration(row))
        return result


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What a trajectory says about one serial number."""

    serial: str
    kind: int | None
    """DROID's `camera_type`; None if it is not stated."""
    K: Float[Array, "n 3 3"]
    pose: Float[Array, "n 6"]

    @property
    def y(self) -> float:
        """Where it stands, metres to the robot's left; NaN where unknown."""
        known = self.pose[np.isfinite(self.pose).all(axis=1) & self.pose.any(axis=1)]
        return float(np.median(known[:, 1])) if len(known) else float("nan")


def find_cameras(
    folder: Path, data: Hdf5File, facts: Mapping[str, str], *, rows: int, width: int, remarks: list[str]
) -> tuple[tuple[DroidCamera, ...], Bool[Array, " n"]]:
    """Return the cameras that have videos, by name, and which rows all those videos reach.

    Args:
        folder: the trajectory's.
        data: its trajectory.h5.
        facts: what its metadata record says, empty where there is none.
        rows: n.
        width: images wider than this are shrunk to it, pixels.
        remarks: gets a sentence for everything that was left out or guessed.
    Raises:
        EpisodeError: a video, its time stamps or a column cannot be read, or a video reaches less than half of the rows.
    """
    films: dict[str, tuple[Path, bool]] = {}
    for serial, found in _films(folder):
        if serial in films:
            unused, used = (path.relative_to(folder) for path in (films[serial][0], found[0]))
            remarks.append(f"'{unused}' is not used: '{used}' is of the same camera")
        films[serial] = found
    known = _known(data, facts, films, rows, remarks)
    names = _names(known, facts.get("wrist_cam_serial", ""), remarks)
    cameras, reached = [], np.ones(rows, dtype=bool)
    for camera in sorted(known, key=lambda k: names[k.serial]):
        name, serial = names[camera.serial], camera.serial
        if serial not in films:
            remarks.append(f"no film of {name} ({serial}){_unread(folder, serial)}")
            continue
        film, is_stereo = films[serial]
        native = video_size(film)
        native = (native[0] // 2, native[1]) if is_stereo else native
        size = (width, round(native[1] * width / native[0])) if native[0] > width else native
        frames, has = _frame_numbers(film, data, serial, name, rows, remarks)
        reached &= has
        K = _of_film(camera, name, native, remarks)
        _say_calibration(camera, name, remarks)
        cameras.append(DroidCamera(name, serial, film, is_stereo, native, size, frames, K, camera.pose))
    if not known:
        remarks.append(f"no frames: neither cameras nor films are there{_unread(folder, '')}")
    elif not cameras:
        remarks.append("no frames")
    return tuple(cameras), reached


def _films(folder: Path) -> Iterator[tuple[str, tuple[Path, bool]]]:
    """Yield (serial, (video, whether it is side by side)); a plain video wins over a stereo one."""
    for where in (
        part for recordings in _named(folder, "recordings") for part in (recordings, *_named(recordings, "mp4"))
    ):
        for stereo in ("-stereo", ""):
            for film in sorted(p for p in where.glob("*") if p.suffix.lower() == ".mp4"):
                serial = film.stem.removesuffix("-stereo")
                if serial.isdigit() and film.stem == f"{serial}{stereo}":
                    yield serial, (film, bool(stereo))


def _named(folder: Path, name: str) -> list[Path]:
    """Return the entries of a folder with a name, whatever the case of its letters: copies from other systems change it."""
    return sorted(path for path in folder.glob("*") if path.name.lower() == name)


def _unread(folder: Path, serial: str) -> str:
    """Return what there is of a camera that has no film, to be said after that: recordings to convert, else films under other names."""
    there = [
        path
        for recordings in _named(folder, "recordings")
        for path in sorted(recordings.rglob("*"))
        if serial in path.name
    ]
    found = [path for path in there if path.suffix.lower() in _SVO]
    films = [path for path in there if path.suffix.lower() in _VIDEOS]
    if not found and films:
        names = ", ".join(f"'{visible(path.relative_to(folder))}'" for path in films[:3])
        return f"; {names} is there: rename it {serial or 'SERIAL'}.mp4 (or -stereo.mp4) and import again with --again"
    if not found:
        return ""
    return f"; {counted(len(found), 'SVO recording')} there: bin this episode, convert to recordings/MP4/*.mp4 and import again with --again"


def _known(
    data: Hdf5File, facts: Mapping[str, str], films: Mapping[str, Any], rows: int, remarks: list[str]
) -> list[_Known]:
    kinds: dict[str, int | None] = {}
    for serial in data.names("observation/camera_type"):
        stated = np.unique(data.values(f"observation/camera_type/{serial}"))
        is_one = len(stated) == 1 and stated[0] in (WRIST, 1, 2)
        kinds[serial] = int(stated[0]) if is_one else None
        if not is_one:
            said = ", ".join(f"{v:g}" for v in stated[:3]) or "nothing"
            remarks.append(f"camera_type of {visible(serial)} says {said}, which is not one of 0, 1, 2: not used")
    for key, kind in (("wrist", WRIST), ("ext1", 1), ("ext2", 1)):
        if not (serial := facts.get(f"{key}_cam_serial")):
            continue
        stated = kinds.setdefault(serial, kind)
        if stated is not None and (stated == WRIST) != (kind == WRIST):
            remarks.append(
                f"camera_type of {visible(serial)} says {stated}, the metadata record calls it {key}: camera_type taken"
            )
    for serial in films:
        kinds.setdefault(serial, None)
    return [
        _Known(
            serial,
            kind,
            _filled(data, f"observation/camera_intrinsics/{serial}_left", (rows, 3, 3)),
            _pose(data, f"observation/camera_extrinsics/{serial}_left", rows),
        )
        for serial, kind in sorted(kinds.items())
    ]


def _filled(data: Hdf5File, path: str, shape: tuple[int, ...]) -> Array:
    """Return a column of the wanted length; NaN where the file has none."""
    result = np.full(shape, np.nan)
    if data.has(path):
        values = data.values(path)
        if values.shape == shape[1:]:
            values = np.tile(values, (shape[0], *[1] * values.ndim))
        if values.ndim != len(shape) or values.shape[1:] != shape[1:]:
            raise EpisodeCorrupt(
                f"{data.where(path)} has the shape {values.shape}, expected {shape} or {shape[1:]}. Remove it to import without that "
                f"calibration."
            )
        result[: len(values)] = values[: shape[0]]
    return result


def _pose(data: Hdf5File, path: str, rows: int) -> Float[Array, "n 6"]:
    """Return a camera's pose in each row. Raises EpisodeError as `_filled`, and where it cannot be in metres and radians."""
    pose = _filled(data, path, (rows, 6))
    _require_pose_units(pose, data.where(path))
    return pose


def _require_pose_units(values: Array, where: str) -> None:
    """Raise EpisodeError where a camera's pose cannot be in metres and radians."""
    known = np.where(np.isfinite(values), values, 0.0)
    fix = "Convert them first, or remove the dataset to import without that calibration; such numbers are usually"
    for part, most, what, expected, usually in (
        (known[:, :3], _FARTHEST, "positions", f"metres, and no more than {_FARTHEST:g}", "millimetres"),
        (known[:, 3:], FULL_TURN, "angles", f"radians, and no more than {FULL_TURN:.2f}", "degrees"),
    ):
        require_unit(part, most, f"{where}: the {what}", expected, f"{fix} {usually}.")


def _names(known: list[_Known], wrist: str, remarks: list[str]) -> dict[str, str]:
    """Return a name per serial number: wrist, left, right, else camera_<serial>.

    Args:
        known: what is known of each camera.
        wrist: serial number of the hand camera by the metadata record, empty where it says none; of several with that type, this is it.
        remarks: gets a sentence for what was guessed or is ambiguous.
    """
    names = {k.serial: f"camera_{k.serial}" for k in known}
    hands = [k.serial for k in known if k.kind == WRIST]
    if len(hands) > 1:
        named = wrist in hands
        said = f"{visible(wrist)}, as the metadata record says" if named else "none of them"
        remarks.append(f"camera_type says {WRIST} (hand) of {', '.join(map(visible, hands))}: wrist is {said}")
        hands = [wrist] if named else []
    if hands:
        names[hands[0]] = "wrist"
    outer = [k for k in known if k.kind not in (WRIST, None)]
    sided = sorted((k for k in outer if np.isfinite(k.y)), key=lambda k: -k.y)
    rest = [k for k in outer if not np.isfinite(k.y)]
    if len(sided) >= 2 and sided[0].y == sided[-1].y:
        remarks.append(
            f"the calibrations of {', '.join(visible(k.serial) for k in sided)} put them in one place: neither left nor right"
        )
    elif len(sided) >= 2:
        names[sided[0].serial], names[sided[-1].serial] = "left", "right"
    elif sided:
        side = "left" if sided[0].y >= 0 else "right"
        names[sided[0].serial] = side
        if rest:
            other = "right" if side == "left" else "left"
            names[rest[0].serial] = other
            remarks.append(f"{rest[0].serial} is not calibrated: taken for {other}, a guess")
    else:
        for k, side in zip(rest, ("left", "right"), strict=False):
            names[k.serial] = side
        if rest:
            sides = ", ".join(f"{names[k.serial]} = {k.serial}" for k in rest[:2])
            remarks.append(f"no outer camera is calibrated: sides guessed by serial number ({sides})")
    unnamed = sorted(name for name in names.values() if name.startswith("camera_"))
    if unnamed:
        remarks.append(f"neither wrist, left nor right: {', '.join(unnamed)}")
    return names


def _is_calibrated(K: Float[Array, "n 3 3"], pose: Float[Array, "n 6"]) -> Bool[Array, " n"]:
    """Tell for each row whether its numbers are a calibration: finite, a focal length, not all zero."""
    is_finite = np.isfinite(K).all(axis=(1, 2)) & np.isfinite(pose).all(axis=1)
    return is_finite & (K[:, 0, 0] > 0) & (K[:, 1, 1] > 0) & pose.any(axis=1)


def _of_film(camera: _Known, name: str, native: tuple[int, int], remarks: list[str]) -> Float[Array, "n 3 3"]:
    """Return the intrinsics, NaN in rows where they cannot be those of images of this size; the first is reported."""
    with np.errstate(invalid="ignore"):
        off = np.abs(camera.K[:, :2, 2] / native - 0.5).max(axis=1) > _OFF_CENTRE
    if not off.any():
        return camera.K
    x, y = camera.K[np.flatnonzero(off)[0], :2, 2]
    remarks.append(
        f"{name} has no calibration in {np.count_nonzero(off)} of {len(off)} rows: camera_intrinsics/{camera.serial}_left has its centre at "
        f"({x:.0f}, {y:.0f}), which is another film's: this one has {native[0]}x{native[1]} pixels"
    )
    return np.where(off[:, None, None], np.nan, camera.K)


def _say_calibration(camera: _Known, name: str, remarks: list[str]) -> None:
    bad = np.flatnonzero(~_is_calibrated(camera.K, camera.pose))
    if not len(bad):
        return
    fields = {"camera_intrinsics": camera.K[bad[0]], "camera_extrinsics": camera.pose[bad[0]]}
    named = [f"{k}/{camera.serial}_left" for k, v in fields.items() if not np.isfinite(v).all()]
    where = f" ({', '.join(named)}: missing or not numbers, first in row {bad[0]})" if named else ""
    remarks.append(f"{name} has no calibration in {len(bad)} of {len(camera.K)} rows{where}")


def _frame_numbers(
    film: Path, data: Hdf5File, serial: str, name: str, n: int, remarks: list[str]
) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
    """Return which video frame each row saw, by time stamps where both sides have them, and whether the video has it."""
    count = count_frames(film)
    frames, reached = np.arange(n), np.arange(n) < count
    timed = _timed(film, data, serial, name, n, remarks)
    if timed is not None:
        recorded, seen = timed
        frames = np.clip(np.searchsorted(recorded, seen, side="right") - 1, 0, len(recorded) - 1)
        own = (np.abs(seen - recorded[frames]) <= STALE_MS) & (frames < count)
        inside = np.flatnonzero(own)
        reached = np.zeros(n, dtype=bool)
        if len(inside):
            reached[inside[0] : inside[-1] + 1] = True
        if count > len(recorded):
            _require_of_rows(film, count, len(recorded), "time stamps")
            remarks.append(
                f"the film of {name} has {count} frames for {len(recorded)} time stamps: the last {count - len(recorded)} left out"
            )
        if late := int((reached & ~own).sum()):
            remarks.append(f"{name} shows a frame older than {STALE_MS} ms in {late} of {n} rows")
    elif count > n + 1:
        _require_of_rows(film, count, n, "rows and no usable time stamps")
        remarks.append(
            f"the film of {name} has {count} frames for {n} rows and no usable time stamps: frame i for row i"
        )
    if 2 * reached.sum() < n:
        raise EpisodeError(
            f"'{film}' holds frames of {int(reached.sum())} of {n} rows. Copy it again, or move it away to import without "
            f"that camera."
        )
    if not reached.all():
        remarks.append(f"the film of {name} has no frames of {n - int(reached.sum())} of {n} rows")
    return frames, reached


def _require_of_rows(film: Path, count: int, n: int, what: str) -> None:
    """Raise EpisodeError where a film has so many frames that they do not belong to the rows, or time stamps, one by one."""
    if count > _TOO_MANY * n:
        raise EpisodeError(
            f"'{film}' has {count} frames for {n} {what}, so which frame belongs to which row is not stated: DROID records one frame for each row. Write it "
            f"so, or move it away to import without that camera."
        )


def _timed(
    film: Path, data: Hdf5File, serial: str, name: str, n: int, remarks: list[str]
) -> tuple[Array, Array] | None:
    """Return (times of the video's frames, times the rows saw), ms; None where images go by number."""
    path, key = film.with_name(f"{serial}_timestamps.json"), f"timestamp/cameras/{serial}_frame_received"
    has_rows = data.has(f"observation/{key}")
    if not kind_of(path) or not has_rows:
        lacking = f"'{path.name}'" if has_rows else f"'{key}'"
        remarks.append(f"no time stamps of {name} ({lacking} is missing): frame i for row i")
        return None
    try:
        recorded = np.array([entry.number(low=-math.inf) for entry in read_stated(path).entries()])
    except EpisodeError as error:
        raise type(error)(f"{error} Or remove that file to take image i for row i.") from error
    seen = data.numbers(f"observation/{key}")[:n]
    problem = ""
    if not len(recorded):
        problem = "are an empty list"
    elif len(seen) < n or not np.isfinite(seen).all() or not np.isfinite(recorded).all():
        problem = "are incomplete"
    elif (np.diff(recorded) < 0).any() or (np.diff(seen) < 0).any():
        problem = "go back"
    elif recorded[-1] + STALE_MS < seen[0] or seen[-1] + STALE_MS < recorded[0]:
        problem = "are of another time than the rows"
    if problem:
        remarks.append(f"the time stamps of {name} {problem}: frame i for row i")
        return None
    return recorded, seen
