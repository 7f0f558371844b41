"""Practise in a process of its own, with actors of its own, so that whoever watches it stays quick and can stop it at any moment.

The job talks in complete reports of where it stands (`PracticeNews`), so one that is dropped is made up for by the next. Asked to stop,
it ends after the attempt in progress; ended by force, or with its owner, it loses that attempt only: the log has everything
else, and the same request resumes it.

Example: `job = PracticeJob(request, folder, actors=2); job.start()`, then every 100 ms `for news in job.poll(): draw(news)`.
Free of the tensor library on the owner's side; `_practice` runs in the job's process.
"""

import contextlib
import enum
import math
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from jaxtyping import UInt8

from frs_core.arrays import Array
from frs_core.errors import FrsError, TrainingError
from frs_core.evaluation.monitor import Driven, Monitor, Wanted
from frs_core.learning.practice_log import Point
from frs_core.learning.practice_record import PracticeRecord, read_practice
from frs_core.learning.process import GRACE_S, ProcessJob
from frs_core.learning.request import Practice, TrainRequest
from frs_core.steering.policy_spec import PolicySpec

STOP_S = 180.0
"""How long a job may take to stop: the rest of an attempt, or learning from all of them. Guess; the latter takes 30 s of 300 attempts."""


class Stage(enum.Enum):
    """What a practice is doing."""

    LOADING = "loading"
    WAITING = "waiting"
    """A person is to start the next attempt, or it is being driven."""
    TRYING = "trying"
    LEARNING = "learning"
    CHECKING = "checking"
    """Running evaluation scenes, without exploration."""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """The last episode that was driven."""

    scene: int
    succeeded: bool
    chunks: int
    is_check: bool
    images: Mapping[str, UInt8[Array, "h w 3"]] = field(default_factory=dict)
    """What each camera saw last, small."""


@dataclass(frozen=True, slots=True, eq=False)
class PracticeNews:
    """Where a practice stands."""

    stage: Stage
    done: int = 0
    """Of this round or check."""
    total: int = 0
    successes: int = 0
    """Among those done."""
    attempts: tuple[bool, ...] = ()
    """Whether each episode of its own was a success, former runs included."""
    curve: tuple[Point, ...] = ()
    seconds_left: float = float("nan")
    last: Attempt | None = None
    wanted: Wanted | None = None
    """The attempt that is waited for; None while none is."""
    learned: int = 0
    """Of `attempts`, how many were learned from or are being; a label that is corrected later is not heard of any more."""


@dataclass(frozen=True, slots=True)
class PracticeResult:
    """How a practice ended."""

    record: PracticeRecord
    was_stopped: bool


class PracticeJob(ProcessJob[PracticeNews, PracticeResult]):
    """One practice in one process, which starts the actors' processes."""

    def __init__(
        self, request: TrainRequest, folder: Path, *, actors: int = 2, attended: PolicySpec | None = None
    ) -> None:
        """Prepare a job; nothing runs yet.

        Args:
            request: what to practise.
            folder: of the practice; one that exists is resumed.
            actors: processes that drive.
            attended: facts of the generalist that the owner has loaded: no actor drives, a person starts every attempt, and
                the owner says with `ended` what came of it. None = actors drive.
        """
        self._ended: Queue[str] = multiprocessing.get_context("spawn").Queue()
        self.is_attended = attended is not None
        super().__init__(
            _practice,
            (request, folder, actors, attended, self._ended),
            done=PracticeResult,
            what=f"Practising '{request.shown_name}'",
            consolation="Only the attempt in progress is lost; continue where it stopped.",
            timeout_s=float("inf"),
            grace_s=STOP_S,
            has_children=True,
        )
        self.request, self.folder = request, folder

    def ended(self, name: str) -> None:
        """Say which recorded episode came of the attempt that is waited for; empty where none did."""
        self._ended.put(name)

    def close(self) -> None:
        """End the process if it still runs, and free the queues; safe to call twice."""
        super().close()
        self._ended.close()
        self._ended.cancel_join_thread()


class _Stopped(Exception):
    """Ends a practice that was asked to stop."""


