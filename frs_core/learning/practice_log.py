"""The log of a practice, on disk: every episode, the learner after each round, every version that was evaluated.

`learning.practice_folder` shows what lies where. `learning.practice_record` reads such a folder without loading the learner.

A practice that is killed at any moment resumes from `learner.state` and whatever episodes of the round in progress are there;
it loses the episodes that were being driven, nothing else, and ends with the same numbers. Free of the tensor library until used.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frs_core.errors import ConfigError, TrainingError
from frs_core.learning.base import Trained
from frs_core.learning.practice_folder import CONDITIONS, EPISODES, STATE, removed, state_file, version_folder
from frs_core.learning.request import Practice, Reward, TrainRequest
from frs_core.learning.settings import to_json
from frs_core.learning.table import TrainingTable, join
from frs_core.runtime.foreign import MALFORMED, read_json
from frs_core.runtime.registry import without_secrets

_BUDGET = ("episodes", "minutes")
"""Parts of a practice that may change when it is resumed."""


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation of the learner, without exploration."""

    episodes: int
    """Of its own, so far."""
    successes: int
    scenes: int
    """0 without evaluation scenes: the success of this version is then that of the attempts it drives, which the next point counts."""
    chunks: float
    """Mean length of an episode."""
    own_successes: int
    """Successes of the attempts since the previous evaluation, with exploration."""
    own_episodes: int
    minutes: float
    """Since the beginning, all runs together."""


def best_of(curve: Sequence[Point]) -> Point | None:
    """Return the version that did best; of equal ones the latest, which has seen most. None where none was evaluated."""
    return max(curve, key=lambda p: (p.successes / max(1, p.scenes), p.episodes), default=None)


