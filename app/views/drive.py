"""The Drive layout: cameras, 3D view, verdicts, settings and the episode bar.

Images and fan are painted as soon as they arrive, the 3D view and the verdicts a moment later. The policy shares interpreter and
processor with the GUI; while it makes a fan, 3D view and verdicts wait longer. GUI thread.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from app.boxes import Column
from app.facts import Facts
from app.load import LEVELS, Shed
from app.qt import Qt, QtCore, QtWidgets, Signal
from app.settings import Settings
from app.views.attempt_strip import COMPARISON, AttemptStrip
from app.views.camera_grid import CameraGrid
from app.views.cameras import CameraModel
from app.views.countdown_strip import CountdownStrip
from app.views.episode_bar import EpisodeBar
from app.views.fan_curves import FanStyle
from app.views.outcome_question import OutcomeQuestion
from app.views.progress_strip import ProgressStrip
from app.views.scene3d import make_scene_view
from app.views.scene_model import from_snapshot
from app.views.steering_settings import SteeringSettings
from app.views.verdicts import VerdictList
from frs_core.events import Phase, Snapshot
from frs_core.steering.candidates import Candidate, Fan

AFTER_MS = 30
"""Delay after which the cameras have been painted."""
PATIENCE_S = 0.4
"""Least time between two updates of the 3D view, the slowest widget in software GL, while a fan is being made."""
GREY_AFTER_S = 0.2
"""Delay after which a fan that is being replaced turns grey."""


class DrivePage(QtWidgets.QWidget):
    """The page of the Drive layout.

    Args:
        run: runs an action by id.
        facts: of this run.
        cap_of: the key that picks a candidate.
    """

    candidate_hovered = Signal(object)
    candidate_chosen = Signal(str)
    curve_chosen = Signal(str, object, object)
    """The label of the curve that was clicked, its fan and when."""
    place_chosen = Signal(object, object)
    """The frame in which a place was clicked, and its pixel."""

    def __init__(self, run: Callable[[str], object], facts: Facts, cap_of: Callable[[Candidate], str]) -> None:
        super().__init__()
        self._facts = facts
        self.cameras = CameraGrid(cap_of)
        self.scene = make_scene_view()
        self.verdicts = VerdictList(cap_of)
        self.steering = SteeringSettings(run)
        self.attempt = AttemptStrip(run)
        self.comparison = AttemptStrip(run, COMPARISON)
        self.question = OutcomeQuestion(run)
        self.countdown = CountdownStrip(run)
        self.episode = EpisodeBar(run)
        self.episode.set_tasks(facts.tasks, titles=facts.titles, new=facts.new_tasks)
        self.steering.set_drivers(facts.drivers)
        self._present: tuple[Snapshot, FanStyle] | None = None
        self._listed: tuple[Fan | None, FanStyle] | None = None
        self._side_at = self._current_at = 0.0
        self._side_s = LEVELS[0].side_s
        self._side_later = QtCore.QTimer(self)
        self._side_later.setSingleShot(True)
        self._side_later.timeout.connect(self._show_side)
        self.progress = ProgressStrip(run)
        self.side = QtWidgets.QSplitter(Qt.Orientation.Vertical)
        self.side.addWidget(self.scene)
        self.side.addWidget(self.verdicts)
        self.side.setChildrenCollapsible(False)
        self.main = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        self.main.addWidget(self.cameras)
        right = QtWidgets.QWidget()
        beside = Column(right, margins=(0, 0, 0, 0), spacing=2)
        beside.addWidget(self.progress)
        beside.addWidget(self.side, 1)
        self.main.addWidget(right)
        self.main.setChildrenCollapsible(False)
        self.reset_layout()
        column = Column(self, margins=(6, 4, 6, 0), spacing=4)
        column.addWidget(self.attempt)
        column.addWidget(self.comparison)
        column.addWidget(self.main, 1)
        column.addWidget(self.question)
        column.addWidget(self.countdown)
        column.addWidget(self.steering)
        column.addWidget(self.episode)
        self.cameras.candidate_hovered.connect(self.candidate_hovered)
        self.cameras.curve_chosen.connect(self.curve_chosen)
        self.cameras.place_chosen.connect(self.place_chosen)
        self.verdicts.candidate_hovered.connect(self.candidate_hovered)
        self.verdicts.candidate_chosen.connect(self.candidate_chosen)

    def reset_layout(self) -> None:
        """Reset the sizes of all panes."""
        self.main.setStretchFactor(0, 65)
        self.main.setStretchFactor(1, 35)
        self.main.setSizes([645, 355])
        self.side.setSizes([380, 620])

    def show_snapshot(self, snapshot: Snapshot, style: FanStyle, settings: Settings) -> None:
        """Paint another snapshot."""
        style = self._patient(snapshot, style)
        self._present = snapshot, style
        if snapshot.observation is not None:
            self.cameras.show_models(camera_models(snapshot, style))
        self.steering.show_snapshot(snapshot, settings)
        self.episode.show_snapshot(snapshot, is_simulated=self._facts.is_simulated)
        due = self._side_at + max(self._side_s, PATIENCE_S if snapshot.is_fan_pending else 0.0)
        self._side_later.start(max(AFTER_MS, math.ceil((due - time.monotonic()) * 1000)))

    def show_elsewhere(self, snapshot: Snapshot, style: FanStyle) -> None:
        """Paint another snapshot in other windows alone, while this page is hidden."""
        self.cameras.show_guests(camera_models(snapshot, style))

    def use_shed(self, shed: Shed) -> None:
        """Draw less, or all again, from the next snapshot on."""
        self.cameras.use_sparse(shed.is_sparse)
        self._side_s = shed.side_s

    def show_attempt(self, sentence: str, tried: str) -> None:
        """Show where an attempt of a practice stands, and how the others went; an empty sentence = there is no practice."""
        self.attempt.show_attempt(sentence, tried)
        self.episode.is_attempt = bool(sentence)
        self.progress.setVisible(not sentence)

    def show_comparison(self, sentence: str, tried: str) -> None:
        """Show where an attempt of a blinded comparison stands, and nothing by which a person could steer; an empty sentence = there is none."""
        self.comparison.show_attempt(sentence, tried)
        is_on = bool(sentence)
        self.episode.is_attempt = is_on
        self.episode.instruction.setEnabled(not is_on)
        for hidden in (self.progress, self.verdicts, self.steering):
            hidden.setVisible(not is_on)

    def _patient(self, snapshot: Snapshot, style: FanStyle) -> FanStyle:
        """Return how to draw the fan: one that is being replaced keeps its style briefly, so that it does not flicker."""
        now = time.monotonic()
        if (
            self._present is None
            or not style.is_stale
            or not snapshot.is_fan_pending
            or snapshot.phase is not Phase.CHOOSE
        ):
            self._current_at = now
        elif snapshot.fan is self._present[0].fan and now - self._current_at < GREY_AFTER_S:
            return replace(self._present[1], amount=style.amount, highlight=style.highlight)
        return style

    def show_time(self, snapshot: Snapshot) -> None:
        """Update what changes between two snapshots: ages, and the mark on the picked curve."""
        now = time.monotonic_ns()
        self.cameras.show_time(now, rows_done_of(snapshot, now))

    def restyle(self, snapshot: Snapshot, style: FanStyle) -> None:
        """Apply another highlight, step size or key map without a new snapshot."""
        self._present, self._listed = (snapshot, style), None
        self.cameras.restyle(style)
        self._side_later.start(0)

    def _show_side(self) -> None:
        """Paint verdicts and 3D view."""
        if self._present is None:
            return
        snapshot, style = self._present
        self._side_at = time.monotonic()
        # The list does not show whether the fan is stale.
        self.verdicts.use_target(snapshot.target)
        listed = (drawable_fan(snapshot), replace(style, is_stale=False))
        if self._listed is None or self._listed[0] is not listed[0] or self._listed[1] != listed[1]:
            self._listed = listed
            self.verdicts.show_fan(*listed)
        model = from_snapshot(snapshot, style, self._facts.workspace)
        if model is not None:
            self.scene.show_model(model)


def camera_models(snapshot: Snapshot, style: FanStyle) -> list[CameraModel]:
    """Return what each camera shows now."""
    if snapshot.observation is None:
        return []
    fan, now = drawable_fan(snapshot), time.monotonic_ns()
    rows_done = rows_done_of(snapshot, now)
    return [
        CameraModel(
            name,
            frame,
            max(0, now - frame.captured_ns) / 1e9,
            fan,
            style,
            snapshot.trail,
            rows_done,
            snapshot.target,
        )
        for name, frame in snapshot.observation.frames.items()
    ]


def drawable_fan(snapshot: Snapshot) -> Fan | None:
    """Return the fan, or None after the end of an episode or a fault."""
    return snapshot.fan if snapshot.phase in (Phase.CHOOSE, Phase.MOVING, Phase.HOLD) else None


def rows_done_of(snapshot: Snapshot, now_ns: int) -> float:
    """Return how many rows of the running chunk are done, with the elapsed share of the current row; else NaN."""
    if snapshot.phase is not Phase.MOVING or snapshot.observation is None:
        return math.nan
    if snapshot.chunk_row == 0:
        return 0.0
    hz = snapshot.latency.loop_hz
    share = (now_ns - snapshot.observation.captured_ns) / 1e9 * hz if hz > 0 else 0.0
    return min(snapshot.chunk_row + min(max(share, 0.0), 1.0), float(snapshot.chunk_rows))
