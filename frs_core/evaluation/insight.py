"""Check recorded episodes against the policy, in a separate process.

Problem: a reviewer wants to know, for each chunk, whether the stored noise still gives the stored chunk, and what the current
noise policy would pick. Both need the generalist, and must not block the window. Idea: a spawned process loads the policy
once and answers one request at a time; a newer request replaces one that is waiting.

Example: `ask(path, noise_policy="data/learned/mug")`, then `poll()` from a timer until the `Report` of that path arrives.
This module's own code runs on the owner's thread and never imports torch; `_child` runs in the process.
"""

import contextlib
import multiprocessing
import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from frs_core.errors import FrsError
from frs_core.policies import NamedPolicy
from frs_core.runtime.owner import owned

_STOP_S = 3.0


@dataclass(frozen=True, slots=True)
class ChunkInsight:
    """One chunk of the main line."""

    error: float
    """Largest difference of the regenerated chunk, normalised units; NaN when it cannot be checked."""
    is_good: bool | None
    """Whether the stored noise regenerates the stored chunk; None when it cannot be checked."""
    skipped: str = ""
    would_pick: str = ""
    """Label of the candidate nearest to the noise policy's noise; empty without a noise policy."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of checking one episode."""

    path: Path
    chunks: Mapping[int, ChunkInsight] = field(default_factory=dict)
    problem: str = ""
    """Why the check failed, or is incomplete."""


class InsightProcess:
    """Checks episodes in a separate process.

    Args:
        policy: the generalist.
    """

    def __init__(self, policy: NamedPolicy) -> None:
        context = multiprocessing.get_context("spawn")
        self._questions = context.Queue(8)
        self._answers = context.Queue(8)
        self._process: BaseProcess = context.Process(
            target=owned,
            args=(_child, policy, self._questions, self._answers),
            name="frs-insight",
            daemon=True,
        )
        self._is_started = False
        self._waiting: set[Path] = set()

    def ask(self, path: Path, *, noise_policy: str | None = None) -> bool:
        """Request a check of an episode; return False if too many requests are waiting."""
        if not self._is_started:
            self._process.start()
            self._is_started = True
        try:
            self._questions.put_nowait((path, noise_policy))
        except queue.Full:
            return False
        self._waiting.add(path)
        return True

    def poll(self) -> list[Report]:
        """Return the reports since the last call, without waiting."""
        reports: list[Report] = []
        with contextlib.suppress(queue.Empty):
            while True:
                reports.append(self._answers.get_nowait())
        self._waiting -= {r.path for r in reports}
        if self._waiting and self._is_started and not self._process.is_alive():
            dead = "The process that checks episodes has ended. Open the episode again."
            reports += [Report(path, problem=dead) for path in self._waiting]
            self._waiting.clear()
        return reports

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._is_started and self._process.is_alive()

    @property
    def is_waiting(self) -> bool:
        """Whether a report is pending."""
        return bool(self._waiting)

    def close(self) -> None:
        """End the process; safe to call twice."""
        if self._is_started:
            self._process.terminate()
            self._process.join(_STOP_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(_STOP_S)
            self._is_started = False
        for channel in (self._questions, self._answers):
            channel.close()
            channel.cancel_join_thread()


def _child(named: NamedPolicy, questions: Any, answers: Any) -> None:
    import torch

    torch.set_num_threads(1)
    policy, problem = None, ""
    try:
        policy = named.load()
    except FrsError as error:
        problem = str(error)
    while True:
        path, noise_policy = questions.get()
        # Only the newest request matters to a person who scrolls through a list.
        with contextlib.suppress(queue.Empty):
            while True:
                newer = questions.get_nowait()
                answers.put(Report(path, problem="Replaced by a newer request."))
                path, noise_policy = newer
        try:
            report = Report(path, problem=problem) if policy is None else _look(path, policy, noise_policy)
        except FrsError as error:
            report = Report(path, problem=str(error))
        except Exception as error:
            report = Report(path, problem=f"Checking failed: {type(error).__name__}: {error}. Please report it.")
        answers.put(report)


def _look(path: Path, policy: Any, noise_policy: str | None) -> Report:
    from frs_core.episodes import Episode
    from frs_core.episodes.check import TOLERANCE, check

    episode = Episode(path)
    problem = ""
    try:
        checks = {c.index: c for c in check(episode, policy).chunks}
    except FrsError as error:
        checks, problem = {}, str(error)
    picks: dict[int, str] = {}
    if noise_policy is not None:
        try:
            picks = _picks(episode, policy, noise_policy)
        except FrsError as error:
            problem = problem or str(error)
    chunks: dict[int, ChunkInsight] = {}
    for index in episode.main_line:
        checked = checks.get(index)
        is_known = checked is not None and not checked.skipped
        chunks[index] = ChunkInsight(
            error=checked.error if checked is not None and is_known else float("nan"),
            is_good=checked.error <= TOLERANCE if checked is not None and is_known else None,
            skipped=checked.skipped if checked is not None else problem,
            would_pick=picks.get(index, ""),
        )
    return Report(path, chunks, problem)


def _picks(episode: Any, policy: Any, noise_policy: str) -> dict[int, str]:
    """Return, for each chunk, the candidate whose kept noise is nearest to the noise policy's."""
    import numpy as np

    from frs_core.learning.agreement import nearest
    from frs_core.learning.registry import load_noise_policy
    from frs_core.learning.table import Offer
    from frs_core.steering.candidates import CandidateKind

    learned = load_noise_policy(Path(noise_policy), policy.spec.fingerprint)
    size = policy.spec.flow.size
    picks = {}
    for index in episode.main_line:
        observation = episode.observation(index)
        noise = learned.noise(policy.encode(observation), observation)[:, :size]
        offers = episode.offers(index)
        usable = [
            i
            for i, kind in enumerate(offers.kinds)
            if kind is not CandidateKind.LEARNED and np.isfinite(offers.noises[i]).all()
        ]
        if usable:
            offer = Offer(tuple(offers.labels[i] for i in usable), offers.noises[usable][:, :, :size])
            picks[index] = nearest(offer, noise, components=episode.plan(index).components)
    return picks
