"""Measure what asking for help is worth: rounds of episodes that the learned policy drives and an operator only answers its calls.

Problem: a policy from ten episodes fails in some scenes; a person who watches all the time steers too much, one who does not watch too late.
Idea: the policy judges itself (`learning.doubts`). Where it is unsure the operator picks three chunks, after each further call twice as many as before, then it is asked again. Successes
are added to the episodes and the next version learns from all of them. It is used only if it is no worse on held-out episodes (`learning.versions`, `learning.gate`: what the cockpit
does after each success). The same scenes are also driven by the same version without help.

    version 1: ten steered successes -> round 1: ten episodes with calls, the same ten without
    version 2: these and the successes of round 1; used, or version 1 stays -> round 2 ...

Every episode is one line of `results.jsonl`, written when it has ended, and every version a folder; the same call continues after a kill.
One process, one thread.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from frs_core.choosers.learned import LearnedChooser
from frs_core.counts import counted
from frs_core.episodes import Episode, EpisodeStore, JournalRecorder
from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation.collect import store_at
from frs_core.evaluation.setup import Setup
from frs_core.evaluation.wilson import format_rate
from frs_core.learning.metadata import METADATA_FILE
from frs_core.learning.registry import load_noise_policy
from frs_core.learning.request import TrainRequest
from frs_core.learning.run import run_request
from frs_core.learning.settings import LearnerSettings
from frs_core.learning.versions import LEARNER, next_version, version_before
from frs_core.runtime.bounds import Count, Seed, require_bounds
from frs_core.runtime.foreign import MALFORMED, parse_json, read_bytes
from frs_core.session import EpisodeResult, InlineSession

FORMAT, RESULTS, LARGEST = "frs-assisted", "results.jsonl", 64 << 20
STEERED, ASSISTED, ALONE = "steered", "assisted", "alone"
"""Who drives: the operator; the learned policy with help; the learned policy without."""


@dataclass(frozen=True, slots=True)
class AssistedSettings:
    """Size of the experiment; a file of results is of one setting."""

    steered: Count = 10
    """Steered successes that the first version learns from."""
    first_steered: Seed = 20_000
    """Number of the first steered scene."""
    episodes: Count = 10
    """Episodes per round."""
    first_scene: Seed = 100_000
    """Number of the first scene of round 1; rounds count on from there."""
    max_chunks: Count = 40
    """Longest episode; a longer one counts as a failure."""
    helped_chunks: Count = 3
    """Chunks that the operator steers after the first call of an episode; after each further one twice as many. One is often undone by the policy's next: it returns to the state in which it called."""
    learner: str = "dsbc"
    gate: bool = True
    """Use a next version only where it is no worse, as the cockpit does, which learns on with `dsbc` alone; off = use each."""

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing, and versions that cannot be compared. Raises ConfigError."""
        require_bounds(self)
        if self.gate and self.learner != LEARNER:
            raise ConfigError(
                f"Versions of '{self.learner}' cannot be compared, those of '{LEARNER}' can. Use each one with --settings.no-gate."
            )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One episode, a line of the results."""

    kind: str
    """STEERED, ASSISTED or ALONE."""
    round: int
    """1, 2, …; 0 for steered ones."""
    seed: int
    success: bool
    chunks: int
    helped: int = 0
    """Chunks that the operator picked in answer to a call."""
    calls: int = 0
    """Boundaries at which it called; while the operator steers it is not asked."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Sentence -> at how many boundaries it was a reason."""
    name: str = ""
    """Of the recording."""
    seconds: float = 0.0
    version: str = ""
    """Folder of the noise policy that drove; empty for steered ones."""


OnAttempt = Callable[[Attempt], None]


