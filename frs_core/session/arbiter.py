"""Decide whose pick from a ready fan counts, and keep the mandate under which it is executed.

In this order: a person's key that is waiting (an override), a held direction, the driver's chooser, and in continuous
pacing with nobody at the keys the policy's own candidate. A person always comes first, for one chunk.

A driver may call for help (`HelpCall`). Where the session lets it, it is not asked again until a person hands back; meanwhile the person
steers, one chunk per pick. Otherwise its choice is taken as any other.

Choosers run on a worker of their own: a vision-language model may think for seconds, and a person may overrule it meanwhile.
Used on the session's thread.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from frs_core.choosers.base import Choice, Chooser, HelpCall
from frs_core.choosers.learned import LearnedChooser
from frs_core.events import NOBODY, Driver, HoldDirection, Pacing, Pick, SetDriver, SetPacing
from frs_core.robot.observation import Observation
from frs_core.runtime.workers import Answer, WorkQueue
from frs_core.steering.candidates import LEARNED, UNSTEERED, Fan
from frs_core.steering.directions import Command, Gripper, fan_commands

LATCH_S = 2.0
"""How long a person's early key waits for its fan, seconds: a chunk and a slow fan; after that the person has moved on."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A pick that is to be executed, and why."""

    pick: Pick
    reason: str = ""
    was_waiting: bool = False
    """A person's key that was pressed before its fan was there."""
    called: str = ""
    """Why the driver asked for help at this boundary; empty = it did not."""
    is_help: bool = False
    """The pick of who answers calls."""


@dataclass(frozen=True, slots=True)
class _Question:
    request_id: int
    asked_at: float
    is_vote: bool
    fan: Fan


