"""What a session is made of, and the few things that concern several parts at once.

Each part owns its state and knows of no other:

    Status         phase, why it holds, notices, totals
    WorldState     the world's facts, what was seen, the scene that is being set
    FanRequests    policy, steering settings, the fan that counts
    Arbiter        who picks, at which pacing, under which mandate
    Motion         the chunk that moves, and what waits for its end
    EpisodeKeeper  the episode and its records

When motion stops, and whether a fan may be picked from, concerns all of them and is decided here. `chunk_cycle` handles chunks,
`episode_cycle` handles episodes, and the `engine` passes commands and facts to both.

Used on the session's thread.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping

from frs_core import events as ev
from frs_core.choosers.base import Chooser
from frs_core.episodes.records import Recorder
from frs_core.events import Driver, HoldReason
from frs_core.runtime.workers import WorkQueue
from frs_core.session.arbiter import Arbiter
from frs_core.session.fans import FanRequests
from frs_core.session.inference import FanMaker
from frs_core.session.keeping import EpisodeKeeper
from frs_core.session.motion import Deferred, Motion
from frs_core.session.options import SessionOptions
from frs_core.session.status import Status
from frs_core.session.world import WorldState
from frs_core.session.writing import WriteQueue
from frs_core.steering.plan import SteeringPlan
from frs_core.worlds.link import WorldLink


class Parts:
    """The parts of one session."""

    def __init__(
        self,
        world: WorldLink,
        maker: FanMaker,
        *,
        inference: WorkQueue,
        chooser_worker: WorkQueue,
        recorder: Recorder | None,
        writer: WorkQueue,
        choosers: Mapping[Driver, Chooser] | None = None,
        advisor: Chooser | None = None,
        helper: Chooser | None = None,
        plan: SteeringPlan | None = None,
        options: SessionOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make every part; none starts anything.

        Args:
            world: link to the world.
            maker: makes fans; its methods run as jobs of `inference`.
            inference: worker of the policy.
            chooser_worker: worker of the choosers, which may be slow.
            recorder: keeps episodes; None records nothing.
            writer: worker of the recorder.
            choosers: who picks for a driver; LEARNED has one already.
            advisor: votes while a person drives.
            helper: answers calls for help in a person's place.
            plan: steering settings; None = the policy's calibrated default.
            options: time-outs and settings.
            clock: seconds, monotonic.
        """
        self.link, self.clock = world, clock
        self.options = o = options or SessionOptions()
        self.status, self.motion = Status(), Motion()
        self.world = WorldState(world, timeout_s=o.scene_timeout_s, clock=clock)
        self.fans = FanRequests(
            maker,
            inference,
            plan=plan,
            gripper=o.gripper,
            timeout_s=o.inference_timeout_s,
            first_timeout_s=o.first_timeout_s,
            clock=clock,
        )
        self.arbiter = Arbiter(
            chooser_worker,
            choosers=choosers or {},
            advisor=advisor,
            driver=o.driver,
            pacing=o.pacing,
            timeout_s=o.chooser_timeout_s,
            is_headless=o.is_headless,
            has_full_fan=o.has_full_fan,
            asks_for_help=o.asks_for_help,
            helper=helper,
            helped_chunks=o.helped_chunks,
            clock=clock,
        )
        queue = WriteQueue(recorder, writer, timeout_s=o.write_timeout_s, clock=clock) if recorder else None
        self.keeper = EpisodeKeeper(queue, remembers_ended=o.is_headless, clock=clock)

    def set_limit(self, option: str, value: float) -> None:
        """Use another limit from the next wait on.

        Args:
            option: name in `SessionOptions`, one of `failsafes.SETTABLE`; checked before.
            value: seconds, or chunks.
        """
        kind = type(getattr(self.options, option))
        self.options = o = dataclasses.replace(self.options, **{option: kind(value)})
        self.fans.timeout_s, self.arbiter.timeout_s = o.inference_timeout_s, o.chooser_timeout_s

    @property
    def is_offering(self) -> bool:
        """The present fan is the wanted one and everything before it is journalled: it may be picked from."""
        is_free = self.world.change is None and self.motion.chunk is None
        return self.fans.is_fresh and self.keeper.is_written and is_free and self.arbiter.mandate == self.link.epoch

    @property
    def late_answers(self) -> int:
        """How many answers of policy and choosers came too late."""
        return self.fans.late_answers + self.arbiter.late_answers

    def want_fan(self) -> None:
        """Declare the present fan out of date, and what a chooser thinks about it."""
        self.fans.want()
        self.arbiter.drop_question()

    def forget_sight(self) -> None:
        """Offer nothing more of what was seen so far."""
        self.world.look = None
        self.fans.forget()
        self.want_fan()

    # --- stops -------------------------------------------------------------------------------------------------------

    def hold(self, reason: HoldReason, detail: str = "", *, is_engaged: bool = False) -> None:
        """Stop motion and keep the arm where it is; nothing moves until a later act of a person.

        Args:
            reason: shown to the operator.
            detail: the sentence behind it.
            is_engaged: the world was held when this was sent; it is only taken note of.
        """
        if not is_engaged:
            self.link.hold()
        is_idle = self.keeper.episode is None and self.world.change is None and self.keeper.waiting is None
        self.call_off()
        self.status.hold(reason, detail, is_idle=is_idle)

    def fault(self, reason: HoldReason, detail: str) -> None:
        """Stop because world or policy is gone; whoever calls this still has to finish the moving chunk."""
        self.link.hold()
        self.call_off()
        self.status.fault(reason, detail)
        self.world.change = None
        if self.keeper.episode is not None and self.motion.chunk is not None and self.motion.chunk.steps:
            self.keeper.episode.is_cut_short = True

    def rest(self, reason: HoldReason, detail: str = "") -> None:
        """Wait without motion: a scene is being set, or an episode has ended. No hold: what was pressed since still counts."""
        self.arbiter.mandate = None
        self.arbiter.let_go()
        self.status.rest(reason, detail)

    def stop_to(self, command: ev.SessionCommand, epoch: int) -> None:
        """End the moving chunk, then do what is asked; a hold that comes meanwhile makes it stale."""
        self.link.hold()
        self.motion.then = Deferred(command, epoch + 1)
        if self.arbiter.mandate == epoch:
            self.arbiter.mandate = epoch + 1

    def call_off(self) -> None:
        """Withdraw every mandate and everything that waits to move the arm."""
        self.arbiter.withdraw()
        self.keeper.was_held |= self.keeper.closing is not None
        if self.keeper.call_off():
            self.status.note("The waiting start was cancelled. Start again")
