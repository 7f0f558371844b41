"""An episode as MCAP, in the schemas that Foxglove shows: cameras with calibration, fan, picks and numbers on one time line.

    export_mcap(episode, Path("episode.mcap"))

Messages are JSON with the schemas' public names (`foxglove.CompressedImage`, `foxglove.SceneUpdate`, ...), so every reader of MCAP can
take them apart without code of ours. Needs the extra `mcap`. Any thread; a few seconds per episode.
"""

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from frs_core.episodes.begun import begun, file_named
from frs_core.episodes.reader import Episode
from frs_core.episodes.timeline import SCALARS, Moment, moments
from frs_core.errors import ConfigError
from frs_core.robot.rotations import quaternion_of
from frs_core.steering.candidates import UNSTEERED

_BASE = "base"
_SCHEMAS = {
    "foxglove.CompressedImage": {"data": {"type": "string", "contentEncoding": "base64"}, "format": {"type": "string"}},
    "foxglove.CameraCalibration": {"K": {"type": "array", "items": {"type": "number"}}, "width": {"type": "integer"}},
    "foxglove.FrameTransform": {"parent_frame_id": {"type": "string"}, "child_frame_id": {"type": "string"}},
    "foxglove.SceneUpdate": {"entities": {"type": "array", "items": {"type": "object"}}},
    "foxglove.Log": {"message": {"type": "string"}, "level": {"type": "integer"}},
    "frs.Numbers": {name: {"type": "array", "items": {"type": "number"}} for name in SCALARS},
    "frs.Pick": {"label": {"type": "string"}, "picked_by": {"type": "string"}, "noise_percentile": {"type": "number"}},
}
"""Name -> properties; only what a reader needs to interpret the data."""
_INFO = 2
"""Source: foxglove.Log, level."""
_COLOURS = {"picked": (1.0, 0.75, 0.24), "unsteered": (0.92, 0.92, 0.92), "other": (0.42, 0.47, 0.54)}


def export_mcap(episode: Episode, path: Path, *, overwrite: bool = False) -> Path:
    """Write the file and return its path.

    Args:
        episode: what to show.
        path: `.mcap` file. The ending is added where it lacks.
        overwrite: replace a file that is there.
    Raises:
        ConfigError: mcap is missing.
        EpisodeError: every chunk was taken back, or the file is there already or cannot be written.
        EpisodeCorrupt: damaged.
    """
    try:
        from mcap.writer import Writer  # pyright: ignore[reportMissingImports]  an extra
    except ImportError as error:
        raise ConfigError(
            "MCAP files need the package mcap. Install it with `pip install frs-cockpit[mcap]`."
        ) from error
    path = file_named(path, ".mcap", overwrite=overwrite)
    start_ns = round(max(0.0, episode.meta.started_unix) * 1e9)
    with begun(path) as files:
        part = files.add(path.with_name(f".{path.name}.part"))
        with part.open("wb") as stream:
            out = _Channels(Writer(stream), start_ns)
            out.writer.start()
            out.writer.add_metadata("episode", _about(episode))
            for moment in moments(episode):
                _write(out, moment)
            out.writer.finish()
        part.replace(path)
    return path


