"""The Review layout: list, pictures in step, 3D, scrubber, plots, and what was offered at each chunk. GUI thread."""

from collections.abc import Callable
from pathlib import Path

from app.actions import cap_of
from app.facts import Facts
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.views.cameras import CameraGrid, CameraModel
from app.views.fan_overlay import FanStyle
from app.views.page import LayoutPage
from app.views.review import library as edits
from app.views.review.episode_list import INFO, SORTS, EpisodeDelegate, EpisodeFilter, EpisodeModel
from app.views.review.insight import Insight, InsightDesk
from app.views.review.library import Library
from app.views.review.loader import Loader, Moment
from app.views.review.plots import Plots
from app.views.review.record import Record
from app.views.review.scrubber import Scrubber, mark_sentence
from app.views.scene3d import make_scene_view
from app.views.scene_model import Line, build
from app.views.verdicts import VerdictList
from app.views.widgets import ActionButton, label
from app.workers import Job
from frs_core.devices.intent import InputMap
from frs_core.directions import Amount
from frs_core.episodes import EpisodeInfo
from frs_core.episodes.formats import EXPORTERS, exporter
from frs_core.events import Outcome, Snapshot

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class ReviewPage(LayoutPage):
    """Everything about recorded episodes.

    Args:
        run: runs an action by id.
        facts: of this run.
        undo: where edits go.
        say: shows a toast (text, tone, action).
    """

    playing_changed = Signal(bool)

    def __init__(
        self, run: Callable[[str], object], facts: Facts, undo: QtGui.QUndoStack, *, say: Callable[..., None]
    ) -> None:
        super().__init__()
        self._facts, self._undo, self._say = facts, undo, say
        self.library = Library(facts.root)
        self.loader = Loader()
        self.record: Record | None = None
        self.position = 0
        self.speed = 1.0
        self._noise_policy: str | None = None
        self._desk = InsightDesk(facts.policy_loader, self)
        self._desk.told.connect(self._on_insight)
        self._desk.failed.connect(self._on_insight_failed)
        self._insights: dict[int, Insight] = {}
        self._last_name: str | None = None
        self._job: Job | None = None
        self._is_dirty = True
        self._is_binned = False
        self._clock = QtCore.QTimer(self)
        self._clock.setTimerType(Qt.TimerType.PreciseTimer)
        self._clock.timeout.connect(self._tick)
        self._build(run)
        self.handlers = self._all_handlers()
        self.library.listed.connect(self._on_listed)
        self.library.thumbnail_made.connect(self.model.add_thumbnail)
        self.library.failed.connect(lambda text: say(text, "bad"))
        self.library.edited.connect(self.refresh)
        self.loader.opened.connect(self._on_opened)
        self.loader.moment_ready.connect(self._on_moment)
        self.loader.failed.connect(lambda text: say(text, "bad"))

    @property
    def is_playing(self) -> bool:
        """Whether a recorded episode plays."""
        return self._clock.isActive()

    # --- building -----------------------------------------------------------------------------------

    def _build(self, run: Callable[[str], object]) -> None:
        self.model, self.filter = EpisodeModel(), EpisodeFilter()
        self.filter.setSourceModel(self.model)
        self.list = QtWidgets.QListView()
        self.list.setModel(self.filter)
        self.list.setItemDelegate(EpisodeDelegate(self.list))
        self.list.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setVerticalScrollMode(QtWidgets.QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setAccessibleName("Recorded episodes")
        selection = self.list.selectionModel()
        assert selection is not None
        selection.currentChanged.connect(self._on_current)
        self.words = QtWidgets.QLineEdit()
        self.words.setPlaceholderText("filter by words")
        self.words.setClearButtonEnabled(True)
        self.words.textChanged.connect(self.filter.show_words)
        self.order = QtWidgets.QComboBox()
        self.order.addItems(SORTS)
        self.order.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.order.currentTextChanged.connect(self.filter.show_order)
        self.count = label("", "caption")
        self.cameras = CameraGrid(lambda _c: "")
        self.scene = make_scene_view()
        self.scrubber, self.plots = Scrubber(), Plots()
        self.offers = VerdictList(lambda _c: "")
        self.offers.setColumnHidden(1, True)
        self.sentence = label("", wrap=True)
        self.insight_text = label("", "caption", wrap=True)
        self.time = label("0.0 s", "value")
        self.speed_text = QtWidgets.QComboBox()
        self.speed_text.addItems([f"{s:g}×" for s in SPEEDS])
        self.speed_text.setCurrentIndex(SPEEDS.index(1.0))
        self.speed_text.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.speed_text.setAccessibleName("Playing speed")
        self.speed_text.currentIndexChanged.connect(lambda i: self.set_speed(SPEEDS[i]))
        self.buttons = [
            ActionButton(a, run, text="")
            for a in (
                "review.chunk_back",
                "review.frame_back",
                "review.play",
                "review.frame_forward",
                "review.chunk_forward",
            )
        ]
        self.edit_buttons = [
            ActionButton("review.success", run, text="Success", role="good"),
            ActionButton("review.failure", run, text="Failure", role="bad"),
            ActionButton("review.note", run, text="Note"),
            ActionButton("review.bin", run, text="Bin"),
            ActionButton("review.restore", run, text="Restore"),
            ActionButton("review.export", run, text="Export"),
        ]
        self.note = QtWidgets.QLineEdit()
        self.note.setPlaceholderText("note")
        self.note.returnPressed.connect(self._on_note)
        self.bin_toggle = ActionButton("review.show_bin", run, text="Bin", checkable=True)
        self._lay_out()
        self.scrubber.position_chosen.connect(self.seek)
        self.plots.position_chosen.connect(self.seek)
        self.offers.candidate_hovered.connect(self._on_hover)
        self.cameras.candidate_hovered.connect(self._on_hover)

    def _lay_out(self) -> None:
        left = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 4)
        top = QtWidgets.QHBoxLayout()
        top.addWidget(self.words, 1)
        top.addWidget(self.order)
        top.addWidget(self.bin_toggle)
        column.addLayout(top)
        column.addWidget(self.list, 1)
        column.addWidget(self.count)
        edit = QtWidgets.QGridLayout()
        edit.setSpacing(4)
        for i, button in enumerate(self.edit_buttons):
            edit.addWidget(button, i // 3, i % 3)
        column.addLayout(edit)
        column.addWidget(self.note)
        pictures = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        pictures.addWidget(self.cameras)
        pictures.addWidget(self.scene)
        pictures.setSizes([640, 300])
        bar = QtWidgets.QHBoxLayout()
        for button in self.buttons:
            button.setMaximumWidth(44)
            bar.addWidget(button)
        bar.addWidget(self.speed_text)
        bar.addWidget(self.time)
        bar.addWidget(self.sentence, 1)
        panel = QtWidgets.QWidget()
        chunk = QtWidgets.QVBoxLayout(panel)
        chunk.setContentsMargins(0, 0, 0, 0)
        chunk.addWidget(self.offers, 1)
        chunk.addWidget(self.insight_text)
        below = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        below.addWidget(self.plots)
        below.addWidget(panel)
        below.setSizes([560, 380])
        middle = QtWidgets.QWidget()
        inner = QtWidgets.QVBoxLayout(middle)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.scrubber)
        inner.addLayout(bar)
        inner.addWidget(below, 1)
        right = QtWidgets.QSplitter(Qt.Orientation.Vertical)
        right.addWidget(pictures)
        right.addWidget(middle)
        right.setSizes([330, 380])
        self.main = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        self.main.addWidget(left)
        self.main.addWidget(right)
        for splitter in (self.main, right, pictures, below):
            splitter.setChildrenCollapsible(False)
        self.main.setSizes([330, 950])
        self.main.setStretchFactor(0, 0)
        self.main.setStretchFactor(1, 1)
        self._splitters = {pictures: [640, 300], below: [560, 380], right: [330, 380], self.main: [330, 950]}
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(6, 4, 6, 4)
        outer.addWidget(self.main)

    def _all_handlers(self) -> dict[str, Callable[[], None]]:
        return {
            "review.play": self.toggle_play,
            "review.frame_back": lambda: self.step(-1),
            "review.frame_forward": lambda: self.step(1),
            "review.chunk_back": lambda: self.step_chunk(-1),
            "review.chunk_forward": lambda: self.step_chunk(1),
            "review.first": lambda: self.seek(0),
            "review.last": lambda: self.seek(10**9),
            "review.slower": lambda: self._change_speed(-1),
            "review.faster": lambda: self._change_speed(1),
            "review.next_episode": lambda: self._move_row(1),
            "review.previous_episode": lambda: self._move_row(-1),
            "review.success": lambda: self.relabel(Outcome.SUCCESS),
            "review.failure": lambda: self.relabel(Outcome.FAILURE),
            "review.note": self._edit_note,
            "review.bin": self.bin_selected,
            "review.restore": self.restore_selected,
            "review.show_bin": self.toggle_bin,
            "review.filter": self.words.setFocus,
            "review.export": self._export_menu,
            "review.refresh": self.refresh,
        }

    # --- hooks ----------------------------------------------------------------------------------------

    def use_map(self, inputs: InputMap) -> None:
        """Show the present keys."""
        for button in (*self.buttons, *self.edit_buttons, self.bin_toggle):
            button.use_map(inputs)
        self.words.setToolTip(f"All words must be contained  ({cap_of('review.filter', inputs)})")

    def use_theme(self) -> None:
        """Take the present colours."""
        self.plots.use_theme()

    def set_active(self, is_active: bool) -> None:
        """Read the list when shown; stop playing when hidden."""
        if is_active and self._is_dirty:
            self.refresh()
        if not is_active:
            self._clock.stop()
            self._show_play()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Remember today's noise policy."""
        self._noise_policy = snapshot.noise_policy

    def note_changed_on_disk(self) -> None:
        """List again when shown next, or now."""
        self._is_dirty = True
        if self.isVisible():
            self.refresh()

    def reset_layout(self) -> None:
        """Give every pane its first size."""
        for splitter, sizes in self._splitters.items():
            splitter.setSizes(sizes)

    def shut(self) -> None:
        """Stop timers, threads and processes."""
        self._clock.stop()
        self.loader.close()
        self.library.close()
        self._desk.close()
        super().shut()

    # --- list -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the folder again."""
        self._is_dirty = False
        self.library.refresh(binned=self._is_binned)

    def selected(self) -> list[EpisodeInfo]:
        """Rows of the selected episodes."""
        selection = self.list.selectionModel()
        return [i.data(INFO) for i in selection.selectedIndexes()] if selection else []

    def relabel(self, outcome: Outcome) -> None:
        """Give the selected episodes another label."""
        infos = [i for i in self.selected() if not i.problem]
        if infos and not self._is_binned:
            self._push(edits.relabel(self.library, infos, outcome))

    def bin_selected(self) -> None:
        """Move the selected episodes to the bin."""
        infos = self.selected()
        if infos and not self._is_binned:
            self._push(edits.move_to_bin(self.library, infos))

    def restore_selected(self) -> None:
        """Bring the selected episodes back."""
        infos = self.selected()
        if infos and self._is_binned:
            self._push(edits.restore(self.library, infos))
        elif infos:
            self._say("Show the bin to restore from it", "info")

    def bin_last(self) -> None:
        """Move the newest episode to the bin, from any layout."""

        def push(rows: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
            self.library.listed.disconnect(push)
            infos, binned = rows
            if binned or not infos:
                self._say("There is no recorded episode", "warn")
            else:
                self._push(edits.move_to_bin(self.library, [max(infos, key=lambda i: i.name)]))

        if self._facts.root is None:
            self._say("Nothing is recorded in this run", "warn")
            return
        self.library.listed.connect(push)
        self.library.refresh()

    def toggle_bin(self) -> None:
        """List the bin, or the others again."""
        self._is_binned = not self._is_binned
        self.bin_toggle.setChecked(self._is_binned)
        self.refresh()

    def _push(self, command: edits.Edit) -> None:
        self._undo.push(command)
        self._say(command.text(), "info", ("Undo", self._undo.undo))

    def _on_listed(self, rows: tuple[tuple[EpisodeInfo, ...], bool]) -> None:
        infos, binned = rows
        if binned != self._is_binned:
            return
        former = self.current()
        self.model.show_infos(infos)
        successes = sum(i.outcome is Outcome.SUCCESS for i in infos)
        where = "in the bin" if binned else "episodes"
        self.count.setText(f"{len(infos)} {where}, {successes} successes")
        for button in self.edit_buttons:
            is_restore = button.action == "review.restore"
            button.setEnabled(is_restore == binned or button.action == "review.export")
        if self.isVisible():
            self.library.make_thumbnails(list(infos))
        self._select(former.name if former else None)

    def current(self) -> EpisodeInfo | None:
        """The episode shown."""
        index = self.list.currentIndex()
        return index.data(INFO) if index.isValid() else None

    def _select(self, name: str | None) -> None:
        for row in range(self.filter.rowCount()):
            if self.filter.index(row, 0).data(INFO).name == name:
                self.list.setCurrentIndex(self.filter.index(row, 0))
                return
        if self.filter.rowCount():
            self.list.setCurrentIndex(self.filter.index(0, 0))
        else:
            self._show_nothing()

    def _move_row(self, by: int) -> None:
        row = self.list.currentIndex().row() + by
        if 0 <= row < self.filter.rowCount():
            self.list.setCurrentIndex(self.filter.index(row, 0))

    def _on_current(self, index: QtCore.QModelIndex, _former: QtCore.QModelIndex) -> None:
        info: EpisodeInfo | None = index.data(INFO) if index.isValid() else None
        if info is None:
            return
        if not self.note.hasFocus():
            self.note.setText(info.note)
        if self.record is not None and self.record.info.name == info.name and self.record.path == info.path:
            return
        if info.problem:
            self._show_nothing()
            self._say(info.problem, "bad")
            return
        self.loader.open(info)

    def _show_nothing(self) -> None:
        self.record = None
        self.scrubber.show_record(None)
        self.plots.show_record(None)
        self.sentence.setText("")

    def _edit_note(self) -> None:
        self.note.setFocus()
        self.note.selectAll()

    def _on_note(self) -> None:
        info = self.current()
        self.note.clearFocus()
        if info is not None and not self._is_binned and self.note.text() != info.note:
            self._push(edits.renote(self.library, info, self.note.text()))

    # --- playing --------------------------------------------------------------------------------------

    def toggle_play(self) -> None:
        """Play, or pause."""
        if self._clock.isActive():
            self._clock.stop()
        elif self.record is not None:
            if self.position >= self.record.length - 1:
                self.seek(0)
            self._clock.start(self._interval())
        self._show_play()

    def set_speed(self, speed: float) -> None:
        """Play at 0.25 to 8 times the recorded speed."""
        self.speed = speed
        if self._clock.isActive():
            self._clock.start(self._interval())

    def seek(self, position: int) -> None:
        """Go to a position of the main line."""
        if self.record is None:
            return
        self.position = max(0, min(position, self.record.length - 1))
        self.scrubber.show_position(self.position)
        self.loader.seek(self.position)

    def step(self, by: int) -> None:
        """Go some frames on."""
        self._clock.stop()
        self._show_play()
        self.seek(self.position + by)

    def step_chunk(self, by: int) -> None:
        """Go to the previous or next chunk boundary."""
        if self.record is None:
            return
        self._clock.stop()
        self._show_play()
        starts = [m.start for m in self.record.marks]
        if by > 0:
            self.seek(next((s for s in starts if s > self.position), self.record.length - 1))
        else:
            self.seek(next((s for s in reversed(starts) if s < self.position), 0))

    def _interval(self) -> int:
        """Milliseconds per tick; above 33 frames per second frames are skipped instead."""
        assert self.record is not None
        return max(30, round(1000 / (self.record.control_hz * self.speed)))

    def _tick(self) -> None:
        if self.record is None:
            self._clock.stop()
            return
        by = max(1, round(self._clock.interval() / 1000 * self.record.control_hz * self.speed))
        self.seek(self.position + by)
        if self.position >= self.record.length - 1:
            self._clock.stop()
            self._show_play()

    def _show_play(self) -> None:
        self.buttons[2].setText("❚❚" if self.is_playing else "▶")
        self.playing_changed.emit(self.is_playing)

    def _change_speed(self, by: int) -> None:
        index = SPEEDS.index(self.speed) + by
        if 0 <= index < len(SPEEDS):
            self.speed_text.setCurrentIndex(index)

    # --- showing --------------------------------------------------------------------------------------

    def _on_opened(self, record: Record) -> None:
        self.record, self.position = record, 0
        self._insights = {}
        self.scrubber.show_record(record)
        self.plots.show_record(record)
        self._start_insight(record)

    def _on_moment(self, moment: Moment) -> None:
        if moment.record is not self.record:
            return
        self.moment = moment
        mark = moment.record.mark_at(moment.position)
        style = FanStyle(amount=Amount.MORE, picked=mark.label, show_reference=False)
        self._paint(moment, style)
        self.scrubber.show_position(moment.position)
        self.plots.show_position(moment.position)
        seconds = moment.position / moment.record.control_hz
        self.time.setText(f"{seconds:.1f} of {moment.record.length / moment.record.control_hz:.1f} s")
        insight = self._insights.get(mark.index)
        self.sentence.setText(mark_sentence(mark, insight.is_good if insight else None))
        self.insight_text.setText(insight.sentence if insight else "")

    def _paint(self, moment: Moment, style: FanStyle) -> None:
        record = moment.record
        trail = record.tcp[: moment.position + 1]
        self.cameras.show_models(
            [
                CameraModel(name, frame, 0.0, moment.fan, style, trail, badge=name)
                for name, frame in moment.frames.items()
            ]
        )
        self.offers.rows_model.show_fan(moment.fan, style)
        path = Line(record.tcp, "#8fa3bd", 1.0, 0.5)
        self.scene.show_model(
            build(
                moment.observation,
                fan=moment.fan,
                style=style,
                trail=trail,
                workspace=self._facts.workspace,
                extra=(path,),
            )
        )

    def _on_hover(self, candidate_label: object) -> None:
        moment = getattr(self, "moment", None)
        if moment is None or moment.record is not self.record:
            return
        mark = moment.record.mark_at(moment.position)
        shown = candidate_label if isinstance(candidate_label, str) else None
        self._paint(moment, FanStyle(highlight=shown, picked=mark.label, show_reference=False))

    def _start_insight(self, record: Record) -> None:
        self.insight_text.setText("")
        self._desk.ask(record.path, noise_policy=self._noise_policy)

    def _on_insight(self, answer: tuple[Path, dict[int, Insight]]) -> None:
        path, insights = answer
        if self.record is None or self.record.path != path:
            return
        self._insights = insights
        self.scrubber.show_checks({i: x.is_good for i, x in insights.items() if x.is_good is not None})
        self.loader.seek(self.position)

    def _on_insight_failed(self, text: str) -> None:
        self.insight_text.setText(text)

    def _export_menu(self) -> None:
        infos = [i for i in self.selected() if not i.problem]
        if not infos:
            self._say("Select episodes to export", "warn")
            return
        menu = QtWidgets.QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for name in EXPORTERS:
            action = menu.addAction(f"{len(infos)} as {name}")
            assert action is not None
            action.triggered.connect(lambda _c=False, n=name: self.export(infos, n))
        button = self.edit_buttons[-1]
        menu.popup(button.mapToGlobal(QtCore.QPoint(0, button.height())))

    def export(self, infos: list[EpisodeInfo], form: str) -> None:
        """Write episodes in another format below `exports/` of the recording root."""
        assert self._facts.root is not None
        if self._job is not None and self._job.is_running:
            self._say("An export is running", "warn")
            return
        folder = self._facts.root / "exports"

        def work(progress: Callable[[object], None]) -> Path:
            from frs_core.episodes import Episode

            folder.mkdir(parents=True, exist_ok=True)
            write = exporter(form)
            target = folder
            for info in infos:
                target = write(Episode(info.path), folder / f"{info.name}.{form}")
            return target

        self._job = Job(work, self)
        self._job.finished.connect(lambda path: self._say(f"Exported {len(infos)} to {path.parent}", "good"))
        self._job.failed.connect(lambda error: self._say(f"Export failed: {error}", "bad"))
        self._job.start()
