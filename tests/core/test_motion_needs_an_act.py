"""After a hold nothing moves until a person acts: random commands, answers, deaths and delays against the whole chain.

The chain is the product's own session, link, host and guard (`tests.fakes.joined`). What is checked is told apart by layer, so that
a fault in one is not hidden by the next:

- whoever asks the link, the guard or the world for a motion does so under the hold epoch of that moment, and never a world that
  is not ready;
- no row without an act after the last hold; by a person's key only if it was pressed after it;
- no reset without a start that was confirmed after the last hold, and one reset for one start;
- an act that the session reads more than a second after its press counts for nothing, wherever it waited;
- what is offered was seen after the last connection;
- every hold is shown.

`scripts/motion-check` runs it for as long as is wanted, and once for each guard that is taken away.
"""

import dataclasses

import hypothesis
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from frs_core import events as ev
from frs_core.errors import FrsError
from frs_core.events import Driver, HoldReason, Outcome, Pacing, Phase
from frs_core.robot.actions import ActionKind
from frs_core.session.status import RESTING
from tests.fakes.joined import JoinedSession

LABELS = ("left/more", "right/more", "up/more", "unsteered", "nowhere")
HOLDS = (HoldReason.OPERATOR, HoldReason.FOCUS_LOST, HoldReason.DEVICE_LOST, HoldReason.EXCEPTION)


