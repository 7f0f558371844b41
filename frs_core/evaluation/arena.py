"""Where an online learner practises: a setup of its own, headless, under the same limits and through the same session as any rollout.

Example: `frs train KIND --task mug_on_plate --practice.episodes 200` for a learner that needs an environment.
Runs in the trainer's process.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.choosers.answers import FOLDER
from frs_core.choosers.base import Chooser
from frs_core.choosers.chat import ChatEndpoint, outside_frame
from frs_core.choosers.learned import LearnedChooser
from frs_core.choosers.scripted import PolicyChooser
from frs_core.episodes.records import ChunkRecord, MemoryRecorder
from frs_core.errors import ConfigError
from frs_core.evaluation.cloned import ClonedPolicy
from frs_core.evaluation.setup import Setup, SetupSpec, open_setup
from frs_core.events import Outcome
from frs_core.learning.base import Arena, ChunkPolicy, Learned
from frs_core.learning.judge import DONE, Judge
from frs_core.learning.records import table_from_records
from frs_core.learning.request import Practice, Reward, TrainRequest
from frs_core.learning.settings import InputSettings
from frs_core.learning.table import End, Offer, TrainingTable
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.runtime.registry import plain_options
from frs_core.session import InlineSession
from frs_core.worlds import make_unwatched_world


class SetupArena(Arena):
    """One world and one generalist in this process.

    Args:
        setup: owned from here on.
        task: of the world.
        max_chunks: after which an episode is given up.
        inputs: which cameras the learner looks at.
        judge: says how an episode went; None = the world does.
    """

    def __init__(
        self, setup: Setup, *, task: str, max_chunks: int, inputs: InputSettings, judge: Judge | None = None
    ) -> None:
        self.policy: FlowPolicy = setup.policy
        self._setup, self._task, self._max_chunks, self._inputs = setup, task, max_chunks, inputs
        self._judge = judge
        self.last_seen: Observation | None = None
        """The state in which the last episode ended."""

    def run(self, actor: Learned, *, seed: int) -> TrainingTable:
        """Return one episode as chunks with rewards, next states and its end."""
        recorder = MemoryRecorder()
        actor.begin(seed)
        chooser: Chooser = PolicyChooser() if isinstance(actor, ChunkPolicy) else LearnedChooser()
        with InlineSession(
            self._setup.world,
            ClonedPolicy(self.policy, actor) if isinstance(actor, ChunkPolicy) else self.policy,
            noise_policy=None if isinstance(actor, ChunkPolicy) else actor,
            recorder=recorder,
            step_images=False,
            snapshots=False,
            full_fan=False,
        ) as session:
            session.run_episode(chooser, task=self._task, seed=seed, max_chunks=self._max_chunks)
        episode = recorder.episodes[-1]
        self.last_seen = episode.main_line[-1].after
        table = replace(table_from_records([episode], inputs=self._inputs), names=(f"practice-{seed}",))
        success, last = episode.outcome is Outcome.SUCCESS, episode.last
        progress = None if self._judge is None else _progress(self._judge, episode.main_line)
        if progress is not None:
            success = bool(progress[-1] >= DONE)
        end = End(success)
        if last is not None:
            offer = Offer(last.labels, last.noises)
            end = End(success, last.features, episode.main_line[-1].after.proprio, offer)
        table = table.with_outcomes([success], ends=[end])
        return table if progress is None else table.with_progress(progress)

    def close(self) -> None:
        """Free world and generalist."""
        self._setup.close()


def _progress(judge: Judge, chunks: Sequence[ChunkRecord]) -> Float[Array, " N"]:
    """Return how far the task had come before the first chunk and after each."""
    seen = [*(c.observation for c in chunks), chunks[-1].after]
    return judge.progress([outside_frame(o).image for o in seen], seen[0].instruction)


def judge_options(request: TrainRequest) -> dict[str, str]:
    """Return who judges the episodes of a practice as plain values; empty = the world does."""
    practice = request.practice or Practice()
    if practice.reward is Reward.LABEL:
        return {}
    return {"endpoint": practice.vlm, "model": practice.vlm_model, "cache": str(request.root / FOLDER)}


def make_judge(options: Mapping[str, str]) -> Judge | None:
    """Return the judge that `judge_options` names. Raises ConfigError where the address is not valid."""
    if not options:
        return None
    return Judge(ChatEndpoint(options["endpoint"], model=options["model"]), cache=Path(options["cache"]))


def setup_of(request: TrainRequest) -> SetupSpec:
    """Return the names of world and generalist that a request practises on.

    Raises:
        ConfigError: no task was named.
    """
    practice = request.practice or Practice()
    if request.task is None:
        raise ConfigError(f"Learner '{request.kind}' practises a task, and none was named. Give --task NAME.")
    return SetupSpec(
        world=practice.world,
        world_options=plain_options(practice.world_options),
        policy=replace(request.policy, action_space=practice.action_space),
    )


def require_task(request: TrainRequest) -> None:
    """Do nothing, unless the world that a request practises in lacks its task; starts that world for a moment.

    Raises:
        ConfigError: no task was named, an unknown task, or a world that cannot be made.
    """
    setup = setup_of(request)
    assert request.task is not None
    with contextlib.closing(make_unwatched_world(setup.world, **setup.world_options)) as world:
        world.require_task(request.task)


def open_arena(request: TrainRequest) -> SetupArena:
    """Return the arena that a request asks for.

    Raises:
        ConfigError: no task was named, or world and policy cannot be loaded or do not fit.
    """
    practice, setup = request.practice or Practice(), setup_of(request)
    assert request.task is not None
    judge = make_judge(judge_options(request))
    return SetupArena(
        open_setup(setup, tasks=(request.task,)),
        task=request.task,
        max_chunks=practice.max_chunks,
        inputs=request.inputs,
        judge=judge,
    )
