"""The headless session, for evaluation and scripts: nothing waits and nothing sleeps.

World, policy, choosers and recorder answer at once, in the caller's thread. The engine is the same as in a live session, so an evaluation
runs the code that drives the robot.

    session = InlineSession(world, policy, recorder=MemoryRecorder())
    result = session.run_episode(PolicyChooser(), task="reach_left", seed=3, max_chunks=20)
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frs_core import events as ev
from frs_core.choosers.base import Chooser, NoisePolicy
from frs_core.episodes.records import Recorder
from frs_core.errors import ConfigError
from frs_core.events import Driver, Outcome
from frs_core.runtime.workers import InlineWorker
from frs_core.session.engine import SessionEngine
from frs_core.session.inference import FanMaker
from frs_core.session.options import SessionOptions
from frs_core.session.parts import Parts
from frs_core.session.running import RunningEpisode
from frs_core.steering.plan import SteeringPlan
from frs_core.worlds.base import World
from frs_core.worlds.link import InlineLink

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """How a headless episode went."""

    success: bool
    chunks: int
    """Executed chunks."""
    steps: int
    """Executed control steps."""
    task: str | None
    seed: int
    seconds: float
    """Wall time."""
    picks: tuple[str, ...]
    """Label of every executed chunk."""
    name: str = ""
    """The recorder's name for it; empty when not recorded."""


class InlineSession:
    """Drives one world with one policy, in a plain loop."""

    def __init__(
        self,
        world: World,
        policy: "FlowPolicy",
        *,
        plan: SteeringPlan | None = None,
        noise_policy: NoisePolicy | None = None,
        helper: Chooser | None = None,
        helped_chunks: int = 1,
        recorder: Recorder | None = None,
        step_images: bool | None = None,
        snapshots: bool | None = None,
        full_fan: bool | None = None,
        operator: str = "",
    ) -> None:
        """Bring world and policy up.

        Args:
            world: in this process; its owner closes it.
            policy: the generalist; its owner closes it.
            plan: None = the policy's calibrated default.
            noise_policy: adds the learned candidate.
            helper: answers the driver's calls for help; None = calls are not waited for.
            helped_chunks: chunks that the helper steers after the first call; after each further one twice as many.
            recorder: keeps episodes.
            step_images: look with all cameras after every step; None = only when recording.
            snapshots: keep simulator states at chunk boundaries; None = only when recording.
            full_fan: compute all directed candidates, not only what the chooser asks for; None = only when
                recording, so that what was offered can be reviewed.
            operator: stored with episodes.
        """
        is_recording = recorder is not None
        is_full = is_recording if full_fan is None else full_fan
        link = InlineLink(
            world,
            step_images=is_recording if step_images is None else step_images,
            snapshots=is_recording if snapshots is None else snapshots,
        )
        options = SessionOptions(
            operator=operator,
            driver=Driver.SCRIPTED,
            is_headless=True,
            has_full_fan=is_full,
            ends_on_success=True,
            asks_for_help=helper is not None,
            helped_chunks=helped_chunks,
        )
        parts = Parts(
            link,
            FanMaker(policy),
            inference=InlineWorker(),
            chooser_worker=InlineWorker(),
            helper=helper,
            recorder=recorder,
            writer=InlineWorker(),
            plan=plan,
            options=options,
            # Nothing counts as late here, however slow it is.
            clock=lambda: 0.0,
        )
        self._engine = engine = SessionEngine(parts)
        engine.start()
        if noise_policy is not None:
            engine.set_noise_policy(noise_policy)
        self._settle()

    def run_episode(
        self,
        chooser: Chooser,
        *,
        task: str | None,
        seed: int = 0,
        max_chunks: int,
        instruction: str | None = None,
        plan: SteeringPlan | None = None,
        keep_failures: bool = True,
    ) -> EpisodeResult:
        """Run one episode to success or to `max_chunks`, and return how it went.

        Args:
            chooser: picks; None from it lets the policy act.
            task: a task of the world.
            seed: which scene, and the policy's noises.
            max_chunks: give up after as many.
            instruction: overrides the task's own words.
            plan: other steering settings from here on.
            keep_failures: record failed episodes as failures; False discards them.
        Raises:
            FrsError: whatever held the session: unknown task, failed inference, full disk.
        """
        engine, started = self._engine, time.perf_counter()
        engine.install(chooser.driver, chooser)
        if plan is not None:
            engine.handle(ev.SetPlan(plan))
        engine.parts.keeper.chunk_limit = (max_chunks, Outcome.FAILURE if keep_failures else Outcome.DISCARDED)
        engine.handle(ev.StartEpisode(task, seed, instruction))
        try:
            ended = self._run_to_end()
        except BaseException:
            engine.abandon()
            raise
        return EpisodeResult(
            success=ended.outcome is Outcome.SUCCESS,
            chunks=len(ended.line),
            steps=ended.steps,
            task=task,
            seed=seed,
            seconds=time.perf_counter() - started,
            picks=tuple(boundary.label for boundary in ended.line),
            name=ended.name,
        )

    def close(self) -> None:
        """Leave an open episode on disk, to be recovered. Safe to call twice."""
        self._engine.close()

    def __enter__(self) -> "InlineSession":
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _run_to_end(self) -> RunningEpisode:
        ended, status = self._engine.parts.keeper.ended, self._engine.parts.status
        while not ended:
            is_busy = self._engine.tick()
            if status.error is not None:
                raise status.error
            if not is_busy and not ended:
                said = status.detail or (status.notice[1] if status.notice else "nothing is left to do")
                raise ConfigError(f"The episode cannot continue: {said}")
        return ended.pop()

    def _settle(self) -> None:
        """Let world and policy come up."""
        while self._engine.tick():
            pass
        if error := self._engine.parts.status.error:
            raise error