class Motion(RuleBasedStateMachine):
    """The chain under everything that people, worlds, disks and policies do."""

    steps_taken = 0
    rows_moved = 0
    holds_made = 0

    @initialize(
        is_simulated=st.booleans(),
        pacing=st.sampled_from(Pacing),
        driver=st.sampled_from([Driver.PERSON, Driver.PERSON, Driver.SCRIPTED]),
        is_up=st.booleans(),
    )
    def begin(self, is_simulated: bool, pacing: Pacing, driver: Driver, is_up: bool) -> None:
        self.chain = JoinedSession(is_simulated=is_simulated, pacing=pacing, driver=driver)
        self.at = 0
        """Running number of everything that happens; the oracle's own clock."""
        self.held_at = 0
        """When motion was last stopped, by whomever, as far as anybody could know."""
        self.unread: list[tuple[int, ev.SessionCommand, float]] = []
        """What the session has not read yet: when it was sent, and by the chain's clock when it was pressed."""
        self.acts: list[tuple[int, str]] = []
        """When a person allowed motion, by a start or by Resume."""
        self.ready_at = 0
        """When the session was last told that the world is there; Resume before that counts for nothing."""
        self.had_world = False
        self.presses: dict[str, int] = {}
        """When a label was last pressed or held."""
        self.starts: list[tuple[int, object]] = []
        """Starts that no reset has answered yet: when, and (task, seed)."""
        take = self.chain.inbox.take

        def take_what_counts(*of: object) -> bool:
            self.take_note()
            return take(*of)  # type: ignore[arg-type]

        self.chain.inbox.take = take_what_counts  # type: ignore[method-assign]
        self.spawned = self.chain.link.spawned
        self.read = 0
        self.own_holds = 0
        if is_up:
            self.chain.work_all(12)
            self.look()
            self.drive("left/more", 3)

    # --- people -----------------------------------------------------------------------------------------------------

    def act(self, command: ev.SessionCommand, *, age_s: float = 0.0) -> None:
        """A person presses something, and so much later it is sent."""
        self.at += 1
        pressed = self.chain.clock.now - age_s
        if age_s:
            command = dataclasses.replace(command, pressed_ns=int(pressed * 1e9))
        self.unread.append((self.at, command, pressed))
        self.chain.send(command)

    def take_note(self) -> None:
        """Note what people allowed, at the moment when the session reads it."""
        for at, command, pressed in self.unread:
            if self.chain.clock.now - pressed > 1.0 + 1e-6:
                continue
            match command:
                case ev.StartEpisode():
                    self.acts.append((at, "start"))
                    self.starts.append((at, (command.task, command.seed)))
                case ev.Resume():
                    self.acts.append((at, "resume"))
                case ev.Pick() | ev.HoldDirection() if command.label is not None:
                    self.presses[command.label] = at
                case _:
                    pass
        self.unread.clear()

    @rule(
        task=st.sampled_from(["reach_left", "reach_up", "nowhere", None]),
        seed=st.integers(0, 3),
        most_chunks=st.sampled_from([0, 0, 1, 2]),
    )
    def start(self, task: str | None, seed: int, most_chunks: int = 0) -> None:
        self.act(ev.StartEpisode(task, seed=seed, most_chunks=most_chunks))

    @rule(label=st.sampled_from(LABELS))
    def pick(self, label: str) -> None:
        self.act(ev.Pick(label))

    @rule(is_on=st.sampled_from([True, True, False]))
    def look_ahead(self, is_on: bool) -> None:
        self.act(ev.SetLookAhead(is_on))

    @rule()
    def take_back_what_waits(self) -> None:
        self.act(ev.DropPick())

    @rule(label=st.sampled_from([*LABELS, None]))
    def hold_direction(self, label: str | None) -> None:
        self.act(ev.HoldDirection(label))

    @rule()
    def resume(self) -> None:
        self.act(ev.Resume())

    @rule(
        what=st.sampled_from(["start", "pick", "held", "resume"]),
        waits=st.booleans(),
        seconds=st.sampled_from([1.2, 45.0]),
    )
    def a_press_is_read_late(self, what: str, waits: bool, seconds: float) -> None:
        """It waits in the window that is stuck, or in the queue of a session that is."""
        if what == "start":
            if not self.ready_to_start():
                return
        else:
            self.drive("left/more", 7)
        if what == "held":
            self.act(ev.SetPacing(Pacing.CONTINUOUS))
        if what == "resume":
            self.hold(HoldReason.OPERATOR)
        self.session_works()
        commands = {
            "start": ev.StartEpisode("reach_up", seed=0),
            "pick": ev.Pick("down/more"),
            "held": ev.HoldDirection("down/more"),
            "resume": ev.Resume(),
        }
        self.act(commands[what], age_s=0.0 if waits else seconds)
        if waits:
            self.time_passes(seconds)
        self.everybody_works(8)

    @rule(reason=st.sampled_from(HOLDS))
    def hold(self, reason: HoldReason) -> None:
        self.act(ev.RequestHold(reason, "somebody says so"))
        self.held_at = self.at
        type(self).holds_made += 1

    @rule(reason=st.sampled_from(HOLDS))
    def hold_that_is_read_at_once(self, reason: HoldReason) -> None:
        """The same, and what it says on screen."""
        self.chain.work_session()
        self.look()
        engine = self.chain.engine
        is_open = engine.parts.keeper.episode is not None and engine.parts.keeper.closing is None
        is_under_way = is_open or engine.parts.world.change is not None or engine.parts.keeper.waiting is not None
        self.hold(reason)
        self.chain.work_session()
        shown = engine.snapshot()
        assert shown.phase in (Phase.HOLD, Phase.FAULT), f"a hold is not shown: {shown.phase}"
        if is_under_way and shown.phase is Phase.HOLD and engine.parts.keeper.closing is None:
            assert shown.hold_reason not in RESTING, "a hold is not reported"

    @rule(reason=st.sampled_from(HOLDS), turns=st.integers(1, 9))
    def hold_in_the_middle_of_the_sessions_turn(self, reason: HoldReason, turns: int) -> None:
        """The word is written, and the session has just read its commands."""
        self.act(ev.SetPacing(Pacing.CONTINUOUS))
        self.drive("left/more", turns)
        while self.chain.engine.phase is Phase.MOVING:
            self.everybody_works(1)
        for worker in self.chain.workers.values():
            worker.work()
        self.chain.inbox.take(self.chain.engine, 0.0)
        self.hold(reason)
        self.chain.engine.tick()
        self.look()

    def ready_to_start(self) -> bool:
        """World and policy are there, and no episode runs."""
        self.heal()
        if self.chain.engine.phase is Phase.FAULT:
            self.reconnect()
            self.everybody_works(6)
        if self.chain.engine.parts.keeper.episode is not None:
            self.end(Outcome.DISCARDED)
            self.everybody_works(2)
        return self.chain.engine.parts.keeper.episode is None

    @rule(reason=st.sampled_from(HOLDS), turns=st.integers(0, 2), is_read_first=st.booleans())
    def hold_while_the_scene_is_set(self, reason: HoldReason, turns: int, is_read_first: bool) -> None:
        if not self.ready_to_start():
            return
        self.start("reach_left", 2)
        self.session_works()
        self.world_works(turns)
        self.hold(reason)
        if is_read_first:
            self.session_works()
        self.everybody_works(6)

    @rule(seconds=st.sampled_from([31.0, 40.0]))
    def a_scene_takes_too_long(self, seconds: float) -> None:
        if not self.ready_to_start():
            return
        self.start("reach_up", 3)
        self.session_works()
        self.time_passes(seconds)
        self.session_works()
        self.world_works(3)

    @rule(label=st.sampled_from(LABELS[:3]), turns=st.integers(1, 3), reason=st.sampled_from(HOLDS))
    def hold_resume_hold_while_a_chunk_ends(self, label: str, turns: int, reason: HoldReason) -> None:
        self.drive(label, turns)
        self.hold(HoldReason.OPERATOR)
        self.session_works()
        self.resume()
        self.session_works()
        self.hold(reason)
        self.everybody_works(6)

    @rule(goes_back=st.booleans(), pacing=st.sampled_from(Pacing), turns=st.integers(0, 2))
    def press_while_reconnecting(self, goes_back: bool, pacing: Pacing, turns: int) -> None:
        self.drive("left/more", 7)
        self.act(ev.SetPacing(pacing))
        self.world_dies()
        self.session_works()
        self.reconnect()
        self.session_works()
        self.world_works(turns)
        self.look()
        if goes_back:
            self.back()
        else:
            self.resume()
        self.session_works()
        self.everybody_works(10)

    @rule(reason=st.sampled_from(HOLDS), what=st.sampled_from(["start", "back", "pick", "resume"]))
    def press_and_hold_before_anything_is_read(self, reason: HoldReason, what: str) -> None:
        if what == "start":
            self.ready_to_start()
            self.start("reach_left", 1)
        else:
            self.drive("left/more", 7)
            {"back": self.back, "resume": self.resume, "pick": lambda: self.pick("up/more")}[what]()
        self.hold(reason)
        self.session_works()
        self.everybody_works(3)

    @rule(kind=st.sampled_from(["execute", "reset", "restore"]))
    def a_late_request_finds_a_world_that_starts(self, kind: str) -> None:
        self.drive("left/more", 7)
        self.world_dies()
        self.session_works()
        self.reconnect()
        self.session_works()
        self.late_request(1, kind)
        self.everybody_works(8)
        process = self.chain.process
        assert process is not None, "a late request ended the new world"
        assert process.is_alive(), "a late request ended the new world"

    @rule(turns=st.integers(1, 3), seconds=st.sampled_from([0.0, 0.7, 2.5]))
    def the_session_stalls_or_a_camera_does(self, turns: int, seconds: float) -> None:
        self.drive("left/more", 2)
        if self.chain.engine.phase is not Phase.MOVING:
            return
        if seconds:
            self.time_passes(seconds)
        else:
            self.camera_stalls(True)
        self.world_works(turns + 1)
        self.camera_stalls(False)

    @rule(outcome=st.sampled_from(Outcome))
    def end(self, outcome: Outcome) -> None:
        self.act(ev.EndEpisode(outcome))

    @rule()
    def back(self) -> None:
        self.act(ev.BackOneChunk())

    @rule()
    def reconnect(self) -> None:
        self.act(ev.Reconnect())

    @rule(command=st.sampled_from([ev.Heartbeat(), ev.SetPacing(Pacing.GATED), ev.SetPacing(Pacing.CONTINUOUS)]))
    def set_pacing_or_live(self, command: ev.SessionCommand) -> None:
        self.act(command)

    @rule(driver=st.sampled_from([Driver.PERSON, Driver.SCRIPTED, Driver.LEARNED, Driver.VLM]))
    def set_driver(self, driver: Driver) -> None:
        self.act(ev.SetDriver(driver))

    @rule(seed=st.integers(0, 9))
    def turn_a_knob(self, seed: int) -> None:
        self.act(ev.SetPlan(self.chain.engine.parts.fans.plan.with_seed(seed)))

    def heal(self) -> None:
        """Everything that can be broken works again."""
        for worker in self.chain.workers.values():
            worker.is_paused = False
        self.chain.policy.error, self.chain.recorder.is_full = None, False
        if self.chain.process is not None and self.chain.process.world is not None:
            self.chain.process.world.is_stale = False

    def drive(self, label: str, turns: int) -> None:
        """What people mostly do: wait for the fan, pick, and let it move for a while."""
        engine = self.chain.engine
        self.heal()
        if engine.phase is Phase.FAULT:
            self.reconnect()
            self.everybody_works(6)
        if engine.parts.keeper.episode is None and engine.parts.world.change is None:
            self.start("reach_left", 1)
        elif engine.phase is Phase.HOLD:
            self.resume()
        for _ in range(10):
            if engine.phase is Phase.MOVING or (engine.phase is Phase.CHOOSE and engine.parts.is_offering):
                break
            self.everybody_works(1)
        self.pick(label)
        self.everybody_works(turns)

    @rule(label=st.sampled_from(LABELS[:4]), turns=st.integers(1, 6))
    def drive_a_chunk(self, label: str, turns: int) -> None:
        self.drive(label, turns)

    @rule(label=st.sampled_from(LABELS[:4]), turns=st.integers(2, 6), reason=st.sampled_from(HOLDS))
    def drive_and_hold(self, label: str, turns: int, reason: HoldReason) -> None:
        self.drive(label, turns)
        self.hold(reason)

    @rule(held=st.sampled_from(LABELS[:3]), turns=st.integers(1, 9))
    def drive_with_a_held_key(self, held: str, turns: int) -> None:
        self.act(ev.SetPacing(Pacing.CONTINUOUS))
        self.hold_direction(held)
        self.drive(held, turns)

    # --- machines ---------------------------------------------------------------------------------------------------

    @rule(turns=st.integers(1, 8))
    def everybody_works(self, turns: int) -> None:
        for _ in range(turns):
            self.chain.work_all()
            self.look()

    @rule()
    def session_works(self) -> None:
        self.chain.work_session()
        self.look()

    @rule(turns=st.integers(1, 6))
    def world_works(self, turns: int) -> None:
        for _ in range(turns):
            self.chain.work_world()
            self.look()

    @rule(name=st.sampled_from(["inference", "chooser", "writer"]), is_paused=st.booleans())
    def worker_pauses(self, name: str, is_paused: bool) -> None:
        self.chain.workers[name].is_paused = is_paused

    @rule(fails=st.booleans())
    def policy_fails(self, fails: bool) -> None:
        self.chain.policy.error = RuntimeError("out of memory") if fails else None

    @rule(is_full=st.booleans())
    def disk_fills(self, is_full: bool) -> None:
        self.chain.recorder.is_full = is_full

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.5, 5.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.chain.clock.now += seconds

    @rule(is_stale=st.booleans())
    def camera_stalls(self, is_stale: bool) -> None:
        if self.chain.process is not None and self.chain.process.world is not None:
            self.chain.process.world.is_stale = is_stale

    @rule()
    def world_dies(self) -> None:
        if self.chain.process is not None:
            self.chain.process.kill()
            self.at += 1
            self.held_at = self.at

    # --- whoever else sends something, however late -----------------------------------------------------------------

    def attack(self, ask: object) -> None:
        self.chain.link.is_attacking = True
        try:
            ask()  # type: ignore[operator]
        finally:
            self.chain.link.is_attacking = False

    @rule(age=st.integers(1, 3), kind=st.sampled_from(["execute", "reset", "restore"]))
    def a_late_request_reaches_the_link(self, age: int, kind: str) -> None:
        self.late_request(age, kind)

    def late_request(self, age: int, kind: str) -> None:
        link = self.chain.link
        epoch = link.epoch - age
        asks = {
            "execute": lambda: link.execute(-9, np.full((3, 7), 0.01), ActionKind.EE_DELTA, epoch=epoch),
            "reset": lambda: link.reset(-9, task="reach_left", seed=77, epoch=epoch),
            "restore": lambda: link.restore(-9, b"{}", epoch=epoch),
        }
        if self.chain.engine.parts.motion.chunk is None:
            self.attack(asks[kind])

    @precondition(lambda self: self.chain.process is not None and self.chain.process.is_ready)
    @rule(age=st.integers(-2, 3), kind=st.sampled_from(["step", "reset"]))
    def a_stale_request_reaches_the_guard(self, age: int, kind: str) -> None:
        guard, epoch = self.chain.process.host._guard, self.chain.link.epoch - age  # type: ignore[union-attr]
        if age == 0:
            return
        count = len(self.chain.crossings)
        try:
            if kind == "step":
                self.attack(lambda: guard.step(np.full(7, 0.01), ActionKind.EE_DELTA, epoch=epoch))
            else:
                self.attack(lambda: guard.reset(task="reach_left", seed=77, epoch=epoch))
        except FrsError:
            pass
        assert len(self.chain.crossings) == count, f"the guard let a {kind} of another epoch through"

    # --- what must be true ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Compare what has crossed since the last look with what people asked for."""
        chain = self.chain
        self.at += 1
        if chain.link.spawned != self.spawned:
            self.spawned, self.held_at = chain.link.spawned, self.at
        new, self.read = chain.crossings[self.read :], len(chain.crossings)
        for crossing in new:
            if crossing.layer != "guard" or crossing.kind == "step":
                # A late reset may be handed to the guard, which refuses it; late rows may not.
                assert crossing.epoch == crossing.present, f"{crossing} is of another epoch"
            if crossing.layer == "link":
                assert crossing.detail, f"{crossing} of a session that knows of no world"
            if crossing.layer == "world":
                self.check_motion(crossing.kind, crossing.detail)
        self.check_offer()
        has_world = chain.engine.parts.world.spec is not None
        if has_world and not self.had_world:
            self.ready_at = self.at
        self.had_world = has_world
        if chain.own_holds != self.own_holds:
            # Acts that are still in its queue were made before anybody could see it.
            self.own_holds, self.held_at = chain.own_holds, self.at

    def check_motion(self, kind: str, detail: object) -> None:
        if kind == "step":
            type(self).rows_moved += 1
            silence_s = self.chain.clock.now - self.chain.session_at
            assert silence_s < 0.5 + 0.1, f"a row {silence_s:.1f} s after the session's last heartbeat"
            assert self.acts, "a row without any act"
            present = [kind for at, kind in self.acts if at > self.held_at and (kind == "start" or at > self.ready_at)]
            assert present, "a row after a hold, without an act since"
            running = self.chain.engine.parts.motion.chunk
            if running is not None and running.driver is Driver.PERSON and running.device != "none":
                pressed = self.presses.get(running.candidate.label, -1)
                assert pressed > self.held_at, "a person's pick from before the hold"
        elif kind == "reset" and self.chain.process is not None and self.chain.process.is_ready:
            waiting = [s for s in self.starts if s[0] > self.held_at and s[1] == detail]
            assert waiting, f"a reset to {detail} that nobody has started since the last hold"
            self.starts = [s for s in self.starts if s[0] > waiting[0][0]]

    @invariant()
    def what_is_offered_was_seen_in_this_connection(self) -> None:
        if hasattr(self, "chain"):
            type(self).steps_taken += 1
            self.check_offer()

    def check_offer(self) -> None:
        shown = self.chain.engine.snapshot()
        if shown.phase is not Phase.FAULT and shown.fan is not None:
            seen_ns = shown.fan.observation.captured_ns
            assert seen_ns >= self.chain.link.spawned_ns, "a fan from before the connection"

    def teardown(self) -> None:
        if hasattr(self, "chain"):
            self.chain.close()


SETTINGS = settings(
    max_examples=16,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[hypothesis.Phase.generate],
    derandomize=True,
    database=None,
)


def test_nothing_moves_after_a_hold_until_a_person_acts() -> None:
    run_state_machine_as_test(Motion, settings=SETTINGS)
