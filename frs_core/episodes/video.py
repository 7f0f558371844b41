"""Films in and out of a file: one H.264 frame per control step, every frame reachable on its own.

Problem: exporters and importers need videos whose frame i is step i, on any machine. Idea: PyAV, a constant frame rate, no
B-frames and a key frame every second frame, so that a reader may jump anywhere and times are exactly i / rate.

Example: 300 frames of 320 x 180 become about 2 MB; `read_video(path, size=(640, 360))` yields them back as RGB.

Any thread.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.episodes.begun import begun, file_named
from frs_core.episodes.stated import KNOWN, unreadable
from frs_core.errors import ConfigError, EpisodeError
from frs_core.runtime.foreign import MALFORMED, in_line, open_plain, plain_file, read_exactly

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""What a QuickTime or MP4 file may begin with, after a length of four bytes. Source: QuickTime File Format, "Atoms"."""
_HEAD = 12
"""Bytes that tell a container."""


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ConfigError("Reading and writing films needs PyAV. Install it with `pip install av`.") from error
    return av


def _container(path: Path) -> str:
    """Return FFmpeg's name of the container that a film is, by its first bytes.

    FFmpeg itself would also take a text that names other files or addresses (an ffconcat script, an HLS or DASH playlist), and follow it.

    Raises:
        EpisodeError: it is none of those that hold their images themselves.
    """
    with open_plain(path, may_link=True) as file:
        head = read_exactly(file, _HEAD)
    if head[4:8] in _BOXES:
        return "mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:] == b"AVI ":
        return "avi"
    if not head:
        raise EpisodeError(f"'{path}' is not a readable film: it is empty. Copy it again from where it was made.")
    raise EpisodeError(
        f"'{path}' is no film in MP4, Matroska or AVI: it begins with '{in_line(head.decode('latin-1'))}'. Lists of other files and single "
        f"images are not read; convert it to MP4."
    )


def _refuse_depth(path: Path, container: Any) -> None:
    """Raise EpisodeError where a film holds one number of more than eight bits per pixel, as depth is kept."""
    form = getattr(container.streams.video[0], "format", None)
    if form is not None and len(form.components) == 1 and form.components[0].bits > 8:
        raise EpisodeError(
            f"'{path}' is no film of pictures: it has one number of {form.components[0].bits} bits per pixel ('{form.name}'), as depth is kept. Leave it "
            f"out of the recording."
        )


@contextmanager
def _opened(path: Path) -> Generator[Any, None, None]:
    """Open a film as the container that it is, and as nothing else. Raises as `read_video`."""
    av = _av()
    try:
        # The prefix keeps a name such as "concat:a|b.mp4" from being read as an address.
        with av.open(
            f"file:{plain_file(path, as_text=True)}",
            format=_container(path),
            options={"protocol_whitelist": "file"},
        ) as container:
            _refuse_depth(path, container)
            yield container
    except (OSError, av.FFmpegError, *MALFORMED) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> EpisodeError:
    """Return the error for a file that is no video."""
    if isinstance(error, EpisodeError):
        return error
    if isinstance(error, OSError) and (error.errno in KNOWN or not isinstance(error, _av().FFmpegError)):
        return unreadable(path, error)
    why = (
        "it has no video stream that can be read"
        if isinstance(error, IndexError | AttributeError)
        else getattr(error, "strerror", None) or error
    )
    return EpisodeError(f"'{path}' is not a readable film: {why}. Copy it again from where it was made.")


def fitted(image: UInt8[Array, "h w 3"], size: tuple[int, int]) -> UInt8[Array, "H W 3"]:
    """Return an image scaled into (width, height), its proportions kept, the rest black."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    scale, left, top = fit(image.shape[1], image.shape[0], size)
    width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    result = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    shrunk = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    result[top : top + height, left : left + width] = shrunk[: size[1], : size[0]]
    return result


def fit(width: int, height: int, size: tuple[int, int]) -> tuple[float, int, int]:
    """Return (scale, left, top) by which `fitted` puts an image of width x height into (width, height)."""
    scale = min(size[0] / width, size[1] / height)
    return scale, (size[0] - round(width * scale)) // 2, (size[1] - round(height * scale)) // 2


def write_video(path: Path, images: Iterable[UInt8[Array, "H W 3"]], *, hz: float, crf: int = 18) -> int:
    """Write RGB images as MP4 and return how many.

    Args:
        path: `.mp4` file; replaced when there.
        images: one of another size than the first is fitted into that; odd sides lose their last row or column.
        hz: frames per second, whole or not.
        crf: H.264 quality, 0 (lossless) .. 51.
    Raises:
        ConfigError: PyAV is missing.
        EpisodeError: the file cannot be written.
    """
    av = _av()
    count = 0
    size: tuple[int, int] | None = None
    with begun(path, refusals=(av.FFmpegError,)) as files:
        part = files.add(file_named(path, overwrite=True).with_name(f".{path.name}.part"))
        with av.open(str(part), "w", format="mp4") as container:
            stream: Any = None
            for image in images:
                size = size or (image.shape[1], image.shape[0])
                image = fitted(image, size)
                even = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
                if stream is None:
                    stream = container.add_stream("libx264", rate=Fraction(hz).limit_denominator(1001))
                    stream.height, stream.width = even.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.options = {"crf": str(crf), "preset": "veryfast", "g": "2", "bf": "0"}
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
                count += 1
            if stream is not None:
                container.mux(stream.encode())
        part.replace(path)
    return count


def video_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a video. Raises as `read_video`."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        return int(stream.width), int(stream.height)


def video_rate(path: Path) -> float | None:
    """Return the frames per second that a video states; None where it states none. Raises as `read_video`."""
    with _opened(path) as container:
        rate = container.streams.video[0].average_rate
        return float(rate) if rate else None


def count_frames(path: Path) -> int:
    """Return how many images a video holds, without decoding them. Raises as `read_video`."""
    with _opened(path) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def read_video(
    path: Path, *, size: tuple[int, int] | None = None, is_left_half: bool = False
) -> Iterator[UInt8[Array, "H W 3"]]:
    """Yield the RGB images of a video.

    Args:
        path: MP4, Matroska or AVI, with any codec that PyAV reads.
        size: (width, height) to shrink to; None = as it is.
        is_left_half: take the left half of a side-by-side stereo image.
    Raises:
        ConfigError: PyAV is missing.
        EpisodeError: not a readable video, or another container.
    """
    with _opened(path) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            if is_left_half:
                image = image[:, : image.shape[1] // 2]
            if size is not None and (image.shape[1], image.shape[0]) != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            yield np.ascontiguousarray(image)