class PracticeLog:
    """Keeps a practice in memory, and in a folder where one is given.

    Args:
        folder: made, or of the same practice as before; None = in memory only.
        request: what is practised.
        prior: recorded episodes it starts from.
    Raises:
        ConfigError: the folder holds another practice, or is damaged.
        TrainingError: the disk refused.
    """

    def __init__(self, folder: Path | None, request: TrainRequest, prior: TrainingTable | None) -> None:
        self.folder = folder
        self.rounds: tuple[TrainingTable, ...] = ()
        self.curve: tuple[Point, ...] = ()
        self.state: Mapping[str, Any] | None = None
        self.seconds = 0.0
        self._versions: dict[int, Trained] = {}
        if folder is not None:
            self._open(folder, _conditions(request, prior))

    @property
    def episodes(self) -> int:
        """Of its own, in whole rounds."""
        return sum(len(table.names) for table in self.rounds)

    @property
    def best(self) -> Point | None:
        """The version that did best; of equal ones the latest, which has seen most."""
        return best_of(self.curve)

    def version(self, point: Point) -> "Path | Trained":
        """Return the folder of an evaluated version, or the version itself where there is no folder."""
        return self._versions[point.episodes] if self.folder is None else self._version_folder(point.episodes)

    def driven(self, seed: int) -> TrainingTable | None:
        """Return an episode of the round in progress that was driven before; None where it was not.

        Raises:
            ConfigError: the folder was removed, or the file is damaged.
        """
        from frs_core.learning.table_file import read_table

        self._require_folder()
        path = self._episode_path(seed)
        return read_table(path) if path is not None and path.exists() else None

    def keep_episode(self, seed: int, table: TrainingTable) -> None:
        """Keep an episode that has just ended. Raises TrainingError where the disk refused, ConfigError where the folder is gone."""
        from frs_core.learning.table_file import write_table

        self._require_folder()
        if (path := self._episode_path(seed)) is not None:
            write_table(path, table)

    def keep_round(self, episodes: Sequence[TrainingTable], state: Mapping[str, Any], seconds: float) -> None:
        """Keep a round that was learned from, and the learner after it. Raises TrainingError where the disk refused."""
        before = self.rounds, self.state
        self.rounds = (*self.rounds, join(episodes))
        try:
            self._keep(state, seconds)
        except TrainingError:
            self.rounds, self.state = before
            raise

    def keep_version(self, point: Point, trained: Trained, state: Mapping[str, Any], seconds: float) -> None:
        """Keep a version that was evaluated. Raises TrainingError where the disk refused."""
        self._require_folder()
        if self.folder is None:
            self._versions[point.episodes] = trained
        else:
            trained.save(self._version_folder(point.episodes), overwrite=True)
        self.curve = (*self.curve, point)
        self._keep(state, seconds, *([] if self.folder is None else [state_file(self.folder, point.episodes)]))

    def _keep(self, state: Mapping[str, Any], seconds: float, *copies: Path) -> None:
        from frs_core.learning.packing import pack
        from frs_core.learning.table_file import write_packed

        self._require_folder()
        self.state, self.seconds = state, seconds
        if self.folder is None:
            return
        tensors, packed = pack(state)
        facts = {
            "state": packed,
            "rounds": [len(table.names) for table in self.rounds],
            "curve": [asdict(point) for point in self.curve],
            "seconds": seconds,
        }
        for path in (*copies, self.folder / STATE):
            write_packed(path, tensors, facts)

    def _require_folder(self) -> None:
        """Raise ConfigError where the folder was taken away meanwhile: a part of a practice, put in its place, would pass for one."""
        if self.folder is not None and not (self.folder / CONDITIONS).exists():
            raise removed(self.folder)

    def _open(self, folder: Path, conditions: Mapping[str, Any]) -> None:
        from frs_core.learning.packing import unpack
        from frs_core.learning.table_file import read_packed, read_table, write_file

        self._first_seed = int(conditions["practice"]["first_seed"])
        path = folder / CONDITIONS
        if not path.exists():
            write_file(path, (json.dumps(conditions, indent=2, sort_keys=True) + "\n").encode())
        try:
            # Practices of earlier versions had no options of a policy.
            found = {"policy_options": {}, **read_json(path)}
            wrong = [key for key in conditions if found[key] != conditions[key]]
        except (OSError, *MALFORMED) as error:
            raise ConfigError(
                f"'{path}' is not of a practice ({error}). Choose another folder with --folder."
            ) from error
        if wrong:
            raise ConfigError(
                f"'{folder}' holds another practice: its {wrong[0]} {_difference(found[wrong[0]], conditions[wrong[0]])}. Choose "
                f"another folder with --folder, or use the former settings."
            )
        if not (folder / STATE).exists():
            return
        tensors, facts = read_packed(folder / STATE)
        self.state = unpack(tensors, facts["state"])
        try:
            seeds = iter(range(self._first_seed, self._first_seed + sum(facts["rounds"])))
            self.rounds = tuple(
                join([read_table(folder / EPISODES / f"{next(seeds)}.table") for _ in range(count)])
                for count in facts["rounds"]
            )
            self.curve = tuple(Point(**point) for point in facts["curve"])
            self.seconds = float(facts["seconds"])
        except MALFORMED as error:
            raise ConfigError(f"'{folder / STATE}' is damaged ({error}). Start again in another folder.") from error

    def _episode_path(self, seed: int) -> Path | None:
        return None if self.folder is None else self.folder / EPISODES / f"{seed}.table"

    def _version_folder(self, episodes: int) -> Path:
        assert self.folder is not None
        return version_folder(self.folder, episodes)


def _conditions(request: TrainRequest, prior: TrainingTable | None) -> dict[str, Any]:
    """Return the settings that must be equal to continue a practice, as plain values."""
    asked = request.practice or Practice()
    practice = {**to_json(asked), "world_options": without_secrets(asked.world_options)}
    if practice["reward"] == Reward.LABEL.value:
        # Left out where not asked for, so that earlier practices are found again.
        practice = {k: v for k, v in practice.items() if k not in ("reward", "vlm", "vlm_model")}
    conditions = {
        "learner": request.kind,
        "task": request.task,
        "policy": request.policy.name,
        "policy_options": without_secrets(request.policy.options),
        "settings": None if request.settings is None else to_json(request.settings),
        "practice": {k: v for k, v in practice.items() if k not in _BUDGET},
        "prior": None if prior is None else [list(prior.names), prior.fingerprint],
    }
    return json.loads(json.dumps(conditions, default=dict))


def _difference(found: Any, asked: Any) -> str:
    """Return in words how two values differ, down to the first setting."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in {**found, **asked}:
            if found.get(key) != asked.get(key):
                return f"{key} {_difference(found.get(key), asked.get(key))}"
    return f"was {found}, asked for {asked}" if len(f"{found}{asked}") < 200 else "was another"
