"""How well a vision-language model picks, measured on recorded fans, before a robot moves.

Problem: whether a model is good enough to steer shows on the robot only after hours. Idea: it is asked about chunks that were recorded with
their whole fan, as it would be while steering: the same picture, the same question. Its picks are compared with two things.

- *The operator's pick*: the same direction, or both let the policy act, or both stay. Amount and gripper are not compared.
- *The goal*: whether the tool is nearer to the goal at the end of the picked candidate's executed rows than at their beginning, along the path
  that was predicted for it. The goal is where the operator had marked that the tool is to go; without a mark, where the tool was some chunks
  later in the same episode. Chunks whose goal is less than 2 cm away say little about a direction and are left out of this figure,
  and so is the last chunk of an episode, after which the tool was nowhere.

Both are also given for a pick at random, the second for the operator and the unsteered candidate, too. The fan that is shown
has the unsteered candidate and the usual commands; what a script or a noise policy added is left out. An answer that names no candidate
agrees with nothing and moves nowhere.

Example: 100 chunks of ten episodes, 61 agree (51-70 %), by chance 14 %; towards the goal 74 of 88 (75-90 %), the operator 83.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.choosers.answers import Spent
from frs_core.choosers.base import Choice
from frs_core.episodes import Episode, recorded_fan
from frs_core.evaluation.asked import asked
from frs_core.evaluation.wilson import wilson
from frs_core.events import Driver
from frs_core.steering.candidates import UNSTEERED, Candidate, Fan
from frs_core.steering.directions import Direction, Gripper, fan_commands

AHEAD = 3
"""Chunks after which the tool's place is the goal. Guess: 24 steps of the tabletop, 1.6 s."""
STILL_M = 0.02
"""Goals nearer than this are left out."""
OPERATORS = (Driver.PERSON.value, Driver.SCRIPTED.value)
"""Whose picks a model is compared with; not a noise policy's, nor its own."""
STAY = "stay"


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One recorded chunk to pick for."""

    fan: Fan
    """With what the cameras saw."""
    operator: str
    """Where the operator let it go (`heading`)."""
    path: Float[Array, "P 3"]
    """Of the operator's pick."""
    goal: Float[Array, " 3"] | None
    """Base frame, metres; None where it is not known, or too near."""
    is_marked: bool
    """The operator had marked the goal."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often something was so."""

    hits: int = 0
    n: int = 0

    def with_one(self, is_hit: bool) -> "Share":
        """Return the share with one more."""
        return Share(self.hits + is_hit, self.n + 1)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the 95 % Wilson interval."""
        low, high = wilson(self.hits, self.n)
        return {"hits": self.hits, "n": self.n, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Score:
    """What was measured so far."""

    agreed: Share = Share()
    agreed_by: tuple[tuple[str, Share], ...] = ()
    """Where the operator let it go -> agreement there."""
    agreed_by_chance: float = 0.0
    """Sum over chunks of the share of candidates that agree."""
    towards: Share = Share()
    operator_towards: Share = Share()
    unsteered_towards: Share = Share()
    towards_by_chance: float = 0.0
    """Sum over chunks of the share of candidates that move towards the goal."""
    marked: int = 0
    """Goals that the operator had marked."""
    unreadable: int = 0
    """Answers that named no candidate."""
    spent: tuple[Spent, ...] = ()

    @property
    def chance(self) -> float:
        """Share of agreement of a pick at random; NaN without chunks."""
        return self.agreed_by_chance / self.agreed.n if self.agreed.n else float("nan")

    @property
    def towards_chance(self) -> float:
        """Share towards the goal of a pick at random; NaN without goals."""
        return self.towards_by_chance / self.towards.n if self.towards.n else float("nan")

    @property
    def in_order(self) -> list[tuple[str, Share]]:
        """Agreement by where the operator let it go, directions first."""
        return sorted(self.agreed_by, key=_order)

    def with_pick(self, question: Question, choice: Choice | None, spent: Spent) -> "Score":
        """Return the score with one more answer; None named no candidate."""
        fan, own = question.fan, question.operator
        is_same = choice is not None and heading(fan[choice.label]) == own
        by = dict(self.agreed_by)
        by[own] = by.get(own, Share()).with_one(is_same)
        score = replace(
            self,
            agreed=self.agreed.with_one(is_same),
            agreed_by=tuple(by.items()),
            agreed_by_chance=self.agreed_by_chance + float(np.mean([heading(c) == own for c in fan.candidates])),
            unreadable=self.unreadable + (choice is None),
            spent=(*self.spent, spent),
        )
        goal = question.goal
        if goal is None:
            return score
        rows = fan.execute_rows
        everyone = [_is_towards(c.path, goal, rows) for c in fan.candidates]
        is_towards = choice is not None and _is_towards(fan[choice.label].path, goal, rows)
        return replace(
            score,
            towards=score.towards.with_one(is_towards),
            operator_towards=score.operator_towards.with_one(_is_towards(question.path, goal, rows)),
            unsteered_towards=score.unsteered_towards.with_one(_is_towards(fan[UNSTEERED].path, goal, rows)),
            towards_by_chance=score.towards_by_chance + float(np.mean(everyone)),
            marked=score.marked + question.is_marked,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        took = asked(self.spent)
        return {
            "agreed": {**self.agreed.to_json(), "chance": self.chance if self.agreed.n else None},
            "agreed_by_direction": {name: share.to_json() for name, share in self.in_order},
            "towards_goal": {**self.towards.to_json(), "chance": self.towards_chance if self.towards.n else None},
            "operator_towards_goal": self.operator_towards.to_json(),
            "unsteered_towards_goal": self.unsteered_towards.to_json(),
            "marked_goals": self.marked,
            "unreadable": self.unreadable,
            "asked": asdict(took) if took else None,
        }


def whole_fans(episode: Episode) -> list[int]:
    """Return the chunks of the main line that an operator picked from a fan of all directions. Raises EpisodeCorrupt."""
    return [c for c in episode.main_line if episode.picked_by(c) in OPERATORS and _is_whole(recorded_fan(episode, c))]


def question_of(episode: Episode, chunk: int, *, ahead: int = AHEAD) -> Question:
    """Return one chunk of `whole_fans` to pick for.

    Args:
        episode: an opened one.
        chunk: its index.
        ahead: chunks after which the tool's place is the goal; the last place of the episode where it ends sooner.
    Raises:
        EpisodeCorrupt: damaged.
    """
    fan = recorded_fan(episode, chunk, has_images=True)
    picked = fan.candidates[episode.offers(chunk).picked]
    mark = episode.target(chunk)
    goal = _later(episode, chunk, ahead) if mark is None else np.array(mark)
    is_far = goal is not None and bool(np.linalg.norm(goal - fan.observation.p_tcp) >= STILL_M)
    return Question(_usual(fan), heading(picked), picked.path, goal if is_far else None, is_far and mark is not None)


def spread_evenly(places: Sequence[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """Return at most `most` of (episode, chunk), spread evenly; all for 0."""
    if not most or len(places) <= most:
        return list(places)
    return [places[i] for i in np.linspace(0, len(places) - 1, most).round().astype(int)]


def score_picks(
    places: Sequence[tuple[str, int]],
    open_episode: Callable[[str], Episode],
    choose: Callable[[Fan], tuple[Choice | None, Spent]],
    *,
    ahead: int = AHEAD,
) -> Iterator[Score]:
    """Yield the score after each answer.

    Args:
        places: (episode, chunk) to ask about.
        open_episode: returns an episode by name.
        choose: asks the model; returns its pick (None = it named no candidate) and what that took.
        ahead: see `question_of`.
    Raises:
        EpisodeCorrupt: an episode is damaged.
        FrsError: whatever `choose` raises.
    """
    score, episode = Score(), None
    for name, chunk in places:
        if episode is None or episode.name != name:
            episode = open_episode(name)
        question = question_of(episode, chunk, ahead=ahead)
        score = score.with_pick(question, *choose(question.fan))
        yield score


def heading(candidate: Candidate) -> str:
    """Return where a candidate goes: a direction, "stay", or "unsteered" (a learned candidate, too)."""
    if candidate.command is None:
        return UNSTEERED
    return STAY if candidate.command.direction is None else candidate.command.direction.value


def _order(row: tuple[str, Share]) -> int:
    return [*(d.value for d in Direction), STAY, UNSTEERED].index(row[0])


def _usual(fan: Fan) -> Fan:
    """Return a fan with the unsteered candidate and the usual commands, of whichever gripper setting it has most."""
    sets = [{UNSTEERED, *(c.label for c in fan_commands(gripper=g))} for g in Gripper]
    labels = max(sets, key=lambda labels: sum(c.label in labels for c in fan.candidates))
    return replace(fan, candidates=tuple(c for c in fan.candidates if c.label in labels))


def _is_whole(fan: Fan) -> bool:
    usual = _usual(fan)
    return {heading(c) for c in usual.candidates} >= {UNSTEERED, *(d.value for d in Direction)}


def _later(episode: Episode, chunk: int, ahead: int) -> Float[Array, " 3"] | None:
    """Return where the tool was a number of chunks later, or at the end; None for the last chunk, which may have been cut short."""
    line = episode.main_line
    at = line.index(chunk) + ahead
    if chunk == line[-1]:
        return None
    if at < len(line):
        return episode.observation(line[at], has_images=False).p_tcp
    return episode.after(line[-1], has_images=False).p_tcp


def _is_towards(path: Float[Array, "P 3"], goal: Float[Array, " 3"], rows: int) -> bool:
    end = path[min(rows, len(path) - 1)]
    return bool(np.linalg.norm(goal - end) < np.linalg.norm(goal - path[0]))
