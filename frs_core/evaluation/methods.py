"""The table of methods to compare.

A method defines who acts and with which plan. Steered methods are driven by the world's scripted operator, which picks like a
person (one direction per chunk, or unsteered), or by a vision-language model; learned methods load the policy trained for the task from
`<learned>/<task>/<method>`. A suffix selects a variant: `dsbc@3` is the noise policy trained on three episodes.

Example: METHODS["frs"] steers with the policy's calibrated plan, METHODS["frs-plain"] with the paper's.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from frs_core.counts import count_of, counted
from frs_core.errors import ConfigError, unknown_name
from frs_core.learning.base import Acts, LearnerSpec
from frs_core.learning.registry import find_learner, learners, require_working
from frs_core.steering.methods import Method, SteeringPlan


class Actor(enum.Enum):
    """Who produces the chunk for an observation."""

    POLICY = "policy"
    """The generalist, from Gaussian noise."""
    OPERATOR = "operator"
    """The scripted operator picks from the fan."""
    REASONER = "reasoner"
    """A vision-language model picks from the fan."""
    NOISE_POLICY = "noise_policy"
    """A trained noise policy chooses the generalist's noise."""
    CHUNK_POLICY = "chunk_policy"
    """A behaviour-cloning policy acts by itself."""


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One row of the comparison."""

    name: str
    title: str
    """For tables and plots."""
    actor: Actor
    plan: SteeringPlan | None = None
    """Steering settings; None = the policy's calibrated plan."""
    learned: str = ""
    """Folder under `<learned>/<task>`; empty for methods without learning."""

    @property
    def has_operator(self) -> bool:
        """Whether somebody picks from the fan."""
        return self.actor in (Actor.OPERATOR, Actor.REASONER)


_TABLE = (
    MethodSpec("base", "Base policy", Actor.POLICY),
    MethodSpec("direct", "Direct execution", Actor.OPERATOR, SteeringPlan(method=Method.DIRECT)),
    MethodSpec("partial-noising", "Partial noising", Actor.OPERATOR, SteeringPlan(method=Method.PARTIAL_NOISING)),
    MethodSpec("sample-and-rank", "Sample and rank", Actor.OPERATOR, SteeringPlan(method=Method.SAMPLE_AND_RANK)),
    MethodSpec("flow-control", "Flow Control", Actor.OPERATOR, SteeringPlan(method=Method.FLOW_CONTROL)),
    MethodSpec("frs-plain", "FRS, paper's settings", Actor.OPERATOR, SteeringPlan()),
    MethodSpec("frs", "FRS, calibrated", Actor.OPERATOR),
    MethodSpec("frs-vlm", "FRS, vision-language model", Actor.REASONER),
)
_ACTORS = {Acts.NOISE: Actor.NOISE_POLICY, Acts.CHUNK: Actor.CHUNK_POLICY}
_LEARNED = (MethodSpec(row.id, row.title, _ACTORS[row.acts], learned=row.id) for row in learners().values())
METHODS = {spec.name: spec for spec in (*_TABLE, *_LEARNED)}
"""Name -> method, in the order of tables; every learner is a method too."""


def find_method(name: str) -> MethodSpec:
    """Return a method by name; `dsbc@3` is the variant of `dsbc` saved under that name.

    Raises:
        ConfigError: unknown method, or an installed learner that cannot be loaded.
    """
    base, _, variant = name.partition("@")
    require_working(base)
    if base not in METHODS or (variant and not METHODS[base].learned):
        raise unknown_name("method", name, METHODS)
    spec = METHODS[base]
    if not variant:
        return spec
    count = count_of(variant)
    episodes = f"{variant} episodes" if count is None else counted(count, "episode")
    return MethodSpec(name, f"{spec.title}, {episodes}", spec.actor, spec.plan, f"{spec.learned}@{variant}")


@dataclass(frozen=True, slots=True)
class LearnsFrom:
    """What a learned method is trained on."""

    learner: LearnerSpec
    episodes: int

    @property
    def demonstrations(self) -> bool:
        """Whether it learns from demonstrations; otherwise from steered successes."""
        return self.learner.demonstrations


def learns_from(method: MethodSpec) -> LearnsFrom | None:
    """Return what a method learns from: the number of episodes in its name, or its learner's default.

    Raises:
        ConfigError: the variant is not a number of episodes.
    """
    if not method.learned:
        return None
    base, _, variant = method.name.partition("@")
    count = count_of(variant)
    if variant and not count:
        raise ConfigError(f"'{method.name}' does not name a number of episodes. Write, for example, {base}@3.")
    row = find_learner(base)
    return LearnsFrom(row, count or row.episodes)


def with_episodes(methods: tuple[str, ...], episodes: tuple[int, ...]) -> tuple[str, ...]:
    """Return the methods with a variant for each number of steered episodes; the default number has no suffix.

    Args:
        methods: names and variants; variants are not changed.
        episodes: numbers of steered episodes to train on; empty = as named.
    Raises:
        ConfigError: a number of episodes below 1.
    """
    if any(n < 1 for n in episodes):
        raise ConfigError(f"--episodes is {' '.join(map(str, episodes))}, needs numbers >= 1. The default is 10.")
    out: list[str] = []
    for name in methods:
        need = learns_from(find_method(name))
        if need is None or need.demonstrations or "@" in name or not episodes:
            out.append(name)
        else:
            out += [name if n == need.learner.episodes else f"{name}@{n}" for n in episodes]
    return tuple(dict.fromkeys(out))


def refuse_noise_without_operator(methods: Iterable[str], operator_noise: float) -> None:
    """Raise ConfigError where an operator's mistakes are asked for and a method has no operator."""
    without = [name for name in methods if not find_method(name).has_operator]
    if operator_noise and without:
        known = ", ".join(name for name, spec in METHODS.items() if spec.has_operator)
        raise ConfigError(
            f"--operator-noise is {operator_noise:g}, and nobody steers in method '{without[0]}'. Leave one of them out; methods with "
            f"an operator are {known}."
        )
