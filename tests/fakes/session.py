"""A session whose every part is moved by hand: no thread, no clock but `now`, workers that answer when asked."""

from collections import deque
from collections.abc import Callable, Mapping

from frs_core.choosers.base import Chooser
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, MemoryRecorder
from frs_core.errors import EpisodeError
from frs_core.events import Driver, Outcome, Phase, SessionCommand, Snapshot
from frs_core.policies.base import Context
from frs_core.robot.observation import Observation
from frs_core.runtime.workers import Answer, run_job
from frs_core.session.engine import SessionEngine
from frs_core.session.inference import FanMaker
from frs_core.session.options import SessionOptions
from frs_core.session.parts import Parts
from frs_core.worlds.link import InlineLink
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld


class HandWorker:
    """Keeps jobs until `work` is called; `is_paused` makes them wait, like a thread that hangs."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[int, Callable[[], object]]] = deque()
        self.is_paused = False
        self._answers: list[Answer] = []

    def submit(self, ticket: int, job: Callable[[], object]) -> None:
        self.jobs.append((ticket, job))

    def work(self) -> None:
        while self.jobs and not self.is_paused:
            self._answers.append(run_job(*self.jobs.popleft()))

    def poll(self) -> list[Answer]:
        answers, self._answers = self._answers, []
        return answers

    def close(self, timeout_s: float = 2.0, *, finishes: bool = False) -> bool:
        return True


class FailingPolicy(ToyPolicy):
    """A policy that raises while `error` is set."""

    error: Exception | None = None

    def encode(self, observation: Observation) -> Context:
        if self.error is not None:
            raise self.error
        return super().encode(observation)


class FullDisk(MemoryRecorder):
    """A recorder that refuses chunks and ends while `is_full`."""

    is_full = False

    def begin(self, meta: EpisodeMeta) -> str:
        self._check()
        return super().begin(meta)

    def chunk(self, record: ChunkRecord) -> None:
        self._check()
        super().chunk(record)

    def end(self, outcome: Outcome, note: str = "") -> None:
        self._check()
        super().end(outcome, note)

    def _check(self) -> None:
        if self.is_full:
            raise EpisodeError("The disk is full: 0 MB free, 3 MB needed. Free some space, then resume.")


class HandSession:
    """An engine with hand-moved workers, a toy policy and a point world."""

    def __init__(
        self,
        *,
        world: PointWorld | None = None,
        policy: ToyPolicy | None = None,
        recorder: MemoryRecorder | None = None,
        choosers: Mapping[Driver, Chooser] | None = None,
        advisor: Chooser | None = None,
        options: SessionOptions | None = None,
    ) -> None:
        self.now = 0.0
        self.world = world or PointWorld()
        self.policy = policy or FailingPolicy()
        self.recorder = recorder or MemoryRecorder()
        self.inference, self.chooser_worker, self.writer = HandWorker(), HandWorker(), HandWorker()
        parts = Parts(
            InlineLink(self.world, step_images=True, snapshots=True),
            FanMaker(self.policy),
            inference=self.inference,
            chooser_worker=self.chooser_worker,
            recorder=self.recorder,
            writer=self.writer,
            choosers=choosers,
            advisor=advisor,
            options=options,
            clock=lambda: self.now,
        )
        self.engine = SessionEngine(parts)
        self.engine.start()
        self.settle()

    def settle(self, *, most: int = 200) -> Snapshot:
        """Let everything that can happen happen; return the snapshot."""
        for _ in range(most):
            for worker in (self.inference, self.chooser_worker, self.writer):
                worker.work()
            if not self.engine.tick():
                break
        return self.engine.snapshot()

    def send(self, *commands: SessionCommand) -> Snapshot:
        """Handle commands and settle after each."""
        for command in commands:
            self.engine.handle(command)
            self.settle()
        return self.engine.snapshot()

    def step_until(self, condition: Callable[[Snapshot], bool], *, most: int = 200) -> Snapshot:
        """Tick by tick until a condition holds."""
        for _ in range(most):
            for worker in (self.inference, self.chooser_worker, self.writer):
                worker.work()
            self.engine.tick()
            if condition(snapshot := self.engine.snapshot()):
                return snapshot
        raise AssertionError(
            f"never came true; the session is in {self.engine.phase} {self.engine.parts.status.detail}"
        )

    def wait(self, seconds: float) -> Snapshot:
        """Let time pass."""
        self.now += seconds
        return self.settle()

    @property
    def chunks(self) -> list[ChunkRecord]:
        """What the open episode has been given so far."""
        self.writer.work()
        self.engine.tick()
        self.writer.work()
        assert self.recorder.open_episode is not None
        return self.recorder.open_episode.chunks

    @property
    def phase(self) -> Phase:
        return self.engine.phase
