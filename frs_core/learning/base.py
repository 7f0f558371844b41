"""What the product needs from a learner, whatever it learns: the facts of its row, training, and acting again from disk.

Problem: a noise policy from ten episodes, a cloner of chunks and an agent that practises alone want the same things around them (a
row in a menu, a command, progress, a folder on disk, a place in the fan or in a table), and nothing else in common. Idea: a
`LearnerSpec` states what is known without loading it, a `Learner` trains from a table of chunks, an `OnlineLearner` acts in an
`Arena` while it learns. Nothing here loads the tensor library.

Example: `find_learner("dsbc")` is the row; `row.load().train(table, DsbcSettings(), name="mug")` is a trained noise policy.
Learners run in the trainer's process; what they leave acts on the inference worker's thread.
"""

import abc
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.errors import ConfigError
from frs_core.events import Outcome
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.progress import OnProgress, Scores, ignore_progress
from frs_core.learning.settings import LearnerSettings, from_json
from frs_core.learning.table import TrainingTable
from frs_core.robot.observation import Observation
from frs_core.runtime.registry import require_words, resolve
from frs_core.steering.policy_spec import Context

if TYPE_CHECKING:
    from frs_core.episodes import Episode
    from frs_core.learning.doubts import RecordedDoubts
    from frs_core.learning.request import TrainRequest
    from frs_core.policies.base import FlowPolicy


class Need(enum.Enum):
    """What a learner cannot do without, beside observations and executed chunks."""

    NOISES = "noises"
    """The noise behind every chunk; plain demonstrations have none."""
    GENERALIST = "generalist"
    """The generalist itself, loaded beside the trainer."""
    REWARDS = "rewards"
    """`TrainingTable.reward`; failed episodes are learned from too."""
    NEXT_STATES = "next states"
    """`TrainingTable.following`."""
    ENVIRONMENT = "an environment"
    """A world to practise in; such a learner is an `OnlineLearner`."""


class Acts(enum.Enum):
    """What a trained policy gives."""

    NOISE = "noise"
    """The generalist's noise, a `NoisePolicy`: a candidate of the fan."""
    CHUNK = "chunk"
    """The robot's actions, a `ChunkPolicy`: it acts in the generalist's place."""


class ChunkPolicy(abc.ABC):
    """A small policy that gives the robot's actions itself, without the generalist."""

    name: str
    policy_fingerprint: str
    """The generalist whose features it sees."""

    def begin(self, seed: int) -> None:  # noqa: B027  an optional hook
        """Start an episode whose random draws follow from a seed; a policy that explores needs it."""

    def own_seed(self, observation: Observation) -> int | None:
        """Return the seed of the generalist's own chunk, where that is to be the last of its features: H x a numbers, normalised.

        None, the default, leaves the generalist out.
        """
        return None

    @abc.abstractmethod
    def chunk(self, context: Context, observation: Observation) -> Float[Array, "H a"]:
        """Return actions in robot units, not clipped."""


Learned = NoisePolicy | ChunkPolicy
"""A trained policy, ready to act."""
S = TypeVar("S", bound=LearnerSettings)
"""The settings class of a learner."""


