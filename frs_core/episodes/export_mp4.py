"""An episode as a video: all cameras side by side, with what was picked.

Problem: talks and papers want a file any player shows. Idea: H.264 in MP4, one frame per control step of the main line,
drawn over with the chosen candidate's path (white under colour, as on screen), its label and who picked.

Example: 300 steps of three 224 x 224 cameras become 20 s of 672 x 248 pixels, about 1 MB.

Any thread; takes a few milliseconds per step.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.episodes.begun import begun, file_named
from frs_core.episodes.reader import Episode, standing_steps
from frs_core.episodes.video import fitted
from frs_core.errors import ConfigError, EpisodeError
from frs_core.steering.candidates import LEARNED, UNSTEERED

_STRIP = 24
"""Height of the text line, pixels."""
_COLOURS = {UNSTEERED: (235, 235, 235), LEARNED: (120, 210, 255)}
_STEERED_COLOUR = (255, 190, 60)


def export_mp4(
    episode: Episode,
    path: Path,
    *,
    cameras: tuple[str, ...] = (),
    is_annotated: bool = True,
    crf: int = 20,
    overwrite: bool = False,
) -> Path:
    """Write the video and return its path.

    Args:
        episode: what to show.
        path: `.mp4` file.
        cameras: which, left to right; empty = all.
        is_annotated: draw the picked path and label.
        crf: H.264 quality, 0 (lossless) .. 51.
        overwrite: replace a file that is there.
    Raises:
        ConfigError: unknown camera, or PyAV is missing.
        EpisodeError: it has no images or no standing steps, or the file is there already or cannot be written.
        EpisodeCorrupt: damaged.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise ConfigError("Writing MP4 needs PyAV. Install it with `pip install av`.") from error
    names = cameras or episode.cameras
    if not names:
        raise EpisodeError(f"Episode '{episode.name}' has no images, so there is no film to write. Export it as droid.")
    steps = standing_steps(episode)
    path = file_named(path, overwrite=overwrite)
    with begun(path, refusals=(FFmpegError,)) as files:
        tmp = files.add(path.with_name(f".{path.name}.part"))
        with av.open(str(tmp), "w", format="mp4") as container:
            stream: Any = None
            size: tuple[int, int] | None = None
            for step in steps:
                image = film_frame(episode, step, cameras=names, is_annotated=is_annotated)
                size = size or (image.shape[1], image.shape[0])
                image = fitted(image, size)
                if stream is None:
                    rate = Fraction(episode.meta.control_hz).limit_denominator(1001)
                    stream = container.add_stream("libx264", rate=rate)
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.options = {"crf": str(crf), "preset": "veryfast"}
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if stream is not None:
                container.mux(stream.encode())
        tmp.replace(path)
    return path


def film_frame(
    episode: Episode, step: int, *, cameras: tuple[str, ...], is_annotated: bool = True
) -> UInt8[Array, "H W 3"]:
    """Return one frame of the video; sides are even, as H.264 wants them. Raises as `export_mp4`."""
    chunk = episode.chunk_of(step)
    offers = episode.offers(chunk)
    label, path = offers.labels[offers.picked], offers.paths[offers.picked]
    images = []
    for camera in cameras:
        image = np.ascontiguousarray(episode.frame(camera, step))
        calibration = episode.calibration(camera, step)
        if is_annotated and calibration is not None:
            _draw_path(image, calibration.project(path)[0], _COLOURS.get(label, _STEERED_COLOUR))
        images.append(image)
    height = max(i.shape[0] for i in images)
    row = np.concatenate([_padded(i, height) for i in images], axis=1)
    if is_annotated:
        done = step - episode.steps_of(chunk).start + 1
        text = f"{label}  {episode.picked_by(chunk)}  chunk {chunk} {done}/{len(episode.steps_of(chunk))}"
        strip = np.zeros((_STRIP, row.shape[1], 3), dtype=np.uint8)
        colour = _COLOURS.get(label, _STEERED_COLOUR)
        cv2.putText(strip, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
        row = np.concatenate([row, strip])
    return np.ascontiguousarray(row[: row.shape[0] // 2 * 2, : row.shape[1] // 2 * 2])


def _draw_path(image: UInt8[Array, "H W 3"], uv: Float[Array, "n 2"], colour: tuple[int, int, int]) -> None:
    """Draw a curve with a halo and an arrow head into the image."""
    uv = uv[np.isfinite(uv).all(axis=1) & (np.abs(np.nan_to_num(uv)) < 1e4).all(axis=1)]
    if len(uv) < 2:
        return
    points = np.round(uv * 16).astype(np.int32)[None]
    for shade, width in (((0, 0, 0), 4), (colour, 2)):
        cv2.polylines(image, list(points), False, shade, width, cv2.LINE_AA, shift=4)
    tail, tip = uv[max(0, len(uv) - 4)], uv[-1]
    way = tip - tail
    length = float(np.linalg.norm(way))
    if length < 1.0:
        return
    way /= length
    side = np.array([-way[1], way[0]])
    head = np.round(np.stack([tip + 6 * way, tip - 3 * way + 5 * side, tip - 3 * way - 5 * side]) * 16).astype(np.int32)
    cv2.fillPoly(image, [head], colour, cv2.LINE_AA, shift=4)
    cv2.polylines(image, [head], True, (0, 0, 0), 1, cv2.LINE_AA, shift=4)


def _padded(image: UInt8[Array, "h w 3"], height: int) -> UInt8[Array, "H w 3"]:
    return np.pad(image, ((0, height - image.shape[0]), (0, 0), (0, 0)))
