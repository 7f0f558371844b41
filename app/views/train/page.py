"""The Train layout: choose episodes, train, compare, use. GUI thread; training runs in its own process."""

import datetime
import math
import threading
from collections.abc import Callable
from pathlib import Path

from app.facts import Facts
from app.qt import Qt, QtCore, QtWidgets
from app.views.page import LayoutPage
from app.views.review.episode_list import EpisodeDelegate
from app.views.review.library import Library
from app.views.train.card import BeforeAfter
from app.views.train.chooser import TickModel
from app.views.train.compare import Comparison, compare
from app.views.train.curve import Curve
from app.views.train.saved import SavedList
from app.views.widgets import ActionButton, captioned, label, panel
from app.workers import Job
from frs_core.devices.intent import InputMap
from frs_core.episodes import EpisodeInfo
from frs_core.events import LoadNoisePolicy, SessionCommand, Snapshot
from frs_core.learning import JobState, Progress, Story, TrainJob, TrainKind, TrainRequest, TrainResult, list_saved

POLL_MS = 120
ALL_TASKS = "all tasks"


class TrainPage(LayoutPage):
    """From successes to a noise policy.

    Args:
        run: runs an action by id.
        facts: of this run.
        send: where session commands go.
        say: shows a toast (text, tone, action).
    """

    def __init__(
        self,
        run: Callable[[str], object],
        facts: Facts,
        *,
        send: Callable[[SessionCommand], object],
        say: Callable[..., None],
    ) -> None:
        super().__init__()
        self._facts, self._send, self._say = facts, send, say
        self.library = Library(facts.root)
        self.model = TickModel(facts.fingerprint)
        self.job: TrainJob | None = None
        self.result: TrainResult | None = None
        self._in_use: str | None = None
        self._compare_job: Job | None = None
        self._compare_stop = threading.Event()
        self._saved_job: Job | None = None
        self._must_read_again = False
        self._to_choose: Path | None = None
        self._is_dirty = True
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._build(run)
        self.handlers: dict[str, Callable[[], None]] = {
            "train.start": self.start,
            "train.stop": self.stop,
            "train.use": self.use,
            "train.unload": lambda: self._use_path(None),
            "train.successes": self.model.tick_successes,
            "train.evaluate": self.compare,
        }
        self.library.listed.connect(self._on_listed)
        self.library.thumbnail_made.connect(self.model.add_thumbnail)
        self.library.failed.connect(lambda text: say(text, "bad"))
        self.model.ticks_changed.connect(self._show_count)
        self._show_count()

    @property
    def learned_root(self) -> Path | None:
        """Folder of saved noise policies."""
        return self._facts.root / "learned" if self._facts.root is not None else None

    # --- building -----------------------------------------------------------------------------------

    def _build(self, run: Callable[[str], object]) -> None:
        self.list = QtWidgets.QListView()
        self.list.setModel(self.model)
        self.list.setItemDelegate(TickDelegate(self.list))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setAccessibleName("Episodes to learn from")
        self.list.clicked.connect(self.model.toggle)
        self.task = QtWidgets.QComboBox()
        self.task.addItem(ALL_TASKS)
        self.task.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.task.currentIndexChanged.connect(lambda _i: self.model.show_task(self.task.currentData()))
        self.count = label("", "value", wrap=True)
        self.name = QtWidgets.QLineEdit()
        self.name.setPlaceholderText("name of the noise policy")
        self.start_button = ActionButton("train.start", run, role="primary")
        self.stop_button = ActionButton("train.stop", run, text="Stop, keep the best")
        self.use_button = ActionButton("train.use", run, role="primary")
        self.unload_button = ActionButton("train.unload", run, text="Remove from the fan")
        self.compare_button = ActionButton("train.evaluate", run)
        self.successes_button = ActionButton("train.successes", run, text="All successes")
        self.episodes = QtWidgets.QSpinBox()
        self.episodes.setRange(1, 200)
        self.episodes.setValue(10)
        self.episodes.setSuffix(" fresh episodes")
        self.progress = QtWidgets.QProgressBar()
        self.progress.setTextVisible(True)
        self.progress.setFormat("not training")
        self.progress.setRange(0, 100)
        self.progress.setValue(0)
        self.curve, self.card, self.saved = Curve(), BeforeAfter(), SavedList()
        self.saved.itemSelectionChanged.connect(self._show_buttons)
        self._buttons = (
            self.start_button,
            self.stop_button,
            self.use_button,
            self.unload_button,
            self.compare_button,
            self.successes_button,
        )
        self._lay_out()
        self._show_buttons()

    def _lay_out(self) -> None:
        left = QtWidgets.QVBoxLayout()
        left.addWidget(label("1  Episodes", "title"))
        top = QtWidgets.QHBoxLayout()
        top.addWidget(self.task, 1)
        top.addWidget(self.successes_button)
        left.addLayout(top)
        left.addWidget(self.list, 1)
        left.addWidget(self.count)
        middle = QtWidgets.QVBoxLayout()
        middle.addWidget(label("2  Train", "title"))
        row = QtWidgets.QHBoxLayout()
        row.addLayout(captioned("name", self.name), 1)
        row.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignBottom)
        row.addWidget(self.stop_button, 0, Qt.AlignmentFlag.AlignBottom)
        middle.addLayout(row)
        middle.addWidget(self.progress)
        middle.addWidget(self.curve, 1)
        middle.addWidget(self.card)
        again = QtWidgets.QHBoxLayout()
        again.addWidget(self.episodes)
        again.addWidget(self.compare_button)
        again.addStretch(1)
        middle.addLayout(again)
        right = QtWidgets.QVBoxLayout()
        right.addWidget(label("3  Use", "title"))
        right.addWidget(self.saved, 1)
        use = QtWidgets.QHBoxLayout()
        use.addWidget(self.use_button)
        use.addWidget(self.unload_button)
        right.addLayout(use)
        self.in_use_text = label("No learned candidate in the fan", "caption", wrap=True)
        right.addWidget(self.in_use_text)
        self.main = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        for layout in (left, middle, right):
            self.main.addWidget(panel(layout))
        self.main.setChildrenCollapsible(False)
        self.reset_layout()
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(6, 4, 6, 6)
        outer.addWidget(self.main)

    # --- hooks ----------------------------------------------------------------------------------------

    def use_map(self, inputs: InputMap) -> None:
        """Show the present keys."""
        for button in self._buttons:
            button.use_map(inputs)

    def use_theme(self) -> None:
        """Take the present colours."""
        self.curve.use_theme()

    def use_facts(self) -> None:
        """Take over the policy's fingerprint once it is known."""
        self.model.fingerprint = self._facts.fingerprint
        self.note_changed_on_disk()

    def set_active(self, is_active: bool) -> None:
        """Read lists when shown."""
        if is_active and self._is_dirty:
            self.refresh()
        if is_active:
            self._read_saved()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show which noise policy is in the fan."""
        if snapshot.noise_policy == self._in_use:
            return
        self._in_use = snapshot.noise_policy
        name = Path(self._in_use).name if self._in_use else ""
        self.in_use_text.setText(f"★ {name} is in the fan" if name else "No learned candidate in the fan")
        if name:
            self._say(f"★ {name} is in the fan", "good")
        self._read_saved()

    def note_changed_on_disk(self) -> None:
        """List again when shown next, or now."""
        self._is_dirty = True
        if self.isVisible():
            self.refresh()

    def reset_layout(self) -> None:
        """Give every pane its first size."""
        self.main.setSizes([330, 560, 390])

    def shut(self) -> None:
        """Stop everything that runs."""
        self._timer.stop()
        self._compare_stop.set()
        if self.job is not None:
            self.job.close()
        self.library.close()
        super().shut()

    # --- episodes -------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the folder again."""
        self._is_dirty = False
        self.library.refresh()

    def _on_listed(self, rows: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
        infos, _ = rows
        self.model.show_infos(infos)
        tasks = self.model.tasks
        if tasks != [self.task.itemData(i) for i in range(1, self.task.count())]:
            chosen = self.task.currentData()
            self.task.blockSignals(True)
            self.task.clear()
            self.task.addItem(ALL_TASKS)
            for task in tasks:
                self.task.addItem(task.replace("_", " "), task)
            self.task.setCurrentIndex(max(0, self.task.findData(chosen) if chosen else 0))
            self.task.blockSignals(False)
        if self.isVisible():
            self.library.make_thumbnails(list(infos))

    def _show_count(self) -> None:
        ticked = self.model.ticked
        chunks = sum(i.n_chunks - i.n_undone for i in ticked)
        self.count.setText(f"{len(ticked)} episodes, {chunks} chunks")
        self._show_buttons()

    # --- training -------------------------------------------------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether a trainer runs."""
        return self.job is not None and self.job.state is JobState.RUNNING

    def start(self) -> None:
        """Train a noise policy on the ticked episodes."""
        ticked, root = self.model.ticked, self.learned_root
        if self.is_training:
            self._say("Training runs already", "warn")
            return
        if not ticked or root is None or self._facts.root is None:
            self._say("Tick at least one episode to learn from", "warn")
            return
        name = self.name.text().strip() or self._default_name(ticked)
        tasks = {i.task for i in ticked}
        request = TrainRequest(
            kind=TrainKind.DSBC,
            root=self._facts.root,
            episodes=tuple(i.name for i in ticked),
            out=root / folder_name(name),
            fingerprint=self._facts.fingerprint,
            name=name,
            task=next(iter(tasks)) if len(tasks) == 1 else None,
        )
        if request.out.exists():
            self._say(f"'{name}' exists already; choose another name", "warn")
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
            self.progress.setFormat("stopping, keeping the best")
        self._compare_stop.set()

    def _poll(self) -> None:
        if self.job is None:
            return
        for report in self.job.poll():
            self._show_progress(report)
        if self.job.state is JobState.DONE and self.job.result is not None:
            self._on_done(self.job.result)
        elif self.job.state is JobState.FAILED:
            self._end(f"failed: {self.job.error}")
            self._say(str(self.job.error), "bad")

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
        self._read_saved(choose=result.path)
        self._say(f"{result.name} is trained", "good", ("★ Use it", lambda: self._use_path(result.path)))

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
        """Put the selected (or just trained) noise policy into the fan."""
        path = self.saved.chosen() or (self.result.path if self.result else None)
        if path is None:
            self._say("Choose a saved noise policy first", "warn")
            return
        self._use_path(path)

    def _use_path(self, path: Path | None) -> None:
        self._send(LoadNoisePolicy(str(path) if path is not None else None))

    def compare(self) -> None:
        """Run fresh episodes with and without the chosen noise policy."""
        path = self.saved.chosen() or (self.result.path if self.result else None)
        if not self._facts.can_evaluate or path is None:
            self._say("Comparing needs simulation and a saved noise policy", "warn")
            return
        if self._compare_job is not None and self._compare_job.is_running:
            self._say("A comparison runs already", "warn")
            return
        task = self.task.currentData() or (self.job.request.task if self.job else None) or self._facts.tasks[0]
        self._compare_stop.clear()
        episodes = self.episodes.value()

        def work(report: Callable[[object], None]) -> Comparison:
            return compare(
                path,
                world=self._facts.world,
                policy=self._facts.policy_loader,
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

    def _read_saved(self, *, choose: Path | None = None) -> None:
        """List the saved noise policies again; a wish that comes while they are being read is served after that."""
        root = self.learned_root
        self._to_choose = choose or self._to_choose
        if root is None:
            return
        if self._saved_job is not None and self._saved_job.is_running:
            self._must_read_again = True
            return
        self._must_read_again = False
        self._saved_job = Job(lambda _report: list_saved(root), self)
        self._saved_job.finished.connect(self._on_saved_read)
        self._saved_job.failed.connect(lambda error: self._say(str(error), "bad"))
        self._saved_job.start()

    def _on_saved_read(self, saved: tuple[tuple[Path, Story], ...]) -> None:
        self.saved.show_saved(saved, fingerprint=self._facts.fingerprint, in_use=self._in_use)
        if self._must_read_again:
            self._read_saved()
        elif self._to_choose is not None:
            self.saved.choose(self._to_choose)
            self._to_choose = None
        self._show_buttons()

    def _show_buttons(self) -> None:
        is_comparing = self._compare_job is not None and self._compare_job.is_running
        has_policy = self.saved.chosen() is not None or self.result is not None
        self.start_button.setEnabled(bool(self.model.ticked) and not self.is_training)
        self.stop_button.setEnabled(self.is_training or is_comparing)
        self.use_button.setEnabled(has_policy)
        self.unload_button.setEnabled(self._in_use is not None)
        self.compare_button.setEnabled(has_policy and self._facts.can_evaluate and not is_comparing)


class TickDelegate(EpisodeDelegate):
    """The episode row with a tick box over its picture."""

    def paint(self, painter, option, index) -> None:
        """Draw the row, then the box."""
        super().paint(painter, option, index)
        state = index.data(Qt.ItemDataRole.CheckStateRole)
        box = QtWidgets.QStyleOptionButton()
        box.rect = QtCore.QRect(option.rect.left() + 10, option.rect.top() + 8, 20, 20)
        box.state = QtWidgets.QStyle.StateFlag.State_Enabled
        is_on = state == Qt.CheckState.Checked
        box.state |= QtWidgets.QStyle.StateFlag.State_On if is_on else QtWidgets.QStyle.StateFlag.State_Off
        style = option.widget.style() if option.widget is not None else QtWidgets.QApplication.style()
        if style is not None:
            style.drawPrimitive(QtWidgets.QStyle.PrimitiveElement.PE_IndicatorCheckBox, box, painter, option.widget)


def folder_name(name: str) -> str:
    """Return a name that is safe as a folder."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in name.lower())
    return kept.strip("-") or "noise-policy"