@dataclass(frozen=True, slots=True)
class LearnerSpec:
    """What is known about a learner without loading it: its row."""

    id: str
    """Its name in commands, folders and saved policies."""
    title: str
    """For menus, tables and plots."""
    summary: str
    """What it does, as one line of help."""
    learner: str
    """`module:Class` of its `Learner`, imported when it is to work."""
    settings: type[LearnerSettings]
    acts: Acts
    needs: frozenset[Need] = field(default_factory=frozenset)
    demonstrations: bool = False
    """Usually learned from plain demonstrations; otherwise from steered successes."""
    episodes: int = 10
    """How many episodes it usually sees."""
    details: str = ""
    """A sentence or two more, for `frs train ID --help`."""
    can_practise: bool = False
    """Learns from recordings alone too, and continues by acting where it may; needing an environment says as much."""

    def __post_init__(self) -> None:
        """Refuse a row without words to show. Raises ConfigError."""
        require_words("learner", self.id, id=self.id, title=self.title, summary=self.summary, learner=self.learner)

    @property
    def practises(self) -> bool:
        """Whether it is an `OnlineLearner`."""
        return self.can_practise or Need.ENVIRONMENT in self.needs

    @property
    def starts_from_recordings(self) -> bool:
        """Whether practice begins with recorded episodes; one that does not ask for noises begins with nothing."""
        return Need.NOISES in self.needs

    def load(self) -> "Learner[Any]":
        """Return the learner.

        Raises:
            ConfigError: it cannot be imported.
        """
        return resolve("learner", self.learner, {})(self)

    def needs_any(self, *needs: Need) -> bool:
        """Return whether one of some needs is its own."""
        return not self.needs.isdisjoint(needs)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Which episodes it learns from."""
        return (Outcome.SUCCESS, Outcome.FAILURE) if Need.REWARDS in self.needs else (Outcome.SUCCESS,)

    def checked(self, settings: LearnerSettings | None) -> LearnerSettings:
        """Return settings that are this learner's; None = its defaults.

        Raises:
            ConfigError: they are another learner's.
        """
        if settings is None:
            return self.settings()
        if not isinstance(settings, self.settings):
            raise ConfigError(
                f"Learner '{self.id}' got {type(settings).__name__}, expected {self.settings.__name__}. Leave them out for "
                f"the defaults."
            )
        return settings


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a learner leaves."""

    weights: Mapping[str, Any]
    """Tensors by name."""
    metadata: PolicyMetadata
    scores: Scores
    acting: Callable[[], Learned]
    """Makes the policy from the learned weights."""
    steps: int
    """Steps of the kept weights."""
    was_cancelled: bool = False
    """Stopped by request; the best so far was kept."""
    spread: Float[Array, " n"] | None = None
    """Deviation of its draws for held-out chunks, by weights that never saw them; None where it does not draw or nothing was held out."""
    doubts: "RecordedDoubts | None" = None
    """Where it is unsure; None = not known."""

    def save(self, folder: Path, *, overwrite: bool = False) -> Path:
        """Write it to disk; see learning.artifact.

        Raises:
            TrainingError: the folder exists (and may not be replaced), or the disk refused.
        """
        from frs_core.learning import artifact

        return artifact.save(folder, self.weights, self.metadata, doubts=self.doubts, overwrite=overwrite)

    def policy(self) -> Learned:
        """Return it ready to act."""
        return self.acting()


