"""The Practise layout: choose, practise, use the best. GUI thread; practice runs in processes of its own.

In the background, actors drive worlds of their own. In Drive, and always on a robot, a person starts every attempt (`attempts`).
"""

from collections.abc import Callable
from pathlib import Path

from app.boxes import Column, Row
from app.facts import Facts
from app.names import practice_name
from app.qt import Qt, QtGui, QtWidgets
from app.views.page import LayoutPage
from app.views.practise.attempt_labels import AttemptLabels
from app.views.practise.attempts import Attempts
from app.views.practise.budget import budget_in_words, continued, is_attended, rest_in_words
from app.views.practise.live import LivePane
from app.views.practise.practices import PracticesList, learner_title
from app.views.practise.running import Running
from app.views.practise.setup import SetupPane
from app.views.practise.start import (
    Prior,
    Problem,
    caution,
    new_folder,
    new_request,
    policy_folder,
    prior_of,
    tasks_of,
    why_not,
    why_not_attended,
    why_not_continued,
    why_not_from,
)
from app.views.practise.versions import VersionsPane
from app.views.practise.words import place_in_words, problem_of, record_in_words, start_in_words, success_in_words
from app.views.review.library import Library
from app.views.widgets import ActionButton, label, panel
from app.workers import Job
from frs_core.counts import counted
from frs_core.devices.intent import InputMap
from frs_core.episodes import EpisodeInfo
from frs_core.evaluation.practice_job import PracticeJob, PracticeNews
from frs_core.events import LoadNoisePolicy, SessionCommand, Snapshot
from frs_core.learning import Acts, JobState, LearnerSpec, Practice, TrainRequest, find_learner, learners
from frs_core.learning.practice_log import Point
from frs_core.learning.practice_record import PracticeRecord, branch, can_branch, request_of
from frs_core.steering.policy_spec import PolicySpec