class _Channels:
    """The writer, and its channels, made when first used."""

    def __init__(self, writer: Any, start_ns: int) -> None:
        self.writer, self._start_ns = writer, start_ns
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}

    def send(self, topic: str, schema: str, message: dict[str, Any], *, time_s: float) -> None:
        """Write one message."""
        if schema not in self._schemas:
            text = json.dumps({"title": schema, "type": "object", "properties": _SCHEMAS[schema]})
            self._schemas[schema] = self.writer.register_schema(schema, "jsonschema", text.encode())
        if topic not in self._channels:
            self._channels[topic] = self.writer.register_channel(topic, "json", self._schemas[schema])
        at = self._start_ns + round(time_s * 1e9)
        stamp = {"sec": at // 1_000_000_000, "nsec": at % 1_000_000_000}
        # JSON has no NaN.
        data = json.dumps({"timestamp": stamp, **message}, allow_nan=False).encode()
        self.writer.add_message(channel_id=self._channels[topic], log_time=at, publish_time=at, data=data)


def _write(out: _Channels, moment: Moment) -> None:
    t = moment.time_s
    for camera, jpeg in moment.images.items():
        image = {"frame_id": camera, "format": "jpeg", "data": base64.b64encode(jpeg).decode()}
        out.send(f"/cameras/{camera}/image", "foxglove.CompressedImage", image, time_s=t)
        calibration = moment.calibrations.get(camera)
        if calibration is None:
            continue
        K = calibration.K
        P = np.hstack([K, np.zeros((3, 1))])
        about = {
            "frame_id": camera,
            "width": calibration.width,
            "height": calibration.height,
            "distortion_model": "",
            "D": [],
        }
        matrices = {"K": K.ravel().tolist(), "R": np.eye(3).ravel().tolist(), "P": P.ravel().tolist()}
        out.send(f"/cameras/{camera}/calibration", "foxglove.CameraCalibration", about | matrices, time_s=t)
        out.send("/tf", "foxglove.FrameTransform", _transform(camera, calibration.T_base_camera), time_s=t)
    out.send("/tf", "foxglove.FrameTransform", _transform("tool", moment.tool), time_s=t)
    numbers = {name: _finite(getattr(moment, name)) for name in SCALARS}
    out.send("/numbers", "frs.Numbers", numbers, time_s=t)
    pick = moment.pick
    if pick is None:
        return
    lines = [
        _line(path, "picked" if i == pick.fan.picked else "unsteered" if label == UNSTEERED else "other")
        for i, (label, path) in enumerate(zip(pick.fan.labels, pick.fan.paths, strict=True))
    ]
    entity = {"timestamp": {"sec": 0, "nsec": 0}, "frame_id": _BASE, "id": "fan", "lifetime": {"sec": 0, "nsec": 0}}
    scene = {"deletions": [], "entities": [entity | {"frame_locked": False, "metadata": [], "lines": lines}]}
    out.send("/fan", "foxglove.SceneUpdate", scene, time_s=t)
    because = f": {pick.reason}" if pick.reason else ""
    text = {
        "level": _INFO,
        "message": f"{pick.label}, picked by {pick.who}{because}",
        "name": "pick",
        "file": "",
        "line": 0,
    }
    out.send("/log", "foxglove.Log", text, time_s=t)
    percentile = {} if math.isnan(pick.noise_percentile) else {"noise_percentile": pick.noise_percentile}
    out.send(
        "/pick", "frs.Pick", {"label": pick.label, "picked_by": pick.who, "reason": pick.reason, **percentile}, time_s=t
    )


def _finite(values: Any) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def _transform(child: str, pose: Any) -> dict[str, Any]:
    rotation = dict(zip("xyzw", (float(v) for v in quaternion_of(pose[:3, :3])), strict=True))
    translation = dict(zip("xyz", (float(v) for v in pose[:3, 3]), strict=True))
    return {
        "parent_frame_id": _BASE,
        "child_frame_id": child,
        "translation": translation,
        "rotation": rotation,
    }


def _line(path: Any, kind: str) -> dict[str, Any]:
    red, green, blue = _COLOURS[kind]
    origin = {"position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}}
    return {
        "type": 0,
        "pose": origin,
        "thickness": 3.0,
        "scale_invariant": True,
        "points": [dict(zip("xyz", map(float, point), strict=True)) for point in path if np.isfinite(point).all()],
        "color": {"r": red, "g": green, "b": blue, "a": 1.0},
        "colors": [],
        "indices": [],
    }


def _about(episode: Episode) -> dict[str, str]:
    meta = episode.meta
    return {
        "name": episode.name,
        "instruction": meta.instruction,
        "outcome": episode.outcome.value,
        "policy": meta.policy,
        "policy_fingerprint": meta.policy_fingerprint,
        "world": meta.world,
        "control_hz": f"{meta.control_hz:g}",
    }