class Learner(abc.ABC, Generic[S]):
    """Makes a small policy from chunks; `Learner[MySettings]` is one whose row names `MySettings` as its settings.

    Args:
        spec: its row; one class may serve several.
    """

    def __init__(self, spec: LearnerSpec) -> None:
        self.spec = spec

    def checked(self, settings: S | None) -> S:
        """Return the settings, or the defaults for None.

        Raises:
            ConfigError: they are another learner's.
        """
        return cast(S, self.spec.checked(settings))

    def settings_of(self, metadata: PolicyMetadata) -> S:
        """Return the settings that a saved policy was trained with.

        Raises:
            ConfigError: a field is unknown or invalid.
        """
        return cast(S, from_json(self.spec.settings, metadata.settings))

    def table(self, episodes: "Sequence[Episode]", request: "TrainRequest", on_progress: OnProgress) -> TrainingTable:
        """Return what it learns from.

        Args:
            episodes: chosen, in order.
            request: what is asked for.
            on_progress: called where this takes long.
        Raises:
            TrainingError: nothing to learn from.
            FingerprintMismatch: episodes of another policy than the request's, or of several.
        """
        # Imported here, because it loads the tensor library.
        from frs_core.learning.episode_table import table_of

        return table_of(
            episodes,
            outcomes=self.spec.outcomes,
            has_ends=self.spec.needs_any(Need.REWARDS, Need.NEXT_STATES),
            inputs=request.inputs,
            fingerprint=request.fingerprint or None,
        )

    @abc.abstractmethod
    def train(
        self,
        table: TrainingTable,
        settings: S | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> Trained:
        """Return the trained policy.

        Args:
            table: chunks.
            settings: an instance of `spec.settings`; None = the defaults.
            name: shown to people; empty = the learner's id.
            on_progress: called as it goes; False stops and keeps the best so far.
        Raises:
            TrainingError: no usable chunks, missing inputs, or a loss that diverges.
        """

    @abc.abstractmethod
    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> Learned:
        """Return a saved policy, ready to act.

        Args:
            folder: where `Trained.save` wrote it.
            metadata: as read from there.
            fingerprint: of the generalist it will drive, or whose features it will see.
        Raises:
            WeightsMissing, ConfigError: damaged.
            FingerprintMismatch: trained for another generalist.
        """


class Arena(abc.ABC):
    """Where an online learner acts: whole episodes, under the product's own limits."""

    policy: "FlowPolicy"
    """The generalist; an actor's noises are denoised by it."""

    @abc.abstractmethod
    def run(self, actor: Learned, *, seed: int) -> TrainingTable:
        """Return one episode as chunks with rewards, next states and its end.

        Args:
            actor: who acts.
            seed: which scene, and of all noises.
        Raises:
            FrsError: whatever held the session.
        """

    def drive(self, actor: Trained, seeds: Sequence[int]) -> Iterator[tuple[int, TrainingTable]]:
        """Yield (seed, episode) for each seed as they end, in any order, all driven by the same actor.

        An arena of several processes shares them out.

        Args:
            actor: who acts.
            seeds: scenes.
        Raises:
            FrsError: whatever held a session.
        """
        for seed in seeds:
            yield seed, self.run(actor.policy(), seed=seed)

    def settled(self, episodes: Mapping[int, TrainingTable]) -> Mapping[int, TrainingTable]:
        """Return the episodes of a round as they are to be learned from: as they were driven, unless a person has corrected a label.

        Args:
            episodes: of the whole round by scene, those of an earlier run included.
        Raises:
            FrsError: as `drive`.
        """
        return episodes

    @abc.abstractmethod
    def close(self) -> None:
        """Free world and generalist; safe to call twice."""


class OnlineLearner(Learner[S]):
    """Learns by acting: `begin`, then `actor` and `learn` for every round of episodes.

    `learning.online.practise` runs that loop; `train` learns from a table alone, for the initial version. Between
    two rounds `state` is its complete state, so that a practice that was killed resumes exactly.
    """

    @abc.abstractmethod
    def begin(self, policy: "FlowPolicy", settings: S | None = None, *, prior: TrainingTable | None = None) -> None:
        """Start afresh.

        Args:
            policy: the generalist it acts through.
            settings: an instance of `spec.settings`; None = the defaults.
            prior: recorded episodes to start from; None = nothing.
        Raises:
            TrainingError: the prior is none it can use.
        """

    @abc.abstractmethod
    def actor(self, *, explores: bool, name: str = "") -> Trained:
        """Return who drives at present, as it can be saved: actors in other processes load it from a folder.

        Args:
            explores: whether it explores; otherwise it acts without exploration, to be evaluated and kept.
            name: shown to people; empty = the learner's id.
        """

    @abc.abstractmethod
    def learn(self, episodes: TrainingTable) -> float:
        """Learn from a round of its own episodes, in the order of their seeds; return the loss.

        Raises:
            TrainingError: the loss diverges.
        """

    @abc.abstractmethod
    def state(self) -> Mapping[str, Any]:
        """Return all that `begin` and the episodes themselves do not give again: weights, optimisers, random generators.

        Nested dicts and lists of tensors, numbers, texts and None.
        """

    @abc.abstractmethod
    def restore(self, state: Mapping[str, Any], own: Sequence[TrainingTable]) -> None:
        """Become what `state` was taken of, after a `begin` with the same arguments.

        Args:
            state: of `state`.
            own: the rounds learned from until then, in order; nothing is learned from them now.
        """
