"""The random factors of an evaluation: sets of episodes, training seeds and scenes, all numbered.

A *set* of episodes is collected on its own scenes; a *draw* is the policy that one training seed makes of one set, tested
on its own scenes. Scene seeds are computed from these numbers, and no two sets or draws share one:

    steered episodes of set k       20,000,000 + 1,000 k, attempt by attempt
    demonstrations of set k         30,000,000 + 1,000 k, attempt by attempt
    tests of set k, seed s          40,000,000 + 10,000 k + 1,000 s, scene by scene

Example: set 3 with training seed 1 is tested on scenes 40,031,000, 40,031,001, ...
"""

from dataclasses import dataclass

from frs_core.errors import ConfigError

STEERED, DEMONSTRATED, TESTED = 20_000_000, 30_000_000, 40_000_000
LARGEST_SET, SEEDS, SCENES = 900, 10, 1_000
"""Largest numbers of sets, of training seeds per set and of scenes for which the ranges do not overlap."""
ATTEMPTS = 5
"""Attempts per success before a set is given up."""


@dataclass(frozen=True, slots=True, order=True)
class Draw:
    """One set of episodes and one training seed."""

    episode_set: int
    """From 1; 0 = no set, use the policy found in the folder of trained policies."""
    train_seed: int = 0

    @property
    def folder(self) -> str:
        """Folder of its trained policies, relative to their root."""
        return f"{set_folder(self.episode_set)}/seed-{self.train_seed}" if self.episode_set else ""

    def scenes(self, count: int) -> tuple[int, ...]:
        """Return the scenes of its test."""
        first = TESTED + 10_000 * self.episode_set + 1_000 * self.train_seed
        return tuple(range(first, first + count))


def draws(repeats: int, train_seeds: int, *, first_set: int = 1) -> tuple[Draw, ...]:
    """Return all draws, set by set.

    Raises:
        ConfigError: more than the numbering allows.
    """
    if min(first_set, repeats) < 1 or first_set + repeats - 1 > LARGEST_SET:
        raise ConfigError(
            f"Sets {first_set} to {first_set + repeats - 1} were requested, the range is 1 to {LARGEST_SET}. "
            f"Lower --repeats or --first-set."
        )
    if not 1 <= train_seeds <= SEEDS:
        raise ConfigError(f"--train-seeds is {train_seeds}, needs 1 to {SEEDS}.")
    return tuple(Draw(k, s) for k in range(first_set, first_set + repeats) for s in range(train_seeds))


def set_folder(episode_set: int) -> str:
    """Return the folder name of a set."""
    return f"set-{episode_set:03d}"


def first_attempt(episode_set: int, *, demonstrations: bool) -> int:
    """Return the scene of a set's first attempt."""
    return (DEMONSTRATED if demonstrations else STEERED) + 1_000 * episode_set
