"""A plot that is looked at, not handled: fixed axes in the theme's colours, and a legend. GUI thread."""

from typing import Any

import pyqtgraph as pg

from app import theme
from app.qt import Qt, QtGui


def use_scale(axis: Any) -> None:
    """Write an axis' numbers and its name at the present display size."""
    font = QtGui.QFont()
    font.setPixelSize(theme.px(12))
    axis.setStyle(tickFont=font)
    if axis.labelText:
        axis.setLabel(axis.labelText, **{**axis.labelStyle, "font-size": f"{theme.px(12)}px"})


class StillPlot(pg.PlotWidget):
    """Base of the pages' curves; it takes no focus, menu or mouse.

    Args:
        name: for accessibility.
        left, bottom: labels of the axes.
        legend: its offset from the corners, pixels.
        right: room beside the last number of the axis, pixels.
    """

    def __init__(self, name: str, *, left: str, bottom: str, legend: tuple[int, int], right: int) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(name)
        self.setLabel("left", left)
        self.setLabel("bottom", bottom)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        self._legend = self.addLegend(offset=legend)
        item: Any = self.getPlotItem()
        assert item is not None
        item.layout.setContentsMargins(0, 8, right, 0)  # Otherwise the outermost numbers are cut off.
        self._view: Any = item.getViewBox()

    def use_theme(self) -> None:
        """Use the current colours."""
        tokens = theme.current()
        self.setBackground(tokens.panel)
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(tokens.line)
            self.getAxis(side).setTextPen(tokens.dim)
            use_scale(self.getAxis(side))
        self._legend.setLabelTextSize(f"{theme.px(12)}px")
        self._legend.setLabelTextColor(tokens.text)
        # Curves pass behind the words.
        self._legend.setBrush(theme.colour(tokens.panel, 220))
        for _, name in self._legend.items:
            name.setText(name.text)  # The plot is redrawn only then.

    def _mark(self, curve: Any, colour: str, size: float) -> None:
        """Give a curve's points a colour and a size, also in the legend of a plot that has none yet.

        Args:
            curve: with points.
            colour: of them.
            size: pixels at display size S.
        """
        curve.setSymbolSize(theme.px(size))
        curve.setSymbolBrush(colour)
        curve.setSymbolPen(colour)
        curve.scatter.setBrush(colour)
        curve.scatter.setPen(colour)
