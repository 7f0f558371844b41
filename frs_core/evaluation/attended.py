"""An arena where a person starts every attempt: it says who is to drive, waits for the recorded episode, and reads it.

Problem: on a real robot nothing may move without an act of a person, only a person knows how an attempt went, and a person may steer
any chunk of it. Idea: attempts are ordinary episodes of the cockpit's own session, driven by the learned candidate, under Hold and all
limits as ever, and recorded with who picked each chunk. Practice itself moves nothing: it asks for an attempt, gets the
name of the episode that came of it, and learns while no episode is open.

An attempt that was discarded, has no label, or that the learner cannot take, is repeated. Labels are read again before a
round is learned from, so a person can correct them until then; where they alone know how an attempt went, they have a few seconds to do so
after the last of a round. Runs in the trainer's process.

Example: ten attempts of a round are ten starts and ten labels by a person; the learner is called once, after the last.
"""

import queue
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import numpy as np
from jaxtyping import Float
from torch import Tensor

from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, EpisodeError, FingerprintMismatch, PolicyError, TrainingError
from frs_core.evaluation.actors import hold_practice
from frs_core.evaluation.monitor import Driven, Monitor, Wanted
from frs_core.events import Outcome
from frs_core.learning.base import Arena, Learned, Need, Trained
from frs_core.learning.practice_folder import removed
from frs_core.learning.progress import ignore_progress
from frs_core.learning.registry import find_learner
from frs_core.learning.request import Practice, Reward, TrainRequest
from frs_core.learning.store import load_table
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.robot.observation import Observation

CORRECTION_S = 5.0
"""How long a person has to correct the label of a round's last attempt. Guess; Drive starts the next scene 2 s after a success."""
TELL_S = 0.5
"""How often it is said again what is waited for: a message may be dropped where its owner is busy. Guess."""


