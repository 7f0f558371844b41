"""Live training loss and held-out loss. GUI thread."""

import math

import pyqtgraph as pg

from app import theme
from app.qt import Qt
from app.views.plot import StillPlot
from frs_core.learning import Progress


class Curve(StillPlot):
    """Two curves over gradient steps; the held-out one is dashed."""

    def __init__(self) -> None:
        super().__init__("Training loss", left="loss", bottom="gradient steps", legend=(-10, 10), right=8)
        self._loss = self.plot([], [], name="training")
        self._held = self.plot([], [], name="held out", symbol="o")
        self._points: list[tuple[float, float, float]] = []
        self.use_theme()

    def start(self) -> None:
        """Clear the curves for a new training."""
        self._points = []
        self._show()

    def add(self, progress: Progress) -> None:
        """Add the values of one report."""
        if math.isfinite(progress.loss):
            # The second pass, on all episodes, starts at step 0 again and needs a gap in the line.
            if self._points and progress.step < self._points[-1][0]:
                self._points.append((progress.step, math.nan, math.nan))
            self._points.append((progress.step, progress.loss, progress.held_out))
            self._show()

    def use_theme(self) -> None:
        """Use the current colours."""
        super().use_theme()
        colours = theme.plot_colours()
        self._loss.setPen(pg.mkPen(colours[0], width=theme.px(2)))
        self._held.setPen(pg.mkPen(colours[1], width=theme.px(2), style=Qt.PenStyle.DashLine))
        self._mark(self._held, colours[1], 4)

    def _show(self) -> None:
        held = [(x, h) for x, _, h in self._points if math.isfinite(h)]
        self._loss.setData([p[0] for p in self._points], [p[1] for p in self._points], connect="finite")
        self._held.setData([p[0] for p in held], [p[1] for p in held])