class Arbiter:
    """Who drives, at which pacing, and what is held or waiting."""

    def __init__(
        self,
        worker: WorkQueue,
        *,
        choosers: Mapping[Driver, Chooser],
        advisor: Chooser | None,
        driver: Driver,
        pacing: Pacing,
        timeout_s: float,
        is_headless: bool,
        has_full_fan: bool,
        asks_for_help: bool = False,
        helper: Chooser | None = None,
        helped_chunks: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for a fan.

        Args:
            worker: runs the choosers.
            choosers: who picks for a driver.
            advisor: votes while a person drives.
            driver: who drives at first.
            pacing: pacing at first.
            timeout_s: longest wait for a chooser.
            is_headless: a chooser's None means "let the policy", not "wait for a person".
            has_full_fan: compute the usual directed candidates always, not only what the chooser asks for.
            asks_for_help: a driver's call for help is waited for.
            helper: answers calls; None = a person does. It is asked on the session's thread.
            helped_chunks: how many chunks the helper steers after the first call of an episode before the driver is asked again; after each
                further call twice as many as before.
            clock: seconds, monotonic.
        """
        self._worker, self._clock = worker, clock
        self.choosers: dict[Driver, Chooser] = {Driver.LEARNED: LearnedChooser(), **choosers}
        self._advisor = advisor
        self.driver, self.pacing = driver, pacing
        self.timeout_s, self._is_headless, self._has_full_fan = timeout_s, is_headless, has_full_fan
        self.held: tuple[HoldDirection, int] | None = None
        self._latched_at, self._has_dropped_key = 0.0, False
        self.latched: tuple[Pick, int] | None = None
        """What a person's keys ask for, and the hold epoch in which they were pressed; it means nothing in another one."""
        self.looks_ahead = False
        """A person who drives gated may pick while the robot moves, for the next fan."""
        self.suggestion: tuple[str, str] | None = None
        self.mandate: int | None = None
        """Hold epoch of the act that lets the present driver continue; None = nobody may."""
        self.asks_for_help, self._helper = asks_for_help, helper
        self._helped_chunks, self._left_to_help, self._answered = helped_chunks, 0, 0
        self.call = ""
        """Why the driver has asked for help and waits for a person; empty = it does not."""
        self._untold_call = ""
        self._is_trusted = False
        self.shadow = (0, 0)
        """(agreed, chunks) that a person picked since the noise policy was loaded."""
        self.late_answers = 0
        self._decided = 0
        self._question: _Question | None = None

    @property
    def takes_early_picks(self) -> bool:
        """A pick before its fan is an override of whoever else would pick next."""
        return self.driver is not Driver.PERSON or self.pacing is Pacing.CONTINUOUS

    @property
    def is_asking(self) -> bool:
        """A chooser is working."""
        return self._question is not None

    def latch(self, pick: Pick, epoch: int) -> None:
        """Let a person's early key wait for its fan, for `LATCH_S` at most."""
        self.latched, self._latched_at = (pick, epoch), self._clock()

    def chunk_ended(self) -> None:
        """Let the pick that a person made during the chunk wait for `LATCH_S` from now; it was shown all the while."""
        if self.looks_ahead and not self.takes_early_picks:
            self._latched_at = self._clock()

    def waiting_at(self, epoch: int) -> str | None:
        """Return the label of the pick that waits and counts in a hold epoch."""
        return self.latched[0].label if self.latched is not None and self.latched[1] == epoch else None

    def hold(self, held: HoldDirection, epoch: int) -> None:
        """Take note of the direction that is held or released; it counts at once where early picks do."""
        had_held, self.held = self.held, (held, epoch) if held.label is not None else None
        if self.takes_early_picks and (had_held or self.held) and not self.is_asking:
            self.decide_again()

    def change(self, command: SetDriver | SetPacing) -> str | None:
        """Let somebody else drive, or at another pacing; return why not."""
        self.latched = None
        if isinstance(command, SetPacing):
            self.pacing = command.pacing
            return None
        self._end_call()
        if command.driver is not Driver.PERSON and command.driver not in self.choosers:
            return f"No {command.driver.value} driver is set up in this session"
        self.driver = command.driver
        return None

    def withdraw(self) -> None:
        """Withdraw the mandate: later picks need a new one."""
        self.mandate = None
        self.drop_question()

    def let_go(self) -> None:
        """Forget what is held, waiting or asked."""
        self.held = self.latched = self._question = None
        self._end_call()

    def hand_back(self) -> str | None:
        """Let the driver that has asked for help go on, with its own choice now; return why not."""
        if not self.call:
            return "Nobody has asked for help"
        self.call, self._is_trusted = "", True
        self.decide_again()
        return None

    def take_call(self) -> str:
        """Return why help was asked for at this boundary, once: with the first chunk that follows; its own later choices may ask again."""
        told, self._untold_call, self._is_trusted = self._untold_call, "", False
        return told

    def compare(self, fan: Fan, pick: Pick) -> None:
        """Count whether a person who drives picks what the noise policy would."""
        if self.driver is Driver.PERSON and pick.by is Driver.PERSON and pick.device != NOBODY and fan.shadow:
            agreed, chunks = self.shadow
            self.shadow = agreed + (pick.label in (LEARNED, fan.shadow)), chunks + 1

    def _end_call(self) -> None:
        self.call = self._untold_call = ""
        self._is_trusted, self._left_to_help = False, 0

    def begin(self, observation: Observation) -> None:
        """Tell every chooser that an episode begins."""
        self._end_call()
        self._answered = 0
        everyone = {id(c): c for c in (*self.choosers.values(), self._advisor, self._helper) if c is not None}
        for chooser in everyone.values():
            self._worker.submit(-1, lambda c=chooser: c.begin(observation))

    def drop_question(self) -> None:
        """Stop waiting for a chooser whose fan is out of date."""
        self._question = self.suggestion = None

    def commands(self, observation: Observation, gripper: Gripper) -> tuple[Command, ...] | None:
        """Return the directed candidates to compute for the present driver; None = the usual ones."""
        chooser = self.choosers.get(self.driver)
        asked = chooser.wants(observation) if chooser is not None else None
        if self._helper is not None and asked is not None:
            helping = self._helper.wants(observation)
            asked = None if helping is None else asked + helping
        if not self._has_full_fan or not asked:
            return None if self._has_full_fan else asked
        usual = fan_commands(gripper=gripper)
        return usual + tuple(c for c in asked if c not in usual)

    def has_decided(self, fan: Fan) -> bool:
        """Whether somebody was asked about this fan already."""
        return self._decided == fan.request_id

    def decide_again(self) -> None:
        """Ask once more about the present fan."""
        self._decided = 0

    def decide(self, fan: Fan, *, epoch: int) -> Turn | None:
        """Return whose pick is to be executed at once, or None after asking whoever has to be asked.

        Args:
            fan: may be picked from.
            epoch: the present hold epoch.
        """
        self._decided = fan.request_id
        latched, self.latched = self.latched, None
        if latched is not None and latched[1] == epoch:
            if self._clock() - self._latched_at <= LATCH_S:
                return Turn(latched[0], was_waiting=True)
            self._has_dropped_key = True
        held = self.held[0] if self.held is not None and self.held[1] == epoch else None
        if held is not None and held.label is not None and self.takes_early_picks:
            return Turn(Pick(held.label, device=held.device))
        if self.driver is not Driver.PERSON:
            if self.call:
                return None
            if self._left_to_help and self._helper is not None:
                self._left_to_help -= 1
                choice = self._helper.choose(fan)
                if isinstance(choice, Choice):
                    return Turn(_pick(choice, self._helper), reason=choice.reason, is_help=True)
            self._ask(self.choosers[self.driver], fan, is_vote=False)
        elif self.pacing is Pacing.CONTINUOUS:
            return Turn(Pick(UNSTEERED, device=NOBODY))
        elif self._advisor is not None:
            self._ask(self._advisor, fan, is_vote=True)
        return None

    def poll(self) -> list[Turn | Exception]:
        """Return the choosers' picks and errors; votes become the suggestion."""
        return [t for t in map(self._take, self._worker.poll()) if t is not None]

    def overdue(self) -> str | None:
        """Return a sentence about a chooser that takes too long, or a key that waited too long, once."""
        if self._has_dropped_key:
            self._has_dropped_key = False
            return f"Your key waited for longer than {LATCH_S:g} s and was dropped. Press it again"
        if self._question is None or self._clock() - self._question.asked_at <= self.timeout_s:
            return None
        self._question = None
        return f"The {self.driver.value} driver did not answer within {self.timeout_s:g} s. It is your turn"

    def _ask(self, chooser: Chooser, fan: Fan, *, is_vote: bool) -> None:
        self._question = _Question(fan.request_id, self._clock(), is_vote, fan)
        self._worker.submit(fan.request_id, lambda: chooser.choose(fan))

    def _take(self, answer: Answer) -> Turn | Exception | None:
        if answer.error is not None:
            return answer.error
        if answer.ticket == -1:
            return None
        question = self._question
        if question is None or answer.ticket != question.request_id:
            self.late_answers += 1
            return None
        self._question = None
        choice = answer.value
        if question.is_vote:
            self.suggestion = (choice.label, choice.reason) if isinstance(choice, Choice) else None
            return None
        chooser = self.choosers[self.driver]
        if isinstance(choice, HelpCall):
            if self.asks_for_help and not self._is_trusted:
                return self._called(choice, question.fan)
            choice = choice.choice
        if isinstance(choice, Choice):
            return Turn(_pick(choice, chooser), reason=choice.reason)
        return Turn(Pick(UNSTEERED, by=chooser.driver, device=NOBODY)) if self._is_headless else None

    def _called(self, call: HelpCall, fan: Fan) -> Turn | None:
        """Return the helper's answer to a call, or wait for a person."""
        if self._helper is None:
            self.call = self._untold_call = call.reason
            return None
        choice = self._helper.choose(fan)
        if not isinstance(choice, Choice):
            return Turn(_pick(call.choice, self.choosers[self.driver]), reason=call.choice.reason, called=call.reason)
        self._left_to_help = self._helped_chunks * 2**self._answered - 1
        self._answered += 1
        return Turn(_pick(choice, self._helper), reason=choice.reason, called=call.reason, is_help=True)


def _pick(choice: Choice, chooser: Chooser) -> Pick:
    return Pick(choice.label, by=chooser.driver, device=type(chooser).__name__)
