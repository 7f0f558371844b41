"""What a lab cannot choose: which episodes, which training seed, which scenes. Numbered, so that a draw can be named.

A *set* of episodes is collected on scenes of its own; a *draw* is what one training seed makes of one set, judged on
scenes of its own. All scenes are functions of the numbers, and no two sets, draws or other uses share one:

    steered episodes of set k       20,000,000 + 1,000 k, attempt by attempt
    demonstrations of set k         30,000,000 + 1,000 k, attempt by attempt
    tests of set k, seed s          40,000,000 + 10,000 k + 1,000 s, scene by scene

Example: set 3 with training seed 1 is tested on scenes 40,031,000, 40,031,001, ...
"""

from dataclasses import dataclass

from frs_core.errors import ConfigError

STEERED, DEMONSTRATED, TESTED = 20_000_000, 30_000_000, 40_000_000
LARGEST_SET, SEEDS, SCENES = 900, 10, 1_000
"""Most sets, training seeds per set, and scenes of anything, before ranges would meet."""
ATTEMPTS = 5
"""Per success; after as many a set is given up."""


@dataclass(frozen=True, slots=True, order=True)
class Draw:
    """One set of episodes and one training seed."""

    episode_set: int
    """1 and up; 0 = whatever lies in the folder of trained policies, no set of its own."""
    train_seed: int = 0

    @property
    def folder(self) -> str:
        """Where its trained policies are, under their root."""
        return f"{set_folder(self.episode_set)}/seed-{self.train_seed}" if self.episode_set else ""

    def scenes(self, count: int) -> tuple[int, ...]:
        """Return the scenes that it is tested on."""
        first = TESTED + 10_000 * self.episode_set + 1_000 * self.train_seed
        return tuple(range(first, first + count))


def draws(repeats: int, train_seeds: int, *, first_set: int = 1) -> tuple[Draw, ...]:
    """Return all draws, set by set.

    Raises:
        ConfigError: more than there are numbers for.
    """
    if min(first_set, repeats) < 1 or first_set + repeats - 1 > LARGEST_SET:
        raise ConfigError(
            f"Sets {first_set} to {first_set + repeats - 1} were asked for, there are 1 to {LARGEST_SET}. "
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
