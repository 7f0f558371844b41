"""Every guard between a hold and the arm, and a way to take each one away: the property test must notice.

Run it with `scripts/motion-check --guards`. Each row names the guard, where it stands and how it is taken away; a row whose
removal goes unnoticed is a guard that does nothing, or a test that sees nothing.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from frs_core import events as ev
from frs_core.session import engine, inbox
from frs_core.session.arbiter import Arbiter
from frs_core.session.episode_cycle import EpisodeCycle
from frs_core.session.inbox import Inbox
from frs_core.session.parts import Parts
from frs_core.session.status import RESTING
from frs_core.steering.candidates import Fan
from frs_core.worlds import guard, host, process
from frs_core.worlds.droid import bridge
from tests.core import test_droid_bridge as bridge_tests
from tests.fakes.running_bridge import bridge_thread


@dataclass(frozen=True)
class Guard:
    """One guard."""

    name: str
    place: str
    take_away: Callable[[], contextlib.AbstractContextManager[object]]
    is_bridge: bool = False


def _replaced(owner: object, name: str, value: object) -> Callable[[], contextlib.AbstractContextManager[object]]:
    return lambda: mock.patch.object(owner, name, value)


def _send_without_holding(self: Inbox, command: ev.SessionCommand) -> bool:
    now_ns = inbox.time.monotonic_ns()
    self._commands.put_nowait((command, self._link.epoch, now_ns, now_ns))
    return True


_put = Inbox.put


def _put_as_if_pressed_now(self: Inbox, command: ev.SessionCommand) -> bool:
    if isinstance(command, ev.Act):
        command = dataclasses.replace(command, pressed_ns=None)
    return _put(self, command)


_why_stale = engine.why_stale


def _never_too_old(command: ev.SessionCommand, epoch: int, pressed_ns: int | None, **of: Any) -> str | None:
    return _why_stale(command, epoch, None, **of)


def _of_any_epoch(command: ev.SessionCommand, epoch: int, pressed_ns: int | None, **of: Any) -> str | None:
    return _why_stale(command, of["present"], pressed_ns, **of)


def _offering_without_mandate(self: Any) -> bool:
    is_free = self.world.change is None and self.motion.chunk is None
    self.arbiter.mandate = 0 if self.arbiter.mandate is None else self.arbiter.mandate
    return self.fans.is_fresh and self.keeper.is_written and is_free


_scene_set = EpisodeCycle.scene_set


def _scene_set_in_any_epoch(self: Any, fact: Any) -> None:
    world = self._parts.world
    if world.change is not None:
        world.change = dataclasses.replace(world.change, epoch=self._parts.link.epoch)
    _scene_set(self, fact)


_decide = Arbiter.decide


def _decide_whatever_was_pressed(self: Arbiter, fan: Fan, *, epoch: int) -> Any:
    self.held = self.held and (self.held[0], epoch)
    self.latched = self.latched and (self.latched[0], epoch)
    return _decide(self, fan, epoch=epoch)


_resume = EpisodeCycle.resume


def _resume_later_in_any_epoch(self: Any, epoch: int) -> None:
    _resume(self, epoch)
    motion = self._parts.motion
    if motion.then is not None and isinstance(motion.then.command, ev.Resume):
        motion.then = dataclasses.replace(motion.then, epoch=None)


_why_not_resume = EpisodeCycle._why_not_resume


def _resume_without_a_world(self: Any) -> str | None:
    said = _why_not_resume(self)
    return None if said is not None and "still starting" in said else said


_go_back = EpisodeCycle.go_back


def _back_without_a_world(self: Any, epoch: int) -> None:
    world = self._parts.world
    spec, world.spec = world.spec, world.spec or object()
    try:
        _go_back(self, epoch)
    finally:
        world.spec = spec


_hold = Parts.hold


def _hold_that_stops_nothing(self: Any, reason: ev.HoldReason, detail: str = "", *, is_engaged: bool = False) -> None:
    _hold(self, reason, detail, is_engaged=True)


def _hold_that_is_not_reported(self: Any, reason: ev.HoldReason, detail: str = "", *, is_engaged: bool = False) -> None:
    before = self.status.reason, self.status.detail
    _hold(self, reason, detail, is_engaged=is_engaged)
    if before[0] in RESTING and before[0] is not None:
        self.status.reason, self.status.detail = before


_fault = Parts.fault


def _fault_that_stops_nothing(self: Any, reason: ev.HoldReason, detail: str) -> None:
    with mock.patch.object(self.link, "hold", return_value=0):
        _fault(self, reason, detail)


def _restart_in_the_same_epoch(self: Any) -> None:
    self._tear_down(grace_s=0.0)
    self.start()


def _requests_to_no_world(self: Any, kind: str, ticket: int, **fields: object) -> None:
    self._is_setting = True
    self._tell(kind, ticket=ticket, **fields)


_trip = host.Host._trip


def _trip_in_the_same_epoch(self: Any, reason: str, sentence: str, *, number: int = 0) -> None:
    trips = int(self._ring.words[host.Word.TRIPS])
    with mock.patch.object(self, "_check_epoch", return_value=None):
        _trip(self, reason, sentence, number=number)
    self._ring.words[host.Word.TRIPS] = trips


@contextlib.contextmanager
def _anything_goes(self: Any, epoch: int, what: str) -> Iterator[None]:
    yield


_bridge_note = bridge.Robot._note


def _every_state_is_a_basis(self: Any, raw: Any, stamps: Any = None, is_basis: bool = True) -> Any:
    return _bridge_note(self, raw, stamps, True)


class _Kept(dict):
    """Ticks that are never consumed."""

    def clear(self) -> None:
        pass

    def popitem(self, last: bool = False) -> None:  # type: ignore[override]
        self.pop(next(iter(self)))


_bridge_init = bridge.Robot.__init__


def _states_that_last(self: Any, *args: Any) -> None:
    _bridge_init(self, *args)
    self.ticks = _Kept()


def _epoch_without_withdrawal(self: Any) -> None:
    self.epoch += 1


GUARDS = (
    Guard("a hold is written before it is queued", "Inbox.put", _replaced(Inbox, "put", _send_without_holding)),
    Guard(
        "an act of an older epoch is refused",
        "acts.why_stale",
        _replaced(engine, "why_stale", _of_any_epoch),
    ),
    Guard(
        "an act that is read late is refused",
        "acts.why_stale",
        _replaced(engine, "why_stale", _never_too_old),
    ),
    Guard("an act is as old as its press", "Inbox.put", _replaced(Inbox, "put", _put_as_if_pressed_now)),
    Guard(
        "a fan is offered under a present mandate only",
        "Parts.is_offering",
        _replaced(Parts, "is_offering", property(_offering_without_mandate)),
    ),
    Guard(
        "a start that was held waits for Resume",
        "EpisodeCycle.scene_set",
        _replaced(EpisodeCycle, "scene_set", _scene_set_in_any_epoch),
    ),
    Guard(
        "held and waiting keys count in their own epoch",
        "Arbiter.decide",
        _replaced(Arbiter, "decide", _decide_whatever_was_pressed),
    ),
    Guard(
        "Resume during an ending chunk keeps its epoch",
        "EpisodeCycle.resume",
        _replaced(EpisodeCycle, "resume", _resume_later_in_any_epoch),
    ),
    Guard(
        "no Resume before the new world is there",
        "EpisodeCycle._why_not_resume",
        _replaced(EpisodeCycle, "_why_not_resume", _resume_without_a_world),
    ),
    Guard(
        "no Back before the new world is there",
        "EpisodeCycle.go_back",
        _replaced(EpisodeCycle, "go_back", _back_without_a_world),
    ),
    Guard(
        "nothing seen before a loss is shown after it",
        "Parts.forget_sight",
        _replaced(Parts, "forget_sight", lambda self: None),
    ),
    Guard("a hold of the session's own stops", "Parts.hold", _replaced(Parts, "hold", _hold_that_stops_nothing)),
    Guard("every hold is reported", "Parts.hold", _replaced(Parts, "hold", _hold_that_is_not_reported)),
    Guard("a fault stops", "Parts.fault", _replaced(Parts, "fault", _fault_that_stops_nothing)),
    Guard(
        "a reconnect begins a new epoch",
        "WorldProcess.restart",
        _replaced(process.WorldProcess, "restart", _restart_in_the_same_epoch),
    ),
    Guard(
        "a world that is not ready is asked for nothing",
        "WorldProcess._ask_scene",
        _replaced(process.WorldProcess, "_ask_scene", _requests_to_no_world),
    ),
    Guard(
        "rows of an older epoch are dropped every tick",
        "Host._check_epoch",
        _replaced(host.Host, "_check_epoch", lambda self: None),
    ),
    Guard("a trip begins a new epoch", "Host._trip", _replaced(host.Host, "_trip", _trip_in_the_same_epoch)),
    Guard("a silent session stops", "Host._watch_session", _replaced(host.Host, "_watch_session", lambda self: None)),
    Guard(
        "the guard lets the present epoch in, nothing else",
        "GuardedWorld._authorised",
        _replaced(guard.GuardedWorld, "_authorised", _anything_goes),
    ),
    Guard(
        "the bridge refuses an older epoch",
        "Bridge._must_be_present",
        _replaced(bridge.Bridge, "_must_be_present", lambda self, request: None),
        is_bridge=True,
    ),
    Guard(
        "one state authorises one step",
        "Robot.step",
        _replaced(bridge.Robot, "__init__", _states_that_last),
        is_bridge=True,
    ),
    Guard(
        "a state from before a command authorises nothing",
        "Robot._note",
        _replaced(bridge.Robot, "_note", _every_state_is_a_basis),
        is_bridge=True,
    ),
    Guard(
        "a hold withdraws a reset's token",
        "Bridge._new_epoch",
        _replaced(bridge.Bridge, "_new_epoch", _epoch_without_withdrawal),
        is_bridge=True,
    ),
)


def check_bridge() -> None:
    """Run the bridge's tests of what authorises a motion."""
    for test in (
        bridge_tests.test_one_state_authorises_one_step,
        bridge_tests.test_a_state_from_before_the_last_command_authorises_nothing,
        bridge_tests.test_what_was_asked_for_before_a_hold_is_refused_however_late,
        bridge_tests.test_a_hold_between_request_and_reset_withdraws_the_reset,
        bridge_tests.test_a_new_client_begins_a_new_epoch,
    ):
        with bridge_thread() as (running, env):
            talker = bridge_tests.Talker(running.address)
            try:
                test((running, env, talker))
            finally:
                talker.close()