class _Teller(Monitor):
    """Forwards everything to the owner."""

    def __init__(self, practice: Practice, record: PracticeRecord, messages: "Queue[object]", cancel: Event) -> None:
        self._practice, self._messages, self._cancel = practice, messages, cancel
        self._before, self._began = record.seconds, time.monotonic()
        self._driving_since, self._driven = float("nan"), 0
        self._news = PracticeNews(Stage.LOADING, attempts=record.attempts, curve=record.curve, learned=record.learned)
        self._tell()

    def set_out(self, seeds: Sequence[int]) -> None:
        """A round or an evaluation begins, unless it is to stop."""
        self._stop_if_asked()
        is_check = bool(seeds) and self._is_check(seeds[0])
        if not self._driven:
            self._driving_since = time.monotonic()
        stage = Stage.CHECKING if is_check else Stage.TRYING
        self._tell(stage=stage, done=0, total=len(seeds), successes=0)

    def wants(self, wanted: Wanted) -> None:
        """An attempt is waited for."""
        self._stop_if_asked()
        self._tell(stage=Stage.WAITING, wanted=wanted)

    def drove(self, episode: Driven) -> None:
        """An episode has ended."""
        news, is_check = self._news, self._is_check(episode.seed)
        self._driven += 1
        self._news = replace(
            news,
            done=news.done + 1,
            successes=news.successes + episode.success,
            attempts=news.attempts if is_check else (*news.attempts, episode.success),
            last=Attempt(episode.seed, episode.success, episode.chunks, is_check, episode.images),
            wanted=None,
        )
        self._tell(seconds_left=self._seconds_left())
        self._stop_if_asked()

    def corrects(self, seconds_left: float) -> None:
        """The last label of a round may still be corrected."""
        self._stop_if_asked()
        self._tell(stage=Stage.WAITING, wanted=None)

    def corrected(self, seed: int, success: bool) -> None:
        """An attempt has another label."""
        index, attempts = seed - self._practice.first_seed, self._news.attempts
        if 0 <= index < len(attempts):
            self._tell(attempts=(*attempts[:index], success, *attempts[index + 1 :]))

    def came_back(self) -> None:
        """A round or check is over."""
        learned = self._news.learned if self._news.stage is Stage.CHECKING else len(self._news.attempts)
        self._tell(stage=Stage.LEARNING, learned=learned)

    def judged(self, point: Point) -> None:
        """A version was evaluated."""
        if all(point.episodes != known.episodes for known in self._news.curve):
            self._tell(curve=(*self._news.curve, point))

    def _seconds_left(self) -> float:
        """Return how long the rest takes at the pace so far, learning and checks included."""
        practice, news, now = self._practice, self._news, time.monotonic()
        attempts = max(0, practice.episodes - len(news.attempts))
        checks = math.ceil(attempts / practice.judge_every) if practice.judge_every else 0
        rest = attempts + checks * practice.judged_scenes
        if news.stage is Stage.CHECKING:
            rest += news.total - news.done
        left = (now - self._driving_since) / self._driven * rest
        if not practice.minutes:
            return left
        return max(0.0, min(left, practice.minutes * 60.0 - self._before - (now - self._began)))

    def _is_check(self, seed: int) -> bool:
        first = self._practice.first_judged_seed
        return first <= seed < first + self._practice.judged_scenes

    def _stop_if_asked(self) -> None:
        if self._cancel.is_set():
            raise _Stopped

    def _tell(self, **changes: object) -> None:
        self._news = replace(self._news, **changes)  # pyright: ignore[reportArgumentType]
        with contextlib.suppress(queue.Full):
            self._messages.put_nowait(self._news)


def _practice(
    request: TrainRequest,
    folder: Path,
    actors: int,
    attended: PolicySpec | None,
    ended: "Queue[str]",
    messages: "Queue[object]",
    cancel: Event,
) -> None:
    """Practise and report the result."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ctrl+C in a terminal reaches the whole group; stopping is the owner's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    try:
        teller = _Teller(request.practice or Practice(), read_practice(folder), messages, cancel)
        outcome: PracticeResult | FrsError = _practised(request, folder, actors, attended, ended, teller)
    except FrsError as error:
        outcome = error
    except Exception as error:
        outcome = TrainingError(f"Practice failed: {type(error).__name__}: {error}. This is a bug; please report it.")
    messages.put(outcome, timeout=GRACE_S)


def _practised(
    request: TrainRequest,
    folder: Path,
    actors: int,
    attended: PolicySpec | None,
    ended: "Queue[str]",
    teller: _Teller,
) -> PracticeResult:
    # Loads the tensor library, which the owner must not.
    from frs_core.evaluation.attended import AttendedArena
    from frs_core.evaluation.practice import run_practice

    def wait_for_attempts(actors: Path, monitor: Monitor) -> AttendedArena:
        assert attended is not None
        return AttendedArena(request, attended, ended=ended, folder=actors, monitor=monitor)

    opens = None if attended is None else wait_for_attempts
    try:
        run_practice(request, folder, actors=actors, open_arena=opens, on_point=teller.judged, monitor=teller)
    except _Stopped:
        return PracticeResult(read_practice(folder), was_stopped=True)
    return PracticeResult(read_practice(folder), was_stopped=False)


def _leave(number: int, _frame: object) -> None:
    """End as if by an exception, so that the actors are ended too."""
    raise SystemExit(128 + number)
