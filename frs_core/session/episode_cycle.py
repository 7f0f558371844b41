"""What happens to an episode: begun, resumed, taken back, labelled, kept.

    start -> (it waits for world, policy or disk) -> the scene is set -> chunks, back, hold and resume -> label -> on disk

Ending or going back while a chunk moves first stops the chunk, records the rows that were executed, and then does what was asked.
Whatever is to be done next is returned. Used on the session's thread.
"""

import numpy as np

from frs_core import events as ev
from frs_core.episodes.records import LastState
from frs_core.events import HoldReason, Outcome, Phase
from frs_core.robot.observation import Observation
from frs_core.runtime.workers import Answer
from frs_core.session.checks import meta_of
from frs_core.session.motion import Deferred
from frs_core.session.parts import Parts
from frs_core.session.status import RESTING
from frs_core.session.table import Event
from frs_core.session.writing import WriteJob
from frs_core.worlds import link as wl

START_S = 2.0
"""How long a start on a robot may wait for world, policy or disk, seconds; as long as the bridge lets a reset's token live."""


class EpisodeCycle:
    """Takes one episode after another through the parts."""

    def __init__(self, parts: Parts) -> None:
        """Begin nothing yet."""
        self._parts = parts

    # --- start -------------------------------------------------------------------------------------------------------

    def start(self, order: ev.StartEpisode, epoch: int) -> None:
        """Have the scene of a new episode set, let the start wait, or refuse it."""
        p = self._parts
        if p.status.phase is Phase.FAULT:
            p.status.refuse("Reconnect first")
        elif p.keeper.closing is not None or p.world.spec is None or p.fans.spec is None:
            p.keeper.wait(order, epoch)
        elif p.motion.chunk is not None or p.keeper.has_unlabelled:
            p.status.refuse("Label or discard the running episode first")
        elif not self._is_disk_too_slow():
            p.keeper.drop()
            p.status.error = None
            p.rest(HoldReason.START, "Setting the scene")
            p.world.reset(order, epoch)

    def start_waiting(self) -> Deferred | None:
        """Return the start that waited until everything was there; one that waited long does not move a robot any more."""
        p = self._parts
        waiting = p.keeper.take_waiting()
        if waiting is None:
            return None
        if p.world.is_real and p.clock() - waiting.since > START_S:
            # By now somebody may be reaching for the table.
            p.status.note("Everything is ready. Start again: the arm will move to its start pose")
            return None
        return Deferred(waiting.order, waiting.epoch)

    def _begin(self, order: ev.StartEpisode, observation: Observation) -> None:
        """Open the episode whose first observation has just arrived."""
        p = self._parts
        assert p.world.spec is not None
        assert p.fans.spec is not None
        p.status.counters["episodes"] += 1
        meta = meta_of(
            p.world.spec,
            p.fans.spec,
            observation,
            order=order,
            plan=p.fans.plan,
            operator=p.options.operator,
            noise_policy=p.fans.noise_policy,
            policy_options=p.fans.policy_options,
        )
        p.keeper.begin(order, observation, number=p.status.counters["episodes"], meta=meta)
        p.arbiter.begin(observation)
        p.motion.unattended, p.motion.target = 0, None
        p.fans.begin(order.seed)

    # --- scenes ------------------------------------------------------------------------------------------------------

    def scene_set(self, fact: wl.SceneSet) -> None:
        """Begin the episode, or be back at the chunk boundary, that the scene was set for."""
        p = self._parts
        change = p.world.take_answer(fact)
        if change is None:
            return
        if isinstance(change.cause, ev.StartEpisode):
            assert p.world.observation is not None
            self._begin(change.cause, p.world.observation)
            if change.epoch == p.link.epoch:
                p.arbiter.mandate = change.epoch
                p.status.go(Event.SCENE_SET)
            # Else a hold came while the scene was set: the episode is there, and waits for Resume.
        elif isinstance(change.cause, ev.BackOneChunk) and p.keeper.episode is not None:
            p.keeper.undo()
        p.want_fan()

    def scene_refused(self, fact: wl.Refused) -> None:
        """The world is as it was; say why, and continue from there."""
        p = self._parts
        change = p.world.take_answer(fact)
        if change is None:
            return
        if isinstance(change.cause, ev.Reconnect) and fact.is_stale:
            # The hold stands; the scene still has to be what the episode was left in.
            p.world.bring_back()
            return
        p.status.note(fact.sentence)
        if isinstance(change.cause, ev.Reconnect) and p.keeper.episode is not None:
            p.keeper.episode.is_cut_short = True
        if p.status.phase is Phase.HOLD and p.status.reason in RESTING:
            p.rest(HoldReason.START, fact.sentence)
        p.want_fan()

    def bring_back(self) -> None:
        """Go on in a new world from where the old one was lost, where that is known."""
        p = self._parts
        episode = p.keeper.episode
        if episode is not None and p.world.boundary_state is not None and not episode.is_cut_short:
            # The world was lost between two chunks.
            p.world.bring_back()
        elif episode is not None and not p.world.is_real:
            # Nobody knows the state it was left in, so nothing may continue from here.
            episode.is_cut_short = True

    # --- hold and back -----------------------------------------------------------------------------------------------

    def resume(self, epoch: int) -> None:
        """Let whoever drives continue under a mandate of this epoch, at once or when the moving chunk has ended."""
        p = self._parts
        if p.motion.is_ending_episode:
            p.status.refuse("The episode is being ended")
        elif p.motion.chunk is not None and p.status.phase is Phase.HOLD:
            p.motion.then = Deferred(ev.Resume(), epoch)
        elif refusal := self._why_not_resume():
            p.status.refuse(refusal)
        else:
            p.keeper.retry()
            p.status.error, p.arbiter.mandate, p.motion.unattended = None, epoch, 0
            p.status.go(Event.RESUMED)
            if p.world.observation is not None and p.world.observation.is_whole:
                p.world.look = p.world.observation
            p.want_fan()

    def _why_not_resume(self) -> str | None:
        p = self._parts
        if p.status.phase is Phase.FAULT:
            return "Reconnect first"
        if p.status.phase is not Phase.HOLD:
            return "Nothing to resume: the session does not hold"
        if p.world.spec is None or p.fans.spec is None:
            return f"The {'world' if p.world.spec is None else 'policy'} is still starting"
        if p.keeper.episode is None or p.keeper.closing is not None:
            return "Start an episode first"
        if p.keeper.episode.is_cut_short:
            return "The world was lost in mid-chunk. Go back one chunk, or end the episode"
        return "The scene is still being set" if p.world.change is not None else None

    def go_back(self, epoch: int) -> None:
        """Go back to where the moving or the last chunk began."""
        p = self._parts
        episode, chunk = p.keeper.episode, p.motion.chunk
        if p.motion.is_ending_episode:
            p.status.refuse("The episode is being ended")
        elif chunk is not None and chunk.state is None:
            p.status.refuse("Going back one chunk works only in simulation")
        elif chunk is not None:
            p.stop_to(ev.BackOneChunk(), epoch)
        elif episode is None or p.keeper.closing is not None or p.status.phase is Phase.FAULT:
            p.status.refuse("No episode is running" if episode is None else "Reconnect first")
        elif p.world.spec is None:
            p.status.refuse("The world is still starting")
        elif not episode.line:
            p.status.refuse("This is the start of the episode")
        elif (state := episode.line[-1].state) is None:
            p.status.refuse("Going back one chunk works only in simulation")
        elif p.world.change is not None:
            p.status.refuse("The scene is still being set")
        elif not self._is_disk_too_slow():
            p.fans.forget()
            p.arbiter.let_go()
            p.world.restore(ev.BackOneChunk(), state, epoch)

    # --- end ---------------------------------------------------------------------------------------------------------

    def end(self, command: ev.EndEpisode, epoch: int) -> Deferred | None:
        """Have an episode labelled and kept; return what is to be done next.

        Args:
            command: the label.
            epoch: hold epoch it was asked for in; a later hold does not undo a label, but is kept beside it.
        """
        p = self._parts
        if p.keeper.episode is None:
            p.status.refuse("No episode is running")
        elif p.keeper.closing is not None:
            p.status.refuse("Already saving this episode")
        elif p.motion.chunk is not None:
            p.stop_to(command, epoch)
        elif p.keeper.throw_away(command):
            p.world.change = None
            p.status.note("The episode cannot be written to disk. The part that was written can be recovered")
            return self._close()
        else:
            last = self._last_state(command)
            # That the task looks done is no reason against the label.
            p.keeper.was_held = epoch != p.link.epoch and p.status.reason is not HoldReason.SUCCESS_SEEN
            p.world.change = None
            p.rest(HoldReason.EPISODE_END, "Keeping the episode" if p.keeper.is_recording else "")
            if p.keeper.label(command, last=last):
                return self._close()
        return None

    def _last_state(self, command: ev.EndEpisode) -> LastState | None:
        """Return what the policy sees where the episode ends, if the fan of that place is there; nothing comes after a success."""
        p = self._parts
        fan, episode = p.fans.fan, p.keeper.episode
        if command.outcome is not Outcome.FAILURE or fan is None or not p.fans.is_fresh or episode is None:
            return None
        if not episode.line or episode.is_cut_short:
            return None
        return LastState(
            fan.features, tuple(c.label for c in fan.candidates), np.stack([c.noise for c in fan.candidates])
        )

    def written(self, job: WriteJob, answer: Answer) -> Deferred | None:
        """Take note of what the recorder has done; return what is to be done next."""
        p = self._parts
        is_labelled = p.keeper.is_labelled_by(job, answer)
        if answer.error is not None:
            p.status.error = answer.error
            p.hold(HoldReason.DISK, str(answer.error) or type(answer.error).__name__)
        return self._close() if is_labelled else None

    def abandon(self) -> None:
        """Leave the open episode unfinished, to be recovered, and be ready for another one."""
        p = self._parts
        p.link.hold()
        p.arbiter.let_go()
        p.keeper.abandon()
        p.motion.forget()
        p.world.change = p.arbiter.mandate = None

    def _close(self) -> Deferred | None:
        """Forget the episode that is labelled and kept; a start that waited for it is next."""
        p = self._parts
        p.keeper.close()
        p.world.instruction = None
        p.status.end()
        return self.start_waiting()

    def _is_disk_too_slow(self) -> bool:
        """Hold and say so when the write queue has no room for what is asked."""
        p = self._parts
        sentence = p.keeper.backlog
        if sentence is not None:
            p.hold(HoldReason.DISK, sentence)
            p.status.refuse(sentence)
        return sentence is not None
