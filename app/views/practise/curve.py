"""Success on evaluation scenes against the number of attempts, with its interval. GUI thread."""

from collections.abc import Sequence

import pyqtgraph as pg

from app import theme
from app.qt import Qt
from app.views.plot import StillPlot
from frs_core.evaluation.wilson import wilson
from frs_core.learning.practice_log import Point

BAND_ALPHA = 56
"""Opacity of the interval, 0..255."""


class PracticeCurve(StillPlot):
    """A line with its 95 % Wilson interval, and a dashed line of the success while exploring."""

    def __init__(self) -> None:
        super().__init__("Success against attempts", left="success, %", bottom="attempts", legend=(-10, -10), right=12)
        self._view.setRange(yRange=(-2.0, 103.0), padding=0.0)
        self._low, self._high = self.plot([], []), self.plot([], [])
        self._band = pg.FillBetweenItem(self._low, self._high)
        self.addItem(self._band)
        self._checked = self.plot([], [], name="evaluated (95 % interval)", symbol="o")
        self._tried = self.plot([], [], name="while exploring", symbol="s")
        self.use_theme()

    def show_curve(self, curve: Sequence[Point], *, attempts: int) -> None:
        """Show the versions that were evaluated.

        Args:
            curve: in order.
            attempts: the end of the axis.
        """
        checked = [point for point in curve if point.scenes]
        x = [point.episodes for point in checked]
        intervals = [wilson(point.successes, point.scenes) for point in checked]
        self._low.setData(x, [100.0 * low for low, _ in intervals])
        self._high.setData(x, [100.0 * high for _, high in intervals])
        self._checked.setData(x, [100.0 * point.successes / point.scenes for point in checked])
        tried = [point for point in curve if point.own_episodes]
        self._tried.setData(
            [point.episodes for point in tried], [100.0 * p.own_successes / p.own_episodes for p in tried]
        )
        self._view.setRange(xRange=(0.0, float(max(10, attempts, *(point.episodes for point in curve)))), padding=0.03)

    def use_theme(self) -> None:
        """Use the current colours."""
        super().use_theme()
        colours = theme.plot_colours()
        self.showGrid(x=False, y=True, alpha=0.15)
        for edge in (self._low, self._high):
            edge.setPen(None)
        self._band.setBrush(theme.colour(colours[0], BAND_ALPHA))
        self._checked.setPen(pg.mkPen(colours[0], width=theme.px(2)))
        self._mark(self._checked, colours[0], 7)
        self._tried.setPen(pg.mkPen(colours[1], width=1.5 * theme.scale(), style=Qt.PenStyle.DashLine))
        self._mark(self._tried, colours[1], 5)
