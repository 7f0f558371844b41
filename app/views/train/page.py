"""The Train layout: choose episodes, train, compare, use. GUI thread; training runs in its own process."""

import datetime
import math
import threading
from collections.abc import Callable
from pathlib import Path

from app.boxes import Column, Row
from app.facts import Facts
from app.qt import Qt, QtCore, QtWidgets
from app.versions import Versions
from app.views.page import LayoutPage
from app.views.train.card import BeforeAfter
from app.views.train.chooser import EpisodeChooser
from app.views.train.compare import Comparison, compare
from app.views.train.curve import Curve
from app.views.train.learner_menu import LearnerMenu
from app.views.train.learning_on import LearningOn
from app.views.train.saved import SavedPane
from app.views.widgets import ActionButton, captioned, label, panel
from app.workers import Job
from frs_core.counts import counted
from frs_core.devices.intent import InputMap
from frs_core.episodes import EpisodeInfo
from frs_core.events import LoadNoisePolicy, SessionCommand, Snapshot
from frs_core.learning import Acts, JobState, Progress, TrainJob, TrainRequest, TrainResult, find_learner
from frs_core.policies import NamedPolicy

POLL_MS = 120


class TrainPage(LayoutPage):
    """The page of the Train layout.

    Args:
        run: runs an action by id.
        facts: of this run.
        versions: learn on from successes.
        send: where session commands go.
        say: shows a toast (text, tone, action).
    """

    def __init__(
        self,
        run: Callable[[str], object],
        facts: Facts,
        versions: Versions,
        *,
        send: Callable[[SessionCommand], object],
        say: Callable[..., None],
    ) -> None:
        super().__init__()
        self._facts, self._send, self._say = facts, send, say
        self.job: TrainJob | None = None
        self.result: TrainResult | None = None
        self._compare_job: Job | None = None
        self._compare_stop = threading.Event()
        self._is_dirty = True
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._poll)
        self.chooser = EpisodeChooser(run, facts, say=say)
        self.saved = SavedPane(run, facts, say=say)
        self.learning_on = LearningOn(run, versions)
        self._build(run)
        self.handlers: dict[str, Callable[[], object]] = {
            "train.start": self.start,
            "train.stop": self.stop,
            "train.use": self.use,
            "train.unload": lambda: self._use_path(None),
            "train.successes": self._tick_successes,
            "train.evaluate": self.compare,
        }
        self.chooser.changed.connect(self._show_buttons)
        self.saved.changed.connect(self._show_buttons)

    # --- building -----------------------------------------------------------------------------------

    def _build(self, run: Callable[[str], object]) -> None:
        self.name = QtWidgets.QLineEdit()
        self.name.setPlaceholderText("automatic")
        self.learner = LearnerMenu(self._facts)
        self.start_button = ActionButton("train.start", run, role="primary")
        self.stop_button = ActionButton("train.stop", run, text="Stop and keep best")
        self.compare_button = ActionButton("train.evaluate", run)
        self.episodes = QtWidgets.QSpinBox()
        self.episodes.setRange(1, 200)
        self.episodes.setValue(10)
        self.episodes.setSuffix(" fresh episodes")
        self.episodes.valueChanged.connect(
            lambda n: self.episodes.setSuffix(counted(n, " fresh episode").removeprefix(f"{n} "))
        )
        self.progress = QtWidgets.QProgressBar()
        self.progress.setTextVisible(True)
        self.progress.setFormat("not training")
        self.progress.setRange(0, 100)
        self.progress.setValue(0)
        self.curve, self.card = Curve(), BeforeAfter()
        self._lay_out()
        self._show_buttons()

    def _lay_out(self) -> None:
        left = Column()
        left.addWidget(label("1  Episodes", "title"))
        left.addWidget(self.chooser, 1)
        middle = Column()
        middle.addWidget(label("2  Train", "title"))
        row = Row()
        row.addLayout(captioned("learner", self.learner))
        row.addLayout(captioned("name", self.name), 1)
        middle.addLayout(row)
        buttons = Row()
        buttons.addWidget(self.start_button)
        buttons.addWidget(self.stop_button)
        buttons.addStretch(1)
        middle.addLayout(buttons)
        middle.addWidget(self.progress)
        middle.addWidget(self.curve, 1)
        middle.addWidget(self.card)
        again = Row()
        again.addWidget(self.episodes)
        again.addWidget(self.compare_button)
        again.addStretch(1)
        middle.addLayout(again)
        right = Column()
        right.addWidget(label("3  Use", "title"))
        right.addWidget(self.saved, 1)
        right.addWidget(self.learning_on)
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
        for button in (self.start_button, self.stop_button, self.compare_button):
            button.use_map(inputs)
        self.chooser.use_map(inputs)
        self.saved.use_map(inputs)
        self.learning_on.use_map(inputs)

    def use_theme(self) -> None:
        """Use the current colours."""
        self.curve.use_theme()

    def use_facts(self) -> None:
        """Use the policy's fingerprint once it is known, and update what can be trained."""
        self.chooser.model.fingerprint = self._facts.fingerprint
        self.learner.show_rows()
        self.learning_on.show_now()
        self.note_changed_on_disk()

    def set_active(self, is_active: bool) -> None:
        """Reload the lists when shown."""
        if is_active and self._is_dirty:
            self._refresh()
        if is_active:
            self.saved.read()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show which noise policy is in the fan."""
        self.saved.show_in_use(snapshot.noise_policy)

    def note_changed_on_disk(self) -> None:
        """Reload the list now, or when shown next."""
        self._is_dirty = True
        if self.isVisible():
            self._refresh()

    def reset_layout(self) -> None:
        """Reset the sizes of all panes."""
        self.main.setSizes([330, 560, 390])

    def shut(self) -> None:
        """Stop timers, training and comparison."""
        self._timer.stop()
        self._compare_stop.set()
        if self.job is not None:
            self.job.close()
        self.chooser.library.close()
        super().shut()

    def _refresh(self) -> None:
        self._is_dirty = False
        self.chooser.library.refresh()

    # --- training -------------------------------------------------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether a trainer runs."""
        return self.job is not None and self.job.state is JobState.RUNNING

    def _tick_successes(self) -> None:
        self.chooser.model.tick_successes()
        ticked = len(self.chooser.model.ticked)
        self._say(f"{counted(ticked, 'success', 'successes')} of this policy ticked", "info")

    def start(self) -> None:
        """Train the chosen learner on the ticked episodes."""
        ticked, root = self.chooser.model.ticked, self.saved.root
        if self.is_training:
            self._say("Training is already running", "warn")
            return
        if not ticked or root is None or self._facts.root is None:
            self._say("Tick at least one episode to train on", "warn")
            return
        name = self.name.text().strip() or self._default_name(ticked)
        tasks = {i.task for i in ticked}
        request = TrainRequest(
            kind=self.learner.chosen,
            root=self._facts.root,
            episodes=tuple(i.name for i in ticked),
            out=root / folder_name(name),
            fingerprint=self._facts.fingerprint,
            name=name,
            task=next(iter(tasks)) if len(tasks) == 1 else None,
            policy=self._facts.generalist or NamedPolicy(self._facts.policy),
        )
        if request.out.exists():
            self._say(f"'{name}' already exists; choose another name", "warn")
            return
        self.job = TrainJob(request)
        self.job.start()
        self.result = None
        self.curve.start()
        self.progress.setRange(0, 0)
        self.progress.setFormat("loading")
        self._timer.start(POLL_MS)
        self._show_buttons()

    def stop(self) -> None:
        """Stop and keep the best."""
        if self.is_training and self.job is not None:
            self.job.cancel()
            self.progress.setFormat("stopping and keeping the best")
        self._compare_stop.set()

    def _poll(self) -> None:
        if self.job is None:
            return
        for report in self.job.poll():
            self._show_progress(report)
        if self.job.state is JobState.DONE and self.job.result is not None:
            self._on_done(self.job.result)
        elif self.job.state is JobState.FAILED:
            self._end("failed")
            self._say(str(self.job.error).replace(" with `frs episodes bin`", ""), "bad", ("Train again", self.start))
            # What turns out to be damaged loses its tick.
            self.chooser.library.inspect(self.chooser.model.ticked)

    def _show_progress(self, report: Progress) -> None:
        self.curve.add(report)
        self.progress.setRange(0, max(1, report.steps))
        self.progress.setValue(report.step)
        left = f", {report.seconds_left:.0f} s left" if math.isfinite(report.seconds_left) else ""
        self.progress.setFormat(f"{report.stage}{left}")

    def _on_done(self, result: TrainResult) -> None:
        self.result = result
        self._end(f"done in {result.seconds:.0f} s")
        self.card.show_result(result)
        self.name.clear()
        self.saved.read(choose=result.path)
        joins_fan = find_learner(result.kind).acts is Acts.NOISE
        action = (("★ Use it", lambda: self._use_path(result.path)),) if joins_fan else ()
        self._say(f"{result.name} is trained", "good", *action)

    def _end(self, text: str) -> None:
        self._timer.stop()
        self.progress.setRange(0, 100)
        self.progress.setValue(100 if self.result else 0)
        self.progress.setFormat(text)
        if self.job is not None:
            self.job.close()
        self._show_buttons()

    def _default_name(self, ticked: list[EpisodeInfo]) -> str:
        tasks = {i.task for i in ticked}
        head = (next(iter(tasks)) or "task").replace("_", "-") if len(tasks) == 1 else "several-tasks"
        return f"{head}-{len(ticked)}-{datetime.datetime.now().strftime('%H%M%S')}"

    # --- using ----------------------------------------------------------------------------------------

    def use(self) -> None:
        """Add the selected (or newly trained) policy to the fan."""
        path, kind = self._chosen()
        if path is None:
            self._say("Choose a saved policy first", "warn")
            return
        if find_learner(kind).acts is not Acts.NOISE:
            self._say(f"{find_learner(kind).title} produces actions, not noise, so it cannot join the fan", "warn")
            return
        self._use_path(path)

    def _chosen(self) -> tuple[Path | None, str]:
        """Return folder and learner of the selected (or newly trained) policy."""
        path = self.saved.list.chosen()
        if path is not None:
            return path, self.saved.list.chosen_kind()
        return (self.result.path, self.result.kind) if self.result is not None else (None, "")

    def _use_path(self, path: Path | None) -> None:
        self._send(LoadNoisePolicy(str(path) if path is not None else None))

    def compare(self) -> None:
        """Run fresh episodes with and without the chosen policy."""
        path, kind = self._chosen()
        policy = self._facts.generalist
        if not self._facts.can_evaluate or policy is None or path is None:
            self._say("Comparing needs a simulated world and a saved policy", "warn")
            return
        if self._compare_job is not None and self._compare_job.is_running:
            self._say("A comparison is already running", "warn")
            return
        task = self.chooser.task or (self.job.request.task if self.job else None) or self._facts.tasks[0]
        self._compare_stop.clear()
        episodes = self.episodes.value()

        def work(report: Callable[[object], None]) -> Comparison:
            return compare(
                path,
                method=kind,
                world=self._facts.world,
                world_options=self._facts.world_options,
                policy=policy,
                task=task,
                episodes=episodes,
                report=report,
                is_stopped=self._compare_stop.is_set,
            )

        self._compare_job = Job(work, self)
        self._compare_job.progressed.connect(self._on_compared)
        self._compare_job.finished.connect(self._on_compare_done)
        self._compare_job.failed.connect(self._on_compare_failed)
        self._compare_job.start()
        self.progress.setRange(0, 0)
        self.progress.setFormat(f"comparing on {task.replace('_', ' ')}")
        self._show_buttons()

    def _on_compared(self, comparison: Comparison) -> None:
        self.card.show_success(comparison.before, comparison.after)
        self.progress.setRange(0, comparison.total)
        self.progress.setValue(comparison.done)
        self.progress.setFormat(
            f"comparing, {comparison.done} of {comparison.total}, {comparison.seconds_left:.0f} s left"
        )

    def _on_compare_done(self, comparison: Comparison) -> None:
        self.card.show_success(comparison.before, comparison.after)
        self.progress.setRange(0, 100)
        self.progress.setValue(100)
        self.progress.setFormat("comparison done")
        self._show_buttons()

    def _on_compare_failed(self, error: Exception) -> None:
        self.progress.setRange(0, 100)
        self.progress.setValue(0)
        self.progress.setFormat("comparison failed")
        self._say(str(error), "bad")
        self._show_buttons()

    def _show_buttons(self) -> None:
        is_comparing = self._compare_job is not None and self._compare_job.is_running
        has_policy = self.saved.list.chosen() is not None or self.result is not None
        self.start_button.setEnabled(bool(self.chooser.model.ticked) and not self.is_training)
        self.stop_button.setEnabled(self.is_training or is_comparing)
        self.saved.use_button.setEnabled(has_policy)
        self.saved.unload_button.setEnabled(self.saved.in_use is not None)
        self.compare_button.setEnabled(has_policy and self._facts.can_evaluate and not is_comparing)


def folder_name(name: str) -> str:
    """Return a name that is safe as a folder."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in name.lower())
    return kept.strip("-") or "policy"
