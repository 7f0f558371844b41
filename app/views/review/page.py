"""The Review layout: list, images, 3D view, scrubber, plots, and the fan of each chunk. GUI thread."""

from collections.abc import Callable
from pathlib import Path

from app.boxes import Column, Row
from app.facts import Facts
from app.qt import Qt, QtGui, QtWidgets, Signal
from app.views.camera_grid import CameraGrid
from app.views.cameras import CameraModel
from app.views.fan_curves import FanStyle
from app.views.page import LayoutPage
from app.views.review.episode_list import problem_of
from app.views.review.episodes_pane import EpisodesPane
from app.views.review.insight import Insight, InsightClient
from app.views.review.loader import Loader, Moment
from app.views.review.plots import Plots
from app.views.review.record import Record
from app.views.review.scrubber import Scrubber, mark_sentence
from app.views.review.transport import Transport
from app.views.scene3d import make_scene_view
from app.views.scene_model import Line, build
from app.views.verdicts import VerdictList
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap
from frs_core.episodes import EpisodeInfo
from frs_core.events import Snapshot
from frs_core.steering.directions import Amount


class ReviewPage(LayoutPage):
    """The page of the Review layout.

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
        self._facts, self._say = facts, say
        self.episodes = EpisodesPane(run, facts, undo, say=say)
        self.transport = Transport(run)
        self.handlers = {
            **self.episodes.handlers,
            **self.transport.handlers,
            "review.trim_start": lambda: self._trim(is_start=True),
            "review.trim_end": lambda: self._trim(is_start=False),
            "review.untrim": self._untrim,
        }
        self.loader = Loader(self)
        self.record: Record | None = None
        self.moment: Moment | None = None
        self._noise_policy: str | None = None
        self._insight_client = InsightClient(facts.generalist, self)
        self._insight_client.answered.connect(self._on_insight)
        self._insight_client.failed.connect(lambda text: self.insight_text.setText(text))
        self._insights: dict[int, Insight] = {}
        self._is_dirty = True
        self._build(run)
        self.episodes.chosen.connect(self._on_chosen)
        self.episodes.emptied.connect(self._show_nothing)
        self.transport.moved.connect(self._on_moved)
        self.transport.playing_changed.connect(self.playing_changed)
        self.loader.opened.connect(self._on_opened)
        self.loader.moment_ready.connect(self._on_moment)
        self.loader.failed.connect(self._show_trouble)

    @property
    def is_playing(self) -> bool:
        """Whether a recorded episode is playing."""
        return self.transport.is_playing

    @property
    def is_shown(self) -> bool:
        """Whether the current row is shown as it is now; it is not while the episode is being read."""
        moment, info = self.moment, self.episodes.current()
        if moment is None or info is None:
            return False
        return moment.record is self.record and _opened(moment.record.info) == _opened(info)

    # --- building -----------------------------------------------------------------------------------

    def _build(self, run: Callable[[str], object]) -> None:
        self.cameras = CameraGrid(lambda _c: "")
        self.scene = make_scene_view()
        self.scrubber, self.plots = Scrubber(), Plots()
        self.offers = VerdictList(lambda _c: "")
        self.offers.setColumnHidden(1, True)
        self.sentence = label("", wrap=True)
        self.insight_text = label("", "caption", wrap=True)
        self.trouble_text, self._trouble = label("", "sentence", wrap=True), QtWidgets.QWidget()
        self._bin_button = ActionButton("review.bin", run, text="Move to bin")
        column = Column(self._trouble, margins=(40, 0, 40, 0))
        column.addStretch(1)
        column.addWidget(self.trouble_text)
        column.addWidget(self._bin_button, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(2)
        self._trims = tuple(ActionButton(f"review.trim_{end}", run) for end in ("start", "end"))
        self._lay_out()
        self.scrubber.position_chosen.connect(self.transport.seek)
        self.plots.position_chosen.connect(self.transport.seek)
        self.offers.candidate_hovered.connect(self._on_hover)
        self.cameras.candidate_hovered.connect(self._on_hover)

    def _lay_out(self) -> None:
        panel = QtWidgets.QWidget()
        chunk = Column(panel, margins=(0, 0, 0, 0))
        chunk.addWidget(self.offers, 1)
        chunk.addWidget(self.insight_text)
        bar = Row()
        bar.addWidget(self.transport)
        bar.addWidget(self.sentence, 1)
        for button in self._trims:
            bar.addWidget(button)
        views = _splitter(Qt.Orientation.Horizontal, self.cameras, self.scene)
        self._views = QtWidgets.QStackedWidget()
        self._views.addWidget(views)
        self._views.addWidget(self._trouble)
        below = _splitter(Qt.Orientation.Horizontal, self.plots, panel)
        middle = QtWidgets.QWidget()
        inner = Column(middle, margins=(0, 0, 0, 0), spacing=4)
        inner.addWidget(self.scrubber)
        inner.addLayout(bar)
        inner.addWidget(below, 1)
        right = _splitter(Qt.Orientation.Vertical, self._views, middle)
        self.main = _splitter(Qt.Orientation.Horizontal, self.episodes, right)
        self.main.setStretchFactor(0, 0)
        self.main.setStretchFactor(1, 1)
        self._splitters = {views: [640, 300], below: [530, 410], right: [330, 380], self.main: [330, 950]}
        self.reset_layout()
        outer = Column(self, margins=(6, 4, 6, 4))
        outer.addWidget(self.main)

    # --- hooks ----------------------------------------------------------------------------------------

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.episodes.use_map(inputs)
        self.transport.use_map(inputs)
        for button in (self._bin_button, *self._trims):
            button.use_map(inputs)

    def use_theme(self) -> None:
        """Use the current colours."""
        self.plots.use_theme()

    def set_active(self, is_active: bool) -> None:
        """Reload the list when shown; stop playing when hidden."""
        if is_active and self._is_dirty:
            self._refresh()
        if not is_active:
            self.transport.pause()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Store which noise policy is in use."""
        self._noise_policy = snapshot.noise_policy

    def note_changed_on_disk(self) -> None:
        """Reload the list now, or when shown next."""
        self._is_dirty = True
        if self.isVisible():
            self._refresh()

    def reset_layout(self) -> None:
        """Reset the sizes of all panes."""
        for splitter, sizes in self._splitters.items():
            splitter.setSizes(sizes)

    def shut(self) -> None:
        """Stop timers, threads and processes."""
        self.transport.pause()
        self.loader.close()
        self.episodes.library.close()
        self._insight_client.close()
        super().shut()

    def _refresh(self) -> None:
        self._is_dirty = False
        self.episodes.refresh()

    # --- showing --------------------------------------------------------------------------------------

    def _on_chosen(self, info: EpisodeInfo) -> None:
        if info.problem:
            self._show_trouble(problem_of(info))
        elif self.record is None or _opened(self.record.info) != _opened(info):
            self.loader.open(info)

    def _show_trouble(self, text: str) -> None:
        """Show why the chosen episode cannot be shown, in place of its images."""
        self._show_nothing()
        self.trouble_text.setText(f"⚠ {text}")
        self._bin_button.show()

    def _show_nothing(self) -> None:
        self.record = self.moment = None
        self.trouble_text.setText("")
        self._bin_button.hide()
        self._views.setCurrentWidget(self._trouble)
        self.offers.show_fan(None, FanStyle())
        self.insight_text.setText("")
        self.transport.open(0, control_hz=15.0, starts=())
        self.scrubber.show_record(None)
        self.plots.show_record(None)
        self.sentence.setText("")

    def _on_opened(self, record: Record) -> None:
        self.record = record
        self.transport.open(record.length, control_hz=record.control_hz, starts=[m.start for m in record.marks])
        self._insights = {}
        self.scrubber.show_record(record)
        self.plots.show_record(record)
        self.insight_text.setText("")
        self._insight_client.ask(record.path, noise_policy=self._noise_policy)

    def _on_moved(self, position: int) -> None:
        self.scrubber.show_position(position)
        self.loader.seek(position)

    def _on_moment(self, moment: Moment) -> None:
        if moment.record is not self.record:
            return
        self.moment = moment
        self._views.setCurrentIndex(0)
        mark = moment.record.mark_at(moment.position)
        self._paint(moment, FanStyle(amount=Amount.MORE, picked=mark.label, show_reference=False))
        self.scrubber.show_position(moment.position)
        self.plots.show_position(moment.position)
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
        self.offers.show_fan(moment.fan, style)
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

    def _trim(self, *, is_start: bool) -> None:
        """Leave out what lies before or after the chunk that is shown."""
        record = self.record
        if record is None or not self.is_shown:
            self._say("The episode is being read; try again in a moment", "warn")
            return
        at = record.marks.index(record.mark_at(self.transport.position))
        first, last = record.info.trimmed
        if is_start:
            first += at
        else:
            last += len(record.marks) - 1 - at
        self.episodes.trim(record.info, first, last)

    def _untrim(self) -> None:
        if (info := self.episodes.current()) is not None:
            self.episodes.trim(info, 0, 0)

    def _on_hover(self, candidate_label: object) -> None:
        moment = self.moment
        if moment is None or moment.record is not self.record:
            return
        mark = moment.record.mark_at(moment.position)
        shown = candidate_label if isinstance(candidate_label, str) else None
        self._paint(moment, FanStyle(highlight=shown, picked=mark.label, show_reference=False))

    def _on_insight(self, answer: tuple[Path, dict[int, Insight]]) -> None:
        path, insights = answer
        if self.record is None or self.record.path != path:
            return
        self._insights = insights
        self.scrubber.show_checks({i: x.is_good for i, x in insights.items() if x.is_good is not None})
        self.loader.seek(self.transport.position)


def _opened(info: EpisodeInfo) -> tuple[object, ...]:
    """Return what of a row makes the opened episode another one."""
    return info.name, info.path, info.trimmed


def _splitter(orientation: Qt.Orientation, *panes: QtWidgets.QWidget) -> QtWidgets.QSplitter:
    splitter = QtWidgets.QSplitter(orientation)
    for pane in panes:
        splitter.addWidget(pane)
    splitter.setChildrenCollapsible(False)
    return splitter
