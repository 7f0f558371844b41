"""An episode as a recording of Rerun (.rrd): cameras, fan, picks and numbers on one time line.

    export_rerun(episode, Path("episode.rrd"))        # then: rerun episode.rrd

The fan hangs in the robot's base frame under `world/fan`, one line per candidate, the picked one in orange; calibrated cameras stand in the
same frame, so that their images show it. Needs the extra `rerun`. Any thread; a few seconds per episode.
"""

from pathlib import Path
from typing import Any

import numpy as np

from frs_core.episodes.begun import begun, file_named
from frs_core.episodes.reader import Episode
from frs_core.episodes.timeline import SCALARS, Moment, moments
from frs_core.errors import ConfigError
from frs_core.steering.candidates import UNSTEERED

_PICKED, _UNSTEERED, _OTHER = (255, 190, 60), (235, 235, 235), (107, 119, 137)


def export_rerun(episode: Episode, path: Path, *, overwrite: bool = False) -> Path:
    """Write the recording and return its path.

    Args:
        episode: what to show.
        path: `.rrd` file. The ending is added where it lacks.
        overwrite: replace a file that is there.
    Raises:
        ConfigError: rerun-sdk is missing.
        EpisodeError: every chunk was taken back, or the file is there already or cannot be written.
        EpisodeCorrupt: damaged.
    """
    try:
        import rerun  # pyright: ignore[reportMissingImports]  an extra
    except ImportError as error:
        raise ConfigError(
            "Recordings of Rerun need rerun-sdk. Install it with `pip install frs-cockpit[rerun]`."
        ) from error
    rr: Any = rerun
    path = file_named(path, ".rrd", overwrite=overwrite)
    with begun(path) as files:
        part = files.add(path.with_name(f".{path.stem}.part.rrd"))
        recording = rr.RecordingStream("frs-cockpit", recording_id=episode.name)
        # Kept in memory: some versions that write to a full disk themselves only log that, and end as if all were well.
        kept = recording.memory_recording()
        recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        recording.log("episode", rr.TextDocument(_about(episode)), static=True)
        for moment in moments(episode):
            recording.set_time("time", duration=moment.time_s)
            recording.set_time("step", sequence=moment.step)
            _log(rr, recording, moment)
        part.write_bytes(kept.drain_as_bytes())
        recording.disconnect()
        part.replace(path)
    return path


def _log(rr: Any, recording: Any, moment: Moment) -> None:
    for camera, jpeg in moment.images.items():
        calibration = moment.calibrations.get(camera)
        where = f"world/cameras/{camera}" if calibration is not None else f"cameras/{camera}"
        if calibration is not None:
            pose, size = calibration.T_base_camera, [calibration.width, calibration.height]
            recording.log(where, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
            recording.log(where, rr.Pinhole(image_from_camera=calibration.K, resolution=size))
        recording.log(where, rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))
    recording.log("world/tool", rr.Transform3D(translation=moment.tool[:3, 3], mat3x3=moment.tool[:3, :3]))
    for name in SCALARS:
        recording.log(f"numbers/{name}", rr.Scalars(np.asarray(getattr(moment, name), dtype=np.float64)))
    pick = moment.pick
    if pick is None:
        return
    recording.log("world/fan", rr.Clear(recursive=True))
    for i, label in enumerate(pick.fan.labels):
        colour = _PICKED if i == pick.fan.picked else _UNSTEERED if label == UNSTEERED else _OTHER
        # Labels may hold spaces and slashes, which are parts of a path there.
        name = rr.new_entity_path(["world", "fan", label])
        recording.log(name, rr.LineStrips3D([pick.fan.paths[i]], colors=[colour], labels=[label], show_labels=False))
    because = f": {pick.reason}" if pick.reason else ""
    recording.log("picks", rr.TextLog(f"{pick.label}, picked by {pick.who}{because}"))
    recording.log("numbers/noise_percentile", rr.Scalars([pick.noise_percentile]))


def _about(episode: Episode) -> str:
    meta = episode.meta
    return f"{meta.instruction}\nOutcome: {episode.outcome.value}\nPolicy: {meta.policy}\nWorld: {meta.world}\n{episode.name}"
