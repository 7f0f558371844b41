"""Episodes of a session: begin them, record what is executed, go back, label and keep them.

A record is handed to the `RecordLine`, which loses none. Ending or undoing while a chunk moves first stops the chunk, records
the rows that were executed, and then does what was asked.
"""

from frs_core import events as ev
from frs_core.events import HoldReason, Outcome, Phase
from frs_core.robot.observation import Observation
from frs_core.runtime.workers import Answer
from frs_core.session.checks import meta_of
from frs_core.session.core import RESTING, SessionCore
from frs_core.session.running import RunningEpisode
from frs_core.session.table import Event
from frs_core.session.writing import WriteJob
from frs_core.worlds import link as wl

START_S = 2.0
"""How long a start on a robot may wait for world, policy or disk, seconds; as long as the bridge lets a reset's token live."""


class EpisodeKeeping(SessionCore):
    """The layer of episodes."""

    # --- start -------------------------------------------------------------------------------------------------------

    def _start_episode(self, order: ev.StartEpisode, epoch: int) -> None:
        episode = self.episode
        if self.phase is Phase.FAULT:
            self._refuse("Reconnect first")
        elif self._closing is not None or self.world_spec is None or self._desk.spec is None:
            self._start_waiting = (order, epoch, self._clock())
        elif self._running is not None or (episode is not None and episode.line and episode.is_recording):
            self._refuse("Label or discard the running episode first")
        elif self._is_disk_too_slow():
            return
        else:
            if episode is not None:
                self._write("end", lambda r: r.end(Outcome.DISCARDED))
            self.episode = self.error = None
            self._rest(HoldReason.START, "Setting the scene")
            ticket = self._set_scene(order, epoch)
            self.link.reset(ticket, task=order.task, seed=order.seed, epoch=epoch)

    def _begin(self, order: ev.StartEpisode, observation: Observation) -> None:
        """Open the episode whose first observation has just arrived."""
        assert self.world_spec is not None
        assert self._desk.spec is not None
        self.counters["episodes"] += 1
        self.episode = RunningEpisode(
            order,
            self.counters["episodes"],
            observation.instruction,
            is_recording=self._line is not None and not order.practice,
            trail=[observation.p_tcp.copy()],
        )
        meta = meta_of(
            self.world_spec,
            self._desk.spec,
            observation,
            order=order,
            plan=self.plan,
            operator=self.options.operator,
            noise_policy=self._desk.noise_policy,
        )
        self._write("begin", lambda r: r.begin(meta))
        self._helm.begin(observation)

    def _start_now(self) -> None:
        waiting, self._start_waiting = self._start_waiting, None
        if waiting is None:
            return
        order, epoch, since = waiting
        is_real = self.world_spec is not None and not self.world_spec.is_simulated
        if is_real and self._clock() - since > START_S:
            # By now somebody may be reaching for the table.
            self._note("Everything is ready. Start again: the arm will move to its start pose")
        else:
            self.handle(order, epoch)

    # --- chunks ------------------------------------------------------------------------------------------------------

    def _on_step(self, fact: wl.Stepped) -> None:
        running, episode = self._running, self.episode
        self.observation = observation = self._worded(fact.observation)
        if running is None or episode is None or fact.chunk_id != running.chunk_id:
            return
        running.add(fact, observation)
        episode.trail.append(observation.p_tcp.copy())
        episode.steps += 1
        self.counters["steps"] += 1
        episode.success_seen |= bool(observation.success)
        if observation.success and self.options.ends_on_success and self._after_chunk is None:
            self._stop_to(ev.EndEpisode(Outcome.SUCCESS), self.link.epoch)

    def _finish_chunk(self, state: bytes | None) -> None:
        """Record the chunk that has ended, wholly or in part, and go on."""
        running, episode = self._running, self.episode
        assert running is not None
        # A chunk of no rows ends where it began, whatever became of the world.
        self._running, self._state = None, state if running.steps else running.state
        if not running.steps and self.phase is Phase.MOVING and self._after_chunk is None:
            self._note(f"'{running.candidate.label}' was stopped before its first step. Pick again")
        if episode is not None and running.steps:
            parent = episode.parent
            index = episode.push(running.candidate.label, running.state, steps=len(running.steps))
            self.counters["chunks"] += 1
            if episode.is_recording:
                record = running.record(index=index, parent=parent)
                self._write("chunk", lambda r: r.chunk(record))
        self._go(Event.CHUNK_DONE)
        self._look = self.observation
        self._want_fan()
        then, self._after_chunk = self._after_chunk, None
        if then is None and episode is not None and self.chunk_limit and len(episode.line) >= self.chunk_limit[0]:
            then = (ev.EndEpisode(self.chunk_limit[1]), self.link.epoch)
        if then is not None:
            self.handle(*then)

    def _is_disk_too_slow(self) -> bool:
        """Hold and say so when the line has no room for what is asked."""
        sentence = self._line.backlog if self._line is not None else None
        if sentence is not None:
            self.hold(HoldReason.DISK, sentence)
            self._refuse(sentence)
        return sentence is not None

    def _on_written(self, job: WriteJob, answer: Answer) -> None:
        if answer.error is not None:
            self.error = answer.error
            if self._closing is not None and self._line is not None:
                # The operator says again how it ends once there is room; until then the episode is open.
                self._line.drop("end")
                self._closing = None
            self.hold(HoldReason.DISK, str(answer.error) or type(answer.error).__name__)
        elif job.name == "begin" and isinstance(answer.value, str) and self.episode is not None:
            self.episode.name = answer.value
        elif job.name == "end" and self._closing is not None:
            self._closed()

    # --- going back --------------------------------------------------------------------------------------------------

    def _undo(self, epoch: int) -> None:
        episode = self.episode
        if self._is_ending:
            self._refuse("The episode is being ended")
        elif self._running is not None and self._running.state is None:
            self._refuse("Undo works only in simulation")
        elif self._running is not None:
            self._stop_to(ev.UndoChunk(), epoch)
        elif episode is None or self._closing is not None or self.phase is Phase.FAULT:
            self._refuse("No episode is running" if episode is None else "Reconnect first")
        elif self.world_spec is None:
            self._refuse("The world is still starting")
        elif not episode.line:
            self._refuse("This is the start of the episode")
        elif (state := episode.line[-1].state) is None:
            self._refuse("Undo works only in simulation")
        elif self._scene is not None:
            self._refuse("The scene is still being set")
        elif not self._is_disk_too_slow():
            self._desk.forget()
            self._helm.let_go()
            self.link.restore(self._set_scene(ev.UndoChunk(), epoch), state, epoch=epoch)

    def _on_scene(self, fact: wl.SceneSet) -> None:
        change = self._scene
        if change is None or fact.ticket != change.ticket:
            return
        cause, self._scene, self._state = change.cause, None, fact.state
        if isinstance(cause, ev.StartEpisode):
            self._instruction = cause.instruction
        self.observation = self._look = self._worded(fact.observation)
        if isinstance(cause, ev.StartEpisode):
            self._begin(cause, self.observation)
            if change.epoch == self.link.epoch:
                self._mandate = change.epoch
                self._go(Event.SCENE_SET)
            # Else a hold came while the scene was set: the episode is there, and waits for Resume.
        elif isinstance(cause, ev.UndoChunk) and self.episode is not None:
            undone = self.episode.pop()
            self._write("undo", lambda r: r.undo(undone.index))
        self._want_fan()

    def _on_scene_refused(self, fact: wl.Refused) -> None:
        """The world is as it was; say why, and go on from there."""
        change = self._scene
        if change is None or fact.ticket != change.ticket:
            return
        self._scene = None
        if isinstance(change.cause, ev.Reconnect) and fact.is_stale:
            # The hold stands; the scene still has to be what the episode was left in.
            self._restore_scene()
            return
        self._note(fact.sentence)
        if isinstance(change.cause, ev.Reconnect) and self.episode is not None:
            self.episode.is_cut_short = True
        if self.phase is Phase.HOLD and self.reason in RESTING:
            self._rest(HoldReason.START, fact.sentence)
        self._want_fan()

    def _restore_scene(self) -> None:
        """Bring a new world's scene back to where the old one was lost, and wait for Resume; simulation only."""
        assert self._state is not None
        epoch = self.link.epoch
        self.link.restore(self._set_scene(ev.Reconnect(), epoch), self._state, epoch=epoch)

    # --- end ---------------------------------------------------------------------------------------------------------

    def _end_episode(self, command: ev.EndEpisode) -> None:
        if self.episode is None:
            self._refuse("No episode is running")
        elif self._closing is not None:
            self._refuse("Already saving this episode")
        elif self._running is not None:
            self._stop_to(command, self.link.epoch)
        elif command.outcome is Outcome.DISCARDED and self._line is not None and self._line.is_stuck:
            # The disk refuses this episode; throwing it away must not depend on the disk.
            self._line.abandon()
            self._scene, self._closing = None, command
            self._note("The disk refuses this episode. What of it was written is left to be recovered")
            self._closed()
        else:
            self._scene, self._closing = None, command
            self._rest(HoldReason.EPISODE_END, "Keeping the episode" if self.episode.is_recording else "")
            if self._line is None or not self.episode.is_recording:
                self._closed()
            else:
                self._line.drop("end")
                self._line.retry()
                self._write("end", lambda r: r.end(command.outcome, command.note))

    @property
    def _is_ending(self) -> bool:
        """The episode ends once the moving chunk has."""
        return self._after_chunk is not None and isinstance(self._after_chunk[0], ev.EndEpisode)

    def _closed(self) -> None:
        """Forget the episode that is labelled and kept."""
        assert self._closing is not None
        assert self.episode is not None
        self.episode.outcome = self._closing.outcome
        if self.options.is_headless:
            self.ended.append(self.episode)
        self.episode = self._closing = self._instruction = None
        self._go(Event.ENDED)
        if self.phase is Phase.HOLD:
            self.reason, self.detail = HoldReason.EPISODE_END, ""
        self._start_now()

    def abandon(self) -> None:
        """Leave the open episode unfinished, to be recovered, and be ready for another one."""
        self.link.hold()
        self._helm.let_go()
        if self._line is not None and self.episode is not None and self.episode.is_recording:
            self._line.abandon()
        self.episode = self._running = self._scene = self._closing = self._after_chunk = self._start_waiting = None
        self._mandate = None
