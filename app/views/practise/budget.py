"""How long a practice runs: presets, and what they mean for a practice that exists. Pure functions."""

import enum
from dataclasses import dataclass, replace

from frs_core.counts import counted
from frs_core.learning import TWO_ROUNDS, Practice
from frs_core.learning.practice_record import PracticeRecord, with_budget

ENDLESS = 10_000
"""Attempts; more than a budget in minutes can reach, fewer than there are scenes to practise on."""


class Budget(enum.Enum):
    """The presets."""

    ATTEMPTS = "attempts"
    MINUTES = "minutes"
    ROUNDS = "rounds"


@dataclass(frozen=True, slots=True)
class Preset:
    """What a preset is called and what it does."""

    text: str
    tooltip: str
    practice: Practice
    """Rounds, checks and budget of a new practice."""


PRESETS = {
    Budget.ATTEMPTS: Preset(
        "100 attempts",
        "It learns after every 5 attempts and is evaluated after every 25",
        Practice(episodes=100, judge_every=25),
    ),
    Budget.MINUTES: Preset(
        "20 minutes",
        "It learns after every 5 attempts and is evaluated after every 25; ends with the round in which the time is up",
        Practice(episodes=ENDLESS, minutes=20.0, judge_every=25),
    ),
    Budget.ROUNDS: Preset(
        "2 rounds of 10",
        "It learns and is evaluated after every 10 attempts, as in the paper's practice on a real robot",
        TWO_ROUNDS,
    ),
}


def attended(practice: Practice) -> Practice:
    """Return a practice whose attempts a person starts in Drive: no scenes are held out for evaluation, and a version is kept after each round."""
    return replace(practice, judged_scenes=0, judge_every=practice.round_episodes)


def is_attended(practice: Practice) -> bool:
    """Tell whether a person starts the attempts of a practice."""
    return practice.judged_scenes == 0


def budget_in_words(practice: Practice) -> str:
    """Return how long a practice runs, e.g. '100 attempts'."""
    return f"{practice.minutes:g} minutes" if practice.minutes else counted(practice.episodes, "attempt")


def continued(record: PracticeRecord, budget: Budget) -> PracticeRecord:
    """Return a practice with the budget it is to continue with: the rest of its own, or a preset on top of what it had."""
    if not record.is_finished:
        return record
    preset = PRESETS[budget].practice
    if preset.minutes:
        return with_budget(record, episodes=ENDLESS, minutes=record.seconds / 60.0 + preset.minutes)
    return with_budget(record, episodes=len(record.attempts) + preset.episodes, minutes=0.0)


def rest_in_words(record: PracticeRecord, budget: Budget) -> str:
    """Return what continuing a practice means, as a sentence without full stop."""
    if record.is_finished:
        return f"It is finished; continuing adds {PRESETS[budget].text}"
    practice = record.practice
    if practice.minutes and record.seconds < practice.minutes * 60.0:
        return f"{max(1.0, practice.minutes - record.seconds / 60.0):.0f} of {practice.minutes:.0f} minutes are left"
    left = practice.episodes - len(record.attempts)
    if left <= 0 or practice.minutes:
        return "Only the last evaluation is left"
    return f"{left} of {counted(practice.episodes, 'attempt')} left"
