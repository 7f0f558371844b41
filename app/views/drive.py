"""The Drive layout: cameras, 3D view, verdicts, knobs and the episode bar. GUI thread."""

import time
from collections.abc import Callable

from app.facts import Facts
from app.qt import Qt, QtWidgets, Signal
from app.settings import Settings
from app.views.cameras import CameraGrid, CameraModel
from app.views.episode_bar import EpisodeBar
from app.views.fan_overlay import FanStyle
from app.views.knobs import Knobs
from app.views.scene3d import make_scene_view
from app.views.scene_model import from_snapshot
from app.views.verdicts import VerdictList
from frs_core.events import Candidate, Fan, Phase, Snapshot

SCENE_INTERVAL_S = 0.066
"""The 3D view follows at 15 Hz; it is the dearest widget in software GL."""


class DrivePage(QtWidgets.QWidget):
    """Everything an operator looks at while driving.

    Args:
        run: runs an action by id.
        facts: of this run.
        cap_of: the key that picks a candidate.
    """

    candidate_hovered = Signal(object)
    candidate_chosen = Signal(str)

    def __init__(self, run: Callable[[str], object], facts: Facts, cap_of: Callable[[Candidate], str]) -> None:
        super().__init__()
        self._facts = facts
        self.cameras = CameraGrid(cap_of)
        self.scene = make_scene_view()
        self.verdicts = VerdictList(cap_of)
        self.knobs = Knobs(run)
        self.episode = EpisodeBar(run)
        self.episode.set_tasks(facts.tasks)
        self.knobs.set_drivers(facts.drivers)
        self._scene_at = 0.0
        self._shown_fan: tuple[Fan | None, FanStyle] | None = None
        self.side = QtWidgets.QSplitter(Qt.Orientation.Vertical)
        self.side.addWidget(self.scene)
        self.side.addWidget(self.verdicts)
        self.side.setChildrenCollapsible(False)
        self.main = QtWidgets.QSplitter(Qt.Orientation.Horizontal)
        self.main.addWidget(self.cameras)
        self.main.addWidget(self.side)
        self.main.setChildrenCollapsible(False)
        self.reset_layout()
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 0)
        column.setSpacing(4)
        column.addWidget(self.main, 1)
        column.addWidget(self.knobs)
        column.addWidget(self.episode)
        self.cameras.candidate_hovered.connect(self.candidate_hovered)
        self.verdicts.candidate_hovered.connect(self.candidate_hovered)
        self.verdicts.candidate_chosen.connect(self.candidate_chosen)

    def reset_layout(self) -> None:
        """Give every pane its first size."""
        self.main.setStretchFactor(0, 66)
        self.main.setStretchFactor(1, 34)
        self.main.setSizes([660, 340])
        self.side.setSizes([380, 620])

    def show_snapshot(self, snapshot: Snapshot, style: FanStyle, settings: Settings) -> None:
        """Paint another snapshot."""
        fan = drawable_fan(snapshot)
        if snapshot.observation is not None:
            now = time.monotonic_ns()
            self.cameras.show_models(
                [
                    CameraModel(name, frame, max(0, now - frame.captured_ns) / 1e9, fan, style, snapshot.trail)
                    for name, frame in snapshot.observation.frames.items()
                ]
            )
        if self._shown_fan is None or self._shown_fan[0] is not fan or self._shown_fan[1] != style:
            self.verdicts.rows_model.show_fan(fan, style)
            self._shown_fan = (fan, style)
            self._scene_at = min(self._scene_at, time.monotonic() - SCENE_INTERVAL_S)
        self.knobs.show_snapshot(snapshot, settings)
        self.episode.show_snapshot(snapshot, is_simulated=self._facts.is_simulated)
        if time.monotonic() - self._scene_at >= SCENE_INTERVAL_S:
            self._scene_at = time.monotonic()
            model = from_snapshot(snapshot, style, self._facts.workspace)
            if model is not None:
                self.scene.show_model(model)

    def restyle(self, snapshot: Snapshot, style: FanStyle) -> None:
        """Change highlight or step size without a new snapshot."""
        self.cameras.restyle(style)
        self.verdicts.rows_model.show_fan(drawable_fan(snapshot), style)
        model = from_snapshot(snapshot, style, self._facts.workspace)
        if model is not None:
            self.scene.show_model(model)


def drawable_fan(snapshot: Snapshot) -> Fan | None:
    """Return the fan while it means something: not after an episode's end or a fault."""
    return snapshot.fan if snapshot.phase in (Phase.CHOOSE, Phase.MOVING, Phase.HOLD) else None
