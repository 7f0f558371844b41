"""A recorded episode for the Review layout: the frames of the main line, its chunks, and the plotted values.

Problem: an episode may contain branches that were gone back from, but the scrubber needs one sequence of frames. Idea: positions 0..n-1
count the steps of the main line; each chunk has its start position, its fan, its pick, and the branches that were gone back from there.
Opened on a worker thread; read-only afterwards.

Example: 40 steps in 5 chunks of 8; position 17 is row 1 of chunk 2.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int

from app.names import policy_name
from frs_core.arrays import Array
from frs_core.episodes import Episode, EpisodeInfo, command_of, recorded_fan
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.steering.candidates import CandidateKind, Fan


@dataclass(frozen=True, slots=True)
class ChunkMark:
    """One chunk of the main line."""

    index: int
    """Index in the episode."""
    start: int
    """Position of its first step."""
    stop: int
    label: str
    kind: CandidateKind
    driver: str
    device: str
    reason: str
    is_correction: bool
    noise_norm: float
    """RMS of the executed noise; 1 = a typical Gaussian draw; NaN without a noise."""
    authority: float
    branches: tuple[str, ...]
    """Labels picked here first and taken back."""
    value: float = float("nan")
    """Value of the pick under the loaded policy, 0..1; NaN where nobody said."""
    version: str = ""
    """Name of the noise policy whose candidate was picked; empty where another was picked, and in episodes that do not say."""

    @property
    def glyph(self) -> str:
        """One character for the scrubber."""
        if self.kind is CandidateKind.UNSTEERED:
            return "◇"
        if self.kind is CandidateKind.LEARNED:
            return "★"
        command = command_of(self.label)
        return command.direction.glyph if command and command.direction else "•"


class Record:
    """An opened episode.

    Args:
        info: its row in the list.
    """

    def __init__(self, info: EpisodeInfo) -> None:
        self.info = info
        self.path: Path = info.path
        self._episode = Episode(info.path)
        self.cameras = self._episode.cameras
        self.steps: Int[Array, " n"] = np.asarray(self._episode.main_steps)
        arrays = self._episode.arrays
        self.q = arrays["steps/q"][self.steps]
        self.action = arrays["steps/action_sent"][self.steps]
        self.gripper = arrays["steps/gripper"][self.steps]
        self.gripper_command = self.action[:, -1]
        self.tcp = arrays["steps/T_base_tcp"][self.steps][:, :3, 3]
        self.control_hz = self._episode.meta.control_hz
        self.execute_rows = self._episode.meta.execute_rows
        self.marks = self._read_marks()

    @property
    def length(self) -> int:
        """Frames of the main line."""
        return len(self.steps)

    def mark_at(self, position: int) -> ChunkMark:
        """Return the chunk that a position belongs to."""
        starts = [m.start for m in self.marks]
        return self.marks[max(0, int(np.searchsorted(starts, position, side="right")) - 1)]

    def frames(self, position: int) -> dict[str, CameraFrame]:
        """Return all cameras at a position; decodes JPEGs."""
        step = int(self.steps[position])
        mark = self.mark_at(position)
        is_boundary = position == mark.start
        result = {}
        for camera in self.cameras:
            image = (
                self._episode.boundary_image(camera, mark.index) if is_boundary else self._episode.frame(camera, step)
            )
            result[camera] = CameraFrame(image, 0, self._episode.calibration(camera, step))
        return result

    def observation(self, position: int) -> Observation:
        """Return the robot's state at a position, without images."""
        return self._episode.step_observation(int(self.steps[position]), has_images=False)

    def fan(self, chunk: int) -> Fan:
        """Return the recorded fan of a chunk, to be drawn like a live one."""
        return _fan_of(self, chunk)

    def build_fan(self, chunk: int) -> Fan:
        """Read the recorded fan of a chunk from disk."""
        return recorded_fan(self._episode, chunk)

    def _read_marks(self) -> tuple[ChunkMark, ...]:
        episode, marks, start = self._episode, [], 0
        main = set(episode.main_line)
        undone: dict[int, list[str]] = {}
        for chunk in range(episode.n_chunks):
            if chunk not in main:
                offers = episode.offers(chunk)
                undone.setdefault(int(episode.arrays["chunks/parent"][chunk]), []).append(offers.labels[offers.picked])
        for chunk in episode.main_line:
            offers, rows = episode.offers(chunk), len(episode.steps_of(chunk))
            noise = episode.arrays["chunks/noise"][chunk]
            is_finite = bool(np.isfinite(noise).all())
            marks.append(
                ChunkMark(
                    index=chunk,
                    start=start,
                    stop=start + rows,
                    label=offers.labels[offers.picked],
                    kind=offers.kinds[offers.picked],
                    driver=episode.text("chunks/driver", chunk),
                    device=episode.text("chunks/device", chunk),
                    reason=episode.text("chunks/reason", chunk),
                    is_correction=bool(episode.arrays["chunks/is_correction"][chunk]),
                    noise_norm=float(np.sqrt(np.mean(noise.astype(np.float64) ** 2))) if is_finite else float("nan"),
                    authority=offers.verdicts[offers.picked].authority,
                    value=float("nan") if offers.values is None else float(offers.values[offers.picked]),
                    branches=tuple(undone.get(int(episode.arrays["chunks/parent"][chunk]), ())),
                    version=policy_name(episode.noise_policy(chunk))
                    if offers.kinds[offers.picked] is CandidateKind.LEARNED
                    else "",
                )
            )
            start += rows
        return tuple(marks)


@lru_cache(maxsize=64)
def _fan_of(record: Record, chunk: int) -> Fan:
    return record.build_fan(chunk)
