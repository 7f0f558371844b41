"""A recorded episode, to look at, replay and learn from.

Problem: a review scrubs at random, a trainer wants arrays, a replay wants the session's own records. Idea: one lazy object
over the episode's arrays that answers all three; nothing is read before it is asked for.

Example: `store.open(name).frame("left", 120)` decodes one JPEG of about 15 kB; `.chunk(3)` is the `ChunkRecord` the session
handed over, bit for bit but for the images between chunk boundaries, which went through JPEG.

Any one thread per object. Every damage raises `EpisodeCorrupt` naming the file.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from frs_core.arrays import Array
from frs_core.episodes import packing
from frs_core.episodes.arrays import EpisodeArrays
from frs_core.episodes.encoding import meta_from_json, verdict_of
from frs_core.episodes.index import EpisodeInfo, read_attributes, read_info, trim_of
from frs_core.episodes.integrity import TABLE_CHECKSUM, corrupt
from frs_core.episodes.layout import ROOT_METADATA, SUFFIX
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, LastState, RecordedEpisode, StepRecord
from frs_core.errors import ConfigError, EpisodeError, unknown_name
from frs_core.events import NOBODY, Driver, Latency, Outcome
from frs_core.robot.observation import Calibration, CameraFrame, Observation
from frs_core.runtime.foreign import MALFORMED, parse_json
from frs_core.runtime.image_files import decode
from frs_core.steering.candidates import CandidateKind, Verdict
from frs_core.steering.directions import Gripper
from frs_core.steering.plan import SteeringPlan


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """The fan of one chunk."""

    labels: tuple[str, ...]
    kinds: tuple[CandidateKind, ...]
    chunks: Float[Array, "C H a"]
    noises: Float[Array, "C H A"]
    paths: Float[Array, "C H+1 3"]
    verdicts: tuple[Verdict, ...]
    picked: int
    """Index of the executed candidate."""
    values: Float[Array, " C"] | None = None
    """Value of each one under the loaded noise policy, NaN where it has none; None where no policy gave values."""


class Episode:
    """One committed episode."""

    def __init__(self, path: Path) -> None:
        """Open an episode and check its files' sizes and metadata.

        Raises:
            EpisodeCorrupt: damaged.
        """
        self.path = Path(path)
        self.name = self.path.name.removesuffix(SUFFIX)
        self.attributes = read_attributes(self.path)
        self.arrays = EpisodeArrays(self.path)
        """Everything by its name in `docs/episodes.md`, e.g. `arrays["steps/q"]`."""
        self.meta: EpisodeMeta = self._meta()
        self.cameras = tuple(self.meta.cameras)
        info = self.info
        if info.problem:
            raise corrupt(self.path, f"file '{ROOT_METADATA}' lacks facts ({info.problem})")
        self.n_steps, self.n_chunks = info.n_steps, info.n_chunks
        self._check_facts()

    @property
    def info(self) -> EpisodeInfo:
        """The row in the list, as it is on disk."""
        return read_info(self.path)

    @property
    def is_tied(self) -> bool:
        """Whether its facts name the data they belong to; False for episodes made before they did."""
        return TABLE_CHECKSUM in self.attributes

    @property
    def outcome(self) -> Outcome:
        """How it is said to have ended."""
        return Outcome(self.attributes["outcome"])

    # --- structure --------------------------------------------------------------------------------

    @cached_property
    def standing(self) -> tuple[int, ...]:
        """Chunks that led to the end, branches not taken left out, trimmed ends included."""
        return tuple(int(i) for i in np.flatnonzero(~self.arrays["chunks/is_undone"]))

    @cached_property
    def main_line(self) -> tuple[int, ...]:
        """Chunks that led to the end, without branches not taken and trimmed ends."""
        first, last = trim_of(self.attributes)
        return self.standing[first : len(self.standing) - last]

    @cached_property
    def main_steps(self) -> Int[Array, " n"]:
        """Steps of the main line."""
        return np.flatnonzero(np.isin(self.arrays["steps/chunk"], self.main_line))

    def steps_of(self, chunk: int) -> range:
        """Return the steps of one chunk."""
        first = self.arrays["chunks/first_step"]
        self._check_chunk(chunk)
        return range(int(first[chunk]), int(first[chunk + 1]))

    def chunk_of(self, step: int) -> int:
        """Return the chunk that one step belongs to."""
        self._check_step(step)
        return int(self.arrays["steps/chunk"][step])

    # --- images ---------------------------------------------------------------------------------

    def frame(self, camera: str, step: int) -> UInt8[Array, "H W 3"]:
        """Return what a camera had seen by the beginning of a step (JPEG), RGB.

        Raises:
            ConfigError: unknown camera.
            EpisodeError: no such step, or no image of that camera by then.
            EpisodeCorrupt: damaged.
        """
        return self._jpeg(camera, self._frame_number(camera, step))

    def calibration(self, camera: str, step: int) -> Calibration | None:
        """Return the calibration of the image that `frame` returns. Raises as `frame`."""
        return self._calibration(camera, self._frame_number(camera, step))

    def jpeg(self, camera: str, step: int) -> bytes:
        """Return the encoded image that `frame` decodes; empty where the camera had seen nothing by then. Raises as `frame`."""
        number = self._frame_number(camera, step, is_required=False)
        return self.arrays.bytes_at(f"images/{camera}/data", number) if number >= 0 else b""

    def boundary_image(self, camera: str, chunk: int) -> UInt8[Array, "H W 3"]:
        """Return the very image that the policy saw at the beginning of a chunk, RGB. Raises as `frame`."""
        self._camera_index(camera)
        self._check_chunk(chunk)
        data = self.arrays.bytes_at(f"lossless/{camera}/data", chunk)
        if not data:
            raise EpisodeError(f"Chunk {chunk} of episode '{self.name}' has no image of camera '{camera}'.")
        return self._decode(data, f"lossless/{camera}/data, chunk {chunk}")

    def _frame_number(self, camera: str, step: int, *, is_required: bool = True) -> int:
        self._check_step(step)
        column, chunk = self._camera_index(camera), self.chunk_of(step)
        numbers = self.arrays["steps/frames"][self.steps_of(chunk).start : step + 1, column]
        known = numbers[numbers >= 0]
        number = int(known[-1]) if len(known) else int(self.arrays["boundary/frames"][chunk, column])
        if number < 0 and is_required:
            raise EpisodeError(f"Step {step} of episode '{self.name}' has no image of camera '{camera}'.")
        return number

    def _jpeg(self, camera: str, number: int) -> UInt8[Array, "H W 3"]:
        data = self.arrays.bytes_at(f"images/{camera}/data", number)
        return self._decode(data, f"images/{camera}/data, image {number}")

    def _decode(self, data: bytes, what: str) -> UInt8[Array, "H W 3"]:
        try:
            return decode(data)
        except ValueError as error:
            raise corrupt(self.path, f"'{what}' is {error}") from error

    def _calibration(self, camera: str, number: int) -> Calibration | None:
        at = f"images/{camera}"
        K, T = self.arrays[f"{at}/K"][number], self.arrays[f"{at}/T_base_camera"][number]
        if np.isnan(K).any():
            return None
        width, height = (int(n) for n in self.arrays[f"{at}/calibration_size"][number])
        made_at = float(self.arrays[f"{at}/made_at"][number])
        return Calibration(K, T, width, height, None if np.isnan(made_at) else made_at)

    # --- records ----------------------------------------------------------------------------------

    def observation(self, chunk: int, *, has_images: bool = True) -> Observation:
        """Return what the policy saw at the beginning of a chunk, exactly.

        Raises:
            EpisodeError: no such chunk.
            EpisodeCorrupt: damaged.
        """
        self._check_chunk(chunk)
        return self._observation("boundary", chunk, has_images=has_images)

    def after(self, chunk: int, *, has_images: bool = True) -> Observation:
        """Return the state after a chunk; images through JPEG. Raises as `observation`."""
        self._check_chunk(chunk)
        return self._observation("after", chunk, has_images=has_images)

    def step_observation(self, step: int, *, has_images: bool = True) -> Observation:
        """Return the state before a step's action; images through JPEG. Raises as `observation`."""
        self._check_step(step)
        return self._observation("steps", step, has_images=has_images)

    def plan(self, chunk: int) -> SteeringPlan:
        """Return the steering settings of a chunk. Raises as `observation`."""
        self._check_chunk(chunk)
        text = self.text("chunks/plan", chunk)
        try:
            return SteeringPlan.from_json(parse_json(text))
        except (ConfigError, *MALFORMED) as error:
            raise corrupt(self.path, f"'chunks/plan' of chunk {chunk} cannot be read ({error})") from error

    def snapshot(self, chunk: int) -> bytes | None:
        """Return the simulator's state at the beginning of a chunk, None where there was none. Raises as `observation`."""
        self._check_chunk(chunk)
        return self.arrays.bytes_at("snapshots/data", chunk) or None

    def offers(self, chunk: int) -> Offers:
        """Return the fan of a chunk. Raises as `observation`."""
        self._check_chunk(chunk)
        a = self.arrays
        first, last = (int(i) for i in a["chunks/first_offer"][chunk : chunk + 2])
        where = a["offers/warnings_offsets"]
        values = a["offers/values"][first:last] if a.has("offers/values") else np.full(last - first, np.nan)
        warnings = [
            tuple(self._texts[t] for t in a["offers/warnings"][where[i] : where[i + 1]]) for i in range(first, last)
        ]
        return Offers(
            labels=tuple(self._texts[i] for i in a["offers/labels"][first:last]),
            kinds=tuple(CandidateKind(self._texts[i]) for i in a["offers/kinds"][first:last]),
            chunks=a["offers/chunks"][first:last],
            noises=a["offers/noises"][first:last],
            paths=a["offers/paths"][first:last],
            verdicts=tuple(
                verdict_of(n, f, w)
                for n, f, w in zip(
                    a["offers/verdict"][first:last], a["offers/flags"][first:last], warnings, strict=True
                )
            ),
            picked=int(a["chunks/picked"][chunk]),
            values=values if np.isfinite(values).any() else None,
        )

    def target(self, chunk: int) -> tuple[float, float, float] | None:
        """Return where the operator had marked that the tool is to go, base frame, metres; None without a mark. Raises as `observation`."""
        self._check_chunk(chunk)
        if not self.arrays.has("chunks/target"):
            return None
        x, y, z = self.arrays["chunks/target"][chunk].tolist()
        return None if np.isnan(x) else (x, y, z)

    def called(self, chunk: int) -> str:
        """Return why the driver asked for help where a chunk begins; empty = it did not, or that was not recorded. Raises as `observation`."""
        self._check_chunk(chunk)
        return self.text("chunks/called", chunk) if self.arrays.has("chunks/called") else ""

    def noise_policy(self, chunk: int) -> str:
        """Return the path or name of the noise policy in the fan of a chunk; empty = none. Raises as `observation`.

        Older episodes have the one at their start for all chunks.
        """
        self._check_chunk(chunk)
        if "noise_policies" not in self.attributes:
            return self.meta.noise_policy or ""
        return self.text("chunks/noise_policy", chunk) if self.arrays.has("chunks/noise_policy") else ""

    def last(self) -> LastState | None:
        """Return what was seen after the last chunk; None where it was not kept, as in older episodes and successes.

        Raises:
            EpisodeCorrupt: damaged.
        """
        if not self.arrays.has("last/features") or trim_of(self.attributes)[1]:
            return None
        a = self.arrays
        labels = tuple(self._texts[i] for i in a["last/labels"])
        return LastState(a["last/features"], labels, a["last/noises"])

    def chunk(self, index: int, *, has_images: bool = True) -> ChunkRecord:
        """Return the record the session handed over.

        Args:
            index: which chunk.
            has_images: False leaves all images out, which is much faster.
        Raises:
            EpisodeError: no such chunk.
            EpisodeCorrupt: damaged.
        """
        offers, a = self.offers(index), self.arrays
        return ChunkRecord(
            index=index,
            parent=int(a["chunks/parent"][index]),
            observation=self.observation(index, has_images=has_images),
            features=a["chunks/features"][index],
            offered_labels=offers.labels,
            offered_kinds=offers.kinds,
            offered_chunks=offers.chunks,
            offered_noises=offers.noises,
            offered_paths=offers.paths,
            offered_verdicts=offers.verdicts,
            picked=offers.labels[offers.picked],
            driver=Driver(self.text("chunks/driver", index)),
            device=self.text("chunks/device", index),
            reason=self.text("chunks/reason", index),
            is_correction=bool(a["chunks/is_correction"][index]),
            noise=a["chunks/noise"][index],
            recovered=a["chunks/recovered"][index],
            chunk=a["chunks/chunk"][index],
            unsteered_chunk=a["chunks/unsteered_chunk"][index],
            plan=self.plan(index),
            gripper=Gripper(self.text("chunks/gripper", index)),
            instruction=self.text("chunks/instruction", index),
            steps=tuple(self._step(s, has_images=has_images) for s in self.steps_of(index)),
            after=self._observation("after", index, has_images=has_images),
            latency=Latency(*(float(x) for x in a["chunks/latency"][index])),
            snapshot=self.snapshot(index),
            started_ns=int(a["chunks/started_ns"][index]),
            offered_values=offers.values,
            target=self.target(index),
            called=self.called(index),
            noise_policy=self.noise_policy(index),
        )

    def record(self, *, has_images: bool = False) -> RecordedEpisode:
        """Return the whole episode as a `MemoryRecorder` would have kept it. Raises EpisodeCorrupt."""
        return RecordedEpisode(
            name=self.name,
            meta=self.meta,
            chunks=[self.chunk(i, has_images=has_images) for i in range(self.n_chunks)],
            undone=set(range(self.n_chunks)) - set(self.main_line),
            outcome=self.outcome,
            note=self.attributes["note"],
            last=self.last(),
        )

    def verify(self) -> None:
        """Read every byte of every file. Raises EpisodeCorrupt at the first damaged one."""
        self.arrays.verify()

    def _check_facts(self) -> None:
        """Raise EpisodeCorrupt when the root's `zarr.json` is of another episode than the data beside it."""
        if self.attributes.get(TABLE_CHECKSUM, self.arrays.table_checksum) != self.arrays.table_checksum:
            raise corrupt(self.path, f"file '{ROOT_METADATA}' is of another episode than the files beside it")
        for name, count in (("steps/chunk", self.n_steps), ("chunks/parent", self.n_chunks)):
            if self.arrays.shape(name) != (count,):
                raise corrupt(
                    self.path, f"file '{ROOT_METADATA}' tells of {count}, '{name}' has shape {self.arrays.shape(name)}"
                )

    def _step(self, step: int, *, has_images: bool) -> StepRecord:
        a = self.arrays
        return StepRecord(
            row=int(a["steps/row"][step]),
            observation=self._observation("steps", step, has_images=has_images),
            action_asked=a["steps/action_asked"][step],
            action_sent=a["steps/action_sent"][step],
            is_clipped=bool(a["steps/is_clipped"][step]),
            clip_reason=self.text("steps/clip_reason", step),
            overrun_ms=float(a["steps/overrun_ms"][step]),
        )

    def _observation(self, where: str, row: int, *, has_images: bool) -> Observation:
        def value(name: str) -> Any:
            return self.arrays[f"{where}/{name}"][row]

        numbers = zip(self.cameras, value("frames"), strict=True) if has_images else ()
        success = int(value("success"))
        return Observation(
            frames={c: self._camera_frame(where, row, c, int(n)) for c, n in numbers if n >= 0},
            q=value("q"),
            dq=value("dq"),
            gripper=float(value("gripper")),
            T_base_tcp=value("T_base_tcp"),
            instruction=self.text(f"{where}/instruction", row),
            captured_ns=int(value("captured_ns")),
            step=int(value("step")),
            gripper_command=float(value("gripper_command")),
            success=None if success < 0 else bool(success),
            extra=packing.unpack(self.arrays.bytes_at(f"{where}/extra", row)),
        )

    def _camera_frame(self, where: str, row: int, camera: str, number: int) -> CameraFrame:
        taken = int(self.arrays[f"images/{camera}/captured_ns"][number])
        calibration = self._calibration(camera, number)
        if where != "boundary":
            return CameraFrame(self._jpeg(camera, number), taken, calibration)
        exact = self.boundary_image(camera, row)
        if not self._is_apart(camera):
            return CameraFrame(exact, taken, calibration)
        return CameraFrame(self._jpeg(camera, number), taken, calibration, exact)

    def _is_apart(self, camera: str) -> bool:
        """Tell whether the policy was given another image than people."""
        return self.arrays.attributes(f"lossless/{camera}").get("is_apart") is True

    @cached_property
    def _texts(self) -> list[str]:
        return self.arrays.texts()

    def text(self, name: str, row: int) -> str:
        """Return one entry of an array of text numbers, e.g. `text("chunks/driver", 3)`. Raises EpisodeCorrupt."""
        return self._texts[int(self.arrays[name][row])]

    def picked_by(self, index: int) -> str:
        """Return who picked a chunk: a driver's id, or "policy" where nobody did and its own candidate was taken."""
        return "policy" if self.text("chunks/device", index) == NOBODY else self.text("chunks/driver", index)

    def _meta(self) -> EpisodeMeta:
        try:
            return meta_from_json(self.attributes)
        except (ConfigError, *MALFORMED) as error:
            raise corrupt(self.path, f"file '{ROOT_METADATA}' lacks or garbles {error}") from error

    def _camera_index(self, camera: str) -> int:
        if camera not in self.cameras:
            raise unknown_name("camera", camera, self.cameras)
        return self.cameras.index(camera)

    def _check_chunk(self, chunk: int) -> None:
        if not 0 <= chunk < self.n_chunks:
            raise EpisodeError(f"Episode '{self.name}' has chunks 0..{self.n_chunks - 1}, asked for {chunk}.")

    def _check_step(self, step: int) -> None:
        if not 0 <= step < self.n_steps:
            raise EpisodeError(f"Episode '{self.name}' has steps 0..{self.n_steps - 1}, asked for {step}.")


def standing_steps(episode: Episode) -> list[int]:
    """Return the steps of the main line for an export. Raises EpisodeError where every chunk was taken back."""
    steps = [int(s) for s in episode.main_steps]
    if not steps:
        raise EpisodeError(f"Every chunk of episode '{episode.name}' was taken back, so there is nothing to export.")
    return steps
