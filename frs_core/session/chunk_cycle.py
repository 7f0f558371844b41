"""What happens to a chunk, from the fan it is offered in to its record.

    ask for the wanted fan -> offer the fresh one -> somebody picks -> the first rows go to the world -> each row is noted
    -> the chunk has ended: recorded, looked at, and whatever waited for its end is returned to be done

The `Arbiter` decides who picks, the `FanRequests` which fan counts; the phase is checked here. Used on the session's thread.
"""

import dataclasses
import time

from frs_core import events as ev
from frs_core.choosers.registry import find_chooser
from frs_core.counts import counted
from frs_core.events import Driver, HoldReason, Outcome, Phase
from frs_core.robot.observation import Observation
from frs_core.session.arbiter import Turn
from frs_core.session.checks import chunk_seed
from frs_core.session.motion import Deferred
from frs_core.session.parts import Parts
from frs_core.session.table import Event
from frs_core.worlds import link as wl


class ChunkCycle:
    """Moves one chunk after another through the parts."""

    def __init__(self, parts: Parts) -> None:
        """Offer nothing yet."""
        self._parts = parts

    # --- fan ---------------------------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Ask for the wanted fan, offer the fresh one; tell whether something was started."""
        p = self._parts
        is_preview = p.status.phase is Phase.HOLD and p.status.error is None and not p.options.is_headless
        is_wanted = (p.status.phase is Phase.CHOOSE or is_preview) and p.fans.needs_request and p.world.change is None
        look = p.world.look
        if is_wanted and p.fans.spec is not None and look is not None and look.is_whole:
            p.fans.request(
                look,
                seed=chunk_seed(p.fans.plan.seed, p.keeper.episode),
                commands=p.arbiter.commands(look, p.fans.gripper),
                limits=p.world.spec.limits if p.world.spec else None,
            )
            return True
        fan = p.fans.fan
        if p.status.phase is Phase.CHOOSE and fan and p.is_offering and not p.arbiter.has_decided(fan):
            if turn := p.arbiter.decide(fan, epoch=p.link.epoch):
                self._execute(turn)
            return True
        return False

    def look(self, observation: Observation) -> None:
        """Take the newest observation; on a real robot a waiting fan is remade now and then."""
        p = self._parts
        observation, fan = p.world.see(observation), p.fans.fan
        if p.world.look is not None and not p.world.look.is_whole:
            # A chunk was cut short, and its last observation was for people alone.
            p.world.look = observation
        is_waiting = p.world.is_real and p.status.phase is Phase.CHOOSE and p.is_offering and not p.arbiter.is_asking
        if is_waiting and fan is not None:
            age_s = (observation.captured_ns - fan.observation.captured_ns) / 1e9
            if age_s > p.options.refresh_s and not p.fans.is_pending:
                p.world.look = observation
                p.fans.renew()

    # --- pick --------------------------------------------------------------------------------------------------------

    def pick(self, pick: ev.Pick, epoch: int) -> None:
        """Do what a person picks, let it wait for its fan, or refuse it."""
        p = self._parts
        phase = p.status.phase
        is_early = phase is Phase.MOVING or (phase is Phase.CHOOSE and not p.is_offering)
        if is_early and (p.arbiter.takes_early_picks or p.arbiter.looks_ahead):
            p.arbiter.latch(pick, epoch)
        elif phase is Phase.CHOOSE and not is_early:
            self._execute(Turn(pick))
        else:
            said = {
                Phase.HOLD: "The robot holds. Resume first" if p.keeper.episode else "Start an episode first",
                Phase.FAULT: "Reconnect first",
                Phase.CHOOSE: "The fan is still being made",
            }
            p.status.refuse(said.get(phase, "The robot is still moving"))

    def take_turn(self, turn: Turn | Exception) -> None:
        """Do what a chooser picks, if it may still be picked."""
        p = self._parts
        if isinstance(turn, Exception):
            p.status.error = turn
            p.hold(HoldReason.DRIVER_FAILED, f"{find_chooser(p.arbiter.driver.value).title}: {turn}")
        elif p.status.phase is Phase.CHOOSE and p.is_offering:
            self._execute(turn)

    def _execute(self, turn: Turn) -> None:
        """Let a picked candidate move, unless it is not there or must not."""
        p = self._parts
        fan, pick, timing = p.fans.fan, turn.pick, p.link.timing
        assert fan is not None
        assert p.fans.spec is not None
        assert p.world.spec is not None
        assert p.arbiter.mandate is not None
        if pick.label not in fan:
            p.status.refuse(f"'{pick.label}' is not in the fan")
            if turn.was_waiting:
                # The override that came first is gone; the driver is asked after all.
                p.arbiter.decide_again()
            return
        if sentence := p.motion.why_unfit(fan, fan[pick.label], policy=p.fans.spec, world=p.world.spec):
            p.hold(HoldReason.UNFIT_CHUNK, sentence)
            return
        now = time.monotonic_ns()
        is_correction = turn.is_help or (pick.by is Driver.PERSON and p.arbiter.driver is not Driver.PERSON)
        called = p.arbiter.take_call() or turn.called
        p.fans.latency = dataclasses.replace(
            p.fans.latency,
            steer_ms=fan.steer_ms,
            pick_ms=(now - pick.pressed_ns) / 1e6 if pick.pressed_ns is not None else float("nan"),
            loop_hz=timing.hz,
            jitter_ms=timing.jitter_ms,
        )
        p.status.counters["picks"] += 1
        p.status.counters["corrections"] += is_correction
        p.status.counters["calls"] += bool(called)
        p.arbiter.compare(fan, pick)
        p.arbiter.drop_question()
        p.arbiter.latched = None
        if p.fans.is_pending:
            # The fan was being renewed; what was picked from stays on screen while the arm moves.
            p.fans.want()
        chunk = p.motion.begin(
            fan,
            pick,
            reason=turn.reason,
            is_correction=is_correction,
            called=called,
            noise_policy=p.fans.noise_policy or "",
            gripper=p.fans.gripper,
            state=p.world.boundary_state,
            latency=p.fans.latency,
            started_ns=now,
        )
        p.status.go(Event.PICKED)
        rows, kind = chunk.candidate.chunk[: chunk.rows], p.fans.spec.action_space.kind
        p.link.execute(chunk.chunk_id, rows, kind, epoch=p.arbiter.mandate)

    # --- rows --------------------------------------------------------------------------------------------------------

    def step(self, fact: wl.Stepped) -> None:
        """Note one executed row, and what was seen after it."""
        p = self._parts
        observation, chunk, episode = p.world.see(fact.observation), p.motion.chunk, p.keeper.episode
        if chunk is None or episode is None or fact.chunk_id != chunk.chunk_id:
            return
        chunk.add(fact, observation)
        episode.add(observation)
        p.status.counters["steps"] += 1
        ends_on_success = p.options.ends_on_success or episode.order.most_chunks
        if observation.success and ends_on_success and p.motion.then is None:
            p.stop_to(ev.EndEpisode(Outcome.SUCCESS), p.link.epoch)

    # --- end ---------------------------------------------------------------------------------------------------------

    def end(self, fact: wl.ChunkEnded) -> Deferred | None:
        """Take note that the world has ended a chunk, wholly or in part; return what is to be done next."""
        p = self._parts
        if p.motion.chunk is None or fact.chunk_id != p.motion.chunk.chunk_id:
            return None
        seen = len(p.motion.chunk.steps)
        if fact.rows is not None and fact.rows != seen:
            p.hold(
                HoldReason.EXCEPTION, f"{fact.rows} rows were executed and {seen} reported. The recording lacks some."
            )
        return self.finish(fact.state)

    def finish(self, state: bytes | None) -> Deferred | None:
        """Record the chunk that has ended and want the next fan; return what is to be done next.

        Args:
            state: the simulator's at the chunk's end; None where it is not known.
        """
        p = self._parts
        chunk, episode = p.motion.end(), p.keeper.episode
        was_seen = chunk.has_begun_done
        # A chunk of no rows ends where it began, whatever became of the world.
        p.world.boundary_state = state if chunk.steps else chunk.state
        if not chunk.steps and p.status.phase is Phase.MOVING and p.motion.then is None:
            p.status.note(f"'{chunk.candidate.label}' was stopped before its first step. Pick again")
        if episode is not None and chunk.steps:
            p.status.counters["chunks"] += 1
            p.keeper.keep(chunk)
        p.status.go(Event.CHUNK_DONE)
        if not p.world.is_real:
            p.arbiter.chunk_ended()
        p.world.look = p.world.observation
        p.want_fan()
        then = p.motion.take_then()
        # What is recorded ends with the fan of its last state, see `given_up`.
        if then is None and not p.keeper.is_recording and (limit := p.keeper.end_by_limit()):
            then = Deferred(limit, p.link.epoch)
        if then is None:
            self._stop_unattended()
        if episode is not None and episode.success_seen and not was_seen and p.arbiter.latched is not None:
            p.arbiter.latched = None
            p.status.note("The task looks done. The waiting pick was dropped")
        return then

    def _stop_unattended(self) -> None:
        """Hold where nobody steers and the task is done, or nothing has come of it for long; a person says how it ended."""
        p, episode = self._parts, self._parts.keeper.episode
        is_judged = episode is not None and episode.order.most_chunks
        if episode is None or is_judged or p.options.is_headless or not p.motion.unattended:
            return
        if p.status.phase is not Phase.CHOOSE:
            return
        if episode.success_seen and not episode.was_success_told:
            episode.was_success_told = True
            p.hold(HoldReason.SUCCESS_SEEN)
        elif p.motion.unattended >= p.options.unattended_chunks:
            p.hold(HoldReason.UNATTENDED, counted(p.motion.unattended, "chunk"))

    def given_up(self) -> Deferred | None:
        """Return the end of an episode that has as many chunks as it may have, once the fan that would come next is there."""
        p = self._parts
        if p.status.phase is not Phase.CHOOSE or not p.is_offering or not (limit := p.keeper.end_by_limit()):
            return None
        episode, seen = p.keeper.episode, p.world.observation
        assert episode is not None
        if episode.order.most_chunks and (seen is None or seen.success is None):
            # Only a person knows how it went; after Resume it continues until they say so.
            if not episode.was_told_to_label:
                episode.was_told_to_label = True
                p.hold(HoldReason.CHUNKS_USED_UP)
            return None
        return Deferred(limit, p.link.epoch)
