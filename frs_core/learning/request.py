"""What to train, from where, to where; free of torch, so that a window can make one."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from frs_core.choosers.address import EXAMPLE, ModelAddress
from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.learning.settings import InputSettings, LearnerSettings
from frs_core.policies import NamedPolicy
from frs_core.worlds import DEFAULT, WorldName


class Reward(enum.Enum):
    """Who says how an episode of practice went."""

    LABEL = "label"
    """The world, or a person's label: 1 at success, else 0."""
    VLM = "vlm"
    """A vision-language model, from images: the progress that each chunk adds."""


@dataclass(frozen=True, slots=True)
class Practice(ModelAddress):
    """Where and how long an online learner acts while it learns."""

    world: WorldName = DEFAULT
    world_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the world, as on the command line."""
    action_space: str = ""
    """Turn a generalist of tool deltas to joint_velocity or joint_position; empty = its own."""
    episodes: int = 100
    """Most episodes of its own."""
    minutes: float = 0.0
    """Stop after the round in which this many have passed, judging included; 0 = never."""
    round_episodes: int = 5
    """Episodes per round: it learns after each round; the actors of a round are all the same."""
    first_seed: int = 40_000
    """Scenes are numbered from here; apart from those that are steered, shown and judged on."""
    judge_every: int = 50
    """Episodes between two looks at how well it does without trying things; the best version is kept. 0 = the last is."""
    judged_scenes: int = 20
    """Scenes of such a look. 0 = none are kept aside: versions are kept, and the attempts they drive are the look, as on a robot."""
    first_judged_seed: int = 60_000
    """They are numbered from here, always the same ones, and never practised on."""
    max_chunks: int = 40
    """Longest episode, chunks; a longer one is given up."""
    prior: bool = True
    """Start from recorded episodes; otherwise from the policy alone."""
    reward: Reward = Reward.LABEL
    """Who says how an episode went; recorded ones keep their labels. `vlm` needs --vlm."""

    def __post_init__(self) -> None:
        if self.reward is Reward.VLM and not self.vlm:
            raise ConfigError(f"--reward vlm needs a model. Give its address, e.g. {EXAMPLE}.")
        if min(self.episodes, self.max_chunks, self.round_episodes) < 1:
            raise ConfigError(
                f"practice is {counted(self.episodes, 'episode')} of {counted(self.max_chunks, 'chunk')} in rounds of {self.round_episodes}, needs >= 1 "
                f"each. Leave them out for the defaults."
            )
        if min(self.minutes, self.judge_every, self.judged_scenes) < 0:
            raise ConfigError(
                f"practice has {self.minutes:g} minutes and is judged every {counted(self.judge_every, 'episode')} on {self.judged_scenes} "
                f"scenes, needs >= 0 each. 0 minutes is no limit, 0 episodes is not at all, 0 scenes is none kept aside."
            )
        if self.first_seed <= self.first_judged_seed < self.first_seed + self.episodes or (
            self.first_judged_seed <= self.first_seed < self.first_judged_seed + self.judged_scenes
        ):
            raise ConfigError(
                f"Scenes {self.first_seed} and up are practised on and {self.first_judged_seed} and up are judged on, and they "
                f"overlap. Choose others with --practice.first-judged-seed."
            )


TWO_ROUNDS = Practice(episodes=20, round_episodes=10, judge_every=10)
"""Two rounds of ten attempts, learned from after each. Source: the paper's practice on a real robot (arXiv 2606.13675)."""


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
    """Only episodes of this task, where none are named."""
    count: int = 0
    """Number of episodes to learn from, the first ones; 0 = all."""
    policy: NamedPolicy = field(default_factory=NamedPolicy)
    """The generalist, loaded only for learners that need it; a practice has its action space in `practice`."""
    settings: LearnerSettings | None = None
    """The learner's own settings; None = its defaults."""
    practice: Practice | None = None
    """How an online learner acts; None = it learns from the episodes alone."""
    overwrite: bool = False
    source: str = "frs_core.learning.store:load_table"
    """`module:function` that takes (request, on_progress) and returns the training table."""
    arena: str = "frs_core.evaluation.arena:open_arena"
    """`module:function` that takes the request and returns the `Arena` of an online learner."""

    @property
    def inputs(self) -> InputSettings:
        """What the learner sees."""
        return (self.settings or LearnerSettings()).inputs

    @property
    def shown_name(self) -> str:
        """Name shown to people."""
        return self.name or self.out.name
