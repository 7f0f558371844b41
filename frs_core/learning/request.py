"""What to train, from where, to where; free of torch, so that a window can make one."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from frs_core.choosers.address import EXAMPLE, ModelAddress
from frs_core.errors import ConfigError
from frs_core.learning.settings import InputSettings, LearnerSettings
from frs_core.policies import NamedPolicy
from frs_core.runtime.bounds import Count, CountOrNone, Seed, Weight, require_bounds
from frs_core.worlds import DEFAULT, WorldName


class Reward(enum.Enum):
    """Source of the reward in a practice."""

    LABEL = "label"
    """The world, or a person's label: 1 at success, else 0."""
    VLM = "vlm"
    """A vision-language model, from images: the progress that each chunk adds."""


@dataclass(frozen=True, slots=True)
class Practice(ModelAddress):
    """Where and for how long an online learner practises."""

    world: WorldName = DEFAULT
    world_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the world: NAME VALUE …."""
    action_space: str = ""
    """joint_velocity or joint_position: convert the tool deltas of a generalist to joints; default its own."""
    episodes: Count = 100
    """Maximum number of attempts."""
    minutes: Weight = 0.0
    """Time limit in minutes, evaluation included; checked after each round; 0 = none."""
    round_episodes: Count = 5
    """Attempts per round. The learner is updated after each round; all attempts of a round use the same weights."""
    first_seed: Seed = 40_000
    """Number of the first practice scene; the default is disjoint from the scenes for steering, demonstration and evaluation."""
    judge_every: CountOrNone = 50
    """Attempts between evaluations without exploration; the best version is kept. 0 = no evaluation, the last version is kept."""
    judged_scenes: CountOrNone = 20
    """Scenes per evaluation. 0 = no separate scenes: each version is rated by the attempts it drives in practice, as on a robot."""
    first_judged_seed: Seed = 60_000
    """Number of the first evaluation scene. Evaluation scenes are fixed and never practised on."""
    max_chunks: Count = 40
    """Maximum length of an attempt, in chunks; a longer one counts as a failure."""
    prior: bool = True
    """Start from recorded episodes, or from the policy alone."""
    reward: Reward = Reward.LABEL
    """Source of the reward: label, or vlm (needs --vlm). Recorded episodes keep their labels."""

    def __post_init__(self) -> None:
        ModelAddress.__post_init__(self)
        require_bounds(self)
        if self.reward is Reward.VLM and not self.vlm:
            raise ConfigError(f"--reward vlm needs a model. Give its address, e.g. {EXAMPLE}.")
        if self.first_seed <= self.first_judged_seed < self.first_seed + self.episodes or (
            self.first_judged_seed <= self.first_seed < self.first_judged_seed + self.judged_scenes
        ):
            raise ConfigError(
                f"Scenes {self.first_seed} and up are for practice and {self.first_judged_seed} and up for evaluation, and they "
                f"overlap. Choose others with --practice.first-judged-seed."
            )


TWO_ROUNDS = Practice(episodes=20, round_episodes=10, judge_every=10)
"""Two rounds of ten attempts, learned from after each. Source: the paper's practice on a real robot (arXiv 2606.13675)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a new version has to be no worse than; otherwise nothing is saved."""

    former: Path
    """Folder of the version in use."""
    judged: tuple[str, ...]
    """Episodes to compare on, in which the learned policy picked nothing; both versions may have learned from them."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """One training, complete enough to run in another process."""

    kind: str
    """Id of the learner."""
    root: Path
    """Root of the episode store."""
    episodes: tuple[str, ...]
    """Episode names; empty = all successes of `task`."""
    out: Path
    """Folder the policy is saved in."""
    fingerprint: str
    """Of the generalist it is for; empty = the one that the episodes were recorded with."""
    name: str = ""
    """Shown to people; empty = the folder's name."""
    task: str | None = None
    """Only episodes of this task, if none are named."""
    count: int = 0
    """Number of episodes to learn from, the first ones; 0 = all."""
    policy: NamedPolicy = field(default_factory=NamedPolicy)
    """The generalist, loaded only for learners that need it; a practice has its action space in `practice`."""
    settings: LearnerSettings | None = None
    """The learner's own settings; None = its defaults."""
    practice: Practice | None = None
    """How an online learner practises; None = it learns from the episodes alone."""
    gate: Gate | None = None
    """Save it only if it is no worse than a former version; for `dsbc`. None = save it."""
    is_background: bool = False
    """Leave the processors to others where they want them, and the GPU to the fan: train on the CPU, at low priority."""
    overwrite: bool = False
    source: str = "frs_core.learning.store:load_table"
    """`module:function` that takes (request, on_progress) and returns the training table."""
    arena: str = ""
    """`module:function` that takes the request and returns the `Arena` of an online learner; a request with a `practice` that is run
    by `run_request` names one."""

    @property
    def inputs(self) -> InputSettings:
        """What the learner sees."""
        return (self.settings or LearnerSettings()).inputs

    @property
    def shown_name(self) -> str:
        """Name shown to people."""
        return self.name or self.out.name