class Assisted:
    """The experiment of one task, in a folder.

    Args:
        setup: world and policy, not owned.
        task: of the world.
        folder: results, versions and recordings; made if needed.
        settings: sizes.
        conditions: what else the results depend on, such as the options of the world.
        learner_settings: of the learner; None = its defaults.
    Raises:
        ConfigError: the folder holds results of other settings, or damaged ones.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        task: str,
        folder: Path,
        settings: AssistedSettings,
        conditions: Mapping[str, Any],
        learner_settings: LearnerSettings | None = None,
    ) -> None:
        self._setup, self.task, self.folder, self.settings = setup, task, folder, settings
        self._learner_settings = learner_settings
        self.store: EpisodeStore = store_at(folder / "data")
        header = {
            "format": FORMAT,
            "task": task,
            "settings": asdict(settings),
            "conditions": dict(conditions),
            "fingerprint": setup.policy.spec.fingerprint,
        }
        self._file = folder / RESULTS
        self.attempts = _opened(self._file, json.loads(json.dumps(header)))

    def run(self, rounds: int, on_attempt: OnAttempt = lambda attempt: None) -> None:
        """Drive and learn until so many rounds are there.

        Args:
            rounds: in all.
            on_attempt: called after every episode that was driven now.
        Raises:
            TrainingError: the operator cannot do the task, or training failed.
            FrsError: whatever held a session.
        """
        self._steer(on_attempt)
        for number in range(1, rounds + 1):
            version = self.version(number)
            first = self.settings.first_scene + (number - 1) * self.settings.episodes
            for seed in range(first, first + self.settings.episodes):
                for kind in (ASSISTED, ALONE):
                    if self._find(kind, seed) is None:
                        self._add(self._drive(kind, number, seed, version), on_attempt)

    def version(self, number: int) -> Path:
        """Return the folder of the version that drives a round, trained if it is not there.

        It learns from the steered successes and those of all rounds before; one that the gate refuses leaves the version of the round before.

        Raises:
            TrainingError: training failed.
        """
        folder = self.folder / "versions"
        if driven := next((a.version for a in self.attempts if a.round == number and a.version), ""):
            return folder / driven
        names = tuple(a.name for a in self.attempts if a.success and a.name and a.round < number)
        learner = self.settings.learner
        if number == 1 or not self.settings.gate:
            out = folder / (learner if number == 1 else f"{learner}.v{number}")
            if not (out / METADATA_FILE).is_file():
                run_request(self._request(names, out))
            return out
        return self._next_version(self.version(number - 1), names)

    def _next_version(self, in_use: Path, names: Sequence[str]) -> Path:
        """Return the version that follows, or the one in use where there is none that may."""
        # One from before a stop.
        made = [p for p in in_use.parent.iterdir() if (p / METADATA_FILE).is_file() and version_before(p) == in_use]
        if made:
            return made[0]
        infos = [info for info in self.store.list() if info.name in names]
        request = next_version(in_use, infos, root=self.store.root).request
        if request is None:
            return in_use
        verdict = run_request(request).verdict
        return request.out if verdict is not None and verdict.is_used else in_use

    def _request(self, names: tuple[str, ...], out: Path) -> TrainRequest:
        return TrainRequest(
            kind=self.settings.learner,
            root=self.store.root,
            episodes=names,
            out=out,
            fingerprint=self._setup.policy.spec.fingerprint,
            task=self.task,
            settings=self._learner_settings,
        )

    def _steer(self, on_attempt: OnAttempt) -> None:
        """Have the operator steer until there are enough successes."""
        most = 5 * self.settings.steered
        for seed in range(self.settings.first_steered, self.settings.first_steered + most):
            if sum(a.success for a in self.attempts if a.kind == STEERED) >= self.settings.steered:
                return
            if self._find(STEERED, seed) is None:
                self._add(self._drive(STEERED, 0, seed, None), on_attempt)
        if sum(a.success for a in self.attempts if a.kind == STEERED) < self.settings.steered:
            wanted, tried = counted(self.settings.steered, "success", "successes"), counted(most, "attempt")
            raise TrainingError(
                f"The operator has fewer than {wanted} at task '{self.task}' after {tried}. "
                f"Choose another task, or fewer with --settings.steered."
            )

    def _drive(self, kind: str, number: int, seed: int, version: Path | None) -> Attempt:
        setup = self._setup
        policy = None if version is None else load_noise_policy(version, setup.policy.spec.fingerprint)
        recorder = None if kind == ALONE else JournalRecorder(self.store)
        try:
            with InlineSession(
                setup.world,
                setup.policy,
                noise_policy=policy,
                helper=setup.operator() if kind == ASSISTED else None,
                helped_chunks=self.settings.helped_chunks,
                recorder=recorder,
                step_images=False,
                snapshots=False,
                full_fan=False,
            ) as session:
                chooser = setup.operator() if kind == STEERED else LearnedChooser()
                done = session.run_episode(chooser, task=self.task, seed=seed, max_chunks=self.settings.max_chunks)
        finally:
            if recorder is not None:
                recorder.abort()
        episode = self.store.open(done.name) if kind == ASSISTED else None
        return _attempt(kind, number, done, episode, version="" if version is None else version.name)

    def _find(self, kind: str, seed: int) -> Attempt | None:
        return next((a for a in self.attempts if (a.kind, a.seed) == (kind, seed)), None)

    def _add(self, attempt: Attempt, on_attempt: OnAttempt) -> None:
        _append(self._file, asdict(attempt))
        self.attempts.append(attempt)
        on_attempt(attempt)


def _attempt(kind: str, number: int, done: EpisodeResult, episode: Episode | None, *, version: str) -> Attempt:
    called = [] if episode is None else [episode.called(i) for i in episode.main_line]
    return Attempt(
        kind,
        number,
        done.seed,
        done.success,
        done.chunks,
        helped=0 if episode is None else int(episode.arrays["chunks/is_correction"][list(episode.main_line)].sum()),
        calls=sum(map(bool, called)),
        reasons=dict(Counter(reason for text in called if text for reason in text.split(", "))),
        name=done.name,
        seconds=round(done.seconds, 2),
        version=version,
    )


def _opened(path: Path, header: Mapping[str, Any]) -> list[Attempt]:
    """Return what a file of results holds, without an incomplete last line; make it if it is not there."""
    if not path.exists() or path.stat().st_size == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, header)
        return []
    return _read(path, header)


def _read(path: Path, header: Mapping[str, Any]) -> list[Attempt]:
    data = read_bytes(path, limit=LARGEST, may_link=True)
    whole = data[: data.rfind(b"\n") + 1]
    try:
        found, *rows = [parse_json(line) for line in whole.splitlines()]
        attempts = [Attempt(**row) for row in rows]
    except MALFORMED as error:
        raise ConfigError(f"'{path}' is damaged ({error}). Choose another --out.") from error
    wrong = [key for key in header if found.get(key) != header[key]]
    if wrong:
        raise ConfigError(
            f"'{path}' was made with another '{wrong[0]}': {found.get(wrong[0])}, now {header[wrong[0]]}. Choose another --out."
        )
    os.truncate(path, len(whole))
    return attempts


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """One round of some tasks."""

    round: int
    version: str
    """Folder of the noise policy that drove; empty where tasks differ."""
    assisted: tuple[int, int]
    """(successes, episodes) with help."""
    alone: tuple[int, int]
    """The same scenes and version without help."""
    calls: int
    helped: int
    """Chunks picked by the operator, of `chunks`."""
    chunks: int


def figures(attempts: Sequence[Attempt]) -> list[RoundFigures]:
    """Return the figures of each round."""
    rounds = sorted({a.round for a in attempts if a.kind != STEERED})
    return [_figures(number, [a for a in attempts if a.round == number]) for number in rounds]


def _figures(number: int, attempts: Sequence[Attempt]) -> RoundFigures:
    assisted, alone = ([a for a in attempts if a.kind == kind] for kind in (ASSISTED, ALONE))
    versions = {a.version for a in attempts}
    return RoundFigures(
        number,
        next(iter(versions)) if len(versions) == 1 else "",
        (sum(a.success for a in assisted), len(assisted)),
        (sum(a.success for a in alone), len(alone)),
        calls=sum(a.calls for a in assisted),
        helped=sum(a.helped for a in assisted),
        chunks=sum(a.chunks for a in assisted),
    )


def table(by_task: Mapping[str, Sequence[Attempt]]) -> str:
    """Return rounds by task as Markdown, those of all tasks last."""
    lines = [
        "| task | round | version | with help | without help | calls per episode | chunks steered |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = dict(by_task)
    if len(rows) > 1:
        rows["all"] = [a for attempts in by_task.values() for a in attempts]
    for task, attempts in rows.items():
        for f in figures(attempts):
            with_help, without = (format_rate(*pair) if pair[1] else "" for pair in (f.assisted, f.alone))
            calls = f"{f.calls / f.assisted[1]:.1f}" if f.assisted[1] else ""
            share = f"{f.helped / f.chunks:.0%} ({f.helped} of {f.chunks})" if f.chunks else ""
            lines.append(f"| {task} | {f.round} | {f.version} | {with_help} | {without} | {calls} | {share} |")
    return "\n".join(lines) + "\n"