class AttendedArena(Arena):
    """Attempts that a person starts elsewhere.

    Args:
        request: task, recording folder and practice.
        spec: of the generalist, which is loaded where the attempts are driven.
        ended: names of recorded episodes, one for each attempt that has ended.
        folder: where the policy of the present round is kept; made. A lock beside it keeps other programs out.
        monitor: notified of what is waited for; what it raises ends the practice.
        correction_s: how long a label by a person can be corrected after the last attempt of a round.
    Raises:
        ConfigError: another program practises there, or a model is to judge the attempts.
    """

    def __init__(
        self,
        request: TrainRequest,
        spec: PolicySpec,
        *,
        ended: "Queue[str]",
        folder: Path,
        monitor: Monitor,
        correction_s: float = CORRECTION_S,
    ) -> None:
        if (request.practice or Practice()).reward is not Reward.LABEL:
            raise ConfigError("A person labels these attempts, so no model can. Practise without --reward vlm.")
        self._request, self._ended, self._folder, self._monitor = request, ended, folder, monitor
        self.policy: FlowPolicy = _Elsewhere(spec)
        self._asked, self._correction_s = 0, correction_s
        self._store = EpisodeStore(request.root)
        self._round: dict[int, tuple[str, bool]] = {}
        """Recording of each attempt that was not learned from yet, and whether it is known as a success."""
        self._lock = hold_practice(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def run(self, actor: Learned, *, seed: int) -> TrainingTable:
        """Refuse: actors are handed over as folders."""
        raise TrainingError("A person starts these attempts, with saved policies. Use `drive`.")

    def drive(self, actor: Trained, seeds: Sequence[int]) -> Iterator[tuple[int, TrainingTable]]:
        """Yield (seed, episode) in the order of the seeds, as a person has them driven."""
        self._monitor.set_out(seeds)
        # A name of its own, across runs too: whoever drives keeps what it loaded under the former one.
        folder = actor.save(self._folder / f"round-{uuid4().hex[:8]}")
        for seed in seeds:
            table = self._attempt(seed, folder)
            is_success = bool(table.terminal.any())
            self._round[seed] = (table.names[0], is_success)
            yield seed, table
            self._monitor.drove(Driven("", self._request.task or "", seed, is_success, chunks=table.rows, table=table))

    def settled(self, episodes: Mapping[int, TrainingTable]) -> Mapping[int, TrainingTable]:
        """Return the attempts of a round with the labels that they have by now."""
        for seed, table in episodes.items():
            # Those of an earlier run were not driven here.
            self._round.setdefault(seed, (table.names[0], bool(table.terminal.any())))
        until = time.monotonic() + (self._correction_s if self._is_persons(max(episodes)) else 0.0)
        while (left := until - time.monotonic()) > 0.0:
            self._monitor.corrects(left)
            self._look_for_corrections()
            time.sleep(min(left, TELL_S))
        self._look_for_corrections()
        settled = dict(episodes)
        for seed, (_, is_success) in self._round.items():
            table = episodes[seed]
            if is_success is not bool(table.terminal.any()):
                ends = [replace(end, succeeded=is_success) for end in table.ends]
                settled[seed] = table.with_outcomes([is_success], ends=ends)
        self._round = {}
        self._monitor.came_back()
        return settled

    def _is_persons(self, seed: int) -> bool:
        """Tell whether a person alone knows how an attempt went, or says otherwise than the world."""
        try:
            info = self._store.info(self._round[seed][0])
        except EpisodeError:
            return False
        return info.success_seen is None or info.is_contradicted

    def _look_for_corrections(self) -> None:
        """Say which labels of the round in progress a person has changed; an attempt that was binned since counts as it did."""
        for seed, (name, was_success) in self._round.items():
            try:
                outcome = self._store.info(name).outcome
            except EpisodeError:
                continue
            is_success = outcome is Outcome.SUCCESS
            if is_success is not was_success and outcome in (Outcome.SUCCESS, Outcome.FAILURE):
                self._round[seed] = (name, is_success)
                self._monitor.corrected(seed, is_success)

    def close(self) -> None:
        """Let other programs practise here."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()

    def _attempt(self, seed: int, actor: Path) -> TrainingTable:
        """Return the episode of an attempt once it has ended and counts."""
        self._asked += 1
        problem = ""
        while True:
            self._monitor.wants(Wanted(actor, seed, self._asked, problem))
            self._look_for_corrections()
            if not actor.exists():
                raise removed(self._folder.parent)
            try:
                return self._read(self._ended.get(timeout=TELL_S), seed)
            except queue.Empty:
                continue
            except (EpisodeError, TrainingError, FingerprintMismatch) as error:
                self._asked += 1
                problem = f"The last attempt does not count: {str(error).partition('. ')[0].rstrip('.')}"

    def _read(self, name: str, seed: int) -> TrainingTable:
        """Return an episode that counts; one that the learner would refuse later, with its whole round, is refused here."""
        if not name:
            raise EpisodeError("it was thrown away, or not recorded")
        asked = replace(self._request, episodes=(name,), count=0, fingerprint=self.policy.spec.fingerprint)
        episode = self._store.open(name)
        if (scene := episode.meta.seed) != seed:
            raise EpisodeError(f"it was of scene {scene}, not of {seed}")
        if {episode.text("chunks/instruction", chunk) for chunk in episode.main_line} - {episode.meta.instruction}:
            raise EpisodeError("its instruction was changed while it ran")
        table = load_table(asked, ignore_progress)
        unknown = int((~np.isfinite(table.noise).all(axis=(1, 2))).sum())
        if unknown and find_learner(asked.kind).needs_any(Need.NOISES):
            raise TrainingError(
                f"{unknown} of its {table.rows} chunks were steered at less than the full depth, so their noise is not known; "
                f"set the depth to its end"
            )
        table.require_finite(needs_noise=False)
        return table


class _Elsewhere(FlowPolicy):
    """Stands for a generalist that another process has loaded; only its facts are here."""

    def __init__(self, spec: PolicySpec) -> None:
        self.spec = spec

    def encode(self, observation: Observation) -> Context:
        """Refuse."""
        self._refuse()

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise PolicyError(
            f"Policy '{self.spec.name}' is loaded where the attempts are driven, not where it is learned. Use a learner that "
            f"needs only its facts."
        )