class PractisePage(LayoutPage):
    """The page of the Practise layout.

    Args:
        run: runs an action by id.
        facts: of this run.
        undo: where the labels of attempts go.
        send: where session commands go.
        say: shows a toast (text, tone, action).
    """

    def __init__(
        self,
        run: Callable[[str], object],
        facts: Facts,
        undo: QtGui.QUndoStack,
        *,
        send: Callable[[SessionCommand], object],
        say: Callable[..., None],
    ) -> None:
        super().__init__()
        self._run, self._facts, self._send, self._say = run, facts, send, say
        self._infos: tuple[EpisodeInfo, ...] = ()
        self._failure: Problem | None = None
        self._versions_heard = 0
        self._has_chosen = False
        self._going_back: Job | None = None
        self.library = Library(facts.root, self)
        self.attempts = Attempts(facts, send, self)
        self.running = Running(self.attempts, AttemptLabels(undo, self.library, say=say), self)
        self.running.heard.connect(self._on_heard)
        self.running.ended.connect(self._on_ended)
        self.library.listed.connect(self._on_episodes)
        self.library.failed.connect(lambda text: say(text, "bad"))
        self.setup = SetupPane(run)
        self.practices = PracticesList(facts.root)
        self.new_button = ActionButton("practise.new", run)
        self.live = LivePane()
        self.versions = VersionsPane(run, say=say)
        self._lay_out()
        self.handlers: dict[str, Callable[[], object]] = {
            "practise.start": self.start,
            "practise.stop": self.stop,
            "practise.new": self.begin_new,
            "practise.next": lambda: step(self.practices, 1),
            "practise.previous": lambda: step(self.practices, -1),
            "practise.older": lambda: self._step_version(1, "There is no older version"),
            "practise.newer": lambda: self._step_version(-1, "There is no newer version"),
            "practise.back": self.go_back,
            "practise.use": self.use,
            "practise.unload": self.unload,
        }
        self.setup.changed.connect(self._on_choice)
        self.practices.chosen_changed.connect(self._on_chosen)
        self.practices.listed.connect(self._on_listed)
        self.practices.failed.connect(lambda text: say(text, "bad"))
        self.versions.changed.connect(self._show_buttons)
        self.use_facts()

    # --- building -----------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        left = Column()
        left.addWidget(label("1  Choose", "title"))
        left.addWidget(self.setup)
        head = Row()
        head.addWidget(label("Practices so far"))
        head.addStretch(1)
        head.addWidget(self.new_button)
        left.addLayout(head)
        left.addWidget(self.practices, 1)
        middle = Column()
        middle.addWidget(label("2  Practise", "title"))
        middle.addWidget(self.live, 1)
        right = Column()
        right.addWidget(label("3  Use", "title"))
        right.addWidget(self.versions, 1)
        self.main = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        for layout in (left, middle, right):
            self.main.addWidget(panel(layout))
        self.main.setChildrenCollapsible(False)
        self.reset_layout()
        outer = Column(self, margins=(6, 4, 6, 6))
        outer.addWidget(self.main)

    # --- hooks ----------------------------------------------------------------------------------------

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.setup.use_map(inputs)
        self.versions.use_map(inputs)
        self.new_button.use_map(inputs)

    def use_theme(self) -> None:
        """Use the current colours."""
        self.live.use_theme()

    def use_facts(self) -> None:
        """Use what is known of world and policy by now."""
        self._rows: tuple[LearnerSpec, ...] = tuple(row for row in learners().values() if row.practises)
        self.setup.show_learners(self._rows)
        if not self._facts.is_simulated:
            self.setup.only_attended()
        self._show_tasks()
        self._show()

    def set_active(self, is_active: bool) -> None:
        """Reload the lists when shown."""
        if is_active:
            self._refresh()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show which noise policy is in the fan, and follow an attempt."""
        if not self.attempts.is_on:
            self.versions.show_in_use(snapshot.noise_policy)
        self.attempts.take(snapshot)

    def note_changed_on_disk(self) -> None:
        """Count the episodes again."""
        if self.isVisible():
            self._refresh()

    def reset_layout(self) -> None:
        """Reset the sizes of all panes."""
        self.main.setSizes([365, 515, 390])

    def shut(self) -> None:
        """Stop timers and practice; what was practised is kept, and the next run of the cockpit can continue it."""
        self.running.shut()
        self.library.close()
        super().shut()

    def _refresh(self) -> None:
        self.library.refresh()
        if not self.is_practising:
            self.practices.read()

    # --- what is chosen -----------------------------------------------------------------------------------

    @property
    def is_practising(self) -> bool:
        """Whether a practice runs."""
        return self.running.is_on

    @property
    def record(self) -> PracticeRecord | None:
        """The practice that is shown; None = a new one is being set up."""
        return self.practices.chosen

    @property
    def prior(self) -> Prior:
        """Recorded episodes that a new practice would start from."""
        return prior_of(self._infos, self.setup.chosen_task, fingerprint=self._facts.fingerprint)

    @property
    def is_attended(self) -> bool:
        """Whether a person starts the attempts of the shown practice, in Drive."""
        if not self._facts.is_simulated:
            return True
        return self.setup.is_attended if self.record is None else is_attended(self.record.practice)

    @property
    def problem(self) -> Problem | None:
        """What keeps the shown practice from starting or continuing; None = nothing."""
        record = self.record
        has_tasks = record is not None or self.setup.task.count() > 0
        problem = why_not(self._facts, self._rows, is_attended=self.is_attended, has_tasks=has_tasks)
        if problem is not None:
            return problem
        if record is None:
            row = self._row(self.setup.chosen_learner)
            if row is None:
                return None
            return (why_not_attended(row) if self.is_attended else None) or why_not_from(row, self.prior)
        return why_not_continued(record, self._facts, self._row(record.learner), is_attended=self.is_attended)

    def _row(self, kind: str) -> LearnerSpec | None:
        return next((row for row in self._rows if row.id == kind), None)

    def begin_new(self) -> None:
        """Set up a new practice."""
        if self.is_practising:
            self._say("A practice is running; stop it first", "warn")
            return
        self._has_chosen, self._failure = True, None
        self.practices.choose(None)
        self._show()

    def _on_episodes(self, listed: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
        self._infos, _ = listed
        self._show_tasks()
        self._show()

    def _show_tasks(self) -> None:
        """Offer the world's tasks, those with most successes first."""
        facts = self._facts
        titles = {task: facts.title_of(task) for task in tasks_of(facts, self._infos)}
        self.setup.show_tasks(titles, are_sentences=bool(facts.titles))

    def _on_listed(self) -> None:
        """Once, show the practice that is not finished, so that it can be continued."""
        records = self.practices.records
        if not self._has_chosen and records and not records[0].is_finished and not records[0].problem:
            self.practices.choose(records[0].folder)
        self._has_chosen = True

    def _on_choice(self) -> None:
        self._failure = None
        self._show()

    def _on_chosen(self) -> None:
        if self.is_practising:
            return
        record = self.record
        if record is not None and not self._is_of_job(record):
            self._failure = None
        if record is not None:
            self.setup.choose(record.task, record.learner)
        self._show()

    # --- display ------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Show the chosen practice, or the one that runs."""
        if self.is_practising:
            self._show_buttons()
            return
        record, row = self.record, self._row(self.setup.chosen_learner)
        if record is None:
            self.setup.prior.setText(start_in_words(row, self.prior))
            self.setup.note.setText(caution(row, self.prior) if row is not None else "")
            self.live.clear(place_in_words(is_attended=self.is_attended, resets_itself=self._facts.resets_itself))
            self.versions.show_versions(None, ())
        else:
            self.setup.prior.setText(f"Started from {counted(len(record.prior), 'recorded episode')}")
            self.setup.note.setText("" if record.problem else rest_in_words(record, self.setup.budget))
            self.live.show_record(record, record_in_words(record))
            self.versions.show_versions(record.folder, record.curve)
        if record is None or not self._is_of_job(record):
            self.live.forget_attempt()
        self._show_buttons()

    def _is_of_job(self, record: PracticeRecord) -> bool:
        job = self.running.job
        return job is not None and job.folder == record.folder

    def _show_buttons(self) -> None:
        is_running, record, problem = self.is_practising, self.record, self.problem
        shown = None if is_running else (self._failure or problem)
        self.setup.problem.show_problem(shown)
        # The same button beside the sentence is enough.
        self.new_button.setVisible(shown is None or shown.action != self.new_button.action)
        self.setup.set_choosable(record is None and not is_running)
        self.setup.start_button.setText("▶ Practise" if record is None else "▶ Continue")
        self.setup.start_button.setEnabled(not is_running and problem is None)
        self.setup.stop_button.setEnabled(is_running and not self.running.is_stopping)
        self.setup.budget_choice.setEnabled(not is_running and (record is None or record.is_finished))
        self.practices.setEnabled(not is_running)
        self.new_button.setEnabled(not is_running and record is not None)
        self.versions.use_button.setEnabled(self.versions.chosen is not None and not self.attempts.is_on)
        self.versions.unload_button.setEnabled(self.versions.in_use is not None and not self.attempts.is_on)
        self.versions.back_button.setEnabled(self._earlier is not None)

    # --- practising ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a new practice, or continue the one that is shown."""
        problem, root, record = self.problem, self._facts.root, self.record
        if self.is_practising or problem is not None or root is None:
            self._say(problem.text if problem is not None else "A practice is already running", "warn")
            return
        if self.is_attended and (reason := self.attempts.why_not_begin()):
            self._say(reason, "warn")
            return
        spec, budget = self._facts.policy_spec if self.is_attended else None, self.setup.budget
        if record is not None:
            record = continued(record, budget)
            folder = record.folder
            request = request_of(
                record,
                root=root,
                out=policy_folder(root, folder),
                name=practice_name(folder),
                policy=self._facts.generalist,
            )
        else:
            row, task = find_learner(self.setup.chosen_learner), self.setup.chosen_task
            folder = new_folder(root, task, row.id)
            request = new_request(
                self._facts, row, task, self.prior, budget=budget, folder=folder, is_attended=self.is_attended
            )
        self._begin(request, folder, spec)

    def _begin(self, request: TrainRequest, folder: Path, spec: PolicySpec | None) -> None:
        practice = request.practice or Practice()
        self._failure, self._versions_heard, self._has_chosen = None, -1, True
        self.running.begin(request, folder, spec)
        self.setup.note.setText(
            f"Runs for {budget_in_words(practice)} in total; closing the window stops it, and it can continue"
        )
        self.live.stage.setText("Getting ready")
        self._show_buttons()
        if spec is not None:
            self._run("layout.drive")

    def stop(self) -> None:
        """Stop after the attempt in progress and keep the best version."""
        if not self.is_practising:
            self._say("No practice is running", "warn")
            return
        self.running.stop()
        self.live.stage.setText(self._stopping_words)
        self._show_buttons()

    @property
    def _stopping_words(self) -> str:
        return "Stopping after the attempt in progress; everything so far is kept" if self.running.is_stopping else ""

    def _on_heard(self, news: PracticeNews) -> None:
        job = self.running.job
        assert job is not None
        if len(news.curve) != self._versions_heard:
            self._versions_heard = len(news.curve)
            self.practices.read(choose=job.folder)
        self.live.show_news(news, job.request.practice or Practice(), words=self._stopping_words)
        self.versions.show_versions(job.folder, news.curve)

    def _on_ended(self, job: PracticeJob) -> None:
        self.live.stage.setText("Stopped")
        self.practices.read(choose=job.folder)
        result = job.result
        if job.state is JobState.FAILED or result is None:
            self._failure = problem_of(job.error)
            self._say(self._failure.text, "bad")
        elif result.was_stopped:
            self._say(f"Stopped; {practice_name(job.folder)} can continue where it is", "info")
        elif (best := result.record.best) is not None:
            action = (("★ Use it", self.use),) if find_learner(job.request.kind).acts is Acts.NOISE else ()
            done = success_in_words(best, result.record.attempts)
            self._say(f"{practice_name(job.folder)} is done: {done}", "good", *action)
        self._show_buttons()

    def _step_version(self, by: int, otherwise: str) -> None:
        if not step(self.versions.list, by):
            self._say(otherwise, "info")

    # --- using --------------------------------------------------------------------------------------------

    def use(self) -> None:
        """Add the selected version to the fan."""
        path, kind = self.versions.chosen, self._kind
        if self.attempts.is_on:
            self._say("The practice in Drive decides what is in the fan; stop it first", "warn")
            return
        if path is None:
            self._say("Choose a version first", "warn")
            return
        if kind and find_learner(kind).acts is not Acts.NOISE:
            self._say(f"{learner_title(kind)} produces actions, not noise, so it cannot join the fan", "warn")
            return
        self._send(LoadNoisePolicy(str(path)))

    def unload(self) -> None:
        """Remove the learned candidate from the fan."""
        if self.attempts.is_on:
            self._say("The practice in Drive decides what is in the fan; stop it first", "warn")
            return
        self._send(LoadNoisePolicy(None))

    @property
    def _earlier(self) -> Point | None:
        """The selected version, if practice can go back to it."""
        record, point = self.record, self.versions.chosen_point
        if self.is_practising or record is None or point is None or not can_branch(record, point):
            return None
        return point if point.episodes < len(record.attempts) else None

    def go_back(self) -> None:
        """Make a practice that continues from the selected version, and show it."""
        record, point, root = self.record, self._earlier, self._facts.root
        if record is None or point is None or root is None:
            self._say("Choose an earlier version of a practice that is not running", "warn")
            return
        if self._going_back is not None and self._going_back.is_running:
            return
        folder = new_folder(root, record.task, record.learner)
        self._going_back = job = Job(lambda _report: branch(record, point, folder), self)
        job.finished.connect(self._on_gone_back)
        job.failed.connect(lambda error: self._say(str(error), "bad"))
        job.start()

    def _on_gone_back(self, folder: Path) -> None:
        self._say(f"{practice_name(folder)} continues from there; the earlier practice is unchanged", "good")
        self.practices.read(choose=folder)

    @property
    def _kind(self) -> str:
        job = self.running.job
        if self.is_practising and job is not None:
            return job.request.kind
        return self.record.learner if self.record is not None else ""


def step(rows: QtWidgets.QTreeWidget, by: int) -> bool:
    """Select the row after the selected one, or before it, or the first where none is; return whether there is such a row."""
    if not rows.isEnabled():
        return False
    at = rows.indexOfTopLevelItem(rows.selectedItems()[0]) + by if rows.selectedItems() else 0
    item = rows.topLevelItem(at)
    if item is not None:
        rows.setCurrentItem(item)
    return item is not None
