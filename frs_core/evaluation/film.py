"""Films of chosen rollouts: the cameras side by side, H.264 in MP4, at the control rate halved."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.robot.observation import Observation

HEIGHT = 224
"""Pixels; cameras are scaled to it."""


class Film:
    """A film that is being written; closed when the episode ends."""

    def __init__(self, path: Path, cameras: Sequence[str], *, fps: float) -> None:
        """Store the settings; the file is created with the first frame.

        Args:
            path: the .mp4.
            cameras: from left to right.
            fps: frames per second.
        """
        self.path = path
        self._cameras, self._fps = tuple(cameras), Fraction(fps).limit_denominator(1000)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def add(self, observation: Observation) -> None:
        """Append one frame."""
        image = side_by_side(observation, self._cameras)
        if self._container is None or self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self.path), "w")
            self._stream = self._container.add_stream("libx264", rate=self._fps, options={"crf": "23"})
            self._stream.height, self._stream.width, self._stream.pix_fmt = *image.shape[:2], "yuv420p"
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))

    def close(self) -> None:
        """Finish the file; safe to call twice."""
        if self._container is not None and self._stream is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
        self._container = None


def side_by_side(observation: Observation, cameras: Sequence[str]) -> UInt8[Array, "H W 3"]:
    """Return the frames of the named cameras side by side, each HEIGHT pixels high; missing cameras are skipped."""
    images = [observation.frames[c].image for c in cameras if c in observation.frames]
    scaled = [
        cv2.resize(i, (round(i.shape[1] * HEIGHT / i.shape[0] / 2) * 2, HEIGHT), interpolation=cv2.INTER_AREA)
        for i in images
    ]
    return np.concatenate(scaled, axis=1)
